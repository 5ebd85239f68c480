//! A listener of the front, and what happens on a new connection before the first byte of HTTP: the PROXY header and TLS.
//!
//! Both must be done within one deadline, and both count under the caps. The PROXY protocol is HAProxy's, versions 1 and 2.
//!
//! **Invariant:** a PROXY header is read only from a peer that the listener names, and such a peer must send one: an address is
//! never taken from whoever claims it, and never missed by accident (threat model RT-7).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::protocols::Stream;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use super::refused::Refused;
use super::socket::Socket;

/// The longest PROXY header that is read: 107 bytes in version 1, and room for what cloud providers add in version 2.
const MAX_PROXY_HEADER: usize = 2048;

/// Where and how the front listens.
#[derive(Clone)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether HTTP/2 without TLS is taken by prior knowledge (RFC 9113, 3.3). Over TLS, ALPN decides.
    pub h2c: bool,
    /// The PROXY header that connections begin with.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Open connections of one client. `None`: no limit but that of all.
    pub connections_per_client: Option<usize>,
    tls: Option<Arc<Acceptor>>,
}

/// Which PROXY header, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Version 1, in text.
    pub v1: bool,
    /// Version 2, in binary.
    pub v2: bool,
    /// The peers that send it; no other may connect.
    pub from: Vec<IpNet>,
}

impl Listen {
    /// Without TLS.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, h2c: false, proxy_protocol: None, connections_per_client: None, tls: None }
    }

    /// With TLS. A certificate resolver must have been set.
    #[must_use]
    pub fn tls(address: SocketAddr, settings: TlsSettings) -> Self {
        Self { tls: Some(Arc::new(settings.build())), ..Self::plain(address) }
    }

    /// Whether connections to this local address are this listener's.
    pub(super) fn serves(&self, local: SocketAddr) -> bool {
        let ip = self.address.ip();
        self.address.port() == local.port()
            && (ip.is_unspecified() || ip == local.ip() || ip == local.ip().to_canonical())
    }

    /// Whether the bytes of a connection are HTTP from the first on.
    pub(super) fn is_bare(&self) -> bool {
        self.tls.is_none() && self.proxy_protocol.is_none()
    }

    /// Whether this peer may connect.
    pub(super) fn takes(&self, peer: Option<SocketAddr>) -> bool {
        let Some(protocol) = &self.proxy_protocol else { return true };
        peer.is_some_and(|peer| protocol.is_named(peer.ip()))
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads the PROXY header and says which client it names, if any.
    pub(super) async fn take_proxy_header(&self, socket: &mut Socket) -> Result<Option<SocketAddr>, Refused> {
        let Some(protocol) = &self.proxy_protocol else { return Ok(None) };
        loop {
            let seen = socket.look_ahead().await.ok_or(Refused::ProxyHeader)?;
            match protocol.parse(seen)? {
                Some((client, length)) => {
                    socket.skip(length);
                    if let Some(client) = client {
                        socket.is_of(client);
                    }
                    return Ok(client);
                }
                None if seen.len() >= MAX_PROXY_HEADER => return Err(Refused::ProxyHeader),
                None => {}
            }
        }
    }

    /// Shakes hands, where this listener speaks TLS.
    pub(super) async fn shake_hands(&self, socket: Socket) -> Result<Stream, Refused> {
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some(acceptor) => {
                let stream = acceptor.tls_handshake(socket).await.map_err(|_| Refused::Handshake)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl ProxyProtocol {
    fn is_named(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.from.iter().any(|network| network.contains(&peer))
    }

    /// Client and length of the header; no client where the peer speaks for itself (`LOCAL`, `UNKNOWN`). `None`: more must come.
    fn parse(&self, seen: &[u8]) -> Result<Option<(Option<SocketAddr>, usize)>, Refused> {
        let config = ParseConfig { include_tlvs: false, allow_v1: self.v1, allow_v2: self.v2 };
        let (header, length) = match ProxyHeader::parse(seen, config) {
            Ok(parsed) => parsed,
            Err(proxy_header::Error::BufferTooShort) => return Ok(None),
            Err(_) => return Err(Refused::ProxyHeader),
        };
        match header.proxied_address() {
            Some(address) if address.protocol != Protocol::Stream => Err(Refused::ProxyHeader),
            Some(address) => Ok(Some((Some(address.source), length))),
            None => Ok(Some((None, length))),
        }
    }
}

/// The peer as the socket tells, or as a PROXY header told.
pub(super) fn peer_of(stream: &Stream) -> Option<SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}

/// The address that the client connected to.
pub(super) fn local_of(stream: &Stream) -> Option<SocketAddr> {
    stream.get_socket_digest()?.local_addr()?.as_inet().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 443\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\xc3\x50\x01\xbb";

    fn protocol(v1: bool, v2: bool) -> ProxyProtocol {
        ProxyProtocol { v1, v2, from: vec!["10.0.0.0/8".parse().unwrap()] }
    }

    #[test]
    fn a_header_names_its_client_however_it_is_cut() {
        let client = Some("198.51.100.7:50000".parse().unwrap());
        for header in [V1, V2] {
            let whole = [header, b"GET /"].concat();
            for cut in 1..header.len() {
                assert_eq!(protocol(true, true).parse(&whole[..cut]), Ok(None), "{cut}");
            }
            assert_eq!(protocol(true, true).parse(&whole), Ok(Some((client, header.len()))));
        }
    }

    #[test]
    fn only_the_named_version_is_read_and_nothing_else() {
        assert!(protocol(true, false).parse(V2).is_err());
        assert!(protocol(false, true).parse(V1).is_err());
        for other in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 99999\r\n",
            b"PROXY UDP4 198.51.100.7 192.0.2.1 50000 443\r\n",
            b"PROXY TCP4 2001:db8::1 192.0.2.1 50000 443\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\xc3\x50\x01\xbb",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\xc3\x50\x01\xbb",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        ] {
            assert!(protocol(true, true).parse(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_peer_may_speak_for_itself() {
        for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            assert_eq!(protocol(true, true).parse(header), Ok(Some((None, header.len()))));
        }
    }

    #[test]
    fn only_named_peers_connect() {
        let mut listen = Listen::plain("0.0.0.0:443".parse().unwrap());
        assert!(listen.takes(Some("192.0.2.1:5".parse().unwrap())));
        listen.proxy_protocol = Some(protocol(true, true));
        assert!(listen.takes(Some("[::ffff:10.1.2.3]:5".parse().unwrap())));
        assert!(!listen.takes(Some("192.0.2.1:5".parse().unwrap())) && !listen.takes(None));
        assert!(listen.serves("192.0.2.1:443".parse().unwrap()));
        assert!(!listen.serves("192.0.2.1:444".parse().unwrap()));
    }
}
