//! What the app gets: our headers once, the client's claims never, its own cookies byte for byte
//! (`threats.md` 3, CK-7, RT-7).

use crate::harness::browser::Browser;
use crate::harness::{Settings, World};

/// How a client could spell an identity header so that some app server reads it as one.
const SPELLINGS: [&str; 23] = [
    "X-Identity-Fnr",
    "x-identity-fnr",
    "X-IDENTITY-FNR",
    "X_Identity_Fnr",
    "X-Identity_Fnr",
    "X_IDENTITY-FNR",
    "x.identity.fnr",
    "X~Identity~Fnr",
    "X!Identity!Fnr",
    "X|Identity-Fnr",
    "X-Identity",
    "X-Identity-",
    "X-Identity-Loa",
    "X-Identity-Kind",
    "X-Identity-Assertion",
    "X-Identity-Anything",
    "X-Identity-Fnr-",
    "HTTP_X_IDENTITY_FNR",
    "X-Identity.Fnr",
    "X-Identity'Fnr",
    "X-Identity*Fnr",
    "x+identity+fnr",
    "X-identity#fnr",
];

const CANARY: &str = "01817000001";

fn logged_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    browser
}

fn cookie(browser: &Browser<'_>) -> String {
    format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap())
}

/// Sends a request with these fields; if it reached the app, what the app got.
fn forwarded(world: &World, line: &str, fields: &str) -> Option<crate::harness::app::Received> {
    let before = world.app.count();
    let answer = world.send(format!("{line}\r\nHost: {{host}}\r\n{fields}Connection: close\r\n\r\n"));
    assert!(!answer.text().contains(CANARY), "the answer holds what the client said");
    let after = world.app.received();
    assert!(after.len() <= before + 1);
    (after.len() > before).then(|| after.into_iter().next_back().unwrap())
}

fn never_claimed(world: &World, line: &str, fields: &str, ours: Option<&str>) {
    let Some(received) = forwarded(world, line, fields) else { return };
    let raw = String::from_utf8_lossy(&received.raw).into_owned();
    assert!(!raw.contains(CANARY), "{fields:?} came through: {raw}");
    let fnrs: Vec<_> =
        received.identity().into_iter().filter(|(name, _)| *name == "X-Identity-Fnr").collect();
    assert_eq!(fnrs, ours.map(|fnr| ("X-Identity-Fnr", fnr)).into_iter().collect::<Vec<_>>(), "{fields:?}");
}

#[test]
fn no_spelling_of_an_identity_header_comes_through_on_any_route() {
    let world = World::start();
    world.secrets.add(CANARY);
    let browser = logged_in(&world);
    let (cookie, fnr) = (cookie(&browser), "24929935140");
    for spelling in SPELLINGS {
        let field = format!("{spelling}: {CANARY}\r\n");
        let with_session = format!("{cookie}{field}");
        never_claimed(&world, "GET /public/ HTTP/1.1", &field, None);
        never_claimed(&world, "GET /public/ HTTP/1.1", &with_session, None);
        never_claimed(&world, "GET /optional/ HTTP/1.1", &field, None);
        never_claimed(&world, "GET /optional/ HTTP/1.1", &with_session, Some(fnr));
        never_claimed(&world, "GET /app/ HTTP/1.1", &with_session, Some(fnr));
        assert!(forwarded(&world, "GET /app/ HTTP/1.1", &field).is_none(), "{spelling}");
        assert!(forwarded(&world, "OPTIONS /app/ HTTP/1.1", &field).is_none(), "{spelling}");
    }
    world.finish();
}

