//! Pages of other origins: what they may make a browser send, what their scripts may read, and what browsers
//! are told about the app's replies (`threats.md` BR-1 to BR-3, CK-9).

use url::Url;

use crate::harness::browser::{Ask, Browser};
use crate::harness::{Settings, World};

const PERSON: &str = "bankid-high";
const PORTAL: &str = "https://portal.example";

fn logged_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", PERSON).status(), 200);
    browser
}

fn form<'a>(from: &'a Url) -> Ask<'a> {
    Ask {
        method: "POST",
        from: Some(from),
        body: Some(("application/x-www-form-urlencoded", "amount=1")),
        ..Ask::NAVIGATION
    }
}

/// A script's request from another origin, which it says.
fn script(method: &str, target: &str, origin: &str, cookie: &str, fields: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\nOrigin: {origin}\r\nSec-Fetch-Site: cross-site\r\n\
         Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n{cookie}{fields}Connection: close\r\n\r\n"
    )
}

#[test]
fn a_form_of_another_origin_changes_nothing_where_people_log_in() {
    let world = World::start();
    let mut browser = logged_in(&world);
    let cookie = browser.session_cookie().unwrap();
    let own = world.url("/app/form");
    assert_eq!(browser.ask("/app/send", &form(&own)).status(), 200);
    let before = world.app.count();
    // A sibling: the same site, so the browser sends the session along. And another site.
    let sibling = Url::parse("http://localhost:9/evil").unwrap();
    let foreign = Url::parse("http://evil.example/").unwrap();
    for from in [&sibling, &foreign] {
        browser.ask("/app/send", &form(from)).shows(403, "annen nettside");
        browser.ask("/optional/send", &form(from)).shows(403, "annen nettside");
    }
    // Browsers without Sec-Fetch say their origin; what says nothing is a program.
    let post = |fields: &str| {
        let head = format!(
            "POST /app/send HTTP/1.1\r\nHost: {{host}}\r\nCookie: __Host-portvakt={cookie}\r\n{fields}"
        );
        world.send(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n"))
    };
    for fields in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Referer: http://evil.example/\r\n"]
    {
        let refused = post(fields);
        assert_eq!((refused.status, refused.json()["error"].as_str()), (403, Some("cross_site")), "{fields}");
    }
    assert_eq!(world.app.count(), before);
    assert_eq!(post("").status, 200);
    assert_eq!(post(&format!("Origin: {}\r\n", world.origin())).status, 200);
    // Public places take forms from everywhere, and links lead in.
    assert_eq!(browser.ask("/public/send", &form(&foreign)).status(), 200);
    let link = Ask { from: Some(&foreign), ..Ask::NAVIGATION };
    assert_eq!(browser.ask("/app/", &link).status(), 200);
    world.finish();
}

#[test]
fn a_route_may_take_everything_or_links_alone() {
    let world = World::with(
        Settings::default()
            .route("{path: '/payment/**', access: login, upstream: app, cross_site: allow}")
            .route("{path: '/closed/**', access: login, upstream: app, cross_site: refuse}"),
    );
    let mut browser = logged_in(&world);
    let sibling = Url::parse("http://localhost:9/").unwrap();
    assert_eq!(browser.ask("/payment/back", &form(&sibling)).status(), 200);
    let image = Ask { mode: "no-cors", dest: "image", from: Some(&sibling), ..Ask::NAVIGATION };
    let frame = Ask { dest: "iframe", from: Some(&sibling), ..Ask::NAVIGATION };
    let link = Ask { from: Some(&sibling), ..Ask::NAVIGATION };
    for (ask, expected) in [(image, 403), (frame, 403), (link, 200)] {
        assert_eq!(browser.ask("/closed/x", &ask).status(), expected, "{}", ask.dest);
        assert_eq!(browser.ask("/app/x", &ask).status(), 200);
    }
    // A handshake for a WebSocket is no mere reading.
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let answer = world.send(script("GET", "/app/ws", "http://localhost:9", &cookie, key));
    assert_eq!((answer.status, answer.json()["error"].as_str()), (403, Some("cross_site")));
    world.finish();
}

#[test]
fn the_gateway_answers_preflights_for_the_origins_that_the_file_names() {
    let cors = format!(
        "cors: {{origins: ['{PORTAL}'], methods: [GET, PUT], headers: [content-type], expose: [x-total], credentials: true, max_age: 1m}}"
    );
    let world = World::with(
        Settings::default().route(&format!("{{path: '/data/**', access: login, upstream: app, {cors}}}")),
    );
    let ask = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n";
    let answer = world.send(script("OPTIONS", "/data/x", PORTAL, "", ask));
    assert_eq!(
        (answer.status, answer.header("location"), answer.header("content-length")),
        (204, None, None)
    );
    for (name, value) in [
        ("access-control-allow-origin", PORTAL),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-max-age", "60"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let evil = "https://evil.example";
    for (target, origin) in [
        ("/data/x", evil),
        ("/data/x", "null"),
        ("/app/x", PORTAL),
        ("/oauth2/login", PORTAL),
        ("/oauth2/session", evil),
    ] {
        let answer = world.send(script("OPTIONS", target, origin, "", ask));
        assert!([401, 403, 405].contains(&answer.status), "{target} {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{target} {origin}");
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(world.app.count(), 0);
    // The replies: the app's own words of it do not count.
    world.app.reply(
        "/data/x",
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-Total: 7\r\nContent-Length: 0\r\n\r\n",
    );
    let browser = logged_in(&world);
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let answer = world.send(script("PUT", "/data/x", PORTAL, &cookie, "Content-Length: 0\r\n"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.head.all("access-control-allow-origin"), [PORTAL]);
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
    assert_eq!(answer.header("vary"), Some("origin"));
    let answer = world.send(script("GET", "/data/x", evil, &cookie, ""));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(world.send(script("PUT", "/data/x", evil, &cookie, "Content-Length: 0\r\n")).status, 403);
    // That a login is required the portal's script may read; nobody else's.
    let answer = world.send(script("GET", "/data/x", PORTAL, "", ""));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some(PORTAL)));
    let answer = world.send(script("GET", "/data/x", evil, "", ""));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, None));
    world.finish();
}

