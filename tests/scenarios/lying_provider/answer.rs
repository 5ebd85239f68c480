//! Lies in the answer that the browser brings (OP-1, OP-2; RFC 9207): no code is spent on it.

use super::{
    DOWN, EXPIRED, End, FNR, PERSON, REFUSED, RESTART, WANTED, Watch, begins_again, ended, lie, told,
};
use crate::harness::World;

/// Where a login begins again whose answer fits no attempt: nobody knows what was wanted.
const FROM_THE_START: &str = "/oauth2/login?redirect=%2F";

const ROWS: [(&str, End, &str, &str); 7] = [
    ("callback_code_missing", EXPIRED, "malformed_callback", FROM_THE_START),
    ("callback_code_doubled", EXPIRED, "malformed_callback", FROM_THE_START),
    ("callback_state_missing", EXPIRED, "malformed_callback", FROM_THE_START),
    ("callback_state_wrong", EXPIRED, "no_attempt", FROM_THE_START),
    ("callback_iss_wrong", REFUSED, "wrong_issuer", RESTART),
    ("callback_iss_missing", REFUSED, "wrong_issuer", RESTART),
    ("callback_server_error", DOWN, "refused_by_provider", RESTART),
];

#[test]
fn no_code_is_spent_on_a_false_answer() {
    let world = World::start();
    for (name, end, rule, restart) in ROWS {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let page = browser.log_in(WANTED, PERSON);
        told(&world, name);
        ended(&world, &browser, &page, name, end, rule);
        assert_eq!((watch.calls("token"), watch.calls("jwks"), watch.app()), (0, 0, 0), "{name}");
        begins_again(&world, &mut browser, &page, name, restart);
    }
    world.finish();
}

/// Dossier 7, no. 5.
#[test]
fn parameters_that_were_encoded_once_more_are_understood() {
    let world = World::start();
    for name in ["callback_state_encoded", "callback_iss_double_encoded"] {
        let mut browser = world.browser();
        let watch = Watch::new(&world);
        lie(&world, &[name]);
        let page = browser.log_in(WANTED, PERSON);
        told(&world, name);
        assert_eq!((page.status(), page.target()), (200, WANTED), "{name}: {}", page.text());
        assert_eq!(world.app.last().header("x-identity-fnr"), Some(FNR), "{name}");
        assert_eq!((watch.calls("token"), watch.app()), (1, 1), "{name}");
    }
    world.finish();
}

/// Another person's answer, put into this browser (login CSRF; RFC 9700, 4.7).
#[test]
fn an_answer_to_another_browser_logs_nobody_in() {
    let world = World::start();
    let mut attacker = world.browser();
    let callback = attacker.callback(WANTED, "bankid-high-2");
    let mut victim = world.browser();
    // The victim has an attempt of its own under way.
    let own = victim.open(WANTED);
    let watch = Watch::new(&world);
    let page = victim.open(callback.as_str());
    ended(&world, &victim, &page, "another browser's answer", EXPIRED, "no_attempt");
    assert_eq!((watch.calls("token"), watch.app()), (0, 0));
    // Its own attempt goes on.
    assert_eq!(victim.choose(&own, PERSON).target(), WANTED);
    assert_eq!(world.app.last().header("x-identity-fnr"), Some(FNR));
    world.finish();
}

/// The same answer once more, with the very cookies of the first time (OP-1): a copied request, or a browser that
/// repeats it.
#[test]
fn an_answer_counts_once_whatever_the_browser_keeps() {
    let world = World::start();
    let mut browser = world.browser();
    let callback = browser.callback(WANTED, PERSON);
    let mut copy = world.browser();
    copy.jar = browser.jar.clone();
    let watch = Watch::new(&world);
    assert_eq!(browser.open(callback.as_str()).target(), WANTED);
    assert_eq!((watch.calls("token"), watch.app()), (1, 1));
    let page = copy.open(callback.as_str());
    ended(&world, &copy, &page, "an answer that comes twice", EXPIRED, "no_attempt");
    assert_eq!((watch.calls("token"), watch.app()), (1, 1));
    // Nor does it take the session of the first away.
    assert_eq!(browser.open(WANTED).status(), 200);
    world.finish();
}
