//! The ID token: who logged in, when and how (OpenID Connect Core 1.0, 2 and 3.1.3.7).
//!
//! **Invariant:** whoever holds a [`VerifiedIdToken`] knows that the configured issuer signed it for
//! us, for this login, now. The level that `acr` is worth is judged elsewhere, per issuer.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::claims::Claims;
use super::{Algorithm, KeySet, SKEW, TokenError, jws};
use crate::clock::Timestamp;

/// An ID token is fetched seconds after it was made; an older one was kept by somebody.
pub const MAX_ID_TOKEN_AGE: Duration = Duration::from_secs(600);

/// What the token must be, from our configuration and from the login that asked for it.
pub struct IdTokenExpectation<'a> {
    /// The issuer, byte for byte as configured.
    pub issuer: &'a str,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// The `nonce` that this login sent.
    pub nonce: &'a str,
    /// The algorithms that are accepted from this issuer.
    pub algorithms: &'a [Algorithm],
    /// How fresh the authentication must be, if the login asked for that.
    pub max_age: Option<MaxAge>,
    /// The code that was redeemed: `c_hash` must fit it if the token has one.
    pub code: Option<&'a str>,
    /// The access token that came along: `at_hash` must fit it if the token has one (dossier 2.6).
    pub access_token: Option<&'a str>,
}

/// `max_age` as sent (OpenID Connect Core 1.0, 3.1.2.1). Zero is the same as `prompt=login`: the
/// person has authenticated after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge {
    /// How old the authentication could be when it was asked for.
    pub age: Duration,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// The claims of an ID token that passed every check of [`verify_id_token`].
pub struct VerifiedIdToken {
    claims: Map<String, Value>,
    subject: String,
    sid: Option<String>,
    acr: Option<String>,
    amr: Vec<String>,
    auth_time: Option<Timestamp>,
    issued: Timestamp,
    expires: Timestamp,
}

/// Verifies an ID token in full.
///
/// # Errors
///
/// The first rule that it breaks. [`TokenError::UnknownKey`] is the only cause that newer keys cure.
pub fn verify_id_token(
    token: &str,
    keys: &KeySet,
    expected: &IdTokenExpectation<'_>,
    now: Timestamp,
) -> Result<VerifiedIdToken, TokenError> {
    verify(token, keys, expected, now, |claims| check_nonce(claims, expected.nonce))
}

/// What an ID token must be that came with other tokens of the same login (OpenID Connect Core 1.0, 12.2).
pub struct RefreshedExpectation<'a> {
    /// The issuer, byte for byte as configured.
    pub issuer: &'a str,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// The algorithms that are accepted from this issuer.
    pub algorithms: &'a [Algorithm],
    /// The access token that came along.
    pub access_token: Option<&'a str>,
    /// The `sub` of the login.
    pub subject: &'a str,
    /// Whether a `nonce` is the login's; a refreshed token need not have one.
    pub is_nonce: &'a (dyn Fn(&str) -> bool + Sync),
}

/// Verifies the ID token of a refresh in full: it is the same issuer's, for us, of the same subject and login.
///
/// # Errors
///
/// As [`verify_id_token`].
pub fn verify_refreshed_id_token(
    token: &str,
    keys: &KeySet,
    expected: &RefreshedExpectation<'_>,
    now: Timestamp,
) -> Result<VerifiedIdToken, TokenError> {
    let as_of_a_login = IdTokenExpectation {
        issuer: expected.issuer,
        client_id: expected.client_id,
        nonce: "",
        algorithms: expected.algorithms,
        max_age: None,
        code: None,
        access_token: expected.access_token,
    };
    let token = verify(token, keys, &as_of_a_login, now, |claims| match claims.optional_text("nonce")? {
        Some(nonce) if !(expected.is_nonce)(nonce) => Err(TokenError::WrongNonce),
        _ => Ok(()),
    })?;
    if token.subject() == expected.subject { Ok(token) } else { Err(TokenError::WrongSubject) }
}

