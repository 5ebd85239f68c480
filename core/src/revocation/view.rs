//! What ended early, in memory: looked up by tag, small, and bounded where nothing was proven.
//!
//! **Invariant:** what was proven leaves only when it has expired. What was not proven is counted by source;
//! when there is too much of it, the oldest of the heaviest source leaves (`threats.md` LO-3).

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use super::Tag;
use super::record::{Kind, Proof, Source};
use crate::clock::Timestamp;

/// Ends by their tags.
#[derive(Default)]
pub(super) struct View {
    entries: HashMap<Tag, Packed, BuildHasherDefault<TagHasher>>,
    pool: Pool,
}

/// An end, as it is looked up and written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) proof: Proof,
    pub(super) at: Timestamp,
    pub(super) expires: Timestamp,
}

/// What taking an end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It says more than was known.
    News,
    /// It was known.
    Known,
}

impl View {
    /// Takes an end. An entry never ends earlier, becomes narrower or less proven by it. `room` is how many
    /// unproven ones may stay; the tag of one that had to leave is returned.
    pub(super) fn take(&mut self, tag: Tag, entry: Entry, room: usize) -> (Taken, Option<Tag>) {
        let before = match self.entries.entry(tag) {
            Slot::Vacant(slot) => {
                slot.insert(Packed::of(&entry));
                None
            }
            Slot::Occupied(mut slot) => {
                let before = *slot.get();
                if before.kind == Kind::Session && before.proof() == Proof::Proven {
                    // It ends one session, whenever that is said: who shows an old cookie again and again writes nothing.
                    return (Taken::Known, None);
                }
                slot.insert(before.joined(Packed::of(&entry)));
                Some((before, *slot.get()))
            }
        };
        let taken = match before {
            Some((before, after)) if before == after => Taken::Known,
            _ => Taken::News,
        };
        match (entry.proof, before) {
            (Proof::Unproven(source), None) => self.pool.push(source, tag),
            (Proof::Proven, Some((before, _))) => {
                if let Proof::Unproven(source) = before.proof() {
                    self.pool.pull(source, &tag);
                }
            }
            _ => {}
        }
        let evicted = if self.pool.count > room { self.pool.evict() } else { None };
        if let Some(tag) = &evicted {
            self.entries.remove(tag);
        }
        (taken, evicted)
    }

    pub(super) fn find(&self, tag: &Tag) -> Option<Entry> {
        self.entries.get(tag).map(Packed::entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Tag, Entry)> {
        self.entries.iter().map(|(tag, packed)| (*tag, packed.entry()))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        let Self { entries, pool } = self;
        let before = entries.len();
        entries.retain(|_, packed| packed.entry().expires > now);
        if entries.len() < before {
            pool.retain(|tag| entries.contains_key(tag));
            // Half of the room may stay for the next rush.
            if entries.capacity() > 4 * entries.len() {
                entries.shrink_to(2 * entries.len());
            }
        }
    }

    /// Nothing ended later than this: the clock was ahead.
    pub(super) fn pull_back(&mut self, latest: Timestamp) {
        for packed in self.entries.values_mut().filter(|packed| packed.at() > latest) {
            let Entry { at, expires, kind, .. } = packed.entry();
            let source = u16::from_be_bytes(packed.source);
            *packed = Packed::new(latest, latest + expires.since(at), source, kind);
        }
    }

    /// How many bytes the entries take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        // One byte of control for each slot; the table is filled to 7/8.
        (self.entries.capacity() * 8).div_ceil(7) * (size_of::<(Tag, Packed)>() + 1)
    }
}

/// An entry in few bytes: seconds, minutes left, kind, source. Times are rounded so that nothing ends earlier
/// than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    at: [u8; 4],
    minutes: [u8; 2],
    source: [u8; 2],
    kind: Kind,
}

impl Packed {
    fn of(entry: &Entry) -> Self {
        let source = match entry.proof {
            Proof::Proven => 0,
            Proof::Unproven(source) => source.bits(),
        };
        Self::new(entry.at, entry.expires, source, entry.kind)
    }

    fn new(at: Timestamp, expires: Timestamp, source: u16, kind: Kind) -> Self {
        let at = u32::try_from(at.seconds()).unwrap_or(u32::MAX);
        let life = expires.since(Timestamp::from_seconds(at.into()));
        let minutes = u16::try_from(life.as_millis().div_ceil(60_000)).unwrap_or(u16::MAX);
        Self { at: at.to_be_bytes(), minutes: minutes.to_be_bytes(), source: source.to_be_bytes(), kind }
    }

    fn entry(&self) -> Entry {
        Entry { kind: self.kind, proof: self.proof(), at: self.at(), expires: self.expires() }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_seconds(u32::from_be_bytes(self.at).into())
    }

    fn expires(&self) -> Timestamp {
        self.at() + Duration::from_secs(60 * u64::from(u16::from_be_bytes(self.minutes)))
    }

