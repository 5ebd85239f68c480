//! Serves an HTTP/2 connection (RFC 9113): accepts its streams, judges each head, and hands each request to the proxy on its own
//! (threat model HTTP-4, HTTP-8, LI-1 to LI-3).
//!
//! The proxy's own loop would do the same without saying what it refused, and waits for bodies without an end.
//!
//! **Invariant:** what ends one stream leaves the others of the connection alone.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use pingora::apps::HttpServerApp as _;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, GetProxyDigest as _, GetSocketDigest as _, GetTimingDigest as _, Ssl as _};
use pingora::proxy::ProxyHttp;
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::refused::Refused;
use super::stream::{Connection, GuardedStream, shut_down};
use super::wire::{Pace, Wire};
use super::{Endable, Limits, Observer, head};

/// What HTTP/2 costs a connection at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2Limits {
    /// Streams at a time (RFC 9113, 5.1.2).
    pub streams: u32,
    /// Bytes of a decoded header list. What is larger than [`super::FramingLimits`] allows and smaller than this gets an answer.
    pub header_list: u32,
    /// Bytes of a reply that wait for the client, for each stream.
    pub send_buffer: usize,
    /// Streams that the client's errors may make the library reset.
    pub errors: usize,
    /// Requests that are refused before they reach a filter.
    pub rejected: usize,
    /// Frames that carry nothing: PING, SETTINGS, PRIORITY, empty DATA, unknown ones. Content refills it.
    pub idle_frames: Pace,
    /// Streams that the client gives up.
    pub resets: Pace,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            header_list: 64 * 1024,
            send_buffer: 64 * 1024,
            errors: 64,
            rejected: 32,
            idle_frames: Pace { burst: 500, each_second: 50 },
            resets: Pace { burst: 300, each_second: 30 },
        }
    }
}

impl Http2Limits {
    /// The library's options. Pingora's are the start: a fresh value would bound neither streams nor header lists.
    fn options(&self) -> H2Options {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(self.streams)
            .max_header_list_size(self.header_list)
            .max_send_buffer_size(self.send_buffer)
            .max_local_error_reset_streams(Some(self.errors))
            // Given up by the client before they were begun, and given up by us and still remembered.
            .max_pending_accept_reset_streams(20)
            .max_concurrent_reset_streams(50)
            .reset_stream_duration(Duration::from_secs(1));
        options
    }
}

tokio::task_local! {
    /// The stream whose request this task serves.
    static STREAM: Arc<StreamState>;
}

/// What the filters tell the guard of a stream.
#[derive(Debug)]
struct StreamState {
    reached_filters: AtomicBool,
    body_complete: AtomicBool,
    /// Its body may pause.
    body_lasts: AtomicBool,
    body_bytes: AtomicU64,
}

/// The request of this task has reached a filter.
pub(super) fn reached_filters() {
    let _ = STREAM.try_with(|stream| stream.reached_filters.store(true, Ordering::Relaxed));
}

/// So much of the request's body has been read.
pub(super) fn body_read(bytes: usize, complete: bool) {
    let _ = STREAM.try_with(|stream| {
        stream.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if complete {
            stream.body_complete.store(true, Ordering::Relaxed);
        }
    });
}

/// The body of this task's request may pause for long.
pub(super) fn body_lasts() {
    let _ = STREAM.try_with(|stream| stream.body_lasts.store(true, Ordering::Relaxed));
}

/// What every stream of a connection is served with.
pub(super) struct Server<SV> {
    pub(super) proxy: Arc<Endable<SV>>,
    pub(super) limits: Arc<Limits>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) shutdown: ShutdownWatch,
}