#[test]
fn doubled_nominated_and_numerous_fields_change_nothing_about_ours() {
    let world = World::start();
    world.secrets.add(CANARY);
    let browser = logged_in(&world);
    let (cookie, fnr) = (cookie(&browser), "24929935140");
    let ours = world.app.last().identity().len();
    let many: String = (0..60).map(|number| format!("X-Identity-Fnr: {CANARY}{number}\r\n")).collect();
    for fields in [
        format!("X-Identity-Fnr: {CANARY}\r\nx-identity-fnr: {CANARY}\r\n"),
        "Connection: X-Identity-Fnr\r\n".to_owned(),
        "Connection: close, X-Identity-Fnr, X-Identity-Loa, X-Identity-Kind\r\n".to_owned(),
        "Connection: cookie\r\n".to_owned(),
        "TE: trailers\r\nTrailer: X-Identity-Fnr\r\n".to_owned(),
        "Keep-Alive: X-Identity-Fnr\r\n".to_owned(),
        many,
    ] {
        for line in
            ["GET /app/ HTTP/1.1", "GET /app/ HTTP/1.0", "HEAD /app/ HTTP/1.1", "OPTIONS /app/ HTTP/1.1"]
        {
            let Some(received) = forwarded(&world, line, &format!("{cookie}{fields}")) else { continue };
            assert!(!String::from_utf8_lossy(&received.raw).contains(CANARY), "{line} {fields:?}");
            assert_eq!(received.header("x-identity-fnr"), Some(fnr), "{line} {fields:?}");
            assert_eq!(received.identity().len(), ours, "{line} {fields:?}");
            assert_eq!(received.head.all("host").len(), 1, "{line} {fields:?}");
        }
    }
    world.finish();
}

#[test]
fn who_nominates_what_no_client_may_take_away_is_refused_with_an_answer() {
    let world = World::start();
    let browser = logged_in(&world);
    for nominated in ["host", "Host", "x-forwarded-for", ":authority", "a b", &"a,".repeat(20)] {
        let fields = format!("{}Connection: {nominated}\r\n", cookie(&browser));
        let before = world.app.count();
        let answer =
            world.send(format!("GET /app/ HTTP/1.1\r\nHost: {{host}}\r\n{fields}Connection: close\r\n\r\n"));
        assert_eq!((answer.status, world.app.count()), (400, before), "{nominated}");
    }
    world.finish();
}

#[test]
fn trailers_of_a_body_do_not_become_headers() {
    let world = World::start();
    world.secrets.add(CANARY);
    let browser = logged_in(&world);
    let chunked = format!(
        "POST /app/ HTTP/1.1\r\nHost: {{host}}\r\n{}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Identity-Fnr: {CANARY}\r\n\r\n",
        cookie(&browser)
    );
    world.send(chunked);
    for received in world.app.received() {
        assert!(!String::from_utf8_lossy(&received.raw).contains(CANARY));
        assert!(!String::from_utf8_lossy(&received.body).contains(CANARY));
    }
    world.finish();
}

#[test]
fn claims_of_another_url_method_or_address_are_removed_or_rebuilt() {
    let world = World::start();
    world.secrets.add(CANARY);
    for claim in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-User",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "Forwarded",
        "X-Real-IP",
        "X-Client-Cert",
        "X-SSL-Client-DN",
        "SSL_CLIENT_S_DN",
        "Client-Cert",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-Host",
        "X-Host",
        "Proxy",
        "Remote-User",
        "X-Remote-User",
        "Signature",
        "Signature-Input",
        "X_Forwarded_For",
    ] {
        let received = forwarded(&world, "GET /public/ HTTP/1.1", &format!("{claim}: {CANARY}\r\n"));
        let Some(received) = received else { continue };
        assert!(!String::from_utf8_lossy(&received.raw).contains(CANARY), "{claim}");
        assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(received.header("x-forwarded-proto"), Some("http"));
        assert_eq!(received.header("x-forwarded-host"), Some(world.authority().as_str()));
        assert_eq!(received.header("host"), Some(world.authority().as_str()));
        let ours = format!("for=127.0.0.1;host=\"{}\";proto=http", world.authority());
        assert_eq!(received.header("forwarded"), Some(ours.as_str()));
    }
    world.finish();
}

