//! The browser's way through a login: `/authorize`, the page, the callback (dossier 2.1, 2.3, 3.1).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;

use super::{AuthRequest, Grant, NO_STORE, Op, form, par};
use crate::lie::Lie;
use crate::page::{self, Language};
use crate::params::{Params, with_query};
use crate::person::{Behaviour, ORGANISATIONS, Person, TEST_ID};
use crate::random;
use crate::sso::Authentication;
use crate::world::{Endpoint, locked};

/// `GET /authorize`
pub(super) async fn authorize(
    State(op): State<Arc<Op>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    op.world.arrive(Endpoint::Authorize).await;
    let params = match Params::parse(query.unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(name) => return refuse(&format!("The parameter {name} is repeated.")),
    };
    match accept(&op, &params) {
        Ok(request) => proceed(&op, request, op.cookie(&headers)),
        Err(response) => *response,
    }
}

/// The pushed request, or plain parameters where the client may send them.
fn accept(op: &Op, params: &Params) -> Result<AuthRequest, Box<Response>> {
    let boxed = |why: &str| Box::new(refuse(why));
    let client_id = params.get("client_id").ok_or_else(|| boxed("client_id is missing."))?;
    let client = op.client(client_id).ok_or_else(|| boxed("The client is unknown."))?;
    let Some(request_uri) = params.get("request_uri") else {
        if client.require_pushed_authorization_requests {
            return Err(boxed("This client must push its requests (PAR)."));
        }
        par::registered_redirect_uri(params, &client).map_err(boxed)?;
        return par::check(op, params, &client).map_err(|error| {
            let target = params.get("redirect_uri").unwrap_or_default();
            Box::new(Callback { target, state: params.get("state") }.error(
                op,
                error.code,
                &error.description,
            ))
        });
    };
    // Nothing may be repeated beside a pushed request (dossier 2.2); the hint is a test's addition.
    if !params.only(&["client_id", "request_uri", "login_hint"]) {
        return Err(boxed("Only client_id and request_uri may be sent with a pushed request."));
    }
    let pushed = locked(&op.state).pushed.take(request_uri, op.world.clock.now());
    let mut request = pushed.ok_or_else(|| boxed("request_uri is unknown, used or expired."))?;
    if request.client_id != client_id {
        return Err(boxed("request_uri belongs to another client."));
    }
    if let Some(hint) = params.get("login_hint") {
        request.login_hint = Some(hint.to_owned());
    }
    Ok(request)
}

/// By hint, by the SSO session, or by the page.
fn proceed(op: &Op, request: AuthRequest, cookie: Option<String>) -> Response {
    if let Some(hint) = request.login_hint.as_deref().and_then(|hint| hint.strip_prefix("testid:")) {
        let Some((person, acr)) = test_person(op, hint) else {
            return request.callback().error(op, "invalid_request", "login_hint is not testid:<fnr>_<acr>");
        };
        return log_in(op, request, cookie, person, Some(acr));
    }
    if let Some(authentication) = silently(op, &request, cookie.as_deref()) {
        return finish(op, &request, authentication, cookie);
    }
    if request.prompt.as_deref() == Some("none") {
        return request.callback().error(op, "login_required", "Nobody is logged in.");
    }
    let handle = random::token();
    let page = login_page(op, &request, &handle, StatusCode::OK);
    let now = op.world.clock.now();
    locked(&op.state).logins.insert(handle, request, now + PAGE_LIFE, now);
    page
}

/// The SSO session's authentication, if it is enough for this request.
fn silently(op: &Op, request: &AuthRequest, cookie: Option<&str>) -> Option<Authentication> {
    if request.prompt.as_deref() == Some("login") {
        return None;
    }
    let mut state = locked(&op.state);
    let authentication = &state.sso.find(cookie, op.world.clock.sso_now())?.authentication;
    let age = op.world.clock.now().saturating_sub(authentication.auth_time);
    let fresh = request.max_age.is_none_or(|max_age| age <= max_age);
    let enough = (op.profile.satisfied)(&request.acr_values, authentication.acr);
    if !fresh || !(enough || op.world.lies(Lie::SsoAnyFramework)) {
        return None;
    }
    state.sso.reuse(cookie, op.world.clock.sso_now()).map(|session| session.authentication.clone())
}

