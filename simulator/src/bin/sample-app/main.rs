//! An application as it stands behind the gateway: shows what it was told, echoes requests byte for byte, and keeps
//! WebSockets and events open ([`lasting`]).
//!
//! It reads HTTP/1.1 itself ([`request`]), because a library would merge, reorder or rename headers, and the tests
//! must see exactly what arrived.

mod lasting;
mod page;
mod request;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::lasting::Lasting;
use crate::request::{Connection, Request};

/// An application for the demo and the tests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8083")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(Arguments::parse().listen).await?;
    writeln!(std::io::stdout(), "sample-app ready http://{}", listener.local_addr()?)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        // Out of file descriptors, or a peer that left already: the next one may do better.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(async move {
            serve(stream).await;
            drop(place);
        });
    }
}

/// Answers one connection's requests until either side has had enough.
async fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).ok();
    let (reader, mut writer) = stream.split();
    let mut connection = Connection::new(reader);
    loop {
        let (answer, stays) = match timeout(PATIENCE, connection.head()).await {
            Ok(Ok(Some(request))) => {
                if request.expects_continue()
                    && writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
                {
                    return;
                }
                if let Some(lasting) = Lasting::of(&request) {
                    lasting.serve(&request, &mut connection, &mut writer).await;
                    writer.shutdown().await.ok();
                    return;
                }
                match timeout(PATIENCE, connection.skip_body(&request)).await {
                    Ok(Ok(())) => (answer(&request), request.keeps_alive()),
                    Ok(Err(_)) => (bad_request(), false),
                    Err(_) => return,
                }
            }
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(_)) => (bad_request(), false),
        };
        let written = timeout(PATIENCE, writer.write_all(&answer)).await;
        if !stays || !matches!(written, Ok(Ok(()))) {
            writer.shutdown().await.ok();
            return;
        }
    }
}

fn answer(request: &Request) -> Vec<u8> {
    let path = request.target.split('?').next().unwrap_or_default();
    if !path.ends_with("/echo") {
        let page = page::page(request, path);
        return response(request, "200 OK", "text/html; charset=utf-8", page.as_bytes());
    }
    let echo = json!({"method": request.method, "target": request.target, "headers": request.headers});
    response(request, "200 OK", "application/json", echo.to_string().as_bytes())
}

fn response(request: &Request, status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let connection = if request.keeps_alive() { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    let body = if request.method == "HEAD" { &[] } else { body };
    [head.as_bytes(), body].concat()
}

fn bad_request() -> Vec<u8> {
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
}

const MOST_CONNECTIONS: usize = 8192;
/// For a head, a body, or an answer.
const PATIENCE: Duration = Duration::from_secs(60);
