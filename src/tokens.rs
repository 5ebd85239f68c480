//! People's access tokens at the provider, for the apps that call APIs as them (dossier 2.8): kept by the browser,
//! exchanged before they end, forwarded where a route says so, and ended with the session.
//!
//! | part | does |
//! |---|---|
//! | `exchange` | one exchange at a time for a session, and what came of it for those whose reply was lost |
//! | `note` | the same among replicas that share a store |
//! | `portvakt_core::session::tokens` | the sealed form, bound to one session |
//!
//! **Invariant:** a token is held for one request that was judged as its session, which lives: after whatever was
//! waited for, that is looked up again (`threats.md` OP-8). It goes to the app of a route with `access_token: true`,
//! to the provider, and sealed to the browser; nowhere else.
//!
//! **Invariant:** without the browser's own cookie there is no token, whatever is remembered here.

mod exchange;
mod note;

use std::sync::Arc;

use http::HeaderValue;
use portvakt_core::access::Permit;
use portvakt_core::route::Route;
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::tokens::{self, AccessToken, Tokens};
use portvakt_core::session::{Session, SessionId};
use secrecy::SecretString;

pub(crate) use self::exchange::Exchanges;

use self::exchange::{Exchange, Known, Outcome, Standing, Whose};
use crate::endpoint::Visit;
use crate::provider::Provider;

/// What a request carries to its app, and what its reply brings to the browser.
#[derive(Debug)]
pub(crate) struct Bearer {
    header: HeaderValue,
    /// The browser's tokens, where they are newer than those that it sent.
    newer: Option<Arc<Exchange>>,
}

impl Bearer {
    /// `Authorization`.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// The `Set-Cookie` lines of its reply.
    pub(crate) fn lines(&self) -> &[HeaderValue] {
        self.newer.as_deref().map(Exchange::lines).unwrap_or_default()
    }
}

/// Why a request has no token.
#[derive(Debug)]
pub(crate) enum Missing {
    /// A new login brings one: there is none, or none that could be exchanged.
    Login {
        /// What the browser has is worth nothing, and is to be forgotten.
        forget: Vec<HeaderValue>,
    },
    /// The provider knows the refresh token no more. Another replica may have exchanged it a moment ago, and the
    /// browser may have the new one by now.
    Again,
    /// There is none now.
    Unavailable(Unavailable),
}

/// Why there is no token, and a new login would bring none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The provider cannot be reached, or fails.
    Provider,
    /// As [`Missing::Again`], for what cannot be sent again by a redirect.
    Exchanged,
    /// The login brought none that could be kept.
    NotKept,
}

impl Unavailable {
    /// The word for the log.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Provider => "access_token_unavailable",
            Self::Exchanged => "access_token_again",
            Self::NotKept => "access_token_not_kept",
        }
    }

    /// When another try makes sense, in seconds.
    pub(crate) fn retry(self) -> u32 {
        match self {
            Self::Provider => 5,
            Self::Exchanged => 1,
            Self::NotKept => 60,
        }
    }
}

