//! One address of an app: whether it is in, and how many requests are under way there.
//!
//! **Invariant:** everything is a number of its own that changes without a lock. A reader may see one change
//! before another; it then sends a request to an address that has just failed, which costs one try.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pingora::protocols::ALPN;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use portvakt_core::upstream::{HealthCheck, Place, Protocol, Upstream};

use super::cut::Connector;
use super::trust::Credentials;

/// How long an address is out after a connection to it failed.
const OUT: Duration = Duration::from_secs(10);

/// How long writing to an upstream may stall.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an idle connection to an upstream is kept.
const IDLE: Duration = Duration::from_secs(50);

/// How many requests one HTTP/2 connection to an upstream carries at a time; the upstream may allow fewer.
const STREAMS: usize = 100;

/// How often an HTTP/2 upstream is asked whether it is still there: its connections carry what is silent for long.
const PING: Duration = Duration::from_secs(30);

/// One address.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) at: SocketAddr,
    /// `host:port` of its place in the file.
    pub(super) authority: String,
    pub(super) peer: HttpPeer,
    since: Instant,
    under_way: AtomicUsize,
    /// Milliseconds after `since`; 0 while it is in.
    out_until: AtomicU64,
    /// What active checks say, and how often in a row they said the opposite.
    unhealthy: AtomicBool,
    streak: AtomicUsize,
}

/// Whether an address gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    In,
    /// It was out; one request may try it.
    Due,
    Out,
}

impl Address {
    pub(super) fn new(at: SocketAddr, place: &Place, settings: &Upstream, credentials: &Credentials) -> Self {
        let name = settings.tls.as_ref().and_then(|trust| trust.server_name.clone());
        let name = name.unwrap_or_else(|| place.host.clone());
        let mut peer = HttpPeer::new(at, settings.tls.is_some(), name);
        peer.group_key = credentials.group;
        peer.client_cert_key.clone_from(&credentials.client);
        peer.options.ca.clone_from(&credentials.ca);
        match settings.protocol {
            Protocol::Http1 => {
                peer.options.alpn = ALPN::H1;
                peer.options.custom_l4 = Some(Arc::new(Connector));
            }
            // Carries many requests, and the header of a reply comes at once or not at all.
            Protocol::Http2 => {
                peer.options.alpn = ALPN::H2;
                peer.options.max_h2_streams = STREAMS;
                peer.options.h2_ping_interval = Some(PING);
            }
        }
        peer.options.connection_timeout = Some(settings.connect_timeout);
        peer.options.total_connection_timeout = Some(settings.connect_timeout);
        peer.options.read_timeout = Some(settings.read_timeout);
        peer.options.write_timeout = Some(WRITE_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE);
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        Self {
            at,
            authority: place.authority(),
            peer,
            since: Instant::now(),
            under_way: AtomicUsize::new(0),
            out_until: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
            streak: AtomicUsize::new(0),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.unhealthy.load(Relaxed) {
            return State::Out;
        }
        match self.out_until.load(Relaxed) {
            0 => State::In,
            until if self.now() < until => State::Out,
            _ => State::Due,
        }
    }

    /// Whether the caller may send its request here. Of those who find an address due, one may: the others
    /// do not wait for an address that is still gone.
    pub(super) fn claim(&self) -> bool {
        match self.out_until.load(Relaxed) {
            0 => true,
            until if self.now() < until => false,
            until => {
                let next = self.now() + millis(OUT);
                self.out_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
            }
        }
    }

    /// A connection was there, or was made.
    pub(super) fn connected(&self) {
        if self.out_until.load(Relaxed) != 0 {
            self.out_until.store(0, Relaxed);
        }
    }

    /// No connection could be made. Returns whether the address was in until now.
    pub(super) fn failed(&self) -> bool {
        self.out_until.swap(self.now() + millis(OUT), Relaxed) == 0
    }

    /// An active check came to an end. Returns whether it changed what is thought of the address.
    pub(super) fn checked(&self, well: bool, check: &HealthCheck) -> bool {
        let unhealthy = self.unhealthy.load(Relaxed);
        if well != unhealthy {
            self.streak.store(0, Relaxed);
            return false;
        }
        let needed = if well { check.successes } else { check.failures };
        if self.streak.fetch_add(1, Relaxed) + 1 < needed {
            return false;
        }
        self.streak.store(0, Relaxed);
        self.unhealthy.store(!unhealthy, Relaxed);
        if well {
            self.out_until.store(0, Relaxed);
        }
        true
    }

    pub(super) fn enter(&self) {
        self.under_way.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Relaxed);
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// Never 0: that means in.
    fn now(&self) -> u64 {
        millis(self.since.elapsed()) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
pub(super) mod tests {
    use portvakt_core::upstream::{Affinity, Balance};

    use super::*;

    pub(crate) fn settings(balance: Balance, affinity: Affinity) -> Upstream {
        Upstream {
            name: "app".into(),
            places: vec![],
            tls: None,
            protocol: Protocol::Http1,
            balance,
            affinity,
            health: None,
            max_requests: 3,
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(1),
            app_cookies: Vec::new(),
            app_logout: None,
        }
    }

    fn address() -> Address {
        let settings = settings(Balance::default(), Affinity::default());
        let credentials = Credentials::load(&settings).unwrap();
        let place = Place { host: "app.test".into(), port: 80 };
        Address::new("192.0.2.1:80".parse().unwrap(), &place, &settings, &credentials)
    }

    #[test]
    fn one_request_tries_an_address_whose_time_out_is_over() {
        let address = address();
        assert_eq!((address.state(), address.claim()), (State::In, true));
        assert!(address.failed());
        assert!(!address.failed(), "it was out already");
        assert_eq!((address.state(), address.claim()), (State::Out, false));
        address.out_until.store(1, Relaxed);
        assert_eq!(address.state(), State::Due);
        assert!(address.claim());
        assert!(!address.claim(), "somebody tries it already");
        address.connected();
        assert_eq!((address.state(), address.claim()), (State::In, true));
    }

    #[test]
    fn checks_count_in_a_row() {
        let (address, mut check) = (
            address(),
            HealthCheck {
                path: None,
                statuses: vec![200],
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                failures: 3,
                successes: 2,
            },
        );
        let told: Vec<bool> = [false, false, true, false, false, false, false, true, false, true, true]
            .map(|well| address.checked(well, &check))
            .to_vec();
        let expected: Vec<bool> = (0..11).map(|at| at == 5 || at == 10).collect();
        assert_eq!(told, expected);
        assert_eq!(address.state(), State::In);
        check.failures = 1;
        assert!(address.checked(false, &check));
        assert_eq!(address.state(), State::Out);
        address.connected();
        assert_eq!(address.state(), State::Out, "a connection is not health");
    }
}
