//! What lasts: an echo over WebSocket (RFC 6455) below `/ws/`, and server-sent events (HTML, 9.2) below `/events/`.
//!
//! **Invariant:** a frame is bounded before it is read, and what a client says is never passed on to another.

use std::io;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::request::{Connection, Malformed, Request};

/// What a request begins that has no end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    Socket,
    Events,
}

impl Lasting {
    /// What this request begins; people who only look get a page.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let has = |name: &str, word: &str| {
            request.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
        };
        if request.method != "GET" {
            return None;
        }
        if has("upgrade", "websocket") && request.header("sec-websocket-key").is_some() {
            return request.target.starts_with("/ws/").then_some(Self::Socket);
        }
        (request.target.starts_with("/events/") && !has("accept", "text/html")).then_some(Self::Events)
    }

    /// Goes on until either side has had enough.
    pub(crate) async fn serve(
        self,
        request: &Request,
        connection: &mut Connection<impl AsyncRead + Unpin>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) {
        // The end is an end, whatever the reason.
        let _ = match self {
            Self::Socket => echo(request, connection, writer).await,
            Self::Events => events(request, connection, writer).await.map_err(|_| Malformed),
        };
    }
}

/// One event a second, each with its number and whom the gateway named.
async fn events(
    request: &Request,
    connection: &mut Connection<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    writer
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        .await?;
    let kind = request.header("x-identity-kind");
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = connection.gone() => return Ok(()),
        }
        let data = json!({"number": number, "kind": kind});
        writer.write_all(format!("id: {number}\ndata: {data}\n\n").as_bytes()).await?;
        writer.flush().await?;
    }
    Ok(())
}

/// Sends every message back as it came.
async fn echo(
    request: &Request,
    connection: &mut Connection<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Malformed> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accepting(key)
    );
    writer.write_all(head.as_bytes()).await.map_err(|_| Malformed)?;
    loop {
        let Ok(frame) = timeout(SILENCE, Frame::read(connection)).await else { return Ok(()) };
        let frame = frame?;
        let answer = match frame.opcode() {
            CONTINUATION..=BINARY => frame,
            PING => frame.with_opcode(PONG),
            PONG => continue,
            // Anything else is no frame of ours, and CLOSE is answered by its like.
            CLOSE => frame,
            _ => return Err(Malformed),
        };
        writer.write_all(&answer.unmasked()).await.map_err(|_| Malformed)?;
        writer.flush().await.map_err(|_| Malformed)?;
        if answer.opcode() == CLOSE {
            return Ok(());
        }
    }
}

/// What a key is answered with (RFC 6455, 4.2.2).
fn accepting(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64_simd::STANDARD.encode_to_string(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// A client's frame, without its mask (RFC 6455, 5.2).
struct Frame {
    /// The first byte: whether it is the last of its message, and the opcode.
    first: u8,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(connection: &mut Connection<impl AsyncRead + Unpin>) -> Result<Self, Malformed> {
        let head = connection.exactly(2).await?;
        // A client masks.
        if head[1] & 0x80 == 0 {
            return Err(Malformed);
        }
        let more = match head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match connection.exactly(more).await?.as_slice() {
            [] => usize::from(head[1] & 0x7f),
            bytes => bytes.iter().fold(0_usize, |sum, byte| sum.saturating_mul(256) + usize::from(*byte)),
        };
        if length > MOST_FRAME {
            return Err(Malformed);
        }
        let mask = connection.exactly(4).await?;
        let mut payload = connection.exactly(length).await?;
        payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        Ok(Self { first: head[0], payload })
    }

    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    fn with_opcode(self, opcode: u8) -> Self {
        Self { first: self.first & 0xf0 | opcode, ..self }
    }

    /// As a server sends it.
    fn unmasked(&self) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = vec![self.first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => bytes.push(short),
            (_, Ok(length)) => {
                bytes.push(126);
                bytes.extend(length.to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Longest frame that is sent back.
const MOST_FRAME: usize = 1 << 20;

/// How long a client may say nothing.
const SILENCE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

    async fn request(head: &str) -> Request {
        let head = format!("{head}\r\n\r\n");
        Connection::new(head.as_bytes()).head().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_message_comes_back_and_a_close_ends_it() {
        // The example of RFC 6455, 5.7, behind a ping and before a close.
        let ping = [0x89, 0x80, 1, 2, 3, 4];
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        let bytes = [&ping, HELLO, &close, HELLO].concat();
        let asked = "GET /ws/ HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let asked = request(asked).await;
        assert_eq!(Lasting::of(&asked), Some(Lasting::Socket));
        let mut answer = Vec::new();
        Lasting::Socket.serve(&asked, &mut Connection::new(bytes.as_slice()), &mut answer).await;
        let frames = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(answer[..frames].to_vec()).unwrap();
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        assert_eq!(&answer[frames..], b"\x8a\x00\x81\x05Hello\x88\x02\x03\xe8");
    }

    #[tokio::test]
    async fn frames_that_are_too_long_or_not_masked_are_not_read() {
        let long = [[0x82, 0xff].as_slice(), &[0xff; 8], &[0; 8]].concat();
        for bytes in [long.as_slice(), &[0x81, 0x01, b'x'], &HELLO[..7]] {
            assert!(Frame::read(&mut Connection::new(bytes)).await.is_err());
        }
        let length = 300_u16;
        let bytes = [[0x82, 0xfe].as_slice(), &length.to_be_bytes(), &[0; 304]].concat();
        let frame = Frame::read(&mut Connection::new(bytes.as_slice())).await.unwrap();
        assert_eq!(frame.unmasked(), [[0x82, 126].as_slice(), &length.to_be_bytes(), &[0; 300]].concat());
    }

    #[tokio::test]
    async fn events_are_for_programs_and_pages_for_people() {
        let of = |head: &'static str| async move { Lasting::of(&request(head).await) };
        assert_eq!(of("GET /events/ HTTP/1.1\r\nAccept: text/event-stream").await, Some(Lasting::Events));
        assert_eq!(of("GET /events/x HTTP/1.1").await, Some(Lasting::Events));
        assert_eq!(of("GET /events/ HTTP/1.1\r\nAccept: text/html,*/*").await, None);
        assert_eq!(of("POST /events/ HTTP/1.1").await, None);
        assert_eq!(of("GET /ws/ HTTP/1.1").await, None);
        assert_eq!(of("GET /app/ HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x").await, None);
    }
}
