//! An app's own session on the way up and down: held inside the person's session here
//! (`portvakt_core::app_session` says how, and what holds).

use http::HeaderValue;
use http::header::SET_COOKIE;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use portvakt_core::access::{Access, Permit};
use portvakt_core::app_session::{self, Bound, Held, Sealing, Standing};
use portvakt_core::cookie::ForUpstream;
use portvakt_core::route::Staleness;
use portvakt_core::session::SessionId;

use super::reply;
use crate::endpoint::Visit;
use crate::snapshot::{Live, Snapshot};

/// What one request's cookies are for its app, and what its reply's are held in.
#[derive(Debug)]
pub(crate) struct AppSessionHeld {
    standing: Standing,
    held: Held,
}

impl AppSessionHeld {
    /// The cookies that the app gets.
    pub(super) fn cookies(&self) -> &ForUpstream {
        &self.held.cookies
    }
}

/// Opens what the request carries; `None` where the app keeps no session. `judged`: the session as which the
/// request was judged, or could have been.
pub(super) fn hold(permit: &Permit, judged: Option<SessionId>, visit: &Visit<'_>) -> Option<AppSessionHeld> {
    let route = permit.route();
    // A machine has no cookies, the app's neither.
    let app = route.app_session.as_ref().filter(|_| permit.machine().is_none())?;
    let certain = route.revocation != Staleness::Strict || !visit.live.revocations.is_uncertain(visit.now);
    // A public route knows no session; what an app keeps for nobody ends with the person's all the same.
    let unjudged = || visit.session_of(route).map(|session| *session.id());
    let session = match route.access {
        Access::Public if certain => unjudged(),
        Access::Public
        | Access::Optional(_)
        | Access::Login(_)
        | Access::Token(_)
        | Access::LoginOrToken(..) => judged,
    };
    let standing = Standing { session, person: permit.session().is_some(), certain };
    let sealing = Sealing { host: &visit.host.origin.name, ring: visit.ring(), now: visit.now };
    Some(AppSessionHeld {
        standing,
        held: app.open(visit.headers(), permit.request().path(), standing, sealing),
    })
}

/// Holds what the app sets, and lets the browser forget what is over.
pub(super) fn bind(
    response: &mut ResponseHeader,
    permit: &Permit,
    request: &AppSessionHeld,
    snapshot: &Snapshot,
    live: &Live,
) -> Result<()> {
    let Some(app) = &permit.route().app_session else { return Ok(()) };
    let set: Vec<HeaderValue> = response.headers.get_all(SET_COOKIE).iter().cloned().collect();
    if set.is_empty() && request.held.over.is_empty() {
        return Ok(());
    }
    let host = &permit.request().host().name;
    let sealing = Sealing { host, ring: &snapshot.keys.cookie, now: live.clock.now() };
    response.remove_header(&SET_COOKIE);
    for line in request.held.over.iter().map(|name| app_session::forget(name)) {
        reply::set_cookie(response, line)?;
    }
    for line in set {
        match app.bind(line.as_bytes(), permit.request().path(), request.standing, sealing) {
            Bound::NotListed => {
                response.append_header(SET_COOKIE, line)?;
            }
            Bound::As(line) => {
                // In this reply stands whose session it is: no cache keeps it (RFC 9111, 7.3).
                reply::set_cookie(response, line)?;
            }
            Bound::TooLong => {
                let route = permit.route().name.as_str();
                tracing::error!(route, "an app's session cookie is too long to be held; it was left out");
            }
        }
    }
    Ok(())
}
