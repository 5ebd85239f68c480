//! Three replicas behind a real HAProxy, with a real Redis, under load (`design.md` D1 and 4; `threats.md` CK-12).
//!
//! `make replicas` measures: how long a front-channel logout takes until every replica refuses the session, how many
//! calls of the store a request makes, and how many requests fail while replicas are reloaded, rotated, handed over
//! and restarted, and the store too. `make soak` does the last of these for longer. Among the tests there is a little
//! of each, without HAProxy.
//!
//! **Invariant:** every reply is judged: the cookie's person, the identity headers and the assertion are one and the
//! same. No session is accepted one second after its end was answered.

mod app;
mod balancer;
mod crowd;
mod judge;
mod load;
mod logouts;
mod replica;
mod report;
mod skew;
mod store;
mod troubles;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::app::Mirror;
use self::crowd::Crowd;
use self::judge::Judge;
use self::load::{Load, Tally};
use self::logouts::Logouts;
use self::replica::{NAMES, Replica};
use self::report::Counted;
use self::store::Store;
use self::troubles::{Excuse, Moved, Troubled};
use crate::harness::http::try_exchange;
use crate::harness::process::{Process, await_that};
use crate::harness::{Settings, World, client_jwks, run_keys};

/// Where the result goes; set by `make replicas` and `make soak`.
const RESULT: &str = "PORTVAKT_FLEET_RESULT";

/// How long `make soak` soaks.
const MINUTES: &str = "PORTVAKT_SOAK_MINUTES";

/// Where `make soak` keeps what it has shown so far; a run that was cut off goes on from there.
const SO_FAR: &str = "PORTVAKT_SOAK_SO_FAR";

/// It is kept after each such time.
const STRETCH: Duration = Duration::from_secs(300);

/// Connections of the load.
const CLIENTS: usize = 16;

/// Requests that each of them asks at a time where the store's commands are counted beside as many as can be made.
const TOGETHER: usize = 16;

/// `make soak` makes no more requests a second: it is to find what goes wrong, not to fill a disk with logs.
const SOAK_RATE: f64 = 600.0;

/// So much is done.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Whether HAProxy stands in front.
    balanced: bool,
    people: usize,
    logouts: usize,
    /// Between two logouts.
    pause: Duration,
    /// How long the most that can be borne is measured.
    measuring: Duration,
    /// How long the store's commands are counted, at each rate.
    counting: Duration,
    soak: Span,
}

/// For how long, and how much at most.
#[derive(Clone, Copy, Debug)]
struct Span {
    time: Duration,
    most: usize,
}

/// Among the tests.
const LITTLE: Extent = Extent {
    balanced: false,
    people: 12,
    logouts: 12,
    pause: Duration::ZERO,
    measuring: Duration::from_secs(1),
    counting: Duration::from_secs(3),
    // Who restarts a replica needs a balancer.
    soak: Span { time: Duration::from_secs(60), most: 3 },
};

/// `make replicas`.
const WHOLE: Extent = Extent {
    balanced: true,
    people: 300,
    logouts: 1_200,
    pause: Duration::from_millis(60),
    measuring: Duration::from_secs(10),
    counting: Duration::from_secs(30),
    soak: Span { time: Duration::from_secs(180), most: usize::MAX },
};

/// What the threads of a run share.
struct Fleet {
    /// `Host`.
    authority: String,
    /// Where people ask: the balancer, or the replicas where there is none.
    fronts: Vec<SocketAddr>,
    /// The replicas.
    addresses: Vec<SocketAddr>,
    issuer: String,
    crowd: Crowd,
    judge: Judge,
    excuse: Excuse,
    /// Requests of the load so far.
    requests: AtomicU64,
}

impl Fleet {
    /// Whether gateways may say that they wait for the store.
    fn store_is_troubled(&self) -> bool {
        self.excuse.holds()
    }

