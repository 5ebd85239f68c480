//! `GET|POST <prefix>/logout`: ends the session here first and always, then at the provider (LO-4).
//!
//! The hint goes by a form that the browser posts, so that no token stands in a URL (OM-4). Without a hint
//! a redirect with `client_id` does.

use http::StatusCode;
use portvakt_core::session::cookies::{self, LogoutReturn, RETURN_LIFE};
use portvakt_core::token::json;

use super::{Visit, Written, apps, parameters};
use crate::answer::{Answer, Location};
use crate::provider::{EndSession, EndSessionRequest, Provider};
use crate::respond::{self, Refusal};
use crate::telemetry::{Action, AuditResult};

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [redirect] = parameters(query, ["redirect"])?;
    let provider = visit.provider()?;
    let hint = cookies::open_hint(visit.headers(), visit.prefix(), visit.scope(), visit.ring(), visit.now);
    let written = end_here(visit, provider, hint.as_deref());
    let back = LogoutReturn::begin(visit.target(redirect.as_deref()), visit.now);
    let answer = match end_there(visit, provider, hint.as_deref(), &back.state).await {
        Some(request) => leave(&request, written, visit),
        // Without a way to the provider the person is told that its session may live on.
        None => respond::refuse(&Refusal::SignedOutHereOnly, &visit.asker()),
    };
    let answer = if written == Written::NotYet { not_done(answer) } else { answer };
    let value = back.seal(visit.prefix(), visit.scope(), visit.ring(), visit.now);
    let mut set = vec![
        cookies::session_jar().delete(),
        cookies::logout_jar(visit.prefix(), 0).set_for(&value, RETURN_LIFE),
    ];
    set.extend(apps::leave(visit));
    set.extend((1..cookies::CHUNKS).map(|part| cookies::logout_jar(visit.prefix(), part).delete()));
    Ok(answer.with_cookies(set))
}

/// What ends here is in force at once. If it is not written yet, the browser still goes on to the provider, and the
/// status does not say that it is done.
fn not_done(answer: Answer) -> Answer {
    Answer { status: Written::NotYet.status(), rule: "logout_not_written", ..answer }
}

fn end_here(visit: &Visit<'_>, provider: &Provider, hint: Option<&str>) -> Written {
    let session = visit.session();
    let written = visit.end_presented();
    if session.is_none() && hint.is_none() {
        // Nobody was logged in: nothing for the audit log, which anybody could fill otherwise.
        return written;
    }
    let sid = hint.and_then(sid_of);
    let result = match (&session, written) {
        (Some(_), Written::Yes) => AuditResult::Success,
        (Some(_), Written::NotYet) => AuditResult::Failure("not_written"),
        (None, _) => AuditResult::Failure("no_session"),
    };
    visit.audit(Action::Logout, result, provider, sid.as_deref(), session.as_ref());
    visit.live.telemetry.metrics.logout("own");
    written
}

/// The `sid` of a token that we verified when we sealed it.
fn sid_of(id_token: &str) -> Option<String> {
    let payload = id_token.split('.').nth(1)?;
    let payload = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload.as_bytes()).ok()?;
    json::parse_object(&payload).ok()?.get("sid")?.as_str().map(str::to_owned)
}

async fn end_there(
    visit: &Visit<'_>,
    provider: &Provider,
    hint: Option<&str>,
    state: &str,
) -> Option<EndSessionRequest> {
    let metadata = provider.metadata(visit.now).await.ok()?;
    let logout = EndSession {
        id_token_hint: hint,
        post_logout_redirect_uri: &visit.own_url("/logout/callback"),
        state,
    };
    provider.end_session(&metadata, &logout)
}

fn leave(request: &EndSessionRequest, written: Written, visit: &Visit<'_>) -> Answer {
    // A redirect could not say that something is not done.
    if written == Written::NotYet || request.parameters.iter().any(|(name, _)| *name == "id_token_hint") {
        respond::logout_form(request, &visit.asker())
    } else {
        let mut answer = Answer::redirect(&Location::Provider(request.url()), "logout_redirect");
        // After a POST the browser must come with GET (RFC 9110, 15.4.4).
        answer.status = StatusCode::SEE_OTHER;
        answer
    }
}
