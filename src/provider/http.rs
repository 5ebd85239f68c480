//! Calls out: bounded in time, size and number, to https only, no redirect followed (threat OP-11).
//!
//! Certificates are verified against the system's roots, or against `ca_file` alone where one is
//! configured. No proxy from the environment is used: calls go to the configured hosts only.
//!
//! **Invariant:** a request is sent once. What may be sent again is decided by who makes the call.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use pingora::tls::RusTlsError;
use portvakt_core::clock::Timestamp;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, redirect, retry, tls};
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::circuit::Pass;
use super::error::Unreachable;
use super::{Call, ProviderError};

/// How many calls that end tokens may be open at once.
const LEAVING: usize = 32;

/// What a call may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte sent to the last received.
    pub(super) total: Duration,
    /// Until a connection stands.
    pub(super) connect: Duration,
    /// Bytes of an answer's body.
    pub(super) body: usize,
    /// Calls for logins that may be open at once, and as many again that redeem a code. Metadata and keys, one at a time, need no place.
    pub(super) open: usize,
    /// How long a call waits for its place.
    pub(super) wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(10),
            connect: Duration::from_secs(3),
            body: 1024 * 1024,
            // 545 logins a second at two calls of 100 ms each need 109 (dossier 6).
            open: 256,
            wait: Duration::from_secs(1),
        }
    }
}

/// An HTTP client for one provider.
///
/// # Errors
///
/// If `ca_file` holds no certificate, or no root can be trusted at all.
pub fn client(ca_file: Option<&Path>, insecure_http: bool) -> Result<Client, ProviderError> {
    build(roots(ca_file)?.as_deref(), insecure_http, &Limits::default())
}

fn build(roots: Option<&[u8]>, insecure_http: bool, limits: &Limits) -> Result<Client, ProviderError> {
    // The same as the proxy's own connections use; a second call does nothing.
    pingora::tls::install_default_crypto_provider();
    let builder = || {
        Client::builder()
            .user_agent(concat!("portvakt/", env!("CARGO_PKG_VERSION")))
            .https_only(!insecure_http)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .timeout(limits.total)
            .connect_timeout(limits.connect)
            .pool_idle_timeout(Duration::from_secs(30))
            .tls_version_min(tls::Version::TLS_1_2)
    };
    let built = match roots {
        Some(pem) => builder().tls_certs_only(certificates(pem)?).build(),
        // A system without any root still serves a demonstration over plain http on loopback; https
        // then trusts nobody.
        None if insecure_http => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
        None => builder().build(),
    };
    built.map_err(|_| ProviderError::HttpClient("no trusted roots; install ca-certificates or set `ca_file`"))
}

/// What `ca_file` holds; `None`: the system's roots count.
fn roots(ca_file: Option<&Path>) -> Result<Option<Vec<u8>>, ProviderError> {
    let read = |file| std::fs::read(file).map_err(|_| ProviderError::HttpClient("`ca_file` cannot be read"));
    ca_file.map(read).transpose()
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ProviderError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ProviderError::HttpClient("`ca_file` holds no certificate in PEM")),
    }
}