impl<SV> Server<SV>
where
    SV: ProxyHttp + Send + Sync + 'static,
    SV::CTX: Send + Sync,
{
    /// Serves a connection to its end. Its preface has come.
    pub(super) async fn serve(self: Arc<Self>, stream: Box<GuardedStream>) {
        let connection = stream.connection().clone();
        let digest = Arc::new(Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        });
        let wire = Box::new(Wire::new(stream, Arc::clone(&self.limits), Arc::clone(&self.observer)));
        let handshake = handshake(wire, Some(self.limits.http2.options()));
        let Ok(Ok(mut library)) = timeout(self.limits.header_deadline, handshake).await else { return };

        let streams = Arc::new(Streams::default());
        let (mut served, mut rejected, mut stopping) = (false, 0, false);
        loop {
            let patience = || match (stopping, served) {
                (true, _) => streams.patience_with_the_last(&self.limits),
                (false, true) => self.limits.keep_alive_idle,
                // As long as on HTTP/1 the first request may take.
                (false, false) => self.limits.header_deadline,
            };
            let accepted = tokio::select! {
                biased;
                () = shut_down(self.shutdown.clone()), if !stopping => {
                    stopping = true;
                    library.graceful_shutdown();
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut library, Arc::clone(&digest)) => accepted,
                () = streams.idle(patience) => {
                    if stopping {
                        return;
                    }
                    stopping = true;
                    library.graceful_shutdown();
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    served = true;
                    let (server, connection) = (Arc::clone(&self), connection.clone());
                    let place = streams.begin();
                    tokio::spawn(async move {
                        server.serve_stream(session, &connection).await;
                        drop(place);
                    });
                }
                Ok(Some(H2Accept::Rejected)) => {
                    self.observer.refused(connection.peer(), Refused::ByProxy);
                    rejected += 1;
                    if rejected >= self.limits.http2.rejected {
                        self.observer.refused(connection.peer(), Refused::Http2Connection);
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn serve_stream(&self, session: HttpSession, connection: &Connection) {
        if let Err(refused) = head::check(session.req_header(), &self.limits.framing) {
            let reference = self.observer.refused(connection.peer(), refused);
            return refuse(session, refused, &reference).await;
        }
        let state = Arc::new(StreamState {
            reached_filters: AtomicBool::new(false),
            body_complete: AtomicBool::new(session.is_body_done()),
            body_lasts: AtomicBool::new(false),
            body_bytes: AtomicU64::new(0),
        });
        let session = ServerSession::new_http2(session);
        let served = STREAM.scope(Arc::clone(&state), self.proxy.process_new_http(session, &self.shutdown));
        let late = tokio::select! {
            biased;
            _ = served => None,
            late = late(&state, &self.limits) => Some(late),
        };
        match late {
            // The stream was reset when its request was dropped.
            Some(refused) => {
                self.observer.refused(connection.peer(), refused);
            }
            None if !state.reached_filters.load(Ordering::Relaxed) => {
                self.observer.refused(connection.peer(), Refused::ByProxy);
            }
            None => {}
        }
    }
}

/// Answers a request that no filter sees.
async fn refuse(mut session: HttpSession, refused: Refused, reference: &str) {
    let (status, body) = (refused.status().0, refused.body(reference));
    let mut response = ResponseHeader::build(StatusCode::from_u16(status).unwrap_or_default(), Some(4))
        .expect("a status of the table is one");
    let fields = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    for (name, value) in fields {
        response.insert_header(name, value).expect("constant fields are fields");
    }
    session.set_write_timeout(Some(Duration::from_secs(5)));
    // Who does not take the answer does not want it.
    let _ = session.write_response_header(Box::new(response), false);
    let _ = session.write_body(Bytes::from(body), true).await;
}

/// Resolves when the request has taken too long. A body is waited for no longer than on HTTP/1; its progress is judged over two
/// windows, because an app that does not read may take up the first.
async fn late(stream: &StreamState, limits: &Limits) -> Refused {
    tokio::select! {
        () = within(limits.request_deadline) => Refused::RequestDeadline,
        refused = late_body(stream, limits) => refused,
    }
}

async fn late_body(stream: &StreamState, limits: &Limits) -> Refused {
    let end = limits.body_deadline.map(|total| Instant::now() + total);
    let mut before = 0;
    while !stream.body_complete.load(Ordering::Relaxed) {
        let window = limits.body_progress.map(|progress| progress.window * 2);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let Some(wait) = window.into_iter().chain(left).min() else { break };
        sleep(wait).await;
        if stream.body_complete.load(Ordering::Relaxed) || stream.body_lasts.load(Ordering::Relaxed) {
            break;
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            return Refused::BodyDeadline;
        }
        let now = stream.body_bytes.load(Ordering::Relaxed);
        if limits.body_progress.is_some_and(|progress| now - before < progress.bytes) {
            return Refused::BodyTooSlow;
        }
        before = now;
    }
    pending().await
}

/// Resolves after this time, or never.
async fn within(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

/// The streams of a connection that are being served.
#[derive(Debug, Default)]
struct Streams {
    served: AtomicUsize,
    ended: Notify,
    /// When one was served to its end; `None`: none was.
    last: Mutex<Option<Instant>>,
}

/// One of them, until it is dropped.
struct Place(Arc<Streams>);

impl Streams {
    fn begin(self: &Arc<Self>) -> Place {
        self.served.fetch_add(1, Ordering::SeqCst);
        Place(Arc::clone(self))
    }

    /// How long a connection that is to end may take. A reply has been served when it stands in the library and in the socket; a
    /// client with a slow line takes it later, and what it says meanwhile of its progress must find the connection open. The library
    /// ends it as soon as the client has answered the PING that comes behind all of it.
    fn patience_with_the_last(&self, limits: &Limits) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(limits.linger, |last| {
            limits.write_stall.saturating_sub(last.elapsed()).max(limits.linger)
        })
    }

    /// Resolves when none has been served for so long.
    async fn idle(&self, patience: impl FnOnce() -> Duration) {
        while self.served.load(Ordering::SeqCst) > 0 {
            self.ended.notified().await;
        }
        sleep(patience()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if self.0.served.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Stores the word for a waiter that is not there yet.
            self.0.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Progress;

    #[tokio::test]
    async fn a_body_that_brings_nothing_is_late_unless_it_lasts() {
        let window = Duration::from_millis(20);
        let limits = Limits { body_progress: Some(Progress { bytes: 1, window }), ..Limits::default() };
        let stream = StreamState {
            reached_filters: AtomicBool::new(true),
            body_complete: AtomicBool::new(false),
            body_lasts: AtomicBool::new(false),
            body_bytes: AtomicU64::new(0),
        };
        assert_eq!(late(&stream, &limits).await, Refused::BodyTooSlow);
        stream.body_lasts.store(true, Ordering::Relaxed);
        assert!(timeout(window * 10, late(&stream, &limits)).await.is_err(), "it is waited for");
        let limits = Limits { request_deadline: Some(window), ..limits };
        assert_eq!(late(&stream, &limits).await, Refused::RequestDeadline);
    }
}
