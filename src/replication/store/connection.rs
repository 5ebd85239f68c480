//! A connection to the store on which every answer comes to an end.
//!
//! The library takes an answer apart while it comes, and keeps all of it, however long it is. So what comes is counted
//! before the library sees it.
//!
//! **Invariant:** after a request of ours no more is read than an answer to it may be, in bytes and in parts. A connection
//! that is dropped reads nothing any more, whatever it waited for.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pingora::tls::{
    ClientConfig, RootCertStore, ServerName, TlsConnector, load_ca_file_into_store, load_certs_and_key_files,
    load_platform_certs_incl_env_into_store,
};
use portvakt_core::config::{Stream, StreamServer, StreamUser};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, Value};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::{JoinHandle, JoinSet};

use super::StoreError;

/// How many bytes an answer may have to who reads streams: a thousand beats of several hundred replicas.
pub(in crate::replication) const LONG: usize = 32 << 20;

/// The same for all others: a thousand ends, or a note.
pub(in crate::replication) const SHORT: usize = 1 << 20;

/// How many lines an answer may have, beside one for every 64 bytes. Each may be a part of it, and a part takes many times its
/// length once it is taken out.
const LINES: usize = 64 << 10;

/// A connection; its clones are the same one.
#[derive(Clone)]
pub(in crate::replication) struct Connection {
    inner: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// Ends with the last of those who use it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, and logs in. `most`: how many bytes an answer may have.
    pub(super) async fn open(
        settings: &Stream,
        server: &StreamServer,
        user: &StreamUser,
        most: usize,
    ) -> Result<Self, StoreError> {
        let tcp = reach(server).await.map_err(redis::RedisError::from)?;
        let wire: Box<dyn Wire> = if server.tls {
            let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other);
            let connector = TlsConnector::from(Arc::new(tls(settings)?));
            let name = name.map_err(redis::RedisError::from)?;
            Box::new(connector.connect(name, tcp).await.map_err(redis::RedisError::from)?)
        } else {
            Box::new(tcp)
        };
        let mut identity = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(name) = &user.name {
            identity = identity.set_username(name);
        }
        if let Some(password) = &user.password {
            identity = identity.set_password(password.expose_secret());
        }
        // Each call has its own deadline: some are meant to wait.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let bounded = Bounded { wire, most, bytes: 0, lines: 0 };
        let (inner, driver) = MultiplexedConnection::new_with_config(&identity, bounded, config).await?;
        Ok(Self { inner, _driver: Arc::new(Driver(tokio::spawn(driver))) })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.inner.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.inner.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

/// By the first of its addresses that answers.
async fn reach(server: &StreamServer) -> io::Result<TcpStream> {
    let mut tries = JoinSet::new();
    for address in lookup_host((server.host.as_str(), server.port)).await? {
        tries.spawn(TcpStream::connect(address));
    }
    let mut failure = io::Error::other("its name has no address");
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            // Nothing ends them, and they do not panic.
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Read anew with each connection: what is exchanged in its place is taken up.
fn tls(settings: &Stream) -> Result<ClientConfig, StoreError> {
    let file = |name: &'static str, source| StoreError::File { name, source };
    let readable = |name: &'static str, path: &Path| match std::fs::read(path) {
        Ok(_) => Ok(path.to_string_lossy().into_owned()),
        Err(source) => Err(file(name, source)),
    };
    let is_none = || io::Error::other("it holds no certificates, or no key, as PEM");
    let mut roots = RootCertStore::empty();
    match settings.ca_file.as_deref() {
        Some(path) => {
            let path = readable("ca_file", path)?;
            load_ca_file_into_store(path, &mut roots).map_err(|_| file("ca_file", is_none()))?;
        }
        None => {
            load_platform_certs_incl_env_into_store(&mut roots).map_err(|_| file("ca_file", is_none()))?
        }
    }
    // Does nothing when `main` has chosen a provider already.
    pingora::tls::install_default_crypto_provider();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &settings.client else { return Ok(builder.with_no_client_auth()) };
    let (certificate, key) = (readable("client_certificate", certificate)?, readable("client_key", key)?);
    let pair = load_certs_and_key_files(&certificate, &key).ok().flatten();
    let (chain, key) = pair.ok_or_else(|| file("client_certificate", is_none()))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| file("client_key", io::Error::other(error)))
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Counts what comes.
struct Bounded<W> {
    wire: W,
    most: usize,
    /// Since the last request.
    bytes: usize,
    lines: usize,
}

impl<W: AsyncRead + Unpin> AsyncRead for Bounded<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.wire).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        self.bytes += read.len();
        self.lines += read.iter().filter(|byte| **byte == b'\n').count();
        if self.bytes > self.most || self.lines > LINES + self.bytes / 64 {
            return Poll::Ready(Err(io::Error::other("an answer is longer than it may be")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Bounded<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.bytes, self.lines) = (0, 0);
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_comes_after_a_request_is_no_more_than_it_may_be() {
        let (mut server, wire) = duplex(1 << 20);
        let mut client = Bounded { wire, most: 100, bytes: 0, lines: 0 };
        for _ in 0..3 {
            client.write_all(b"PING\r\n").await.unwrap();
            server.write_all(&[b'x'; 100]).await.unwrap();
            client.read_exact(&mut [0; 100]).await.unwrap();
        }
        server.write_all(b"x").await.unwrap();
        assert!(client.read(&mut [0; 100]).await.is_err());
    }

    #[tokio::test]
    async fn many_small_parts_are_too_much_long_before_their_bytes_are() {
        let (mut server, wire) = duplex(1 << 20);
        let mut client = Bounded { wire, most: LONG, bytes: 0, lines: 0 };
        let parts = b"_\r\n".repeat(LINES + LINES / 10);
        server.write_all(&parts).await.unwrap();
        let mut read = vec![0; parts.len()];
        assert!(client.read_exact(&mut read).await.is_err());
    }
}
