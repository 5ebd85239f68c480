//! How a request came in: from whom, over which listener, and how well protected.
//!
//! **Invariant:** an address or a scheme in a header is believed only from a load balancer that the
//! configuration names (`threats.md` RT-7).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use pingora::proxy::Session;
use portvakt_core::config::{Configuration, ForwardAuth, Listener, Transport};
use portvakt_core::forward_auth::Dialect;
use portvakt_core::request::NormalRequest;
use portvakt_core::route::Host;

use crate::respond::Refusal;

/// How a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    peer: Option<SocketAddr>,
    client: Option<IpAddr>,
    /// Whether the peer may use this listener.
    allowed: bool,
    secure: bool,
    /// Whether the listener is for plain http on loopback.
    insecure_loopback: bool,
    /// How the peer tells of requests that it carries itself; `None`: it sends its own.
    asking: Option<Dialect>,
}

impl Arrival {
    /// `None` if the connection is of no listener of the configuration.
    pub(crate) fn of(session: &Session, configuration: &Configuration) -> Option<Self> {
        let address = |address: Option<&pingora::protocols::l4::socket::SocketAddr>| {
            address.and_then(|address| address.as_inet().copied())
        };
        let (local, peer) = (address(session.server_addr()), address(session.client_addr()));
        let listener = configuration
            .listeners
            .iter()
            .find(|listener| local.is_some_and(|local| serves(listener, local)))?;
        Some(Self::from(listener, peer, &session.req_header().headers))
    }

    fn from(listener: &Listener, peer: Option<SocketAddr>, headers: &HeaderMap) -> Self {
        let ip = peer.map(|peer| peer.ip().to_canonical());
        let direct = |secure, insecure_loopback, allowed| Self {
            peer,
            client: ip,
            allowed,
            secure,
            insecure_loopback,
            asking: None,
        };
        if let Some(ForwardAuth { dialect, peers }) = &listener.forward_auth {
            let named = |ip: &IpAddr| peers.iter().any(|net| net.contains(ip));
            let allowed = ip.as_ref().is_some_and(named);
            let client = allowed.then(|| forwarded_client(headers, named)).flatten().or(ip);
            // By which scheme its request came, the call says.
            return Self { client, asking: Some(*dialect), ..direct(false, false, allowed) };
        }
        let is_https = || single(headers, "x-forwarded-proto").is_some_and(|proto| proto == "https");
        match &listener.transport {
            Transport::Tls { .. } => direct(true, false, true),
            Transport::InsecureLoopback => direct(false, true, ip.is_some_and(|ip| ip.is_loopback())),
            // The guard has judged the peer; the address is the one that its PROXY header named.
            Transport::BehindLoadBalancer(_) if listener.proxy_protocol.is_some() => {
                direct(is_https(), false, true)
            }
            Transport::BehindLoadBalancer(balancers) => {
                let named = |ip: &IpAddr| balancers.iter().any(|net| net.contains(ip));
                if !ip.as_ref().is_some_and(named) {
                    return direct(false, false, false);
                }
                let secure = is_https();
                let client = forwarded_client(headers, named).or(ip);
                Self { peer, client, allowed: true, secure, insecure_loopback: false, asking: None }
            }
        }
    }

    /// A request that came as the scheme of its URL says, from a peer that may send it: for who explains.
    pub(super) fn supposed(secure: bool, configuration: &Configuration) -> Self {
        let loopback = |listener: &Listener| matches!(listener.transport, Transport::InsecureLoopback);
        let insecure_loopback = !secure && configuration.listeners.iter().any(loopback);
        Self { peer: None, client: None, allowed: true, secure, insecure_loopback, asking: None }
    }

    /// The same from a proxy that asks.
    pub(super) fn supposed_of(self, dialect: Dialect) -> Self {
        Self { asking: Some(dialect), ..self }
    }

    /// Refuses peers that this listener does not serve.
    pub(crate) fn check_peer(&self) -> Result<(), Refusal> {
        match (self.allowed, self.asking) {
            (true, _) => Ok(()),
            (false, None) => Err(Refusal::Peer),
            // As anything below the prefix that nobody knows.
            (false, Some(_)) => Err(Refusal::NoRoute),
        }
    }

    /// How a proxy asks; `None` for a request of its own.
    pub(crate) fn asking(&self) -> Option<Dialect> {
        self.asking
    }

    /// Notes by which scheme the request came that a proxy asks about.
    pub(super) fn is_of(&mut self, secure: bool) {
        (self.secure, self.insecure_loopback) = (secure, !secure);
    }

    /// Refuses a request for an `https` origin that came without TLS.
    pub(crate) fn check_transport(&self, host: &Host, request: &NormalRequest) -> Result<(), Refusal> {
        if self.secure || (self.insecure_loopback && !host.origin.secure) {
            return Ok(());
        }
        Err(Refusal::InsecureTransport { to: format!("{}{}", host.origin, request.target()) })
    }

