//! Cookies that do not belong together, and a provider that lies when tokens are exchanged.

use super::*;

/// Nobody gets to the app with these cookies, and the provider is not asked.
fn is_refused(world: &World, cookies: &str) {
    let (count, calls) = (world.app.count(), world.calls("refresh"));
    let answer = world.curl("/token/", &format!("Cookie: {cookies}\r\n"));
    assert_eq!((answer.status, world.app.count()), (401, count), "{}", answer.text());
    assert_eq!(world.calls("refresh"), calls);
}

#[test]
fn tokens_of_another_session_person_or_place_are_none() {
    let world = World::with(settings());
    let mut nora = world.browser();
    assert_eq!(nora.log_in("/token/", "bankid-high").status(), 200);
    bearer(&world);
    let mut other = world.browser();
    assert_eq!(other.log_in("/token/", "bankid-high-2").status(), 200);
    bearer(&world);
    let mut again = world.browser();
    assert_eq!(again.log_in("/token/", "bankid-high").status(), 200);
    bearer(&world);
    let session = |browser: &Browser<'_>| browser.session_cookie().unwrap();
    let tokens = |browser: &Browser<'_>| browser.cookie(COOKIE).unwrap();
    for thief in [&other, &again] {
        is_refused(&world, &format!("__Host-portvakt={}; {COOKIE}={}", session(thief), tokens(&nora)));
    }
    let own = session(&nora);
    is_refused(&world, &format!("{COOKIE}={}", tokens(&nora)));
    is_refused(&world, &format!("__Host-portvakt={own}"));
    is_refused(&world, &format!("__Host-portvakt={own}; {COOKIE}={own}"));
    is_refused(&world, &format!("__Host-portvakt={}; {COOKIE}={own}", tokens(&nora)));
    for name in
        ["__Host-portvakt-tokens-1", "__Secure-portvakt-tokens", "__host-portvakt-tokens", "portvakt-tokens"]
    {
        is_refused(&world, &format!("__Host-portvakt={own}; {name}={}", tokens(&nora)));
    }
    let twice = format!("{COOKIE}={}; {COOKIE}={}", tokens(&nora), tokens(&nora));
    is_refused(&world, &format!("__Host-portvakt={own}; {twice}"));
    let mut changed = tokens(&nora).into_bytes();
    let last = changed.len() / 2;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    is_refused(&world, &format!("__Host-portvakt={own}; {COOKIE}={}", String::from_utf8(changed).unwrap()));
    // And with what belongs together it works.
    let whole = format!("Cookie: {COOKIE}={}; __Host-portvakt={own}\r\n", tokens(&nora));
    assert_eq!(world.curl("/token/", &whole).status, 200);
    world.finish();
}

#[test]
fn tokens_of_somebody_else_end_the_session_and_reach_nobody() {
    let world = World::with(settings());
    for lie in [
        "refresh_other_person",
        "refresh_other_sid",
        "refresh_other_nonce",
        "id_token_wrong_iss",
        "id_token_wrong_aud",
    ] {
        let mut browser = with_an_old_token(&world);
        let session = browser.session_cookie().unwrap();
        world.control(&json!({"lie": {"name": lie}}));
        let count = world.app.count();
        let page = browser.fetch("/token/");
        assert_eq!((page.status(), world.app.count()), (401, count), "{lie}");
        assert_eq!(set(&page.response)[0], (COOKIE.to_owned(), true), "{lie}");
        let copy = world.curl("/app/", &format!("Cookie: __Host-portvakt={session}\r\n"));
        assert_eq!(copy.status, 401, "{lie}: the session lives on");
        await_that("they are ended at the provider", || (refreshable(&world) == json!(0)).then_some(()));
        // Nobody has to do anything but come again.
        assert_eq!(browser.open("/token/").status(), 200, "{lie}");
        assert_eq!(userinfo(&world, &bearer(&world))["pid"], NORA, "{lie}");
        browser.log_out("/oauth2/logout");
    }
    assert_eq!(metric(&world, "wrong"), 5);
    world.finish();
}

