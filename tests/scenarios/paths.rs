//! Prefixes that an app does not know, escaped slashes, and how much and how long a route takes
//! (`threats.md` RT-1, RT-2, RT-8, LI-1).

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::harness::app::App;
use crate::harness::http::{connect, read_response};
use crate::harness::{Settings, World};

#[test]
fn a_prefix_is_taken_off_and_put_back_and_the_rest_is_sent_as_it_was_judged() {
    let app = App::start();
    let upstream = format!("legacy: {{url: 'http://{}'}}", app.address());
    let settings = Settings::default()
        .route("{path: '/old/**', access: public, upstream: legacy, strip_prefix: /old}")
        .route("{path: '/moved/**', access: public, upstream: legacy, rewrite: {from: /moved, to: /v1/x}, host: upstream}")
        .upstream(upstream)
        .also([&app]);
    let world = World::with(settings);
    for (asked, sent) in [
        ("/old", "/"),
        ("/old/", "/"),
        ("/old/a/b;c=d/?x=/old/&y=%2F", "/a/b;c=d/?x=/old/&y=%2F"),
        ("/old/%61%20b", "/a%20b"),
        ("/old/old/x", "/old/x"),
        ("/moved", "/v1/x"),
        ("/moved/z?", "/v1/x/z?"),
    ] {
        assert_eq!(world.curl(asked, "").status, 200, "{asked}");
        assert_eq!(app.last().target(), sent, "{asked}");
    }
    assert_eq!(app.last().header("host"), Some(app.address().to_string().as_str()));
    // What stands before the prefix's end is judged, not what is left.
    for hostile in ["/old/../app/", "/old/..%2fapp/", "/old//app/", "/old/;x/app/", "/old;x/y", "/OLD/x"] {
        let before = app.count() + world.app.count();
        assert_ne!(world.curl(hostile, "").status, 200, "{hostile}");
        assert_eq!(app.count() + world.app.count(), before, "{hostile}");
    }
    let reply = |path: &str, fields: &str| {
        app.reply(path, format!("HTTP/1.1 302 Found\r\n{fields}Content-Length: 0\r\n\r\n"));
    };
    let (origin, own) = (world.origin(), format!("http://{}", app.address()));
    reply(
        "/in",
        "Location: /next?x\r\nSet-Cookie: a=b; Path=/; HttpOnly\r\nSet-Cookie: c=d; Path=/in\r\nSet-Cookie: e=f\r\n",
    );
    let answer = world.curl("/old/in", "");
    assert_eq!(answer.location(), Some("/old/next?x"));
    assert_eq!(answer.head.all("set-cookie"), ["a=b; Path=/old; HttpOnly", "c=d; Path=/old/in", "e=f"]);
    for (said, seen) in [
        (format!("{own}/x"), format!("{origin}/old/x")),
        (format!("{origin}/x"), format!("{origin}/old/x")),
        ("https://elsewhere.example/x".to_owned(), "https://elsewhere.example/x".to_owned()),
        ("/oauth2/logout".to_owned(), "/oauth2/logout".to_owned()),
        ("below".to_owned(), "below".to_owned()),
    ] {
        reply("/in", &format!("Location: {said}\r\nContent-Location: {said}\r\nRefresh: 1; url={said}\r\n"));
        let answer = world.curl("/old/in", "");
        assert_eq!(answer.location(), Some(seen.as_str()), "{said}");
        assert_eq!(answer.header("content-location"), Some(seen.as_str()), "{said}");
        assert_eq!(answer.header("refresh"), Some(format!("1; url={seen}").as_str()), "{said}");
    }
    reply(
        "/v1/x/in",
        &format!("Location: {own}/v1/x/y\r\nSet-Cookie: a=b; Path=/v1/x; Domain=127.0.0.1\r\n"),
    );
    let answer = world.curl("/moved/in", "");
    assert_eq!(answer.location(), Some(format!("{origin}/moved/y").as_str()));
    assert_eq!(answer.header("set-cookie"), Some("a=b; Path=/moved"));
    world.finish();
}

#[test]
fn a_route_whose_app_knows_its_path_is_left_alone() {
    let world = World::start();
    let fields = "Location: http://localhost/x\r\nSet-Cookie: a=b; Path=/; Domain=localhost\r\n";
    world.app.reply("/public/x", format!("HTTP/1.1 302 Found\r\n{fields}Content-Length: 0\r\n\r\n"));
    let answer = world.curl("/public/x", "");
    assert_eq!(answer.location(), Some("http://localhost/x"));
    assert_eq!(answer.header("set-cookie"), Some("a=b; Path=/; Domain=localhost"));
    world.finish();
}

