//! A WebSocket by hand, either side: frames as they stand on the wire (RFC 6455, 5.2).

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::World;
use crate::harness::app::Received;
use crate::harness::browser::Browser;
use crate::harness::http::{Head, read_head};

/// The key of every client here; any 16 bytes will do.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields of a sound handshake but for `Host`, `Origin` and cookies.
pub(super) const FIELDS: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-Fetch-Mode: websocket\r\n\
                                 Sec-Fetch-Dest: empty\r\n";

/// One end of an open WebSocket.
pub(super) struct Socket {
    stream: TcpStream,
    /// A client masks what it sends.
    client: bool,
}

/// One frame, its payload unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The code of a close frame.
    pub(super) fn code(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.payload.get(..2)?.try_into().ok()?))
    }
}

/// The app's answer to a key.
pub(super) fn accepting(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64_simd::STANDARD.encode_to_string(digest.as_ref())
}

/// The app's `101`.
pub(super) fn opening(received: &Received) -> String {
    let key = received.header("sec-websocket-key").expect("a handshake has a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nX-Identity-Fnr: 1\r\n\r\n",
        accepting(key)
    )
}

/// The app opens the WebSocket that it is asked for.
pub(super) fn accept(mut stream: TcpStream, received: &Received) -> Socket {
    stream.write_all(opening(received).as_bytes()).unwrap();
    Socket { stream, client: false }
}

/// A handshake as a browser makes it, by a page of this origin.
pub(super) fn handshake(world: &World, browser: &Browser<'_>, path: &str, fields: &str) -> TcpStream {
    super::send(world, browser, &format!("GET {path} HTTP/1.1\r\n{fields}\r\n"))
}

impl Socket {
    /// Opens one through the gateway, from a page of its own origin.
    pub(super) fn open(world: &World, browser: &Browser<'_>, path: &str) -> Self {
        let fields = format!("Origin: {}\r\n{FIELDS}", world.origin());
        let mut stream = handshake(world, browser, path, &fields);
        let head = Head::parse(&read_head(&mut stream).expect("an answer"));
        assert!(head.start.starts_with("HTTP/1.1 101"), "{head:?}");
        assert_eq!(head.one("upgrade"), Some("websocket"));
        assert_eq!(head.one("sec-websocket-accept"), Some(accepting(KEY).as_str()));
        assert_eq!(head.one("x-identity-fnr"), None, "an app tells nobody an identity");
        Self { stream, client: true }
    }

    /// The client's end of one that is open.
    pub(super) fn of(stream: TcpStream) -> Self {
        Self { stream, client: true }
    }

    /// The app's end of one that is open.
    pub(super) fn of_app(stream: TcpStream) -> Self {
        Self { stream, client: false }
    }

    pub(super) fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(opcode, payload, self.client))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame; `None` when the peer has closed between two frames.
    pub(super) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let length = match head[1] & 0x7f {
            126 => usize::from(u16::from_be_bytes(self.exactly())),
            127 => usize::try_from(u64::from_be_bytes(self.exactly())).unwrap(),
            short => usize::from(short),
        };
        let mask: [u8; 4] = if head[1] & 0x80 == 0 { [0; 4] } else { self.exactly() };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a frame to its end");
        payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        Some(Frame { opcode: head[0] & 0x0f, payload })
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a frame to its end");
        bytes
    }
}

/// A whole frame.
pub(super) fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(bit | u8::try_from(length).unwrap()),
        length @ 126..=65_535 => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(bit | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if !masked {
        frame.extend(payload);
        return frame;
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

/// The frames of a server in these bytes, all of them whole.
pub(super) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let [first, second, tail @ ..] = rest {
        let (length, tail) = match second {
            126 => (usize::from(u16::from_be_bytes(tail[..2].try_into().unwrap())), &tail[2..]),
            127 => (u64::from_be_bytes(tail[..8].try_into().unwrap()) as usize, &tail[8..]),
            short => (usize::from(*short), tail),
        };
        assert!(tail.len() >= length, "half a frame: {} of {length} bytes", tail.len());
        frames.push(Frame { opcode: first & 0x0f, payload: tail[..length].to_vec() });
        rest = &tail[length..];
    }
    assert!(rest.is_empty(), "half a frame");
    frames
}
