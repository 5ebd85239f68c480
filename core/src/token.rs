//! The one verifier of signed tokens, and the signer of our own.
//!
//! ID tokens (OpenID Connect Core 1.0, 3.1.3.7), logout tokens (Back-Channel Logout 1.0, 2.6) and access tokens
//! of machines (RFC 9068) pass through the same door, which reads compact JWS only (RFC 7515) and follows RFC 8725: the algorithm
//! comes from a fixed list, the key from the issuer's key set, the kind of token from its `typ`, and
//! nothing is taken from the token before its signature holds. No call is made here: a token signed by
//! a key we do not know is [`TokenError::UnknownKey`], and the caller decides whether to fetch.
//!
//! **Invariant:** [`VerifiedIdToken`], [`VerifiedLogoutToken`] and [`VerifiedAccessToken`] have private fields and no maker but
//! the verifier. They do not print what they hold.
//!
//! **Invariant:** key hints in a token's header (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.

mod access_token;
mod assertion;
mod claims;
#[cfg(test)]
mod forge;
mod id_token;
pub mod json;
mod jws;
mod key_set;
mod logout_token;
mod own;
mod sign;
mod signature_algorithm;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::access_token::{
    AccessTokenExpectation, MAX_ACCESS_TOKEN_LIFE, VerifiedAccessToken, digest_of, is_scope,
    verify_access_token,
};
pub use self::assertion::{ASSERTION_LIFE, client_assertion};
pub use self::id_token::{
    IdTokenExpectation, MAX_ID_TOKEN_AGE, MaxAge, RefreshedExpectation, VerifiedIdToken, verify_id_token,
    verify_refreshed_id_token,
};
pub use self::jws::{MAX_TOKEN_LENGTH, TokenError};
pub use self::key_set::{KeySet, KeySetError, MAX_KEYS};
pub use self::logout_token::{LogoutTokenExpectation, VerifiedLogoutToken, verify_logout_token};
pub use self::own::verify_assertion;
pub use self::sign::{KeyError, SigningError, SigningKey};
pub use self::signature_algorithm::SignatureAlgorithm;

/// How far the issuer's clock and ours may differ. ID-porten's tokens live 120 s (dossier 2.6).
pub const SKEW: Duration = Duration::from_secs(10);

/// A signature algorithm that a token may be signed with (RFC 7518, 3.1; RFC 8037, 3.1). There is no
/// symmetric one and no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519; also under its name of RFC 9864, `Ed25519`.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, strongest habit last.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The name in `alg` (RFC 7518, 3.1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of an algorithm that this program does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a supported signature algorithm")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "Ed25519" {
            return Ok(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownAlgorithm)
    }
}

/// Random bytes from the one generator of the program.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("AWS-LC aborts the process rather than return without entropy");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_one_name_in_tokens_and_in_configuration() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        assert_eq!("Ed25519".parse(), Ok(Algorithm::EdDsa));
        for name in ["none", "None", "HS256", "rs256", "RS256 ", ""] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
        }
    }
}
