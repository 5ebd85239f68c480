//! What the file means: the only maker of [`Configuration`].
//!
//! **Invariant:** checking changes nothing. It reads the files that the configuration names, and no other.
//! It goes on after a problem, so that one run shows all of them; whoever calls it discards what it made
//! if one of them is an error (`threats.md` OM-1).

mod access_token;
mod assertion;
mod browser;
mod eidas;
mod file;
mod forward_auth;
mod header;
mod host;
mod pages;
mod path;
mod place;
mod policy;
mod provider;
mod representation;
mod route;
mod session;
mod signature;
mod stream;
mod test;
mod token;
mod upstream;
mod websocket;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use self::place::Place;
use self::provider::Providers;
use self::session::Sessions;
use self::upstream::Upstreams;
use super::problem::{Span, nearest, one_of};
use super::raw::{
    RawAuditPerson, RawClientAddress, RawEnvironment, RawFile, RawListener, RawLogs, RawPlainTarget,
    RawProxyProtocol, RawTarget, RawTls,
};
use super::raw::{RawLimits, RawRevocation, RawSession, span_of};
use super::shape::{At, Desk, Written, show_duration};
use super::{
    AuditPerson, ClientAddress, Configuration, Environment, FrontLimits, Listener, LogTarget, Logs,
    ProxyProtocol, Revocation, Transport,
};
use crate::brand::Brand;
use crate::request::normal_path;
use crate::route::Rate;
use crate::session::Limits;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many logins one client may start: a hospital, or a whole mobile network, behind one address.
const LOGINS: Rate = Rate { requests: 6_000, per: MINUTE, burst: 6_000 };

/// What the rest is judged by.
#[derive(Clone, Copy, Debug)]
struct Circumstances {
    environment: Option<Environment>,
    /// Whether plain http is allowed on loopback.
    insecure_loopback: bool,
}

impl Circumstances {
    fn is_production(self) -> bool {
        self.environment == Some(Environment::Production)
    }

    /// Whether a place is https, or may be plain.
    fn allow(self, place: &Place) -> bool {
        place.secure || (self.insecure_loopback && place.is_loopback())
    }
}

/// Checks a file; `None` if something is missing without which there is nothing to make.
pub(super) fn configuration(raw: &RawFile, desk: &mut Desk<'_>) -> Option<Configuration> {
    // Everything is checked before anything is missed.
    check_version(raw.version.as_ref(), desk);
    let circumstances = circumstances(raw, desk);
    let listeners = listeners(raw, circumstances, desk);
    let admin = admin(raw, &listeners, desk);
    let prefix = prefix(raw.prefix.as_ref(), desk);
    let providers = Providers::check(raw, circumstances, desk);
    let sessions = Sessions::check(raw, &providers, desk);
    let upstreams = Upstreams::check(raw, desk);
    let assertion = assertion::assertion(raw, circumstances, desk);
    let persistence = eidas::persistence(raw.eidas.as_ref(), desk);
    let brand = Arc::new(pages::brand(raw.pages.as_ref(), &Brand::default(), desk));
    let surroundings = host::Surroundings {
        circumstances,
        prefix: &prefix,
        sessions: &sessions,
        upstreams: &upstreams,
        issuer: assertion.issuer.as_deref(),
        persistence: &persistence,
        brand: &brand,
    };
    let hosts = host::hosts(raw, &surroundings, desk);
    let session = session(raw.session.as_ref(), &providers, desk);
    let revocation = revocation(raw.revocation.as_ref(), circumstances, desk);
    let limits = limits(raw.limits.as_ref(), desk);
    let threads = count(raw.threads.as_ref(), 1..=256, desk);
    let drain = bounded(raw.drain.as_ref(), 30 * SECOND, SECOND..=10 * MINUTE, desk);
    let drain_delay = bounded(raw.drain_delay.as_ref(), 5 * SECOND, Duration::ZERO..=2 * MINUTE, desk);
    let handover_socket = handover_socket(raw.handover_socket.as_ref(), &revocation, desk);
    let logs = logs(raw, &providers, desk);
    let tests = test::tests(raw, desk);
    providers.check_issuers(desk);
    providers.warn_of_unused(desk);
    sessions.warn_of_unused(desk);
    access_token::warn_of_unused(raw, desk);
    forward_auth::check_together(raw, desk);
    upstreams.warn_of_unused(desk);
    Some(Configuration {
        environment: circumstances.environment?,
        listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
        admin,
        prefix,
        keys: raw.keys.as_ref()?.value.clone(),
        session,
        assertion_cache: assertion.cache,
        revocation,
        providers: providers.settings(),
        hosts,
        brand,
        limits,
        logs,
        threads,
        drain,
        tests,
        drain_delay,
        handover_socket,
        reload_on_change: raw.reload_on_change.as_ref().is_none_or(|watched| watched.value),
    })
}

