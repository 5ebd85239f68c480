//! `<prefix>/forwardauth`: what a reverse proxy is told that carries requests to an app itself and asks about each
//! (`portvakt_core::forward_auth`; `docs/forward-auth.md`; `threats.md` RT-7, RT-8, ID-1 to ID-7).
//!
//! **Invariant:** nothing is decided here. The request that was asked about goes through [`Gateway::admit`], as if it had
//! come by itself; what it is not told apart by is that no permit of it ever reaches an upstream.
//!
//! **Invariant:** a proxy lets pass what is answered with 2xx. One such answer exists, and it is made from a permit;
//! whatever else is said has another status.
//!
//! **Invariant:** the proxy sends what the client wrote, not what was judged. So what is not written in its normal form
//! already is refused (RT-1).

use http::header::{COOKIE, HOST, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::http::RequestHeader;
use pingora::prelude::{ErrorType, OrErr as _, Result};
use pingora::proxy::Session;
use portvakt_core::access::Permit;
use portvakt_core::cookie::{self, ForUpstream};
use portvakt_core::forward::strip::Reserved;
use portvakt_core::forward::{Fact, assertion, plain};
use portvakt_core::forward_auth::{self, Dialect, NotAsked};
use portvakt_core::request::{NormalRequest, is_navigation};
use portvakt_core::route::{Host, Origin, Route};

use super::{Arrival, Gateway, Passage, Verdict, forward, known_method, raw, reply};
use crate::answer::Answer;
use crate::respond::{self, Refusal, Unasked};
use crate::snapshot::Live;

/// As the contract has it: [`assertion::HEADER`].
const ASSERTION: HeaderName = HeaderName::from_static("x-identity-assertion");

/// Where the browser is to be sent, for a proxy that understands no redirect.
const REDIRECT: HeaderName = HeaderName::from_static("x-portvakt-redirect");

/// Where somebody logs in, for a proxy that passes no body on.
const LOGIN: HeaderName = HeaderName::from_static("x-portvakt-login");

/// What Envoy takes from the client's request besides what it is told to set.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

impl Gateway {
    /// Answers a proxy that asks.
    pub(super) async fn answer_proxy(
        &self,
        session: &mut Session,
        dialect: Dialect,
        passage: &mut Passage,
    ) -> Result<bool> {
        let outcome = match asked(session.req_header(), dialect, passage) {
            // Nobody asked who may: there is nothing here.
            Err(Refusal::NoRoute) => {
                let answer = respond::refuse(&Refusal::NoRoute, &passage.asker(session));
                passage.rule = answer.rule;
                respond::send(session, answer).await?;
                return Ok(true);
            }
            Ok(head) => match self.decide(&head, None, passage).await {
                Ok(Verdict::Forward(permit)) => allow(&permit, &head, dialect, passage, &self.live).map(Ok),
                Ok(Verdict::Answer(answer)) => Ok(Err(answer)),
                // No form can be kept whose body the proxy has.
                Ok(Verdict::KeepForm { .. }) => Err(Refusal::Internal),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        let answer = match outcome {
            Ok(Ok(allowed)) => allowed,
            Ok(Err(answer)) => deny(answer, dialect, passage.host.as_deref()),
            Err(refusal) => {
                let answer = respond::refuse(&refusal, &passage.asker(session));
                deny(answer, dialect, passage.host.as_deref())
            }
        };
        passage.rule = answer.rule;
        respond::send(session, answer).await?;
        Ok(true)
    }
}

/// The request that is asked about, as the client sent it.
fn asked(call: &RequestHeader, dialect: Dialect, passage: &mut Passage) -> Result<RequestHeader, Refusal> {
    let arrival = passage.arrival.as_mut().ok_or(Refusal::UnknownListener)?;
    arrival.check_peer()?;
    let asked = forward_auth::read(dialect, raw(call), &passage.snapshot.configuration.prefix);
    let asked = asked.map_err(|why| match why {
        NotAsked::Elsewhere => Refusal::NoRoute,
        NotAsked::Method => Refusal::Unasked(Unasked::Method),
        NotAsked::Dialect => Refusal::Unasked(Unasked::Dialect),
        NotAsked::Upgrade => Refusal::Unasked(Unasked::Upgrade),
    })?;
    passage.method = known_method(&asked.method);
    // The proxy may send on what the client sent, under whatever name its app reads it. Nobody honest writes these.
    if call.headers.keys().any(|name| passage.snapshot.reserved.takes_away_from_reply(name.as_str())) {
        return Err(Refusal::Unasked(Unasked::Claim));
    }
    arrival.is_of(asked.secure);
    let malformed = || Refusal::Unasked(Unasked::Dialect);
    let headers = call.headers.len();
    let mut head = RequestHeader::build(asked.method, asked.target.as_bytes(), Some(headers))
        .map_err(|_| malformed())?;
    if head.raw_path() != asked.target.as_bytes() {
        // What a URI has besides (`#`) is lost in the copy, and would not be in what the proxy sends.
        return Err(Refusal::Unasked(Unasked::NotNormal));
    }
    for (name, value) in call.headers.iter().filter(|(name, _)| *name != HOST) {
        head.append_header(name, value).map_err(|_| malformed())?;
    }
    head.insert_header(HOST, asked.host).map_err(|_| malformed())?;
    passage.navigation = is_navigation(&head.method, &head.headers);
    Ok(head)
}

/// Refuses what was judged in another form than the one in which the proxy sends it.
pub(super) fn check_form(
    arrival: &Arrival,
    head: &RequestHeader,
    request: &NormalRequest,
    host: &Host,
) -> Result<(), Refusal> {
    if arrival.asking().is_none() {
        return Ok(());
    }
    let named =
        head.headers.get(HOST).is_some_and(|given| given.as_bytes() == host.origin.authority().as_bytes());
    let same = head.raw_path() == request.target().as_bytes();
    if named && same && arrival.is_secure() == host.origin.secure {
        Ok(())
    } else {
        Err(Refusal::Unasked(Unasked::NotNormal))
    }
}

/// A route is for those who ask, or for those who come by themselves: for the others it is not there.
pub(super) fn check_carrier(arrival: &Arrival, route: &Route) -> Result<(), Refusal> {
    if route.is_forward_auth() == arrival.asking().is_some() { Ok(()) } else { Err(Refusal::NoRoute) }
}

/// The answer that lets a request pass: what its app is to be told, all of it or nothing (ID-4, ID-7).
fn allow(
    permit: &Permit,
    head: &RequestHeader,
    dialect: Dialect,
    passage: &Passage,
    live: &Live,
) -> Result<Answer, Refusal> {
    let snapshot = &passage.snapshot;
    let mut answer = Answer::new(StatusCode::OK, "forward_auth");
    let told = forward::tell(permit, snapshot, live, |name, value| {
        let name = HeaderName::try_from(&**name)
            .or_err(ErrorType::HTTPStatus(500), "an identity header cannot be written")?;
        answer.headers.push((name, value));
        Ok(())
    });
    let assertion = told.map_err(|_| Refusal::Internal)?;
    answer.headers.extend(assertion.map(|assertion| (ASSERTION, assertion)));
    // The app's own cookies, without ours (CK-7): the proxy has both in one line.
    let own = match cookie::for_upstream(&head.headers) {
        ForUpstream::AsReceived => head.headers.get(COOKIE).cloned(),
        ForUpstream::Line(line) => Some(line),
        ForUpstream::None => None,
    };
    answer.headers.extend(own.map(|line| (COOKIE, line)));
    if dialect == Dialect::Envoy {
        let names = to_remove(&answer, permit.route(), &snapshot.reserved);
        answer.headers.push((TO_REMOVE, HeaderValue::try_from(names).map_err(|_| Refusal::Internal)?));
    }
    let renewed = reply::renewed(permit, passage.navigation, live, snapshot);
    Ok(answer.with_cookies(renewed))
}

/// What the client may have sent and the app is not told: by the contract, by a preset, and as this route or another names it.
fn to_remove(answer: &Answer, route: &Route, reserved: &Reserved) -> String {
    let is_told =
        |name: &str| answer.headers.iter().any(|(told, _)| told.as_str().eq_ignore_ascii_case(name));
    let mut names: Vec<String> = Fact::ALL
        .into_iter()
        .map(|fact| -> &str { fact.header() })
        .chain(plain::names(&route.headers))
        .chain(reserved.identity_names())
        .chain([assertion::HEADER, "cookie"])
        .filter(|name| !is_told(name))
        .map(str::to_ascii_lowercase)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

/// The same answer in the words of the dialect, and never one that lets anything pass.
fn deny(mut answer: Answer, dialect: Dialect, host: Option<&Host>) -> Answer {
    if answer.status.is_success() || answer.status.is_informational() {
        answer.status = StatusCode::FORBIDDEN;
    }
    if let Some(host) = host {
        make_absolute(&mut answer, &host.origin);
    }
    match dialect {
        Dialect::Traefik | Dialect::Caddy | Dialect::Envoy => answer,
        Dialect::Nginx => for_nginx(answer),
    }
}

/// A redirect names its host: some proxies take another for the gateway's own, by which they asked.
fn make_absolute(answer: &mut Answer, origin: &Origin) {
    for (_, value) in answer.headers.iter_mut().filter(|(name, _)| *name == LOCATION) {
        if let Ok(path) = value.to_str()
            && path.starts_with('/')
            && let Ok(whole) = HeaderValue::try_from(format!("{origin}{path}"))
        {
            *value = whole;
        }
    }
}

/// `auth_request` understands 401 and 403; all else it takes for a failure, and answers 500 itself.
fn for_nginx(mut answer: Answer) -> Answer {
    if answer.status.is_redirection() {
        answer.status = StatusCode::UNAUTHORIZED;
        let to = answer.headers.iter().position(|(name, _)| *name == LOCATION);
        let to = to.map(|at| answer.headers.swap_remove(at).1);
        answer.headers.extend(to.map(|to| (REDIRECT, to)));
    } else if answer.status == StatusCode::UNAUTHORIZED {
        let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        let link = body.as_ref().and_then(|body| body.get("login")?.as_str());
        let link = link.and_then(|link| HeaderValue::try_from(link).ok());
        answer.headers.extend(link.map(|link| (LOGIN, link)));
    } else if answer.status.is_client_error() {
        answer.status = StatusCode::FORBIDDEN;
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer::Location;

    fn value<'a>(answer: &'a Answer, name: &HeaderName) -> Option<&'a str> {
        answer.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str().ok())
    }

    #[test]
    fn nothing_that_is_denied_is_answered_with_success() {
        for dialect in [Dialect::Nginx, Dialect::Traefik, Dialect::Caddy, Dialect::Envoy] {
            for status in (100..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
                let denied = deny(Answer::new(status, "x"), dialect, None).status;
                assert!(!denied.is_success() && !denied.is_informational(), "{dialect:?} {status}");
                let known = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&denied);
                assert!(dialect != Dialect::Nginx || known || denied.is_server_error(), "{status}");
            }
        }
    }

    #[test]
    fn a_proxy_that_knows_no_redirect_is_told_where_to() {
        let link = || Location::Own("/oauth2/login?redirect=%2Fa".to_owned());
        let told = for_nginx(Answer::redirect(&link(), "x"));
        assert_eq!(told.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            (value(&told, &REDIRECT), value(&told, &LOCATION)),
            (Some("/oauth2/login?redirect=%2Fa"), None)
        );
        let body = json!({ "error": "login_required", "login": "/oauth2/login?redirect=%2Fa" });
        let told = for_nginx(Answer::json(StatusCode::UNAUTHORIZED, &body, "x"));
        assert_eq!(
            (value(&told, &LOGIN), value(&told, &REDIRECT)),
            (Some("/oauth2/login?redirect=%2Fa"), None)
        );
    }

    #[test]
    fn a_redirect_names_the_host() {
        let origin = Origin { secure: true, name: "app.example.no".to_owned(), port: 443 };
        let mut answer = Answer::redirect(&Location::Own("/oauth2/login".to_owned()), "x");
        make_absolute(&mut answer, &origin);
        make_absolute(&mut answer, &origin);
        assert_eq!(value(&answer, &LOCATION), Some("https://app.example.no/oauth2/login"));
    }
}
