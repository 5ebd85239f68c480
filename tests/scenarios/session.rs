//! Remembering a login: the cookie, its limits, and that nothing but the whole of it counts
//! (`threats.md` 4; `design.md` D1, D2).

use crate::harness::browser::Browser;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const SESSION: &str = "__Host-portvakt";

/// A browser with nothing but this `Cookie` line; status and body for a fetch.
fn answered(world: &World, line: &str) -> (u16, String, Vec<(String, String)>) {
    let answer = world.curl("/app/", &format!("Cookie: {line}\r\n"));
    let fields = answer.head.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).cloned();
    (answer.status, answer.text(), fields.collect())
}

fn logged_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    browser
}

/// Dossier 7, no. 20.
#[test]
fn cookies_are_for_this_host_alone_out_of_reach_of_scripts_and_small() {
    let world = World::start();
    let browser = logged_in(&world);
    let cookies = browser.jar.of("localhost");
    for cookie in &cookies {
        let attributes: Vec<&str> = cookie.attributes.split("; ").collect();
        for wanted in ["HttpOnly", "Secure", "SameSite=Lax"] {
            assert!(attributes.contains(&wanted), "{}: {attributes:?}", cookie.name);
        }
        assert!(!cookie.attributes.to_ascii_lowercase().contains("domain"), "{}", cookie.name);
    }
    let session = cookies.iter().find(|cookie| cookie.name == SESSION).unwrap();
    assert_eq!(session.attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");
    assert!(session.value.len() < 700, "{} bytes", session.value.len());
    let logout: Vec<_> = cookies.iter().filter(|cookie| cookie.name.contains("-logout")).collect();
    assert!(!logout.is_empty());
    for cookie in logout {
        assert_eq!(cookie.path, "/oauth2/logout");
        assert!(cookie.name.starts_with("__Secure-portvakt-logout"));
    }
    let login = cookies.iter().filter(|cookie| cookie.name.starts_with("__Host-portvakt-login-"));
    for cookie in login {
        assert!(cookie.attributes.contains("Max-Age="), "{}", cookie.attributes);
    }
    // The hint for the logout rides along nowhere else.
    assert!(!browser.jar.line(&world.url("/app/"), true).unwrap().contains("-logout"));
    world.finish();
}

#[test]
fn any_change_to_the_cookie_is_answered_as_no_cookie_is() {
    let world = World::start();
    let browser = logged_in(&world);
    let value = browser.session_cookie().unwrap();
    let none = answered(&world, "other=1");
    assert_eq!(none.0, 401);
    assert_eq!(answered(&world, &format!("{SESSION}={value}")).0, 200);
    let mut changed: Vec<String> = (0..value.len())
        .map(|at| {
            let mut bytes = value.clone().into_bytes();
            // A neighbour in the alphabet: the smallest change that base64url can say.
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .filter(|changed| *changed != value)
        .collect();
    changed.extend([
        String::new(),
        value[..value.len() - 1].to_owned(),
        value[1..].to_owned(),
        format!("{value}A"),
        format!("{value}="),
        format!("\"{value}\""),
        format!("{value}{value}"),
        value.to_ascii_lowercase(),
        value.replace(['-', '_'], "+"),
        "A".repeat(5_000),
    ]);
    for (at, changed) in changed.iter().enumerate() {
        if *changed == value {
            continue;
        }
        assert_eq!(answered(&world, &format!("{SESSION}={changed}")), none, "change {at}");
    }
    assert_eq!(world.app.count(), 2);
    world.finish();
}

#[test]
fn two_cookies_of_the_name_are_none_even_if_both_are_right() {
    let world = World::start();
    let browser = logged_in(&world);
    let value = browser.session_cookie().unwrap();
    let other = logged_in(&world).session_cookie().unwrap();
    let pair = format!("{SESSION}={value}");
    let none = answered(&world, "other=1");
    for line in [
        format!("{pair}; {pair}"),
        format!("{pair}; {SESSION}={other}"),
        format!("{SESSION}=; {pair}"),
        format!("{pair}; {SESSION} = x"),
        format!("{pair}\r\nCookie: {pair}"),
    ] {
        assert_eq!(answered(&world, &line), none, "{}", line.replace(&value, "…").replace(&other, "…"));
    }
    world.finish();
}

#[test]
fn a_value_counts_under_its_own_name_alone() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let value = browser.session_cookie().unwrap();
    for name in [
        "__host-portvakt",
        "__Host-Portvakt",
        "__Secure-portvakt",
        "portvakt",
        "__Host-portvakt-login-0",
        "__Host-portvakt ",
    ] {
        let expected = if name.ends_with(' ') { 200 } else { 401 };
        assert_eq!(answered(&world, &format!("{name}={value}")).0, expected, "{name}");
    }
    // Nor does another cookie of ours count as a session.
    let login = browser.cookie("__Host-portvakt-login-0").unwrap();
    let logout = browser.cookie("__Secure-portvakt-logout").unwrap();
    for stolen in [login, logout] {
        assert_eq!(answered(&world, &format!("{SESSION}={stolen}")).0, 401);
    }
    // And the session's none as an attempt's.
    browser.jar.put("localhost", "__Host-portvakt-login-0", &value);
    assert_eq!(browser.open("/oauth2/callback?code=x&state=0x&iss=y").status(), 400);
    world.finish();
}

#[test]
fn a_cookie_of_another_host_of_the_same_gateway_is_none() {
    let mut world = World::start();
    let port = world.url("/").port().unwrap();
    world.settings.hosts = format!(
        "  - {{origin: 'http://127.0.0.1:{port}', provider: idporten, \
         routes: [{{path: '/app/**', access: login, upstream: app}}]}}\n"
    );
    world.write_configuration();
    world.restart_gateway();
    let value = logged_in(&world).session_cookie().unwrap();
    let asked = |host: &str| {
        let fields = format!("Cookie: {SESSION}={value}\r\nConnection: close\r\n\r\n");
        world.send(format!("GET /app/ HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}")).status
    };
    assert_eq!((asked("localhost"), asked("127.0.0.1")), (200, 401));
    world.finish();
}

#[test]
fn a_session_ends_without_activity_and_its_use_by_scripts_is_none() {
    let world = World::with(Settings::default().session("{idle: 3s, absolute: 120m}"));
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    assert_eq!(browser.fetch("/app/").status(), 200);
    await_that("the session ends for lack of activity", || {
        (browser.fetch("/app/").status() == 401).then_some(())
    });
    assert_eq!(browser.fetch("/oauth2/session").status(), 401);
    assert_eq!(answered(&world, &format!("{SESSION}={cookie}")).0, 401);
    world.finish();
}

#[test]
fn a_session_ends_at_its_absolute_limit_whatever_is_done_with_it() {
    let world = World::with(Settings::default().session("{idle: 3s, absolute: 3s}"));
    let mut browser = logged_in(&world);
    await_that("the session reaches its limit", || (browser.step("/app/").status() == 302).then_some(()));
    // The provider's SSO makes the next one silent.
    assert_eq!(browser.open("/app/").status(), 200);
    world.finish();
}

#[test]
fn the_session_has_another_handle_at_each_audience_and_none_that_is_its_cookie() {
    let world = World::with(
        Settings::default()
            .route("{path: '/elsewhere/**', access: login, upstream: app, audience: elsewhere}"),
    );
    let mut browser = logged_in(&world);
    let handle = |browser: &mut Browser<'_>, place| {
        browser.open(place);
        world.app.last().header("x-identity-session").unwrap().to_owned()
    };
    let (first, again) = (handle(&mut browser, "/app/"), handle(&mut browser, "/app/b"));
    assert_eq!(first, again);
    assert_ne!(first, handle(&mut browser, "/elsewhere/"));
    assert!(!browser.session_cookie().unwrap().contains(&first));
    world.finish();
}
