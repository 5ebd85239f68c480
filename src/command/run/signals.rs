//! What the process does on signals: its drain, and the hand-over from one process to the next.
//!
//! **Invariant:** upkeep goes on until nothing is under way any more: sessions that end during a drain are ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use portvakt_core::config::{Listener, Transport};
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::StartError;
use super::listening::Sockets;
use crate::admin::Health as _;
use crate::handover::{Common, HandoverError, Introduction, Offer, Predecessor, Successor};
use crate::health::LiveHealth;
use crate::snapshot::Live;

/// How often a drain looks whether something is under way, and a successor whether it is ready.
const STEP: Duration = Duration::from_millis(50);

/// How long the sockets of a process that has died may stay.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// How long a connection may take from being accepted to being counted: hardly at all, or a handshake over a slow line.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_TLS: Duration = Duration::from_secs(1);

/// The conduct of the process, from its start to its end.
pub(super) struct Conduct {
    pub(super) live: Arc<Live>,
    pub(super) sockets: Arc<Sockets>,
    /// Where the public is served.
    pub(super) public: Vec<SocketAddr>,
    /// Where operators are served.
    pub(super) admin: SocketAddr,
    /// The socket of the offer.
    pub(super) offer: PathBuf,
    /// The process that this one will take over from.
    pub(super) predecessor: Option<Predecessor>,
    /// Lets the services accept.
    pub(super) begin: watch::Sender<bool>,
    /// Whether the public's service accepts.
    pub(super) accepting: watch::Receiver<bool>,
    /// Ends the public's service.
    pub(super) end_public: watch::Sender<bool>,
    /// Ends the operators' service.
    pub(super) end_admin: watch::Sender<bool>,
}

/// Where the conduct is put until the proxy asks for it, and why it failed.
pub(super) struct Signals {
    conduct: Mutex<Option<Conduct>>,
    failure: Arc<Mutex<Option<StartError>>>,
    /// Where the conduct runs.
    runtime: Handle,
}

impl Signals {
    pub(super) fn new(conduct: Conduct, failure: Arc<Mutex<Option<StartError>>>, runtime: Handle) -> Self {
        Self { conduct: Mutex::new(Some(conduct)), failure, runtime }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let conduct = self.conduct.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(conduct) = conduct else { return ShutdownSignal::FastShutdown };
        match self.runtime.spawn(conduct.run()).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                ShutdownSignal::FastShutdown
            }
            // It panicked, and was heard of.
            Err(_) => ShutdownSignal::FastShutdown,
        }
    }
}

/// The signals that mean something, but SIGHUP, which is upkeep's.
struct Heard {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// A process that is still starting does not end by a signal that asks it for something else. What it reads anew at
/// SIGHUP it is about to read, or compares when it serves.
pub(super) fn hold_early(runtime: &Runtime) {
    let _context = runtime.enter();
    // Once they are handled they stay so.
    for kind in [SignalKind::hangup(), SignalKind::quit()] {
        drop(signal(kind).expect("the process may handle its signals"));
    }
}

enum Word {
    Terminate,
    Interrupt,
    Quit,
}

impl Heard {
    fn new() -> Self {
        let handler = |kind| signal(kind).expect("the process may handle its signals");
        Self {
            terminate: handler(SignalKind::terminate()),
            interrupt: handler(SignalKind::interrupt()),
            quit: handler(SignalKind::quit()),
        }
    }

    async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::Terminate,
            _ = self.interrupt.recv() => Word::Interrupt,
            _ = self.quit.recv() => Word::Quit,
        }
    }

    /// Returns when somebody does not want to wait any more.
    async fn impatience(&mut self) {
        while matches!(self.next().await, Word::Quit) {}
    }
}

impl Conduct {
    async fn run(mut self) -> Result<ShutdownSignal, StartError> {
        let mut heard = Heard::new();
        let offer = match self.predecessor.take() {
            Some(predecessor) => {
                let taking_over = self.take_over(predecessor);
                tokio::pin!(taking_over);
                loop {
                    tokio::select! {
                        offer = &mut taking_over => break offer?,
                        word = heard.next() => match word {
                            Word::Quit => no_successor(),
                            Word::Terminate | Word::Interrupt => return Ok(ShutdownSignal::FastShutdown),
                        }
                    }
                }
            }
            None => None,
        };
        let offer = match offer {
            Some(offer) => Some(offer),
            None => self.make_offer().await,
        };
        self.begin.send_replace(true);
        self.serve(offer, &mut heard).await
    }

    async fn make_offer(&self) -> Option<Offer> {
        let made = Offer::make(&self.offer).await;
        made.inspect_err(|error| {
            tracing::warn!(%error, socket = %self.offer.display(), "no process can take over from this one");
        })
        .ok()
    }

