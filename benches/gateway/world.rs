//! Everything that a run needs: the proxies, the upstream, the load, keys and sessions, in a folder of their own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Configuration};
use portvakt_core::key::{KeyFile, Keys, NewKey, Secret, path_of};

use crate::rows::{Proxy, Requests};
use crate::sessions::Sessions;
use crate::{Result, bare, cpu, load, process, upstream};
use process::Process;

/// How long a program may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host of the configuration: what the requests ask for.
const HOST: &str = "localhost";

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
}

struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
    bare: SocketAddr,
    upstream: SocketAddr,
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
            gateway: process::free_address()?,
            admin: process::free_address()?,
            bare: process::free_address()?,
            upstream: SocketAddr::new([127, 0, 0, 1].into(), upstream.line()?.parse()?),
        };
        let (file, configuration) = configure(&folder, &addresses)?;
        let keys = Keys::load(&configuration.keys)?;
        let mut gateway = Process::start(
            Command::new(env!("CARGO_BIN_EXE_portvakt")).args(["run", "--config"]).arg(&file),
        )?;
        let arguments = [addresses.bare.to_string(), addresses.upstream.to_string()];
        let mut bare = Process::role(bare::ROLE, &arguments.each_ref().map(String::as_str))?;
        await_answer(&mut gateway, addresses.gateway)?;
        await_answer(&mut bare, addresses.bare)?;

        // Later than the gateway's start: it accepts no session that is older than what it knows.
        let provider = configuration.providers.first().ok_or("no provider")?;
        let sessions = Sessions::begin(provider, HOST, &keys)?;
        let cookies = folder.join("cookies");
        fs::write(&cookies, sessions.lines())?;
        let load = Process::role(load::ROLE, &[&cookies.to_string_lossy()])?;
        Ok(Self { keys, sessions, results, addresses, gateway, bare, load, _upstream: upstream })
    }

    /// Sends requests of one sort: CPU nanoseconds of the proxy for each.
    pub(crate) fn request(&mut self, sort: Requests, requests: usize) -> Result<f64> {
        let (address, pid) = match sort.through {
            Proxy::Bare => (self.addresses.bare, self.bare.id()),
            Proxy::Gateway => (self.addresses.gateway, self.gateway.id()),
        };
        let before = cpu::of_process(pid)?;
        writeln!(self.load.stdin(), "{address} {} {} {requests}", sort.path, sort.session)?;
        let answer = self.load.line()?;
        if answer != "done" {
            return Err(answer.into());
        }
        Ok((cpu::of_process(pid)? - before) as f64 / requests as f64)
    }

    /// How many lines the access log has lost: a log that falls behind would make the gateway look cheap.
    pub(crate) fn lost_log_lines(&self) -> Result<u64> {
        let metrics = get(self.addresses.admin, "/metrics")?;
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
    let Addresses { gateway, admin, upstream, .. } = addresses;
    let (port, threads) = (gateway.port(), bare::THREADS);
    // Nobody logs in during a run, so the issuer need not answer.
    let text = format!(
        "version: 1
environment: test
insecure_http_loopback: true
listeners: [{{address: \"{gateway}\"}}]
admin: {{address: \"{admin}\"}}
keys: keys
threads: {threads}
logs: {{access: {{file: access.log}}, audit: {{file: audit.log}}}}
providers:
  idporten:
    profile: idporten
    issuer: \"http://127.0.0.1:9/idporten\"
    client_id: bench
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
"
    );
    fs::write(&file, text)?;
    let configuration =
        config::load(&file, &|_| None).map_err(|problems| problems.to_string())?.configuration;
    let now = Clock::start().now();
    fs::create_dir_all(&configuration.keys)?;
    for purpose in Secret::ALL {
        KeyFile::create(
            &path_of(&configuration.keys, purpose.as_str()),
            purpose.as_str(),
            NewKey::Secret,
            now,
        )?;
    }
    let client = portvakt::snapshot::client_purpose("idporten");
    let pair = NewKey::Pair(portvakt_core::token::Algorithm::Es256);
    KeyFile::create(&path_of(&configuration.keys, &client), &client, pair, now)?;
    Ok((file, configuration))
}

fn await_answer(process: &mut Process, address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while get(address, "/public/ready").is_err() {
        process.check()?;
        if began.elapsed() > PATIENCE {
            return Err("a proxy does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The whole answer to one request, if it is 200.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let port = address.port();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err("not 200".into()) }
}
