//! Reverse proxies that carry requests themselves and ask here about each: who may ask, and about which routes.
//!
//! **Invariant:** a route is carried by the gateway or asked about, never both: what a route promises of the way to its
//! app is kept by whoever carries its requests, and where that cannot be, the file does not load.

use ipnet::IpNet;

use super::Span;
use super::network;
use crate::config::raw::{RawAccess, RawCors, RawDialect, RawFile, RawListener, RawPreset, RawRoute};
use crate::config::shape::{At, Desk};
use crate::config::{ForwardAuth, Transport};
use crate::forward_auth::Dialect;

/// Which proxies ask at a listener.
pub(super) fn of_listener(raw: &RawListener, desk: &mut Desk<'_>) -> Option<ForwardAuth> {
    let given = &raw.forward_auth.as_ref()?.value;
    let peers = given.peers.iter().flat_map(|peers| &peers.value);
    let peers: Vec<IpNet> = peers.filter_map(|peer| network(peer, desk)).collect();
    let dialect = match given.dialect.as_ref()?.value {
        RawDialect::Nginx => Dialect::Nginx,
        RawDialect::Traefik => Dialect::Traefik,
        RawDialect::Caddy => Dialect::Caddy,
        RawDialect::Envoy => Dialect::Envoy,
    };
    Some(ForwardAuth { dialect, peers })
}

/// How such a listener is protected: by TLS, or by its peers alone.
pub(super) fn transport(raw: &RawListener, asking: &ForwardAuth, desk: &mut Desk<'_>) -> Option<Transport> {
    let spoken = [
        ("load_balancers", raw.load_balancers.as_ref().map(|given| &given.span)),
        ("proxy_protocol", raw.proxy_protocol.as_ref().map(|given| &given.span)),
    ];
    for (key, span) in spoken.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        desk.error(
            span,
            format!("`{key}` has no effect with `forward_auth`: who connects is one of its `peers`"),
            "remove it",
        );
    }
    let Some(tls) = &raw.tls else { return Some(Transport::BehindLoadBalancer(asking.peers.clone())) };
    super::tls(&tls.value, desk)
}

/// Whether a proxy asks about the requests of a route; if not, it has an app.
pub(super) fn of_route(raw: &RawRoute, desk: &mut Desk<'_>) -> bool {
    let asked = raw.forward_auth.as_ref().filter(|given| given.value);
    let absent = |key: &str| !raw.unread.contains(&key) && !raw.meant.contains(&key);
    match (asked, &raw.upstream) {
        (Some(asked), Some(upstream)) => {
            let line = desk.line(&asked.span);
            desk.error(
                &upstream.span,
                format!("the requests of this route are carried by a proxy that asks, as line {line} says"),
                "remove `upstream`, or `forward_auth`",
            );
        }
        (None, None) if absent("upstream") && absent("forward_auth") => {
            if let Some(at) =
                raw.path.as_ref().map(|path| &path.span).or(raw.access.as_ref().map(|at| &at.span))
            {
                desk.error(
                    at,
                    "`upstream` is missing",
                    "add `upstream:`, the app that it goes to; or `forward_auth: true`, if a reverse proxy carries its requests and asks",
                );
            }
        }
        _ => {}
    }
    if let Some(asked) = asked {
        check_route(raw, asked, desk);
    }
    asked.is_some()
}

