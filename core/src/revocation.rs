//! The end of a session, shared (`design.md` D1): which sessions ended early, and since when we know.
//!
//! A request is judged from its own cookie; here it only looks its cookie's tags up. Three kinds of entry:
//! a session of ours, a session of the provider, a subject.
//!
//! **Invariant:** an entry that was proven (our own cookie, a signed logout token) stays until no session
//! that it ends can be alive.
//!
//! **Invariant:** what is not known is not accepted: a session that began before [`Revocations::known_since`]
//! logs in again.
//!
//! **Invariant:** nothing in a log takes an end away. What is altered, missing or foreign there is counted, and
//! moves [`Revocations::known_since`] where an end may have been lost by it.

mod allowance;
mod file;
mod frame;
pub mod log;
pub mod record;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

pub use self::file::{FileLog, boot};
pub use self::log::{Followed, Head, LogError, Position, RevocationLog};
pub use self::record::{Kind, Proof, Source};
pub use self::shared::{StreamStatus, Writing};

use self::record::{Bytes, Heartbeat, Item, Record, RecordError};
use self::shared::Shared;
use self::view::{Entry, Taken, View};

use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring, RingKey};
use crate::session::{Session, SessionId, Tags};

/// How long an entry is kept beyond the longest session: an attempt to log in may still be under way.
pub const MARGIN: Duration = Duration::from_secs(15 * 60);

/// How often [`Revocations::tend`] is to be called: what others ended is in force here within that time.
pub const POLL: Duration = Duration::from_millis(50);

/// What an entry ends, keyed so that neither log nor store can be read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 16]);

/// Makes tags under one revocation key.
#[derive(Clone, Copy, Debug)]
pub struct Tagger<'a> {
    id: KeyId,
    key: &'a MacKey,
}

impl<'a> Tagger<'a> {
    /// Of the key that new sessions use.
    #[must_use]
    pub fn active(ring: &'a Ring<MacKey>, now: Timestamp) -> Self {
        let active = ring.active(now);
        Self { id: active.id, key: &active.key }
    }

    /// Of one key of the ring.
    #[must_use]
    pub fn of(key: &'a RingKey<MacKey>) -> Self {
        Self { id: key.id, key: &key.key }
    }

    /// Of a key that a session names.
    #[must_use]
    pub fn with(id: KeyId, key: &'a MacKey) -> Self {
        Self { id, key }
    }

    /// Of a session of ours.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Tag {
        Tag(self.key.tag("session", &[id.bytes()]))
    }

    /// Of a session of the provider.
    #[must_use]
    pub fn op_session(&self, provider: &str, issuer: &str, sid: &str) -> Tag {
        Tag(self.key.tag("op-session", &[provider.as_bytes(), issuer.as_bytes(), sid.as_bytes()]))
    }

    /// Of everything of one subject.
    #[must_use]
    pub fn subject(&self, provider: &str, issuer: &str, subject: &str) -> Tag {
        Tag(self.key.tag("subject", &[provider.as_bytes(), issuer.as_bytes(), subject.as_bytes()]))
    }

    /// Where an unproven call comes from.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> Source {
        Source::of(self.key, address)
    }

    /// The tags that a new session's cookie carries.
    #[must_use]
    pub fn tags(
        &self,
        id: &SessionId,
        provider: &str,
        issuer: &str,
        sid: Option<&str>,
        subject: &str,
    ) -> Tags {
        Tags {
            key: self.id,
            session: self.session(id),
            op_session: sid.map(|sid| self.op_session(provider, issuer, sid)),
            subject: self.subject(provider, issuer, subject),
        }
    }
}

/// What of a session decides whether it has ended: all that is kept of it while a request is under way.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    tags: Tags,
    began: Timestamp,
    /// `None`: the provider does not say.
    authenticated: Option<Timestamp>,
}

impl Standing {
    /// Of a session.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        let began = session.began();
        // By the provider's clock, which may be ahead of ours: nobody was authenticated after the session began.
        let authenticated = session.identity().auth_time().map(|at| at.min(began));
        Self { tags: *session.tags(), began, authenticated }
    }

    /// When the session began.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Whether an end is of this session. `auth_time` has whole seconds: within the second of the end it is not newer.
    fn is_ended_by(&self, entry: &Entry) -> bool {
        let not_newer = |at: Timestamp| at.seconds() <= entry.at.seconds();
        match entry.kind {
            Kind::Session => true,
            // Nobody knows when the person authenticated: the provider's session may have ended while the answer was under
            // way, and one that has ended does not come again.
            Kind::OpSession => not_newer(self.authenticated.unwrap_or(self.began - MARGIN)),
            Kind::Subject => not_newer(self.authenticated.unwrap_or(self.began)),
        }
    }
}

