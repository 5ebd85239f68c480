//! An optional route, asked by nobody: what the gateway's own bookkeeping costs without a session.

use super::{Measure, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "optional",
    what: "gateway, optional route, nobody logged in",
    measure: Measure::Requests(Requests { through: Proxy::Gateway, path: "/optional/item", session: false }),
};
