//! YAML to settings, with every problem at its place (`design.md` D5).
//!
//! Two types: what the file says (`raw`), and what it means ([`Configuration`]). `check` is the only maker
//! of the second; it finds all problems at once, and each names its line, its column and its remedy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::provider::ProviderSettings;
use crate::route::Hosts;
use crate::session::Limits;

/// What the configuration file means: one generation, used as a whole (`threats.md` OM-2).
#[derive(Debug)]
pub struct Configuration {
    /// Whether people's data is behind it.
    pub environment: Environment,
    /// Where the public is served.
    pub listeners: Vec<Listener>,
    /// Where operators are served: health, metrics, status.
    pub admin: SocketAddr,
    /// The prefix of our own endpoints, `/oauth2` by default. No slash at the end.
    pub prefix: String,
    /// The folder of the key files.
    pub keys: PathBuf,
    /// How long sessions last.
    pub session: Limits,
    /// How stale the view of ended sessions may be before strict routes answer 503.
    pub revocation_max_lag: Duration,
    /// The providers by their order in the file.
    pub providers: Vec<Arc<ProviderSettings>>,
    /// Public hosts and their routes.
    pub hosts: Hosts,
    /// Limits of the front.
    pub limits: FrontLimits,
    /// Where the logs go.
    pub logs: Logs,
    /// Worker threads; `None`: one for each processor.
    pub threads: Option<usize>,
    /// How long SIGTERM waits for requests under way.
    pub drain: Duration,
}

/// Whether people's data is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Test providers, test persons and `insecure_…` switches are allowed.
    Test,
    /// None of them is.
    Production,
}

/// Where the public is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// What protects the connection.
    pub transport: Transport,
}

/// What protects a connection to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS with these files (PEM).
    Tls {
        /// Certificate chain.
        certificate: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// Plain, from these load balancers only; they are believed for `X-Forwarded-For` and `-Proto`.
    BehindLoadBalancer(Vec<IpNet>),
    /// Plain http on loopback, for the demo and tests: `insecure_http_loopback`.
    InsecureLoopback,
}

/// Limits of the front (`threats.md` 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontLimits {
    /// Time for the whole header of each request on a connection.
    pub header_deadline: Duration,
    /// Time that a connection may be idle between requests.
    pub keep_alive: Duration,
    /// Open connections of all listeners together.
    pub connections: usize,
}

/// Where the logs go (`design.md` D16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// The access log.
    pub access: LogTarget,
    /// The audit log; it is the one place that holds `sid`.
    pub audit: LogTarget,
    /// Whether the audit log holds the national number, a pseudonym of it, or neither.
    pub audit_person: AuditPerson,
    /// How much of the client's address the access log holds.
    pub client_address: ClientAddress,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// How the audit log names the person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditPerson {
    /// Not at all.
    #[default]
    None,
    /// By a keyed hash.
    Pseudonym,
    /// By the national number.
    Fnr,
}

/// How much of the client's address the access log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// All of it.
    #[default]
    Full,
    /// The network: /24 of IPv4, /48 of IPv6.
    Truncated,
    /// Nothing.
    None,
}
