//! One rule: which requests, who may pass, what the app is told.
//!
//! **Invariant:** who may pass a route is written in the file, for each route.

use std::sync::Arc;

use http::Method;

use super::host::Surroundings;
use super::provider::level;
use super::session::HostSessions;
use super::{
    DAY, MINUTE, SECOND, Span, access_token, assertion, bounded, browser, count, distinct, forward_auth,
    header, path, policy, signature, token, websocket,
};
use crate::access::{Access, Requirement};
use crate::app_session::AppSession;
use crate::clock::Timestamp;
use crate::config::problem::nearest;
use crate::config::raw::{
    RawAccess, RawActivity, RawCache, RawKind, RawMaintenance, RawRate, RawRequire, RawRoute, RawStaleness,
    RawToken,
};
use crate::config::shape::{At, Desk};
use crate::identity::{Kind, Kinds};
use crate::level::Level;
use crate::login::usual::{self, asserts, reaches};
use crate::provider::ProviderSettings;
use crate::request::HostName;
use crate::route::{
    Activity, Carrier, Lines, Maintenance, Origin, Pattern, Rate, Route, Staleness, UpstreamHost,
};
use crate::way::Way;

/// How long a message to everybody may be, in characters.
const MESSAGE: usize = 500;

/// Ours besides the prefix (`design.md` 2).
const WELL_KNOWN: &str = "/.well-known/portvakt";

/// A route, and where it stands.
pub(super) struct Placed {
    pub(super) pattern: Pattern,
    pub(super) methods: Option<Vec<Method>>,
    pub(super) path: Span,
    pub(super) access: Span,
}

/// Checks one route of a host.
pub(super) fn route(
    raw: &RawRoute,
    host: Option<&Origin>,
    sessions: &mut HostSessions<'_>,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Option<(Route, Placed)> {
    // Everything is checked before anything is missed.
    let logs_in = raw.access.as_ref().is_some_and(|access| access.value.logs_in());
    let choice = raw.choose.as_ref().filter(|_| logs_in);
    let ways = choice.map(|given| sessions.of_choice(raw, given, desk));
    let session = match &ways {
        Some(ways) => ways.as_ref().and_then(|ways| Some(Arc::clone(&ways.first()?.plan))),
        None if logs_in => sessions.of_route(raw, desk),
        None => sessions.own(),
    };
    let ways = ways.flatten().unwrap_or_default();
    let providers: Vec<&ProviderSettings> = if ways.is_empty() {
        session.iter().map(|session| &*session.provider).collect()
    } else {
        ways.iter().map(|way| &*way.plan.provider).collect()
    };
    let pattern = raw.path.as_ref().and_then(|path| pattern(path, surroundings.prefix, desk));
    let access = raw.access.as_ref().and_then(|given| access(given, raw, &providers, surroundings, desk));
    if let (Some(given), Some(requirement)) = (choice, access.as_ref().and_then(Access::requirement)) {
        check_ways(given, &ways, requirement, desk);
    }
    let upstream = raw.upstream.as_ref().and_then(|name| surroundings.upstreams.find(name, desk));
    let asked_about = forward_auth::of_route(raw, desk);
    let methods = raw.methods.as_ref().map(|methods| self::methods(&methods.value, desk));
    let upstream_host = raw.host.as_ref().map_or(UpstreamHost::Keep, |host| self::upstream_host(host, desk));
    let audience = audience(raw, desk);
    let asked = access.as_ref().and_then(|access: &Access| access.requirement()?.representation.as_ref());
    let asked = asked.map(|representation| representation.id());
    let headers = header::plan(raw, audience, surroundings.persistence, desk).asking(asked);
    let origin = host.map(Origin::to_string).unwrap_or_default();
    let assertion = assertion::plan(raw, &headers, &origin, surroundings, desk);
    let signature = signature::plan(raw, &headers, desk);
    let client_signatures = signature::client_signatures(raw, desk);
    let verified = verified(raw, desk);
    let access_token = access_token::of_route(raw, &providers, &headers, surroundings, desk);
    let cors = browser::cors(raw, desk);
    let app_session = upstream.as_ref().filter(|upstream| !upstream.app_cookies.is_empty()).map(|upstream| {
        let within =
            session.as_ref().filter(|session| !session.is_usual()).map(|session| session.name.as_str());
        AppSession::new(upstream.app_cookies.clone(), upstream.app_logout.clone(), headers.audience(), within)
    });
    let (rewrite, limits) = (path::rewrite(raw, pattern.as_ref(), desk), path::limits(raw, desk));
    let websocket =
        websocket::websockets(raw, methods.as_deref(), upstream.as_deref(), surroundings.circumstances, desk);
    let (path, given, pattern) = (raw.path.as_ref()?, raw.access.as_ref()?, pattern?);
    let placed = Placed {
        pattern: pattern.clone(),
        methods: methods.clone(),
        path: path.span.clone(),
        access: given.span.clone(),
    };
    let route = Route {
        lines: lines(raw, desk),
        name: format!("{} {pattern}", host.map_or("", |host| host.name.as_str())),
        pattern,
        methods,
        access: access?,
        session,
        // One is no choice.
        ways: if ways.len() > 1 { ways } else { Vec::new() },
        carrier: if asked_about { Carrier::AskingProxy } else { Carrier::Gateway(upstream?) },
        host: upstream_host,
        rewrite,
        encoded_slash: raw.encoded_slash.as_ref().is_some_and(|allowed| allowed.value),
        limits,
        headers: Arc::new(headers),
        assertion: assertion.map(Arc::new),
        signature: signature.map(Arc::new),
        client_signatures,
        verified,
        access_token,
        app_session: app_session.map(Arc::new),
        rate: raw.rate.as_ref().and_then(|rate| self::rate(&rate.value, desk)),
        maintenance: raw.maintenance.as_ref().and_then(|given| maintenance(&given.value, desk)),
        cross_site: browser::cross_site(raw, &cors),
        cors,
        security_headers: browser::security_headers(raw),
        activity: raw.activity.as_ref().map_or(Activity::Navigation, |activity| match activity.value {
            RawActivity::Navigation => Activity::Navigation,
            RawActivity::Any => Activity::Any,
        }),
        revocation: raw.revocation.as_ref().map_or(Staleness::Strict, |revocation| match revocation.value {
            RawStaleness::Strict => Staleness::Strict,
            RawStaleness::Available => Staleness::Available,
        }),
        websocket,
        keep_cache_control: raw.cache.as_ref().is_some_and(|cache| cache.value == RawCache::App),
    };
    Some((route, placed))
}