fn check_version(version: Option<&At<usize>>, desk: &mut Desk<'_>) {
    if let Some(version) = version.filter(|version| version.value != 1) {
        desk.error(
            &version.span,
            format!("version {} of this format is not known", version.value),
            "write `version: 1`",
        );
    }
}

fn circumstances(raw: &RawFile, desk: &mut Desk<'_>) -> Circumstances {
    let environment = raw.environment.as_ref().map(|environment| match environment.value {
        RawEnvironment::Test => Environment::Test,
        RawEnvironment::Production => Environment::Production,
    });
    let switch = raw.insecure_http_loopback.as_ref().filter(|switch| switch.value);
    if let (Some(switch), Some(Environment::Production)) = (switch, environment) {
        desk.error(
            &switch.span,
            "`insecure_http_loopback` is refused in production",
            "remove it, and give each listener `tls` or `load_balancers`",
        );
    }
    let unread = raw.unread.contains(&"insecure_http_loopback");
    Circumstances { environment, insecure_loopback: switch.is_some() || unread }
}

fn listeners(raw: &RawFile, circumstances: Circumstances, desk: &mut Desk<'_>) -> Vec<(Listener, Span)> {
    let mut known: Vec<(Listener, Span)> = Vec::new();
    for listener in raw.listeners.iter().flat_map(|listeners| &listeners.value) {
        let ConnectionRules { proxy_protocol, h2c, connections_per_client } =
            ConnectionRules::check(&listener.value, desk);
        let forward_auth = forward_auth::of_listener(&listener.value, desk);
        let transport = match &forward_auth {
            Some(asking) => forward_auth::transport(&listener.value, asking, desk),
            None => transport(listener, circumstances, desk),
        };
        let (Some(address), Some(transport)) = (&listener.value.address, transport) else { continue };
        if let Some((_, other)) = known.iter().find(|(other, _)| collide(other.address, address.value)) {
            let line = desk.line(other);
            desk.error(
                &address.span,
                format!("the listener on line {line} has this address already"),
                "give each listener an address of its own",
            );
        }
        let listener = Listener {
            address: address.value,
            transport,
            proxy_protocol,
            h2c,
            connections_per_client,
            forward_auth,
        };
        known.push((listener, address.span.clone()));
    }
    known
}

/// What a listener says of its connections, whatever protects them.
struct ConnectionRules {
    proxy_protocol: Option<ProxyProtocol>,
    h2c: bool,
    connections_per_client: Option<usize>,
}

