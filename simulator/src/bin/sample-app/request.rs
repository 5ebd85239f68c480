//! A strict, bounded reader of HTTP/1.1 requests (RFC 9112) that keeps order, case and repetition of headers.
//!
//! **Invariant:** what it accepts has one reading: no bare line feeds, no folded lines, one framing.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The head of a request, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names and values in order. Values that are not UTF-8 are read as ISO-8859-1.
    pub(crate) headers: Vec<(String, String)>,
    version_1_0: bool,
    framing: Framing,
}

/// How long the body is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

/// What is wrong with a request; the answer is always 400.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Request {
    /// Reads a head without its final empty line.
    fn parse(head: &[u8]) -> Result<Self, Malformed> {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").ok_or(Malformed));
        let first = text(lines.next().ok_or(Malformed)??);
        let [method, target, version] =
            first.split(' ').collect::<Vec<_>>().try_into().map_err(|_| Malformed)?;
        let version_1_0 = match version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ => return Err(Malformed),
        };
        if method.is_empty() || target.is_empty() || first.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Malformed);
        }
        let headers = lines.map(|line| header(line?)).collect::<Result<Vec<_>, _>>()?;
        let framing = framing(&headers)?;
        Ok(Self { method: method.into(), target: target.into(), headers, version_1_0, framing })
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        values(&self.headers, name).next()
    }

    /// Whether the connection may carry another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        if self.version_1_0 { connection.contains("keep-alive") } else { !connection.contains("close") }
    }

    /// Whether the client waits before it sends its body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    }
}

fn header(line: &[u8]) -> Result<(String, String), Malformed> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A blank in front would be a folded line, one behind a smuggler's.
    if name.is_empty() || name.iter().any(|byte| !(0x21..=0x7e).contains(byte)) || value.contains(&b'\r') {
        return Err(Malformed);
    }
    Ok((text(name), text(trim(value))))
}

/// Only blanks and tabs surround a value (RFC 9110, 5.5).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn framing(headers: &[(String, String)]) -> Result<Framing, Malformed> {
    let mut lengths = values(headers, "content-length");
    let mut codings = values(headers, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
            Ok(Framing::Chunked)
        }
        (Some(length), None)
            if lengths.next().is_none() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            length.parse().map(Framing::Length).map_err(|_| Malformed)
        }
        _ => Err(Malformed),
    }
}

