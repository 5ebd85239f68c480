//! The guard from the wire: a listening front, a proxy that lets everything through, and an upstream that writes down each byte.
//!
//! What is refused must be answered and closed, and no complete request may arrive; what passes must arrive once and whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{fs, thread};

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::tls::{ClientConfig, RootCertStore, ServerName, TlsConnector, load_ca_file_into_store};
use pingora::upstreams::peer::HttpPeer;
use portvakt::guard::{
    Certificates, Limits, Listen, Observer, Progress, Refused, connection, front_service, tls_settings,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// No wait of a test is longer. Only a failing test meets it.
const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3600);
/// Bytes of the answer to `/large`: more than the buffers between an app and a client hold.
const LARGE: usize = 16 << 20;
const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GET: &str = "GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn hostile_bytes_are_answered_closed_and_never_a_request_upstream() {
    let world = World::start(Limits::default());
    let get = |field: &str| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n");
    let post = |field: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n{body}");
    let chunks = |body: &str| post("Transfer-Encoding: chunked", body);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let cases = [
        (post("Content-Length: 3\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{smuggled}")), 400),
        (post("Content-Length: 3\r\nContent-Length: 4", "abcd"), 400),
        (post("Content-Length: 3\r\nContent-Length: 3", "abc"), 400),
        (post("Content-Length: 3, 3", "abc"), 400),
        (post("Content-Length: +3", "abc"), 400),
        (post("Content-Length: 0x3", "abc"), 400),
        (post("Content_Length: 3\r\nContent-Length: 0", smuggled), 400),
        (post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: xchunked", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding : chunked", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"), 400),
        (post("Transfer_Encoding: chunked", &format!("0\r\n\r\n{smuggled}")), 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        (chunks(&format!("0x3\r\nabc\r\n0\r\n\r\n{smuggled}")), 400),
        (chunks(" 3\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("-1\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
        (chunks("3;x=y\nabc\r\n0\r\n\r\n"), 400),
        (chunks(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300))), 400),
        (chunks(&format!("3\r\nabcd\r\n0\r\n\r\n{smuggled}")), 400),
        (chunks("3\r\nabc\n0\r\n\r\n"), 400),
        (chunks("3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n"), 400),
        (chunks("3\r\nabc\r\n0\r\nX : y\r\n\r\n"), 400),
        (chunks(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000))), 431),
        ("GET / HTTP/1.1\nHost: a.test\n\n".into(), 400),
        (get("X-A: a\nX-Auth-User: evil"), 400),
        (get("X-A: a\rb"), 400),
        (get("X-A: a\0b"), 400),
        (get("X-A: a\r\n b"), 400),
        (get("X-A : a"), 400),
        (get(": a"), 400),
        (get("X(A: a"), 400),
        (get("Host: a.test"), 400),
        (get("no colon"), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), 400),
        ("GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), 400),
        ("GET / HTTP/1.2\r\nHost: a.test\r\n\r\n".into(), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".into(), 501),
        (format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(9000)), 414),
        (get(&"X: y\r\n".repeat(110)), 431),
        (get(&format!("X: {}", "y".repeat(40_000))), 431),
    ];
    for (n, (request, status)) in cases.iter().enumerate() {
        for pieces in [vec![request.as_bytes()], split(request, 1), split(request, 7)] {
            let mut client = world.connect();
            for piece in pieces {
                // The guard may have closed already; what matters is what it said.
                if client.write_all(piece).is_err() {
                    break;
                }
            }
            let answer = read_to_close(&mut client);
            let name = request.chars().take(120).collect::<String>().escape_debug().to_string();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            for field in
                ["Connection: close", "Cache-Control: no-store", &format!("Content-Length: {}", body.len())]
            {
                assert!(head.contains(field), "{name}: {answer}");
            }
            assert!(body.contains("\"reference\":\"ref-"), "{name}: {answer}");
        }
        assert_eq!(world.observer.state().refused.len(), (n + 1) * 3, "each refusal is seen once");
    }
    assert_eq!(world.upstream.complete(), Vec::<String>::new());
}

