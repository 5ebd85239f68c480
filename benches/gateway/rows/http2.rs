//! HTTP/2 without TLS: eight streams at a time on each of four connections.

use super::{Measure, Protocol, Proxy, Requests, Row};

const fn over_http2(through: Proxy, path: &'static str, session: bool) -> Measure {
    Measure::Requests(Requests { through, over: Protocol::Http2, path, session })
}

pub(super) const BARE: Row = Row {
    name: "http2_bare",
    what: "HTTP/2: bare Pingora",
    measure: over_http2(Proxy::Bare, "/public/item", false),
};

pub(super) const PUBLIC: Row = Row {
    name: "http2_public",
    what: "HTTP/2: gateway, public route",
    measure: over_http2(Proxy::Gateway, "/public/item", false),
};

pub(super) const AUTHENTICATED: Row = Row {
    name: "http2_authenticated",
    what: "HTTP/2: gateway, route with login",
    measure: over_http2(Proxy::Gateway, "/app/item", true),
};
