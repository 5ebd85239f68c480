//! The access log: one line for each request, without an identity (`design.md` D16; `threats.md` OM-4).
//!
//! **Invariant:** no path, no query, no field of the request but its method and host, nothing of the person. The
//! requests of one session share a tag that only the holder of the audit key can make.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use portvakt_core::clock::Timestamp;
use portvakt_core::config::ClientAddress;
use portvakt_core::key::{MacKey, Ring};
use portvakt_core::session::SessionId;

use super::line::{MAX_TEXT, with_line};

/// The longest method that is logged whole: the registered ones have at most 17 letters.
const MAX_METHOD: usize = 20;

/// What happened to one request.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When it was answered.
    pub time: Timestamp,
    /// The reference that an error page shows.
    pub reference: &'a str,
    /// The client, as far as it is known.
    pub client: Option<IpAddr>,
    /// The method, as received.
    pub method: &'a str,
    /// The protocol of the client's connection: a word of the program.
    pub protocol: &'static str,
    /// The host, in its normal form if it has one.
    pub host: &'a str,
    /// The route's name in the configuration.
    pub route: Option<&'a str>,
    /// What decided: a word of the program.
    pub rule: &'static str,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// From the request's header to the end of the answer.
    pub took: Duration,
    /// How much of that the upstream took.
    pub upstream: Option<Duration>,
    /// The session that the request was made in.
    pub session: Option<&'a SessionId>,
    /// Whether the exchange ended before its end.
    pub aborted: bool,
}

impl AccessRecord<'_> {
    /// Writes the line. `shown`: how much of the client's address it holds.
    pub(super) fn log<T>(
        &self,
        shown: ClientAddress,
        audit: &Ring<MacKey>,
        hand_over: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let fill = |line: &mut super::line::Line<'_>| {
            line.text("reference", self.reference, MAX_TEXT);
            if let Some(client) = self.client.and_then(|client| Shown::of(client, shown)) {
                line.display("client", client);
            }
            line.text("method", self.method, MAX_METHOD);
            line.word("protocol", self.protocol);
            line.text("host", self.host, MAX_TEXT);
            if let Some(route) = self.route {
                line.text("route", route, MAX_TEXT);
            }
            line.word("rule", self.rule);
            line.number("status", self.status.into());
            line.number("sent", self.sent);
            line.number("took_us", micros(self.took));
            if let Some(upstream) = self.upstream {
                line.number("upstream_us", micros(upstream));
            }
            if let Some(session) = self.session {
                line.hex("session", &session_tag(session, &audit.active(self.time).key));
            }
            if self.aborted {
                line.flag("aborted");
            }
        };
        with_line("access", self.time, fill, hand_over)
    }
}

/// What the logs call a session: keyed, and useless without the audit key.
pub(super) fn session_tag(session: &SessionId, key: &MacKey) -> [u8; 8] {
    key.tag("log-session", &[session.bytes()])
}

/// A client's address as the log shows it.
pub(super) enum Shown {
    Whole(IpAddr),
    Network(IpAddr, u8),
}

impl Shown {
    pub(super) fn of(client: IpAddr, shown: ClientAddress) -> Option<Self> {
        // An IPv4 client of an IPv6 socket is an IPv4 client.
        let client = client.to_canonical();
        match shown {
            ClientAddress::Full => Some(Self::Whole(client)),
            ClientAddress::Truncated => Some(network(client)),
            ClientAddress::None => None,
        }
    }
}

