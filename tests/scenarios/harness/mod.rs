//! One world for each scenario: the real gateway, the real simulator, an app that writes everything down.
//!
//! ```text
//! let world = World::start();                       // or World::with(Settings::default().route(…))
//! let mut browser = world.browser();
//! let page = browser.log_in("/app/letters?x=1", "bankid-high");
//! assert_eq!(world.app.last().header("x-identity-fnr"), Some("24929935140"));
//! world.finish();                                   // judges logs, counts and the gateway's end
//! ```
//!
//! **Invariant:** everything is on loopback, has a port and a folder of its own, and ends with the world.
//! **Invariant:** a world that ends is judged, whether or not the scenario says so: no secret in any log, as
//! many requests at the app as were forwarded, no panic, valid log lines, an orderly end.

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod http;
pub(crate) mod jar;
pub(crate) mod kept;
pub(crate) mod listen;
pub(crate) mod process;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod tls;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::{fs, thread};

use serde_json::{Value, json};
use url::Url;

use self::app::App;
use self::browser::Browser;
use self::http::{Response, exchange};
use self::process::{Process, await_that, program};
use self::secrets::Secrets;
use self::settings::Places;
pub(crate) use self::settings::Settings;

/// The purposes of the key files that a gateway needs.
const KEYS: [&str; 5] = ["cookie", "revocation", "pseudonym", "audit", "client-idporten"];

/// How often a gateway is started whose ports somebody has taken meanwhile.
const STARTS: usize = 5;

/// Gateway, provider and app.
pub(crate) struct World {
    /// The app.
    pub(crate) app: App,
    /// What no log may hold.
    pub(crate) secrets: Secrets,
    /// What the configuration says.
    pub(crate) settings: Settings,
    folder: PathBuf,
    port: u16,
    admin: u16,
    gateway: Option<Process>,
    simulator: Option<Process>,
    simulator_address: SocketAddr,
    /// How often the gateway was killed: each time may cut a line of a log and lose what was not written yet.
    kills: usize,
    counts: bool,
}

impl World {
    /// The demo's routes.
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    /// With settings of the scenario's own.
    pub(crate) fn with(settings: Settings) -> Self {
        let mut world = Self::prepared(settings);
        world.start_gateway();
        world
    }

    /// Provider, app, keys and a configuration; who serves at its address is the scenario's business, and judged by it.
    pub(crate) fn without_gateway(settings: Settings) -> Self {
        let mut world = Self::prepared(settings);
        world.counts = false;
        (world.port, world.admin) = (free_port(), free_port());
        world.register();
        world.write_configuration();
        world
    }

    fn prepared(settings: Settings) -> Self {
        let folder = new_folder();
        let mut world = Self {
            app: App::start(),
            secrets: Secrets::default(),
            folder,
            port: 0,
            admin: 0,
            gateway: None,
            simulator: None,
            simulator_address: free_address(),
            kills: 0,
            counts: true,
            settings,
        };
        write_keys(&world.folder);
        if world.settings.provider_is_up {
            world.start_simulator();
        }
        world
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// Where the simulator listens.
    pub(crate) fn simulator_address(&self) -> SocketAddr {
        self.simulator_address
    }

    /// The port of the admin listener.
    pub(crate) fn admin_port(&self) -> u16 {
        self.admin
    }

    /// The gateway's origin.
    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// `localhost:port`, as in `Host`.
    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A URL; a path is one of the gateway's.
    pub(crate) fn url(&self, url: &str) -> Url {
        Url::parse(&self.origin()).unwrap().join(url).unwrap()
    }

    /// The simulator's origin.
    pub(crate) fn simulator(&self) -> String {
        format!("http://{}", self.simulator_address)
    }

    /// Where the gateway listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Sends bytes to the gateway. `{host}` stands for its authority.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        let bytes = replace(bytes.as_ref(), b"{host}", self.authority().as_bytes());
        exchange(self.address(), &bytes)
    }

