//! A store that never comes to an end: more and more entries, the same ones again and again, and more that has expired
//! than is dropped at once. It costs certainty; neither memory, nor the processor, nor the logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::between::{Between, verb};
use super::fleet::{Fleet, STRICT, plain};
use super::redis::{BEATS, ENDS, Redis};
use super::resp::Resp;
use crate::harness::process::await_that;

const KEYS: &str = "{portvakt}:keys";

/// How many entries are asked for at once (`src/replication/store.rs`).
const COUNT: u64 = 1000;

fn entries(first: u64) -> Resp {
    let entry = |at: u64| {
        let fields = Resp::Array(Some(vec![Resp::bulk("r"), Resp::bulk([b'x'; 4000])]));
        Resp::Array(Some(vec![Resp::bulk(format!("{at}-0")), fields]))
    };
    Resp::Array(Some((first..first + COUNT).map(entry).collect()))
}

/// What a process has used up: memory in MiB, and processor time.
fn used(process: u32) -> (u64, Duration) {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{process}/{what}")).unwrap();
    let status = read("status");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = read("stat");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (memory >> 10, Duration::from_millis(ticks * 10))
}

/// Looks on for a while at what the lies cost, once so many have been told.
fn costs(fleet: &Fleet, lies: &AtomicU64) {
    let told = lies.load(Ordering::SeqCst);
    await_that("it is lied to", || (lies.load(Ordering::SeqCst) > told + 3).then_some(()));
    let (process, said, began) =
        (fleet.world.gateway_id(), fleet.messages(0).lines().count(), Instant::now());
    let (memory, work) = used(process);
    while began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (memory_after, work_after) = used(process);
    let (took, lines) = (began.elapsed(), fleet.messages(0).lines().count() - said);
    let more = memory_after.saturating_sub(memory);
    assert!(more < 48, "{more} MiB more in {took:?}, of {} lies", lies.load(Ordering::SeqCst));
    // Half a processor for what is read, and as much for its answers being taken apart.
    assert!(work_after - work < took * 3 / 2, "{:?} of work in {took:?}", work_after - work);
    assert!(lines <= 4, "{lines} lines: {}", fleet.messages(0));
}