#[test]
fn an_app_that_answers_preflights_itself_hears_of_nobody() {
    let world = World::with(
        Settings::default()
            .app("app_cookies: [JSESSIONID]")
            .route("{path: '/own/**', access: login, upstream: app, cors: pass}"),
    );
    world
        .app
        .reply("/own/x", "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://a.example\r\n\r\n");
    let browser = logged_in(&world);
    let cookie = format!("Cookie: __Host-portvakt={}; JSESSIONID=1\r\n", browser.session_cookie().unwrap());
    let ask = "Access-Control-Request-Method: DELETE\r\nX-Identity-Fnr: 24929935140\r\n";
    let answer = world.send(script("OPTIONS", "/own/x", "https://a.example", &cookie, ask));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    let told = world.app.last();
    assert!(told.head.start.starts_with("OPTIONS /own/x "));
    assert_eq!((told.identity(), told.header("cookie")), (vec![], None));
    // What is no preflight is judged as ever.
    let plain = world.send("OPTIONS /own/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(plain.status, 401);
    assert_eq!(world.send(script("DELETE", "/own/x", "https://a.example", "", "")).status, 401);
    world.finish();
}

#[test]
fn browsers_are_told_what_the_app_does_not_say() {
    let world = World::with(
        Settings::default()
            .route("{path: '/basic/**', access: public, upstream: app, security_headers: basic}")
            .route("{path: '/strict/**', access: login, upstream: app, security_headers: strict}"),
    );
    world.app.reply(
        "/basic/own",
        "HTTP/1.1 200 OK\r\nReferrer-Policy: unsafe-url\r\nContent-Security-Policy: frame-ancestors *\r\nContent-Length: 0\r\n\r\n",
    );
    let names = [
        "x-content-type-options",
        "referrer-policy",
        "content-security-policy",
        "x-frame-options",
        "cross-origin-opener-policy",
    ];
    let told = |page: &crate::harness::http::Response| names.map(|name| page.header(name).map(str::to_owned));
    let some = |texts: [Option<&str>; 5]| texts.map(|text| text.map(str::to_owned));
    let basic = world.curl("/basic/x", "");
    let referrer = "strict-origin-when-cross-origin";
    assert_eq!(
        told(&basic),
        some([Some("nosniff"), Some(referrer), Some("frame-ancestors 'self'"), Some("SAMEORIGIN"), None])
    );
    // It is plain http: nothing is said of https.
    assert_eq!(basic.header("strict-transport-security"), None);
    let own = world.curl("/basic/own", "");
    assert_eq!(
        told(&own),
        some([Some("nosniff"), Some("unsafe-url"), Some("frame-ancestors *"), None, None])
    );
    assert_eq!(told(&world.curl("/public/x", "")), some([None; 5]));
    let mut browser = world.browser();
    let strict = browser.log_in("/strict/x", PERSON).response;
    assert_eq!(
        told(&strict),
        some([
            Some("nosniff"),
            Some("no-referrer"),
            Some("frame-ancestors 'none'"),
            Some("DENY"),
            Some("same-origin")
        ])
    );
    world.finish();
}

#[test]
fn an_asset_is_for_caches_if_the_app_says_so_and_nobody_gets_a_cookie_with_it() {
    let world = World::with(
        Settings::default()
            .app("app_cookies: [SID]")
            .route("{path: '/assets/**', access: login, upstream: app, cache: app}"),
    );
    let reply = |path: &str, fields: &str| {
        world.app.reply(path, format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
    };
    reply("/assets/logo.svg", "Cache-Control: public, max-age=600\r\n");
    reply("/assets/silent.svg", "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\n");
    reply("/assets/cookie.svg", "Cache-Control: public, max-age=600\r\nSet-Cookie: lang=nb\r\n");
    reply("/assets/session.svg", "Cache-Control: public, max-age=600\r\nSet-Cookie: SID=1\r\n");
    let mut browser = logged_in(&world);
    for (path, expected) in [
        ("/assets/logo.svg", "public, max-age=600"),
        ("/assets/silent.svg", "private, no-store"),
        ("/assets/cookie.svg", "private, no-store"),
        ("/assets/session.svg", "private, no-store"),
    ] {
        assert_eq!(browser.fetch(path).response.header("cache-control"), Some(expected), "{path}");
    }
    world.finish();
}
