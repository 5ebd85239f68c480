//! The listening sockets, and services that begin and cease to accept apart from the rest of the process.
//!
//! **Invariant:** a socket is held here as long as the process means to accept on it, so that it can be handed over,
//! and no longer, so that nobody waits in its queue in vain.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::listening::Service;
use tokio::sync::watch;

use super::StartError;

/// The sockets by their addresses.
#[derive(Default)]
pub(super) struct Sockets(Mutex<BTreeMap<SocketAddr, OwnedFd>>);

impl Sockets {
    /// Listens at these addresses, as far as it does not yet. From now on connections wait until they are accepted.
    ///
    /// # Errors
    ///
    /// The first address that is taken.
    pub(super) fn bind(&self, addresses: &[SocketAddr]) -> Result<(), StartError> {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<_> = addresses.iter().filter(|address| !sockets.contains_key(address)).collect();
        for &address in missing {
            let listen = || {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(OwnedFd::from(listener))
            };
            sockets.insert(address, listen().map_err(|source| StartError::Listen { address, source })?);
        }
        Ok(())
    }

    /// Takes sockets from another process: those at these addresses, the others are closed.
    pub(super) fn adopt(&self, sockets: Vec<(SocketAddr, OwnedFd)>, addresses: &[SocketAddr]) {
        let wanted = sockets.into_iter().filter(|(address, _)| addresses.contains(address));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(wanted);
    }

    /// Another handle of each.
    ///
    /// # Errors
    ///
    /// If the process may open no more.
    pub(super) fn handles(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(|(address, socket)| Ok((*address, socket.try_clone()?))).collect()
    }

    /// Lets go of these addresses.
    pub(super) fn close(&self, addresses: &[SocketAddr]) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|address, _| !addresses.contains(address));
    }

    /// Handles that the proxy owns from now on, in the form in which it takes them.
    fn for_proxy(&self, addresses: &[SocketAddr]) -> io::Result<ListenFds> {
        let mut fds = Fds::new();
        for (address, socket) in self.handles()? {
            if addresses.contains(&address) {
                fds.add(address.to_string(), socket.into_raw_fd());
            }
        }
        Ok(Arc::new(fds.into()))
    }
}

/// When a service accepts: from the first signal on, up to the second one.
#[derive(Clone)]
pub(super) struct Span {
    pub(super) begin: watch::Receiver<bool>,
    pub(super) end: watch::Receiver<bool>,
}

/// A service on sockets that are held here.
pub(super) struct Listening<A> {
    pub(super) service: Service<A>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sockets: Arc<Sockets>,
    pub(super) span: Span,
    /// Told when it begins.
    pub(super) accepting: watch::Sender<bool>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> pingora::services::Service for Listening<A> {
    /// The process's own end comes when everything has drained: it is not what ends this service.
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, listeners_per_fd: usize) {
        if self.span.begin.wait_for(|begin| *begin).await.is_err() {
            return;
        }
        let fds = match self.sockets.for_proxy(&self.addresses) {
            Ok(fds) => fds,
            Err(error) => return tracing::error!(%error, "the listening sockets cannot be used"),
        };
        self.accepting.send_replace(true);
        self.service.start_service(Some(fds), self.span.end.clone(), listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }
}
