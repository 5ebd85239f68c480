//! The token endpoint (dossier 2.5) and what takes its access tokens (2.8).

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Access, Grant, NO_STORE, OAuthError, Op, Told, form, refresh};
use crate::client::{AuthMethod, Client};
use crate::lie::Lie;
use crate::random;
use crate::token::{IdToken, sign_id_token};
use crate::world::{Endpoint, Trouble, locked};

/// `POST /token`
pub(super) async fn token(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Token).await;
    if let Some(trouble) = op.world.trouble(TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    if refresh::is_asked_for(&headers, &body) {
        return refresh::answer(&op, &headers, &body).await;
    }
    match redeem(&op, &headers, &body) {
        Ok((client, grant)) => {
            let authorization = refresh::begin(&op, &client, &grant);
            let mut reply = tokens(&op, &client, &grant, authorization.as_deref());
            if let Some(authorization) = authorization {
                refresh::add_to(&mut reply, &op, &authorization);
            }
            (NO_STORE, Json(reply)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Checks client, code, redirect URI and verifier. A code is spent by the first attempt of its client.
fn redeem(op: &Op, headers: &HeaderMap, body: &[u8]) -> Result<(Client, Grant), OAuthError> {
    let form = form(headers, body)?;
    let client = op.authenticate(headers, &form)?;
    if client.token_endpoint_auth_method != AuthMethod::ClientSecretBasic && form.get("client_id").is_none() {
        return Err(OAuthError::invalid_request("client_id is missing"));
    }
    if form.get("grant_type") != Some("authorization_code") {
        return Err(OAuthError::new("unsupported_grant_type", "grant_type must be authorization_code"));
    }
    let code = form.get("code").ok_or_else(|| OAuthError::invalid_request("code is missing"))?;
    let grant = locked(&op.state).codes.take(code, op.world.clock.now());
    let grant = grant.ok_or_else(|| OAuthError::invalid_grant("the code is unknown, used or expired"))?;
    if grant.request.client_id != client.client_id {
        return Err(OAuthError::invalid_grant("the code belongs to another client"));
    }
    if form.get("redirect_uri") != Some(grant.request.redirect_uri.as_str()) {
        return Err(OAuthError::invalid_grant("redirect_uri differs from the authorization request's"));
    }
    check_verifier(grant.request.code_challenge.as_deref(), form.get("code_verifier"))
        .map_err(OAuthError::invalid_grant)?;
    Ok((client, grant))
}

/// S256 (RFC 7636, 4.1, 4.6).
fn check_verifier(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), &'static str> {
    let (challenge, verifier) = match (challenge, verifier) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err("code_verifier without a challenge"),
        (Some(_), None) => return Err("code_verifier is missing"),
        (Some(challenge), Some(verifier)) => (challenge, verifier),
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return Err("code_verifier is malformed");
    }
    if random::sha256(verifier) != challenge {
        return Err("code_verifier does not match");
    }
    Ok(())
}

/// The reply of the token endpoint. `authorization`: what may be refreshed.
pub(super) fn tokens(op: &Op, client: &Client, grant: &Grant, authorization: Option<&str>) -> Value {
    let now = op.world.clock.now();
    let mut id_token = id_token(op, client, grant);
    let identity = id_token.identity.clone();
    if op.profile.in_userinfo {
        id_token.identity.clear();
    }
    let claims = id_token.claims(now);
    let (life, padding) = {
        let settings = locked(&op.world.settings);
        (settings.access_token_seconds, settings.access_token_padding)
    };
    let access_token = format!("{}{}", random::token(), "x".repeat(padding));
    let mut userinfo = json!({"sub": claims["sub"]});
    for name in ["pid", "locale"] {
        if let Some(value) = claims.get(name) {
            userinfo[name] = value.clone();
        }
    }
    if op.profile.in_userinfo {
        identity.into_iter().for_each(|(name, value)| userinfo[name] = value);
    }
    // For whom the token is (RFC 8707): `unspecified` unless that was asked for (dossier 2.8).
    userinfo["aud"] = json!(grant.request.resource.as_deref().unwrap_or("unspecified"));
    if op.world.lies(Lie::UserinfoOtherSub) {
        userinfo["sub"] = json!(random::token());
    }
    let access = Access {
        client_id: client.client_id.clone(),
        sid: grant.sid.clone(),
        is_of_login_alone: grant.is_of_login_alone(),
        authorization: authorization.map(str::to_owned),
        userinfo,
    };
    locked(&op.state).access_tokens.insert(access_token.clone(), access, now + life, now);
    let typ = locked(&op.world.settings).id_token_typ.clone();
    let keys = op.keys.read().unwrap_or_else(PoisonError::into_inner);
    let mut response = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": life,
        "scope": grant.request.scope,
    });
    if !op.world.lies(Lie::IdTokenMissing) {
        response["id_token"] = json!(sign_id_token(&op.world, &keys, claims, typ.as_deref()));
    }
    response
}

