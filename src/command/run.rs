//! `portvakt run`: serves.
//!
//! SIGTERM: not ready, drain, exit. SIGHUP: reload. SIGINT, or a second SIGTERM: exit at once. SIGQUIT: hand over to
//! a successor that has reported ready; without one, an error is reported and nothing happens.

mod listening;
mod signals;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use clap::Args;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Configuration, Listener, Transport};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::runtime;
use tokio::sync::watch;

use self::listening::{Listening, Sockets, Span};
use self::signals::{Conduct, Signals};
use super::{ConfigFile, complain};
use crate::admin;
use crate::cause;
use crate::gateway::Gateway;
use crate::guard::{self, Listen};
use crate::handover::{HandoverError, Predecessor};
use crate::health::LiveHealth;
use crate::snapshot::{Live, LoadError, Snapshot};
use crate::telemetry::{GuardObserver, Operational, OperationalError, Telemetry, VARIABLE};
use crate::upkeep::Upkeep;
use crate::upstream::MAX_TRIES;

/// Idle connections to upstreams that are kept, for each thread.
const UPSTREAM_POOL: usize = 512;

/// How long the last lines of the logs may take.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("messages cannot be set up")]
    Messages(#[from] OperationalError),
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("nothing can be taken over")]
    Handover(#[from] HandoverError),
    #[error("the process cannot have one more thread")]
    Runtime(#[source] std::io::Error),
}

/// What to serve, and after whom.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Takes over from the process that serves with this configuration, once SIGQUIT tells that one to hand over;
    /// serves at once if there is none.
    #[arg(long)]
    upgrade: bool,
}

impl Run {
    pub(super) fn execute(&self) -> ExitCode {
        match serve(&self.file.config, self.upgrade) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&cause::chain(&error));
                ExitCode::FAILURE
            }
        }
    }
}

fn serve(path: &Path, upgrade: bool) -> Result<(), StartError> {
    let operational = Operational::install(std::env::var(VARIABLE).ok().as_deref())?;
    // Memory holds keys and identities (`threats.md` OM-4): nobody but root looks into it, and it is never written down.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash may write this process' memory to a file: the system does not let us forbid it");
    }
    // It outlives the server: what is said between processes is said on it.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("handover")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    signals::hold_early(&runtime);
    pingora::tls::install_default_crypto_provider();
    let clock = Clock::start();
    let loaded = config::load(path, &|name| std::env::var(name).ok()).map_err(LoadError::File)?;
    let telemetry = Telemetry::start(&loaded.configuration.logs).map_err(|error| {
        LoadError::Log(error).at(&loaded.places, &loaded.configuration.keys, &loaded.files)
    })?;
    let telemetry = Arc::new(telemetry);
    let (snapshot, warnings) = Snapshot::load(path, None, &telemetry, clock.now())?;
    for warning in &warnings {
        tracing::warn!(%warning, "the configuration may not mean what is wanted");
    }
    let configuration = &snapshot.configuration;
    let conf = server_conf(configuration);
    let (listeners, offer) = (configuration.listeners.clone(), configuration.handover_socket.clone());
    let (admin_address, limits) = (configuration.admin, front_limits(configuration));
    let live = Arc::new(Live::new(path.to_owned(), clock, Arc::clone(&telemetry), snapshot));

    let public: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
    let sockets = Arc::new(Sockets::default());
    let predecessor = match upgrade {
        true => runtime.block_on(Predecessor::find(&offer, &signals::common(&live)))?,
        false => None,
    };
    for known in predecessor.iter().flat_map(Predecessor::known) {
        // It stays what it is if it is another's.
        live.snapshot().providers().for_each(|provider| provider.learn(known, live.clock.now()));
    }
    let inherits =
        |address: &SocketAddr| predecessor.as_ref().is_some_and(|it| it.addresses().contains(address));
    let own: Vec<SocketAddr> =
        public.iter().copied().chain([admin_address]).filter(|address| !inherits(address)).collect();
    sockets.bind(&own)?;

    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let front = guard::front_service(
        "gateway",
        &server.configuration,
        Gateway::new(Arc::clone(&live)),
        limits,
        listens(&listeners, &live)?,
        Arc::new(GuardObserver::new(Arc::clone(&telemetry), Arc::clone(&live.clock))),
    );
    let upkeep = background_service("upkeep", Upkeep::new(Arc::clone(&live)));
    let upkeep = server.add_service(upkeep);
    let (begin, may_begin) = watch::channel(false);
    let (end_public, public_ends) = watch::channel(false);
    let (end_admin, admin_ends) = watch::channel(false);
    let (public_accepts, accepting) = watch::channel(false);
    let front = server.add_service(Listening {
        service: front,
        addresses: public.clone(),
        sockets: Arc::clone(&sockets),
        span: Span { begin: may_begin.clone(), end: public_ends },
        accepting: public_accepts,
    });
    // The first round of upkeep resolves upstreams and fetches keys, or tries to, before the public is let in.
    front.add_dependency(&upkeep);
    server.add_service(Listening {
        service: admin::service(admin_address, Arc::new(LiveHealth::new(Arc::clone(&live)))),
        addresses: vec![admin_address],
        sockets: Arc::clone(&sockets),
        span: Span { begin: may_begin, end: admin_ends },
        accepting: watch::channel(false).0,
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), addresses = ?public, admin = %admin_address, "starting");
    let conduct = Conduct {
        live,
        sockets,
        public,
        admin: admin_address,
        offer,
        predecessor,
        begin,
        accepting,
        end_public,
        end_admin,
    };
    let failure = Arc::default();
    let signals = Signals::new(conduct, Arc::clone(&failure), runtime.handle().clone());
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    tracing::info!("stopped");
    telemetry.close(LOG_PATIENCE);
    operational.log().close(LOG_PATIENCE);
    failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// The listeners as the front takes them.
fn listens(listeners: &[Listener], live: &Live) -> Result<Vec<Listen>, StartError> {
    let listens = listeners.iter().map(|listener| {
        let mut listen = match &listener.transport {
            Transport::Tls { certificate, key } => {
                let (settings, pair) = guard::tls_settings(certificate, key, true).map_err(|source| {
                    let (address, snapshot) = (listener.address, live.snapshot());
                    LoadError::Certificate { address, source }.at(
                        &snapshot.places,
                        &snapshot.configuration.keys,
                        &snapshot.files,
                    )
                })?;
                live.serve_certificates(listener.address, pair);
                Listen::tls(listener.address, settings)
            }
            Transport::BehindLoadBalancer(_) | Transport::InsecureLoopback => Listen::plain(listener.address),
        };
        listen.h2c = listener.h2c;
        let protocol = listener.proxy_protocol.clone();
        listen.proxy_protocol =
            protocol.map(|config::ProxyProtocol { v1, v2, from }| guard::ProxyProtocol { v1, v2, from });
        listen.connections_per_client = listener.connections_per_client;
        Ok(listen)
    });
    listens.collect()
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
        handshake_deadline: limits.handshake_deadline,
        header_deadline: limits.header_deadline,
        body_deadline: Some(limits.body_deadline),
        request_deadline: Some(limits.request_deadline),
        keep_alive_idle: limits.keep_alive,
        connections: limits.connections,
        ..guard::Limits::default()
    }
}
