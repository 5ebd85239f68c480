//! Lies in metadata and keys (OP-3, OP-11): what is bad never replaces what was good, an unknown key is looked
//! for once a minute, and a rotation locks nobody out.

use serde_json::json;

use super::{DOWN, FNR, PERSON, REFUSED, RESTART, WANTED, Watch, begins_again, ended, lie, told};
use crate::harness::World;
use crate::harness::browser::Page;
use crate::harness::process::await_that;

const METADATA: [&str; 5] =
    ["discovery_wrong_issuer", "discovery_500", "discovery_huge", "discovery_not_json", "discovery_slow"];

/// Key sets that cannot be used: in the last one a `kid` names two keys.
const KEYS: [&str; 5] = ["jwks_empty", "jwks_500", "jwks_huge", "jwks_not_json", "jwks_duplicate_kids"];

/// More than anybody asks.
const ALWAYS: u64 = 1000;

/// The gateway starts again and knows neither metadata nor keys; the provider lies from now on.
fn start_without_knowledge(world: &mut World, name: &str) {
    world.control(&json!({ "lies": [{ "name": name, "times": ALWAYS }], "slow_milliseconds": 300_000 }));
    world.settings.provider_is_up = false;
    world.restart_gateway();
}

/// The provider tells the truth, and in time people log in.
fn recovers(world: &World) {
    world.control(&json!({ "lies": [] }));
    let page = await_that("logins work again", || {
        let mut browser = world.browser();
        let page = browser.open(WANTED);
        let page = if browser.at_login_page(&page) { browser.choose(&page, PERSON) } else { page };
        Some(page).filter(|page: &Page| page.status() == 200)
    });
    assert_eq!(page.target(), WANTED);
    assert_eq!(world.app.last().header("x-identity-fnr"), Some(FNR));
}

#[test]
fn a_gateway_without_metadata_says_so_and_recovers() {
    let mut world = World::start();
    for name in METADATA {
        start_without_knowledge(&mut world, name);
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        let page = browser.open(WANTED);
        ended(&world, &browser, &page, name, DOWN, "provider_down");
        let link = page.links().into_iter().next().unwrap();
        assert!(link.starts_with(RESTART), "{name}: {link}");
        assert_eq!((watch.calls("par"), watch.calls("authorize"), watch.app()), (0, 0, 0), "{name}");
        assert_eq!(world.browser().open("/public/x").status(), 200, "{name}: public pages need no provider");
    }
    recovers(&world);
    world.finish();
}

#[test]
fn a_gateway_without_keys_believes_nothing_and_recovers() {
    let mut world = World::start();
    for name in KEYS {
        start_without_knowledge(&mut world, name);
        let mut browser = world.browser();
        let page = browser.log_in(WANTED, PERSON);
        ended(&world, &browser, &page, name, DOWN, "id_token_rejected");
    }
    assert!(world.app.received().iter().all(|received| received.identity().is_empty()));
    recovers(&world);
    world.finish();
}

/// A key set that arrives while good keys are known is taken only if it can be used.
#[test]
fn a_bad_key_set_leaves_the_last_good_one_in_force() {
    let mut world = World::start();
    for name in KEYS {
        world.control(&json!({ "lies": [] }));
        world.settings.provider_is_up = true;
        world.restart_gateway();
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &["id_token_unknown_kid", name]);
        let page = browser.log_in(WANTED, PERSON);
        told(&world, name);
        ended(&world, &browser, &page, name, DOWN, "id_token_rejected");
        assert_eq!((watch.calls("token"), watch.calls("jwks"), watch.app()), (1, 1, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, RESTART);
    }
    world.finish();
}

#[test]
fn an_unknown_key_is_looked_for_once_a_minute() {
    let world = World::start();
    let watch = Watch::new(&world);
    for round in 1..=3 {
        let mut browser = world.browser();
        lie(&world, &["id_token_unknown_kid"]);
        let page = browser.log_in(WANTED, PERSON);
        ended(&world, &browser, &page, "id_token_unknown_kid", REFUSED, "id_token_rejected");
        assert_eq!((watch.calls("token"), watch.calls("jwks")), (round, 1));
    }
    assert_eq!(watch.app(), 0);
    assert_eq!(world.browser().log_in(WANTED, PERSON).status(), 200);
    assert_eq!(watch.calls("jwks"), 1);
    world.finish();
}

#[test]
fn an_announced_rotation_costs_nothing_and_a_sudden_one_a_single_fetch() {
    let world = World::start();
    for (rotation, fetches) in [("announced", 0), ("sudden", 1)] {
        let watch = Watch::new(&world);
        world.control(&json!({ "rotate_keys": rotation }));
        for _ in 0..2 {
            assert_eq!(world.browser().log_in(WANTED, PERSON).target(), WANTED, "{rotation}");
        }
        assert_eq!((watch.calls("jwks"), watch.app()), (fetches, 2), "{rotation}");
    }
    world.finish();
}

/// Anybody may post a logout token; that must not use up the fetch that a login needs.
#[test]
fn strangers_cannot_use_up_the_fetch_that_a_rotation_needs() {
    let world = World::start();
    let watch = Watch::new(&world);
    // {"alg":"RS256","kid":"nobody's","typ":"logout+jwt"}.{}
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im5vYm9keSdzIiwidHlwIjoibG9nb3V0K2p3dCJ9.e30.AA";
    let body = format!("logout_token={token}");
    for _ in 0..3 {
        let response = world.send(format!(
            "POST /oauth2/logout/backchannel HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        ));
        assert_eq!(response.status, 400, "{}", response.text());
    }
    assert_eq!(watch.calls("jwks"), 1);
    world.control(&json!({ "rotate_keys": "sudden" }));
    assert_eq!(world.browser().log_in(WANTED, PERSON).target(), WANTED);
    assert_eq!(watch.calls("jwks"), 2);
    world.finish();
}
