//! Tokens end with their session, here and at the provider (LO-4, CK-12; RFC 7009).

use super::*;

fn names(browser: &Browser<'_>) -> Vec<String> {
    let kept = browser.jar.of("localhost");
    kept.iter().map(|cookie| cookie.name.clone()).filter(|name| name.contains("tokens")).collect()
}

#[test]
fn a_logout_forgets_the_tokens_and_ends_them_at_the_provider_after_the_answer() {
    let world = World::with(settings());
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    let token = bearer(&world);
    world.control(&json!({"lie": {"name": "revoke_slow"}, "slow_milliseconds": 1_000}));
    let page = browser.open("/oauth2/logout");
    assert!(page.form().is_some());
    assert_eq!(names(&browser), Vec::<String>::new());
    // The answer did not wait for it.
    assert_eq!(refreshable(&world), json!(1));
    await_that("the tokens end at the provider", || (refreshable(&world) == json!(0)).then_some(()));
    assert!(userinfo(&world, &token).is_null());
    assert_eq!(world.calls("revoke"), 1);
    world.finish();
}

#[test]
fn a_logout_ends_the_newest_tokens_also_those_that_the_browser_never_got() {
    let world = World::with(settings());
    for delay in [0, 700] {
        let mut browser = with_an_old_token(&world);
        world.control(&json!({"delay_milliseconds": {"refresh": delay}}));
        let (old, began) = (cookies(&browser, &world), world.calls("refresh"));
        thread::scope(|scope| {
            let asked = scope.spawn(|| world.curl("/token/", &old));
            if delay == 0 {
                assert_eq!(asked.join().unwrap().status, 200);
            } else {
                await_that("the exchange begins", || (world.calls("refresh") > began).then_some(()));
            }
            assert!(browser.open("/oauth2/logout").form().is_some());
        });
        await_that("the tokens end at the provider", || (refreshable(&world) == json!(0)).then_some(()));
    }
    world.unjudged_count();
}

#[test]
fn a_logout_without_a_provider_that_ends_tokens_is_a_logout() {
    let world = World::with(settings());
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    bearer(&world);
    world.control(&json!({"lie": {"name": "revoke_500"}}));
    browser.log_out("/oauth2/logout").shows(200, "Du er logget ut");
    assert_eq!(names(&browser), Vec::<String>::new());
    await_that("it is told", || world.errors().contains("could not be ended").then_some(()));
    world.finish();
}

#[test]
fn a_session_that_has_ended_exchanges_nothing() {
    let world = World::with(settings());
    let mut browser = with_an_old_token(&world);
    world.control(&json!({"end_session": {"person": "bankid-high"}}));
    let count = world.app.count();
    assert_eq!(browser.fetch("/token/").status(), 401);
    let page = browser.open("/token/");
    assert!(browser.at_login_page(&page));
    assert_eq!((world.calls("refresh"), world.app.count()), (0, count));
    world.finish();
}

#[test]
fn what_an_exchange_brings_for_a_session_that_ended_meanwhile_reaches_nobody() {
    let world = World::with(settings());
    let browser = with_an_old_token(&world);
    world.control(&json!({"delay_milliseconds": {"refresh": 1_500}}));
    let (old, count) = (cookies(&browser, &world), world.app.count());
    let answer = thread::scope(|scope| {
        let asked = scope.spawn(|| world.curl("/token/", &old));
        await_that("the exchange begins", || (world.calls("refresh") == 1).then_some(()));
        world.control(&json!({"end_session": {"person": "bankid-high"}}));
        asked.join().unwrap()
    });
    assert_eq!((answer.status, world.app.count()), (401, count));
    assert_eq!(set(&answer), []);
    world.finish();
}

#[test]
fn who_comes_next_in_a_browser_never_gets_the_tokens_of_who_was_there() {
    let world = World::with(settings());
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    let (first, kept) = (bearer(&world), browser.cookie(COOKIE).unwrap());
    let page = browser.open("/oauth2/login?prompt=login&redirect=/token/");
    browser.choose(&page, "bankid-high-2");
    assert_eq!(browser.fetch("/token/").status(), 200);
    let second = bearer(&world);
    let said = userinfo(&world, &second);
    assert!(said["pid"].is_string() && said["pid"] != NORA && second != first);
    await_that("the first one's end", || userinfo(&world, &first).is_null().then_some(()));
    assert!(!userinfo(&world, &second).is_null());
    // Not even when the browser brings the old cookie.
    browser.jar.put("localhost", COOKIE, &kept);
    let count = world.app.count();
    assert_eq!((browser.fetch("/token/").status(), world.app.count()), (401, count));
    assert_eq!(browser.open("/token/").status(), 200);
    assert_eq!(userinfo(&world, &bearer(&world))["pid"], said["pid"]);
    world.finish();
}
