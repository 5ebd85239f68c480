//! A WebSocket from its handshake to its end (RFC 6455; `threats.md` HTTP-6, HTTP-7, LO-6).
//!
//! The proxy's own way for upgrades is not used: it tears a tunnel down now and then when the app's `101` is quick
//! (pingora issue 946), its timer for replies cuts silent tunnels, and nothing of ours runs in it while nobody sends.
//! Here the same hooks are called in the same order, on a connection to the app that nobody else has or will have.
//!
//! **Invariant:** bytes pass only after the app's `101` was found to answer the client's handshake.
//! **Invariant:** what we say ourselves stands between two frames of the app, never within one; if that is not possible
//! in time, the connection is closed without a word.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, PROXY_AUTHORIZATION, SEC_WEBSOCKET_ACCEPT, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, StatusCode, Version};
use pingora::connectors::TransportConnector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, Result};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::{ProxyHttp as _, Session};
use portvakt_core::access::Permit;
use portvakt_core::route::Host;
use portvakt_core::websocket::{self, Frames, Handshake, close};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep, timeout};

use super::{Gateway, Passage, reply};
use crate::guard::{Reason, RequestEnd};
use crate::respond::Refusal;
use crate::upstream::Stay;

/// What one read takes from the app at most.
const READ_BYTES: usize = 16 * 1024;

/// How long the app may take for the rest of a long frame, and the client to take what is on its way, when it ends.
const LAST_FRAME: Duration = Duration::from_millis(400);

/// How long the client may take to answer our close frame (RFC 6455, 7.1.1).
const LINGER: Duration = Duration::from_millis(300);

