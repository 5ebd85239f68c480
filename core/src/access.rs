//! May it pass? The only maker of permits (`design.md` D3).
//!
//! **Invariant:** a [`Permit`] comes out of [`Access::judge`] and nowhere else. What is sent to an app is
//! built from a permit, so that nothing is forwarded that was not judged:
//!
//! ```compile_fail
//! use portvakt_core::access::Permit;
//! // Its fields are private and there is no constructor.
//! let forged = Permit { route: todo!(), request: todo!(), session: None };
//! ```
//!
//! ```compile_fail
//! use portvakt_core::access::Permit;
//! let nothing: Permit = Default::default();
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::identity::{Kind, Kinds, VerifiedIdentity};
use crate::level::Level;
use crate::request::NormalRequest;
use crate::route::Route;
use crate::session::Session;

/// Who may pass a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without being told apart.
    Public,
    /// Everybody; the app is told of who is logged in and fulfils the requirement.
    Optional(Requirement),
    /// Who is logged in and fulfils the requirement.
    Login(Requirement),
}

/// What a login must be worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The lowest level of assurance; `None` asks for none.
    pub level: Option<Level>,
    /// The kinds of identity that may pass; empty: every kind of person.
    pub kinds: Kinds,
    /// The greatest age of the authentication (RFC 9470).
    pub max_age: Option<Duration>,
}

/// What is wrong with a login for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortfall {
    /// The kind of identity is not one that the route takes; logging in again does not help.
    #[error("the route does not take this kind of identity")]
    Kind,
    /// The level of assurance is too low.
    #[error("the level of assurance is too low")]
    Level,
    /// The authentication is too old, or its time is unknown.
    #[error("the authentication is too old")]
    Age,
}

/// Why somebody must log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginNeed {
    /// Nobody is logged in.
    NoSession,
    /// Somebody is, but at too low a level.
    Level,
    /// Somebody is, but too long ago.
    Age,
}

/// The outcome for one request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Judgement {
    /// It may be sent to the app.
    Allowed(Permit),
    /// Not before somebody has logged in.
    MustLogIn(LoginNeed),
    /// Not at all: who is logged in is of a kind that the route does not take.
    Forbidden(Kind),
}

/// The proof that a request may be sent to an app, and as whom.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    request: NormalRequest,
    session: Option<Session>,
}

impl Permit {
    /// The route that was judged.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The request that was judged; what is sent is this.
    #[must_use]
    pub fn request(&self) -> &NormalRequest {
        &self.request
    }

    /// The session as whom it is sent; `None`: nobody's.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }
}

impl Access {
    /// Judges one request of a route.
    ///
    /// `session` is the live session of the request, if there is one: opened, not ended, within its limits.
    #[must_use]
    pub fn judge(
        route: &Arc<Route>,
        request: NormalRequest,
        session: Option<Session>,
        now: Timestamp,
    ) -> Judgement {
        let allow = |session| {
            Judgement::Allowed(Permit { route: Arc::clone(route), request: request.clone(), session })
        };
        match (&route.access, session) {
            (Self::Public, _) => allow(None),
            (Self::Optional(requirement), session) => {
                allow(session.filter(|session| requirement.shortfall(session.identity(), now).is_none()))
            }
            (Self::Login(_), None) => Judgement::MustLogIn(LoginNeed::NoSession),
            (Self::Login(requirement), Some(session)) => {
                match requirement.shortfall(session.identity(), now) {
                    None => allow(Some(session)),
                    Some(Shortfall::Kind) => Judgement::Forbidden(session.identity().kind()),
                    Some(Shortfall::Level) => Judgement::MustLogIn(LoginNeed::Level),
                    Some(Shortfall::Age) => Judgement::MustLogIn(LoginNeed::Age),
                }
            }
        }
    }

    /// Whether the route has any use for a session.
    #[must_use]
    pub fn wants_session(&self) -> bool {
        !matches!(self, Self::Public)
    }

    /// What a login for this route must be worth; `None` for a public route.
    #[must_use]
    pub fn requirement(&self) -> Option<&Requirement> {
        match self {
            Self::Public => None,
            Self::Optional(requirement) | Self::Login(requirement) => Some(requirement),
        }
    }

    /// Whether somebody could pass here who could not pass `other`.
    #[must_use]
    pub fn is_weaker_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public | Self::Optional(_), Self::Login(_)) => true,
            (Self::Login(ours), Self::Login(theirs)) => ours.is_weaker_than(theirs),
            _ => false,
        }
    }
}

impl Requirement {
    /// What a login lacks, if anything. A lacking kind comes first: a new login would not mend it.
    #[must_use]
    pub fn shortfall(&self, who: &VerifiedIdentity, now: Timestamp) -> Option<Shortfall> {
        if !self.kinds.is_empty() && !self.kinds.contains(&who.kind()) {
            return Some(Shortfall::Kind);
        }
        if self.level > who.level() && cfg!(not(planted_fault = "level")) {
            return Some(Shortfall::Level);
        }
        let too_old = |max_age| who.auth_time().is_none_or(|auth_time| now.since(auth_time) > max_age);
        self.max_age.is_some_and(too_old).then_some(Shortfall::Age)
    }

    fn is_weaker_than(&self, other: &Self) -> bool {
        let more_kinds = match (self.kinds.is_empty(), other.kinds.is_empty()) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => !self.kinds.is_subset(&other.kinds),
        };
        let older = match (self.max_age, other.max_age) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => ours > theirs,
        };
        self.level < other.level || more_kinds || older
    }
}
