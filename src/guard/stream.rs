//! The client's stream as the proxy sees it: reads give only what the framer has passed, a refusal is answered from here.
//!
//! **Invariant:** after a refusal every read and write of the proxy fails.
//! **Invariant:** a connection counts as open exactly as long as its stream lives.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::count::ClientPlace;
use super::framer::{Framer, Phase};
use super::frames::PREFACE;
use super::refused::Refused;
use super::{Limits, Observer, Progress};

/// What one read takes from the client at most where the framer need not look at it.
const READ_BYTES: usize = 16 * 1024;
/// What one read takes at most where it must: most heads come whole.
const HEAD_BYTES: usize = 4 * 1024;
/// What a refused client may still send before the connection is dropped whatever it does.
const DRAIN_BYTES: usize = 256 * 1024;

/// What the guard knows of one client connection, shared with the filters.
#[derive(Debug, Clone)]
pub struct Connection(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    peer: Option<SocketAddr>,
    refused: OnceLock<Refused>,
    reached_filters: AtomicBool,
}

impl Connection {
    fn new(peer: Option<SocketAddr>) -> Self {
        Self(Arc::new(ConnectionState {
            peer,
            refused: OnceLock::new(),
            reached_filters: AtomicBool::new(false),
        }))
    }

    /// Why the guard has refused the request that is being served: its body broke the framing or came too slowly. The client
    /// has its answer then; what a filter writes fails.
    pub fn refused(&self) -> Option<Refused> {
        self.0.refused.get().copied()
    }

    /// To be called in the first filter (`early_request_filter`): from here on the request is in the access log. A request
    /// that ends without is reported as [`Refused::ByProxy`].
    pub fn reached_filters(&self) {
        self.0.reached_filters.store(true, Ordering::Relaxed);
    }

    /// The client's address on the socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    pub(super) fn has_reached_filters(&self) -> bool {
        self.0.reached_filters.load(Ordering::Relaxed)
    }
}

/// A place among the open connections; given back on drop.
pub(super) struct OpenConnection {
    permit: Option<OwnedSemaphorePermit>,
    client: Option<ClientPlace>,
    observer: Arc<dyn Observer>,
}

impl OpenConnection {
    pub(super) fn new(permit: OwnedSemaphorePermit, observer: Arc<dyn Observer>) -> Self {
        observer.connections(1);
        Self { permit: Some(permit), client: None, observer }
    }

    /// It also takes this place among its client's.
    pub(super) fn takes(&mut self, place: ClientPlace) {
        self.client = Some(place);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        // First the place, then the word: who hears of the close may connect.
        drop(self.client.take());
        drop(self.permit.take());
        self.observer.connections(-1);
    }
}

/// What a connection brings next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRequest {
    /// A complete HTTP/1 header waits to be read.
    Http1,
    /// The HTTP/2 preface waits to be read.
    Http2,
    /// Nothing: closed, idle for too long, refused or ended.
    None,
}

/// The guarded stream. A filter finds it through [`super::connection`].
pub struct GuardedStream {
    inner: Stream,
    connection: Connection,
    limits: Arc<Limits>,
    open: OpenConnection,
    /// Whether HTTP/2 without TLS is taken by prior knowledge.
    h2c: bool,
    framer: Framer,
    /// Framing no longer applies: HTTP/2, or an upgraded connection.
    unframed: bool,
    /// Bytes from the client that the proxy has not read.
    buffer: BytesMut,
    /// How many of them, from the front, the framer has passed.
    passed: usize,
    response: ResponseHead,
    body_clock: Option<BodyClock>,
    refusal: Option<Refusal>,
    /// The wait for what the client is still sending behind an answer that ends the connection.
    farewell: Option<Refusal>,
    /// Waits for the client's leaving while more has come than it may see.
    waiting_reader: Option<Waker>,
    /// Something was written that may still stand in a buffer below.
    unflushed: bool,
}

impl GuardedStream {
    pub(super) fn new(
        inner: Stream,
        peer: Option<SocketAddr>,
        limits: Arc<Limits>,
        open: OpenConnection,
    ) -> Self {
        Self {
            inner,
            connection: Connection::new(peer),
            framer: Framer::new(limits.framing),
            limits,
            open,
            h2c: false,
            unframed: false,
            buffer: BytesMut::new(),
            passed: 0,
            response: ResponseHead::default(),
            body_clock: None,
            refusal: None,
            farewell: None,
            waiting_reader: None,
            unflushed: false,
        }
    }