/// Whether the app is said to check: it can check only what it is given.
fn verified(raw: &RawRoute, desk: &mut Desk<'_>) -> bool {
    let Some(said) = raw.verified.as_ref().filter(|said| said.value) else { return false };
    let asserted = raw.assertion.as_ref().is_some_and(|wanted| wanted.value);
    let unread = ["assertion", "signature"].iter().any(|key| raw.unread.contains(key));
    if !asserted && raw.signature.is_none() && !unread {
        let fix = "write `signature: ed25519` or `assertion: true`, or remove this";
        desk.error(&said.span, "the app gets no proof that it could verify", fix);
    }
    true
}

pub(super) fn rate(raw: &RawRate, desk: &mut Desk<'_>) -> Option<Rate> {
    let most = 1..=1_000_000;
    let requests = count(raw.requests.as_ref(), most.clone(), desk);
    let burst = count(raw.burst.as_ref(), most, desk).or(requests)?;
    let per = bounded(raw.per.as_ref(), SECOND, SECOND..=DAY, desk);
    let small = |number| u32::try_from(number).ok();
    Some(Rate { requests: small(requests?)?, per, burst: small(burst)? })
}

/// The lines of what decides.
fn lines(raw: &RawRoute, desk: &Desk<'_>) -> Lines {
    fn span<T>(field: &Option<At<T>>) -> Option<&Span> {
        field.as_ref().map(|field| &field.span)
    }
    let (none, no_token) = (RawRequire::default(), RawToken::default());
    let require = raw.require.as_ref().map_or(&none, |require| &require.value);
    let token = raw.token.as_ref().map_or(&no_token, |token| &token.value);
    let places = [
        ("path", span(&raw.path)),
        ("access", span(&raw.access)),
        ("forward_auth", span(&raw.forward_auth)),
        ("methods", span(&raw.methods)),
        ("cross_site", span(&raw.cross_site)),
        ("cors", span(&raw.cors)),
        ("maintenance", span(&raw.maintenance)),
        ("authorization_details", span(&raw.authorization_details)),
        ("level", span(&require.level)),
        ("kinds", span(&require.kinds)),
        ("providers", span(&require.providers)),
        ("countries", span(&require.countries)),
        ("not_amr", span(&require.not_amr)),
        ("organisation", span(&require.organisation)),
        ("organisations", span(&require.organisations)),
        ("fnr", span(&require.fnr)),
        ("max_age", span(&require.max_age)),
        ("token", span(&raw.token)),
        ("scopes", span(&token.scopes)),
        ("consumers", span(&token.consumers)),
        ("delegation", span(&token.delegation)),
        ("suppliers", span(&token.suppliers)),
        ("token_audience", span(&token.audience)),
    ];
    let placed = places.into_iter().filter_map(|(key, span)| Some((key, desk.line(span?))));
    Lines::new(placed.collect())
}

