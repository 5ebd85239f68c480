//! Everything that a run needs: the proxies, the upstream, the load, keys and sessions, in a folder of their own.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Configuration};
use portvakt_core::key::{ASSERTION, KeyFile, Keys, NewKey, Secret, app_purpose, path_of, signature_purpose};
use portvakt_core::token::{Algorithm, SignatureAlgorithm};
use serde_json::{Value, json};

use crate::protocol::Fronts;
use crate::rows::{Proxy, Requests};
use crate::sessions::Sessions;
use crate::{Result, bare, cpu, load, person, process, upstream};
use process::Process;

/// The providers, and the keys by which the gateway is known to each.
const CLIENTS: [(&str, Algorithm); 2] = [("idporten", Algorithm::Es256), ("rsa", Algorithm::Rs256)];

/// How long a program may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(30);

/// The certificate of both proxies, and its key.
pub(crate) const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/gateway/localhost.pem");
pub(crate) const CERTIFICATE_KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/gateway/localhost.key");

/// The host of the configuration: what the requests ask for.
pub(crate) const HOST: &str = "localhost";

/// A running world.
pub(crate) struct World {
    /// The keys of the run.
    pub(crate) keys: Keys,
    /// The sessions that requests carry.
    pub(crate) sessions: Sessions,
    /// Where the results go.
    pub(crate) results: PathBuf,
    addresses: Addresses,
    gateway: Process,
    bare: Process,
    load: Process,
    _upstream: Process,
    _provider: Process,
}

struct Addresses {
    gateway: Fronts,
    admin: SocketAddr,
    bare: Fronts,
    upstream: SocketAddr,
    provider: SocketAddr,
}

impl World {
    /// Starts everything and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        let results =
            Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?.join("bench");
        let folder = results.join("run");
        // What a run before this one left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;

        let mut upstream = Process::role(upstream::ROLE, &[])?;
        let addresses = Addresses {
            gateway: Fronts::find()?,
            admin: process::free_address()?,
            bare: Fronts::find()?,
            provider: process::free_address()?,
            upstream: SocketAddr::new([127, 0, 0, 1].into(), upstream.line()?.parse()?),
        };
        let (file, configuration) = configure(&folder, &addresses)?;
        let keys = Keys::load(&configuration.keys)?;
        let program = Path::new(env!("CARGO_BIN_EXE_portvakt"));
        let provider = start_provider(&program.with_file_name("portvakt-simulator"), &folder, &addresses)?;
        let mut gateway = Process::start(Command::new(program).args(["run", "--config"]).arg(&file))?;
        let Fronts { http1, http2, tls } = addresses.bare;
        let arguments = [http1, http2, tls, addresses.upstream].map(|address| address.to_string());
        let mut bare = Process::role(bare::ROLE, &arguments.each_ref().map(String::as_str))?;
        await_answer(&mut gateway, addresses.gateway.http1)?;
        await_answer(&mut bare, http1)?;

        // Later than the gateway's start: it accepts no session that is older than what it knows.
        let settings = configuration.providers.first().ok_or("no provider")?;
        let sessions = Sessions::begin(settings, HOST, &keys)?;
        let cookies = folder.join("cookies");
        fs::write(&cookies, sessions.lines())?;
        let load = Process::role(load::ROLE, &[&cookies.to_string_lossy()])?;
        Ok(Self {
            keys,
            sessions,
            results,
            addresses,
            gateway,
            bare,
            load,
            _upstream: upstream,
            _provider: provider,
        })
    }

    /// Sends requests of one sort: CPU nanoseconds of the proxy for each.
    pub(crate) fn request(&mut self, sort: Requests, requests: usize) -> Result<f64> {
        self.order("send", sort, requests)
    }

    /// The same for requests that are answered by a stream of events each.
    pub(crate) fn stream(&mut self, sort: Requests, requests: usize) -> Result<f64> {
        self.order("streams", sort, requests)
    }

    /// Opens so many connections that have one request each: bytes that the proxy's memory grows by for each.
    pub(crate) fn hold(&mut self, sort: Requests, connections: usize) -> Result<f64> {
        let before = self.memory()?;
        self.order("hold", sort, connections)?;
        let grown = self.memory()?.saturating_sub(before);
        self.tell("release")?;
        Ok(grown as f64 / connections as f64)
    }

    /// The gateway's memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        cpu::memory_of_process(self.gateway.id())
    }

    /// Has so many persons log in at a provider: CPU nanoseconds of the gateway for each.
    pub(crate) fn log_in(&mut self, provider: &str, logins: usize) -> Result<f64> {
        let before = cpu::of_process(self.gateway.id())?;
        for _ in 0..logins {
            person::log_in(self.addresses.gateway.http1, self.addresses.provider, provider)?;
        }
        Ok((cpu::of_process(self.gateway.id())? - before) as f64 / logins as f64)
    }

    /// Has the load do something: CPU nanoseconds of the proxy for each of so many.
    fn order(&mut self, what: &str, sort: Requests, number: usize) -> Result<f64> {
        let (fronts, pid) = match sort.through {
            Proxy::Bare => (self.addresses.bare, self.bare.id()),
            Proxy::Gateway => (self.addresses.gateway, self.gateway.id()),
        };
        let Requests { over, path, session, .. } = sort;
        // Whichever listener it comes to, it is for the one origin.
        let host = format!("{HOST}:{}", fronts.http1.port());
        let before = cpu::of_process(pid)?;
        self.tell(&format!("{what} {over} {} {host} {path} {session} {number}", fronts.of(over)))?;
        Ok((cpu::of_process(pid)? - before) as f64 / number as f64)
    }

    fn tell(&mut self, order: &str) -> Result<()> {
        writeln!(self.load.stdin(), "{order}")?;
        match self.load.line()? {
            done if done == "done" => Ok(()),
            other => Err(other.into()),
        }
    }

    /// How many lines the access log has lost: a log that falls behind would make the gateway look cheap.
    pub(crate) fn lost_log_lines(&self) -> Result<u64> {
        let metrics = person::read(self.addresses.admin, "/metrics")?;
        let line =
            metrics.lines().find(|line| line.starts_with("portvakt_log_dropped_total{log=\"access\"}"));
        Ok(line.and_then(|line| line.rsplit(' ').next()).ok_or("no metric of lost lines")?.parse()?)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The access log of a run has hundreds of megabytes.
        let _ = fs::remove_dir_all(self.results.join("run"));
    }
}

