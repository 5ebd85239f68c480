//! An optional route, asked by nobody: what the gateway's own bookkeeping costs without a session.

use super::{Measure, Protocol, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "optional",
    what: "gateway, optional route, nobody logged in",
    measure: Measure::Requests(Requests {
        through: Proxy::Gateway,
        over: Protocol::Http1,
        path: "/optional/item",
        session: false,
    }),
};
