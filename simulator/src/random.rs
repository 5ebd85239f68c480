//! Unguessable values and base64url.

use aws_lc_rs::digest;
use base64_simd::URL_SAFE_NO_PAD;

/// 128 random bits, base64url.
pub(crate) fn token() -> String {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    base64url(bytes)
}

/// Without padding (RFC 7515, 2).
pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes.as_ref())
}

/// Strict: no padding, no other alphabet.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// SHA-256, base64url: as in PKCE (RFC 7636, 4.2).
pub(crate) fn sha256(text: &str) -> String {
    base64url(digest::digest(&digest::SHA256, text.as_bytes()))
}
