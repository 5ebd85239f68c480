//! What is known of one writer's records: which of them, without a gap or with, and what each one ended.
//!
//! **Invariant:** what was had once counts as had, also when it is forgotten because nothing can carry it any more.

use std::collections::{BTreeSet, VecDeque};

use crate::revocation::Tag;

/// The farthest that a writer may be ahead of what is known of it. More is believed to be another's mistake.
const FAR: u64 = 1 << 20;

/// Stands for a tag that is not remembered; nothing carries it.
pub(super) const FORGOTTEN: Tag = Tag([0; 16]);

/// The records of one writer.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Everything from here on was had, but for the gaps.
    from: u64,
    /// What comes before it is forgotten.
    first: u64,
    /// From `first` on; whatever in a gap.
    tags: VecDeque<Tag>,
    gaps: BTreeSet<u64>,
    /// From here on a gap alone says that something is missing. What is older is missing if somebody has it.
    heard_from: u64,
    /// What comes before it was given up, and is never missed again.
    given_up: u64,
}

impl Ledger {
    /// Of a writer whose first record of interest is this one.
    pub(super) fn from(first: u64) -> Self {
        Self {
            from: first,
            first,
            tags: VecDeque::new(),
            gaps: BTreeSet::new(),
            heard_from: first,
            given_up: 0,
        }
    }

    /// The first record that still matters.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The last record; `first() - 1` if there is none.
    pub(super) fn last(&self) -> u64 {
        self.first + self.tags.len() as u64 - 1
    }

