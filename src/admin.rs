//! The admin listener: health, metrics, status (`design.md` 2; `threats.md` OM-6, OM-7).
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200, or 503 with the reasons |
//! | `/readyz?strict` | the same, and 503 while `strict` routes have waited for longer than `max_lag` |
//! | `/metrics` | Prometheus' text format |
//! | `/status`, `/status.json` | what runs here, for people and for programs |
//!
//! **Invariant:** it reads and never changes anything; whoever reaches it learns nothing of a person and no secret.
//! **Invariant:** each connection is one request with a total deadline (LI-1).

mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Uri, header};
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::services::listening::Service;
use serde::Serialize;

pub use self::status::{
    AddressStatus, ClockStatus, KeyState, KeyStatus, KeyWarning, LogStatus, ProviderStatus, RevocationStatus,
    SessionStatus, Status, StreamState, UpstreamStatus, WithheldKey,
};

use crate::telemetry::metrics;

/// How long a request and its answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether requests should be sent here: if nothing is there that says no. All of it is sentences of the program for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Why none should be, not yet or no longer.
    pub not_ready_because: Vec<String>,
    /// Why those that wait for certainty should rather go elsewhere, if anybody knows more: `strict` routes have answered with
    /// 503 for longer than `max_lag` (`design.md` D1). All others are served as ever.
    pub strict_waits_because: Option<String>,
    /// Why nobody can log in at providers that came by a reload. Whoever else takes the same file knows no more.
    pub logins_wait_because: Vec<String>,
}

impl Readiness {
    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready_because.is_empty()
    }

    fn answer(&self, strict: bool) -> Answer {
        let waits = self.strict_waits_because.iter().chain(&self.logins_wait_because);
        let lines = |first: &str, reasons: &mut dyn Iterator<Item = &String>| {
            reasons.fold(format!("{first}\n"), |text, reason| text + reason + "\n")
        };
        if self.is_ready() && (!strict || self.strict_waits_because.is_none()) {
            return Answer::text(StatusCode::OK, &lines("ok", &mut waits.into_iter()));
        }
        let text = lines("not ready", &mut self.not_ready_because.iter().chain(waits));
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, &text)
    }
}

/// What the listener tells.
pub trait Health: Send + Sync {
    /// Whether requests should be sent here.
    fn ready(&self) -> Readiness;
    /// What runs here.
    fn status(&self) -> Status;
    /// Every metric in Prometheus' text format.
    fn metrics(&self) -> String;
}

/// The service, on one thread of its own.
pub fn service(address: SocketAddr, health: Arc<dyn Health>) -> Service<Admin> {
    let mut service = Service::new("admin".to_owned(), Admin { health, deadline: DEADLINE });
    service.add_tcp(&address.to_string());
    // Without it the service had as many threads as the public one.
    service.threads = Some(1);
    service
}

/// The application behind the listener.
pub struct Admin {
    health: Arc<dyn Health>,
    deadline: Duration,
}

/// An answer, before it is sent.
struct Answer {
    status: StatusCode,
    media_type: &'static str,
    body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

impl Admin {
    fn answer(&self, method: &Method, uri: &Uri) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        }
        match uri.path() {
            "/livez" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => match uri.query() {
                None | Some("") => self.health.ready().answer(false),
                Some("strict") => self.health.ready().answer(true),
                // A balancer that asks something else than was meant would learn nothing of it.
                Some(_) => Answer::text(StatusCode::NOT_FOUND, "only /readyz and /readyz?strict\n"),
            },
            "/metrics" => Answer::of(metrics::CONTENT_TYPE, Some(self.health.metrics())),
            "/status" => Answer::of(HTML, self.health.status().page(&self.health.ready())),
            "/status.json" => Answer::of(JSON, self.health.status().json(&self.health.ready())),
            _ => Answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn serve(&self, mut session: ServerSession) -> pingora::Result<()> {
        if !session.read_request().await? {
            // Somebody who only looked whether anybody listens.
            return Ok(());
        }
        session.set_keepalive(None);
        let request = session.req_header();
        let head = request.method == Method::HEAD;
        let answer = self.answer(&request.method, &request.uri);
        session.write_response_header(Box::new(answer.header()?)).await?;
        let body = if head { Bytes::new() } else { Bytes::from(answer.body) };
        session.write_response_body(body, true).await?;
        session.finish().await.map(drop)
    }
}

impl Answer {
    fn text(status: StatusCode, text: &str) -> Self {
        Self { status, media_type: TEXT, body: text.to_owned() }
    }

    /// A body that could not be made is our fault.
    fn of(media_type: &'static str, body: Option<String>) -> Self {
        match body {
            Some(body) => Self { status: StatusCode::OK, media_type, body },
            None => Self::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot be shown\n"),
        }
    }

