//! Clients that begin and do not go on: each kind is gone at its deadline, and nothing of it reaches the app (`threats.md` LI-1,
//! LI-3).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::split::Cuts;
use super::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, block, frame, hello, read_frame,
};
use crate::harness::http::connect;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// Each deadline of these worlds.
const DEADLINE: Duration = Duration::from_secs(2);

/// How much earlier than its deadline a clock may call it over.
const TICK: Duration = Duration::from_millis(50);

/// The pace of those who trickle: well within any timer for a single read.
const PACE: Duration = Duration::from_millis(100);

/// Sends bytes and reads what becomes of the first streams: a status for each, 0 if it was reset.
pub(super) fn send_and_read_all(world: &World, bytes: &[u8], streams: usize, cuts: Cuts) -> Vec<u16> {
    let mut client = connect(world.address());
    client.set_nodelay(true).unwrap();
    for piece in cuts.pieces(bytes) {
        client.write_all(piece).unwrap();
    }
    let mut statuses = vec![None; streams];
    while statuses.iter().any(Option::is_none) {
        let (kind, flags, id, payload) = read_frame(&mut client).expect("the connection stays open");
        let Some(status) =
            (id % 2 == 1).then(|| statuses.get_mut(usize::try_from(id / 2).unwrap())).flatten()
        else {
            continue;
        };
        match kind {
            HEADERS => {
                assert!(
                    payload.starts_with(&[0x88]) || payload.starts_with(&[0x20, 0x88]),
                    "not 200: {payload:?}"
                );
                assert_eq!(flags & END_STREAM, 0, "a body follows");
            }
            DATA if flags & END_STREAM != 0 => *status = Some(200),
            RST_STREAM => *status = Some(0),
            _ => {}
        }
    }
    statuses.into_iter().flatten().collect()
}

/// What a slow client does.
struct Slow {
    name: &'static str,
    /// At once.
    first: Vec<u8>,
    /// Again and again, at the pace.
    trickle: Vec<u8>,
    /// What the refusal is called, if it is one.
    reason: Option<&'static str>,
}

fn slow(
    name: &'static str,
    first: impl Into<Vec<u8>>,
    trickle: impl Into<Vec<u8>>,
    reason: &'static str,
) -> Slow {
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    Slow { name, first: first.into(), trickle: trickle.into(), reason }
}

