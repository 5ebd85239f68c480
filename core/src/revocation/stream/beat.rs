//! A beat: a replica's sign of life in the stream, with its view of all writers.
//!
//! `version (1) | key id (4) | flags (1) | writer (8) | number (8) | time (8) | known since (8) | count (2) |
//! count × [writer (8) | heard (8) | first (8) | last (8)] | MAC (16)`, integers big-endian, times in milliseconds. The
//! MAC is HMAC-SHA256 over all that precedes it, cut to 16 bytes, under a label of its own: neither a record nor anything
//! else that the key has signed passes for a beat.

use subtle::ConstantTimeEq as _;

use super::Writer;
use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring};
use crate::revocation::record::RecordError;

const VERSION: u8 = 1;
const MAC: usize = 16;
const HEAD: usize = 1 + KeyId::LENGTH + 1 + 8 + 8 + 8 + 8 + 2;
const CLAIM: usize = 4 * 8;

const ASKS: u8 = 1;
const LEAVES: u8 = 2;
const WHOLE: u8 = 4;

/// A replica lives, and knows so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::revocation) struct Beat {
    pub(in crate::revocation) writer: Writer,
    /// Counts the writer's beats from 1.
    pub(in crate::revocation) number: u64,
    /// It lacks something, or cannot be sure: who has more is to write it again.
    pub(in crate::revocation) asks: bool,
    /// It stops, and has nothing left to write.
    pub(in crate::revocation) leaves: bool,
    /// It tells of every writer; else of its own records alone.
    pub(in crate::revocation) whole: bool,
    pub(in crate::revocation) at: Timestamp,
    /// From when on it knows every end.
    pub(in crate::revocation) known_since: Timestamp,
    pub(in crate::revocation) claims: Vec<Claim>,
}

/// What a replica has of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::revocation) struct Claim {
    pub(in crate::revocation) writer: Writer,
    /// The number of the writer's last beat that it heard.
    pub(in crate::revocation) heard: u64,
    /// It has every record from this one, the first that still matters,
    pub(in crate::revocation) first: u64,
    /// to this one.
    pub(in crate::revocation) last: u64,
}

impl Beat {
    pub(in crate::revocation) fn encode(&self, id: KeyId, key: &MacKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.claims.len() * CLAIM + MAC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&id.0);
        let flags = [(self.asks, ASKS), (self.leaves, LEAVES), (self.whole, WHOLE)];
        bytes.push(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        bytes.extend_from_slice(&self.writer);
        for number in [self.number, self.at.millis(), self.known_since.millis()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let count = u16::try_from(self.claims.len()).expect("a replica drops the writers that are too many");
        bytes.extend_from_slice(&count.to_be_bytes());
        for claim in &self.claims {
            bytes.extend_from_slice(&claim.writer);
            for number in [claim.heard, claim.first, claim.last] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mac(key, &bytes));
        bytes
    }

    /// With the key under which it was said.
    pub(in crate::revocation) fn decode(
        bytes: &[u8],
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) -> Result<(Self, KeyId), RecordError> {
        let (signed, claimed) = bytes.split_last_chunk::<MAC>().ok_or(RecordError::Malformed)?;
        let (head, claims) = signed.split_at_checked(HEAD).ok_or(RecordError::Malformed)?;
        let mut head = Fields(head);
        if head.take() != [VERSION] {
            return Err(RecordError::Malformed);
        }
        let id = KeyId(head.take());
        let known = ring.keys().iter().find(|key| key.id == id).ok_or(RecordError::UnknownKey(id))?;
        // What still speaks with a retired key may be as old as the key.
        if known.is_retired(now) || !bool::from(mac(&known.key, signed).as_slice().ct_eq(claimed)) {
            return Err(RecordError::Altered);
        }
        let [flags] = head.take();
        let writer = head.take();
        let (number, at, known_since) = (head.number(), head.number(), head.number());
        let count = usize::from(u16::from_be_bytes(head.take()));
        if claims.len() != count * CLAIM || flags & !(ASKS | LEAVES | WHOLE) != 0 {
            return Err(RecordError::Malformed);
        }
        let claim = |bytes| {
            let mut fields = Fields(bytes);
            let writer = fields.take();
            Claim { writer, heard: fields.number(), first: fields.number(), last: fields.number() }
        };
        let beat = Self {
            writer,
            number,
            asks: flags & ASKS != 0,
            leaves: flags & LEAVES != 0,
            whole: flags & WHOLE != 0,
            at: Timestamp::from_millis(at),
            known_since: Timestamp::from_millis(known_since),
            claims: claims.chunks_exact(CLAIM).map(claim).collect(),
        };
        Ok((beat, id))
    }

    pub(in crate::revocation) fn claim(&self, writer: Writer) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.writer == writer)
    }
}

fn mac(key: &MacKey, bytes: &[u8]) -> [u8; MAC] {
    key.tag("revocation-beat", &[bytes])
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *field
    }

    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revocation::record::Item;

    const NOW: Timestamp = Timestamp::from_seconds(1);

    fn ring(byte: u8) -> Ring<MacKey> {
        Ring::single(KeyId([1, 2, 3, 4]), NOW, MacKey::new(&[byte; 32]))
    }

    fn beat(claims: usize, asks: bool, leaves: bool) -> Beat {
        let claim = |at: usize| Claim { writer: [at as u8; 8], heard: 1, first: 2, last: at as u64 };
        let claims = (0..claims).map(claim).collect();
        Beat { writer: [7; 8], number: 9, asks, leaves, whole: asks, at: NOW, known_since: NOW, claims }
    }

    fn encoded(beat: &Beat) -> Vec<u8> {
        let ring = ring(9);
        beat.encode(ring.keys()[0].id, &ring.keys()[0].key)
    }

    proptest! {
        #[test]
        fn a_beat_is_read_back(claims in 0usize..9, asks: bool, leaves: bool) {
            let beat = beat(claims, asks, leaves);
            let key = ring(9).keys()[0].id;
            prop_assert_eq!(Beat::decode(&encoded(&beat), &ring(9), NOW), Ok((beat, key)));
        }

        #[test]
        fn any_changed_bit_is_noticed(at in 0usize..HEAD + 2 * CLAIM + MAC, bit in 0u8..8) {
            let mut bytes = encoded(&beat(2, true, false));
            bytes[at] ^= 1 << bit;
            prop_assert!(Beat::decode(&bytes, &ring(9), NOW).is_err());
        }
    }

    /// Processes of two versions follow one stream.
    #[test]
    fn a_beat_stands_as_version_0_1_wrote_it() {
        let hex: String = encoded(&beat(2, true, false)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, BEAT_0_1);
    }

    const BEAT_0_1: &str = "0101020304050707070707070707000000000000000900000000000003e800000000000003e80002000000000000000000000000000000010000000000000002000000000000000001010101010101010000000000000001000000000000000200000000000000013d8354c30386ec7f061e55c2013ff9b6";

    #[test]
    fn a_torn_beat_a_record_and_a_beat_of_another_key_are_none() {
        let bytes = encoded(&beat(2, false, false));
        for end in 0..bytes.len() {
            assert!(Beat::decode(&bytes[..end], &ring(9), NOW).is_err());
            assert!(Item::decode(&bytes[..end], &ring(9), NOW).is_err());
        }
        assert_eq!(Beat::decode(&bytes, &ring(8), NOW), Err(RecordError::Altered));
        assert!(Item::decode(&bytes, &ring(9), NOW).is_err());
    }
}
