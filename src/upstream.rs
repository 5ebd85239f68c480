//! Where requests go: names resolved in the background, connections shared only between equals.
//!
//! **Invariant:** no identity byte is sent before the upstream's TLS identity is verified, and pooled
//! connections are shared only between upstreams with the same trust (`threats.md` ID-9): Pingora's pool
//! does not look at the CA, so each upstream has a group of its own.

mod errand;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pingora::protocols::ALPN;
use pingora::tls::{RootCertStore, load_ca_file_into_store, load_pem_file_ca};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::{WrappedX509, parse_x509};
use portvakt_core::route::{Hosts, Upstream};

pub(crate) use self::errand::{Errand, Errands};

/// How long writing to an upstream may stall.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the resolver may take for a name.
const LOOKUP: Duration = Duration::from_secs(5);

/// How long an idle connection to an upstream is kept.
const IDLE: Duration = Duration::from_secs(50);

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its CA file.
    #[error("the CA file {} of upstream `{upstream}` must hold exactly one certificate in PEM", path.display())]
    CaFile {
        /// The upstream's name.
        upstream: String,
        /// The file.
        path: PathBuf,
    },
}

/// The upstreams of a configuration, by name.
#[derive(Debug, Default)]
pub struct Upstreams(HashMap<String, Peer>);

#[derive(Debug)]
struct Peer {
    settings: Arc<Upstream>,
    /// What tells its connections from those of other trust.
    group: u64,
    ca: Option<Arc<[WrappedX509]>>,
    resolved: ArcSwapOption<HttpPeer>,
}

impl Upstreams {
    /// The upstreams that the routes of these hosts name. Resolves no names yet.
    ///
    /// # Errors
    ///
    /// The first CA file that cannot be used.
    pub fn of(hosts: &Hosts, before: Option<&Self>) -> Result<Self, UpstreamError> {
        let mut upstreams = HashMap::new();
        for route in hosts.iter().flat_map(|host| host.routes.iter()) {
            let settings = &route.upstream;
            if !upstreams.contains_key(&settings.name) {
                let peer = Peer::new(settings)?;
                // What stays the same serves on, even if its name does not resolve just now.
                if let Some(kept) = before.and_then(|before| before.0.get(&settings.name))
                    && kept.settings == peer.settings
                    && kept.group == peer.group
                {
                    peer.resolved.store(kept.resolved.load_full());
                }
                upstreams.insert(settings.name.clone(), peer);
            }
        }
        Ok(Self(upstreams))
    }

    /// The peer of an upstream; `None` as long as its name has not resolved.
    #[must_use]
    pub fn peer(&self, name: &str) -> Option<Box<HttpPeer>> {
        let resolved = self.0.get(name)?.resolved.load();
        resolved.as_ref().map(|peer| Box::new(HttpPeer::clone(peer)))
    }

    /// Resolves every name anew. What does not resolve keeps its last address; returns such names.
    pub async fn resolve(&self) -> Vec<&str> {
        let mut failed = Vec::new();
        for (name, peer) in &self.0 {
            if !peer.resolve().await {
                failed.push(name.as_str());
            }
        }
        failed
    }
}

impl Peer {
    fn new(settings: &Arc<Upstream>) -> Result<Self, UpstreamError> {
        let unusable =
            |path: &PathBuf| UpstreamError::CaFile { upstream: settings.name.clone(), path: path.clone() };
        let ca = settings.ca_file.as_ref().map(|path| read_ca(path).ok_or_else(|| unusable(path)));
        let mut group = DefaultHasher::new();
        settings.name.hash(&mut group);
        // Its contents: a connection that an earlier certificate vouched for is not used under a later one.
        settings.ca_file.as_ref().map(std::fs::read).transpose().ok().hash(&mut group);
        Ok(Self {
            settings: Arc::clone(settings),
            group: group.finish(),
            ca: ca.transpose()?,
            resolved: ArcSwapOption::empty(),
        })
    }

    async fn resolve(&self) -> bool {
        let host = self.settings.host.trim_start_matches('[').trim_end_matches(']');
        let lookup = tokio::net::lookup_host((host, self.settings.port));
        let Ok(Ok(mut addresses)) = tokio::time::timeout(LOOKUP, lookup).await else { return false };
        let Some(address) = addresses.next() else { return false };
        let mut peer = HttpPeer::new(address, self.settings.tls, host.to_owned());
        peer.group_key = self.group;
        peer.options.ca.clone_from(&self.ca);
        peer.options.alpn = ALPN::H1;
        peer.options.connection_timeout = Some(self.settings.connect_timeout);
        peer.options.total_connection_timeout = Some(self.settings.connect_timeout);
        peer.options.read_timeout = Some(self.settings.read_timeout);
        peer.options.write_timeout = Some(WRITE_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE);
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        self.resolved.store(Some(Arc::new(peer)));
        true
    }
}

/// Pingora takes one certificate of a CA file; a file with more would be trusted in part, so it is refused.
fn read_ca(path: &Path) -> Option<Arc<[WrappedX509]>> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut store = RootCertStore::empty();
    // Judged by rustls first: Pingora's own parser panics on what is no certificate.
    load_ca_file_into_store(path, &mut store).ok()?;
    let single = text.matches("-----BEGIN CERTIFICATE-----").count() == 1 && store.len() == 1;
    let der = load_pem_file_ca(&path.to_string_lossy().into_owned()).ok()?;
    single.then(|| Arc::from([WrappedX509::new(der, parse_x509)]))
}
