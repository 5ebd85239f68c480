//! The store lies (`threats.md` LO-7): it leaves out what one chose, alters, repeats, mixes up, invents. Nothing of it
//! brings anybody back, and nothing of it ends anybody's session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::between::{Between, bytes_of, rewrite, verb, with_bytes};
use super::fleet::{Fleet, STRICT, plain};
use super::redis::{BEATS, ENDS, RECORD, Redis};
use super::resp::Resp;
use crate::harness::process::await_that;

/// Where a record has its writer (`core/src/revocation/record.rs`).
const WRITER: std::ops::Range<usize> = 8..16;

fn fleet_behind(redis: &Redis, size: usize) -> (Vec<Between>, Fleet) {
    let between: Vec<_> = (0..size).map(|_| Between::start(redis.address())).collect();
    let streams: Vec<_> = between.iter().map(|between| plain(between.port())).collect();
    (between, Fleet::of(&streams))
}

#[test]
fn what_a_store_takes_and_forgets_is_written_until_it_is_there() {
    let redis = Redis::start();
    let (between, fleet) = fleet_behind(&redis, 3);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    // It says that it has taken it.
    let (forgets, forged) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let (does, count) = (Arc::clone(&forgets), Arc::clone(&forged));
    between[0].lie(move |command, truly| {
        let is_end = verb(command) == "XADD" && command.items()[1].text() == ENDS;
        if is_end && does.load(Ordering::SeqCst) {
            return Resp::bulk(format!("1-{}", count.fetch_add(1, Ordering::SeqCst)));
        }
        truly(command)
    });
    assert!(!fleet.log_out(0, &gone), "what has not come back is not done");
    watch.ended(&gone);
    await_that("it is written again, and again", || (forged.load(Ordering::SeqCst) > 5).then_some(()));
    forgets.store(false, Ordering::SeqCst);
    let began = Instant::now();
    fleet.await_back("forgotten", began);
    fleet.await_statuses("it is over", "/app/", &gone, 401);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3]);
    watch.finish();
    fleet.finish();
}

#[test]
fn what_is_hidden_from_one_is_noticed_by_what_the_others_say() {
    let redis = Redis::start();
    let (between, fleet) = fleet_behind(&redis, 3);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    // The third one is shown no end at all.
    between[2].lie(|command, truly| {
        rewrite(command, truly(command), |stream, entries| {
            entries.retain(|entry| stream != ENDS || bytes_of(entry).len() != RECORD);
        })
    });
    await_that("the first one sees it come back", || fleet.log_out(0, &gone).then_some(()));
    watch.ended(&gone);
    await_that("the third one knows that it does not know", || {
        (fleet.ask(2, "/app/", &stays).status == 503).then_some(())
    });
    await_that("it is an alarm", || (fleet.alarms("missing")[2] > 0).then_some(()));
    assert_eq!([fleet.ask(0, "/app/", &gone).status, fleet.ask(1, "/app/", &gone).status], [401; 2]);
    between[2].be_honest();
    fleet.await_back("hidden", Instant::now());
    assert_eq!(fleet.statuses("/app/", &gone), [401; 3]);
    watch.finish();
    fleet.finish();
}

