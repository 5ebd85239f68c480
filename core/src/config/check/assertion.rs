//! The assertions that apps get (`design.md` D7b).
//!
//! **Invariant:** whoever verifies an assertion can tell its issuer: an https URL, as the file has it.

use super::host::Surroundings;
use super::place::url;
use super::{Circumstances, Desk};
use crate::config::raw::{RawAccess, RawFile, RawHeader, RawRoute};
use crate::config::shape::{At, Size};
use crate::forward::HeaderPlan;
use crate::forward::assertion::{AssertionPlan, NEEDED};

const MEBIBYTE: usize = 1 << 20;
const DEFAULT_CACHE: Size = Size(32 * MEBIBYTE);
const LEAST_CACHE: Size = Size(MEBIBYTE);
const GREATEST_CACHE: Size = Size(4096 * MEBIBYTE);

/// What the file says for all routes.
pub(super) struct Assertion {
    /// `iss`, where the file has one for all hosts.
    pub(super) issuer: Option<String>,
    /// In bytes.
    pub(super) cache: usize,
}

pub(super) fn assertion(file: &RawFile, circumstances: Circumstances, desk: &mut Desk<'_>) -> Assertion {
    let given = file.assertion.as_ref();
    let issuer = given.and_then(|given| given.value.issuer.as_ref());
    if let Some(issuer) = issuer {
        check_issuer(issuer, circumstances, desk);
    }
    if let Some(given) = given.filter(|_| !is_wanted(file)) {
        let fix = "write `assertion: true` on the routes whose apps verify it, or remove this";
        desk.warn(&given.span, "no route asks for assertions", fix);
    }
    Assertion {
        issuer: issuer.map(|issuer| issuer.value.clone()),
        cache: cache(given.and_then(|given| given.value.cache.as_ref()), desk),
    }
}

/// What the assertions of a route say, if it asks for them.
pub(super) fn plan(
    raw: &RawRoute,
    headers: &HeaderPlan,
    origin: &str,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Option<AssertionPlan> {
    let once = raw.assertion_once.as_ref().filter(|wanted| wanted.value);
    if raw.assertion.as_ref().is_none_or(|wanted| !wanted.value) {
        if let Some(once) = once.filter(|_| !raw.unread.contains(&"assertion")) {
            desk.error(
                &once.span,
                "there is no assertion on this route",
                "write `assertion: true` too, or remove this",
            );
        }
        return None;
    }
    if raw.access.as_ref().is_some_and(|access| access.value == RawAccess::Public) {
        return None;
    }
    for (fact, header) in raw.headers.iter().flat_map(|headers| &headers.value.facts.0) {
        let dropped = header.as_ref().is_some_and(|header| matches!(header.value, RawHeader::Drop));
        if dropped && NEEDED.iter().any(|needed| needed.key() == fact.value) {
            desk.error(
                &fact.span,
                format!("an assertion says whom it speaks of, and this route drops `{}`", fact.value),
                "keep this fact, or remove `assertion`",
            );
        }
    }
    let plan = AssertionPlan::new(surroundings.issuer.unwrap_or(origin).to_owned(), headers);
    Some(plan.once(once.is_some()))
}

fn is_wanted(file: &RawFile) -> bool {
    let routes =
        file.hosts.iter().flat_map(|hosts| &hosts.value).filter_map(|host| host.value.routes.as_ref());
    routes.flat_map(|routes| &routes.value).any(|route| {
        let route = &route.value;
        route.assertion.as_ref().is_some_and(|wanted| wanted.value) || route.unread.contains(&"assertion")
    })
}

fn check_issuer(issuer: &At<String>, circumstances: Circumstances, desk: &mut Desk<'_>) {
    match url(&issuer.value) {
        Err(why) => {
            let fix = "write a URL such as `https://login.example`";
            desk.error(&issuer.span, format!("this is no issuer: {why}"), fix);
        }
        Ok((place, _)) if !circumstances.allow(&place) => desk.error(
            &issuer.span,
            "an issuer is an https URL",
            "write `https://`; plain http is for loopback names, with `insecure_http_loopback: true`",
        ),
        Ok(_) => {}
    }
}

fn cache(given: Option<&At<Size>>, desk: &mut Desk<'_>) -> usize {
    let Some(given) = given else { return DEFAULT_CACHE.0 };
    if !(LEAST_CACHE..=GREATEST_CACHE).contains(&given.value) {
        let message = format!("{} is out of bounds", desk.quoted(&given.span));
        desk.error(&given.span, message, "write a size from 1MiB to 4GiB");
    }
    given.value.0
}
