//! Compact JWS (RFC 7515, 5.2), and the reasons why a token is refused.
//!
//! **Invariant:** the payload is decoded and read once, after the signature held. Base64url is
//! canonical and unpadded, so that no other text of a valid token is valid.

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json::{self, JsonError};
use super::{Algorithm, KeySet};

/// Longer tokens are refused unread.
pub const MAX_TOKEN_LENGTH: usize = 32 * 1024;

/// A header that is longer carries more than a certificate chain.
const MAX_HEADER_LENGTH: usize = 16 * 1024;

/// Why a token was refused. Names claims, never their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_LENGTH`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the token is not a compact JWS")]
    NotCompact,
    /// Five parts: encrypted for someone (RFC 7516).
    #[error("the token is encrypted")]
    Encrypted,
    /// Header or claims are not one JSON object without repeated members.
    #[error("the token's JSON is refused")]
    Json(#[source] JsonError),
    /// The header has a member that changes how the token is to be read: `crit`, `b64`, `zip`, `enc`,
    /// `cty`.
    #[error("the token's header has an unsupported member: {0}")]
    UnsupportedHeader(&'static str),
    /// `typ` says that this is another kind of token (RFC 8725, 3.11).
    #[error("the token is of another kind")]
    WrongType,
    /// `alg` is missing, unknown, or not on the list for this issuer.
    #[error("the token's algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// No key of the set has the token's `kid`. The set may be old: fetching it once is worth while.
    #[error("the token's key is not in the key set")]
    UnknownKey,
    /// The key of that `kid` is not for the token's algorithm.
    #[error("the token's key does not fit its algorithm")]
    KeyDoesNotFit,
    /// More than one key could have signed it.
    #[error("the token does not say which of several keys signed it")]
    AmbiguousKey,
    /// The signature is not of the issuer's key over this text.
    #[error("the token's signature is invalid")]
    SignatureInvalid,
    /// A claim that must be there is not.
    #[error("the token has no claim `{0}`")]
    Missing(&'static str),
    /// A claim is not of its type, or out of its bounds.
    #[error("the token's claim `{0}` is malformed")]
    Malformed(&'static str),
    /// `iss` is not the configured issuer, byte for byte.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` does not name us.
    #[error("the token is for another client")]
    WrongAudience,
    /// `azp` is missing beside several audiences, or names another client.
    #[error("the token was issued to another party")]
    WrongAuthorizedParty,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` or `auth_time` is in the future.
    #[error("the token's claim `{0}` lies in the future")]
    InFuture(&'static str),
    /// `iat` is too long ago for an answer to a login that has just ended.
    #[error("the token was issued too long ago")]
    TooOld,
    /// `nonce` is not that of the login.
    #[error("the token belongs to another login")]
    WrongNonce,
    /// `sub` of a refreshed token is not that of the login (OpenID Connect Core 1.0, 12.2).
    #[error("the token speaks of another subject")]
    WrongSubject,
    /// The person authenticated earlier than was asked for.
    #[error("the authentication is older than was asked for")]
    AuthenticationTooOld,
    /// `at_hash` or `c_hash` does not fit what came with the token.
    #[error("the token's claim `{0}` does not fit")]
    WrongHash(&'static str),
    /// An access token that is bound to a key, or whose `token_type` is not `Bearer` (RFC 6750; RFC 7800).
    #[error("the token is no bearer token")]
    NotABearerToken,
    /// A logout token without the event that makes it one.
    #[error("the token is not about a logout")]
    NoLogoutEvent,
    /// A logout token with `nonce`: it could be an ID token.
    #[error("a logout token must not have a nonce")]
    NonceInLogoutToken,
    /// A logout token with neither `sid` nor `sub`.
    #[error("the logout token names neither session nor person")]
    NobodyNamed,
}

/// The algorithm and the claims of a token whose signature, header and kind were checked; nothing else was.
///
/// `types` are the values of `typ` that this kind of token may have, in lower case, without the
/// prefix `application/`. An absent `typ` is accepted: OpenID Connect does not demand one.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    algorithms: &[Algorithm],
    types: &[&str],
) -> Result<(Algorithm, Map<String, Value>), TokenError> {
    let parts = Parts::split(token)?;
    let header = Header::parse(parts.header)?;
    header.check_type(types)?;
    if !algorithms.contains(&header.algorithm) {
        return Err(TokenError::AlgorithmNotAllowed);
    }
    let key = keys.find(header.kid.as_deref(), header.algorithm)?;
    key.verify_sig(parts.signed.as_bytes(), &decode(parts.signature)?)
        .map_err(|_| TokenError::SignatureInvalid)?;
    let claims = json::parse_object(&decode(parts.payload)?).map_err(TokenError::Json)?;
    Ok((header.algorithm, claims))
}

struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenError::TooLong);
        }
        match token.bytes().filter(|byte| *byte == b'.').count() {
            2 => {}
            4 => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::NotCompact),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::NotCompact)?;
        if header.len() > MAX_HEADER_LENGTH || signature.is_empty() {
            return Err(TokenError::NotCompact);
        }
        Ok(Self { signed, header, payload, signature })
    }
}

/// Strict: `URL_SAFE_NO_PAD` refuses padding, other alphabets, blanks and set trailing bits.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode_to_vec(part).map_err(|_| TokenError::NotCompact)
}

/// What of a header is looked at. Key hints are not.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    kind: Option<String>,
}

impl Header {
    fn parse(part: &str) -> Result<Self, TokenError> {
        let header = json::parse_object(&decode(part)?).map_err(TokenError::Json)?;
        // RFC 7515, 4.1.11: no extension is understood here, so each critical one is refused.
        for member in ["crit", "b64", "zip", "enc", "cty"] {
            if header.contains_key(member) {
                return Err(TokenError::UnsupportedHeader(member));
            }
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => name.parse().map_err(|_| TokenError::AlgorithmNotAllowed)?,
            _ => return Err(TokenError::AlgorithmNotAllowed),
        };
        Ok(Self {
            algorithm,
            kid: optional_text(&header, "kid", 256)?,
            kind: optional_text(&header, "typ", 64)?,
        })
    }

    /// RFC 7515, 4.1.9: media types are compared without regard to case, `application/` may be left out.
    fn check_type(&self, types: &[&str]) -> Result<(), TokenError> {
        let Some(kind) = &self.kind else { return Ok(()) };
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if types.contains(&kind) { Ok(()) } else { Err(TokenError::WrongType) }
    }
}

fn optional_text(
    header: &Map<String, Value>,
    member: &'static str,
    longest: usize,
) -> Result<Option<String>, TokenError> {
    match header.get(member) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= longest => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::Malformed(member)),
    }
}