fn maintenance(raw: &RawMaintenance, desk: &mut Desk<'_>) -> Option<Maintenance> {
    let plan = match raw {
        RawMaintenance::Flag(closed) => return closed.then(Maintenance::default),
        RawMaintenance::Plan(plan) => plan,
    };
    if let Some(given) = &plan.message
        && (given.value.trim().is_empty() || given.value.chars().count() > MESSAGE)
    {
        desk.error(
            &given.span,
            "this cannot stand on a page",
            format!("write one paragraph of at most {MESSAGE} characters"),
        );
    }
    let until = plan.until.as_ref().and_then(|given| {
        let until = Timestamp::parse(&given.value);
        if until.is_none() {
            desk.error(
                &given.span,
                format!("{} is not a point in time", desk.quoted(&given.span)),
                "write one such as `2026-12-01T06:00:00+01:00`",
            );
        }
        until
    });
    Some(Maintenance { message: plan.message.as_ref().map(|given| given.value.as_str().into()), until })
}

fn pattern(path: &At<String>, prefix: &str, desk: &mut Desk<'_>) -> Option<Pattern> {
    let pattern = match Pattern::parse(&path.value) {
        Ok(pattern) => pattern,
        Err(why) => {
            desk.error(&path.span, why.to_string(), "write `/exact`, `/below/**` or `/any/*/segment`");
            return None;
        }
    };
    let lower = |text: &str| Pattern::parse(&text.to_ascii_lowercase()).ok();
    for ours in [prefix, WELL_KNOWN] {
        let (Some(below), Some(folded)) = (lower(&format!("{ours}/**")), lower(&path.value)) else {
            continue;
        };
        if below.covers(&folded) {
            desk.error(
                &path.span,
                format!("no request reaches this route: everything below `{ours}` is the gateway's own"),
                "choose another path, or another `prefix`",
            );
            return None;
        }
    }
    Some(pattern)
}

fn access(
    given: &At<RawAccess>,
    raw: &RawRoute,
    providers: &[&ProviderSettings],
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Option<Access> {
    let token = token::rule(given, raw, surroundings, desk);
    Some(match given.value {
        RawAccess::Public => {
            refuse_without_login(given, raw, "a public route", desk);
            refuse_on_public(raw, desk);
            Access::Public
        }
        RawAccess::Token => {
            refuse_without_login(given, raw, "a route for machines", desk);
            Access::Token(token?)
        }
        RawAccess::Optional => Access::Optional(requirement(given, raw, providers, surroundings, desk)),
        RawAccess::Login => {
            let requirement = requirement(given, raw, providers, surroundings, desk);
            match (&raw.token, token) {
                (None, _) => Access::Login(requirement),
                (Some(_), token) => Access::LoginOrToken(requirement, token?),
            }
        }
    })
}

/// Keys that speak of a login, where there is none.
fn refuse_without_login(given: &At<RawAccess>, raw: &RawRoute, place: &str, desk: &mut Desk<'_>) {
    if let Some(require) = &raw.require {
        let line = desk.line(&given.span);
        desk.error(
            &require.span,
            format!("`require` has no effect on {place}"),
            format!("write `access: login` on line {line}, or remove `require`"),
        );
    }
    let keys = [
        ("session", raw.session.as_ref().map(|field| &field.span)),
        ("choose", raw.choose.as_ref().map(|field| &field.span)),
        ("activity", raw.activity.as_ref().map(|field| &field.span)),
        ("revocation", raw.revocation.as_ref().map(|field| &field.span)),
        ("authorization_details", raw.authorization_details.as_ref().map(|field| &field.span)),
        ("choose_organisation", raw.choose_organisation.as_ref().map(|field| &field.span)),
        ("acr_values", raw.acr_values.as_ref().map(|field| &field.span)),
    ];
    for (key, span) in keys.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        desk.warn(
            span,
            format!("`{key}` has no effect on {place}: nobody logs in for it"),
            "remove it, or write `access: login`",
        );
    }
}

