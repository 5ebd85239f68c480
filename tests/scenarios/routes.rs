//! Which rule governs a request, and that the judged path is the sent path (`threats.md` 1 and 2).

use crate::harness::{Settings, World};

fn logged_in_cookie(world: &World) -> String {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap())
}

#[test]
fn an_odd_target_is_refused_or_sent_as_it_was_judged() {
    let world = World::start();
    let cookie = logged_in_cookie(&world);
    for line in crate::corpus(include_str!("../data/targets-hostile.txt")) {
        let (target, sent) =
            line.split_once(" -> ").map_or((line.as_str(), None), |(target, sent)| (target, Some(sent)));
        let before = world.app.count();
        // As bytes: an escape of the corpus stands for one byte.
        let mut request = b"GET ".to_vec();
        request.extend(target.chars().map(|character| u8::try_from(u32::from(character)).unwrap()));
        request.extend(format!(" HTTP/1.1\r\nHost: {{host}}\r\n{cookie}Connection: close\r\n\r\n").bytes());
        let answer = world.send(request);
        let received = world.app.received();
        match sent {
            None => {
                assert_eq!(
                    received.len(),
                    before,
                    "{target:?} was forwarded as {}",
                    received[received.len() - 1].target()
                );
                assert!((400..500).contains(&answer.status), "{target:?}: {}", answer.status);
            }
            Some(sent) => {
                assert_eq!((answer.status, received.len()), (200, before + 1), "{target:?}");
                assert_eq!(received[before].target(), sent, "{target:?}");
            }
        }
    }
    world.finish();
}

#[test]
fn a_public_path_that_could_be_read_as_a_protected_one_reaches_nobody_without_login() {
    let world = World::start();
    for target in [
        "/public/../app/",
        "/public/%2e%2e/app/",
        "/public/..;/app/",
        "/public/..%2fapp/",
        "/public/%2e%2e%2fapp/",
        "/public/..%5capp/",
        "/public\\..\\app/",
        "/APP/",
        "/App/x",
        "/app;x/",
        "/%61pp/",
        "/app%3bx/",
        "//app/",
        "/./app/",
        "/public/.%2e/app/",
        "/public/%252e%252e/app/",
        "/app%2f",
        "/app%2fx",
        "/%2fapp/",
        "/app%00",
        "/app%0d%0a",
        "/app%2e%2e",
        "/app..%2f",
        "/public/%c0%ae%c0%ae/app/",
    ] {
        let answer = world.curl(target, "");
        assert!([400, 401, 404].contains(&answer.status), "{target}: {}", answer.status);
        assert_eq!(world.app.count(), 0, "{target}");
    }
    world.finish();
}

#[test]
fn nothing_below_our_prefix_reaches_an_app_in_any_spelling() {
    // Even where a route covers everything.
    let routes = vec!["{path: '/**', access: public, upstream: app}".to_owned()];
    let world = World::with(Settings { routes, ..Settings::default() });
    for target in [
        "/oauth2",
        "/oauth2/",
        "/oauth2/x",
        "/oauth2/forwardauth",
        "/OAuth2/login",
        "/OAUTH2/",
        "/%6fauth2/login",
        "/%6Fauth2/x",
        "/oauth%32/",
        "/oauth2;x/login",
        "/oauth2;/login",
        "/oauth2%3bx/login",
        "/oauth2%3B/",
        "/oauth2/login/",
        "/oauth2/LOGIN",
        "/oauth2/login;x",
        "/oauth2//login",
        "//oauth2/login",
        "/./oauth2/login",
        "/x/../oauth2/login",
        "/oauth2%2flogin",
        "/oauth2%5clogin",
        "/oauth2\\login",
        "/.well-known/portvakt/x",
        "/.Well-Known/Portvakt/jwks.json",
        "/.well-known/portvakt;x/jwks.json",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = world.send(format!("{method} {target} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            assert_eq!(world.app.count(), 0, "{method} {target} was forwarded");
            assert!((300..500).contains(&answer.status), "{method} {target}: {}", answer.status);
        }
    }
    // What only looks like it is the app's.
    for target in ["/oauth", "/oauth2x", "/a/oauth2/login", "/.well-known/security.txt"] {
        assert_eq!(world.curl(target, "").status, 200, "{target}");
    }
    world.finish();
}

#[test]
fn only_configured_hosts_are_served_and_every_spelling_of_them() {
    let world = World::start();
    let port = world.url("/").port().unwrap();
    let asked = |host: &str| {
        world.send(format!("GET /public/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).status
    };
    for host in [format!("localhost:{port}"), format!("LOCALHOST:{port}"), format!("localhost.:{port}")] {
        assert_eq!(asked(&host), 200, "{host}");
    }
    for host in [
        "localhost".to_owned(),
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1:{port}"),
        "localhost:1".to_owned(),
    ] {
        assert_eq!(asked(&host), 421, "{host}");
    }
    for host in [
        "".to_owned(),
        format!("localhost:{port},evil.example"),
        format!("localhost:{port}/x"),
        format!("a@localhost:{port}"),
        "localhost:x".to_owned(),
        format!("local host:{port}"),
    ] {
        assert_eq!(asked(&host), 400, "{host}");
    }
    assert_eq!(asked(&format!("localhost:{port}\r\nHost: evil.example")), 400);
    // The absolute form counts only if it is this very host's.
    let absolute = |target: &str| {
        world.send(format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n")).status
    };
    assert_eq!(absolute(&format!("http://localhost:{port}/public/")), 200);
    assert_eq!(world.app.last().target(), "/public/");
    assert_eq!(absolute("http://evil.example/public/"), 400);
    assert_eq!(world.app.count(), 4);
    world.finish();
}

#[test]
fn only_the_methods_of_a_route_are_taken() {
    let world = World::with(
        Settings::default().route("{path: '/read/**', access: public, upstream: app, methods: [GET]}"),
    );
    let asked = |method: &str, target: &str| {
        world.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(asked(method, "/public/").status, 200, "{method}");
    }
    let count = world.app.count();
    for method in ["TRACE", "CONNECT", "PROPFIND", "get", "BREW"] {
        let status = asked(method, "/public/").status;
        assert!([400, 405, 501].contains(&status), "{method}: {status}");
    }
    let refused = asked("POST", "/read/");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")));
    assert_eq!(world.app.count(), count);
    assert_eq!(asked("POST", "/oauth2/login").header("allow"), Some("GET"));
    assert_eq!(asked("PUT", "/oauth2/logout").header("allow"), Some("GET, POST"));
    world.finish();
}

#[test]
fn what_no_route_governs_is_not_found_and_says_nothing_more() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.open("/nowhere");
    page.shows(404, "Vi finner ikke siden");
    let answer = browser.fetch("/nowhere");
    assert_eq!(
        (answer.status(), answer.response.json()["error"].as_str().map(str::to_owned)),
        (404, Some("not_found".into()))
    );
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn an_app_that_cannot_be_reached_shows_a_page_of_ours() {
    let nobody = crate::harness::free_port();
    let mut settings = Settings::default().route("{path: '/gone/**', access: public, upstream: gone}");
    settings.upstreams.push(format!("gone: {{url: 'http://127.0.0.1:{nobody}', connect_timeout: 1s}}"));
    let world = World::with(settings);
    world.browser().open("/gone/").shows(502, "Tjenesten svarer ikke");
    assert_eq!(world.browser().fetch("/gone/").response.json()["error"], "app_unreachable");
    world.finish();
}
