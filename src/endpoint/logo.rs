//! `GET <prefix>/logo/<name>`: the logo of this host's pages.
//!
//! **Invariant:** only what the configuration has looked at is answered, and who opens it as a page of its own gets a
//! policy under which nothing of it runs.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};

use super::Visit;
use crate::answer::Answer;
use crate::respond::Refusal;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The name says what is in it: another logo has another one.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

pub(super) fn serve(path: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let logo = visit.host.brand.logo.as_ref().ok_or(Refusal::NoRoute)?;
    let image = logo.image(name).ok_or(Refusal::NoRoute)?;
    let mut answer = Answer::new(StatusCode::OK, "logo");
    answer.headers.retain(|(name, _)| *name != CACHE_CONTROL);
    answer.body = Bytes::from_owner(image.bytes());
    let fields = [
        (CACHE_CONTROL, CACHED),
        (CONTENT_TYPE, HeaderValue::from_static(image.media_type())),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
        ),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
    ];
    answer.headers.extend(fields);
    Ok(answer)
}
