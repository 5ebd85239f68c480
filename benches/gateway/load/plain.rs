//! HTTP/1.1 without TLS: kept connections in one thread, which costs the machine least.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Ask, BODY, CONNECTIONS, Cookies};
use crate::Result;

/// A reply that takes longer ends the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// The connections to each proxy.
#[derive(Default)]
pub(super) struct Load(HashMap<SocketAddr, Vec<TcpStream>>);

impl Load {
    /// Sends so many requests and takes their replies; every connection has one under way as long as it lasts.
    pub(super) fn send(
        &mut self,
        address: SocketAddr,
        ask: &Ask<'_>,
        requests: usize,
        cookies: &mut Cookies,
    ) -> Result<()> {
        let mut connections = match self.0.remove(&address) {
            Some(kept) => kept,
            None => (0..CONNECTIONS).map(|_| connect(address)).collect::<io::Result<_>>()?,
        };
        for turn in 0..requests + CONNECTIONS {
            let connection = &mut connections[turn % CONNECTIONS];
            if turn >= CONNECTIONS {
                take_reply(connection)?;
            }
            if turn < requests {
                connection.write_all(&ask.lines(cookies))?;
            }
        }
        self.0.insert(address, connections);
        Ok(())
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
