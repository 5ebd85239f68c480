//! The yardstick with the very requests of the authenticated row, of which it passes the session's cookie on.

use super::{Measure, Protocol, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "bare_with_cookie",
    what: "bare Pingora, the authenticated row's requests",
    measure: Measure::Requests(Requests {
        through: Proxy::Bare,
        over: Protocol::Http1,
        path: "/app/item",
        session: true,
    }),
};
