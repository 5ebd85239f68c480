//! One app: its addresses, the choice among them, and its cap.
//!
//! **Invariant:** choosing takes no lock and waits for nothing. While every address is out, all are tried: a
//! check that is wrong must not take away an app that is there.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portvakt_core::upstream::{Affinity, Balance, Upstream, weight};

use super::address::{Address, State};
use super::trust::Credentials;
use crate::admin::{AddressStatus, UpstreamStatus};

/// How long the resolver may take for a name.
const LOOKUP: Duration = Duration::from_secs(5);

/// The most addresses of one name that are used.
const MAX_ADDRESSES: usize = 64;

/// One app.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: Arc<Upstream>,
    credentials: Credentials,
    addresses: ArcSwap<Vec<Arc<Address>>>,
    /// What each place resolved to when it last did. Only the resolver looks at it.
    resolved: Mutex<Vec<Vec<SocketAddr>>>,
    next: AtomicUsize,
    under_way: AtomicUsize,
    refused: AtomicU64,
    connect_failures: AtomicU64,
    /// When active checks began last; `None`: never.
    checked: Mutex<Option<Instant>>,
    pub(super) checking: AtomicBool,
}

impl Pool {
    pub(super) fn new(settings: Arc<Upstream>, credentials: Credentials, before: Option<&Self>) -> Self {
        let pool = Self {
            addresses: ArcSwap::default(),
            resolved: Mutex::new(vec![Vec::new(); settings.places.len()]),
            next: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            checked: Mutex::new(None),
            checking: AtomicBool::new(false),
            settings,
            credentials,
        };
        if let Some(before) = before {
            pool.inherit(before);
        }
        pool
    }

    /// What a place resolved to under other settings counts until it resolves anew.
    fn inherit(&self, before: &Self) {
        let known = before.resolved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (place, found) in before.settings.places.iter().zip(known) {
            if let Some(at) = self.settings.places.iter().position(|ours| ours == place) {
                self.take(at, found);
            }
        }
    }

