//! Hosts, and their routes side by side: ties and weak rules.

use std::collections::HashSet;
use std::sync::Arc;

use super::browser;
use super::pages;
use super::place::{Place, origin};
use super::route::{Placed, route};
use super::session::{HostSessions, Sessions};
use super::upstream::Upstreams;
use super::{Circumstances, Span};
use crate::brand::Brand;
use crate::config::raw::{RawFile, RawHost, RawRoute};
use crate::config::shape::{At, Desk};
use crate::forward::Persistence;
use crate::route::{Host, Hosts, Origin, Pattern, Route, Routes};
use crate::session::plan::SessionPlan;

/// What is searched for ties and weak rules, pair by pair.
const MAX_ROUTES: usize = 2000;

/// What hosts refer to.
pub(super) struct Surroundings<'a> {
    pub(super) circumstances: Circumstances,
    pub(super) prefix: &'a str,
    pub(super) sessions: &'a Sessions<'a>,
    pub(super) upstreams: &'a Upstreams,
    /// Who issues assertions, if not each host.
    pub(super) issuer: Option<&'a str>,
    /// Which countries' identifiers last.
    pub(super) persistence: &'a Arc<Persistence>,
    /// How pages look where a host says nothing else.
    pub(super) brand: &'a Arc<Brand>,
}

/// Checks all hosts.
pub(super) fn hosts(raw: &RawFile, surroundings: &Surroundings<'_>, desk: &mut Desk<'_>) -> Hosts {
    let mut known: Vec<(Place, Span)> = Vec::new();
    let mut hosts = Vec::new();
    let (mut elsewhere, mut spans) = (Vec::new(), Vec::new());
    for raw in raw.hosts.iter().flat_map(|hosts| &hosts.value) {
        let place = raw
            .value
            .origin
            .as_ref()
            .and_then(|origin| public_origin(origin, surroundings.circumstances, desk));
        if let (Some(place), Some(origin)) = (&place, &raw.value.origin) {
            let same = |(other, _): &&(Place, Span)| {
                other.host.name == place.host.name && other.port() == place.port()
            };
            if let Some((_, other)) = known.iter().find(same) {
                let line = desk.line(other);
                desk.error(
                    &origin.span,
                    format!("the host on line {line} is this one too"),
                    "put the routes of both under one host",
                );
            }
            known.push((place.clone(), origin.span.clone()));
        }
        let Some(host) = host(&raw.value, &raw.span, place, surroundings, desk) else { continue };
        if host.auth_host.is_some() {
            elsewhere.extend(raw.value.auth_host.as_ref().map(|given| (hosts.len(), given)));
        }
        hosts.push(host);
        spans.push(raw.value.onbehalfof.as_ref().map_or(&raw.span, |given| &given.span));
    }
    check_customers(&hosts, &spans, desk);
    for (at, given) in elsewhere {
        check_auth_host(&hosts[at], given, &hosts, desk);
    }
    Hosts::new(hosts)
}

/// A session is for one customer: hosts that share it would send people to log in again and again.
fn check_customers(hosts: &[Host], spans: &[&Span], desk: &mut Desk<'_>) {
    for (at, host) in hosts.iter().enumerate() {
        let shares = |other: &Host| {
            let mut shared = host.sessions.iter().filter(|plan| plan.domain().is_some());
            shared.find(|plan| other.sessions.iter().any(|known| known.is_same(plan))).cloned()
        };
        let mut before = hosts[..at].iter().zip(spans);
        let other = before.find_map(|(other, span)| {
            let plan = shares(other).filter(|_| other.onbehalfof != host.onbehalfof)?;
            plan.provider.profile.capabilities.onbehalfof.then_some((plan, span))
        });
        if let Some((plan, span)) = other {
            let line = desk.line(span);
            desk.error(
                spans[at],
                format!(
                    "the host on line {line} shares the session `{}` and has another `onbehalfof`",
                    plan.name
                ),
                "give both hosts the same one, or sessions of their own",
            );
        }
    }
}

