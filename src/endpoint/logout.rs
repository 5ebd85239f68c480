//! `GET|POST <prefix>/logout`: ends the session here first and always, then at the provider (LO-4).
//!
//! Without `session` or `provider` it ends every session that the browser has on this host, all of them here
//! before the first is ended at its provider. The way leads from provider to provider: whoever forgot one at
//! a computer that others use would have logged out of none of it.
//!
//! The hint goes by a form that the browser posts, so that no token stands in a URL (OM-4). Without a hint
//! a redirect with `client_id` does.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use portvakt_core::request::is_in_advance;
use portvakt_core::route::Route;
use portvakt_core::session::choice;
use portvakt_core::session::cookies::{self, LogoutReturn, RETURN_LIFE};
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::token::json;
use serde_json::{Map, Value};

use super::{Visit, Written, apps, parameters};
use crate::answer::{Answer, Location};
use crate::provider::{EndSession, EndSessionRequest, Provider};
use crate::respond::{self, Refusal};
use crate::telemetry::{Action, AuditResult};
use crate::tokens;

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if is_in_advance(visit.headers()) {
        // Nobody has pressed anything: an app's link to here was only looked at.
        return Err(Refusal::NotANavigation);
    }
    let [redirect, session, provider] = parameters(query, ["redirect", "session", "provider"])?;
    let plans: Vec<&Arc<SessionPlan>> = match visit.named_plan(session.as_deref(), provider.as_deref())? {
        Some(plan) => vec![plan],
        None => visit.host.sessions.iter().collect(),
    };
    let mut to_leave: Vec<&Arc<SessionPlan>> = Vec::new();
    let mut written = Written::Yes;
    for plan in &plans {
        let known = |other: &&Arc<SessionPlan>| other.provider.issuer == plan.provider.issuer;
        let (was_there, ended) = end_here(visit, plan).await?;
        written = written.and(ended);
        // An issuer is left once, by whichever client: who comes again has no session there, and would not be sent back
        // (dossier 0, fact 17).
        if was_there && !to_leave.iter().any(known) {
            to_leave.push(plan);
        }
    }
    // Where nobody answers the way may end.
    to_leave.sort_by_key(|plan| visit.provider(plan).is_ok_and(|provider| provider.seems_down()));
    // Who is logged in nowhere here may still be at the provider.
    let first = to_leave.first().or(plans.first()).copied().ok_or(Refusal::NoRoute)?;
    let next: Vec<&Arc<SessionPlan>> = to_leave.into_iter().skip(1).collect();
    let mut set: Vec<HeaderValue> = Vec::new();
    for plan in &plans {
        if !hides_an_older_one(visit, plan, &plans) {
            set.push(cookies::session_jar(plan).delete());
        }
        set.extend(tokens::end(visit, plan));
        // Those that come next need their hints until then; the first one's carry the way back.
        if !Arc::ptr_eq(plan, first) && !next.iter().any(|next| Arc::ptr_eq(plan, next)) {
            set.extend(without_hint(visit, plan, 0));
        }
    }
    if visit.host.routes.let_choose() {
        set.extend(plans.iter().map(|plan| choice::jar(plan, visit.prefix()).delete()));
    }
    set.extend(apps::leave(&plans.iter().map(|plan| &***plan).collect::<Vec<_>>(), visit));
    let names = next.iter().map(|plan| plan.name.clone()).collect();
    let back = LogoutReturn::begin(visit.target(redirect.as_deref()), names, visit.now);
    let answer = end_there(visit, first, &back, written, Way::Shortest).await?;
    let answer = if written == Written::NotYet { not_done(answer) } else { answer };
    Ok(answer.with_cookies(set))
}

/// Whether this was the latest login of a place that leaves a choice, and an older one goes on in the browser: then its
/// cookie stays, ended, so that whoever is there now is not taken for who was there before.
fn hides_an_older_one(visit: &Visit<'_>, plan: &SessionPlan, leaving: &[&Arc<SessionPlan>]) -> bool {
    let is_among = |route: &&Arc<Route>| route.plans().any(|known| known.realm() == plan.realm());
    let stays = |other: &&Arc<SessionPlan>| !leaving.iter().any(|left| left.realm() == other.realm());
    let mut others = visit.host.routes.iter().filter(is_among).flat_map(|route| route.plans()).filter(stays);
    visit.last_session(plan).is_some_and(|mine| {
        others.any(|other| visit.session(other).is_some_and(|older| older.began() <= mine.began()))
    })
}