fn configure(folder: &Path, addresses: &Addresses) -> Result<(PathBuf, Configuration)> {
    let file = folder.join("gateway.yaml");
    let Addresses { gateway: Fronts { http1, http2, tls }, admin, upstream, provider, .. } = addresses;
    let (port, threads) = (http1.port(), bare::THREADS);
    let text = format!(
        "version: 1
environment: test
insecure_http_loopback: true
listeners:
  - {{address: \"{http1}\", connections_per_client: 5000}}
  - {{address: \"{http2}\", h2c: true, connections_per_client: 5000}}
  - {{address: \"{tls}\", tls: {{certificate: \"{CERTIFICATE}\", key: tls.key}}, connections_per_client: 5000}}
limits: {{logins: {{requests: 1000000, per: 1m}}}}
admin: {{address: \"{admin}\"}}
keys: keys
threads: {threads}
logs: {{access: {{file: access.log}}, audit: {{file: audit.log}}}}
providers:
  idporten:
    profile: idporten
    issuer: \"http://{provider}/idporten\"
    client_id: portvakt-demo
    client_auth: private_key_jwt
  rsa:
    profile: idporten
    issuer: \"http://{provider}/idporten\"
    client_id: portvakt-demo
    client_auth: private_key_jwt
upstreams:
  app: {{url: \"http://{upstream}\"}}
hosts:
  - origin: \"http://{HOST}:{port}\"
    provider: idporten
    routes:
      - {{path: \"/public/**\", access: public, upstream: app}}
      - {{path: \"/optional/**\", access: optional, upstream: app}}
      - {{path: \"/app/**\", access: login, upstream: app}}
      - {{path: \"/rsa/**\", access: login, session: rsa, upstream: app}}
      - {{path: \"/assertion/**\", access: login, upstream: app, assertion: true}}
      - {{path: \"/hmac/**\", access: login, upstream: app, signature: hmac-sha256}}
      - {{path: \"/ed25519/**\", access: login, upstream: app, signature: ed25519}}
      - {{path: \"/ecdsa/**\", access: login, upstream: app, signature: ecdsa-p256-sha256}}
"
    );
    fs::write(&file, text)?;
    // A copy, because a key that others may read is refused.
    write_private(&folder.join("tls.key"), &fs::read(CERTIFICATE_KEY)?)?;
    let configuration =
        config::load(&file, &|_| None).map_err(|problems| problems.to_string())?.configuration;
    let now = Clock::start().now();
    fs::create_dir_all(&configuration.keys)?;
    let make =
        |purpose: &str, kind| KeyFile::create(&path_of(&configuration.keys, purpose), purpose, kind, now);
    for purpose in Secret::ALL {
        make(purpose.as_str(), NewKey::Secret)?;
    }
    for (provider, algorithm) in CLIENTS {
        make(&portvakt_core::key::client_purpose(provider), NewKey::Pair(algorithm))?;
    }
    make(ASSERTION, NewKey::Pair(Algorithm::Es256))?;
    for algorithm in SignatureAlgorithm::PAIRS {
        let pair = signature_purpose(algorithm).zip(algorithm.pair());
        let (purpose, kind) = pair.ok_or("a pair has its purpose")?;
        make(purpose, NewKey::Pair(kind))?;
    }
    make(&app_purpose("app"), NewKey::Secret)?;
    Ok((file, configuration))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(bytes)?)
}

/// The simulator, with the public halves of all clients' keys.
fn start_provider(program: &Path, folder: &Path, addresses: &Addresses) -> Result<Process> {
    let mut keys = Vec::new();
    for (provider, _) in CLIENTS {
        let purpose = portvakt_core::key::client_purpose(provider);
        let file = KeyFile::read(&path_of(&folder.join("keys"), &purpose), &purpose)?;
        let Value::Array(public) = file.public_jwks()?["keys"].take() else { return Err("no keys".into()) };
        keys.extend(public);
    }
    let jwks = folder.join("client.jwks");
    fs::write(&jwks, json!({ "keys": keys }).to_string())?;
    let gateway = format!("http://{HOST}:{}", addresses.gateway.http1.port());
    let mut command = Command::new(program);
    command
        .args(["--listen", &addresses.provider.to_string(), "--gateway", &gateway, "--client-jwks"])
        .arg(&jwks);
    let mut provider = Process::start(&mut command)
        .map_err(|error| format!("{} does not start: {error}; `make bench` builds it", program.display()))?;
    match provider.line()? {
        ready if ready.starts_with("simulator ready") => Ok(provider),
        other => Err(other.into()),
    }
}

fn await_answer(process: &mut Process, address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while person::read(address, "/public/ready").is_err() {
        process.check()?;
        if began.elapsed() > PATIENCE {
            return Err("a proxy does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
