//! The front from the wire, over HTTP/1.1 and HTTP/2: hostile and everyday requests of somebody who is logged in, cut anywhere
//! (`threats.md` 1, 2, 3 and 9).
//!
//! Whatever comes, the app gets the right person or none, and exactly what was forwarded; nothing everyday is refused. The rows are
//! in `cases`, `http1` and `http2`; how many there are is asserted here, so that a table cannot shrink unseen.

mod cases;
mod connections;
mod http1;
mod http2;
mod slow;
mod split;
mod wire;

use self::cases::{CANARY, Case, Want, is_hostile};
use self::split::Cuts;
use crate::harness::app::Received;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// What the HTTP/2 library forgives: asked once, by the person.
const FORGIVEN: [&str; 2] = [
    // An empty SETTINGS frame would say as much.
    "no SETTINGS first",
    // It drops this trailer, as it drops every one towards HTTP/1.
    "a trailer with a pseudo-header field",
];

const FNR: &str = "24929935140";

/// Each row as it is, byte by byte, and twice at drawn places.
const CUTS: [Cuts; 4] = [Cuts::Whole, Cuts::Each, Cuts::Drawn(0x9e37_79b9), Cuts::Drawn(0x2545_f491)];

/// A world whose listener takes both protocols, and the cookie of somebody in it.
fn world() -> (World, String) {
    world_with("limits: {}")
}

/// The same, where nobody waits long for what is begun and not finished.
fn impatient_world() -> (World, String) {
    world_with("limits: {header_deadline: 2s, body_deadline: 2s, keep_alive: 2s}")
}

fn world_with(limits: &str) -> (World, String) {
    let world = World::with(Settings::default().listener("h2c: true").top(limits));
    world.secrets.add(CANARY);
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let cookie = format!("__Host-portvakt={}", browser.session_cookie().unwrap());
    (world, cookie)
}

/// What has come to the app since.
fn since(world: &World, before: usize) -> Vec<Received> {
    world.app.received().split_off(before)
}

/// The right person or none; nothing of ours but what we wrote, nothing that the client claimed, one Host and one framing.
fn check_received(name: &str, received: &Received, person: bool) {
    let raw = String::from_utf8_lossy(&received.raw).into_owned();
    assert!(!raw.contains(CANARY), "{name}: a claim came through: {raw}");
    let fnrs = received.head.all("x-identity-fnr");
    assert!(fnrs == [FNR] || (fnrs.is_empty() && !person), "{name}: {fnrs:?}");
    assert_eq!(
        fnrs.is_empty(),
        received.identity().is_empty(),
        "{name}: the set is complete or absent: {raw}"
    );
    assert_eq!(received.head.all("host").len(), 1, "{name}: {raw}");
    let framings = [received.head.all("content-length"), received.head.all("transfer-encoding")].concat();
    assert!(framings.len() <= 1, "{name}: {framings:?}");
    let cookies = received.head.all("cookie");
    assert!(cookies.len() <= 1, "{name}: {cookies:?}");
    assert!(!cookies.concat().to_ascii_lowercase().contains("__host-portvakt="), "{name}: {cookies:?}");
}

/// Holds what became of a row against what must.
fn judge(name: &str, case: &Case, statuses: &[u16], received: &[Received]) {
    match &case.want {
        Want::Refused => {
            assert!(received.is_empty(), "{name}: it arrived: {:?}", received[0].head);
            assert!(statuses.iter().all(|status| *status >= 400 || *status == 0), "{name}: {statuses:?}");
        }
        Want::Harmless => {
            assert!(received.len() <= 1, "{name}: {} requests", received.len());
            for request in received {
                check_received(name, request, false);
            }
        }
        Want::Arrives(target) => {
            assert_eq!(statuses, [200], "{name}");
            let [request] = received else { panic!("{name}: {} requests", received.len()) };
            check_received(name, request, true);
            assert_eq!(request.target(), target, "{name}");
            assert_eq!(request.head.start.split(' ').next(), Some(case.ask.method.as_str()), "{name}");
            let body = case.ask.body.as_ref().map_or(&[][..], |body| &body.bytes);
            assert_eq!(request.body, body, "{name}");
            let theirs: Vec<&[u8]> = case
                .ask
                .fields
                .iter()
                .filter(|(name, _)| name == "cookie")
                .map(|(_, value)| value.as_slice())
                .collect();
            let kept: Vec<u8> =
                request.head.all("cookie").concat().chars().map(|letter| letter as u8).collect();
            assert_eq!(kept, theirs.join(&b"; "[..]), "{name}");
        }
    }
}

