//! The rows, one file each.

mod authenticated;
mod bare;
mod bare_with_cookie;
mod events;
mod http2;
mod identity_headers;
mod idle;
mod login;
mod optional;
mod proofs;
mod public;
mod ticket;
mod tls;

use crate::Result;
use crate::protocol::Protocol;
use crate::world::World;

/// One thing that is measured.
pub(crate) struct Row {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// What it is, for the table.
    pub(crate) what: &'static str,
    /// How it is measured.
    pub(crate) measure: Measure,
}

impl Row {
    /// Whether a run that is restricted to these names has it; without names it has every row.
    pub(crate) fn is_asked_for(&self, names: &[String]) -> bool {
        names.is_empty()
            || [BARE, PUBLIC, AUTHENTICATED].contains(&self.name)
            || names.iter().any(|name| name == self.name)
    }
}

/// How a row is measured.
#[derive(Clone, Copy)]
pub(crate) enum Measure {
    /// Requests through a proxy.
    Requests(Requests),
    /// An operation in this process: CPU nanoseconds for one.
    Operation(fn(&World) -> Result<f64>),
    /// Something else that costs the gateway CPU: nanoseconds for one.
    Gateway(fn(&mut World) -> Result<f64>),
    /// What so many connections hold while nothing comes on them: bytes of the gateway's for one. Taken once, in a
    /// gateway that has done nothing else.
    Memory(Requests, usize),
}

/// Requests of one sort.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Through which proxy.
    pub(crate) through: Proxy,
    /// Over what.
    pub(crate) over: Protocol,
    /// For which path.
    pub(crate) path: &'static str,
    /// Whether each carries the cookie of a session.
    pub(crate) session: bool,
}

/// A proxy that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    Bare,
    Gateway,
}

/// Every row, in the order of a round.
pub(crate) const ALL: &[Row] = &[
    bare::ROW,
    public::ROW,
    authenticated::ROW,
    bare_with_cookie::ROW,
    optional::ROW,
    proofs::ASSERTION,
    proofs::HMAC,
    proofs::ED25519,
    proofs::ECDSA,
    ticket::ROW,
    identity_headers::ROW,
    http2::BARE,
    http2::PUBLIC,
    http2::AUTHENTICATED,
    tls::BARE,
    tls::PUBLIC,
    tls::BARE_HTTP2,
    tls::PUBLIC_HTTP2,
    tls::BARE_HANDSHAKE,
    tls::HANDSHAKE,
    events::ROW,
    login::ES256,
    login::RS256,
    idle::HTTP1,
    idle::TLS,
    idle::HTTP2,
    idle::EVENTS,
];

/// The rows that the summary compares.
pub(crate) const BARE: &str = bare::ROW.name;
pub(crate) const PUBLIC: &str = public::ROW.name;
pub(crate) const AUTHENTICATED: &str = authenticated::ROW.name;

/// The proofs to the app, with the most that each may cost over the authenticated row, in microseconds (`design.md` 4).
pub(crate) const PROOFS: [(&Row, Option<f64>); 4] = [
    (&proofs::ASSERTION, None),
    (&proofs::HMAC, Some(8.0)),
    (&proofs::ED25519, Some(40.0)),
    (&proofs::ECDSA, None),
];
