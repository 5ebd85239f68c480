//! What a connection speaks, and where.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::Result;

/// How requests come to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// HTTP/1.1 over kept connections.
    Http1,
    /// HTTP/2 without TLS: a few connections, several streams at a time.
    Http2,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    TlsHttp2,
    /// HTTP/1.1 over TLS, a connection and a whole handshake for each request.
    Handshake,
}

impl Protocol {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Http1, "http1"),
        (Self::Http2, "http2"),
        (Self::Tls, "tls"),
        (Self::TlsHttp2, "tls-http2"),
        (Self::Handshake, "handshake"),
    ];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(protocol, _)| protocol == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Protocol {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::NAMES.into_iter().find(|(_, name)| *name == text);
        Ok(known.ok_or("no such protocol")?.0)
    }
}

/// Where one proxy listens for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fronts {
    pub(crate) http1: SocketAddr,
    pub(crate) http2: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Fronts {
    /// Free ones.
    pub(crate) fn find() -> Result<Self> {
        use crate::process::free_address;
        Ok(Self { http1: free_address()?, http2: free_address()?, tls: free_address()? })
    }

    pub(crate) fn of(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Http1 => self.http1,
            Protocol::Http2 => self.http2,
            Protocol::Tls | Protocol::TlsHttp2 | Protocol::Handshake => self.tls,
        }
    }
}