    fn header(&self) -> pingora::Result<ResponseHeader> {
        let mut header = ResponseHeader::build(self.status, Some(8))?;
        header.insert_header(header::CONTENT_TYPE, self.media_type)?;
        header.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        header.insert_header(header::CACHE_CONTROL, "no-store")?;
        header.insert_header(header::CONTENT_SECURITY_POLICY, status::POLICY)?;
        header.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        header.insert_header(header::REFERRER_POLICY, "no-referrer")?;
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            header.insert_header(header::ALLOW, "GET, HEAD")?;
        }
        Ok(header)
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match tokio::time::timeout(self.deadline, self.serve(session)).await {
            Ok(Ok(())) => {}
            // The error's text may quote the request.
            Ok(Err(error)) => tracing::debug!(kind = error.etype().as_str(), "an admin request failed"),
            Err(_) => tracing::debug!("an admin request took too long"),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use portvakt_core::clock::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::status::tests::status;
    use super::*;

    struct Fixed(Readiness);

    impl Health for Fixed {
        fn ready(&self) -> Readiness {
            self.0.clone()
        }

        fn status(&self) -> Status {
            status(Timestamp::from_seconds(1_790_000_000))
        }

        fn metrics(&self) -> String {
            "portvakt_ready 1\n".to_owned()
        }
    }

    fn admin(readiness: Readiness) -> Arc<Admin> {
        Arc::new(Admin { health: Arc::new(Fixed(readiness)), deadline: DEADLINE })
    }

    /// What the service answers to these bytes, until it closes.
    async fn exchange(admin: &Arc<Admin>, request: &str) -> String {
        let (mut client, server) = duplex(1 << 16);
        let (_stop, shutdown) = tokio::sync::watch::channel(false);
        let serving = async {
            let session = ServerSession::new_http1(Box::new(server));
            assert!(admin.process_new_http(session, &shutdown).await.is_none());
        };
        let asking = async {
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::join!(serving, asking).1
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    #[tokio::test]
    async fn each_path_answers_and_nothing_is_kept() {
        let admin = admin(Readiness::default());
        for (path, media_type, body) in [
            ("/livez", TEXT, "ok\n"),
            ("/readyz", TEXT, "ok\n"),
            ("/metrics", metrics::CONTENT_TYPE, "portvakt_ready 1\n"),
            ("/status", HTML, "<!doctype html>"),
            ("/status.json", JSON, "{"),
            ("/status.json?pretty", JSON, "{"),
        ] {
            let answer = exchange(&admin, &get(path)).await;
            let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains(&format!("content-type: {}", media_type.to_ascii_lowercase())),
                "{path}: {head}"
            );
            assert!(
                head.contains("cache-control: no-store") && head.contains("connection: close"),
                "{path}: {head}"
            );
            assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
            assert!(head.contains(&format!("content-length: {}", rest.len())), "{path}: {head}");
            assert!(rest.starts_with(body), "{path}: {rest}");
        }
    }

    #[tokio::test]
    async fn who_is_not_ready_says_why() {
        let missing = "the metadata of `idporten` is missing".to_owned();
        let admin = admin(Readiness { not_ready_because: vec![missing], ..Readiness::default() });
        for path in ["/readyz", "/readyz?strict"] {
            let answer = exchange(&admin, &get(path)).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(
                answer.ends_with("\r\n\r\nnot ready\nthe metadata of `idporten` is missing\n"),
                "{answer}"
            );
        }
        assert!(exchange(&admin, &get("/livez")).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn who_makes_strict_routes_wait_is_ready_for_all_but_those() {
        let reason = Some("the store does not answer".to_owned());
        let admin = admin(Readiness { strict_waits_because: reason, ..Readiness::default() });
        for (path, status, body) in [
            ("/readyz", "200", "ok\nthe store does not answer\n"),
            ("/readyz?", "200", "ok\nthe store does not answer\n"),
            ("/readyz?strict", "503", "not ready\nthe store does not answer\n"),
            ("/readyz?stric", "404", "only /readyz and /readyz?strict\n"),
            ("/readyz?strict=1", "404", "only /readyz and /readyz?strict\n"),
        ] {
            let answer = exchange(&admin, &get(path)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let admin = admin(Readiness::default());
        for path in ["/", "/status/", "/statusx", "/livez/..", "/%6civez", "//livez"] {
            let answer = exchange(&admin, &get(path)).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        let post = "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        let answer = exchange(&admin, post).await.to_ascii_lowercase();
        assert!(
            answer.starts_with("http/1.1 405 ") && answer.contains("\r\nallow: get, head\r\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn head_has_the_header_and_no_body() {
        let answer =
            exchange(&admin(Readiness::default()), "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("content-length: 3"), "{answer}");
    }

    #[tokio::test]
    async fn who_only_connects_is_answered_nothing_and_breaks_nothing() {
        for begun in ["", "GET /livez HTTP/1.1\r\n"] {
            let (mut client, server) = duplex(1 << 16);
            client.write_all(begun.as_bytes()).await.unwrap();
            drop(client);
            let (_stop, shutdown) = tokio::sync::watch::channel(false);
            let session = ServerSession::new_http1(Box::new(server));
            assert!(admin(Readiness::default()).process_new_http(session, &shutdown).await.is_none());
        }
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_is_let_go() {
        let (mut client, server) = duplex(1 << 16);
        client.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        let (_stop, shutdown) = tokio::sync::watch::channel(false);
        let session = ServerSession::new_http1(Box::new(server));
        let health = Arc::new(Fixed(Readiness::default()));
        let hasty = Arc::new(Admin { health, deadline: Duration::from_millis(50) });
        assert!(hasty.process_new_http(session, &shutdown).await.is_none());
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
}
