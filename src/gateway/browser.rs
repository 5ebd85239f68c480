//! What pages of other origins may do, and what browsers are told of an app's replies (`threats.md` BR-1, BR-3).
//!
//! **Invariant:** what the app says of its own replies is respected: a field is added only where it says
//! nothing. Of cross-origin reading alone the gateway speaks, where a route has it so.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_SECURITY_POLICY, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;
use portvakt_core::cors::{self, Cors};
use portvakt_core::request::NormalRequest;
use portvakt_core::route::{Host, Route, SecurityHeaders};
use portvakt_core::websocket;
use serde_json::json;

use crate::answer::Answer;
use crate::respond::Refusal;

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// What hardly any app minds: no guessing of types, no framing by other origins, no path in referrers abroad.
const BASIC: [(HeaderName, &str); 2] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "strict-origin-when-cross-origin")];

/// Beyond that: no window, no page and no device of others'.
const STRICT: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (OPENER, "same-origin"),
    (RESOURCE, "same-origin"),
    (
        PERMISSIONS,
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(), usb=()",
    ),
];

/// Refuses what a page of another origin asks for, where the route does not take it.
pub(super) fn check_origin(route: &Route, host: &Host, head: &RequestHeader) -> Result<(), Refusal> {
    // Where WebSockets are opened, their handshake judges the page: the route names those that may.
    if route.websocket.is_some() && websocket::is_asked_for(head.version, &head.headers) {
        return Ok(());
    }
    if route.cross_site.refuses(&head.method, &head.headers, &host.origin, route.cors.origins()) {
        return Err(Refusal::CrossSite);
    }
    Ok(())
}

/// The route that speaks of the request for which a preflight asks; `None` if it is none, or if no route
/// speaks of it: then it is a request like others.
pub(super) fn preflight<'h>(
    request: &NormalRequest,
    host: &'h Host,
    head: &RequestHeader,
) -> Option<&'h Arc<Route>> {
    let asked = cors::preflight(request.method(), &head.headers)?;
    let route = host.routes.find_path(&asked, request.path()).ok()?;
    (route.cors != Cors::Unknown).then_some(route)
}

/// The gateway's own answer to a preflight.
pub(super) fn answer_preflight(route: &Route, head: &RequestHeader) -> Answer {
    let fields = match &route.cors {
        Cors::Answered(plan) => plan.to_preflight(&head.headers),
        Cors::Unknown | Cors::Pass => None,
    };
    let answer = match fields {
        Some(fields) => {
            let mut answer = Answer::new(StatusCode::NO_CONTENT, "preflight");
            answer.headers.extend(fields);
            answer
        }
        None => Answer::json(StatusCode::FORBIDDEN, &json!({ "error": "cors_refused" }), "cors_refused"),
    };
    [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS]
        .into_iter()
        .fold(answer, |answer, name| answer.with(VARY, HeaderValue::from(name)))
}

/// Lets a script that may read the app's replies read our own answer in their place, too: that a login is
/// required.
pub(super) fn mark_answer(answer: &mut Answer, route: Option<&Arc<Route>>, head: &RequestHeader) {
    let Some(Cors::Answered(plan)) = route.map(|route| &route.cors) else { return };
    if answer.rule == "preflight" || answer.rule == "cors_refused" {
        return;
    }
    if let Some(fields) = plan.to_request(&head.headers) {
        let policy = RESOURCE;
        answer.headers.retain(|(name, _)| *name != policy);
        answer.headers.extend(fields);
    }
    answer.headers.push((VARY, HeaderValue::from(ORIGIN)));
}

/// Completes an app's reply.
pub(super) fn instruct(
    response: &mut ResponseHeader,
    route: &Route,
    host: Option<&Arc<Host>>,
    request: &HeaderMap,
) -> Result<()> {
    if let Cors::Answered(plan) = &route.cors {
        let spoken: Vec<HeaderName> =
            response.headers.keys().filter(|name| cors::is_of_protocol(name)).cloned().collect();
        for name in spoken {
            response.remove_header(&name);
        }
        for (name, value) in plan.to_request(request).unwrap_or_default() {
            response.insert_header(name, value)?;
        }
        if !plan.origins.is_empty() {
            response.append_header(VARY, HeaderValue::from(ORIGIN))?;
        }
    }
    let preset: &[(HeaderName, &str)] = match route.security_headers {
        SecurityHeaders::Off => &[],
        SecurityHeaders::Basic => &BASIC,
        SecurityHeaders::Strict => &STRICT,
    };
    for (name, value) in preset {
        if !response.headers.contains_key(name) {
            response.insert_header(name, HeaderValue::from_static(value))?;
        }
    }
    refuse_framing(response, route.security_headers)?;
    if let Some(hsts) = host.and_then(|host| host.hsts.as_ref())
        && !response.headers.contains_key(STRICT_TRANSPORT_SECURITY)
    {
        response.insert_header(STRICT_TRANSPORT_SECURITY, hsts)?;
    }
    Ok(())
}

/// Who may frame the app's pages, unless it says so itself in one of the two ways there are.
fn refuse_framing(response: &mut ResponseHeader, preset: SecurityHeaders) -> Result<()> {
    let (ancestors, options) = match preset {
        SecurityHeaders::Off => return Ok(()),
        SecurityHeaders::Basic => ("frame-ancestors 'self'", "SAMEORIGIN"),
        SecurityHeaders::Strict => ("frame-ancestors 'none'", "DENY"),
    };
    let says = |line: &HeaderValue| {
        line.as_bytes().to_ascii_lowercase().windows(15).any(|window| window == b"frame-ancestors")
    };
    let spoken = response.headers.contains_key(X_FRAME_OPTIONS)
        || response.headers.get_all(CONTENT_SECURITY_POLICY).iter().any(says);
    if !spoken {
        // A policy beside the app's own: both hold (CSP Level 3, 2.3).
        response.append_header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ancestors))?;
        response.insert_header(X_FRAME_OPTIONS, HeaderValue::from_static(options))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(preset: SecurityHeaders, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        refuse_framing(&mut response, preset).unwrap();
        response.headers.values().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn who_may_frame_an_app_is_said_where_the_app_does_not() {
        let basic = SecurityHeaders::Basic;
        assert_eq!(framing(basic, &[]), ["frame-ancestors 'self'", "SAMEORIGIN"]);
        assert_eq!(framing(SecurityHeaders::Strict, &[]), ["frame-ancestors 'none'", "DENY"]);
        assert_eq!(framing(SecurityHeaders::Off, &[]), Vec::<String>::new());
        assert_eq!(framing(basic, &[("x-frame-options", "DENY")]), ["DENY"]);
        let own = "default-src 'self'; Frame-Ancestors https://portal.no";
        assert_eq!(framing(basic, &[("content-security-policy", own)]), [own]);
        let other = "default-src 'self'";
        let both = [other, "frame-ancestors 'self'", "SAMEORIGIN"];
        assert_eq!(framing(basic, &[("content-security-policy", other)]), both);
    }
}
