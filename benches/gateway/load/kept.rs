//! HTTP/2 and TLS, and connections that are held.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use pingora::tls::{ClientConfig, RootCertStore, ServerName, TlsConnector, load_ca_file_into_store};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet, LocalSet};
use tokio::time::timeout;

use super::{Ask, BODY, CONNECTIONS, Cookies, FIELDS};
use crate::protocol::Protocol;
use crate::{Result, world};

/// A reply that takes longer ends the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Streams under way on each HTTP/2 connection.
const STREAMS: usize = 8;

/// How a reply in chunks ends.
const LAST: &[u8] = b"{\"status\":\"fine\"}\r\n0\r\n\r\n";

/// What the first part of a stream of events holds.
const EVENT: &[u8] = b"data: ";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Somebody with one request under way.
enum User {
    Lines(Box<dyn Stream>),
    Frames(SendRequest<Bytes>, Arc<Ends>),
}

/// Ends an HTTP/2 connection with the last of its users.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that any user may send.
struct Request {
    lines: Vec<u8>,
    head: http::Request<()>,
}

/// The connections to each proxy, and those that are held.
pub(super) struct Load {
    runtime: Runtime,
    kept: HashMap<(Protocol, SocketAddr), Vec<User>>,
    held: Vec<(User, Option<h2::RecvStream>)>,
}

impl Load {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, kept: HashMap::new(), held: Vec::new() })
    }

    /// Sends so many requests and takes their replies.
    pub(super) fn send(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
        ask: &Ask<'_>,
        requests: usize,
        cookies: &mut Cookies,
    ) -> Result<()> {
        let requests = (0..requests).map(|_| Request::new(ask, cookies)).collect::<Result<Vec<_>>>()?;
        LocalSet::new().block_on(&self.runtime, async {
            let users = match self.kept.remove(&(protocol, address)) {
                Some(kept) => kept,
                None if protocol == Protocol::Handshake => Vec::new(),
                None => connect_all(protocol, address, CONNECTIONS).await?,
            };
            let mut shares: Vec<Vec<Request>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
            for (number, request) in requests.into_iter().enumerate() {
                shares[number % CONNECTIONS].push(request);
            }
            let mut users = users.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
            let mut working = JoinSet::new();
            for share in shares {
                working.spawn_local(work(users.next().flatten(), address, share));
            }
            let mut kept = Vec::new();
            while let Some(done) = working.join_next().await {
                kept.extend(done??);
            }
            if protocol != Protocol::Handshake {
                self.kept.insert((protocol, address), kept);
            }
            Ok(())
        })
    }

    /// Opens so many connections, or streams on connections, each with one request of which at least a part was answered.
    pub(super) fn hold(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
        ask: &Ask<'_>,
        number: usize,
        cookies: &mut Cookies,
    ) -> Result<()> {
        self.runtime.block_on(async {
            for _ in 0..number {
                let mut user = connect(protocol, address).await?;
                let request = Request::new(ask, cookies)?;
                let rest = timeout(PATIENCE, user.begin(request)).await??;
                self.held.push((user, rest));
            }
            Ok(())
        })
    }

    /// Closes what is held.
    pub(super) fn release(&mut self) {
        self.runtime.block_on(async { self.held.clear() });
    }
}

impl Request {
    fn new(ask: &Ask<'_>, cookies: &mut Cookies) -> Result<Self> {
        let mut head = http::Request::get(format!("http://{}{}", ask.host, ask.path));
        for (name, value) in FIELDS {
            head = head.header(name, value);
        }
        let head = head.header("Cookie", ask.cookie(cookies)).body(())?;
        Ok(Self { lines: ask.lines(cookies), head })
    }
}

/// A user's requests, one after the other; without a user each has a connection of its own.
async fn work(mut user: Option<User>, address: SocketAddr, requests: Vec<Request>) -> Result<Option<User>> {
    for request in requests {
        match &mut user {
            Some(user) => timeout(PATIENCE, user.exchange(request)).await??,
            None => {
                let exchange = async { connect(Protocol::Handshake, address).await?.exchange(request).await };
                timeout(PATIENCE, exchange).await??;
            }
        }
    }
    Ok(user)
}

