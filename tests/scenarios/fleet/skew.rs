//! An older binary and the present one side by side, on one store, one set of keys and one configuration: what either
//! writes, the other reads (`threats.md` CK-12). `make skew` builds the older one and says where it is.
//!
//! **Invariant:** whoever asks either is told the same, or nothing; a session that has ended at one is over at the
//! other; where they cannot understand each other, nobody is let in.

mod cookies;
mod ends;
mod handover;
mod keys;
mod scene;

use std::path::PathBuf;

use crate::harness::process::program;

/// Where the older binary is; set by `make skew`.
const OLD: &str = "PORTVAKT_OLD";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Old,
    New,
}

impl Age {
    const BOTH: [Self; 2] = [Self::Old, Self::New];

    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// # Panics
    ///
    /// Without an older binary nothing can be shown.
    fn program(self) -> PathBuf {
        match self {
            Self::Old => {
                std::env::var_os(OLD).map(PathBuf::from).expect("`make skew` builds the older binary")
            }
            Self::New => program("portvakt"),
        }
    }
}