#[test]
fn an_escaped_slash_reaches_the_app_of_a_route_that_takes_it_and_nothing_else() {
    let settings = Settings::default()
        .route("{path: '/files/**', access: public, upstream: app, encoded_slash: true}")
        .route("{path: '/files/secret/**', access: login, require: {level: high}, upstream: app, encoded_slash: true}");
    let world = World::with(settings);
    for (asked, sent) in [
        ("/files/group%2Fproject", "/files/group%2Fproject"),
        ("/files/group%2fproject/x?y", "/files/group%2Fproject/x?y"),
        ("/files/a%2Fb%2Fc/", "/files/a%2Fb%2Fc/"),
    ] {
        assert_eq!(world.curl(asked, "").status, 200, "{asked}");
        assert_eq!(world.app.last().target(), sent);
    }
    let before = world.app.count();
    for hostile in [
        "/files%2Fx",
        "/files/secret%2Fx",
        "/files/secret%2fx",
        "/files/Secret%2Fx",
        "/files/secret;a%2Fx",
        "/files/secret/a%2Fx",
        "/files/..%2Fapp/",
        "/files/x%2F..%2F..%2Fapp",
        "/files/x%2F%2e%2e/y",
        "/files/x%2F..;/y",
        "/files/x%2F%2Fy",
        "/files/%2Fy",
        "/files/x%2F;a/y",
        "/files/x%252Fy",
        "/files/x%5Cy",
        "/files/x%2F%5Cy",
        "/files/x%2F%00",
        "/public/x%2Fy",
        "/app%2Fx",
        "/x%2Fy",
        "/oauth2%2Flogin",
        "/%2Foauth2/login",
        "/oauth2%2Fsession",
        "/.well-known%2Fportvakt/jwks.json",
    ] {
        let answer = world.curl(hostile, "");
        assert!((400..500).contains(&answer.status), "{hostile}: {}", answer.status);
    }
    assert_eq!(world.app.count(), before);
    world.finish();
}

#[test]
fn a_body_larger_than_its_route_takes_is_413_however_it_is_framed() {
    let app = App::start();
    let settings = Settings::default()
        .route("{path: '/small/**', access: public, upstream: small, max_body: 1KiB}")
        .upstream(format!("small: {{url: 'http://{}'}}", app.address()));
    let world = World::with(settings);
    let post = |framing: &str, body: &str| {
        world.send(format!(
            "POST /small/ HTTP/1.1\r\nHost: {{host}}\r\n{framing}Connection: close\r\n\r\n{body}"
        ))
    };
    let declared = |length: usize| post(&format!("Content-Length: {length}\r\n"), &"x".repeat(length));
    assert_eq!((declared(1024).status, declared(0).status), (200, 200));
    let before = app.count();
    let answer = declared(1025);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (413, Some("too_large")));
    assert_eq!(declared(200_000).status, 413);
    assert_eq!(app.count(), before, "what is declared too large is not begun");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let chunked = |chunks: usize| {
        post("Transfer-Encoding: chunked\r\n", &format!("{}0\r\n\r\n", chunk.repeat(chunks))).status
    };
    assert_eq!(chunked(2), 200);
    assert_eq!(app.last().body.len(), 1024);
    assert_eq!(chunked(3), 413);
    // Who is still sending reads the answer, and an orderly end: a reset would take the answer away from many a client.
    let mut stream = connect(world.address());
    let head =
        format!("POST /small/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", world.authority());
    stream.write_all((head + &chunk.repeat(3)).as_bytes()).unwrap();
    assert_eq!(read_response(&mut stream, false).status, 413);
    stream.write_all(chunk.repeat(200).as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    assert!(app.received().iter().all(|request| request.body.len() <= 1024));
    assert_eq!(declared(10).status, 200, "the gateway goes on");
    world.unjudged_count();
}

#[test]
fn a_client_that_waits_to_be_told_is_told_before_it_sends() {
    let settings =
        Settings::default().route("{path: '/small/**', access: public, upstream: app, max_body: 1KiB}");
    let world = World::with(settings);
    let mut stream = connect(world.address());
    let head = format!(
        "POST /small/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 4096\r\nExpect: 100-continue\r\n\r\n",
        world.authority()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(std::str::from_utf8(&first).unwrap(), "HTTP/1.1 413");
    world.finish();
}

#[test]
fn a_routes_time_is_its_own() {
    let slow = App::start();
    let settings = Settings::default()
        .route("{path: '/short/**', access: public, upstream: slow, timeout: 500ms}")
        .route("{path: '/quiet/**', access: public, upstream: slow, read_timeout: 500ms}")
        .route("{path: '/long/**', access: public, upstream: slow, read_timeout: 60s, timeout: 60s}")
        .upstream(format!("slow: {{url: 'http://{}', read_timeout: 1s}}", slow.address()));
    let world = World::with(settings);
    slow.hold();
    for target in ["/short/", "/quiet/"] {
        let began = Instant::now();
        let answer = world.curl(target, "");
        assert_eq!((answer.status, answer.json()["error"].as_str()), (504, Some("app_too_slow")), "{target}");
        assert!(began.elapsed() >= Duration::from_millis(450), "{target}: {:?}", began.elapsed());
    }
    let mut waiting = connect(world.address());
    let head = format!("GET /long/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", world.authority());
    waiting.write_all(head.as_bytes()).unwrap();
    // Longer than the upstream's own time to read.
    waiting.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!(waiting.read(&mut [0]).is_err(), "nothing came, and the connection is open");
    waiting.set_read_timeout(Some(crate::harness::http::PATIENCE)).unwrap();
    slow.release();
    assert_eq!(read_response(&mut waiting, false).status, 200);
    world.unjudged_count();
}
