//! A client that keeps an HTTP/2 connection, and does what RFC 9113, 6.8 and 8.7 let it: a request that the gateway says
//! it has not begun is asked again on another connection, whatever its method.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Answer, Ask, Outcome};
use crate::harness::http::PATIENCE;

/// The connection, and the thread that reads what comes on it while nobody asks.
pub(crate) struct Kept {
    runtime: Runtime,
    sender: Option<SendRequest<Bytes>>,
}

impl Default for Kept {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.unwrap(), sender: None }
    }
}

impl Kept {
    pub(super) fn ask(&mut self, address: SocketAddr, ask: &Ask<'_>) -> Outcome {
        let Self { runtime, sender } = self;
        runtime.block_on(async {
            // A connection that is known to have ended is not used.
            let ready = match sender.take() {
                Some(kept) => timeout(PATIENCE, kept.ready()).await.expect("streams end").ok(),
                None => None,
            };
            let kept = ready.is_some();
            let mut sending = match ready {
                Some(ready) => ready,
                None => match connect(address).await {
                    Ok(sending) => sending,
                    Err(error) => return Outcome::Refused(error.to_string()),
                },
            };
            match timeout(PATIENCE, exchange(&mut sending, ask)).await.expect("an answer, or an end") {
                Ok(answer) => {
                    *sender = Some(sending);
                    answer
                }
                Err(error) if is_not_begun(&error) => Outcome::NotBegun,
                Err(_) => Outcome::Closed { kept },
            }
        })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, Box<dyn std::error::Error>> {
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
    let (sender, connection) = h2::client::handshake(stream).await?;
    // Its end is learnt by who asks.
    tokio::spawn(connection);
    Ok(sender.ready().await?)
}

async fn exchange(sender: &mut SendRequest<Bytes>, ask: &Ask<'_>) -> Result<Outcome, h2::Error> {
    let request =
        http::Request::builder().method(ask.method).uri(format!("http://{}{}", ask.authority, ask.target));
    let request = match ask.cookie {
        "" => request,
        cookie => request.header("cookie", cookie),
    };
    let request = match ask.body {
        Some(body) => request.header("content-type", "text/plain").header("content-length", body.len()),
        None => request,
    };
    let (answer, mut sending) = sender.send_request(request.body(()).unwrap(), ask.body.is_none())?;
    if let Some(body) = ask.body {
        sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
    }
    let (head, mut reading) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(part) = reading.data().await {
        let part = part?;
        reading.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    let retry_after = head.headers.contains_key("retry-after");
    Ok(Outcome::Answered(Answer { status: head.status.as_u16(), retry_after, body }))
}

/// Whether the gateway said that it has done nothing for this request.
fn is_not_begun(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