/// How long the app may take for the last bytes of a client that has gone.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Of one connection, or of no use to an app here. `Connection` names nothing else: [`Handshake::of`] sees to that.
const NOT_FORWARDED: [HeaderName; 11] = [
    CONNECTION,
    UPGRADE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    TRAILER,
    EXPECT,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// The handshake that a request makes; `None` if it asks for no WebSocket, or its route opens none: then it is a request
/// as any other, and its `Upgrade` is not forwarded.
pub(super) fn handshake(
    permit: &Permit,
    head: &RequestHeader,
    host: &Host,
) -> Result<Option<Handshake>, Refusal> {
    let Some(sockets) = &permit.route().websocket else { return Ok(None) };
    if !websocket::is_asked_for(head.version, &head.headers) {
        return Ok(None);
    }
    let own = host.origin.to_string();
    let may_open = |origin: &str| origin == own || sockets.origins.iter().any(|known| known == origin);
    Ok(Some(Handshake::of(&head.method, &head.headers, may_open)?))
}

impl Gateway {
    /// Carries a permitted handshake to the app, and the WebSocket if the app opens it.
    ///
    /// # Errors
    ///
    /// The app cannot be reached, or its answer is none.
    pub(super) async fn serve_websocket(
        &self,
        session: &mut Session,
        handshake: &Handshake,
        passage: &mut Passage,
    ) -> Result<()> {
        let mut app = self.connect_for_websocket(session, passage).await?;
        let mut request = session.req_header().clone();
        for name in NOT_FORWARDED {
            request.remove_header(&name);
        }
        self.upstream_request_filter(session, &mut request, passage).await?;
        request.insert_header(CONNECTION, "Upgrade")?;
        request.insert_header(UPGRADE, websocket::PROTOCOL)?;
        app.write_request_header(Box::new(request)).await.map_err(Error::into_up)?;
        let patience = passage.stay.as_ref().map_or(Duration::ZERO, Stay::time_left);
        let response = timeout(patience, answer(&mut app)).await;
        let response = response
            .unwrap_or_else(|_| Err(Error::explain(ErrorType::ReadTimedout, "no answer to a handshake")))
            .map_err(Error::into_up)?;
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            return self.refused_by_app(session, &mut app, response, passage).await;
        }
        if !handshake.is_accepted_by(&response.headers) {
            let why = "a 101 that does not answer the handshake";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        let response = self.opening(session, response, passage).await?;
        session.write_response_header(Box::new(response), false).await.map_err(Error::into_down)?;
        let idle = passage.permit()?.route().websocket.as_ref().map_or(LAST_BYTES, |sockets| sockets.idle);
        let mut tunnel = Tunnel::new(session, app).await?;
        tunnel.run(idle).await;
        Ok(())
    }

    /// A connection of its own: none is taken from the pool, and it is never put there.
    async fn connect_for_websocket(
        &self,
        session: &mut Session,
        passage: &mut Passage,
    ) -> Result<HttpSession> {
        loop {
            let peer = self.upstream_peer(session, passage).await?;
            let connector = self.tunnels.get_or_init(|| TransportConnector::new(None));
            match connector.new_stream(&*peer).await {
                Ok(stream) => {
                    passage.stay.iter_mut().for_each(|stay| stay.connected(None));
                    let mut app = HttpSession::new(stream);
                    app.read_timeout = peer.options.read_timeout;
                    app.write_timeout = peer.options.write_timeout;
                    return Ok(app);
                }
                Err(error) => {
                    let error = self.fail_to_connect(session, &peer, passage, error.into_up());
                    if !error.retry() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The app's `101` as the client gets it: what holds for the fields of any reply holds for it too.
    async fn opening(
        &self,
        session: &mut Session,
        mut response: ResponseHeader,
        passage: &mut Passage,
    ) -> Result<ResponseHeader> {
        let accept = response.headers.get(SEC_WEBSOCKET_ACCEPT).cloned();
        response.set_status(StatusCode::OK)?;
        self.response_filter(session, &mut response, passage).await?;
        response.set_status(StatusCode::SWITCHING_PROTOCOLS)?;
        passage.answered.0 = StatusCode::SWITCHING_PROTOCOLS.as_u16();
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            response.remove_header(&name);
        }
        response.insert_header(CONNECTION, "Upgrade")?;
        response.insert_header(UPGRADE, websocket::PROTOCOL)?;
        if let Some(accept) = accept {
            response.insert_header(SEC_WEBSOCKET_ACCEPT, accept)?;
        }
        Ok(response)
    }

    /// The app opens nothing: its reply is one as to any request.
    async fn refused_by_app(
        &self,
        session: &mut Session,
        app: &mut HttpSession,
        mut response: ResponseHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        if !response.headers.contains_key(CONTENT_LENGTH) && !app.is_body_done() {
            // It ends with the app's connection; the client's may go on.
            response.set_version(Version::HTTP_11);
            response.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        self.response_filter(session, &mut response, passage).await?;
        session.write_response_header(Box::new(response), false).await.map_err(Error::into_down)?;
        while let Some(part) = app.read_body_bytes().await.map_err(Error::into_up)? {
            session.write_response_body(Some(part), false).await.map_err(Error::into_down)?;
        }
        session.write_response_body(None, true).await.map_err(Error::into_down)
    }
}

/// The app's answer; what it says before that is not for the client, who did not ask for it.
async fn answer(app: &mut HttpSession) -> Result<ResponseHeader> {
    for count in 1.. {
        let mut response = *app.read_resp_header_parts().await?;
        if !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        reply::check_interim(&mut response, count)?;
    }
    unreachable!("interim responses are counted")
}

/// An open WebSocket.
struct Tunnel<'s> {
    session: &'s mut Session,
    end: RequestEnd,
    from_app: ReadHalf<Stream>,
    to_app: WriteHalf<Stream>,
    frames: Frames,
}

/// Bytes on their way to the app.
struct Outgoing {
    bytes: Bytes,
    flushed: bool,
}

impl Outgoing {
    fn is_waiting(&self) -> bool {
        !self.flushed
    }

    /// One step on; what was not done when this is dropped is done by the next.
    async fn push(&mut self, app: &mut WriteHalf<Stream>) -> io::Result<()> {
        if self.bytes.is_empty() {
            app.flush().await?;
            self.flushed = true;
            return Ok(());
        }
        match app.write(&self.bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => {
                self.bytes.advance(written);
                Ok(())
            }
        }
    }
}

/// Why a tunnel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// From here: the session, or silence. The client is told.
    Ours { code: u16, reason: &'static str },
    /// One side has closed, or broken off, or does not keep up.
    Closed,
}

impl Farewell {
    /// RFC 6455, 7.4.1; 1013 in the registry that it founds.
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::SessionEnded | Reason::SessionOver => {
                Self::Ours { code: 1008, reason: "the session has ended" }
            }
            Reason::Uncertain => Self::Ours { code: 1013, reason: "try again later" },
        }
    }

    const IDLE: Self = Self::Ours { code: 1001, reason: "nothing was sent for too long" };
}

impl<'s> Tunnel<'s> {
    async fn new(session: &'s mut Session, mut app: HttpSession) -> Result<Self> {
        let end = RequestEnd::of_this_request().unwrap_or_default();
        end.leaves_by_itself();
        // What came with the `101` is read first; it is there without waiting.
        let early = tokio::select! {
            biased;
            early = app.read_body_bytes() => early.map_err(Error::into_up)?,
            () = std::future::ready(()) => None,
        };
        let (from_app, to_app) = split(app.into_inner());
        let mut this = Self { session, end, from_app, to_app, frames: Frames::default() };
        if let Some(early) = early {
            let passed = this.frames.pass(&early);
            this.send(passed).await.map_err(|_| Error::new_down(ErrorType::WriteError))?;
        }
        Ok(this)
    }

    /// Passes bytes in both directions until somebody ends it.
    async fn run(&mut self, idle: Duration) {
        let farewell = match self.pass(idle).await {
            Ok(never) => match never {},
            Err(farewell) => farewell,
        };
        if let Farewell::Ours { code, reason } = farewell {
            self.take_leave(code, reason).await;
        }
        let _ = timeout(LAST_BYTES, self.to_app.shutdown()).await;
    }

    async fn pass(&mut self, idle: Duration) -> Result<std::convert::Infallible, Farewell> {
        let mut silence = std::pin::pin!(sleep(idle));
        let mut for_app = Outgoing { bytes: Bytes::new(), flushed: true };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                reason = self.end.ended() => return Err(Farewell::of(reason)),
                () = &mut silence => return Err(Farewell::IDLE),
                read = self.from_app.read(&mut buffer) => {
                    let length = read.ok().filter(|length| *length > 0).ok_or(Farewell::Closed)?;
                    let passed = self.frames.pass(&buffer[..length]);
                    self.send(passed).await?;
                }
                pushed = for_app.push(&mut self.to_app), if for_app.is_waiting() => {
                    pushed.map_err(|_| Farewell::Closed)?;
                }
                read = self.session.downstream_session.read_request_body(), if !for_app.is_waiting() =>
                {
                    match read {
                        Ok(Some(bytes)) => for_app = Outgoing { bytes, flushed: false },
                        Ok(None) | Err(_) => return Err(Farewell::Closed),
                    }
                }
            }
            silence.as_mut().reset(Instant::now() + idle);
        }
    }

    /// Sends bytes of the app to the client. When the end comes meanwhile, the client may take what is on its way.
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Farewell> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut write = std::pin::pin!(self.session.write_response_body(Some(bytes.into()), false));
        let reason = tokio::select! {
            biased;
            written = &mut write => return written.map_err(|_| Farewell::Closed),
            reason = self.end.ended() => reason,
        };
        match timeout(LAST_FRAME, write).await {
            Ok(Ok(())) => Err(Farewell::of(reason)),
            Ok(Err(_)) | Err(_) => Err(Farewell::Closed),
        }
    }

    /// Says farewell between two frames, and lets the client answer. What it sends else is thrown away.
    async fn take_leave(&mut self, code: u16, reason: &str) {
        if timeout(LAST_FRAME, self.end_frame()).await != Ok(true) {
            return;
        }
        let farewell = Bytes::from(close(code, reason));
        let said = self.session.write_response_body(Some(farewell), false);
        if !matches!(timeout(LINGER, said).await, Ok(Ok(()))) {
            return;
        }
        let answered =
            async { while let Ok(Some(_)) = self.session.downstream_session.read_request_body().await {} };
        let _ = timeout(LINGER, answered).await;
    }

    /// Passes on the rest of a long frame of which the client has the beginning.
    async fn end_frame(&mut self) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        while !self.frames.is_at_boundary() {
            let Ok(length @ 1..) = self.from_app.read(&mut buffer).await else { return false };
            let rest = self.frames.finish(&buffer[..length]);
            if self.session.write_response_body(Some(rest.to_vec().into()), false).await.is_err() {
                return false;
            }
        }
        true
    }
}
