//! One generation of everything that a configuration says, and the state that outlives generations.
//!
//! **Invariant:** a request takes one [`Snapshot`] when it begins and sees no other (`threats.md` OM-2).
//! What cannot be built whole is not put in place: a bad file changes nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::config::{self, Configuration, Environment, Loaded, Places, Problem, Problems, Transport};
use portvakt_core::forward::assertion::Assertions;
use portvakt_core::forward::plain;
use portvakt_core::forward::strip::Reserved;
use portvakt_core::key::{ClientKey, KeyFile, KeyFileError, KeyTimes, Keys, client_purpose, path_of};
use portvakt_core::login::attempt;
use portvakt_core::once::Once;
use portvakt_core::provider::ProviderSettings;
use portvakt_core::revocation::{self, FileLog, Revocations};

use crate::fixed::Fixed;
use crate::gateway::explain;
use crate::guard::{CertificateError, Certificates, FreshCertificate};
use crate::limit::Rates;
use crate::provider::{Provider, ProviderError};
use crate::replication::Replication;
use crate::share::Lines;
use crate::system::Manager;
use crate::telemetry::metrics::RouteMetrics;
use crate::telemetry::{LogError, Telemetry};
use crate::tokens::Exchanges;
use crate::underway::Underway;
use crate::upstream::{Errands, UpstreamError, Upstreams};

/// One generation.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts from 1.
    pub generation: u64,
    /// When it was loaded.
    pub loaded: Timestamp,
    /// What the file means.
    pub configuration: Configuration,
    /// The files and folders that it was made of, the configuration first.
    pub files: Vec<PathBuf>,
    /// Where the file names them.
    pub places: Places,
    /// Tells one state of the file's text from another.
    pub digest: String,
    /// Our own keys.
    pub keys: Keys,
    /// Header names that only we may write.
    pub reserved: Reserved,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// Settings that the file has changed and that are taken up by a restart alone.
    pub needs_restart: Vec<&'static str>,
    /// Counters by the route's name.
    pub metrics: HashMap<String, RouteMetrics>,
    providers: HashMap<String, Arc<Provider>>,
}

/// Why a configuration cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file.
    #[error("{0}")]
    File(Problems),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A provider's client.
    #[error("the provider `{name}` cannot be set up")]
    Provider {
        /// Its name in the file.
        name: String,
        /// The CAs that it names.
        ca_file: Option<PathBuf>,
        /// Why.
        #[source]
        source: ProviderError,
    },
    /// One of these, with the place in the file that names what cannot be used.
    #[error("{place}")]
    At {
        /// `file:line:column`.
        place: String,
        /// The files that the configuration names: the remedy may lie in them.
        files: Vec<PathBuf>,
        /// What it is.
        #[source]
        source: Box<Self>,
    },
    /// An upstream.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file does what its own `tests` say that it must not.
    #[error("the configuration breaks its own `tests`:\n{0}")]
    Expectations(String),
    /// A listener's certificate.
    #[error("the certificate of {address} cannot be used")]
    Certificate {
        /// The listener.
        address: SocketAddr,
        /// Why.
        #[source]
        source: CertificateError,
    },
}

impl LoadError {
    /// Further files in which the remedy may lie.
    pub(crate) fn files(&self) -> &[PathBuf] {
        match self {
            Self::File(problems) => problems.files(),
            Self::At { files, .. } => files,
            _ => &[],
        }
    }

    /// With the place in the file that names what cannot be used, where there is one.
    pub(crate) fn at(self, places: &Places, keys: &Path, files: &[PathBuf]) -> Self {
        let path = match &self {
            Self::Key(_) => Some(keys),
            Self::Provider { ca_file, .. } => ca_file.as_deref(),
            Self::Upstream(error) => Some(error.path()),
            Self::Log(error) => error.path(),
            Self::Certificate { source, .. } => source.chain_file(),
            Self::File(_) | Self::Expectations(_) | Self::At { .. } => None,
        };
        match path.and_then(|path| places.of(path)).map(str::to_owned) {
            Some(place) => Self::At { place, files: files.to_vec(), source: Box::new(self) },
            None => self,
        }
    }
}

