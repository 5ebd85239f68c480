//! What this process knows, shared with other replicas through a stream: the side of [`Revocations`].
//!
//! A driver connects, reads, and writes; it says here what it read, and asks what is to be written. See
//! [`stream`](super::stream) for what follows from it.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::allowance::Allowance;
use super::record::{Bytes, Item, Proof, Record, RecordError, unverified_expiry};
use super::stream::{Beat, Due, Moved, Replica, Start};
use super::{AHEAD, LACKING, Revocations, Tag, locked};
use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring};

/// How many of our records may be on their way to the store.
const MOST_WAITING: u64 = 8192;

/// So few waiting ends are not looked through for what waits in vain.
const LITTLE: usize = 1024;

/// The part of a process in a stream.
pub(super) struct Shared {
    replica: Mutex<Replica>,
    /// Until when everything that was in the stream is known.
    fresh: AtomicU64,
    /// Until when nothing was lacking.
    sure_until: AtomicU64,
    /// How far the others' clocks are ahead, in milliseconds.
    ahead: AtomicU64,
    /// Something is lacking, or may be.
    doubt: AtomicBool,
    /// As [`Revocations::lacking`].
    lacking: AtomicU64,
    outbox: Mutex<Outbox>,
    /// How much of what nobody proved is told.
    allowance: Mutex<Allowance>,
    /// Called when there is something to write.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    foreign: AtomicU64,
    rewound: AtomicU64,
    republished: AtomicU64,
    doubled: AtomicU64,
    untold: AtomicU64,
}

impl Shared {
    /// The key that is lacking to read the stream.
    fn lacks(&self) -> Option<KeyId> {
        let id = self.lacking.load(Ordering::Acquire).checked_sub(LACKING)?;
        Some(KeyId(u32::try_from(id).expect("it was made from an id").to_be_bytes()))
    }
}

#[derive(Default)]
struct Outbox {
    /// What is to be written to the stream.
    fresh: Vec<Tag>,
    /// The same, if it is not there already: the file had it.
    filed: Vec<Tag>,
    /// What has not come back.
    undelivered: HashSet<Tag>,
}

/// What is to be written to the stream: the ends first. What the store has taken is said to
/// [`Revocations::stream_written`].
#[derive(Debug, Default)]
pub struct Writing {
    /// Records.
    pub ends: Vec<Bytes>,
    /// A sign of life.
    pub beat: Option<Vec<u8>>,
    due: Due,
}

impl Writing {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.beat.is_none()
    }
}

/// What an operator is told of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// Other replicas that are heard.
    pub replicas: usize,
    /// Those that fell silent without saying goodbye, in the last 20 minutes.
    pub silent: usize,
    /// Ends that are in force here and have not come back from the stream.
    pub undelivered: usize,
    /// Whether nothing is known to be lacking.
    pub sure: bool,
    /// Whether this process has just been started, and does not know yet what others ended before: it is ready only then
    /// (`design.md` D1).
    pub joining: bool,
    /// Whether everything was known last longer ago than `max_lag`: `strict` routes have waited, and still do.
    pub behind: bool,
    /// Entries that were altered, or made with a key that is not ours, since the start.
    pub foreign: u64,
    /// Records that were found missing.
    pub missing: u64,
    /// How often the store did not have what it had.
    pub rewound: u64,
    /// Records that were written again because others lacked them.
    pub republished: u64,
    /// How often somebody else wrote in our name: a copy of this process.
    pub doubled: u64,
    /// Ends that nobody proved and others were not told of, because there were too many.
    pub untold: u64,
}

impl Revocations {
    /// Shares with others from now on. Until the first look at the stream is over, nothing is certain.
    pub(super) fn share(&mut self, now: Timestamp) {
        let reader = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        let start = Start {
            id: self.id,
            believed: reader.believed,
            former: reader.sequences.keys().copied().collect(),
            max_lag: self.max_lag(),
            max_gap: self.max_gap(),
        };
        self.shared = Some(Shared {
            replica: Mutex::new(Replica::new(start, now)),
            fresh: AtomicU64::new(0),
            sure_until: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            doubt: AtomicBool::new(true),
            lacking: AtomicU64::new(0),
            outbox: Mutex::new(self.all_undelivered()),
            allowance: Mutex::new(Allowance::of(self.unproven)),
            wake: OnceLock::new(),
            foreign: AtomicU64::new(0),
            rewound: AtomicU64::new(0),
            republished: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        });
    }