    fn proof(&self) -> Proof {
        Source::from_bits(u16::from_be_bytes(self.source)).map_or(Proof::Proven, Proof::Unproven)
    }

    /// The later times of both; proven if one is; the source that came first.
    fn joined(self, other: Self) -> Self {
        let source = match (self.proof(), other.proof()) {
            (Proof::Unproven(source), Proof::Unproven(_)) => source.bits(),
            _ => 0,
        };
        Self::new(self.at().max(other.at()), self.expires().max(other.expires()), source, self.kind)
    }
}

/// The tags of unproven entries, by source, oldest first.
#[derive(Default)]
struct Pool {
    sources: HashMap<Source, VecDeque<Tag>>,
    weights: BTreeSet<(usize, Source)>,
    count: usize,
}

impl Pool {
    fn push(&mut self, source: Source, tag: Tag) {
        self.change(source, |tags| tags.push_back(tag));
    }

    fn pull(&mut self, source: Source, tag: &Tag) {
        self.change(source, |tags| tags.retain(|other| other != tag));
    }

    fn evict(&mut self) -> Option<Tag> {
        let (_, heaviest) = *self.weights.last()?;
        let mut evicted = None;
        self.change(heaviest, |tags| evicted = tags.pop_front());
        evicted
    }

    fn retain(&mut self, keep: impl Fn(&Tag) -> bool) {
        let sources: Vec<_> = self.sources.keys().copied().collect();
        for source in sources {
            self.change(source, |tags| {
                tags.retain(&keep);
                tags.shrink_to(2 * tags.len());
            });
        }
    }

    fn change(&mut self, source: Source, change: impl FnOnce(&mut VecDeque<Tag>)) {
        let tags = self.sources.entry(source).or_default();
        let before = tags.len();
        change(tags);
        let after = tags.len();
        if after == 0 {
            self.sources.remove(&source);
        }
        self.weights.remove(&(before, source));
        if after > 0 {
            self.weights.insert((after, source));
        }
        self.count = self.count + after - before;
    }
}

/// Tags are keyed hashes already: nobody can choose which of them collide.
#[derive(Default)]
pub(super) struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u32) -> Tag {
        let mut bytes = [0; 16];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        Tag(bytes)
    }

    fn entry(source: u16, at: u64) -> Entry {
        Entry {
            kind: Kind::OpSession,
            proof: Source::from_bits(source).map_or(Proof::Proven, Proof::Unproven),
            at: Timestamp::from_seconds(at),
            expires: Timestamp::from_seconds(at + 3600),
        }
    }

    #[test]
    fn the_heaviest_source_loses_its_oldest_and_what_is_proven_stays() {
        let mut view = View::default();
        for number in 0..100 {
            assert_eq!(view.take(tag(number), entry(0, 10), 4), (Taken::News, None));
        }
        view.take(tag(200), entry(7, 10), 4);
        for number in 300..303 {
            assert_eq!(view.take(tag(number), entry(8, 10), 4).1, None);
        }
        assert_eq!(view.take(tag(303), entry(8, 11), 4).1, Some(tag(300)));
        assert_eq!(view.take(tag(201), entry(9, 11), 4).1, Some(tag(301)));
        // Proven meanwhile: it is not in the pool any more.
        assert_eq!(view.take(tag(302), entry(0, 12), 4), (Taken::News, None));
        assert_eq!(view.take(tag(304), entry(8, 12), 4).1, None);
        assert_eq!(view.take(tag(305), entry(8, 12), 4).1, Some(tag(303)));
        assert!((0..100).chain([200, 201, 302]).all(|number| view.find(&tag(number)).is_some()));
        assert_eq!(view.len(), 105);
    }

    #[test]
    fn a_repeat_is_known_and_an_older_one_takes_nothing_away() {
        let mut view = View::default();
        assert_eq!(view.take(tag(1), entry(0, 100), 4).0, Taken::News);
        assert_eq!(view.take(tag(1), entry(0, 100), 4).0, Taken::Known);
        assert_eq!(view.take(tag(1), entry(5, 90), 4).0, Taken::Known);
        let found = view.find(&tag(1)).unwrap();
        assert_eq!((found.at, found.proof), (Timestamp::from_seconds(100), Proof::Proven));
        assert!(found.expires >= Timestamp::from_seconds(3700));
    }

    #[test]
    fn what_has_expired_is_forgotten_with_its_place_in_the_pool() {
        let mut view = View::default();
        for number in 0..4 {
            view.take(tag(number), entry(3, 0), 4);
        }
        view.forget(Timestamp::from_seconds(3599));
        assert_eq!(view.len(), 4);
        view.forget(Timestamp::from_seconds(3660));
        assert_eq!((view.len(), view.pool.count, view.pool.weights.len()), (0, 0, 0));
    }

    #[test]
    fn an_entry_takes_about_forty_bytes() {
        let mut view = View::default();
        for number in 0..100_000 {
            view.take(tag(number), entry(0, 10), 4);
        }
        let each = view.bytes() / view.len();
        assert!(each <= 40, "{each}");
    }
}
