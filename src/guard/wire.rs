//! The bytes of an HTTP/2 connection: deadlines and counts that its library does not have (threat model LI-1, LI-3).
//!
//! - what a client has begun, a header block or a frame, must be whole in time;
//! - frames that cost work and carry nothing are counted against an allowance that time and content refill;
//! - a client that takes nothing of what waits for it loses its connection;
//! - a client that takes the last of it slowly finds the connection open until it has it;
//! - what the library refuses, and would tell nobody, is reported.
//!
//! **Invariant:** no byte is changed, held back or invented.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pingora::protocols::{GetSocketDigest, SocketDigest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::delegate::delegate_to;
use super::frames::{Incoming, Outgoing, Unfinished};
use super::refused::Refused;
use super::stream::{BodyClock, GuardedStream};
use super::{Limits, Observer};

/// What a client may say while it takes the last of a reply: of its progress, of frames that crossed with our end.
const LAST_WORDS: usize = 64 * 1024;

/// The stream that the HTTP/2 library reads and writes.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Box<GuardedStream>,
    state: State,
}

struct State {
    peer: Option<SocketAddr>,
    limits: Arc<Limits>,
    observer: Arc<dyn Observer>,
    incoming: Incoming,
    outgoing: Outgoing,
    clock: Clock,
    stalled: Option<Pin<Box<Sleep>>>,
    /// When part of a reply was written last.
    replied: Option<Instant>,
    /// How long the client may take for what stands in the socket, once we have said that nothing follows.
    farewell: Option<Pin<Box<Sleep>>>,
    /// What it may say until then, in bytes.
    last_words: usize,
    /// Whether it has broken the protocol.
    unwelcome: bool,
    idle: Allowance,
    resets: Allowance,
    ended: bool,
}

/// How long the client may take for what it has begun; the number says for which.
enum Clock {
    Stopped,
    Head(u64, Pin<Box<Sleep>>),
    Data(u64, BodyClock),
}

impl Wire {
    pub(super) fn new(stream: Box<GuardedStream>, limits: Arc<Limits>, observer: Arc<dyn Observer>) -> Self {
        let state = State {
            peer: stream.connection().peer(),
            incoming: Incoming::new(),
            outgoing: Outgoing::default(),
            clock: Clock::Stopped,
            stalled: None,
            replied: None,
            farewell: None,
            last_words: LAST_WORDS,
            unwelcome: false,
            idle: Allowance::new(limits.http2.idle_frames),
            resets: Allowance::new(limits.http2.resets),
            ended: false,
            limits,
            observer,
        };
        Self { stream, state }
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.ended { Err(broken()) } else { Ok(()) }
    }

    /// Ends the connection. Its streams end with it.
    fn end(&mut self, refused: Refused) -> io::Error {
        if !std::mem::replace(&mut self.ended, true) {
            self.observer.refused(self.peer, refused);
        }
        broken()
    }