    fn common(&self) -> Common {
        common(&self.live)
    }

    /// Gets ready and waits for the sockets. `None`: the other process is gone, and this one starts by itself.
    async fn take_over(&self, mut predecessor: Predecessor) -> Result<Option<Offer>, StartError> {
        if !self.is_ready_while(&mut predecessor).await {
            return self.alone().await;
        }
        if predecessor.report_ready().await.is_err() {
            return self.alone().await;
        }
        let pid = predecessor.pid();
        tracing::info!(pid, "ready to take over: SIGQUIT to the process that serves hands over");
        self.live.manager.ready(&format!("ready to take over; SIGQUIT to {pid} hands over"));
        let inherited = match predecessor.sockets(|| self.common()).await {
            Ok(inherited) => inherited,
            Err(HandoverError::Broken(_)) => return self.alone().await,
            Err(error) => return Err(error.into()),
        };
        // What the other process has answered as ended, and this one has not read yet.
        self.read_revocations().await;
        self.sockets.adopt(inherited.sockets, &self.addresses());
        self.sockets.bind(&self.addresses())?;
        // If it has died meanwhile, the sockets are here all the same.
        let _ = predecessor.confirm().await;
        tokio::spawn(async move { predecessor.ended().await });
        tracing::info!(pid, "took over");
        Ok(Some(Offer::inherited(inherited.offer, &self.offer)))
    }

    /// Waits until everything is loaded and known; `false`: the other process has ended before.
    async fn is_ready_while(&self, predecessor: &mut Predecessor) -> bool {
        let health = LiveHealth::new(Arc::clone(&self.live));
        let ready = async {
            loop {
                let readiness = health.ready();
                // Nobody who was let in a moment ago is told to wait.
                if readiness.is_ready() && !self.live.revocations.is_uncertain(self.live.clock.now()) {
                    break;
                }
                tracing::debug!(?readiness, "not ready to take over yet");
                sleep(STEP).await;
            }
        };
        tokio::select! {
            () = ready => true,
            () = predecessor.ended() => false,
        }
    }

    /// Knows every end that stands in the file now.
    async fn read_revocations(&self) {
        let live = Arc::clone(&self.live);
        let read = move || live.revocations.tend(&live.snapshot().keys.revocation, live.clock.now());
        if tokio::task::spawn_blocking(read).await.is_err() {
            tracing::error!("the file of ended sessions was not read");
        }
    }

    async fn alone(&self) -> Result<Option<Offer>, StartError> {
        tracing::warn!("the process that served has ended; starting by itself");
        let end = Instant::now() + LAST_BREATH;
        // The system closes what it had open one by one.
        while let Err(error) = self.sockets.bind(&self.addresses()) {
            if Instant::now() > end {
                return Err(error);
            }
            sleep(STEP).await;
        }
        Ok(None)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().copied().chain([self.admin]).collect()
    }

    async fn serve(self, offer: Option<Offer>, heard: &mut Heard) -> Result<ShutdownSignal, StartError> {
        let (mut accepting, live) = (self.accepting.clone(), Arc::clone(&self.live));
        tokio::spawn(async move {
            if accepting.wait_for(|accepting| *accepting).await.is_ok() {
                live.manager.ready("serving");
            }
        });
        let offer = offer.map(Arc::new);
        let mut visitors = self.visitors(offer.as_ref());
        let mut ready: Option<Successor> = None;
        loop {
            tokio::select! {
                Some(successor) = visitors.came.recv(), if ready.is_none() => {
                    let (version, pid) = (successor.version(), successor.pid());
                    tracing::info!(version, pid, "a successor is ready: SIGQUIT hands over to it");
                    ready = Some(successor);
                }
                () = gone(&mut ready) => {
                    tracing::warn!("the successor that was ready has ended");
                    ready = None;
                }
                word = heard.next() => match (word, ready.take(), offer.as_ref()) {
                    (Word::Interrupt, ..) => return Ok(ShutdownSignal::FastShutdown),
                    (Word::Terminate, ..) => {
                        visitors.door.abort();
                        if let Some(offer) = &offer {
                            offer.withdraw();
                        }
                        return Ok(self.stop(heard).await);
                    }
                    (Word::Quit, Some(successor), Some(offer)) => {
                        // From now on whoever comes, comes to the successor.
                        visitors.door.abort();
                        if let Some(end) = self.hand_over(offer, successor, heard).await {
                            return Ok(end);
                        }
                        visitors = self.visitors(Some(offer));
                    }
                    (Word::Quit, ..) => no_successor(),
                }
            }
        }
    }

