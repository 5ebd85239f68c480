//! Gateways of two ages beside each other, and what stands in front of them.

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;

use super::super::app::Mirror;
use super::super::judge::Judge;
use super::super::load::Tally;
use super::super::replica::{NAMES, Replica};
use super::super::store::Store;
use super::super::troubles::Moved;
use super::super::{Fleet, copy_keys, fleet, register};
use super::Age;
use crate::harness::http::try_exchange;
use crate::harness::kept::{Answer, Ask, Connection, Outcome};
use crate::harness::listen::Listening;
use crate::harness::process::await_that;
use crate::harness::{Settings, World, run_keys};

/// What the store is for the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shares {
    /// Key files alone.
    Keys,
    /// Ends of sessions too.
    Ends,
}

/// Everything that runs.
pub(super) struct Beside {
    pub(super) world: World,
    pub(super) store: Store,
    pub(super) replicas: Vec<Replica>,
    pub(super) fleet: Fleet,
    pub(super) app: Mirror,
    front: Front,
    /// An app that fetched its keys at one of the replicas.
    judges: Vec<Judge>,
    seen: Seen,
}

/// What has been looked at.
#[derive(Default)]
struct Seen {
    checks: AtomicUsize,
    requests: AtomicUsize,
    failed: AtomicUsize,
    revived: AtomicUsize,
    wrong: AtomicUsize,
}

fn add(to: &AtomicUsize, count: usize) {
    to.fetch_add(count, Ordering::Relaxed);
}

impl Beside {
    /// Gateways of these ages. `None`, with a word about it, if the older one cannot share that.
    pub(super) fn start(ages: &[Age], shares: Shares) -> Option<Self> {
        Self::with(ages, shares, Settings::default().drain_delay("2s"))
    }