    /// Nothing of what is known here has been read in the stream.
    fn all_undelivered(&self) -> Outbox {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let filed: Vec<_> = view.iter().map(|(tag, _)| tag).collect();
        Outbox { fresh: Vec::new(), undelivered: filed.iter().copied().collect(), filed }
    }

    /// Somebody else writes in our name: two processes were made of one, or this one was set back to what it was before,
    /// by a snapshot of its machine. What it says can no longer be told from what the other says, so it goes on as
    /// another writer, and believes of what it knew only what the others vouch for.
    fn become_another(&self, shared: &Shared, replica: &mut Replica, now: Timestamp) {
        shared.doubled.fetch_add(1, Ordering::Relaxed);
        let start = Start {
            id: crate::seal::random(),
            believed: None,
            former: HashSet::new(),
            max_lag: self.max_lag(),
            max_gap: self.max_gap(),
        };
        *replica = Replica::new(start, now);
        *locked(&shared.outbox) = self.all_undelivered();
    }

    /// Whether ends are shared through a stream.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// What is called, by whatever thread, when there is something to write to the stream. The first one counts.
    pub fn when_there_is_news(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if let Some(shared) = &self.shared {
            let _ = shared.wake.set(wake);
        }
    }

    /// The store answers, for the first time or again. `continuous`: it still has what was read of it last.
    pub fn stream_connected(&self, continuous: bool, now: Timestamp) {
        self.with_replica(now, |_, replica| replica.connected(continuous, now));
    }

    /// The store does not have what it had: it was emptied, set back, or is another.
    pub fn stream_rewound(&self, now: Timestamp) {
        self.with_replica(now, |shared, replica| {
            shared.rewound.fetch_add(1, Ordering::Relaxed);
            replica.rewound(now);
        });
    }

    /// Time passes, also where there is no connection.
    pub(super) fn stream_tend(&self, now: Timestamp) {
        self.with_replica(now, |_, _| {});
    }