/// `POST /login`: the page's one form.
pub(super) async fn choose(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Login).await;
    let form = match form(&headers, &body) {
        Ok(form) => form,
        Err(error) => return refuse(&error.description),
    };
    let (handle, now) = (form.get("login").unwrap_or_default(), op.world.clock.now());
    let Some(mut request) = locked(&op.state).logins.get(handle, now).cloned() else {
        return refuse("This login is over. Go back to the service and start again.");
    };
    request.organisation = form.get("organisation").filter(|one| !one.is_empty()).map(str::to_owned);
    let chosen = form.get("person").and_then(|id| op.world.person(id)).cloned();
    let offered = |person: &Person| (op.profile.reached)(&request.acr_values, person).is_some();
    let cancelled = form.get("cancel").is_some();
    let Some(person) = chosen.filter(offered).filter(|_| !cancelled) else {
        if !cancelled {
            return login_page(&op, &request, handle, StatusCode::BAD_REQUEST);
        }
        locked(&op.state).logins.take(handle, now);
        return request.callback().error(&op, "access_denied", "End user cancel.");
    };
    locked(&op.state).logins.take(handle, now);
    let cookie = op.cookie(&headers);
    log_in(&op, request, cookie, person, None)
}

fn login_page(op: &Op, request: &AuthRequest, handle: &str, status: StatusCode) -> Response {
    let offered = |person: &&Person| (op.profile.reached)(&request.acr_values, person).is_some();
    let persons: Vec<_> = op.world.persons.iter().filter(offered).collect();
    let action = format!("/{}/login", op.profile.name);
    let language = Language::choose(Some(request.locale));
    let represents = |details: &Value| details[0]["type"].as_str().is_some_and(is_of_organisations);
    let organisations: &[_] =
        if request.details.as_ref().is_some_and(represents) { &ORGANISATIONS } else { &[] };
    let offer = page::Offer { service: &request.client_id, persons: &persons, organisations };
    let page = page::login(language, &action, handle, &offer);
    (status, NO_STORE, Html(page)).into_response()
}

/// Whether a type of `authorization_details` asks for organisations (dossier 1.5).
fn is_of_organisations(kind: &str) -> bool {
    kind.starts_with("ansattporten:")
}

/// `<fnr>_<acr>`: a known national person, or anybody with a synthetic number.
fn test_person(op: &Op, hint: &str) -> Option<(Person, &'static str)> {
    let (fnr, acr) = hint.split_once('_')?;
    let acr = (op.profile.test_level)(acr)?;
    let mut national = op.world.persons.iter().filter(|person| person.eid.kind() == "national");
    let known = national.find(|person| person.fnr.as_deref() == Some(fnr)).cloned();
    Some((known.or_else(|| Person::with_number(fnr))?, acr))
}