impl ConnectionRules {
    fn check(listener: &RawListener, desk: &mut Desk<'_>) -> Self {
        const PER_CLIENT: usize = 1000;
        let RawListener { tls, load_balancers, proxy_protocol, h2c, connections_per_client, unread, .. } =
            listener;
        if let (Some(tls), Some(h2c)) = (tls, h2c.as_ref().filter(|h2c| h2c.value)) {
            let line = desk.line(&tls.span);
            desk.error(
                &h2c.span,
                format!("this listener has `tls` on line {line}: there HTTP/2 is negotiated"),
                "remove `h2c`",
            );
        }
        if let (Some(protocol), None, false) = (
            proxy_protocol,
            load_balancers,
            unread.contains(&"load_balancers") || listener.forward_auth.is_some(),
        ) {
            desk.error(
                &protocol.span,
                "nothing says who may send a PROXY header",
                "name the networks of those who do: `load_balancers: [10.0.0.0/8]`",
            );
        }
        let asked = listener.forward_auth.is_some();
        let shared = asked || (load_balancers.is_some() && proxy_protocol.is_none());
        if let (Some(given), true) = (connections_per_client, shared) {
            desk.error(
                &given.span,
                if asked {
                    "every connection is of the same few proxies"
                } else {
                    "behind load balancers every connection is of the same few clients"
                },
                if asked { "remove it" } else { "remove it, or let them send `proxy_protocol`" },
            );
        }
        let most = count(connections_per_client.as_ref(), 1..=1_000_000, desk).unwrap_or(PER_CLIENT);
        Self {
            proxy_protocol: proxy_protocol.as_ref().map(|protocol| ProxyProtocol {
                v1: protocol.value != RawProxyProtocol::V2,
                v2: protocol.value != RawProxyProtocol::V1,
                from: load_balancers
                    .iter()
                    .flat_map(|networks| &networks.value)
                    .filter_map(|network| parse_network(&network.value))
                    .collect(),
            }),
            h2c: h2c.as_ref().is_some_and(|h2c| h2c.value),
            connections_per_client: (!shared).then_some(most),
        }
    }
}

