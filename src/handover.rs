//! One process takes over from another without losing a request (`design.md` 2; `threats.md` OM-2, OM-7).
//!
//! The one that serves offers a socket in a private folder. Its successor connects, loads everything, and reports
//! ready. On SIGQUIT the listening sockets go over; from then on both accept for a while, and the old one drains.
//!
//! ```text
//! serves                                   successor (`portvakt run --upgrade`)
//!   Hello {keys, ended sessions, addresses} ->   refuses to go on if it means other ones; takes over the providers'
//!                                                metadata and keys, which came along
//!                                           <-   Ready: metadata, keys and ended sessions are there
//!   SIGQUIT: Take {keys}, with the sockets  ->   compares the keys once more
//!                                           <-   Taken, and accepts
//! ```
//!
//! **Invariant:** at each moment at least one of the two accepts; a successor that ends before it has taken over, or
//! while both accept, changes nothing.
//! **Invariant:** two that accept agree on every key in use (`design.md` D15) and follow one file of ended sessions
//! (D1).

mod offer;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portvakt_core::key::{Proof, disagreement};
use serde::{Deserialize, Serialize};

pub(crate) use self::offer::{Offer, Successor};
pub(crate) use self::wire::Inherited;
use self::wire::Wire;
use crate::provider::Known;

/// How long the other side may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the offer rests after a visitor that was none.
const BREATH: Duration = Duration::from_millis(200);

/// What the processes tell each other.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// Who serves here.
    Hello {
        version: String,
        pid: u32,
        common: Common,
        addresses: Vec<SocketAddr>,
        /// What is known of the providers, which may be down while the successor gets ready. An older process says
        /// nothing of it.
        #[serde(default)]
        known: Vec<Known>,
    },
    /// Everything is loaded.
    Ready { version: String, pid: u32 },
    /// The sockets, in the order of the addresses; behind them the one of the offer.
    Take { common: Common, addresses: Vec<SocketAddr> },
    /// The successor accepts from now on.
    Taken,
    /// It does not, and ends.
    Declined { why: String },
}

/// What both must mean the same by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Common {
    /// The keys that are accepted.
    pub(crate) keys: Vec<Proof>,
    /// The file of ended sessions.
    pub(crate) revocations: PathBuf,
}

impl Common {
    /// What this and the other side differ in.
    fn disagreement(&self, other: &Self) -> Option<String> {
        if let Some(purpose) = disagreement(&self.keys, &other.keys) {
            return Some(format!(
                "the processes use different keys of purpose `{purpose}`: reload the one that serves (SIGHUP), \
                 or wait until a rotated key is known to both"
            ));
        }
        let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        (place(&self.revocations) != place(&other.revocations)).then(|| {
            "the processes keep different files of ended sessions: `revocation.file` must stay the same"
                .to_owned()
        })
    }
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    #[error("the successor does not take over: {0}")]
    Declined(String),
    #[error("the other process belongs to another user")]
    Stranger,
    #[error("the other process said something unexpected")]
    Unexpected,
    #[error("the other process does not answer; perhaps it waits for another successor")]
    Silent,
    #[error("the other process cannot be talked to")]
    Broken(#[from] io::Error),
}

/// A process that serves, seen from its successor.
pub(crate) struct Predecessor {
    wire: Wire,
    pid: u32,
    addresses: Vec<SocketAddr>,
    known: Vec<Known>,
}

/// How a process introduces itself to its successor.
pub(crate) struct Introduction {
    /// What both must mean the same by.
    pub(crate) common: Common,
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What it knows of the providers.
    pub(crate) known: Vec<Known>,
}

impl Introduction {
    /// What is too long to be told is fetched by the successor itself.
    fn within(self, most: usize) -> Self {
        let length = serde_json::to_vec(&self.known).map_or(usize::MAX, |known| known.len());
        if length <= most { self } else { Self { known: Vec::new(), ..self } }
    }
}

impl Predecessor {
    /// Finds the process that serves; `None` if there is none. Fails if it cannot be taken over from.
    ///
    /// # Errors
    ///
    /// [`HandoverError`]: this process should not start.
    pub(crate) async fn find(socket: &Path, ours: &Common) -> Result<Option<Self>, HandoverError> {
        let Some(mut wire) = Wire::connect(socket).await? else { return Ok(None) };
        match wire.receive_within(PATIENCE).await? {
            (Message::Hello { version, pid, common, addresses, known }, _) => {
                if let Some(why) = ours.disagreement(&common) {
                    return Err(HandoverError::Declined(why));
                }
                tracing::info!(version, pid, "a process serves here; getting ready to take over from it");
                Ok(Some(Self { wire, pid, addresses, known }))
            }
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it knows of the providers.
    pub(crate) fn known(&self) -> &[Known] {
        &self.known
    }

    /// Tells that everything is loaded.
    pub(crate) async fn report_ready(&mut self) -> Result<(), HandoverError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.wire.send(&Message::Ready { version, pid: std::process::id() }, &[]).await
    }

    /// Waits for the sockets. `ours` says what this process means when they come.
    ///
    /// # Errors
    ///
    /// [`HandoverError::Broken`] if the other process has ended; all else means that this one should end.
    pub(crate) async fn sockets(&mut self, ours: impl Fn() -> Common) -> Result<Inherited, HandoverError> {
        let (message, sockets) = self.wire.receive().await?;
        let Message::Take { common, addresses } = message else { return Err(HandoverError::Unexpected) };
        if let Some(why) = ours().disagreement(&common) {
            self.wire.send(&Message::Declined { why: why.clone() }, &[]).await?;
            return Err(HandoverError::Declined(why));
        }
        Inherited::of(addresses, sockets).ok_or(HandoverError::Unexpected)
    }

    /// Tells that this process accepts. The connection stays: with it the other side learns of our end.
    pub(crate) async fn confirm(&mut self) -> Result<(), HandoverError> {
        self.wire.send(&Message::Taken, &[]).await
    }

    /// Returns when the other process has ended, or has nothing more to say.
    pub(crate) async fn ended(&mut self) {
        while self.wire.receive().await.is_ok() {}
    }
}
