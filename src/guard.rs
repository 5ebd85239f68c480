//! The front: judges the bytes of a connection before the proxy sees them (design D11; threat model HTTP-1, HTTP-3, HTTP-5, LI-1,
//! LI-2).
//!
//! [`Front`] takes each accepted connection, counts it, reads its PROXY header and shakes hands where the [`Listen`]er says so.
//! On HTTP/1 it wraps the stream and hands complete, well-framed requests to the proxy one by one:
//!
//! - a header is given on only when all of it has come and passed the [`framer`]; each request has a deadline of its own;
//! - a body is given on as the framer passes it, never a byte beyond the end of the request;
//! - bytes of the next request wait until the current one has been answered;
//! - what is refused gets a complete answer, the connection closes, and the [`Observer`] hears of it.
//!
//! On HTTP/2 the library frames strictly. The guard adds what it lacks: deadlines for what is begun and not finished, an allowance
//! for frames that carry nothing, a judgement of each head, and word of what was refused.
//!
//! **Invariant:** the proxy never reads a byte that the framer has not passed, but after a `101` that the gateway itself sent on,
//! and on HTTP/2.
//! **Invariant:** nothing a client sent reaches the observer or the log from here.

mod certificates;
mod count;
mod delegate;
mod end;
mod framer;
mod frames;
mod head;
mod http2;
mod listen;
mod refused;
mod socket;
mod stream;
mod wire;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::listeners::ListenerConfig;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::{HttpProxy, ProxyHttp, Session, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

pub use certificates::{CertificateError, Certificates, FreshCertificate, tls_settings};
pub use end::{Reason, RequestEnd};
pub(crate) use framer::is_forbidden_trailer;
pub use framer::{Framer, FramingLimits, Phase};
pub use http2::Http2Limits;
pub use listen::{Listen, ProxyProtocol};
pub use refused::Refused;
pub use stream::{Connection, GuardedStream};
pub use wire::Pace;

use count::Clients;
use listen::{local_of, peer_of};
use socket::Socket;
use stream::{NextRequest, OpenConnection};

/// What the guard allows a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sizes and counts of one request.
    pub framing: FramingLimits,
    /// What HTTP/2 may cost.
    pub http2: Http2Limits,
    /// From the accepted connection to the end of its PROXY header and its TLS handshake.
    pub handshake_deadline: Duration,
    /// From the accepted connection, or on a kept one from the first byte of the request, to the end of its header.
    pub header_deadline: Duration,
    /// How long a connection may wait for the first byte of its next request.
    pub keep_alive_idle: Duration,
    /// From the end of the header to the end of the body. `None`: no limit.
    pub body_deadline: Option<Duration>,
    /// The slowest body that is waited for. `None`: any.
    pub body_progress: Option<Progress>,
    /// From the end of the header to the end of the reply. `None`: no limit.
    pub request_deadline: Option<Duration>,
    /// How long an HTTP/2 client may take nothing of what waits for it.
    pub write_stall: Duration,
    /// How long a refused client may take to read the answer and to stop sending (RFC 9112, 9.6).
    pub linger: Duration,
    /// Open connections of all listeners of the service together.
    pub connections: usize,
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
            http2: Http2Limits::default(),
            handshake_deadline: Duration::from_secs(10),
            header_deadline: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            body_deadline: Some(Duration::from_secs(30 * 60)),
            body_progress: Some(Progress { bytes: 512, window: Duration::from_secs(30) }),
            request_deadline: Some(Duration::from_secs(2 * 60 * 60)),
            write_stall: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            connections: 10_000,
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

/// A listening service whose connections pass the guard. Its listeners are these alone: TLS is spoken behind the guard's count.
pub fn front_service<SV>(
    name: &str,
    conf: &Arc<ServerConf>,
    app: SV,
    limits: Limits,
    listeners: Vec<Listen>,
    observer: Arc<dyn Observer>,
) -> Service<Front<SV>>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    let front = Front::new(http_proxy(conf, app), limits, listeners, observer);
    let mut service = Service::new(name.to_owned(), front);
    for address in addresses {
        // Reads come straight to the guard or to TLS, which have buffers of their own: another would hold 64 KiB for each
        // connection, however idle.
        let buffers = L4BufferSettings::default().read(0);
        service.add_listener(ListenerConfig::tcp(address).l4_buffer(buffers));
    }
    service
}

/// To be called in the first filter (`early_request_filter`): from here on the request is in the access log.
pub fn reached_filters(session: &Session) {
    match connection(session) {
        Some(connection) => connection.reached_filters(),
        None => http2::reached_filters(),
    }
}

/// To be called for every part of a request's body that the proxy has read (`request_body_filter`): on HTTP/2 nobody else sees
/// whether it gets on.
pub fn body_read(session: &Session, bytes: usize, complete: bool) {
    if session.is_http2() {
        http2::body_read(bytes, complete);
    }
}

