//! What the service manager is told (`sd_notify`): without one, nothing.
//!
//! **Invariant:** a reload never says that the process is ready: it only ends as what it was.

use std::sync::{Mutex, PoisonError};

use sd_notify::NotifyState;

/// The service manager, and what it was told last.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    /// The status of a process that has started and does not end; `None` before and afterwards.
    status: Mutex<Option<String>>,
}

impl Manager {
    /// Serving, or ready to take over.
    pub(crate) fn ready(&self, status: &str) {
        self.remember(Some(status));
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// What the process does now.
    pub(crate) fn status(&self, status: &str) {
        self.remember(Some(status));
        tell(&[NotifyState::Status(status)]);
    }

    /// The process ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.remember(None);
        tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// A reload begins; it ends with [`Self::reloaded`]. For `Type=notify-reload`.
    pub(crate) fn reloading(&self) {
        if let (Some(_), Ok(now)) = (self.known(), NotifyState::monotonic_usec_now()) {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// A reload has ended. Whoever has not started yet does not start by it.
    pub(crate) fn reloaded(&self, taken: bool) {
        let Some(status) = self.known() else { return };
        let refused = if taken { "" } else { "; the last configuration was refused" };
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("{status}{refused}"))]);
    }

    fn remember(&self, status: Option<&str>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status.map(str::to_owned);
    }

    fn known(&self) -> Option<String> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
