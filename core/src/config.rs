//! YAML to settings, with every problem at its place (`design.md` D5).
//!
//! Two types: what the file says (`raw`), and what it means ([`Configuration`]). `check` is the only maker
//! of the second; it finds all problems at once, and each names its line, its column and its remedy.
//! `tree` and `shape` stand in for deserialisation, which would stop at the first problem.

mod check;
mod problem;
mod raw;
mod raw_pages;
mod shape;
#[cfg(test)]
mod tests;
mod tree;

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use crate::brand::Brand;
use crate::forward_auth::Dialect;
use crate::provider::ProviderSettings;
use crate::route::{Hosts, Rate};
use crate::session::Limits;
use crate::supposed::Supposed;

pub use self::problem::{Problem, Problems, Severity};

/// The most bytes that a configuration may have.
pub const MAX_FILE: usize = 1 << 20;

/// A configuration that loads, and what its author should look at nevertheless.
#[derive(Debug)]
pub struct Loaded {
    /// What the file means.
    pub configuration: Configuration,
    /// What it means may not be what is wanted: only problems of [`Severity::Warning`].
    pub warnings: Vec<Problem>,
    /// The files and folders that it names to be read.
    pub files: Vec<PathBuf>,
    /// The first eight bytes of the SHA-256 of the file's text, in hexadecimal digits: tells one state of it from
    /// another. No secret stands in the file.
    pub digest: String,
    /// Where it names files.
    pub places: Places,
}

/// Where a configuration names the files that it is made of and that it has written: for what is wrong in them, and is seen
/// only when they are used.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(PathBuf, String)>);

impl Places {
    /// `file:line:column` of the first place that names this path.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<&str> {
        self.0.iter().find(|(named, _)| named == path).map(|(_, place)| place.as_str())
    }
}

/// Reads and checks a file. Paths in it are relative to its folder.
///
/// `environment` gives the value of a variable: of those that the file names, and of no other.
///
/// # Errors
///
/// Every problem of the file, warnings included, if one of them keeps it from loading.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    let name = path.to_string_lossy();
    let refuse = |message: String, fix: &str| {
        Problems::new(vec![problem::Source::new(&name, "").problem(
            &(0..0),
            Severity::Error,
            message,
            fix.to_owned(),
        )])
    };
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut text))
        .map_err(|error| {
            refuse(format!("this file cannot be read: {error}"), "name another with `--config`")
        })?;
    let text = String::from_utf8(text).map_err(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let valid = String::from_utf8_lossy(valid);
        let mut source = problem::Source::new(&name, &valid);
        source.hide(0..valid.len());
        let (message, fix) = ("this is not UTF-8".to_owned(), "save the file as UTF-8".to_owned());
        Problems::new(vec![source.problem(&(valid.len()..valid.len()), Severity::Error, message, fix)])
    })?;
    // `gateway.yaml` has the empty parent, which stands for the current folder.
    parse(&text, &name, path.parent().unwrap_or(Path::new("")), environment)
}

