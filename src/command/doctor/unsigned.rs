//! Whether the apps of routes with `verified: true` refuse what the gateway did not sign.
//!
//! Each address of such an app is asked twice, past the gateway: with forged identity headers alone, and with a
//! made-up proof besides. An app that checks answers 401 or 403 both times.
//!
//! **Invariant:** only GET or HEAD, only to the beginning of the route's own path, and only where the file says
//! `verified: true`. The person in the forged headers has the number `00000000000`, which nobody has: an app that
//! believes it has nobody's data to show. No key of ours signs anything: of key files only the ids are read.

use std::path::Path;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use pingora::http::{RequestHeader, StatusCode};
use portvakt_core::clock::Timestamp;
use portvakt_core::forward::{Fact, assertion, signature};
use portvakt_core::key::{ASSERTION, KeyFile, app_purpose, path_of, signature_purpose};
use portvakt_core::route::{Host, Route, UpstreamHost};
use portvakt_core::token::SignatureAlgorithm;
use serde_json::json;

use super::Surroundings;
use super::finding::Finding;
use crate::upstream::{Unvisited, Upstreams, Visit};

/// By this an app's operators know who asked.
const AGENT: &str = "portvakt-doctor";

/// Eleven digits that are nobody's number: there is no day 00 of month 00.
const NOBODY: &str = "00000000000";

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    // A file that cannot be used is another check's matter.
    let Ok(upstreams) = Upstreams::of(&around.configuration.hosts, None) else { return Vec::new() };
    upstreams.resolve(true).await;
    let visits = upstreams.visits();
    let mut findings = Vec::new();
    for host in around.configuration.hosts.iter() {
        for route in host.routes.iter().filter(|route| route.verified) {
            let app = route.upstream().map(|app| &app.name);
            for visit in visits.iter().filter(|visit| Some(&visit.upstream) == app) {
                findings.push(look_at(host, route, visit, around).await);
            }
        }
    }
    findings
}

/// What the gateway would have written, and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgery {
    /// Identity headers alone.
    Unsigned,
    /// And a proof that no key of ours made.
    MadeUp,
}

impl Forgery {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "without any proof",
            Self::MadeUp => "with a made-up proof",
        }
    }
}

async fn look_at(host: &Host, route: &Route, visit: &Visit, around: &Surroundings) -> Finding {
    let subject = format!("`{}` at {}", route.name, visit.at);
    let Some(method) =
        [Method::GET, Method::HEAD].into_iter().find(|method| route.methods().contains(method))
    else {
        return Finding::warn(
            subject,
            "it takes neither GET nor HEAD, and nothing else is sent past the gateway",
            "whether the app checks what it is told is not known",
            "try it by hand, with a request that does no harm",
        );
    };
    let mut answers = Vec::new();
    for forgery in [Forgery::Unsigned, Forgery::MadeUp] {
        let Some(request) = forge(forgery, &method, host, route, visit, around) else {
            return Finding::warn(
                subject,
                "no request can be made for it",
                "it is not known whether the app checks",
                "try it by hand",
            );
        };
        answers.push((forgery, visit.ask(request).await));
    }
    judge(subject, &answers)
}

/// What the app's answers mean.
fn judge(subject: String, answers: &[(Forgery, Result<StatusCode, Unvisited>)]) -> Finding {
    let find = |fits: &dyn Fn(&Result<StatusCode, Unvisited>) -> bool| {
        answers.iter().find(|(_, answer)| fits(answer))
    };
    if let Some((forgery, Ok(status))) = find(&|answer| answer.is_ok_and(|status| status.is_success())) {
        return Finding::fail(
            subject,
            format!(
                "the app answered {} to a request {} that the gateway did not send",
                status.as_u16(),
                forgery.as_str()
            ),
            "whoever reaches the app past the gateway is whoever they say they are",
            "until it is mended, let nobody but the gateway connect to the app; then switch its check on for this path (deploy/verify)",
        );
    }
    if let Some((_, Err(why))) = find(&|answer| answer.is_err()) {
        let why = format!("it could not be asked: {why}");
        return Finding::warn(
            subject,
            why,
            "it is not known whether the app checks what it is told",
            "see what is said of this upstream above",
        );
    }
    let refuses = |status: StatusCode| matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if let Some((forgery, Ok(status))) = find(&|answer| answer.is_ok_and(|status| !refuses(status))) {
        return Finding::warn(
            subject,
            format!(
                "the app answered {}, neither 401 nor 403, to a request {}",
                status.as_u16(),
                forgery.as_str()
            ),
            "it may check, or may have believed it and had nothing to show: it cannot be told",
            "let the app check before it does anything else, and answer 401",
        );
    }
    Finding::ok(subject, "the app refuses what the gateway did not sign")
}

