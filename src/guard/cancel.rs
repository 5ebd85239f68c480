//! Closing a client connection from outside, although its task waits for the client and no filter runs (design D11).
//!
//! **Invariant:** a handle keeps no connection open; it holds a flag and the wakers of the task, not the stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Closes one connection. Clones close the same one; a handle that outlives its connection does nothing.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    wakers: Mutex<Wakers>,
}

/// Reader and writer may be different tasks.
#[derive(Debug, Default)]
struct Wakers {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl CancelHandle {
    /// Ends the connection: reads and writes fail from now on, and a waiting task is woken to see it.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let Wakers { read, write } = std::mem::take(&mut *self.wakers());
        for waker in [read, write].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Whether the connection was ended through a handle.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Wakes this reader on [`Self::cancel`]. The caller looks at [`Self::is_cancelled`] afterwards, else a cancellation in
    /// between would be missed.
    pub(super) fn watch_read(&self, waker: &Waker) {
        keep(&mut self.wakers().read, waker);
    }

    /// The same for a writer.
    pub(super) fn watch_write(&self, waker: &Waker) {
        keep(&mut self.wakers().write, waker);
    }

    /// Wakes the reader for another reason than the end.
    pub(super) fn wake_read(&self) {
        let waker = self.wakers().read.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Wakers> {
        // The lock guards two options that are replaced whole; a panic elsewhere leaves them sound.
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(kept) => kept.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn cancelling_wakes_the_reader_and_the_writer_once() {
        let (reader, writer) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let handle = CancelHandle::default();
        handle.watch_read(&Waker::from(reader.clone()));
        handle.watch_write(&Waker::from(writer.clone()));
        assert!(!handle.is_cancelled());
        handle.clone().cancel();
        handle.cancel();
        assert!(handle.is_cancelled());
        assert_eq!((reader.0.load(Ordering::SeqCst), writer.0.load(Ordering::SeqCst)), (1, 1));
    }
}