    /// A GET by a program such as curl: no Sec-Fetch, `Accept: */*`. `fields` each with CRLF.
    pub(crate) fn curl(&self, target: &str, fields: &str) -> Response {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: */*\r\n{fields}Connection: close\r\n\r\n"
        ))
    }

    /// The answer of the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(SocketAddr::from(([127, 0, 0, 1], self.admin)), head.as_bytes())
    }

    /// Gives the simulator orders (`simulator/README.md`).
    pub(crate) fn control(&self, orders: &Value) -> Value {
        let body = orders.to_string();
        let head = format!(
            "POST /control HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.simulator_address,
            body.len(),
        );
        let response = exchange(self.simulator_address, head.as_bytes());
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// The simulator's state: counters, sessions.
    pub(crate) fn simulator_state(&self) -> Value {
        self.simulator_get("/control")
    }

    /// How often an endpoint of the simulator was called.
    pub(crate) fn calls(&self, endpoint: &str) -> u64 {
        self.simulator_state()["calls"][endpoint].as_u64().unwrap_or(0)
    }

    /// What the simulator answers.
    pub(crate) fn simulator_get(&self, path: &str) -> Value {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.simulator_address);
        exchange(self.simulator_address, head.as_bytes()).json()
    }

    /// Remembers the provider's session ids, so that no log may hold them.
    pub(crate) fn note_sids(&self) {
        if self.simulator.is_none() {
            return;
        }
        let state = self.simulator_state();
        for session in
            state["issuers"][self.settings.issuer_path]["sessions"].as_array().into_iter().flatten()
        {
            for sid in session["sids"].as_object().into_iter().flat_map(|sids| sids.values()) {
                self.secrets.add_sid(sid.as_str().unwrap());
            }
        }
    }

    /// Starts the simulator, or starts it again: it forgets everybody.
    pub(crate) fn start_simulator(&mut self) {
        let mut command = Command::new(program("portvakt-simulator"));
        command.args(["--listen", &self.simulator_address.to_string()]);
        let mut process = Process::start(&mut command, &self.folder, "simulator");
        process.await_line("simulator ready ");
        // The line may be that of one before.
        let listens = || std::net::TcpStream::connect(self.simulator_address).is_ok().then_some(());
        await_that("the simulator listens", listens);
        self.simulator = Some(process);
        for person in self.simulator_get("/persons.json").as_array().unwrap() {
            self.secrets.add_person(person["fnr"].as_str(), person["name"].as_str().unwrap());
        }
        if self.port != 0 {
            self.register();
        }
    }

    /// The provider is gone.
    pub(crate) fn stop_simulator(&mut self) {
        self.simulator = None;
    }

    /// Registers the gateway at the simulator.
    fn register(&self) {
        let jwks: Value = serde_json::from_str(client_jwks()).unwrap();
        let origin = self.origin();
        self.control(&json!({"client": {
            "issuer": self.settings.issuer_path,
            "client_id": self.settings.client_id,
            "jwks": jwks,
            // Which this one does not offer.
            "require_pushed_authorization_requests": self.settings.issuer_path != "utland",
            "grant_types": if self.settings.refreshes {
                json!(["authorization_code", "refresh_token"])
            } else {
                json!(["authorization_code"])
            },
            "redirect_uris": [format!("{origin}/oauth2/callback")],
            "post_logout_redirect_uris": [format!("{origin}/oauth2/logout/callback")],
            "frontchannel_logout_uri": format!("{origin}/oauth2/logout/frontchannel"),
            "backchannel_logout_uri": format!("{origin}/oauth2/logout/backchannel"),
        }}));
    }

    fn start_gateway(&mut self) {
        for _ in 0..STARTS {
            (self.port, self.admin) = (free_port(), free_port());
            if self.simulator.is_some() {
                self.register();
            }
            self.write_configuration();
            if self.try_start() {
                return;
            }
        }
        panic!("the gateway does not start: {}", read(&self.folder.join("gateway.err")));
    }

    fn try_start(&mut self) -> bool {
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--config"]).arg(self.configuration());
        let mut process = Process::start(&mut command, &self.folder, "gateway");
        let admin = SocketAddr::from(([127, 0, 0, 1], self.admin));
        let ready = if self.settings.provider_is_up { "/readyz" } else { "/livez" };
        let started = await_that("the gateway is ready", || {
            if process.ended().is_some() {
                return Some(false);
            }
            let listens = |address| std::net::TcpStream::connect(address).is_ok();
            let request = format!("GET {ready} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let up = listens(admin) && exchange(admin, request.as_bytes()).status == 200;
            (up && listens(self.address())).then_some(true)
        });
        self.gateway = Some(process);
        started
    }

    /// The gateway ends in an orderly way, and another one starts at the same place.
    pub(crate) fn restart_gateway(&mut self) {
        self.stop_gateway();
        assert!(self.try_start(), "the gateway does not start again: {}", self.errors());
    }

    /// Starts a successor of the gateway, which waits until it may take over.
    pub(crate) fn start_successor(&self) -> Process {
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--upgrade", "--config"]).arg(self.configuration());
        Process::start(&mut command, &self.folder, "gateway")
    }

    /// Puts another process in the gateway's place, and gives the one before.
    pub(crate) fn exchange_gateway(&mut self, successor: Process) -> Process {
        self.gateway.replace(successor).expect("the gateway runs")
    }

    /// `kill -9` of the gateway, whatever it is about.
    pub(crate) fn kill_gateway(&mut self) {
        self.kills += 1;
        self.gateway().kill();
    }

    /// Another gateway at the place of one that was killed.
    pub(crate) fn start_killed_gateway(&mut self) {
        // A port may be held for a moment by connections of the one before.
        let started = (0..STARTS).any(|_| self.try_start());
        assert!(started, "the gateway does not start after a kill: {}", self.errors());
    }

    fn stop_gateway(&mut self) {
        let status = self.gateway.as_mut().map(Process::stop);
        assert!(status.is_none_or(|status| status.success()), "the gateway ended with {status:?}");
    }

    /// The running gateway.
    pub(crate) fn gateway(&mut self) -> &mut Process {
        self.gateway.as_mut().expect("the gateway runs")
    }

    /// The most memory that the gateway has held so far, in KiB.
    pub(crate) fn most_memory(&self) -> u64 {
        self.gateway.as_ref().expect("the gateway runs").most_memory()
    }

    /// The gateway's number among processes.
    pub(crate) fn gateway_id(&self) -> u32 {
        self.gateway.as_ref().expect("the gateway runs").id()
    }

    /// Sends the gateway a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.gateway.as_ref().expect("the gateway runs").signal(name);
    }

    /// The configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("gateway.yaml")
    }

    /// Writes the settings into the file; a reload takes them.
    pub(crate) fn write_configuration(&self) {
        let places = Places {
            port: self.port,
            admin: self.admin,
            app: self.app.address().port(),
            simulator: self.simulator(),
            issuer: format!("{}/{}", self.simulator(), self.settings.issuer_path),
        };
        fs::write(self.configuration(), self.settings.yaml(&places)).unwrap();
    }

    /// The folder of keys, logs and configuration.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `portvakt keys …`, for the keys of this world.
    pub(crate) fn run_keys(&self, arguments: &[&str]) -> String {
        run_keys(&self.folder, arguments)
    }

    /// Messages of the gateway to operators.
    pub(crate) fn errors(&self) -> String {
        self.gateway.as_ref().map(Process::errors).unwrap_or_default()
    }

    /// The access log's lines so far.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let output = self.gateway.as_ref().map(Process::output).unwrap_or_default();
        lines("access log", &output, self.kills)
    }

    /// The audit log's lines so far.
    pub(crate) fn audit_log(&self) -> Vec<Value> {
        lines("audit log", &read(&self.folder.join("audit.log")), self.kills)
    }

    /// Waits until the audit log has so many lines.
    pub(crate) fn await_audit(&self, count: usize) -> Vec<Value> {
        await_that("the audit log's lines", || Some(self.audit_log()).filter(|lines| lines.len() >= count))
    }

    /// Waits until the gateway is ready.
    pub(crate) fn await_ready(&mut self) {
        await_that("the gateway is ready", || (self.admin("/readyz").status == 200).then_some(()));
    }

    /// Waits until a gateway that has been exchanged listens and is ready.
    pub(crate) fn await_ready_again(&self) {
        let admin = SocketAddr::from(([127, 0, 0, 1], self.admin));
        await_that("the gateway listens", || std::net::TcpStream::connect(admin).is_ok().then_some(()));
        await_that("the gateway is ready", || (self.admin("/readyz").status == 200).then_some(()));
    }

    /// Ends the world and judges it. Dropping it does the same.
    pub(crate) fn finish(self) {
        drop(self);
    }

    /// As [`finish`](Self::finish), for apps that may get more than was forwarded and answered.
    pub(crate) fn unjudged_count(mut self) {
        self.settings.others.clear();
        self.counts = false;
        drop(self);
    }

    fn judge(&mut self) {
        self.stop_gateway();
        let (errors, audit) = (self.errors(), read(&self.folder.join("audit.log")));
        let output = self.gateway.as_ref().map(Process::output).unwrap_or_default();
        for (name, log) in [("gateway's messages", &errors), ("access log", &output)] {
            self.secrets.look_in(name, log, false);
            assert!(!log.contains("panicked"), "the gateway panicked: {log}");
        }
        self.secrets.look_in("audit log", &audit, true);
        self.audit_log();
        if !self.counts {
            return;
        }
        let others = self.settings.others.iter().map(app::Tally::count).sum::<usize>();
        let (arrived, logged) =
            (self.app.count() - self.app.errands() + others, forwarded(&self.access_log()));
        if self.kills == 0 {
            // Some of those that the app never had, or answered with nothing that can be passed on; and of what the
            // client gave up the app may have the whole or a part.
            let unanswered = broken_off(&self.access_log());
            let given_up = self.access_log().iter().filter(|line| line["aborted"] == true).count();
            let likely = logged.saturating_sub(given_up)..=logged + unanswered;
            assert!(
                likely.contains(&arrived),
                "{arrived} requests at the app, {logged} forwarded, {unanswered} unanswered, {given_up} given up"
            );
        } else {
            assert!(logged <= arrived, "{logged} requests were forwarded, and {arrived} arrived");
        }
    }
}

/// How many requests had no answer of the app that could be passed on.
fn broken_off(log: &[Value]) -> usize {
    let broken_off = |line: &&Value| line["rule"] == "app_unreachable" || line["rule"] == "app_too_slow";
    log.iter().filter(|line| line["route"].is_string()).filter(broken_off).count()
}

/// How many requests were forwarded, by an access log.
pub(crate) fn forwarded(access_log: &[Value]) -> usize {
    let forwarded = |line: &&Value| {
        let rule = line["rule"].as_str().unwrap_or_default();
        line["route"].is_string() && ["public", "optional", "login", "token"].contains(&rule)
    };
    access_log.iter().filter(forwarded).count()
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            // What the programs said is there to be read.
            return;
        }
        self.judge();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The lines of a log, of which so many may have been cut by a kill.
pub(crate) fn lines(name: &str, log: &str, cut: usize) -> Vec<Value> {
    let mut broken = 0;
    let parse = |line: &str| {
        let parsed = serde_json::from_str(line).ok();
        broken += usize::from(parsed.is_none());
        assert!(broken <= cut, "{name}: no JSON: {line}");
        parsed
    };
    // The last line may be half-written.
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(parse).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// A folder of its own below cargo's folder for tests.
fn new_folder() -> PathBuf {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A port that nobody listens on, below those that the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at the same time begin at different places.
    let start = u16::try_from(std::process::id().wrapping_mul(251) % u32::from(COUNT)).unwrap_or_default();
    loop {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + u32::from(start);
        let port = FIRST + u16::try_from(offset % u32::from(COUNT)).unwrap_or_default();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Key files, made by the program once for all worlds of a run.
fn key_files() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(make_keys)
}

/// The public half of the client's key.
pub(crate) fn client_jwks() -> &'static str {
    static JWKS: OnceLock<String> = OnceLock::new();
    JWKS.get_or_init(|| {
        let folder = new_folder();
        write_keys(&folder);
        fs::write(folder.join("gateway.yaml"), any_configuration()).unwrap();
        let jwks = run_keys(&folder, &["list", "client-idporten", "--jwks"]);
        fs::remove_dir_all(folder).unwrap();
        jwks
    })
}

fn make_keys() -> Vec<(String, Vec<u8>)> {
    let folder = new_folder();
    fs::write(folder.join("gateway.yaml"), any_configuration()).unwrap();
    for purpose in KEYS {
        run_keys(&folder, &["new", purpose]);
    }
    let files = fs::read_dir(folder.join("keys")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    let files = files.collect();
    fs::remove_dir_all(folder).unwrap();
    files
}

fn any_configuration() -> String {
    let simulator = "http://127.0.0.1:4".to_owned();
    let places = Places { port: 1, admin: 2, app: 3, issuer: format!("{simulator}/idporten"), simulator };
    Settings::default().yaml(&places)
}

pub(crate) fn run_keys(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program("portvakt"));
    let output =
        command.arg("keys").args(arguments).arg("--config").arg(folder.join("gateway.yaml")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "keys {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write_keys(folder: &Path) {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    fs::DirBuilder::new().mode(0o700).create(folder.join("keys")).unwrap();
    for (name, bytes) in key_files() {
        let mut file = fs::OpenOptions::new();
        let mut file =
            file.write(true).create_new(true).mode(0o600).open(folder.join("keys").join(name)).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    }
}