/// The token of the person as whom a request is sent; `None`: a machine's request, which has its own.
pub(crate) async fn hold(permit: &Permit, visit: &Visit<'_>) -> Result<Option<Bearer>, Missing> {
    let Some(session) = permit.session() else { return Ok(None) };
    let none = || Missing::Login { forget: Vec::new() };
    let plan = permit.route().plan_of(session).ok_or_else(none)?;
    let provider = visit.provider(plan).map_err(|_| none())?;
    let presented = Tokens::open(visit.headers(), plan, visit.ring(), visit.now);
    let presented = presented.filter(|tokens| tokens.are_of(session.id())).ok_or_else(none)?;
    if presented.access().is_none() {
        return Err(Missing::Unavailable(Unavailable::NotKept));
    }
    let presented = Arc::new(Exchange::new(presented));
    let whose = || Whose::of(session, provider, visit);
    let standing = visit.live.exchanges.stand(&presented, visit.now, whose);
    let (best, outcome) = match standing {
        Standing::Settled(best) => (best, None),
        Standing::UnderWay { best, outcome, began } => {
            // Whoever has a token that is good waits for nothing, but for the one whose reply brings the next.
            let good = best.is_good(visit.now);
            let outcome = if good && !began { None } else { Some(exchange::settled(outcome, good).await) };
            (best, outcome)
        }
        // The browser was asked to come again, and had nothing newer.
        Standing::Over => return Err(Missing::Login { forget: tokens::forget(plan) }),
        Standing::Wrong => return Err(wrong(visit, session, plan)),
    };
    // Who waited for nothing is judged by one moment: a token that was good enough not to be exchanged is good enough.
    let now = if outcome.is_some() { visit.live.clock.now() } else { visit.now };
    // It may have ended meanwhile; nothing of it is used then.
    if outcome.is_some() && visit.live.revocations.check(session).is_err() {
        return Err(none());
    }
    let best = match outcome {
        Some(Some(Outcome::Exchanged(newer))) => newer,
        Some(Some(Outcome::Wrong)) => return Err(wrong(visit, session, plan)),
        Some(Some(Outcome::Over)) if !best.is_good(now) => return Err(Missing::Again),
        Some(Some(Outcome::Over | Outcome::Failed(_)) | None) | None => best,
    };
    let Some(access) = best.tokens().access().filter(|access| access.is_good(now)) else {
        return Err(match best.tokens().refresh() {
            Some(_) => Missing::Unavailable(Unavailable::Provider),
            None => Missing::Login { forget: tokens::forget(plan) },
        });
    };
    let header = access.header();
    let is_newer = best.tokens().exchange() > presented.tokens().exchange();
    if is_newer && !best.seal(plan, visit.ring(), visit.live.clock.now()) {
        tell_not_kept(visit, provider, "they do not fit into cookies");
    }
    Ok(Some(Bearer { header, newer: is_newer.then_some(best) }))
}

/// The provider gave somebody else's tokens, or another session's: nobody knows whose this one is.
fn wrong(visit: &Visit<'_>, session: &Session, plan: &SessionPlan) -> Missing {
    // In force here at once. If it is not written, it is tried again when the cookie comes again.
    let _ = visit.end(session);
    Missing::Login { forget: tokens::forget(plan) }
}

/// What a login leaves for apps; `None` where none gets any.
pub(crate) fn of_login(
    visit: &Visit<'_>,
    plan: &SessionPlan,
    session: &SessionId,
    nonce: &str,
    (access, refresh): (Option<AccessToken>, Option<SecretString>),
) -> Option<Tokens> {
    is_kept(visit, plan).then(|| Tokens::begin(session, nonce, access, refresh))
}

/// Whether anybody needs the tokens of this session: on this host, or, where hosts share it, on any of them.
fn is_kept(visit: &Visit<'_>, plan: &SessionPlan) -> bool {
    let asks = |route: &Arc<Route>| {
        let is_shared =
            |other: &&Arc<SessionPlan>| other.realm() == plan.realm() && other.scope() == plan.scope();
        route.access_token && route.plans().any(|other| is_shared(&other))
    };
    let hosts = || visit.snapshot.configuration.hosts.iter();
    plan.provider.access_tokens.is_some() && hosts().any(|host| host.routes.iter().any(asks))
}

