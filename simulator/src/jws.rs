//! The provider's signing keys and its signatures (RFC 7515), honest and forged.
//!
//! Two keys are published, one signs. Retired keys still verify an `id_token_hint`, and nothing else.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::certificate;
use crate::random::{self, base64url, from_base64url};

/// The keys of one issuer.
pub(crate) struct Keys {
    active: SigningKey,
    next: SigningKey,
    retired: Vec<SigningKey>,
}

/// How the keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rotation {
    /// The key that was published beside the active one takes over.
    Announced,
    /// Two keys that nobody has seen replace both.
    Sudden,
}

impl Keys {
    /// Two fresh RSA keys of 2048 bits.
    pub(crate) fn generate() -> Self {
        Self { active: SigningKey::generate(), next: SigningKey::generate(), retired: Vec::new() }
    }

    /// Changes the keys. The retired keep verifying hints.
    pub(crate) fn rotate(&mut self, rotation: Rotation, fresh: Keys) {
        let announced = std::mem::replace(&mut self.next, fresh.next);
        match rotation {
            Rotation::Announced => {
                self.retired.push(std::mem::replace(&mut self.active, announced));
            }
            Rotation::Sudden => {
                self.retired.push(std::mem::replace(&mut self.active, fresh.active));
                self.retired.push(announced);
            }
        }
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> &SigningKey {
        &self.active
    }

    /// The published keys (RFC 7517).
    pub(crate) fn published(&self) -> Vec<Value> {
        vec![self.active.public(), self.next.public()]
    }

    /// The payload, if one of our keys, retired ones too, signed it (RS256).
    pub(crate) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Map<String, Value> = serde_json::from_slice(&from_base64url(header)?).ok()?;
        let kid = header.get("kid")?.as_str()?;
        let mut keys = [&self.active, &self.next].into_iter().chain(&self.retired);
        let key = keys.find(|key| key.kid == kid)?;
        let modulus = key.pair.public_key().modulus();
        let exponent = key.pair.public_key().exponent();
        RsaPublicKeyComponents {
            n: modulus.big_endian_without_leading_zero(),
            e: exponent.big_endian_without_leading_zero(),
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &from_base64url(signature)?)
        .ok()?;
        serde_json::from_slice(&from_base64url(payload)?).ok()
    }
}

/// One RSA key.
pub(crate) struct SigningKey {
    /// Its name in header and key set.
    pub(crate) kid: String,
    pair: KeyPair,
    certificate: String,
}

impl SigningKey {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the library makes RSA keys of 2048 bits");
        let sign = |message: &[u8]| rs256(&pair, message);
        let certificate = certificate::self_signed("ID-porten-simulator", &spki(&pair), sign);
        let certificate = base64_simd::STANDARD.encode_to_string(certificate);
        Self { kid: random::token(), pair, certificate }
    }

    /// The header ID-porten writes, with `x5c` (dossier 2.6).
    pub(crate) fn header(&self, typ: Option<&str>) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("kid".into(), json!(self.kid));
        header.insert("alg".into(), json!("RS256"));
        header.insert("x5c".into(), json!([self.certificate]));
        if let Some(typ) = typ {
            header.insert("typ".into(), json!(typ));
        }
        header
    }

    /// header.payload.signature, signed as RS256 whatever the header says.
    pub(crate) fn sign(&self, header: &Map<String, Value>, payload: &[u8]) -> String {
        let signed = signing_input(header, payload);
        let signature = rs256(&self.pair, signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    }

    /// HS256 keyed with the public key's PEM: the classic confusion of algorithms.
    pub(crate) fn forge_hs256(&self, header: &Map<String, Value>, payload: &[u8]) -> String {
        let der = base64_simd::STANDARD.encode_to_string(spki(&self.pair));
        let lines: Vec<_> = der.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let signed = signing_input(header, payload);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), signed.as_bytes());
        format!("{signed}.{}", base64url(tag))
    }

    /// As in the key set.
    pub(crate) fn public(&self) -> Value {
        let n = base64url(self.pair.public_key().modulus().big_endian_without_leading_zero());
        let e = base64url(self.pair.public_key().exponent().big_endian_without_leading_zero());
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e})
    }
}

/// `token` with one bit of its signature changed.
pub(crate) fn spoil(token: &str) -> String {
    let Some((signed, signature)) = token.rsplit_once('.') else { return token.into() };
    let mut signature = from_base64url(signature).unwrap_or_default();
    if let Some(byte) = signature.last_mut() {
        *byte ^= 1;
    }
    format!("{signed}.{}", base64url(signature))
}

/// What a signature covers (RFC 7515, 5.1).
pub(crate) fn signing_input(header: &Map<String, Value>, payload: &[u8]) -> String {
    let header = serde_json::to_vec(header).expect("a JSON object is writable");
    format!("{}.{}", base64url(header), base64url(payload))
}

fn rs256(pair: &KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .expect("the buffer is as long as the modulus");
    signature
}

fn spki(pair: &KeyPair) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("an RSA key has an encoding");
    der.as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_until_it_is_spoiled_and_survives_rotation() {
        let mut keys = Keys::generate();
        let token = keys.active().sign(&keys.active().header(None), br#"{"sub":"x"}"#);
        assert_eq!(keys.verify(&token).unwrap()["sub"], "x");
        assert!(keys.verify(&spoil(&token)).is_none());
        let announced = keys.published()[1]["kid"].clone();
        keys.rotate(Rotation::Announced, Keys::generate());
        assert_eq!(keys.published()[0]["kid"], announced);
        assert!(keys.verify(&token).is_some());
    }
}