#[test]
fn sound_requests_arrive_once_and_whole_however_they_are_cut() {
    let world = World::start(Limits::default());
    let bodies = [
        (GET.to_owned(), ""),
        ("\r\nGET /one HTTP/1.1\r\nHost: a.test\r\nX: \t y \r\n\r\n".to_owned(), ""),
        ("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\na\r\n\0b".to_owned(), "a\r\n\0b"),
        ("POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n3;e=\"f\"\r\nabc\r\n02\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n".to_owned(), "abcde"),
        (format!("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n{}", "z".repeat(100_000)), ""),
    ];
    let mut sent = 0;
    for (request, body) in &bodies {
        let whole = vec![request.as_bytes()];
        let cuts = if request.len() < 1000 {
            vec![whole, split(request, 1), split(request, 7)]
        } else {
            vec![whole]
        };
        let mut client = world.connect();
        for pieces in cuts {
            for piece in pieces {
                client.write_all(piece).unwrap();
            }
            assert!(read_response(&mut client).starts_with("HTTP/1.1 200 "));
            sent += 1;
            let arrived = world.upstream.complete();
            assert_eq!(arrived.len(), sent);
            assert!(arrived[sent - 1].ends_with(&format!("\r\n\r\n{body}")) || body.is_empty());
            assert_eq!(arrived[sent - 1].matches("HTTP/1.1").count(), 1);
        }
    }
    assert_eq!(world.observer.state().refused, []);
}

#[test]
fn a_second_request_on_a_connection_is_judged_anew() {
    let world = World::start(Limits::default());
    let mut client = world.connect();
    client.write_all(GET.as_bytes()).unwrap();
    assert!(read_response(&mut client).starts_with("HTTP/1.1 200 "));
    client.write_all(b"GET /two HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n").unwrap();
    assert!(read_to_close(&mut client).starts_with("HTTP/1.1 400 "));
    assert_eq!(world.upstream.complete().len(), 1);
    assert_eq!(world.observer.state().refused, [Refused::HostRepeated]);
}

#[test]
fn pipelined_requests_wait_for_the_answer_before_them() {
    let world = World::start(Limits::default());
    let mut client = world.connect();
    client
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    world.upstream.wait(|log| log.complete.len() == 1);
    client.write_all(b"GET /three HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    assert_eq!(world.upstream.complete().len(), 1);
    world.upstream.release();
    for path in ["/hold", "/two", "/three"] {
        let response = read_response(&mut client);
        assert!(response.ends_with(&format!("answer to {path}")), "{response}");
    }
    let arrived = world.upstream.complete();
    let paths: Vec<_> = arrived.iter().map(|request| request.split(' ').nth(1).unwrap()).collect();
    assert_eq!(paths, ["/hold", "/two", "/three"]);
}

#[test]
fn a_body_that_nobody_read_never_becomes_a_request() {
    let world = World::start(Limits::default());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\n\r\n", smuggled.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", smuggled.len()),
    ] {
        for at_once in [true, false] {
            let mut client = world.connect();
            let head = format!("POST /own HTTP/1.1\r\nHost: a.test\r\n{framing}");
            let pieces = if at_once { vec![head + smuggled] } else { vec![head, smuggled.to_owned()] };
            client.write_all(pieces[0].as_bytes()).unwrap();
            assert!(read_response(&mut client).starts_with("HTTP/1.1 403 "));
            for piece in &pieces[1..] {
                // Closed already is as good.
                let _ = client.write_all(piece.as_bytes());
            }
            read_to_close(&mut client);
        }
    }
    assert_eq!(world.upstream.complete(), Vec::<String>::new());
}

