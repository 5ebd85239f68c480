//! Nobody alone uses up what everybody needs (`threats.md` OP-15, LI-4).
//!
//! **Invariant:** an entry lives as long as somebody holds a place, so there are never more entries than
//! requests under way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

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
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
