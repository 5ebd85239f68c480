//! What the gateway itself says to a client: plain data, sent by the gateway alone.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderName, HeaderValue, StatusCode};
use portvakt_core::redirect::Target;
use url::Url;

/// An answer of our own.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Fields; `Set-Cookie` may recur.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
    /// What was decided, for log and metrics: one of a fixed set of words.
    pub rule: &'static str,
}

/// Where a browser may be sent: what is judged or configured, never a string from a request.
#[derive(Debug)]
pub enum Location {
    /// A place on the host itself.
    Target(Target),
    /// An endpoint of a provider, from its metadata.
    Provider(Url),
    /// An endpoint of ours, written by us.
    Own(String),
}

impl Answer {
    /// An empty answer that nobody keeps.
    #[must_use]
    pub fn new(status: StatusCode, rule: &'static str) -> Self {
        let headers = vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Self { status, headers, body: Bytes::new(), rule }
    }

    /// 302 for a navigation; never 307 or 308, which would repeat a form (RFC 9700, 4.12).
    #[must_use]
    pub fn redirect(to: &Location, rule: &'static str) -> Self {
        let text = match to {
            Location::Target(target) => target.as_str(),
            Location::Provider(url) => url.as_str(),
            Location::Own(path) => path,
        };
        let location = HeaderValue::try_from(text).expect("judged and parsed places are visible ASCII");
        Self::new(StatusCode::FOUND, rule)
            .with(LOCATION, location)
            .with(http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
    }

    /// JSON.
    #[must_use]
    pub fn json(status: StatusCode, body: &serde_json::Value, rule: &'static str) -> Self {
        let mut answer = Self::new(status, rule)
            .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer.body = body.to_string().into();
        answer
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with cookies set or deleted.
    #[must_use]
    pub fn with_cookies(mut self, cookies: impl IntoIterator<Item = HeaderValue>) -> Self {
        self.headers.extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
        self
    }
}
