//! What happens to a fleet in its life: reloads, broken files, rotated keys, upgrades, restarts, and a store that is
//! restarted or comes back empty. Meanwhile people come and go.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use portvakt_core::clock::Clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::crowd::{self, ALLOWED, Somebody};
use super::replica::Replica;
use super::store::Store;
use super::{Fleet, Span};
use crate::harness::http::PATIENCE;
use crate::harness::process::await_that;
use crate::harness::{World, run_keys};
use crate::kills::people::{self, Client, Way};

/// What is done, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Reload,
    BrokenFile,
    Rotation(&'static str),
    HandOver,
    Restart,
    StoreRestart,
    StoreLoss,
    StoreAway,
}

const ROUND: [Trouble; 13] = [
    Trouble::Reload,
    Trouble::HandOver,
    Trouble::Rotation("cookie"),
    Trouble::Restart,
    Trouble::StoreRestart,
    Trouble::BrokenFile,
    Trouble::Rotation("revocation"),
    Trouble::HandOver,
    Trouble::Reload,
    Trouble::Rotation("assertion"),
    Trouble::Restart,
    Trouble::StoreLoss,
    Trouble::StoreAway,
];

/// A key that waits for its day is used so soon here.
const DAY: u64 = 2;

/// Between two of them, beside what each takes.
const PAUSE: Duration = Duration::from_millis(500);

/// How old what a replica knows is, in milliseconds.
const STALENESS: &str = "portvakt_revocations_staleness_milliseconds";

/// How long the store stays away when all replicas have said that strict routes wait: the balancer has noticed by then.
const AWAY: Duration = Duration::from_secs(2);

/// People who come, and people who leave, in one go.
const MOVING: usize = 6;

/// Between two of these.
const BETWEEN: Duration = Duration::from_secs(1);

/// Everything that is troubled.
pub(super) struct Troubled<'a> {
    replicas: &'a mut [Replica],
    store: &'a mut Store,
    /// How often each was done.
    pub(super) done: BTreeMap<String, usize>,
    /// From the store's return until every replica was sure again.
    pub(super) longest_back: Duration,
}

impl<'a> Troubled<'a> {
    pub(super) fn of(replicas: &'a mut [Replica], store: &'a mut Store) -> Self {
        Self { replicas, store, done: BTreeMap::new(), longest_back: Duration::ZERO }
    }

    /// One after the other until the time is up.
    pub(super) fn run(&mut self, fleet: &Fleet, span: Span) {
        let end = Instant::now() + span.time;
        for (number, trouble) in ROUND.iter().cycle().take(span.most).enumerate() {
            if Instant::now() >= end {
                break;
            }
            self.one(fleet, *trouble, number % self.replicas.len());
            *self.done.entry(format!("{trouble:?}")).or_default() += 1;
            thread::sleep(PAUSE);
        }
    }

    fn one(&mut self, fleet: &Fleet, trouble: Trouble, at: usize) {
        match trouble {
            Trouble::Reload => self.replicas[at].reload(),
            Trouble::BrokenFile => self.replicas[at].refuse_a_broken_file(),
            Trouble::Rotation(purpose) => self.rotate(purpose),
            Trouble::HandOver => self.replicas[at].hand_over(),
            Trouble::Restart => self.replicas[at].restart(),
            Trouble::StoreRestart => self.trouble_the_store(fleet, |store, _| store.restart()),
            Trouble::StoreLoss => self.trouble_the_store(fleet, |store, _| store.lose_everything()),
            Trouble::StoreAway => self.trouble_the_store(fleet, |store, replicas| {
                store.stop();
                await_that("all replicas say that strict routes wait", || {
                    let waits = |replica: &Replica| replica.asked("/readyz?strict") == Some(503);
                    replicas.iter().all(waits).then_some(())
                });
                thread::sleep(AWAY);
                store.start_again();
            }),
        }
        self.await_certainty();
    }

    fn trouble_the_store(&mut self, fleet: &Fleet, trouble: fn(&mut Store, &[Replica])) {
        fleet.excuse.during(|| {
            trouble(self.store, self.replicas);
            let back = Instant::now();
            // Who has not noticed yet is as sure as before.
            await_that("all replicas have read what the store holds now", || {
                let read = |replica: &Replica| {
                    let since = Duration::from_secs_f64(replica.metric(STALENESS) / 1000.0);
                    since < back.elapsed()
                };
                self.replicas.iter().all(read).then_some(())
            });
            self.await_certainty();
            self.longest_back = self.longest_back.max(back.elapsed());
        });
    }

    /// All are ready and know everything.
    fn await_certainty(&self) {
        await_that("all replicas are ready and know everything", || {
            self.replicas.iter().all(Replica::is_certain).then_some(())
        });
    }

    /// As an operator rotates: one file, brought to all; only the day until the key is used is shorter here.
    fn rotate(&mut self, purpose: &str) {
        let file = |replica: &Replica| replica.folder.join(format!("keys/{purpose}.json"));
        run_keys(&self.replicas[0].folder, &["rotate", purpose]);
        let first = file(&self.replicas[0]);
        let mut waits = true;
        for _ in 0..2 {
            for replica in &mut *self.replicas {
                if file(replica) != first {
                    replace(&file(replica), &fs::read(&first).unwrap());
                }
                replica.reload();
            }
            if std::mem::take(&mut waits) {
                // Everybody has it: its day comes.
                let mut keys: Value = serde_json::from_slice(&fs::read(&first).unwrap()).unwrap();
                let newest = keys["keys"].as_array_mut().unwrap().last_mut().unwrap();
                newest["active_from"] = Value::from(Clock::start().now().seconds() + DAY);
                replace(&first, keys.to_string().as_bytes());
            }
        }
    }
}