fn id_token<'a>(op: &'a Op, client: &'a Client, grant: &'a Grant) -> IdToken<'a> {
    let who = &grant.authentication;
    let profile_scope = grant.request.scope.split(' ').any(|scope| scope == "profile");
    let names = locked(&op.world.settings).eidas_claim_names;
    IdToken {
        issuer: &op.issuer,
        client_id: &client.client_id,
        subject: who.person.subject(),
        acr: who.acr,
        amr: who.amr,
        auth_time: who.auth_time,
        nonce: grant.request.nonce.as_deref(),
        sid: client.wants_sid().then_some(&grant.sid),
        locale: profile_scope.then_some(grant.request.locale),
        identity: (op.profile.identity)(
            who,
            &Told {
                scope: &grant.request.scope,
                names,
                details: grant.request.details.as_ref(),
                organisation: grant.request.organisation.as_deref(),
                onbehalfof: grant.request.onbehalfof.as_deref(),
            },
        ),
    }
}

/// `/userinfo`: nothing beyond the ID token.
pub(super) async fn userinfo(State(op): State<Arc<Op>>, headers: HeaderMap) -> Response {
    op.world.arrive(Endpoint::Userinfo).await;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match locked(&op.state).access_tokens.get(token, op.world.clock.now()) {
        Some(access) => (NO_STORE, Json(access.userinfo.clone())).into_response(),
        None => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
            (StatusCode::UNAUTHORIZED, challenge).into_response()
        }
    }
}

/// `/token/introspect`: only for callers with a scope that no client of the simulator has.
pub(super) async fn introspect(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Introspect).await;
    match form(&headers, &body).and_then(|form| op.authenticate(&headers, &form)) {
        Ok(_) => {
            let error = OAuthError::new("insufficient_scope", "idporten:token.introspection is needed");
            OAuthError { status: StatusCode::FORBIDDEN, ..error }.into_response()
        }
        Err(error) => error.into_response(),
    }
}

pub(super) const TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::TokenSlow, Trouble::Slow),
    (Lie::Token401, Trouble::Error(StatusCode::UNAUTHORIZED, "invalid_client")),
    (Lie::TokenInvalidGrant, Trouble::Error(StatusCode::BAD_REQUEST, "invalid_grant")),
    (Lie::Token500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
    (Lie::Token503, Trouble::Error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")),
    (Lie::TokenHuge, Trouble::Huge),
    (Lie::TokenRedirect, Trouble::Redirect),
    (Lie::TokenNotJson, Trouble::NotJson),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of dossier 2.1.
    const VERIFIER: &str = "xyo94uhy3zKvgB0NJwLms86SwcjtWviEOpkBnGgaLlo";
    const CHALLENGE: &str = "b7elB7ZyxIXgFyvBznKvxl7wOB-H17Pz0a3B62NIMFI";

    #[test]
    fn the_verifier_must_hash_to_the_challenge() {
        assert_eq!(check_verifier(Some(CHALLENGE), Some(VERIFIER)), Ok(()));
        assert!(check_verifier(Some(CHALLENGE), None).is_err());
        assert!(check_verifier(Some(CHALLENGE), Some(CHALLENGE)).is_err());
        assert!(check_verifier(Some(&random::sha256("short")), Some("short")).is_err());
        assert!(check_verifier(None, Some(VERIFIER)).is_err());
    }
}
