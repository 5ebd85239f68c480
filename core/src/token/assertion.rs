//! The client assertion: how the gateway proves to a provider who it is (RFC 7523, 3; dossier 2.5).

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{SigningError, SigningKey};
use crate::clock::Timestamp;

/// `exp` − `iat`. ID-porten refuses more than 120 s (dossier 0, fact 8).
pub const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// A client assertion for one call. Every call and every retry needs a new `jti`: ID-porten accepts
/// none twice. `audience` is the issuer, one string (dossier 0, fact 7), for every endpoint alike.
///
/// # Errors
///
/// If signing fails.
pub fn client_assertion(
    key: &SigningKey,
    kid: &str,
    client_id: &str,
    audience: &str,
    now: Timestamp,
    jti: [u8; 16],
) -> Result<String, SigningError> {
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now.seconds(),
        "exp": (now + ASSERTION_LIFE).seconds(),
        "jti": URL_SAFE_NO_PAD.encode_to_string(jti),
    });
    key.sign_jws(&[("kid", kid)], &claims)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::token::{Algorithm, KeySet, jws};

    #[test]
    fn the_assertion_is_what_id_porten_asks_for() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let now = Timestamp::from_millis(1_790_000_000_999);
        let assertion =
            client_assertion(&key, "key-1", "client-1", "https://test.idporten.no", now, [7; 16]).unwrap();
        let set = json!({ "keys": [key.public_jwk("key-1")] }).to_string();
        let keys = KeySet::parse(set.as_bytes()).unwrap();
        let (_, claims) = jws::verify(&assertion, &keys, &[Algorithm::Es256], &[]).unwrap();
        let expected = json!({
            "iss": "client-1", "sub": "client-1", "aud": "https://test.idporten.no",
            "iat": 1_790_000_000, "exp": 1_790_000_060, "jti": "BwcHBwcHBwcHBwcHBwcHBw",
        });
        assert_eq!(Value::Object(claims), expected);
        let header = URL_SAFE_NO_PAD.decode_to_vec(assertion.split('.').next().unwrap()).unwrap();
        assert_eq!(header, br#"{"alg":"ES256","kid":"key-1"}"#);
    }
}