fn verify(
    token: &str,
    keys: &KeySet,
    expected: &IdTokenExpectation<'_>,
    now: Timestamp,
    check_nonce: impl FnOnce(&Claims) -> Result<(), TokenError>,
) -> Result<VerifiedIdToken, TokenError> {
    let (algorithm, claims) = jws::verify(token, keys, expected.algorithms, &["jwt"])?;
    let claims = Claims(claims);
    claims.check_issuer(expected.issuer)?;
    claims.check_audience(expected.client_id)?;
    let (issued, expires) = claims.check_times(now)?;
    Claims::check_age(issued, MAX_ID_TOKEN_AGE, now)?;
    check_nonce(&claims)?;
    let auth_time = check_auth_time(&claims, expected.max_age, now)?;
    check_hash(&claims, "c_hash", algorithm, expected.code)?;
    check_hash(&claims, "at_hash", algorithm, expected.access_token)?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(VerifiedIdToken {
        subject: owned(claims.optional_subject()?).ok_or(TokenError::Missing("sub"))?,
        sid: owned(claims.optional_text("sid")?),
        acr: owned(claims.optional_text("acr")?),
        amr: claims.optional_list("amr")?.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        auth_time,
        issued,
        expires,
        claims: claims.0,
    })
}

/// 3.1.3.7 (11). An empty expectation fits nothing: an empty `nonce` is malformed.
fn check_nonce(claims: &Claims, expected: &str) -> Result<(), TokenError> {
    let nonce = claims.text("nonce")?;
    let same = bool::from(nonce.as_bytes().ct_eq(expected.as_bytes())) || cfg!(planted_fault = "nonce");
    if same { Ok(()) } else { Err(TokenError::WrongNonce) }
}

/// 3.1.3.7 (13). `auth_time` lies up to 120 min back under single sign-on, so its age alone is no
/// fault; if freshness was asked for, it is what shows whether the provider obeyed.
fn check_auth_time(
    claims: &Claims,
    max_age: Option<MaxAge>,
    now: Timestamp,
) -> Result<Option<Timestamp>, TokenError> {
    let auth_time = claims.optional_time("auth_time")?;
    if auth_time.is_some_and(|at| at > now + SKEW) {
        return Err(TokenError::InFuture("auth_time"));
    }
    if let Some(MaxAge { age, requested_at }) = max_age {
        let at = auth_time.ok_or(TokenError::Missing("auth_time"))?;
        // Only what must be new is given the leeway of two clocks. Routes judge an age without it: who came in by it would
        // be sent to log in again, and once more.
        let leeway = if age.is_zero() { SKEW } else { Duration::ZERO };
        if at + age + leeway < requested_at {
            return Err(TokenError::AuthenticationTooOld);
        }
    }
    Ok(auth_time)
}

/// 3.1.3.6 and 3.3.2.11: the left half of the hash that the signature algorithm uses. Ed25519 hashes
/// with SHA-512.
fn check_hash(
    claims: &Claims,
    name: &'static str,
    algorithm: Algorithm,
    of: Option<&str>,
) -> Result<(), TokenError> {
    let (Some(claimed), Some(of)) = (claims.optional_text(name)?, of) else { return Ok(()) };
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => &digest::SHA256,
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => &digest::SHA384,
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(hash, of.as_bytes());
    let half = &digest.as_ref()[..digest.as_ref().len() / 2];
    let same = URL_SAFE_NO_PAD.encode_to_string(half).as_bytes().ct_eq(claimed.as_bytes());
    if bool::from(same) { Ok(()) } else { Err(TokenError::WrongHash(name)) }
}

impl VerifiedIdToken {
    /// `sub`: 1 to 255 ASCII characters, the person for this client at this issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `sid`: the session at the provider, if the client is registered to be told (dossier 0, 12).
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// `acr` as asserted; what it is worth is looked up per issuer.
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// `amr`, whether sent as a string or as an array; empty if absent.
    #[must_use]
    pub fn amr(&self) -> &[String] {
        &self.amr
    }

    /// When the person authenticated; earlier than [`issued`](Self::issued) under single sign-on.
    #[must_use]
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
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

    /// A claim that is a string.
    #[must_use]
    pub fn claim_str(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Any claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

impl fmt::Debug for VerifiedIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedIdToken([REDACTED])")
    }
}

#[cfg(test)]
mod tests;