/// To be called for a request whose body has no end that anybody waits for, as a call of gRPC has: it may pause for long. Whole
/// requests have their deadline all the same.
pub fn body_lasts(session: &Session) {
    if session.is_http2() {
        http2::body_lasts();
    }
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

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

/// The proxy behind the guard.
pub struct Front<SV> {
    proxy: Arc<Endable<SV>>,
    limits: Arc<Limits>,
    listeners: Vec<Listen>,
    observer: Arc<dyn Observer>,
    open: Arc<Semaphore>,
    clients: Arc<Clients>,
}

/// A connection that HTTP begins on.
struct Opened {
    stream: Stream,
    place: OpenConnection,
    h2c: bool,
}

impl<SV> Front<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    fn new(
        proxy: HttpProxy<SV>,
        limits: Limits,
        listeners: Vec<Listen>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let open = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let clients = Arc::default();
        let proxy = Arc::new(Endable(Arc::new(proxy)));
        Self { proxy, limits: Arc::new(limits), listeners, observer, open, clients }
    }

    /// The proxy, for settings that must be made before the service starts; `None` afterwards.
    pub fn proxy_mut(&mut self) -> Option<&mut HttpProxy<SV>> {
        Arc::get_mut(&mut self.proxy).and_then(|endable| Arc::get_mut(&mut endable.0))
    }

    /// Serves a connection to its end.
    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let Some(Opened { stream, place, h2c }) = self.open(stream).await else { return };
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let peer = peer_of(&stream);
        let mut guarded = Box::new(GuardedStream::new(stream, peer, self.limits.clone(), place));
        if h2c {
            guarded.allow_h2c();
        }
        let next = if http2 { guarded.preface().await } else { guarded.next_request(true, shutdown).await };
        match next {
            NextRequest::Http1 => self.serve_http1(guarded, shutdown).await,
            NextRequest::Http2 => {
                guarded.open_up();
                let server = http2::Server {
                    proxy: self.proxy.clone(),
                    limits: self.limits.clone(),
                    observer: self.observer.clone(),
                    shutdown: shutdown.clone(),
                };
                Arc::new(server).serve(guarded).await;
            }
            NextRequest::None => {}
        }
    }

    /// Counts the connection in and brings it to where HTTP begins. What is refused here gets no answer: answering would cost what
    /// the limit saves, and there is no protocol to answer in.
    async fn open(&self, stream: Stream) -> Option<Opened> {
        let peer = peer_of(&stream);
        let opening = async {
            let permit = self.open.clone().try_acquire_owned().map_err(|_| Refused::TooManyConnections)?;
            let mut place = OpenConnection::new(permit, self.observer.clone());
            let local = local_of(&stream);
            let listener =
                self.listeners.iter().find(|listener| local.is_some_and(|local| listener.serves(local)));
            // The service listens for no other.
            let listener = listener.ok_or(Refused::ProxyPeer)?;
            if !listener.takes(peer) {
                return Err(Refused::ProxyPeer);
            }
            if listener.is_bare() {
                self.count_client(peer, listener, &mut place)?;
                return Ok(Opened { stream, place, h2c: listener.h2c });
            }
            // Boxed, because the space for a handshake is large, and a connection would have it as long as it lives.
            let preparing = Box::pin(self.prepare(Socket::new(stream), peer, listener, place));
            timeout(self.limits.handshake_deadline, preparing)
                .await
                .unwrap_or(Err(Refused::HandshakeDeadline))
        };
        opening.await.inspect_err(|refused| _ = self.observer.refused(peer, *refused)).ok()
    }

    async fn prepare(
        &self,
        mut socket: Socket,
        peer: Option<SocketAddr>,
        listener: &Listen,
        mut place: OpenConnection,
    ) -> Result<Opened, Refused> {
        let told = listener.take_proxy_header(&mut socket).await?;
        // Before the handshake, which is what costs.
        self.count_client(told.or(peer), listener, &mut place)?;
        let stream = listener.shake_hands(socket).await?;
        Ok(Opened { stream, place, h2c: listener.h2c && !listener.is_tls() })
    }

    /// Counts the connection among its client's.
    fn count_client(
        &self,
        client: Option<SocketAddr>,
        listener: &Listen,
        place: &mut OpenConnection,
    ) -> Result<(), Refused> {
        if let (Some(client), Some(most)) = (client, listener.connections_per_client) {
            place.takes(self.clients.admit(client.ip(), most).ok_or(Refused::TooManyOfClient)?);
        }
        Ok(())
    }

    /// Serves the requests of an HTTP/1 connection, one after the other.
    async fn serve_http1(&self, mut stream: Box<GuardedStream>, shutdown: &ShutdownWatch) {
        let mut kept: Option<HttpPersistentSettings> = None;
        // One alarm for the connection: a request that ends in time costs no timer of its own.
        let mut alarm = pin!(self.limits.request_deadline.map(|most| sleep_until(Instant::now() + most)));
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
            let began = Instant::now();
            let mut serving = pin!(self.proxy.process_new_http(session, shutdown));
            let reused = loop {
                let (Some(mut rings), Some(most)) =
                    (alarm.as_mut().as_pin_mut(), self.limits.request_deadline)
                else {
                    break serving.await;
                };
                tokio::select! {
                    biased;
                    reused = &mut serving => break reused,
                    () = rings.as_mut() => {
                        if began + most <= Instant::now() {
                            self.observer.refused(connection.peer(), Refused::RequestDeadline);
                            return;
                        }
                        rings.reset(began + most);
                    }
                }
            };
            let Some(reused) = reused else {
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
    /// In a task of its own: that of the caller has room for a handshake that is made here, and would hold it as long as the
    /// connection lives.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (front, shutdown) = (Arc::clone(self), shutdown.clone());
        tokio::spawn(async move { front.serve(stream, &shutdown).await });
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
