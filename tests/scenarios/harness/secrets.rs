//! What must never be in a log: collected while a scenario runs, looked for when it is over.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::Url;

/// Shorter texts would be found by chance.
const SHORTEST: usize = 6;

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
    pub(super) fn add_set_cookie(&self, line: &str) {
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
    pub(super) fn look_in(&self, name: &str, log: &str, audit: bool) {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sids = if audit { Vec::new() } else { self.sids() };
        for secret in texts.iter().chain(&sids) {
            let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let forms = [
                secret.clone(),
                percent,
                STANDARD_NO_PAD.encode_to_string(secret),
                URL_SAFE_NO_PAD.encode_to_string(secret),
            ];
            let found = log.lines().find(|line| forms.iter().any(|form| line.contains(form.as_str())));
            assert!(found.is_none(), "a secret is in the {name}: {}", found.unwrap_or_default());
        }
    }
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