/// A connection that is closed with bytes unread is reset, and many a client loses the answer then (RFC 9112, 9.6).
#[test]
fn who_is_answered_before_the_body_was_read_may_finish_sending_it() {
    let world = World::start(Limits { linger: PATIENCE, ..Limits::default() });
    for framing in ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"] {
        let mut client = world.connect();
        client.write_all(format!("POST /own HTTP/1.1\r\nHost: a.test\r\n{framing}").as_bytes()).unwrap();
        assert!(read_response(&mut client).starts_with("HTTP/1.1 403 "));
        for part in vec![b'x'; 100_000].chunks(10_000) {
            client.write_all(part).unwrap();
            thread::yield_now();
        }
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "an orderly end");
        drop(client);
        world.observer.wait(|state| state.open == 0);
    }
    assert_eq!(world.observer.state().refused, []);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_noticed() {
    let world = World::start(Limits::default());
    let mut client = world.connect();
    client.write_all(b"GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    world.upstream.wait(|log| log.complete.len() == 1);
    drop(client);
    world.observer.wait(|state| state.open == 0);
}

#[test]
fn a_header_that_trickles_is_closed_at_the_deadline() {
    let mut limits = Limits { header_deadline: Duration::from_millis(300), ..Limits::default() };
    limits.framing.header_fields = 100_000;
    limits.framing.header_bytes = 1 << 20;
    let world = World::start(limits);
    for first in [true, false] {
        let mut client = world.connect();
        if !first {
            client.write_all(GET.as_bytes()).unwrap();
            read_response(&mut client);
        }
        let before = world.observer.state().refused.len();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n").unwrap();
        let start = Instant::now();
        while world.observer.state().refused.len() == before && client.write_all(b"X: y\r\n").is_ok() {
            assert!(start.elapsed() < PATIENCE, "no deadline");
            // The pace of the trickle: each byte comes well before a timer per read would end.
            thread::sleep(Duration::from_millis(20));
        }
        assert!(read_to_close(&mut client).starts_with("HTTP/1.1 408 "));
        assert_eq!(world.observer.state().refused.last(), Some(&Refused::HeaderDeadline));
    }
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let world = World::start(Limits {
        header_deadline: Duration::from_millis(200),
        keep_alive_idle: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut silent = world.connect();
    assert_eq!(read_to_close(&mut silent), "");
    let mut kept = world.connect();
    kept.write_all(GET.as_bytes()).unwrap();
    read_response(&mut kept);
    assert_eq!(read_to_close(&mut kept), "");
    world.observer.wait(|state| state.open == 0);
    assert_eq!(world.observer.state().refused, []);
}

#[test]
fn the_idle_limit_and_the_header_deadline_are_two() {
    let world = World::start(Limits {
        header_deadline: Duration::from_millis(200),
        keep_alive_idle: NEVER,
        ..Limits::default()
    });
    let mut client = world.connect();
    client.write_all(GET.as_bytes()).unwrap();
    read_response(&mut client);
    client.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let idle = client.read(&mut [0]).unwrap_err();
    assert!(matches!(idle.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open: {idle}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    assert!(read_response(&mut client).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_body_that_does_not_come_is_refused() {
    let slow = Progress { bytes: 1000, window: Duration::from_millis(200) };
    let total =
        Limits { body_deadline: Some(Duration::from_millis(200)), body_progress: None, ..Limits::default() };
    let progress = Limits { body_deadline: None, body_progress: Some(slow), ..Limits::default() };
    for (limits, reason) in [(total, Refused::BodyDeadline), (progress, Refused::BodyTooSlow)] {
        let world = World::start(limits);
        for framing in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"] {
            let mut client = world.connect();
            write!(client, "POST / HTTP/1.1\r\nHost: a.test\r\n{framing}").unwrap();
            assert!(read_to_close(&mut client).starts_with("HTTP/1.1 408 "));
            assert_eq!(world.observer.state().refused.last(), Some(&reason));
        }
        assert_eq!(world.upstream.complete(), Vec::<String>::new());
    }
}

#[test]
fn connections_over_the_cap_are_closed_and_counted() {
    let world = World::start(Limits { connections: 1, ..Limits::default() });
    let mut first = world.connect();
    first.write_all(GET.as_bytes()).unwrap();
    read_response(&mut first);
    let mut second = world.connect();
    let _ = second.write_all(GET.as_bytes());
    assert_eq!(read_to_close(&mut second), "");
    world.observer.wait(|state| state.refused == [Refused::TooManyConnections]);
    drop(first);
    world.observer.wait(|state| state.open == 0);
    let mut third = world.connect();
    third.write_all(GET.as_bytes()).unwrap();
    assert!(read_response(&mut third).starts_with("HTTP/1.1 200 "));
}

#[test]
fn after_a_101_bytes_pass_as_they_are() {
    let world = World::start(Limits::default());
    let mut socket = world.upgrade();
    let frames = b"\0\x81\r\nGET / HTTP/1.1\n\xff";
    socket.write_all(frames).unwrap();
    let mut echoed = vec![0; frames.len()];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, frames);
    assert_eq!(world.observer.state().refused, []);
}

#[test]
fn bytes_behind_an_upgrade_that_is_refused_are_a_request_of_their_own() {
    let world = World::start(Limits::default());
    let mut client = world.connect();
    let upgrade = "GET /no HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    write!(client, "{upgrade}GET /two HTTP/1.1\r\nHost : a.test\r\n\r\n").unwrap();
    let answers = read_to_close(&mut client);
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert_eq!(world.upstream.complete().len(), 1);
    assert!(world.observer.state().refused.iter().all(|reason| *reason == Refused::FieldName));
}

#[test]
fn what_the_proxy_refuses_before_its_filters_is_seen() {
    let world = World::start(Limits::default());
    for request in
        ["GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /a`b HTTP/1.1\r\nHost: a.test\r\n\r\n"]
    {
        let mut client = world.connect();
        client.write_all(request.as_bytes()).unwrap();
        assert!(read_to_close(&mut client).starts_with("HTTP/1.1 400 "));
    }
    world.observer.wait(|state| state.refused == [Refused::ByProxy; 2]);
    assert_eq!(world.upstream.complete(), Vec::<String>::new());
}

#[test]
fn http2_without_tls_is_served_only_where_it_is_allowed() {
    let world = World::start_with(Limits::default(), h2c);
    for cut in [1, PREFACE_AND_SETTINGS.len()] {
        let mut client = world.connect();
        for piece in PREFACE_AND_SETTINGS.chunks(cut) {
            client.write_all(piece).unwrap();
        }
        let mut frame = [0; 9];
        client.read_exact(&mut frame).unwrap();
        assert_eq!(frame[3], 4, "the server's SETTINGS");
    }
    // Shorter than the preface, and beginning like it.
    for request in ["GET / HTTP/1.0\r\n\r\n", "PRI / HTTP/1.0\r\n\r\n"] {
        let mut client = world.connect();
        client.write_all(request.as_bytes()).unwrap();
        assert!(read_response(&mut client).starts_with("HTTP/1.1 200 "), "{request}");
    }
}

#[test]
fn half_an_http2_preface_is_closed_at_the_deadline() {
    let limits = Limits { header_deadline: Duration::from_millis(200), ..Limits::default() };
    let world = World::start_with(limits, h2c);
    let mut client = world.connect();
    client.write_all(b"PRI * HT").unwrap();
    read_to_close(&mut client);
    assert_eq!(world.observer.state().refused, [Refused::HeaderDeadline]);
}

#[test]
fn a_certificate_is_replaced_without_a_restart() {
    let folder = Folder::new("certificate");
    let (chain, key) = (folder.file("chain.pem", CERTIFICATE_ONE), folder.file("key.pem", KEY_ONE));
    let trust_two = folder.file("two.pem", CERTIFICATE_TWO);
    let trust_one = folder.file("one.pem", CERTIFICATE_ONE);
    let (settings, certificates) = tls_settings(&chain, &key, false).unwrap();
    let world = World::start_with(Limits::default(), |address| Listen::tls(address, settings));
    let served_to = |trusted: &PathBuf| world.runtime.block_on(get_over_tls(world.address, trusted));
    assert!(served_to(&trust_one).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(served_to(&trust_two).is_err());

    folder.file("chain.pem", CERTIFICATE_TWO);
    assert!(Certificates::read(&chain, &key).is_err(), "the old key does not fit the new chain");
    assert!(served_to(&trust_one).is_ok(), "the old pair stays");
    folder.file("key.pem", KEY_TWO);
    certificates.exchange(Certificates::read(&chain, &key).unwrap());
    assert!(served_to(&trust_two).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(served_to(&trust_one).is_err());

    folder.file("chain.pem", "not a certificate");
    assert!(Certificates::load(&chain, &key).is_err());
    assert!(Certificates::load(&folder.path.join("absent.pem"), &key).is_err());
}

#[test]
fn http2_over_tls_is_what_was_negotiated() {
    let folder = Folder::new("http2");
    let (chain, key) = (folder.file("h2.pem", CERTIFICATE_ONE), folder.file("h2.key", KEY_ONE));
    for http2 in [true, false] {
        let (settings, _) = tls_settings(&chain, &key, http2).unwrap();
        let limits = Limits { header_deadline: Duration::from_millis(300), ..Limits::default() };
        let world = World::start_with(limits, |address| Listen::tls(address, settings));
        let talk = |sent| world.runtime.block_on(talk_h2(world.address, &chain, sent));
        if http2 {
            assert_eq!(talk(PREFACE_AND_SETTINGS).unwrap()[3], 4, "the server's SETTINGS");
            assert_eq!(world.runtime.block_on(get_over_h2(world.address, &chain)), "200 answer to /over-h2");
            assert!(talk(b"PRI *").unwrap().is_empty());
            world.observer.wait(|state| state.refused.last() == Some(&Refused::HeaderDeadline));
        } else {
            assert!(talk(PREFACE_AND_SETTINGS).is_err());
        }
    }
}

#[test]
fn a_stopping_server_closes_idle_connections_and_finishes_what_it_serves() {
    let world = World::start(Limits { keep_alive_idle: NEVER, ..Limits::default() });
    let (mut idle, mut serving) = (world.connect(), world.connect());
    idle.write_all(GET.as_bytes()).unwrap();
    read_response(&mut idle);
    serving.write_all(b"GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    world.upstream.wait(|log| log.complete.len() == 2);
    world.stop.send(true).unwrap();
    assert_eq!(read_to_close(&mut idle), "");
    world.upstream.release();
    assert!(read_to_close(&mut serving).ends_with("answer to /hold"));
    assert_eq!(world.observer.state().refused, []);
}

/// A slow line: of a reply that has been served to its end megabytes stand in the socket yet.
#[test]
fn a_stopping_server_lets_slow_clients_over_http2_take_the_rest() {
    let world = World::start_with(Limits { linger: Duration::from_millis(50), ..Limits::default() }, h2c);
    let mut client = world.connect();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let [.., a, b, c] = payload.len().to_be_bytes();
        [[a, b, c, kind, flags, 0, 0, 0, stream].as_slice(), payload].concat()
    };
    let path = b"\x82\x86\x04\x06/large\x01\x06a.test";
    // A window that is never full: nothing but the line slows it down.
    let opening = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff"),
        frame(8, 0, 0, b"\x7f\0\0\0"),
        frame(1, 5, 1, path),
    ];
    client.write_all(&opening.concat()).unwrap();
    world.upstream.wait(|log| log.complete.len() == 1);
    world.stop.send(true).unwrap();
    let (mut taken, mut told, mut complete) = (0, 0, false);
    while !complete {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap_or_else(|error| panic!("{error} after {taken} bytes"));
        let mut payload =
            vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        client.read_exact(&mut payload).unwrap_or_else(|error| panic!("{error} after {taken} bytes"));
        match (head[3], head[4] & 1) {
            (0, ends) => {
                taken += payload.len();
                complete = ends == 1;
                // As slow as a good line.
                thread::sleep(Duration::from_micros(payload.len() as u64 / 16));
            }
            (4, 0) => client.write_all(&frame(4, 1, 0, b"")).unwrap(),
            (6, 0) => client.write_all(&frame(6, 1, 0, &payload)).unwrap(),
            _ => {}
        }
        if taken - told > LARGE / 16 {
            told = taken;
            // As clients do: how far they have come.
            client.write_all(&frame(8, 0, 0, b"\0\0\0\x01")).unwrap();
        }
    }
    assert_eq!(taken, LARGE);
    drop(client);
    world.observer.wait(|state| state.open == 0);
}

/// A connection of a client that offers HTTP/2 alone.
async fn connect_h2(
    address: SocketAddr,
    trusted: &PathBuf,
) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let mut config = client_config(trusted);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from("a.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A request by a client's library: status and body.
async fn get_over_h2(address: SocketAddr, trusted: &PathBuf) -> String {
    let (mut sender, connection) =
        h2::client::handshake(connect_h2(address, trusted).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://a.test/over-h2").body(()).unwrap();
    let (head, mut body) = sender.send_request(request, true).unwrap().0.await.unwrap().into_parts();
    let mut said = format!("{} ", head.status.as_u16());
    while let Some(part) = body.data().await {
        said.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
    }
    said
}

/// What the server says first to a client that offers HTTP/2 alone.
async fn talk_h2(address: SocketAddr, trusted: &PathBuf, sent: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect_h2(address, trusted).await?;
    stream.write_all(sent).await?;
    let mut said = vec![0; 64];
    // A close without the TLS farewell is a close too.
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut said)).await?;
    said.truncate(read.unwrap_or(0));
    Ok(said)
}

async fn get_over_tls(address: SocketAddr, trusted: &PathBuf) -> std::io::Result<String> {
    let config = client_config(trusted);
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from("a.test").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /one HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

fn client_config(trusted: &PathBuf) -> ClientConfig {
    pingora::tls::install_default_crypto_provider();
    let mut roots = RootCertStore::empty();
    load_ca_file_into_store(trusted, &mut roots).unwrap();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

fn h2c(address: SocketAddr) -> Listen {
    let mut listen = Listen::plain(address);
    listen.h2c = true;
    listen
}

/// Front, proxy and upstream, on loopback. Ends when dropped.
struct World {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    observer: Arc<Recorder>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
}

impl World {
    fn start(limits: Limits) -> Self {
        Self::start_with(limits, Listen::plain)
    }

    fn start_with(limits: Limits, listen: impl FnOnce(SocketAddr) -> Listen) -> Self {
        let upstream = Upstream::start();
        let observer = Arc::new(Recorder::default());
        let app = App { upstream: upstream.address };
        let conf = Arc::new(ServerConf::default());
        // The listener takes an address, not a socket: a free one is looked for and given back.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listeners = vec![listen(address)];
        let mut service = front_service("guarded", &conf, app, limits, listeners, observer.clone());
        let (stop, stopped) = watch::channel(false);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(async move { service.start_service(None, stopped, 1).await });
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < PATIENCE, "the front does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        // The connection that found the front listening has left again.
        observer.wait(|state| state.opened > 0 && state.open == 0);
        observer.state().refused.clear();
        Self { address, upstream, observer, stop, runtime }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// A connection after the `101`.
    fn upgrade(&self) -> TcpStream {
        let mut client = self.connect();
        client
            .write_all(
                b"GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .unwrap();
        assert!(read_response(&mut client).starts_with("HTTP/1.1 101 "));
        client
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.upstream.release();
    }
}

/// Lets everything through to the upstream.
#[derive(Clone)]
struct App {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for App {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut ()) -> pingora::Result<()> {
        if let Some(connection) = connection(session) {
            connection.reached_filters();
        }
        Ok(())
    }

    /// Answers `/own` without a look at the body.
    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> pingora::Result<bool> {
        let own = session.req_header().uri.path() == "/own";
        if own {
            session.respond_error(403).await?;
        }
        Ok(own)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

/// What the observer was told, and a way to wait for it.
#[derive(Default)]
struct Recorder {
    state: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    refused: Vec<Refused>,
    opened: i64,
    open: i64,
}

impl Recorder {
    fn state(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().unwrap()
    }

    fn wait(&self, until: impl Fn(&Seen) -> bool) {
        let outcome = self.changed.wait_timeout_while(self.state(), PATIENCE, |seen| !until(seen)).unwrap();
        assert!(!outcome.1.timed_out(), "refused {:?}, open {}", outcome.0.refused, outcome.0.open);
    }
}

impl Observer for Recorder {
    fn refused(&self, peer: Option<SocketAddr>, reason: Refused) -> String {
        assert!(peer.is_some_and(|peer| peer.ip().is_loopback()));
        let mut state = self.state();
        state.refused.push(reason);
        self.changed.notify_all();
        format!("ref-{}", state.refused.len())
    }

    fn connections(&self, delta: i64) {
        let mut state = self.state();
        state.open += delta;
        state.opened += delta.max(0);
        self.changed.notify_all();
    }
}

/// Writes down complete requests and answers them; echoes after a `101`; holds the answer to `/hold` until released.
struct Upstream {
    address: SocketAddr,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    complete: Vec<String>,
    released: bool,
}

impl Upstream {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(Self { address, log: Mutex::default(), changed: Condvar::new() });
        let serving = Arc::downgrade(&upstream);
        // Ends with the test's process; a thread per connection, as many as the front opens.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(upstream) = serving.upgrade() else { return };
                thread::spawn(move || upstream.serve(stream.unwrap()));
            }
        });
        upstream
    }

    fn complete(&self) -> Vec<String> {
        self.log.lock().unwrap().complete.clone()
    }

    fn wait(&self, until: impl Fn(&Log) -> bool) {
        let log = self.log.lock().unwrap();
        let outcome = self.changed.wait_timeout_while(log, PATIENCE, |log| !until(log)).unwrap();
        assert!(!outcome.1.timed_out(), "upstream has {:?}", outcome.0.complete);
    }

    fn release(&self) {
        self.log.lock().unwrap().released = true;
        self.changed.notify_all();
    }

    /// None when the front has closed.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(read_byte(&mut stream)?);
            }
            let head = String::from_utf8(request).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let body = read_upstream_body(&head, &mut stream)?;
            let upgraded = path == "/socket";
            self.log.lock().unwrap().complete.push(head + &String::from_utf8(body).unwrap());
            self.changed.notify_all();
            if upgraded {
                let switching =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(switching.as_bytes()).ok()?;
                loop {
                    let byte = read_byte(&mut stream)?;
                    stream.write_all(&[byte]).ok()?;
                }
            }
            if path == "/hold" {
                self.wait(|log| log.released);
            }
            let body = if path == "/large" { "x".repeat(LARGE) } else { format!("answer to {path}") };
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        }
    }
}

/// The body as its one framing field says; a request with two is never complete.
fn read_upstream_body(head: &str, stream: &mut TcpStream) -> Option<Vec<u8>> {
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).map(|rest| rest.split("\r\n").next().unwrap());
    let chunked = head.contains("transfer-encoding: chunked");
    assert!(!(length.is_some() && chunked), "two framings: {head}");
    let mut body = Vec::new();
    if let Some(length) = length {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).ok()?;
    }
    if !chunked {
        return Some(body);
    }
    loop {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(read_byte(stream)?.into());
        }
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).ok()?;
        assert!(chunk.ends_with(b"\r\n"));
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn read_byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    Some(byte[0])
}

fn split(bytes: &str, size: usize) -> Vec<&[u8]> {
    bytes.as_bytes().chunks(size).collect()
}

/// One response with Content-Length, or without a body.
fn read_response(client: &mut TcpStream) -> String {
    let mut response = String::new();
    while !response.ends_with("\r\n\r\n") {
        response.push(read_byte(client).unwrap_or_else(|| panic!("closed after {response:?}")).into());
    }
    let length = response.to_ascii_lowercase();
    let length =
        length.split("content-length: ").nth(1).map_or("0", |rest| rest.split("\r\n").next().unwrap());
    for _ in 0..length.parse().unwrap() {
        response.push(read_byte(client).unwrap().into());
    }
    response
}

/// What comes until the front closes. A reset is a close too; silence is not.
fn read_to_close(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("not closed: {error}"),
        }
    }
    String::from_utf8(answer).unwrap()
}

