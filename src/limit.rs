//! How much one client may ask of one route, and how much all together may ask of us (`threats.md` LI-4, LI-5).
//!
//! The rate is kept by the generic cell rate algorithm (ITU-T I.371, A): of each client and route only the time
//! is known from which on it would be on schedule again.
//!
//! **Invariant:** the memory is what it was at the start. Clients that meet in one cell share it; which ones do
//! so is keyed at random, so that nobody can choose whose rate is used up.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portvakt_core::clock::Timestamp;
use portvakt_core::endpoint::OwnEndpoint;
use portvakt_core::route::{Rate, Route};

use crate::respond::Refusal;
use crate::share::network;
use crate::snapshot::{Live, Snapshot};

/// How many clients are told apart: half a megabyte.
const CELLS: usize = 65_536;

/// When a route that is closed for now is worth another look, in seconds, if nobody knows better.
const MAINTENANCE_RETRY: u32 = 600;

/// What logins are counted as; a route's name begins with its host.
const LOGINS: &str = "";

/// The schedules of clients.
#[derive(Debug)]
pub(crate) struct Rates {
    hasher: RandomState,
    began: Instant,
    /// When the client of the cell is on schedule again, in nanoseconds since `began`.
    cells: Box<[AtomicU64]>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            began: Instant::now(),
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Rates {
    /// Counts one request; if it is too early, how long the client has to wait. Whoever has no known address is
    /// one client.
    fn count(&self, route: &str, rate: &Rate, client: Option<IpAddr>, at: Instant) -> Result<(), Duration> {
        let hash = self.hasher.hash_one((route, client.map(network))) % self.cells.len() as u64;
        let Some(cell) = usize::try_from(hash).ok().and_then(|at| self.cells.get(at)) else { return Ok(()) };
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = nanoseconds(at.saturating_duration_since(self.began));
        let interval = nanoseconds(rate.per) / u64::from(rate.requests.max(1));
        let tolerance = interval.saturating_mul(u64::from(rate.burst.max(1) - 1));
        let mut due = cell.load(Ordering::Relaxed);
        loop {
            let early = due.saturating_sub(now.saturating_add(tolerance));
            if early > 0 {
                return Err(Duration::from_nanos(early));
            }
            let next = due.max(now).saturating_add(interval);
            match cell.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => due = changed,
            }
        }
    }
}

/// Refuses a request to a route that is closed for now, or of a client that asks too often.
pub(crate) fn check_route(
    route: &Route,
    client: Option<IpAddr>,
    live: &Live,
    now: Timestamp,
) -> Result<(), Refusal> {
    check_open(route, now)?;
    let Some(rate) = &route.rate else { return Ok(()) };
    live.rates
        .count(&route.name, rate, client, Instant::now())
        .map_err(|wait| Refusal::TooManyRequests { retry: seconds(wait), login: None })
}

/// Counts a login that a client starts, which costs a request to the provider and needs no proof of anything
/// (`threats.md` OP-15); if there were too many, in how many seconds it may start another. Whoever has no known
/// address counts in the total alone, as in [`crate::share`].
pub(crate) fn count_login(client: Option<IpAddr>, snapshot: &Snapshot, live: &Live) -> Result<(), u32> {
    if client.is_none() {
        return Ok(());
    }
    let rate = &snapshot.configuration.limits.logins;
    live.rates.count(LOGINS, rate, client, Instant::now()).map_err(seconds)
}

/// Rounded up: who comes too early is turned away again.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Refuses a request to a route that is closed for now.
pub(crate) fn check_open(route: &Route, now: Timestamp) -> Result<(), Refusal> {
    let Some(closed) = &route.maintenance else { return Ok(()) };
    let until = closed.until.map(|until| until.since(now).as_secs()).filter(|seconds| *seconds > 0);
    Err(Refusal::Maintenance {
        message: closed.message.clone(),
        retry: until.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(MAINTENANCE_RETRY),
    })
}

/// Refuses what is more than we can carry. What ends a session goes on: it costs little, and is needed most.
pub(crate) fn check_load(own: Option<OwnEndpoint>, snapshot: &Snapshot, live: &Live) -> Result<(), Refusal> {
    let ends = matches!(
        own,
        Some(
            OwnEndpoint::Logout
                | OwnEndpoint::LogoutCallback
                | OwnEndpoint::FrontChannelLogout
                | OwnEndpoint::BackChannelLogout
        )
    );
    let most = snapshot.configuration.limits.requests as u64;
    if ends || live.telemetry.metrics.requests_in_flight() <= most {
        Ok(())
    } else {
        Err(Refusal::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_burst_and_then_its_rate() {
        let rates = Rates::default();
        let rate = Rate { requests: 10, per: Duration::from_secs(1), burst: 5 };
        let (client, other) = (Some("192.0.2.1".parse().unwrap()), Some("2001:db8::1".parse().unwrap()));
        let start = rates.began + Duration::from_secs(60);
        let at = |millis: u64| start + Duration::from_millis(millis);
        let passed = |from: u64, count: usize| {
            (0..count).filter(|_| rates.count("r", &rate, client, at(from)).is_ok()).count()
        };
        assert_eq!(passed(0, 50), 5);
        let wait = rates.count("r", &rate, client, at(0)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(passed(100, 50), 1);
        assert_eq!(passed(400, 50), 3);
        // What was not used does not grow beyond the burst.
        assert_eq!(passed(3_600_000, 50), 5);
        // Another client and another route are counted apart.
        assert!(rates.count("r", &rate, other, at(0)).is_ok());
        assert!(rates.count("q", &rate, client, at(0)).is_ok());
    }

    #[test]
    fn a_household_is_one_client() {
        let rates = Rates::default();
        let rate = Rate { requests: 1, per: Duration::from_secs(60), burst: 1 };
        let from = |text: &str| rates.count("r", &rate, Some(text.parse().unwrap()), rates.began).is_ok();
        assert!(from("2001:db8::1"));
        assert!(!from("2001:db8::2"));
        assert!(from("2001:db8:0:1::1"));
    }
}
