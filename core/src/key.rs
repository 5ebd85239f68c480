//! Keys: one versioned file per purpose; each key has an id and a time from which on it is used
//! (`design.md` D15).
//!
//! **Invariant:** a key is accepted from the moment it is in the file, and used only from its
//! `active_from` on, so that every replica accepts it before one uses it.
//!
//! **Invariant:** a weak, equal or example key stops the start (`threats.md` CK-4).

mod accord;
mod age;
mod council;
mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::seal::SealKey;
use crate::token::{Algorithm, SignatureAlgorithm, SigningKey};

pub use self::accord::{Proof, disagreement};
pub use self::age::{Concern, KeyTimes};
pub use self::council::{Council, Judgement, Named, NoticeError};
pub use self::file::{KeyFile, KeyFileError, KeySummary, NewKey, OVERLAP, PROPAGATION, path_of};

/// The id of a key, as sealed values carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; Self::LENGTH]);

impl KeyId {
    /// In bytes.
    pub const LENGTH: usize = 4;

    /// From eight hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 2 * Self::LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u32::from_str_radix(text, 16).ok())?.map(|id| Self(id.to_be_bytes()))
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// The keys of one purpose.
#[derive(Clone, Debug)]
pub struct Ring<K> {
    keys: Vec<RingKey<K>>,
    /// A bit for each of the first 64 that is not used yet because somebody might not accept what it makes.
    withheld: Arc<AtomicU64>,
}

/// A key with the times that rule it.
#[derive(Clone, Debug)]
pub struct RingKey<K> {
    /// Its id.
    pub id: KeyId,
    /// From when on it is used.
    pub active_from: Timestamp,
    /// From when on it is not accepted any more.
    pub retire_after: Option<Timestamp>,
    /// The key.
    pub key: K,
}

impl<K> Ring<K> {
    /// A ring of these keys; `None` if there is none.
    #[must_use]
    pub fn new(mut keys: Vec<RingKey<K>>) -> Option<Self> {
        keys.sort_by_key(|key| key.active_from);
        (!keys.is_empty()).then_some(Self { keys, withheld: Arc::default() })
    }

    /// A ring of one key without an end.
    #[must_use]
    pub fn single(id: KeyId, active_from: Timestamp, key: K) -> Self {
        let keys = vec![RingKey { id, active_from, retire_after: None, key }];
        Self { keys, withheld: Arc::default() }
    }

    /// The key to use at a time: the newest that is active and not withheld, or else the newest that is active; the first
    /// if none is yet.
    ///
    /// # Panics
    ///
    /// Never: a ring has at least one key.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> &RingKey<K> {
        let withheld = self.withheld.load(Ordering::Relaxed);
        if withheld != 0 {
            let is_free = |at: usize| withheld.checked_shr(at as u32).unwrap_or(0) & 1 == 0;
            let mut newest_first = self.keys.iter().enumerate().rev();
            let free =
                newest_first.find(|(at, key)| is_free(*at) && key.active_from <= now && !key.is_retired(now));
            if let Some((_, key)) = free {
                return key;
            }
        }
        self.keys.iter().rev().find(|key| key.active_from <= now).unwrap_or(&self.keys[0])
    }

    /// From now on these are used only if there is no other.
    fn withhold(&self, is_withheld: impl Fn(&RingKey<K>) -> bool) {
        let bit = |(at, _): (usize, &RingKey<K>)| 1u64.checked_shl(at as u32).unwrap_or(0);
        let keys = self.keys.iter().enumerate().filter(|(_, key)| is_withheld(key));
        self.withheld.store(keys.map(bit).sum(), Ordering::Relaxed);
    }

    /// The key of this id, active already or not yet, unless it has retired.
    #[must_use]
    pub fn by_id(&self, id: KeyId, now: Timestamp) -> Option<&K> {
        self.keys.iter().find(|key| key.id == id && !key.is_retired(now)).map(|key| &key.key)
    }

    /// Every key that is accepted, active already or not yet, oldest first.
    pub fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &RingKey<K>> {
        self.keys.iter().filter(move |key| !key.is_retired(now))
    }

    /// Every key, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[RingKey<K>] {
        &self.keys
    }
}

impl<K> RingKey<K> {
    /// The same id and times with this key.
    fn with<L>(&self, key: L) -> RingKey<L> {
        RingKey { id: self.id, active_from: self.active_from, retire_after: self.retire_after, key }
    }

