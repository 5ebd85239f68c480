//! Nobody alone uses up what everybody needs (`threats.md` OP-15, LI-4).
//!
//! **Invariant:** an entry lives as long as somebody holds a place, so there are never more entries than
//! requests under way; the windows of [`Lines`] are as many as they were at the start.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use portvakt_core::clock::Timestamp;

/// Who holds how many of a number of places.
///
/// Whoever holds some already gets one more only while they are less than a part of those that are free. So a few who
/// take all that they can leave room for others, and on a quiet day a hospital behind one address has many: it starts
/// hundreds of logins a second, each of which takes a tenth of a second. Neighbours count together too, for who rents
/// a network has many addresses.
#[derive(Debug)]
pub(crate) struct Shares {
    places: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
    by_neighbourhood: HashMap<IpAddr, usize>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    shares: &'a Shares,
    client: Option<IpAddr>,
}

impl Shares {
    /// Of so many places.
    pub(crate) fn of(places: usize) -> Self {
        Self { places, held: Mutex::default() }
    }

    /// A place for a client; `None` if it holds its share already: less than a quarter of what is free, and its
    /// neighbourhood less than half. Where nobody holds any, one always gets a place, even if it has to wait until it
    /// is free. Whoever has no known address counts in the total alone.
    pub(crate) fn take(&self, client: Option<IpAddr>) -> Option<Share<'_>> {
        let mut held = self.held();
        if let Some(client) = client {
            let free = self.places.saturating_sub(held.all);
            let own = held.by_client.get(&network(client)).copied().unwrap_or(0);
            let near = held.by_neighbourhood.get(&neighbourhood(client)).copied().unwrap_or(0);
            if (own != 0 && own >= free / 4) || (near != 0 && near >= free / 2) {
                return None;
            }
            *held.by_client.entry(network(client)).or_default() += 1;
            *held.by_neighbourhood.entry(neighbourhood(client)).or_default() += 1;
        }
        held.all += 1;
        Some(Share { shares: self, client })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        held.all -= 1;
        let Some(client) = self.client else { return };
        give_back(held.by_client.entry(network(client)));
        give_back(held.by_neighbourhood.entry(neighbourhood(client)));
    }
}

fn give_back(entry: Entry<'_, IpAddr, usize>) {
    if let Entry::Occupied(mut places) = entry {
        *places.get_mut() -= 1;
        if *places.get() == 0 {
            places.remove();
        }
    }
}

/// One household has a whole network of IPv6 addresses (RFC 4291, 2.5.4).
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
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

    const PLACES: usize = 256;

    /// As many places as this client gets, of 300 that it asks for.
    fn take_all(shares: &Shares, client: IpAddr) -> Vec<Share<'_>> {
        (0..300).filter_map(|_| shares.take(Some(client))).collect()
    }

    #[test]
    fn a_client_has_its_share_and_gives_it_back() {
        let shares = Shares::of(PLACES);
        let [client, neighbour, mapped, other] =
            ["2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        let held = take_all(&shares, client);
        assert_eq!(held.len(), PLACES / 5, "a quarter of what it leaves");
        assert!(shares.take(Some(neighbour)).is_none());
        assert!(shares.take(Some(other)).is_some());
        assert!(shares.take(None).is_some());
        drop(held);
        assert!(shares.take(Some(neighbour)).is_some());
        let held = take_all(&shares, mapped);
        assert!(shares.take(Some(other)).is_none(), "the same address");
        drop(held);
        let held = shares.held();
        assert!(held.all == 0 && held.by_client.is_empty() && held.by_neighbourhood.is_empty(), "{held:?}");
    }

    fn network_of(number: u8) -> IpAddr {
        [192, 0, number, 1].into()
    }

    #[test]
    fn a_few_who_take_all_that_they_can_leave_room_for_others() {
        for (greedy, left) in [(1, 205), (4, 100), (10, 25), (20, 1)] {
            let shares = Shares::of(PLACES);
            // One after the other is worse than all at once.
            let held: Vec<_> = (0..greedy).flat_map(|number| take_all(&shares, network_of(number))).collect();
            let free = PLACES - held.len();
            assert!(free >= left, "{greedy} leave {free}");
        }
    }

    #[test]
    fn a_rented_network_has_little_more_than_one_address() {
        let shares = Shares::of(PLACES);
        let address = |number: u16| format!("2001:db8:0:{number:x}::1").parse().unwrap();
        let held: Vec<_> = (0..1000).filter_map(|number| shares.take(Some(address(number)))).collect();
        assert_eq!(held.len(), PLACES / 3, "half of what it leaves");
        assert!(shares.take(Some("2001:db8:1::1".parse().unwrap())).is_some());
    }

    #[test]
    fn who_holds_none_may_wait_for_a_place() {
        let shares = Shares::of(2);
        let client = |number| Some(network_of(number));
        let _held = [shares.take(client(1)).unwrap(), shares.take(client(2)).unwrap()];
        assert!(shares.take(client(1)).is_none());
        assert!(shares.take(client(3)).is_some());
    }
}