/// What cannot be kept where somebody else carries the requests.
fn check_route(raw: &RawRoute, asked: &At<bool>, desk: &mut Desk<'_>) {
    fn span<T>(field: &Option<At<T>>) -> Option<&Span> {
        field.as_ref().map(|field| &field.span)
    }
    let wanted = |field: &'_ Option<At<bool>>| field.as_ref().is_some_and(|field| field.value);
    let keys = [
        ("host", span(&raw.host)),
        ("strip_prefix", span(&raw.strip_prefix)),
        ("rewrite", span(&raw.rewrite)),
        ("encoded_slash", span(&raw.encoded_slash).filter(|_| wanted(&raw.encoded_slash))),
        ("max_body", span(&raw.max_body)),
        ("timeout", span(&raw.timeout)),
        ("read_timeout", span(&raw.read_timeout)),
        ("cache", span(&raw.cache)),
        ("websocket", span(&raw.websocket).filter(|_| wanted(&raw.websocket))),
        ("security_headers", span(&raw.security_headers)),
        ("client_signatures", span(&raw.client_signatures)),
        ("access_token", span(&raw.access_token).filter(|_| wanted(&raw.access_token))),
        ("signature", span(&raw.signature)),
        ("verified", span(&raw.verified).filter(|_| wanted(&raw.verified))),
        ("token", span(&raw.token)),
    ];
    let line = desk.line(&asked.span);
    for (key, span) in keys.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        desk.error(
            span,
            format!("`{key}` cannot be kept here: another proxy carries the requests, as line {line} says"),
            "remove it, and see to it in that proxy; or give the route an `upstream` instead of `forward_auth`",
        );
    }
    if let Some(access) = raw.access.as_ref().filter(|access| access.value == RawAccess::Token) {
        desk.error(
            &access.span,
            "a machine's token would go on to the app, which the gateway cannot prevent here",
            "give the route an `upstream` instead of `forward_auth`",
        );
    }
    if let Some(cors) = raw.cors.as_ref().filter(|cors| matches!(cors.value, RawCors::Plan(_))) {
        desk.error(
            &cors.span,
            "the gateway sends no replies here, and so cannot say which scripts may read them",
            "write `cors: pass`, and let the app or the proxy answer",
        );
    }
    let preset = raw.headers.as_ref().and_then(|headers| headers.value.preset.as_ref());
    if let Some(preset) = preset.filter(|preset| preset.value == RawPreset::Wonderwall) {
        desk.error(
            &preset.span,
            "this preset writes `Authorization`, and the gateway cannot take a client's own away here",
            "write `assertion: true` instead: the app reads it from `X-Identity-Assertion`",
        );
    }
    let tells = raw.access.as_ref().is_some_and(|access| access.value != RawAccess::Public);
    if tells
        && raw.audience.is_none()
        && !raw.unread.contains(&"audience")
        && !raw.meant.contains(&"audience")
    {
        desk.error(
            &asked.span,
            "nothing says for whom the session's handle and the assertion are made: there is no upstream to name",
            "add `audience:` with a name for the app",
        );
    }
}

/// Routes that nobody can ask about, and listeners at which nothing can be asked.
pub(super) fn check_together(file: &RawFile, desk: &mut Desk<'_>) {
    let listeners = || file.listeners.iter().flat_map(|listeners| &listeners.value);
    let asking = listeners().find_map(|listener| listener.value.forward_auth.as_ref());
    let unread = file.listeners.is_none()
        || listeners().any(|listener| {
            listener.value.unread.contains(&"forward_auth") || listener.value.meant.contains(&"forward_auth")
        });
    let hosts = file.hosts.iter().flat_map(|hosts| &hosts.value);
    let routes = hosts.filter_map(|host| host.value.routes.as_ref()).flat_map(|routes| &routes.value);
    let asked: Vec<&At<bool>> =
        routes.filter_map(|route| route.value.forward_auth.as_ref().filter(|given| given.value)).collect();
    match (asking, asked.first()) {
        (None, Some(first)) if !unread => desk.error(
            &first.span,
            "nobody can ask about this route: no listener has `forward_auth`",
            "add a listener of its own for your proxies: `{address: …, forward_auth: {dialect: nginx, peers: […]}}`",
        ),
        (Some(asking), None) => desk.warn(
            &asking.span,
            "proxies may ask here, and no route has `forward_auth: true`",
            "write that on the routes whose requests they carry, or remove this listener",
        ),
        _ => {}
    }
}