    fn note_received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let received = self.incoming.feed(bytes);
        self.idle.refill(received.useful);
        if (received.idle > 0 && !self.idle.spend(received.idle))
            || (received.resets > 0 && !self.resets.spend(received.resets))
        {
            return Err(self.end(Refused::Http2Flood));
        }
        Ok(())
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        let sent = self.outgoing.feed(bytes);
        self.idle.refill(sent.data);
        if sent.data > 0 {
            self.replied = Some(Instant::now());
        }
        for _ in 0..sent.refused_streams {
            self.observer.refused(self.peer, Refused::Http2Stream);
        }
        if sent.refused_connection {
            self.unwelcome = true;
            self.observer.refused(self.peer, Refused::Http2Connection);
        }
    }

    /// Looks at the clock of what is unfinished. `read`: the read that was just tried.
    fn late(&mut self, cx: &mut Context<'_>, read: &Poll<io::Result<usize>>) -> Option<Refused> {
        let (unfinished, finished) = (self.incoming.unfinished(), self.incoming.finished());
        match (unfinished, &self.clock) {
            (Unfinished::Nothing, _) => self.clock = Clock::Stopped,
            (Unfinished::Head, Clock::Head(of, _)) | (Unfinished::Data, Clock::Data(of, _))
                if *of == finished => {}
            (Unfinished::Head, _) => {
                self.clock = Clock::Head(finished, Box::pin(sleep(self.limits.header_deadline)));
            }
            (Unfinished::Data, _) => self.clock = Clock::Data(finished, BodyClock::start(&self.limits)),
        }
        match &mut self.clock {
            Clock::Stopped => None,
            Clock::Head(_, deadline) => (read.is_pending() && deadline.as_mut().poll(cx).is_ready())
                .then_some(Refused::HeaderDeadline),
            Clock::Data(_, clock) => clock.late(cx, read),
        }
    }

    /// Passes on the outcome of a write, unless the client has taken nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.limits.write_stall)));
        if stalled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(self.end(Refused::SlowReader)));
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.check()?;
        let before = out.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, out);
        let bytes = &out.filled()[before..];
        this.state.note_received(bytes)?;
        let outcome = match &read {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(bytes.len())),
            Poll::Ready(Err(_)) => return read,
            Poll::Pending => Poll::Pending,
        };
        match this.state.late(cx, &outcome) {
            Some(refused) => Poll::Ready(Err(this.state.end(refused))),
            None => read,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state.check()?;
        let written = Pin::new(&mut this.stream).poll_write(cx, data);
        if let Poll::Ready(Ok(length)) = &written {
            this.state.note_sent(&data[..*length]);
        }
        this.state.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state.check()?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(length)) = &written {
            let mut left = *length;
            for slice in slices {
                let part = left.min(slice.len());
                this.state.note_sent(&slice[..part]);
                left -= part;
            }
        }
        this.state.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.check()?;
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.state.unless_stalled(cx, flushed)
    }

    /// Also waits until the client has closed. A closed socket answers what a slow client says meanwhile of its progress with a
    /// reset, and that takes away what was still on its way (as RFC 9112, 9.6 has it for HTTP/1).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let farewell = match &mut this.state.farewell {
            Some(farewell) => farewell,
            none => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                let limits = &this.state.limits;
                let patience = this
                    .state
                    .replied
                    .map(|at| limits.write_stall.saturating_sub(at.elapsed()))
                    .unwrap_or_default();
                none.insert(Box::pin(sleep(patience.max(limits.linger))))
            }
        };
        let mut bytes = [0; 1024];
        while !this.state.unwelcome && this.state.last_words > 0 && farewell.as_mut().poll(cx).is_pending() {
            let mut read = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    this.state.last_words = this.state.last_words.saturating_sub(read.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

delegate_to!(Wire, stream);

/// The proxy logs its stream: what came over it is left out.
impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// How much a client may do that carries nothing: a burst, and so much more each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At once.
    pub burst: u32,
    /// For each second that passes.
    pub each_second: u32,
}

#[derive(Debug)]
struct Allowance {
    pace: Pace,
    left: u32,
    since: Instant,
}

impl Allowance {
    fn new(pace: Pace) -> Self {
        Self { pace, left: pace.burst, since: Instant::now() }
    }

    fn refill(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.pace.burst);
    }

    /// Takes so many; false if there are not so many left.
    fn spend(&mut self, amount: u32) -> bool {
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            self.since += std::time::Duration::from_secs(seconds);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.refill(self.pace.each_second.saturating_mul(seconds));
        }
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the guard has ended the connection")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_spent_and_refilled_by_time_and_content() {
        let mut allowance = Allowance::new(Pace { burst: 3, each_second: 2 });
        assert!(allowance.spend(3) && !allowance.spend(1));
        allowance.refill(1);
        assert!(allowance.spend(1) && !allowance.spend(1));
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(allowance.spend(2) && !allowance.spend(1));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(allowance.spend(3) && !allowance.spend(1), "never more than the burst");
    }
}
