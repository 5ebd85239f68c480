//! Logging out: here first and always, then at the provider (`threats.md` 6; `design.md` 2).

use serde_json::json;

use crate::harness::browser::{Ask, Browser};
use crate::harness::{Settings, World};

const SIGNED_OUT: &str = "Du er logget ut";

fn logged_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    browser
}

/// Whether a copy of the session's cookie still counts.
fn lives(world: &World, cookie: &str) -> bool {
    let status = world.curl("/app/", &format!("Cookie: __Host-portvakt={cookie}\r\n")).status;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[test]
fn logout_ends_the_session_here_at_once_and_then_at_the_provider() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    assert!(lives(&world, &cookie));
    let form = browser.open("/oauth2/logout");
    assert!(!lives(&world, &cookie), "a copy of the cookie lives on");
    assert_eq!(browser.session_cookie(), None);
    assert_eq!(form.response.header("cache-control"), Some("no-store"));
    let (action, fields) = form.form().unwrap();
    assert_eq!(action, format!("{}/idporten/logout", world.simulator()));
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "post_logout_redirect_uri", "state", "id_token_hint"]);
    assert!(!browser.history.iter().any(|url| url.as_str().contains("id_token_hint")));
    let provider = browser.submit(&form, &[]);
    provider.shows(200, SIGNED_OUT);
    let page = browser.leave_provider(&provider);
    page.shows(200, SIGNED_OUT);
    assert_eq!(page.url.path(), "/oauth2/logout/callback");
    assert_eq!(page.links(), ["/"]);
    let left: Vec<_> = browser.jar.of("localhost").iter().map(|cookie| cookie.name.clone()).collect();
    assert!(left.iter().all(|name| name.starts_with("__Host-portvakt-login-")), "{left:?}");
    let again = browser.open("/app/");
    assert!(browser.at_login_page(&again), "the provider's SSO lives on");
    world.finish();
}

#[test]
fn logout_by_a_form_of_an_app_goes_the_same_way() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    let home = world.url("/app/");
    let ask = Ask {
        method: "POST",
        from: Some(&home),
        body: Some(("application/x-www-form-urlencoded", "csrf=x")),
        ..Ask::NAVIGATION
    };
    let page = browser.ask("/oauth2/logout?redirect=/public/bye", &ask);
    assert!(!lives(&world, &cookie));
    let provider = browser.submit(&page, &[]);
    let page = browser.leave_provider(&provider);
    assert_eq!((page.status(), page.target()), (200, "/public/bye"));
    world.finish();
}

#[test]
fn logout_without_a_session_still_ends_the_one_at_the_provider() {
    let world = World::start();
    let mut browser = logged_in(&world);
    for name in ["__Host-portvakt", "__Secure-portvakt-logout", "__Secure-portvakt-logout-1"] {
        browser.jar.remove("localhost", name);
    }
    let first = browser.step("/oauth2/logout");
    assert_eq!(first.status(), 303);
    let location = first.response.location().unwrap();
    assert!(location.contains("client_id=portvakt-demo") && !location.contains("id_token"), "{location}");
    let provider = browser.follow(first);
    browser.leave_provider(&provider).shows(200, SIGNED_OUT);
    let again = browser.open("/app/");
    assert!(browser.at_login_page(&again));
    // Who is logged in nowhere is not sent round for ever.
    world.browser().open("/oauth2/logout");
    world.finish();
}

#[test]
fn who_was_refused_for_the_level_can_log_out_at_the_provider() {
    let world = World::start();
    let mut browser = world.browser();
    let refused = browser.log_in("/app/", "level-too-low");
    assert_eq!(refused.status(), 403);
    let link = refused.links().into_iter().find(|link| link.ends_with("/logout")).unwrap();
    let page = browser.log_out(&link);
    page.shows(200, SIGNED_OUT);
    let sessions = world.simulator_state()["issuers"]["idporten"]["sessions"].clone();
    assert_eq!(sessions, json!([]));
    world.finish();
}

#[test]
fn after_logout_the_browser_goes_only_where_it_may() {
    let world = World::start();
    for (redirect, expected) in [
        ("/public/bye%3Fx%3D1", "/public/bye?x=1"),
        ("https://evil.example/", "/oauth2/logout/callback"),
        ("//evil.example/", "/oauth2/logout/callback"),
        ("/%255cevil.example", "/oauth2/logout/callback"),
        ("/oauth2/login", "/oauth2/logout/callback"),
    ] {
        let mut browser = logged_in(&world);
        let page = browser.log_out(&format!("/oauth2/logout?redirect={redirect}"));
        assert_eq!(page.status(), 200, "{redirect}");
        assert_eq!(page.target().split("?state=").next(), Some(expected), "{redirect}");
    }
    world.finish();
}

