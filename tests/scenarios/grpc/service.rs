//! An app that speaks gRPC over HTTP/2 without TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response, request};
use tokio::net::{TcpListener, TcpStream};

/// The app. It goes on as long as the test's runtime.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<request::Parts>>,
    given_up: AtomicUsize,
}

impl Service {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    pub(super) fn count(&self) -> usize {
        self.state.received.lock().unwrap().len()
    }

    pub(super) fn last(&self) -> request::Parts {
        self.state.received.lock().unwrap().last().expect("a call has come").clone()
    }

    /// How many calls were broken off by their client.
    pub(super) fn given_up(&self) -> usize {
        self.state.given_up.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&state)));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, state: Arc<State>) {
    let (head, body) = request.into_parts();
    let method = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    state.received.lock().unwrap().push(head);
    let reply = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-identity-fnr", "1")
        .header("set-cookie", "__Host-portvakt=x");
    let broken_off = match method.as_str() {
        "Denied" => {
            let reply = reply.header("grpc-status", "5").body(()).unwrap();
            respond.send_response(reply, true).unwrap();
            return;
        }
        "Plain" => {
            let mut down = respond.send_response(Response::new(()), false).unwrap();
            down.send_data(Bytes::from_static(b"plain"), true).unwrap();
            return;
        }
        "Silent" => {
            let mut down = respond.send_response(reply.body(()).unwrap(), false).unwrap();
            std::future::poll_fn(|cx| down.poll_reset(cx)).await.is_ok()
        }
        _ => talk(body, respond.send_response(reply.body(()).unwrap(), false).unwrap()).await.is_none(),
    };
    if broken_off {
        state.given_up.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends back what comes; `None` if the call was broken off.
async fn talk(mut body: RecvStream, mut down: SendStream<Bytes>) -> Option<()> {
    while let Some(part) = body.data().await {
        let part = part.ok()?;
        body.flow_control().release_capacity(part.len()).ok()?;
        down.send_data(part, false).ok()?;
    }
    body.trailers().await.ok()?;
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", "0"),
        ("app-trailer", "kept"),
        ("x-identity-fnr", "1"),
        ("set-cookie", "a=b"),
        ("content-length", "9"),
    ] {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    down.send_trailers(trailers).ok()
}
