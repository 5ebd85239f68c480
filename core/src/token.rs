//! To be written.

/// A JWS signature algorithm (RFC 7518, 3.1; RFC 8037, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 using SHA-256.
    Rs256,
    /// RSASSA-PSS using SHA-256.
    Ps256,
    /// ECDSA using P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}
