//! What is known of a provider, for a process that takes over while it is down (`threats.md` OM-7), and for a
//! configuration that says other things of it.
//!
//! **Invariant:** what was fetched elsewhere, under another issuer or other roots, is worth nothing here; and what comes
//! from another process is judged as if the provider had just said it.

use aws_lc_rs::digest::{SHA256, digest};
use base64_simd::STANDARD;
use portvakt_core::clock::Timestamp;
use portvakt_core::token::KeySet;
use serde::{Deserialize, Serialize};

use super::cache::Read;
use super::{Metadata, Provider};

/// A provider's documents, as one process tells another. There is no secret in them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    source: Source,
    metadata: Option<Document>,
    keys: Option<Document>,
}

/// Where they were fetched, and by whose word it was believed to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    issuer: String,
    metadata_url: Option<String>,
    profile: String,
    insecure_http: bool,
    /// The hash of the only roots; `None`: those of the system.
    roots: Option<String>,
}

/// A document and when it was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Document {
    text: String,
    fetched: u64,
}

impl Document {
    fn of((text, fetched): (String, Timestamp)) -> Self {
        Self { text, fetched: fetched.millis() }
    }

    /// When it was fetched, by a clock that may differ a little from ours.
    fn fetched(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(self.fetched).min(now)
    }
}

impl Provider {
    fn source(&self) -> Source {
        Source {
            issuer: self.settings.issuer.clone(),
            metadata_url: self.settings.metadata_url.clone(),
            profile: self.settings.profile.name.to_owned(),
            insecure_http: self.settings.insecure_http,
            roots: self.http.roots().map(|pem| STANDARD.encode_to_string(digest(&SHA256, pem))),
        }
    }

    /// Goes on with what another configuration has fetched at the same place, until it is fetched anew.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        if self.source() == before.source() {
            self.metadata.go_on_from(&before.metadata);
            self.keys.go_on_from(&before.keys);
            self.circuits = before.circuits.clone();
        }
    }

    /// What is known, for another process.
    pub(crate) fn known(&self) -> Known {
        Known {
            source: self.source(),
            metadata: self.metadata.told().map(Document::of),
            keys: self.keys.told().map(Document::of),
        }
    }

    /// Takes what another process knows of this provider, if nothing is known here; it is fetched anew as soon as that
    /// works. What cannot be used is left.
    pub(crate) fn learn(&self, known: &Known, now: Timestamp) {
        if known.source != self.source() {
            return;
        }
        let (Some(metadata), Some(keys)) = (&known.metadata, &known.keys) else { return };
        let judged =
            (Metadata::parse(metadata.text.as_bytes(), &self.settings), KeySet::parse(keys.text.as_bytes()));
        if let (Ok(of_metadata), Ok(of_keys)) = judged {
            let (metadata_at, keys_at) = (metadata.fetched(now), keys.fetched(now));
            self.metadata.learn(Read { value: of_metadata, text: metadata.text.clone() }, metadata_at, now);
            self.keys.learn(Read { value: of_keys, text: keys.text.clone() }, keys_at, now);
        }
    }
}