/// Why a session counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was ended: here, at the provider, or for its subject.
    #[error("the session was ended")]
    Revoked,
    /// It began before our knowledge of ended sessions does.
    #[error("the session began before what is known of ended sessions")]
    BeforeKnowledge,
}

/// The end is in force here and not in the log yet: a restart of this process may forget it, and others do not
/// know. It is written as soon as that is possible. Until then nobody may be told that it is done. Or nobody proved it, and
/// there are so many such ends that other replicas are not told of it.
#[derive(Debug, thiserror::Error)]
#[error("the end of a session is in force, and not written yet")]
pub struct NotWritten(#[source] pub Option<LogError>);

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest life of a session, whatever limit it began with.
    pub longest: Duration,
    /// The longest time without any listener of which nothing is feared.
    pub max_gap: Duration,
    /// The age of the view from which it is stale.
    pub max_lag: Duration,
    /// How many unproven ends are remembered.
    pub unproven: usize,
    /// Whether ends are shared with others through a stream. Until the first look at it is over, nothing is certain.
    pub shared: bool,
}

/// What should never happen, counted since the start. Each is for an operator to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Records that were altered, or made with a key that is not ours.
    pub foreign: u64,
    /// Records that are missing, by the count of their writer or because they were known here.
    pub missing: u64,
    /// Places in the log where a record was destroyed.
    pub damaged: u64,
    /// Unproven ends that were forgotten early for lack of room.
    pub evicted: u64,
    /// Attempts to write or read that failed.
    pub failures: u64,
}

/// What ended early, as this process knows it.
pub struct Revocations {
    log: Box<dyn RevocationLog>,
    longest: Duration,
    unproven: usize,
    /// In milliseconds, as the one below.
    max_gap: AtomicU64,
    max_lag: AtomicU64,
    boot: [u8; 16],
    /// Ours, among the writers of the log.
    id: [u8; 8],
    view: RwLock<View>,
    count: AtomicUsize,
    known_since: AtomicU64,
    /// Counts what may have ended a session.
    changes: AtomicU64,
    followed: AtomicU64,
    writable: AtomicBool,
    /// The key that is needed to read the log, as [`LACKING`] and its id; 0 if none is missing.
    lacking: AtomicU64,
    counters: Counters,
    /// What is shared with other replicas.
    /// Whether [`shared`](Self::shared) is there, or will be when the log has been read.
    shares: bool,
    shared: Option<Shared>,
    // Locked in this order; what is shared before, the view last.
    reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    pending: Mutex<HashSet<Tag>>,
}

#[derive(Default)]
struct Counters {
    foreign: AtomicU64,
    missing: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
    failures: AtomicU64,
}

/// How far the log was read.
struct Reader {
    position: Position,
    /// The sequence of each writer's last record.
    sequences: HashMap<[u8; 8], u64>,
    /// What a log that is read from its start says as a whole.
    pass: Option<Pass>,
    /// When somebody last listened, this process or another.
    listened: Timestamp,
    /// Until when the log knew everything as it was found; `None` if it could not be believed to.
    believed: Option<Timestamp>,
    /// Until when expired entries have been forgotten.
    forgotten: Timestamp,
    /// The latest time since which some writer of this log knows every end.
    claimed: Timestamp,
    /// The log must be written anew, because something is missing from it.
    broken: bool,
    /// The first look is over: what comes now is news.
    begun: bool,
    rewrite_after: Timestamp,
    /// As which writer we have last written the log anew.
    rewrote_as: [u8; 8],
}

/// How far we have written.
struct Writer {
    sequence: u64,
    /// This process has taken the log's head away: the log lacks something.
    beheaded: bool,
    beat_after: Timestamp,
    retry_after: Timestamp,
    /// Since when another process has held the log.
    held_since: Option<Timestamp>,
}

/// What a log says as a whole, read from its start.
#[derive(Default)]
struct Pass {
    headed: bool,
    seen: HashSet<Tag>,
    /// Something in it was altered, destroyed or is missing.
    flawed: bool,
    /// Something in it was written with a key that we do not have.
    unread: bool,
    known_since: Option<Timestamp>,
    last_sign: Option<Timestamp>,
    /// Until when a writer says that it knew everything, of others too.
    last_beat: Option<Timestamp>,
    boot: Option<[u8; 16]>,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations").field("entries", &self.len()).finish_non_exhaustive()
    }
}