#[test]
fn cookies_of_ours_never_go_up_and_those_of_the_app_arrive_byte_for_byte() {
    let world = World::start();
    let browser = logged_in(&world);
    let value = browser.session_cookie().unwrap();
    let ours = format!("__Host-portvakt={value}");
    for (line, expected) in [
        (format!("{ours}; app=1"), Some("app=1")),
        (format!("app=\"x y\"; {ours}; b= z"), Some("app=\"x y\"; b= z")),
        (format!("a=1;{ours};b=2"), Some("a=1; b=2")),
        (format!("a=1\r\nCookie: {ours}\r\nCookie: b=2"), Some("a=1; b=2")),
        (ours.clone(), None),
        (
            format!(
                "{ours}; __Host-portvakt-login-3=x; __Secure-portvakt-logout=y; portvakt=z; __HOST-Portvakt-x=1; a=portvakt"
            ),
            Some("a=portvakt"),
        ),
        (format!("{ours}; a=1=2==; =x; flag"), Some("a=1=2==; =x; flag")),
        (format!("{ours}; a=\u{e5}"), Some("a=\u{c3}\u{a5}")),
    ] {
        let received =
            forwarded(&world, "GET /app/ HTTP/1.1", &format!("Cookie: {line}\r\n")).expect("it is forwarded");
        assert_eq!(received.header("cookie"), expected, "{}", line.replace(&value, "…"));
        assert!(!String::from_utf8_lossy(&received.raw).contains(&value));
    }
    world.finish();
}

