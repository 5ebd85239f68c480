//! One end of a session as it is written: the same bytes in file, stream and memory.
//!
//! `version (1) | key id (4) | kind (1) | proven (1) | writer (8) | sequence (8) | time (8) | expiry (8) |
//! tag (16) | MAC (16)`, integers big-endian, times in milliseconds. The MAC is HMAC-SHA256 over all that
//! precedes it, cut to 16 bytes, so that a store can neither forge nor alter one.

use subtle::ConstantTimeEq as _;

use super::Tag;
use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring};

const VERSION: u8 = 1;
const MAC: usize = 16;

/// The length of a record in bytes.
pub const LENGTH: usize = 1 + KeyId::LENGTH + 1 + 1 + 8 + 8 + 8 + 8 + 16 + MAC;

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

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which process wrote it.
    pub writer: [u8; 8],
    /// Its place among that writer's records, without gaps.
    pub sequence: u64,
    /// What it ends.
    pub kind: Kind,
    /// Whether our own cookie or a signed logout token proved it.
    pub proven: bool,
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
    UnknownKey,
    /// The MAC is wrong.
    #[error("the record was altered")]
    Altered,
}

impl Record {
    /// The record's bytes.
    #[must_use]
    pub fn encode(&self, key_id: KeyId, key: &MacKey) -> [u8; LENGTH] {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&key_id.0);
        bytes.push(match self.kind {
            Kind::Session => 1,
            Kind::OpSession => 2,
            Kind::Subject => 3,
        });
        bytes.push(u8::from(self.proven));
        bytes.extend_from_slice(&self.writer);
        for number in [self.sequence, self.at.millis(), self.expires.millis()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.tag.0);
        bytes.extend_from_slice(&mac(key, &bytes));
        bytes.try_into().expect("the fields add up to LENGTH")
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if it is not exactly one, or not one of ours.
    pub fn decode(bytes: &[u8], ring: &Ring<MacKey>, now: Timestamp) -> Result<Self, RecordError> {
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| RecordError::Malformed)?;
        let (signed, claimed) = bytes.split_at(LENGTH - MAC);
        let mut fields = Fields(signed);
        if fields.take() != [VERSION] {
            return Err(RecordError::Malformed);
        }
        let key = ring.by_id(KeyId(fields.take()), now).ok_or(RecordError::UnknownKey)?;
        if !bool::from(mac(key, signed).as_slice().ct_eq(claimed)) {
            return Err(RecordError::Altered);
        }
        let kind = match fields.take() {
            [1] => Kind::Session,
            [2] => Kind::OpSession,
            [3] => Kind::Subject,
            _ => return Err(RecordError::Malformed),
        };
        let proven = match fields.take() {
            [0] => false,
            [1] => true,
            _ => return Err(RecordError::Malformed),
        };
        let writer = fields.take();
        let sequence = u64::from_be_bytes(fields.take());
        let at = Timestamp::from_millis(u64::from_be_bytes(fields.take()));
        let expires = Timestamp::from_millis(u64::from_be_bytes(fields.take()));
        Ok(Self { writer, sequence, kind, proven, tag: Tag(fields.take()), at, expires })
    }
}

/// From when on a record may be forgotten, without judging it.
pub(super) fn expiry_of(record: &[u8; LENGTH]) -> Timestamp {
    const AT: usize = 1 + KeyId::LENGTH + 1 + 1 + 8 + 8 + 8;
    let expires: [u8; 8] = record[AT..AT + 8].try_into().expect("eight bytes");
    Timestamp::from_millis(u64::from_be_bytes(expires))
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1);

    fn ring() -> Ring<MacKey> {
        Ring::single(KeyId([1, 2, 3, 4]), NOW, MacKey::new(&[9; 32]))
    }

    fn record(sequence: u64, at: u64, tag: [u8; 16]) -> Record {
        Record {
            writer: [5; 8],
            sequence,
            kind: Kind::OpSession,
            proven: false,
            tag: Tag(tag),
            at: Timestamp::from_millis(at),
            expires: Timestamp::from_millis(at.saturating_add(1)),
        }
    }

    fn encoded(record: &Record) -> [u8; LENGTH] {
        let ring = ring();
        record.encode(ring.keys()[0].id, &ring.keys()[0].key)
    }

    proptest! {
        #[test]
        fn a_record_is_read_back(sequence: u64, at: u64, tag: [u8; 16]) {
            let record = record(sequence, at, tag);
            prop_assert_eq!(Record::decode(&encoded(&record), &ring(), NOW), Ok(record));
        }

        #[test]
        fn any_changed_bit_is_noticed(at in 0usize..LENGTH, bit in 0u8..8) {
            let mut bytes = encoded(&record(1, 2, [3; 16]));
            bytes[at] ^= 1 << bit;
            prop_assert!(Record::decode(&bytes, &ring(), NOW).is_err());
        }
    }

    #[test]
    fn the_expiry_is_where_the_format_says() {
        let record = record(1, 77, [3; 16]);
        assert_eq!(expiry_of(&encoded(&record)), record.expires);
    }

    #[test]
    fn a_torn_record_is_none() {
        let bytes = encoded(&record(1, 2, [3; 16]));
        for end in 0..LENGTH {
            assert_eq!(Record::decode(&bytes[..end], &ring(), NOW), Err(RecordError::Malformed));
        }
    }
}