/// A URL that a call may go to, or a browser may be sent to: https, or http on loopback where that is
/// allowed; no user, password or fragment in it.
pub(super) fn permitted(url: &str, insecure_http: bool) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let scheme = match url.scheme() {
        "https" => true,
        "http" => insecure_http && is_loopback(&url),
        _ => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (scheme && plain && url.has_host()).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The client of one provider, with its limits.
pub(super) struct Http {
    client: Client,
    /// The PEM file of the only roots, as it was read.
    roots: Option<Vec<u8>>,
    limits: Limits,
    /// For logins that begin: anybody can begin one.
    beginning: Semaphore,
    /// For logins that end: who is here has been at the provider, and is not kept out by who begins.
    ending: Semaphore,
    /// For tokens of those who are logged in: their exchange keeps no login out, and none keeps them out.
    keeping: Semaphore,
    /// For tokens of those who have left: nobody waits for it.
    leaving: Semaphore,
}

/// A whole answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// When the provider says that another try makes sense.
    pub(super) again_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(
        ca_file: Option<&Path>,
        insecure_http: bool,
        limits: Limits,
    ) -> Result<Self, ProviderError> {
        let roots = roots(ca_file)?;
        let client = build(roots.as_deref(), insecure_http, &limits)?;
        Ok(Self {
            client,
            roots,
            limits,
            beginning: Semaphore::new(limits.open),
            ending: Semaphore::new(limits.open),
            keeping: Semaphore::new(limits.open),
            leaving: Semaphore::new(LEAVING.min(limits.open)),
        })
    }

    /// Whether the file still holds the roots that calls are verified against.
    pub(super) fn trusts(&self, ca_file: Option<&Path>) -> bool {
        roots(ca_file).is_ok_and(|roots| roots == self.roots)
    }

    /// The only roots, as they were read; `None`: the system's.
    pub(super) fn roots(&self) -> Option<&[u8]> {
        self.roots.as_deref()
    }

    pub(super) fn total(&self) -> Duration {
        self.limits.total
    }

    /// How long a call waits for its place.
    pub(super) fn wait(&self) -> Duration {
        self.limits.wait
    }

    pub(super) fn get(&self, url: &Url) -> RequestBuilder {
        self.client.get(url.clone()).header("accept", "application/json")
    }

    pub(super) fn post(&self, url: &Url, form: &[(&'static str, String)]) -> RequestBuilder {
        self.client.post(url.clone()).header("accept", "application/json").form(form)
    }

    /// Sends a call for a person, if a place is free soon and the call is worth making then.
    pub(super) async fn send_in_turn(
        &self,
        pass: &Pass,
        request: RequestBuilder,
    ) -> Result<Reply, ProviderError> {
        let call = pass.call();
        let places = match call {
            Call::Token | Call::Userinfo => &self.ending,
            Call::Refresh => &self.keeping,
            Call::Revoke => &self.leaving,
            Call::Metadata | Call::Keys | Call::Par => &self.beginning,
        };
        let place = tokio::time::timeout(self.limits.wait, places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(ProviderError::Busy { call }) };
        pass.check()?;
        self.send(call, request).await
    }

    /// Sends a call, and reads of its answer the time at which it was made: `Date`, and `Age` where a cache has kept
    /// it since (RFC 9110, 6.6.1; RFC 9111, 5.1).
    pub(super) async fn date(
        &self,
        call: Call,
        request: RequestBuilder,
    ) -> Result<Option<Timestamp>, ProviderError> {
        let response = request.send().await.map_err(|error| cause(call, &error))?;
        let age = text(&response, "age").and_then(|age| age.parse().ok());
        let age = age.map_or(Duration::ZERO, Duration::from_secs);
        Ok(text(&response, "date").and_then(date).map(|date| date + age))
    }

    /// Sends a call and reads its answer, both within the limits.
    pub(super) async fn send(&self, call: Call, request: RequestBuilder) -> Result<Reply, ProviderError> {
        let cause = |error: reqwest::Error| cause(call, &error);
        let mut response = request.send().await.map_err(cause)?;
        let announced = response.content_length().unwrap_or(0);
        if announced > self.limits.body as u64 {
            return Err(ProviderError::TooLong { call });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cause)? {
            if body.len() + chunk.len() > self.limits.body {
                return Err(ProviderError::TooLong { call });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status: response.status(), again_after: again_after(&response), body })
    }
}

fn text<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

fn date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(date.timestamp().as_second()).ok().map(Timestamp::from_seconds)
}

/// `Retry-After`: seconds, or a time by the provider's own clock (RFC 9110, 10.2.3).
fn again_after(response: &Response) -> Option<Duration> {
    let said = text(response, "retry-after")?;
    let until = || Some(date(said)?.since(text(response, "date").and_then(date)?));
    said.parse().ok().map(Duration::from_secs).or_else(until)
}

/// The library's text may quote the other side: it is not kept.
fn cause(call: Call, error: &reqwest::Error) -> ProviderError {
    if error.is_connect() {
        let why = match error {
            _ if error.is_dns() => Unreachable::Dns,
            _ if is_tls(error) => Unreachable::Tls,
            _ => Unreachable::Connect,
        };
        ProviderError::Unreachable { call, why }
    } else if error.is_timeout() {
        ProviderError::TimedOut { call }
    } else {
        ProviderError::Interrupted { call }
    }
}

/// `io::Error` hides what it wraps from `source`, and wraps more than once.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    if error.is::<RusTlsError>() {
        return true;
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or(error.source()).is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_where_allowed_are_permitted() {
        for url in ["https://idporten.no", "https://idporten.no/par", "https://idporten.no:8443/a?b=c"] {
            assert!(permitted(url, false).is_some(), "{url}");
        }
        for url in ["http://localhost:1/a", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1/"] {
            assert!(permitted(url, true).is_some(), "{url}");
            assert!(permitted(url, false).is_none(), "{url}");
        }
        for url in [
            "",
            "/par",
            "//idporten.no",
            "ftp://idporten.no",
            "http://idporten.no",
            "http://localhost.evil.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::ffff:10.0.0.1]",
            "https://user@idporten.no",
            "https://user:pass@idporten.no",
            "https://idporten.no/#x",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:text/html,x",
        ] {
            assert!(permitted(url, true).is_none(), "{url}");
        }
    }
}
