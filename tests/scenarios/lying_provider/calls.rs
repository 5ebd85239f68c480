//! Lies of the endpoints that the gateway calls itself (OP-9 to OP-11): a code is sent once, a pushed request
//! at most twice, no redirect is followed, and every call ends in time.

use std::thread;

use serde_json::json;

use super::{DOWN, EXPIRED, End, PERSON, RESTART, WANTED, Watch, begins_again, ended, lie, told};
use crate::harness::World;

const TOKEN: [(&str, End); 8] = [
    ("token_401", DOWN),
    // A code that is used or old: a new login is what helps.
    ("token_invalid_grant", EXPIRED),
    ("token_500", DOWN),
    ("token_503", DOWN),
    ("token_huge", DOWN),
    ("token_redirect", DOWN),
    ("token_not_json", DOWN),
    ("id_token_missing", DOWN),
];

/// With how often the request is pushed: a server error is answered by one more attempt.
const PAR: [(&str, u64); 6] = [
    ("par_401", 1),
    ("par_huge", 1),
    ("par_redirect", 1),
    ("par_not_json", 1),
    ("par_500", 2),
    ("par_503", 2),
];

#[test]
fn a_code_is_sent_once_whatever_the_answer() {
    let world = World::start();
    for (name, end) in TOKEN {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let callback = browser.callback(WANTED, PERSON);
        let page = browser.open(callback.as_str());
        told(&world, name);
        ended(&world, &browser, &page, name, end, "code_not_redeemed");
        browser.open(callback.as_str());
        let calls = (watch.calls("token"), watch.calls("elsewhere"), watch.app());
        assert_eq!(calls, (1, 0, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, RESTART);
    }
    world.finish();
}

#[test]
fn a_request_that_cannot_be_pushed_is_sent_in_no_other_way() {
    let world = World::start();
    for (name, pushes) in PAR {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        world.control(&json!({ "lies": [{ "name": name, "times": pushes }] }));
        let page = browser.open(WANTED);
        told(&world, name);
        ended(&world, &browser, &page, name, DOWN, "provider_down");
        let calls = (watch.calls("par"), watch.calls("authorize"), watch.calls("elsewhere"), watch.app());
        assert_eq!(calls, (pushes, 0, 0, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, RESTART);
    }
    world.finish();
}

/// The simulator takes an assertion once, so the second attempt has one of its own (OP-9).
#[test]
fn one_server_error_while_pushing_goes_unnoticed() {
    let world = World::start();
    for name in ["par_500", "par_503"] {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let page = browser.log_in(WANTED, PERSON);
        assert_eq!((page.status(), watch.calls("par")), (200, 2), "{name}");
    }
    world.finish();
}

/// The provider would answer long after a scenario's patience has ended.
#[test]
fn slow_answers_are_not_waited_for() {
    let world = World::start();
    world.control(&json!({ "slow_milliseconds": 300_000 }));
    let mut waiting = [world.browser(), world.browser()].map(|mut browser| {
        let callback = browser.callback(WANTED, PERSON);
        (browser, callback)
    });
    let mut starting = world.browser();
    let watch = Watch::new(&world);
    // One of the two codes is not answered; the other one's token needs keys that are not.
    world.control(&json!({ "rotate_keys": "sudden" }));
    lie(&world, &["token_slow", "jwks_slow", "par_slow"]);
    thread::scope(|scope| {
        for (browser, callback) in &mut waiting {
            scope.spawn(|| {
                let page = browser.open(callback.as_str());
                assert_eq!((page.status(), browser.session_cookie()), (503, None));
                assert!(page.text().contains(DOWN.1), "{}", page.text());
            });
        }
        scope.spawn(|| {
            let page = starting.open(WANTED);
            ended(&world, &starting, &page, "par_slow", DOWN, "provider_down");
        });
    });
    told(&world, "slow");
    let calls = (watch.calls("par"), watch.calls("token"), watch.calls("jwks"), watch.app());
    assert_eq!(calls, (1, 2, 1, 0));
    world.finish();
}
