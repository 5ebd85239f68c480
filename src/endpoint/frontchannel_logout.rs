//! `GET <prefix>/logout/frontchannel?iss=&sid=`: the provider says in an iframe, without our cookie, that its
//! session has ended (OpenID Connect Front-Channel Logout 1.0, 2; dossier 3.3).
//!
//! **Invariant:** nobody can be proven to have called, so the entry is unproven; the answer is the same for
//! every call that is well-formed, whoever is logged in. And the lines that one source causes are bounded.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use portvakt_core::revocation::Kind;

use super::{Visit, Written, parameters};
use crate::answer::Answer;
use crate::provider::Provider;
use crate::respond::Refusal;
use crate::telemetry::{Action, AuditResult};

/// The longest `sid` that a provider gives (dossier 2.6).
const MAX_SID: usize = 256;

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let providers = visit.providers()?;
    let [iss, sid] = parameters(query, ["iss", "sid"])?;
    let (Some(iss), Some(sid)) = (iss, sid) else {
        // The client is registered without `frontchannel_logout_session_required`: nobody can be logged out.
        if visit.may_cause_line("frontchannel") {
            tracing::error!(
                host = visit.host.origin.name,
                "a front-channel logout came without iss or sid; register frontchannel_logout_session_required"
            );
        }
        return Err(Refusal::Parameters);
    };
    let sound = !sid.is_empty() && sid.len() <= MAX_SID && sid.bytes().all(|byte| byte.is_ascii_graphic());
    // Of two providers that are one issuer nobody knows which is meant: their sessions have other ids.
    let named = |provider: &&&Arc<Provider>| is_issuer(&iss, &provider.settings().issuer);
    let mut written = Written::Yes;
    for provider in providers.iter().filter(named).filter(|_| sound) {
        written = written.and(end(visit, provider, &sid).await);
    }
    let asker = providers.iter().find(named).or(providers.first()).ok_or(Refusal::NoRoute)?;
    Ok(neutral(written, framed_by(visit, asker).await))
}

/// Exact, but for one slash at the end, which Digdir's own sample has (dossier 7, question 4).
fn is_issuer(iss: &str, issuer: &str) -> bool {
    let bare = |text: &'_ str| text.strip_suffix('/').unwrap_or(text).to_owned();
    bare(iss) == bare(issuer)
}

async fn end(visit: &Visit<'_>, provider: &Provider, sid: &str) -> Written {
    let mut written = Written::Yes;
    for same in visit.same_client(provider) {
        let settings = same.settings();
        written = written.and(visit.end_at_provider(Kind::OpSession, false, |tagger| {
            tagger.op_session(&settings.name, &settings.issuer, sid)
        }));
    }
    let written = visit.shared(written).await;
    visit.live.telemetry.metrics.logout("frontchannel");
    if visit.may_cause_line("frontchannel") {
        let result = match written {
            Written::Yes => AuditResult::Success,
            Written::NotYet => AuditResult::Failure("not_written"),
        };
        visit.audit(Action::FrontChannelLogout, result, provider, Some(sid), None);
    }
    written
}

/// Who may show the answer in a frame: the origins of the provider's pages, and nobody else (BR-1).
async fn framed_by(visit: &Visit<'_>, provider: &Provider) -> String {
    let Ok(metadata) = provider.metadata(visit.now).await else { return "'none'".to_owned() };
    let pages = [metadata.authorization_endpoint().ok(), metadata.end_session_endpoint()];
    let mut origins: Vec<String> =
        pages.into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect();
    origins.dedup();
    origins.join(" ")
}

/// The same for everybody; while no end can be written, it says that it is not done.
fn neutral(written: Written, ancestors: String) -> Answer {
    let policy = format!("default-src 'none'; frame-ancestors {ancestors}");
    let mut answer = Answer::new(written.status(), "frontchannel_logout")
        .with(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
        .with(
            CONTENT_SECURITY_POLICY,
            HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("frame-ancestors 'none'")),
        );
    answer.body = if written == Written::Yes { "ok" } else { "later" }.into();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_at_the_end_of_the_issuer_is_ignored_and_nothing_else() {
        let issuer = "https://idporten.no";
        assert!(is_issuer("https://idporten.no", issuer) && is_issuer("https://idporten.no/", issuer));
        for other in ["https://idporten.no//", "https://idporten.no.evil", "https://IDPORTEN.no", "", "/"] {
            assert!(!is_issuer(other, issuer), "{other}");
        }
    }
}