/// The `Set-Cookie` lines that keep a login's tokens, or forget those before.
pub(crate) fn keep(
    kept: Option<&Tokens>,
    visit: &Visit<'_>,
    plan: &SessionPlan,
    provider: &Arc<Provider>,
) -> Vec<HeaderValue> {
    let Some(tokens) = kept else {
        return if tokens::are_carried(visit.headers(), plan) { tokens::forget(plan) } else { Vec::new() };
    };
    let now = visit.live.clock.now();
    if tokens.access().is_some()
        && let Some(lines) = tokens.keep(plan, visit.ring(), now)
    {
        visit.live.telemetry.metrics.access_token(&provider.settings().name, "kept");
        return lines;
    }
    let why = match tokens.access() {
        Some(_) => "they do not fit into cookies",
        None => "the provider gave no bearer token",
    };
    tell_not_kept(visit, provider, why);
    exchange::revoke(provider, &visit.live.clock, tokens.clone());
    // What stands there now says so, so that nobody is sent to log in for ever.
    tokens.not_kept().keep(plan, visit.ring(), now).unwrap_or_else(|| tokens::forget(plan))
}

fn tell_not_kept(visit: &Visit<'_>, provider: &Provider, why: &'static str) {
    let name = &provider.settings().name;
    visit.live.telemetry.metrics.access_token(name, "not_kept");
    tracing::error!(
        provider = name,
        reference = visit.reference,
        why,
        "access tokens are not kept: routes with `access_token` answer 503 in this session"
    );
}

/// Whether a session has no token that is good now for a route that asks for one, and a new login may bring one.
pub(crate) fn are_lacking(visit: &Visit<'_>, route: &Route, session: &Session) -> bool {
    if !route.access_token {
        return false;
    }
    let Some(plan) = route.plan_of(session) else { return false };
    let presented = Tokens::open(visit.headers(), plan, visit.ring(), visit.now);
    let Some(presented) = presented.filter(|tokens| tokens.are_of(session.id())) else { return true };
    let Some(access) = presented.access() else { return false };
    let newest = || match visit.live.exchanges.known(&presented) {
        Known::Newer(newer) => newer.is_good(visit.now),
        Known::UnderWay(_) | Known::Nothing => false,
    };
    !access.is_good(visit.now) && !newest()
}

/// Waits a moment for an exchange of a request's tokens that is under way, so that what it brings is not lost to who does
/// something else with their session meanwhile.
pub(crate) async fn await_exchange(visit: &Visit<'_>, plan: &SessionPlan) {
    let Some(presented) = Tokens::open(visit.headers(), plan, visit.ring(), visit.now) else { return };
    if let Known::UnderWay(outcome) = visit.live.exchanges.known(&presented) {
        let _ = exchange::settled(outcome, true).await;
    }
}

/// The session takes another id without a new login: its tokens go with it.
pub(crate) fn carry_over(
    visit: &Visit<'_>,
    plan: &SessionPlan,
    from: &Session,
    to: &Session,
) -> Vec<HeaderValue> {
    let presented = Tokens::open(visit.headers(), plan, visit.ring(), visit.now);
    let Some(presented) = presented.filter(|tokens| tokens.are_of(from.id())) else { return Vec::new() };
    let newest = match visit.live.exchanges.known(&presented) {
        Known::Newer(newer) => newer.tokens().carried_over(to.id()),
        // The refresh token is spent: its second use would be taken for theft (RFC 9700, 4.14.2).
        Known::UnderWay(_) => presented.carried_over(to.id()).without_refresh(),
        Known::Nothing => presented.carried_over(to.id()),
    };
    newest.keep(plan, visit.ring(), visit.live.clock.now()).unwrap_or_else(|| tokens::forget(plan))
}

/// Ends the tokens that a request carries, at the provider after the answer, and lets the browser forget them.
pub(crate) fn end(visit: &Visit<'_>, plan: &SessionPlan) -> Vec<HeaderValue> {
    if !tokens::are_carried(visit.headers(), plan) {
        return Vec::new();
    }
    if let (Some(presented), Ok(provider)) =
        (Tokens::open(visit.headers(), plan, visit.ring(), visit.now), visit.provider(plan))
    {
        let known = visit.live.exchanges.known(&presented);
        exchange::end(provider, &visit.live.clock, presented, known);
    }
    tokens::forget(plan)
}
