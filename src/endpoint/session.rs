//! `GET <prefix>/session?session=&provider=`: whether somebody is logged in, and for how long; never who. Does
//! not prolong. Without a name it tells of the host's own session.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::{Visit, parameters};
use crate::answer::Answer;
use crate::respond::Refusal;

pub(super) fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [name, provider] = parameters(query, ["session", "provider"])?;
    // A host where nobody logs in has no session to tell of.
    let plan = match visit.named_plan(name.as_deref(), provider.as_deref()) {
        Ok(named) => named.or(visit.host.sessions.first()),
        Err(Refusal::NoRoute) => None,
        Err(refusal) => return Err(refusal),
    };
    let Some(session) = plan.and_then(|plan| visit.session(plan)) else {
        let body = json!({ "active": false });
        // RFC 9110, 15.5.2: a 401 has a challenge.
        let answer = Answer::json(StatusCode::UNAUTHORIZED, &body, "session_none");
        return Ok(answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
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
    Ok(Answer::json(StatusCode::OK, &body, "session_active"))
}
