//! What counts once: answers to login attempts (OP-1) and logout tokens (Back-Channel Logout 1.0, 2.6).
//!
//! Two generations of short hashes, each as old as what it guards may live: memory follows the rate, and an
//! entry is kept for at least that life.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// The most entries of a generation: half an hour of the country's midnight rush.
const MOST: usize = 1_000_000;

/// What was seen.
#[derive(Debug)]
pub struct Once {
    life: Duration,
    /// Keyed at random, so that nobody outside can make two values meet.
    hasher: RandomState,
    seen: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    younger: HashSet<u64>,
    older: HashSet<u64>,
    began: Option<Timestamp>,
}

impl Once {
    /// Remembers each value for `life` at the least.
    #[must_use]
    pub fn for_life(life: Duration) -> Self {
        Self { life, hasher: RandomState::new(), seen: Mutex::default() }
    }

    /// Whether a value was not seen before; from now on it was.
    #[must_use]
    pub fn is_new(&self, value: &(&str, &str), now: Timestamp) -> bool {
        let hash = self.hasher.hash_one(value);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let began = *seen.began.get_or_insert(now);
        if now.since(began) >= self.life || seen.younger.len() >= MOST {
            // A generation that lasted two lives had nothing that still counts.
            let lapsed = now.since(began) >= self.life * 2;
            let former = std::mem::take(&mut seen.younger);
            seen.older = if lapsed { HashSet::new() } else { former };
            seen.began = Some(now);
        }
        !seen.older.contains(&hash) && seen.younger.insert(hash)
    }

    /// What a value was to do has not been done: it is new again.
    pub fn forget(&self, value: &(&str, &str)) {
        let hash = self.hasher.hash_one(value);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.younger.remove(&hash);
        seen.older.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_once_for_its_life_and_again_long_after() {
        let (once, at) = (Once::for_life(Duration::from_secs(100)), Timestamp::from_seconds);
        assert!(once.is_new(&("a", "1"), at(0)));
        for later in [0, 1, 99, 100, 150] {
            assert!(!once.is_new(&("a", "1"), at(later)), "{later}");
        }
        assert!(once.is_new(&("b", "1"), at(150)));
        assert!(!once.is_new(&("b", "1"), at(249)));
        assert!(once.is_new(&("a", "1"), at(500)));
        assert!(once.is_new(&("b", "1"), at(500)));
    }

    #[test]
    fn a_value_from_the_end_of_a_generation_lives_on_in_the_next() {
        let (once, at) = (Once::for_life(Duration::from_secs(100)), Timestamp::from_seconds);
        assert!(once.is_new(&("first", ""), at(0)));
        assert!(once.is_new(&("a", ""), at(99)));
        assert!(once.is_new(&("turn", ""), at(100)));
        assert!(!once.is_new(&("a", ""), at(199)));
    }
}
