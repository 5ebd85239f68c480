//! Two gateways with the same keys and one provider: what is shared is the browser's cookie.

use super::*;

/// The same service once more, at another port, which for cookies is the same place.
fn twin(world: &World) -> World {
    let issuer = format!("{}/idporten", world.simulator());
    World::with(Settings { issuer: Some(issuer), ..settings() })
}

fn navigate(world: &World, cookies: &str) -> Response {
    let fields = format!("{cookies}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
    world.curl("/token/", &fields)
}

#[test]
fn what_one_exchanged_the_other_takes_over() {
    let one = World::with(settings());
    let other = twin(&one);
    let mut browser = with_an_old_token(&one);
    assert_eq!(browser.fetch("/token/").status(), 200);
    let first = bearer(&one);
    // The next request happens to come to the other.
    assert_eq!(other.curl("/token/", &cookies(&browser, &one)).status, 200);
    assert_eq!((bearer(&other), one.calls("refresh")), (first, 1));
    // And there and back again: the newer one counts, whoever made it.
    one.control(&json!({"access_token_seconds": 0}));
    let old = with_an_old_token(&one);
    let answer = other.curl("/token/", &cookies(&old, &one));
    assert_eq!(answer.status, 200);
    let mut newer = one.browser();
    newer.jar = old.jar.clone();
    for line in answer.head.all("set-cookie") {
        newer.jar.set(line, &one.url("/token/"));
        one.secrets.add_set_cookie(line);
        other.secrets.add_set_cookie(line);
    }
    assert_eq!(newer.fetch("/token/").status(), 200);
    assert_eq!((bearer(&one), one.calls("refresh")), (bearer(&other), 2));
    other.finish();
    one.finish();
}

#[test]
fn who_brings_what_another_replica_has_just_exchanged_is_not_logged_out() {
    let one = World::with(settings());
    let other = twin(&one);
    one.control(&json!({"refresh_reuse_ends": false}));
    let mut browser = with_an_old_token(&one);
    let old = cookies(&browser, &one);
    let page = browser.fetch("/token/");
    assert_eq!(page.status(), 200);
    let token = bearer(&one);
    // A request that was on its way meanwhile, with the cookie from before.
    let answer = navigate(&other, &old);
    assert_eq!((answer.status, answer.location()), (302, Some("/token/")), "the browser comes again");
    assert_eq!(set(&answer), [], "and keeps what it has by now");
    assert_eq!(navigate(&other, &cookies(&browser, &one)).status, 200);
    assert_eq!(bearer(&other), token);
    // A script is told to come again; one that has nothing newer the second time logs in, which nobody sees.
    let mut late = with_an_old_token(&one);
    let old = cookies(&late, &one);
    assert_eq!(late.fetch("/token/").status(), 200);
    bearer(&one);
    let answer = other.curl("/token/", &old);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let answer = navigate(&other, &old);
    assert!(answer.location().unwrap().starts_with("/oauth2/login?redirect="), "{:?}", answer.head);
    assert_eq!(other.curl("/app/", &old).status, 200, "the session lives");
    other.finish();
    one.finish();
}

#[test]
fn a_token_that_is_good_is_used_although_another_replica_has_exchanged_it() {
    let one = World::with(settings());
    let other = twin(&one);
    one.control(&json!({"refresh_reuse_ends": false, "access_token_seconds": 20}));
    let mut browser = one.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    let first = bearer(&one);
    let old = cookies(&browser, &one);
    await_that("one replica exchanges", || {
        assert_eq!(browser.fetch("/token/").status(), 200);
        (bearer(&one) != first).then_some(())
    });
    let answer = other.curl("/token/", &old);
    assert_eq!((answer.status, bearer(&other)), (200, first));
    assert_eq!(set(&answer), [], "the browser keeps the newer ones");
    other.finish();
    one.finish();
}
