//! The key files: read, judged, made, rotated.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::{ClientKey, KeyId, KeyTimes, RingKey, is_lasting};
use crate::clock::Timestamp;
use crate::seal;
use crate::token::{Algorithm, KeyError, SigningKey};

/// How long a new key waits until it is used, so that every replica has it by then.
pub const PROPAGATION: Duration = Duration::from_secs(24 * 3600);

/// How long a key is accepted after its successor is used: longer than any session may last.
pub const OVERLAP: Duration = Duration::from_secs(48 * 3600);

/// A file is never longer than this.
const MAX_FILE: u64 = 256 * 1024;

/// The fewest different bytes that 32 random ones have; fewer come by chance once in 10^15 times.
const FEWEST_DIFFERENT_BYTES: usize = 16;

/// Why a key file cannot be used. Names the file and the remedy, never a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("{path} is missing; make it with `portvakt keys new {purpose}`")]
    Missing {
        /// The file.
        path: String,
        /// Its purpose.
        purpose: String,
    },
    /// There is one already.
    #[error("{0} exists; use `portvakt keys rotate`")]
    Exists(String),
    /// It could not be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{0} may be read by others than its owner; run `chmod 600` on it")]
    Mode(String),
    /// It is not a key file of this purpose and version.
    #[error("{path} is no key file of purpose `{purpose}` in version 1")]
    Malformed {
        /// The file.
        path: String,
        /// Its purpose.
        purpose: String,
    },
    /// A key in it is weak.
    #[error("key {id} in {path} is not random, or an example; make a new one with `portvakt keys rotate`")]
    Weak {
        /// The file.
        path: String,
        /// The key's id.
        id: String,
    },
    /// One key is used twice.
    #[error("key {id} in {path} is also used elsewhere; every key has one purpose")]
    Equal {
        /// The file.
        path: String,
        /// The key's id.
        id: String,
    },
    /// A signing key in it is unusable.
    #[error("key {id} in {path} is unusable")]
    Signing {
        /// The file.
        path: String,
        /// The key's id.
        id: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// It signs otherwise than apps are promised.
    #[error(
        "key {id} in {path} is of a kind that does not sign here; make one of {kinds} with `portvakt keys rotate {purpose}`"
    )]
    Algorithm {
        /// The file.
        path: String,
        /// The key's id.
        id: String,
        /// Its purpose.
        purpose: String,
        /// What keys of this purpose are.
        kinds: String,
    },
    /// It has no key that is still accepted.
    #[error("{path} holds no key that is still accepted; run `portvakt keys rotate {purpose}`")]
    Empty {
        /// The file.
        path: String,
        /// Its purpose.
        purpose: String,
    },
    /// Whoever is to use it could not read it.
    #[error(
        "{path} would not belong to user {owner}, as what it takes the place of does; run this as that user"
    )]
    Owner {
        /// The file.
        path: String,
        /// The user's number.
        owner: u32,
        /// Why it cannot be given away.
        #[source]
        source: std::io::Error,
    },
}

impl KeyFileError {
    pub(super) fn missing(path: &Path, purpose: &str) -> Self {
        Self::Missing { path: path.display().to_string(), purpose: purpose.to_owned() }
    }

    pub(super) fn empty(path: &Path, purpose: &str) -> Self {
        Self::Empty { path: path.display().to_string(), purpose: purpose.to_owned() }
    }
}

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// 32 random bytes.
    Secret,
    /// A key pair for signatures.
    Pair(Algorithm),
}

/// A key without its secret.
#[derive(Clone, Debug, Serialize)]
pub struct KeySummary {
    /// Its id, or `kid`.
    pub id: String,
    /// Seconds since the Unix epoch from which on it is used.
    pub active_from: u64,
    /// Seconds since the Unix epoch from which on it is not accepted.
    pub retire_after: Option<u64>,
    /// Its public half (RFC 7517), if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_jwk: Option<Value>,
}

/// The file of one purpose.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u8,
    purpose: String,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    active_from: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retire_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.private_key.zeroize();
    }
}

/// The file of a purpose in the folder of keys.
#[must_use]
pub fn path_of(folder: &Path, purpose: &str) -> PathBuf {
    folder.join(format!("{purpose}.json"))
}