fn transport(
    listener: &At<RawListener>,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Option<Transport> {
    let RawListener { address, tls, load_balancers, proxy_protocol, unread, .. } = &listener.value;
    match (tls, load_balancers) {
        (Some(tls), Some(balancers)) if proxy_protocol.is_none() => {
            let line = desk.line(&tls.span);
            desk.error(
                &balancers.span,
                format!("this listener has `tls` on line {line}, and load balancers too"),
                "keep one: `load_balancers` is for plain http from them; or add `proxy_protocol`, if they pass TLS on and send that",
            );
            None
        }
        (Some(tls), balancers) => {
            // Said here, where they are judged; used with the PROXY header.
            for network in balancers.iter().flat_map(|balancers| &balancers.value) {
                self::network(network, desk);
            }
            self::tls(&tls.value, desk)
        }
        (None, Some(balancers)) => Some(Transport::BehindLoadBalancer(
            balancers.value.iter().filter_map(|network| self::network(network, desk)).collect(),
        )),
        (None, None) if !unread.is_empty() => None,
        (None, None) => {
            let address = address.as_ref()?;
            if !circumstances.insecure_loopback {
                desk.error(&address.span, "this listener would be plain http", "add `tls: {certificate: …, key: …}` or `load_balancers: […]`; for a demo, `insecure_http_loopback: true` at the top");
            } else if !address.value.ip().is_loopback() {
                desk.error(
                    &address.span,
                    "plain http is for loopback only",
                    "add `tls: {certificate: …, key: …}` or `load_balancers: […]`, or listen on 127.0.0.1",
                );
            }
            Some(Transport::InsecureLoopback)
        }
    }
}

fn tls(raw: &RawTls, desk: &mut Desk<'_>) -> Option<Transport> {
    let (certificate, key) = (raw.certificate.as_ref(), raw.key.as_ref());
    let certificate_is_there = certificate.is_some_and(|certificate| file::is_readable(certificate, desk));
    let key_is_there = key.is_some_and(|key| file::is_private(key, desk));
    (certificate_is_there && key_is_there)
        .then(|| Some(Transport::Tls { certificate: certificate?.value.clone(), key: key?.value.clone() }))?
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
}

fn network(text: &At<String>, desk: &mut Desk<'_>) -> Option<IpNet> {
    let network = parse_network(&text.value);
    match network {
        None => desk.error(
            &text.span,
            format!("{} is not a network", desk.quoted(&text.span)),
            "write an address and a length, such as `10.0.0.0/8`, or one address",
        ),
        Some(network) if network.prefix_len() == 0 => {
            desk.error(
                &text.span,
                "this believes everybody",
                "name the networks of the load balancers or proxies alone",
            );
        }
        Some(network) if network.trunc() != network => {
            desk.error(
                &text.span,
                "this address is not the first of its network",
                format!("write `{}`, or the address alone", network.trunc()),
            );
        }
        Some(_) => {}
    }
    network
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn admin(raw: &RawFile, listeners: &[(Listener, Span)], desk: &mut Desk<'_>) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 8081));
    let given = raw.admin.as_ref().and_then(|admin| admin.value.address.as_ref());
    let address = given.map_or(default, |given| given.value);
    if let Some(given) = given.filter(|given| !given.value.ip().is_loopback()) {
        desk.warn(
            &given.span,
            "operators' pages are reachable from outside this machine",
            "listen on 127.0.0.1, or make sure that only operators reach this address",
        );
    }
    if let Some((_, span)) = listeners.iter().find(|(listener, _)| collide(listener.address, address)) {
        let line = desk.line(span);
        desk.error(
            &span_of(given, span),
            format!("the listener on line {line} and `admin` have the same address"),
            "give `admin` a port of its own",
        );
    }
    address
}

/// `/segment[/segment]`, in normal form, without a slash at the end.
fn prefix(given: Option<&At<String>>, desk: &mut Desk<'_>) -> String {
    const DEFAULT: &str = "/oauth2";
    let Some(given) = given else { return DEFAULT.to_owned() };
    let text = given.value.as_str();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
    let segments: Vec<&str> = text.split('/').collect();
    let shaped = matches!(segments.as_slice(), ["", rest @ ..] if (1..=4).contains(&rest.len()) && rest.iter().all(|segment| !segment.is_empty()));
    if !plain || !shaped || normal_path(text.as_bytes()).as_deref() != Ok(text) {
        desk.error(&given.span, format!("{} is no prefix", desk.quoted(&given.span)), "write one to four segments of letters, digits, `-`, `.`, `_` and `~`, without a slash at the end: `/oauth2`");
        return DEFAULT.to_owned();
    }
    text.to_owned()
}

fn session(raw: Option<&At<RawSession>>, providers: &Providers, desk: &mut Desk<'_>) -> Limits {
    let defaults = Limits::default();
    let idle_given = raw.and_then(|raw| raw.value.idle.as_ref());
    let absolute_given = raw.and_then(|raw| raw.value.absolute.as_ref());
    let absolute = bounded(absolute_given, defaults.absolute, SECOND..=DAY, desk);
    let idle = bounded(idle_given, defaults.idle.min(absolute), SECOND..=DAY, desk);
    for profile in providers.profiles() {
        if let (Some(given), Some(most)) = (idle_given, profile.max_idle.filter(|most| idle > *most)) {
            let most = show_duration(most);
            desk.error(
                &given.span,
                format!("profile `{}` ends a session after {most} without activity", profile.name),
                format!("write `idle: {most}` or less"),
            );
        }
        if let (Some(given), Some(usual)) =
            (absolute_given, profile.usual_absolute.filter(|usual| absolute > *usual))
        {
            let usual = show_duration(usual);
            desk.warn(
                &given.span,
                format!("a session of profile `{}` usually ends after {usual}", profile.name),
                format!("write `absolute: {usual}` or less, unless you have agreed on more"),
            );
        }
    }
    match idle_given {
        Some(given) if idle > absolute => {
            desk.error(
                &given.span,
                "a session ends before it can be idle so long",
                format!("write `idle: {}` or less, or raise `absolute`", show_duration(absolute)),
            );
        }
        // A session's last activity is written down at most once a minute.
        Some(given) if idle < 2 * MINUTE && idle >= SECOND => {
            desk.warn(
                &given.span,
                "active people may lose such short sessions: activity is noted once a minute",
                "write `idle: 2m` or more",
            );
        }
        _ => {}
    }
    Limits { idle, absolute }
}

fn revocation(
    raw: Option<&At<RawRevocation>>,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Revocation {
    let raw = raw.map(|raw| &raw.value);
    let file = raw.and_then(|raw| raw.file.as_ref()).map(|file| file.value.0.clone());
    Revocation {
        file: file.unwrap_or_else(|| desk.base.join(REVOCATIONS)),
        max_lag: bounded(
            raw.and_then(|raw| raw.max_lag.as_ref()),
            5 * SECOND,
            Duration::from_millis(100)..=MINUTE,
            desk,
        ),
        max_gap: bounded(raw.and_then(|raw| raw.max_gap.as_ref()), MINUTE, SECOND..=10 * MINUTE, desk),
        stream: raw
            .and_then(|raw| raw.stream.as_ref())
            .and_then(|stream| stream::stream(&stream.value, circumstances, desk)),
    }
}

/// What the system takes as the path of a socket (`sun_path`, with its zero byte).
const MAX_SOCKET_PATH: usize = 107;

fn handover_socket(given: Option<&At<Written>>, revocation: &Revocation, desk: &mut Desk<'_>) -> PathBuf {
    let Some(given) = given else {
        return revocation.file.parent().unwrap_or(desk.base).join("handover/socket");
    };
    let path = given.value.0.clone();
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        let message = format!("the path of a socket has at most {MAX_SOCKET_PATH} bytes");
        desk.error(&given.span, message, "name a folder nearer to the root");
    }
    path
}

/// The file of ended sessions, if none is named.
const REVOCATIONS: &str = ".portvakt/revocations.log";

fn limits(raw: Option<&At<RawLimits>>, desk: &mut Desk<'_>) -> FrontLimits {
    let raw = raw.map(|raw| &raw.value);
    FrontLimits {
        handshake_deadline: bounded(
            raw.and_then(|raw| raw.handshake_deadline.as_ref()),
            10 * SECOND,
            SECOND..=MINUTE,
            desk,
        ),
        body_deadline: bounded(
            raw.and_then(|raw| raw.body_deadline.as_ref()),
            30 * MINUTE,
            SECOND..=DAY,
            desk,
        ),
        request_deadline: bounded(
            raw.and_then(|raw| raw.request_deadline.as_ref()),
            120 * MINUTE,
            SECOND..=DAY,
            desk,
        ),
        header_deadline: bounded(
            raw.and_then(|raw| raw.header_deadline.as_ref()),
            10 * SECOND,
            SECOND..=MINUTE,
            desk,
        ),
        keep_alive: bounded(raw.and_then(|raw| raw.keep_alive.as_ref()), MINUTE, SECOND..=60 * MINUTE, desk),
        connections: count(raw.and_then(|raw| raw.connections.as_ref()), 1..=1_000_000, desk)
            .unwrap_or(10_000),
        requests: count(raw.and_then(|raw| raw.requests.as_ref()), 1..=10_000_000, desk).unwrap_or(20_000),
        logins: raw
            .and_then(|raw| raw.logins.as_ref())
            .and_then(|logins| route::rate(&logins.value, desk))
            .unwrap_or(LOGINS),
    }
}

/// The time that is given, or the default; says so if it is out of bounds.
fn bounded(
    given: Option<&At<Duration>>,
    default: Duration,
    bounds: RangeInclusive<Duration>,
    desk: &mut Desk<'_>,
) -> Duration {
    let Some(given) = given else { return default };
    if !bounds.contains(&given.value) {
        let fix = format!(
            "write a time from {} to {}",
            show_duration(*bounds.start()),
            show_duration(*bounds.end())
        );
        desk.error(&given.span, format!("{} is out of bounds", desk.quoted(&given.span)), fix);
    }
    given.value
}

fn count(given: Option<&At<usize>>, bounds: RangeInclusive<usize>, desk: &mut Desk<'_>) -> Option<usize> {
    let given = given?;
    if !bounds.contains(&given.value) {
        let fix = format!("write a number from {} to {}", bounds.start(), bounds.end());
        desk.error(&given.span, format!("{} is out of bounds", desk.quoted(&given.span)), fix);
    }
    Some(given.value)
}

fn logs(file: &RawFile, providers: &Providers, desk: &mut Desk<'_>) -> Logs {
    let at = file.logs.as_ref().map(|logs| logs.span.clone());
    let none = RawLogs::default();
    let raw = file.logs.as_ref().map_or(&none, |logs| &logs.value);
    let access = raw
        .access
        .as_ref()
        .map_or(LogTarget::Stdout, |target| log_target(&target.value).unwrap_or(LogTarget::Stdout));
    let audit = raw.audit.as_ref().and_then(|target| log_target(&target.value));
    if let Some(given) = raw.access.as_ref().filter(|_| access == LogTarget::Off) {
        desk.warn(
            &given.span,
            "no access log is written",
            "write `access: stdout`, unless another program logs every request",
        );
    }
    check_audit(raw, audit.as_ref(), &at, providers, desk);
    if let (LogTarget::File(_), Some(given), true) = (&access, &raw.audit, audit.as_ref() == Some(&access)) {
        let fix = "give the audit log a file of its own: it alone may hold `sid`";
        desk.error(&given.span, "the access log and the audit log are one file", fix);
    }
    Logs {
        access,
        audit: audit.unwrap_or(LogTarget::Off),
        audit_machines: raw.audit_machines.as_ref().is_some_and(|machines| machines.value),
        audit_person: raw.audit_person.as_ref().map_or(AuditPerson::None, |person| match person.value {
            RawAuditPerson::None => AuditPerson::None,
            RawAuditPerson::Pseudonym => AuditPerson::Pseudonym,
            RawAuditPerson::Fnr => AuditPerson::Fnr,
        }),
        client_address: raw.client_address.as_ref().map_or(ClientAddress::Full, |address| {
            match address.value {
                RawClientAddress::Full => ClientAddress::Full,
                RawClientAddress::Truncated => ClientAddress::Truncated,
                RawClientAddress::None => ClientAddress::None,
            }
        }),
    }
}

/// Where the audit log goes is said, never assumed (`design.md` D16).
fn check_audit(
    raw: &RawLogs,
    audit: Option<&LogTarget>,
    at: &Option<Span>,
    providers: &Providers,
    desk: &mut Desk<'_>,
) {
    const FIX: &str = "write `audit: {file: …}`";
    let demanding = providers.profiles().find(|profile| profile.demands_audit);
    match (audit, raw.audit.as_ref(), providers.first()) {
        (None, None, Some(first)) if !raw.unread.contains(&"audit") => {
            let span = at.clone().unwrap_or(first);
            desk.error(
                &span,
                "nothing says where logins and logouts are written down",
                "add `logs: {audit: {file: …}}`, or `audit: off`",
            );
        }
        (Some(LogTarget::Off), Some(given), _) => {
            if let Some(profile) = demanding {
                desk.warn(
                    &given.span,
                    format!("an audit log is part of the terms of profile `{}`", profile.name),
                    FIX,
                );
            }
        }
        (Some(LogTarget::Stdout), Some(given), _) => {
            desk.warn(&given.span, "the audit log holds `sid` and is mixed with other output here", FIX);
        }
        _ => {}
    }
}

/// `None` without a path, which was reported.
fn log_target(raw: &RawTarget) -> Option<LogTarget> {
    Some(match raw {
        RawTarget::Plain(RawPlainTarget::Stdout) => LogTarget::Stdout,
        RawTarget::Plain(RawPlainTarget::Off) => LogTarget::Off,
        RawTarget::File(target) => LogTarget::File(target.file.as_ref()?.value.0.clone()),
    })
}

/// Says that nothing has this name.
fn unknown_name<'n>(
    what: &str,
    name: &At<String>,
    names: impl Iterator<Item = &'n str> + Clone,
    desk: &mut Desk<'_>,
) {
    let hint = nearest(&name.value, names.clone())
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default();
    let fix = match names.clone().next() {
        Some(_) => format!("write {}", one_of(names)),
        None => format!("add it under `{what}s`"),
    };
    desk.error(&name.span, format!("there is no {what} {}{hint}", desk.quoted(&name.span)), fix);
}

/// Whether a name in the file is fit for logs, headers and key files.
fn check_name(what: &str, name: &At<String>, desk: &mut Desk<'_>) {
    let fits = (1..=40).contains(&name.value.len())
        && name.value.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if !fits {
        desk.error(
            &name.span,
            format!("this is no name for {what}"),
            "write at most 40 lower-case letters, digits, `-` and `_`, a letter first",
        );
    }
}

/// Says which entries of a list are there twice; returns the texts without them.
fn distinct(list: &[At<String>], desk: &mut Desk<'_>) -> Vec<String> {
    let mut seen = HashSet::new();
    for item in list {
        if !seen.insert(item.value.as_str()) {
            desk.error(
                &item.span,
                format!("{} is there twice", desk.quoted(&item.span)),
                "keep one of the two",
            );
        }
    }
    list.iter().map(|item| item.value.clone()).collect()
}