#[test]
fn an_id_token_that_cannot_be_believed_costs_the_tokens_and_not_the_session() {
    let world = World::with(settings());
    for lie in [
        "id_token_bad_signature",
        "id_token_alg_none",
        "id_token_expired",
        "id_token_not_jwt",
        "id_token_duplicate_member",
    ] {
        let mut browser = with_an_old_token(&world);
        world.control(&json!({"lie": {"name": lie}}));
        let count = world.app.count();
        // First the browser is asked to come again: it may have newer ones.
        let page = browser.fetch("/token/");
        assert_eq!((page.status(), page.response.header("retry-after")), (503, Some("1")), "{lie}");
        assert_eq!((browser.fetch("/token/").status(), world.app.count()), (401, count), "{lie}");
        assert_eq!(browser.fetch("/app/").status(), 200, "{lie}");
        assert_eq!(browser.open("/token/").status(), 200, "{lie}");
        bearer(&world);
    }
    world.finish();
}

#[test]
fn what_a_provider_may_leave_out_is_no_fault() {
    let world = World::with(settings());
    for lie in ["refresh_no_rotation", "refresh_no_id_token", "refresh_same_nonce"] {
        let mut browser = with_an_old_token(&world);
        world.control(&json!({"lie": {"name": lie}}));
        assert_eq!(browser.fetch("/token/").status(), 200, "{lie}");
        assert_eq!(userinfo(&world, &bearer(&world))["pid"], NORA, "{lie}");
    }
    world.finish();
}

#[test]
fn a_provider_that_forgot_the_login_is_asked_for_a_new_one_and_the_person_notices_nothing() {
    // Or that exchanges nothing for this client, whatever it is given.
    for lie in ["refresh_invalid_grant", "refresh_unauthorized_client"] {
        let world = World::with(settings());
        let mut browser = with_an_old_token(&world);
        let session = browser.session_cookie();
        world.control(&json!({"lie": {"name": lie, "times": 9}}));
        let before = world.calls("token");
        let page = browser.open("/token/letters?x=1");
        assert_eq!((page.status(), page.target()), (200, "/token/letters?x=1"), "{lie}");
        assert_eq!(userinfo(&world, &bearer(&world))["pid"], NORA);
        // Once, although it was asked for twice: the second time that was known.
        assert_eq!((world.calls("refresh"), world.calls("token")), (1, before + 2), "{lie}");
        assert_ne!(browser.session_cookie(), session);
        let own = browser.history.iter().filter(|url| url.path() == "/token/letters").count();
        assert_eq!(own, 3, "{:?}", browser.paths());
        world.finish();
    }
}

#[test]
fn a_provider_that_fails_costs_nobody_a_token_that_is_good_nor_the_session() {
    let world = World::with(settings());
    for (lie, more) in [
        ("refresh_500", json!({})),
        ("refresh_not_json", json!({})),
        ("refresh_slow", json!({"slow_milliseconds": 11_000})),
    ] {
        let mut browser = with_an_old_token(&world);
        world.control(&json!({"lie": {"name": lie}}));
        world.control(&more);
        let count = world.app.count();
        let page = browser.fetch("/token/");
        assert_eq!((page.status(), world.app.count()), (503, count), "{lie}");
        assert_eq!(page.response.json()["error"], "access_token_missing");
        assert_eq!(set(&page.response), [], "{lie}");
        assert_eq!(browser.fetch("/app/").status(), 200, "{lie}");
        // It rests, and is asked again: of what was not exchanged nothing is lost.
        if lie != "refresh_slow" {
            await_that("the provider is well", || (browser.fetch("/token/").status() == 200).then_some(()));
            bearer(&world);
        }
    }
    // With a token that is good for a while, nobody notices.
    world.control(&json!({"access_token_seconds": 30}));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    let token = bearer(&world);
    let began = world.calls("refresh");
    world.control(&json!({"lies": [{"name": "refresh_500", "times": 99}]}));
    await_that("the exchange fails", || {
        assert_eq!(browser.fetch("/token/").status(), 200);
        assert_eq!(bearer(&world), token);
        (world.calls("refresh") > began).then_some(())
    });
    assert_eq!(browser.fetch("/token/").status(), 200);
    assert_eq!(bearer(&world), token);
    world.finish();
}

#[test]
fn an_exchange_whose_answer_is_lost_is_a_login_that_nobody_sees() {
    let world = World::with(settings());
    let mut browser = with_an_old_token(&world);
    world.control(&json!({"lie": {"name": "refresh_reply_lost"}}));
    assert_eq!(browser.fetch("/token/").status(), 503);
    // The provider takes the second use for theft, and all of it is over: a login mends that.
    let page = await_that("the token is brought by a login", || {
        let page = browser.open("/token/");
        (page.status() == 200).then_some(page)
    });
    assert_eq!(page.target(), "/token/");
    assert_eq!(userinfo(&world, &bearer(&world))["pid"], NORA);
    world.finish();
}