#[test]
fn slow_clients_of_every_kind_are_gone_at_their_deadline() {
    let limits = "limits: {header_deadline: 2s, body_deadline: 2s, request_deadline: 30s, keep_alive: 2s}";
    let world = World::with(Settings::default().listener("h2c: true").top(limits));
    let host = world.authority();
    let get = format!("GET /public/ HTTP/1.1\r\nHost: {host}\r\n");
    let post = format!("POST /public/ HTTP/1.1\r\nHost: {host}\r\n");
    let head = |method: &'static [u8]| {
        block(&[
            (b":method", method),
            (b":scheme", b"http"),
            (b":authority", host.as_bytes()),
            (b":path", b"/public/"),
        ])
    };
    let (asking, posting) = (head(b"GET"), head(b"POST"));
    let h2 = |frames: &[Vec<u8>]| [hello(), frames.concat()].concat();
    let ping = frame(PING, 0, 0, &[0; 8]);
    let clients = [
        slow("nothing", "", "", ""),
        slow("half a request line", "GET /pub", "", "header_deadline"),
        slow("half a header", get.clone(), "", "header_deadline"),
        slow("a header that trickles", get.clone(), "X: y\r\n", "header_deadline"),
        slow("a header byte by byte", format!("{get}X: "), "y", "header_deadline"),
        slow("empty lines", "\r\n", "", "header_deadline"),
        slow("a request, then nothing", format!("{get}\r\n"), "", ""),
        slow("a request, then half of one", format!("{get}\r\n{get}"), "", "header_deadline"),
        slow("no body", format!("{post}Content-Length: 5000\r\n\r\n"), "", "body_deadline"),
        slow("a body that trickles", format!("{post}Content-Length: 5000\r\n\r\n"), "b", "body_deadline"),
        slow(
            "a chunk that trickles",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nfff\r\n"),
            "b",
            "body_deadline",
        ),
        slow(
            "chunks that trickle",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n"),
            "1\r\nb\r\n",
            "body_deadline",
        ),
        slow("half a preface", &b"PRI * HTTP/2.0\r\n"[..], "", "header_deadline"),
        slow("a preface, then nothing", hello(), "", ""),
        slow("a preface and PING", hello(), ping.clone(), ""),
        slow("half a frame's head", h2(&[vec![0, 0]]), "", "header_deadline"),
        slow(
            "half a header block",
            h2(&[frame(HEADERS, END_STREAM, 1, &asking[..10])]),
            "",
            "header_deadline",
        ),
        slow(
            "half a HEADERS frame",
            h2(&[frame(HEADERS, END_STREAM | END_HEADERS, 1, &asking)[..20].to_vec()]),
            "",
            "header_deadline",
        ),
        slow(
            "a header block that trickles",
            h2(&[
                frame(HEADERS, END_STREAM, 1, &asking),
                frame(CONTINUATION, 0, 1, &[0; 5000])[..9].to_vec(),
            ]),
            "x",
            "header_deadline",
        ),
        slow(
            "an HTTP/2 request, then nothing",
            h2(&[frame(HEADERS, END_STREAM | END_HEADERS, 1, &asking)]),
            "",
            "",
        ),
        slow(
            "an HTTP/2 request, then PING",
            h2(&[frame(HEADERS, END_STREAM | END_HEADERS, 1, &asking)]),
            ping,
            "",
        ),
        slow("no HTTP/2 body", h2(&[frame(HEADERS, END_HEADERS, 1, &posting)]), "", "body_deadline"),
        slow(
            "an HTTP/2 body that trickles",
            h2(&[frame(HEADERS, END_HEADERS, 1, &posting)]),
            frame(DATA, 0, 1, b"b"),
            "body_deadline",
        ),
        slow(
            "a DATA frame that trickles",
            h2(&[frame(HEADERS, END_HEADERS, 1, &posting), frame(DATA, 0, 1, &[0; 5000])[..20].to_vec()]),
            "b",
            "body_deadline",
        ),
    ];
    thread::scope(|scope| {
        for client in &clients {
            let world = &world;
            scope.spawn(move || {
                let (lived, answer) = live(world, client);
                assert!(
                    lived + TICK >= DEADLINE,
                    "{}: gone after {lived:?}: {} bytes",
                    client.name,
                    answer.len()
                );
            });
        }
    });
    for reason in clients.iter().filter_map(|client| client.reason) {
        let wanted = clients.iter().filter(|client| client.reason == Some(reason)).count();
        await_that(reason, || {
            let refused = |line: &&serde_json::Value| line["reason"] == reason || line["rule"] == reason;
            (world.access_log().iter().filter(refused).count() >= wanted).then_some(())
        });
    }
    // Those who were refused asked for nothing; those who asked once were answered once.
    let asked = clients.iter().filter(|client| client.name.contains("request, then")).count();
    assert_eq!(world.app.count(), asked);
    world.finish();
}

/// Connects, does as the client does, and says how long it was let.
fn live(world: &World, client: &Slow) -> (Duration, Vec<u8>) {
    let mut stream = connect(world.address());
    let began = Instant::now();
    stream.write_all(&client.first).unwrap();
    let (mut answer, mut trickled) = (Vec::new(), began);
    while Instant::now() - began < Duration::from_secs(60) {
        if is_over(&mut stream, &mut answer) {
            return (began.elapsed(), answer);
        }
        if trickled.elapsed() < PACE {
            continue;
        }
        trickled = Instant::now();
        if !client.trickle.is_empty() && stream.write_all(&client.trickle).is_err() {
            return (began.elapsed(), answer);
        }
    }
    panic!("{}: still there", client.name);
}

/// Reads for a moment; whether the gateway has closed, or has reset the stream.
fn is_over(stream: &mut TcpStream, answer: &mut Vec<u8>) -> bool {
    stream.set_read_timeout(Some(PACE)).unwrap();
    let mut bytes = [0; 4096];
    match stream.read(&mut bytes) {
        Ok(0) => true,
        Ok(read) => {
            answer.extend_from_slice(&bytes[..read]);
            answer.windows(9).any(|head| head[..4] == [0, 0, 4, RST_STREAM] && head[8] == 1)
        }
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
