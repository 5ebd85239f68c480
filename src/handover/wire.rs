//! One message for each line, with file descriptors beside it, between two processes of one user.
//!
//! **Invariant:** nothing is read from and nothing told to a process of another user.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::{HandoverError, Message, PATIENCE};

/// More than any message, with hundreds of keys in it.
const MAX_MESSAGE: usize = 256 << 10;

/// Sockets in one message: what Linux takes.
const MAX_SOCKETS: usize = 253;

/// A connection to the other process.
pub(super) struct Wire {
    stream: UnixStream,
    read: Vec<u8>,
    sockets: Vec<OwnedFd>,
}

impl Wire {
    /// To the process that offers this socket; `None` if nobody does.
    pub(super) async fn connect(path: &Path) -> Result<Option<Self>, HandoverError> {
        match UnixStream::connect(path).await {
            Ok(stream) => Self::of(stream).map(Some),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Over a connection that was accepted or made.
    ///
    /// # Errors
    ///
    /// [`HandoverError::Stranger`].
    pub(super) fn of(stream: UnixStream) -> Result<Self, HandoverError> {
        if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(HandoverError::Stranger);
        }
        Ok(Self { stream, read: Vec::new(), sockets: Vec::new() })
    }

    /// Sends a message. The sockets go with its first byte.
    pub(super) async fn send(
        &self,
        message: &Message,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), HandoverError> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
        line.push(b'\n');
        timeout(PATIENCE, self.send_all(&line, sockets)).await.map_err(|_| HandoverError::Silent)??;
        Ok(())
    }

    async fn send_all(&self, mut rest: &[u8], mut sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        while !rest.is_empty() {
            self.stream.writable().await?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
                let mut beside = SendAncillaryBuffer::new(&mut space);
                if !sockets.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(sockets)) {
                    return Err(io::Error::other("too many sockets"));
                }
                let bytes = [IoSlice::new(rest)];
                Ok(sendmsg(self.stream.as_fd(), &bytes, &mut beside, SendFlags::NOSIGNAL)?)
            });
            match sent {
                Ok(sent) => (rest, sockets) = (rest.get(sent..).unwrap_or_default(), &[]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next message and what came with it.
    pub(super) async fn receive_within(
        &mut self,
        patience: Duration,
    ) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        timeout(patience, self.receive()).await.map_err(|_| HandoverError::Silent)?
    }

    /// The next message and what came with it, whenever it comes. Nothing is lost if the future is dropped.
    pub(super) async fn receive(&mut self) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let message = serde_json::from_slice(&line).map_err(|_| HandoverError::Unexpected)?;
                return Ok((message, std::mem::take(&mut self.sockets)));
            }
            if self.read.len() > MAX_MESSAGE {
                return Err(HandoverError::Unexpected);
            }
            self.stream.readable().await?;
            let (read, sockets) = (&mut self.read, &mut self.sockets);
            match self.stream.try_io(Interest::READABLE, || fill(self.stream.as_fd(), read, sockets)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn fill(stream: BorrowedFd<'_>, read: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(stream, &mut slices, &mut beside, RecvFlags::CMSG_CLOEXEC)?.bytes;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            sockets.extend(came);
        }
    }
    read.extend_from_slice(bytes.get(..received).unwrap_or_default());
    Ok(received)
}

/// What came from the process that served.
pub(crate) struct Inherited {
    /// The listening sockets.
    pub(crate) sockets: Vec<(SocketAddr, OwnedFd)>,
    /// The socket over which the next successor will come.
    pub(crate) offer: UnixListener,
}

impl Inherited {
    /// The socket of the offer is the last one.
    pub(super) fn of(addresses: Vec<SocketAddr>, mut sockets: Vec<OwnedFd>) -> Option<Self> {
        let offer = std::os::unix::net::UnixListener::from(sockets.pop()?);
        let offer = UnixListener::from_std(offer).ok()?;
        let fits = addresses.len() == sockets.len();
        fits.then(|| Self { sockets: addresses.into_iter().zip(sockets).collect(), offer })
    }
}
