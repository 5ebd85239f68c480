//! The assertions that we make ourselves, verified as an app does (`design.md` D7b; `threats.md` ID-8).

use serde_json::{Map, Value};

use super::claims::Claims;
use super::{Algorithm, KeySet, TokenError, jws};
use crate::clock::Timestamp;

/// Verifies an assertion for one issuer and one audience, and gives its claims.
///
/// # Errors
///
/// [`TokenError`]: the first thing that is wrong; issuer and audience before times.
pub fn verify_assertion(
    token: &str,
    keys: &KeySet,
    issuer: &str,
    audience: &str,
    now: Timestamp,
) -> Result<Map<String, Value>, TokenError> {
    let (_, claims) = jws::verify(token, keys, &[Algorithm::Es256, Algorithm::EdDsa], &["jwt"])?;
    let claims = Claims(claims);
    claims.check_issuer(issuer)?;
    if claims.text("aud")? != audience {
        return Err(TokenError::WrongAudience);
    }
    for needed in ["sub", "kind", "session", "jti"] {
        claims.text(needed)?;
    }
    claims.check_times(now)?;
    Ok(claims.0)
}
