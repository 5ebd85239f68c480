//! The end of a process, and how another one takes over (`design.md` 2; `threats.md` OM-7, CK-12).

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::http::{Response, connect, read_response};
use crate::harness::process::{Process, await_that};
use crate::harness::{Settings, World};

fn get(world: &World, stream: &mut TcpStream, target: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", world.authority());
    stream.write_all(request.as_bytes()).unwrap();
    read_response(stream, false)
}

/// Begins a request whose body is still to come.
fn begin_post(world: &World) -> TcpStream {
    let head = format!("POST /public/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\n", world.authority());
    let mut stream = connect(world.address());
    stream.write_all(head.as_bytes()).unwrap();
    await_that("the request is under way", || {
        let metrics = world.admin("/metrics").text();
        metrics.lines().any(|line| line.contains("in_flight") && line.ends_with(" 1")).then_some(())
    });
    stream
}

fn end_post(mut stream: TcpStream) -> Response {
    stream.write_all(b"ok").unwrap();
    read_response(&mut stream, false)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

fn await_message(world: &World, message: &str, count: usize) {
    await_that(message, || (world.errors().matches(message).count() >= count).then_some(()));
}

const READY: &str = "a successor is ready";

/// A successor that has reported ready for the `count`th time.
fn ready_successor(world: &World, count: usize) -> Process {
    let successor = world.start_successor();
    await_message(world, READY, count);
    successor
}

#[test]
fn sigterm_makes_it_not_ready_and_it_serves_on_until_balancers_have_noticed() {
    let mut world = World::with(Settings::default().drain_delay("2s"));
    let mut kept = connect(world.address());
    assert_eq!(get(&world, &mut kept, "/public/").header("connection"), Some("keep-alive"));
    let under_way = begin_post(&world);
    world.gateway().signal("TERM");
    await_that("it is not ready", || (world.admin("/readyz").status == 503).then_some(()));
    assert!(world.admin("/readyz").text().contains("stopping"));
    // New connections and kept ones are served; the answer says that this one was the last.
    assert_eq!(world.curl("/public/", "").status, 200);
    let last = get(&world, &mut kept, "/public/");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    await_that("nobody is let in any more", || TcpStream::connect(world.address()).is_err().then_some(()));
    // What was under way still ends, and operators see it.
    assert_eq!(world.admin("/livez").status, 200);
    assert_eq!(end_post(under_way).status, 200);
    let status = await_that("the process ends", || world.gateway().ended());
    assert!(status.success());
    world.finish();
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let mut world = World::with(Settings::default().drain_delay("2m"));
    world.gateway().signal("TERM");
    await_that("it is not ready", || (world.admin("/readyz").status == 503).then_some(()));
    assert_eq!(world.curl("/public/", "").status, 200);
    world.gateway().signal("TERM");
    let status = await_that("the process ends", || world.gateway().ended());
    assert!(status.success());
    world.finish();
}

#[test]
fn who_is_logged_out_during_a_drain_is_logged_out() {
    let mut world = World::with(Settings::default().drain_delay("1s"));
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let cookie = browser.session_cookie().unwrap();
    let under_way = begin_post(&world);
    world.gateway().signal("TERM");
    await_that("it is not ready", || (world.admin("/readyz").status == 503).then_some(()));
    world.control(&serde_json::json!({"end_session": {"person": "bankid-high"}}));
    let fields = format!("Cookie: __Host-portvakt={cookie}\r\n");
    await_that("the session has ended", || (world.curl("/app/", &fields).status == 401).then_some(()));
    assert_eq!(end_post(under_way).status, 200);
    await_that("the process ends", || world.gateway().ended());
    world.finish();
}

#[test]
fn sigquit_without_a_successor_changes_nothing() {
    let mut world = World::start();
    world.gateway().signal("QUIT");
    await_message(&world, "no successor has reported ready", 1);
    assert_eq!((world.curl("/public/", "").status, world.admin("/readyz").status), (200, 200));
    assert!(world.gateway().ended().is_none());
    world.finish();
}

#[test]
fn a_successor_takes_over_and_nobody_is_refused_or_logged_out() {
    let mut world = World::with(Settings::default().drain_delay("500ms"));
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let mut leaver = world.browser();
    leaver.log_in("/app/", "minid-substantial");
    let left = leaver.session_cookie().unwrap();
    let session = browser.session_cookie().unwrap();
    drop(browser);
    leaver.open("/oauth2/logout");
    drop(leaver);
    for round in 1..=2 {
        let mut kept = connect(world.address());
        assert_eq!(get(&world, &mut kept, "/public/").status, 200);
        let under_way = begin_post(&world);
        let successor = ready_successor(&world, round);
        // It waits: everything is still served by the one before.
        assert_eq!(world.admin("/readyz").status, 200);
        let mut old = world.exchange_gateway(successor);
        old.signal("QUIT");
        await_message(&world, "handed over", round);
        let last = get(&world, &mut kept, "/public/");
        assert_eq!((last.status, last.header("connection")), (200, Some("close")));
        for _ in 0..20 {
            assert_eq!(world.curl("/public/", "").status, 200);
            assert_eq!(world.admin("/readyz").status, 200);
        }
        // Who was logged out before is so after, and who was not is not.
        let cookie = |value: &str| format!("Cookie: __Host-portvakt={value}\r\n");
        assert_eq!(world.curl("/app/", &cookie(&session)).status, 200);
        assert_eq!(world.curl("/app/", &cookie(&left)).status, 401);
        assert!(old.ended().is_none(), "a request is under way");
        assert_eq!(end_post(under_way).status, 200);
        let status = await_that("the one before ends", || old.ended());
        assert!(status.success(), "{status:?}");
        assert_eq!((world.curl("/public/", "").status, world.admin("/livez").status), (200, 200));
    }
    world.finish();
}

#[test]
fn what_ends_while_both_run_has_ended_for_both() {
    let mut world = World::with(Settings::default().drain_delay("500ms"));
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let cookie = browser.session_cookie().unwrap();
    drop(browser);
    let mut kept = connect(world.address());
    assert_eq!(get(&world, &mut kept, "/public/").status, 200);
    let under_way = begin_post(&world);
    let successor = ready_successor(&world, 1);
    let mut old = world.exchange_gateway(successor);
    let fields = format!("Cookie: __Host-portvakt={cookie}\r\n");
    // Told to the old one while the new one waits.
    world.control(&serde_json::json!({"end_session": {"person": "bankid-high"}}));
    await_that("the old one knows", || (world.curl("/app/", &fields).status == 401).then_some(()));
    old.signal("QUIT");
    await_message(&world, "took over", 1);
    for _ in 0..50 {
        assert_eq!(world.curl("/app/", &fields).status, 401);
    }
    assert_eq!(end_post(under_way).status, 200);
    await_that("the one before ends", || old.ended());
    drop(kept);
    world.finish();
}

#[test]
fn a_successor_that_dies_leaves_everything_as_it_was() {
    let mut world = World::with(Settings::default().drain_delay("2m"));
    // Before it has taken over.
    let mut successor = ready_successor(&world, 1);
    successor.kill();
    await_message(&world, "the successor that was ready has ended", 1);
    world.gateway().signal("QUIT");
    await_message(&world, "no successor has reported ready", 1);
    assert_eq!(world.curl("/public/", "").status, 200);
    // While both accept.
    let mut successor = ready_successor(&world, 2);
    world.gateway().signal("QUIT");
    await_message(&world, "took over", 1);
    successor.kill();
    await_message(&world, "this process goes on serving", 1);
    for _ in 0..20 {
        let mut kept = connect(world.address());
        let answer = get(&world, &mut kept, "/public/");
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
        assert_eq!(world.admin("/readyz").status, 200);
    }
    // The next one is received like the first.
    world.settings = world.settings.clone().drain_delay("0s");
    world.write_configuration();
    world.gateway().signal("HUP");
    await_message(&world, "read again and is in force", 1);
    let successor = ready_successor(&world, 3);
    let mut old = world.exchange_gateway(successor);
    old.signal("QUIT");
    await_that("the one before ends", || old.ended());
    assert_eq!(world.curl("/public/", "").status, 200);
    world.finish();
}

#[test]
fn when_the_one_that_serves_dies_the_successor_serves() {
    let mut world = World::start();
    let successor = ready_successor(&world, 1);
    let mut old = world.exchange_gateway(successor);
    old.kill();
    await_message(&world, "starting by itself", 1);
    world.await_ready_again();
    assert_eq!(world.curl("/public/", "").status, 200);
    world.finish();
}

#[test]
fn a_successor_without_metadata_is_not_ready() {
    let mut world = World::start();
    world.stop_simulator();
    let successor = world.start_successor();
    await_message(&world, "getting ready", 1);
    world.gateway().signal("QUIT");
    await_message(&world, "no successor has reported ready", 1);
    assert!(!world.errors().contains(READY));
    world.start_simulator();
    await_message(&world, READY, 1);
    let mut old = world.exchange_gateway(successor);
    old.signal("QUIT");
    await_that("the one before ends", || old.ended());
    assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    world.finish();
}

#[test]
fn a_successor_with_other_keys_does_not_get_ready() {
    let world = World::with(Settings::default().top("reload_on_change: false"));
    let keys = world.folder().join("keys");
    let kept = fs::read(keys.join("cookie.json")).unwrap();
    fs::remove_file(keys.join("cookie.json")).unwrap();
    world.run_keys(&["new", "cookie"]);
    let mut successor = world.start_successor();
    let status = await_that("the successor ends", || successor.ended());
    assert_eq!(status.code(), Some(1));
    assert!(world.errors().contains("different keys of purpose `cookie`"), "{}", world.errors());
    assert_eq!(world.curl("/public/", "").status, 200);
    fs::write(keys.join("cookie.json"), kept).unwrap();
    world.finish();
}

#[test]
fn the_socket_is_for_this_user_alone_and_strangers_to_it_learn_and_change_nothing() {
    let world = World::start();
    let folder = world.folder().join(".portvakt/handover");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("socket"))), (0o700, 0o600));
    // Nonsense from a process of the same user.
    for nonsense in ["", "\n", "{\"Taken\":null}\n", "\"Taken\"\n", &"x".repeat(1 << 20)] {
        let mut stream = std::os::unix::net::UnixStream::connect(folder.join("socket")).unwrap();
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(!said.contains("24929935140"), "{said}");
    }
    assert_eq!(world.curl("/public/", "").status, 200);
    let mut successor = ready_successor(&world, 1);
    successor.kill();
    world.finish();
}

#[test]
fn without_anybody_to_take_over_from_upgrade_just_serves() {
    let mut world = World::start();
    world.gateway().signal("TERM");
    await_that("the process ends", || world.gateway().ended());
    let successor = world.start_successor();
    world.exchange_gateway(successor);
    world.await_ready_again();
    assert_eq!(world.curl("/public/", "").status, 200);
    let mut idle = connect(world.address());
    world.gateway().signal("TERM");
    assert!(is_closed(&mut idle));
    world.finish();
}
