//! The load. It does what it is told, one line at a time, and answers `done`.
//!
//! `send protocol address host path session requests`: a closed loop over a few kept connections, where `session` is
//! `true` if each request carries a session's cookie; done when as many replies have come, each of them whole and 200.
//! `streams …`: the same for replies that are streams of events.
//! `hold protocol address host path session connections`: as many connections, each with one request answered, or
//! begun to be if it is a stream of events; they stay until `release`.

mod kept;
mod plain;

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;

use crate::Result;
use crate::protocol::Protocol;

/// The argument that makes a process the load; the file of the sessions' cookies follows.
pub(crate) const ROLE: &str = "role-load";

/// Requests under way to each proxy.
pub(crate) const CONNECTIONS: usize = 32;

/// What a script of a page sends: no navigation, so that no answer issues a cookie anew.
const FIELDS: [(&str, &str); 8] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "application/json"),
    ("Accept-Language", "nb-NO,nb;q=0.9,no-NO;q=0.8,no;q=0.6,nn-NO;q=0.5,nn;q=0.4"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://localhost/app/"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
];

/// The app's own cookie, on every request.
const APP_COOKIE: &str = "JSESSIONID=5A1F0C9E7B3D48E2A6C4F19D0B8E7365";

/// How a reply ends.
const BODY: &[u8] = b"{\"status\":\"fine\"}";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [cookies] = arguments else { return Err("the load needs a file of cookies".into()) };
    let cookies = std::fs::read_to_string(cookies)?;
    let mut cookies = Cookies { values: cookies.lines().map(str::to_owned).collect(), draw: SEED };
    let (mut plain, mut kept) = (plain::Load::default(), kept::Load::new()?);
    for order in io::stdin().lock().lines() {
        let order = order?;
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["send", "http1", address, host, path, session, requests] => {
                let ask = Ask { host, path, session: session.parse()? };
                plain.send(address.parse()?, &ask, requests.parse()?, &mut cookies)?;
            }
            [what @ ("send" | "streams" | "hold"), protocol, address, host, path, session, number] => {
                let ask = Ask { host, path, session: session.parse()? };
                let (protocol, address): (Protocol, SocketAddr) = (protocol.parse()?, address.parse()?);
                match what {
                    "hold" => kept.hold(protocol, address, &ask, number.parse()?, &mut cookies)?,
                    _ => kept.send(protocol, address, &ask, number.parse()?, &mut cookies)?,
                }
            }
            ["release"] => kept.release(),
            _ => return Err("no such order".into()),
        }
        writeln!(io::stdout(), "done")?;
    }
    Ok(())
}

/// What every request of an order asks for.
struct Ask<'a> {
    host: &'a str,
    path: &'a str,
    session: bool,
}

impl Ask<'_> {
    /// The value of `Cookie`.
    fn cookie(&self, cookies: &mut Cookies) -> String {
        match self.session {
            true => format!("{APP_COOKIE}; __Host-portvakt={}", cookies.draw()),
            false => APP_COOKIE.to_owned(),
        }
    }

    /// As HTTP/1.1.
    fn lines(&self, cookies: &mut Cookies) -> Vec<u8> {
        let mut request = Vec::with_capacity(2048);
        for part in ["GET ", self.path, " HTTP/1.1\r\nHost: ", self.host, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        for (name, value) in FIELDS.into_iter().chain([("Cookie", &*self.cookie(cookies))]) {
            for part in [name, ": ", value, "\r\n"] {
                request.extend_from_slice(part.as_bytes());
            }
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// The sessions' cookies.
struct Cookies {
    values: Vec<String>,
    draw: u64,
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

impl Cookies {
    /// xorshift64: the same order of sessions in every run.
    fn draw(&mut self) -> &str {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        &self.values[(self.draw % self.values.len() as u64) as usize]
    }
}
