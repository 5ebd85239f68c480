//! Connections before and beside their requests: PROXY headers, the cap for each client, handshakes, floods of resets and
//! replies that nobody takes (`threats.md` RT-7, LI-3, LI-4).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::http2;
use super::split::Cuts;
use super::wire::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, block, frame, hello,
    read_frame, read_stream,
};
use crate::harness::http::{connect, read_response};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const V1: &str = "PROXY TCP4 198.51.100.7 192.0.2.1 50000 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\x00\x71\x09\xc0\0\x02\x01\xc3\x50\x01\xbb";

fn get(world: &World, fields: &str) -> Vec<u8> {
    let host = world.authority();
    // A load balancer that passes connections on says what they came by.
    format!("GET /public/ HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n{fields}Connection: close\r\n\r\n")
        .into_bytes()
}

/// The same over HTTP/2, for a path.
fn ask(world: &World, stream: u32, path: &str) -> Vec<u8> {
    let host = world.authority();
    let head = block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
        (b"x-forwarded-proto", b"https"),
    ]);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
}

/// Whether it was closed without a word.
fn is_closed_silently(mut client: TcpStream) -> bool {
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        Ok(_) => answer.is_empty(),
        Err(error) => answer.is_empty() && error.kind() == ErrorKind::ConnectionReset,
    }
}

fn await_refusal(world: &World, reason: &str) {
    await_that(reason, || world.access_log().iter().any(|line| line["reason"] == reason).then_some(()));
}

#[test]
fn who_connects_through_a_load_balancer_is_who_its_header_names() {
    let world = World::with(
        Settings::default().listener("load_balancers: [127.0.0.0/8], proxy_protocol: any, h2c: true"),
    );
    for (header, client) in [(V1.as_bytes(), "198.51.100.7"), (V2, "203.0.113.9")] {
        for cuts in [Cuts::Whole, Cuts::Each] {
            let request = get(&world, "X-Forwarded-For: 192.0.2.99\r\n");
            let mut stream = connect(world.address());
            stream.set_nodelay(true).unwrap();
            for piece in cuts.pieces(&[header, &request[..]].concat()) {
                stream.write_all(piece).unwrap();
            }
            assert_eq!(read_response(&mut stream, false).status, 200);
            assert_eq!(world.app.last().header("x-forwarded-for"), Some(client));
            await_that("the log knows the client", || {
                world.access_log().last().filter(|line| line["client"] == client).map(drop)
            });
        }
    }
    let over_http2 = [V2, &hello(), &ask(&world, 1, "/public/")].concat();
    let outcome = http2::send(&world, &over_http2, 1, Cuts::Drawn(7));
    assert_eq!((outcome.status, world.app.last().header("x-forwarded-for")), (200, Some("203.0.113.9")));
    let before = world.app.count();
    // Nobody speaks for himself, and nobody says it twice.
    for bytes in [get(&world, ""), [b"PROXY TCP4 1.2.3.4\r\n", &get(&world, "")[..]].concat()] {
        let mut stream = connect(world.address());
        stream.write_all(&bytes).unwrap();
        assert!(is_closed_silently(stream));
    }
    let mut twice = connect(world.address());
    twice.write_all(&[V1.as_bytes(), V1.as_bytes(), &get(&world, "")].concat()).unwrap();
    assert_eq!(read_response(&mut twice, false).status, 400);
    await_refusal(&world, "proxy_header");
    assert_eq!(world.app.count(), before);
    world.finish();
}

