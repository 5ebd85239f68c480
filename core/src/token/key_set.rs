//! An issuer's public keys (RFC 7517; RFC 7518, 6; RFC 8037, 2), reduced to those that can verify.
//!
//! **Invariant:** what cannot verify a token of ours is dropped here, once: symmetric keys, keys for
//! encryption, `alg: none` or an unknown one, RSA below 2048 bits, points off their curve. Each key
//! carries the algorithms that it fits, so that a key is never used for another.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json::{self, JsonError};
use super::{Algorithm, TokenError};

/// More keys than this make the whole set unreadable: no provider publishes so many.
pub const MAX_KEYS: usize = 64;

/// Modulus in bytes: 2048 to 8192 bits.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The keys of one issuer.
pub struct KeySet {
    keys: Vec<Key>,
    ignored: usize,
}

struct Key {
    kid: Option<String>,
    /// Tells two copies of one key from two keys.
    material: Vec<u8>,
    fits: Vec<(Algorithm, ParsedPublicKey)>,
}

/// Why a document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object, or one with repeated members.
    #[error("the key set cannot be read")]
    Json(#[source] JsonError),
    /// No array `keys`, or something in it is not an object.
    #[error("the document is not a key set")]
    NotAKeySet,
    /// More than [`MAX_KEYS`].
    #[error("the key set has too many keys")]
    TooManyKeys,
    /// Every key was dropped: such a set would lock everybody out.
    #[error("the key set has no usable key")]
    NoUsableKey,
    /// One `kid` names two different keys of one kind: which of them signs is not for a token to choose, and
    /// such a set never replaces a good one.
    #[error("the key set has two keys under one name")]
    AmbiguousKid,
}

impl KeySet {
    /// Reads a JWK Set. Keys of no use are skipped and counted (RFC 7517, 5); a set without any
    /// usable key is an error, so that it never replaces a good one.
    ///
    /// # Errors
    ///
    /// If the document is not a bounded key set with at least one usable key.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document = json::parse_object(document).map_err(KeySetError::Json)?;
        let Some(Value::Array(entries)) = document.get("keys") else { return Err(KeySetError::NotAKeySet) };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut set = Self { keys: Vec::new(), ignored: 0 };
        for entry in entries {
            let Value::Object(jwk) = entry else { return Err(KeySetError::NotAKeySet) };
            match Key::parse(jwk) {
                Some(key) => set.keys.push(key),
                None => set.ignored += 1,
            }
        }
        match set {
            _ if set.keys.is_empty() => Err(KeySetError::NoUsableKey),
            _ if set.is_ambiguous() => Err(KeySetError::AmbiguousKid),
            _ => Ok(set),
        }
    }

    /// Copies of one key are one key, and a key of another kind is told apart by `alg`.
    fn is_ambiguous(&self) -> bool {
        let clash = |one: &Key, other: &Key| {
            one.kid.is_some()
                && one.kid == other.kid
                && one.material != other.material
                && one.fits.iter().any(|(algorithm, _)| other.fitting(*algorithm).is_some())
        };
        self.keys.iter().enumerate().any(|(at, one)| self.keys[..at].iter().any(|other| clash(one, other)))
    }

    /// How many keys can verify.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// How many keys of the document were of no use.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The one key that the header names.
    ///
    /// Keys are not tried in turn: which one signed would then be the token's choice. Copies of one key count
    /// as one. Without `kid` the set must hold exactly one fitting key (OpenID Connect Core 1.0, 10.1).
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&ParsedPublicKey, TokenError> {
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let mut fitting = named().filter_map(|key| key.fitting(algorithm).map(|parsed| (key, parsed)));
        let Some((first, parsed)) = fitting.next() else {
            let known = kid.is_some() && named().next().is_some();
            return Err(if known { TokenError::KeyDoesNotFit } else { TokenError::UnknownKey });
        };
        if fitting.any(|(key, _)| key.material != first.material) {
            return Err(TokenError::AmbiguousKey);
        }
        Ok(parsed)
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("usable", &self.keys.len()).field("ignored", &self.ignored).finish()
    }
}

impl Key {
    /// `None` if the key cannot verify a signature of ours.
    fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        if !may_verify(jwk) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return None,
        };
        let (material, mut fits) = match text(jwk, "kty")? {
            "RSA" => rsa(jwk)?,
            "EC" => elliptic(jwk)?,
            "OKP" => edwards(jwk)?,
            _ => return None,
        };
        if jwk.contains_key("alg") {
            let only: Algorithm = text(jwk, "alg")?.parse().ok()?;
            fits.retain(|(algorithm, _)| *algorithm == only);
        }
        (!fits.is_empty()).then_some(Self { kid, material, fits })
    }

    fn fitting(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.fits.iter().find(|(fits, _)| *fits == algorithm).map(|(_, parsed)| parsed)
    }
}

/// RFC 7517, 4.2 and 4.3: what the issuer says the key is for.
fn may_verify(jwk: &Map<String, Value>) -> bool {
    let use_fits = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let operations_fit = jwk.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    });
    use_fits && operations_fit
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    jwk.get(member)?.as_str()
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text(jwk, member)?).ok()
}

type Material = (Vec<u8>, Vec<(Algorithm, ParsedPublicKey)>);

fn rsa(jwk: &Map<String, Value>) -> Option<Material> {
    // RFC 7518, 6.3.1: no leading zero octets. Some issuers send one; it does not change the number.
    let n = without_leading_zero(bytes(jwk, "n")?);
    let e = without_leading_zero(bytes(jwk, "e")?);
    if !RSA_MODULUS.contains(&n.len())
        || (n.len() == *RSA_MODULUS.start() && n[0] < 0x80)
        || !sound_exponent(&e)
    {
        return None;
    }
    const RSA: [(Algorithm, &RsaParameters); 6] = [
        (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
    ];
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    let fits = RSA
        .into_iter()
        .map(|(algorithm, parameters)| Some((algorithm, components.to_parsed_public_key(parameters).ok()?)))
        .collect::<Option<_>>()?;
    Some(([n, e].concat(), fits))
}

fn without_leading_zero(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

/// Odd, at least 3, at most 32 bits: with exponent 1 every number is its own signature.
fn sound_exponent(e: &[u8]) -> bool {
    (1..=4).contains(&e.len()) && e != [1] && e[e.len() - 1] % 2 == 1
}

fn elliptic(jwk: &Map<String, Value>) -> Option<Material> {
    let (algorithm, verification, width) = match text(jwk, "crv")? {
        "P-256" => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => return None,
    };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    // RFC 7518, 6.2.1.2: the full width of the curve.
    if x.len() != width || y.len() != width {
        return None;
    }
    let point = [&[4][..], &x, &y].concat();
    let parsed = ParsedPublicKey::new(verification, &point).ok()?;
    Some((point, vec![(algorithm, parsed)]))
}

fn edwards(jwk: &Map<String, Value>) -> Option<Material> {
    if text(jwk, "crv")? != "Ed25519" {
        return None;
    }
    let x = bytes(jwk, "x")?;
    if x.len() != 32 {
        return None;
    }
    let parsed = ParsedPublicKey::new(&ED25519, &x).ok()?;
    Some((x, vec![(Algorithm::EdDsa, parsed)]))
}

#[cfg(test)]
mod tests;
