//! The apps as the configuration has them, and where a session's requests go among several addresses.
//!
//! **Invariant:** the choice by session is a function of the session and of the addresses alone, so that every
//! replica makes the same one, and an address that is added or lost moves only the sessions that it gains or
//! gave up (rendezvous hashing: Thaler and Ravishankar, 1998).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::app_session::{AppLogout, CookieName};

/// An app: its addresses, and how it is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the file.
    pub name: String,
    /// Where it is; at least one.
    pub places: Vec<Place>,
    /// How its TLS identity is verified; `None`: plain http.
    pub tls: Option<Trust>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Who gets the next request.
    pub balance: Balance,
    /// Whether a session's requests stay together.
    pub affinity: Affinity,
    /// How its addresses are watched; `None`: only by the connections that fail.
    pub health: Option<HealthCheck>,
    /// The most requests under way at all addresses together.
    pub max_requests: usize,
    /// Time to connect, handshake included.
    pub connect_timeout: Duration,
    /// Time to the first byte of a reply, and between two reads of it.
    pub read_timeout: Duration,
    /// Time for a whole request, from its being passed on to the end of the reply.
    pub total_timeout: Duration,
    /// The cookies in which the app keeps a session of its own.
    pub app_cookies: Vec<CookieName>,
    /// How that session is ended.
    pub app_logout: Option<AppLogout>,
}

/// Host and port of an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Place {
    /// `host:port`, as in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// How an app's TLS identity is verified, and as whom the gateway connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// CA certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate, for apps that ask for one.
    pub client: Option<ClientCertificate>,
    /// The name that the app's certificate is for, if not the place's host.
    pub server_name: Option<String>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, the gateway's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What is spoken with an app. Which of them it is does not depend on what the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113): as negotiated over TLS and nothing else, or with prior knowledge without TLS.
    Http2,
}

/// Which address gets the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastLoaded,
}

/// Whether a session's requests stay at one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// No.
    #[default]
    None,
    /// As long as the address is there. Requests without a session are balanced.
    Session,
}

/// How addresses are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path that is asked for; `None`: connecting is enough.
    pub path: Option<String>,
    /// The statuses that mean health.
    pub statuses: Vec<u16>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time for one check.
    pub timeout: Duration,
    /// After so many failures in a row an address is out.
    pub failures: usize,
    /// After so many successes in a row it is in again.
    pub successes: usize,
}

/// The most requests under way at an app that says nothing of it.
pub const MAX_REQUESTS: usize = 2000;

/// How well an address suits a key: the highest weight gets it.
///
/// `key` is uniform already (a random id or a keyed tag), so a fast mix is enough.
#[must_use]
pub fn weight(key: &[u8; 16], address: SocketAddr) -> u64 {
    // The text of an address is the same everywhere; FNV-1a and the finaliser of SplitMix64 are fixed for ever.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in address.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let (high, low) = key.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    mix(mix(hash ^ half(high)) ^ half(low))
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// An upstream for the tests of other modules.
    pub(crate) fn upstream() -> Upstream {
        Upstream {
            name: "app".into(),
            places: vec![Place { host: "127.0.0.1".into(), port: 1 }],
            tls: None,
            protocol: Protocol::Http1,
            balance: Balance::default(),
            affinity: Affinity::default(),
            health: None,
            max_requests: MAX_REQUESTS,
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(1),
            app_cookies: Vec::new(),
            app_logout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (0..count).map(|at| SocketAddr::from(([10, 0, 0, 1], 8000 + at))).collect()
    }

    fn key(number: u32) -> [u8; 16] {
        // As uniform as an id.
        let (high, low) = (mix(u64::from(number) + 1), mix(u64::from(number) + 7_000_001));
        let mut key = [0; 16];
        key[..8].copy_from_slice(&high.to_be_bytes());
        key[8..].copy_from_slice(&low.to_be_bytes());
        key
    }

    fn chosen(key: &[u8; 16], among: &[SocketAddr]) -> SocketAddr {
        among.iter().copied().max_by_key(|address| weight(key, *address)).unwrap()
    }

    #[test]
    fn the_weight_of_a_key_is_the_same_in_every_version() {
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        assert_eq!(weight(&[7; 16], address), 0xa542_5c4a_339d_1502);
        assert_eq!(weight(&[0; 16], "[2001:db8::1]:80".parse().unwrap()), 0x585b_0330_0240_df0f);
    }

    #[test]
    fn keys_spread_evenly() {
        let among = addresses(4);
        let mut counts = [0_u32; 4];
        for number in 0..8000 {
            let address = chosen(&key(number), &among);
            counts[among.iter().position(|one| *one == address).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (1800..=2200).contains(count)), "{counts:?}");
    }

    #[test]
    fn only_the_sessions_of_a_lost_address_move() {
        let (all, left) = (addresses(4), &addresses(4)[1..]);
        for number in 0..2000 {
            let before = chosen(&key(number), &all);
            let after = chosen(&key(number), left);
            assert!(before == all[0] || before == after, "{number}");
        }
    }

    #[test]
    fn an_authority_has_its_ipv6_address_in_brackets() {
        let place = |host: &str| Place { host: host.to_owned(), port: 81 }.authority();
        assert_eq!((place("app.no"), place("::1")), ("app.no:81".into(), "[::1]:81".into()));
    }
}