    /// The records that are there and still matter, from gap to gap; one empty range if there are none.
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        let ends = self.gaps.iter().copied().chain([self.last() + 1]);
        let mut ranges: Vec<_> = ends
            .scan(self.first, |first, end| {
                let range = (*first, end - 1);
                *first = end + 1;
                Some(range)
            })
            .filter(|(first, last)| first <= last)
            .collect();
        if ranges.is_empty() {
            ranges.push((self.last() + 1, self.last()));
        }
        ranges
    }

    /// How many records were skipped while its writer was followed.
    pub(super) fn skipped(&self) -> usize {
        self.gaps.range(self.heard_from..).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// The next record of ours.
    pub(super) fn push(&mut self, tag: Tag) -> u64 {
        self.tags.push_back(tag);
        self.last()
    }

    /// A record was read. Says whether it was not known.
    pub(super) fn insert(&mut self, sequence: u64, tag: Tag) -> bool {
        if sequence < self.first {
            false
        } else if sequence <= self.last() {
            let place = usize::try_from(sequence - self.first).expect("it is within the length");
            let news = self.gaps.remove(&sequence);
            if news {
                self.tags[place] = tag;
            }
            news
        } else if sequence - self.last() <= FAR {
            for missing in self.last() + 1..sequence {
                self.tags.push_back(tag);
                self.gaps.insert(missing);
            }
            self.tags.push_back(tag);
            true
        } else {
            false
        }
    }

    /// Somebody has older ones than those that were heard of first: they are missing.
    pub(super) fn reach(&mut self, first: u64) {
        let first = first.max(self.given_up);
        if first < self.from && self.first - first <= FAR {
            for _ in first..self.first {
                self.tags.push_front(FORGOTTEN);
            }
            self.gaps.extend(first..self.from);
            (self.from, self.first) = (first, first);
        }
    }

    /// Whether all of these are known, or were, or are given up.
    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        let first = first.max(self.given_up);
        last < first
            || (first >= self.from && last <= self.last() && self.gaps.range(first..=last).next().is_none())
    }

    pub(super) fn tag(&self, sequence: u64) -> Option<Tag> {
        let place = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.tags.get(place).copied().filter(|_| !self.gaps.contains(&sequence))
    }

    /// Drops the oldest ones that nothing can carry any more.
    pub(super) fn forget(&mut self, upto: u64, is_over: impl Fn(&Tag) -> bool) {
        while self.first <= upto
            && !self.gaps.contains(&self.first)
            && self.tags.front().is_some_and(&is_over)
        {
            self.tags.pop_front();
            self.first += 1;
        }
        if self.tags.capacity() > 4 * self.tags.len() + 64 {
            self.tags.shrink_to(2 * self.tags.len());
        }
    }

    /// Its writer says that nothing before this one matters any more.
    pub(super) fn forget_gaps(&mut self, before: u64) {
        if self.gaps.first().is_some_and(|gap| *gap < before) {
            for gap in self.gaps.range(..before) {
                if let Some(tag) =
                    usize::try_from(gap - self.first).ok().and_then(|place| self.tags.get_mut(place))
                {
                    *tag = FORGOTTEN;
                }
            }
            self.gaps = self.gaps.split_off(&before);
        }
    }

    /// Everything before this one is given up: it counts as if it had never mattered.
    pub(super) fn write_off(&mut self, before: u64) {
        while self.first < before && self.tags.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(before);
        (self.from, self.heard_from, self.given_up) = (self.first, self.first, self.first);
        self.gaps = self.gaps.split_off(&self.first);
    }

    /// The same for what is missing alone.
    pub(super) fn write_off_gaps(&mut self) {
        if let Some(last) = self.gaps.last() {
            self.write_off(last + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tag(sequence: u64) -> Tag {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&sequence.to_be_bytes());
        Tag(bytes)
    }

    proptest! {
        /// Against a plain map, in any order.
        #[test]
        fn it_knows_what_it_has_and_what_is_missing(
            start in 1u64..30,
            read in prop::collection::vec(1u64..40, 1..60),
            forgotten in 0u64..40,
        ) {
            let mut ledger = Ledger::from(start);
            let mut had: BTreeMap<u64, Tag> = BTreeMap::new();
            let mut from = start;
            for (round, sequence) in read.into_iter().enumerate() {
                if round % 7 == 6 {
                    ledger.reach(sequence);
                    from = from.min(sequence);
                }
                let news = sequence >= from && had.insert(sequence, tag(sequence)).is_none();
                prop_assert_eq!(ledger.insert(sequence, tag(sequence)), news);
            }
            ledger.forget(u64::MAX, |tag| u64::from_be_bytes(tag.0[..8].try_into().unwrap()) < forgotten);
            for first in 1..40 {
                for last in first..40 {
                    let all = (first..=last).all(|sequence| had.contains_key(&sequence));
                    prop_assert_eq!(ledger.covers(first, last), all);
                }
                let kept = had.get(&first).filter(|_| first >= ledger.first()).copied();
                prop_assert_eq!(ledger.tag(first), kept);
                prop_assert!(kept.is_some() || first < forgotten || !had.contains_key(&first));
            }
            for (first, last) in ledger.ranges() {
                prop_assert!(ledger.covers(first, last));
                prop_assert!(first > last || (!ledger.covers(first - 1, last) || first == ledger.first()));
            }
            ledger.write_off_gaps();
            prop_assert_eq!(ledger.skipped(), 0);
            prop_assert!(ledger.covers(ledger.first(), ledger.last()));
            prop_assert_eq!(ledger.ranges(), [(ledger.first(), ledger.last())]);
        }
    }

    #[test]
    fn what_is_given_up_is_not_missed_again_and_what_follows_is() {
        let mut ledger = Ledger::from(3);
        ledger.reach(1);
        assert!(!ledger.covers(1, 2));
        ledger.write_off(3);
        ledger.reach(1);
        assert!(ledger.covers(1, 2) && !ledger.covers(1, 3));
        assert!(!ledger.insert(2, tag(2)) && ledger.insert(3, tag(3)) && ledger.covers(1, 3));
    }

    #[test]
    fn nothing_far_away_is_made_room_for() {
        let mut ledger = Ledger::from(1);
        assert!(!ledger.insert(FAR + 2, tag(1)));
        assert!(ledger.is_empty() && ledger.covers(5, 4));
    }
}
