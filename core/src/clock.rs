//! The one clock: wall time at start plus monotonic time, so that a step of the system clock neither
//! revives nor ends sessions.
//!
//! **Invariant:** only this module reads the system clock. Everything else takes a [`Timestamp`].

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// A difference to the system clock beyond this is a step: it is reported and not followed until an
/// operator confirms it.
pub const STEP: Duration = Duration::from_secs(30);

/// How much of one second may be corrected in a second: a slow clock catches up, time never runs back.
const SLEW_MILLIS_PER_SECOND: i64 = 100;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From whole seconds since the Unix epoch, as in `iat` or `auth_time` (RFC 7519, 2 `NumericDate`).
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }
}

/// The epoch at the least.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Wall time at start plus monotonic time, slewed towards the system clock.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    wall_at_start: u64,
    correction: AtomicI64,
    stepped: AtomicBool,
}

/// What [`Clock::tick`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The system clock agrees within what is slewed; the difference in milliseconds (system minus ours).
    Slewed(i64),
    /// The system clock differs by more than [`STEP`]; it is not followed until [`Clock::confirm`].
    Stepped(i64),
}

impl Clock {
    /// A clock that starts at the system's time.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(system_millis())
    }

    fn start_at(wall_at_start: u64) -> Self {
        Self {
            started: Instant::now(),
            wall_at_start,
            correction: AtomicI64::new(0),
            stepped: AtomicBool::new(false),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let correction = self.correction.load(Ordering::Relaxed);
        Timestamp((self.wall_at_start + millis_of(self.started.elapsed())).saturating_add_signed(correction))
    }

    /// Compares with the system clock and slews towards it. To be called about once a second.
    pub fn tick(&self) -> Drift {
        self.follow(system_millis())
    }

    /// How far the system clock is away, without following it.
    #[must_use]
    pub fn drift(&self) -> Drift {
        self.drift_from(system_millis())
    }

    fn drift_from(&self, system: u64) -> Drift {
        let difference = i64::try_from(i128::from(system) - i128::from(self.now().0)).unwrap_or(i64::MAX);
        if difference.unsigned_abs() > millis_of(STEP) {
            Drift::Stepped(difference)
        } else {
            Drift::Slewed(difference)
        }
    }

    fn follow(&self, system: u64) -> Drift {
        let drift = self.drift_from(system);
        self.stepped.store(matches!(drift, Drift::Stepped(_)), Ordering::Relaxed);
        if let Drift::Slewed(difference) = drift {
            let slew = difference.clamp(-SLEW_MILLIS_PER_SECOND, SLEW_MILLIS_PER_SECOND);
            self.correction.fetch_add(slew, Ordering::Relaxed);
        }
        drift
    }

    /// Whether the last [`tick`](Self::tick) saw a step that nobody has confirmed.
    #[must_use]
    pub fn stepped(&self) -> bool {
        self.stepped.load(Ordering::Relaxed)
    }

    /// Follows the system clock at once: an operator confirmed that the step was meant.
    pub fn confirm(&self) {
        let difference = i64::try_from(i128::from(system_millis()) - i128::from(self.now().0)).unwrap_or(0);
        self.correction.fetch_add(difference, Ordering::Relaxed);
        self.stepped.store(false, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
fn system_millis() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_difference_is_slewed_and_never_jumps() {
        let clock = Clock::start_at(1_000_000_000);
        let Drift::Slewed(_) = clock.follow(1_000_000_000 + 5_000) else { panic!("5 s is no step") };
        let ahead = clock.now().millis() - 1_000_000_000;
        assert!((100..5_000).contains(&ahead), "{ahead}");
    }

    #[test]
    fn a_step_is_reported_and_not_followed_in_either_direction() {
        let clock = Clock::start_at(1_000_000_000);
        for system in [1_000_000_000 + 40_000, 1_000_000_000 - 40_000] {
            let Drift::Stepped(_) = clock.follow(system) else { panic!("40 s is a step") };
            assert!(clock.stepped());
            assert!(clock.now().millis().abs_diff(1_000_000_000) < 10_000);
        }
        clock.confirm();
        assert!(!clock.stepped());
        assert!(clock.now().millis() > 1_600_000_000_000);
    }
}