/// What answers for another host is a host of its own, which the same providers know.
fn check_auth_host(asking: &Host, given: &At<String>, hosts: &[Host], desk: &mut Desk<'_>) {
    let Some(auth_host) = hosts.iter().find(|host| Some(&host.origin) == asking.auth_host.as_ref()) else {
        desk.error(
            &given.span,
            "no host of this file has this origin",
            "add it to `hosts`, with the same `provider`; it needs no routes of its own that log in",
        );
        return;
    };
    if auth_host.auth_host.is_some() {
        let fix = "name the one to which answers come in the end";
        desk.error(&given.span, "this host has an `auth_host` itself", fix);
    }
    let knows = |plan: &&Arc<SessionPlan>| {
        auth_host.sessions.iter().any(|known| known.provider.name == plan.provider.name)
    };
    if let Some(unknown) = asking.sessions.iter().find(|plan| !knows(plan)) {
        let name = &unknown.provider.name;
        desk.error(
            &given.span,
            format!("`{}` does not log in at `{name}`, and this host does", auth_host.origin),
            format!("give that host `provider: {name}`, or a route with a session of it"),
        );
    }
}

fn public_origin(given: &At<String>, circumstances: Circumstances, desk: &mut Desk<'_>) -> Option<Place> {
    let place = match origin(&given.value) {
        Ok(place) => place,
        Err(why) => {
            desk.error(
                &given.span,
                format!("this is no origin: {why}"),
                "write `https://host` or `https://host:port`, and nothing after it",
            );
            return None;
        }
    };
    // Browsers lead every name below `localhost` here (RFC 6761, 6.3), and the listener is on loopback.
    let local = circumstances.insecure_loopback && place.host.name.ends_with(".localhost");
    if !circumstances.allow(&place) && !local {
        desk.error(
            &given.span,
            "a public host is served by https",
            "write `https://`; plain http is for loopback names, with `insecure_http_loopback: true`",
        );
    }
    Some(place)
}

