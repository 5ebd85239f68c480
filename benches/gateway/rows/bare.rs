//! The yardstick: the smallest Pingora proxy, requests without a session.

use super::{Measure, Protocol, Proxy, Requests, Row};

pub(super) const ROW: Row = Row {
    name: "bare",
    what: "bare Pingora",
    measure: Measure::Requests(Requests {
        through: Proxy::Bare,
        over: Protocol::Http1,
        path: "/public/item",
        session: false,
    }),
};
