//! What a log carries: ends of sessions, and signs of life of those who write them. The same bytes in file,
//! stream and memory.
//!
//! `version (1) | key id (4) | kind (1) | source (2) | writer (8) | sequence (8) | time (8) | expiry (8) |
//! tag (16) | MAC (16)`, integers big-endian, times in milliseconds. The MAC is HMAC-SHA256 over all that
//! precedes it, cut to 16 bytes, so that a store can neither forge nor alter one. `source` is 0 for what was
//! proven. It stands here because who follows or restarts must evict the heaviest source first too; it is 16
//! keyed bits of an address prefix, from which no address can be read.
//!
//! A heartbeat has `known_since` in the place of the expiry and the boot in the place of the tag.

use std::net::IpAddr;
use std::num::NonZeroU16;

use subtle::ConstantTimeEq as _;

use super::Tag;
use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring};

const VERSION: u8 = 1;
const HEARTBEAT: u8 = 4;
const MAC: usize = 16;

/// The length of a record in bytes.
pub const LENGTH: usize = 1 + KeyId::LENGTH + 1 + 2 + 8 + 8 + 8 + 8 + 16 + MAC;

/// A record as it is written.
pub type Bytes = [u8; LENGTH];

/// What a record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One session of ours.
    Session,
    /// A session of the provider: (provider, iss, sid).
    OpSession,
    /// A subject: (provider, iss, sub).
    Subject,
}

/// How we know that a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Our own cookie or a signed logout token says so.
    Proven,
    /// Somebody says so: a front-channel call from there.
    Unproven(Source),
}

/// Where unproven calls come from: a few keyed bits of an address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(NonZeroU16);

impl Source {
    /// From the /24 of an IPv4 address, or the /48 of an IPv6 address.
    pub(super) fn of(key: &MacKey, address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => key.tag("revocation-source", &[&address.octets()[..3]]),
            IpAddr::V6(address) => key.tag("revocation-source", &[&address.octets()[..6]]),
        };
        Self(NonZeroU16::new(u16::from_be_bytes(bits)).unwrap_or(NonZeroU16::MAX))
    }

    /// `None` for 0, which stands for what was proven.
    pub(super) fn from_bits(bits: u16) -> Option<Self> {
        NonZeroU16::new(bits).map(Self)
    }

    pub(super) fn bits(self) -> u16 {
        self.0.get()
    }
}

/// A sign of life: this writer listened, and wrote so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which process.
    pub writer: [u8; 8],
    /// The sequence of its last record.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// From when on it knows every end.
    pub known_since: Timestamp,
    /// Which start of the machine it runs in: what was not on the disk is gone in the next.
    pub boot: [u8; 16],
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Something ended.
    End(Record),
    /// A writer lives.
    Heartbeat(Heartbeat),
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which process wrote it.
    pub writer: [u8; 8],
    /// Its place among that writer's records, without gaps.
    pub sequence: u64,
    /// What it ends.
    pub kind: Kind,
    /// How we know.
    pub proof: Proof,
    /// What carries this tag has ended.
    pub tag: Tag,
    /// When it ended.
    pub at: Timestamp,
    /// From when on the record may be forgotten.
    pub expires: Timestamp,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another length, version, kind or flag.
    #[error("not a record of version 1")]
    Malformed,
    /// A key that the ring does not have.
    #[error("the record was made with an unknown key")]
    UnknownKey(KeyId),
    /// A key that has retired: no session that it ends is accepted any more. It counts among its writer's
    /// records all the same.
    #[error("the record was made with a key that has retired")]
    RetiredKey {
        /// Its writer.
        writer: [u8; 8],
        /// Its sequence.
        sequence: u64,
        /// Whether it is a sign of life.
        heartbeat: bool,
    },
    /// The MAC is wrong.
    #[error("the record was altered")]
    Altered,
}

impl Item {
    /// The item's bytes.
    #[must_use]
    pub fn encode(&self, key_id: KeyId, key: &MacKey) -> Bytes {
        let (kind, source, writer, sequence, at, other, tag) = match self {
            Self::End(end) => {
                let kind = match end.kind {
                    Kind::Session => 1,
                    Kind::OpSession => 2,
                    Kind::Subject => 3,
                };
                let source = match end.proof {
                    Proof::Proven => 0,
                    Proof::Unproven(source) => source.bits(),
                };
                (kind, source, end.writer, end.sequence, end.at, end.expires, end.tag.0)
            }
            Self::Heartbeat(beat) => {
                (HEARTBEAT, 0, beat.writer, beat.sequence, beat.at, beat.known_since, beat.boot)
            }
        };
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&key_id.0);
        bytes.push(kind);
        bytes.extend_from_slice(&source.to_be_bytes());
        bytes.extend_from_slice(&writer);
        for number in [sequence, at.millis(), other.millis()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&tag);
        bytes.extend_from_slice(&mac(key, &bytes));
        bytes.try_into().expect("the fields add up to LENGTH")
    }

    /// Reads an item.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if it is not exactly one, or not one of ours.
    pub fn decode(bytes: &[u8], ring: &Ring<MacKey>, now: Timestamp) -> Result<Self, RecordError> {
        let bytes: &Bytes = bytes.try_into().map_err(|_| RecordError::Malformed)?;
        let (signed, claimed) = bytes.split_at(LENGTH - MAC);
        let mut fields = Fields(signed);
        if fields.take() != [VERSION] {
            return Err(RecordError::Malformed);
        }
        let id = KeyId(fields.take());
        let known = ring.keys().iter().find(|key| key.id == id).ok_or(RecordError::UnknownKey(id))?;
        let key = &known.key;
        let retired = known.is_retired(now);
        if !bool::from(mac(key, signed).as_slice().ct_eq(claimed)) {
            return Err(RecordError::Altered);
        }
        let [kind] = fields.take();
        let source = u16::from_be_bytes(fields.take());
        let proof = Source::from_bits(source).map_or(Proof::Proven, Proof::Unproven);
        let writer = fields.take();
        let sequence = u64::from_be_bytes(fields.take());
        let at = fields.time();
        let other = fields.time();
        let tag = fields.take();
        let end =
            |kind| Self::End(Record { writer, sequence, kind, proof, tag: Tag(tag), at, expires: other });
        if retired {
            return Err(RecordError::RetiredKey { writer, sequence, heartbeat: kind == HEARTBEAT });
        }
        match kind {
            1 => Ok(end(Kind::Session)),
            2 => Ok(end(Kind::OpSession)),
            3 => Ok(end(Kind::Subject)),
            HEARTBEAT => {
                Ok(Self::Heartbeat(Heartbeat { writer, sequence, at, known_since: other, boot: tag }))
            }
            _ => Err(RecordError::Malformed),
        }
    }
}

