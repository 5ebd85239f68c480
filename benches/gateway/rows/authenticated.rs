//! An authenticated request: a route that demands a login, access log on, a session drawn from many.

use super::{Measure, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "authenticated",
    what: "gateway, route with login",
    measure: Measure::Requests(Requests { through: Proxy::Gateway, path: "/app/item", session: true }),
};
