//! A reply goes to the request that it answers, whatever an app sends beside it (`threats.md` HTTP-6; RFC 9112, 6.3 and 11).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::harness::http::{Response, connect, read_response};
use crate::harness::listen::Listening;
use crate::harness::{Settings, World};

/// What somebody else must never see.
const CANARY: &str = "another person's letter";

/// What an app that keeps its connections writes at once, and what it writes a moment later.
fn replies() -> Vec<(String, String)> {
    let reply = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
    let whole = |body: &str| reply(&format!("Content-Length: {}", body.len()), body);
    let chunked = |rest: &str| reply("Transfer-Encoding: chunked", &format!("2\r\nok\r\n{rest}"));
    let later = |first: String| (first, whole(CANARY));
    let at_once = |first: String| (format!("{first}{}", whole(CANARY)), String::new());
    let alone = |first: String| (first, String::new());
    vec![
        at_once(whole("ok")),
        later(whole("ok")),
        alone(format!("{}{CANARY}", whole("ok"))),
        at_once(chunked("0\r\n\r\n")),
        later(chunked("0\r\n\r\n")),
        alone(chunked(&format!("0\r\n\r\n{CANARY}"))),
        at_once("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        later("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        alone(format!("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok{CANARY}")),
        at_once("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()),
        alone(format!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}")),
        at_once("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(3) + &whole("ok")),
        at_once("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned()),
        at_once(reply("Content-Length: 2\r\nContent-Length: 2", "ok")),
        at_once(reply("Content-Length: 2\r\nContent-Length: 3", "ok")),
        at_once(reply("Content-Length: 2, 3", "ok")),
        at_once(reply("Content-Length: +2", "ok")),
        at_once(reply("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n")),
        at_once(reply("Content-Length: 2\r\nTransfer-Encoding: gzip", "ok")),
        at_once(reply("Transfer-Encoding: chunked, gzip", "2\r\nok\r\n0\r\n\r\n")),
        at_once(reply("Transfer-Encoding: chunked", "ffffffffffffffff1\r\nok")),
        at_once(reply("Transfer-Encoding: chunked", "-2\r\nok\r\n0\r\n\r\n")),
        at_once("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()),
        at_once("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned()),
        at_once("no reply at all\r\n\r\n".to_owned()),
    ]
}

/// Answers `/<number>` with that reply and everything else as asked, one request after the other on each connection.
fn app(mut stream: TcpStream) {
    let replies = replies();
    let mut head = Vec::new();
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let last = text.split(' ').nth(1).and_then(|target| target.rsplit('/').next()).unwrap_or_default();
        let usual = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{last}", last.len());
        let (first, later) = last
            .parse()
            .ok()
            .and_then(|at: usize| replies.get(at).cloned())
            .unwrap_or((usual, String::new()));
        if stream.write_all(first.as_bytes()).is_err() {
            return;
        }
        if !later.is_empty() {
            thread::sleep(Duration::from_millis(30));
            let _ = stream.write_all(later.as_bytes());
        }
    }
}

fn ask(world: &World, method: &str, target: &str) -> Response {
    let mut client = connect(world.address());
    let host = world.authority();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    read_response(&mut client, method == "HEAD")
}

#[test]
fn whatever_an_app_sends_beside_its_reply_reaches_nobody_else() {
    let app = Listening::start(app);
    let world = World::with(
        Settings::default()
            .upstream(format!(
                "odd: {{url: 'http://127.0.0.1:{}', read_timeout: 2s, total_timeout: 4s}}",
                app.port()
            ))
            .route("{path: '/odd/**', access: public, upstream: odd}"),
    );
    for method in ["GET", "HEAD"] {
        for (at, (first, later)) in replies().iter().enumerate() {
            let odd = ask(&world, method, &format!("/odd/{at}"));
            // A reply without an end of its own goes on to the end of its connection; any other has an end.
            let endless = first.starts_with("HTTP/1.1 200") && first.contains("gzip");
            assert!(endless || !odd.text().contains(CANARY), "{method} {first:?}: {}", odd.text());
            // As soon as the connection may be used again; or when what came later has come, while nobody waited for it. What comes
            // when the next has asked is an answer, as far as HTTP/1.1 can tell.
            let pauses: &[u64] = if later.is_empty() { &[0, 5] } else { &[150, 0] };
            for &pause in pauses {
                thread::sleep(Duration::from_millis(pause));
                let name = format!("next-{method}-{at}-{pause}");
                let next = ask(&world, "GET", &format!("/odd/{name}"));
                assert_eq!((next.status, next.text()), (200, name), "after {method} {first:?}");
            }
        }
    }
    world.unjudged_count();
}
