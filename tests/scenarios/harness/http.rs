//! HTTP/1.1 as bytes: a request is written as it stands, a response is read as it comes.
//!
//! **Invariant:** nothing is repaired, folded or joined, so that a test sees what an app or a browser would.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// No wait of a scenario is longer. Only a failing one meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The start line and fields of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) start: String,
    /// Names and values in their order, as they came; bytes beyond ASCII as ISO-8859-1.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head without its empty line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        };
        Self { start, fields: lines.filter(|line| !line.is_empty()).map(field).collect() }
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that may occur once.
    ///
    /// # Panics
    ///
    /// If it occurs more often.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} occurs {} times", all.len());
        all.first().copied()
    }
}

/// A whole response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    /// Status line and fields.
    pub(crate) head: Head,
    /// The status; 0 if the connection was closed without an answer.
    pub(crate) status: u16,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The value of a field that may occur once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    /// Where it redirects to, as it stands there.
    pub(crate) fn location(&self) -> Option<&str> {
        self.header("location")
    }
}

/// Sends bytes and reads one response. `HEAD` is recognised, whose answer has no body.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Response {
    let mut stream = connect(address);
    // A peer that refuses early may have closed already: its answer counts.
    let _ = stream.write_all(bytes);
    read_response(&mut stream, bytes.starts_with(b"HEAD "))
}

/// The same with a peer that may be gone: `None` if nobody listens, status 0 if it ends without an answer.
pub(crate) fn try_exchange(address: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let _ = stream.write_all(bytes);
    Some(read_response(&mut stream, bytes.starts_with(b"HEAD ")))
}

/// The whole answer to somebody who presses login and comes from this address of loopback.
pub(crate) async fn press_login(from: Ipv4Addr, address: SocketAddr, authority: &str) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!(
        "GET /oauth2/login HTTP/1.1\r\nHost: {authority}\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Dest: document\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// A connection with a deadline for each step.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads the next response; interim ones are skipped.
pub(crate) fn read_response(stream: &mut TcpStream, to_head: bool) -> Response {
    loop {
        let Some(head) = read_head(stream) else { return Response::default() };
        let head = Head::parse(&head);
        let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let bodiless = to_head || status == 204 || status == 304 || status == 101;
        let body = if bodiless { Vec::new() } else { read_body(stream, &head, true) };
        return Response { head, status, body };
    }
}

/// Everything up to the empty line, without it; `None` if the peer closed before.
pub(crate) fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::new();
    let mut peeked = [0; 4096];
    // What follows stays where it is: others read it.
    while !head.ends_with(END) {
        let known = head.len();
        let there = answered(stream.peek(&mut peeked))?;
        head.extend_from_slice(&peeked[..there]);
        let from = known.saturating_sub(END.len() - 1);
        let end = head[from..].windows(END.len()).position(|window| window == END);
        head.truncate(end.map_or(head.len(), |at| from + at + END.len()));
        stream.read_exact(&mut peeked[..head.len() - known]).ok()?;
    }
    head.truncate(head.len() - END.len());
    Some(head)
}

/// The body that a head announces. `to_end`: without framing it goes on until the peer closes.
pub(crate) fn read_body(stream: &mut TcpStream, head: &Head, to_end: bool) -> Vec<u8> {
    let mut body = Vec::new();
    if head.all("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        while let Some(size) = read_line(stream) {
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).unwrap_or(0);
            if size == 0 {
                while read_line(stream).is_some_and(|line| !line.is_empty()) {}
                break;
            }
            read_exactly(stream, size, &mut body);
            read_line(stream);
        }
    } else if let Some(length) = head.all("content-length").first() {
        read_exactly(stream, length.parse().unwrap(), &mut body);
    } else if to_end {
        while let Some(byte) = read_byte(stream) {
            body.push(byte);
        }
    }
    body
}

/// The body of a request; `None` if the peer closed before its end.
pub(crate) fn read_whole_body(stream: &mut TcpStream, head: &Head) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if head.all("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(stream)?;
            let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
            if size == 0 {
                while !read_line(stream)?.is_empty() {}
                return Some(body);
            }
            let before = body.len();
            read_exactly(stream, size, &mut body);
            if body.len() != before + size || !read_line(stream)?.is_empty() {
                return None;
            }
        }
    }
    let length = head.all("content-length").first().map_or(Some(0), |length| length.parse().ok())?;
    read_exactly(stream, length, &mut body);
    (body.len() == length).then_some(body)
}

fn read_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(read_byte(stream)?);
    }
    line.truncate(line.len() - 2);
    Some(String::from_utf8_lossy(&line).into_owned())
}

fn read_exactly(stream: &mut TcpStream, length: usize, body: &mut Vec<u8>) {
    let mut bytes = vec![0; length];
    if stream.read_exact(&mut bytes).is_ok() {
        body.extend(bytes);
    }
}

fn read_byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    answered(stream.read(&mut byte)).map(|_| byte[0])
}

/// How much came; `None` for an end.
fn answered(read: std::io::Result<usize>) -> Option<usize> {
    match read {
        Ok(0) => None,
        Ok(length) => Some(length),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("no answer within {PATIENCE:?}")
        }
        Err(_) => None,
    }
}
