//! TLS, with a P-256 certificate: over kept connections, and with a handshake for each request.

use super::{Measure, Protocol, Proxy, Requests, Row};

const fn public(through: Proxy, over: Protocol) -> Measure {
    Measure::Requests(Requests { through, over, path: "/public/item", session: false })
}

pub(super) const BARE: Row =
    Row { name: "tls_bare", what: "TLS: bare Pingora", measure: public(Proxy::Bare, Protocol::Tls) };

pub(super) const PUBLIC: Row = Row {
    name: "tls_public",
    what: "TLS: gateway, public route",
    measure: public(Proxy::Gateway, Protocol::Tls),
};

pub(super) const BARE_HTTP2: Row = Row {
    name: "tls_http2_bare",
    what: "HTTP/2 over TLS: bare Pingora",
    measure: public(Proxy::Bare, Protocol::TlsHttp2),
};

pub(super) const PUBLIC_HTTP2: Row = Row {
    name: "tls_http2_public",
    what: "HTTP/2 over TLS: gateway, public route",
    measure: public(Proxy::Gateway, Protocol::TlsHttp2),
};

pub(super) const BARE_HANDSHAKE: Row = Row {
    name: "handshake_bare",
    what: "a TLS connection for one request: bare Pingora",
    measure: public(Proxy::Bare, Protocol::Handshake),
};

pub(super) const HANDSHAKE: Row = Row {
    name: "handshake",
    what: "a TLS connection for one request: gateway",
    measure: public(Proxy::Gateway, Protocol::Handshake),
};