#[test]
fn a_way_back_with_a_foreign_state_ends_on_the_signed_out_page() {
    let world = World::start();
    let mut browser = logged_in(&world);
    browser.open("/oauth2/logout?redirect=/public/bye");
    let page = browser.open("/oauth2/logout/callback?state=foreign");
    page.shows(200, SIGNED_OUT);
    // It is spent: the right one leads nowhere either.
    assert_eq!(browser.open("/oauth2/logout/callback").status(), 200);
    // Without any logout it is a page too, and starts no login.
    world.browser().open("/oauth2/logout/callback?state=x").shows(200, SIGNED_OUT);
    world.finish();
}

#[test]
fn nobody_who_is_logged_in_is_told_that_they_are_not() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    // Back, a bookmark, a link of somebody else's.
    for address in ["/oauth2/logout/callback", "/oauth2/logout/callback?state=foreign"] {
        let answer = browser.step(address);
        assert_eq!((answer.status(), answer.response.location()), (302, Some("/")), "{address}");
    }
    assert!(lives(&world, &cookie));
    // Logged in again in another tab, before the first is back.
    let form = browser.open("/oauth2/logout");
    let provider = browser.submit(&form, &[]);
    browser.log_in("/app/", "bankid-high").shows(200, "the app's page");
    let back = provider.links().remove(0);
    let answer = browser.ask(&back, &Ask { from: Some(&provider.url), ..Ask::NAVIGATION });
    assert_eq!((answer.status(), answer.response.location()), (302, Some("/")));
    assert_eq!(browser.open("/app/").status(), 200);
    world.finish();
}

/// An app links to the logout, and browsers look at links before anybody follows them.
#[test]
fn what_a_browser_fetches_in_advance_logs_nobody_out() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    let page = world.url("/app/");
    for fields in [
        "Sec-Purpose: prefetch\r\n",
        "Sec-Purpose: prefetch;prerender\r\n",
        "Purpose: prefetch\r\n",
        "X-Purpose: preview\r\n",
        "X-Moz: prefetch\r\n",
    ] {
        let answer = browser.ask("/oauth2/logout", &Ask { fields, from: Some(&page), ..Ask::NAVIGATION });
        assert!((400..500).contains(&answer.status()), "{fields}: {}", answer.status());
        assert!(answer.response.head.all("set-cookie").is_empty(), "{fields}");
        assert!(lives(&world, &cookie), "{fields}");
        let login = browser.ask("/oauth2/login", &Ask { fields, from: Some(&page), ..Ask::NAVIGATION });
        assert_eq!(login.status(), 400, "{fields}");
    }
    browser.open("/oauth2/logout");
    assert!(!lives(&world, &cookie));
    world.finish();
}

#[test]
fn logout_works_while_the_provider_is_down_and_says_what_is_left() {
    let mut world = World::start();
    let (cookie, jar) = {
        let browser = logged_in(&world);
        (browser.session_cookie().unwrap(), browser.jar.clone())
    };
    world.stop_simulator();
    let mut browser = world.browser();
    browser.jar = jar;
    let page = browser.open("/oauth2/logout");
    assert_eq!(page.status(), 200);
    assert!(!lives(&world, &cookie));
    assert_eq!(browser.session_cookie(), None);
    world.finish();
}

#[test]
fn only_the_session_that_logs_out_ends() {
    let world = World::start();
    let (mut one, mut other) = (logged_in(&world), logged_in(&world));
    one.open("/oauth2/logout");
    assert_eq!(other.open("/app/").status(), 200);
    assert_eq!(one.step("/app/").status(), 302);
    world.finish();
}

#[test]
fn a_restart_forgets_no_logout_and_logs_nobody_out() {
    let mut world = World::start();
    let (lives_on, ended) = {
        let (one, mut other) = (logged_in(&world), logged_in(&world));
        let cookies = (one.session_cookie().unwrap(), other.session_cookie().unwrap());
        other.open("/oauth2/logout");
        cookies
    };
    world.restart_gateway();
    assert!(lives(&world, &lives_on));
    assert!(!lives(&world, &ended));
    world.finish();
}

