//! What was fetched once and serves many logins: metadata and keys (dossier 1.1, 2.6).
//!
//! Reading takes no lock. Fetching is single-flight: who comes second waits for the first and takes
//! what it brought. After a failure nobody tries for a moment, so that a provider that is down is not
//! stormed, and those who wait are answered at once.
//!
//! **Invariant:** a failed fetch never replaces what was fetched before; that serves until [`LIMIT`].

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portvakt_core::clock::Timestamp;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{Call, ProviderError};

/// After this a copy is fetched anew, in the background.
pub(super) const FRESH: Duration = Duration::from_secs(24 * 3600);

/// After this a copy that could not be renewed is not used any more.
pub(super) const LIMIT: Duration = Duration::from_secs(72 * 3600);

/// How long nobody tries again after a failure while there is nothing to serve.
const REST: Duration = Duration::from_secs(5);

/// How long nobody tries again after a failure while the old copy serves.
const REST_WHILE_SERVED: Duration = Duration::from_secs(60);

/// The least time between two fetches for the sake of an unknown `kid`, for each kind of caller.
pub(super) const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);

/// A copy and when it was fetched.
pub(super) struct Copy<T> {
    pub(super) value: Arc<T>,
    pub(super) fetched: Timestamp,
}

/// One document of a provider.
pub(super) struct Cache<T> {
    call: Call,
    copy: ArcSwapOption<Copy<T>>,
    attempts: Mutex<Attempts>,
}

/// When what was last tried.
#[derive(Default)]
pub(super) struct Attempts {
    failed: Option<Timestamp>,
    pub(super) for_login: Option<Timestamp>,
    pub(super) for_logout: Option<Timestamp>,
    pub(super) for_machine: Option<Timestamp>,
}

impl Attempts {
    /// When the last attempt failed that failed.
    pub(super) fn failed(&self) -> Option<Timestamp> {
        self.failed
    }
}

impl<T> Cache<T> {
    pub(super) fn new(call: Call) -> Self {
        Self { call, copy: ArcSwapOption::empty(), attempts: Mutex::default() }
    }

    /// The copy, unless it is too old to be used.
    pub(super) fn served(&self, now: Timestamp) -> Option<Arc<Copy<T>>> {
        self.copy.load_full().filter(|copy| now.since(copy.fetched) < LIMIT)
    }

    pub(super) fn fetched(&self) -> Option<Timestamp> {
        self.copy.load().as_ref().map(|copy| copy.fetched)
    }

    /// The copy; fetched if there is none.
    pub(super) async fn get(
        &self,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        if let Some(copy) = self.served(now) {
            return Ok(copy.value.clone());
        }
        let mut attempts = self.attempts.lock().await;
        if let Some(copy) = self.served(now) {
            return Ok(copy.value.clone());
        }
        self.unless_resting(&attempts, REST, now)?;
        self.fetch(&mut attempts, now, fetch).await
    }

    /// Fetches if the copy is old or absent and no failure is recent. Returns at once if someone else
    /// is fetching.
    pub(super) async fn refresh(
        &self,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<(), ProviderError> {
        if self.fetched().is_some_and(|fetched| now.since(fetched) < FRESH) {
            return Ok(());
        }
        let Ok(mut attempts) = self.attempts.try_lock() else { return Ok(()) };
        let rest = if self.served(now).is_some() { REST_WHILE_SERVED } else { REST };
        self.unless_resting(&attempts, rest, now)?;
        self.fetch(&mut attempts, now, fetch).await.map(|_| ())
    }

    pub(super) async fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().await
    }

    /// Fetches, whatever there is. `attempts` shows that nobody else does.
    pub(super) async fn fetch(
        &self,
        attempts: &mut Attempts,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let started = Instant::now();
        match fetch().await {
            Ok(value) => {
                let value = Arc::new(value);
                self.copy.store(Some(Arc::new(Copy { value: value.clone(), fetched: now })));
                Ok(value)
            }
            Err(error) => {
                // When it ended: those who came meanwhile are answered, not sent after it one by one.
                attempts.failed = Some(now + started.elapsed());
                Err(error)
            }
        }
    }

    /// `since` is zero for a `now` from before the failure: who waited while it failed rests too.
    fn unless_resting(
        &self,
        attempts: &Attempts,
        rest: Duration,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        match attempts.failed {
            Some(failed) if now.since(failed) < rest => Err(ProviderError::Resting { call: self.call }),
            _ => Ok(()),
        }
    }
}
