//! Sealing: the one place that calls the cipher (`design.md` D2).
//!
//! AES-256-GCM with an extended nonce, XAES-256-GCM (C2SP): each value gets a key of its own, derived from
//! a random 192-bit nonce, so that no limit on nonces is near, across replicas and years (NIST SP 800-38D,
//! 8.3; `threats.md` CK-3).
//!
//! A sealed value is base64url of `version (1) | key id (4) | nonce (24) | ciphertext | tag (16)`.
//!
//! **Invariant:** the associated data binds the purpose, the cookie's name, the host or domain, the chunk
//! and the count, the key id and the version: a value opens in one place only (CK-2).
//!
//! **Invariant:** every defect is the same as no value (CK-1): [`open`] says nothing of why.

use aes_gcm::aead::{AeadInOut, KeyInit};
use base64_simd::URL_SAFE_NO_PAD;
use xaes_256_gcm::Xaes256Gcm;

use crate::clock::Timestamp;
use crate::key::{KeyId, Ring, RingKey};

/// The format's version, first byte of each sealed value.
const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEAD: usize = 1 + KeyId::LENGTH + NONCE;

/// How many bytes a sealed value has more than what is in it, before base64.
pub const OVERHEAD: usize = HEAD + TAG;

/// A key that seals.
#[derive(Clone)]
pub struct SealKey {
    cipher: Xaes256Gcm,
    fingerprint: [u8; 16],
}

impl SealKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let fingerprint = crate::key::MacKey::new(secret).tag("portvakt fingerprint", &[]);
        Self { cipher: Xaes256Gcm::new(&(*secret).into()), fingerprint }
    }

    /// Tells this key from others. It is a keyed hash of nothing: whoever has it learns nothing of the key.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 16] {
        &self.fingerprint
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey([REDACTED])")
    }
}

/// The one place in which a value opens.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What it is for.
    pub purpose: &'static str,
    /// The name of its cookie.
    pub cookie: &'a str,
    /// The host that set it, or the cookie's domain.
    pub scope: &'a str,
    /// Which part it is, from 0.
    pub chunk: u8,
    /// Of how many parts.
    pub chunks: u8,
}

impl<'a> Place<'a> {
    /// A value that is whole in one cookie.
    #[must_use]
    pub const fn whole(purpose: &'static str, cookie: &'a str, scope: &'a str) -> Self {
        Self { purpose, cookie, scope, chunk: 0, chunks: 1 }
    }

    fn associated_data(&self, head: &[u8], into: &mut Vec<u8>) {
        if cfg!(planted_fault = "associated_data") {
            return;
        }
        for part in ["portvakt", self.purpose, self.cookie, self.scope] {
            into.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            into.extend_from_slice(part.as_bytes());
        }
        into.extend_from_slice(&[self.chunk, self.chunks]);
        into.extend_from_slice(head);
    }
}

/// Seals `plain` under the ring's active key.
///
/// # Panics
///
/// Never: a cookie is far below the cipher's limit.
#[must_use]
pub fn seal(ring: &Ring<SealKey>, place: &Place<'_>, plain: &[u8], now: Timestamp) -> String {
    let RingKey { id: key_id, key, .. } = ring.active(now);
    let nonce: [u8; NONCE] = random();
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
    sealed.push(VERSION);
    sealed.extend_from_slice(&key_id.0);
    let mut associated = Vec::with_capacity(128);
    place.associated_data(&sealed, &mut associated);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = key
        .cipher
        .encrypt_inout_detached(&nonce.into(), &associated, (&mut sealed[HEAD..]).into())
        .expect("a cookie is far below the cipher's limit of 64 GiB");
    sealed.extend_from_slice(&tag);
    URL_SAFE_NO_PAD.encode_to_string(&sealed)
}

/// Opens a value that [`seal`] made in the same place under a key that has not retired.
#[must_use]
pub fn open(ring: &Ring<SealKey>, place: &Place<'_>, value: &[u8], now: Timestamp) -> Option<Vec<u8>> {
    // The decoder is strict: no padding, no other alphabet, no bits left over.
    let mut sealed = URL_SAFE_NO_PAD.decode_to_vec(value).ok()?;
    if sealed.len() < OVERHEAD || sealed[0] != VERSION {
        return None;
    }
    let key = ring.by_id(KeyId(sealed[1..=KeyId::LENGTH].try_into().ok()?), now)?;
    let mut associated = Vec::with_capacity(128);
    place.associated_data(&sealed[..=KeyId::LENGTH], &mut associated);
    let nonce: [u8; NONCE] = sealed[HEAD - NONCE..HEAD].try_into().ok()?;
    let tag: [u8; TAG] = sealed[sealed.len() - TAG..].try_into().ok()?;
    sealed.truncate(sealed.len() - TAG);
    key.cipher
        .decrypt_inout_detached(&nonce.into(), &associated, (&mut sealed[HEAD..]).into(), &tag.into())
        .ok()?;
    sealed.drain(..HEAD);
    Some(sealed)
}

/// Random bytes from the system's source.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("without random numbers nothing here is safe, so nothing goes on");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place<'static> = Place::whole("session", "__Host-portvakt", "a.no");
    const NOW: Timestamp = Timestamp::from_seconds(1);
    const ID: KeyId = KeyId([1, 2, 3, 4]);

    fn ring() -> Ring<SealKey> {
        Ring::single(ID, Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn sealed(plain: &[u8]) -> String {
        seal(&ring(), &PLACE, plain, NOW)
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let value = sealed(b"hello");
        assert_eq!(open(&ring(), &PLACE, value.as_bytes(), NOW).as_deref(), Some(&b"hello"[..]));
        for other in [
            Place { purpose: "login", ..PLACE },
            Place { cookie: "__Host-portvakt-b", ..PLACE },
            Place { scope: "b.no", ..PLACE },
            Place { chunk: 1, ..PLACE },
            Place { chunks: 2, ..PLACE },
            // The same letters, divided otherwise.
            Place { cookie: "__Host-portvakta", scope: ".no", ..PLACE },
        ] {
            assert_eq!(open(&ring(), &other, value.as_bytes(), NOW), None, "{other:?}");
        }
    }

    #[test]
    fn another_key_under_the_same_id_opens_nothing() {
        let other = Ring::single(ID, Timestamp::from_seconds(0), SealKey::new(&[8; 32]));
        assert_eq!(open(&other, &PLACE, sealed(b"x").as_bytes(), NOW), None);
        let renamed = Ring::single(KeyId([9; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]));
        assert_eq!(open(&renamed, &PLACE, sealed(b"x").as_bytes(), NOW), None);
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        assert_ne!(sealed(b"x"), sealed(b"x"));
    }

    proptest! {
        #[test]
        fn any_change_of_any_character_is_no_value(at in 0usize..70, with in 0u8..=255) {
            let value = sealed(b"some session").into_bytes();
            let mut changed = value.clone();
            let at = at % changed.len();
            changed[at] = with;
            prop_assert_eq!(open(&ring(), &PLACE, &changed, NOW).is_some(), changed == value);
        }

        #[test]
        fn any_cut_or_addition_is_no_value(cut in 1usize..80, more in "[A-Za-z0-9_=-]{1,4}") {
            let value = sealed(b"some session");
            prop_assert_eq!(open(&ring(), &PLACE, &value.as_bytes()[..value.len() - cut.min(value.len())], NOW), None);
            prop_assert_eq!(open(&ring(), &PLACE, format!("{value}{more}").as_bytes(), NOW), None);
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&ring(), &PLACE, &value, NOW), None);
        }
    }
}