    /// Receives successors, each when it is ready.
    fn visitors(&self, offer: Option<&Arc<Offer>>) -> Visitors {
        let (arrived, came) = mpsc::channel(1);
        let (live, addresses, offer) = (Arc::clone(&self.live), self.addresses(), offer.cloned());
        let door = tokio::spawn(async move {
            let Some(offer) = offer else { return std::future::pending().await };
            let introduce = || Introduction {
                common: common(&live),
                addresses: addresses.clone(),
                known: live.snapshot().providers().map(|provider| provider.known()).collect(),
            };
            while arrived.send(offer.ready_successor(&introduce).await).await.is_ok() {}
        });
        Visitors { door, came }
    }

    /// Gives the sockets away and leaves; `None`: the successor does not serve, and this process goes on.
    async fn hand_over(
        &self,
        offer: &Offer,
        mut successor: Successor,
        heard: &mut Heard,
    ) -> Option<ShutdownSignal> {
        let (version, pid) = (successor.version().to_owned(), successor.pid());
        let sockets = self.sockets.handles().map_err(HandoverError::from);
        let taken = match sockets {
            Ok(sockets) => successor.take(offer, self.common(), &sockets).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::error!(%error, pid, "nothing was handed over; this process goes on serving");
            return None;
        }
        // Both accept now. Here each answer tells its client to come back to the other one.
        self.live.leaving.store(true, Ordering::Relaxed);
        tracing::info!(version, pid, "handed over; requests under way are waited for");
        self.live.manager.status("handed over; finishing what is under way");
        let delay = self.live.snapshot().configuration.drain_delay;
        tokio::select! {
            () = sleep(delay) => {}
            () = heard.impatience() => return Some(ShutdownSignal::FastShutdown),
            () = successor.ended() => {
                self.live.leaving.store(false, Ordering::Relaxed);
                tracing::error!(pid, "the successor has ended after it took over; this process goes on serving");
                self.live.manager.status("serving");
                return None;
            }
        }
        self.end_admin.send_replace(true);
        self.sockets.close(&[self.admin]);
        Some(self.drain(heard).await)
    }

    /// SIGTERM: not ready, but serving until load balancers have noticed; then the drain.
    async fn stop(&self, heard: &mut Heard) -> ShutdownSignal {
        tracing::info!("stopping; requests under way are waited for");
        self.live.manager.stopping("not ready; finishing what is under way");
        self.live.stopping.store(true, Ordering::Relaxed);
        self.live.leaving.store(true, Ordering::Relaxed);
        let delay = self.live.snapshot().configuration.drain_delay;
        if !delay.is_zero() && timeout(delay, heard.impatience()).await.is_ok() {
            return ShutdownSignal::FastShutdown;
        }
        self.drain(heard).await
    }

    /// Accepts nothing more and waits for what is under way, as long as the configuration allows.
    async fn drain(&self, heard: &mut Heard) -> ShutdownSignal {
        let snapshot = self.live.snapshot();
        let most = snapshot.configuration.drain;
        let is_tls = |listener: &Listener| matches!(listener.transport, Transport::Tls { .. });
        let settle = match snapshot.configuration.listeners.iter().any(is_tls) {
            true => SETTLE_TLS,
            false => SETTLE,
        };
        self.end_public.send_replace(true);
        self.sockets.close(&self.public);
        let metrics = &self.live.telemetry.metrics;
        let start = Instant::now();
        let drained = async {
            while start.elapsed() < settle
                || metrics.open_connections() > 0
                || metrics.requests_in_flight() > 0
            {
                sleep(STEP).await;
            }
        };
        tokio::select! {
            outcome = timeout(most, drained) => if outcome.is_err() {
                tracing::warn!("requests were still under way when the time to drain was over");
            },
            () = heard.impatience() => {
                tracing::warn!("told to stop a second time: what is under way is not waited for");
                return ShutdownSignal::FastShutdown;
            }
        }
        // The services are cut short when they are told to end: the last words come before that.
        self.live.replication.leave().await;
        self.end_admin.send_replace(true);
        ShutdownSignal::GracefulTerminate
    }
}

/// What a process means by its keys and its file.
pub(super) fn common(live: &Live) -> Common {
    let snapshot = live.snapshot();
    Common {
        keys: snapshot.keys.proofs(live.clock.now()),
        revocations: snapshot.configuration.revocation.file.clone(),
    }
}

fn no_successor() {
    tracing::error!("SIGQUIT asks for a hand-over, and no successor has reported ready: nothing happens");
}

/// Successors that are ready, and the task that receives them.
struct Visitors {
    door: JoinHandle<()>,
    came: mpsc::Receiver<Successor>,
}

async fn gone(successor: &mut Option<Successor>) {
    match successor {
        Some(successor) => successor.ended().await,
        None => std::future::pending().await,
    }
}
