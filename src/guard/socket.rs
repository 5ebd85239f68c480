//! The accepted socket below TLS: a PROXY header is taken off its front, and who it names is the peer from there on.
//!
//! **Invariant:** bytes behind the PROXY header are given on once and in order.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use pingora::protocols::l4::socket::SocketAddr as AnyAddr;
use pingora::protocols::{GetSocketDigest, SocketDigest, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::delegate::delegate_to;

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    inner: Stream,
    /// Read already, not yet given on.
    ahead: BytesMut,
    addresses: Option<Arc<SocketDigest>>,
}

impl Socket {
    pub(super) fn new(inner: Stream) -> Self {
        let addresses = inner.get_socket_digest();
        Self { inner, ahead: BytesMut::new(), addresses }
    }

    /// Reads more without giving it on; what has come so far. `None`: closed, or broken.
    pub(super) async fn look_ahead(&mut self) -> Option<&[u8]> {
        match self.inner.read_buf(&mut self.ahead).await {
            Ok(1..) => Some(&self.ahead),
            Ok(0) | Err(_) => None,
        }
    }

    /// Takes off what was read to be looked at.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.ahead.advance(bytes);
    }

    /// From here on the connection is this client's.
    pub(super) fn is_of(&mut self, client: SocketAddr) {
        let addresses = SocketDigest::from_raw_fd(self.inner.id());
        // A new cell takes its first value.
        let _ = addresses.peer_addr.set(Some(AnyAddr::Inet(client)));
        if let Some(local) = self.addresses.as_ref().and_then(|known| known.local_addr()) {
            let _ = addresses.local_addr.set(Some(local.clone()));
        }
        self.addresses = Some(Arc::new(addresses));
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, out);
        }
        let given = this.ahead.len().min(out.remaining());
        out.put_slice(&this.ahead[..given]);
        this.ahead.advance(given);
        if this.ahead.is_empty() {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.addresses.clone()
    }
}

delegate_to!(Socket, inner);