#[test]
fn what_is_hidden_from_one_for_good_makes_it_believe_nobody_who_came_before() {
    let redis = Redis::start();
    let (between, fleet) = fleet_behind(&redis, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    between[1].lie(|command, truly| {
        rewrite(command, truly(command), |stream, entries| {
            entries.retain(|entry| stream != ENDS || bytes_of(entry).len() != RECORD);
        })
    });
    await_that("the first one sees it come back", || fleet.log_out(0, &gone).then_some(()));
    watch.ended(&gone);
    watch.only("/app/", &stays, &[200, 401, 503]);
    await_that("it gives up, and lets everybody log in again", || {
        (fleet.ask(1, "/app/", &stays).status == 401).then_some(())
    });
    assert_eq!(fleet.ask(1, "/app/", &gone).status, 401);
    assert_eq!(fleet.ask(0, "/app/", &stays).status, 200, "the first one knows everything");
    watch.finish();
    fleet.finish();
}

#[test]
fn what_is_deleted_from_the_streams_brings_nobody_back() {
    let redis = Redis::start();
    let mut fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, other, stays) =
        (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"), fleet.log_in("d-number"));
    fleet.end(0, &gone, &watch);
    fleet.end(1, &other, &watch);
    // Whoever is not heard again soon enough may have taken an end with it: that costs a login.
    watch.only("/app/", &stays, &[200, 401, 503]);
    // The first of the two: the last one that was read is still there, and nobody who is here misses it.
    let first = redis.entries(ENDS).remove(0).0;
    assert_eq!(redis.say(&format!("XDEL {ENDS} {first}")), ":1");
    // Who comes without a file misses it, and gets it from the others.
    fleet.kill(1, false);
    fleet.start_killed(1);
    fleet.await_all();
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    assert_eq!(fleet.statuses("/app/", &other), [401; 2]);
    // The last one, each sign of life, and then the whole stream.
    let last = redis.entries(ENDS).pop().unwrap().0;
    assert_eq!(redis.say(&format!("XDEL {ENDS} {last}")), ":1");
    for (id, _) in redis.entries(BEATS) {
        redis.say(&format!("XDEL {BEATS} {id}"));
    }
    let began = Instant::now();
    fleet.await_back("deleted", began);
    assert_eq!(redis.say(&format!("DEL {ENDS}")), ":1");
    await_that("it is written again", || (!redis.entries(ENDS).is_empty()).then_some(()));
    fleet.await_back("stream deleted", began);
    for cookie in [&gone, &other] {
        assert_eq!(fleet.statuses("/app/", cookie), [401; 2]);
    }
    assert_eq!(fleet.statuses("/app/", &fleet.log_in("d-number")), [200; 2]);
    watch.finish();
    fleet.finish();
}

#[test]
fn what_a_store_invents_alters_and_repeats_ends_nobodys_session_and_is_counted() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    fleet.end(0, &gone, &watch);
    watch.only("/app/", &stays, STRICT);
    let (end, beats) = (redis.entries(ENDS).pop().unwrap().1, redis.entries(BEATS));
    // Entries that are none.
    for stream in [ENDS, BEATS] {
        for bytes in [&b""[..], b"invented", &[b'x'; 80], &[0; RECORD]] {
            redis.add(stream, "*", bytes);
        }
    }
    // What was written, with one bit changed: the writer, its place, what it ends, when, the MAC. The key's id is not:
    // that is a key that nobody has, and tells of something that cannot be read.
    let changed = [5, 6, 9, 23, 30, 38, 45, 60, RECORD - 1].map(|at| {
        let mut bytes = end.clone();
        bytes[at] ^= 1;
        bytes
    });
    changed.iter().for_each(|bytes| redis.add(ENDS, "*", bytes));
    // A record among the beats, a beat among the records.
    redis.add(BEATS, "*", &end);
    redis.add(ENDS, "*", &beats[0].1);
    await_that("they are counted", || (fleet.alarms("foreign") == [19; 3]).then_some(()));
    // Again, and again; beats of long ago; the other way round.
    for _ in 0..5 {
        redis.add(ENDS, "*", &end);
        beats.iter().rev().take(20).for_each(|(_, bytes)| redis.add(BEATS, "*", bytes));
        beats.iter().take(20).for_each(|(_, bytes)| redis.add(BEATS, "*", bytes));
    }
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3]);
    assert_eq!(fleet.statuses("/app/", &gone), [401; 3]);
    // From the future: whatever follows has a later id.
    let far = format!("{}-0", u64::MAX - 1000);
    redis.add(ENDS, &far, &end);
    redis.add(BEATS, &far, &beats[0].1);
    let later = fleet.log_in("d-number");
    fleet.end(1, &later, &watch);
    assert_eq!(fleet.alarms("foreign"), [19; 3], "what was written once may come again");
    assert_eq!(watch.met("/app/", &stays), [200]);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_after_whose_last_id_nothing_can_be_written_is_down_until_somebody_clears_it() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    for stream in [ENDS, BEATS] {
        redis.add(stream, &format!("{0}-{0}", u64::MAX), b"the last one");
    }
    fleet.await_statuses("strict routes wait", "/app/", &stays, 503);
    assert!(!fleet.log_out(0, &gone));
    watch.ended(&gone);
    redis.say(&format!("DEL {ENDS} {BEATS}"));
    fleet.await_back("last id", Instant::now());
    fleet.await_statuses("what waited is delivered", "/app/", &gone, 401);
    watch.finish();
    fleet.finish();
}

#[test]
fn a_store_that_shows_another_order_other_writers_and_old_news_is_not_believed() {
    let redis = Redis::start();
    let (between, fleet) = fleet_behind(&redis, 3);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high-2");
    watch.only("/app/", &stays, STRICT);
    // Each answer upside down, each record also under another's name, and each with something of before.
    for between in &between {
        let before = std::sync::Mutex::new(Vec::<Resp>::new());
        between.lie(move |command, truly| {
            rewrite(command, truly(command), |_, entries| {
                let Some(last) = entries.last().cloned() else { return };
                let mut before = before.lock().unwrap();
                let mut shown: Vec<_> = before.iter().rev().take(3).cloned().collect();
                let other = |entry: &Resp| {
                    let mut bytes = bytes_of(entry).to_vec();
                    if bytes.len() == RECORD {
                        bytes[WRITER].fill(7);
                    }
                    with_bytes(entry, &bytes)
                };
                shown.extend(entries.iter().rev().map(other));
                shown.extend(entries.iter().rev().cloned());
                // The place to read on from is the last one's.
                shown.push(last);
                before.append(entries);
                *entries = shown;
            })
        });
    }
    for round in 0..4 {
        let person = ["bankid-high", "d-number"][round % 2];
        let gone = fleet.log_in(person);
        fleet.end(round % 3, &gone, &watch);
    }
    assert!(fleet.alarms("foreign").iter().all(|&count| count >= 4), "{:?}", fleet.alarms("foreign"));
    between.iter().for_each(Between::be_honest);
    fleet.await_back("upside down", Instant::now());
    assert_eq!(fleet.statuses("/app/", &stays), [200; 3]);
    watch.finish();
    fleet.finish();
}
