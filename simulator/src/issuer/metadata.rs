//! Discovery and key set (OIDC Discovery 1.0; RFC 7517).

use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Op;
use crate::jws::Keys;
use crate::lie::Lie;
use crate::world::{Endpoint, Trouble, World};

/// `/.well-known/openid-configuration`
pub(super) async fn discovery(State(op): State<Arc<Op>>) -> Response {
    op.world.arrive(Endpoint::Discovery).await;
    if let Some(trouble) = op.world.trouble(DISCOVERY_TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let mut metadata = (op.profile.metadata)(&op.issuer);
    if op.world.lies(Lie::DiscoveryWrongIssuer) {
        metadata["issuer"] = json!(format!("{}-other", op.issuer));
    }
    if op.world.lies(Lie::DiscoveryWithoutSid) {
        for channel in ["frontchannel", "backchannel"] {
            metadata[format!("{channel}_logout_session_supported")] = json!(false);
        }
    }
    Json(metadata).into_response()
}

/// `/jwks.json`
pub(super) async fn jwks(State(op): State<Arc<Op>>) -> Response {
    key_set(&op.world, &op.keys).await
}

/// The published keys, or what passes for them.
pub(super) async fn key_set(world: &World, keys: &RwLock<Keys>) -> Response {
    world.arrive(Endpoint::Jwks).await;
    if let Some(trouble) = world.trouble(JWKS_TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let mut keys = keys.read().unwrap_or_else(PoisonError::into_inner).published();
    if world.lies(Lie::JwksEmpty) {
        keys.clear();
    }
    if world.lies(Lie::JwksAlgNone) {
        keys.insert(0, json!({"kty": "oct", "alg": "none", "kid": "none", "use": "sig", "k": ""}));
    }
    if world.lies(Lie::JwksDuplicateKids) {
        keys.insert(0, foreign_key(&keys));
    }
    Json(json!({"keys": keys})).into_response()
}

/// Where redirecting endpoints point: whoever follows is counted.
pub(super) async fn elsewhere(State(op): State<Arc<Op>>) -> Response {
    op.world.arrive(Endpoint::Elsewhere).await;
    StatusCode::NOT_FOUND.into_response()
}

/// A key of nobody's, under the first key's name.
fn foreign_key(keys: &[Value]) -> Value {
    let mut foreign = Keys::generate().active().public();
    foreign["kid"] = keys.first().map(|key| key["kid"].clone()).unwrap_or_default();
    foreign
}

pub(super) const DISCOVERY_TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::DiscoverySlow, Trouble::Slow),
    (Lie::Discovery500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
    (Lie::DiscoveryHuge, Trouble::Huge),
    (Lie::DiscoveryNotJson, Trouble::NotJson),
];

const JWKS_TROUBLES: &[(Lie, Trouble)] = &[
    (Lie::JwksSlow, Trouble::Slow),
    (Lie::Jwks500, Trouble::Error(StatusCode::INTERNAL_SERVER_ERROR, "server_error")),
    (Lie::JwksHuge, Trouble::Huge),
    (Lie::JwksNotJson, Trouble::NotJson),
];
