//! Gateways that share a store, and a watch that asks all of them all the time.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::http::{Response, try_exchange};
use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, free_port};

/// A view that is older is stale in these scenarios.
pub(super) const MAX_LAG: Duration = Duration::from_secs(1);

/// How soon everybody knows, or is known not to know (`threats.md` CK-12); and of a machine that has much to do.
const IN_FORCE: Duration = Duration::from_secs(2);

/// What strict routes say of somebody who is logged in, whatever happens to the store.
pub(super) const STRICT: &[u16] = &[200, 503];

/// Several gateways, each with a file of its own. The first one is the world's.
pub(super) struct Fleet {
    pub(super) world: World,
    others: Vec<Other>,
}

struct Other {
    process: Process,
    port: u16,
    admin: u16,
    number: usize,
}

/// `revocation.stream` for a server without further ado.
pub(super) fn plain(port: u16) -> String {
    format!("{{servers: ['redis://127.0.0.1:{port}']}}")
}

impl Fleet {
    /// So many at one server.
    pub(super) fn at(port: u16, size: usize) -> Self {
        Self::of(&vec![plain(port); size])
    }

    /// One for each value of `revocation.stream`.
    pub(super) fn of(streams: &[String]) -> Self {
        let mut fleet = Self::begun(streams, Settings::default());
        for number in 1..streams.len() {
            fleet.start_other(number, &streams[0], &streams[number]);
        }
        fleet.await_all();
        fleet
    }

    /// The first of them alone.
    pub(super) fn begun(streams: &[String], settings: Settings) -> Self {
        let revocation =
            format!("revocation: {{file: gateway-0/ended.log, max_lag: 1s, stream: {}}}", streams[0]);
        let settings = settings
            .top(&revocation)
            .route("{path: '/lenient/**', access: login, revocation: available, upstream: app}");
        Self { world: World::with(settings), others: Vec::new() }
    }

    /// Another one like the first.
    pub(super) fn start_other(&mut self, number: usize, first: &str, stream: &str) {
        self.prepare_other(number, first, stream);
        self.run_other(number);
    }

