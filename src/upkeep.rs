//! What is done in the background: time, names, providers' keys, our keys, forgotten entries, reloads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::ServiceReadyNotifier;
use pingora::services::background::BackgroundService;
use portvakt_core::clock::Drift;
use portvakt_core::key::KeyId;
use portvakt_core::revocation::{self, Alarms};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::cause;
use crate::provider::ProviderError;
use crate::replication::Following;
use crate::snapshot::Live;
use crate::underway;
use crate::watch::{self, Attempt};

/// How often the clock is compared.
const SECOND: Duration = Duration::from_secs(1);

/// How often names are resolved, in seconds.
const RESOLVE: u64 = 30;

/// How often everything else is looked after, in seconds.
const MINUTE: u64 = 60;

/// How often a name is resolved that never did, in seconds.
const IMPATIENT: u64 = 6;

/// How long the first round may take: the process starts without its providers (`threats.md` OM-7).
const FIRST_ROUND: Duration = Duration::from_secs(3);

/// Which names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    All,
    /// Of upstreams without any address.
    Missing,
}

/// The background's work.
pub(crate) struct Upkeep {
    live: Arc<Live>,
    /// What the first configuration was made of.
    first: Attempt,
}

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// SIGHUP: the operator means what is there now, the system's time included.
    Asked,
    /// It is not what it was.
    Changed,
}

impl Upkeep {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        let first = Attempt::of(live.snapshot().files.clone());
        Self { live, first }
    }

    /// Names and providers are asked beside: neither a slow resolver nor a slow provider stops the clock.
    fn ask_around(&self, names: Option<Names>, providers: bool) {
        if names.is_none() && !providers {
            return;
        }
        let live = Arc::clone(&self.live);
        tokio::spawn(async move {
            if let Some(names) = names {
                resolve(&live, names == Names::All).await;
            }
            if providers {
                refresh_providers(&live).await;
            }
        });
    }

    /// Whether metadata or keys of some provider are to be fetched.
    fn providers_are_due(&self) -> bool {
        let now = self.live.clock.now();
        self.live.snapshot().providers().any(|provider| provider.is_due(now))
    }

    fn look_after_keys(&self) {
        let now = self.live.clock.now();
        self.live.assertions.forget(now);
        if let Err(error) = self.live.snapshot().renew_client_keys(now) {
            tracing::error!(%error, "the client keys were not renewed; the last good ones stay in use");
        }
    }

    fn compare_clocks(&self) {
        let drift = self.live.clock.tick();
        self.live.telemetry.metrics.clock(drift);
        if let Drift::Stepped(millis) = drift {
            tracing::error!(millis, "the system clock was set; it is followed after a reload (SIGHUP)");
        }
    }

    /// Reads the configuration and all that it names again. Gives what was tried.
    async fn reload(&self, occasion: Occasion) -> Attempt {
        if occasion == Occasion::Asked {
            self.live.manager.reloading();
            self.live.telemetry.reopen();
        }
        // Read before: what changes while it is loaded counts as a change.
        let tried = Attempt::of(self.live.snapshot().files.clone());
        let outcome = self.live.reload().await;
        let tried = match &outcome {
            Ok(_) => tried.with(&self.live.snapshot().files),
            Err(error) => tried.with(error.files()),
        };
        self.live.telemetry.metrics.config_reload(outcome.is_ok());
        match &outcome {
            Ok(warnings) => {
                for warning in warnings {
                    tracing::warn!(%warning, "the configuration may not mean what is wanted");
                }
                let snapshot = self.live.snapshot();
                for setting in &snapshot.needs_restart {
                    tracing::warn!(
                        setting,
                        "a changed setting stays as it was until the process is restarted"
                    );
                }
                let (generation, digest) = (snapshot.generation, snapshot.digest.as_str());
                tracing::info!(
                    generation,
                    digest,
                    ?occasion,
                    "the configuration was read again and is in force"
                );
                self.ask_around(None, true);
            }
            Err(error) => tracing::error!(
                error = cause::chain(error),
                ?occasion,
                "the configuration was not taken; the one in force stays"
            ),
        }
        if occasion == Occasion::Asked && self.live.clock.stepped() {
            self.live.clock.confirm();
            self.live.revocations.clock_was_set(self.live.clock.now());
        }
        if occasion == Occasion::Asked {
            self.live.manager.reloaded(outcome.is_ok());
        }
        tried
    }

    /// Whether a change on disk is taken without being asked for.
    fn follows_changes(&self) -> bool {
        self.live.snapshot().configuration.reload_on_change && !self.live.leaving.load(Ordering::Relaxed)
    }
}

