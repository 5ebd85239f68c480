//! The one clock: wall time at start plus monotonic time, so that a step of the system clock neither
//! revives nor ends sessions. The time that a machine sleeps has passed for it too: what was known before is as old as it is.
//!
//! **Invariant:** only this module reads the system clock. Everything else takes a [`Timestamp`].

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A difference to the system clock beyond this is a step: it is reported and not followed until an
/// operator confirms it.
pub const STEP: Duration = Duration::from_secs(30);

/// How much of one second may be corrected in a second: a slow clock catches up, time never runs back.
const SLEW_MILLIS_PER_SECOND: i64 = 100;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// Parses a date and time of day with its zone, `2026-12-01T06:00:00+01:00` (RFC 3339, 5.6), in whole seconds
    /// since 1970; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (moment, zone) = text.split_at_checked(19)?;
        let number = |text: &str, at: usize, length: usize| {
            let digits = text.get(at..at + length)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?
        };
        let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if signs.iter().any(|(at, sign)| moment.as_bytes().get(*at) != Some(sign)) {
            return None;
        }
        let [year, month, day] = [number(moment, 0, 4)?, number(moment, 5, 2)?, number(moment, 8, 2)?];
        let [hour, minute, second] = [number(moment, 11, 2)?, number(moment, 14, 2)?, number(moment, 17, 2)?];
        let sound = hour < 24 && minute < 60 && second < 60;
        let here = days_since_the_epoch(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
        let offset = || Some(number(zone, 1, 2)? * 3_600 + number(zone, 4, 2)? * 60);
        let is_offset = zone.len() == 6 && zone.as_bytes().get(3) == Some(&b':');
        let seconds = match zone.as_bytes().first()? {
            b'Z' if zone.len() == 1 => here,
            b'+' if is_offset => here.checked_sub(offset()?)?,
            b'-' if is_offset => here + offset()?,
            _ => return None,
        };
        sound.then_some(Self::from_seconds(seconds))
    }

    /// `2026-12-01T05:00:00Z` (RFC 3339, 5.6), in whole seconds.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (days, of_day) = (self.seconds() / 86_400, self.seconds() % 86_400);
        // A cycle of 400 years, counted from 1 March of year 0 so that the leap day is its last.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
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

/// The days from 1970-01-01 to a day of the Gregorian calendar; `None` if there is no such day.
fn days_since_the_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month).ok()?.checked_sub(1)?;
    if year < 1970 || !(1..=*months.get(before)?).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    Some(years + months[..before].iter().sum::<u64>() + day - 1)
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
    started: Duration,
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
            started: uptime(),
            wall_at_start,
            correction: AtomicI64::new(0),
            stepped: AtomicBool::new(false),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let correction = self.correction.load(Ordering::Relaxed);
        let elapsed = uptime().saturating_sub(self.started);
        Timestamp((self.wall_at_start + millis_of(elapsed)).saturating_add_signed(correction))
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

/// The time since the machine started, with that in which it slept: [`std::time::Instant`] leaves that out.
fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).expect("every system has this clock").into()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
fn system_millis() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2000-02-29T12:00:00Z",
            "2026-03-01T00:00:01Z",
            "2100-02-28T23:59:59Z",
            "2400-02-29T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().rfc3339(), text);
        }
        for day in 0..200_000 {
            let at = Timestamp::from_seconds(day * 86_400 + 1);
            assert_eq!(Timestamp::parse(&at.rfc3339()), Some(at));
        }
    }

    #[test]
    fn a_point_in_time_is_read_with_its_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2026-12-01T06:00:00+01:00", Some(1_796_101_200)),
            ("2026-12-01T06:00:00-01:30", Some(1_796_110_200)),
            ("2026-02-29T06:00:00Z", None),
            ("2100-02-29T06:00:00Z", None),
            ("2026-13-01T06:00:00Z", None),
            ("2026-00-01T06:00:00Z", None),
            ("2026-12-00T06:00:00Z", None),
            ("2026-12-01T24:00:00Z", None),
            ("2026-12-01T06:60:00Z", None),
            ("2026-12-01T06:00:00", None),
            ("2026-12-01 06:00:00Z", None),
            ("2026-12-01T06:00:00.5Z", None),
            ("2026-12-01T06:00:00+0100", None),
            ("2026-12-01T06:00:00+1:000", None),
            ("2026-12-+1T06:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("2026-12-01T06:00:00Zæ", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse(text), expected.map(Timestamp::from_seconds), "{text}");
        }
    }

    /// A machine cannot be sent to sleep here; that it counts is what this clock is for.
    #[test]
    fn the_time_that_passes_is_that_since_the_machine_started() {
        let of_system = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = of_system.split(' ').next().unwrap().parse().unwrap();
        assert!((uptime().as_secs_f64() - seconds).abs() < 5.0, "{of_system}");
        let clock =
            Clock { started: uptime().saturating_sub(Duration::from_secs(2)), ..Clock::start_at(1_000) };
        assert!((3_000..4_000).contains(&clock.now().millis()));
    }

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