    fn asked(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    #[expect(clippy::print_stderr, reason = "a run that fails says what clients met")]
    fn complain(&self, what: &str) {
        eprintln!("{what}");
    }
}

/// Everything that runs.
struct Scene {
    world: World,
    store: Store,
    app: Mirror,
    replicas: Vec<Replica>,
    _balancer: Option<Process>,
    fleet: Fleet,
    extent: Extent,
}

impl Scene {
    fn start(extent: Extent) -> Self {
        let app = Mirror::start();
        let route = |path: &str, rest: &str| format!("{{path: '{path}', upstream: mirror, {rest}}}");
        let mut settings = Settings::default()
            // The balancer asks every half second, and believes the second no.
            .drain_delay("2s")
            .listener("h2c: true")
            .upstream(format!("mirror: {{url: 'http://127.0.0.1:{}'}}", app.port()))
            .route(&route("/fleet/**", "access: login, require: {level: substantial}, assertion: true"))
            .route(&route("/maybe/**", "access: optional, assertion: true"))
            .route(&route("/open/**", "access: public"));
        // The store's address is known only then.
        let mut world = World::without_gateway(settings.clone());
        let store = Store::start(world.folder());
        settings = settings
            .top(&format!("revocation: {{file: ended/ended.log, stream: {{servers: ['{}']}}}}", store.url()));
        world.settings = settings;
        world.write_configuration();
        run_keys(world.folder(), &["new", "assertion"]);
        let configuration = fs::read_to_string(world.configuration()).unwrap();
        for (number, name) in NAMES.iter().enumerate() {
            Replica::prepare(&world, number, extent.balanced, &configuration);
            copy_keys(&world, name);
        }
        let mut replicas: Vec<Replica> =
            (0..NAMES.len()).map(|number| Replica::start(&world, number, extent.balanced)).collect();
        await_that("all replicas hear each other", || {
            let others = |replica: &mut Replica| replica.metric("portvakt_revocations_replicas");
            replicas.iter_mut().all(|replica| others(replica) == 2.0).then_some(())
        });
        let _balancer = extent.balanced.then(|| balancer::start(&world, &replicas));
        let all = replicas.iter().map(|replica| replica.address).collect();
        let fronts = if extent.balanced { vec![world.address()] } else { all };
        let fleet = fleet(&world, fronts, &replicas);
        register(&world);
        Self { world, store, app, replicas, _balancer, fleet, extent }
    }
}

/// The provider calls the back channel alone: the front channel is called by the scenario, replica by replica.
fn register(world: &World) {
    let jwks: Value = serde_json::from_str(client_jwks()).unwrap();
    let origin = world.origin();
    world.control(&json!({ "client": {
        "client_id": world.settings.client_id,
        "jwks": jwks,
        "redirect_uris": [format!("{origin}/oauth2/callback")],
        "post_logout_redirect_uris": [format!("{origin}/oauth2/logout/callback")],
        "backchannel_logout_uri": format!("{origin}/oauth2/logout/backchannel"),
    }}));
}

/// What the threads share; the key set is fetched where people ask.
fn fleet(world: &World, fronts: Vec<SocketAddr>, replicas: &[Replica]) -> Fleet {
    let (authority, address) = (world.authority(), fronts[0]);
    let head = format!(
        "GET /.well-known/portvakt/jwks.json HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
    );
    let keys = move || {
        let answer = try_exchange(address, head.as_bytes()).filter(|answer| answer.status == 200);
        let set = answer.map(|answer| answer.json()).unwrap_or_default();
        set["keys"].as_array().cloned().unwrap_or_default()
    };
    Fleet {
        authority,
        fronts,
        addresses: replicas.iter().map(|replica| replica.address).collect(),
        issuer: format!("{}/idporten", world.simulator()),
        crowd: Crowd::of(Vec::new()),
        judge: Judge::new("mirror", keys),
        excuse: Excuse::default(),
        requests: AtomicU64::new(0),
    }
}

fn copy_keys(world: &World, name: &str) {
    use std::os::unix::fs::DirBuilderExt as _;
    let (from, to) = (world.folder().join("keys"), world.folder().join(name).join("keys"));
    fs::DirBuilder::new().mode(0o700).create(&to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        // Rights go with it.
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

impl Scene {
    /// How many requests a second can be made.
    fn most(&self) -> (f64, Tally) {
        let load = Load { clients: CLIENTS, rate: None, together: 1 };
        let ((), tally, took) = load::during(&self.fleet, load, || thread::sleep(self.extent.measuring));
        (count(tally.requests) / took.as_secs_f64(), tally)
    }

    /// What the store does while requests come at some rate.
    fn counted(&self, load: Load) -> (Counted, Tally) {
        let work = || {
            // What began before is over, and the load is on.
            thread::sleep(Duration::from_secs(1));
            let (before, asked, began) = (self.store.commands(), self.fleet.asked(), Instant::now());
            thread::sleep(self.extent.counting);
            let (after, asked_then, took) = (self.store.commands(), self.fleet.asked(), began.elapsed());
            Counted::between(&before, &after, asked_then - asked, took)
        };
        let (counted, tally, _) = load::during(&self.fleet, load, work);
        (counted, tally)
    }

    fn logouts(&self, load: Load) -> (Logouts, Tally, Duration) {
        let leaving = crowd::log_in(&self.world, self.extent.logouts);
        load::during(&self.fleet, load, || logouts::measure(&self.fleet, leaving, self.extent.pause))
    }

    /// People come and go, and everything that may happen happens.
    fn soak(&mut self, load: Load) -> Soaked {
        let Self { world, store, replicas, fleet, extent, .. } = self;
        let (fleet, world) = (&*fleet, &*world);
        let span = extent.soak;
        let mut troubled = Troubled::of(replicas, store);
        let over = AtomicBool::new(false);
        let (mut moved, tally, took) = load::during(fleet, load, || {
            thread::scope(|scope| {
                let moving = scope.spawn(|| troubles::come_and_go(fleet, world, &over));
                let done =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| troubled.run(fleet, span)));
                over.store(true, Ordering::Release);
                let moved = moving.join().unwrap();
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                moved
            })
        });
        troubles::look_at_all(fleet, &mut moved);
        Soaked { moved, tally, took, done: troubled.done, longest_back: troubled.longest_back, begun: 1 }
    }

    /// Ends everything, and judges it. `tally` is what clients met in the whole run.
    fn finish(mut self, tally: &Tally) {
        let posted = self.app.posted();
        assert!(posted.values().all(|times| *times == 1), "a post was done twice");
        for target in &tally.posted {
            assert!(posted.contains_key(target), "{target} was answered and not done");
        }
        assert_eq!(self.app.leaked(), 0, "the app was given a cookie of the gateway");
        for replica in &self.replicas {
            // Whoever was stopped or replaced has said goodbye.
            assert_eq!(replica.metric("portvakt_revocations_replicas_silent"), 0.0, "{}", replica.name);
        }
        for replica in &mut self.replicas {
            replica.finish(&self.world);
        }
        self.world.finish();
    }
}

/// What a soak showed.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Soaked {
    moved: Moved,
    tally: Tally,
    took: Duration,
    /// How often each was done.
    done: BTreeMap<String, usize>,
    /// From the store's return until every replica was sure again.
    longest_back: Duration,
    /// Fleets that were started for it: more than one where it was cut off and went on.
    begun: usize,
}