#[test]
fn a_stream_without_an_end_is_read_without_keeping_it() {
    let redis = Redis::start();
    let between = Between::start(redis.address());
    let fleet = Fleet::of(&[plain(between.port())]);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high-2");
    watch.only("/app/", &stays, &[200, 401, 503]);
    let (lies, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    for leads_on in [true, false] {
        let (lies_told, next) = (Arc::clone(&lies), Arc::clone(&next));
        between.lie(move |command, truly| {
            if verb(command) != "XRANGE" {
                return truly(command);
            }
            lies_told.fetch_add(1, Ordering::SeqCst);
            let words: Vec<_> = command.items().iter().map(Resp::text).collect();
            if words[2] == words[3] {
                // Nothing of what there was is there any more.
                Resp::Array(Some(Vec::new()))
            } else if leads_on {
                entries(next.fetch_add(COUNT, Ordering::SeqCst))
            } else {
                entries(1)
            }
        });
        fleet.await_statuses("nothing is certain", "/app/", &stays, 503);
        costs(&fleet, &lies);
        assert_eq!(fleet.statuses("/app/", &stays), [503]);
        between.be_honest();
        fleet.await_back(if leads_on { "endless" } else { "in a circle" }, Instant::now());
    }
    watch.finish();
    fleet.finish();
}

#[test]
fn the_same_news_again_and_again_costs_little_and_fills_no_log() {
    let redis = Redis::start();
    let between = Between::start(redis.address());
    let fleet = Fleet::of(&[plain(between.port())]);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high-2");
    watch.only("/app/", &stays, STRICT);
    let (lies, leads_on) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (told, moves) = (Arc::clone(&lies), Arc::clone(&leads_on));
    between.lie(move |command, truly| {
        if verb(command) != "XREAD" {
            return truly(command);
        }
        let count = told.fetch_add(1, Ordering::SeqCst);
        let first = if moves.load(Ordering::SeqCst) { u64::MAX / 2 + count * COUNT } else { 1 };
        let stream = |name: &str| Resp::Array(Some(vec![Resp::bulk(name), entries(first)]));
        Resp::Array(Some([ENDS, BEATS, KEYS].map(stream).to_vec()))
    });
    fleet.await_statuses("nothing of it is a sign of life", "/app/", &stays, 503);
    costs(&fleet, &lies);
    leads_on.store(true, Ordering::SeqCst);
    costs(&fleet, &lies);
    between.be_honest();
    fleet.await_back("again and again", Instant::now());
    watch.finish();
    fleet.finish();
}

#[test]
fn an_answer_that_is_too_long_is_not_waited_for_and_not_kept() {
    let redis = Redis::start();
    let between = Between::start(redis.address());
    let fleet = Fleet::of(&[plain(between.port())]);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high-2");
    watch.only("/app/", &stays, STRICT);
    let most = || fleet.world.most_memory() >> 10;
    let before = most();
    // One that is long; many that are empty; a depth without a ground; lengths that nothing can have; what is none.
    let lies = [
        Resp::bulk(vec![b'x'; 100 << 20]),
        Resp::Line(format!("*2147483647\r\n{}", "_\r\n".repeat(10 << 20))),
        Resp::Line("*1\r\n".repeat(1 << 20)),
        Resp::Line(format!("-ERR {}", "x".repeat(100 << 20))),
        Resp::Line("$9223372036854775807\r\n".to_owned()),
        Resp::Line("*9223372036854775807\r\n*9223372036854775807\r\n%9223372036854775807".to_owned()),
        Resp::Line("!-1\r\n=-1\r\n%-1\r\n|-1\r\n~-1\r\n>-1\r\n(99999999999999999999".to_owned()),
        Resp::Line("+OK\r\n+OK\r\n+OK\r\n+OK".to_owned()),
        Resp::Line("-MOVED 1 127.0.0.1:1".to_owned()),
        Resp::Line("-ERR unknown command \x1b[2J, with args beginning with: 'portvakt-secret'".to_owned()),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        for reads in [true, false] {
            let (count, lie) = (Arc::new(AtomicU64::new(0)), lie.clone());
            let counts = Arc::clone(&count);
            between.lie(move |command, truly| {
                // Who reads waits for news; who writes looks first whether the store is what it was.
                if (verb(command) == "XREAD") != reads || counts.fetch_add(1, Ordering::SeqCst) > 0 {
                    return truly(command);
                }
                lie.clone()
            });
            await_that("it is lied to", || (count.load(Ordering::SeqCst) > 1).then_some(()));
            between.be_honest();
            fleet.await_back(&format!("lie {number}"), Instant::now());
        }
    }
    let more = most() - before;
    assert!(more < 150, "{more} MiB");
    assert!(!fleet.messages(0).contains("portvakt-secret"), "{}", fleet.messages(0));
    assert_eq!(fleet.statuses("/app/", &stays), [200]);
    watch.finish();
    fleet.finish();
}

#[test]
fn what_nothing_can_carry_any_more_leaves_the_store_however_much_it_is() {
    let redis = Redis::start();
    let fill = format!("for i = 1, 5000 do redis.call('XADD', '{ENDS}', '*', 'r', 'over') end");
    redis.ask(&["EVAL", &fill, "0"]);
    assert_eq!(redis.say(&format!("XLEN {ENDS}")), ":5000");
    let fleet = Fleet::at(redis.port, 1);
    await_that("the store is tidied up", || (redis.say(&format!("XLEN {ENDS}")) == ":1").then_some(()));
    fleet.finish();
}

#[test]
fn who_was_stopped_lets_nobody_in_before_it_knows_what_it_missed() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    fleet.signal(1, "STOP");
    let began = Instant::now();
    await_that("who is stopped is in nobody's way", || fleet.log_out(0, &gone).then_some(()));
    await_that("longer than a view may be old", || {
        (began.elapsed() > 2 * super::fleet::MAX_LAG).then_some(())
    });
    // These are the first that it is asked: they wait in its socket already.
    let asked: Vec<_> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| fleet.ask(1, "/app/", &gone).status);
        let asking: Vec<_> = (0..20).map(|_| ask()).collect();
        std::thread::sleep(Duration::from_millis(200));
        fleet.signal(1, "CONT");
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(asked.iter().all(|status| [401, 503].contains(status)), "{asked:?}");
    watch.ended(&gone);
    fleet.await_back("stopped", Instant::now());
    assert_eq!(fleet.statuses("/app/", &gone), [401; 2]);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
}

#[test]
fn an_end_that_nobody_could_be_told_of_is_told_after_kill_9() {
    let redis = Redis::start();
    let between = Between::start(redis.address());
    let mut fleet = Fleet::of(&[plain(redis.port), plain(between.port())]);
    let watch = fleet.watch();
    let (gone, stays) = (fleet.log_in("bankid-high"), fleet.log_in("bankid-high-2"));
    watch.only("/app/", &stays, STRICT);
    between.cut();
    assert!(!fleet.log_out(1, &gone), "nobody else can know");
    fleet.kill(1, true);
    assert_eq!(fleet.ask(0, "/app/", &gone).status, 200, "it does not");
    between.mend();
    fleet.start_killed(1);
    fleet.await_all();
    fleet.await_statuses("it is told", "/app/", &gone, 401);
    watch.ended(&gone);
    assert_eq!(fleet.statuses("/app/", &stays), [200; 2]);
    watch.finish();
    fleet.finish();
}
