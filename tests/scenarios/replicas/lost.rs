//! The store answers, and has lost what it was told: emptied, set back to an old dump, replaced by a copy that lagged.

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use super::between::Between;
use super::fleet::{Fleet, STRICT, plain};
use super::redis::{ENDS, Redis, try_ask};
use crate::harness::free_port;
use crate::harness::process::await_that;

/// The alarm, and the records are there again.
fn await_again(fleet: &Fleet, redis: &Redis, before: usize) {
    await_that("it is noticed and written again", || {
        let noticed = fleet.alarms("rewound").iter().any(|&count| count > 0);
        (noticed && ends(redis) >= before).then_some(())
    });
}

/// How many records there are; some may have been written more than once.
fn ends(redis: &Redis) -> usize {
    redis.entries(ENDS).into_iter().map(|(_, bytes)| bytes).collect::<HashSet<_>>().len()
}

#[test]
fn a_store_that_is_emptied_is_noticed_and_gets_everything_again() {
    let redis = Redis::start();
    let mut fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    fleet.end(0, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    let began = Instant::now();
    await_again(&fleet, &redis, 1);
    fleet.await_back("emptied", began);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    // One that has lost everything learns it from the other, through the store.
    fleet.kill(0, false);
    fleet.start_killed(0);
    fleet.await_all();
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2], "the other one vouches for what it knows");
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_that_is_emptied_while_everybody_is_gone_costs_a_login_and_revives_nobody() {
    let redis = Redis::start();
    let mut fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    fleet.end(0, &gone, &watch);
    // Whatever is known is known in the store alone.
    fleet.kill(0, false);
    fleet.kill(1, false);
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    watch.only("/app/", &stays, &[401, 503]);
    fleet.start_killed(0);
    fleet.start_killed(1);
    fleet.await_all();
    fleet.await_statuses("nobody is known to have stayed", "/app/", &stays, 401);
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    let again = fleet.log_in("bankid-high-2");
    assert_eq!(fleet.statuses("/app/", &again), [200; 2]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_that_starts_from_an_old_dump_gets_what_it_has_forgotten() {
    let mut redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    let [before, after, waits, stays] =
        ["bankid-high", "bankid-high-2", "d-number", "bankid-high"].map(|person| fleet.log_in(person));
    fleet.end(0, &before, &watch);
    assert_eq!(redis.say("SAVE"), "+OK");
    let dump = fs::read(redis.folder().join("dump.rdb")).unwrap();
    fleet.end(1, &after, &watch);
    let held = ends(&redis);
    watch.only("/app/", &stays, STRICT);
    redis.process.kill();
    fleet.await_statuses("strict routes wait", "/app/", &stays, 503);
    assert!(!fleet.log_out(2, &waits));
    watch.ended(&waits);
    fs::write(redis.folder().join("dump.rdb"), dump).unwrap();
    redis.start_again();
    let began = Instant::now();
    assert!(ends(&redis) <= held);
    await_again(&fleet, &redis, held + 1);
    fleet.await_back("old dump", began);
    for cookie in [&before, &after, &waits] {
        assert_eq!(fleet.statuses("/app/", cookie), [401; 3]);
    }
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_copy_that_lagged_gets_what_it_missed_when_it_becomes_the_store() {
    let master = Redis::start();
    let copy = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let between = [0; 2].map(|_| Between::start(master.address()));
    let fleet = Fleet::of(&[plain(between[0].port()), plain(between[1].port())]);
    let watch = fleet.watch();
    let [early, late, stays] =
        ["bankid-high", "bankid-high-2", "d-number"].map(|person| fleet.log_in(person));
    fleet.end(0, &early, &watch);
    await_that("the copy has it", || (ends(&copy) == ends(&master)).then_some(()));
    // The copy is cut off from its master, and does not know what follows.
    assert_eq!(copy.say(&format!("REPLICAOF 127.0.0.1 {}", free_port())), "+OK");
    fleet.end(1, &late, &watch);
    watch.only("/app/", &stays, STRICT);
    assert!(ends(&copy) < ends(&master));
    let held = ends(&master);
    drop(master);
    assert_eq!(copy.say("REPLICAOF NO ONE"), "+OK");
    // One finds the new one later than the other.
    between[0].turn_to(copy.address());
    between[1].turn_to(copy.address());
    let began = Instant::now();
    await_again(&fleet, &copy, held);
    fleet.await_back("lagging copy", began);
    for cookie in [&early, &late] {
        assert_eq!(fleet.statuses("/app/", cookie), [401; 2]);
    }
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2], "both were here all the time");
    watch.finish();
    fleet.finish();
}

#[test]
fn a_copy_that_takes_no_writes_is_no_store() {
    let master = Redis::start();
    let copy = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let between = Between::start(master.address());
    let fleet = Fleet::of(&[plain(master.port), plain(between.port())]);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    between.turn_to(copy.address());
    await_that("what it says is not written, and nothing is certain", || {
        (fleet.statuses("/app/", &stays) == [200, 503]).then_some(())
    });
    assert!(!fleet.log_out(1, &gone));
    watch.ended(&gone);
    assert!(try_ask(master.address(), &["PING"]).is_some());
    between.turn_to(master.address());
    fleet.await_back("copy that takes no writes", Instant::now());
    fleet.await_statuses("what waited is delivered", "/app/", &gone, 401);
    watch.finish();
    fleet.finish();
}
