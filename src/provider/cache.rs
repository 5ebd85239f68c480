//! What was fetched once and serves many logins: metadata and keys (dossier 1.1, 2.6).
//!
//! Reading takes no lock. Fetching is single-flight: who comes second waits for the first and takes what it brought.
//! Once an attempt has failed nobody waits for the next one: it is made in the background ([`Cache::is_due`]), after a
//! rest that differs from replica to replica, and whoever comes meanwhile is answered at once.
//!
//! **Invariant:** a failed fetch never replaces what was fetched before; that serves until [`LIMIT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portvakt_core::clock::Timestamp;
use tokio::sync::{Mutex, MutexGuard, TryLockError};
use tokio::time::Instant;

use super::circuit::shortened;
use super::{Call, ProviderError};

/// After this a copy is fetched anew, in the background: a little earlier, and not at all replicas at once.
pub(super) const FRESH: Duration = Duration::from_secs(24 * 3600);

/// How much earlier at the most.
pub(super) const SPREAD: Duration = Duration::from_secs(2 * 3600);

/// After this a copy that could not be renewed is not used any more.
pub(super) const LIMIT: Duration = Duration::from_secs(72 * 3600);

/// How long the background does not try again after a failure while there is nothing to serve; shortened by up to a
/// half.
const REST: Duration = Duration::from_secs(5);

/// How long others do not: they are there for programs without a background.
const REST_OF_CALLERS: Duration = Duration::from_secs(15);

/// How long nobody tries again after a failure while the old copy serves; shortened by up to a half.
const REST_WHILE_SERVED: Duration = Duration::from_secs(60);

/// The least time between two fetches for the sake of an unknown `kid`, for each kind of caller.
pub(super) const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);

/// The same for logins as long as the newer keys could not be had: a moment's trouble during a rotation must not keep
/// everybody out for a minute.
pub(super) const FAILED_KEY_INTERVAL: Duration = Duration::from_secs(5);

/// A copy and when it was fetched.
pub(super) struct Copy<T> {
    pub(super) value: Arc<T>,
    pub(super) fetched: Timestamp,
    /// What it was read from.
    text: String,
}

/// A document that was read and judged.
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) text: String,
}

/// One document of a provider.
pub(super) struct Cache<T> {
    call: Call,
    copy: ArcSwapOption<Copy<T>>,
    attempts: Mutex<Attempts>,
    /// The last attempt, if it failed.
    failure: ArcSwapOption<Failure>,
    /// After what time this replica fetches a copy anew.
    fresh: Duration,
    /// Whether the copy is another's, and is fetched anew whatever its age.
    inherited: AtomicBool,
}

/// An attempt that failed.
struct Failure {
    /// When it ended.
    at: Timestamp,
    /// How long the background rests after it, without and with a copy that serves.
    rest: Duration,
    rest_while_served: Duration,
}

/// When what was last tried for the sake of an unknown key.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) for_login: Option<Timestamp>,
    pub(super) for_logout: Option<Timestamp>,
    pub(super) for_machine: Option<Timestamp>,
}

impl<T> Cache<T> {
    pub(super) fn new(call: Call) -> Self {
        Self {
            call,
            copy: ArcSwapOption::empty(),
            attempts: Mutex::default(),
            failure: ArcSwapOption::empty(),
            fresh: FRESH - (SPREAD - shortened(SPREAD)) * 2,
            inherited: AtomicBool::new(false),
        }
    }

    /// The copy, unless it is too old to be used.
    pub(super) fn served(&self, now: Timestamp) -> Option<Arc<Copy<T>>> {
        self.copy.load_full().filter(|copy| now.since(copy.fetched) < LIMIT)
    }

    pub(super) fn fetched(&self) -> Option<Timestamp> {
        self.copy.load().as_ref().map(|copy| copy.fetched)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let is_young = self.fetched().is_some_and(|fetched| now.since(fetched) < self.fresh);
        is_young && !self.inherited.load(Ordering::Relaxed)
    }

    /// Goes on with what another one has fetched, until it is fetched anew.
    pub(super) fn go_on_from(&self, before: &Self) {
        self.copy.store(before.copy.load_full());
        self.failure.store(before.failure.load_full());
        self.inherited.store(true, Ordering::Relaxed);
    }

