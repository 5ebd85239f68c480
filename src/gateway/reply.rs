//! The app's reply on its way to the browser (`threats.md` ID-10, CK-9, BR-2; `design.md` D12).

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, PRAGMA, PROXY_AUTHENTICATE, SET_COOKIE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy;
use portvakt_core::access::Permit;
use portvakt_core::cookie;
use portvakt_core::route::Activity;
use portvakt_core::session::{cookies, ticket};

use crate::snapshot::{Live, Snapshot};

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

/// How many interim responses an app may send before its reply.
const MAX_INTERIM: usize = 16;

/// What directs shared caches past `Cache-Control` (RFC 9213, and what was there before it).
const CACHE_DIRECTIONS: [&str; 4] =
    ["surrogate-control", "edge-control", "x-accel-expires", "x-litespeed-cache-control"];

/// Fields of one connection (RFC 9110, 7.6.1), and one that would lead browsers past us (RFC 7838).
const OF_THE_CONNECTION: [HeaderName; 6] = [
    PROXY_AUTHENTICATE,
    TRAILER,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::ALT_SVC,
];

/// Which cookies a browser keeps is not for an app to say (ID-10).
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Judges a 1xx of an app: none leads to a tunnel, for no upgrade was asked for, and they come to an end.
///
/// # Errors
///
/// The app loses its connection.
pub(super) fn check_interim(response: &mut ResponseHeader, count: usize) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS || count > MAX_INTERIM {
        return Err(Error::explain(
            ErrorType::InvalidHTTPHeader,
            "an interim response that nobody asked for",
        )
        .into_up());
    }
    let taken: Vec<HeaderName> = response.headers.keys().cloned().collect();
    for name in taken {
        response.remove_header(&name);
    }
    Ok(())
}

/// Whether a reply is a stream of events, which ends when somebody wants it to (HTML, 9.2).
pub(super) fn is_event_stream(response: &ResponseHeader) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    response.headers.get(CONTENT_TYPE).is_some_and(|given| {
        let given = given.as_bytes();
        given.get(..TYPE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(TYPE))
            && matches!(given.get(TYPE.len()), None | Some(b';' | b' ' | b'\t'))
    })
}

/// Frames a reply as its client can read it, whatever the app said of it.
pub(super) fn frame(session: &mut proxy::Session, response: &mut ResponseHeader) {
    if response.status == StatusCode::NO_CONTENT {
        // RFC 9110, 8.6.
        response.remove_header(&CONTENT_LENGTH);
        response.remove_header(&TRANSFER_ENCODING);
    }
    if session.req_header().version < Version::HTTP_11 && response.headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112, 6.1: the end of the connection is the end of the reply.
        response.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

fn take_away(response: &mut ResponseHeader, snapshot: &Snapshot) {
    let nominated: Vec<String> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !OF_THE_MESSAGE.contains(&name.as_str()))
        .collect();
    let taken: Vec<HeaderName> = response
        .headers
        .keys()
        .filter(|name| {
            OF_THE_CONNECTION.contains(name)
                || nominated.iter().any(|nominated| nominated == name.as_str())
                || snapshot.reserved.takes_away_from_reply(name.as_str())
        })
        .cloned()
        .collect();
    for name in taken {
        response.remove_header(&name);
    }
    if let Some(left) = without_cookies(response) {
        response.remove_header(&CLEAR_SITE_DATA);
        if !left.is_empty() {
            // A constant or a part of what was a header a moment ago.
            let _ = response.insert_header(CLEAR_SITE_DATA, left.join(", "));
        }
    }
}

/// What of `Clear-Site-Data` an app may say; `None` if it says nothing of cookies.
fn without_cookies(response: &ResponseHeader) -> Option<Vec<String>> {
    let lines = response.headers.get_all(CLEAR_SITE_DATA);
    let types: Vec<String> = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(|part| String::from_utf8_lossy(part).trim().to_owned())
        .collect();
    let keeps = |text: &String| CLEARABLE.iter().any(|known| text.eq_ignore_ascii_case(known));
    if types.iter().all(keeps) {
        return None;
    }
    if types.iter().any(|text| text == "\"*\"") {
        return Some(CLEARABLE.map(str::to_owned).to_vec());
    }
    Some(types.into_iter().filter(keeps).collect())
}

