//! The logout token that a provider posts to us (OpenID Connect Back-Channel Logout 1.0, 2.4, 2.6).
//!
//! **Invariant:** nothing that is an ID token is a logout token, nor the other way round: `events` is
//! demanded and `nonce` refused here.
//!
//! The caller refuses a `jti` that it has seen (2.6, step 8 leaves that to the client; dossier 3.4).

use std::fmt;

use serde_json::Value;

use super::claims::Claims;
use super::{Algorithm, KeySet, TokenError, jws};
use crate::clock::Timestamp;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What the token must be, from our configuration.
pub struct LogoutTokenExpectation<'a> {
    /// The issuer, byte for byte as configured.
    pub issuer: &'a str,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// The algorithms that are accepted from this issuer.
    pub algorithms: &'a [Algorithm],
}

/// A session, or every session of a person, has ended at the issuer.
pub struct VerifiedLogoutToken {
    sid: Option<String>,
    subject: Option<String>,
    jti: String,
    issued: Timestamp,
    expires: Timestamp,
}

/// Verifies a logout token in full, except that its `jti` is new.
///
/// # Errors
///
/// The first rule that it breaks. [`TokenError::UnknownKey`] is the only cause that newer keys cure.
pub fn verify_logout_token(
    token: &str,
    keys: &KeySet,
    expected: &LogoutTokenExpectation<'_>,
    now: Timestamp,
) -> Result<VerifiedLogoutToken, TokenError> {
    let (_, claims) = jws::verify(token, keys, expected.algorithms, &["logout+jwt"])?;
    let claims = Claims(claims);
    claims.check_issuer(expected.issuer)?;
    claims.check_audience(expected.client_id)?;
    let (issued, expires) = claims.check_times(now)?;
    if !claims.0.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(TokenError::NoLogoutEvent);
    }
    if claims.0.contains_key("nonce") {
        return Err(TokenError::NonceInLogoutToken);
    }
    let sid = claims.optional_text("sid")?.map(str::to_owned);
    // Beside `sid` it is not looked at: at ID-porten it may be a person's number, or a foreign identifier in any
    // alphabet, and a logout must not fail for that.
    let subject = if sid.is_some() { None } else { claims.optional_subject()?.map(str::to_owned) };
    if sid.is_none() && subject.is_none() {
        return Err(TokenError::NobodyNamed);
    }
    Ok(VerifiedLogoutToken { sid, subject, jti: claims.text("jti")?.to_owned(), issued, expires })
}

impl VerifiedLogoutToken {
    /// The session that ended. If it is there, it alone says what ended (dossier 7, 13).
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// `sub`, where there is no `sid`. May be a bare person number at ID-porten (dossier 3.4): never to be logged.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The token's own id, to be accepted once.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// `iat`: authentications up to here have ended.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// `exp`: its `jti` need not be remembered for longer than this and the skew.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl fmt::Debug for VerifiedLogoutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedLogoutToken([REDACTED])")
    }
}

#[cfg(test)]
mod tests;