impl Soaked {
    /// What an earlier run showed before it was cut off, if one was.
    fn so_far(kept: Option<&Path>) -> Self {
        let text = kept.and_then(|file| fs::read(file).ok());
        text.map(|text| serde_json::from_slice(&text).unwrap()).unwrap_or_default()
    }

    /// What failed is kept too: nobody goes on behind it.
    fn keep(&self, kept: Option<&Path>) {
        if let Some(file) = kept {
            fs::write(file, serde_json::to_vec(self).unwrap()).unwrap();
        }
    }

    fn add(&mut self, other: Self) {
        self.moved.add(&other.moved);
        self.tally.add(other.tally);
        self.took += other.took;
        for (trouble, times) in other.done {
            *self.done.entry(trouble).or_default() += times;
        }
        self.longest_back = self.longest_back.max(other.longest_back);
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

#[test]
fn three_replicas_under_load_end_sessions_together_and_mix_up_nobody() {
    let result = std::env::var_os(RESULT).map(PathBuf::from);
    if std::env::var_os(MINUTES).is_some() {
        return;
    }
    let mut scene = Scene::start(if result.is_some() { WHOLE } else { LITTLE });
    scene.fleet.crowd = Crowd::of(crowd::log_in(&scene.world, scene.extent.people));
    let (most, mut tally) = scene.most();
    let (low, met) = scene.counted(Load { clients: 1, rate: Some(1.0), together: 1 });
    tally.add(met);
    let (high, met) = scene.counted(Load { clients: CLIENTS, rate: None, together: TOGETHER });
    tally.add(met);
    let half = Load { clients: CLIENTS, rate: Some(most / 2.0), together: 1 };
    let (logouts, met, took) = scene.logouts(half);
    let half_reached = count(met.requests) / took.as_secs_f64();
    tally.add(met);
    let mut soaked = scene.soak(half);
    // What was met before counts as well.
    soaked.tally.add(tally);
    let measured = report::Measured { most, half: half_reached, low, high, logouts, soaked };
    report::measured(&measured, result.as_deref());
    measured.judge();
    scene.finish(&measured.soaked.tally);
}

/// `make soak`: nothing among the tests, which have a little of it above.
#[test]
fn whatever_happens_to_them_for_long_nobody_is_taken_for_somebody_else() {
    let Ok(minutes) = std::env::var(MINUTES) else { return };
    let wanted = Duration::from_secs_f64(minutes.parse::<f64>().unwrap() * 60.0);
    let kept = std::env::var_os(SO_FAR).map(PathBuf::from);
    let mut soaked = Soaked::so_far(kept.as_deref());
    soaked.begun += 1;
    report::judge_soak(&soaked);
    let mut scene = Scene::start(WHOLE);
    scene.fleet.crowd = Crowd::of(crowd::log_in(&scene.world, scene.extent.people));
    let (most, met) = scene.most();
    soaked.tally.add(met);
    let rate = Some((most / 2.0).min(SOAK_RATE));
    while soaked.took < wanted {
        scene.extent.soak.time = (wanted - soaked.took).min(STRETCH);
        let stretch = scene.soak(Load { clients: CLIENTS, rate, together: 1 });
        soaked.add(stretch);
        soaked.keep(kept.as_deref());
        report::judge_soak(&soaked);
    }
    report::soaked(&soaked, std::env::var_os(RESULT).map(PathBuf::from).as_deref());
    scene.finish(&soaked.tally);
}
