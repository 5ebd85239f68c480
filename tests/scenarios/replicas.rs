//! Two gateways that share a real Redis: what one ends is over at the other, and whatever happens to the store, nobody
//! is let in whose session has ended (`design.md` D1; `threats.md` CK-12, LO-7, LO-8).

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::http::{Response, try_exchange};
use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, free_port};

/// A view that is older is stale in these scenarios.
const MAX_LAG: Duration = Duration::from_secs(1);

/// Within this time of the store everything is as before (and of a machine that has much to do).
const BACK: Duration = Duration::from_secs(6);

/// A Redis of a scenario's own.
struct Redis {
    process: Process,
    port: u16,
    folder: PathBuf,
}

impl Redis {
    fn start() -> Self {
        let name = format!("portvakt-redis-{}-{}", std::process::id(), free_port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let port = free_port();
        Self { process: Self::run(port, &folder), port, folder }
    }

    fn run(port: u16, folder: &PathBuf) -> Process {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(folder);
        let process = Process::start(&mut command, folder, "redis");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        await_that("redis answers", || {
            try_exchange_line(address, "PING").filter(|answer| answer.starts_with("+PONG"))
        });
        process
    }

    fn start_again(&mut self) {
        self.process = Self::run(self.port, &self.folder);
    }

    /// One command, and the beginning of its answer.
    fn say(&self, command: &str) -> String {
        try_exchange_line(SocketAddr::from(([127, 0, 0, 1], self.port)), command).expect("redis answers")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been stopped, or killed already.
        if self.process.ended().is_none() {
            self.process.kill();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn try_exchange_line(address: SocketAddr, command: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The world's own gateway, and another with a file of its own.
struct Pair {
    world: World,
    redis: Redis,
    second: Process,
    port: u16,
    admin: u16,
}

impl Pair {
    fn start() -> Self {
        let redis = Redis::start();
        let stream = format!("stream: {{servers: ['redis://127.0.0.1:{}']}}", redis.port);
        let world = World::with(
            Settings::default()
                .top(&format!("revocation: {{file: one/ended.log, max_lag: 1s, {stream}}}"))
                .route("{path: '/lenient/**', access: login, revocation: available, upstream: app}"),
        );
        let (port, admin) = (free_port(), free_port());
        let second = fs::read_to_string(world.configuration())
            .unwrap()
            .replace(&format!(":{}", world.address().port()), &format!(":{port}"))
            .replace(&format!(":{}", world.admin_port()), &format!(":{admin}"))
            .replace("one/ended.log", "two/ended.log")
            .replace("audit.log", "second-audit.log");
        let configuration = world.folder().join("second.yaml");
        fs::write(&configuration, second).unwrap();
        let mut command = Command::new(program("portvakt"));
        command.args(["run", "--config"]).arg(&configuration);
        let second = Process::start(&mut command, world.folder(), "second");
        let pair = Self { world, redis, second, port, admin };
        await_that("both hear each other", || {
            let heard = |text: &str| text.contains("portvakt_revocations_replicas 1");
            (pair.is_ready() && pair.metrics().iter().all(|text| heard(text))).then_some(())
        });
        pair
    }

    fn admins(&self) -> [SocketAddr; 2] {
        [self.world.admin_port(), self.admin].map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn ask_admins(&self, path: &str) -> Vec<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.admins().iter().filter_map(|admin| try_exchange(*admin, request.as_bytes())).collect()
    }

    fn is_ready(&self) -> bool {
        let answers = self.ask_admins("/readyz");
        answers.len() == 2 && answers.iter().all(|answer| answer.status == 200)
    }

    fn metrics(&self) -> Vec<String> {
        self.ask_admins("/metrics").iter().map(Response::text).collect()
    }

    /// What both say to a request with this cookie.
    fn statuses(&self, path: &str, cookie: &str) -> [u16; 2] {
        [0, 1].map(|at| self.ask(at, path, cookie).status)
    }

    fn ask(&self, at: usize, path: &str, cookie: &str) -> Response {
        let port = [self.world.address().port(), self.port][at];
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: application/json\r\nSec-Fetch-Site: none\r\n\
             Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        );
        try_exchange(SocketAddr::from(([127, 0, 0, 1], port)), request.as_bytes())
            .expect("the gateway answers")
    }

    /// Somebody logs in at the first gateway. Gives the cookie.
    fn log_in(&self, person: &str) -> String {
        let mut browser = self.world.browser();
        assert_eq!(browser.log_in("/app/", person).status(), 200);
        let cookie = format!("__Host-portvakt={}", browser.session_cookie().unwrap());
        assert_eq!(self.statuses("/app/", &cookie), [200; 2], "both accept it");
        cookie
    }

    /// The person leaves at one of them; the status of the answer.
    fn log_out(&self, at: usize, cookie: &str) -> u16 {
        self.ask(at, "/oauth2/logout", cookie).status
    }

    /// Everything is as it should be: both are ready and say the same.
    fn is_back(&self, since: Instant) {
        await_that("both are back", || self.is_ready().then_some(()));
        assert!(since.elapsed() < BACK, "it took {:?}", since.elapsed());
    }

    fn finish(mut self) {
        assert!(self.second.stop().success(), "the second gateway: {}", self.second.errors());
        // The requests to the second one are not in the first one's log.
        self.world.unjudged_count();
    }
}

/// Until it is so: nobody with this cookie is let in by anybody.
fn never_accepted<T>(pair: &Pair, cookie: &str, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    await_that(what, || {
        for at in 0..2 {
            assert_ne!(
                pair.ask(at, "/app/", cookie).status,
                200,
                "{what}: {at} lets somebody in who has left"
            );
        }
        condition()
    })
}

#[test]
fn what_one_ends_is_over_at_the_other() {
    let pair = Pair::start();
    for at in [0, 1] {
        let person = ["bankid-high", "bankid-high-2"][at];
        let (cookie, other) = (pair.log_in(person), pair.log_in("d-number"));
        assert_ne!(pair.log_out(at, &cookie), 503);
        await_that("it is over everywhere", || (pair.statuses("/app/", &cookie) == [401; 2]).then_some(()));
        assert_eq!(pair.statuses("/app/", &other), [200; 2], "nobody else's");
    }
    let calm = |text: &String| {
        // A store that takes its time is written to again: that is no alarm.
        ["foreign", "missing", "rewound"].iter().all(|kind| {
            text.contains(&format!("portvakt_revocations_alarms_total{{kind=\"stream_{kind}\"}} 0"))
        })
    };
    let alarms = |text: String| {
        let lines = text.lines().filter(|line| line.starts_with("portvakt_revocations_alarms_total"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        pair.metrics().iter().all(calm),
        "{:?}",
        pair.metrics().into_iter().map(alarms).collect::<Vec<_>>()
    );
    pair.finish();
}

#[test]
fn a_store_that_is_killed_costs_certainty_and_comes_back_empty() {
    let mut pair = Pair::start();
    let (gone, stays, later) =
        (pair.log_in("bankid-high"), pair.log_in("bankid-high-2"), pair.log_in("d-number"));
    assert_ne!(pair.log_out(0, &gone), 503);
    await_that("it is over", || (pair.statuses("/app/", &gone) == [401; 2]).then_some(()));

    pair.redis.process.kill();
    await_that("strict routes wait", || (pair.statuses("/app/", &stays) == [503; 2]).then_some(()));
    assert_eq!(pair.ask(0, "/app/", &stays).header("retry-after"), Some("5"));
    assert_eq!(pair.statuses("/lenient/", &stays), [200; 2], "they go on where that is allowed");
    assert!(!pair.is_ready());
    // It is in force here, and nobody says that it is done.
    assert_eq!(pair.log_out(0, &later), 503);
    assert_eq!(pair.ask(0, "/lenient/", &later).status, 401);

    pair.redis.start_again();
    let began = Instant::now();
    never_accepted(&pair, &gone, "both are ready", || pair.is_ready().then_some(()));
    pair.is_back(began);
    await_that("what waited is delivered", || (pair.statuses("/app/", &later) == [401; 2]).then_some(()));
    assert_eq!(pair.statuses("/app/", &gone), [401; 2]);
    assert_eq!(pair.statuses("/app/", &stays), [200; 2], "both were here all the time: nobody logs in again");
    pair.finish();
}

#[test]
fn a_store_that_is_stopped_makes_the_view_stale_and_is_followed_again() {
    let pair = Pair::start();
    let (gone, stays) = (pair.log_in("bankid-high"), pair.log_in("bankid-high-2"));
    pair.redis.process.signal("STOP");
    assert_eq!(pair.log_out(1, &gone), 503, "nobody else knows of it");
    await_that("strict routes wait", || (pair.statuses("/app/", &stays) == [503; 2]).then_some(()));
    pair.redis.process.signal("CONT");
    let began = Instant::now();
    pair.is_back(began);
    await_that("what waited is delivered", || (pair.statuses("/app/", &gone) == [401; 2]).then_some(()));
    assert_eq!(pair.statuses("/app/", &stays), [200; 2]);
    pair.finish();
}

#[test]
fn a_store_that_is_emptied_is_noticed_and_gets_everything_again() {
    let mut pair = Pair::start();
    let (gone, stays) = (pair.log_in("bankid-high"), pair.log_in("bankid-high-2"));
    assert_ne!(pair.log_out(0, &gone), 503);
    await_that("it is over", || (pair.statuses("/app/", &gone) == [401; 2]).then_some(()));
    assert!(pair.redis.say("FLUSHALL").starts_with("+OK"));
    let began = Instant::now();
    never_accepted(&pair, &gone, "it is noticed and written again", || {
        let there = pair.redis.say("XLEN {portvakt}:ends");
        let noticed = pair.metrics().iter().any(|text| !text.contains("kind=\"stream_rewound\"} 0"));
        (noticed && there.trim() != ":0").then_some(())
    });
    pair.is_back(began);
    assert_eq!(pair.statuses("/app/", &stays), [200; 2]);
    // One that has lost everything learns it from the other, through the store.
    pair.world.kill_gateway();
    fs::remove_dir_all(pair.world.folder().join("one")).unwrap();
    pair.world.start_killed_gateway();
    assert_eq!(pair.statuses("/app/", &gone), [401; 2]);
    assert_eq!(pair.statuses("/app/", &stays), [200; 2], "the other one vouches for what it knows");
    pair.finish();
}

#[test]
fn what_a_store_leaves_out_is_asked_for_and_what_it_invents_is_counted() {
    let pair = Pair::start();
    // Entries that nobody of us wrote.
    for key in ["ends", "beats"] {
        for value in ["", "invented", &"x".repeat(80)] {
            let field = if key == "ends" { "r" } else { "b" };
            let answer = pair.redis.say(&format!("XADD {{portvakt}}:{key} * {field} \"{value}\""));
            assert!(answer.starts_with('$'), "{answer}");
        }
    }
    await_that("they are counted", || {
        let counted =
            |text: &String| text.contains("portvakt_revocations_alarms_total{kind=\"stream_foreign\"} 6");
        pair.metrics().iter().all(counted).then_some(())
    });
    assert!(pair.is_ready());
    // What was written is taken away again and again, at once or after somebody has read it.
    let gone = pair.log_in("bankid-high");
    assert_ne!(pair.log_out(0, &gone), 503);
    let answered = Instant::now();
    await_that("it is over", || (pair.statuses("/app/", &gone) == [401; 2]).then_some(()));
    assert!(answered.elapsed() < Duration::from_secs(1) + MAX_LAG);
    let stays = pair.log_in("bankid-high-2");
    assert!(pair.redis.say("DEL {portvakt}:ends").starts_with(':'));
    let began = Instant::now();
    never_accepted(&pair, &gone, "it is written again", || {
        (pair.redis.say("XLEN {portvakt}:ends").trim() != ":0").then_some(())
    });
    pair.is_back(began);
    assert_eq!(pair.statuses("/app/", &stays), [200; 2]);
    pair.finish();
}
