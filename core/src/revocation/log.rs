//! Where ends of sessions are written and followed: append and follow (`design.md` D1).
//!
//! To add a log, implement [`RevocationLog`] and run the tests of [`revocation`](super) with it. What it carries
//! are the bytes of [`record`](super::record), which it can neither read nor forge.

use super::record::Bytes;

/// A place in a log; only the log that gave it knows what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts how often the log was replaced under us.
    pub(super) generation: u64,
    /// In bytes.
    pub(super) offset: u64,
}

/// What stands behind a position.
#[derive(Debug, Default)]
pub struct Followed {
    /// The records, in their order.
    pub records: Vec<Bytes>,
    /// The position behind them.
    pub position: Position,
    /// Whether this begins with the log's very first record, for the first time or again.
    pub from_start: bool,
    /// Whether the log's first record is whole where it belongs. Only said with `from_start`.
    pub headed: bool,
    /// There is more already.
    pub more: bool,
    /// How many bytes were no records.
    pub skipped: u64,
    /// How often so much was no record that a whole one may have been lost. Less is a torn end, which
    /// nobody was told of.
    pub damaged: u64,
}

/// The log did not take, or did not give, a record.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be used.
    #[error("the revocation log cannot be used")]
    Io(#[from] std::io::Error),
    /// Another process has it.
    #[error("another process holds the revocation log")]
    Busy,
    /// Another process has put another in its place.
    #[error("the revocation log was replaced meanwhile")]
    Replaced,
}

/// Append and follow.
pub trait RevocationLog: Send + Sync {
    /// Appends records. When this returns, no end of a process makes the log forget them.
    ///
    /// # Errors
    ///
    /// [`LogError`] if not all of them may have been written.
    fn append(&self, records: &[Bytes]) -> Result<(), LogError>;

    /// The records behind a position; from the start if the log is not the one of that position any more.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log cannot be read.
    fn follow(&self, from: Position) -> Result<Followed, LogError>;

    /// Puts `whole` and whatever stands behind `from` in the place of all that the log holds.
    ///
    /// # Errors
    ///
    /// [`LogError`]; then the log is what it was.
    fn replace(&self, from: Position, whole: &[Bytes]) -> Result<(), LogError>;

    /// Takes the log's head away, so that who starts from it does not take it for complete, and says who did.
    /// Needs no space.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the head may still be there.
    fn behead(&self, by: [u8; 8]) -> Result<(), LogError>;

    /// What the log that is followed begins with.
    ///
    /// # Errors
    ///
    /// [`LogError`] if it cannot be read.
    fn head(&self) -> Result<Head, LogError>;
}

/// What a log begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A record.
    Whole,
    /// Nothing: this writer took it away, and no other did.
    TakenBy([u8; 8]),
    /// Nothing.
    Missing,
}