impl KeyFile {
    /// Reads and judges a file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], naming the file.
    pub fn read(path: &Path, purpose: &str) -> Result<Self, KeyFileError> {
        let name = path.display().to_string();
        let io = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => KeyFileError::missing(path, purpose),
            _ => KeyFileError::Io { path: name.clone(), source },
        };
        let malformed = || KeyFileError::Malformed { path: name.clone(), purpose: purpose.into() };
        let metadata = fs::metadata(path).map_err(io)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Mode(name));
        }
        if metadata.len() > MAX_FILE {
            return Err(malformed());
        }
        let text = Zeroizing::new(fs::read(path).map_err(io)?);
        let content: Content = serde_json::from_slice(&text).map_err(|_| malformed())?;
        let mut ids = HashSet::new();
        let distinct = content.keys.iter().all(|entry| ids.insert(entry.id.as_str()));
        if content.version != 1 || content.purpose != purpose || content.keys.is_empty() || !distinct {
            return Err(malformed());
        }
        Ok(Self { path: path.to_owned(), content })
    }

    /// Makes a file with a first key that is used at once.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Exists`], or what the file system says.
    pub fn create(path: &Path, purpose: &str, kind: NewKey, now: Timestamp) -> Result<Self, KeyFileError> {
        if path.exists() {
            return Err(KeyFileError::Exists(path.display().to_string()));
        }
        let entry = Entry::random(kind, now, &path.display().to_string())?;
        let file = Self {
            path: path.to_owned(),
            content: Content { version: 1, purpose: purpose.to_owned(), keys: vec![entry] },
        };
        file.write()?;
        Ok(file)
    }

    /// Adds a key that is used after [`PROPAGATION`], retires its predecessors [`OVERLAP`] later, and drops
    /// those that are retired already. Predecessors of what lasts get no end: nothing that they made is ever presented,
    /// and who takes the new key away has the former one as it was.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn rotate(&mut self, kind: NewKey, now: Timestamp) -> Result<(), KeyFileError> {
        let from = now + PROPAGATION;
        let end = (from + OVERLAP).seconds();
        self.content.keys.retain(|entry| !entry.is_retired(now));
        let ends = !is_lasting(&self.content.purpose);
        for entry in self.content.keys.iter_mut().filter(|_| ends) {
            entry.retire_after = Some(entry.retire_after.map_or(end, |known| known.min(end)));
        }
        // A file whose keys have all retired needs one now.
        let from = if self.content.keys.is_empty() { now } else { from };
        self.content.keys.push(Entry::random(kind, from, &self.name())?);
        self.write()
    }

    /// The kind of key that the file holds.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Signing`] if a pair in it is unusable.
    pub fn kind(&self) -> Result<NewKey, KeyFileError> {
        let newest = self.content.keys.last().ok_or_else(|| self.empty())?;
        match &newest.private_key {
            None => Ok(NewKey::Secret),
            Some(_) => Ok(NewKey::Pair(self.pair(newest)?.algorithm())),
        }
    }

    /// What the file holds, without secrets.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Signing`] if a pair in it is unusable.
    pub fn summary(&self) -> Result<Vec<KeySummary>, KeyFileError> {
        let summary = |entry: &Entry| {
            let public_jwk = match &entry.private_key {
                None => None,
                Some(_) => Some(self.pair(entry)?.public_jwk(&entry.id)),
            };
            Ok(KeySummary {
                id: entry.id.clone(),
                active_from: entry.active_from,
                retire_after: entry.retire_after,
                public_jwk,
            })
        };
        self.content.keys.iter().map(summary).collect()
    }

    /// When each key begins and ends, in the file's order.
    pub(super) fn entries(&self) -> impl Iterator<Item = KeyTimes> + '_ {
        self.content.keys.iter().map(|entry| KeyTimes {
            id: entry.id.clone(),
            active_from: Timestamp::from_seconds(entry.active_from),
            retire_after: entry.retire_after.map(Timestamp::from_seconds),
        })
    }

    /// The public halves as a JWK set (RFC 7517, 5): what is registered at the provider.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Signing`] if a pair in it is unusable.
    pub fn public_jwks(&self) -> Result<Value, KeyFileError> {
        let keys: Vec<Value> = self.summary()?.into_iter().filter_map(|key| key.public_jwk).collect();
        Ok(json!({ "keys": keys }))
    }

    /// The signing keys that are still accepted, oldest first, with the time from which on each is used.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] if one is unusable or none is left.
    pub fn client_keys(&self, now: Timestamp) -> Result<Vec<(Timestamp, ClientKey)>, KeyFileError> {
        let mut keys = Vec::new();
        for entry in self.content.keys.iter().filter(|entry| !entry.is_retired(now)) {
            let key = ClientKey { kid: entry.id.clone(), key: Arc::new(self.pair(entry)?) };
            keys.push((Timestamp::from_seconds(entry.active_from), key));
        }
        keys.sort_by_key(|(active_from, _)| *active_from);
        if keys.is_empty() { Err(self.empty()) } else { Ok(keys) }
    }

    /// The key pairs, which must be of one of these kinds.
    pub(super) fn pairs(&self, kinds: &[Algorithm]) -> Result<Vec<RingKey<Arc<SigningKey>>>, KeyFileError> {
        let ring_key = |entry: &Entry| {
            let key = self.pair(entry)?;
            if !kinds.contains(&key.algorithm()) {
                return Err(KeyFileError::Algorithm {
                    path: self.name(),
                    id: entry.id.clone(),
                    purpose: self.content.purpose.clone(),
                    kinds: kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or "),
                });
            }
            Ok(self.ring_key(entry)?.with(Arc::new(key)))
        };
        self.content.keys.iter().map(ring_key).collect()
    }

    /// The symmetric keys.
    pub(super) fn secrets(&self) -> Result<Vec<RingKey<Zeroizing<[u8; 32]>>>, KeyFileError> {
        self.content.keys.iter().map(|entry| self.secret(entry)).collect()
    }

    fn secret(&self, entry: &Entry) -> Result<RingKey<Zeroizing<[u8; 32]>>, KeyFileError> {
        let weak = || KeyFileError::Weak { path: self.name(), id: entry.id.clone() };
        let text = entry.secret.as_ref().ok_or_else(|| self.malformed())?;
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).map_err(|_| self.malformed())?;
        let bytes = Zeroizing::new(bytes);
        let key = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| self.malformed())?);
        if is_weak(&key) {
            return Err(weak());
        }
        Ok(self.ring_key(entry)?.with(key))
    }

    /// The entry's id and times.
    fn ring_key(&self, entry: &Entry) -> Result<RingKey<()>, KeyFileError> {
        Ok(RingKey {
            id: KeyId::parse(&entry.id).ok_or_else(|| self.malformed())?,
            active_from: Timestamp::from_seconds(entry.active_from),
            retire_after: entry.retire_after.map(Timestamp::from_seconds),
            key: (),
        })
    }

    fn empty(&self) -> KeyFileError {
        KeyFileError::empty(&self.path, &self.content.purpose)
    }

    fn malformed(&self) -> KeyFileError {
        KeyFileError::Malformed { path: self.name(), purpose: self.content.purpose.clone() }
    }

    fn pair(&self, entry: &Entry) -> Result<SigningKey, KeyFileError> {
        let pem = entry.private_key.as_deref().unwrap_or_default();
        SigningKey::from_pkcs8_pem(pem).map_err(|source| KeyFileError::Signing {
            path: self.name(),
            id: entry.id.clone(),
            source,
        })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes a new file beside and puts it in place at once: no reader sees a half-written one. It belongs to whom the
    /// former one belonged, or the folder: whoever does this as root would lock the gateway out.
    fn write(&self) -> Result<(), KeyFileError> {
        let io = |source| KeyFileError::Io { path: self.name(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io)?;
        let heir = fs::metadata(&self.path).or_else(|_| fs::metadata(folder)).map_err(io)?;
        let text =
            Zeroizing::new(serde_json::to_vec_pretty(&self.content).expect("the content is plain data"));
        let beside = self.path.with_extension("json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(io)?;
        if file.metadata().map_err(io)?.uid() != heir.uid() {
            fchown(&file, Some(heir.uid()), Some(heir.gid())).map_err(|source| {
                let _ = fs::remove_file(&beside);
                KeyFileError::Owner { path: self.name(), owner: heir.uid(), source }
            })?;
        }
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&beside, &self.path).map_err(io)
    }
}

impl Entry {
    fn random(kind: NewKey, active_from: Timestamp, path: &str) -> Result<Self, KeyFileError> {
        let id = KeyId(seal::random()).to_string();
        let (secret, private_key) = match kind {
            NewKey::Secret => (Some(URL_SAFE_NO_PAD.encode_to_string(seal::random::<32>())), None),
            NewKey::Pair(algorithm) => {
                let unusable =
                    |source| KeyFileError::Signing { path: path.to_owned(), id: id.clone(), source };
                let pem =
                    SigningKey::generate(algorithm).and_then(|key| key.to_pkcs8_pem()).map_err(unusable)?;
                (None, Some(pem.as_str().to_owned()))
            }
        };
        Ok(Self { id, active_from: active_from.seconds(), retire_after: None, secret, private_key })
    }

    fn is_retired(&self, now: Timestamp) -> bool {
        self.retire_after.is_some_and(|end| end <= now.seconds())
    }
}

/// Random bytes do not look like this.
fn is_weak(key: &[u8; 32]) -> bool {
    let different: HashSet<u8> = key.iter().copied().collect();
    let text = key.iter().all(u8::is_ascii_graphic);
    let steps: HashSet<u8> = key.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    different.len() < FEWEST_DIFFERENT_BYTES || text || steps.len() < 4
}

/// The purposes of the key files in a folder, in order.
pub(super) fn purposes(folder: &Path) -> Result<Vec<String>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: folder.display().to_string(), source };
    let mut purposes = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        purposes.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
    }
    purposes.sort();
    Ok(purposes)
}

