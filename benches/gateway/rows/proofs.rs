//! The authenticated row with a proof for the app beside the headers (`design.md` D7). Sessions are drawn from so many that nearly
//! each assertion is a new one.

use super::{Measure, Protocol, Proxy, Requests, Row};

const fn proven(path: &'static str) -> Measure {
    Measure::Requests(Requests { through: Proxy::Gateway, over: Protocol::Http1, path, session: true })
}

pub(super) const ASSERTION: Row = Row {
    name: "assertion",
    what: "gateway, login, a new assertion (ES256)",
    measure: proven("/assertion/item"),
};

pub(super) const HMAC: Row =
    Row { name: "signature_hmac", what: "gateway, login, RFC 9421 by HMAC", measure: proven("/hmac/item") };

pub(super) const ED25519: Row = Row {
    name: "signature_ed25519",
    what: "gateway, login, RFC 9421 by Ed25519",
    measure: proven("/ed25519/item"),
};

pub(super) const ECDSA: Row = Row {
    name: "signature_ecdsa",
    what: "gateway, login, RFC 9421 by ECDSA P-256",
    measure: proven("/ecdsa/item"),
};
