//! A server of a test: it accepts connections, each on a thread of its own, until it goes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// It stops with the value; connections that are open then stay open.
pub(crate) struct Listening {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listening {
    /// On a free port.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), serve)
    }

    /// In this place.
    pub(crate) fn at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (serve, over) = (Arc::new(serve), Arc::<AtomicBool>::default());
        let ends = Arc::clone(&over);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever has gone before it was looked at.
                let Ok(stream) = stream else { continue };
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, over, accepting: Some(accepting) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nobody listens.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
        // It looks only when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