/// When a record says that it may be forgotten, whoever made it: nobody has looked at its MAC.
pub(super) fn unverified_expiry(bytes: &[u8]) -> Option<Timestamp> {
    let bytes: &Bytes = bytes.try_into().ok()?;
    let fields = bytes.get(1 + KeyId::LENGTH + 1 + 2 + 8 + 8 + 8..)?.first_chunk()?;
    Some(Timestamp::from_millis(u64::from_be_bytes(*fields)))
}

fn mac(key: &MacKey, bytes: &[u8]) -> [u8; MAC] {
    key.tag("revocation-record", &[bytes])
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *field
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_millis(u64::from_be_bytes(self.take()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1);

    fn ring() -> Ring<MacKey> {
        Ring::single(KeyId([1, 2, 3, 4]), NOW, MacKey::new(&[9; 32]))
    }

    fn end(sequence: u64, at: u64, source: u16, tag: [u8; 16]) -> Item {
        Item::End(Record {
            writer: [5; 8],
            sequence,
            kind: Kind::OpSession,
            proof: Source::from_bits(source).map_or(Proof::Proven, Proof::Unproven),
            tag: Tag(tag),
            at: Timestamp::from_millis(at),
            expires: Timestamp::from_millis(at.saturating_add(1)),
        })
    }

    fn heartbeat(sequence: u64, at: u64, boot: [u8; 16]) -> Item {
        let (at, known_since) = (Timestamp::from_millis(at), Timestamp::from_millis(at / 2));
        Item::Heartbeat(Heartbeat { writer: [6; 8], sequence, at, known_since, boot })
    }

    fn encoded(item: &Item) -> Bytes {
        let ring = ring();
        item.encode(ring.keys()[0].id, &ring.keys()[0].key)
    }

    proptest! {
        #[test]
        fn an_item_is_read_back(sequence: u64, at: u64, source: u16, tag: [u8; 16]) {
            for item in [end(sequence, at, source, tag), heartbeat(sequence, at, tag)] {
                prop_assert_eq!(Item::decode(&encoded(&item), &ring(), NOW), Ok(item));
            }
        }

        #[test]
        fn any_changed_bit_is_noticed(at in 0usize..LENGTH, bit in 0u8..8) {
            for item in [end(1, 2, 3, [3; 16]), heartbeat(1, 2, [3; 16])] {
                let mut bytes = encoded(&item);
                bytes[at] ^= 1 << bit;
                prop_assert!(Item::decode(&bytes, &ring(), NOW).is_err());
            }
        }
    }

    /// Processes of two versions follow one log. Another layout is another `VERSION`, and this one is read on.
    #[test]
    fn a_record_stands_as_version_0_1_wrote_it() {
        let hex = |item: &Item| encoded(item).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&end(42, 1_790_000_000_000, 7, [5; 16])), END_0_1);
        assert_eq!(hex(&heartbeat(43, 1_790_000_000_000, [6; 16])), HEARTBEAT_0_1);
    }

    const END_0_1: &str = "01010203040200070505050505050505000000000000002a000001a0c4506c00000001a0c4506c01050505050505050505050505050505054b479fc6cda10b88bda4cf3a2990e286";
    const HEARTBEAT_0_1: &str = "01010203040400000606060606060606000000000000002b000001a0c4506c00000000d06228360006060606060606060606060606060606b5db64ab2b2c428bf401575ed02390ce";

    #[test]
    fn a_torn_record_is_none() {
        let bytes = encoded(&end(1, 2, 3, [3; 16]));
        for end in 0..LENGTH {
            assert_eq!(Item::decode(&bytes[..end], &ring(), NOW), Err(RecordError::Malformed));
        }
    }

    #[test]
    fn neighbours_are_one_source_and_others_another() {
        let key = MacKey::new(&[9; 32]);
        let of = |text: &str| Source::of(&key, text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::1"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }
}