async fn resolve(live: &Live, all: bool) {
    for upstream in live.snapshot().upstreams.resolve(all).await {
        tracing::warn!(upstream, "a name of the upstream does not resolve; its last addresses stay in use");
    }
}

async fn refresh_providers(live: &Live) {
    let snapshot = live.snapshot();
    // Beside each other: one that is silent keeps no other waiting.
    let mut refreshing = JoinSet::new();
    for provider in snapshot.providers() {
        let (provider, now) = (Arc::clone(provider), live.clock.now());
        refreshing.spawn(async move {
            match provider.refresh(now).await {
                Ok(()) | Err(ProviderError::Resting { .. }) => {}
                Err(error) => {
                    let name = provider.settings().name.as_str();
                    tracing::warn!(provider = name, %error, "metadata or keys were not renewed; the last good ones stay in use");
                }
            }
        });
    }
    refreshing.join_all().await;
}

/// Follows the log of ended sessions in a thread of its own, since files make it wait, until the sender is
/// dropped.
fn tend_revocations(live: Arc<Live>) -> Sender<()> {
    let (sender, stopped) = mpsc::channel();
    let tend = move || {
        let mut known = (true, None, Alarms::default());
        while stopped.recv_timeout(revocation::POLL) == Err(RecvTimeoutError::Timeout) {
            live.revocations.tend(&live.snapshot().keys.revocation, live.clock.now());
            let revocations = &live.revocations;
            report(&mut known, (revocations.is_writable(), revocations.lacking_key(), revocations.alarms()));
        }
    };
    std::thread::Builder::new()
        .name("revocations".to_owned())
        .spawn(tend)
        .expect("the process may have one more thread");
    sender
}

/// Says once what has changed.
fn report(
    known: &mut (bool, Option<KeyId>, Alarms),
    (writable, lacking, alarms): (bool, Option<KeyId>, Alarms),
) {
    let (was_writable, lacked, before) = std::mem::replace(known, (writable, lacking, alarms));
    if let Some(key) = lacking.filter(|_| lacking != lacked) {
        tracing::error!(
            %key,
            "another process writes ends of sessions with a revocation key that is not in our key file; \
             strict routes wait until it is there and the configuration is read again (SIGHUP)"
        );
    }
    if lacked.is_some() && lacking.is_none() {
        tracing::info!("the ends of sessions that other processes wrote can be read again");
    }
    if was_writable && !writable {
        tracing::error!("the file of ended sessions cannot be written; what ended is in force in memory");
    }
    if writable && !was_writable {
        tracing::info!("the file of ended sessions is written again, and what was missing is in it");
    }
    let Alarms { foreign, missing, damaged, .. } = alarms;
    if (foreign, missing, damaged) != (before.foreign, before.missing, before.damaged) {
        tracing::error!(foreign, missing, damaged, "the file of ended sessions was altered by somebody else");
    }
    if alarms.evicted > before.evicted && before.evicted == 0 {
        tracing::error!(
            "so many sessions are logged out by unproven calls that some ends had to be forgotten"
        );
    }
}

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        let mut hangup = signal(SignalKind::hangup()).expect("the process may handle its signals");
        let live = Arc::clone(&self.live);
        // What takes longer goes on beside.
        let first_round = tokio::spawn(async move {
            tokio::join!(resolve(&live, true), refresh_providers(&live));
        });
        let _ = tokio::time::timeout(FIRST_ROUND, first_round).await;
        // They end with their channels, when this function does.
        let _tending = tend_revocations(Arc::clone(&self.live));
        let _ending = underway::tend(Arc::clone(&self.live));
        let _following = Following::begin(&self.live);
        ready.notify_ready();
        let (tried, attempts) = sync::watch::channel(self.first.clone());
        let mut changes = watch::follow(attempts);
        let mut ticks = interval(SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut seconds = 0_u64;
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                _ = hangup.recv() => drop(tried.send(self.reload(Occasion::Asked).await)),
                // Without the condition a change that is not followed would be forgotten.
                Some(()) = changes.recv(), if self.follows_changes() => {
                    drop(tried.send(self.reload(Occasion::Changed).await));
                }
                _ = ticks.tick() => {
                    seconds += 1;
                    self.compare_clocks();
                    let minute = seconds.is_multiple_of(MINUTE);
                    if minute {
                        self.look_after_keys();
                    }
                    let impatient = seconds.is_multiple_of(IMPATIENT);
                    let names = match seconds.is_multiple_of(RESOLVE) {
                        true => Some(Names::All),
                        false => impatient.then_some(Names::Missing),
                    };
                    self.ask_around(names, self.providers_are_due());
                    self.live.snapshot().upstreams.check_health();
                }
            }
        }
    }
}
