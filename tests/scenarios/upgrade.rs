//! Reloads and hand-overs under load: what clients with kept connections notice of them, which is nothing.
//!
//! A client here does what RFC 9110, 9.2.2 lets it, and no more (`harness/kept.rs`). `make upgrade` makes 200 reloads,
//! every seventh of them broken, and 20 hand-overs; among the tests there are a few.
//!
//! **Invariant:** each answer is of the app, which was told who asked; what was posted was done at most once, and
//! exactly once if it was answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::kept::{Answer, Ask, Connection, Outcome};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// `reloads,hand-overs`, if not those of the tests.
const VARIABLE: &str = "PORTVAKT_UPGRADES";

/// Among the tests.
const FEW: (usize, usize) = (10, 2);

/// How long the whole may take.
const MOST: Duration = Duration::from_secs(5 * 60);

/// Each has a connection, and asks as somebody.
const CLIENTS: usize = 8;

/// Half of them over HTTP/1.1, half over HTTP/2, each person over both.
const PROTOCOLS: usize = 2;

/// Between two requests of a client: the load is to be steady, not the machine full.
const PAUSE: Duration = Duration::from_millis(3);

/// Every so many requests are posts.
const POSTS: usize = 4;

/// Every so many reloads are broken, and every so many are noticed without SIGHUP.
const BROKEN: usize = 7;
const UNASKED: usize = 20;

/// What a client met.
#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    /// Requests that were asked a second time.
    again: usize,
    failed: Vec<String>,
    /// Posts that were answered, and such that a kept connection left without an answer.
    posted: Vec<String>,
    unanswered: Vec<String>,
}

#[test]
fn reloads_and_hand_overs_under_load_fail_no_request() {
    let (reloads, upgrades) = std::env::var(VARIABLE).map_or(FEW, |text| {
        let (reloads, upgrades) = text.split_once(',').unwrap();
        (reloads.parse().unwrap(), upgrades.parse().unwrap())
    });
    let mut world = World::with(Settings::default().drain_delay("300ms").listener("h2c: true"));
    let people = ["bankid-high", "minid-substantial"].map(|person| {
        let mut browser = world.browser();
        browser.log_in("/app/", person);
        let told = world.app.last().header("x-identity-fnr").unwrap().to_owned();
        (format!("__Host-portvakt={}", browser.session_cookie().unwrap()), told)
    });
    let over = AtomicBool::new(false);
    let (authority, address) = (world.authority(), world.address());
    let start = Instant::now();
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (cookie, _) = &people[number % people.len()];
                let client = Client { number, authority: &authority, cookie, address };
                let over = &over;
                scope.spawn(move || client.run(over))
            })
            .collect();
        let disturbed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            disturb(&mut world, reloads, upgrades, start);
        }));
        over.store(true, Ordering::Relaxed);
        let tallies = clients.into_iter().map(|client| client.join().unwrap()).collect();
        if let Err(panic) = disturbed {
            std::panic::resume_unwind(panic);
        }
        tallies
    });
    let told: HashMap<usize, &str> =
        (0..CLIENTS).map(|number| (number, people[number % people.len()].1.as_str())).collect();
    report(&world, &told, &tallies, (reloads, upgrades));
    world.finish();
}

/// Reloads and hands over, in turn.
fn disturb(world: &mut World, reloads: usize, upgrades: usize, start: Instant) {
    let sound = world.settings.clone();
    let each = reloads / upgrades.max(1);
    let mut reloaded = 0;
    for upgrade in 1..=upgrades {
        let until = if upgrade == upgrades { reloads } else { upgrade * each };
        while reloaded < until {
            reloaded += 1;
            assert!(start.elapsed() < MOST, "it takes too long: {reloaded} reloads, {upgrade} hand-overs");
            reload(world, &sound, reloaded);
        }
        hand_over(world, upgrade);
    }
}

fn generation(world: &World) -> u64 {
    world.admin("/status.json").json()["generation"].as_u64().unwrap()
}

fn refusals(world: &World) -> usize {
    world.errors().matches("was not taken").count()
}

fn reload(world: &mut World, sound: &Settings, number: usize) {
    let (before, refused) = (generation(world), refusals(world));
    world.settings =
        sound.clone().route(&format!("{{path: '/n{number}/**', access: public, upstream: app}}"));
    let broken = number.is_multiple_of(BROKEN);
    if broken {
        // The stricter rule is half written.
        world.settings.routes.push("{path: '/app/**', access: ".to_owned());
    }
    world.write_configuration();
    if !number.is_multiple_of(UNASKED) {
        world.gateway().signal("HUP");
    }
    await_that("the reload", || match broken {
        true => (refusals(world) > refused).then_some(()),
        false => (generation(world) > before).then_some(()),
    });
}