#[test]
fn without_the_file_of_ended_sessions_old_cookies_do_not_count_and_the_login_is_silent() {
    let mut world = World::start();
    let (cookie, jar) = {
        let browser = logged_in(&world);
        (browser.session_cookie().unwrap(), browser.jar.clone())
    };
    std::fs::remove_file(world.configuration().with_file_name(".portvakt").join("revocations.log")).unwrap();
    world.restart_gateway();
    assert!(!lives(&world, &cookie), "nobody knows whether the session was ended meanwhile");
    let mut browser = world.browser();
    browser.jar = jar;
    let logins = world.calls("login");
    let page = browser.open("/app/x?y=1");
    assert_eq!((page.status(), page.target()), (200, "/app/x?y=1"));
    assert_eq!(world.calls("login"), logins, "the person was asked again");
    world.finish();
}

#[test]
fn a_logout_at_another_service_ends_the_session_by_front_and_back_channel() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let ended = world.control(&json!({"end_session": {"person": "bankid-high"}}));
    let called = ended["end_session"]["called"].as_array().unwrap();
    let channels: Vec<_> =
        called.iter().map(|call| (call["channel"].as_str().unwrap(), call["status"].as_u64())).collect();
    assert!(
        channels.contains(&("front", Some(200))) && channels.contains(&("back", Some(200))),
        "{channels:?}"
    );
    assert_eq!(browser.fetch("/app/").status(), 401);
    let page = browser.open("/app/");
    assert!(browser.at_login_page(&page));
    world.finish();
}

#[test]
fn front_channel_logout_works_in_a_frame_without_cookies_and_ends_nobody_else() {
    let world = World::start();
    let mut victim = logged_in(&world);
    let sid = world.secrets.sids().pop().unwrap();
    let mut other = world.browser();
    other.log_in("/app/", "minid-substantial");
    let issuer = format!("{}/idporten", world.simulator());
    let call = |iss: &str, sid: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("iss", iss)
            .append_pair("sid", sid)
            .finish();
        let mut frame = world.browser();
        let provider = world.url(&world.simulator());
        frame.ask(
            &format!("/oauth2/logout/frontchannel?{query}"),
            &Ask { dest: "iframe", from: Some(&provider), ..Ask::NAVIGATION },
        )
    };
    let wrong = call("https://other.example", &sid);
    assert_eq!(victim.fetch("/app/").status(), 200);
    let unknown = call(&issuer, "unknown");
    assert_eq!(victim.fetch("/app/").status(), 200);
    let right = call(&format!("{issuer}/"), &sid);
    assert_eq!(victim.fetch("/app/").status(), 401);
    assert_eq!(other.fetch("/app/").status(), 200);
    for answer in [&wrong, &unknown, &right] {
        assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
        assert_eq!(answer.response.header("cache-control"), Some("no-store"));
        let policy = answer.response.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("frame-ancestors {}", world.simulator())), "{policy}");
    }
    world.finish();
}

#[test]
fn an_app_cannot_log_out_or_in_by_its_replies() {
    let world = World::start();
    let mut browser = logged_in(&world);
    world.app.reply(
        "/app/evil",
        "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-portvakt=; Path=/; Secure; Max-Age=0\r\nSet-Cookie: __host-PORTVAKT=x; Path=/; Secure\r\n\
         Set-Cookie: app=1; Path=/\r\nContent-Length: 0\r\n\r\n",
    );
    let page = browser.open("/app/evil");
    assert_eq!(page.response.head.all("set-cookie"), ["app=1; Path=/"]);
    assert_eq!(browser.open("/app/").status(), 200);
    world.finish();
}

#[test]
fn the_signed_out_page_is_no_place_for_a_foreign_site_to_frame() {
    let world = World::with(Settings::default());
    let page = world.browser().open("/oauth2/logout/callback");
    let policy = page.response.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.response.header(name), Some(value));
    }
    world.finish();
}

/// A logout that leaves one of two cookies alive is none (CK-12).
#[test]
fn a_logout_with_two_session_cookies_ends_both() {
    let world = World::start();
    let [one, other] = [(); 2].map(|()| logged_in(&world).session_cookie().unwrap());
    let bystander = logged_in(&world).session_cookie().unwrap();
    assert!(lives(&world, &one) && lives(&world, &other));
    let cookies = format!("Cookie: __Host-portvakt={one}; a=b; __Host-portvakt={other}\r\n");
    let response = world.curl("/oauth2/logout", &cookies);
    assert!(matches!(response.status, 200 | 303), "{}", response.status);
    assert_eq!([&one, &other, &bystander].map(|cookie| lives(&world, cookie)), [false, false, true]);
    world.finish();
}
