//! A map whose entries die: codes, pushed requests, used `jti`s.
//!
//! **Invariant:** an entry past its time is never handed out. Memory stays within twice the living entries.

use std::collections::HashMap;

/// Values that can be found until their time.
pub(crate) struct Expiring<V> {
    entries: HashMap<String, (u64, V)>,
    prune_at: usize,
}

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), prune_at: FIRST_PRUNE }
    }
}

impl<V> Expiring<V> {
    /// Keeps `value` until `expires` (Unix seconds).
    pub(crate) fn insert(&mut self, key: String, value: V, expires: u64, now: u64) {
        if self.entries.len() >= self.prune_at {
            self.entries.retain(|_, (expires, _)| *expires > now);
            self.prune_at = (self.entries.len() * 2).max(FIRST_PRUNE);
        }
        self.entries.insert(key, (expires, value));
    }

    /// The living value.
    pub(crate) fn get(&self, key: &str, now: u64) -> Option<&V> {
        self.entries.get(key).filter(|(expires, _)| *expires > now).map(|(_, value)| value)
    }

    /// The living value, for the last time.
    pub(crate) fn take(&mut self, key: &str, now: u64) -> Option<V> {
        self.entries.remove(key).filter(|(expires, _)| *expires > now).map(|(_, value)| value)
    }

    /// Drops one, living or not.
    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// How many are living.
    pub(crate) fn living(&self, now: u64) -> usize {
        self.entries.values().filter(|(expires, _)| *expires > now).count()
    }

    /// Drops what `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, (_, value)| keep(value));
    }
}

const FIRST_PRUNE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_once_and_not_after_its_time() {
        let mut codes = Expiring::default();
        codes.insert("a".into(), 1, 100, 0);
        codes.insert("b".into(), 2, 100, 0);
        assert_eq!(codes.take("a", 99), Some(1));
        assert_eq!(codes.take("a", 99), None);
        assert_eq!(codes.get("b", 100), None);
        assert_eq!(codes.take("b", 100), None);
    }

    #[test]
    fn the_dead_are_buried() {
        let mut codes = Expiring::default();
        for number in 0..10 * FIRST_PRUNE as u64 {
            codes.insert(number.to_string(), (), number + 10, number);
        }
        assert!(codes.entries.len() <= FIRST_PRUNE, "{}", codes.entries.len());
    }
}
