//! Cookies: of sessions, of logins under way, of logouts.

use std::thread;
use std::time::{Duration, Instant};

use super::Age;
use super::scene::{Beside, Shares};
use crate::harness::browser::Ask;

/// Who logs in, and where.
const PEOPLE: [(&str, &str); 4] = [
    ("bankid-high", "/fleet/national"),
    ("minid-substantial", "/fleet/national"),
    ("d-number", "/fleet/d-number"),
    ("eidas-se", "/abroad/letters"),
];

/// A cookie is issued anew once a minute.
const ANEW: Duration = Duration::from_secs(60);

/// How often a browser asks until then.
const STEP: Duration = Duration::from_millis(250);

fn scene() -> Beside {
    Beside::start(&Age::BOTH, Shares::Ends)
        .or_else(|| Beside::start(&Age::BOTH, Shares::Keys))
        .expect("keys can always be shared")
}

fn session(cookie: &str) -> String {
    format!("__Host-portvakt={cookie}")
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_session_of_either_is_the_same_at_the_other() {
    let beside = scene();
    for age in Age::BOTH {
        beside.turn_to(age);
        for (person, target) in PEOPLE {
            let mut browser = beside.world.browser();
            let page = browser.log_in(target, person);
            beside.check(&format!("{person} logs in: {}", page.text()), page.status() == 200);
            let cookie = session(&browser.session_cookie().unwrap());
            let [old, new] = [0, 1].map(|at| beside.told(at, target, &cookie));
            beside.check(&format!("{person}: {old:?}, and {new:?}"), old == new && old.len() > 6);
            beside.asked(browser.history.len());
        }
    }
    beside.finish();
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_login_that_begins_at_either_may_end_at_the_other() {
    let beside = scene();
    for age in Age::BOTH {
        for (person, target) in PEOPLE {
            let mut browser = beside.world.browser();
            beside.turn_to(age);
            let callback = browser.callback(target, person);
            beside.turn_to(age.other());
            let page = browser.step(callback.as_str());
            let page = browser.follow(page);
            let arrived = (page.status(), page.target()) == (200, target);
            beside.check(&format!("{person} arrives: {} {}", page.status(), page.target()), arrived);
            let cookie = session(&browser.session_cookie().unwrap());
            let [old, new] = [0, 1].map(|at| beside.told(at, target, &cookie));
            beside.check(&format!("{person}: {old:?}, and {new:?}"), old == new);
            beside.asked(browser.history.len());
        }
    }
    beside.finish();
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_logout_at_the_other_has_the_hint_and_finds_the_way_back() {
    let beside = scene();
    for age in Age::BOTH {
        let mut browser = beside.world.browser();
        beside.turn_to(age);
        beside.check("logged in", browser.log_in("/fleet/x", "bankid-high").status() == 200);
        beside.turn_to(age.other());
        let form = browser.open("/oauth2/logout?redirect=/open/bye");
        let (_, fields) = form.form().expect("a form to the provider");
        beside.check(
            &format!("the hint that {age:?} kept is there: {:?}", form.text()),
            fields.iter().any(|(name, value)| name == "id_token_hint" && value.split('.').count() == 3),
        );
        let provider = browser.submit(&form, &[]);
        beside.check(&format!("the provider takes it: {}", provider.text()), provider.status() == 200);
        // What leads back was kept by the other one.
        beside.turn_to(age);
        let page = browser.leave_provider(&provider);
        let back = (page.status(), page.target()) == (200, "/open/bye");
        beside.check(&format!("the way back: {} {}", page.status(), page.target()), back);
        beside.asked(browser.history.len());
    }
    beside.finish();
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_cookie_that_the_other_has_issued_anew_is_the_same_session() {
    let beside = scene();
    let mut browsers = Age::BOTH.map(|age| {
        beside.turn_to(age);
        let mut browser = beside.world.browser();
        beside.check("logged in", browser.log_in("/fleet/x", "bankid-high").status() == 200);
        let cookie = browser.session_cookie().unwrap();
        let told = beside.told(0, "/fleet/x", &session(&cookie));
        (age, browser, cookie, told)
    });
    let logged_in = Instant::now();
    for (age, browser, cookie, told) in &mut browsers {
        beside.turn_to(age.other());
        let anew = loop {
            browser.ask("/fleet/x", &Ask::NAVIGATION);
            let anew = browser.session_cookie().unwrap();
            if anew != *cookie {
                break anew;
            }
            assert!(logged_in.elapsed() < 2 * ANEW, "the cookie is never issued anew");
            thread::sleep(STEP);
        };
        beside.check("not before its time", logged_in.elapsed() > ANEW - Duration::from_secs(10));
        beside.asked(browser.history.len());
        for at in [0, 1] {
            for cookie in [&*cookie, &anew] {
                let same = beside.told(at, "/fleet/x", &session(cookie)) == *told;
                beside.check("who it is has not changed", same);
            }
        }
    }
    beside.finish();
}
