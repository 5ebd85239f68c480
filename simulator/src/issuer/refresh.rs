//! Refresh tokens and their end (dossier 2.8; RFC 6749, 6; RFC 7009; RFC 9700, 4.14.2).
//!
//! A client that registered the grant gets one with each login. It lives ten minutes, is exchanged at each use unless
//! that is ordered otherwise, and whoever brings one that was exchanged ends all that came of the login.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Grant, NO_STORE, OAuthError, Op, OpState, form, redeem};
use crate::client::Client;
use crate::lie::Lie;
use crate::random;
use crate::world::{Endpoint, Trouble, locked};

const GRANT: &str = "refresh_token";

/// Seconds for which a login may be refreshed (dossier 2.5).
const AUTHORIZATION_LIFE: u64 = 7200;

/// What a client may refresh: begins for one that registered it.
pub(super) fn begin(op: &Op, client: &Client, grant: &Grant) -> Option<String> {
    if !client.grant_types.iter().any(|registered| registered == GRANT) {
        return None;
    }
    let (id, now) = (random::token(), op.world.clock.now());
    locked(&op.state).authorizations.insert(id.clone(), grant.clone(), now + AUTHORIZATION_LIFE, now);
    Some(id)
}

/// Puts a new refresh token into a reply.
pub(super) fn add_to(reply: &mut Value, op: &Op, authorization: &str) {
    let (life, padding) = {
        let settings = locked(&op.world.settings);
        (settings.refresh_token_seconds, settings.refresh_token_padding)
    };
    let (token, now) = (format!("{}{}", random::token(), "y".repeat(padding)), op.world.clock.now());
    locked(&op.state).refresh_tokens.insert(token.clone(), authorization.to_owned(), now + life, now);
    reply[GRANT] = json!(token);
    // Not a standard's, and sent all the same (dossier 2.5).
    reply["refresh_token_expires_in"] = json!(life);
}

/// Whether a form asks the token endpoint for this grant.
pub(super) fn is_asked_for(headers: &HeaderMap, body: &[u8]) -> bool {
    form(headers, body).is_ok_and(|form| form.get("grant_type") == Some(GRANT))
}

pub(super) async fn answer(op: &Op, headers: &HeaderMap, body: &[u8]) -> Response {
    op.world.arrive(Endpoint::Refresh).await;
    if let Some(trouble) = op.world.trouble(TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let reply = match refresh(op, headers, body) {
        Ok(reply) => reply,
        Err(error) => return error.into_response(),
    };
    if op.world.lies(Lie::RefreshReplyLost) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    (NO_STORE, Json(reply)).into_response()
}

fn refresh(op: &Op, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
    let form = form(headers, body)?;
    let client = op.authenticate(headers, &form)?;
    let token = form.get(GRANT).ok_or_else(|| OAuthError::invalid_request("refresh_token is missing"))?;
    let now = op.world.clock.now();
    let (exchanges, reuse_ends) = {
        let settings = locked(&op.world.settings);
        (settings.refresh_rotation, settings.refresh_reuse_ends)
    };
    let exchanges = exchanges && !op.world.lies(Lie::RefreshNoRotation);
    let (id, mut grant) = {
        let mut state = locked(&op.state);
        if let Some(id) = state.exchanged.get(token, now).cloned() {
            if reuse_ends {
                state.end_authorization(&id);
            }
            return Err(OAuthError::invalid_grant("the refresh token was exchanged before"));
        }
        let id = state.refresh_tokens.get(token, now).cloned();
        let grant = id.as_ref().and_then(|id| state.authorizations.get(id, now)).cloned();
        let (Some(id), Some(grant)) = (id, grant) else {
            return Err(OAuthError::invalid_grant("the refresh token is unknown or expired"));
        };
        if grant.request.client_id != client.client_id {
            return Err(OAuthError::invalid_grant("the refresh token belongs to another client"));
        }
        if exchanges {
            state.refresh_tokens.take(token, now);
            state.exchanged.insert(token.to_owned(), id.clone(), now + AUTHORIZATION_LIFE, now);
        }
        (id, grant)
    };
    bend(op, &mut grant);
    let mut reply = redeem::tokens(op, &client, &grant, Some(&id));
    if op.world.lies(Lie::RefreshNoIdToken)
        && let Some(reply) = reply.as_object_mut()
    {
        reply.remove("id_token");
    }
    if exchanges {
        add_to(&mut reply, op, &id);
    }
    Ok(reply)
}

/// Makes it another person's, or of another session.
fn bend(op: &Op, grant: &mut Grant) {
    if op.world.lies(Lie::RefreshOtherPerson)
        && let Some(other) = op.world.persons.iter().find(|person| {
            person.id != grant.authentication.person.id
                && person.eid.acr() == grant.authentication.person.eid.acr()
        })
    {
        grant.authentication.person = other.clone();
    }
    if op.world.lies(Lie::RefreshOtherSid) {
        grant.sid = random::token();
    }
    if !op.world.lies(Lie::RefreshSameNonce) {
        // OpenID Connect Core 1.0, 12.2: it should have none.
        grant.request.nonce = None;
    }
    if op.world.lies(Lie::RefreshOtherNonce) {
        grant.request.nonce = Some(random::token());
    }
}

/// `/token/revoke` (RFC 7009): 200 for unknown tokens too. A refresh token takes with it what came of the login.
pub(super) async fn revoke(State(op): State<Arc<Op>>, headers: HeaderMap, body: Bytes) -> Response {
    op.world.arrive(Endpoint::Revoke).await;
    if let Some(trouble) = op.world.trouble(REVOKE_TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let authenticated = form(&headers, &body).and_then(|form| {
        let client = op.authenticate(&headers, &form)?;
        Ok((client, form))
    });
    let (client, form) = match authenticated {
        Ok(authenticated) => authenticated,
        Err(error) => return error.into_response(),
    };
    let (token, now) = (form.get("token").unwrap_or_default(), op.world.clock.now());
    let mut state = locked(&op.state);
    if state.access_tokens.get(token, now).is_some_and(|access| access.client_id == client.client_id) {
        state.access_tokens.take(token, now);
    }
    let of = state.refresh_tokens.get(token, now).or(state.exchanged.get(token, now)).cloned();
    let theirs = |id: &String| {
        let grant = state.authorizations.get(id, now);
        grant.is_some_and(|grant| grant.request.client_id == client.client_id)
    };
    if let Some(id) = of.filter(theirs) {
        state.end_authorization(&id);
    }
    StatusCode::OK.into_response()
}

impl OpState {
    /// How many logins may be refreshed.
    pub(crate) fn refreshable(&self, now: u64) -> usize {
        self.authorizations.living(now)
    }

    /// Ends what came of a login: refresh tokens and access tokens.
    fn end_authorization(&mut self, id: &str) {
        self.authorizations.remove(id);
        self.refresh_tokens.retain(|of| of != id);
        self.access_tokens.retain(|access| access.authorization.as_deref() != Some(id));
    }
}

const TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::RefreshSlow, Trouble::Slow),
    (Lie::RefreshInvalidGrant, Trouble::Error(StatusCode::BAD_REQUEST, "invalid_grant")),
    (Lie::RefreshUnauthorizedClient, Trouble::Error(StatusCode::BAD_REQUEST, "unauthorized_client")),
    (Lie::Refresh500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
    (Lie::RefreshNotJson, Trouble::NotJson),
];

const REVOKE_TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::RevokeSlow, Trouble::Slow),
    (Lie::Revoke500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
];