    pub(super) fn with(ages: &[Age], shares: Shares, settings: Settings) -> Option<Self> {
        let app = Mirror::start();
        let route = |path: &str, rest: &str| format!("{{path: '{path}', upstream: mirror, {rest}}}");
        let level =
            |kinds: &str| format!("access: login, require: {{level: substantial{kinds}}}, assertion: true");
        let mut settings = settings
            .listener("h2c: true")
            .upstream(format!("mirror: {{url: 'http://127.0.0.1:{}'}}", app.port()))
            .route(&route("/fleet/**", &level("")))
            .route(&route("/abroad/**", &level(", kinds: [national, eidas]")))
            .route(&route("/maybe/**", "access: optional, assertion: true"))
            .route(&route("/open/**", "access: public"));
        let mut world = World::without_gateway(settings.clone());
        let store = Store::start(world.folder());
        let stream = match shares {
            Shares::Keys => String::new(),
            Shares::Ends => format!(", stream: {{servers: ['{}']}}", store.url()),
        };
        settings = settings.top(&format!("revocation: {{file: ended/ended.log{stream}}}"));
        world.settings = settings;
        world.write_configuration();
        run_keys(world.folder(), &["new", "assertion"]);
        if shares == Shares::Ends && !old_shares_ends(&world) {
            return None;
        }
        let configuration = fs::read_to_string(world.configuration()).unwrap();
        for (number, name) in NAMES.iter().enumerate().take(ages.len()) {
            Replica::prepare(&world, number, true, &configuration);
            copy_keys(&world, name);
        }
        let replicas: Vec<Replica> = ages
            .iter()
            .enumerate()
            .map(|(number, age)| Replica::of(&world, number, true, age.program()))
            .collect();
        let addresses: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address).collect();
        let front = Front::start(world.address(), addresses[0]);
        let judges = addresses.iter().map(|address| judge(&world, *address)).collect();
        let fleet = fleet(&world, addresses, &replicas);
        register(&world);
        let beside = Self { world, store, replicas, fleet, app, front, judges, seen: Seen::default() };
        if shares == Shares::Ends {
            beside.await_company();
        }
        Some(beside)
    }

    /// All hear each other.
    pub(super) fn await_company(&self) {
        let others = (self.replicas.len() - 1) as f64;
        await_that("all hear each other", || {
            let heard = |replica: &Replica| replica.metric("portvakt_revocations_replicas");
            let ready = |replica: &Replica| replica.is_certain() && heard(replica) == others;
            self.replicas.iter().all(ready).then_some(())
        });
    }

    pub(super) fn at(&self, age: Age) -> &Replica {
        &self.replicas[age as usize]
    }

    pub(super) fn at_mut(&mut self, age: Age) -> &mut Replica {
        &mut self.replicas[age as usize]
    }

    /// Browsers and the provider come to this one from now on.
    pub(super) fn turn_to(&self, age: Age) {
        self.front.turn_to(self.at(age).address);
    }

    /// One more thing that was looked at.
    pub(super) fn check(&self, what: &str, holds: bool) {
        add(&self.seen.checks, 1);
        assert!(holds, "{what}");
    }

    /// The status of a page, by its cookie.
    pub(super) fn status(&self, at: usize, target: &str, cookie: &str) -> u16 {
        self.ask(at, target, cookie).0
    }

    fn ask(&self, at: usize, target: &str, cookie: &str) -> (u16, Vec<u8>) {
        let ask = Ask {
            method: "GET",
            target: target.to_owned(),
            authority: &self.fleet.authority,
            cookie,
            body: None,
        };
        add(&self.seen.requests, 1);
        match Connection::http1().ask(self.replicas[at].address, &ask).outcome {
            Outcome::Answered(Answer { status, body, .. }) => (status, body),
            _ => {
                add(&self.seen.failed, 1);
                (0, Vec::new())
            }
        }
    }

    /// What the app is told of somebody at one of them, without the assertion: that is verified by the keys which
    /// each of them publishes, and says the same.
    pub(super) fn told(&self, at: usize, target: &str, cookie: &str) -> Vec<String> {
        let (status, body) = self.ask(at, target, cookie);
        let text = String::from_utf8(body).unwrap();
        let whole = status == 200 && text.lines().next() == Some(&format!("GET {target}"));
        add(&self.seen.failed, usize::from(!whole));
        self.check(&format!("the app's page: {status} {text}"), whole);
        let (assertion, facts): (Vec<&str>, Vec<&str>) =
            text.lines().skip(1).partition(|line| line.starts_with("x-identity-assertion: "));
        let [assertion] = assertion[..] else { panic!("{target}: no assertion, or several") };
        let assertion = assertion.split_once(": ").unwrap().1;
        for judge in &self.judges {
            let claims = judge.verified(assertion);
            let agrees = claims.is_ok_and(|claims| agree(&facts, &claims));
            add(&self.seen.wrong, usize::from(!agrees));
            self.check("the assertion says what the headers say, by the keys of either", agrees);
        }
        facts.into_iter().map(str::to_owned).collect()
    }

    /// Everybody who left, at every replica: refused. Who is let in is counted, and is one too many.
    pub(super) fn look_for(&self, gone: &[String], target: &str) {
        for cookie in gone {
            for at in 0..self.replicas.len() {
                let status = self.status(at, target, cookie);
                add(&self.seen.revived, usize::from(status == 200));
                self.check(&format!("who left is refused: {status}"), [401, 503].contains(&status));
            }
        }
    }

    /// What a load met.
    pub(super) fn count(&self, tally: &Tally) {
        add(&self.seen.requests, tally.requests);
        add(&self.seen.checks, tally.requests);
        add(&self.seen.failed, tally.failed);
        add(&self.seen.revived, tally.revived);
        add(&self.seen.wrong, tally.wrong);
        let well = tally.failed + tally.wrong + tally.revived + tally.held_back == 0;
        self.check(&format!("the load: {:?}; {}", tally.told, self.known()), well && tally.requests > 100);
        let posted = self.app.posted();
        self.check("no post was done twice", posted.values().all(|times| *times == 1));
        let done = tally.posted.iter().all(|target| posted.contains_key(target));
        self.check("what was answered was done", done && !tally.posted.is_empty());
    }

    /// What those who came and went met.
    pub(super) fn count_moved(&self, moved: &Moved) {
        add(&self.seen.checks, moved.looks);
        add(&self.seen.failed, moved.failed);
        add(&self.seen.revived, moved.revived);
        add(&self.seen.wrong, moved.strangers);
        let well = moved.failed + moved.revived + moved.strangers == 0;
        self.check(&format!("those who came and went: {moved:?}"), well);
        self.check("some left in each way", moved.left.iter().all(|count| *count > 0));
    }

    /// So many requests of a browser were answered.
    pub(super) fn asked(&self, requests: usize) {
        add(&self.seen.requests, requests);
    }

    /// What the gateways say of ended sessions, for somebody who looks for a fault.
    fn known(&self) -> String {
        let of = |replica: &Replica| {
            let text = replica.get_admin("/metrics").map(|answer| answer.text()).unwrap_or_default();
            let lines = text.lines().filter(|line| line.starts_with("portvakt_revocations_"));
            lines.fold(format!("\n{}:", replica.name), |all, line| format!("{all}\n  {line}"))
        };
        self.replicas.iter().map(of).collect()
    }

    /// Somebody was let in whose session had ended.
    pub(super) fn revived(&self) {
        add(&self.seen.revived, 1);
    }

    /// None of them has found the store to be other than it should be. So many may be missed: older ones may end without
    /// a goodbye.
    pub(super) fn check_alarms(&self, missed: usize) {
        for replica in &self.replicas {
            let (name, metric) = (replica.name, |name: &str| replica.metric(name));
            for kind in [
                "stream_foreign",
                "stream_missing",
                "stream_rewound",
                "foreign",
                "missing",
                "damaged",
                "failure",
            ] {
                let alarms = metric(&format!("portvakt_revocations_alarms_total{{kind=\"{kind}\"}}"));
                self.check(&format!("{name}: {alarms} alarms of kind {kind}"), alarms == 0.0);
            }
            self.check(&format!("{name} is sure"), metric("portvakt_revocations_stream_sure") == 1.0);
            let silent = metric("portvakt_revocations_replicas_silent");
            self.check(&format!("{name} misses {silent}"), silent <= missed as f64);
            self.check(&format!("{name} has the keys"), metric("portvakt_revocations_key_lacking") == 0.0);
        }
    }

    /// Ends everything, judges it, and says what was looked at.
    #[expect(clippy::print_stdout, reason = "`make skew` adds them up")]
    pub(super) fn finish(mut self) {
        assert_eq!(self.app.leaked(), 0, "the app was given a cookie of the gateway");
        for replica in &mut self.replicas {
            replica.finish(&self.world);
        }
        let Seen { checks, requests, failed, revived, wrong } = &self.seen;
        let [checks, requests, failed, revived, wrong] =
            [checks, requests, failed, revived, wrong].map(|count| count.load(Ordering::Relaxed));
        println!(
            "skew: {checks} checks, {failed} failed of {requests} requests, {revived} revived, {wrong} wrong identities"
        );
        assert_eq!(failed + revived + wrong, 0);
        self.world.finish();
    }
}

