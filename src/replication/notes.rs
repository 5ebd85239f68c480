//! Notes that replicas leave each other in the store for a while: who is at something that only one may do, and what
//! came of it.
//!
//! **Invariant:** the store is not believed. Who reads a note opens it with the gateway's own keys; one that is not
//! there, or is none, costs doing the thing once more. Every call has [`PATIENCE`], and a store that fails is left alone
//! for [`REST`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portvakt_core::config::Stream;
use tokio::time::{Instant, timeout};

use super::store::{Store, StoreError, Writer};

/// How long one call may take (`threats.md` LO-7).
const PATIENCE: Duration = Duration::from_millis(200);

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_millis(500);

/// How long a store that failed is left alone.
const REST: Duration = Duration::from_secs(5);

/// The way to the store, for notes alone.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Way>);

#[derive(Default)]
enum Way {
    #[default]
    NotYet,
    /// Somebody connects.
    Connecting,
    There(Writer),
    Resting(Instant),
}

impl Notes {
    /// Takes the place of a note; `false` if somebody has taken it, `None` if nobody knows.
    pub(crate) async fn claim(&self, store: &Stream, name: &str, life: Duration) -> Option<bool> {
        let mut writer = self.writer(store).await?;
        self.answered(timeout(PATIENCE, writer.claim(name, life)).await)
    }

    /// What stands there: nothing, an empty text where somebody has taken the place, or what was left; `None` if nobody
    /// knows.
    pub(crate) async fn read(&self, store: &Stream, name: &str) -> Option<Option<Vec<u8>>> {
        let mut writer = self.writer(store).await?;
        self.answered(timeout(PATIENCE, writer.read(name)).await)
    }

    /// Leaves something there, or says that it cannot.
    pub(crate) async fn leave(&self, store: &Stream, name: &str, bytes: &[u8], life: Duration) -> Option<()> {
        let mut writer = self.writer(store).await?;
        self.answered(timeout(PATIENCE, writer.leave(name, bytes, life)).await)
    }

    async fn writer(&self, store: &Stream) -> Option<Writer> {
        {
            let mut way = self.locked();
            match &*way {
                Way::There(writer) => return Some(writer.clone()),
                Way::Connecting => return None,
                Way::Resting(until) if Instant::now() < *until => return None,
                Way::NotYet | Way::Resting(_) => *way = Way::Connecting,
            }
        }
        let connected = timeout(CONNECT, Store::connect(store)).await;
        let writer = connected.ok().and_then(Result::ok).map(|store| store.writer);
        *self.locked() = match &writer {
            Some(writer) => Way::There(writer.clone()),
            None => Way::Resting(Instant::now() + REST),
        };
        writer
    }

    fn answered<T>(&self, answer: Result<Result<T, StoreError>, tokio::time::error::Elapsed>) -> Option<T> {
        if let Ok(Ok(answer)) = answer {
            return Some(answer);
        }
        *self.locked() = Way::Resting(Instant::now() + REST);
        None
    }

    fn locked(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}
