//! Ending one request from outside, although its task waits and no filter runs (`design.md` D11; `threats.md` LO-6).
//!
//! The proxy's future of each request is polled under [`bound`]. A filter that wants its request to be endable takes a
//! [`RequestEnd`]; from then on [`RequestEnd::end`] wakes the task, and the future is dropped wherever it waits: for the
//! client, for the app, for a connection. On HTTP/1 the connection goes with it; on HTTP/2 the stream is reset and the
//! others go on; an upstream's connection is closed, or its stream reset, and never used again.
//!
//! A request that has words of farewell (WebSocket) says so with [`RequestEnd::leaves_by_itself`] and is not dropped.
//!
//! **Invariant:** a request that nobody makes endable costs a look at an empty place for each poll, and no allocation.

use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

tokio::task_local! {
    static CURRENT: OnceCell<RequestEnd>;
}

/// Why a request is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Its session was ended.
    SessionEnded = 1,
    /// Its session has reached its absolute limit.
    SessionOver = 2,
    /// Whether its session has ended is not known any more.
    Uncertain = 3,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::SessionEnded, Self::SessionOver, Self::Uncertain];

    /// The word for metrics and log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::SessionEnded => "session_ended",
            Self::SessionOver => "session_over",
            Self::Uncertain => "sessions_uncertain",
        }
    }
}

/// Ends one request. Clones end the same one; one that outlives its request does nothing.
#[derive(Clone, Debug, Default)]
pub struct RequestEnd(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// A [`Reason`], or 0 while the request goes on.
    reason: AtomicU8,
    leaves_by_itself: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl RequestEnd {
    /// The one of the request that is being served by this task; made when it is first asked for. `None` outside of one.
    #[must_use]
    pub fn of_this_request() -> Option<Self> {
        CURRENT.try_with(|current| current.get_or_init(Self::default).clone()).ok()
    }

    /// Ends the request; false if it was ended before.
    pub fn end(&self, reason: Reason) -> bool {
        let first =
            self.0.reason.compare_exchange(0, reason as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if first && let Some(waker) = self.waker().take() {
            waker.wake();
        }
        first
    }

    /// Why it was ended, if it was.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        let code = self.0.reason.load(Ordering::SeqCst);
        Reason::ALL.into_iter().find(|reason| *reason as u8 == code)
    }

    /// From now on the request looks at [`Self::ended`] itself wherever it waits, and ends soon after.
    pub fn leaves_by_itself(&self) {
        self.0.leaves_by_itself.store(true, Ordering::SeqCst);
    }

    /// Waits for the end. To be awaited by the request's own task, which the end wakes.
    pub async fn ended(&self) -> Reason {
        poll_fn(|_| self.reason().map_or(Poll::Pending, Poll::Ready)).await
    }

    fn is_to_be_dropped(&self) -> bool {
        self.reason().is_some() && !self.0.leaves_by_itself.load(Ordering::SeqCst)
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        // The lock guards an option that is replaced whole; a panic elsewhere leaves it sound.
        self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, waker: &Waker) {
        let mut kept = self.waker();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }
}

/// Runs a request until it is done, or until its [`RequestEnd`] ends it: then it is dropped.
pub(super) async fn bound<F: Future + ?Sized>(request: Pin<Box<F>>) -> Option<F::Output> {
    CURRENT.scope(OnceCell::new(), Bound(Some(request))).await
}

struct Bound<F: ?Sized>(Option<Pin<Box<F>>>);

impl<F: Future + ?Sized> Future for Bound<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let current = || CURRENT.with(|current| current.get().cloned());
        let known = current().filter(|end| end.reason().is_some());
        // Before it does anything more.
        if !known.as_ref().is_some_and(RequestEnd::is_to_be_dropped) {
            let Some(request) = &mut self.0 else { return Poll::Ready(None) };
            if let Poll::Ready(done) = request.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let Some(end) = current() else { return Poll::Pending };
            end.watch(cx.waker());
            // It may have come before the waker was there.
            if !end.is_to_be_dropped() {
                if known.is_none() && end.reason().is_some() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        self.0 = None;
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    struct Noted(Arc<AtomicBool>);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    async fn waiting(ends: Arc<Mutex<Option<RequestEnd>>>, dropped: Arc<AtomicBool>) {
        let _noted = Noted(dropped);
        *ends.lock().unwrap() = RequestEnd::of_this_request();
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_request_that_waits_for_ever_is_dropped() {
        let (ends, dropped) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let request = tokio::spawn(bound(Box::pin(waiting(ends.clone(), dropped.clone()))));
        let end = loop {
            if let Some(end) = ends.lock().unwrap().clone() {
                break end;
            }
            tokio::task::yield_now().await;
        };
        assert!(end.end(Reason::SessionEnded) && !end.end(Reason::Uncertain));
        let outcome = timeout(Duration::from_secs(10), request).await.expect("it is woken").unwrap();
        assert_eq!((outcome, end.reason()), (None, Some(Reason::SessionEnded)));
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_request_that_leaves_by_itself_is_not_dropped() {
        let leaving = Box::pin(async {
            let end = RequestEnd::of_this_request().unwrap();
            end.leaves_by_itself();
            let other = end.clone();
            tokio::spawn(async move { other.end(Reason::SessionOver) });
            let reason = end.ended().await;
            tokio::task::yield_now().await;
            reason
        });
        let outcome = timeout(Duration::from_secs(10), bound(leaving)).await.expect("it is woken");
        assert_eq!(outcome, Some(Reason::SessionOver));
    }

    #[tokio::test]
    async fn a_request_that_nobody_ends_goes_on_to_its_end() {
        assert_eq!(bound(Box::pin(async { 7 })).await, Some(7));
        assert!(RequestEnd::of_this_request().is_none(), "outside of a request");
    }
}