    /// Takes HTTP/2 without TLS, by prior knowledge.
    pub(super) fn allow_h2c(&mut self) {
        self.h2c = true;
    }

    /// What the guard knows of the connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits until a whole header has come and passed, refusing what does not pass and closing what does not come.
    pub(super) async fn next_request(&mut self, first: bool, shutdown: &ShutdownWatch) -> NextRequest {
        let start = Instant::now();
        let mut deadline = first.then_some(start + self.limits.header_deadline);
        loop {
            if first && self.may_be_http2() {
                if self.buffer.len() >= PREFACE.len() {
                    return NextRequest::Http2;
                }
            } else {
                match self.frame_header() {
                    Ok(true) => return self.begin_serving(),
                    Ok(false) => {}
                    Err(refused) => return self.refuse_and_close(refused).await,
                }
            }
            let begun = !self.buffer.is_empty();
            if begun && deadline.is_none() {
                deadline = Some(Instant::now() + self.limits.header_deadline);
            }
            let until = deadline.unwrap_or(start + self.limits.keep_alive_idle);
            let read = timeout_at(until, self.fill());
            let read = tokio::select! {
                biased;
                read = read => read,
                () = shut_down(shutdown.clone()), if !begun => return NextRequest::None,
            };
            match read {
                Ok(Ok(1..)) => {}
                Ok(_) => return NextRequest::None,
                // Browsers open connections ahead of need: one that never began a request is closed without a word.
                Err(_) if !begun => return NextRequest::None,
                Err(_) => return self.refuse_and_close(Refused::HeaderDeadline).await,
            }
        }
    }

    /// Whether what has come so far, if anything, is the preface of HTTP/2 without TLS, where that is allowed.
    fn may_be_http2(&self) -> bool {
        let seen = self.buffer.len().min(PREFACE.len());
        self.h2c && self.buffer[..seen] == PREFACE[..seen]
    }

    /// Waits for the preface that ALPN has promised.
    pub(super) async fn preface(&mut self) -> NextRequest {
        let deadline = Instant::now() + self.limits.header_deadline;
        while self.buffer.len() < PREFACE.len() {
            match timeout_at(deadline, self.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return NextRequest::None,
                Err(_) => {
                    self.open.observer.refused(self.connection.peer(), Refused::HeaderDeadline);
                    return NextRequest::None;
                }
            }
        }
        NextRequest::Http2
    }

    /// Ends the framing: from now on the bytes pass as they come.
    pub(super) fn open_up(&mut self) {
        self.unframed = true;
        self.body_clock = None;
        if let Some(reader) = self.waiting_reader.take() {
            reader.wake();
        }
    }

