//! The expectations of a file: their shape. Whether they hold is for who can judge requests.

use http::{HeaderName, HeaderValue, Method};

use super::place;
use crate::config::raw::{RawExpected, RawFile, RawTest};
use crate::config::shape::{At, Desk, Named};
use crate::config::{Expectation, Outcome};

/// The most expectations of a file: each is judged at every start and reload.
const MAX_TESTS: usize = 500;

/// The value of `as` for nobody.
const NOBODY: &str = "nobody";

pub(super) fn tests(raw: &RawFile, desk: &mut Desk<'_>) -> Vec<Expectation> {
    let Some(tests) = &raw.tests else { return Vec::new() };
    if tests.value.len() > MAX_TESTS {
        let message = format!("these are more than {MAX_TESTS} expectations");
        desk.error(&tests.span, message, "keep those that would be missed");
    }
    tests.value.iter().take(MAX_TESTS).filter_map(|test| expectation(&test.value, desk)).collect()
}

fn expectation(raw: &RawTest, desk: &mut Desk<'_>) -> Option<Expectation> {
    // Everything is checked before anything is missed.
    let request = raw.request.as_ref().and_then(|request| self::request(request, desk));
    let who = match raw.r#as.as_ref().filter(|who| who.value != NOBODY) {
        None => Some(None),
        Some(who) => supposed(who, desk).map(Some),
    };
    let with = raw.with.as_ref().map_or_else(Vec::new, |with| headers(&with.value, desk));
    let lists = [&raw.headers, &raw.not_headers].map(|list| {
        let names = list.iter().flat_map(|list| &list.value);
        names.filter_map(|name| header_name(name, desk)).map(|name| name.to_string()).collect::<Vec<_>>()
    });
    let expected = raw.expect.as_ref()?;
    let outcome = outcome(expected.value);
    if outcome != Outcome::Forward {
        let keys = [
            ("upstream", raw.upstream.as_ref().map(|field| &field.span)),
            ("headers", raw.headers.as_ref().map(|field| &field.span)),
            ("not_headers", raw.not_headers.as_ref().map(|field| &field.span)),
        ];
        for (key, span) in keys.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            let message = format!("`{key}` says nothing of a request that reaches no app");
            desk.error(span, message, "write `expect: forward`, or remove it");
        }
    }
    let [headers, not_headers] = lists;
    let (method, url) = request?;
    Some(Expectation {
        place: desk.place(&expected.span),
        method,
        url,
        who: who?,
        with,
        outcome,
        upstream: raw.upstream.as_ref().map(|upstream| upstream.value.clone()),
        headers,
        not_headers,
    })
}

/// `GET https://host/path`. The path is taken as it stands: also what must be refused can be expected.
fn request(given: &At<String>, desk: &mut Desk<'_>) -> Option<(Method, String)> {
    let parsed = given.value.split_once(' ').and_then(|(method, url)| {
        let known = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let end = url.find("://").map_or(url.len(), |at| at + 3);
        let authority = url[end..].find(['/', '?', '#']).map_or(url, |at| &url[..end + at]);
        place::origin(authority).ok().filter(|_| known)?;
        Some((Method::from_bytes(method.as_bytes()).ok()?, url.to_owned()))
    });
    if parsed.is_none() {
        let message = format!("{} is no request", desk.quoted(&given.span));
        desk.error(
            &given.span,
            message,
            "write a method and a whole URL, such as `GET https://app.example.no/`",
        );
    }
    parsed
}

fn supposed(given: &At<String>, desk: &mut Desk<'_>) -> Option<crate::supposed::Supposed> {
    match given.value.parse() {
        Ok(supposed) => Some(supposed),
        Err(why) => {
            let fix = "write `nobody`, or kind and level such as `national:substantial`, `eidas:high,country=SE`, `employee:high,org=974760673` or `machine,scope=NAME`";
            desk.error(&given.span, format!("{why}"), fix);
            None
        }
    }
}

fn headers(given: &Named<String>, desk: &mut Desk<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in &given.0 {
        let (name, Some(value)) = (header_name(name, desk), value) else { continue };
        match (name, HeaderValue::try_from(&value.value)) {
            (Some(name), Ok(value)) => headers.push((name, value)),
            (_, Err(_)) => desk.error(&value.span, "this is no value of a header", "write printable text"),
            (None, Ok(_)) => {}
        }
    }
    headers
}

fn header_name(given: &At<String>, desk: &mut Desk<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(given.value.as_bytes()).ok();
    if name.is_none() {
        let message = format!("{} is no header name", desk.quoted(&given.span));
        desk.error(&given.span, message, "write one such as `X-Identity-Fnr`");
    }
    name
}

const fn outcome(raw: RawExpected) -> Outcome {
    match raw {
        RawExpected::Forward => Outcome::Forward,
        RawExpected::Login => Outcome::Login,
        RawExpected::Token => Outcome::Token,
        RawExpected::StepUp => Outcome::StepUp,
        RawExpected::Forbidden => Outcome::Forbidden,
        RawExpected::Refused => Outcome::Refused,
        RawExpected::NotFound => Outcome::NotFound,
        RawExpected::Own => Outcome::Own,
    }
}
