//! Our own keys: read once, used often (RFC 7515, 5.1; RFC 7518; RFC 8037).
//!
//! **Invariant:** a private key leaves only through [`SigningKey::to_pkcs8_pem`], which `portvakt keys`
//! writes to a file. `Debug` shows its algorithm.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, VerificationAlgorithm,
};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::Algorithm;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// A private key that signs our tokens: RS256, ES256 or EdDSA, whichever its kind implies.
pub struct SigningKey {
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a file is not a key of ours. Holds nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not exactly one `PRIVATE KEY` block (RFC 7468, 10).
    #[error("not one PKCS#8 private key in PEM; convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    NotPem,
    /// Not PKCS#8, or damaged, or no kind that we sign with. RSA below 2048 bits is none (RFC 7518,
    /// 3.3): the library does not read it.
    #[error("not a PKCS#8 private key of kind RSA (2048 to 8192 bits), P-256 or Ed25519")]
    NotAKey,
    /// This program verifies the algorithm but does not sign with it.
    #[error("no keys are made for {0}")]
    NotForSigning(Algorithm),
    /// The library refused to make or write a key.
    #[error("the key could not be made")]
    Failed,
}

/// The library refused to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signing failed")]
pub struct SigningError;

impl SigningKey {
    /// A new key. RSA keys have 3072 bits (dossier 2.5).
    ///
    /// # Errors
    ///
    /// [`KeyError::NotForSigning`] for an algorithm other than RS256, ES256, EdDSA.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa3072).map(|pair| Pair::Rsa(Box::new(pair))),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::Ed25519),
            other => return Err(KeyError::NotForSigning(other)),
        };
        pair.map(|pair| Self { pair }).map_err(|_| KeyError::Failed)
    }

    /// From PKCS#8 in PEM (RFC 7468, 10), as `openssl genpkey` writes it.
    ///
    /// # Errors
    ///
    /// If the text is not exactly one such key, or a weak one.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let (_, rest) = pem.split_once(PEM_BEGIN).ok_or(KeyError::NotPem)?;
        let (body, after) = rest.split_once(PEM_END).ok_or(KeyError::NotPem)?;
        if after.contains("-----BEGIN ") {
            return Err(KeyError::NotPem);
        }
        let text: Zeroizing<Vec<u8>> =
            Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let der = Zeroizing::new(STANDARD.decode_to_vec(&*text).map_err(|_| KeyError::NotPem)?);
        Self::from_pkcs8_der(&der)
    }

    /// From PKCS#8 in DER (RFC 5958).
    ///
    /// # Errors
    ///
    /// If it is no key of a kind that this program signs with, or a weak one.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self { pair: Pair::Ed25519(pair) });
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self { pair: Pair::P256(pair) });
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::NotAKey)?;
        Ok(Self { pair: Pair::Rsa(Box::new(pair)) })
    }

    /// The private key as PKCS#8 in PEM, for the file that only its owner may read.
    ///
    /// # Errors
    ///
    /// If the library cannot write it.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der = match &self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Failed)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            Pair::P256(pair) => {
                Zeroizing::new(pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => {
                Zeroizing::new(pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?.as_ref().to_vec())
            }
        };
        let body = Zeroizing::new(STANDARD.encode_to_string(&*der));
        // Reserved at once: a growing buffer would leave copies of the key behind.
        let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 64));
        pem.push_str(PEM_BEGIN);
        for (index, symbol) in body.chars().enumerate() {
            if index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(symbol);
        }
        pem.push('\n');
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok(pem)
    }

    /// What this key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.pair {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::P256(_) => Algorithm::Es256,
            Pair::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The public key for a key set (RFC 7517), with `kid`, `use` and `alg`.
    #[must_use]
    pub fn public_jwk(&self, kid: &str) -> Value {
        let mut jwk = self.required_members();
        jwk.insert("kid".to_owned(), kid.into());
        jwk.insert("use".to_owned(), "sig".into());
        jwk.insert("alg".to_owned(), self.algorithm().as_str().into());
        Value::Object(jwk)
    }

    /// The key's thumbprint (RFC 7638 with SHA-256, base64url): an id that needs no keeping.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // RFC 7638, 3.2: required members only, in lexicographic order, no blanks. `Map` is a BTreeMap.
        let canonical = Value::Object(self.required_members()).to_string();
        URL_SAFE_NO_PAD.encode_to_string(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }

    fn required_members(&self) -> Map<String, Value> {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
        let members = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "e": base64(public.exponent().big_endian_without_leading_zero()),
                    "kty": "RSA",
                    "n": base64(public.modulus().big_endian_without_leading_zero()),
                })
            }
            Pair::P256(pair) => {
                // SEC 1, 2.3.3: 4, x, y.
                let point = pair.public_key().as_ref();
                json!({ "crv": "P-256", "kty": "EC", "x": base64(&point[1..33]), "y": base64(&point[33..65]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": base64(pair.public_key().as_ref()) })
            }
        };
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// A compact JWS over `claims`. `header` is what stands beside `alg`: `kid`, `typ`.
    ///
    /// # Errors
    ///
    /// If the library refuses to sign, which it does not for a key that it has read.
    pub fn sign_jws(&self, header: &[(&str, &str)], claims: &Value) -> Result<String, SigningError> {
        let mut members: Map<String, Value> =
            header.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        members.insert("alg".to_owned(), self.algorithm().as_str().into());
        let header = URL_SAFE_NO_PAD.encode_to_string(Value::Object(members).to_string());
        let payload = URL_SAFE_NO_PAD.encode_to_string(claims.to_string());
        let mut token = format!("{header}.{payload}");
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode_to_string(signature));
        Ok(token)
    }

    /// A signature over `message` in the form that JWS demands (RFC 7518, 3.3 and 3.4; RFC 8037, 3.1).
    ///
    /// # Errors
    ///
    /// As [`sign_jws`](Self::sign_jws).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| SigningError)?;
                Ok(signature)
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| SigningError)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(|_| SigningError)?.as_ref().to_vec()),
        }
    }
}

impl SigningKey {
    /// Whether this key made a signature in the form of [`sign`](Self::sign).
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithm, public): (&dyn VerificationAlgorithm, &[u8]) = match &self.pair {
            Pair::Rsa(pair) => (&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()),
            Pair::P256(pair) => (&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()),
            Pair::Ed25519(pair) => (&ED25519, pair.public_key().as_ref()),
        };
        algorithm.verify_sig(public, message, signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [REDACTED])", self.algorithm())
    }
}

#[cfg(test)]
mod tests;
