//! Logout (dossier 3.2 to 3.4): the end-session endpoint, and the calls that tell every service.

use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{NO_STORE, Op, form};
use crate::client::Client;
use crate::lie::Lie;
use crate::page;
use crate::params::{Params, with_query};
use crate::random;
use crate::sso::SsoSession;
use crate::token::logout_token;
use crate::world::{Endpoint, locked};

/// `GET /logout`
pub(super) async fn get(
    State(op): State<Arc<Op>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    op.world.arrive(Endpoint::Logout).await;
    let params = match Params::parse(query.unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(name) => return refuse(&format!("The parameter {name} is repeated.")),
    };
    let resumed = params.get("resume").and_then(|handle| {
        let now = op.world.clock.now();
        locked(&op.state).logouts.take(handle, now)
    });
    log_out(&op, &headers, &resumed.unwrap_or(params))
}

/// `POST /logout`. A form posted from the service's site comes without our `SameSite=Lax` cookie; a redirect to
/// ourselves brings it. (The real provider's cookie is `SameSite=None`, which needs https.)
pub(super) async fn post(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Logout).await;
    let params = match form(&headers, &body) {
        Ok(params) => params,
        Err(error) => return refuse(&error.description),
    };
    if op.cookie(&headers).is_some() {
        return log_out(&op, &headers, &params);
    }
    let (handle, now) = (random::token(), op.world.clock.now());
    locked(&op.state).logouts.insert(handle.clone(), params, now + RESUME_LIFE, now);
    let target = with_query(&format!("/{}/logout", op.profile.name), [("resume", handle.as_str())]);
    (StatusCode::SEE_OTHER, NO_STORE, [(header::LOCATION, target)]).into_response()
}

fn log_out(op: &Arc<Op>, headers: &HeaderMap, params: &Params) -> Response {
    let target = match return_target(op, params) {
        Ok(target) => target,
        Err(why) => return refuse(why),
    };
    let cookie = op.cookie(headers);
    let ended = locked(&op.state).sso.end(cookie.as_deref(), op.world.clock.sso_now());
    let Some(session) = ended else {
        // No session, no return: the user stays here (dossier 0 #17).
        let page =
            page::message("Ingen innlogging", "There was no session to log out of. You may close this page.");
        return (NO_STORE, Html(page)).into_response();
    };
    end_access(op, &session);
    let services = services(op, &session);
    let frames: Vec<_> = services.iter().filter_map(|(client, sid)| frontchannel(op, client, sid)).collect();
    let mut calls = JoinSet::new();
    backchannel_calls(op, &session, services, &mut calls);
    tokio::spawn(finish_calls(Arc::clone(op), calls));
    let mut response = (NO_STORE, Html(page::logged_out(&frames, target.as_deref()))).into_response();
    let deletion =
        header::HeaderValue::try_from(op.set_cookie("")).expect("the cookie's name is header text");
    response.headers_mut().append(header::SET_COOKIE, deletion);
    response
}

/// Where to return to, if the client is known by hint or id and registered this address (dossier 3.2).
fn return_target(op: &Op, params: &Params) -> Result<Option<String>, &'static str> {
    let client_id = initiator(op, params)?;
    let Some(uri) = params.get("post_logout_redirect_uri") else { return Ok(None) };
    // Without hint and client_id the logout happens, and nobody returns.
    let Some(client_id) = client_id else { return Ok(None) };
    let client = op.client(&client_id).ok_or("The client is unknown.")?;
    if !client.post_logout_redirect_uris.iter().any(|registered| registered == uri) {
        return Err("post_logout_redirect_uri is not registered.");
    }
    let Some(state) = params.get("state") else { return Ok(Some(uri.to_owned())) };
    if !state.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Err("state must be printable ASCII.");
    }
    let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
    let state = if op.world.lies(Lie::LogoutStateEncoded) { &encoded } else { state };
    Ok(Some(with_query(uri, [("state", state)])))
}

/// The client that asks: by the hint, which may have expired, or by `client_id`.
fn initiator(op: &Op, params: &Params) -> Result<Option<String>, &'static str> {
    let stated = params.get("client_id").map(str::to_owned);
    let Some(hint) = params.get("id_token_hint") else { return Ok(stated) };
    let claims = op.keys.read().unwrap_or_else(PoisonError::into_inner).verify(hint);
    let claims = claims.ok_or("id_token_hint is not one of our tokens.")?;
    let hinted = claims.get("aud").and_then(Value::as_str).map(str::to_owned);
    if stated.is_some() && stated != hinted {
        return Err("id_token_hint belongs to another client.");
    }
    Ok(hinted)
}