#[test]
fn an_app_cannot_send_identity_or_cookies_of_ours_outwards() {
    let world = World::with(
        Settings::default()
            .route("{path: '/renamed/**', access: login, upstream: app, headers: {fnr: X-Pid}}"),
    );
    let mut browser = logged_in(&world);
    world.app.reply(
        "/app/echo",
        "HTTP/1.1 200 OK\r\nX-Identity-Fnr: 24929935140\r\nx_identity_loa: high\r\nX-IDENTITY-Other: y\r\nX-Pid: 24929935140\r\nX-App: 1\r\n\
         Set-Cookie: __Host-portvakt=stolen; Path=/; Secure\r\nSet-Cookie: app=1; HttpOnly\r\nSet-Cookie: __Secure-portvakt-logout=x; Secure\r\n\
         Set-Cookie: other=2\r\nCache-Control: public, max-age=600\r\nExpires: Thu, 01 Jan 2099 00:00:00 GMT\r\nPragma: cache\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    let page = browser.open("/app/echo");
    let names: Vec<String> =
        page.response.head.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert!(!names.iter().any(|name| name.contains("identity") || name == "x-pid"), "{names:?}");
    assert_eq!(page.response.head.all("set-cookie"), ["app=1; HttpOnly", "other=2"]);
    assert_eq!(page.response.header("x-app"), Some("1"));
    assert_eq!(page.response.header("cache-control"), Some("private, no-store"));
    assert_eq!((page.response.header("expires"), page.response.header("pragma")), (None, None));
    assert_eq!(page.text(), "hi");
    world.finish();
}

#[test]
fn replies_to_somebody_who_is_logged_in_are_private_and_others_are_the_apps_affair() {
    let world = World::with(
        Settings::default().route("{path: '/cached/**', access: login, upstream: app, cache: app}"),
    );
    for path in ["/app/c", "/optional/c", "/public/c", "/cached/c"] {
        world.app.reply(path, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n");
    }
    let mut browser = logged_in(&world);
    let mut cached = |path: &str| browser.open(path).response.header("cache-control").unwrap().to_owned();
    assert_eq!(cached("/app/c"), "private, no-store");
    assert_eq!(cached("/optional/c"), "private, no-store");
    assert_eq!((cached("/public/c").as_str(), cached("/cached/c").as_str()), ("max-age=60", "max-age=60"));
    assert_eq!(world.browser().open("/optional/c").response.header("cache-control"), Some("max-age=60"));
    world.finish();
}

#[test]
fn a_renamed_header_is_written_by_us_alone_and_a_dropped_one_by_nobody() {
    let route = "{path: '/renamed/**', access: login, upstream: app, headers: {fnr: X-Pid, given_name: drop, \
                 family_name: {name: X-Last, encoding: rfc8187}}}";
    let world = World::with(Settings::default().route(route));
    world.secrets.add(CANARY);
    let mut browser = world.browser();
    browser.log_in("/renamed/", "bankid-high-2");
    let received = world.app.last();
    assert_eq!(received.header("X-Pid"), Some("17838534171"));
    assert_eq!(received.header("X-Last"), Some("UTF-8''%C3%85s%20%C4%8C%C3%A1hci"));
    assert_eq!((received.header("x-identity-fnr"), received.header("x-identity-given-name")), (None, None));
    // The name is ours now, on every route.
    for line in ["GET /public/ HTTP/1.1", "GET /optional/ HTTP/1.1", "GET /app/ HTTP/1.1"] {
        for name in ["X-Pid", "x_pid", "X-PID", "X-Last", "x.last"] {
            let fields = format!("{}{name}: {CANARY}\r\n", cookie(&browser));
            if let Some(received) = forwarded(&world, line, &fields) {
                assert!(!String::from_utf8_lossy(&received.raw).contains(CANARY), "{line} {name}");
            }
        }
    }
    world.finish();
}

#[test]
fn bodies_and_methods_arrive_as_they_were_sent() {
    let world = World::start();
    let browser = logged_in(&world);
    let body = "{\"a\": \"å\"}";
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = world.send(format!(
            "{method} /app/x?y=%2F HTTP/1.1\r\nHost: {{host}}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            cookie(&browser),
            body.len(),
        ));
        let received = world.app.last();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(received.head.start, format!("{method} /app/x?y=%2F HTTP/1.1"));
        assert_eq!(
            (received.body.as_slice(), received.header("content-type")),
            (body.as_bytes(), Some("application/json"))
        );
    }
    let chunked = format!(
        "POST /app/ HTTP/1.1\r\nHost: {{host}}\r\n{}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
        cookie(&browser)
    );
    assert_eq!(world.send(chunked).status, 200);
    assert_eq!(world.app.last().body, b"hello world");
    world.finish();
}

#[test]
fn requests_on_one_connection_are_judged_each_for_itself() {
    let world = World::start();
    let browser = logged_in(&world);
    let request = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", world.authority())
    };
    let with = cookie(&browser);
    // Pipelined: everything is there before the first answer.
    let mut stream = crate::harness::http::connect(world.address());
    let requests = [
        (request("/optional/1", &with), 200),
        (request("/optional/2", ""), 200),
        (request("/app/3", ""), 401),
        (request("/app/4", &with), 200),
        (request("/public/5", &with), 200),
        (request("/optional/6", ""), 200),
    ];
    let bytes: String = requests.iter().map(|(request, _)| request.as_str()).collect();
    std::io::Write::write_all(&mut stream, bytes.as_bytes()).unwrap();
    for (request, status) in &requests {
        let answer = crate::harness::http::read_response(&mut stream, false);
        assert_eq!(answer.status, *status, "{}", request.lines().next().unwrap());
    }
    let told: Vec<(String, bool)> = world
        .app
        .received()
        .iter()
        .skip(1)
        .map(|received| (received.target().to_owned(), !received.identity().is_empty()))
        .collect();
    let expected = [
        ("/optional/1", true),
        ("/optional/2", false),
        ("/app/4", true),
        ("/public/5", false),
        ("/optional/6", false),
    ];
    assert_eq!(told, expected.map(|(target, known)| (target.to_owned(), known)));
    world.finish();
}

#[test]
fn an_unread_body_never_becomes_a_request() {
    let world = World::start();
    let hidden = format!("GET /public/hidden HTTP/1.1\r\nHost: {}\r\n\r\n", world.authority());
    // Refused before the body is read: by our own answer, by the level, by the method.
    for line in [
        "POST /app/ HTTP/1.1",
        "POST /nowhere HTTP/1.1",
        "POST /oauth2/session HTTP/1.1",
        "POST /oauth2/login HTTP/1.1",
    ] {
        let mut stream = crate::harness::http::connect(world.address());
        let head = format!(
            "{line}\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{hidden}",
            world.authority(),
            hidden.len()
        );
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let answer = crate::harness::http::read_response(&mut stream, false);
        assert!((400..500).contains(&answer.status), "{line}: {}", answer.status);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let next = crate::harness::http::read_response(&mut stream, false);
        assert_eq!((next.status, world.app.count()), (0, 0), "{line}: the body was a request");
    }
    world.finish();
}