    /// Its configuration, and key files of its own that are the same.
    pub(super) fn prepare_other(&self, number: usize, first: &str, stream: &str) {
        let (port, admin) = (free_port(), free_port());
        let folder = self.world.folder();
        let file = fs::read_to_string(self.world.configuration()).unwrap();
        let file = file
            .replace(&format!(":{}", self.world.address().port()), &format!(":{port}"))
            .replace(&format!(":{}", self.world.admin_port()), &format!(":{admin}"))
            .replace("gateway-0/", &format!("gateway-{number}/"))
            .replace(&format!("stream: {first}"), &format!("stream: {stream}"))
            .replace("keys: keys", &format!("keys: keys-{number}"))
            .replace("audit.log", &format!("audit-{number}.log"));
        fs::write(folder.join(format!("gateway-{number}.yaml")), file).unwrap();
        fs::write(folder.join(format!("gateway-{number}.ports")), format!("{port} {admin}")).unwrap();
        let keys = folder.join(format!("keys-{number}"));
        fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
        for entry in fs::read_dir(folder.join("keys")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), keys.join(entry.file_name())).unwrap();
        }
    }

    /// Runs what was prepared.
    pub(super) fn run_other(&mut self, number: usize) {
        let ports = self.world.folder().join(format!("gateway-{number}.ports"));
        let ports = fs::read_to_string(ports).unwrap();
        let (port, admin) = ports.split_once(' ').unwrap();
        let (port, admin) = (port.parse().unwrap(), admin.parse().unwrap());
        let process = self.run(number);
        self.others.push(Other { process, port, admin, number });
        let listens = || {
            try_exchange(local(admin), b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        };
        await_that("it listens", listens);
    }

    /// The folder of its keys.
    pub(super) fn keys(&self, at: usize) -> PathBuf {
        let name = if at == 0 { "keys".to_owned() } else { format!("keys-{}", self.number(at)) };
        self.world.folder().join(name)
    }

    fn number(&self, at: usize) -> usize {
        // One that is not running yet is called by its number.
        at.checked_sub(1).and_then(|at| self.others.get(at)).map_or(at, |other| other.number)
    }

    /// `portvakt keys …` by a configuration of this world.
    pub(super) fn run_keys(&self, configuration: &str, arguments: &[&str]) {
        let mut command = Command::new(program("portvakt"));
        command.arg("keys").args(arguments).arg("--config").arg(self.world.folder().join(configuration));
        assert!(command.output().unwrap().status.success(), "{arguments:?}");
    }

    /// SIGHUP.
    pub(super) fn reload(&self, at: usize) {
        self.signal(at, "HUP");
    }

    pub(super) fn signal(&self, at: usize, name: &str) {
        match at {
            0 => self.world.signal(name),
            _ => self.others[at - 1].process.signal(name),
        }
    }

    /// One more route, and a reload.
    pub(super) fn add_route(&self, at: usize, route: &str) {
        let configuration = match at {
            0 => self.world.configuration(),
            _ => self.world.folder().join(format!("gateway-{}.yaml", self.number(at))),
        };
        let file = fs::read_to_string(&configuration).unwrap();
        fs::write(&configuration, file.replace("    routes:\n", &format!("    routes:\n      - {route}\n")))
            .unwrap();
        self.reload(at);
    }

    /// Another one than the first ends in good order, and starts again.
    pub(super) fn restart(&mut self, at: usize) {
        let number = self.others[at - 1].number;
        assert!(self.others[at - 1].process.stop().success());
        self.others[at - 1].process = self.run(number);
    }

    fn run(&self, number: usize) -> Process {
        let name = format!("gateway-{number}");
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--config"]).arg(self.world.folder().join(format!("{name}.yaml")));
        Process::start(&mut command, self.world.folder(), &name)
    }

    /// Everybody is ready and hears everybody.
    pub(super) fn await_all(&self) {
        let heard = format!("portvakt_revocations_replicas {}", self.size() - 1);
        await_that("all hear each other", || {
            let metrics = self.metrics();
            (self.is_certain()
                && metrics.len() == self.size()
                && metrics.iter().all(|text| text.contains(&heard)))
            .then_some(())
        });
    }

    pub(super) fn size(&self) -> usize {
        1 + self.others.len()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let others = self.others.iter().map(|other| other.port);
        std::iter::once(self.world.address().port()).chain(others).map(local).collect()
    }

    fn ask_admins(&self, path: &str) -> Vec<Response> {
        let others = self.others.iter().map(|other| other.admin);
        let admins = std::iter::once(self.world.admin_port()).chain(others).map(local);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        admins.filter_map(|admin| try_exchange(admin, request.as_bytes())).collect()
    }

    /// What each says of being ready.
    pub(super) fn readiness(&self) -> Vec<(u16, String)> {
        self.readiness_for("/readyz")
    }

    /// What each says of being ready, asked in this way.
    pub(super) fn readiness_for(&self, path: &str) -> Vec<(u16, String)> {
        self.ask_admins(path).iter().map(|answer| (answer.status, answer.text())).collect()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.all_say_yes(&self.readiness())
    }

    fn all_say_yes(&self, answers: &[(u16, String)]) -> bool {
        answers.len() == self.size() && answers.iter().all(|(status, _)| *status == 200)
    }

    /// Whether all are ready and nothing may be lacking anywhere.
    fn is_certain(&self) -> bool {
        let sure = self.figures("portvakt_revocations_stream_sure ");
        sure.len() == self.size()
            && sure.iter().all(|&one| one == 1)
            && self.all_say_yes(&self.readiness_for("/readyz?strict"))
    }

    pub(super) fn metrics(&self) -> Vec<String> {
        self.ask_admins("/metrics").iter().map(Response::text).collect()
    }

    /// A figure of each one's metrics, by the beginning of its line.
    pub(super) fn figures(&self, line: &str) -> Vec<u64> {
        let figure = |text: String| {
            let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<f64>().ok());
            found.unwrap_or_else(|| panic!("no {line} in {text}")) as u64
        };
        self.metrics().into_iter().map(figure).collect()
    }

    /// How often each has found the store to be not as it should be.
    pub(super) fn alarms(&self, kind: &str) -> Vec<u64> {
        self.figures(&format!("portvakt_revocations_alarms_total{{kind=\"stream_{kind}\"}}"))
    }

    /// What all of them say to a request with this cookie; 0 where the session ended under way, and the connection with it
    /// (`threats.md` LO-6).
    pub(super) fn statuses(&self, path: &str, cookie: &str) -> Vec<u16> {
        let status = |at: usize| ask(self.addresses()[at], path, cookie).map_or(0, |answer| answer.status);
        (0..self.size()).map(status).collect()
    }

    pub(super) fn await_statuses(&self, what: &str, path: &str, cookie: &str, status: u16) {
        await_that(what, || self.statuses(path, cookie).iter().all(|&found| found == status).then_some(()));
    }

    pub(super) fn ask(&self, at: usize, path: &str, cookie: &str) -> Response {
        ask(self.addresses()[at], path, cookie).expect("the gateway answers")
    }

    /// Somebody logs in at the first gateway. Gives the cookie.
    pub(super) fn log_in(&self, person: &str) -> String {
        let cookie = self.log_in_at_first(person);
        self.await_statuses("all accept it", "/app/", &cookie, 200);
        cookie
    }

    /// The same, whatever the others say.
    pub(super) fn log_in_at_first(&self, person: &str) -> String {
        let mut browser = self.world.browser();
        assert_eq!(browser.log_in("/app/", person).status(), 200);
        format!("__Host-portvakt={}", browser.session_cookie().unwrap())
    }

    /// The person leaves at one of them; whether that was answered as done.
    pub(super) fn log_out(&self, at: usize, cookie: &str) -> bool {
        self.ask(at, "/oauth2/logout", cookie).status != 503
    }

    /// The person leaves, however often it must be said, and the watch looks that it stays so.
    pub(super) fn end(&self, at: usize, cookie: &str, watch: &Watch) {
        await_that("the logout is done", || self.log_out(at, cookie).then_some(()));
        watch.ended(cookie);
        self.await_statuses("it is over", "/app/", cookie, 401);
    }

    /// Waits until all is as it was, and says how long that took.
    pub(super) fn await_back(&self, what: &str, since: Instant) {
        await_that("all are ready, and everything is delivered", || {
            let delivered =
                || self.figures("portvakt_revocations_undelivered ").iter().all(|&count| count == 0);
            (self.is_certain() && delivered()).then_some(())
        });
        let took = since.elapsed().as_millis();
        let line = format!("{what}: back to normal after {took} ms\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }

    pub(super) fn messages(&self, at: usize) -> String {
        match at {
            0 => self.world.errors(),
            _ => self.others[at - 1].process.errors(),
        }
    }

    /// `kill -9`, and the file of what ended is lost too.
    pub(super) fn kill(&mut self, at: usize, keep_file: bool) {
        match at {
            0 => self.world.kill_gateway(),
            _ => self.others[at - 1].process.kill(),
        }
        if !keep_file {
            fs::remove_dir_all(self.world.folder().join(format!("gateway-{at}"))).unwrap();
        }
    }

    pub(super) fn start_killed(&mut self, at: usize) {
        match at {
            0 => self.world.start_killed_gateway(),
            _ => {
                let process = self.run(self.others[at - 1].number);
                self.others[at - 1].process = process;
            }
        }
    }

    pub(super) fn watch(&self) -> Watch {
        Watch::over(self.addresses())
    }

    pub(super) fn finish(mut self) {
        for other in &mut self.others {
            assert!(other.process.stop().success(), "{}", other.process.errors());
            let said = other.process.errors();
            assert!(!said.contains("panicked"), "{said}");
            self.world.secrets.look_in("messages", &said, false);
        }
        // The requests to the others are not in the first one's log.
        self.world.unjudged_count();
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn ask(address: SocketAddr, path: &str, cookie: &str) -> Option<Response> {
    let port = address.port();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: application/json\r\nSec-Fetch-Site: none\r\n\
         Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    try_exchange(address, request.as_bytes()).filter(|answer| answer.status != 0)
}

/// What may be answered to a cookie, from a moment on.
struct Rule {
    path: &'static str,
    cookie: String,
    allowed: &'static [u16],
    from: Instant,
    met: Vec<u16>,
}

/// Asks all gateways all the time, and remembers what must not be.
pub(super) struct Watch {
    rules: Arc<Mutex<Vec<Rule>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    rounds: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn over(gateways: Vec<SocketAddr>) -> Self {
        let rules = Arc::<Mutex<Vec<Rule>>>::default();
        let (wrong, rounds, over) = (Arc::default(), Arc::default(), Arc::default());
        let mut watch = Self { rules, wrong, rounds, over, thread: None };
        let (rules, wrong, rounds, over) = (
            Arc::clone(&watch.rules),
            Arc::clone(&watch.wrong),
            Arc::clone(&watch.rounds),
            Arc::clone(&watch.over),
        );
        let look = move || {
            while !over.load(Ordering::Relaxed) {
                look(&gateways, &rules, &wrong);
                rounds.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        };
        watch.thread = Some(thread::spawn(look));
        watch
    }

    /// This is never answered with anything else.
    pub(super) fn only(&self, path: &'static str, cookie: &str, allowed: &'static [u16]) {
        self.rule(path, cookie, allowed, Instant::now());
    }

    /// This one's end was answered as done: soon nobody lets it in.
    pub(super) fn ended(&self, cookie: &str) {
        for path in ["/app/", "/lenient/"] {
            // Who goes on without knowing does so where that is allowed.
            let allowed: &[u16] = if path == "/app/" { &[401, 503] } else { &[200, 401] };
            self.rule(path, cookie, allowed, Instant::now() + IN_FORCE);
        }
    }

    fn rule(&self, path: &'static str, cookie: &str, allowed: &'static [u16], from: Instant) {
        let rule = Rule { path, cookie: cookie.to_owned(), allowed, from, met: Vec::new() };
        self.rules.lock().unwrap().push(rule);
    }

    /// What was answered to this so far.
    pub(super) fn met(&self, path: &str, cookie: &str) -> Vec<u16> {
        let rules = self.rules.lock().unwrap();
        let of = rules.iter().filter(|rule| rule.path == path && rule.cookie == cookie);
        of.flat_map(|rule| rule.met.clone()).collect()
    }

    /// Looks once more, and says what it saw.
    pub(super) fn finish(mut self) {
        let seen = self.rounds.load(Ordering::Relaxed);
        await_that("the watch looks again", || {
            (self.rounds.load(Ordering::Relaxed) > seen + 1).then_some(())
        });
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn look(gateways: &[SocketAddr], rules: &Mutex<Vec<Rule>>, wrong: &Mutex<Vec<String>>) {
    let now = Instant::now();
    let due: Vec<_> = {
        let rules = rules.lock().unwrap();
        let due = rules.iter().enumerate().filter(|(_, rule)| rule.from <= now);
        due.map(|(at, rule)| (at, rule.path, rule.cookie.clone(), rule.allowed)).collect()
    };
    for (at, path, cookie, allowed) in due {
        for (gateway, address) in gateways.iter().enumerate() {
            // One that does not answer lets nobody in.
            let Some(answer) = ask(*address, path, &cookie) else { continue };
            let met = &mut rules.lock().unwrap()[at].met;
            if !met.contains(&answer.status) {
                met.push(answer.status);
            }
            let mut wrong = wrong.lock().unwrap();
            if !allowed.contains(&answer.status) && wrong.len() < 5 {
                wrong.push(format!(
                    "rule {at}: gateway {gateway} answers {} on {path}, not one of {allowed:?}",
                    answer.status
                ));
            }
        }
    }
}