/// A folder of this test run, removed when dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

// Self-signed for `a.test`, made for this test alone; they guard nothing.
const CERTIFICATE_ONE: &str = "-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUJFCrE53BtaCErMWpdvN4+slE38cwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIb25lLnRlc3QwIBcNMjYxMTIxMDMxNjQzWhgPMjEyNjEwMjgw
MzE2NDNaMBMxETAPBgNVBAMMCG9uZS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEXnob3YzympsuXaI2qHRPyEyrUJuYVVcIygHZ4V4HEeUVXyBjeT5ghgb5
nNOLzf7Dn/xUbhI4AO7BvTIPI/9V8KNjMGEwHQYDVR0OBBYEFD9qu6DKUmZ3ZYxC
FFPnZX1R+G56MB8GA1UdIwQYMBaAFD9qu6DKUmZ3ZYxCFFPnZX1R+G56MBEGA1Ud
EQQKMAiCBmEudGVzdDAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUCIHKB
xywTVq1oZHz3UuaSPyTo9wMO9gKiwpkhB6jVLtvKAiEA45zApMK6bnyuQJNqseWx
apcY3Os1mULPa0577Rs4rSQ=
-----END CERTIFICATE-----";
const KEY_ONE: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMACfO4/cMI6cEe2H
q4pjGn9MIhbdzY4O9uQg/w7QPM6hRANCAAReehvdjPKamy5dojaodE/ITKtQm5hV
VwjKAdnhXgcR5RVfIGN5PmCGBvmc04vN/sOf/FRuEjgA7sG9Mg8j/1Xw
-----END PRIVATE KEY-----";
const CERTIFICATE_TWO: &str = "-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUPbruEJjYi7CeCZEJ68TAAF5tpeYwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIdHdvLnRlc3QwIBcNMjYxMTIxMDMxNjQzWhgPMjEyNjEwMjgw
MzE2NDNaMBMxETAPBgNVBAMMCHR3by50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEgGik0dpxAXM+DyjJZplsIG5Scg1DHCYWRVzZ5mYFXZmK42q57Qo/+hl8
9B5T5++JiATBVGvJCugBGOaIg0BV5KNjMGEwHQYDVR0OBBYEFGUsG/L7oqRPBl1m
OTWZdB4vVz/0MB8GA1UdIwQYMBaAFGUsG/L7oqRPBl1mOTWZdB4vVz/0MBEGA1Ud
EQQKMAiCBmEudGVzdDAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUCIQDM
ERnNYGKZNSBQz/umkHJtlwufHQQ81BPIM5ORsCt9rAIgdUda+axi+F7vQI/L0fgL
D43rrSN80aW/oZrqPybYoKQ=
-----END CERTIFICATE-----";
const KEY_TWO: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+fx/j1MnX4uQ8VjW
M8nFsLV2rQIeMab4nKDMu4hNscahRANCAASAaKTR2nEBcz4PKMlmmWwgblJyDUMc
JhZFXNnmZgVdmYrjarntCj/6GXz0HlPn74mIBMFUa8kK6AEY5oiDQFXk
-----END PRIVATE KEY-----";
