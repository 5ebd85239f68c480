//! The names under which an app is told (`threats.md` ID-1 to ID-3).
//!
//! **Invariant:** two facts never share a name, and no name is one by which servers frame, route or
//! authenticate a request.

use std::sync::Arc;

use http::HeaderName;

use crate::config::problem::{Span, nearest, one_of};
use crate::config::raw::{RawEncoding, RawHeader, RawHeaderUse, RawHeaders, RawRoute};
use crate::config::shape::{At, Desk};
use crate::forward::preset::Preset;
use crate::forward::{Encoding, Fact, HeaderChange, HeaderPlan, Persistence};

/// Fields that mean something to every server; in lower case.
const TAKEN: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "set-cookie",
    "signature",
    "signature-input",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-identity-assertion",
    "x-real-ip",
];

/// By at least one of these an app knows who it is.
const IDENTIFIERS: [Fact; 4] = [Fact::Fnr, Fact::EidasIdentifier, Fact::Subject, Fact::Pseudonym];

/// What a route tells its app.
pub(super) fn plan(
    raw: &RawRoute,
    audience: String,
    persistence: &Arc<Persistence>,
    desk: &mut Desk<'_>,
) -> HeaderPlan {
    let Some(headers) = &raw.headers else {
        return HeaderPlan::new(audience, &[]).with_persistence(Arc::clone(persistence));
    };
    let given = &headers.value;
    let preset = given.preset.as_ref().and_then(|preset| Preset::named(preset.value.name()));
    let usual =
        given.encoding.as_ref().map_or(Encoding::default(), |encoding| self::encoding(encoding, desk));
    let mut changes = Vec::new();
    let mut spans = Vec::new();
    for (key, header) in &given.facts.0 {
        let Some(fact) = Fact::ALL.into_iter().find(|fact| fact.key() == key.value) else {
            unknown_fact(key, desk);
            continue;
        };
        let Some(header) = header else { continue };
        let Some(change) = change(header, preset, usual, desk) else { continue };
        spans.push((fact, header.span.clone()));
        changes.push((fact, change));
    }
    let plan = match preset {
        Some(preset) => HeaderPlan::of_preset(audience, preset, usual, &changes),
        None => HeaderPlan::new(audience, &changes),
    };
    check_preset(given, raw, &plan, desk);
    check_names(&plan, &spans, desk);
    let drops = |fact: &Fact| !plan.headers().iter().any(|header| header.fact == *fact);
    if !plan.is_bearer() && IDENTIFIERS.iter().all(drops) {
        desk.warn(
            &headers.span,
            "the app is not told who it is",
            "keep one of `fnr`, `eidas_identifier` and `subject`, or add `pseudonym`, unless the app needs no person",
        );
    }
    plan.with_persistence(Arc::clone(persistence))
}

/// What a preset needs, and what needs a preset.
fn check_preset(given: &RawHeaders, raw: &RawRoute, plan: &HeaderPlan, desk: &mut Desk<'_>) {
    if let (None, Some(encoding)) = (&given.preset, &given.encoding) {
        let fix = "write it for the facts that have text, such as `family_name: {encoding: rfc8187}`";
        desk.error(&encoding.span, "the encoding of all facts goes with a preset", fix);
    }
    let Some(preset) = given.preset.as_ref().filter(|_| plan.is_bearer()) else { return };
    let asserted = raw.assertion.as_ref().is_some_and(|wanted| wanted.value);
    if !asserted && !raw.unread.contains(&"assertion") {
        let fix = "write `assertion: true` on this route too";
        desk.error(
            &preset.span,
            "the token that this preset sends is the assertion, and the route has none",
            fix,
        );
    }
}

fn unknown_fact(key: &At<String>, desk: &mut Desk<'_>) {
    let names = || Fact::ALL.into_iter().map(Fact::key);
    let hint =
        nearest(&key.value, names()).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    let message = format!("there is no fact {}{hint}", desk.quoted(&key.span));
    desk.error(&key.span, message, format!("the facts are {}", one_of(names()).replace(" or ", " and ")));
}

fn change(
    raw: &At<RawHeader>,
    preset: Option<&Preset>,
    usual: Encoding,
    desk: &mut Desk<'_>,
) -> Option<HeaderChange> {
    let RawHeader::Use(RawHeaderUse { name, encoding, .. }) = &raw.value else {
        return Some(HeaderChange::Drop);
    };
    let name = match name {
        Some(name) => Some(header_name(name, preset, desk)?),
        None => None,
    };
    let encoding = encoding.as_ref().map_or(usual, |encoding| self::encoding(encoding, desk));
    Some(HeaderChange::Use { name, encoding })
}

fn encoding(raw: &At<RawEncoding>, desk: &mut Desk<'_>) -> Encoding {
    if matches!(raw.value, RawEncoding::InsecureUtf8 | RawEncoding::InsecureLatin1) {
        desk.warn(
            &raw.span,
            "servers read raw bytes beyond ASCII in different ways",
            "write `percent` or `rfc8187`, if the app can decode one of them",
        );
    }
    match raw.value {
        RawEncoding::Percent => Encoding::Percent,
        RawEncoding::Rfc8187 => Encoding::Rfc8187,
        RawEncoding::InsecureUtf8 => Encoding::InsecureUtf8,
        RawEncoding::InsecureLatin1 => Encoding::InsecureLatin1,
    }
}

fn header_name(text: &At<String>, preset: Option<&Preset>, desk: &mut Desk<'_>) -> Option<HeaderName> {
    let name = text.value.as_str();
    // The app reads it under this name already, whichever fact it gets.
    if preset.is_some_and(|preset| preset.has(name)) {
        return HeaderName::from_bytes(name.as_bytes()).ok();
    }
    let quoted = desk.quoted(&text.span);
    if name.contains('_') {
        desk.error(
            &text.span,
            format!("{quoted} has an underscore: servers drop such headers, or take them for `-`"),
            format!("write `{}`", name.replace('_', "-")),
        );
        return None;
    }
    let fits = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !fits {
        desk.error(
            &text.span,
            format!("{quoted} is no header name"),
            "write at most 64 letters, digits and `-`, a letter first",
        );
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if TAKEN.contains(&lower.as_str())
        || lower.starts_with("sec-")
        || lower.starts_with("access-control-")
        || lower.starts_with("x-portvakt")
    {
        desk.error(
            &text.span,
            format!("{quoted} means something else to servers"),
            "choose another name, such as `X-Person`",
        );
        return None;
    }
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// Two facts under one name would be one lie.
fn check_names(plan: &HeaderPlan, spans: &[(Fact, Span)], desk: &mut Desk<'_>) {
    let span_of = |fact| spans.iter().find(|(changed, _)| *changed == fact).map(|(_, span)| span);
    for (at, header) in plan.headers().iter().enumerate() {
        let same = |other: &str| other.replace('_', "-").eq_ignore_ascii_case(&header.name.replace('_', "-"));
        let twin = plan.headers()[..at].iter().find(|other| same(&other.name));
        let Some(twin) = twin else { continue };
        if let Some(span) = span_of(header.fact).or_else(|| span_of(twin.fact)) {
            let message =
                format!("`{}` and `{}` would have the same name", twin.fact.key(), header.fact.key());
            desk.error(span, message, "give each a name of its own, or drop one");
        }
    }
}