impl Revocations {
    /// Begins with what the log knows, if the log can be believed to know everything; else from now on.
    /// `boot` says which start of the machine this is: [`boot`].
    #[must_use]
    pub fn open(
        log: Box<dyn RevocationLog>,
        settings: Settings,
        boot: [u8; 16],
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) -> Self {
        Self::open_as(crate::seal::random(), log, settings, boot, ring, now)
    }

    fn open_as(
        id: [u8; 8],
        log: Box<dyn RevocationLog>,
        settings: Settings,
        boot: [u8; 16],
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) -> Self {
        let mut this = Self {
            log,
            longest: settings.longest,
            unproven: settings.unproven,
            max_gap: AtomicU64::new(millis(settings.max_gap)),
            max_lag: AtomicU64::new(millis(settings.max_lag)),
            boot,
            id,
            view: RwLock::default(),
            count: AtomicUsize::new(0),
            known_since: AtomicU64::new(now.millis()),
            changes: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            writable: AtomicBool::new(true),
            lacking: AtomicU64::new(0),
            counters: Counters::default(),
            shares: settings.shared,
            shared: None,
            reader: Mutex::new(Reader {
                position: Position::default(),
                sequences: HashMap::new(),
                pass: None,
                listened: now,
                believed: None,
                forgotten: now,
                claimed: Timestamp::from_seconds(0),
                broken: false,
                begun: false,
                rewrite_after: now,
                rewrote_as: [0; 8],
            }),
            writer: Mutex::new(Writer {
                sequence: 0,
                beheaded: false,
                beat_after: now,
                retry_after: now,
                held_since: None,
            }),
            pending: Mutex::default(),
        };
        this.begin(ring, now);
        if this.shares {
            this.share(now);
        }
        this
    }

    fn begin(&self, ring: &Ring<MacKey>, now: Timestamp) {
        {
            let mut reader = locked(&self.reader);
            let pass = self.follow(&mut reader, ring, now).ok().flatten();
            let last_beat = pass.as_ref().and_then(|pass| pass.last_beat);
            let claim = pass.and_then(|pass| pass.claim(self.max_gap(), self.boot, now));
            reader.believed = claim.and(last_beat).map(|beat| beat.min(now));
            reader.broken = claim.is_none();
            reader.begun = true;
            self.known_since.store(claim.unwrap_or(now).millis(), Ordering::Release);
        }
        self.tend(ring, now);
        // What could not be written just before the start may have been an end.
        if !self.is_writable() {
            self.known_since.store(now.millis(), Ordering::Release);
            locked(&self.reader).believed = None;
        }
    }

    /// Ends whatever carries this tag. When this returns, the end is in force; and the log has it, or the
    /// error says that it has not yet. An end that is known already costs nothing.
    ///
    /// # Errors
    ///
    /// [`NotWritten`]: it is in force here all the same.
    pub fn end(
        &self,
        kind: Kind,
        tag: Tag,
        proof: Proof,
        key: (KeyId, &MacKey),
        now: Timestamp,
    ) -> Result<(), NotWritten> {
        let mut told = true;
        {
            let mut pending = locked(&self.pending);
            // Whose provider's session ended has ended in all sessions that began before, by the clock of whoever began them.
            let at = match kind {
                Kind::Session => now,
                Kind::OpSession | Kind::Subject => now + self.others_are_ahead(),
            };
            let entry = Entry { kind, proof, at, expires: at + self.life() };
            if self.take(tag, entry) == Taken::News {
                pending.insert(tag);
                told = self.announce(tag, proof, false, now);
            }
        }
        if cfg!(planted_fault = "unwritten") {
            return Ok(());
        }
        self.write_end(tag, key, now)?;
        if told { Ok(()) } else { Err(NotWritten(None)) }
    }

    fn write_end(&self, tag: Tag, key: (KeyId, &MacKey), now: Timestamp) -> Result<(), NotWritten> {
        // Whoever has it under way has written it when the lock is free.
        let mut writer = locked(&self.writer);
        if !locked(&self.pending).contains(&tag) {
            return Ok(());
        }
        if writer.beheaded {
            return Err(NotWritten(None));
        }
        // What had to wait while another process held the log is not left behind.
        let waiting = if writer.held_since.is_some() { self.waiting() } else { vec![tag] };
        self.write(&mut writer, &waiting, key, now).map_err(|error| NotWritten(Some(error)))
    }