/// Puts another file in its place, as `portvakt keys` does.
fn replace(file: &std::path::Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let beside = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).unwrap();
    std::io::Write::write_all(&mut new, bytes).unwrap();
    fs::rename(beside, file).unwrap();
}

/// What became of those who moved.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Moved {
    pub(super) came: usize,
    /// Groups of whom somebody could not log in.
    pub(super) failed: usize,
    /// By [`Way::ALL`].
    pub(super) left: [usize; 3],
    /// Logouts that were not answered as done while the store was troubled, and were asked again.
    pub(super) asked_again: usize,
    /// Looks at sessions that had ended.
    pub(super) looks: usize,
    pub(super) revived: usize,
    /// Requests of theirs that reached the app as somebody else's.
    pub(super) strangers: usize,
}

impl Moved {
    pub(super) fn add(&mut self, other: &Self) {
        self.came += other.came;
        self.failed += other.failed;
        self.left = std::array::from_fn(|way| self.left[way] + other.left[way]);
        self.asked_again += other.asked_again;
        self.looks += other.looks;
        self.revived += other.revived;
        self.strangers += other.strangers;
    }
}

/// People come and others go, in every way, until it is over.
pub(super) fn come_and_go(fleet: &Fleet, world: &World, over: &AtomicBool) -> Moved {
    let mut moved = Moved::default();
    let mut place = 0;
    while !over.load(Ordering::Acquire) {
        let new = {
            let _calm = fleet.excuse.calm.read().unwrap_or_else(PoisonError::into_inner);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crowd::log_in(world, MOVING)))
        };
        let Ok(new) = new else {
            moved.failed += 1;
            thread::sleep(BETWEEN);
            continue;
        };
        moved.came += new.len();
        for (number, somebody) in new.into_iter().enumerate() {
            if number == 0 {
                // The provider knows this one still.
                leave(fleet, world, somebody, Way::BackChannel, number, &mut moved);
                continue;
            }
            let old = fleet.crowd.exchange(place, somebody);
            place += 1;
            let way = if number.is_multiple_of(2) { Way::Own } else { Way::FrontChannel };
            leave(fleet, world, old, way, place, &mut moved);
        }
        look(fleet, place, &mut moved);
        moved.strangers += people::strangers(world);
        world.app.forget();
        // People come for hours in a long run, and everything that was theirs is looked for in the logs.
        thread::sleep(BETWEEN);
    }
    moved
}

fn leave(fleet: &Fleet, world: &World, who: Arc<Somebody>, way: Way, at: usize, moved: &mut Moved) {
    who.leaves();
    // Through the balancer, as everybody: a replica may be on its way out.
    let client = Client { address: fleet.fronts[at % fleet.fronts.len()] };
    let end = Instant::now() + PATIENCE;
    while who.person.leave(way, &client, world.simulator_address(), &fleet.issuer) != Some(true) {
        // The provider calls once; the session may stay.
        if way == Way::BackChannel {
            return;
        }
        if Instant::now() > end {
            moved.failed += 1;
            return;
        }
        moved.asked_again += 1;
        thread::sleep(Duration::from_millis(50));
    }
    moved.left[way as usize] += 1;
    fleet.crowd.left(who);
}

/// Some of those who left, at each replica: those that answer refuse them.
fn look(fleet: &Fleet, seed: usize, moved: &mut Moved) {
    for number in 0..MOVING {
        let Some(gone) = fleet.crowd.one_gone(seed.wrapping_mul(31) + number * 17) else { return };
        let sent_at = fleet.crowd.now();
        for address in &fleet.addresses {
            let status = gone.person.read(&Client { address: *address });
            moved.looks += 1;
            moved.revived += usize::from(status == Some(200) && fleet.crowd.is_revived(&gone, sent_at));
        }
    }
}

/// Everybody who left, everywhere, when all is quiet.
pub(super) fn look_at_all(fleet: &Fleet, moved: &mut Moved) {
    thread::sleep(ALLOWED);
    for gone in fleet.crowd.gone() {
        for address in &fleet.addresses {
            moved.looks += 1;
            moved.revived += usize::from(gone.person.is_in(&Client { address: *address }));
        }
    }
}

/// While the store is troubled, and until every replica is sure again, strict routes may wait for it; nobody logs in.
#[derive(Debug, Default)]
pub(super) struct Excuse {
    holds: AtomicBool,
    /// Held by who logs in.
    calm: RwLock<()>,
}

impl Excuse {
    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    fn during(&self, trouble: impl FnOnce()) {
        let _nobody_logs_in = self.calm.write().unwrap_or_else(PoisonError::into_inner);
        self.holds.store(true, Ordering::Release);
        trouble();
        // What was asked before is answered.
        thread::sleep(PAUSE);
        self.holds.store(false, Ordering::Release);
    }
}
