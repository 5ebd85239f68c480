//! The front: judges the bytes of a connection before the proxy sees them (design D11; threat model HTTP-1, HTTP-3, HTTP-5, LI-1,
//! LI-2).
//!
//! [`Front`] takes each accepted connection, wraps its stream and hands complete, well-framed requests to the proxy one by one:
//!
//! - a header is given on only when all of it has come and passed the [`framer`]; each request has a deadline of its own;
//! - a body is given on as the framer passes it, never a byte beyond the end of the request;
//! - bytes of the next request wait until the current one has been answered;
//! - what is refused gets a complete answer, the connection closes, and the [`Observer`] hears of it.
//!
//! **Invariant:** the proxy never reads a byte that the framer has not passed, but after a `101` that the gateway itself sent on,
//! and on HTTP/2, whose library frames strictly.
//! **Invariant:** nothing a client sent reaches the observer or the log from here.

mod cancel;
mod certificates;
mod end;
mod framer;
mod refused;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::{HttpProxy, ProxyHttp, Session, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use tokio::sync::Semaphore;

pub use cancel::CancelHandle;
pub use certificates::{CertificateError, Certificates, FreshCertificate, tls_settings};
pub use end::{Reason, RequestEnd};
pub use framer::{Framer, FramingLimits, Phase};
pub use refused::Refused;
pub use stream::{Connection, GuardedStream};
use stream::{NextRequest, OpenConnection};

/// What the guard allows a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sizes and counts of one request.
    pub framing: FramingLimits,
    /// From the accepted connection, or on a kept one from the first byte of the request, to the end of its header.
    pub header_deadline: Duration,
    /// How long a connection may wait for the first byte of its next request.
    pub keep_alive_idle: Duration,
    /// From the end of the header to the end of the body. `None`: no limit.
    pub body_deadline: Option<Duration>,
    /// The slowest body that is waited for. `None`: any.
    pub body_progress: Option<Progress>,
    /// How long a refused client may take to read the answer and to stop sending (RFC 9112, 9.6).
    pub linger: Duration,
    /// Open connections of all listeners of the service together.
    pub connections: usize,
    /// Whether HTTP/2 without TLS is taken by prior knowledge. Over TLS, ALPN decides.
    pub h2c: bool,
}

/// At least `bytes` within each `window` in which the proxy waits for the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that must come.
    pub bytes: u64,
    /// The time they may take.
    pub window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            framing: FramingLimits::default(),
            header_deadline: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            body_deadline: Some(Duration::from_secs(30 * 60)),
            body_progress: Some(Progress { bytes: 512, window: Duration::from_secs(30) }),
            linger: Duration::from_secs(1),
            connections: 10_000,
            h2c: false,
        }
    }
}

/// Sees what no filter sees. Called on the connection's task: it must not block.
pub trait Observer: Send + Sync {
    /// A request or a connection was refused. Returns the reference that the client is shown, so that it finds the log line;
    /// ASCII letters, digits, `-` and `_`. Not shown where no answer is sent (too many connections, [`Refused::ByProxy`]).
    fn refused(&self, peer: Option<SocketAddr>, reason: Refused) -> String;

    /// The number of open connections changed by `delta`.
    fn connections(&self, delta: i64);
}

/// A listening service whose connections pass the guard. Add listeners to it (`add_tcp`, `add_tls_with_settings`).
pub fn front_service<SV>(
    name: &str,
    conf: &Arc<ServerConf>,
    app: SV,
    limits: Limits,
    observer: Arc<dyn Observer>,
) -> Service<Front<SV>>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    Service::new(name.to_owned(), Front::new(http_proxy(conf, app), limits, observer))
}

/// The guard's side of the connection that a request came on; `None` on HTTP/2, where a stream has no connection of its own.
pub fn connection(session: &Session) -> Option<&Connection> {
    let stream = session.as_downstream().stream()?;
    // Through the box: the box is no IO of its own.
    let guarded = (**stream).as_any().downcast_ref::<GuardedStream>()?;
    Some(guarded.connection())
}

/// The proxy, whose requests can be ended one by one.
struct Endable<SV>(Arc<HttpProxy<SV>>);

#[async_trait]
impl<SV> HttpServerApp for Endable<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        end::bound(self.0.process_new_http(session, shutdown)).await.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

/// The proxy behind the guard.
pub struct Front<SV> {
    proxy: Arc<Endable<SV>>,
    limits: Arc<Limits>,
    observer: Arc<dyn Observer>,
    open: Arc<Semaphore>,
}

impl<SV> Front<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    fn new(mut proxy: HttpProxy<SV>, limits: Limits, observer: Arc<dyn Observer>) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = limits.h2c;
        options.h2_idle_timeout = Some(limits.keep_alive_idle);
        // `h2_options` stays unset: the library's own defaults bound streams and header lists, a built value would not.
        proxy.server_options = Some(options);
        let open = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        Self { proxy: Arc::new(Endable(Arc::new(proxy))), limits: Arc::new(limits), observer, open }
    }

    /// The proxy, for settings that must be made before the service starts; `None` afterwards.
    pub fn proxy_mut(&mut self) -> Option<&mut HttpProxy<SV>> {
        Arc::get_mut(&mut self.proxy).and_then(|endable| Arc::get_mut(&mut endable.0))
    }

    /// Counts the connection in, or refuses it without an answer: answering would cost what the limit saves.
    fn admit(&self, stream: Stream) -> Option<Box<GuardedStream>> {
        let peer = peer_of(&stream);
        let Ok(permit) = self.open.clone().try_acquire_owned() else {
            self.observer.refused(peer, Refused::TooManyConnections);
            return None;
        };
        let open = OpenConnection::new(permit, self.observer.clone());
        Some(Box::new(GuardedStream::new(stream, peer, self.limits.clone(), open)))
    }

    /// Serves the requests of an HTTP/1 connection, one after the other.
    async fn serve_http1(&self, mut stream: Box<GuardedStream>, shutdown: &ShutdownWatch) {
        let mut kept: Option<HttpPersistentSettings> = None;
        loop {
            let connection = stream.connection().clone();
            let mut session = ServerSession::new_http1(stream);
            match kept.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(Some(self.limits.keep_alive_idle.as_secs().max(1))),
            }
            if *shutdown.borrow() {
                session.set_keepalive(None);
            }
            let Some(reused) = self.proxy.process_new_http(session, shutdown).await else {
                if !connection.has_reached_filters() && connection.refused().is_none() {
                    self.observer.refused(connection.peer(), Refused::ByProxy);
                }
                return;
            };
            let (reused, settings) = reused.consume();
            kept = settings;
            let Ok(guarded) = reused.into_any().downcast::<GuardedStream>() else {
                return;
            };
            stream = guarded;
            // A request that was not read to its end cannot be followed by another (HTTP-5).
            if !stream.begin_next() || stream.next_request(false, shutdown).await != NextRequest::Http1 {
                return;
            }
        }
    }
}

#[async_trait]
impl<SV> ServerApp for Front<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let mut guarded = self.admit(stream)?;
        let next = if http2 { guarded.preface().await } else { guarded.next_request(true, shutdown).await };
        match next {
            NextRequest::Http1 => self.serve_http1(guarded, shutdown).await,
            NextRequest::Http2 => {
                guarded.open_up();
                self.proxy.process_new(guarded, shutdown).await;
            }
            NextRequest::None => {}
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

fn peer_of(stream: &Stream) -> Option<SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}
