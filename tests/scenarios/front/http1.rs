//! HTTP/1.1: the table's rows as bytes, and what only this protocol can say.

use std::io::Write;

use super::cases::Ask;
use super::split::Cuts;
use crate::harness::World;
use crate::harness::http::connect;

/// A row as bytes. `{host}` stands for the gateway's authority.
pub(super) fn bytes(ask: &Ask, authority: &str, cookie: &str) -> Vec<u8> {
    let mut bytes =
        [ask.method.as_bytes(), b" ", &ask.target, b" HTTP/1.1\r\nHost: ", authority.as_bytes(), b"\r\n"]
            .concat();
    let theirs: Vec<&[u8]> =
        ask.fields.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_slice()).collect();
    let cookies = [&[cookie.as_bytes()], &theirs[..]].concat().join(&b"; "[..]);
    bytes.extend([b"Cookie: ", &cookies[..], b"\r\n"].concat());
    for (name, value) in ask.fields.iter().filter(|(name, _)| name != "cookie") {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    match &ask.body {
        None => bytes.extend(b"Connection: close\r\n\r\n"),
        Some(body) if body.parts == 0 => {
            bytes.extend([b"Connection: close\r\n\r\n", &body.bytes[..]].concat())
        }
        Some(body) if body.announced => {
            let head = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.bytes.len());
            bytes.extend([head.as_bytes(), &body.bytes].concat());
        }
        Some(body) => {
            bytes.extend(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
            for part in body.bytes.chunks(body.bytes.len().div_ceil(body.parts).max(1)) {
                bytes.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    bytes
}

/// Sends bytes in pieces and reads until the gateway closes: the status of each answer.
pub(super) fn send(world: &World, bytes: &[u8], cuts: Cuts) -> Vec<u16> {
    let mut client = connect(world.address());
    client.set_nodelay(true).unwrap();
    for piece in cuts.pieces(bytes) {
        // Who is refused may be closed already.
        if client.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match std::io::Read::read(&mut client, &mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("not closed: {error}"),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

/// What must be refused and never reach the app. `{head}` stands for Host and the person's cookie.
pub(super) fn hostile() -> Vec<(&'static str, String)> {
    let get = |fields: &str| format!("GET /app/ HTTP/1.1\r\n{{head}}{fields}\r\n");
    let post = |fields: &str, body: &str| format!("POST /app/ HTTP/1.1\r\n{{head}}{fields}\r\n{body}");
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let smuggled = "GET /app/smuggled HTTP/1.1\r\n{head}\r\n";
    vec![
        (
            "length and chunks",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{smuggled}")),
        ),
        (
            "chunks and length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", &format!("0\r\n\r\n{smuggled}")),
        ),
        ("a coding before chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        (
            "chunked, two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunked and identity",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ),
        ("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("a folded coding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("quoted chunked", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
        ("chunked with a parameter", post("Transfer-Encoding: chunked;x\r\n", "0\r\n\r\n")),
        ("chunks in 1.0", "POST /app/ HTTP/1.0\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        ("0x in a chunk's size", chunks(&format!("0x3\r\nabc\r\n0\r\n\r\n{smuggled}"))),
        ("a space before a chunk's size", chunks(" 3\r\nabc\r\n0\r\n\r\n")),
        ("a space behind a chunk's size", chunks("3 \r\nabc\r\n0\r\n\r\n")),
        ("a chunk below zero", chunks("-1\r\nabc\r\n0\r\n\r\n")),
        ("a chunk of 2^64+3", chunks("10000000000000003\r\nabc\r\n0\r\n\r\n")),
        ("no size", chunks("\r\nabc\r\n0\r\n\r\n")),
        ("LF in a chunk's extension", chunks("3;x=y\nabc\r\n0\r\n\r\n")),
        ("CR in a chunk's extension", chunks("3;x\ry\r\nabc\r\n0\r\n\r\n")),
        ("a long extension", chunks(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300)))),
        ("a chunk that is longer than it says", chunks(&format!("3\r\nabcd\r\n0\r\n\r\n{smuggled}"))),
        ("LF behind a chunk", chunks("3\r\nabc\n0\r\n\r\n")),
        ("nothing behind a chunk", chunks("3\r\nabc0\r\n\r\n")),
        ("a trailer that frames", chunks("3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n")),
        ("a trailer that codes", chunks("3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")),
        ("a trailer with a space", chunks("3\r\nabc\r\n0\r\nX : y\r\n\r\n")),
        ("a folded trailer", chunks("3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n")),
        ("long trailers", chunks(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000)))),
        ("LF alone ends lines", "GET /app/ HTTP/1.1\n{head}\n".into()),
        ("LF alone ends a field", get("X-A: a\nX-Identity-Fnr: 01817000001\r\n")),
        ("CR alone ends a field", get("X-A: a\rX-Identity-Fnr: 01817000001\r\n")),
        ("a folded field", get("X-A: a\r\n b\r\n")),
        ("a field that begins folded", "GET /app/ HTTP/1.1\r\n X: y\r\n{head}\r\n".into()),
        ("a tab before the colon", get("X-A\t: a\r\n")),
        ("no colon", get("no colon\r\n")),
        ("no name", get(": a\r\n")),
        ("two hosts", get("Host: {host}\r\n")),
        ("two hosts that differ", get("Host: evil.test\r\n")),
        ("no host", "GET /app/ HTTP/1.1\r\nCookie: x\r\n\r\n".into()),
        ("a space in the target", "GET /app/ x HTTP/1.1\r\n{head}\r\n".into()),
        ("two spaces", "GET  /app/ HTTP/1.1\r\n{head}\r\n".into()),
        ("a tab between", "GET\t/app/\tHTTP/1.1\r\n{head}\r\n".into()),
        ("no version", "GET /app/\r\n{head}\r\n".into()),
        ("HTTP/1.2", "GET /app/ HTTP/1.2\r\n{head}\r\n".into()),
        ("HTTP/2.0 in words", "GET /app/ HTTP/2.0\r\n{head}\r\n".into()),
        ("HTTP/01.1", "GET /app/ HTTP/01.1\r\n{head}\r\n".into()),
        ("http/1.1", "GET /app/ http/1.1\r\n{head}\r\n".into()),
        ("two empty lines first", "\r\n\r\nGET /app/ HTTP/1.1\r\n{head}\r\n".into()),
        ("another host's absolute form", "GET http://evil.test/app/ HTTP/1.1\r\n{head}\r\n".into()),
        ("another scheme's absolute form", "GET ftp://{host}/app/ HTTP/1.1\r\n{head}\r\n".into()),
        ("a stranger in the absolute form", "GET http://a@{host}/app/ HTTP/1.1\r\n{head}\r\n".into()),
        ("an absolute form without a path", "GET http://{host} HTTP/1.1\r\n{head}\r\n".into()),
        ("an asterisk", "OPTIONS * HTTP/1.1\r\n{head}\r\n".into()),
        ("CONNECT", "CONNECT {host} HTTP/1.1\r\n{head}\r\n".into()),
        ("a preface too late", format!("{}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n")),
        ("half a header", "GET /app/ HTTP/1.1\r\n{head}X-A: ".into()),
        ("half a body", post("Content-Length: 10\r\n", "abc")),
        ("half a chunk", chunks("5\r\nabc")),
        ("chunks without an end", chunks("3\r\nabc\r\n")),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".into()),
        (
            "an old PROXY header",
            "PROXY TCP4 198.51.100.7 192.0.2.1 5 443\r\nGET /app/ HTTP/1.1\r\n{head}\r\n".into(),
        ),
    ]
}

/// What passes, in forms that only HTTP/1 has: bytes, and the targets that arrive.
pub(super) fn legitimate() -> Vec<(&'static str, String, &'static [&'static str])> {
    let close = "Connection: close\r\n\r\n";
    vec![
        ("an empty line first", format!("\r\nGET /app/1 HTTP/1.1\r\n{{head}}{close}"), &["/app/1"]),
        (
            "the absolute form",
            format!("GET http://{{host}}/app/2?x HTTP/1.1\r\n{{head}}{close}"),
            &["/app/2?x"],
        ),
        ("HTTP/1.0", "GET /app/3 HTTP/1.0\r\n{head}\r\n".into(), &["/app/3"]),
        (
            "white space around a value",
            format!("GET /app/4 HTTP/1.1\r\n{{head}}X: \t y \t\r\n{close}"),
            &["/app/4"],
        ),
        (
            "chunks with extensions, zeros and a trailer",
            format!(
                "POST /app/5 HTTP/1.1\r\n{{head}}Transfer-Encoding: Chunked\r\n{close}3;e=\"f\"\r\nabc\r\n02\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
            ),
            &["/app/5"],
        ),
        (
            "requests on one connection",
            format!(
                "GET /app/6 HTTP/1.1\r\n{{head}}\r\nGET /app/7 HTTP/1.1\r\n{{head}}\r\nGET /app/8 HTTP/1.1\r\n{{head}}{close}"
            ),
            &["/app/6", "/app/7", "/app/8"],
        ),
        (
            "a body, and the next request",
            format!(
                "POST /app/9 HTTP/1.1\r\n{{head}}Content-Length: 3\r\n\r\nabcGET /app/10 HTTP/1.1\r\n{{head}}{close}"
            ),
            &["/app/9", "/app/10"],
        ),
        (
            "h2c by upgrade is not taken, and the request is",
            format!(
                "GET /app/11 HTTP/1.1\r\n{{head}}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings, {}",
                &close["Connection: ".len()..]
            ),
            &["/app/11"],
        ),
    ]
}
