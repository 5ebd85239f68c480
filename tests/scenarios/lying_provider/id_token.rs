//! Lies in the ID token (OP-3 to OP-6; OpenID Connect Core 1.0, 3.1.3.7): the code is spent, once, and the
//! person stays nobody.

use portvakt_core::clock::Clock;
use serde_json::json;

use super::{
    End, FNR, PERSON, REFUSED, RESTART, TOO_LOW, TOO_OLD, WANTED, Watch, begins_again, ended, lie, told,
};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// One lie: where the login ends, and by which rule.
type Row = (&'static str, End, &'static str);

/// The token itself.
const TOKENS: [Row; 17] = [
    ("id_token_wrong_iss", REFUSED, "id_token_rejected"),
    ("id_token_wrong_aud", REFUSED, "id_token_rejected"),
    ("id_token_aud_two", REFUSED, "id_token_rejected"),
    ("id_token_wrong_nonce", REFUSED, "id_token_rejected"),
    ("id_token_missing_nonce", REFUSED, "id_token_rejected"),
    ("id_token_alg_none", REFUSED, "id_token_rejected"),
    ("id_token_hs256_public_key", REFUSED, "id_token_rejected"),
    ("id_token_expired", REFUSED, "id_token_rejected"),
    ("id_token_future_iat", REFUSED, "id_token_rejected"),
    ("id_token_missing_sub", REFUSED, "id_token_rejected"),
    ("id_token_bad_signature", REFUSED, "id_token_rejected"),
    // Two keys are published: it does not say which.
    ("id_token_missing_kid", REFUSED, "id_token_rejected"),
    ("id_token_duplicate_member", REFUSED, "id_token_rejected"),
    ("id_token_crit_header", REFUSED, "id_token_rejected"),
    ("id_token_nested", REFUSED, "id_token_rejected"),
    ("id_token_not_jwt", REFUSED, "id_token_rejected"),
    ("id_token_bad_pid", REFUSED, "identity_rejected"),
];

/// The level (OP-5): unknown or absent is none, and `substantial-limited` is low.
const LEVELS: [Row; 3] = [
    ("id_token_missing_acr", REFUSED, "identity_rejected"),
    ("id_token_unknown_acr", REFUSED, "identity_rejected"),
    ("id_token_limited_acr", TOO_LOW, "not_as_asked"),
];

#[test]
fn no_false_id_token_logs_anybody_in() {
    each_ends(&TOKENS);
}

#[test]
fn a_level_that_is_unknown_absent_or_limited_is_not_enough() {
    each_ends(&LEVELS);
}

fn each_ends(rows: &[Row]) {
    let world = World::start();
    for &(name, end, rule) in rows {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let callback = browser.callback(WANTED, PERSON);
        let page = browser.open(callback.as_str());
        told(&world, name);
        ended(&world, &browser, &page, name, end, rule);
        // Whatever the answer, the attempt is spent: the same address says nothing new and asks nobody.
        let again = browser.open(callback.as_str());
        ended(&world, &browser, &again, name, super::EXPIRED, "no_attempt");
        assert_eq!((watch.calls("token"), watch.calls("jwks"), watch.app()), (1, 0, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, RESTART);
    }
    let expected: Vec<_> = rows.iter().map(|row| row.2.to_owned()).collect();
    await_that("the audit log has them all", || {
        let lines = world.audit_log().into_iter();
        let failed = lines.filter(|line| line["result"] == "failure" && line["code"] != "no_attempt");
        let codes: Vec<_> = failed.map(|line| line["code"].as_str().unwrap().to_owned()).collect();
        (codes == expected).then_some(())
    });
    world.finish();
}

#[test]
fn what_id_porten_may_say_otherwise_logs_the_person_in() {
    let world = World::start();
    for (name, amr) in [("id_token_amr_string", "BankID"), ("jwks_alg_none", "BankID")] {
        lie(&world, &[name]);
        let page = world.browser().log_in(WANTED, PERSON);
        assert_eq!((page.status(), page.target()), (200, WANTED), "{name}");
        let received = world.app.last();
        assert_eq!(received.header("x-identity-amr"), Some(amr), "{name}");
        assert_eq!(received.header("x-identity-fnr"), Some(FNR), "{name}");
    }
    lie(&world, &["id_token_missing_auth_time"]);
    let page = world.browser().log_in(WANTED, PERSON);
    assert_eq!(page.status(), 200);
    assert_eq!(world.app.last().header("x-identity-auth-time"), None);
    world.finish();
}

#[test]
fn the_type_in_the_header_may_be_absent_or_jwt_in_any_case_and_nothing_else() {
    let world = World::start();
    for typ in ["", "JWT", "jwt", "application/jwt"] {
        world.control(&json!({ "id_token_typ": typ }));
        let page = world.browser().log_in(WANTED, PERSON);
        assert_eq!((page.status(), page.target()), (200, WANTED), "`{typ}`");
    }
    for typ in ["logout+jwt", "at+jwt", "JWE", "secevent+jwt"] {
        world.control(&json!({ "id_token_typ": typ }));
        let mut browser = world.browser();
        let page = browser.log_in(WANTED, PERSON);
        ended(&world, &browser, &page, typ, REFUSED, "id_token_rejected");
    }
    world.finish();
}

#[test]
fn a_higher_level_than_asked_for_is_taken_and_said() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in(WANTED, PERSON);
    let received = world.app.last();
    assert_eq!(received.header("x-identity-loa"), Some("high"));
    assert_eq!(received.header("x-identity-acr"), Some("idporten-loa-high"));
    // It is enough for the stricter route, without another login.
    let watch = Watch::new(&world);
    assert_eq!(browser.open("/high/x").status(), 200);
    assert_eq!(watch.calls("par"), 0);
    world.finish();
}

