//! Clients that keep a connection, and do what RFC 9110, 9.2.2 lets them: a GET that a closed connection left without an
//! answer is asked once more, on a new one; a POST is not, but where an HTTP/2 connection says that it was not begun.
//! A connection that is refused is a failure, and so is a new one that closes without an answer.

mod http2;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use super::http::{PATIENCE, read_response};

/// A request of somebody.
pub(crate) struct Ask<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// The target.
    pub(crate) target: String,
    /// `Host`.
    pub(crate) authority: &'a str,
    /// The line of cookies; empty: none.
    pub(crate) cookie: &'a str,
    /// A body, as plain text.
    pub(crate) body: Option<&'a str>,
}

/// What became of a request on one connection.
pub(crate) enum Outcome {
    /// A whole answer.
    Answered(Answer),
    /// Not begun, as the gateway says (RFC 9113, 6.8).
    NotBegun,
    /// Closed without an answer; whether it had been used before.
    Closed {
        /// Whether it was kept from a request before.
        kept: bool,
    },
    /// There is nobody.
    Refused(String),
}

/// What was answered.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Whether it says `Retry-After`.
    pub(crate) retry_after: bool,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

/// What became of a request, with everything that a client may do for it.
pub(crate) struct Asked {
    /// What came last.
    pub(crate) outcome: Outcome,
    /// Whether it was asked a second time.
    pub(crate) again: bool,
    /// Whether it may have been done, and nobody can know: a POST that a kept connection left without an answer.
    pub(crate) unanswered: bool,
}

/// A connection that is kept.
pub(crate) enum Connection {
    /// HTTP/1.1.
    Http1(Option<TcpStream>),
    /// HTTP/2 without TLS, by prior knowledge.
    Http2(http2::Kept),
}

impl Connection {
    /// Over HTTP/1.1.
    pub(crate) fn http1() -> Self {
        Self::Http1(None)
    }

    /// Over HTTP/2.
    pub(crate) fn http2() -> Self {
        Self::Http2(http2::Kept::default())
    }

    /// One request, and one more if it may be asked again.
    pub(crate) fn ask(&mut self, address: SocketAddr, ask: &Ask<'_>) -> Asked {
        let outcome = self.exchange(address, ask);
        let unanswered = ask.method != "GET" && matches!(outcome, Outcome::Closed { kept: true });
        let again = !unanswered && matches!(outcome, Outcome::Closed { kept: true } | Outcome::NotBegun);
        let outcome = if again { self.exchange(address, ask) } else { outcome };
        Asked { outcome, again, unanswered }
    }

    fn exchange(&mut self, address: SocketAddr, ask: &Ask<'_>) -> Outcome {
        match self {
            Self::Http1(kept) => exchange_http1(kept, address, ask),
            Self::Http2(kept) => kept.ask(address, ask),
        }
    }
}

fn exchange_http1(
    connection: &mut Option<TcpStream>,
    address: SocketAddr,
    Ask { method, target, authority, cookie, body }: &Ask<'_>,
) -> Outcome {
    let rest = body.map_or_else(String::new, |body| {
        format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len())
    });
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let body = body.unwrap_or_default();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{cookie}{rest}\r\n{body}");
    let kept = connection.is_some();
    let mut stream = match connection.take().map_or_else(|| TcpStream::connect(address), Ok) {
        Ok(stream) => stream,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    if !kept {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    if stream.write_all(request.as_bytes()).is_err() {
        return Outcome::Closed { kept };
    }
    let answer = read_response(&mut stream, false);
    if answer.status == 0 {
        return Outcome::Closed { kept };
    }
    if !answer.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close")) {
        *connection = Some(stream);
    }
    let retry_after = answer.header("retry-after").is_some();
    Outcome::Answered(Answer { status: answer.status, retry_after, body: answer.body })
}