/// Somebody authenticates; `test_acr` when by `login_hint`.
fn log_in(
    op: &Op,
    request: AuthRequest,
    cookie: Option<String>,
    person: Person,
    test_acr: Option<&'static str>,
) -> Response {
    if person.behaviour == Behaviour::Cancels {
        return request.callback().error(op, "access_denied", "End user cancel.");
    }
    let reached = match (test_acr, person.behaviour) {
        (Some(acr), Behaviour::LogsIn) => (op.profile.satisfied)(&request.acr_values, acr).then_some(acr),
        _ => (op.profile.reached)(&request.acr_values, &person),
    };
    let Some(acr) = reached else {
        let unmet = "unmet_authentication_requirements";
        return request.callback().error(op, unmet, "The level cannot be reached.");
    };
    let amr = if test_acr.is_some() { TEST_ID } else { person.eid.amr() };
    let shared = !["eidas", "employee"].contains(&person.eid.kind());
    let auth_time = op.world.clock.now();
    let authentication = Authentication { person, acr, amr, auth_time, shared };
    let cookie = locked(&op.state).sso.authenticated(
        cookie.as_deref(),
        authentication.clone(),
        op.world.clock.sso_now(),
    );
    let mut response = finish(op, &request, authentication, Some(cookie.clone()));
    let value = header::HeaderValue::try_from(op.set_cookie(&cookie)).expect("base64url is header text");
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

/// Makes the code and sends the browser back.
fn finish(
    op: &Op,
    request: &AuthRequest,
    authentication: Authentication,
    cookie: Option<String>,
) -> Response {
    let now = op.world.clock.now();
    let code = format!("{}.{}", random::token(), random::token());
    let mut state = locked(&op.state);
    let session = state.sso.find(cookie.as_deref(), op.world.clock.sso_now());
    let Some(sid) = session.map(|session| session.sid_for(&request.client_id)) else {
        return request.callback().error(op, "server_error", "The session ended meanwhile.");
    };
    let grant = Grant { request: request.clone(), authentication, sid };
    state.codes.insert(code.clone(), grant, now + CODE_LIFE, now);
    drop(state);
    request.callback().success(op, &code)
}

impl AuthRequest {
    fn callback(&self) -> Callback<'_> {
        Callback { target: &self.redirect_uri, state: self.state.as_deref() }
    }
}

/// The way back to the client (RFC 6749, 4.1.2; RFC 9207).
struct Callback<'a> {
    target: &'a str,
    state: Option<&'a str>,
}

impl Callback<'_> {
    fn success(&self, op: &Op, code: &str) -> Response {
        if op.world.lies(Lie::CallbackServerError) {
            return self.error(op, "server_error", "The simulator was told to fail.");
        }
        let mut answer = vec![("code", code.to_owned())];
        if op.world.lies(Lie::CallbackCodeDoubled) {
            answer.push(("code", format!("{}.{}", random::token(), random::token())));
        }
        if op.world.lies(Lie::CallbackCodeMissing) {
            answer.clear();
        }
        self.send(op, answer)
    }

    fn error(&self, op: &Op, code: &str, description: &str) -> Response {
        self.send(op, vec![("error", code.to_owned()), ("error_description", description.to_owned())])
    }

    fn send(&self, op: &Op, mut answer: Vec<(&'static str, String)>) -> Response {
        let lies = |lie| op.world.lies(lie);
        let twice = |value: &str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
        if let Some(state) = self.state.filter(|_| !lies(Lie::CallbackStateMissing)) {
            let wrong = lies(Lie::CallbackStateWrong).then(random::token);
            let encoded = lies(Lie::CallbackStateEncoded).then(|| percent_all(state));
            answer.push(("state", wrong.or(encoded).unwrap_or_else(|| state.to_owned())));
        }
        if !lies(Lie::CallbackIssMissing) {
            let wrong = lies(Lie::CallbackIssWrong).then(|| format!("{}-other", op.issuer));
            let encoded = lies(Lie::CallbackIssDoubleEncoded).then(|| twice(&op.issuer));
            answer.push(("iss", wrong.or(encoded).unwrap_or_else(|| op.issuer.clone())));
        }
        let target = with_query(self.target, answer.iter().map(|(name, value)| (*name, value.as_str())));
        (StatusCode::SEE_OTHER, NO_STORE, [(header::LOCATION, target)]).into_response()
    }
}

/// Every byte escaped: also what needs no escape, so that base64url values show the extra encoding.
fn percent_all(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// An error that must not be sent anywhere: it stays on a page of the provider's.
fn refuse(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, NO_STORE, Html(page::message("Noe er feil", why))).into_response()
}

/// Seconds somebody may look at the login page.
const PAGE_LIFE: u64 = 15 * 60;
/// Seconds a code can be redeemed, once.
const CODE_LIFE: u64 = 120;