async fn connect_all(protocol: Protocol, address: SocketAddr, number: usize) -> Result<Vec<User>> {
    let mut users = Vec::new();
    while users.len() < number {
        let user = connect(protocol, address).await?;
        if let User::Frames(sender, ends) = &user {
            users.extend((1..STREAMS).map(|_| User::Frames(sender.clone(), Arc::clone(ends))));
        }
        users.push(user);
    }
    Ok(users)
}

async fn connect(protocol: Protocol, address: SocketAddr) -> Result<User> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(match protocol {
        Protocol::Http1 => User::Lines(Box::new(socket)),
        Protocol::Http2 => frames(socket).await?,
        Protocol::Tls | Protocol::Handshake => User::Lines(Box::new(shake_hands(socket, b"http/1.1").await?)),
        Protocol::TlsHttp2 => frames(shake_hands(socket, b"h2").await?).await?,
    })
}

async fn frames(stream: impl Stream + 'static) -> Result<User> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    let ends = Arc::new(Ends(tokio::spawn(connection).abort_handle()));
    Ok(User::Frames(sender.ready().await?, ends))
}

/// Each connection has settings of its own, so that none resumes the session of another.
async fn shake_hands(socket: TcpStream, protocol: &[u8]) -> Result<impl Stream + 'static> {
    let mut roots = RootCertStore::empty();
    load_ca_file_into_store(world::CERTIFICATE, &mut roots)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, socket).await?)
}

impl User {
    /// Sends a request and takes its reply, which must be whole and 200.
    async fn exchange(&mut self, request: Request) -> Result<()> {
        match self {
            Self::Lines(stream) => {
                stream.write_all(&request.lines).await?;
                read_until(stream, |reply| reply.ends_with(BODY) || reply.ends_with(LAST)).await
            }
            Self::Frames(sender, _) => {
                let mut body = ask(sender, request).await?;
                let mut whole = Vec::new();
                while let Some(part) = body.data().await {
                    let part = part?;
                    body.flow_control().release_capacity(part.len())?;
                    whole.extend_from_slice(&part);
                }
                if whole == BODY { Ok(()) } else { Err("a reply was not whole".into()) }
            }
        }
    }

    /// Sends a request and waits for the first part of its reply, or all of it; what is still to come of a stream.
    async fn begin(&mut self, request: Request) -> Result<Option<h2::RecvStream>> {
        let begun =
            |reply: &[u8]| reply.ends_with(BODY) || reply.windows(EVENT.len()).any(|part| part == EVENT);
        match self {
            Self::Lines(stream) => {
                stream.write_all(&request.lines).await?;
                read_until(stream, begun).await?;
                Ok(None)
            }
            Self::Frames(sender, _) => {
                let mut body = ask(sender, request).await?;
                let part = body.data().await.ok_or("no body")??;
                if begun(&part) { Ok(Some(body)) } else { Err("another body".into()) }
            }
        }
    }
}

async fn ask(sender: &mut SendRequest<Bytes>, request: Request) -> Result<h2::RecvStream> {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await?;
    let reply = sender.send_request(request.head, true)?.0.await?;
    match reply.status().as_u16() {
        200 => Ok(reply.into_body()),
        status => Err(format!("a reply was not 200 but {status}").into()),
    }
}

async fn read_until(stream: &mut Box<dyn Stream>, is_enough: impl Fn(&[u8]) -> bool) -> Result<()> {
    let mut reply = Vec::with_capacity(1024);
    while !is_enough(&reply) {
        let read = stream.read_buf(&mut reply).await?;
        if read == 0 || (reply.len() >= 12 && !reply.starts_with(b"HTTP/1.1 200")) {
            let head = String::from_utf8_lossy(&reply[..reply.len().min(64)]).into_owned();
            return Err(format!("a reply was not 200 but {head:?}").into());
        }
    }
    Ok(())
}