/// `/control`: logs a person out everywhere, as another service would, and reports every call.
pub(crate) async fn end_person(op: &Arc<Op>, person: &str) -> Ended {
    let ended = locked(&op.state).sso.end_person(person, op.world.clock.sso_now());
    let mut calls = JoinSet::new();
    for session in &ended {
        end_access(op, session);
        let services = services(op, session);
        for (client, sid) in &services {
            let Some(url) = frontchannel(op, client, sid) else { continue };
            let request = op.world.http.get(url);
            calls.spawn(call("front", client.client_id.clone(), sid.clone(), request));
        }
        backchannel_calls(op, session, services, &mut calls);
    }
    Ended { sessions: ended.len(), called: finish_calls(Arc::clone(op), calls).await }
}

/// What a logout from elsewhere did.
pub(crate) struct Ended {
    /// How many browsers' sessions ended.
    pub(crate) sessions: usize,
    /// Each call to a client, with its status.
    pub(crate) called: Vec<Value>,
}

/// Tokens of a pure login die with the session; those with more scopes live on (dossier 2.8).
fn end_access(op: &Op, session: &SsoSession) {
    let theirs = |sid: &String| session.sids.values().any(|known| known == sid);
    let mut state = locked(&op.state);
    state.access_tokens.retain(|access| !(access.is_of_login_alone && theirs(&access.sid)));
    state.authorizations.retain(|grant| !(grant.is_of_login_alone() && theirs(&grant.sid)));
}

/// The registered clients that this session logged in to.
fn services(op: &Op, session: &SsoSession) -> Vec<(Client, String)> {
    let clients =
        session.sids.iter().filter_map(|(client_id, sid)| Some((op.client(client_id)?, sid.clone())));
    clients.collect()
}

/// The URL of the call without cookies (OIDC Front-Channel Logout 1.0, 3).
fn frontchannel(op: &Op, client: &Client, sid: &str) -> Option<String> {
    let uri = client.frontchannel_logout_uri.as_deref()?;
    if !client.frontchannel_logout_session_required {
        return Some(uri.to_owned());
    }
    let slash = if op.world.lies(Lie::FrontchannelSlash) { "/" } else { "" };
    Some(with_query(uri, [("iss", format!("{}{slash}", op.issuer).as_str()), ("sid", sid)]))
}

/// Starts one POST to each registered client: one try, five seconds.
fn backchannel_calls(
    op: &Op,
    session: &SsoSession,
    services: Vec<(Client, String)>,
    calls: &mut JoinSet<Value>,
) {
    let keys = op.keys.read().unwrap_or_else(PoisonError::into_inner);
    let subject = session.authentication.person.subject();
    for (client, sid) in services {
        let Some(uri) = &client.backchannel_logout_uri else { continue };
        let token = logout_token(&op.world, &keys, &op.issuer, &client.client_id, (subject, &sid));
        let times = if op.world.lies(Lie::LogoutTokenTwice) { 2 } else { 1 };
        for _ in 0..times {
            let request = op.world.http.post(uri).form(&[("logout_token", &token)]);
            calls.spawn(call("back", client.client_id.clone(), sid.clone(), request));
        }
    }
}

async fn call(channel: &str, client_id: String, sid: String, request: reqwest::RequestBuilder) -> Value {
    let (status, failure) = match request.send().await {
        Ok(response) => (Some(response.status().as_u16()), None),
        Err(error) if error.is_timeout() => (None, Some("timeout")),
        Err(error) if error.is_connect() => (None, Some("connect")),
        Err(_) => (None, Some("other")),
    };
    json!({"client_id": client_id, "channel": channel, "sid": sid, "status": status, "failure": failure})
}

async fn finish_calls(op: Arc<Op>, mut calls: JoinSet<Value>) -> Vec<Value> {
    let mut finished = Vec::new();
    while let Some(report) = calls.join_next().await {
        let report = report.unwrap_or_default();
        op.world.remember_logout_call(report.clone());
        finished.push(report);
    }
    finished
}

fn refuse(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, NO_STORE, Html(page::message("Noe er feil", why))).into_response()
}

/// Seconds between a posted logout and its return with the cookie.
const RESUME_LIFE: u64 = 60;
