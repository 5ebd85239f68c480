//! Clients that keep a connection, and do what RFC 9110, 9.2.2 lets them: a GET that a closed connection left without an
//! answer is asked once more, on a new one; a POST is not, but where an HTTP/2 connection says that it was not begun.
//! A connection that is refused is a failure, and so is a new one that closes without an answer.

mod http2;

use std::io::{self, Write as _};
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

    /// Several requests at once over HTTP/1.1, one behind the other (RFC 9112, 9.3.2), and their outcomes in that order.
    /// None is asked again.
    pub(crate) fn ask_together(&mut self, address: SocketAddr, asks: &[Ask<'_>]) -> Vec<Outcome> {
        let Self::Http1(kept) = self else { panic!("HTTP/2 asks otherwise") };
        let (mut stream, used) = match open_http1(kept, address) {
            Ok(opened) => opened,
            Err(error) => return asks.iter().map(|_| Outcome::Refused(error.to_string())).collect(),
        };
        let requests: String = asks.iter().map(written).collect();
        let mut open = stream.write_all(requests.as_bytes()).is_ok();
        let mut next = || {
            let answer = open.then(|| read_http1(&mut stream)).flatten();
            open = answer.as_ref().is_some_and(|(_, keeps)| *keeps);
            answer.map_or(Outcome::Closed { kept: used }, |(answer, _)| Outcome::Answered(answer))
        };
        let outcomes = asks.iter().map(|_| next()).collect();
        *kept = open.then_some(stream);
        outcomes
    }

    fn exchange(&mut self, address: SocketAddr, ask: &Ask<'_>) -> Outcome {
        match self {
            Self::Http1(kept) => exchange_http1(kept, address, ask),
            Self::Http2(kept) => kept.ask(address, ask),
        }
    }
}

fn exchange_http1(connection: &mut Option<TcpStream>, address: SocketAddr, ask: &Ask<'_>) -> Outcome {
    let (mut stream, kept) = match open_http1(connection, address) {
        Ok(opened) => opened,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    if stream.write_all(written(ask).as_bytes()).is_err() {
        return Outcome::Closed { kept };
    }
    let Some((answer, keeps)) = read_http1(&mut stream) else { return Outcome::Closed { kept } };
    *connection = keeps.then_some(stream);
    Outcome::Answered(answer)
}

/// The connection that is kept, or a new one; whether it was kept.
fn open_http1(kept: &mut Option<TcpStream>, address: SocketAddr) -> io::Result<(TcpStream, bool)> {
    if let Some(stream) = kept.take() {
        return Ok((stream, true));
    }
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok((stream, false))
}

/// As it is sent over HTTP/1.1.
fn written(Ask { method, target, authority, cookie, body }: &Ask<'_>) -> String {
    let rest = body.map_or_else(String::new, |body| {
        format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len())
    });
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let body = body.unwrap_or_default();
    format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{cookie}{rest}\r\n{body}")
}

/// The next answer, and whether the connection goes on; `None` if it closed.
fn read_http1(stream: &mut TcpStream) -> Option<(Answer, bool)> {
    let answer = read_response(stream, false);
    let closes = answer.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close"));
    let retry_after = answer.header("retry-after").is_some();
    (answer.status != 0)
        .then_some((Answer { status: answer.status, retry_after, body: answer.body }, !closes))
}
