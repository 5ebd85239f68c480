//! The bodies that are read here, bounded in size and time: of requests to endpoints of ours, before anything
//! is decided, and of forms that are kept, after it was decided that they are not forwarded. Of what
//! is forwarded only a body that must be signed is read: what a filter reads is gone for the app, unless the
//! proxy keeps it.

use std::time::Duration;

use http::{Method, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use portvakt_core::access::Permit;
use portvakt_core::forward::signature;
use portvakt_core::login::form;
use portvakt_core::route::Route;

use crate::endpoint::{backchannel_logout, choose, organisation, resume};
use crate::respond::Refusal;

/// How long the provider may take for its form; it waits 5 s for our answer (dossier 3.4).
const PROVIDER_DEADLINE: Duration = Duration::from_secs(3);

/// How long a person's browser may take, on a slow line.
const BROWSER_DEADLINE: Duration = Duration::from_secs(20);

/// How much of a form that is too large to be kept is read and thrown away: a browser that is still sending
/// when the connection closes shows no page.
const MAX_THROWN_AWAY: usize = 16 * 1024 * 1024;

/// The form of an endpoint of ours that takes one; `None` for every other request, and for a form that is too
/// long, too slow or broken off.
pub(super) async fn of_own_endpoint(session: &mut Session, prefix: &str) -> Option<Vec<u8>> {
    let head = session.req_header();
    if head.method != Method::POST {
        return None;
    }
    let (most, deadline) = match head.raw_path().strip_prefix(prefix.as_bytes())? {
        b"/logout/backchannel" => (backchannel_logout::MAX_BODY, PROVIDER_DEADLINE),
        b"/choose" => (choose::MAX_BODY, BROWSER_DEADLINE),
        b"/organisation" => (organisation::MAX_BODY, BROWSER_DEADLINE),
        b"/resume" => (resume::MAX_BODY, BROWSER_DEADLINE),
        _ => return None,
    };
    within(deadline, session, most, most).await
}

/// Refuses a request whose declared length is more than its route takes.
pub(super) fn check_length(head: &RequestHeader, route: &Route) -> Result<(), Refusal> {
    let Some(most) = route.limits.max_body else { return Ok(()) };
    let declared = head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    // A length that is no number was refused before; one beyond all bounds is too large.
    let too_large = declared.is_some_and(|length| length.parse().map_or(true, |length: u64| length > most));
    if too_large { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// A form that is to be kept; `None` if it is too large, too slow or broken off.
pub(super) async fn of_form(session: &mut Session) -> Option<Vec<u8>> {
    within(BROWSER_DEADLINE, session, form::MAX_BODY, MAX_THROWN_AWAY).await
}

/// Reads a form to its end that will not be kept.
pub(super) async fn throw_away(session: &mut Session) {
    within(BROWSER_DEADLINE, session, 0, MAX_THROWN_AWAY).await;
}

/// The digest of a body that the route's signature covers, if it does. What is read for it goes to the app all
/// the same: the proxy keeps it as for a retry.
pub(super) async fn digest(session: &mut Session, permit: &Permit) -> Result<Option<String>, Refusal> {
    if !permit.route().signature.as_ref().is_some_and(|plan| plan.content_digest) {
        return Ok(None);
    }
    session.as_mut().enable_retry_buffering();
    let body = within(BROWSER_DEADLINE, session, signature::MAX_DIGESTED, signature::MAX_DIGESTED).await;
    body.map(|body| Some(signature::content_digest(&body))).ok_or(Refusal::TooLarge)
}

/// Lets a browser finish that sends more than it may; a client that asked first is told, and does not begin.
pub(super) async fn let_finish(session: &mut Session) {
    if !waits_to_be_told(session.req_header()) {
        throw_away(session).await;
    }
}

/// Whether a client sends its body only when it is told to (RFC 9110, 10.1.1). In HTTP/1.0 nobody is told.
pub(super) fn waits_to_be_told(head: &RequestHeader) -> bool {
    let asks = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    head.version >= Version::HTTP_11 && head.headers.get(http::header::EXPECT).is_some_and(asks)
}

async fn within(deadline: Duration, session: &mut Session, most: usize, patience: usize) -> Option<Vec<u8>> {
    if waits_to_be_told(session.req_header()) {
        session.write_continue_response().await.ok()?;
    }
    tokio::time::timeout(deadline, read(session, most, patience)).await.ok().flatten()
}

/// At most `most` bytes; what is longer is read on to `patience` bytes, and forgotten.
async fn read(session: &mut Session, most: usize, patience: usize) -> Option<Vec<u8>> {
    let (mut form, mut length) = (Vec::new(), 0_usize);
    while let Some(part) = session.downstream_session.read_request_body().await.ok()? {
        length = length.saturating_add(part.len());
        if length <= most {
            form.extend_from_slice(&part);
        } else {
            form = Vec::new();
        }
        if length > most.max(patience) {
            break;
        }
    }
    (length <= most).then_some(form)
}
