//! Large bodies in both directions cost the gateway no memory, however slow a side is, and what is sent is passed on at
//! once (`threats.md` LI-1, LI-3).

use std::sync::LazyLock;

use super::*;
use crate::harness::http::{Head, read_response};

const SIZE: usize = 100 << 20;

/// How much more memory the gateway may have held at its most.
const MOST_KIB: u64 = 30 << 10;

/// After so many bytes the body begins anew; a prime, so that no buffer's length is a multiple of it.
const PERIOD: usize = 65_521;

/// A part of the body: one that is lost, doubled or moved is noticed.
fn part(from: usize, length: usize) -> &'static [u8] {
    static TWICE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..2 * PERIOD).map(|at| (at % PERIOD * 31 / 7) as u8).collect());
    &TWICE[from % PERIOD..][..length]
}

/// As much as is written and read at once.
const PART: usize = 64_000;

/// Writes a large body, as fast as it is taken.
fn write_large(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut from = 0;
    while from < SIZE {
        let length = (SIZE - from).min(PART);
        stream.write_all(part(from, length))?;
        from += length;
    }
    Ok(())
}

/// Reads a large body and looks at every byte. After each of its hundredths `pause` is called.
fn read_large(stream: &mut TcpStream, mut pause: impl FnMut()) {
    let mut bytes = vec![0; PART];
    let mut from = 0;
    while from < SIZE {
        let most = bytes.len().min(SIZE - from);
        let length = stream.read(&mut bytes[..most]).unwrap();
        assert!(length > 0, "it ends after {from} bytes");
        assert!(&bytes[..length] == part(from, length), "another byte behind {from}");
        if (from + length) / (SIZE / 100) > from / (SIZE / 100) {
            pause();
        }
        from += length;
    }
}

/// A reader that takes its time: nobody may hold for it what it does not take.
fn slowly() {
    thread::sleep(Duration::from_millis(20));
}

fn large_world() -> World {
    let world = World::start();
    world.app.stream("/app/download", |mut stream, _| {
        stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .unwrap();
        let _ = write_large(&mut stream);
    });
    for (path, pause) in [("/app/upload", (|| ()) as fn()), ("/app/slow-upload", slowly)] {
        world.app.stream(path, move |mut stream, received| {
            assert_eq!(received.header("content-length"), Some(SIZE.to_string().as_str()));
            read_large(&mut stream, pause);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole")
                .unwrap();
        });
    }
    world
}

#[test]
fn a_hundred_megabytes_pass_in_both_directions_and_are_nowhere_kept() {
    let mut world = large_world();
    let browser = logged_in(&world, "bankid-high");
    let cookies = cookies(&world, &browser);
    drop(browser);
    let send = |world: &World, line: &str, fields: &str| {
        let mut stream = connect(world.address());
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n{cookies}{fields}\r\n", world.authority());
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let before = world.gateway().most_memory();
    for pause in [(|| ()) as fn(), slowly] {
        let mut stream = send(&world, "GET /app/download", "");
        let head = Head::parse(&read_head(&mut stream).unwrap());
        assert!(head.start.starts_with("HTTP/1.1 200"), "{head:?}");
        read_large(&mut stream, pause);
    }
    for path in ["/app/upload", "/app/slow-upload"] {
        let mut stream = send(&world, &format!("PUT {path}"), &format!("Content-Length: {SIZE}\r\n"));
        let written = write_large(&mut stream);
        let answer = read_response(&mut stream, false);
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"), "{path}: {written:?}");
    }
    let after = world.gateway().most_memory();
    assert!(after < before + MOST_KIB, "{before} KiB at most before, {after} KiB after");
    world.finish();
}

/// The second event is not sent before the first has been seen.
#[test]
fn an_event_is_passed_on_before_the_next_one_exists() {
    let world = World::start();
    let (seen, go_on) = mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    world.app.stream("/app/events", move |mut stream, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for event in 0..20 {
            stream.write_all(format!("data: {event}\n\n").as_bytes()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
    });
    let browser = logged_in(&world, "bankid-high");
    let mut stream =
        super::send(&world, &browser, "GET /app/events HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n");
    begun(&mut stream, "data: 0\n\n");
    for event in 1..20 {
        seen.send(()).unwrap();
        let wanted = format!("data: {event}\n\n");
        let mut text = Vec::new();
        while !text.ends_with(wanted.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
    }
    drop(seen);
    world.finish();
}