    /// Whether the stream is to be read from its start; [`stream_read_whole`](Self::stream_read_whole) says when it is.
    #[must_use]
    pub fn stream_wants_all(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| locked(&shared.replica).wants_all())
    }

    /// Everything that was there when the reading from the start began is read. Beats count only then.
    pub fn stream_read_whole(&self, now: Timestamp) {
        self.with_replica(now, |_, replica| replica.all_read(now));
    }

    /// This was read, in the order of the stream; the ends before the beats.
    pub fn stream_read<'a>(
        &self,
        ends: impl IntoIterator<Item = &'a [u8]>,
        beats: impl IntoIterator<Item = &'a [u8]>,
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) {
        self.with_replica(now, |shared, replica| {
            if shared.lacks().is_some_and(|id| ring.by_id(id, now).is_some()) {
                shared.lacking.store(0, Ordering::Release);
                replica.read_again(now);
            }
            for bytes in ends {
                self.take_end(shared, replica, Item::decode(bytes, ring, now), now);
            }
            for bytes in beats {
                match Beat::decode(bytes, ring, now) {
                    Ok((beat, key)) => replica.take_beat(beat, key, now),
                    Err(error) => self.refuse(shared, replica, &error, now),
                }
            }
        });
    }

    fn take_end(
        &self,
        shared: &Shared,
        replica: &mut Replica,
        item: Result<Item, RecordError>,
        now: Timestamp,
    ) {
        let (writer, sequence, tag) = match item {
            Ok(Item::End(end)) => {
                // Of ours, what had to leave for lack of room does not come back.
                if end.writer != replica.id() || end.proof == Proof::Proven {
                    self.apply_shared(&end, now);
                }
                self.note_delivered(shared, &end);
                (end.writer, end.sequence, Some(end.tag).filter(|_| end.expires > now))
            }
            // Whoever copied it here from a file has changed nothing.
            Ok(Item::Heartbeat(_)) => return,
            Err(RecordError::RetiredKey { writer, sequence, heartbeat: false }) => (writer, sequence, None),
            Err(error) => return self.refuse(shared, replica, &error, now),
        };
        replica.take_record(writer, sequence, tag);
    }

    /// Everybody can read this record. It may be an older one of the same tag, which ends less than is known here, or one
    /// from before it was proven, which others need not keep.
    fn note_delivered(&self, shared: &Shared, end: &Record) {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let says_all = view.find(&end.tag).is_none_or(|known| {
            let as_proven = known.proof != Proof::Proven || end.proof == Proof::Proven;
            as_proven && end.at.seconds() >= known.at.seconds()
        });
        if says_all {
            locked(&shared.outbox).undelivered.remove(&end.tag);
        }
    }

    /// These ends are not known here any more: there was no room, or nothing can carry them.
    pub(super) fn forget_undelivered(&self, is_known: impl Fn(&Tag) -> bool, now: Timestamp) {
        if let Some(shared) = &self.shared {
            locked(&shared.outbox).undelivered.retain(is_known);
            locked(&shared.allowance).forget(now);
        }
    }

    /// This end had to leave for lack of room.
    pub(super) fn forget_evicted(&self, tag: &Tag) {
        if let Some(shared) = &self.shared {
            locked(&shared.outbox).undelivered.remove(tag);
        }
    }

    fn refuse(&self, shared: &Shared, replica: &mut Replica, error: &RecordError, now: Timestamp) {
        shared.foreign.fetch_add(1, Ordering::Relaxed);
        if let RecordError::UnknownKey(id) = error {
            replica.take_unreadable(now);
            shared.lacking.store(LACKING + u64::from(u32::from_be_bytes(id.0)), Ordering::Release);
        }
    }

    /// What is to be written now.
    #[must_use]
    pub fn stream_writing(&self, ring: &Ring<MacKey>, now: Timestamp) -> Writing {
        let mut writing = Writing::default();
        self.with_replica(now, |shared, replica| {
            Self::empty_outbox(shared, replica);
            replica.mind_keys(|id| ring.by_id(id, now).is_some(), now);
            let due = {
                let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
                replica.due(self.known_since(), now, |tag| view.find(tag))
            };
            let key = ring.active(now);
            let encode = |record| Item::End(record).encode(key.id, &key.key);
            writing.ends = due.records.iter().copied().map(encode).collect();
            writing.beat = due.beat.as_ref().map(|beat| beat.encode(key.id, &key.key));
            writing.due = due;
        });
        writing
    }

    fn empty_outbox(shared: &Shared, replica: &mut Replica) {
        let mut outbox = locked(&shared.outbox);
        let Outbox { fresh, filed, undelivered } = &mut *outbox;
        // What is in the stream has been read by then.
        if !replica.wants_all() {
            fresh.append(filed);
        }
        // What waits for long takes no more room than what is known.
        let room = MOST_WAITING.saturating_sub(replica.backlog());
        let taken = fresh.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        fresh.drain(..taken).filter(|tag| undelivered.contains(tag)).for_each(|tag| replica.push(tag));
    }

    /// The store has taken all of it.
    pub fn stream_written(&self, writing: &Writing, now: Timestamp) {
        self.with_replica(now, |shared, replica| {
            shared.republished.fetch_add(writing.due.repeated() as u64, Ordering::Relaxed);
            replica.written(&writing.due, now);
        });
    }

    /// Whether an entry of the stream is needed no longer: nothing can carry what it ends, by anybody's clock, or it is
    /// none.
    #[must_use]
    pub fn is_over(&self, bytes: &[u8], ring: &Ring<MacKey>, now: Timestamp) -> bool {
        let is_over = |expires: Timestamp| expires + 3 * AHEAD < now;
        match Item::decode(bytes, ring, now) {
            Ok(Item::End(end)) => is_over(end.expires),
            // Somebody else may have that key. If nobody has, because it was replaced at once, it goes in its time all the same.
            Err(RecordError::UnknownKey(_)) => unverified_expiry(bytes).is_none_or(is_over),
            Ok(Item::Heartbeat(_)) | Err(_) => true,
        }
    }

    /// This process stops: the others need not wait for it.
    pub fn stream_leave(&self, now: Timestamp) {
        self.with_replica(now, |_, replica| replica.leave(now));
    }

    /// Whether others can know an end: it has come back through the stream.
    #[must_use]
    pub fn is_delivered(&self, tag: &Tag) -> bool {
        self.shared.as_ref().is_none_or(|shared| !locked(&shared.outbox).undelivered.contains(tag))
    }

    /// What an operator is told; `None` if nothing is shared.
    #[must_use]
    pub fn stream_status(&self, now: Timestamp) -> Option<StreamStatus> {
        let shared = self.shared.as_ref()?;
        let undelivered = locked(&shared.outbox).undelivered.len();
        let replica = locked(&shared.replica);
        Some(StreamStatus {
            replicas: replica.company(now),
            silent: replica.silent(now),
            undelivered,
            sure: replica.is_sure(),
            joining: replica.is_joining(),
            behind: replica.is_behind(now),
            foreign: shared.foreign.load(Ordering::Relaxed),
            missing: replica.missing,
            rewound: shared.rewound.load(Ordering::Relaxed),
            republished: shared.republished.load(Ordering::Relaxed),
            doubled: shared.doubled.load(Ordering::Relaxed),
            untold: shared.untold.load(Ordering::Relaxed),
        })
    }

    /// News of our own, or of our file, that the stream may not have. False if nobody proved it, by this call, and others are
    /// not told.
    #[must_use]
    pub(super) fn announce(&self, tag: Tag, proof: Proof, filed: bool, now: Timestamp) -> bool {
        let Some(shared) = &self.shared else { return true };
        if let Proof::Unproven(source) = proof
            && !locked(&shared.allowance).take(source, now)
        {
            shared.untold.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        {
            let mut outbox = locked(&shared.outbox);
            outbox.undelivered.insert(tag);
            let Outbox { fresh, filed: of_file, undelivered } = &mut *outbox;
            let waiting = if filed { of_file } else { fresh };
            waiting.push(tag);
            // While nothing can be written, many may come for which there is no room: they do not wait.
            if waiting.len() > 2 * undelivered.len() + LITTLE {
                let mut once = HashSet::new();
                waiting.retain(|tag| undelivered.contains(tag) && once.insert(*tag));
            }
        }
        if let Some(wake) = shared.wake.get() {
            wake();
        }
        true
    }

    /// How far the clocks of other replicas are ahead of ours.
    pub(super) fn others_are_ahead(&self) -> Duration {
        self.shared
            .as_ref()
            .map_or(Duration::ZERO, |shared| Duration::from_millis(shared.ahead.load(Ordering::Relaxed)))
    }

    /// Until when everything in the stream is known; without a stream nothing limits it.
    pub(super) fn stream_fresh(&self) -> u64 {
        self.shared.as_ref().map_or(u64::MAX, |shared| shared.fresh.load(Ordering::Relaxed))
    }

    pub(super) fn stream_sure_until(&self) -> u64 {
        // Before the first look at the stream nothing is known of what others end.
        let unread = if self.shares { 0 } else { u64::MAX };
        self.shared.as_ref().map_or(unread, |shared| shared.sure_until.load(Ordering::Acquire))
    }

    pub(super) fn stream_doubts(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.doubt.load(Ordering::Acquire))
    }

    pub(super) fn stream_lacking(&self) -> Option<KeyId> {
        self.shared.as_ref().and_then(Shared::lacks)
    }

    /// Does something to the replica, and takes up what follows.
    fn with_replica(&self, now: Timestamp, act: impl FnOnce(&Shared, &mut Replica)) {
        let Some(shared) = &self.shared else { return };
        let mut replica = locked(&shared.replica);
        replica.adjust(self.max_gap(), self.max_lag());
        act(shared, &mut replica);
        if replica.is_doubled() {
            self.become_another(shared, &mut replica, now);
        }
        let known_since = self.known_since();
        let moved = replica.settle(known_since, now);
        #[cfg(test)]
        let moved = moved.filter(|_| replica.moves_known_since());
        match moved {
            // Sessions begin by the others' clocks too.
            Some(Moved::Lost(since)) => self.know_nothing_before(since + replica.others_are_ahead(now)),
            Some(Moved::Vouched(since)) if since > known_since => self.know_nothing_before(since),
            // Whatever has moved it meanwhile has its reasons.
            Some(Moved::Vouched(since)) => {
                let (known_since, since) = (known_since.millis(), since.millis());
                let order = (Ordering::AcqRel, Ordering::Acquire);
                let _ = self.known_since.compare_exchange(known_since, since, order.0, order.1);
            }
            None => {}
        }
        if !replica.is_unread() {
            shared.lacking.store(0, Ordering::Release);
        }
        shared.sure_until.store(replica.sure_until().millis(), Ordering::Release);
        shared.fresh.store(replica.fresh().millis(), Ordering::Relaxed);
        shared.ahead.store(super::millis(replica.others_are_ahead(now)), Ordering::Relaxed);
        let doubts = !replica.is_sure();
        if shared.doubt.swap(doubts, Ordering::AcqRel) != doubts {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
impl Revocations {
    /// How many ends wait to be written.
    pub(super) fn stream_waiting(&self) -> usize {
        let waiting = |shared: &Shared| {
            let outbox = locked(&shared.outbox);
            outbox.fresh.len() + outbox.filed.len()
        };
        self.shared.as_ref().map_or(0, waiting)
    }

    /// Takes a mechanism out, to show that it is needed.
    pub(super) fn go_without(&self, mechanism: Option<super::stream::model::Mechanism>) {
        if let Some(shared) = &self.shared {
            locked(&shared.replica).without = mechanism;
        }
    }
}
