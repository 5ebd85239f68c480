//! What one request holds at its app: a share of the cap, the address that it goes to, its deadline.
//!
//! **Invariant:** a request is at one address at a time, tries at most [`MAX_TRIES`] of them, and gives back
//! what it holds when it ends, however it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::Digest;
use portvakt_core::route::Limits;
use portvakt_core::session::Session;

use super::address::Address;
use super::cut::Cut;
use super::pool::Pool;

/// How many addresses a request tries.
pub(crate) const MAX_TRIES: usize = 3;

/// A request at its app.
#[derive(Debug)]
pub(crate) struct Stay {
    pool: Arc<Pool>,
    address: Option<Arc<Address>>,
    /// Where no connection could be made.
    failed: Vec<SocketAddr>,
    /// `None`: it lasts as long as both sides want.
    deadline: Option<Instant>,
    /// Whether the deadline is the route's own.
    is_of_route: bool,
    read_timeout: Duration,
    /// Of its connection, until the header of the reply has come.
    cut: Option<Arc<Cut>>,
}

impl Stay {
    /// Begins a stay.
    ///
    /// # Errors
    ///
    /// 503 if the app has as many requests under way as it may.
    pub(super) fn begin(pool: &Arc<Pool>, limits: &Limits) -> Result<Self> {
        if !pool.enter() {
            return Err(Error::explain(ErrorType::HTTPStatus(503), "the upstream has no room"));
        }
        let settings = pool.settings();
        Ok(Self {
            pool: Arc::clone(pool),
            address: None,
            failed: Vec::new(),
            deadline: Some(Instant::now() + limits.timeout.unwrap_or(settings.total_timeout)),
            is_of_route: limits.timeout.is_some(),
            read_timeout: limits.read_timeout.unwrap_or(settings.read_timeout),
            cut: None,
        })
    }

    /// The peer for the next try. No wait of it goes on after the deadline.
    ///
    /// # Errors
    ///
    /// 502 without any address, 504 after the deadline.
    pub(crate) fn next_peer(&mut self, session: Option<&Session>) -> Result<Box<HttpPeer>> {
        self.release();
        let left = self.left().ok_or_else(too_late)?;
        let address = self
            .pool
            .choose(session.map(affinity_key), &self.failed)
            .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(502), "the upstream has no address"))?;
        address.enter();
        let mut peer = Box::new(address.peer.clone());
        let connect = Some(self.pool.settings().connect_timeout.min(left));
        peer.options.connection_timeout = connect;
        peer.options.total_connection_timeout = connect;
        peer.options.read_timeout = Some(self.read_timeout.min(left));
        self.address = Some(address);
        Ok(peer)
    }

    /// There is a connection. No wait for the header of a reply goes on after the deadline.
    pub(crate) fn connected(&mut self, digest: Option<&Digest>) {
        if let Some(address) = &self.address {
            address.connected();
        }
        self.cut = digest.and_then(Cut::of);
        if let (Some(cut), Some(deadline)) = (&self.cut, self.deadline) {
            cut.wait_until(deadline);
        }
    }

    /// The header of a reply is there: from here on each part of it is looked at.
    ///
    /// # Errors
    ///
    /// 504 after the deadline.
    pub(crate) fn answered(&mut self) -> Result<()> {
        match self.cut.take() {
            Some(cut) if !cut.has_come() => Err(too_late()),
            Some(_) | None => self.check_deadline(),
        }
    }

    /// No connection could be made, so nothing was sent. Whether another address is worth a try.
    pub(crate) fn failed(&mut self) -> bool {
        let Some(address) = &self.address else { return false };
        self.pool.failed(address);
        self.failed.push(address.at);
        self.failed.len() < MAX_TRIES
            && self.pool.addresses().iter().any(|known| !self.failed.contains(&known.at))
    }

    /// `host:port` of where the request goes, as the file has it.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.address.as_ref().map(|address| address.authority.as_str())
    }

    /// How long a wait may take.
    pub(crate) fn time_left(&self) -> Duration {
        self.left().unwrap_or(Duration::ZERO)
    }

    /// Whether there is time left.
    ///
    /// # Errors
    ///
    /// 504 after the deadline.
    pub(crate) fn check_deadline(&self) -> Result<()> {
        self.left().map(|_| ()).ok_or_else(too_late)
    }

    /// The reply is one that has no end of its own: only its route says how long it may take. The time between two
    /// reads of it, its session and its client's pace are watched all the same.
    pub(crate) fn streams(&mut self) {
        if !self.is_of_route {
            self.deadline = None;
        }
    }

    fn left(&self) -> Option<Duration> {
        let Some(deadline) = self.deadline else { return Some(Duration::MAX) };
        deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    fn release(&mut self) {
        self.cut = None;
        if let Some(address) = self.address.take() {
            address.leave();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.release();
        self.pool.leave();
    }
}

/// What keeps a session's requests together: its session at the provider, which outlives a step-up, or its own.
pub(super) fn affinity_key(session: &Session) -> &[u8; 16] {
    let tags = session.tags();
    &tags.op_session.as_ref().unwrap_or(&tags.session).0
}

fn too_late() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(504), "the time for the request is over").into_up()
}
