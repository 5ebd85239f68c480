//! Nobody alone uses up what everybody needs (`threats.md` OP-15, LI-4).
//!
//! **Invariant:** an entry lives as long as somebody holds a place, so there are never more entries than
//! requests under way; the windows of [`Lines`] are as many as they were at the start.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use portvakt_core::clock::Timestamp;

/// How many logins one client may be starting at once: a hospital behind one address starts hundreds a
/// second, for each takes a tenth of a second. A quarter of what a provider is asked at once.
const MOST: usize = 64;

/// Who holds how many places.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<IpAddr, usize>>);

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    shares: &'a Shares,
    client: Option<IpAddr>,
}

impl Shares {
    /// A place for a client; `None` if it holds its share already. Whoever has no known address counts in
    /// the total alone.
    pub(crate) fn take(&self, client: Option<IpAddr>) -> Option<Share<'_>> {
        let client = client.map(network);
        if let Some(client) = client {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let places = held.entry(client).or_default();
            if *places >= MOST {
                return None;
            }
            *places += 1;
        }
        Some(Share { shares: self, client })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut held = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = held.get_mut(&client) {
            *places -= 1;
            if *places == 0 {
                held.remove(&client);
            }
        }
    }
}

/// One household has a whole network of IPv6 addresses (RFC 4291, 2.5.4).
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// How many lines of a log one source may cause in a second by calls that nobody can prove.
const LINES: u8 = 10;

/// How many sources are told apart. Those that meet in one window share it.
const WINDOWS: usize = 4096;

/// Who caused how many lines in the current second: whoever calls without a proof must neither fill a disk nor
/// push out the lines of others (`threats.md` OM-5, LI-5).
#[derive(Debug)]
pub(crate) struct Lines {
    /// Keyed at random, so that nobody can choose whose window is used up.
    hasher: RandomState,
    /// The second, and the lines in it.
    windows: Mutex<Box<[(u64, u8)]>>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { hasher: RandomState::new(), windows: Mutex::new(vec![(0, 0); WINDOWS].into_boxed_slice()) }
    }
}

impl Lines {
    /// Whether a call from there may cause one more line. Whoever has no known address is one source.
    pub(crate) fn may_cause(&self, client: Option<IpAddr>, now: Timestamp) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.hasher.hash_one(client.map(neighbourhood)) % windows.len() as u64;
        let Some((second, lines)) = usize::try_from(at).ok().and_then(|at| windows.get_mut(at)) else {
            return false;
        };
        if *second != now.seconds() {
            (*second, *lines) = (now.seconds(), 0);
        }
        let may = *lines < LINES;
        *lines += u8::from(may);
        may
    }
}

/// The /24 of an IPv4 address, the /48 of an IPv6 address, as ends that nobody proved are counted by.
fn neighbourhood(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_causes_few_lines_in_a_second_whatever_addresses_it_has() {
        let lines = Lines::default();
        let now = Timestamp::from_seconds(1_790_000_000);
        let from = |number: u8| Some(IpAddr::from([192, 0, 2, number]));
        let caused = (0..=u8::MAX).filter(|number| lines.may_cause(from(*number), now)).count();
        assert_eq!(caused, usize::from(LINES));
        assert!(lines.may_cause(from(1), Timestamp::from_seconds(1_790_000_001)));
        // Of many others hardly any shares its window.
        let others =
            (0..100_u8).filter(|other| lines.may_cause(Some([10, 0, *other, 1].into()), now)).count();
        assert!(others > 90, "{others}");
    }

    #[test]
    fn a_client_has_its_share_and_gives_it_back() {
        let shares = Shares::default();
        let [greedy, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| Some(text.parse().unwrap()));
        let held: Vec<_> = (0..MOST).map(|_| shares.take(greedy).unwrap()).collect();
        assert!(shares.take(greedy).is_none());
        assert!(shares.take(neighbour).is_none());
        assert!(shares.take(other).is_some());
        assert!(shares.take(None).is_some());
        drop(held);
        assert!(shares.take(neighbour).is_some());
        assert!(shares.0.lock().unwrap().is_empty());
    }
}
