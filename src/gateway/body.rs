//! The body of a request to an endpoint of ours: read before anything is decided, bounded in size and time.
//! No other body is read here: what a filter reads is gone for the app.

use std::time::Duration;

use http::Method;
use pingora::proxy::Session;

use crate::endpoint::backchannel_logout::MAX_BODY;

/// How long the provider may take for its form; it waits 5 s for our answer (dossier 3.4).
const DEADLINE: Duration = Duration::from_secs(3);

/// The form of a back-channel logout; `None` for every other request, and for a form that is too long, too
/// slow or broken off.
pub(super) async fn of_own_endpoint(session: &mut Session, prefix: &str) -> Option<Vec<u8>> {
    let head = session.req_header();
    let path = head.raw_path();
    let ours = head.method == Method::POST
        && path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest == b"/logout/backchannel");
    if !ours {
        return None;
    }
    if head.headers.contains_key(http::header::EXPECT) {
        session.write_continue_response().await.ok()?;
    }
    tokio::time::timeout(DEADLINE, read(session)).await.ok().flatten()
}

async fn read(session: &mut Session) -> Option<Vec<u8>> {
    let mut form = Vec::new();
    while let Some(part) = session.downstream_session.read_request_body().await.ok()? {
        form.extend_from_slice(&part);
        if form.len() > MAX_BODY {
            return None;
        }
    }
    Some(form)
}
