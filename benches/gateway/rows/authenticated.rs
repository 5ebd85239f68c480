//! An authenticated request: a route that demands a login, access log on, a session drawn from many.

use super::{Measure, Protocol, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "authenticated",
    what: "gateway, route with login",
    measure: Measure::Requests(Requests {
        through: Proxy::Gateway,
        over: Protocol::Http1,
        path: "/app/item",
        session: true,
    }),
};
