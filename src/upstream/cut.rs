//! Ends the wait for an app's reply when its time is over, although the app keeps saying a little (`threats.md` LI-1).
//!
//! The proxy's timers begin anew with every byte that comes, and no filter runs before a reply's header is complete. So a
//! connection carries a [`Cut`] from the moment that it is made, and is shut down beneath the proxy: which then fails as
//! with any app that leaves.
//!
//! **Invariant:** only the request whose time it is has its connection shut down. Its time and the word that it was cut are
//! one number that changes hands at once: who got the header of a reply before keeps the connection, and who did not
//! never gives it back to the pool.

use std::io;
use std::net::{Shutdown, TcpStream as Handle};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, GetProxyDigest as _};
use tokio::net::TcpStream;

/// How often it is looked whether a time is over.
const EVERY: Duration = Duration::from_millis(250);

/// Nobody waits for a header.
const NEVER: u64 = 0;

/// It was shut down.
const CUT: u64 = u64::MAX;

/// A handle on a connection to an app, beside the proxy's own.
#[derive(Debug)]
pub(super) struct Cut {
    connection: Handle,
    made: Instant,
    /// Milliseconds after `made`, [`NEVER`] or [`CUT`].
    due: AtomicU64,
}

impl Cut {
    /// That of a connection which [`Connector`] made.
    pub(super) fn of(digest: &Digest) -> Option<Arc<Self>> {
        let data = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
        data.downcast_ref::<Arc<Self>>().cloned()
    }

    /// The header of a reply must have come by then.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let due = deadline.saturating_duration_since(self.made).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(CUT - 1).clamp(1, CUT - 1), SeqCst);
    }

    /// It has come; false if that was too late.
    pub(super) fn has_come(&self) -> bool {
        self.due.swap(NEVER, SeqCst) != CUT
    }

    fn look(&self) {
        let due = self.due.load(SeqCst);
        let over = due != NEVER && due != CUT && u128::from(due) <= self.made.elapsed().as_millis();
        if over && self.due.compare_exchange(due, CUT, SeqCst, SeqCst).is_ok() {
            // It may be gone already.
            let _ = self.connection.shutdown(Shutdown::Both);
        }
    }
}

/// Connects to apps, and gives each connection its [`Cut`].
#[derive(Debug)]
pub(super) struct Connector;

#[async_trait]
impl Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::new(ErrorType::InternalError))?;
        // The peer's limit for connecting is around all of this.
        let stream = TcpStream::connect(address).await.map_err(failure)?;
        let cut = Arc::new(Cut {
            connection: stream.as_fd().try_clone_to_owned().map_err(failure)?.into(),
            made: Instant::now(),
            due: AtomicU64::new(NEVER),
        });
        let watched = Arc::downgrade(&cut);
        tokio::spawn(async move {
            while let Some(cut) = watched.upgrade() {
                cut.look();
                drop(cut);
                tokio::time::sleep(EVERY).await;
            }
        });
        let mut stream = Stream::from(stream);
        let nothing = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(nothing, Some(Box::new(cut))));
        Ok(stream)
    }
}

fn failure(error: io::Error) -> Box<Error> {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "an app cannot be reached", error)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn cut() -> (Cut, Handle) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Handle::connect(listener.local_addr().unwrap()).unwrap();
        let app = listener.accept().unwrap().0;
        (Cut { connection, made: Instant::now(), due: AtomicU64::new(NEVER) }, app)
    }

    #[test]
    fn a_connection_is_shut_down_when_the_time_is_over_and_not_when_the_header_has_come() {
        let (cut, mut app) = cut();
        cut.look();
        cut.wait_until(cut.made + Duration::from_secs(60));
        cut.look();
        assert!(cut.has_come());
        // Over already, and the header has come all the same.
        cut.wait_until(cut.made);
        std::thread::sleep(Duration::from_millis(2));
        assert!(cut.has_come());
        cut.look();
        app.set_nonblocking(true).unwrap();
        assert_eq!(app.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it is open");
        cut.wait_until(cut.made);
        cut.look();
        assert!(!cut.has_come(), "it was too late");
        app.set_nonblocking(false).unwrap();
        assert_eq!(app.read(&mut [0]).unwrap(), 0);
    }
}
