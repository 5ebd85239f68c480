//! Pushed authorization requests (RFC 9126; dossier 2.2), and the check that every authorization request passes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{AuthRequest, NO_STORE, OAuthError, Op, form};
use crate::client::{ChallengeMethod, Client};
use crate::lie::Lie;
use crate::page::Language;
use crate::params::Params;
use crate::random;
use crate::world::{Endpoint, Trouble, locked};

/// `POST /par`
pub(super) async fn push(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Par).await;
    if let Some(trouble) = op.world.trouble(TROUBLES, StatusCode::CREATED).await {
        return trouble;
    }
    match accept(&op, &headers, &body) {
        Ok(request_uri) => {
            let body = json!({"request_uri": request_uri, "expires_in": LIFE});
            (StatusCode::CREATED, NO_STORE, Json(body)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn accept(op: &Op, headers: &HeaderMap, body: &[u8]) -> Result<String, OAuthError> {
    let form = form(headers, body)?;
    let client = op.authenticate(headers, &form)?;
    if form.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request("request_uri cannot be pushed"));
    }
    registered_redirect_uri(&form, &client).map_err(OAuthError::invalid_request)?;
    let request = check(op, &form, &client)?;
    let request_uri = format!("urn:{}:{}", op.profile.name, random::token());
    let now = op.world.clock.now();
    locked(&op.state).pushed.insert(request_uri.clone(), request, now + LIFE, now);
    Ok(request_uri)
}

/// The redirect URI, registered as it stands. Until it is known nothing may be sent there.
pub(super) fn registered_redirect_uri<'a>(
    params: &'a Params,
    client: &Client,
) -> Result<&'a str, &'static str> {
    let offered = params.get("redirect_uri").ok_or("redirect_uri is missing")?;
    let registered = client.redirect_uris.iter().any(|registered| registered == offered);
    registered.then_some(offered).ok_or("redirect_uri is not registered")
}

/// Dossier 2.1. The redirect URI has been checked before.
pub(super) fn check(op: &Op, params: &Params, client: &Client) -> Result<AuthRequest, OAuthError> {
    if params.get("response_type") != Some("code") {
        return Err(OAuthError::new("unsupported_response_type", "response_type must be code"));
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OAuthError::invalid_request("the simulator answers in the query only"));
    }
    if params.get("request").is_some() {
        return Err(OAuthError::new("request_not_supported", "request objects are not supported"));
    }
    let scope = params.get("scope").unwrap_or_default();
    let mut scopes = scope.split(' ');
    if !scopes.clone().any(|scope| scope == "openid")
        || !scopes.all(|scope| ["openid", "profile"].contains(&scope) || op.profile.scopes.contains(&scope))
    {
        return Err(OAuthError::new("invalid_scope", "scope must be openid, and may have profile"));
    }
    let acr_values = params.get("acr_values").unwrap_or_default();
    let acr_values: Vec<_> = acr_values.split(' ').filter(|acr| !acr.is_empty()).map(str::to_owned).collect();
    (op.profile.check_acr_values)(&acr_values).map_err(OAuthError::invalid_request)?;
    let prompt = params.get("prompt");
    if prompt.is_some_and(|prompt| !["login", "none", "consent"].contains(&prompt)) {
        return Err(OAuthError::invalid_request("prompt is not supported"));
    }
    let names = ["state", "nonce"];
    if op.profile.demands_state_and_nonce && names.iter().any(|name| params.get(name).is_none()) {
        return Err(OAuthError::invalid_request("state and nonce are required"));
    }
    let details = params.get("authorization_details").map(serde_json::from_str).transpose();
    let details = details.map_err(|_| OAuthError::new("invalid_authorization_details", "not JSON"))?;
    let max_age = params.get("max_age").map(str::parse).transpose();
    Ok(AuthRequest {
        client_id: client.client_id.clone(),
        redirect_uri: params.get("redirect_uri").unwrap_or_default().to_owned(),
        state: params.get("state").map(str::to_owned),
        nonce: params.get("nonce").map(str::to_owned),
        scope: scope.to_owned(),
        code_challenge: code_challenge(params, client)?,
        acr_values,
        prompt: prompt.map(str::to_owned),
        max_age: max_age.map_err(|_| OAuthError::invalid_request("max_age is not a number"))?,
        locale: Language::choose(params.get("ui_locales")).code(),
        login_hint: params.get("login_hint").map(str::to_owned),
        details,
        onbehalfof: params.get("onbehalfof").map(str::to_owned),
        organisation: None,
        resource: params.get("resource").map(str::to_owned),
    })
}

/// S256 unless the client is registered without PKCE (dossier 2.1; RFC 7636).
fn code_challenge(params: &Params, client: &Client) -> Result<Option<String>, OAuthError> {
    let challenge = params.get("code_challenge");
    if challenge.is_none() && client.code_challenge_method == ChallengeMethod::None {
        return Ok(None);
    }
    let well_formed = |challenge: &&str| {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        challenge.len() == 43 && challenge.bytes().all(base64url)
    };
    match (params.get("code_challenge_method"), challenge.filter(well_formed)) {
        (Some("S256"), Some(challenge)) => Ok(Some(challenge.to_owned())),
        _ => Err(OAuthError::invalid_request("PKCE with S256 is required")),
    }
}

/// Seconds a pushed request can be used, once.
const LIFE: u64 = 120;

const TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::ParSlow, Trouble::Slow),
    (Lie::Par401, Trouble::Error(StatusCode::UNAUTHORIZED, "invalid_client")),
    (Lie::Par500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
    (Lie::Par503, Trouble::Error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")),
    (Lie::ParHuge, Trouble::Huge),
    (Lie::ParRedirect, Trouble::Redirect),
    (Lie::ParNotJson, Trouble::NotJson),
];
