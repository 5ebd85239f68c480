//! A plain proxied request: a public route of the gateway, access log on.

use super::{Measure, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "public",
    what: "gateway, public route",
    measure: Measure::Requests(Requests { through: Proxy::Gateway, path: "/public/item", session: false }),
};