#[test]
fn a_peer_that_nobody_named_speaks_for_nobody() {
    let world =
        World::with(Settings::default().listener("load_balancers: [192.0.2.0/24], proxy_protocol: any"));
    let mut stream = connect(world.address());
    // It may be closed already.
    let _ = stream.write_all(&[V1.as_bytes(), &get(&world, "")].concat());
    assert!(is_closed_silently(stream));
    await_refusal(&world, "proxy_peer");
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn one_client_has_so_many_connections_and_leaves_room_for_others() {
    let listener = "load_balancers: [127.0.0.0/8], proxy_protocol: v1, connections_per_client: 3";
    let world = World::with(Settings::default().listener(listener));
    let connect_as = |client: &str| {
        let mut stream = connect(world.address());
        let _ = write!(stream, "PROXY TCP6 {client} 2001:db8::1 50000 443\r\n");
        stream
    };
    let ask = |mut stream: TcpStream| {
        let _ = stream.write_all(&get(&world, ""));
        read_response(&mut stream, false).status
    };
    let greedy: Vec<TcpStream> = (1..=3).map(|host| connect_as(&format!("2001:db8:7::{host}"))).collect();
    await_that("they are counted", || {
        let open = world.admin("/metrics").text();
        open.lines().any(|line| line.contains("connections") && line.ends_with(" 3")).then_some(())
    });
    // Another address of the same network is the same client.
    assert!(is_closed_silently(connect_as("2001:db8:7::4")));
    await_refusal(&world, "too_many_of_client");
    assert_eq!(ask(connect_as("2001:db8:8::1")), 200);
    for stream in greedy {
        assert_eq!(ask(stream), 200);
    }
    // Their places are free again.
    await_that("one of them may connect", || (ask(connect_as("2001:db8:7::4")) == 200).then_some(()));
    world.finish();
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let listener = "load_balancers: [127.0.0.0/8], proxy_protocol: any";
    let world = World::with(Settings::default().listener(listener).top("limits: {handshake_deadline: 2s}"));
    let began = Instant::now();
    let mut half = connect(world.address());
    half.write_all(&V1.as_bytes()[..20]).unwrap();
    assert!(is_closed_silently(half));
    assert!(began.elapsed() >= Duration::from_millis(1950), "{:?}", began.elapsed());
    await_refusal(&world, "handshake_deadline");
    world.finish();
}

#[test]
fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let world = World::with(Settings::default().listener("h2c: true"));
    let mut other = connect(world.address());
    other.write_all(&[hello(), ask(&world, 1, "/public/")].concat()).unwrap();
    assert_eq!(read_stream(&mut other, 1).status, 200);
    let mut flood = connect(world.address());
    flood.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    let mut sent = 0;
    for stream in (0..20_000).map(|number| number * 2 + 1) {
        let pair = [ask(&world, stream, "/public/reset"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())];
        if flood.write_all(&pair.concat()).is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 20_000, "nobody minded");
    await_that("the flood is heard of", || {
        let flood = |line: &serde_json::Value| {
            line["kind"] == "refused" && line["reason"].as_str().is_some_and(|why| why.starts_with("http2_"))
        };
        world.access_log().iter().any(flood).then_some(())
    });
    assert!(world.app.count() <= 400, "{} of them reached the app", world.app.count());
    other.write_all(&ask(&world, 3, "/public/")).unwrap();
    assert_eq!(read_stream(&mut other, 3).status, 200);
    world.unjudged_count();
}

#[test]
fn a_reply_that_nobody_takes_is_given_up_and_the_others_are_not() {
    let world = World::with(Settings::default().listener("h2c: true"));
    world.app.reply(
        "/public/large",
        [b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", &[b'x'; 300_000][..]].concat(),
    );
    let mut client = connect(world.address());
    // No window for any stream: only heads and resets come.
    let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    client.write_all(&[PREFACE, &settings, &ask(&world, 1, "/public/large")].concat()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let began = Instant::now();
    let mut pinged = began;
    loop {
        let (kind, _, stream, _) = read_frame(&mut client).expect("the connection stays open");
        if (kind, stream) == (RST_STREAM, 1) {
            break;
        }
        assert_ne!(kind, GOAWAY);
        assert!(began.elapsed() < Duration::from_secs(100), "it is still waited for");
        // Somebody who is there, but takes nothing.
        if kind == HEADERS || (kind == PING && pinged.elapsed() > Duration::from_secs(1)) {
            pinged = Instant::now();
            client.write_all(&frame(PING, 0, 0, &[0; 8])).unwrap();
        }
    }
    assert!(began.elapsed() > Duration::from_secs(25), "it was given up early: {:?}", began.elapsed());
    // With a window the next one is served.
    client
        .write_all(&[frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), ask(&world, 3, "/public/")].concat())
        .unwrap();
    assert_eq!(read_stream(&mut client, 3).status, 200);
    world.unjudged_count();
}
