//! The store does not answer: killed, stopped, slow, or cut off from one of us.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::between::Between;
use super::fleet::{Fleet, MAX_LAG, STRICT, plain};
use super::redis::Redis;
use crate::harness::process::await_that;

#[test]
fn a_store_that_is_killed_costs_certainty_and_comes_back_empty() {
    let mut redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    let (gone, stays, later) =
        (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"), fleet.log_in("d-number"));
    fleet.end(0, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    watch.only("/lenient/", &stays, &[200]);

    redis.process.kill();
    fleet.await_statuses("strict routes wait", "/app/", &stays, 503);
    assert_eq!(fleet.ask(0, "/app/", &stays).header("retry-after"), Some("5"));
    assert_eq!(fleet.statuses("/lenient/", &stays), [200; 3], "they go on where that is allowed");
    // Whom nobody makes wait is served, so balancers must not send everybody away.
    await_that("they say that strict routes wait", || {
        fleet.readiness_for("/readyz?strict").iter().all(|(status, _)| *status == 503).then_some(())
    });
    let readiness = fleet.readiness();
    assert!(
        readiness.iter().all(|(status, why)| *status == 200 && why.contains("may be lacking")),
        "{readiness:?}"
    );
    // It is in force here, and nobody says that it is done.
    assert!(!fleet.log_out(0, &later));
    assert_eq!(fleet.ask(0, "/lenient/", &later).status, 401);
    // Whoever asks again is told the same: it is still not done.
    assert!(!fleet.log_out(0, &later));

    redis.start_again();
    fleet.await_back("killed", Instant::now());
    fleet.await_statuses("what waited is delivered", "/app/", &later, 401);
    watch.ended(&later);
    assert_eq!(fleet.statuses("/app/", &gone), [401; 3]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3], "all were here all the time: nobody logs in again");
    assert_eq!(watch.met("/lenient/", &stays), [200]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_that_is_stopped_makes_the_view_stale_and_is_followed_again() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    watch.only("/lenient/", &stays, &[200]);
    redis.process.signal("STOP");
    assert!(!fleet.log_out(1, &gone), "nobody else knows of it");
    fleet.await_statuses("strict routes wait", "/app/", &stays, 503);
    redis.process.signal("CONT");
    fleet.await_back("stopped", Instant::now());
    fleet.await_statuses("what waited is delivered", "/app/", &gone, 401);
    watch.ended(&gone);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_that_is_slow_delays_what_is_said_and_one_that_is_too_slow_is_as_if_it_were_gone() {
    let redis = Redis::start();
    let between = [Between::start(redis.address()), Between::start(redis.address())];
    let fleet = Fleet::of(&[plain(between[0].port()), plain(between[1].port())]);
    let watch = fleet.watch();
    let cookies: Vec<_> =
        ["bankid-high", "bankid-high-2", "d-number"].map(|person| fleet.log_in(person)).into();
    let [gone, later, stays] = &cookies[..] else { unreachable!() };
    watch.only("/app/", stays, STRICT);
    watch.only("/lenient/", stays, &[200]);
    let slow = |by: Duration| {
        for between in &between {
            between.lie(move |command, truly| {
                sleep(by);
                truly(command)
            });
        }
    };

    // Longer than a logout waits, and shorter than an answer may take.
    slow(Duration::from_millis(300));
    assert!(!fleet.log_out(0, gone), "that everybody knows is not known in time");
    watch.ended(gone);
    fleet.await_statuses("all the same it is over soon", "/app/", gone, 401);

    slow(MAX_LAG * 2);
    fleet.await_statuses("strict routes wait", "/app/", stays, 503);
    assert_eq!(fleet.statuses("/lenient/", stays), [200; 2]);
    assert!(!fleet.log_out(1, later));

    between.iter().for_each(Between::be_honest);
    fleet.await_back("slow", Instant::now());
    watch.ended(later);
    fleet.await_statuses("what waited is delivered", "/app/", later, 401);
    assert_eq!(fleet.statuses("/app/", stays), [200; 2]);
    assert_eq!(fleet.alarms("foreign"), [0; 2]);
    watch.finish();
    fleet.finish();
}

#[test]
fn one_that_is_cut_off_says_so_and_learns_what_it_missed_before_it_is_believed() {
    let redis = Redis::start();
    let between = Between::start(redis.address());
    let fleet = Fleet::of(&[plain(redis.port), plain(redis.port), plain(between.port())]);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    between.cut();
    await_that("the one that is cut off waits", || {
        (fleet.statuses("/app/", &stays) == [200, 200, 503]).then_some(())
    });
    await_that("who is cut off is in nobody's way", || fleet.log_out(0, &gone).then_some(()));
    watch.ended(&gone);
    assert_eq!(fleet.ask(1, "/lenient/", &gone).status, 401);
    assert_eq!(fleet.ask(2, "/lenient/", &gone).status, 200, "what it cannot know it cannot act on");
    between.mend();
    fleet.await_back("cut off", Instant::now());
    assert_eq!(fleet.statuses("/app/", &gone), [401; 3]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_whose_memory_is_full_takes_nothing_and_is_told_everything_when_there_is_room() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, later, stays) =
        (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"), fleet.log_in("d-number"));
    fleet.end(1, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    watch.only("/lenient/", &stays, &[200]);
    // `noeviction`: what would need more memory is refused.
    assert_eq!(redis.say("CONFIG SET maxmemory 1"), "+OK");
    fleet.await_statuses("strict routes wait", "/app/", &stays, 503);
    assert!(!fleet.log_out(0, &later));
    watch.ended(&later);
    let said = fleet.messages(0).matches("cannot be used").count();
    await_that("it is tried again and again", || {
        let refused = redis.say("INFO errorstats");
        let count = refused.split("errorstat_OOM:count=").nth(1)?.lines().next()?.parse::<u64>().ok()?;
        (count > 20).then_some(())
    });
    assert_eq!((said, fleet.messages(0).matches("cannot be used").count()), (1, 1), "{}", fleet.messages(0));
    assert_eq!(redis.say("CONFIG SET maxmemory 0"), "+OK");
    fleet.await_back("full", Instant::now());
    fleet.await_statuses("what waited is delivered", "/app/", &later, 401);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
}