    pub(super) fn is_same(&self, settings: &Upstream, credentials: &Credentials) -> bool {
        *self.settings == *settings && self.credentials.group == credentials.group
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn settings(&self) -> &Upstream {
        &self.settings
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.load().is_empty()
    }

    pub(super) fn addresses(&self) -> Arc<Vec<Arc<Address>>> {
        self.addresses.load_full()
    }

    /// One more request, if there is room.
    pub(super) fn enter(&self) -> bool {
        if self.under_way.fetch_add(1, Relaxed) < self.settings.max_requests {
            return true;
        }
        self.under_way.fetch_sub(1, Relaxed);
        self.refused.fetch_add(1, Relaxed);
        false
    }

    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Relaxed);
    }

    /// The address for a request that has failed at `tried`; `None` if there is no other.
    pub(super) fn choose(&self, key: Option<&[u8; 16]>, tried: &[SocketAddr]) -> Option<Arc<Address>> {
        let addresses = self.addresses.load();
        if let ([only], []) = (addresses.as_slice(), tried) {
            return Some(Arc::clone(only));
        }
        let turn = self.next.fetch_add(1, Relaxed);
        let key = key.filter(|_| self.settings.affinity == Affinity::Session);
        // Addresses that somebody else is trying; there are seldom any.
        let mut busy: Vec<SocketAddr> = Vec::new();
        loop {
            let usable = |address: &Address| {
                !tried.contains(&address.at) && !busy.contains(&address.at) && address.state() != State::Out
            };
            match self.best(&addresses, key, turn, usable) {
                Some(address) if address.claim() => return Some(Arc::clone(address)),
                Some(address) => busy.push(address.at),
                None => break,
            }
        }
        let untried = |address: &Address| !tried.contains(&address.at);
        self.best(&addresses, key, turn, untried).map(Arc::clone)
    }

    fn best<'a>(
        &self,
        addresses: &'a [Arc<Address>],
        key: Option<&[u8; 16]>,
        turn: usize,
        fits: impl Fn(&Address) -> bool,
    ) -> Option<&'a Arc<Address>> {
        if let Some(key) = key {
            let fitting = addresses.iter().filter(|address| fits(address));
            return fitting.max_by_key(|address| weight(key, address.at));
        }
        let (before, after) = addresses.split_at(turn.checked_rem(addresses.len())?);
        let mut in_turn = after.iter().chain(before).filter(|address| fits(address));
        match self.settings.balance {
            Balance::RoundRobin => in_turn.next(),
            // Of equals the first, and so in turn.
            Balance::LeastLoaded => in_turn.min_by_key(|address| address.under_way()),
        }
    }

    /// Looks the places' names up; `false` if one of them did not resolve and keeps what it has.
    pub(super) async fn resolve(&self) -> bool {
        let mut all = true;
        for (at, place) in self.settings.places.iter().enumerate() {
            let found = match place.host.parse::<IpAddr>() {
                Ok(ip) => vec![SocketAddr::new(ip, place.port)],
                Err(_) => look_up(&place.host, place.port).await,
            };
            if found.is_empty() {
                all = false;
            } else {
                self.take(at, found);
            }
        }
        all
    }

    /// Puts a place's addresses in place. An address that is known already keeps what is known of it.
    fn take(&self, place: usize, found: Vec<SocketAddr>) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved[place] = found;
        let known = self.addresses.load();
        let mut addresses: Vec<Arc<Address>> = Vec::new();
        for (place, found) in self.settings.places.iter().zip(resolved.iter()) {
            for at in found {
                if addresses.iter().any(|address| address.at == *at) {
                    continue;
                }
                let authority = place.authority();
                let kept = known.iter().find(|known| known.at == *at && known.authority == authority);
                addresses.push(kept.map_or_else(
                    || Arc::new(Address::new(*at, place, &self.settings, &self.credentials)),
                    Arc::clone,
                ));
            }
        }
        let same = |(one, other): (&Arc<Address>, &Arc<Address>)| Arc::ptr_eq(one, other);
        if addresses.len() != known.len() || !addresses.iter().zip(known.iter()).all(same) {
            self.addresses.store(Arc::new(addresses));
        }
    }

    /// Whether active checks are due; they count as begun then.
    pub(super) fn is_check_due(&self, interval: Duration) -> bool {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = checked.is_none_or(|at| at.elapsed() >= interval);
        if due {
            *checked = Some(Instant::now());
        }
        due
    }

    pub(super) fn status(&self) -> UpstreamStatus {
        let addresses = self.addresses.load();
        let of = |(number, address): (usize, &Arc<Address>)| AddressStatus {
            number,
            is_in: address.state() == State::In,
            requests_in_flight: address.under_way(),
        };
        UpstreamStatus {
            name: self.settings.name.clone(),
            requests_in_flight: self.under_way.load(Relaxed),
            max_requests: self.settings.max_requests,
            refused: self.refused.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            addresses: addresses.iter().enumerate().map(of).collect(),
        }
    }

    /// A connection to an address could not be made.
    pub(super) fn failed(&self, address: &Arc<Address>) {
        self.connect_failures.fetch_add(1, Relaxed);
        if address.failed() {
            let at = self.addresses.load().iter().position(|known| Arc::ptr_eq(known, address));
            tracing::warn!(upstream = self.name(), address = at, "an address of an upstream is out");
        }
    }
}

/// The addresses of a name in an order of their own, so that each keeps its place; none if it does not resolve.
async fn look_up(host: &str, port: u16) -> Vec<SocketAddr> {
    let lookup = tokio::net::lookup_host((host, port));
    let Ok(Ok(found)) = tokio::time::timeout(LOOKUP, lookup).await else { return Vec::new() };
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}

#[cfg(test)]
mod tests {
    use portvakt_core::upstream::Place;

    use super::super::address::tests::settings;
    use super::*;

    fn pool(balance: Balance, affinity: Affinity, count: u16) -> Pool {
        let mut settings = settings(balance, affinity);
        settings.places = (0..count).map(|at| Place { host: "127.0.0.1".into(), port: 9000 + at }).collect();
        let credentials = Credentials::load(&settings).unwrap();
        let pool = Pool::new(Arc::new(settings), credentials, None);
        for at in 0..count {
            pool.take(usize::from(at), vec![SocketAddr::from(([127, 0, 0, 1], 9000 + at))]);
        }
        pool
    }

    fn port(address: Option<Arc<Address>>) -> Option<u16> {
        address.map(|address| address.at.port())
    }

    fn turns(pool: &Pool, count: usize) -> Vec<u16> {
        (0..count).filter_map(|_| port(pool.choose(None, &[]))).collect()
    }