    /// The same with what another process has fetched, unless there is something or it is too old.
    pub(super) fn learn(&self, Read { value, text }: Read<T>, fetched: Timestamp, now: Timestamp) {
        if self.fetched().is_none() && now.since(fetched) < LIMIT {
            self.copy.store(Some(Arc::new(Copy { value: Arc::new(value), fetched, text })));
            self.inherited.store(true, Ordering::Relaxed);
        }
    }

    /// What was fetched, as it came, and when.
    pub(super) fn told(&self) -> Option<(String, Timestamp)> {
        self.copy.load().as_ref().map(|copy| (copy.text.clone(), copy.fetched))
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failure.load().is_some()
    }

    /// When it ended, if so.
    pub(super) fn failed(&self) -> Option<Timestamp> {
        self.failure.load().as_ref().map(|failure| failure.at)
    }

    /// Whether it is time to call [`refresh`](Self::refresh). Costs nothing to speak of.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.is_fresh(now) && self.unless_resting(None, now).is_ok()
    }

    /// The copy; fetched if there is none.
    pub(super) async fn get(
        &self,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<Read<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        if let Some(copy) = self.served(now) {
            return Ok(copy.value.clone());
        }
        let mut attempts = self.turn().await?;
        if let Some(copy) = self.served(now) {
            return Ok(copy.value.clone());
        }
        self.unless_resting(Some(REST_OF_CALLERS), now)?;
        self.fetch(&mut attempts, now, fetch).await
    }

    /// Fetches if the copy is old or absent and no failure is recent. Returns at once if someone else
    /// is fetching.
    pub(super) async fn refresh(
        &self,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<Read<T>, ProviderError>,
    ) -> Result<(), ProviderError> {
        if self.is_fresh(now) {
            return Ok(());
        }
        let Ok(mut attempts) = self.attempts.try_lock() else { return Ok(()) };
        self.unless_resting(None, now)?;
        self.fetch(&mut attempts, now, fetch).await.map(|_| ())
    }

    /// Waits until nobody else fetches.
    pub(super) async fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().await
    }

    /// The same, unless the last attempt failed and another one is under way: nobody waits for that.
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, Attempts>, ProviderError> {
        match self.attempts.try_lock() {
            Ok(attempts) => Ok(attempts),
            Err(TryLockError { .. }) if self.is_failing() => Err(self.resting(None)),
            Err(TryLockError { .. }) => Ok(self.lock().await),
        }
    }

    /// Fetches, whatever there is. `attempts` shows that nobody else does.
    pub(super) async fn fetch(
        &self,
        _attempts: &mut Attempts,
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Result<Read<T>, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let started = Instant::now();
        match fetch().await {
            Ok(Read { value, text }) => {
                let value = Arc::new(value);
                self.copy.store(Some(Arc::new(Copy { value: value.clone(), fetched: now, text })));
                self.failure.store(None);
                self.inherited.store(false, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                let (rest, rest_while_served) = (shortened(REST), shortened(REST_WHILE_SERVED));
                // When it ended: those who came meanwhile are answered, not sent after it one by one.
                let at = now + started.elapsed();
                self.failure.store(Some(Arc::new(Failure { at, rest, rest_while_served })));
                Err(error)
            }
        }
    }

    /// `since` is zero for a `now` from before the failure: who waited while it failed rests too.
    fn unless_resting(&self, rest: Option<Duration>, now: Timestamp) -> Result<(), ProviderError> {
        let failure = self.failure.load();
        let Some(failure) = failure.as_ref() else { return Ok(()) };
        let usual = || if self.served(now).is_some() { failure.rest_while_served } else { failure.rest };
        let rest = rest.unwrap_or_else(usual);
        match rest.checked_sub(now.since(failure.at)) {
            Some(left) if !left.is_zero() => Err(self.resting(Some(left))),
            _ => Ok(()),
        }
    }

    fn resting(&self, again_after: Option<Duration>) -> ProviderError {
        ProviderError::Resting { call: self.call, again_after }
    }
}
