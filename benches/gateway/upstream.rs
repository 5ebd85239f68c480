//! The upstream: answers every request with the same few bytes, as cheaply as it can, and with events those that ask
//! for them.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Result;
use crate::process;

/// The argument that makes a process the upstream. It prints its port.
pub(crate) const ROLE: &str = "role-upstream";

/// `Content-Length` counts the second half.
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"status\":\"fine\"}";

/// How many events a stream has that comes to its end.
pub(crate) const EVENTS: usize = 300;

/// Between two of them, so that each travels alone.
const PAUSE: Duration = Duration::from_millis(1);

const EVENT_STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A chunk.
const EVENT: &[u8] = b"e\r\ndata: a word\n\n\r\n";

/// What ends the stream is what ends every reply.
const LAST: &[u8] = b"11\r\n{\"status\":\"fine\"}\r\n0\r\n\r\n";

pub(crate) fn run() -> Result<()> {
    process::end_with_owner();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    for connection in listener.incoming() {
        let connection = connection?;
        // As many threads as connections: the proxies' pools bound both.
        std::thread::spawn(move || serve(connection));
    }
    Ok(())
}

fn send_events(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(EVENT_STREAM)?;
    for _ in 0..EVENTS {
        connection.write_all(EVENT)?;
        std::thread::sleep(PAUSE);
    }
    connection.write_all(LAST)
}

/// Answers as often as a header ends; requests have no bodies.
fn serve(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = [0; 8192];
    let mut filled = 0;
    loop {
        let read = connection.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            match () {
                () if buffer.starts_with(b"GET /app/events ") => send_events(&mut connection)?,
                () if buffer.starts_with(b"GET /app/idle-events ") => {
                    connection.write_all(&[EVENT_STREAM, EVENT].concat())?;
                }
                () => connection.write_all(REPLY)?,
            }
            filled = 0;
        }
    }
}
