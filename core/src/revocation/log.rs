//! Where ends of sessions are written and followed: append and follow, nothing else (`design.md` D1).
//!
//! To add a log, implement [`RevocationLog`]; what it carries are the bytes of [`record`](super::record),
//! which it can neither read nor forge.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{LENGTH, expiry_of};
use crate::clock::Timestamp;

/// A place in a log; only the log that gave it knows what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The log did not take, or did not give, a record.
#[derive(Debug, thiserror::Error)]
#[error("the revocation log cannot be used")]
pub struct LogError(#[from] pub std::io::Error);

/// Append and follow.
pub trait RevocationLog: Send + Sync {
    /// Appends one record. When this returns, a restart does not forget it, as far as the log promises.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the record may not have been written.
    fn append(&self, record: &[u8; LENGTH]) -> Result<Position, LogError>;

    /// The records behind a position, in their order, and the position behind them.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot be read.
    fn follow(&self, from: Position) -> Result<(Vec<[u8; LENGTH]>, Position), LogError>;

    /// Forgets records that have expired; positions stay what they are.
    fn trim(&self, now: Timestamp);

    /// From when on the log knows every end of a session; `None`: from now on.
    fn known_since(&self) -> Option<Timestamp>;
}

/// A log that lives as long as the process: after a restart every session logs in again, which is silent
/// while the provider's own session lives.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    kept: VecDeque<(u64, [u8; LENGTH])>,
    appended: u64,
}

impl MemoryLog {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationLog for MemoryLog {
    fn append(&self, record: &[u8; LENGTH]) -> Result<Position, LogError> {
        let mut records = self.records();
        let place = records.appended;
        records.kept.push_back((place, *record));
        records.appended += 1;
        Ok(Position(records.appended))
    }

    fn follow(&self, from: Position) -> Result<(Vec<[u8; LENGTH]>, Position), LogError> {
        let records = self.records();
        let behind = records.kept.iter().filter(|(place, _)| *place >= from.0).map(|(_, record)| *record);
        Ok((behind.collect(), Position(records.appended)))
    }

    fn trim(&self, now: Timestamp) {
        self.records().kept.retain(|(_, record)| expiry_of(record) > now);
    }

    fn known_since(&self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_followed_in_order_from_any_position() {
        let log = MemoryLog::default();
        let after_first = log.append(&[1; LENGTH]).unwrap();
        log.append(&[2; LENGTH]).unwrap();
        let (all, end) = log.follow(Position::default()).unwrap();
        assert_eq!(all, [[1; LENGTH], [2; LENGTH]]);
        assert_eq!(log.follow(after_first).unwrap(), (vec![[2; LENGTH]], end));
        assert_eq!(log.follow(end).unwrap(), (vec![], end));
    }

    #[test]
    fn a_trimmed_log_keeps_its_positions() {
        let log = MemoryLog::default();
        let end = log.append(&[0; LENGTH]).unwrap();
        log.trim(Timestamp::from_seconds(1));
        assert_eq!(log.follow(Position::default()).unwrap(), (vec![], end));
        assert!(log.append(&[0; LENGTH]).unwrap() > end);
    }
}
