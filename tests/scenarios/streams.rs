//! What lasts: WebSockets, events, downloads, uploads, long polls. Each is opened as any request, and all of them end
//! with their session although nobody sends anything (`threats.md` HTTP-7, LO-6; `design.md` D11; RFC 6455).

mod deadlines;
mod ending;
mod http2;
mod large;
mod socket;
mod websocket;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::socket::{Socket, accept};
use crate::harness::app::Received;
use crate::harness::browser::Browser;
use crate::harness::http::{connect, read_head};
use crate::harness::{Settings, World};

/// How soon whatever lasts must have ended (`threats.md` LO-6).
const SOON: Duration = Duration::from_secs(1);

/// A page of this origin may open WebSockets besides those of the gateway's own.
const FRIEND: &str = "http://localhost:9";

/// Routes that last, and an app that keeps them open and silent.
fn world() -> World {
    world_with(Settings::default())
}

fn world_with(settings: Settings) -> World {
    let settings = settings
        .route(&format!(
            "{{path: '/ws/**', access: login, upstream: app, websocket: true, websocket_origins: ['{FRIEND}']}}"
        ))
        .route("{path: '/open/**', access: public, upstream: app, websocket: true}");
    // What is idle here is idle for long: only an end may end it.
    let world = World::with(settings.app("read_timeout: 30m"));
    world.app.stream("/ws/echo", |stream, received| echo(accept(stream, received)));
    world.app.stream("/open/echo", |stream, received| echo(accept(stream, received)));
    world.app.stream("/app/events", |mut stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n";
        stream.write_all(head).unwrap();
        until_closed(stream);
    });
    world.app.stream("/app/download", |mut stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nbegun").unwrap();
        until_closed(stream);
    });
    world.app.stream("/app/silent", |stream, _| until_closed(stream));
    world
}

fn echo(mut socket: Socket) {
    while let Some(frame) = socket.read() {
        if frame.opcode == 8 {
            let _ = socket.send(8, &frame.payload);
            return;
        }
        if socket.send(frame.opcode, &frame.payload).is_err() {
            return;
        }
    }
}

fn until_closed(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
}

fn logged_in<'w>(world: &'w World, person: &str) -> Browser<'w> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/x", person).status(), 200);
    browser
}

/// The cookies of a browser, as one line.
fn cookies(world: &World, browser: &Browser<'_>) -> String {
    browser.jar.line(&world.url("/"), true).map(|line| format!("Cookie: {line}\r\n")).unwrap_or_default()
}

/// Sends a request by a browser, and gives its connection.
fn send(world: &World, browser: &Browser<'_>, head: &str) -> TcpStream {
    let mut stream = connect(world.address());
    let cookies = cookies(world, browser);
    let (line, rest) = head.split_once("\r\n").unwrap();
    let head = format!("{line}\r\nHost: {}\r\n{cookies}{rest}", world.authority());
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads the head of a reply and a part of its body.
fn begun(stream: &mut TcpStream, body: &str) {
    let head = String::from_utf8(read_head(stream).expect("a reply")).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(body.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

/// As much of an upload as is enough for a while.
const PART: [u8; 1000] = [b'x'; 1000];

/// Something that lasts, and the moment at which it ended.
struct Lasting {
    kind: &'static str,
    ended: Receiver<Instant>,
    watch: JoinHandle<Vec<u8>>,
    /// Of an upload, which goes on only while more of it comes.
    writer: Option<TcpStream>,
}

impl Lasting {
    fn new(kind: &'static str, mut stream: TcpStream) -> Self {
        let (sender, ended) = mpsc::channel();
        // It waits as long as the other side does: to give up here would look like an end.
        stream.set_read_timeout(None).unwrap();
        let watch = thread::spawn(move || {
            let mut rest = Vec::new();
            let mut bytes = [0; 4096];
            // A reset is an end too.
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..length]);
            }
            let _ = sender.send(Instant::now());
            rest
        });
        Self { kind, ended, watch, writer: None }
    }

    fn events(world: &World, browser: &Browser<'_>) -> Self {
        let mut stream =
            send(world, browser, "GET /app/events HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n");
        begun(&mut stream, "data: first\n\n");
        Self::new("events", stream)
    }

    fn download(world: &World, browser: &Browser<'_>) -> Self {
        let mut stream = send(world, browser, "GET /app/download HTTP/1.1\r\n\r\n");
        begun(&mut stream, "begun");
        Self::new("download", stream)
    }

    /// A part of the body is there, and no answer.
    fn upload(world: &World, browser: &Browser<'_>) -> Self {
        let before = world.app.count();
        let head = "PUT /app/silent HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n";
        let mut stream = send(world, browser, head);
        stream.write_all(&PART).unwrap();
        arrived(world, before);
        let writer = Some(stream.try_clone().unwrap());
        Self { writer, ..Self::new("upload", stream) }
    }

    fn poll(world: &World, browser: &Browser<'_>) -> Self {
        let before = world.app.count();
        let stream = send(world, browser, "GET /app/silent HTTP/1.1\r\n\r\n");
        arrived(world, before);
        Self::new("poll", stream)
    }

    fn websocket(world: &World, browser: &Browser<'_>) -> Self {
        let socket = Socket::open(world, browser, "/ws/echo");
        Self::new("websocket", socket.into_stream())
    }

    fn every_kind(world: &World, browser: &Browser<'_>) -> Vec<Self> {
        [Self::events, Self::download, Self::upload, Self::poll, Self::websocket]
            .map(|open| open(world, browser))
            .into()
    }

    /// Whether it goes on. An upload brings its next part.
    fn lives(&self) -> bool {
        let goes_on = self.writer.as_ref().is_none_or(|mut writer| writer.write_all(&PART).is_ok());
        goes_on && self.ended.try_recv().is_err()
    }

    /// Waits for the end: how long after `known` it came. A WebSocket has been told why.
    fn end(self, known: Instant) -> Duration {
        self.end_with(1008, known)
    }

    fn end_with(self, code: u16, known: Instant) -> Duration {
        let ended = self.ended.recv_timeout(crate::harness::http::PATIENCE);
        let ended = ended.unwrap_or_else(|_| panic!("the {} goes on", self.kind));
        let rest = self.watch.join().unwrap();
        if self.kind == "websocket" {
            let frames = socket::frames(&rest);
            assert_eq!(frames.len(), 1, "{rest:?}");
            assert_eq!((frames[0].opcode, frames[0].code()), (8, Some(code)));
        }
        ended.saturating_duration_since(known)
    }
}

fn arrived(world: &World, before: usize) {
    crate::harness::process::await_that("the app has the request", || {
        (world.app.count() > before).then_some(())
    });
}

/// The field of a request that the app received.
fn fnr(received: &Received) -> Option<&str> {
    received.header("x-identity-fnr")
}