    /// Whether it is not accepted any more.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.retire_after.is_some_and(|end| end <= now)
    }
}

/// An HMAC-SHA256 key: tags, handles, pseudonyms.
#[derive(Clone)]
pub struct MacKey(aws_lc_rs::hmac::Key);

impl MacKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret))
    }

    /// HMAC over the parts, each preceded by its length, cut to `N` bytes.
    ///
    /// # Panics
    ///
    /// Never for `N` up to 32.
    #[must_use]
    pub fn tag<const N: usize>(&self, label: &str, parts: &[&[u8]]) -> [u8; N] {
        const { assert!(N <= 32) };
        let mut context = aws_lc_rs::hmac::Context::with_key(&self.0);
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref()[..N].try_into().expect("SHA-256 has 32 bytes")
    }

    /// HMAC-SHA256 over a message (RFC 2104), for a format that says what the message is.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> [u8; 32] {
        let tag = aws_lc_rs::hmac::sign(&self.0, message);
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl MacKey {
    /// Whether this is [`mac`](Self::mac) of a message, in constant time.
    #[must_use]
    pub fn is_mac(&self, message: &[u8], mac: &[u8]) -> bool {
        aws_lc_rs::hmac::verify(&self.0, message, mac).is_ok()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey([REDACTED])")
    }
}

/// A key towards a provider, with the `kid` under which it is registered.
#[derive(Debug, Clone)]
pub struct ClientKey {
    /// `kid`.
    pub kid: String,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// The purpose of the key pairs that sign what apps are told (`X-Identity-Assertion`).
pub const ASSERTION: &str = "assertion";

/// The purpose of the key pairs that sign requests to apps (RFC 9421); `None` where the key is an app's secret.
#[must_use]
pub const fn signature_purpose(algorithm: SignatureAlgorithm) -> Option<&'static str> {
    match algorithm {
        SignatureAlgorithm::Ed25519 => Some("signature-ed25519"),
        SignatureAlgorithm::EcdsaP256Sha256 => Some("signature-ecdsa-p256-sha256"),
        SignatureAlgorithm::HmacSha256 => None,
    }
}

/// The purpose of the keys that make what apps keep of people: match keys and pseudonyms. It has no file where no route
/// tells either.
pub const MATCH: &str = "match";

/// Whether a new key of this purpose changes what apps have kept, for everybody: then no key of it is ever too old.
#[must_use]
pub fn is_lasting(purpose: &str) -> bool {
    purpose == MATCH
}

/// The beginning of the purpose of a secret that an app shares with us.
const APP: &str = "app-";

/// The beginning of the purpose of the keys with which we authenticate at a provider.
const CLIENT: &str = "client-";

/// The purpose of the keys with which we authenticate at a provider, by its name in the file.
#[must_use]
pub fn client_purpose(provider: &str) -> String {
    format!("{CLIENT}{provider}")
}

/// The purpose of the secret that an app shares with us, by the upstream's name in the file.
#[must_use]
pub fn app_purpose(upstream: &str) -> String {
    format!("{APP}{upstream}")
}

/// The purposes that a symmetric key can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Seals cookies.
    Cookie,
    /// Makes the tags under which sessions are ended.
    Revocation,
    /// Makes the handles of sessions that apps are told.
    Pseudonym,
    /// Makes the pseudonyms of the audit log and the session tags of the access log.
    Audit,
}

impl Secret {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Cookie, Self::Revocation, Self::Pseudonym, Self::Audit];

    /// The purpose's name: of its file, and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Revocation => "revocation",
            Self::Pseudonym => "pseudonym",
            Self::Audit => "audit",
        }
    }
}

/// The keys that make what apps are told instead of something that they must not know.
#[derive(Clone, Copy, Debug)]
pub struct Hashing<'k> {
    /// Makes the handles of sessions.
    pub handles: &'k Ring<MacKey>,
    /// Makes match keys and pseudonyms.
    pub lasting: Option<&'k Ring<MacKey>>,
}

