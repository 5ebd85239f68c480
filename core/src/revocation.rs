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

pub mod log;
pub mod record;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

pub use self::log::{LogError, MemoryLog, Position, RevocationLog};
pub use self::record::{Kind, Record, RecordError};

use crate::clock::Timestamp;
use crate::key::{KeyId, MacKey, Ring, RingKey};
use crate::session::{Session, SessionId, Tags};

/// How long an entry is kept beyond the longest session: an attempt to log in may still be under way.
pub const MARGIN: Duration = Duration::from_secs(15 * 60);

/// What an entry ends, keyed so that neither log nor store can be read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// What ended early, as this process knows it.
pub struct Revocations {
    log: Box<dyn RevocationLog>,
    writer: [u8; 8],
    sequence: AtomicU64,
    entries: RwLock<HashMap<Tag, Entry>>,
    count: AtomicUsize,
    known_since: Timestamp,
    life: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    at: Timestamp,
    expires: Timestamp,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations").field("entries", &self.len()).finish_non_exhaustive()
    }
}

impl Revocations {
    /// Begins with what the log knows. `longest` is the longest life of a session.
    #[must_use]
    pub fn new(log: Box<dyn RevocationLog>, longest: Duration, now: Timestamp) -> Self {
        Self {
            known_since: log.known_since().unwrap_or(now),
            log,
            writer: crate::seal::random(),
            sequence: AtomicU64::new(0),
            entries: RwLock::default(),
            count: AtomicUsize::new(0),
            life: longest + MARGIN,
        }
    }

    /// Ends whatever carries this tag. When this returns, the end is in force and the log has it.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the log did not take it. It is in force here all the same.
    pub fn end(&self, kind: Kind, tag: Tag, key: (KeyId, &MacKey), now: Timestamp) -> Result<(), LogError> {
        let record = Record {
            writer: self.writer,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            kind,
            proven: true,
            tag,
            at: now,
            expires: now + self.life,
        };
        self.apply(&record);
        self.log.append(&record.encode(key.0, key.1))?;
        Ok(())
    }

    /// Takes a record into the view, whoever wrote it. Idempotent; an entry never ends earlier by it.
    pub fn apply(&self, record: &Record) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(record.tag).or_insert(Entry {
            kind: record.kind,
            at: record.at,
            expires: record.expires,
        });
        entry.at = entry.at.max(record.at);
        entry.expires = entry.expires.max(record.expires);
        self.count.store(entries.len(), Ordering::Release);
    }

    /// Whether a session has ended.
    ///
    /// # Errors
    ///
    /// [`Ended`] says why it counts no longer.
    pub fn check(&self, session: &Session) -> Result<(), Ended> {
        if session.began() < self.known_since {
            return Err(Ended::BeforeKnowledge);
        }
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let tags = session.tags();
        let authenticated = session.identity().auth_time().unwrap_or_else(|| session.began());
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let ends = |tag: &Tag| {
            entries.get(tag).is_some_and(|entry| match entry.kind {
                Kind::Session => true,
                // `auth_time` has whole seconds: within the second of the entry it is not newer.
                Kind::OpSession | Kind::Subject => authenticated.seconds() <= entry.at.seconds(),
            })
        };
        let ended = ends(&tags.session) || tags.op_session.as_ref().is_some_and(ends) || ends(&tags.subject);
        if ended { Err(Ended::Revoked) } else { Ok(()) }
    }

    /// Forgets what no living session can carry. To be called about once a minute.
    pub fn forget(&self, now: Timestamp) {
        self.log.trim(now);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.expires > now);
        self.count.store(entries.len(), Ordering::Release);
    }

    /// From when on every end of a session is known.
    #[must_use]
    pub fn known_since(&self) -> Timestamp {
        self.known_since
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::resume::tests::identity;

    const BEGAN: Timestamp = Timestamp::from_seconds(10_000);

    struct World {
        ring: Ring<MacKey>,
        revocations: Revocations,
    }

    impl World {
        fn new(start: Timestamp) -> Self {
            let ring = Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), MacKey::new(&[3; 32]));
            let longest = Duration::from_secs(7200);
            Self { ring, revocations: Revocations::new(Box::new(MemoryLog::default()), longest, start) }
        }

        fn tagger(&self) -> Tagger<'_> {
            Tagger::active(&self.ring, BEGAN)
        }

        fn session(&self, sid: &str, auth_time: u64) -> Session {
            let id = SessionId::random();
            let tags = self.tagger().tags(&id, "idporten", "https://op", Some(sid), "sub");
            Session::begin(id, tags, identity(auth_time), BEGAN)
        }

        fn end(&self, kind: Kind, tag: Tag, at: Timestamp) {
            let key = self.ring.active(BEGAN);
            self.revocations.end(kind, tag, (key.id, &key.key), at).unwrap();
        }
    }

    #[test]
    fn an_ended_session_is_over_and_its_neighbours_are_not() {
        let world = World::new(BEGAN);
        let (one, other) = (world.session("a", 9_000), world.session("b", 9_000));
        assert_eq!(world.revocations.check(&one), Ok(()));
        world.end(Kind::Session, one.tags().session, BEGAN);
        assert_eq!(world.revocations.check(&one), Err(Ended::Revoked));
        assert_eq!(world.revocations.check(&other), Ok(()));
    }

    #[test]
    fn the_end_of_a_providers_session_ends_what_was_authenticated_until_then() {
        let world = World::new(BEGAN);
        let tag = world.tagger().op_session("idporten", "https://op", "a");
        world.end(Kind::OpSession, tag, Timestamp::from_millis(10_500_900));
        assert_eq!(world.revocations.check(&world.session("a", 9_000)), Err(Ended::Revoked));
        assert_eq!(world.revocations.check(&world.session("a", 10_500)), Err(Ended::Revoked));
        assert_eq!(world.revocations.check(&world.session("a", 10_501)), Ok(()));
        assert_eq!(world.revocations.check(&world.session("b", 9_000)), Ok(()));
    }

    #[test]
    fn a_session_from_before_our_knowledge_is_not_accepted() {
        let world = World::new(BEGAN + Duration::from_millis(1));
        assert_eq!(world.revocations.check(&world.session("a", 9_000)), Err(Ended::BeforeKnowledge));
    }

    #[test]
    fn an_entry_is_forgotten_only_when_no_session_can_carry_it() {
        let world = World::new(BEGAN);
        let session = world.session("a", 9_000);
        world.end(Kind::Session, session.tags().session, BEGAN);
        world.revocations.forget(BEGAN + Duration::from_secs(7200) + MARGIN - Duration::from_secs(1));
        assert_eq!(world.revocations.check(&session), Err(Ended::Revoked));
        world.revocations.forget(BEGAN + Duration::from_secs(7200) + MARGIN);
        assert!(world.revocations.is_empty());
    }

    #[test]
    fn an_older_record_never_shortens_an_entry() {
        let world = World::new(BEGAN);
        let session = world.session("a", 9_000);
        let tag = session.tags().op_session.unwrap();
        world.end(Kind::OpSession, tag, Timestamp::from_seconds(9_500));
        world.end(Kind::OpSession, tag, Timestamp::from_seconds(100));
        assert_eq!(world.revocations.check(&session), Err(Ended::Revoked));
    }
}