fn host(
    raw: &RawHost,
    span: &Span,
    place: Option<Place>,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Option<Host> {
    let origin =
        place.map(|place| Origin { secure: place.secure, port: place.port(), name: place.host.name });
    let mut sessions = HostSessions::check(raw, origin.as_ref(), surroundings.sessions, desk);
    let raw_routes = raw.routes.as_ref().map_or(&[][..], |routes| &routes.value);
    let logs_in_here = |route: &&At<RawRoute>| {
        let access = route.value.access.as_ref();
        let unread = ["session", "choose"].iter().any(|key| route.value.unread.contains(key));
        access.is_some_and(|access| access.value.logs_in())
            && route.value.session.is_none()
            && route.value.choose.is_none()
            && !unread
    };
    let first_login = raw_routes.iter().find(logs_in_here).and_then(|route| route.value.access.as_ref());
    let unread = raw.unread.iter().any(|key| ["provider", "session"].contains(key));
    if let (None, None, Some(access), false) = (&raw.provider, &raw.session, first_login, unread) {
        let line = desk.line(&access.span);
        let at = raw.origin.as_ref().map_or(span, |origin| &origin.span);
        let message = format!("people log in on line {line}, and this host has no `provider`");
        desk.error(at, message, "add `provider:` with the name of one");
    }
    if let Some(first_too_many) = raw_routes.get(MAX_ROUTES) {
        desk.error(
            &first_too_many.span,
            format!("this host has more than {MAX_ROUTES} routes"),
            "let patterns such as `/app/**` stand for many",
        );
    }
    let mut routes = Vec::new();
    let mut placed = Vec::new();
    for raw in raw_routes.iter().take(MAX_ROUTES) {
        if let Some((route, place)) = route(&raw.value, origin.as_ref(), &mut sessions, surroundings, desk) {
            routes.push(route);
            placed.push(place);
        }
    }
    let brand = match &raw.pages {
        Some(pages) => Arc::new(pages::brand(Some(pages), surroundings.brand, desk)),
        None => Arc::clone(surroundings.brand),
    };
    let routes = build(routes, &placed, desk)?;
    refuse_unreachable(&routes, &placed, desk);
    warn_of_weak_routes(&routes, &placed, desk);
    warn_of_weak_rewrites(&routes, &placed, desk);
    let at = raw.origin.as_ref().map_or(span, |origin| &origin.span);
    let sessions = sessions.close(at, surroundings.prefix, desk);
    let origin = origin?;
    let hsts = browser::hsts(raw, &origin, desk);
    let onbehalfof = onbehalfof(raw.onbehalfof.as_ref(), &sessions, desk);
    let auth_host = auth_host(raw.auth_host.as_ref(), &origin, surroundings.circumstances, desk);
    Some(Host { origin, auth_host, hsts, sessions, onbehalfof, brand, routes })
}

fn auth_host(
    given: Option<&At<String>>,
    own: &Origin,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Option<Origin> {
    let given = given?;
    let place = public_origin(given, circumstances, desk)?;
    let auth_host = Origin { secure: place.secure, port: place.port(), name: place.host.name };
    if auth_host == *own {
        desk.error(&given.span, "this is the host itself", "remove it: a host is its own by default");
        return None;
    }
    Some(auth_host)
}

/// A registered id (dossier 2.10). Somebody on this host must know what it is.
fn onbehalfof(
    given: Option<&At<String>>,
    sessions: &[Arc<SessionPlan>],
    desk: &mut Desk<'_>,
) -> Option<String> {
    let given = given?;
    let shaped = (1..=64).contains(&given.value.len())
        && given.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let knows = |plan: &Arc<SessionPlan>| plan.provider.profile.capabilities.onbehalfof;
    if !shaped {
        desk.error(
            &given.span,
            "this is no registered id",
            "write at most 64 letters, digits, `-`, `_` and `.`",
        );
    } else if !sessions.is_empty() && !sessions.iter().any(knows) {
        let message = format!("profile `{}` knows no `onbehalfof`", sessions[0].provider.profile.name);
        desk.error(&given.span, message, "remove it");
    }
    Some(given.value.clone())
}

fn build(routes: Vec<Route>, placed: &[Placed], desk: &mut Desk<'_>) -> Option<Routes> {
    let ties = match Routes::build(routes) {
        Ok(routes) => return Some(routes),
        Err(ties) => ties,
    };
    // Of many that are alike, each is told once, with the first of them.
    let mut told = HashSet::new();
    for tie in ties.into_iter().filter(|tie| told.insert(tie.second)) {
        let line = desk.line(&placed[tie.first].path);
        desk.error(
            &placed[tie.second].path,
            format!("the route on line {line} governs these requests already"),
            "merge the two, or give them different `methods`",
        );
    }
    None
}

/// A rewrite may lead to paths of an app that another route guards better.
fn warn_of_weak_rewrites(routes: &Routes, placed: &[Placed], desk: &mut Desk<'_>) {
    for route in routes.iter() {
        let Some(reached) = route.rewrite.as_ref().and_then(|rewrite| Pattern::parse(&rewrite.reach()).ok())
        else {
            continue;
        };
        let guarded = routes.iter().find(|other| {
            other.rewrite.is_none()
                && route
                    .upstream()
                    .is_some_and(|app| other.upstream().is_some_and(|other| other.name == app.name))
                && (reached.covers(&other.pattern) || other.pattern.covers(&reached))
                && route.access.is_weaker_than(&other.access)
        });
        let place =
            placed.iter().find(|place| place.pattern == route.pattern && place.methods == route.methods);
        if let (Some(guarded), Some(place)) = (guarded, place) {
            desk.warn(
                &place.access,
                format!(
                    "`{}` is rewritten to paths of `{}`, and asks for less than `{}` does",
                    route.pattern,
                    route.upstream().map_or("", |app| app.name.as_str()),
                    guarded.pattern
                ),
                "ask for as much, unless this is what you mean",
            );
        }
    }
}

/// A route that could never be asked for is a mistake, and who wrote it believes that it protects something.
fn refuse_unreachable(routes: &Routes, placed: &[Placed], desk: &mut Desk<'_>) {
    for route in routes.unreachable() {
        let Some(at) = placed.iter().find(|place| place.pattern == route.pattern) else { continue };
        desk.error(
            &at.path,
            format!("no request reaches `{}`: an application could read its paths as others, so they are refused", route.pattern),
            "leave out what some applications drop: dots and blanks at the end of a segment, and `;`, `?` and `#` in one",
        );
    }
}

fn warn_of_weak_routes(routes: &Routes, placed: &[Placed], desk: &mut Desk<'_>) {
    let place_of = |route: &Route| {
        placed.iter().find(|place| place.pattern == route.pattern && place.methods == route.methods)
    };
    for (child, parent) in routes.weaker_than_parent() {
        let (Some(at), Some(above)) = (place_of(child), place_of(parent)) else { continue };
        let line = desk.line(&above.path);
        let why = match parent.pattern.covers(&child.pattern) {
            true => "which covers it",
            false => "and governs what both would",
        };
        let message =
            format!("`{}` asks for less than `{}` on line {line}, {why}", child.pattern, parent.pattern);
        desk.warn(&at.access, message, "ask for as much, unless this is what you mean");
    }
}
