//! HTTP/2 as bytes (RFC 9113, RFC 7541): frames are written as they stand, and of what comes back just enough is read to know what
//! became of a stream. No library stands between, so that what no library would send can be sent.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Preface and SETTINGS: no dynamic table for what comes back, so that each status stands for itself.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])].concat()
}

/// A field as a literal that nobody indexes (RFC 7541, 6.2.2).
pub(super) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0], &text(name)[..], &text(value)].concat()
}

/// A header block.
pub(super) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// Length and bytes, not compressed (RFC 7541, 5.2).
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut left = bytes.len();
    if left < 127 {
        text.push(u8::try_from(left).unwrap());
    } else {
        text.push(127);
        left -= 127;
        while left >= 128 {
            text.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        text.push(u8::try_from(left).unwrap());
    }
    text.extend_from_slice(bytes);
    text
}

/// What became of a stream, or of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The reply's status; 0 if there was none.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: Vec<u8>,
    /// Whether the reply ended as a reply ends.
    pub(super) complete: bool,
    /// The error code of a reset.
    pub(super) reset: Option<u32>,
    /// The error code of the connection's end.
    pub(super) goaway: Option<u32>,
    /// Whether the connection was closed.
    pub(super) closed: bool,
}

/// Reads until the stream or the connection has ended.
pub(super) fn read_stream(client: &mut TcpStream, stream: u32) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some((kind, flags, id, payload)) = read_frame(client) {
        let ends = flags & END_STREAM != 0;
        match kind {
            HEADERS if id == stream => {
                if outcome.status == 0 {
                    outcome.status = status(&payload);
                }
                outcome.complete = ends;
            }
            DATA if id == stream => {
                outcome.body.extend(payload);
                outcome.complete = ends;
            }
            RST_STREAM if id == stream => outcome.reset = Some(code(&payload, 0)),
            GOAWAY if code(&payload, 4) != 0 => outcome.goaway = Some(code(&payload, 4)),
            _ => {}
        }
        if outcome.complete || outcome.reset.is_some() {
            return outcome;
        }
    }
    outcome.closed = true;
    outcome
}

/// The next frame; `None` if the peer closed.
pub(super) fn read_frame(client: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    read_whole(client, &mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    read_whole(client, &mut payload)?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

fn read_whole(client: &mut TcpStream, bytes: &mut [u8]) -> Option<()> {
    match client.read_exact(bytes) {
        Ok(()) => Some(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("neither an answer nor a close")
        }
        Err(_) => None,
    }
}

fn code(payload: &[u8], at: usize) -> u32 {
    payload.get(at..at + 4).map_or(u32::MAX, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
}

/// `:status` comes first: from the static table, or as a literal of digits.
fn status(block: &[u8]) -> u16 {
    let block = match block {
        // A change of the table's size.
        [size, rest @ ..] if size & 0xe0 == 0x20 => rest,
        block => block,
    };
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x48 | 0x08 | 0x18, length, rest @ ..] => {
            let bytes = &rest[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { bytes.to_vec() } else { huffman_digits(bytes) };
            String::from_utf8(digits).unwrap().parse().unwrap()
        }
        other => panic!("no status first: {other:?}"),
    }
}

/// Digits alone: `0`, `1`, `2` have five bits, the others six (RFC 7541, appendix B).
fn huffman_digits(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number << 1 | bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while digits.len() < 3 {
        let short = number(&bits[at..at + 5]);
        if short < 3 {
            digits.push(b'0' + short);
            at += 5;
        } else {
            digits.push(b'3' + number(&bits[at..at + 6]) - 0b01_1001);
            at += 6;
        }
    }
    digits
}

#[test]
fn a_status_is_read_in_every_form() {
    assert_eq!(status(&[0x20, 0x88]), 200);
    assert_eq!(status(&[0x08, 3, b'4', b'2', b'1']), 421);
    // `431`: 011010 011001 00001, padded with ones.
    assert_eq!(status(&[0x08, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111]), 431);
    assert_eq!(text(&[b'a'; 300])[..3], [127, 173, 1]);
}
