//! One takes over from the other under load, forth and back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{panic, thread};

use super::super::Fleet;
use super::super::crowd::{self, Crowd};
use super::super::load::{self, Tally};
use super::super::replica::Replica;
use super::super::troubles::{self, Moved};
use super::Age;
use super::ends::{LOAD, PEOPLE};
use super::scene::{Beside, Shares};
use crate::harness::World;
use crate::harness::process::await_that;
use crate::kills::people::{Client, Way};

/// Requests between two hand-overs.
const BETWEEN: u64 = 200;

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn each_takes_over_from_the_other_and_no_request_fails() {
    take_over_and_back(&[Age::Old], Shares::Keys);
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn each_takes_over_from_the_other_beside_a_replica_and_no_request_fails() {
    take_over_and_back(&Age::BOTH, Shares::Ends);
}

fn take_over_and_back(ages: &[Age], shares: Shares) {
    let Some(mut beside) = Beside::start(ages, shares) else { return };
    beside.fleet.crowd = Crowd::of(crowd::log_in(&beside.world, PEOPLE));
    let Beside { world, fleet, replicas, .. } = &mut beside;
    let first = &mut replicas[0];
    let (tally, moved) = under_load(fleet, world, || {
        for age in [Age::New, Age::Old, Age::New, Age::Old] {
            let until = fleet.asked() + BETWEEN;
            await_that("some requests", || (fleet.asked() > until).then_some(()));
            first.becomes(age.program());
            first.hand_over();
            await_that("it is ready", || first.is_ready().then_some(()));
        }
        one_more_round(fleet);
    });
    beside.count(&tally);
    beside.count_moved(&moved);
    if shares == Shares::Ends {
        beside.await_company();
        // The first one, and the one that came back.
        beside.check_alarms(2);
    }
    beside.finish();
}

/// What was changed last is met too.
fn one_more_round(fleet: &Fleet) {
    let until = fleet.asked() + BETWEEN;
    await_that("some more requests", || (fleet.asked() > until).then_some(()));
}

/// Runs `work` while people ask, come and go.
fn under_load(fleet: &Fleet, world: &World, work: impl FnOnce() + Send) -> (Tally, Moved) {
    let over = AtomicBool::new(false);
    let (mut moved, tally, _) = load::during(fleet, LOAD, || {
        thread::scope(|scope| {
            let moving = scope.spawn(|| troubles::come_and_go(fleet, world, &over));
            let done = panic::catch_unwind(panic::AssertUnwindSafe(work));
            over.store(true, Ordering::Release);
            let moved = moving.join().unwrap();
            done.unwrap_or_else(|panic| panic::resume_unwind(panic));
            moved
        })
    });
    troubles::look_at_all(fleet, &mut moved);
    (tally, moved)
}

/// The file of what ended, without hand-over: an upgrade by a restart, and the way back.
#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn each_reads_the_file_of_the_other_after_a_restart() {
    let mut beside = Beside::start(&[Age::Old], Shares::Keys).expect("keys can always be shared");
    let stays = crowd::log_in(&beside.world, 1).pop().unwrap();
    let mut gone = Vec::new();
    for age in [Age::New, Age::Old, Age::New, Age::Old] {
        let leaving = crowd::log_in(&beside.world, Way::ALL.len());
        for (somebody, way) in leaving.iter().zip(Way::ALL) {
            let client = Client { address: beside.replicas[0].address };
            let simulator = beside.world.simulator_address();
            let left = somebody.person.leave(way, &client, simulator, &beside.fleet.issuer);
            beside.check(&format!("{way:?} is answered"), left == Some(true));
            gone.push(somebody.cookie.clone());
        }
        beside.look_for(&gone, "/fleet/gone");
        let replica: &mut Replica = &mut beside.replicas[0];
        replica.becomes(age.program());
        replica.restart();
        beside.look_for(&gone, "/fleet/gone");
        beside.check("who stays is known", beside.told(0, "/fleet/stays", &stays.cookie).len() > 6);
        let alarms = beside.replicas[0].metric("portvakt_revocations_alarms_total");
        beside.check(&format!("{alarms} alarms"), alarms == 0.0);
    }
    beside.finish();
}
