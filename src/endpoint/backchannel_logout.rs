//! `POST <prefix>/logout/backchannel`: the provider itself says that its session has ended (OpenID Connect
//! Back-Channel Logout 1.0, 2.5 to 2.8; dossier 3.4).
//!
//! **Invariant:** a logout token counts once, and only after its signature and every claim were verified.
//! Its `sub` is not used where it has a `sid`: ID-porten puts another kind of `sub` there than in ID tokens.

use std::sync::Arc;

use http::StatusCode;
use portvakt_core::revocation::Kind;
use serde_json::{Value, json};

use super::logout::unverified_payload;
use super::{Visit, Written, parameters};
use crate::answer::Answer;
use crate::provider::{Provider, VerifyError};
use crate::respond::Refusal;
use crate::telemetry::{Action, AuditResult};

/// The most bytes that the form may have.
pub(crate) const MAX_BODY: usize = 64 * 1024;

pub(super) async fn serve(body: Option<&[u8]>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let providers = visit.providers()?;
    let form = body.and_then(|body| std::str::from_utf8(body).ok()).ok_or(Refusal::Parameters)?;
    let [token] = parameters(form, ["logout_token"])?;
    let token = token.ok_or(Refusal::Parameters)?;
    let provider = said_by(&token, &providers).ok_or(Refusal::NoRoute)?;
    let verified = match provider.verify_logout_token(&token, visit.now).await {
        Ok(verified) => verified,
        Err(cause) => {
            let code = refused(visit, provider, &cause);
            return Ok(Answer::json(code, &json!({ "error": "invalid_request" }), "backchannel_refused"));
        }
    };
    let settings = provider.settings();
    let counted = (settings.name.as_str(), verified.jti());
    if !visit.live.logout_tokens.is_new(&counted, visit.now) {
        audit(visit, provider, AuditResult::Failure("replayed"), None);
        let body = json!({ "error": "invalid_request" });
        return Ok(Answer::json(StatusCode::BAD_REQUEST, &body, "backchannel_replayed"));
    }
    let mut written = Written::Yes;
    for same in visit.same_client(provider) {
        let (name, issuer) = (&same.settings().name, &settings.issuer);
        let ended = match (verified.sid(), verified.subject()) {
            (Some(sid), _) => {
                visit.end_at_provider(Kind::OpSession, true, |tagger| tagger.op_session(name, issuer, sid))
            }
            (None, Some(subject)) => {
                visit.end_at_provider(Kind::Subject, true, |tagger| tagger.subject(name, issuer, subject))
            }
            (None, None) => return Err(Refusal::Parameters),
        };
        written = written.and(ended);
    }
    let written = visit.shared(written).await;
    if written == Written::NotYet {
        // It is in force, but who is told so may rely on it. The provider may come again with the same token.
        visit.live.logout_tokens.forget(&counted);
        audit(visit, provider, AuditResult::Failure("not_written"), verified.sid());
        let body = json!({ "error": "temporarily_unavailable" });
        return Ok(Answer::json(written.status(), &body, "backchannel_not_written"));
    }
    audit(visit, provider, AuditResult::Success, verified.sid());
    visit.live.telemetry.metrics.logout("backchannel");
    Ok(Answer::new(StatusCode::OK, "backchannel_logout"))
}

/// The provider that a token says it is of, by which it is verified then; the first if it says none.
fn said_by<'p>(token: &str, providers: &[&'p Arc<Provider>]) -> Option<&'p Arc<Provider>> {
    if let [only] = providers {
        return Some(only);
    }
    let claims = unverified_payload(token).unwrap_or_default();
    let says = |name: &str, value: &str| match claims.get(name) {
        Some(Value::Array(several)) => several.iter().any(|one| one == value),
        one => one.is_some_and(|one| one == value),
    };
    let of_issuer = |provider: &&&&'p Arc<Provider>| says("iss", &provider.settings().issuer);
    let of_client = |provider: &&&'p Arc<Provider>| says("aud", &provider.settings().client_id);
    let by_issuer = || providers.iter().filter(|provider| of_issuer(&provider));
    by_issuer().find(of_client).or_else(|| by_issuer().next()).or(providers.first()).copied()
}

/// A token that we cannot judge for lack of keys is not called wrong: the provider tries once only, so it is
/// worth an alarm.
fn refused(visit: &Visit<'_>, provider: &Provider, cause: &VerifyError) -> StatusCode {
    // Anybody can send what is no token of the provider's.
    if visit.may_cause_line("backchannel") {
        let cause_text = crate::cause::chain(cause);
        tracing::warn!(reference = visit.reference, cause = cause_text, "a back-channel logout was refused");
        audit(visit, provider, AuditResult::Failure("logout_token_rejected"), None);
    }
    match cause {
        VerifyError::Provider(_) => StatusCode::SERVICE_UNAVAILABLE,
        VerifyError::Token(_) => StatusCode::BAD_REQUEST,
    }
}

fn audit(visit: &Visit<'_>, provider: &Provider, result: AuditResult, sid: Option<&str>) {
    visit.audit(Action::BackChannelLogout, result, provider, sid, None);
}