    /// Moves on to the next request; false when the current one was not read to its end.
    pub(super) fn begin_next(&mut self) -> bool {
        let complete = self.framer.phase() == Phase::Complete && self.passed == 0 && !self.unframed;
        if complete {
            self.framer.next_request();
            self.response = ResponseHead::default();
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new(); // The next may be long in coming.
            }
        }
        complete
    }

    /// Gives the framer what has come; true when the header is complete.
    fn frame_header(&mut self) -> Result<bool, Refused> {
        self.passed += self.framer.feed(&self.buffer[self.passed..])?;
        Ok(self.framer.phase() != Phase::Head)
    }

    fn begin_serving(&mut self) -> NextRequest {
        self.connection.0.reached_filters.store(false, Ordering::Relaxed);
        if self.framer.phase() == Phase::Body {
            self.body_clock = Some(BodyClock::start(&self.limits));
        }
        NextRequest::Http1
    }

    async fn refuse_and_close(&mut self, refused: Refused) -> NextRequest {
        self.refuse(refused);
        poll_fn(|cx| self.poll_refusal(cx)).await;
        NextRequest::None
    }

    /// Reports the refusal and prepares the answer.
    fn refuse(&mut self, refused: Refused) {
        let reference = self.open.observer.refused(self.connection.peer(), refused);
        // Set once: a refusal ends the connection.
        let _ = self.connection.0.refused.set(refused);
        // Half an answer of the app cannot be taken back; then the close alone tells.
        let answer = if self.response.is_untouched() { refused.answer(&reference) } else { Vec::new() };
        self.refusal = Some(Refusal::new(answer, self.limits.linger));
    }

    /// Sends the answer, closes the sending side and lets the client read it (RFC 9112, 9.6).
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.refusal {
            Some(refusal) => refusal.poll(&mut self.inner, cx),
            None => Poll::Ready(()),
        }
    }

    /// Reads from the client into the buffer.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// By way of the stack: a connection that waits holds no memory for what may come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); HEAD_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Gives the proxy what the framer has passed.
    fn give(&mut self, out: &mut ReadBuf<'_>) {
        let given = self.passed.min(out.remaining());
        out.put_slice(&self.buffer[..given]);
        self.buffer.advance(given);
        self.passed -= given;
    }

    fn poll_unframed(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            self.passed = self.buffer.len();
            self.give(out);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, out)
    }

    /// Body bytes: straight through where the framer need not look at them, else by way of the buffer.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<BodyRead>> {
        if !self.buffer.is_empty() {
            match self.framer.feed(&self.buffer) {
                Ok(passed) => self.passed = passed,
                Err(refused) => self.refuse(refused),
            }
            return Poll::Ready(Ok(BodyRead::Again));
        }
        let opaque = usize::try_from(self.framer.opaque_bytes()).unwrap_or(usize::MAX);
        let read = if opaque == 0 { self.poll_fill(cx) } else { self.poll_opaque(cx, out, opaque) };
        if let Some(refused) = self.body_clock.as_mut().and_then(|clock| clock.late(cx, &read)) {
            self.refuse(refused);
            return Poll::Ready(Ok(BodyRead::Again));
        }
        let closed = matches!(read, Poll::Ready(Ok(0)));
        read.map_ok(|_| if opaque == 0 && !closed { BodyRead::Again } else { BodyRead::Done })
    }

    /// Reads at most `opaque` bytes to where the proxy wants them.
    fn poll_opaque(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
        opaque: usize,
    ) -> Poll<io::Result<usize>> {
        let room = opaque.min(out.remaining()).min(READ_BYTES);
        let mut direct = ReadBuf::new(out.initialize_unfilled_to(room));
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut direct);
        let filled = direct.filled().len();
        let framed = self.framer.feed(direct.filled());
        debug_assert_eq!(framed, Ok(filled), "opaque bytes hold no boundary");
        out.advance(filled);
        read.map_ok(|()| filled)
    }

    /// The request is read to its end; until it is answered only the client's leaving is of interest. What else comes waits.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.body_clock = None;
        if self.buffer.is_empty() && ready!(self.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        self.waiting_reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes note of what went to the client: a `101` ends the framing, because the client may change its language from there on.
    fn note_written(
        &mut self,
        written: Poll<io::Result<usize>>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(Ok(mut left)) = written else { return written };
        self.unflushed = true;
        for slice in slices {
            let sent = &slice[..left.min(slice.len())];
            left -= sent.len();
            let switched = self.response.note(sent);
            if switched && self.framer.asks_for_upgrade() && self.framer.phase() == Phase::Complete {
                self.open_up();
            }
        }
        written
    }

    /// Sends what the proxy has written and not flushed, now that it waits: of a reply with a known length it flushes
    /// nothing before the end, however slowly the app gives it.
    fn flush_while_waiting(&mut self, cx: &mut Context<'_>) {
        if self.unflushed && Pin::new(&mut self.inner).poll_flush(cx).is_ready() {
            // A failure is the next write's.
            self.unflushed = false;
        }
    }

    /// Whether the proxy may still write.
    fn check_writable(&self) -> io::Result<()> {
        match &self.refusal {
            Some(_) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the guard has refused the request")),
            None => Ok(()),
        }
    }
}

/// What a look at the body brought.
enum BodyRead {
    /// Bytes were given, or the client has closed.
    Done,
    /// The buffer or the state changed.
    Again,
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.poll_passed(cx, out);
        if read.is_pending() {
            this.flush_while_waiting(cx);
        }
        read
    }
}

