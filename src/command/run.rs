//! `portvakt run`: serves.
//!
//! SIGTERM: not ready, drain, exit. SIGHUP: reload. SIGINT: exit at once. SIGQUIT is for a hand-over, which
//! this version does not offer: it is reported and nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::services::background::background_service;
use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Configuration, Transport};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, complain};
use crate::admin;
use crate::cause;
use crate::gateway::Gateway;
use crate::guard::{self, CertificateError};
use crate::health::LiveHealth;
use crate::snapshot::{Live, LoadError, Snapshot};
use crate::telemetry::{GuardObserver, Operational, OperationalError, Telemetry, VARIABLE};
use crate::upkeep::Upkeep;
use crate::upstream::MAX_TRIES;

/// Idle connections to upstreams that are kept, for each thread.
const UPSTREAM_POOL: usize = 512;

/// How long the last lines of the logs may take.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// How often a drain looks whether requests are under way.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("a log cannot be opened")]
    Log(#[source] std::io::Error),
    #[error("messages cannot be set up")]
    Messages(#[from] OperationalError),
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the certificate of {address} cannot be used")]
    Certificate {
        address: SocketAddr,
        #[source]
        source: CertificateError,
    },
}

pub(super) fn execute(file: &ConfigFile) -> ExitCode {
    match serve(&file.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&cause::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path) -> Result<(), StartError> {
    let operational = Operational::install(std::env::var(VARIABLE).ok().as_deref())?;
    pingora::tls::install_default_crypto_provider();
    let clock = Clock::start();
    let logs =
        config::load(path, &|name| std::env::var(name).ok()).map_err(LoadError::File)?.configuration.logs;
    let telemetry = Arc::new(Telemetry::start(&logs).map_err(StartError::Log)?);
    let (snapshot, warnings) = Snapshot::load(path, None, &telemetry, clock.now())?;
    for warning in &warnings {
        tracing::warn!(%warning, "the configuration may not mean what is wanted");
    }
    let configuration = &snapshot.configuration;
    probe(configuration)?;
    let conf = server_conf(configuration);
    let listeners = configuration.listeners.clone();
    let (admin_address, limits) = (configuration.admin, front_limits(configuration));
    let live = Arc::new(Live::new(path.to_owned(), clock, Arc::clone(&telemetry), snapshot));

    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut front = guard::front_service(
        "gateway",
        &server.configuration,
        Gateway::new(Arc::clone(&live)),
        limits,
        Arc::new(GuardObserver::new(Arc::clone(&telemetry), Arc::clone(&live.clock))),
    );
    for listener in &listeners {
        let address = listener.address.to_string();
        match &listener.transport {
            Transport::Tls { certificate, key } => {
                let (settings, pair) = guard::tls_settings(certificate, key, false)
                    .map_err(|source| StartError::Certificate { address: listener.address, source })?;
                live.serve_certificates(listener.address, pair);
                front.add_tls_with_settings(&address, None, settings);
            }
            Transport::BehindLoadBalancer(_) | Transport::InsecureLoopback => front.add_tcp(&address),
        }
    }
    let upkeep = background_service("upkeep", Upkeep::new(Arc::clone(&live)));
    let upkeep = server.add_service(upkeep);
    let front = server.add_service(front);
    // The first round of upkeep resolves upstreams and fetches keys, or tries to, before the public is let in.
    front.add_dependency(&upkeep);
    server.add_service(admin::service(admin_address, Arc::new(LiveHealth::new(Arc::clone(&live)))));
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?addresses, admin = %admin_address, "starting");
    server.run(RunArgs { shutdown_signal: Box::new(Signals { live }) });
    tracing::info!("stopped");
    telemetry.close(LOG_PATIENCE);
    operational.log().close(LOG_PATIENCE);
    Ok(())
}

/// Says before the start which address is taken: the proxy would only panic.
fn probe(configuration: &Configuration) -> Result<(), StartError> {
    let public = configuration.listeners.iter().map(|listener| listener.address);
    for address in public.chain([configuration.admin]) {
        TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })?;
    }
    Ok(())
}

fn server_conf(configuration: &Configuration) -> ServerConf {
    let threads = configuration
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    ServerConf {
        threads,
        max_retries: MAX_TRIES,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        // The drain is over when the proxy is told to stop.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

fn front_limits(configuration: &Configuration) -> guard::Limits {
    let limits = &configuration.limits;
    guard::Limits {
        header_deadline: limits.header_deadline,
        keep_alive_idle: limits.keep_alive,
        connections: limits.connections,
        ..guard::Limits::default()
    }
}

/// What the process does on signals.
struct Signals {
    live: Arc<Live>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let [mut terminate, mut interrupt, mut quit] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()].map(handler);
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    tracing::info!("stopping; requests under way are waited for");
                    self.drain().await;
                    return ShutdownSignal::GracefulTerminate;
                }
                _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
                _ = quit.recv() => tracing::error!("SIGQUIT asks for a hand-over, and no successor has reported ready"),
            }
        }
    }
}

impl Signals {
    /// Not ready from now on; waits for the requests under way, as long as the configuration allows.
    async fn drain(&self) {
        self.live.stopping.store(true, Ordering::Relaxed);
        let drained = async {
            while self.live.telemetry.metrics.requests_in_flight() > 0 {
                tokio::time::sleep(DRAIN_STEP).await;
            }
        };
        if tokio::time::timeout(self.live.snapshot().configuration.drain, drained).await.is_err() {
            tracing::warn!("requests were still under way when the time to drain was over");
        }
    }
}

fn handler(kind: SignalKind) -> Signal {
    signal(kind).expect("the process may handle its signals")
}
