//! What is under way for a session ends when the session does, although nobody sends anything (`threats.md` LO-6).
//!
//! Each request that is forwarded as somebody stands here while it lasts: a place in a list, no allocation, no hashing.
//! [`tend`] looks through the list whenever something has come in force that may end a session, and once a second for
//! sessions that have reached their absolute limit.
//!
//! **Invariant:** a session that ends between its request's judgement and the request's place here is noticed, for who
//! takes a place looks again if anything has changed since it was judged.
//!
//! **Invariant:** what ends a stream is what refuses a request: [`Revocations::check_standing`]. Nothing is decided twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portvakt_core::clock::Timestamp;
use portvakt_core::revocation::{Ended, Revocations, Standing};

use crate::guard::{Reason, RequestEnd};
use crate::snapshot::Live;

/// How often it is looked whether anything has changed.
const POLL: Duration = Duration::from_millis(25);

/// How often everything is looked through although nothing has changed.
const EVERY: Duration = Duration::from_secs(1);

/// How long it must not have been known which sessions have ended, while this process ran, before streams of strict routes
/// end: a process that was stopped for a while reads the log first.
const UNCERTAIN_FOR: Duration = Duration::from_secs(1);

/// Requests of different threads seldom meet.
const SHARDS: usize = 32;

/// The requests under way that were made as somebody.
#[derive(Debug, Default)]
pub(crate) struct Underway {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    places: Vec<Option<Entry>>,
    free: Vec<usize>,
}

/// What ends one request, and when.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What of the session decides.
    pub(crate) standing: Standing,
    /// When the session is over without anybody ending it.
    pub(crate) over_at: Timestamp,
    /// Whether it ends when nobody knows whether the session has ended.
    pub(crate) strict: bool,
    /// What ends it.
    pub(crate) end: RequestEnd,
}

/// A place in the list, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    live: Arc<Live>,
    shard: usize,
    at: usize,
}

impl Place {
    /// Takes a place for a request. `changes` is what [`Revocations::changes`] said before the request was judged.
    ///
    /// # Errors
    ///
    /// The session has ended meanwhile.
    pub(crate) fn take(live: &Arc<Live>, entry: Entry, changes: u64) -> Result<Self, Ended> {
        let standing = entry.standing;
        let (shard, at) = live.underway.put(entry);
        let place = Self { live: Arc::clone(live), shard, at };
        if live.revocations.changes() != changes {
            live.revocations.check_standing(&standing)?;
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.underway.free(self.shard, self.at);
    }
}

impl Underway {
    fn put(&self, entry: Entry) -> (usize, usize) {
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut list = locked(&self.shards[shard]);
        let at = match list.free.pop() {
            Some(at) => {
                list.places[at] = Some(entry);
                at
            }
            None => {
                list.places.push(Some(entry));
                list.places.len() - 1
            }
        };
        (shard, at)
    }

    fn free(&self, shard: usize, at: usize) {
        let mut list = locked(&self.shards[shard]);
        list.places[at] = None;
        list.free.push(at);
        if list.free.len() == list.places.len() && list.places.capacity() > ROOM {
            // A rush is over.
            *list = Shard::default();
        }
    }

    /// Ends what has to end, and counts it by reason.
    fn sweep(
        &self,
        revocations: &Revocations,
        now: Timestamp,
        uncertain: bool,
        count: &mut impl FnMut(Reason),
    ) {
        for shard in &self.shards {
            for entry in locked(shard).places.iter().flatten() {
                let reason = if revocations.check_standing(&entry.standing).is_err() {
                    Reason::SessionEnded
                } else if now >= entry.over_at {
                    Reason::SessionOver
                } else if uncertain && entry.strict {
                    Reason::Uncertain
                } else {
                    continue;
                };
                if entry.end.end(reason) {
                    count(reason);
                }
            }
        }
    }
}

/// How long a list may stay that is empty, in places.
const ROOM: usize = 1024;

/// Ends what has to end, in a thread of its own that waits for nothing else, until the sender is dropped.
pub(crate) fn tend(live: Arc<Live>) -> Sender<()> {
    let (sender, stopped) = mpsc::channel();
    let tend = move || {
        let (mut changes, mut swept) = (0, Instant::now());
        let mut unknown_since: Option<Instant> = None;
        while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            let now = live.clock.now();
            // Ends that cannot be read, or that another process wrote with a key that we do not have. That ours cannot be
            // written leaves them in force here.
            let unknown = live.revocations.is_stale(now) || live.revocations.lacking_key().is_some();
            unknown_since = unknown.then(|| unknown_since.unwrap_or_else(Instant::now));
            let found = live.revocations.changes();
            if found == changes && swept.elapsed() < EVERY {
                continue;
            }
            (changes, swept) = (found, Instant::now());
            let uncertain = unknown_since.is_some_and(|since| since.elapsed() >= UNCERTAIN_FOR);
            let count = &mut |reason: Reason| live.telemetry.metrics.request_ended(reason.code());
            live.underway.sweep(&live.revocations, now, uncertain, count);
        }
    };
    std::thread::Builder::new()
        .name("underway".to_owned())
        .spawn(tend)
        .expect("the process may have one more thread");
    sender
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