fn network(client: IpAddr) -> Shown {
    match client {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Shown::Network(Ipv4Addr::new(a, b, c, 0).into(), 24)
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Shown::Network(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into(), 48)
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(client) => write!(f, "{client}"),
            Self::Network(network, bits) => write!(f, "{network}/{bits}"),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use portvakt_core::key::{KeyId, RingKey};
    use serde_json::{Value, json};

    use super::*;

    pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    pub(crate) fn ring(secret: u8) -> Ring<MacKey> {
        Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), MacKey::new(&[secret; 32]))
    }

    pub(crate) fn record() -> AccessRecord<'static> {
        AccessRecord {
            time: NOW,
            reference: "7K2QD-M0XW4",
            client: Some("192.0.2.77".parse().unwrap()),
            method: "GET",
            protocol: "h2",
            host: "app.example",
            route: Some("app"),
            rule: "session",
            status: 200,
            sent: 1234,
            took: Duration::from_micros(1500),
            upstream: Some(Duration::from_micros(1400)),
            session: None,
            aborted: false,
        }
    }

    fn logged(record: &AccessRecord<'_>, shown: ClientAddress) -> Value {
        let line = record.log(shown, &ring(1), <[u8]>::to_vec);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_line_holds_these_fields_and_no_other() {
        let session = SessionId::random();
        let line =
            logged(&AccessRecord { session: Some(&session), aborted: true, ..record() }, ClientAddress::Full);
        let tag = line["session"].as_str().unwrap().to_owned();
        assert_eq!(
            line,
            json!({"time": "2026-09-21T14:13:20.000Z", "kind": "access", "reference": "7K2QD-M0XW4",
                   "client": "192.0.2.77", "method": "GET", "protocol": "h2", "host": "app.example", "route": "app",
                   "rule": "session", "status": 200, "sent": 1234, "took_us": 1500, "upstream_us": 1400,
                   "session": tag, "aborted": true})
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let line = logged(
            &AccessRecord { client: None, route: None, upstream: None, ..record() },
            ClientAddress::Full,
        );
        for absent in ["client", "route", "upstream_us", "session", "aborted"] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn hostile_text_neither_leaves_its_field_nor_grows() {
        let method = "GET\",\"status\":500,\"x\":\"\n\u{202e}";
        let host = "a".repeat(100_000);
        let line = logged(&AccessRecord { method, host: &host, ..record() }, ClientAddress::Full);
        assert_eq!(line["method"], "GET\",\"status\":500,\"x...");
        assert_eq!(
            (line["status"].as_u64(), line["host"].as_str().unwrap().len()),
            (Some(200), MAX_TEXT + 3)
        );
    }

    #[test]
    fn an_address_is_whole_a_network_or_absent() {
        for (client, whole, network) in [
            ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            let record = AccessRecord { client: Some(client.parse().unwrap()), ..record() };
            assert_eq!(logged(&record, ClientAddress::Full)["client"], whole);
            assert_eq!(logged(&record, ClientAddress::Truncated)["client"], network);
            assert!(logged(&record, ClientAddress::None).get("client").is_none());
        }
    }

    #[test]
    fn a_session_is_a_tag_that_only_the_key_makes() {
        let session = SessionId::random();
        let record = AccessRecord { session: Some(&session), ..record() };
        let tag = |ring: &Ring<MacKey>| {
            let line: Value =
                serde_json::from_slice(&record.log(ClientAddress::Full, ring, <[u8]>::to_vec)).unwrap();
            line["session"].as_str().unwrap().to_owned()
        };
        assert_eq!(tag(&ring(1)), tag(&ring(1)));
        assert_ne!(tag(&ring(1)), tag(&ring(2)));
        let plain: String = session.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(tag(&ring(1)).len() == 16 && !plain.contains(&tag(&ring(1))));
    }

    #[test]
    fn the_key_that_is_active_makes_the_tag() {
        let key = |id, from: u64| RingKey {
            id: KeyId([id; 4]),
            active_from: Timestamp::from_seconds(from),
            retire_after: None,
            key: MacKey::new(&[id; 32]),
        };
        let rotating = Ring::new(vec![key(1, 0), key(2, NOW.seconds() + 1)]).unwrap();
        let session = SessionId::random();
        let line = |time, ring: &Ring<MacKey>| {
            let record = AccessRecord { session: Some(&session), time, ..record() };
            record.log(ClientAddress::Full, ring, <[u8]>::to_vec)
        };
        assert_eq!(line(NOW, &rotating), line(NOW, &ring(1)));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(line(later, &rotating), line(later, &ring(2)));
    }
}
