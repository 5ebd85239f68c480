//! What a connection holds on which nothing comes: each has had one request answered, and is kept.

use super::{Measure, Protocol, Proxy, Requests, Row};

/// So many make what each holds larger than what the process does besides.
const CONNECTIONS: usize = 2_000;

/// Each has an upstream's connection too.
const STREAMS: usize = 500;

const fn idle(over: Protocol) -> Measure {
    Measure::Memory(
        Requests { through: Proxy::Gateway, over, path: "/public/item", session: false },
        CONNECTIONS,
    )
}

pub(super) const HTTP1: Row =
    Row { name: "idle_http1", what: "an idle HTTP/1.1 connection", measure: idle(Protocol::Http1) };

pub(super) const TLS: Row =
    Row { name: "idle_tls", what: "an idle HTTP/1.1 connection over TLS", measure: idle(Protocol::Tls) };

pub(super) const HTTP2: Row =
    Row { name: "idle_http2", what: "an idle HTTP/2 connection", measure: idle(Protocol::Http2) };

pub(super) const EVENTS: Row = Row {
    name: "idle_events",
    what: "an idle stream of events, somebody's",
    measure: Measure::Memory(
        Requests { through: Proxy::Gateway, over: Protocol::Http1, path: "/app/idle-events", session: true },
        STREAMS,
    ),
};