/// Whether the members of an assertion are those of the headers.
fn agree(facts: &[&str], claims: &Value) -> bool {
    let says = |member: &str| match &claims[member] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let header = |name: &str| {
        let name = format!("x-identity-{name}: ");
        facts.iter().find_map(|line| line.strip_prefix(&name)).unwrap_or_default()
    };
    ["fnr", "kind", "loa", "acr", "provider", "session", "auth_time"]
        .iter()
        .all(|member| header(&member.replace('_', "-")) == says(member))
        && header("subject") == says("sub")
        && !header("kind").is_empty()
}

/// An app that knows the keys which this one publishes.
fn judge(world: &World, address: SocketAddr) -> Judge {
    let head = format!(
        "GET /.well-known/portvakt/jwks.json HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        world.authority()
    );
    Judge::new("mirror", move || {
        let answer = try_exchange(address, head.as_bytes()).filter(|answer| answer.status == 200);
        let set = answer.map(|answer| answer.json()).unwrap_or_default();
        set["keys"].as_array().cloned().unwrap_or_default()
    })
}

/// Whether the older binary knows `revocation.stream`.
#[expect(clippy::print_stdout, reason = "`make skew` says what could not be looked at")]
fn old_shares_ends(world: &World) -> bool {
    let (sound, said) = check(Age::Old, &world.configuration());
    if !sound {
        assert!(said.contains("stream"), "the older binary does not take the configuration: {said}");
        println!("skew: the older one has no `revocation.stream`");
    }
    sound
}

/// `portvakt check`.
pub(super) fn check(age: Age, configuration: &Path) -> (bool, String) {
    let output = Command::new(age.program()).args(["check", "--config"]).arg(configuration).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Stands where the provider and browsers ask, and passes every connection on to one gateway.
struct Front {
    to: Arc<Mutex<SocketAddr>>,
    _listening: Listening,
}

impl Front {
    fn start(address: SocketAddr, to: SocketAddr) -> Self {
        let to = Arc::new(Mutex::new(to));
        let target = Arc::clone(&to);
        let _listening = Listening::at(address, move |client| {
            let to = *target.lock().unwrap_or_else(PoisonError::into_inner);
            pass(&client, to);
        });
        Self { to, _listening }
    }

    fn turn_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

fn pass(client: &TcpStream, to: SocketAddr) {
    // Whoever finds nobody behind it is closed.
    let Ok(server) = TcpStream::connect(to) else { return };
    let carry = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| carry(client, &server));
        carry(&server, client);
    });
}
