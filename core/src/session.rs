//! Remembering a login: the session lives in its cookie (`design.md` D1, D2, D12).

pub mod choice;
pub mod cookies;
mod parts;
pub mod plan;
pub mod ticket;
pub mod tokens;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::identity::VerifiedIdentity;
use crate::key::KeyId;
use crate::revocation::{Tag, Tagger};

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without activity; at most 30 minutes at ID-porten (dossier 3.1).
    pub idle: Duration,
    /// From the login on, whatever happens.
    pub absolute: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(120 * 60) }
    }
}

/// A session's own random id. Not for logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId([REDACTED])")
    }
}

impl SessionId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(crate::seal::random())
    }

    /// One that is known.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The tags under which a session can be ended, ready-made, so that a request only looks them up
/// (`design.md` D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// The revocation key that made them.
    pub key: KeyId,
    /// Of the session's own id.
    pub session: Tag,
    /// Of (provider, iss, sid), when the provider gave a `sid`.
    pub op_session: Option<Tag>,
    /// Of (provider, iss, sub).
    pub subject: Tag,
}

/// A login that is remembered: opened from its cookie, or just begun.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    began: Timestamp,
    active: Timestamp,
    tags: Tags,
    identity: VerifiedIdentity,
    marked: bool,
}

impl Session {
    /// A session that begins now, from a login that was verified just now and from nothing else (CK-10).
    #[must_use]
    pub fn begin(id: SessionId, tags: Tags, identity: VerifiedIdentity, now: Timestamp) -> Self {
        Self { id, began: now, active: now, tags, identity, marked: true }
    }

    /// The session's own id. Not for logs.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// When the login was verified.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// When the person was last known to be active; written at most once a minute.
    #[must_use]
    pub fn active(&self) -> Timestamp {
        self.active
    }

    /// The tags under which it can be ended.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &VerifiedIdentity {
        &self.identity
    }

    /// Whether its cookie says which session it is, and of which issuer. If not, it is of a version that knew
    /// one session for each host, and its issuer is known by its tags alone ([`is_of_issuer`]).
    ///
    /// [`is_of_issuer`]: Self::is_of_issuer
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Whether its tags were made for this issuer; `key`: the one that made them.
    #[must_use]
    pub fn is_of_issuer(&self, issuer: &str, key: &Tagger<'_>) -> bool {
        let who = &self.identity;
        self.tags.subject == key.subject(who.provider(), issuer, who.subject())
    }

    /// The point from which on the session is over without anybody ending it.
    #[must_use]
    pub fn over_at(&self, limits: &Limits) -> Timestamp {
        (self.active + limits.idle).min(self.began + limits.absolute)
    }

    /// What is left until the idle limit and until the absolute one.
    #[must_use]
    pub fn left(&self, limits: &Limits, now: Timestamp) -> (Duration, Duration) {
        let absolute = (self.began + limits.absolute).since(now);
        ((self.active + limits.idle).since(now).min(absolute), absolute)
    }

    /// Whether the activity is worth writing down: at most once a minute (D12).
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.active) >= REISSUE_AFTER
    }

    /// The same session, active now.
    #[must_use]
    pub fn touched(&self, now: Timestamp) -> Self {
        Self { active: now.max(self.active), ..self.clone() }
    }
}

/// How old the last known activity must be before the cookie is issued again.
pub const REISSUE_AFTER: Duration = Duration::from_secs(60);
