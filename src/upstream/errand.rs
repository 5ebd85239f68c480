//! Requests of our own to an app, which nobody waits for: that it ends a session.
//!
//! **Invariant:** they are bounded in number and time, go to the same peer as a person's request would, with
//! the same trust, and what the app answers is read for its status alone.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderValue, USER_AGENT};
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, StatusCode};
use pingora::prelude::{HttpPeer, Result};
use tokio::sync::Semaphore;

/// How many are under way at once; what comes beyond is left out.
const MOST: usize = 32;

/// How long one may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What an app may tell these requests by.
const AGENT: &str = "portvakt";

/// What is asked of an app.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The upstream's name, for the log.
    pub(crate) upstream: String,
    /// A path, with its query.
    pub(crate) target: String,
    /// Whether by POST, without a body; otherwise by GET.
    pub(crate) post: bool,
    /// `Host`.
    pub(crate) host: String,
    /// The app's own cookies.
    pub(crate) cookies: HeaderValue,
}

/// Those that are under way.
pub(crate) struct Errands {
    connector: Arc<Connector>,
    places: Arc<Semaphore>,
}

impl Default for Errands {
    fn default() -> Self {
        Self { connector: Arc::new(Connector::new(None)), places: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Errands {
    /// Sends one in the background. What becomes of it is told in the log alone.
    pub(crate) fn send(&self, errand: Errand, peer: Box<HttpPeer>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(upstream = errand.upstream, "an app was not told of a logout: too many at once");
            return;
        };
        let connector = Arc::clone(&self.connector);
        tokio::spawn(async move {
            let sent = tokio::time::timeout(DEADLINE, run(&connector, &errand, &peer)).await;
            match sent {
                // A redirect to its front page is what most apps answer.
                Ok(Ok(status)) if !status.is_client_error() && !status.is_server_error() => {}
                Ok(Ok(status)) => {
                    let status = status.as_u16();
                    tracing::warn!(upstream = errand.upstream, status, "an app refused a logout");
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(upstream = errand.upstream, "an app could not be told of a logout");
                }
            }
            drop(place);
        });
    }
}

async fn run(connector: &Connector, errand: &Errand, peer: &HttpPeer) -> Result<StatusCode> {
    let method = if errand.post { Method::POST } else { Method::GET };
    let mut request = RequestHeader::build(method, errand.target.as_bytes(), None)?;
    request.insert_header(HOST, &errand.host)?;
    request.insert_header(USER_AGENT, AGENT)?;
    request.insert_header(COOKIE, &errand.cookies)?;
    if errand.post {
        request.insert_header(CONTENT_LENGTH, "0")?;
    }
    let (mut session, _) = connector.get_http_session(peer).await?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.set_read_timeout(Some(DEADLINE));
    session.read_response_header().await?;
    let status = session.response_header().map_or(StatusCode::BAD_GATEWAY, |response| response.status);
    // The rest is nobody's: the connection is not used again.
    session.shutdown().await;
    Ok(status)
}