impl GuardedStream {
    /// Gives the proxy what it may read.
    fn poll_passed(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self;
        loop {
            if this.refusal.is_some() {
                ready!(this.poll_refusal(cx));
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the guard has refused the request",
                )));
            }
            if this.passed > 0 {
                this.give(out);
                return Poll::Ready(Ok(()));
            }
            if this.unframed {
                return this.poll_unframed(cx, out);
            }
            match this.framer.phase() {
                // Only `next_request` reads a header. A proxy that reads one itself finds the connection closed.
                Phase::Head => return Poll::Ready(Ok(())),
                Phase::Complete => return this.poll_close(cx),
                Phase::Body => match ready!(this.poll_body(cx, out))? {
                    BodyRead::Done => return Poll::Ready(Ok(())),
                    BodyRead::Again => {}
                },
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_writable()?;
        let written = Pin::new(&mut this.inner).poll_write(cx, data);
        this.note_written(written, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_writable()?;
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.note_written(written, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_writable()?;
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        if flushed.is_ready() {
            this.unflushed = false;
        }
        flushed
    }

    /// Who was answered before the body was read may be sending it still. Closed with bytes unread, the connection is reset, and
    /// many a client loses the answer that it has not read yet (RFC 9112, 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.farewell.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let unread = !this.unframed && this.refusal.is_none() && this.framer.phase() == Phase::Body;
            this.farewell = unread.then(|| Refusal::drain(this.limits.linger));
        }
        if let Some(farewell) = &mut this.farewell {
            ready!(farewell.poll(&mut this.inner, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for GuardedStream {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl Peek for GuardedStream {}

impl UniqueID for GuardedStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for GuardedStream {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for GuardedStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for GuardedStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for GuardedStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

/// The proxy logs its stream: no buffer, no header in here.
impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream")
            .field("phase", &self.framer.phase())
            .field("unframed", &self.unframed)
            .field("refused", &self.connection.refused())
            .finish_non_exhaustive()
    }
}

/// An answer of the guard on its way, and the wait for the client to take it.
struct Refusal {
    answer: Vec<u8>,
    stage: RefusalStage,
    drained: usize,
    linger: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy)]
enum RefusalStage {
    Write { sent: usize },
    Flush,
    Shutdown,
    Drain,
}

impl Refusal {
    fn new(answer: Vec<u8>, linger: Duration) -> Self {
        Self { answer, stage: RefusalStage::Write { sent: 0 }, drained: 0, linger: Box::pin(sleep(linger)) }
    }

    /// Behind an answer that has been sent.
    fn drain(linger: Duration) -> Self {
        Self { stage: RefusalStage::Drain, ..Self::new(Vec::new(), linger) }
    }

    /// Ready when nothing more can or need be done for the client.
    fn poll(&mut self, inner: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let done = match self.stage {
                RefusalStage::Write { sent } if sent == self.answer.len() => Ok(RefusalStage::Flush),
                RefusalStage::Write { sent } => {
                    let written = ready!(Pin::new(&mut *inner).poll_write(cx, &self.answer[sent..]));
                    written.map(|n| RefusalStage::Write { sent: sent + n })
                }
                RefusalStage::Flush => {
                    ready!(Pin::new(&mut *inner).poll_flush(cx)).map(|()| RefusalStage::Shutdown)
                }
                RefusalStage::Shutdown => {
                    ready!(Pin::new(&mut *inner).poll_shutdown(cx)).map(|()| RefusalStage::Drain)
                }
                RefusalStage::Drain => {
                    let mut bytes = [0; 4096];
                    let mut read = ReadBuf::new(&mut bytes);
                    let outcome = ready!(Pin::new(&mut *inner).poll_read(cx, &mut read));
                    self.drained += read.filled().len();
                    if read.filled().is_empty() || self.drained > DRAIN_BYTES {
                        return Poll::Ready(());
                    }
                    outcome.map(|()| RefusalStage::Drain)
                }
            };
            match done {
                Ok(next) => self.stage = next,
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// How long the body of one request may take. Runs only while the proxy waits for it: an app that reads slowly is not the
/// client's fault.
pub(super) struct BodyClock {
    total: Option<Pin<Box<Sleep>>>,
    progress: Option<(Progress, Pin<Box<Sleep>>)>,
    received: u64,
}

impl BodyClock {
    pub(super) fn start(limits: &Limits) -> Self {
        Self {
            total: limits.body_deadline.map(|total| Box::pin(sleep(total))),
            progress: limits.body_progress.map(|progress| (progress, Box::pin(sleep(progress.window)))),
            received: 0,
        }
    }

    pub(super) fn late(&mut self, cx: &mut Context<'_>, read: &Poll<io::Result<usize>>) -> Option<Refused> {
        if let Poll::Ready(outcome) = read {
            self.received += *outcome.as_ref().unwrap_or(&0) as u64;
            if let Some((progress, window)) = &mut self.progress
                && window.is_elapsed()
            {
                // The window ended while nobody asked for the body.
                self.received = 0;
                window.as_mut().reset(Instant::now() + progress.window);
            }
            return None;
        }
        if let Some(total) = &mut self.total
            && total.as_mut().poll(cx).is_ready()
        {
            return Some(Refused::BodyDeadline);
        }
        if let Some((progress, window)) = &mut self.progress {
            while window.as_mut().poll(cx).is_ready() {
                if std::mem::take(&mut self.received) < progress.bytes {
                    return Some(Refused::BodyTooSlow);
                }
                window.as_mut().reset(Instant::now() + progress.window);
            }
        }
        None
    }
}

/// Follows the status lines that go to the client.
#[derive(Debug, Clone, Copy)]
enum ResponseHead {
    /// Inside `HTTP/1.1 nnn`.
    Status { read: usize, code: [u8; 3] },
    /// Inside the header of an interim response; so many bytes of its end have been seen.
    Interim { end: usize },
    /// The final response has begun.
    Final,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::Status { read: 0, code: [0; 3] }
    }
}

impl ResponseHead {
    /// Whether a complete answer can still be sent.
    fn is_untouched(&self) -> bool {
        matches!(self, Self::Status { read: 0, .. })
    }

    /// True when a `101` has begun in these bytes.
    fn note(&mut self, sent: &[u8]) -> bool {
        const CODE_AT: usize = "HTTP/1.1 ".len();
        const HEAD_END: &[u8] = b"\r\n\r\n";
        for byte in sent {
            *self = match *self {
                Self::Status { read, mut code } => {
                    if read >= CODE_AT {
                        code[read - CODE_AT] = *byte;
                    }
                    match &code {
                        _ if read + 1 < CODE_AT + code.len() => Self::Status { read: read + 1, code },
                        b"101" => {
                            *self = Self::Final;
                            return true;
                        }
                        [b'1', ..] => Self::Interim { end: 0 },
                        _ => Self::Final,
                    }
                }
                Self::Interim { end } if *byte == HEAD_END[end] && end + 1 == HEAD_END.len() => {
                    Self::default()
                }
                Self::Interim { end } if *byte == HEAD_END[end] => Self::Interim { end: end + 1 },
                Self::Interim { .. } => Self::Interim { end: usize::from(*byte == b'\r') },
                Self::Final => return false,
            };
        }
        false
    }
}

/// Resolves when the server stops.
pub(super) async fn shut_down(mut watch: ShutdownWatch) {
    if watch.wait_for(|stopping| *stopping).await.is_err() {
        // Without a sender nobody will stop it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn switches(written: &[u8]) -> Vec<bool> {
        [1, 7, written.len()]
            .map(|cut| {
                let mut head = ResponseHead::default();
                written.chunks(cut).any(|part| head.note(part))
            })
            .to_vec()
    }

    struct Deaf;

    impl Observer for Deaf {
        fn refused(&self, _peer: Option<SocketAddr>, _reason: Refused) -> String {
            String::new()
        }

        fn connections(&self, _delta: i64) {}
    }

    #[tokio::test]
    async fn a_request_that_was_not_read_to_its_end_is_followed_by_none() {
        let (mut client, server) = tokio::io::duplex(1024);
        let permit = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        let open = OpenConnection::new(permit, Arc::new(Deaf));
        let mut guarded = GuardedStream::new(Box::new(server), None, Arc::default(), open);
        let (_stop, running) = tokio::sync::watch::channel(false);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client, &[head.as_slice(), b"abcGET"].concat())
            .await
            .unwrap();
        assert_eq!(guarded.next_request(true, &running).await, NextRequest::Http1);
        assert!(!guarded.begin_next(), "nothing read");
        let mut read = vec![0; head.len()];
        guarded.read_exact(&mut read).await.unwrap();
        assert!(!guarded.begin_next(), "the body not read");
        let mut body = [0; 64];
        assert_eq!(guarded.read(&mut body).await.unwrap(), 3, "not a byte of the next request");
        assert!(guarded.begin_next());
    }

    #[test]
    fn only_a_status_line_of_101_switches() {
        assert_eq!(switches(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), [true; 3]);
        assert_eq!(switches(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 X\r\n\r\n"), [true; 3]);
        assert_eq!(switches(b"HTTP/1.1 103 E\r\nLink: </101>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), [false; 3]);
        assert_eq!(switches(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 X\r\n\r\n"), [false; 3]);
    }

    #[test]
    fn an_interim_response_leaves_room_for_a_refusal() {
        let mut head = ResponseHead::default();
        head.note(b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(head.is_untouched());
        head.note(b"HTTP/1.1 2");
        assert!(!head.is_untouched());
    }
}