/// Checks the text of a file. `base` is the folder to which its paths are relative.
///
/// # Errors
///
/// As [`load`].
pub fn parse(
    text: &str,
    file_name: &str,
    base: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut source = problem::Source::new(file_name, text);
    if text.len() > MAX_FILE {
        let fix = "let patterns such as `/app/**` stand for many routes".to_owned();
        let message = format!("this file is longer than {MAX_FILE} bytes");
        return Err(Problems::new(vec![source.problem(&(0..0), Severity::Error, message, fix)]));
    }
    let (root, flaws) = tree::build(&mut source);
    let mut desk = shape::Desk {
        source: &source,
        base,
        environment,
        problems: Vec::new(),
        files: Vec::new(),
        named: Vec::new(),
    };
    for flaw in flaws {
        desk.error(&flaw.span, flaw.message, flaw.fix);
    }
    let raw = root.and_then(|root| <raw::RawFile as shape::Shape>::read(&root, &mut desk));
    let configuration = raw.and_then(|raw| check::configuration(&raw, &mut desk));
    let files = std::mem::take(&mut desk.files);
    let named = std::mem::take(&mut desk.named);
    let places = Places(named.into_iter().map(|named| (named.value, desk.place(&named.span))).collect());
    let problems = Problems::new(desk.problems);
    match configuration {
        Some(configuration) if !problems.is_fatal() => {
            let digest = digest(text);
            Ok(Loaded { configuration, warnings: problems.into_vec(), files, digest, places })
        }
        _ => Err(problems.with_files(files)),
    }
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let (first, _) = digest.as_ref().split_at(8);
    first.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The format as JSON Schema (2020-12), for editors; published as `docs/gateway.schema.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    raw::schema()
}

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
    /// The most bytes of assertions that are kept to be used again (`design.md` D7b).
    pub assertion_cache: usize,
    /// How the end of sessions is shared.
    pub revocation: Revocation,
    /// The providers by their order in the file.
    pub providers: Vec<Arc<ProviderSettings>>,
    /// Public hosts and their routes.
    pub hosts: Hosts,
    /// How pages look that are no host's.
    pub brand: Arc<Brand>,
    /// Limits of the front.
    pub limits: FrontLimits,
    /// Where the logs go.
    pub logs: Logs,
    /// Worker threads; `None`: one for each processor.
    pub threads: Option<usize>,
    /// How long SIGTERM waits for requests under way.
    pub drain: Duration,
    /// How long the process serves on after SIGTERM, but not ready, so that load balancers notice.
    pub drain_delay: Duration,
    /// The socket over which a successor takes over.
    pub handover_socket: PathBuf,
    /// Whether a change of the file, or of one that it names, is taken without being asked.
    pub reload_on_change: bool,
    /// What must happen to which requests.
    pub tests: Vec<Expectation>,
}

/// A request, and what must happen to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// `file:line:column` of what is expected.
    pub place: String,
    /// Its method.
    pub method: Method,
    /// Its whole URL, as written.
    pub url: String,
    /// Who is logged in; `None`: nobody.
    pub who: Option<Supposed>,
    /// Headers that the request has besides.
    pub with: Vec<(HeaderName, HeaderValue)>,
    /// What must happen.
    pub outcome: Outcome,
    /// The app to which it must go.
    pub upstream: Option<String>,
    /// Headers that the app must be told.
    pub headers: Vec<String>,
    /// Headers that the app must not be told.
    pub not_headers: Vec<String>,
}

/// What becomes of a request, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to its app.
    Forward,
    /// Nobody is logged in, and somebody must be.
    Login,
    /// A machine's token is needed, and none is there.
    Token,
    /// Somebody is, and must log in again: at a higher level, more recently, or for somebody.
    StepUp,
    /// Somebody is whom the route does not take.
    Forbidden,
    /// It is refused, whoever sends it.
    Refused,
    /// No route governs it.
    NotFound,
    /// The gateway answers it itself.
    Own,
}

impl Outcome {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Login => "login",
            Self::Token => "token",
            Self::StepUp => "step_up",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Own => "own",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the end of sessions is shared (`design.md` D1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The file that holds what ended early.
    pub file: PathBuf,
    /// How stale the view of ended sessions may be before strict routes answer 503.
    pub max_lag: Duration,
    /// How long nobody may have listened before sessions that began earlier log in again.
    pub max_gap: Duration,
    /// The store that replicas share; `None` if there is one gateway.
    pub stream: Option<Stream>,
}

/// A Redis or Valkey in which replicas write what ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where to ask first.
    pub servers: Vec<StreamServer>,
    /// The master's name; then the servers are sentinels.
    pub sentinel: Option<String>,
    /// Who we are at the store.
    pub user: StreamUser,
    /// Who we are at the sentinels.
    pub sentinel_user: StreamUser,
    /// The CAs to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What we show to servers that ask for a certificate: the chain and the key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// How the names of the streams begin.
    pub name: String,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamServer {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to by TLS.
    pub tls: bool,
}

/// Who we are at a server.
#[derive(Clone, Debug, Default)]
pub struct StreamUser {
    /// The ACL user; `default` if it is not said.
    pub name: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
}

impl PartialEq for StreamUser {
    fn eq(&self, other: &Self) -> bool {
        let secret = |user: &Self| user.password.as_ref().map(|password| password.expose_secret().to_owned());
        self.name == other.name && secret(self) == secret(other)
    }
}

impl Eq for StreamUser {}

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
    /// The PROXY header that its connections begin with.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether HTTP/2 without TLS is taken by prior knowledge.
    pub h2c: bool,
    /// Open connections of one client. `None`: no limit but that of all.
    pub connections_per_client: Option<usize>,
    /// Which proxies ask here about requests that they carry themselves; `None`: none, and the public is served.
    pub forward_auth: Option<ForwardAuth>,
}

/// Who asks about requests, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAuth {
    /// How they tell of them.
    pub dialect: Dialect,
    /// The proxies that alone may ask.
    pub peers: Vec<IpNet>,
}

/// A PROXY header, and from whom it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Version 1, in text.
    pub v1: bool,
    /// Version 2, in binary.
    pub v2: bool,
    /// The peers that alone may connect.
    pub from: Vec<IpNet>,
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
    /// Plain, from these load balancers only; they are believed for `X-Forwarded-For` and `-Proto`, or for `-Proto` and the PROXY
    /// header where they send one.
    BehindLoadBalancer(Vec<IpNet>),
    /// Plain http on loopback, for the demo and tests: `insecure_http_loopback`.
    InsecureLoopback,
}

/// Limits of the front (`threats.md` 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontLimits {
    /// Time for the PROXY header and the TLS handshake of a connection.
    pub handshake_deadline: Duration,
    /// Time for the whole body of a request.
    pub body_deadline: Duration,
    /// Time from a request's header to the end of its reply.
    pub request_deadline: Duration,
    /// Time for the whole header of each request on a connection.
    pub header_deadline: Duration,
    /// Time that a connection may be idle between requests.
    pub keep_alive: Duration,
    /// Open connections of all listeners together.
    pub connections: usize,
    /// Requests under way on all of them.
    pub requests: usize,
    /// How many logins one client may start.
    pub logins: Rate,
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
    /// Whether the audit log holds the requests of machines.
    pub audit_machines: bool,
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
