//! What must never be in a log: collected while a scenario runs, looked for when it is over.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::Url;

/// Shorter texts would be found by chance.
const SHORTEST: usize = 6;

/// By so many bytes secrets are looked for first.
const BEGINNING: usize = 6;

/// Secrets and personal data that have been seen.
#[derive(Default)]
pub(crate) struct Secrets {
    texts: Mutex<BTreeSet<String>>,
    sids: Mutex<BTreeSet<String>>,
}

impl Secrets {
    /// A text that no log may hold.
    pub(crate) fn add(&self, text: &str) {
        if text.len() >= SHORTEST {
            self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
        }
    }

    /// Somebody's number, and the names that no word of the program holds by chance.
    pub(super) fn add_person(&self, fnr: Option<&str>, name: &str) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(name.to_owned());
        let telling = |part: &&str| !part.is_ascii() || part.len() >= 5;
        texts.extend(name.split(' ').filter(telling).map(str::to_owned));
        texts.extend(fnr.map(str::to_owned));
    }

    /// A `sid`: the audit log alone may hold it.
    pub(super) fn add_sid(&self, sid: &str) {
        self.sids.lock().unwrap_or_else(PoisonError::into_inner).insert(sid.to_owned());
    }

    /// The value of a cookie that the gateway set.
    pub(crate) fn add_set_cookie(&self, line: &str) {
        let value = line.split(';').next().and_then(|pair| pair.split_once('=')).map(|(_, value)| value);
        self.add(value.unwrap_or_default());
    }

    /// The secrets in a redirect of the protocol.
    pub(super) fn add_protocol(&self, location: &str) {
        let Ok(url) = Url::parse(location) else { return };
        for (name, value) in url.query_pairs() {
            if ["code", "state", "request_uri", "nonce", "code_challenge"].contains(&&*name) {
                self.add(&value);
            }
        }
    }

    /// Every `sid` that has been seen.
    pub(crate) fn sids(&self) -> Vec<String> {
        self.sids.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Fails if a log holds what it must not. `audit`: whether `sid` is allowed.
    pub(crate) fn look_in(&self, name: &str, log: &str, audit: bool) {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sids = if audit { Vec::new() } else { self.sids() };
        let forms: Vec<String> = texts.iter().chain(&sids).flat_map(|secret| forms(secret)).collect();
        // A log is read once, however many secrets there are: by how they begin.
        let mut beginnings = HashMap::<&[u8], Vec<&str>>::new();
        for form in forms.iter().filter(|form| !form.is_empty()) {
            let bytes = form.as_bytes();
            beginnings.entry(&bytes[..bytes.len().min(BEGINNING)]).or_default().push(form);
        }
        let mut lengths: Vec<usize> = beginnings.keys().map(|beginning| beginning.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let bytes = log.as_bytes();
        for (at, length) in (0..bytes.len()).flat_map(|at| lengths.iter().map(move |length| (at, *length))) {
            let Some(candidates) = bytes.get(at..at + length).and_then(|begin| beginnings.get(begin)) else {
                continue;
            };
            let found = candidates.iter().any(|form| bytes[at..].starts_with(form.as_bytes()));
            assert!(!found, "a secret is in the {name}: {}", line_around(log, at));
        }
    }
}

/// How a log might spell it.
fn forms(secret: &str) -> [String; 4] {
    [
        secret.to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        STANDARD_NO_PAD.encode_to_string(secret),
        URL_SAFE_NO_PAD.encode_to_string(secret),
    ]
}

fn line_around(log: &str, at: usize) -> String {
    let bytes = log.as_bytes();
    let begin = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length);
    String::from_utf8_lossy(&bytes[begin..end]).into_owned()
}

#[test]
fn a_secret_is_found_in_a_log_whatever_its_encoding() {
    let secrets = Secrets::default();
    secrets.add("ca/na+ry");
    secrets.add_sid("the-sid");
    secrets.add_person(Some("24929935140"), "Nora Ås");
    let quiet = |log: &str, audit: bool| {
        let look = std::panic::AssertUnwindSafe(|| secrets.look_in("log", log, audit));
        std::panic::catch_unwind(look).is_ok()
    };
    for log in [
        "x ca/na+ry y",
        "x=ca%2Fna%2Bry",
        "Y2EvbmErcnk",
        "{\"fnr\":\"24929935140\"}",
        "%C3%85s",
        "a\nthe-sid",
    ] {
        assert!(!quiet(log, false), "{log}");
    }
    assert!(quiet("the-sid", true) && quiet("nothing", false));
}
