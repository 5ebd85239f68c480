//! A plain proxied request: a public route of the gateway, access log on.

use super::{Measure, Protocol, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "public",
    what: "gateway, public route",
    measure: Measure::Requests(Requests {
        through: Proxy::Gateway,
        over: Protocol::Http1,
        path: "/public/item",
        session: false,
    }),
};
