//! The side that serves: offers a socket, knows whether a successor is ready, hands over.
//!
//! **Invariant:** one successor at a time; one that leaves makes room for another.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::wire::Wire;
use super::{Common, HandoverError, Introduction, Message, PATIENCE};

/// The most that is told of providers: half of what a message may hold. ID-porten's documents take some 8 KB.
const MOST_KNOWN: usize = 128 << 10;

/// A socket over which a successor may come.
pub(crate) struct Offer {
    listener: UnixListener,
    path: PathBuf,
}

/// A successor that has reported ready.
pub(crate) struct Successor {
    wire: Wire,
    version: String,
    pid: u32,
}

impl Offer {
    /// Makes the socket, in a folder that nobody else can change.
    ///
    /// # Errors
    ///
    /// Nobody can take over from this process; it serves all the same.
    pub(crate) async fn make(path: &Path) -> io::Result<Self> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::metadata(folder)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(io::Error::other("others own or can change the folder of the socket"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::other("another process offers this socket"));
        }
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The same socket, in the hands of the successor.
    pub(crate) fn inherited(listener: UnixListener, path: &Path) -> Self {
        Self { listener, path: path.to_owned() }
    }

    /// Waits for a successor that is ready. Others that come meanwhile wait their turn. It is told first what this
    /// process means, and where it listens.
    pub(crate) async fn ready_successor(&self, introduce: &(impl Fn() -> Introduction + Sync)) -> Successor {
        loop {
            match self.next(introduce).await {
                Ok(successor) => return successor,
                Err(error) => {
                    tracing::warn!(%error, "a successor came and did not get ready");
                    // Without descriptors it would be tried at once again.
                    tokio::time::sleep(super::BREATH).await;
                }
            }
        }
    }

    async fn next(&self, introduce: &(impl Fn() -> Introduction + Sync)) -> Result<Successor, HandoverError> {
        let (stream, _) = self.listener.accept().await?;
        let mut wire = Wire::of(stream)?;
        let Introduction { common, addresses, known } = introduce().within(MOST_KNOWN);
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        wire.send(&Message::Hello { version, pid, common, addresses, known }, &[]).await?;
        tracing::info!("a successor is getting ready");
        match wire.receive().await? {
            (Message::Ready { version, pid }, _) => Ok(Successor { wire, version, pid }),
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// The path is free for another process.
    pub(crate) fn withdraw(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Successor {
    /// Its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&mut self) {
        // It has nothing to say until it is asked, nor afterwards.
        let _ = self.wire.receive().await;
    }

    /// Gives it the sockets. When this returns without an error it accepts.
    ///
    /// # Errors
    ///
    /// [`HandoverError`]: it does not accept, and should not be believed any more.
    pub(crate) async fn take(
        &mut self,
        offer: &Offer,
        common: Common,
        sockets: &[(SocketAddr, OwnedFd)],
    ) -> Result<(), HandoverError> {
        let addresses = sockets.iter().map(|(address, _)| *address).collect();
        let mut beside: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        beside.push(offer.listener.as_fd());
        self.wire.send(&Message::Take { common, addresses }, &beside).await?;
        match self.wire.receive_within(PATIENCE).await? {
            (Message::Taken, _) => Ok(()),
            (Message::Declined { why }, _) => Err(HandoverError::Declined(why)),
            _ => Err(HandoverError::Unexpected),
        }
    }
}