impl Snapshot {
    /// Reads a file and all that it names.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: nothing is put in place.
    pub fn load(
        path: &Path,
        before: Option<&Self>,
        telemetry: &Telemetry,
        now: Timestamp,
    ) -> Result<(Self, Vec<Problem>), LoadError> {
        let loaded = config::load(path, &|name| std::env::var(name).ok()).map_err(LoadError::File)?;
        let Loaded { configuration, warnings, files, digest, places } = loaded;
        let broken = explain::broken(&configuration, &path.display().to_string(), now);
        if !broken.is_empty() {
            return Err(LoadError::Expectations(broken.join("\n")));
        }
        let files: Vec<PathBuf> = std::iter::once(path.to_owned()).chain(files).collect();
        let (keys, named, known) = (configuration.keys.clone(), places.clone(), files.clone());
        let built = Self::build(configuration, (files, places, digest), before, telemetry, now);
        Ok((built.map_err(|error| error.at(&named, &keys, &known))?, warnings))
    }

    fn build(
        configuration: Configuration,
        (files, places, digest): (Vec<PathBuf>, Places, String),
        before: Option<&Self>,
        telemetry: &Telemetry,
        now: Timestamp,
    ) -> Result<Self, LoadError> {
        let keys = Keys::load(&configuration.keys)?;
        let providers = configuration
            .providers
            .iter()
            .map(|settings| {
                // One that stays what it was stays, and one that says other things of the same issuer goes on with what
                // was fetched there, since it may be down. What was fetched under other CAs is forgotten:
                // they may have been exchanged because they were not to be trusted.
                let known = before.and_then(|before| before.provider(&settings.name));
                let provider = match known {
                    Some(known) if known.is_still(settings) => Arc::clone(known),
                    known => {
                        let mut provider = provider(settings, &configuration.keys, now)?;
                        known.into_iter().for_each(|known| provider.go_on_from(known));
                        Arc::new(provider)
                    }
                };
                Ok((settings.name.clone(), provider))
            })
            .collect::<Result<_, LoadError>>()?;
        let routes = || configuration.hosts.iter().flat_map(|host| host.routes.iter());
        if routes().any(|route| route.assertion.is_some()) {
            keys.demand_assertion(&configuration.keys, now)?;
        }
        if routes().any(|route| route.tells_what_lasts()) {
            keys.demand_lasting(&configuration.keys, now)?;
        }
        for plan in routes().filter_map(|route| route.signature.as_ref()) {
            keys.demand_signature(plan.algorithm, &plan.app, &configuration.keys, now)?;
        }
        let reserved = Reserved::new(routes().flat_map(|route| plain::names(&route.headers)));
        let metrics =
            routes().map(|route| (route.name.clone(), telemetry.metrics.route(&route.name))).collect();
        Ok(Self {
            generation: before.map_or(1, |before| before.generation + 1),
            loaded: now,
            keys,
            reserved,
            upstreams: Upstreams::of(&configuration.hosts, before.map(|before| &before.upstreams))?,
            metrics,
            needs_restart: Vec::new(),
            providers,
            configuration,
            files,
            places,
            digest,
        })
    }

    /// A provider by its name in the file.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// Every provider.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// When the keys of each purpose begin and end, those of clients included, by purpose.
    #[must_use]
    pub fn key_times(&self) -> Vec<(String, Vec<KeyTimes>)> {
        let mut all = self.keys.times();
        let folder = &self.configuration.keys;
        let signing = self.configuration.providers.iter().filter(|provider| provider.has_client_key());
        all.extend(signing.filter_map(|provider| {
            // They are followed in their file, without a reload: `renew_client_keys`.
            let purpose = client_purpose(&provider.name);
            let file = KeyFile::read(&path_of(folder, &purpose), &purpose).ok()?;
            Some((purpose, file.times()))
        }));
        all
    }

    /// Whether test identities are refused.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.configuration.environment == Environment::Production
    }

    /// Lets each provider sign with the key that is active now (`design.md` D15).
    pub fn renew_client_keys(&self, now: Timestamp) -> Result<(), KeyFileError> {
        for (provider, key) in self.client_keys(now)? {
            provider.set_client_key(key);
        }
        Ok(())
    }

    /// The key that is active now of each provider that has one.
    fn client_keys(&self, now: Timestamp) -> Result<Vec<(&Arc<Provider>, ClientKey)>, KeyFileError> {
        let key = |provider: &Arc<Provider>| client_key(provider.settings(), &self.configuration.keys, now);
        let mut keys = Vec::new();
        for provider in self.providers() {
            keys.extend(key(provider)?.map(|key| (provider, key)));
        }
        Ok(keys)
    }
}

