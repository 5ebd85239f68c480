//! The algorithms of HTTP message signatures (RFC 9421, 6.2.2) that this program signs with.

use super::Algorithm;

/// How a route's requests are signed, by the names of RFC 9421, 6.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// `ed25519` (RFC 9421, 3.3.6).
    Ed25519,
    /// `ecdsa-p256-sha256` (RFC 9421, 3.3.4).
    EcdsaP256Sha256,
    /// `hmac-sha256` (RFC 9421, 3.3.3), with a secret that one app shares with us.
    HmacSha256,
}

impl SignatureAlgorithm {
    /// The algorithms that need a key pair.
    pub const PAIRS: [Self; 2] = [Self::Ed25519, Self::EcdsaP256Sha256];

    /// The name in RFC 9421's registry, and in YAML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// What its key pairs are; `None` where the key is a secret.
    #[must_use]
    pub const fn pair(self) -> Option<Algorithm> {
        match self {
            Self::Ed25519 => Some(Algorithm::EdDsa),
            Self::EcdsaP256Sha256 => Some(Algorithm::Es256),
            Self::HmacSha256 => None,
        }
    }
}