fn authority_of(world: &World, case: &Case) -> String {
    let port = world.address().port().to_string();
    case.ask
        .authority
        .as_ref()
        .map_or_else(|| world.authority(), |authority| authority.replace("{port}", &port))
}

#[test]
fn the_table_is_large_enough() {
    let shared = cases::shared();
    let (hostile, legitimate): (Vec<_>, Vec<_>) = shared.iter().partition(|case| is_hostile(case));
    let hostile = hostile.len() + http1::hostile().len() + http2::hostile("a", "b").len();
    let everyday = legitimate.len() + http1::legitimate().len() + http2::legitimate("a", "b").len();
    assert!(hostile >= 300, "{hostile} hostile rows");
    assert!(everyday >= 70, "{everyday} everyday rows");
}

#[test]
fn every_row_over_http1() {
    let (world, cookie) = world();
    for case in cases::shared() {
        for cuts in CUTS {
            let before = world.app.count();
            let bytes = http1::bytes(&case.ask, &authority_of(&world, &case), &cookie);
            let statuses = http1::send(&world, &bytes, cuts);
            judge(&format!("{} ({cuts:?})", case.name), &case, &statuses, &since(&world, before));
        }
    }
    world.finish();
}

#[test]
fn every_row_over_http2() {
    let (world, cookie) = world();
    for mut case in cases::shared() {
        if case.want == Want::Refused && case.ask.target.contains(&b'#') {
            // The library cuts fragments off before anybody sees them: what is judged and sent is the path before.
            case.want = Want::Harmless;
        }
        for cuts in CUTS {
            let before = world.app.count();
            let bytes = http2::bytes(&case.ask, &authority_of(&world, &case), &cookie);
            let outcome = http2::send(&world, &bytes, 1, cuts);
            let name = format!("{} ({cuts:?}): {outcome:?}", case.name);
            judge(&name, &case, &[outcome.status], &since(&world, before));
            if matches!(case.want, Want::Arrives(_)) {
                assert!(outcome.complete && outcome.reset.is_none() && !outcome.closed, "{name}");
            }
        }
    }
    world.finish();
}

#[test]
fn what_only_http1_can_say() {
    let (world, cookie) = impatient_world();
    let fill = |world: &World, cookie: &str, text: &str| {
        let head = format!("Host: {{host}}\r\nCookie: {cookie}\r\n");
        text.replace("{head}", &head).replace("{host}", &world.authority()).into_bytes()
    };
    for (name, text) in http1::hostile() {
        let bytes: Vec<u8> = if name == "a TLS hello" {
            text.chars().map(|letter| letter as u8).collect()
        } else {
            fill(&world, &cookie, &text)
        };
        for cuts in CUTS {
            let before = world.app.count();
            let statuses = http1::send(&world, &bytes, cuts);
            let name = format!("{name} ({cuts:?}): {statuses:?}");
            assert!(statuses.iter().all(|status| *status >= 400), "{name}");
            assert_eq!(since(&world, before).len(), 0, "{name}");
        }
    }
    world.finish();
    let (world, cookie) = self::world();
    for (name, text, targets) in http1::legitimate() {
        let bytes = fill(&world, &cookie, &text);
        for cuts in CUTS {
            let before = world.app.count();
            let statuses = http1::send(&world, &bytes, cuts);
            let name = format!("{name} ({cuts:?})");
            assert_eq!(statuses, vec![200; targets.len()], "{name}");
            let received = since(&world, before);
            received.iter().for_each(|request| check_received(&name, request, true));
            assert_eq!(received.iter().map(Received::target).collect::<Vec<_>>(), targets, "{name}");
        }
    }
    world.finish();
}