    #[test]
    fn addresses_take_turns_and_those_that_are_out_miss_theirs() {
        let pool = pool(Balance::RoundRobin, Affinity::None, 3);
        assert_eq!(turns(&pool, 4), [9000, 9001, 9002, 9000]);
        pool.addresses()[1].failed();
        assert!(turns(&pool, 6).iter().all(|port| *port != 9001));
        pool.addresses()[0].failed();
        assert_eq!(turns(&pool, 2), [9002, 9002]);
        pool.addresses()[2].failed();
        let mut all = turns(&pool, 3);
        all.sort_unstable();
        assert_eq!(all, [9000, 9001, 9002], "all are out, so all are tried");
    }

    #[test]
    fn what_has_been_tried_is_not_tried_again() {
        let pool = pool(Balance::RoundRobin, Affinity::Session, 2);
        let tried: Vec<SocketAddr> = pool.addresses().iter().map(|address| address.at).collect();
        assert_eq!(port(pool.choose(None, &tried[..1])), Some(9001));
        assert_eq!(port(pool.choose(Some(&[1; 16]), &tried[1..])), Some(9000));
        assert!(pool.choose(None, &tried).is_none());
    }

    #[test]
    fn the_least_loaded_address_is_next() {
        let pool = pool(Balance::LeastLoaded, Affinity::None, 3);
        let addresses = pool.addresses();
        addresses[0].enter();
        addresses[2].enter();
        assert_eq!(turns(&pool, 3), [9001, 9001, 9001]);
        addresses[1].enter();
        let mut all = turns(&pool, 3);
        all.sort_unstable();
        assert_eq!(all, [9000, 9001, 9002], "equals take turns");
    }

    #[test]
    fn a_session_stays_and_comes_back() {
        let pool = pool(Balance::RoundRobin, Affinity::Session, 4);
        let key = [42; 16];
        let home = pool.choose(Some(&key), &[]).unwrap();
        assert!((0..20).all(|_| pool.choose(Some(&key), &[]).unwrap().at == home.at));
        home.failed();
        let shelter = pool.choose(Some(&key), &[]).unwrap();
        assert_ne!(shelter.at, home.at);
        assert!((0..20).all(|_| pool.choose(Some(&key), &[]).unwrap().at == shelter.at));
        home.connected();
        assert_eq!(pool.choose(Some(&key), &[]).unwrap().at, home.at);
    }

    #[test]
    fn no_more_requests_enter_than_the_cap_says() {
        let pool = pool(Balance::RoundRobin, Affinity::None, 1);
        assert!(pool.enter() && pool.enter() && pool.enter());
        assert!(!pool.enter());
        pool.leave();
        assert!(pool.enter() && !pool.enter());
        assert_eq!(pool.status().refused, 2);
    }

    #[test]
    fn an_address_that_stays_keeps_what_is_known_of_it() {
        let pool = pool(Balance::RoundRobin, Affinity::None, 2);
        pool.addresses()[0].failed();
        let at = |last| SocketAddr::from(([127, 0, 0, last], 9000));
        pool.take(0, vec![at(1), at(2)]);
        let known: Vec<_> = pool.addresses().iter().map(|address| (address.at, address.state())).collect();
        assert_eq!(
            known,
            [(at(1), State::Out), (at(2), State::In), (SocketAddr::from(([127, 0, 0, 1], 9001)), State::In),]
        );
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_keeps_its_addresses() {
        let mut settings = settings(Balance::RoundRobin, Affinity::None);
        settings.places = vec![Place { host: "no-such-name.invalid".into(), port: 80 }];
        let pool = Pool::new(Arc::new(settings.clone()), Credentials::load(&settings).unwrap(), None);
        assert!(!pool.resolve().await && pool.is_empty());
        let last: SocketAddr = "192.0.2.7:80".parse().unwrap();
        pool.take(0, vec![last]);
        assert!(!pool.resolve().await);
        assert_eq!(pool.choose(None, &[]).unwrap().at, last);
        // Other settings for the same place begin with what is known of it.
        settings.max_requests += 1;
        let changed =
            Pool::new(Arc::new(settings.clone()), Credentials::load(&settings).unwrap(), Some(&pool));
        // A reload looks names up at once, also while no name server answers.
        assert!(!changed.resolve().await);
        assert_eq!(changed.choose(None, &[]).unwrap().at, last);
    }
}
