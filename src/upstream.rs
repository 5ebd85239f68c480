//! Where requests go: names resolved in the background, addresses chosen without a lock, connections shared
//! only between equals.
//!
//! | module | what it holds |
//! |---|---|
//! | `pool` | one app: its addresses, its cap, the choice among them |
//! | `address` | one address: whether it is in, and how busy it is |
//! | `cut` | the end of a wait for an app that says a little now and then |
//! | `stay` | what one request holds at its app, from its first try to its end |
//! | `trust` | CAs, client certificates, and what keeps connections of other trust apart |
//! | `probe` | active health checks |
//! | `errand` | requests of our own to an app |
//! | `visit` | a look at each address, for an operator who asks |
//!
//! **Invariant:** no identity byte is sent before the upstream's TLS identity is verified, and pooled
//! connections are shared only between upstreams with the same trust (`threats.md` ID-9).
//! **Invariant:** an app that is down changes nothing about the gateway's readiness (OM-7), and one that is
//! slow holds no more requests than its cap (LI-4).

mod address;
mod cut;
mod errand;
mod pool;
mod probe;
mod stay;
mod trust;
mod visit;

use std::collections::HashMap;
use std::sync::Arc;

use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use portvakt_core::route::{Hosts, Route};
use portvakt_core::session::Session;
use tokio::task::JoinSet;

pub(crate) use self::errand::{Errand, Errands};
pub(crate) use self::stay::{MAX_TRIES, Stay};
pub use self::trust::UpstreamError;
pub(crate) use self::visit::{Unvisited, Visit};

use self::pool::Pool;
use self::stay::affinity_key;
use self::trust::Credentials;
use crate::admin::UpstreamStatus;

/// The upstreams of a configuration, by name.
#[derive(Debug, Default)]
pub struct Upstreams(HashMap<String, Arc<Pool>>);

impl Upstreams {
    /// The upstreams that the routes of these hosts name. Resolves no names yet.
    ///
    /// # Errors
    ///
    /// The first certificate or key that cannot be used.
    pub fn of(hosts: &Hosts, before: Option<&Self>) -> std::result::Result<Self, UpstreamError> {
        let mut upstreams = HashMap::new();
        for route in hosts.iter().flat_map(|host| host.routes.iter()) {
            let Some(settings) = route.upstream() else { continue };
            if upstreams.contains_key(&settings.name) {
                continue;
            }
            let credentials = Credentials::load(settings)?;
            let kept = before.and_then(|before| before.0.get(&settings.name));
            // What stays the same serves on, with what it knows of its addresses and all that it counts.
            let pool = match kept.filter(|kept| kept.is_same(settings, &credentials)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Pool::new(Arc::clone(settings), credentials, kept.map(Arc::as_ref))),
            };
            upstreams.insert(settings.name.clone(), pool);
        }
        Ok(Self(upstreams))
    }

    /// Begins the stay of a request at its route's app.
    ///
    /// # Errors
    ///
    /// 503 if the app has as many requests under way as it may.
    pub(crate) fn enter(&self, route: &Route) -> Result<Stay> {
        let pool = route.upstream().and_then(|app| self.0.get(&app.name));
        let pool =
            pool.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(500), "a route without its upstream"))?;
        Stay::begin(pool, &route.limits)
    }

    /// Resolves names anew, side by side: of all upstreams, or of those without any address. What does not
    /// resolve keeps its last addresses; returns the upstreams' names.
    pub async fn resolve(&self, all: bool) -> Vec<String> {
        let mut lookups = JoinSet::new();
        for pool in self.0.values().filter(|pool| all || pool.is_empty()) {
            let pool = Arc::clone(pool);
            lookups.spawn(async move { (!pool.resolve().await).then(|| pool.name().to_owned()) });
        }
        lookups.join_all().await.into_iter().flatten().collect()
    }

    /// Where a session's requests go, outside of any request, and its `host:port`; `None` without any address.
    pub(crate) fn peer_of(&self, name: &str, session: &Session) -> Option<(Box<HttpPeer>, String)> {
        let address = self.0.get(name)?.choose(Some(affinity_key(session)), &[])?;
        Some((Box::new(address.peer.clone()), address.authority.clone()))
    }

    /// Begins the health checks that are due.
    pub(crate) fn check_health(&self) {
        for pool in self.0.values() {
            probe::begin_if_due(pool);
        }
    }

    /// What is known of each upstream, by name.
    pub(crate) fn status(&self) -> Vec<UpstreamStatus> {
        let mut all: Vec<UpstreamStatus> = self.0.values().map(|pool| pool.status()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
