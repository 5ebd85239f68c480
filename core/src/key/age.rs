//! How keys age: what an operator is told before a key's time is over (`design.md` D15).

use std::time::Duration;

use serde::Serialize;

use super::{ASSERTION, KeyFile, Keys, MATCH, Ring, Secret, app_purpose, is_lasting, signature_purpose};
use crate::clock::Timestamp;

/// For how long a key is used at most, before its purpose is said to be old.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a key begins and ends, and nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// Its id, or `kid`.
    pub id: String,
    /// From when on it is used.
    pub active_from: Timestamp,
    /// From when on it is not accepted any more.
    pub retire_after: Option<Timestamp>,
}

/// What is wrong with the times of a purpose's keys. The remedy is always `portvakt keys rotate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// The key that is used is not accepted any more, by nobody.
    #[error("the key in use is past its `retire_after`")]
    Retired,
    /// The key that is used ends, and none is there to follow it.
    #[error("the key in use ends, and has no successor")]
    NoSuccessor,
    /// The key has been used for more than 365 days.
    #[error("the key in use is older than a year")]
    Old,
}

impl Concern {
    /// Every concern, the gravest first.
    pub const ALL: [Self; 3] = [Self::Retired, Self::NoSuccessor, Self::Old];

    /// The word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::NoSuccessor => "no_successor",
            Self::Old => "old",
        }
    }

    /// The gravest concern about the keys of a purpose, as far as a new key is a remedy.
    #[must_use]
    pub fn of_purpose(purpose: &str, keys: &[KeyTimes], now: Timestamp) -> Option<Self> {
        Self::about(keys, now).filter(|concern| *concern != Self::Old || !is_lasting(purpose))
    }

    /// The same whatever the purpose. A former key that is past its end is no concern: that is how keys end.
    fn about(keys: &[KeyTimes], now: Timestamp) -> Option<Self> {
        let used = |at: Timestamp| {
            let active = keys.iter().filter(|key| key.active_from <= at).max_by_key(|key| key.active_from);
            active.or_else(|| keys.iter().min_by_key(|key| key.active_from))
        };
        let outlived = |key: &KeyTimes, at| key.retire_after.is_some_and(|end| end <= at);
        let key = used(now)?;
        if outlived(key, now) {
            return Some(Self::Retired);
        }
        // Each of them may end in its turn; the last one must not.
        let mut in_turn = key;
        while let Some(end) = in_turn.retire_after {
            match used(end).filter(|next| !outlived(next, end)) {
                Some(next) => in_turn = next,
                None => return Some(Self::NoSuccessor),
            }
        }
        (now.since(key.active_from) > YEAR).then_some(Self::Old)
    }
}

impl<K> Ring<K> {
    /// When its keys begin and end, oldest first.
    #[must_use]
    pub fn times(&self) -> Vec<KeyTimes> {
        let times = |key: &super::RingKey<K>| KeyTimes {
            id: key.id.to_string(),
            active_from: key.active_from,
            retire_after: key.retire_after,
        };
        self.keys().iter().map(times).collect()
    }
}

impl Keys {
    /// When the keys of each purpose begin and end, by purpose.
    #[must_use]
    pub fn times(&self) -> Vec<(String, Vec<KeyTimes>)> {
        let named = |purpose: &str, times| (purpose.to_owned(), times);
        let mut all = vec![
            named(Secret::Cookie.as_str(), self.cookie.times()),
            named(Secret::Revocation.as_str(), self.revocation.times()),
            named(Secret::Pseudonym.as_str(), self.pseudonym.times()),
            named(Secret::Audit.as_str(), self.audit.times()),
        ];
        all.extend(self.lasting.iter().map(|ring| named(MATCH, ring.times())));
        all.extend(self.assertion.iter().map(|ring| named(ASSERTION, ring.times())));
        for (algorithm, ring) in &self.signature {
            all.extend(signature_purpose(*algorithm).map(|purpose| named(purpose, ring.times())));
        }
        all.extend(self.apps.iter().map(|(upstream, ring)| (app_purpose(upstream), ring.times())));
        all[Secret::ALL.len()..].sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

impl KeyFile {
    /// When its keys begin and end, oldest first.
    #[must_use]
    pub fn times(&self) -> Vec<KeyTimes> {
        let mut times: Vec<KeyTimes> = self.entries().collect();
        times.sort_by_key(|key| key.active_from);
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    /// Keys by the days of their beginning and end.
    fn keys(days: &[(u64, Option<u64>)]) -> Vec<KeyTimes> {
        let at = |days: u64| Timestamp::from_seconds(days * DAY);
        let key = |(from, end): &(u64, Option<u64>)| KeyTimes {
            id: format!("{from:08x}"),
            active_from: at(*from),
            retire_after: end.map(at),
        };
        days.iter().map(key).collect()
    }

    #[test]
    fn what_is_told_of_keys_on_day_1000() {
        for (days, expected) in [
            (&[(900, None)][..], None),
            (&[(900, Some(950)), (948, None)], None),
            (&[(900, Some(1003)), (1001, None)], None),
            (&[(900, Some(1003)), (1001, Some(1010)), (1008, None)], None),
            // A file that is made for a later day is used already.
            (&[(1001, None)], None),
            (&[(900, Some(1000))], Some(Concern::Retired)),
            (&[(900, Some(999)), (950, Some(1000))], Some(Concern::Retired)),
            (&[(900, Some(1001))], Some(Concern::NoSuccessor)),
            (&[(900, Some(1003)), (1001, Some(1010))], Some(Concern::NoSuccessor)),
            // It would have to be used earlier.
            (&[(900, Some(1003)), (1004, None)], Some(Concern::NoSuccessor)),
            (&[(635, None)], None),
            (&[(634, None)], Some(Concern::Old)),
            (&[(634, Some(1003)), (1001, None)], Some(Concern::Old)),
        ] {
            let now = Timestamp::from_seconds(1000 * DAY);
            assert_eq!(Concern::about(&keys(days), now), expected, "{days:?}");
        }
        assert_eq!(Concern::about(&[], Timestamp::from_seconds(0)), None);
    }

    #[test]
    fn a_key_whose_successor_would_change_what_apps_have_kept_is_never_too_old() {
        let now = Timestamp::from_seconds(1000 * DAY);
        let of = |purpose, days| Concern::of_purpose(purpose, &keys(days), now);
        assert_eq!(of("cookie", &[(1, None)]), Some(Concern::Old));
        assert_eq!(of(MATCH, &[(1, None)]), None);
        assert_eq!(of(MATCH, &[(1, Some(1001))]), Some(Concern::NoSuccessor));
        assert_eq!(of(MATCH, &[(1, Some(1000))]), Some(Concern::Retired));
    }
}