    /// Whether a session has ended.
    ///
    /// # Errors
    ///
    /// [`Ended`] says why it counts no longer.
    pub fn check(&self, session: &Session) -> Result<(), Ended> {
        self.check_standing(&Standing::of(session))
    }

    /// The same for a session whose login has just come back, and was started then. The provider's session may have ended
    /// while it was under way, before what is known here; of one that was started later the provider knew.
    ///
    /// # Errors
    ///
    /// [`Ended`] says why it must not begin.
    pub fn check_login(&self, session: &Session, started: Timestamp) -> Result<(), Ended> {
        if started < self.known_since() {
            return Err(Ended::BeforeKnowledge);
        }
        self.check(session)
    }

    /// The same, by what was kept of the session.
    ///
    /// # Errors
    ///
    /// [`Ended`] says why it counts no longer.
    pub fn check_standing(&self, session: &Standing) -> Result<(), Ended> {
        if cfg!(planted_fault = "revocation") {
            return Ok(());
        }
        if session.began < self.known_since() {
            return Err(Ended::BeforeKnowledge);
        }
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let tags = &session.tags;
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let ends = |tag: &Tag| view.find(tag).is_some_and(|entry| session.is_ended_by(&entry));
        let ended = ends(&tags.session) || tags.op_session.as_ref().is_some_and(ends) || ends(&tags.subject);
        if ended { Err(Ended::Revoked) } else { Ok(()) }
    }

    /// A count that grows after something has come in force that may end a session, and before anybody is told.
    /// Who remembers it, judges, and finds it unchanged has missed nothing.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Follows the log, writes what is due, and forgets. To be called every [`POLL`], by one thread that may
    /// wait for files.
    pub fn tend(&self, ring: &Ring<MacKey>, now: Timestamp) {
        let mut reader = locked(&self.reader);
        self.notice_step_back(&mut reader, now);
        self.stream_tend(now);
        if self.lacking_in_log().is_some_and(|id| ring.by_id(id, now).is_some()) {
            // The key has come: what could not be read is read.
            reader.position = Position::default();
        }
        let followed = self.follow(&mut reader, ring, now).and_then(|pass| match pass {
            Some(pass) => self.compare(&mut reader, pass, ring, now),
            None => Ok(()),
        });
        if followed.is_err() {
            self.count(&self.counters.failures, 1);
        }
        if now.since(reader.listened) > self.max_gap() {
            self.know_nothing_before(now);
        }
        reader.listened = reader.listened.max(now);
        let active = ring.active(now);
        let key = (active.id, &active.key);
        let beheaded = {
            let mut writer = locked(&self.writer);
            self.catch_up(&mut writer, key, now);
            writer.beheaded
        };
        self.rewrite_if_due(&mut reader, beheaded, key, now);
        if now.since(reader.forgotten) >= FORGET_EVERY {
            reader.forgotten = now;
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.forget(now);
            self.count.store(view.len(), Ordering::Release);
            self.forget_undelivered(|tag| view.find(tag).is_some(), now);
        }
    }

    /// The clock was set, and an operator meant it: the time in between was not spent without listening.
    pub fn clock_was_set(&self, now: Timestamp) {
        let mut reader = locked(&self.reader);
        self.notice_step_back(&mut reader, now);
        reader.listened = now;
    }

    /// Another configuration is in force.
    pub fn adjust(&self, max_gap: Duration, max_lag: Duration) {
        self.max_gap.store(millis(max_gap), Ordering::Relaxed);
        self.max_lag.store(millis(max_lag), Ordering::Relaxed);
    }

    fn max_lag(&self) -> Duration {
        Duration::from_millis(self.max_lag.load(Ordering::Relaxed))
    }

    fn max_gap(&self) -> Duration {
        Duration::from_millis(self.max_gap.load(Ordering::Relaxed))
    }

    /// From when on every end of a session is known.
    #[must_use]
    pub fn known_since(&self) -> Timestamp {
        Timestamp::from_millis(self.known_since.load(Ordering::Acquire))
    }

    /// How old the view is: how long ago the log was last read to its end, and the stream, if there is one.
    #[must_use]
    pub fn staleness(&self, now: Timestamp) -> Duration {
        let followed = self.followed.load(Ordering::Relaxed).min(self.stream_fresh());
        now.since(Timestamp::from_millis(followed))
    }