#[test]
fn what_only_http2_can_say() {
    let (world, cookie) = impatient_world();
    for (name, bytes) in http2::hostile(&world.authority(), &cookie) {
        for cuts in CUTS {
            let before = world.app.count();
            let outcome = http2::send(&world, &bytes, 1, cuts);
            let name = format!("{name} ({cuts:?}): {outcome:?}");
            let received = since(&world, before);
            if FORGIVEN.iter().any(|forgiven| name.starts_with(forgiven)) {
                assert!(received.len() <= 1, "{name}");
                received.iter().for_each(|request| check_received(&name, request, true));
                continue;
            }
            assert!(outcome.status == 0 || outcome.status >= 400, "{name}");
            assert_eq!(received.len(), 0, "{name}");
        }
    }
    world.finish();
    let (world, cookie) = self::world();
    for (name, bytes, targets) in http2::legitimate(&world.authority(), &cookie) {
        for cuts in CUTS {
            let before = world.app.count();
            let statuses = slow::send_and_read_all(&world, &bytes, targets.len(), cuts);
            let name = format!("{name} ({cuts:?})");
            assert_eq!(statuses, vec![200; targets.len()], "{name}");
            let received = since(&world, before);
            received.iter().for_each(|request| check_received(&name, request, true));
            let mut arrived: Vec<_> = received.iter().map(|request| request.target().to_owned()).collect();
            arrived.sort();
            let mut wanted = targets.clone();
            wanted.sort();
            assert_eq!(arrived, wanted, "{name}");
        }
    }
    world.finish();
}

/// Two everyday requests and two attacks, cut once behind every byte.
#[test]
fn no_place_to_cut_is_special() {
    let (world, cookie) = world();
    let named = |name: &str| cases::shared().into_iter().find(|case| case.name == name).unwrap();
    for name in ["a form", "a form in parts", "lengths differ", "identity X-Identity-Fnr"] {
        let case = named(name);
        let (one, two) = (
            http1::bytes(&case.ask, &world.authority(), &cookie),
            http2::bytes(&case.ask, &world.authority(), &cookie),
        );
        // The cookie's own bytes are alike: one cut in eight of them.
        for at in (1..one.len().max(two.len())).filter(|at| !(120..500).contains(at) || at % 8 == 0) {
            let before = world.app.count();
            let statuses = http1::send(&world, &one, Cuts::At(at));
            judge(&format!("{name}, HTTP/1 at {at}"), &case, &statuses, &since(&world, before));
            let before = world.app.count();
            let outcome = http2::send(&world, &two, 1, Cuts::At(at));
            judge(
                &format!("{name}, HTTP/2 at {at}: {outcome:?}"),
                &case,
                &[outcome.status],
                &since(&world, before),
            );
        }
    }
    world.finish();
}

#[test]
fn a_refused_stream_leaves_the_others_of_its_connection_alone_and_is_heard_of() {
    let (world, cookie) = world();
    let before = world.app.count();
    let bytes = http2::mixed(&world.authority(), &cookie);
    let statuses = slow::send_and_read_all(&world, &bytes, 3, Cuts::Whole);
    assert_eq!(statuses, [200, 0, 200]);
    let received = since(&world, before);
    assert_eq!(received.len(), 2);
    received.iter().for_each(|request| check_received("mixed", request, true));
    await_that("the refusal is in the access log", || {
        let refused =
            |line: &serde_json::Value| line["kind"] == "refused" && line["reason"] == "http2_stream";
        world.access_log().iter().any(refused).then_some(())
    });
    await_that("the others are there too", || {
        let answered = |line: &&serde_json::Value| line["protocol"] == "h2" && line["status"] == 200;
        (world.access_log().iter().filter(answered).count() == 2).then_some(())
    });
    world.finish();
}
