//! The access token that a machine brings (RFC 9068, 4; dossier 1.6), a signed JWT of the issuer's.
//!
//! **Invariant:** nothing that is an ID token, a logout token or an assertion is an access token, nor the other
//! way round: an access token says `token_type`, `scope` and `client_id`, and none of the claims that speak of a
//! login. One that is bound to a key ([RFC 7800]) is no bearer token: its proof is not checked here.
//!
//! [RFC 7800]: https://www.rfc-editor.org/rfc/rfc7800

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::{Algorithm, KeySet, TokenError, jws};
use crate::clock::Timestamp;

/// The longest life of an access token, `exp` − `iat`: nobody can end one earlier. Maskinporten's live some minutes.
pub const MAX_ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The most bytes of `scope`, and the most scopes in it.
const MAX_SCOPE: (usize, usize) = (4096, 128);

/// The literal that stands in `aud` where no audience was asked for; absent means the same (dossier 7, 9).
const NO_AUDIENCE: &str = "unspecified";

/// Claims of ID tokens, logout tokens and login sessions. A token that has one is of another kind (RFC 8725, 3.11).
const OF_A_LOGIN: [&str; 9] =
    ["nonce", "events", "sid", "acr", "amr", "auth_time", "at_hash", "c_hash", "s_hash"];

/// What the token must be, from our configuration.
pub struct AccessTokenExpectation<'a> {
    /// The issuer, byte for byte as configured.
    pub issuer: &'a str,
    /// The algorithms that are accepted from this issuer.
    pub algorithms: &'a [Algorithm],
}

/// The claims of an access token that passed every check of [`verify_access_token`].
pub struct VerifiedAccessToken {
    claims: Map<String, Value>,
    client_id: String,
    scopes: Vec<String>,
    audience: Vec<String>,
    issued: Timestamp,
    expires: Timestamp,
    digest: [u8; 32],
}

/// Verifies an access token, whatever it is for: which scope and audience are wanted is for the rule to say.
///
/// # Errors
///
/// The first rule that it breaks. [`TokenError::UnknownKey`] is the only cause that newer keys cure.
pub fn verify_access_token(
    token: &str,
    keys: &KeySet,
    expected: &AccessTokenExpectation<'_>,
    now: Timestamp,
) -> Result<VerifiedAccessToken, TokenError> {
    let (_, claims) = jws::verify(token, keys, expected.algorithms, &["jwt", "at+jwt"])?;
    let claims = Claims(claims);
    claims.check_issuer(expected.issuer)?;
    let (issued, expires) = claims.check_times(now)?;
    if expires.since(issued) > MAX_ACCESS_TOKEN_LIFE {
        return Err(TokenError::Malformed("exp"));
    }
    if OF_A_LOGIN.iter().any(|claim| claims.0.contains_key(*claim)) {
        return Err(TokenError::WrongType);
    }
    if claims.0.contains_key("cnf") || !claims.text("token_type")?.eq_ignore_ascii_case("Bearer") {
        return Err(TokenError::NotABearerToken);
    }
    Ok(VerifiedAccessToken {
        client_id: claims.text("client_id")?.to_owned(),
        scopes: scopes(claims.0.get("scope"))?,
        audience: audience(&claims)?,
        issued,
        expires,
        digest: digest_of(token),
        claims: claims.0,
    })
}

/// The SHA-256 of a token's text: tells one token from another without keeping it.
#[must_use]
pub fn digest_of(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// RFC 6749, 3.3: scopes apart by one space each; compared whole, never by their beginning.
fn scopes(claim: Option<&Value>) -> Result<Vec<String>, TokenError> {
    let text = match claim {
        None => return Err(TokenError::Missing("scope")),
        Some(Value::String(text)) if text.len() <= MAX_SCOPE.0 => text,
        Some(_) => return Err(TokenError::Malformed("scope")),
    };
    let scopes: Vec<String> = text.split(' ').map(str::to_owned).collect();
    if scopes.len() > MAX_SCOPE.1 || !scopes.iter().all(|scope| is_scope(scope)) {
        return Err(TokenError::Malformed("scope"));
    }
    Ok(scopes)
}

/// RFC 6749, appendix A.4.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// For whom the token is; empty: for nobody in particular.
fn audience(claims: &Claims) -> Result<Vec<String>, TokenError> {
    let audience = claims.optional_list("aud")?.unwrap_or_default();
    if audience == [NO_AUDIENCE] {
        return Ok(Vec::new());
    }
    Ok(audience.into_iter().map(str::to_owned).collect())
}

impl VerifiedAccessToken {
    /// `client_id`: to which client the token was issued. Whose machine it is, `consumer` says.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The scopes, in their order.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// `aud`; empty if the token is for nobody in particular.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// `iat`.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// `exp`.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The SHA-256 of its text.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Any claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

impl fmt::Debug for VerifiedAccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedAccessToken([REDACTED])")
    }
}

#[cfg(test)]
mod tests;