    /// Whether the log was not read to its end for so long that ends may be unknown here that are in it.
    #[must_use]
    pub fn is_log_stale(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.followed.load(Ordering::Relaxed))) > self.max_lag()
    }

    /// Whether the view is so old that `strict` routes must not rely on it.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.staleness(now) > self.max_lag()
    }

    /// Whether every end is in the log. If not, this process is not ready.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    /// Whether an end may be unknown here, or may be forgotten by a restart: `strict` routes wait.
    #[must_use]
    pub fn is_uncertain(&self, now: Timestamp) -> bool {
        self.is_stale(now)
            || !self.is_writable()
            || self.lacking.load(Ordering::Acquire) != 0
            || self.stream_doubts()
    }

    /// The key with which another process writes ends, and which we do not have: they are unknown here
    /// (`design.md` D15).
    #[must_use]
    pub fn lacking_key(&self) -> Option<KeyId> {
        self.lacking_in_log().or_else(|| self.stream_lacking())
    }

    fn lacking_in_log(&self) -> Option<KeyId> {
        let id = self.lacking.load(Ordering::Acquire).checked_sub(LACKING)?;
        let id = u32::try_from(id).expect("it was made from an id");
        Some(KeyId(id.to_be_bytes()))
    }

    /// How many ends are in force here and not in the log.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        locked(&self.pending).len()
    }

    /// What should never happen.
    #[must_use]
    pub fn alarms(&self) -> Alarms {
        let Counters { foreign, missing, damaged, evicted, failures } = &self.counters;
        let [foreign, missing, damaged, evicted, failures] =
            [foreign, missing, damaged, evicted, failures].map(|counter| counter.load(Ordering::Relaxed));
        Alarms { foreign, missing, damaged, evicted, failures }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nothing has ended early.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the log to its end. Returns what it says as a whole when it was read from its start.
    fn follow(
        &self,
        reader: &mut Reader,
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) -> Result<Option<Pass>, LogError> {
        for _ in 0..REPLACED_AT_ONCE {
            let followed = self.log.follow(reader.position)?;
            if followed.from_start {
                reader.pass = Some(Pass::default());
                // Who wrote it anew has taken in what stood between.
                reader.sequences.clear();
            }
            for (place, bytes) in followed.records.iter().enumerate() {
                let item = Item::decode(bytes, ring, now);
                let first = place == 0 && followed.from_start && followed.headed;
                if let (true, Some(pass)) = (first, &mut reader.pass) {
                    pass.headed = matches!(item, Ok(Item::Heartbeat(_)));
                }
                self.read(reader, item, now);
            }
            if followed.damaged > 0 {
                self.count(&self.counters.damaged, followed.damaged);
                reader.flaw();
            }
            reader.position = followed.position;
            if !followed.more {
                self.followed.store(now.millis(), Ordering::Relaxed);
                return Ok(reader.pass.take());
            }
        }
        Ok(None)
    }

    fn read(&self, reader: &mut Reader, item: Result<Item, RecordError>, now: Timestamp) {
        let (writer, sequence, at, missing) = match &item {
            Err(RecordError::RetiredKey { writer, sequence, heartbeat }) => {
                let missing = if *heartbeat { *sequence } else { sequence.saturating_sub(1) };
                (*writer, *sequence, Timestamp::from_seconds(0), missing)
            }
            Err(RecordError::UnknownKey(id)) => {
                self.count(&self.counters.foreign, 1);
                return self.lack(reader, *id);
            }
            Err(RecordError::Malformed | RecordError::Altered) => {
                self.count(&self.counters.foreign, 1);
                return reader.flaw();
            }
            Ok(Item::End(end)) => (end.writer, end.sequence, end.at, end.sequence.saturating_sub(1)),
            Ok(Item::Heartbeat(beat)) => (beat.writer, beat.sequence, beat.at, beat.sequence),
        };
        // Of a writer that was never heard of, earlier records may have expired.
        let last = reader.sequences.entry(writer).or_insert(missing);
        let missing = missing.saturating_sub(*last);
        *last = sequence.max(*last);
        if missing > 0 {
            self.count(&self.counters.missing, missing);
            if reader.pass.is_none() {
                self.know_nothing_before(now);
            }
            reader.flaw();
        }
        if at <= now + AHEAD {
            reader.listened = reader.listened.max(at.min(now));
        }
        if let Ok(Item::Heartbeat(beat)) = &item
            && beat.known_since <= now + AHEAD
        {
            reader.claimed = reader.claimed.max(beat.known_since);
        }
        if let Some(pass) = &mut reader.pass {
            pass.read(&item, at);
        }
        // What we wrote is in the view since; if it has been evicted, it does not come back.
        if let Ok(Item::End(end)) = item
            && end.writer != self.id
            && end.writer != reader.rewrote_as
        {
            self.apply(&end, now);
        }
    }

    /// Another process has a key that we do not have. At the start nothing from before is believed anyway; what
    /// comes later may be the end of a session that is alive.
    fn lack(&self, reader: &mut Reader, id: KeyId) {
        if reader.begun {
            self.lacking.store(LACKING + u64::from(u32::from_be_bytes(id.0)), Ordering::Release);
        }
        if let Some(pass) = &mut reader.pass {
            pass.unread = true;
        }
        reader.flaw();
    }

    /// The log was read from its start, and everything in it could be. If that is because what we could not read is
    /// gone, it stays unknown.
    fn lack_nothing(&self, ring: &Ring<MacKey>, now: Timestamp) {
        let Some(id) = self.lacking_in_log() else { return };
        if ring.by_id(id, now).is_none() {
            self.know_nothing_before(now);
        }
        self.lacking.store(0, Ordering::Release);
    }

    /// Takes a record into the view, whoever wrote it. A clock that was ahead ends nothing of the future.
    fn apply(&self, end: &Record, now: Timestamp) {
        let entry = self.entry(end, now);
        if entry.expires > now && self.take(end.tag, entry) == Taken::News {
            // Of what nobody proved, others may hear no more than there is room for.
            let _ = self.announce(end.tag, end.proof, true, now);
        }
    }

    /// The same for a record from the stream: the log does not have it yet.
    fn apply_shared(&self, end: &Record, now: Timestamp) {
        let entry = self.entry(end, now);
        let mut pending = locked(&self.pending);
        if entry.expires > now && self.take(end.tag, entry) == Taken::News {
            pending.insert(end.tag);
        }
    }

    fn entry(&self, end: &Record, now: Timestamp) -> Entry {
        let (at, expires) = (end.at.min(now + AHEAD), end.expires.min(now + AHEAD + self.life()));
        Entry { kind: end.kind, proof: end.proof, at, expires }
    }

    fn take(&self, tag: Tag, entry: Entry) -> Taken {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let (taken, evicted) = view.take(tag, entry, self.unproven);
        self.count.store(view.len(), Ordering::Release);
        self.count(&self.counters.evicted, evicted.is_some().into());
        drop(view);
        if let Some(evicted) = &evicted {
            self.forget_evicted(evicted);
        }
        if taken == Taken::News {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        taken
    }

    /// Whether the log has what is known here, after it was read from its start.
    fn compare(
        &self,
        reader: &mut Reader,
        pass: Pass,
        ring: &Ring<MacKey>,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let mut pass = Some(pass);
        if pass.as_ref().is_some_and(|pass| self.missing_from(pass, now) > 0) {
            // Perhaps it was written after the reading: while nothing is written, it is read to the end.
            let _writer = locked(&self.writer);
            reader.pass = pass.take();
            pass = self.follow(reader, ring, now)?;
        }
        if let Some(pass) = pass {
            let missing = self.missing_from(&pass, now);
            self.count(&self.counters.missing, missing as u64);
            reader.broken |= missing > 0 || !pass.headed;
            if !pass.unread {
                self.lack_nothing(ring, now);
            }
        }
        Ok(())
    }

    fn missing_from(&self, pass: &Pass, now: Timestamp) -> usize {
        let pending = locked(&self.pending);
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.iter()
            .filter(|(_, entry)| entry.proof == Proof::Proven && entry.expires > now + KEEP)
            .filter(|(tag, _)| !pass.seen.contains(tag) && !pending.contains(tag))
            .count()
    }

    /// The ends that are not in the log yet.
    fn waiting(&self) -> Vec<Tag> {
        locked(&self.pending).iter().copied().collect()
    }

    /// Writes what could not be written before, and a sign of life.
    fn catch_up(&self, writer: &mut Writer, key: (KeyId, &MacKey), now: Timestamp) {
        if !self.is_writable() && !is_due(writer.retry_after, RETRY, now) {
            return;
        }
        // Before it is looked what there is to write.
        let listened = self.listened_until(now);
        for batch in self.waiting().chunks(BATCH) {
            if self.write(writer, batch, key, now).is_err() {
                return;
            }
        }
        let every = self.max_gap() / 4;
        if is_due(writer.beat_after, every, now) || !self.is_writable() {
            let beat = self.heartbeat(self.id, writer.sequence, self.known_since(), listened);
            if self.append(writer, &[beat.encode(key.0, key.1)], now).is_ok() {
                writer.beat_after = now + every;
            }
        }
    }

    fn write(
        &self,
        writer: &mut Writer,
        tags: &[Tag],
        key: (KeyId, &MacKey),
        now: Timestamp,
    ) -> Result<(), LogError> {
        // First taken out, then looked up: what is added meanwhile is written again.
        {
            let mut pending = locked(&self.pending);
            tags.iter().for_each(|tag| {
                pending.remove(tag);
            });
        }
        let records = {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            let found = tags.iter().filter_map(|tag| Some((*tag, view.find(tag)?)));
            encode(found, self.id, writer.sequence, key)
        };
        if records.is_empty() {
            // What there was to write had to leave meanwhile for lack of room, or is over.
            return Ok(());
        }
        let written = self.append(writer, &records, now);
        match &written {
            Ok(()) => writer.sequence += records.len() as u64,
            Err(_) => {
                locked(&self.pending).extend(tags);
                self.writable.store(false, Ordering::Release);
            }
        }
        written
    }

    fn append(&self, writer: &mut Writer, records: &[Bytes], now: Timestamp) -> Result<(), LogError> {
        let written = self.log.append(records);
        match &written {
            Ok(()) => {
                writer.held_since = None;
                self.writable.store(!writer.beheaded, Ordering::Release);
            }
            Err(error) => {
                self.count(&self.counters.failures, 1);
                let held = matches!(error, LogError::Busy | LogError::Replaced);
                let since = writer.held_since.get_or_insert(now);
                if held && now.since(*since) < HELD {
                    // It will be free at once. What waits was not answered as done.
                    writer.retry_after = now;
                } else {
                    self.give_up(writer, now);
                }
            }
        }
        written
    }

    fn give_up(&self, writer: &mut Writer, now: Timestamp) {
        self.writable.store(false, Ordering::Release);
        writer.retry_after = now + RETRY;
        writer.beheaded = true;
        // Who starts from this log shall not take it for complete. If that fails too, the start finds
        // a log that cannot be written.
        let _ = self.log.behead(self.id);
    }

    /// Puts in the log's place what is known, if the log lacks something or holds much that has expired.
    fn rewrite_if_due(&self, reader: &mut Reader, beheaded: bool, key: (KeyId, &MacKey), now: Timestamp) {
        let long = (SLACK + 2 * self.len() * frame::FRAME) as u64;
        // What we cannot read would be lost.
        let wanted =
            (beheaded || reader.broken || reader.position.offset > long) && self.lacking_in_log().is_none();
        if !wanted || !is_due(reader.rewrite_after, RETRY, now) || self.unwritten() > 0 {
            return;
        }
        reader.rewrite_after = now + RETRY;
        // Another process may have ends that it could not write. It knows them; whoever starts later does not.
        match self.log.head() {
            Ok(Head::Whole) => {}
            Ok(Head::TakenBy(writer)) if writer == self.id => {}
            Ok(Head::TakenBy(_) | Head::Missing) => self.know_nothing_before(now),
            Err(_) => return,
        }
        reader.rewrote_as = crate::seal::random();
        // Not earlier than another writer says, whose word is rewritten too: it may have lacked what we lack.
        let known_since = self.known_since().max(reader.claimed);
        let whole = self.whole(reader.rewrote_as, known_since, key, now);
        match self.log.replace(reader.position, &whole) {
            Ok(()) => {
                reader.broken = false;
                let mut writer = locked(&self.writer);
                if self.shared.is_some() {
                    // It says as whom we write, which is not in it any more.
                    writer.beat_after = now;
                }
                // If an attempt to write has failed meanwhile, it is done once more.
                if beheaded && self.unwritten() == 0 {
                    writer.beheaded = false;
                    self.writable.store(true, Ordering::Release);
                }
            }
            // Somebody else is at it, or was.
            Err(LogError::Busy | LogError::Replaced) => reader.rewrite_after = now + RETRY_HELD,
            Err(LogError::Io(_)) => self.count(&self.counters.failures, 1),
        }
    }

    /// All that is known, as a writer of its own would have written it.
    fn whole(
        &self,
        id: [u8; 8],
        known_since: Timestamp,
        key: (KeyId, &MacKey),
        now: Timestamp,
    ) -> Vec<Bytes> {
        let listened = self.listened_until(now);
        let heartbeat = |sequence| self.heartbeat(id, sequence, known_since, listened).encode(key.0, key.1);
        let entries: Vec<_> = {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            view.iter().filter(|(_, entry)| entry.expires + KEEP > now).collect()
        };
        let mut records = vec![heartbeat(0)];
        records.extend(encode(entries.iter().copied(), id, 0, key));
        records.push(heartbeat(entries.len() as u64));
        records
    }

    /// Until when every end is known that anybody wrote.
    fn listened_until(&self, now: Timestamp) -> Timestamp {
        now.min(Timestamp::from_millis(self.stream_sure_until()))
    }

    fn heartbeat(&self, writer: [u8; 8], sequence: u64, known_since: Timestamp, at: Timestamp) -> Item {
        Item::Heartbeat(Heartbeat { writer, sequence, at, known_since, boot: self.boot })
    }

    /// A clock that runs back may find forgotten what has not expired by its new time.
    fn notice_step_back(&self, reader: &mut Reader, now: Timestamp) {
        if reader.forgotten > now + AHEAD {
            self.know_nothing_before((reader.forgotten - self.life()).min(now));
            reader.forgotten = now;
        }
        if reader.listened > now + AHEAD {
            reader.listened = now;
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.pull_back(now + AHEAD);
        }
        if reader.claimed > now + AHEAD {
            reader.claimed = now;
        }
        if self.known_since() > now + AHEAD {
            self.known_since.store(now.millis(), Ordering::Release);
        }
    }

    fn know_nothing_before(&self, time: Timestamp) {
        if self.known_since.fetch_max(time.millis(), Ordering::AcqRel) < time.millis() {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn life(&self) -> Duration {
        self.longest + MARGIN
    }

    fn count(&self, counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Reader {
    fn flaw(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.flawed = true;
        }
    }
}

impl Pass {
    fn read(&mut self, item: &Result<Item, RecordError>, at: Timestamp) {
        self.last_sign = self.last_sign.max(Some(at));
        match item {
            Ok(Item::End(end)) => {
                self.seen.insert(end.tag);
            }
            Ok(Item::Heartbeat(beat)) => {
                self.known_since = self.known_since.max(Some(beat.known_since));
                self.last_beat = self.last_beat.max(Some(beat.at));
                self.boot = Some(beat.boot);
            }
            Err(_) => {}
        }
    }

    /// From when on the log knows every end; `None` if it cannot be believed to.
    fn claim(&self, max_gap: Duration, boot: [u8; 16], now: Timestamp) -> Option<Timestamp> {
        let (known_since, last_sign) = (self.known_since?, self.last_sign?);
        let timely = last_sign <= now + AHEAD && now.since(last_sign) <= max_gap;
        let complete = self.headed && !self.flawed && self.boot == Some(boot);
        (timely && complete && known_since <= now + AHEAD).then_some(known_since)
    }
}

fn encode(
    entries: impl Iterator<Item = (Tag, Entry)>,
    writer: [u8; 8],
    after: u64,
    (id, key): (KeyId, &MacKey),
) -> Vec<Bytes> {
    let record = |(sequence, (tag, Entry { kind, proof, at, expires }))| {
        Item::End(Record { writer, sequence, kind, proof, tag, at, expires }).encode(id, key)
    };
    (after + 1..).zip(entries).map(record).collect()
}

/// Also if the clock was set back meanwhile.
fn is_due(after: Timestamp, every: Duration, now: Timestamp) -> bool {
    now >= after || after.since(now) > every
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands before the id of a key that is missing.
const LACKING: u64 = 1 << 32;

/// How much longer than it is needed an entry stays in the log: clocks of processes differ.
const KEEP: Duration = Duration::from_secs(60);

/// How far ahead of ours another clock may be (`threats.md` OM-8).
const AHEAD: Duration = Duration::from_secs(60);

const FORGET_EVERY: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// For how long a log that another process holds is nothing to worry about.
const HELD: Duration = Duration::from_secs(1);

/// When such a log is replaced again.
const RETRY_HELD: Duration = Duration::from_millis(200);

/// How many records are written in one piece.
const BATCH: usize = 1024;

/// How long a log may be whatever it holds: some hours of heartbeats.
const SLACK: usize = 64 * 1024;

/// How often the log may be replaced while it is read once.
const REPLACED_AT_ONCE: usize = 4;
