//! The request as the app gets it, built from the permit (`design.md` D3, D4, D7).
//!
//! **Invariant:** what only we may write is taken away before anything is written, on every route. Pingora
//! has removed hop-by-hop fields and what `Connection` names by now, so a client cannot take ours away.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, FORWARDED, HOST};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType, OrErr as _, Result};
use portvakt_core::access::{Caller, Permit};
use portvakt_core::cookie::{self, ForUpstream};
use portvakt_core::forward::assertion::Assertions;
use portvakt_core::forward::signature::{self, Covered, Signature, SignaturePlan, Unsigned};
use portvakt_core::forward::{assertion, plain};
use portvakt_core::route::UpstreamHost;
use portvakt_core::seal;

use super::app_session::AppSessionHeld;
use super::arrival::Arrival;
use crate::snapshot::{Live, Snapshot};
use crate::tokens::Bearer;

/// What is held for a request beside its permit.
pub(super) struct Held<'a> {
    /// The session that the app keeps itself.
    pub(super) own_session: Option<&'a AppSessionHeld>,
    /// The person's access token at the provider.
    pub(super) bearer: Option<&'a Bearer>,
}

/// Makes `request`, a copy of the client's, what the app gets. `upstream`: the app's own `host:port`.
pub(super) fn write(
    request: &mut RequestHeader,
    permit: &Permit,
    upstream: &str,
    arrival: &Arrival,
    held: &Held<'_>,
    snapshot: &Snapshot,
    live: &Live,
) -> Result<()> {
    let client = permit.route().client_signatures.then(|| signature::of_client(&request.headers)).flatten();
    take_away(request, snapshot);
    take_token(request, permit);
    write_token(request, permit, held.bearer)?;
    if let Some(Signature { input, signature }) = client {
        request.insert_header("Signature-Input", input)?;
        request.insert_header("Signature", signature)?;
    }
    write_cookies(request, permit, held.own_session)?;
    write_target(request, permit)?;
    write_origin(request, permit, upstream, arrival)?;
    write_identity(request, permit, snapshot, live)?;
    match &permit.route().signature {
        Some(plan) => sign(request, plan, permit, snapshot, live),
        None => Ok(()),
    }
}

/// What the app is told; nothing if nobody is logged in.
fn write_identity(
    request: &mut RequestHeader,
    permit: &Permit,
    snapshot: &Snapshot,
    live: &Live,
) -> Result<()> {
    let is_bearer = permit.route().headers.is_bearer();
    if is_bearer {
        // An app that believes one token here believes nobody else's, whether or not somebody is logged in.
        request.remove_header(&AUTHORIZATION);
    }
    let assertion = tell(permit, snapshot, live, |name, value| match name {
        Cow::Borrowed(name) => request.insert_header(*name, value),
        Cow::Owned(name) => request.insert_header(name.clone(), value),
    })?;
    if let Some(assertion) = assertion {
        if is_bearer {
            request.insert_header(AUTHORIZATION, bearer(&assertion)?)?;
        }
        request.insert_header(assertion::HEADER, assertion)?;
    }
    Ok(())
}

/// Puts down what the app of a permit is told, header by header, and gives the assertion if its route has one. If this
/// fails nothing may be sent (ID-4, ID-7).
pub(super) fn tell(
    permit: &Permit,
    snapshot: &Snapshot,
    live: &Live,
    mut put: impl FnMut(&Cow<'static, str>, HeaderValue) -> Result<()>,
) -> Result<Option<HeaderValue>> {
    let plan = &permit.route().headers;
    let headers = match permit.caller() {
        Caller::Nobody => return Ok(None),
        Caller::Person(session) => plain::headers(plan, session, snapshot.keys.hashing()),
        Caller::Machine(machine) => plain::headers_of_machine(plan, machine),
    };
    let headers = headers.or_err(ErrorType::HTTPStatus(500), "an identity header cannot be written")?;
    for (name, value) in headers {
        put(name, value)?;
    }
    let Some(plan) = &permit.route().assertion else { return Ok(None) };
    let (generation, now) = (snapshot.generation, live.clock.now());
    let assertion = match permit.caller() {
        Caller::Nobody => return Ok(None),
        Caller::Person(session) => live.assertions.header(plan, session, &snapshot.keys, generation, now),
        Caller::Machine(machine) => Assertions::of_machine(plan, machine, &snapshot.keys, now),
    };
    assertion
        .inspect_err(|error| tracing::error!(%error, "an assertion cannot be made"))
        .or_err(ErrorType::HTTPStatus(500), "an assertion cannot be made")
        .map(Some)
}

/// The assertion as RFC 6750, 2.1 has tokens.
fn bearer(assertion: &HeaderValue) -> Result<HeaderValue> {
    let value = [b"Bearer ", assertion.as_bytes()].concat();
    HeaderValue::try_from(value).or_err(ErrorType::HTTPStatus(500), "an assertion cannot be a bearer token")
}

/// Signs the request as it now is (RFC 9421), or it fails (ID-7).
fn sign(
    request: &mut RequestHeader,
    plan: &SignaturePlan,
    permit: &Permit,
    snapshot: &Snapshot,
    live: &Live,
) -> Result<()> {
    request.insert_header(signature::AUDIENCE_HEADER, plan.audience.as_str())?;
    let signed = signature_of(request, plan, permit, snapshot, live)
        .inspect_err(|error| tracing::error!(%error, "a request cannot be signed"))
        .or_err(ErrorType::HTTPStatus(500), "a request cannot be signed")?;
    request.insert_header("Signature-Input", signed.input)?;
    request.insert_header("Signature", signed.signature)
}

fn signature_of(
    request: &RequestHeader,
    plan: &SignaturePlan,
    permit: &Permit,
    snapshot: &Snapshot,
    live: &Live,
) -> Result<Signature, Unsigned> {
    let digest = plan.content_digest.then_some(signature::DIGEST_HEADER);
    if digest.is_some_and(|name| !request.headers.contains_key(name)) {
        return Err(Unsigned::Value);
    }
    let names = plain::names(&permit.route().headers)
        .chain([assertion::HEADER, signature::AUDIENCE_HEADER])
        .chain(permit.route().writes_authorization().then_some(AUTHORIZATION.as_str()))
        .chain(digest);
    let mut fields = Vec::new();
    for name in names {
        if let Some(value) = request.headers.get(name) {
            fields.push((name, value.to_str().map_err(|_| Unsigned::Value)?));
        }
    }
    let (path, query) = split(request.raw_path())?;
    let host = request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .ok_or(Unsigned::Value)?
        .to_ascii_lowercase();
    let covered = Covered { method: request.method.as_str(), authority: &host, path, query, fields: &fields };
    signature::sign(plan, &covered, &snapshot.keys, live.clock.now(), seal::random())
}

/// The path and the query of a target.
fn split(target: &[u8]) -> Result<(&str, Option<&str>), Unsigned> {
    let target = std::str::from_utf8(target).map_err(|_| Unsigned::Value)?;
    Ok(target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query))))
}

