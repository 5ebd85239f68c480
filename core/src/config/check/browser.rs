//! What browsers are told, and what pages of other origins may do: `hsts`, `security_headers`, `cross_site`,
//! `cors`.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::place::origin;
use super::{DAY, SECOND, bounded};
use crate::config::raw::{
    RawAccess, RawCors, RawCorsPlan, RawCrossSite, RawHost, RawHsts, RawRoute, RawSecurityHeaders,
};
use crate::config::shape::{At, Desk};
use crate::cors::{Cors, CorsPlan};
use crate::cross_site::CrossSite;
use crate::route::{Origin, SecurityHeaders};

/// As the gateway's own pages say it.
const USUAL_HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// `Strict-Transport-Security`: wherever browsers come by https, unless the file says otherwise.
pub(super) fn hsts(raw: &RawHost, host: &Origin, desk: &mut Desk<'_>) -> Option<HeaderValue> {
    let Some(given) = &raw.hsts else { return host.secure.then_some(USUAL_HSTS) };
    let plan = match &given.value {
        RawHsts::Off => return None,
        RawHsts::Plan(plan) => plan,
    };
    if !host.secure {
        desk.warn(&given.span, "`hsts` has no effect on plain http", "remove it");
        return None;
    }
    let age = bounded(plan.max_age.as_ref(), 365 * DAY, SECOND..=730 * DAY, desk);
    let subdomains = plan.subdomains.as_ref().is_some_and(|subdomains| subdomains.value);
    let directive = if subdomains { "; includeSubDomains" } else { "" };
    HeaderValue::try_from(format!("max-age={}{directive}", age.as_secs())).ok()
}

pub(super) fn security_headers(raw: &RawRoute) -> SecurityHeaders {
    raw.security_headers.as_ref().map_or(SecurityHeaders::default(), |given| match given.value {
        RawSecurityHeaders::Off => SecurityHeaders::Off,
        RawSecurityHeaders::Basic => SecurityHeaders::Basic,
        RawSecurityHeaders::Strict => SecurityHeaders::Strict,
    })
}

/// Where the app is told of people, other origins' pages change nothing, unless the file says otherwise.
pub(super) fn cross_site(raw: &RawRoute, cors: &Cors) -> CrossSite {
    match raw.cross_site.as_ref().map(|given| given.value) {
        Some(RawCrossSite::Allow) => CrossSite::Allow,
        Some(RawCrossSite::RefuseUnsafe) => CrossSite::RefuseUnsafe,
        Some(RawCrossSite::Refuse) => CrossSite::Refuse,
        // The app says itself what others may send.
        None if *cors == Cors::Pass => CrossSite::Allow,
        None => match raw.access.as_ref().map(|access| access.value) {
            // A machine's token is nothing that a browser adds by itself.
            Some(RawAccess::Public | RawAccess::Token) => CrossSite::Allow,
            _ => CrossSite::RefuseUnsafe,
        },
    }
}

pub(super) fn cors(raw: &RawRoute, desk: &mut Desk<'_>) -> Cors {
    match raw.cors.as_ref().map(|given| (&given.value, given)) {
        None => Cors::Unknown,
        Some((RawCors::Pass, _)) => Cors::Pass,
        Some((RawCors::Plan(plan), given)) => {
            plan_of(plan, given, desk).map_or(Cors::Unknown, Cors::Answered)
        }
    }
}

fn plan_of(raw: &RawCorsPlan, given: &At<RawCors>, desk: &mut Desk<'_>) -> Option<CorsPlan> {
    let credentials = raw.credentials.as_ref().is_some_and(|credentials| credentials.value);
    let named = listed(raw.origins.as_ref());
    let everybody = named.iter().any(|origin| origin.value == "*");
    if everybody && (credentials || named.len() > 1) {
        desk.error(
            &given.span,
            "`*` is everybody, and stands alone, without `credentials`",
            "name the origins whose scripts may read what people see",
        );
    }
    let origins = named.iter().filter(|_| !everybody).filter_map(|text| public_origin(text, desk)).collect();
    let max_age = bounded(raw.max_age.as_ref(), 600 * SECOND, Duration::ZERO..=DAY, desk);
    let methods = names(listed(raw.methods.as_ref()), desk, |text| {
        Method::from_bytes(text.as_bytes()).is_ok() && text.bytes().all(|byte| !byte.is_ascii_lowercase())
    });
    let is_header = |text: &str| HeaderName::try_from(text).is_ok();
    let headers = names(listed(raw.headers.as_ref()), desk, is_header);
    let expose = names(listed(raw.expose.as_ref()), desk, is_header);
    raw.origins.as_ref()?;
    Some(CorsPlan {
        origins,
        methods: methods.unwrap_or(HeaderValue::from_static("GET, HEAD, POST")),
        headers,
        expose,
        credentials,
        max_age: u32::try_from(max_age.as_secs()).unwrap_or(u32::MAX),
    })
}

fn listed(list: Option<&At<Vec<At<String>>>>) -> &[At<String>] {
    list.map_or(&[], |list| &list.value)
}

fn public_origin(text: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    match origin(&text.value) {
        Ok(place) => {
            let port = place.port();
            // As browsers write it: in lower case, without the scheme's own port.
            Some(Origin { secure: place.secure, name: place.host.name, port }.to_string())
        }
        Err(why) => {
            desk.error(
                &text.span,
                format!("this is no origin: {why}"),
                "write `https://host` or `https://host:port`, or `*` alone for everybody",
            );
            None
        }
    }
}

fn names(list: &[At<String>], desk: &mut Desk<'_>, fits: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    for text in list.iter().filter(|text| !fits(&text.value)) {
        let quoted = desk.quoted(&text.span);
        desk.error(
            &text.span,
            format!("{quoted} is no such name"),
            "write methods such as `PUT`, headers such as `X-Total`",
        );
    }
    let joined = list.iter().map(|text| text.value.as_str()).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { None } else { HeaderValue::try_from(joined).ok() }
}
