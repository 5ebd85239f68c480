//! A look at each address of an app, for an operator who asks: can it be connected to, and what does it answer?
//!
//! **Invariant:** a visit carries nothing of any person, has a deadline, and its connection is not used again.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, StatusCode};
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};

use super::Upstreams;

/// How long a visit may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// One address of an app.
pub(crate) struct Visit {
    /// The upstream's name in the file.
    pub(crate) upstream: String,
    /// The address.
    pub(crate) at: SocketAddr,
    /// `host:port` of its place in the file.
    pub(crate) authority: String,
    peer: HttpPeer,
}

/// Why there was no answer, one variant for each remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unvisited {
    #[error("the connection is refused")]
    Refused,
    #[error("nothing answers in time")]
    Silent,
    #[error("TLS fails: one of the two does not trust the other")]
    Tls,
    #[error("the connection breaks off")]
    Broken,
}

impl Upstreams {
    /// Every address that is known, by the upstreams' names.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        let mut all: Vec<Visit> = Vec::new();
        for pool in self.0.values() {
            all.extend(pool.addresses().iter().map(|address| Visit {
                upstream: pool.name().to_owned(),
                at: address.at,
                authority: address.authority.clone(),
                peer: address.peer.clone(),
            }));
        }
        all.sort_by(|one, other| (&one.upstream, one.at).cmp(&(&other.upstream, other.at)));
        all
    }
}

impl Visit {
    /// Connects, TLS included, and no more.
    pub(crate) async fn connect(&self) -> std::result::Result<(), Unvisited> {
        within_time(async { Connector::new(None).get_http_session(&self.peer).await.map(drop) }).await
    }

    /// Sends a request without a body, and gives the status of the answer.
    pub(crate) async fn ask(&self, request: RequestHeader) -> std::result::Result<StatusCode, Unvisited> {
        within_time(async {
            let (mut session, _) = Connector::new(None).get_http_session(&self.peer).await?;
            session.write_request_header(Box::new(request)).await?;
            session.finish_request_body().await?;
            session.read_response_header().await?;
            let status = session.response_header().map(|response| response.status);
            session.shutdown().await;
            status.ok_or_else(|| Error::new(ErrorType::ConnectionClosed))
        })
        .await
    }
}

async fn within_time<T>(visit: impl Future<Output = Result<T>>) -> std::result::Result<T, Unvisited> {
    match tokio::time::timeout(DEADLINE, visit).await {
        Ok(made) => made.map_err(|error| why(&error.etype)),
        Err(_) => Err(Unvisited::Silent),
    }
}

fn why(error: &ErrorType) -> Unvisited {
    match error {
        ErrorType::ConnectRefused => Unvisited::Refused,
        ErrorType::ConnectTimedout | ErrorType::ConnectNoRoute | ErrorType::ReadTimedout => Unvisited::Silent,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => Unvisited::Tls,
        _ => Unvisited::Broken,
    }
}
