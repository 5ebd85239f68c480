//! How many connections are open, in all and of each client (threat model LI-4, LI-5).
//!
//! **Invariant:** a place is given back exactly when its connection ends, in whatever state.
//! **Invariant:** clients without a connection take no memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Locks of their own for parts of the clients, so that threads seldom meet.
const PARTS: usize = 16;

/// The open connections of each client.
#[derive(Debug)]
pub(super) struct Clients {
    hasher: RandomState,
    parts: [Mutex<HashMap<IpAddr, usize>>; PARTS],
}

/// A client's place; given back on drop.
#[derive(Debug)]
pub(super) struct ClientPlace {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Default for Clients {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Clients {
    /// Counts a connection in; `None` if the client has as many as it may have.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<ClientPlace> {
        let client = network(client);
        let mut part = self.part(client).lock().unwrap_or_else(PoisonError::into_inner);
        let open = part.get(&client).copied().unwrap_or(0);
        if open >= most {
            return None;
        }
        part.insert(client, open + 1);
        drop(part);
        Some(ClientPlace { clients: Arc::clone(self), client })
    }

    fn part(&self, client: IpAddr) -> &Mutex<HashMap<IpAddr, usize>> {
        let hash = self.hasher.hash_one(client);
        &self.parts[usize::try_from(hash % PARTS as u64).unwrap_or_default()]
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut part = self.clients.part(self.client).lock().unwrap_or_else(PoisonError::into_inner);
        match part.get_mut(&self.client) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                part.remove(&self.client);
            }
        }
    }
}

/// Who counts as one client: an IPv4 address, or the /64 that an IPv6 host chooses its addresses from (RFC 4291, 2.5.4).
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(clients: &Clients) -> usize {
        clients.parts.iter().map(|part| part.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_client_gets_no_more_than_its_places_and_gets_them_back() {
        let clients = Arc::new(Clients::default());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = clients.admit(one, 2).unwrap();
        let _second = clients.admit("::ffff:192.0.2.1".parse().unwrap(), 2).unwrap();
        assert!(clients.admit(one, 2).is_none());
        assert!(clients.admit(other, 2).is_some());
        drop(first);
        assert!(clients.admit(one, 2).is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_who_has_left_takes_no_memory() {
        let clients = Arc::new(Clients::default());
        let first = clients.admit("2001:db8::1".parse().unwrap(), 1).unwrap();
        assert!(clients.admit("2001:db8::ffff:2".parse().unwrap(), 1).is_none());
        assert!(clients.admit("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
        drop(first);
        assert_eq!(size(&clients), 0);
    }
}
