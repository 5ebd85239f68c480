//! Tokens that count once: their `jti`s, kept as long as the tokens live (Back-Channel Logout 1.0, 2.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::SKEW;
use crate::clock::Timestamp;

/// The most that are kept. Only verified tokens get here, so only the provider could fill it.
const MAX: usize = 100_000;

/// The `jti`s of verified tokens.
#[derive(Debug, Default)]
pub struct SeenJtis(Mutex<HashMap<(String, String), Timestamp>>);

impl SeenJtis {
    /// Whether a provider's `jti` was not seen before; from now on it was. When there is no room for it, it
    /// counts as seen.
    #[must_use]
    pub fn is_new(&self, provider: &str, jti: &str, expires: Timestamp, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX {
            seen.retain(|_, expires| *expires + SKEW > now);
        }
        let room = seen.len() < MAX;
        room && seen.insert((provider.to_owned(), jti.to_owned()), expires).is_none()
    }

    /// Forgets tokens that would not be accepted any more.
    pub fn forget(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, expires| *expires + SKEW > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jti_counts_once_as_long_as_its_token_lives() {
        let (seen, at) = (SeenJtis::default(), Timestamp::from_seconds);
        assert!(seen.is_new("a", "1", at(300), at(0)));
        assert!(!seen.is_new("a", "1", at(300), at(1)));
        assert!(seen.is_new("b", "1", at(300), at(1)));
        seen.forget(at(309));
        assert!(!seen.is_new("a", "1", at(300), at(309)));
        seen.forget(at(310));
        assert!(seen.is_new("a", "1", at(300), at(310)));
    }
}
