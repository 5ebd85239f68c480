//! The app's reply on its way to the browser (`threats.md` ID-10, CK-9, BR-2; `design.md` D12).

use http::header::{CACHE_CONTROL, EXPIRES, PRAGMA, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method};
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use portvakt_core::access::Permit;
use portvakt_core::cookie;
use portvakt_core::route::Activity;
use portvakt_core::session::{cookies, ticket};

use crate::snapshot::{Live, Snapshot};

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

/// Takes away what an app must not say: identity, and cookies of ours. Keeps replies to people to themselves.
pub(super) fn clean(response: &mut ResponseHeader, permit: &Permit, snapshot: &Snapshot) {
    let taken: Vec<HeaderName> = response
        .headers
        .keys()
        .filter(|name| snapshot.reserved.takes_away_from_reply(name.as_str()))
        .cloned()
        .collect();
    for name in taken {
        response.remove_header(&name);
    }
    let ours = |value: &HeaderValue| cookie::set_cookie_is_ours(value.as_bytes());
    if response.headers.get_all(SET_COOKIE).iter().any(ours) {
        let kept: Vec<HeaderValue> =
            response.headers.get_all(SET_COOKIE).iter().filter(|value| !ours(value)).cloned().collect();
        response.remove_header(&SET_COOKIE);
        for value in kept {
            // It was a header of this very response a moment ago.
            let _ = response.append_header(SET_COOKIE, value);
        }
    }
    if permit.session().is_some() && !permit.route().keep_cache_control {
        keep_private(response);
    }
}

/// The session's cookie with this request's activity written down, at most once a minute, and only while
/// the session is alive.
pub(super) fn renewed(
    permit: &Permit,
    navigation: bool,
    live: &Live,
    snapshot: &Snapshot,
) -> Option<HeaderValue> {
    let session = permit.session()?;
    let now = live.clock.now();
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(permit.request().method());
    let counts = navigation || !safe || permit.route().activity == Activity::Any;
    if !counts || !session.is_due(now) || live.revocations.check(session).is_err() {
        return None;
    }
    let host = snapshot.configuration.hosts.find(permit.request().host())?;
    let ring = &snapshot.keys.cookie;
    let value = ticket::seal(&session.touched(now), cookies::SESSION, &host.origin.name, ring, now);
    Some(cookies::session_jar().set(&value))
}

/// Adds a cookie of ours; a reply that sets one is nobody else's (RFC 9111, 7.3).
pub(super) fn set_cookie(response: &mut ResponseHeader, cookie: HeaderValue) -> Result<()> {
    response.append_header(SET_COOKIE, cookie)?;
    keep_private(response);
    Ok(())
}

fn keep_private(response: &mut ResponseHeader) {
    for name in [EXPIRES, PRAGMA] {
        response.remove_header(&name);
    }
    // A constant value is always a header.
    let _ = response.insert_header(CACHE_CONTROL, PRIVATE);
}
