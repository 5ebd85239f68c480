//! The load: a closed loop over a few kept connections. It does what it is told, one line at a time:
//! `address path session requests`, where `session` is `true` if each request carries a session's cookie.
//! It answers when as many replies have come, each of them whole and 200.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// The argument that makes a process the load; the file of the sessions' cookies follows.
pub(crate) const ROLE: &str = "role-load";

/// Connections to each proxy, each with one request under way.
pub(crate) const CONNECTIONS: usize = 32;

/// A reply that takes longer ends the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a script of a page sends: no navigation, so that no answer issues a cookie anew.
const FIELDS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json\r\n\
    Accept-Language: nb-NO,nb;q=0.9,no-NO;q=0.8,no;q=0.6,nn-NO;q=0.5,nn;q=0.4\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://localhost/app/\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-origin\r\n";

/// The app's own cookie, on every request.
const APP_COOKIE: &str = "JSESSIONID=5A1F0C9E7B3D48E2A6C4F19D0B8E7365";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [cookies] = arguments else { return Err("the load needs a file of cookies".into()) };
    let mut load = Load {
        cookies: std::fs::read_to_string(cookies)?.lines().map(str::to_owned).collect(),
        draw: 0x9E37_79B9_7F4A_7C15,
        connections: HashMap::new(),
    };
    for order in io::stdin().lock().lines() {
        let order = order?;
        let [address, path, session, requests] = order.split(' ').collect::<Vec<_>>()[..] else {
            return Err("an order has four parts".into());
        };
        load.send(address.parse()?, path, session.parse()?, requests.parse()?)?;
        writeln!(io::stdout(), "done")?;
    }
    Ok(())
}

struct Load {
    cookies: Vec<String>,
    draw: u64,
    connections: HashMap<SocketAddr, Vec<TcpStream>>,
}

impl Load {
    /// Sends so many requests and takes their replies; every connection has one under way as long as it lasts.
    fn send(&mut self, address: SocketAddr, path: &str, session: bool, requests: usize) -> Result<()> {
        let mut connections = match self.connections.remove(&address) {
            Some(kept) => kept,
            None => (0..CONNECTIONS).map(|_| connect(address)).collect::<io::Result<_>>()?,
        };
        let host = format!("localhost:{}", address.port());
        let mut request = Vec::with_capacity(2048);
        for turn in 0..requests + CONNECTIONS {
            let connection = &mut connections[turn % CONNECTIONS];
            if turn >= CONNECTIONS {
                take_reply(connection)?;
            }
            if turn < requests {
                self.write(&mut request, &host, path, session);
                connection.write_all(&request)?;
            }
        }
        self.connections.insert(address, connections);
        Ok(())
    }

    fn write(&mut self, request: &mut Vec<u8>, host: &str, path: &str, session: bool) {
        request.clear();
        for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n", FIELDS, "Cookie: ", APP_COOKIE] {
            request.extend_from_slice(part.as_bytes());
        }
        if session {
            request.extend_from_slice(b"; __Host-portvakt=");
            let drawn = self.drawn();
            request.extend_from_slice(self.cookies[drawn].as_bytes());
        }
        request.extend_from_slice(b"\r\n\r\n");
    }

    /// xorshift64: the same order of sessions in every run.
    fn drawn(&mut self) -> usize {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        (self.draw % self.cookies.len() as u64) as usize
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// The upstream's reply has a length that never differs, but its header may come before its body.
fn take_reply(connection: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = connection.read(&mut buffer[filled..])?;
        filled += read;
        let reply = &buffer[..filled];
        if read == 0 || (filled >= 12 && !reply.starts_with(b"HTTP/1.1 200")) {
            let head = String::from_utf8_lossy(&reply[..filled.min(64)]).into_owned();
            return Err(format!("a reply was not 200 but {head:?}").into());
        }
        if reply.ends_with(BODY) {
            return Ok(());
        }
    }
}

const BODY: &[u8] = b"\r\n\r\n{\"status\":\"fine\"}";
