//! The upstream: answers every request with the same few bytes, as cheaply as it can.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::Result;
use crate::process;

/// The argument that makes a process the upstream. It prints its port.
pub(crate) const ROLE: &str = "role-upstream";

/// `Content-Length` counts the second half.
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"status\":\"fine\"}";

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
            connection.write_all(REPLY)?;
            filled = 0;
        }
    }
}