/// Every key of the gateway's own.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Seals cookies.
    pub cookie: Ring<SealKey>,
    /// Makes revocation tags.
    pub revocation: Ring<MacKey>,
    /// Makes the handles of sessions that apps are told.
    pub pseudonym: Ring<MacKey>,
    /// Makes match keys and pseudonyms; `None` if there is no such file, which only routes that tell neither do without.
    pub lasting: Option<Ring<MacKey>>,
    /// Makes what logs hold instead of identities.
    pub audit: Ring<MacKey>,
    /// Signs assertions; `None` if there is no such file, which only routes without assertions do without.
    pub assertion: Option<Ring<Arc<SigningKey>>>,
    /// Sign requests to apps, by algorithm, for those whose file exists.
    pub signature: HashMap<SignatureAlgorithm, Ring<Arc<SigningKey>>>,
    /// Secrets that apps share with us, by the upstream's name, for those whose file exists.
    pub apps: HashMap<String, Ring<MacKey>>,
}

impl Keys {
    /// Reads the folder of key files.
    ///
    /// # Errors
    ///
    /// The first file that is missing, readable by others, malformed or weak; equal keys anywhere, with which we authenticate
    /// at providers among them. The files
    /// of assertion, signature and lasting keys may be missing: [`Keys::demand_assertion`],
    /// [`Keys::demand_signature`] and [`Keys::demand_lasting`] say who needs them.
    pub fn load(folder: &Path) -> Result<Self, KeyFileError> {
        let mut files = Secret::ALL
            .into_iter()
            .map(|purpose| KeyFile::read(&path_of(folder, purpose.as_str()), purpose.as_str()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut pairs =
            |purpose: &str, kinds: &[Algorithm]| match KeyFile::read(&path_of(folder, purpose), purpose) {
                Ok(file) => {
                    let ring = Ring::new(file.pairs(kinds)?);
                    files.push(file);
                    Ok(ring)
                }
                Err(KeyFileError::Missing { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        let assertion = pairs(ASSERTION, &[Algorithm::Es256, Algorithm::EdDsa])?;
        let mut signature = HashMap::new();
        for algorithm in SignatureAlgorithm::PAIRS {
            let Some((purpose, kind)) = signature_purpose(algorithm).zip(algorithm.pair()) else { continue };
            signature.extend(pairs(purpose, &[kind])?.map(|ring| (algorithm, ring)));
        }
        let lasting = match KeyFile::read(&path_of(folder, MATCH), MATCH) {
            Ok(file) => {
                let ring = map_ring(file.secrets()?, MacKey::new);
                files.push(file);
                Some(ring)
            }
            Err(KeyFileError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut apps = HashMap::new();
        for purpose in file::purposes(folder)?.into_iter().filter(|purpose| purpose.starts_with(APP)) {
            let file = KeyFile::read(&path_of(folder, &purpose), &purpose)?;
            apps.insert(purpose[APP.len()..].to_owned(), map_ring(file.secrets()?, MacKey::new));
            files.push(file);
        }
        // What is wrong with these is said to who uses them; two providers may know us by the same key.
        let clients = file::purposes(folder)?.into_iter().filter(|purpose| purpose.starts_with(CLIENT));
        let clients = clients.filter_map(|purpose| KeyFile::read(&path_of(folder, &purpose), &purpose).ok());
        file::refuse_equal(&files, &clients.collect::<Vec<_>>())?;
        let ring = |purpose: Secret| files[purpose as usize].secrets();
        let macs = |purpose| ring(purpose).map(|secrets| map_ring(secrets, MacKey::new));
        Ok(Self {
            cookie: map_ring(ring(Secret::Cookie)?, SealKey::new),
            revocation: macs(Secret::Revocation)?,
            pseudonym: macs(Secret::Pseudonym)?,
            lasting,
            audit: macs(Secret::Audit)?,
            assertion,
            signature,
            apps,
        })
    }

    /// Fails unless assertions can be made.
    ///
    /// # Errors
    ///
    /// If there is no file of assertion keys, or all of them have retired.
    pub fn demand_assertion(&self, folder: &Path, now: Timestamp) -> Result<(), KeyFileError> {
        match &self.assertion {
            None => Err(KeyFileError::missing(&path_of(folder, ASSERTION), ASSERTION)),
            Some(ring) if ring.active(now).is_retired(now) => {
                Err(KeyFileError::empty(&path_of(folder, ASSERTION), ASSERTION))
            }
            Some(_) => Ok(()),
        }
    }

    /// Fails unless match keys and pseudonyms can be made.
    ///
    /// # Errors
    ///
    /// If there is no file of such keys, or all of them have retired.
    pub fn demand_lasting(&self, folder: &Path, now: Timestamp) -> Result<(), KeyFileError> {
        match &self.lasting {
            None => Err(KeyFileError::missing(&path_of(folder, MATCH), MATCH)),
            Some(ring) if ring.active(now).is_retired(now) => {
                Err(KeyFileError::empty(&path_of(folder, MATCH), MATCH))
            }
            Some(_) => Ok(()),
        }
    }

    /// What makes the hashes that apps are told.
    #[must_use]
    pub fn hashing(&self) -> Hashing<'_> {
        Hashing { handles: &self.pseudonym, lasting: self.lasting.as_ref() }
    }

    /// Fails unless requests to an app, an upstream of the file, can be signed as a route wants.
    ///
    /// # Errors
    ///
    /// If there is no file of such keys, or all of them have retired.
    pub fn demand_signature(
        &self,
        algorithm: SignatureAlgorithm,
        app: &str,
        folder: &Path,
        now: Timestamp,
    ) -> Result<(), KeyFileError> {
        let purpose = signature_purpose(algorithm).map_or_else(|| app_purpose(app), str::to_owned);
        let retired = match algorithm {
            SignatureAlgorithm::HmacSha256 => self.apps.get(app).map(|ring| ring.active(now).is_retired(now)),
            pair => self.signature.get(&pair).map(|ring| ring.active(now).is_retired(now)),
        };
        match retired {
            None => Err(KeyFileError::missing(&path_of(folder, &purpose), &purpose)),
            Some(true) => Err(KeyFileError::empty(&path_of(folder, &purpose), &purpose)),
            Some(false) => Ok(()),
        }
    }
}

fn map_ring<K>(secrets: Vec<RingKey<Zeroizing<[u8; 32]>>>, make: impl Fn(&[u8; 32]) -> K) -> Ring<K> {
    let keys = secrets.into_iter().map(|secret| secret.with(make(&secret.key))).collect();
    Ring::new(keys).expect("a key file without a key is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_from_its_time_on_and_accepted_before() {
        let at = Timestamp::from_seconds;
        let key =
            |id, from| RingKey { id: KeyId([id; 4]), active_from: at(from), retire_after: None, key: id };
        let ring = Ring::new(vec![key(2, 200), key(1, 100)]).unwrap();
        assert_eq!(ring.active(at(150)).key, 1);
        assert_eq!(ring.active(at(200)).key, 2);
        assert_eq!(ring.active(at(50)).key, 1);
        assert_eq!(ring.by_id(KeyId([2; 4]), at(0)), Some(&2));
        assert_eq!(ring.by_id(KeyId([3; 4]), at(0)), None);
        let both = Ring::new(vec![key(2, 200), key(1, 100)]).unwrap();
        both.withhold(|key| key.key == 2);
        assert_eq!(both.clone().active(at(250)).key, 1, "the one before, until everybody has it");
        both.withhold(|_| true);
        assert_eq!(both.active(at(250)).key, 2, "there is no other");
        let retired = RingKey { retire_after: Some(at(240)), ..key(1, 100) };
        let both = Ring::new(vec![key(2, 200), retired]).unwrap();
        both.withhold(|key| key.key == 2);
        assert_eq!((both.active(at(230)).key, both.active(at(250)).key), (1, 2));
        let retiring = RingKey { retire_after: Some(at(300)), ..key(4, 0) };
        let ring = Ring::new(vec![retiring]).unwrap();
        assert_eq!(ring.by_id(KeyId([4; 4]), at(299)), Some(&4));
        assert_eq!(ring.by_id(KeyId([4; 4]), at(300)), None);
    }

    #[test]
    fn the_parts_of_a_tag_cannot_be_shifted() {
        let key = MacKey::new(&[1; 32]);
        assert_ne!(key.tag::<16>("a", &[b"bc", b"d"]), key.tag::<16>("a", &[b"b", b"cd"]));
        assert_ne!(key.tag::<16>("a", &[b"b"]), key.tag::<16>("ab", &[b""]));
        assert_eq!(key.tag::<16>("a", &[b"b"]), key.tag::<16>("a", &[b"b"]));
    }
}