fn values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    let named = move |(candidate, _): &&(String, String)| candidate.eq_ignore_ascii_case(name);
    headers.iter().filter(named).map(|(_, value)| value.as_str())
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The receiving side of a connection, with what was read ahead.
pub(crate) struct Connection<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Connection<R> {
    /// Nothing read yet.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::with_capacity(READ) }
    }

    /// The next head; `None` when the peer has closed between requests.
    pub(crate) async fn head(&mut self) -> Result<Option<Request>, Malformed> {
        let mut searched = 0;
        loop {
            // The blank line may lie across two reads.
            let from = usize::saturating_sub(searched, END_OF_HEAD.len() - 1);
            let found =
                self.buffer[from..].windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD);
            if let Some(end) = found.map(|position| from + position) {
                let request = Request::parse(self.buffer[..end + 2].strip_suffix(b"\n").unwrap_or_default())?;
                self.buffer.drain(..end + END_OF_HEAD.len());
                return Ok(Some(request));
            }
            searched = self.buffer.len();
            if searched > MOST_HEAD {
                return Err(Malformed);
            }
            if self.fill().await? == 0 {
                return if searched == 0 { Ok(None) } else { Err(Malformed) };
            }
        }
    }

    /// So many bytes, whatever they mean.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Malformed> {
        while self.buffer.len() < length {
            if self.fill().await? == 0 {
                return Err(Malformed);
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Waits until the peer has closed. What it sends else is forgotten.
    pub(crate) async fn gone(&mut self) {
        loop {
            self.buffer.clear();
            if !matches!(self.fill().await, Ok(1..)) {
                return;
            }
        }
    }

    /// Reads the body and forgets it.
    pub(crate) async fn skip_body(&mut self, request: &Request) -> Result<(), Malformed> {
        match request.framing {
            Framing::Length(length) => self.skip(length).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let hexadecimal = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
                let size = u64::from_str_radix(size, 16).ok().filter(|_| hexadecimal).ok_or(Malformed)?;
                if size == 0 {
                    // Trailers, up to the empty line.
                    while !self.line().await?.is_empty() {}
                    return Ok(());
                }
                self.skip(size).await?;
                if !self.line().await?.is_empty() {
                    return Err(Malformed);
                }
            },
        }
    }

    async fn skip(&mut self, mut length: u64) -> Result<(), Malformed> {
        loop {
            let here = self.buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.buffer.drain(..here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(Malformed);
            }
        }
    }

    async fn line(&mut self) -> Result<String, Malformed> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = text(&self.buffer[..end]);
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > MOST_HEAD || self.fill().await? == 0 {
                return Err(Malformed);
            }
        }
    }

    async fn fill(&mut self) -> Result<usize, Malformed> {
        self.buffer.reserve(READ);
        self.reader.read_buf(&mut self.buffer).await.map_err(|_| Malformed)
    }
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const READ: usize = 8 * 1024;
/// Longest head; gateways allow less.
const MOST_HEAD: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    async fn requests(bytes: &[u8]) -> Vec<Result<Request, Malformed>> {
        let mut connection = Connection::new(bytes);
        let mut requests = Vec::new();
        loop {
            match connection.head().await {
                Ok(None) => return requests,
                Ok(Some(request)) => {
                    let body = connection.skip_body(&request).await;
                    let broken = body.is_err();
                    requests.push(body.map(|()| request));
                    if broken {
                        return requests;
                    }
                }
                Err(malformed) => {
                    requests.push(Err(malformed));
                    return requests;
                }
            }
        }
    }

    #[tokio::test]
    async fn order_case_and_repetition_are_kept() {
        let bytes =
            b"GET /a%2fb//echo?x=1 HTTP/1.1\r\nHost: h\r\nx-A:  1 \r\nX-a: 2\r\nx-A: \xc3\x85 \xe5\r\n\r\n";
        let request = requests(bytes).await.swap_remove(0).unwrap();
        assert_eq!(request.target, "/a%2fb//echo?x=1");
        let headers = [("Host", "h"), ("x-A", "1"), ("X-a", "2"), ("x-A", "Ã\u{85} å")];
        assert_eq!(request.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(request.keeps_alive());
    }

    #[tokio::test]
    async fn bodies_are_skipped_to_the_next_request() {
        let bytes = b"POST /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPOST /2 HTTP/1.1\r\n\
            Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\nGET /3 HTTP/1.0\r\n\r\n";
        let requests = requests(bytes).await;
        let targets: Vec<_> =
            requests.iter().map(|request| request.as_ref().unwrap().target.as_str()).collect();
        assert_eq!(targets, ["/1", "/2", "/3"]);
        assert!(!requests[2].as_ref().unwrap().keeps_alive());
    }

    #[tokio::test]
    async fn what_has_two_readings_is_refused() {
        let heads: [&[u8]; 10] = [
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: 1\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA : 1\r\n\r\n",
            b"GET / HTTP/1.1\nA: 1\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: 1\r\n",
        ];
        for head in heads {
            assert_eq!(requests(head).await, [Err(Malformed)], "{}", String::from_utf8_lossy(head));
        }
        let endless = [b"GET /".as_slice(), &vec![b'a'; 2 * MOST_HEAD]].concat();
        assert_eq!(requests(&endless).await, [Err(Malformed)]);
        let chunks = b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n";
        assert_eq!(requests(chunks).await, [Err(Malformed)]);
    }
}
