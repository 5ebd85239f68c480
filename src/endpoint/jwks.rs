//! `GET /.well-known/portvakt/jwks.json`: the keys with which apps verify assertions and
//! message signatures (RFC 7517, 5).
//!
//! **Invariant:** a key is published from the moment it is in the file until it retires, so that apps know
//! it before anything is signed with it (`design.md` D15).

use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use portvakt_core::clock::Timestamp;
use portvakt_core::key::Keys;
use portvakt_core::token::SignatureAlgorithm;
use serde_json::{Value, json};

use super::Visit;
use crate::answer::Answer;
use crate::respond::Refusal;

/// Apps ask again after five minutes: new keys are used a day after they are here.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) fn serve(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let set = key_set(&visit.snapshot.keys, visit.now).ok_or(Refusal::NoRoute)?;
    let mut answer = Answer::json(StatusCode::OK, &set, "jwks");
    answer.headers.retain(|(name, _)| *name != CACHE_CONTROL);
    Ok(answer.with(CACHE_CONTROL, CACHED))
}

/// `None` without a key.
fn key_set(keys: &Keys, now: Timestamp) -> Option<Value> {
    let rings = keys
        .assertion
        .iter()
        .chain(SignatureAlgorithm::PAIRS.iter().filter_map(|kind| keys.signature.get(kind)));
    let accepted = rings.flat_map(|ring| ring.accepted(now));
    let keys: Vec<Value> = accepted.map(|key| key.key.public_jwk(&key.id.to_string())).collect();
    (!keys.is_empty()).then(|| json!({ "keys": keys }))
}
