//! An issuer for tests, who signs whatever he is told to.

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Algorithm, KeySet, SigningKey};

pub(super) const ISSUER: &str = "https://test.idporten.no";
pub(super) const CLIENT: &str = "gw-client-1";
pub(super) const KID: &str = "key-1";

pub(super) struct Forge {
    pub(super) key: SigningKey,
}

impl Forge {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self { key: SigningKey::generate(algorithm).unwrap() }
    }

    pub(super) fn keys(&self) -> KeySet {
        set(&[self.key.public_jwk(KID)])
    }

    pub(super) fn header(&self) -> Value {
        json!({ "alg": self.key.algorithm().as_str(), "kid": KID })
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.with_header(&self.header(), claims)
    }

    pub(super) fn with_header(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }

    pub(super) fn raw(&self, header: &str, payload: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode_to_string(header),
            URL_SAFE_NO_PAD.encode_to_string(payload)
        );
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(signature))
    }
}

pub(super) fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// `claims` with members changed; `null` removes one.
pub(super) fn changed(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}
