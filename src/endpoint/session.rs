//! `GET <prefix>/session`: whether somebody is logged in, and for how long; never who. Does not prolong.

use http::StatusCode;
use serde_json::json;

use super::Visit;
use crate::answer::Answer;

pub(super) fn serve(visit: &Visit<'_>) -> Answer {
    let Some(session) = visit.session() else {
        return Answer::json(StatusCode::UNAUTHORIZED, &json!({ "active": false }), "session_none");
    };
    let (idle, absolute) = session.left(&visit.snapshot.configuration.session, visit.now);
    let who = session.identity();
    let body = json!({
        "active": true,
        "kind": who.kind().as_str(),
        "level": who.level().map(|level| level.as_str()),
        "provider": who.provider(),
        "idle_seconds_left": idle.as_secs(),
        "seconds_left": absolute.as_secs(),
    });
    Answer::json(StatusCode::OK, &body, "session_active")
}