/// Keys that speak of what the app is told, where it is told of nobody.
fn refuse_on_public(raw: &RawRoute, desk: &mut Desk<'_>) {
    let keys = [
        ("cache", raw.cache.as_ref().map(|field| &field.span)),
        ("audience", raw.audience.as_ref().map(|field| &field.span)),
        ("assertion", raw.assertion.as_ref().filter(|wanted| wanted.value).map(|field| &field.span)),
        ("headers", raw.headers.as_ref().map(|field| &field.span)),
    ];
    for (key, span) in keys.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        desk.warn(
            span,
            format!("`{key}` has no effect on a public route: its app is told of nobody"),
            "remove it, or write `access: optional` or `login`",
        );
    }
}

/// What a login must be worth. What the file leaves out is `substantial` where the provider has levels, and
/// `national` where it asserts national numbers: who wants less says so.
fn requirement(
    given: &At<RawAccess>,
    raw: &RawRoute,
    providers: &[&ProviderSettings],
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Requirement {
    let none = RawRequire::default();
    let require = raw.require.as_ref().map_or(&none, |require| &require.value);
    let max_age = require.max_age.as_ref().map(|age| bounded(Some(age), MINUTE, SECOND..=DAY, desk));
    let named_kinds = require.kinds.as_ref().map(|kinds| self::kinds(&kinds.value, desk));
    let named_level = require.level.as_ref().map(|level| self::level(level.value));
    let Some(&provider) = providers.first() else {
        return Requirement {
            level: named_level.flatten(),
            kinds: named_kinds.unwrap_or_default(),
            max_age,
            ..Requirement::default()
        };
    };
    let kinds =
        named_kinds.unwrap_or_else(|| providers.iter().flat_map(|provider| usual::kinds(provider)).collect());
    let usual_level = || providers.iter().filter_map(|provider| usual::level(provider, &kinds)).max();
    let level = named_level.unwrap_or_else(usual_level);
    if raw.choose.is_some() {
        let requirement = Requirement { level, kinds, max_age, ..Requirement::default() };
        return policy::beyond_choice(requirement, raw, require, providers, surroundings, desk);
    }
    let at = require
        .level
        .as_ref()
        .map(|level| &level.span)
        .or(require.kinds.as_ref().map(|kinds| &kinds.span))
        .unwrap_or(&given.span);
    check_reach(provider, require, &kinds, level, at, desk);
    let requirement = Requirement { level, kinds, max_age, ..Requirement::default() };
    policy::beyond(requirement, raw, require, provider, surroundings, desk)
}

/// A way by which nobody can pass only leads to a page that says so.
fn check_ways(given: &At<Vec<At<String>>>, ways: &[Way], requirement: &Requirement, desk: &mut Desk<'_>) {
    for (way, entry) in ways.iter().zip(&given.value) {
        if !way.satisfies(requirement) {
            let provider = &way.plan.provider.name;
            desk.error(
                &entry.span,
                format!("nobody passes by this way: no login at the provider `{provider}` is of a kind and level that the route takes"),
                "remove it, or change `require`",
            );
        }
    }
}

fn check_reach(
    provider: &ProviderSettings,
    require: &RawRequire,
    kinds: &Kinds,
    level: Option<Level>,
    at: &Span,
    desk: &mut Desk<'_>,
) {
    let mut unasserted = false;
    for kind in require.kinds.iter().flat_map(|kinds| &kinds.value) {
        if !asserts(provider, self::kind(kind.value)) {
            unasserted = true;
            desk.error(
                &kind.span,
                format!("the provider `{}` never asserts this kind", provider.name),
                "remove it, or add what its `acr` values are worth",
            );
        }
    }
    let people: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| kinds.is_empty() || kinds.contains(kind)).collect();
    let Some(wanted) = level.filter(|_| !unasserted) else { return };
    let reaching: Vec<Kind> = people.iter().copied().filter(|kind| reaches(provider, *kind, level)).collect();
    if reaching.is_empty() {
        desk.error(at, format!("nobody reaches level `{wanted}` at the provider `{}`", provider.name), "ask for a lower level, or add what the provider's `acr` values are worth, with `requestable: true`");
        return;
    }
    for kind in require.kinds.iter().flat_map(|kinds| &kinds.value) {
        if !reaching.contains(&self::kind(kind.value)) {
            desk.warn(
                &kind.span,
                format!("this kind never reaches level `{wanted}` at the provider `{}`", provider.name),
                "remove it, or ask for a lower level",
            );
        }
    }
}