#[test]
fn a_lower_level_than_asked_for_is_not_taken() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.log_in(WANTED, "level-too-low");
    ended(&world, &browser, &page, "level-too-low", TOO_LOW, "not_as_asked");
    assert_eq!(world.app.count(), 0);
    world.finish();
}

/// Dossier 7, no. 6.
///
/// `prompt=login` is believed only if `auth_time` shows it (OP-6).
#[test]
fn who_must_authenticate_anew_must_have_done_so() {
    let world = World::start();
    let fresh = format!("{RESTART}&prompt=login");
    for (name, end) in [("id_token_stale_auth_time", TOO_OLD), ("id_token_missing_auth_time", REFUSED)] {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let page = browser.log_in(&fresh, PERSON);
        told(&world, name);
        ended(&world, &browser, &page, name, end, "id_token_rejected");
        assert_eq!((watch.calls("token"), watch.app()), (1, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, RESTART);
    }
    world.finish();
}

/// Dossier 7, no. 6.
///
/// A provider need not honour `max_age` (dossier 2.1): one more login with `prompt=login`, and no third.
#[test]
fn an_authentication_older_than_the_route_allows_is_asked_for_anew_once() {
    let recent =
        "{path: '/recent/**', access: login, require: {level: substantial, max_age: 5m}, upstream: app}";
    let world = World::with(Settings::default().route(recent));
    let mut browser = world.browser();
    lie(&world, &["id_token_stale_auth_time"]);
    let page = browser.log_in("/recent/x", PERSON);
    assert!(browser.at_login_page(&page), "prompt=login");
    let page = browser.choose(&page, PERSON);
    assert_eq!((page.status(), page.target()), (200, "/recent/x"));
    let mut browser = world.browser();
    let watch = Watch::new(&world);
    world.control(&json!({ "lies": [{ "name": "id_token_stale_auth_time", "times": 2 }] }));
    let page = browser.log_in("/recent/x", PERSON);
    let page = browser.choose(&page, PERSON);
    ended(&world, &browser, &page, "twice too old", TOO_OLD, "id_token_rejected");
    assert_eq!((watch.calls("token"), watch.app()), (2, 0));
    world.finish();
}

/// Dossier 7, no. 6.
///
/// Single sign-on answers with an authentication that has just become too old: who is active when `max_age` is over
/// authenticates anew, and does not go round in circles.
#[test]
fn an_authentication_that_has_just_become_too_old_is_asked_for_anew() {
    let recent =
        "{path: '/recent/**', access: login, require: {level: substantial, max_age: 5m}, upstream: app}";
    let world = World::with(Settings::default().route(recent));
    let mut browser = world.browser();
    let seconds = Clock::start().now().seconds();
    world.control(&json!({ "id_token_claims": { "auth_time": seconds - 302 } }));
    let page = browser.log_in("/recent/x", PERSON);
    assert!(browser.at_login_page(&page), "prompt=login: {} {}", page.url, page.text());
    assert_eq!(world.app.count(), 0);
    world.control(&json!({ "id_token_claims": {} }));
    let page = browser.choose(&page, PERSON);
    assert_eq!((page.status(), page.target()), (200, "/recent/x"));
    world.finish();
}