/// What an app may clear (Clear Site Data, 3.1): everything but cookies.
const CLEARABLE: [&str; 3] = ["\"cache\"", "\"storage\"", "\"executionContexts\""];

/// What `Connection` may not take away: the proxy frames by it, and cookies are not of one connection.
const OF_THE_MESSAGE: [&str; 5] =
    ["content-length", "transfer-encoding", "connection", "set-cookie", "cache-control"];

/// Takes away what an app must not say: identity, and cookies of ours. Keeps replies to people to themselves.
pub(super) fn clean(response: &mut ResponseHeader, permit: &Permit, snapshot: &Snapshot) {
    take_away(response, snapshot);
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
    if permit.machine().is_some() {
        // A machine is its token and nothing else.
        response.remove_header(&SET_COOKIE);
    }
    if permit.is_somebodys() && !(permit.route().keep_cache_control && is_for_caches(response)) {
        keep_private(response);
    }
}

/// Whether the app itself says how caches treat its reply, and the reply gives nobody a cookie: what says
/// nothing could be kept by guesswork (RFC 9111, 4.2.2), and a cookie is one person's.
fn is_for_caches(response: &ResponseHeader) -> bool {
    response.headers.contains_key(CACHE_CONTROL) && !response.headers.contains_key(SET_COOKIE)
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
    let plan = permit.route().plan_of(session)?;
    let value = ticket::seal(&session.touched(now), plan, &snapshot.keys.cookie, now);
    Some(cookies::session_jar(plan).set(&value))
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
    let directs = |name: &str| name.ends_with("cdn-cache-control") || CACHE_DIRECTIONS.contains(&name);
    let directions: Vec<HeaderName> =
        response.headers.keys().filter(|name| directs(name.as_str())).cloned().collect();
    for name in directions {
        response.remove_header(&name);
    }
    // A constant value is always a header.
    let _ = response.insert_header(CACHE_CONTROL, PRIVATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    #[test]
    fn events_are_known_by_their_type_alone() {
        let is = |value: &'static str| is_event_stream(&response(200, &[("Content-Type", value)]));
        assert!(
            is("text/event-stream") && is("Text/Event-Stream;charset=utf-8") && is("text/event-stream ; a=b")
        );
        assert!(!is("text/event-streams") && !is("text/html; text/event-stream") && !is("text/event"));
        assert!(!is_event_stream(&response(200, &[])));
    }

    #[test]
    fn an_app_does_not_clear_cookies() {
        let left = |value: &'static str| without_cookies(&response(200, &[("Clear-Site-Data", value)]));
        assert_eq!(left("\"cache\", \"storage\""), None);
        assert_eq!(left("\"cookies\", \"cache\""), Some(vec!["\"cache\"".to_owned()]));
        assert_eq!(left("\"COOKIES\""), Some(vec![]));
        assert_eq!(left("\"*\"").unwrap().len(), 3);
        assert_eq!(without_cookies(&response(200, &[])), None);
    }

    #[test]
    fn a_tunnel_and_endless_interim_responses_cost_the_app_its_connection() {
        assert!(check_interim(&mut response(101, &[]), 1).is_err());
        assert!(check_interim(&mut response(102, &[]), MAX_INTERIM + 1).is_err());
        let mut hints = response(103, &[("Set-Cookie", "__Host-portvakt=x"), ("Link", "</a>")]);
        assert!(check_interim(&mut hints, 1).is_ok());
        assert!(hints.headers.is_empty());
    }

    #[test]
    fn nothing_leads_shared_caches_past_what_is_private() {
        let mut reply = response(
            200,
            &[
                ("CDN-Cache-Control", "max-age=600"),
                ("Cloudflare-CDN-Cache-Control", "max-age=600"),
                ("Surrogate-Control", "max-age=600"),
                ("Expires", "Thu, 01 Dec 2099 16:00:00 GMT"),
                ("Cache-Control", "public, max-age=600"),
            ],
        );
        keep_private(&mut reply);
        let left: Vec<_> = reply.headers.iter().collect();
        assert_eq!(left, [(&CACHE_CONTROL, &PRIVATE)]);
    }
}