/// The request of somebody who goes past the gateway.
fn forge(
    forgery: Forgery,
    method: &Method,
    host: &Host,
    route: &Route,
    visit: &Visit,
    around: &Surroundings,
) -> Option<RequestHeader> {
    let now = around.clock.now();
    let path = route.pattern.sample();
    let path = match &route.rewrite {
        Some(rewrite) => rewrite.up(&path)?,
        None => path,
    };
    let mut request = RequestHeader::build(method.clone(), path.as_bytes(), None).ok()?;
    let authority = match &route.host {
        UpstreamHost::Keep => host.origin.authority(),
        UpstreamHost::Upstream => visit.authority.clone(),
        UpstreamHost::Named(name) => name.clone(),
    };
    let mut fields = vec![("Host".to_owned(), authority), ("User-Agent".to_owned(), AGENT.to_owned())];
    for header in route.headers.headers() {
        fields.extend(forged(header.fact, now).map(|value| (header.name.to_string(), value)));
    }
    if forgery == Forgery::MadeUp {
        let made_up = made_up(route, &fields, &around.configuration.keys, now);
        fields.extend(made_up);
    }
    for (name, value) in fields {
        request.insert_header(name, value).ok()?;
    }
    Some(request)
}

/// Enough for an app that believes what it reads.
fn forged(fact: Fact, now: Timestamp) -> Option<String> {
    Some(match fact {
        Fact::Kind => "national".to_owned(),
        Fact::Fnr => NOBODY.to_owned(),
        Fact::Loa => "high".to_owned(),
        Fact::Acr => "idporten-loa-high".to_owned(),
        Fact::AuthTime => now.seconds().to_string(),
        Fact::Subject | Fact::Session | Fact::Pseudonym => AGENT.to_owned(),
        Fact::Provider => "idporten".to_owned(),
        _ => return None,
    })
}

/// Proofs of the right form, which name the keys that are in use and were not made by them: what is wrong with them is
/// the signature alone.
fn made_up(route: &Route, forged: &[(String, String)], keys: &Path, now: Timestamp) -> Vec<(String, String)> {
    const NOTHING: [u8; 64] = [0; 64];
    let mut fields = Vec::new();
    let (from, to) = (now.seconds(), (now + signature::LIFE).seconds());
    if let Some(plan) = &route.assertion {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode_to_string(value.to_string());
        let head = part(json!({ "alg": "ES256", "kid": kid(keys, ASSERTION, now), "typ": "JWT" }));
        let claims = part(json!({
            "iss": plan.issuer(), "aud": plan.audience(), "iat": from, "exp": to, "jti": AGENT, "sub": AGENT,
            "kind": "national", "fnr": NOBODY, "loa": "high", "session": AGENT,
        }));
        let nothing = URL_SAFE_NO_PAD.encode_to_string(NOTHING);
        let token = format!("{head}.{claims}.{nothing}");
        if route.headers.is_bearer() {
            fields.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        fields.push((assertion::HEADER.to_owned(), token));
    }
    if let Some(plan) = &route.signature {
        let label = signature::LABEL;
        fields.push((signature::AUDIENCE_HEADER.to_owned(), plan.audience.clone()));
        if plan.content_digest {
            fields.push((signature::DIGEST_HEADER.to_owned(), signature::content_digest(b"")));
        }
        let names =
            forged.iter().chain(&fields).filter(|(name, _)| !["Host", "User-Agent"].contains(&&**name));
        let covered: String = names.map(|(name, _)| format!(" \"{}\"", name.to_ascii_lowercase())).collect();
        let purpose = signature_purpose(plan.algorithm).map_or_else(|| app_purpose(&plan.app), str::to_owned);
        let (kid, algorithm) = (kid(keys, &purpose, now), plan.algorithm.as_str());
        let parameters = format!(
            r#"("@method" "@authority" "@path" "@query"{covered});created={from};expires={to};nonce="{AGENT}";alg="{algorithm}";keyid="{kid}";tag="{label}""#
        );
        let made = if plan.algorithm == SignatureAlgorithm::HmacSha256 { &NOTHING[..32] } else { &NOTHING };
        fields.push(("Signature-Input".to_owned(), format!("{label}={parameters}")));
        fields.push(("Signature".to_owned(), format!("{label}=:{}:", STANDARD.encode_to_string(made))));
    }
    fields
}

/// The id of the key of a purpose that is in use: it is no secret.
fn kid(keys: &Path, purpose: &str, now: Timestamp) -> String {
    let times = KeyFile::read(&path_of(keys, purpose), purpose).map(|file| file.times()).unwrap_or_default();
    let used = times.iter().rfind(|key| key.active_from <= now).or(times.first());
    used.map_or_else(|| "00000000".to_owned(), |key| key.id.clone())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn only_a_refusal_of_both_is_in_order_and_any_answer_to_one_fails() {
        let status = |code: u16| Ok(StatusCode::from_u16(code).unwrap());
        for (unsigned, made_up, expected) in [
            (status(401), status(401), Verdict::Ok),
            (status(403), status(401), Verdict::Ok),
            (status(200), status(401), Verdict::Fail),
            (status(401), status(200), Verdict::Fail),
            (status(204), Err(Unvisited::Silent), Verdict::Fail),
            (status(401), Err(Unvisited::Silent), Verdict::Warn),
            (status(302), status(302), Verdict::Warn),
            (status(401), status(404), Verdict::Warn),
            (status(500), status(401), Verdict::Warn),
        ] {
            let answers = [(Forgery::Unsigned, unsigned), (Forgery::MadeUp, made_up)];
            assert_eq!(judge(String::new(), &answers).verdict, expected, "{answers:?}");
        }
    }
}
