//! A client that asks before it sends its body (`Expect: 100-continue`, RFC 9110, 10.1.1) is told once, by the app or by
//! the gateway, or gets its answer; and no byte that follows an answer becomes a request (`threats.md` HTTP-5, HTTP-6).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::http::{Head, Response, connect, read_head, read_response};
use crate::harness::{Settings, World, run_keys};

const BODY: &[u8] = b"the body";

/// Asks by a POST of [`BODY`], and sends nothing of it yet.
fn ask(world: &World, line: &str, fields: &str) -> TcpStream {
    let mut stream = connect(world.address());
    let head = format!(
        "{line}\r\nHost: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n{fields}\r\n",
        world.authority(),
        BODY.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn head_of(stream: &mut TcpStream) -> Head {
    Head::parse(&read_head(stream).expect("a head"))
}

/// What it is told first is to go on, and nothing else with it.
fn is_told(stream: &mut TcpStream) {
    let head = head_of(stream);
    assert!(head.start.starts_with("HTTP/1.1 100") && head.fields.is_empty(), "{head:?}");
}

/// The final answer, which is what comes next: no other word stands before it.
fn answer(stream: &mut TcpStream) -> Response {
    let mut first = [0; 12];
    assert_eq!(stream.peek(&mut first).unwrap().min(12), 12);
    assert!(!first.starts_with(b"HTTP/1.1 1"), "{first:?}");
    read_response(stream, false)
}

/// What is sent after an answer that did not wait for the body is no request, and there is an end.
fn nothing_follows(world: &World, mut stream: TcpStream) {
    let before = world.app.count();
    let late = format!("GET /public/late HTTP/1.1\r\nHost: {}\r\n\r\n", world.authority());
    // It may be closed already.
    let _ = stream.write_all(late.as_bytes());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(world.app.count(), before);
}

/// The body, as the app reads it.
fn body(stream: &mut TcpStream) -> Vec<u8> {
    let mut body = vec![0; BODY.len()];
    stream.read_exact(&mut body).unwrap();
    body
}

#[test]
fn the_app_is_asked_and_its_first_word_is_passed_on_once() {
    let world = World::start();
    world.app.stream("/public/asked", |mut stream, received| {
        assert_eq!(received.header("expect"), Some("100-continue"));
        let fields = "X-Identity-Fnr: 1\r\nSet-Cookie: __Host-portvakt=x\r\n";
        let go_on = format!("HTTP/1.1 100 Continue\r\n{fields}\r\n");
        stream.write_all(go_on.as_bytes()).unwrap();
        assert_eq!(body(&mut stream), BODY);
        // Again, although nobody waits any more, and another one that nobody asked for.
        let rest =
            format!("{go_on}HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        stream.write_all(rest.as_bytes()).unwrap();
    });
    let mut stream = ask(&world, "POST /public/asked HTTP/1.1", "");
    is_told(&mut stream);
    stream.write_all(BODY).unwrap();
    let told = answer(&mut stream);
    assert_eq!((told.status, told.text().as_str()), (200, "ok"));
    world.finish();
}

#[test]
fn an_app_that_says_nothing_gets_the_body_when_the_client_has_waited_enough() {
    let world = World::start();
    let mut stream = ask(&world, "POST /public/silent HTTP/1.1", "");
    // The app has the head and says nothing: it reads the body first.
    stream.write_all(BODY).unwrap();
    assert_eq!(answer(&mut stream).status, 200);
    assert_eq!(world.app.last().body, BODY);
    // The connection serves another request.
    let head = format!("GET /public/next HTTP/1.1\r\nHost: {}\r\n\r\n", world.authority());
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut stream, false).status, 200);
    assert_eq!(world.app.last().target(), "/public/next");
    world.finish();
}

#[test]
fn an_app_that_does_not_want_the_body_ends_the_matter() {
    let world = World::start();
    for (path, status) in [("/public/417", "417 Expectation Failed"), ("/public/200", "200 OK")] {
        world.app.stream(path, move |mut stream, _| {
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            stream.write_all(reply.as_bytes()).unwrap();
            // What comes after all is the body that was announced, and not a byte more.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() <= BODY.len(), "{rest:?}");
        });
        let mut stream = ask(&world, &format!("POST {path} HTTP/1.1"), "");
        let told = answer(&mut stream);
        assert_eq!((told.status.to_string().as_str(), told.text().as_str()), (&status[..3], "no"));
        nothing_follows(&world, stream);
    }
    world.finish();
}

#[test]
fn a_request_that_is_refused_is_answered_at_once_and_its_body_is_not_waited_for() {
    let settings = Settings::default()
        .route("{path: '/small/**', access: public, upstream: app, max_body: 1KiB}")
        .route("{path: '/closed/**', access: public, upstream: app, maintenance: true}");
    let world = World::with(settings);
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/x", "bankid-high").status(), 200);
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let foreign = format!("{cookie}Origin: https://evil.example\r\n");
    let before = world.app.count();
    for (line, fields, status) in [
        ("POST /app/x HTTP/1.1", "Content-Type: application/json\r\n", 401),
        ("POST /nowhere HTTP/1.1", "", 404),
        ("POST /app/%2e%2e/x HTTP/1.1", "", 400),
        ("POST /closed/ HTTP/1.1", "", 503),
        ("POST /oauth2/session HTTP/1.1", "", 405),
        ("POST /app/x HTTP/1.1", foreign.as_str(), 403),
        ("TRACE /public/ HTTP/1.1", "", 405),
    ] {
        let mut stream = ask(&world, line, fields);
        assert_eq!(answer(&mut stream).status, status, "{line}");
        nothing_follows(&world, stream);
    }
    let mut large = connect(world.address());
    let head = format!(
        "POST /small/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 4096\r\nExpect: 100-Continue\r\n\r\n",
        world.authority()
    );
    large.write_all(head.as_bytes()).unwrap();
    assert_eq!(answer(&mut large).status, 413);
    nothing_follows(&world, large);
    assert_eq!(world.app.count(), before);
    world.finish();
}

/// The gateway reads these bodies itself, and so it is the gateway that says go on.
#[test]
fn what_the_gateway_reads_itself_it_asks_for_once() {
    let settings = Settings::default().route(
        "{path: '/digest/**', access: public, upstream: app, signature: ed25519, content_digest: true}",
    );
    let mut world = World::start();
    world.settings = settings;
    world.write_configuration();
    run_keys(world.folder(), &["new", "signature-ed25519"]);
    world.restart_gateway();
    // A logout token that is none.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let mut stream = ask(&world, "POST /oauth2/logout/backchannel HTTP/1.1", form);
    is_told(&mut stream);
    stream.write_all(BODY).unwrap();
    assert_eq!(answer(&mut stream).status, 400);
    // A form that is kept.
    let navigation =
        format!("{form}Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
    let mut stream = ask(&world, "POST /app/form HTTP/1.1", &navigation);
    is_told(&mut stream);
    stream.write_all(BODY).unwrap();
    assert_eq!(answer(&mut stream).status, 401);
    // A body that is signed, before an app that would say go on too.
    world.app.stream("/digest/x", |mut stream, received| {
        assert_eq!(received.header("expect"), None);
        assert!(received.header("content-digest").is_some());
        assert_eq!(body(&mut stream), BODY);
        let reply = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(reply.as_bytes()).unwrap();
    });
    let mut stream = ask(&world, "POST /digest/x HTTP/1.1", "");
    is_told(&mut stream);
    stream.write_all(BODY).unwrap();
    assert_eq!(answer(&mut stream).status, 200);
    world.finish();
}

/// HTTP/1.0 knows no interim answers: such a client sends its body without waiting, and would take one for its answer.
#[test]
fn an_old_client_is_told_nothing() {
    let settings =
        Settings::default().route("{path: '/small/**', access: public, upstream: app, max_body: 1KiB}");
    let world = World::with(settings);
    world.app.stream("/public/old", |mut stream, _| {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        assert_eq!(body(&mut stream), BODY);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    for (path, status) in [("/public/old", 200), ("/oauth2/logout/backchannel", 400)] {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let mut stream = ask(&world, &format!("POST {path} HTTP/1.0"), form);
        stream.write_all(BODY).unwrap();
        assert_eq!(answer(&mut stream).status, status, "{path}");
    }
    world.finish();
}