fn hand_over(world: &mut World, number: usize) {
    // A successor reads the file as it is.
    world.settings.routes.retain(|route| !route.ends_with("access: "));
    world.write_configuration();
    let successor = world.start_successor();
    let ready = |world: &World, message: &str| world.errors().matches(message).count();
    await_that("the successor is ready", || (ready(world, "a successor is ready") >= number).then_some(()));
    let mut old = world.exchange_gateway(successor);
    old.signal("QUIT");
    let status = await_that("the one before ends", || old.ended());
    assert!(status.success(), "{status:?}");
    assert!(ready(world, "took over") >= number);
}

/// Somebody who asks and posts over a kept connection.
struct Client<'a> {
    number: usize,
    authority: &'a str,
    cookie: &'a str,
    address: std::net::SocketAddr,
}

impl Client<'_> {
    fn run(&self, over: &AtomicBool) -> Tally {
        let mut tally = Tally::default();
        let mut connection = match self.number / PROTOCOLS % PROTOCOLS {
            0 => Connection::http1(),
            _ => Connection::http2(),
        };
        while !over.load(Ordering::Relaxed) {
            let number = tally.requests;
            tally.requests += 1;
            let name = format!("{}-{number}", self.number);
            match number.is_multiple_of(POSTS) {
                true => self.post(&name, &mut connection, &mut tally),
                false => self.get(&name, &mut connection, &mut tally),
            }
            thread::sleep(PAUSE);
        }
        tally
    }

    fn get(&self, name: &str, connection: &mut Connection, tally: &mut Tally) {
        let ask = self.ask("GET", format!("/app/got/{name}"), None);
        let asked = connection.ask(self.address, &ask);
        tally.again += usize::from(asked.again);
        tally.failed.extend(failure(name, &ask, &asked.outcome));
    }

    fn post(&self, name: &str, connection: &mut Connection, tally: &mut Tally) {
        let ask = self.ask("POST", format!("/app/posted/{name}"), Some("body"));
        let asked = connection.ask(self.address, &ask);
        tally.again += usize::from(asked.again);
        if asked.unanswered {
            tally.unanswered.push(name.to_owned());
            return;
        }
        match failure(name, &ask, &asked.outcome) {
            Some(failure) => tally.failed.push(failure),
            None => tally.posted.push(name.to_owned()),
        }
    }

    fn ask<'a>(&'a self, method: &'a str, target: String, body: Option<&'a str>) -> Ask<'a> {
        Ask { method, target, authority: self.authority, cookie: self.cookie, body }
    }
}

fn failure(name: &str, Ask { method, .. }: &Ask<'_>, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered(Answer { status: 200, body, .. }) if body == b"the app's page" => None,
        Outcome::Answered(Answer { status, .. }) => Some(format!("{method} {name}: {status}")),
        Outcome::NotBegun => Some(format!("{method} {name}: not begun on a new connection either")),
        Outcome::Closed { .. } => Some(format!("{method} {name}: closed without an answer")),
        Outcome::Refused(error) => Some(format!("{method} {name}: {error}")),
    }
}

/// Judges what the app saw, and says what came of it.
#[expect(clippy::print_stdout, reason = "`make upgrade` shows the figures")]
fn report(
    world: &World,
    told: &HashMap<usize, &str>,
    tallies: &[Tally],
    (reloads, upgrades): (usize, usize),
) {
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    let (requests, again) = (sum(|tally| tally.requests), sum(|tally| tally.again));
    let (posted, unanswered) = (sum(|tally| tally.posted.len()), sum(|tally| tally.unanswered.len()));
    let mut done: HashMap<String, usize> = HashMap::new();
    let mut strangers = 0;
    for received in world.app.received() {
        let target = received.target();
        let Some((kind, name)) = target.strip_prefix("/app/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let client: usize = name.split('-').next().unwrap().parse().unwrap();
        strangers += usize::from(received.header("x-identity-fnr") != Some(told[&client]));
        if kind == "posted" {
            *done.entry(name.to_owned()).or_default() += 1;
        }
    }
    let failures: Vec<&String> = tallies.iter().flat_map(|tally| &tally.failed).collect();
    let failed = failures.len();
    println!(
        "posts: {posted} answered, {unanswered} left without an answer by a kept connection that closed"
    );
    println!("{again} requests were asked again; {strangers} requests came as somebody else");
    println!("{upgrades} upgrades, {reloads} reloads, {failed} failed of {requests} requests");
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(strangers, 0, "requests that came as somebody else");
    assert!(done.values().all(|times| *times == 1), "a post was done twice");
    for name in tallies.iter().flat_map(|tally| &tally.posted) {
        assert!(done.contains_key(name), "{name} was answered and not done");
    }
    // Every client was at work throughout.
    assert!(tallies.iter().all(|tally| tally.requests > 20 * upgrades && !tally.posted.is_empty()));
}
