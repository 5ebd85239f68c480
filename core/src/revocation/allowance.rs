//! How many ends that nobody proved are told to other replicas (`threats.md` LO-3): whoever calls the front channel with
//! made-up sessions must not fill the store, where each end stays until it expires.
//!
//! So many at once, and so many a second, for all callers together. When they have used that up, each source has a few of
//! its own: who calls seldom is still heard.
//!
//! **Invariant:** what is told in a day is bounded, however many call; and so is the memory.

use std::collections::HashMap;

use super::record::Source;
use crate::clock::Timestamp;

/// How soon one more may be told, in milliseconds: 864 000 a day.
const EVERY: u64 = 100;

/// How many of each source may be told when all have used up what is theirs together, and how soon one more.
const FEW: u64 = 8;
const EVERY_OF_ONE: u64 = 3_600_000;

/// Kept by the generic cell rate algorithm (ITU-T I.371, A), in milliseconds since the epoch.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u64,
    due: u64,
    /// Of those that have used some of their own: at most one for each of 16 bits.
    sources: HashMap<Source, u64>,
}

impl Allowance {
    /// So many at once.
    pub(super) fn of(most: usize) -> Self {
        Self { most: most as u64, due: 0, sources: HashMap::new() }
    }

    /// Whether one more of this source may be told.
    pub(super) fn take(&mut self, source: Source, now: Timestamp) -> bool {
        spend(&mut self.due, EVERY, self.most, now)
            || spend(self.sources.entry(source).or_default(), EVERY_OF_ONE, FEW, now)
    }

    /// Who has all of its own again is not remembered.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.sources.retain(|_, due| *due > now.millis());
        self.sources.shrink_to(2 * self.sources.len());
    }
}

fn spend(due: &mut u64, every: u64, most: u64, now: Timestamp) -> bool {
    let (now, room) = (now.millis(), every.saturating_mul(most));
    // A clock that was set back leaves nobody without for longer than if all had been used up.
    *due = (*due).clamp(now, now.saturating_add(room));
    let next = due.saturating_add(every);
    let may = next <= now.saturating_add(room);
    if may {
        *due = next;
    }
    may
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn source(number: u16) -> Source {
        Source::from_bits(number).unwrap()
    }

    fn told(allowance: &mut Allowance, from: impl Fn(u64) -> u16, tried: u64, now: Timestamp) -> usize {
        (0..tried).filter(|number| allowance.take(source(from(*number)), now)).count()
    }

    #[test]
    fn many_are_told_at_once_then_some_a_second_and_of_each_source_a_few() {
        let mut allowance = Allowance::of(1000);
        assert_eq!(told(&mut allowance, |_| 7, 5000, NOW), 1000 + 8);
        // Who has not called yet is heard, whoever else calls.
        assert_eq!(told(&mut allowance, |number| (number % 500) as u16 + 100, 50_000, NOW), 500 * 8);
        let later = NOW + Duration::from_secs(10);
        assert_eq!(told(&mut allowance, |_| 7, 5000, later), 100);
        let hour = NOW + Duration::from_secs(3600);
        assert_eq!(told(&mut allowance, |_| 7, 5000, hour), 1000 + 1, "no more is saved than at the start");
        allowance.forget(hour);
        assert_eq!(allowance.sources.len(), 501);
        allowance.forget(hour + Duration::from_secs(8 * 3600));
        assert!(allowance.sources.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let mut allowance = Allowance::of(10);
        assert_eq!(told(&mut allowance, |_| 7, 10, NOW), 10);
        let before = NOW - Duration::from_secs(1_000_000);
        assert!(allowance.take(source(8), before), "of its own");
        assert_eq!(told(&mut allowance, |_| 9, 100, before + Duration::from_secs(1)), 10 + 8);
    }
}
