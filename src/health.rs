//! What operators are told of the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use portvakt_core::key::{Concern, KeyTimes, Named};
use portvakt_core::revocation::StreamStatus;

use crate::admin::{
    ClockStatus, Health, KeyStatus, KeyWarning, ProviderStatus, Readiness, RevocationStatus, SessionStatus,
    Status, StreamState, WithheldKey,
};
use crate::provider::Call;
use crate::snapshot::Live;

/// The process, as the admin listener shows it.
pub(crate) struct LiveHealth {
    live: Arc<Live>,
}

impl LiveHealth {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self { live }
    }
}

impl Health for LiveHealth {
    /// Ready once metadata and keys of every provider are there; a provider that fails later changes
    /// nothing (`threats.md` OM-7), nor does one that a reload brings: everybody else is served as before, and all
    /// replicas read the same file.
    fn ready(&self) -> Readiness {
        let (mut reasons, mut strict_waits_because) = (Vec::new(), None);
        if self.live.stopping.load(Ordering::Relaxed) {
            reasons.push("the process is stopping".to_owned());
        }
        let revocations = &self.live.revocations;
        if let Some(id) = revocations.lacking_key() {
            reasons.push(format!(
                "another process writes ends of sessions with the revocation key {id}, which is not in our key file"
            ));
        }
        if let Some(Named { purpose, id }) = self.live.replication.lacking_key() {
            reasons
                .push(format!("another replica uses the `{purpose}` key {id}, which is not in our key file"));
        }
        let now = self.live.clock.now();
        if revocations.is_log_stale(now) || !revocations.is_writable() {
            reasons.push("the file of ended sessions cannot be read or written".to_owned());
        }
        match revocations.stream_status(now) {
            Some(StreamStatus { joining: true, .. }) => reasons.push(
                "what other replicas ended is not known yet: the store has not been read to its end"
                    .to_owned(),
            ),
            // Whoever else uses the store may be no better off: others than `strict` routes are served by all of them.
            Some(StreamStatus { behind: true, .. }) => {
                strict_waits_because = Some(
                    "what other replicas ended may be lacking: the store was not read to its end".to_owned(),
                );
            }
            Some(_) | None => {}
        }
        let mut logins_wait_because = Vec::new();
        for provider in self.live.snapshot().providers().filter(|provider| !provider.is_known()) {
            let name = &provider.settings().name;
            let reason = format!("metadata or keys of the provider `{name}` have not been fetched yet");
            match self.live.introduced.load(Ordering::Relaxed) {
                true => logins_wait_because.push(reason),
                false => reasons.push(reason),
            }
        }
        Readiness { not_ready_because: reasons, strict_waits_because, logins_wait_because }
    }

    fn status(&self) -> Status {
        let (snapshot, now) = (self.live.snapshot(), self.live.clock.now());
        let keys = snapshot.key_times();
        let warning = |(purpose, times): &(String, Vec<KeyTimes>)| {
            let concern = Concern::of_purpose(purpose, times, now)?;
            Some(KeyWarning { purpose: purpose.clone(), concern })
        };
        let provider = |provider: &Arc<crate::provider::Provider>| {
            let fetched = provider.fetched();
            ProviderStatus {
                name: provider.settings().name.clone(),
                issuer: provider.settings().issuer.clone(),
                metadata_fetched: fetched.metadata,
                keys_fetched: fetched.keys,
                not_answering: provider.not_answering().map(Call::as_str).collect(),
            }
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            now,
            uptime: now.since(self.live.started),
            generation: snapshot.generation,
            loaded: snapshot.loaded,
            needs_restart: snapshot.needs_restart.clone(),
            digest: snapshot.digest.clone(),
            reload_refused: self.live.reloaded().filter(|reload| !reload.taken).map(|reload| reload.at),
            open_files_limit: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            providers: snapshot.providers().map(provider).collect(),
            upstreams: snapshot.upstreams.status(),
            keys: keys.iter().flat_map(|(purpose, times)| KeyStatus::of(purpose, times, now)).collect(),
            key_warnings: keys.iter().filter_map(warning).collect(),
            keys_withheld: self.live.replication.withheld().into_iter().map(WithheldKey::from).collect(),
            revocations: RevocationStatus {
                entries: self.live.revocations.len(),
                known_since: self.live.revocations.known_since(),
                stream: self.live.revocations.stream_status(now).map(StreamState::from),
            },
            sessions: SessionStatus {
                idle: snapshot.configuration.session.idle,
                absolute: snapshot.configuration.session.absolute,
            },
            clock: ClockStatus::from(self.live.clock.drift()),
            logs: self.live.telemetry.log_status(),
        }
    }

    fn metrics(&self) -> String {
        let (snapshot, now) = (self.live.snapshot(), self.live.clock.now());
        let metrics = &self.live.telemetry.metrics;
        metrics.begin();
        for provider in snapshot.providers() {
            let name = &provider.settings().name;
            metrics.provider_calls(name, provider.calls());
            Call::ALL.into_iter().for_each(|call| metrics.provider_down(name, call, provider.is_down(call)));
        }
        metrics.upstreams(&snapshot.upstreams.status());
        let (keys, withheld) = (snapshot.key_times(), self.live.replication.withheld());
        metrics.keys(&keys, now);
        for (purpose, _) in &keys {
            let count = withheld.iter().filter(|key| key.purpose == *purpose).count();
            metrics.keys_withheld(purpose, count);
        }
        metrics.revocations(&self.live.revocations, now);
        let is_last = self.live.reloaded().is_none_or(|reload| reload.taken);
        metrics.configuration(snapshot.generation, &snapshot.digest, snapshot.loaded, is_last);
        metrics.ready(self.ready().is_ready());
        self.live.telemetry.observe_logs();
        metrics.render()
    }
}