fn take_away(request: &mut RequestHeader, snapshot: &Snapshot) {
    let taken: Vec<HeaderName> =
        request.headers.keys().filter(|name| snapshot.reserved.takes_away(name.as_str())).cloned().collect();
    for name in taken {
        request.remove_header(&name);
    }
}

/// Where tokens are read, `Authorization` is ours: the app gets it only if its route says so, and only as what was
/// verified.
fn take_token(request: &mut RequestHeader, permit: &Permit) {
    let rule = permit.route().access.token_rule();
    if rule.is_none() && !permit.route().access_token {
        return;
    }
    if !(rule.is_some_and(|rule| rule.forward) && permit.machine().is_some()) {
        request.remove_header(&AUTHORIZATION);
    }
}

/// The person's own token, on a route that says so: it is there, or the request fails.
fn write_token(request: &mut RequestHeader, permit: &Permit, bearer: Option<&Bearer>) -> Result<()> {
    if !permit.route().access_token || permit.session().is_none() {
        return Ok(());
    }
    let bearer = bearer
        .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(500), "the app's access token is missing"))?;
    request.insert_header(AUTHORIZATION, bearer.header().clone())
}

fn write_cookies(
    request: &mut RequestHeader,
    permit: &Permit,
    own_session: Option<&AppSessionHeld>,
) -> Result<()> {
    if permit.machine().is_some() {
        request.remove_header(&COOKIE);
        return Ok(());
    }
    let received;
    let cookies = match own_session {
        Some(held) => held.cookies(),
        None => {
            received = cookie::for_upstream(&request.headers);
            &received
        }
    };
    match cookies {
        ForUpstream::AsReceived => Ok(()),
        ForUpstream::Line(line) => request.insert_header(COOKIE, line.clone()),
        ForUpstream::None => {
            request.remove_header(&COOKIE);
            Ok(())
        }
    }
}

/// The judged path, after the route's rewrite, is the sent path, byte for byte (RT-1).
fn write_target(request: &mut RequestHeader, permit: &Permit) -> Result<()> {
    let judged = permit.request();
    let target = match &permit.route().rewrite {
        None => judged.target(),
        Some(rewrite) => {
            let path = rewrite
                .up(judged.path())
                .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(500), "the path has not its prefix"))?;
            match judged.query() {
                None => path.into(),
                Some(query) => format!("{path}?{query}").into(),
            }
        }
    };
    if request.raw_path() == target.as_bytes() {
        return Ok(());
    }
    let uri =
        http::Uri::try_from(&*target).or_err(ErrorType::HTTPStatus(500), "the judged target is no URI")?;
    request.set_uri(uri);
    Ok(())
}

/// `Host`, and where the request came from (RFC 7239), in our own words.
fn write_origin(
    request: &mut RequestHeader,
    permit: &Permit,
    upstream: &str,
    arrival: &Arrival,
) -> Result<()> {
    let host = permit.request().host();
    let proto = if arrival.is_secure() { "https" } else { "http" };
    // The scheme's default port is folded (RT-6): an app compares one spelling, and signatures cover it.
    let default = if arrival.is_secure() { 443 } else { 80 };
    let asked = match host.port {
        Some(port) if port != default => format!("{}:{port}", host.name),
        Some(_) | None => host.name.clone(),
    };
    let sent = match &permit.route().host {
        UpstreamHost::Keep => asked.clone(),
        UpstreamHost::Upstream => upstream.to_owned(),
        UpstreamHost::Named(name) => name.clone(),
    };
    request.insert_header(HOST, sent)?;
    if let Some(client) = arrival.client() {
        let address = client.to_string();
        // RFC 7239, 6: IPv6 in brackets and quotes.
        let (open, close) = if client.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
        request
            .insert_header(FORWARDED, format!("for={open}{address}{close};host=\"{asked}\";proto={proto}"))?;
        request.insert_header("X-Forwarded-For", address)?;
    }
    request.insert_header("X-Forwarded-Host", asked)?;
    request.insert_header("X-Forwarded-Proto", HeaderValue::from_static(proto))
}