fn provider(settings: &ProviderSettings, keys: &Path, now: Timestamp) -> Result<Provider, LoadError> {
    let key = client_key(settings, keys, now)?;
    Provider::new(settings.clone(), key).map_err(|source| LoadError::Provider {
        name: settings.name.clone(),
        ca_file: settings.ca_file.clone(),
        source,
    })
}

fn client_key(
    settings: &ProviderSettings,
    keys: &Path,
    now: Timestamp,
) -> Result<Option<ClientKey>, KeyFileError> {
    if !settings.has_client_key() {
        return Ok(None);
    }
    let purpose = client_purpose(&settings.name);
    let keys = KeyFile::read(&path_of(keys, &purpose), &purpose)?.client_keys(now)?;
    let newest_active = keys.iter().rposition(|(active_from, _)| *active_from <= now).unwrap_or(0);
    Ok(keys.into_iter().nth(newest_active).map(|(_, key)| key))
}

/// What the process is about: the current snapshot, and what outlives it.
pub struct Live {
    /// The configuration file.
    pub path: PathBuf,
    /// The one clock.
    pub clock: Arc<Clock>,
    /// When the process started.
    pub started: Timestamp,
    /// What ended early.
    pub revocations: Revocations,
    /// What it shares with other replicas.
    pub(crate) replication: Replication,
    /// What is under way for whom.
    pub(crate) underway: Underway,
    /// Logout tokens that have counted.
    pub logout_tokens: Once,
    /// Answers to login attempts that have been taken.
    pub answers: Once,
    /// Assertions that are used again.
    pub assertions: Assertions,
    /// Logs and metrics.
    pub telemetry: Arc<Telemetry>,
    /// What the service manager knows.
    pub(crate) manager: Manager,
    /// Who has caused how many lines by calls that nobody can prove.
    pub(crate) unproven_lines: Lines,
    /// How often clients ask.
    pub(crate) rates: Rates,
    /// Requests of our own to apps.
    pub(crate) errands: Errands,
    /// Exchanges of people's access tokens.
    pub(crate) exchanges: Exchanges,
    /// Whether the process has been told to stop: it is not ready any more.
    pub stopping: AtomicBool,
    /// Whether clients should come back to another process, or by another connection.
    pub leaving: AtomicBool,
    /// Whether the providers of some configuration that was in force were all known.
    pub introduced: AtomicBool,
    /// The certificates of the listeners that have one, for as long as the process listens there.
    certificates: Mutex<HashMap<SocketAddr, Arc<Certificates>>>,
    /// The last attempt to read the configuration again.
    reloaded: Mutex<Option<Reload>>,
    current: ArcSwap<Snapshot>,
    fixed: Fixed,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Live {
    /// A process with its first snapshot.
    #[must_use]
    pub fn new(path: PathBuf, clock: Clock, telemetry: Arc<Telemetry>, snapshot: Snapshot) -> Self {
        let now = clock.now();
        // Sessions may outlive the limit with which they began; the longest that a file may name counts.
        let longest = snapshot.configuration.session.absolute.max(LONGEST_SESSION);
        let settings = &snapshot.configuration.revocation;
        let replication = Replication::default();
        if settings.stream.is_some() {
            replication.agree_on(&snapshot.keys, now);
        }
        let revocations = Revocations::open(
            Box::new(FileLog::new(settings.file.clone())),
            revocation::Settings {
                longest,
                max_gap: settings.max_gap,
                max_lag: settings.max_lag,
                unproven: UNPROVEN,
                shared: settings.stream.is_some(),
            },
            revocation::boot(),
            &snapshot.keys.revocation,
            now,
        );
        Self {
            path,
            started: now,
            revocations,
            replication,
            underway: Underway::default(),
            logout_tokens: Once::for_life(LOGOUT_TOKEN_LIFE),
            answers: Once::for_life(attempt::LIFE),
            assertions: Assertions::new(snapshot.configuration.assertion_cache),
            telemetry,
            manager: Manager::default(),
            unproven_lines: Lines::default(),
            rates: Rates::default(),
            errands: Errands::default(),
            exchanges: Exchanges::default(),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            introduced: AtomicBool::new(false),
            fixed: Fixed::of(&snapshot.configuration),
            certificates: Mutex::default(),
            reloaded: Mutex::default(),
            current: ArcSwap::from_pointee(snapshot),
            clock: Arc::new(clock),
        }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// New handshakes at this listener get what is in place here.
    pub(crate) fn serve_certificates(&self, address: SocketAddr, certificates: Arc<Certificates>) {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).insert(address, certificates);
    }

    /// The last attempt to read the configuration again; `None` as long as the first one is in force.
    #[must_use]
    pub fn reloaded(&self) -> Option<Reload> {
        self.reloaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file and all that it names again, and puts it in place as a whole. Returns the warnings.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: everything stays as it was.
    pub async fn reload(&self) -> Result<Vec<Problem>, LoadError> {
        let outcome = self.exchange().await;
        let reload = Reload { at: self.clock.now(), taken: outcome.is_ok() };
        *self.reloaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(reload);
        outcome
    }

    async fn exchange(&self) -> Result<Vec<Problem>, LoadError> {
        let (before, now) = (self.snapshot(), self.clock.now());
        let (mut snapshot, warnings) = Snapshot::load(&self.path, Some(&before), &self.telemetry, now)?;
        let at = |error: LoadError| error.at(&snapshot.places, &snapshot.configuration.keys, &snapshot.files);
        let certificates = self.read_certificates(&snapshot.configuration).map_err(at)?;
        // Providers that stay what they were are those in force: they get no key of a file that is refused.
        let client_keys = snapshot.client_keys(now).map_err(|error| at(error.into()))?;
        self.telemetry.configure(&snapshot.configuration.logs).map_err(|error| at(error.into()))?;
        client_keys.into_iter().for_each(|(provider, key)| provider.set_client_key(key));
        let stream = &before.configuration.revocation.stream;
        snapshot.needs_restart = self.fixed.impose(&mut snapshot.configuration, stream);
        snapshot.upstreams.resolve(true).await;
        if self.revocations.is_shared() {
            // A key that not everybody accepts is never used, not for a moment.
            self.replication.agree_on(&snapshot.keys, now);
        }
        // From here on nothing fails.
        if before.providers().all(|provider| provider.is_known()) {
            self.introduced.store(true, Ordering::Relaxed);
        }
        let assertion_cache = snapshot.configuration.assertion_cache;
        let revocation = &snapshot.configuration.revocation;
        self.revocations.adjust(revocation.max_gap, revocation.max_lag);
        self.current.store(Arc::new(snapshot));
        for (listener, fresh) in certificates {
            listener.exchange(fresh);
        }
        self.assertions.renew(assertion_cache);
        Ok(warnings)
    }

    /// The certificate of each listener that the file has, as far as it is served. One that would be served after a restart
    /// alone is judged as well: with it the process would not start.
    fn read_certificates(
        &self,
        configuration: &Configuration,
    ) -> Result<Vec<(Arc<Certificates>, FreshCertificate)>, LoadError> {
        let served = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = configuration.listeners.iter().filter_map(|listener| match &listener.transport {
            Transport::Tls { certificate, key } => Some((listener.address, certificate, key)),
            Transport::BehindLoadBalancer(_) | Transport::InsecureLoopback => None,
        });
        listeners
            .map(|(address, certificate, key)| {
                let fresh = Certificates::read(certificate, key)
                    .map_err(|source| LoadError::Certificate { address, source })?;
                Ok(served.get(&address).map(|listener| (Arc::clone(listener), fresh)))
            })
            .filter_map(Result::transpose)
            .collect()
    }
}

/// An attempt to read the configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// Whether it was taken; if not, what was in force stayed.
    pub taken: bool,
}

/// A logout token lives five minutes (dossier 3.4); a provider that gives longer ones is remembered as long.
const LOGOUT_TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// How many ends that nobody proved are remembered: a day of a large service, in some 20 MB.
const UNPROVEN: usize = 262_144;

/// The longest life that a configuration may give a session.
pub(crate) const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600);