/// Refuses a key that stands in two places, whatever its id. `clients` may have the same among them.
pub(super) fn refuse_equal(files: &[KeyFile], clients: &[KeyFile]) -> Result<(), KeyFileError> {
    let mut known = HashSet::new();
    for file in files {
        file.refuse_those(|secret| !known.insert(secret))?;
    }
    clients.iter().try_for_each(|file| file.refuse_those(|secret| known.contains(secret)))
}

impl KeyFile {
    fn refuse_those<'k>(&'k self, mut is_elsewhere: impl FnMut(&'k str) -> bool) -> Result<(), KeyFileError> {
        let found = self.content.keys.iter().find(|entry| {
            entry.secret.iter().chain(&entry.private_key).any(|secret| is_elsewhere(secret.as_str()))
        });
        found.map_or(Ok(()), |entry| Err(KeyFileError::Equal { path: self.name(), id: entry.id.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;
    use crate::key::Keys;
    use crate::key::{ASSERTION, Concern, MATCH, Secret};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("portvakt-keys-{}", KeyId(seal::random())));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn with_all_keys() -> Self {
            let folder = Self::new();
            for purpose in Secret::ALL {
                let path = path_of(&folder.0, purpose.as_str());
                KeyFile::create(&path, purpose.as_str(), NewKey::Secret, at(1000)).unwrap();
            }
            folder
        }

        fn edit(&self, purpose: &str, change: impl FnOnce(&mut Value)) {
            let path = path_of(&self.0, purpose);
            let mut content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(&mut content);
            fs::write(&path, content.to_string()).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn new_files_load_and_only_their_owner_may_read_them() {
        let folder = Folder::with_all_keys();
        Keys::load(&folder.0).unwrap();
        let path = path_of(&folder.0, "cookie");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Mode(_))));
    }

    #[test]
    fn a_missing_file_names_the_command_that_makes_it() {
        let folder = Folder::with_all_keys();
        fs::remove_file(path_of(&folder.0, "revocation")).unwrap();
        let message = Keys::load(&folder.0).unwrap_err().to_string();
        assert!(message.ends_with("`portvakt keys new revocation`"), "{message}");
    }

    #[test]
    fn weak_equal_and_foreign_keys_are_refused_without_being_quoted() {
        let encode = |key: [u8; 32]| Value::from(URL_SAFE_NO_PAD.encode_to_string(key));
        let counting: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        for weak in [
            [0; 32],
            [0xAB; 32],
            counting,
            *b"this-is-an-example-key-0123456789"[..32].first_chunk().unwrap(),
        ] {
            let folder = Folder::with_all_keys();
            folder.edit("cookie", |content| content["keys"][0]["secret"] = encode(weak));
            let error = Keys::load(&folder.0).unwrap_err();
            assert!(matches!(error, KeyFileError::Weak { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains(encode(weak).as_str().unwrap()));
        }
        let folder = Folder::with_all_keys();
        let mut taken = Value::Null;
        folder.edit("cookie", |content| taken = content["keys"][0]["secret"].clone());
        folder.edit("audit", |content| content["keys"][0]["secret"] = taken);
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Equal { .. })));
        let folder = Folder::with_all_keys();
        fs::rename(path_of(&folder.0, "cookie"), path_of(&folder.0, "audit")).unwrap();
        KeyFile::create(&path_of(&folder.0, "cookie"), "cookie", NewKey::Secret, at(0)).unwrap();
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Malformed { .. })));
    }

    #[test]
    fn a_rotated_key_waits_a_day_and_its_predecessor_leaves_after_the_longest_session() {
        let folder = Folder::with_all_keys();
        let path = path_of(&folder.0, "cookie");
        let mut file = KeyFile::read(&path, "cookie").unwrap();
        file.rotate(NewKey::Secret, at(10_000)).unwrap();
        let keys = KeyFile::read(&path, "cookie").unwrap().summary().unwrap();
        let from = 10_000 + PROPAGATION.as_secs();
        assert_eq!((keys[0].retire_after, keys[1].active_from), (Some(from + OVERLAP.as_secs()), from));
        assert_eq!(keys[1].retire_after, None);
        let ring = Keys::load(&folder.0).unwrap().cookie;
        assert_eq!(ring.active(at(from - 1)).id.to_string(), keys[0].id);
        assert_eq!(ring.active(at(from)).id.to_string(), keys[1].id);
        let mut file = KeyFile::read(&path, "cookie").unwrap();
        file.rotate(NewKey::Secret, at(from + OVERLAP.as_secs())).unwrap();
        assert_eq!(file.summary().unwrap().len(), 2, "the retired key is gone");
    }

    /// The rotation of what lasts is undone by taking the new key away: nothing else has changed.
    #[test]
    fn a_key_of_what_lasts_has_no_end() {
        let folder = Folder::with_all_keys();
        let path = path_of(&folder.0, MATCH);
        let mut file = KeyFile::create(&path, MATCH, NewKey::Secret, at(0)).unwrap();
        file.rotate(NewKey::Secret, at(10_000)).unwrap();
        let ends = |file: &KeyFile| file.times().iter().filter(|key| key.retire_after.is_some()).count();
        assert_eq!(ends(&KeyFile::read(&path, MATCH).unwrap()), 0);
        folder.edit(MATCH, |content| {
            content["keys"].as_array_mut().unwrap().truncate(1);
        });
        let years_later = at(10_000 + 3 * 366 * 24 * 3600);
        let times = KeyFile::read(&path, MATCH).unwrap().times();
        assert_eq!(Concern::of_purpose(MATCH, &times, years_later), None);
        assert!(Keys::load(&folder.0).unwrap().demand_lasting(&folder.0, years_later).is_ok());
    }

    /// Whoever rotates keys as root leaves them to the gateway. Shown where the test may give files away.
    #[test]
    fn a_rotated_file_belongs_to_whom_it_belonged() {
        let folder = Folder::with_all_keys();
        let path = path_of(&folder.0, "cookie");
        if chown(&path, Some(4242), Some(4243)).is_err() {
            return;
        }
        KeyFile::read(&path, "cookie").unwrap().rotate(NewKey::Secret, at(10_000)).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (4242, 4243, 0o600));
        // A new one belongs to whom its folder belongs.
        chown(&folder.0, Some(4242), Some(4243)).unwrap();
        let made = path_of(&folder.0, MATCH);
        KeyFile::create(&made, MATCH, NewKey::Secret, at(0)).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().uid(), 4242);
    }

    #[test]
    fn assertion_keys_may_be_missing_and_are_pairs_of_the_promised_kinds() {
        let folder = Folder::with_all_keys();
        let path = path_of(&folder.0, ASSERTION);
        let keys = Keys::load(&folder.0).unwrap();
        assert!(keys.assertion.is_none());
        let message = keys.demand_assertion(&folder.0, at(0)).unwrap_err().to_string();
        assert!(message.ends_with("`portvakt keys new assertion`"), "{message}");
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let mut file = KeyFile::create(&path, ASSERTION, NewKey::Pair(algorithm), at(1000)).unwrap();
            file.rotate(NewKey::Pair(algorithm), at(2000)).unwrap();
            let keys = Keys::load(&folder.0).unwrap();
            let ring = keys.assertion.as_ref().unwrap();
            assert_eq!(ring.accepted(at(2000)).count(), 2);
            assert_eq!(ring.active(at(2000)).active_from, at(1000));
            assert!(keys.demand_assertion(&folder.0, at(2000)).is_ok());
            fs::remove_file(&path).unwrap();
        }
        KeyFile::create(&path, ASSERTION, NewKey::Pair(Algorithm::Rs256), at(0)).unwrap();
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Algorithm { .. })));
        fs::remove_file(&path).unwrap();
        KeyFile::create(&path, ASSERTION, NewKey::Secret, at(0)).unwrap();
        assert!(Keys::load(&folder.0).is_err());
        fs::remove_file(&path).unwrap();
        let mut file = KeyFile::create(&path, ASSERTION, NewKey::Pair(Algorithm::Es256), at(0)).unwrap();
        file.rotate(NewKey::Pair(Algorithm::Es256), at(0)).unwrap();
        folder.edit(ASSERTION, |content| {
            content["keys"][1]["private_key"] = content["keys"][0]["private_key"].clone();
        });
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Equal { .. })));
        // Nor is it the one with which we authenticate at a provider; two providers may know us by one.
        let client = |name: &str| path_of(&folder.0, name);
        KeyFile::create(&client("client-a"), "client-a", NewKey::Pair(Algorithm::Es256), at(0)).unwrap();
        KeyFile::create(&client("client-b"), "client-b", NewKey::Pair(Algorithm::Es256), at(0)).unwrap();
        let mut taken = Value::Null;
        folder.edit("client-a", |content| taken = content["keys"][0]["private_key"].clone());
        folder.edit("client-b", |content| content["keys"][0]["private_key"] = taken.clone());
        folder.edit(ASSERTION, |content| {
            content["keys"].as_array_mut().unwrap().truncate(1);
        });
        assert!(Keys::load(&folder.0).is_ok());
        folder.edit(ASSERTION, |content| content["keys"][0]["private_key"] = taken);
        let error = Keys::load(&folder.0).unwrap_err();
        assert!(matches!(&error, KeyFileError::Equal { path, .. } if path.contains("client-")), "{error:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Mode(_))));
    }

    #[test]
    fn keys_of_what_lasts_may_be_missing_and_are_nobody_elses() {
        let folder = Folder::with_all_keys();
        let keys = Keys::load(&folder.0).unwrap();
        assert!(keys.lasting.is_none() && keys.hashing().lasting.is_none());
        let message = keys.demand_lasting(&folder.0, at(0)).unwrap_err().to_string();
        assert!(message.ends_with("`portvakt keys new match`"), "{message}");
        KeyFile::create(&path_of(&folder.0, MATCH), MATCH, NewKey::Secret, at(0)).unwrap();
        let keys = Keys::load(&folder.0).unwrap();
        assert!(keys.demand_lasting(&folder.0, at(0)).is_ok());
        assert_eq!(keys.times().iter().filter(|(purpose, _)| purpose == MATCH).count(), 1);
        assert!(keys.proofs(at(0)).iter().any(|proof| proof.purpose == MATCH && proof.active));
        folder.edit(MATCH, |content| content["keys"][0]["retire_after"] = 10.into());
        let retired = Keys::load(&folder.0).unwrap();
        assert!(retired.demand_lasting(&folder.0, at(9)).is_ok());
        assert!(retired.demand_lasting(&folder.0, at(10)).is_err());
        let mut taken = Value::Null;
        folder.edit("cookie", |content| taken = content["keys"][0]["secret"].clone());
        folder.edit(MATCH, |content| content["keys"][0]["secret"] = taken);
        assert!(matches!(Keys::load(&folder.0), Err(KeyFileError::Equal { .. })));
    }

    #[test]
    fn a_client_key_shows_its_public_half_only() {
        let folder = Folder::new();
        let path = path_of(&folder.0, "client-idporten");
        let file = KeyFile::create(&path, "client-idporten", NewKey::Pair(Algorithm::Es256), at(5)).unwrap();
        let jwks = file.public_jwks().unwrap().to_string();
        assert!(jwks.contains("\"kty\":\"EC\"") && !jwks.contains("\"d\":"), "{jwks}");
        assert_eq!(file.kind().unwrap(), NewKey::Pair(Algorithm::Es256));
        let again = KeyFile::read(&path, "client-idporten").unwrap();
        assert_eq!(again.client_keys(at(5)).unwrap().len(), 1);
    }
}