    /// Whether the client's side is TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// The client's address, as far as it is known.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

fn serves(listener: &Listener, local: SocketAddr) -> bool {
    let any = listener.address.ip().is_unspecified();
    listener.address.port() == local.port()
        && (any || listener.address.ip() == local.ip().to_canonical() || listener.address.ip() == local.ip())
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

/// The last address in `X-Forwarded-For` that is not a load balancer's own: what stands before it may be
/// the client's invention.
fn forwarded_client(headers: &HeaderMap, is_balancer: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().ok()).collect::<Option<_>>()?;
    let mut last = None;
    for address in lines.iter().flat_map(|line| line.split(',')).rev() {
        let address: IpAddr = address.trim().parse().ok()?;
        last = Some(address.to_canonical());
        if !is_balancer(&address) {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use portvakt_core::config::ProxyProtocol;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|&(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            })
            .collect()
    }

    fn listener(transport: Transport) -> Listener {
        let address = "0.0.0.0:8443".parse().unwrap();
        Listener {
            address,
            transport,
            proxy_protocol: None,
            h2c: false,
            connections_per_client: None,
            forward_auth: None,
        }
    }

    fn balancers() -> Listener {
        listener(Transport::BehindLoadBalancer(vec!["10.0.0.0/8".parse().unwrap()]))
    }

    fn behind(peer: &str, fields: &[(&'static str, &'static str)]) -> Arrival {
        Arrival::from(&balancers(), Some(peer.parse().unwrap()), &headers(fields))
    }

    #[test]
    fn behind_a_proxy_header_no_other_address_is_believed() {
        let from = vec!["10.0.0.0/8".parse().unwrap()];
        let listener =
            Listener { proxy_protocol: Some(ProxyProtocol { v1: true, v2: true, from }), ..balancers() };
        let fields = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
        let told = Arrival::from(&listener, Some("198.51.100.7:5".parse().unwrap()), &headers(&fields));
        assert_eq!(
            (told.client, told.secure, told.allowed),
            (Some("198.51.100.7".parse().unwrap()), true, true)
        );
    }

    #[test]
    fn a_header_is_believed_from_a_named_load_balancer_only() {
        let fields = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")];
        let believed = behind("10.1.2.3:5", &fields);
        assert_eq!(
            (believed.client, believed.secure, believed.allowed),
            (Some("198.51.100.7".parse().unwrap()), true, true)
        );
        let stranger = behind("192.0.2.1:5", &fields);
        assert_eq!((stranger.secure, stranger.allowed), (false, false));
        let tls = listener(Transport::Tls { certificate: "c".into(), key: "k".into() });
        let direct = Arrival::from(&tls, Some("192.0.2.1:5".parse().unwrap()), &headers(&fields));
        assert_eq!((direct.client, direct.secure), (Some("192.0.2.1".parse().unwrap()), true));
    }

    #[test]
    fn only_a_named_proxy_asks_and_is_believed_for_the_client() {
        let peers = vec!["10.0.0.7/32".parse().unwrap()];
        let forward_auth = Some(ForwardAuth { dialect: Dialect::Nginx, peers });
        let tls = Transport::Tls { certificate: "c".into(), key: "k".into() };
        for transport in [tls, Transport::BehindLoadBalancer(vec!["10.0.0.7/32".parse().unwrap()])] {
            let listener = Listener { forward_auth: forward_auth.clone(), ..listener(transport) };
            let of = |peer: &str| {
                let fields = headers(&[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")]);
                Arrival::from(&listener, Some(peer.parse().unwrap()), &fields)
            };
            let proxy = of("10.0.0.7:5");
            assert_eq!((proxy.client(), proxy.is_secure()), (Some("198.51.100.7".parse().unwrap()), false));
            assert!(proxy.check_peer().is_ok());
            let stranger = of("10.0.0.8:5");
            assert_eq!(stranger.client(), Some("10.0.0.8".parse().unwrap()));
            assert!(matches!(stranger.check_peer(), Err(Refusal::NoRoute)));
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_no_balancer_owns() {
        for (field, client) in [
            ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
            ("10.9.9.9", "10.9.9.9"),
            ("nonsense", "10.1.2.3"),
            ("198.51.100.7, nonsense", "10.1.2.3"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let arrival = behind("10.1.2.3:5", &[("x-forwarded-for", field)]);
            assert_eq!(arrival.client, Some(client.parse().unwrap()), "{field}");
        }
    }

    #[test]
    fn without_a_single_plain_https_a_balanced_request_is_not_secure() {
        for fields in [&[][..], &[("x-forwarded-proto", "http")], &[("x-forwarded-proto", "https, http")]] {
            assert!(!behind("10.1.2.3:5", fields).secure);
        }
        let mut twice = headers(&[("x-forwarded-proto", "https")]);
        twice.append("x-forwarded-proto", http::HeaderValue::from_static("https"));
        assert_eq!(single(&twice, "x-forwarded-proto"), None);
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        let from = |peer: &str| {
            Arrival::from(
                &listener(Transport::InsecureLoopback),
                Some(peer.parse().unwrap()),
                &HeaderMap::new(),
            )
        };
        assert!(from("127.0.0.1:5").allowed && from("[::1]:5").allowed);
        assert!(!from("192.0.2.1:5").allowed);
    }
}
