//! The provider's own session (dossier 3.1): 30 minutes between authentication requests, 120 minutes in all.
//!
//! **Invariant:** a session that has ended, or is past either limit, answers no authentication request. A European
//! login makes a session that can be logged out, and never logs anybody in.

use std::collections::{BTreeMap, HashMap};

use crate::person::Person;
use crate::random;

/// Seconds between two authentication requests.
const IDLE: u64 = 30 * 60;
/// Seconds from the first authentication.
const ABSOLUTE: u64 = 120 * 60;

/// How somebody authenticated.
#[derive(Clone)]
pub(crate) struct Authentication {
    /// Who.
    pub(crate) person: Person,
    /// The level reached.
    pub(crate) acr: &'static str,
    /// By which means.
    pub(crate) amr: &'static str,
    /// When, by the provider's clock.
    pub(crate) auth_time: u64,
    /// Whether the next service may be entered without a login page.
    pub(crate) shared: bool,
}

/// One browser's session at the provider.
pub(crate) struct SsoSession {
    /// The latest authentication.
    pub(crate) authentication: Authentication,
    /// `sid` by `client_id`: each service has its own.
    pub(crate) sids: BTreeMap<String, String>,
    started: u64,
    last_request: u64,
}

impl SsoSession {
    fn alive(&self, now: u64) -> bool {
        now.saturating_sub(self.last_request) < IDLE && now.saturating_sub(self.started) < ABSOLUTE
    }

    /// The service's `sid`, made at its first login in this session.
    pub(crate) fn sid_for(&mut self, client_id: &str) -> String {
        self.sids.entry(client_id.into()).or_insert_with(random::token).clone()
    }
}

/// All browsers' sessions, by cookie value.
#[derive(Default)]
pub(crate) struct SsoSessions {
    sessions: HashMap<String, SsoSession>,
    prune_at: usize,
}

impl SsoSessions {
    /// The living session of this cookie.
    pub(crate) fn find(&mut self, cookie: Option<&str>, now: u64) -> Option<&mut SsoSession> {
        let cookie = cookie?;
        if !self.sessions.get(cookie)?.alive(now) {
            // Nobody is notified when a session just expires (dossier 3.1).
            self.sessions.remove(cookie);
        }
        self.sessions.get_mut(cookie)
    }

    /// Renews the session that answers an authentication request without a page.
    pub(crate) fn reuse(&mut self, cookie: Option<&str>, now: u64) -> Option<&mut SsoSession> {
        let session = self.find(cookie, now).filter(|session| session.authentication.shared)?;
        session.last_request = now;
        Some(session)
    }

    /// Records an authentication: the same person's session is raised and renewed, but keeps its start; another
    /// person's is replaced. Returns the cookie's value.
    pub(crate) fn authenticated(&mut self, cookie: Option<&str>, who: Authentication, now: u64) -> String {
        if let (Some(cookie), Some(session)) = (cookie, self.find(cookie, now)) {
            let current = &session.authentication;
            if current.person.id == who.person.id && current.shared == who.shared {
                session.authentication = who;
                session.last_request = now;
                return cookie.into();
            }
        }
        cookie.and_then(|cookie| self.sessions.remove(cookie));
        self.prune(now);
        let cookie = random::token();
        let session =
            SsoSession { authentication: who, sids: BTreeMap::new(), started: now, last_request: now };
        self.sessions.insert(cookie.clone(), session);
        cookie
    }

    /// Ends the session of this cookie.
    pub(crate) fn end(&mut self, cookie: Option<&str>, now: u64) -> Option<SsoSession> {
        self.find(cookie, now)?;
        self.sessions.remove(cookie?)
    }

    /// Ends all living sessions of a person.
    pub(crate) fn end_person(&mut self, person: &str, now: u64) -> Vec<SsoSession> {
        let theirs = |session: &SsoSession| session.authentication.person.id == person;
        let ended = self.sessions.extract_if(|_, session| theirs(session));
        ended.map(|(_, session)| session).filter(|session| session.alive(now)).collect()
    }

    /// All sessions that are alive.
    pub(crate) fn living(&self, now: u64) -> impl Iterator<Item = &SsoSession> {
        self.sessions.values().filter(move |session| session.alive(now))
    }

    fn prune(&mut self, now: u64) {
        if self.sessions.len() >= self.prune_at {
            self.sessions.retain(|_, session| session.alive(now));
            self.prune_at = (self.sessions.len() * 2).max(1024);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::everybody;

    const MINUTE: u64 = 60;

    fn by(index: usize, shared: bool) -> Authentication {
        let person = everybody().swap_remove(index);
        let (acr, amr) = (person.eid.acr(), person.eid.amr());
        Authentication { person, acr, amr, auth_time: 0, shared }
    }

    #[test]
    fn idle_time_counts_from_the_last_authentication_request() {
        let mut sso = SsoSessions::default();
        let cookie = sso.authenticated(None, by(0, true), 0);
        assert!(sso.reuse(Some(&cookie), 29 * MINUTE).is_some());
        assert!(sso.reuse(Some(&cookie), 58 * MINUTE).is_some());
        assert!(sso.reuse(Some(&cookie), 88 * MINUTE).is_none());
    }

    #[test]
    fn no_activity_outlives_two_hours() {
        let mut sso = SsoSessions::default();
        let cookie = sso.authenticated(None, by(0, true), 0);
        for minutes in (20..120).step_by(20) {
            assert!(sso.reuse(Some(&cookie), minutes * MINUTE).is_some(), "{minutes}");
        }
        assert_eq!(sso.authenticated(Some(&cookie), by(0, true), 119 * MINUTE), cookie);
        assert!(sso.reuse(Some(&cookie), 120 * MINUTE).is_none());
    }

    #[test]
    fn a_european_login_is_not_shared_but_ends() {
        let mut sso = SsoSessions::default();
        let cookie = sso.authenticated(None, by(6, false), 0);
        assert!(sso.reuse(Some(&cookie), 1).is_none());
        assert!(sso.end(Some(&cookie), 1).is_some());
        assert!(sso.end(Some(&cookie), 1).is_none());
    }

    #[test]
    fn another_person_gets_another_session_and_the_same_keeps_its_sid() {
        let mut sso = SsoSessions::default();
        let first = sso.authenticated(None, by(0, true), 0);
        let sid = sso.find(Some(&first), 0).unwrap().sid_for("a");
        assert_eq!(sso.authenticated(Some(&first), by(0, true), 1), first);
        assert_eq!(sso.find(Some(&first), 1).unwrap().sid_for("a"), sid);
        assert_ne!(sso.authenticated(Some(&first), by(1, true), 2), first);
        assert!(sso.find(Some(&first), 2).is_none());
        assert_eq!(sso.end_person("bankid-high-2", 3).len(), 1);
    }
}