/// What ends here is in force at once. If it is not written yet, the browser still goes on to the provider, and the
/// status does not say that it is done.
fn not_done(answer: Answer) -> Answer {
    Answer { status: Written::NotYet.status(), rule: "logout_not_written", ..answer }
}

/// Whether there was a session to end, or what is left of one; and whether its end is written.
async fn end_here(visit: &Visit<'_>, plan: &SessionPlan) -> Result<(bool, Written), Refusal> {
    let provider = visit.provider(plan)?;
    let session = visit.session(plan);
    let written = visit.shared(visit.end_presented(plan)).await;
    let hint = cookies::open_hint(visit.headers(), plan, visit.ring(), visit.now);
    if session.is_none() && hint.is_none() {
        // Nobody was logged in: nothing for the audit log, which anybody could fill otherwise.
        return Ok((false, written));
    }
    let sid = hint.as_deref().and_then(sid_of);
    let result = match (&session, written) {
        (Some(_), Written::Yes) => AuditResult::Success,
        (Some(_), Written::NotYet) => AuditResult::Failure("not_written"),
        (None, _) => AuditResult::Failure("no_session"),
    };
    visit.audit(Action::Logout, result, provider, sid.as_deref(), session.as_ref());
    visit.live.telemetry.metrics.logout("own");
    Ok((true, written))
}

/// The `sid` of a token that we verified when we sealed it.
fn sid_of(id_token: &str) -> Option<String> {
    unverified_payload(id_token)?.get("sid")?.as_str().map(str::to_owned)
}

/// What a token says. It proves nothing.
pub(super) fn unverified_payload(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    let payload = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload.as_bytes()).ok()?;
    json::parse_object(&payload).ok()
}

/// How the browser is sent to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a redirect, where no token goes along.
    Shortest,
    /// By a form: what brought the browser here may be redirects that follow the form of the provider before, and are
    /// held to the policy of its page, which names no other provider.
    Form,
}

/// Sends the browser to a session's provider, to come back by `back`.
pub(super) async fn end_there(
    visit: &Visit<'_>,
    plan: &SessionPlan,
    back: &LogoutReturn,
    written: Written,
    way: Way,
) -> Result<Answer, Refusal> {
    let provider = visit.provider(plan)?;
    let hint = cookies::open_hint(visit.headers(), plan, visit.ring(), visit.now);
    let answer = match request(visit, provider, hint.as_deref(), &back.state).await {
        // The browser would stand before an address that nobody answers, and nobody would be told what is left. What
        // the browser is sent to may answer all the same.
        Some(request) if provider.seems_down() => respond::logout_form(&request, false, &visit.asker()),
        Some(request) => leave(&request, written, way, visit),
        // Without a way to the provider the person is told that its session may live on.
        None => respond::refuse(&Refusal::SignedOutHereOnly, &visit.asker()),
    };
    let value = back.seal(plan, visit.scope(), visit.ring(), visit.now);
    let way_back = cookies::logout_jar(plan, visit.prefix(), 0).set_for(&value, RETURN_LIFE);
    Ok(answer.with_cookies([way_back]).with_cookies(without_hint(visit, plan, 1)))
}

/// Deletes a hint's parts from this one on.
fn without_hint(visit: &Visit<'_>, plan: &SessionPlan, from: usize) -> Vec<HeaderValue> {
    (from..cookies::CHUNKS).map(|part| cookies::logout_jar(plan, visit.prefix(), part).delete()).collect()
}

async fn request(
    visit: &Visit<'_>,
    provider: &Provider,
    hint: Option<&str>,
    state: &str,
) -> Option<EndSessionRequest> {
    let metadata = provider.metadata(visit.now).await.ok()?;
    let logout = EndSession {
        id_token_hint: hint,
        post_logout_redirect_uri: &visit.return_url("/logout/callback"),
        state: &visit.sent_state(state.to_owned()),
    };
    provider.end_session(&metadata, &logout)
}

fn leave(request: &EndSessionRequest, written: Written, way: Way, visit: &Visit<'_>) -> Answer {
    // A redirect could not say that something is not done.
    let speaks = written == Written::NotYet || way == Way::Form;
    if speaks || request.parameters.iter().any(|(name, _)| *name == "id_token_hint") {
        respond::logout_form(request, true, &visit.asker())
    } else {
        let mut answer = Answer::redirect(&Location::Provider(request.url()), "logout_redirect");
        // After a POST the browser must come with GET (RFC 9110, 15.4.4).
        answer.status = StatusCode::SEE_OTHER;
        answer
    }
}
