//! The provider's clock, which a test can move.
//!
//! Everything the provider dates (tokens, codes, SSO) follows it. Client assertions are judged by the real time, so
//! that a skewed provider still accepts a gateway whose clock is right.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Real time plus what `/control` added. All times are Unix seconds.
#[derive(Default)]
pub(crate) struct Clock {
    offset: AtomicI64,
    sso_offset: AtomicI64,
}

impl Clock {
    /// The provider's time.
    pub(crate) fn now(&self) -> u64 {
        real_now().saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }

    /// The time by which SSO sessions age: the provider's, and what was added for SSO alone.
    pub(crate) fn sso_now(&self) -> u64 {
        self.now().saturating_add_signed(self.sso_offset.load(Ordering::Relaxed))
    }

    /// Moves the provider's time away from the real one.
    pub(crate) fn set_offset(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::Relaxed);
    }

    /// Lets SSO sessions age without moving the tokens' times.
    pub(crate) fn set_sso_offset(&self, seconds: i64) {
        self.sso_offset.store(seconds, Ordering::Relaxed);
    }

    /// Both offsets: the provider's and the SSO's.
    pub(crate) fn offsets(&self) -> (i64, i64) {
        (self.offset.load(Ordering::Relaxed), self.sso_offset.load(Ordering::Relaxed))
    }
}

/// The real time.
#[expect(clippy::disallowed_methods, reason = "the one place in the simulator that reads the system clock")]
pub(crate) fn real_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