fn kind(raw: RawKind) -> Kind {
    match raw {
        RawKind::National => Kind::National,
        RawKind::Eidas => Kind::Eidas,
        RawKind::Helper => Kind::Helper,
        RawKind::Email => Kind::Email,
        RawKind::Employee => Kind::Employee,
        RawKind::Pseudonymous => Kind::Pseudonymous,
    }
}

fn kinds(list: &[At<RawKind>], desk: &mut Desk<'_>) -> Kinds {
    let mut kinds = Kinds::new();
    for item in list {
        if !kinds.insert(kind(item.value)) {
            desk.error(
                &item.span,
                format!("{} is there twice", desk.quoted(&item.span)),
                "keep one of the two",
            );
        }
    }
    kinds
}

fn methods(list: &[At<String>], desk: &mut Desk<'_>) -> Vec<Method> {
    for item in list {
        let text = item.value.as_str();
        let quoted = desk.quoted(&item.span);
        if Method::from_bytes(text.as_bytes()).is_err() {
            desk.error(&item.span, format!("{quoted} is no method"), "write one such as `GET`");
        } else if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            desk.error(
                &item.span,
                format!("{quoted} is not a known method: methods are case-sensitive"),
                format!("write `{}`", text.to_ascii_uppercase()),
            );
        } else if matches!(text, "CONNECT" | "TRACE") {
            desk.error(&item.span, format!("{quoted} is never forwarded"), "remove it");
        }
    }
    distinct(list, desk).iter().filter_map(|text| Method::from_bytes(text.as_bytes()).ok()).collect()
}

fn upstream_host(given: &At<String>, desk: &mut Desk<'_>) -> UpstreamHost {
    match given.value.as_str() {
        "keep" => return UpstreamHost::Keep,
        "upstream" => return UpstreamHost::Upstream,
        _ => {}
    }
    if let Some(meant) = nearest(&given.value, ["keep", "upstream"]) {
        desk.error(
            &given.span,
            format!("{} is probably not meant; did you mean `{meant}`?", desk.quoted(&given.span)),
            "write `keep`, `upstream` or a whole host name",
        );
    } else if HostName::parse(&given.value).is_err() {
        desk.error(
            &given.span,
            format!("{} is no host name", desk.quoted(&given.span)),
            "write `keep`, `upstream` or a name such as `app.internal`",
        );
    }
    UpstreamHost::Named(given.value.clone())
}

fn audience(raw: &RawRoute, desk: &mut Desk<'_>) -> String {
    if let Some(given) = &raw.audience {
        if given.value.len() > 200 || !given.value.bytes().all(|byte| byte.is_ascii_graphic()) {
            desk.error(
                &given.span,
                "this is no audience",
                "write at most 200 printable ASCII characters without blanks",
            );
        }
        return given.value.clone();
    }
    raw.upstream.as_ref().map(|upstream| upstream.value.clone()).unwrap_or_default()
}
