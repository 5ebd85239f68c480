//! Whose reply is it? The cookie's person, the identity headers and the assertion must be one and the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, VerificationAlgorithm as _};
use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::Clock;
use serde_json::Value;

/// So many assertions are remembered before all are forgotten.
const MOST: usize = 50_000;

/// The facts that headers and assertion must agree on: header, member.
const FACTS: [(&str, &str); 8] = [
    ("x-identity-fnr", "fnr"),
    ("x-identity-kind", "kind"),
    ("x-identity-loa", "loa"),
    ("x-identity-acr", "acr"),
    ("x-identity-subject", "sub"),
    ("x-identity-provider", "provider"),
    ("x-identity-session", "session"),
    ("x-identity-auth-time", "auth_time"),
];

/// Verifies assertions by the published keys, as an app does, and compares.
pub(super) struct Judge {
    audience: String,
    /// Claims of assertions whose signature was good.
    verified: Mutex<HashMap<String, Value>>,
    keys: Mutex<Vec<Value>>,
    fetch: Box<dyn Fn() -> Vec<Value> + Send + Sync>,
    clock: Clock,
}

impl Judge {
    /// `fetch` gets the key set.
    pub(super) fn new(audience: &str, fetch: impl Fn() -> Vec<Value> + Send + Sync + 'static) -> Self {
        Self {
            audience: audience.to_owned(),
            verified: Mutex::default(),
            keys: Mutex::default(),
            fetch: Box::new(fetch),
            clock: Clock::start(),
        }
    }

    /// What is wrong with a reply that the app gave to `asked` (method and target) of a person, or of nobody.
    pub(super) fn fault(&self, asked: &str, person: Option<&str>, body: &[u8]) -> Option<String> {
        let Ok(text) = std::str::from_utf8(body) else { return Some("not the app's page".to_owned()) };
        let mut lines = text.lines();
        let answered = lines.next().unwrap_or_default();
        if answered != asked {
            return Some(format!("asked {asked}, and the reply is to {answered}"));
        }
        let mut told: HashMap<&str, &str> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if told.insert(name, value).is_some() {
                return Some(format!("{asked}: {name} twice"));
            }
        }
        match person {
            None if told.is_empty() => None,
            None => Some(format!("{asked}: nobody asked, and the app was told of somebody")),
            Some(fnr) => self.disagreement(fnr, &told).map(|fault| format!("{asked}: {fault}")),
        }
    }

    fn disagreement(&self, fnr: &str, told: &HashMap<&str, &str>) -> Option<String> {
        match told.get("x-identity-fnr") {
            Some(header) if *header == fnr => {}
            Some(_) => return Some("the header is of somebody else".to_owned()),
            None => return Some("the app was told of nobody".to_owned()),
        }
        let Some(assertion) = told.get("x-identity-assertion") else {
            return Some("without assertion".to_owned());
        };
        let claims = match self.verified(assertion) {
            Ok(claims) => claims,
            Err(fault) => return Some(format!("the assertion: {fault}")),
        };
        let now = self.clock.now().seconds();
        if claims["exp"].as_u64().is_none_or(|end| end < now) || claims["aud"] != self.audience.as_str() {
            return Some("the assertion is too old, or for somebody else".to_owned());
        }
        let says = |member: &str| match &claims[member] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let differs =
            |(header, member): &&(&str, &str)| told.get(header).copied().unwrap_or_default() != says(member);
        FACTS.iter().find(differs).map(|(_, member)| format!("headers and assertion differ in {member}"))
    }

    /// What an assertion says, if its signature is good by the published keys.
    pub(super) fn verified(&self, assertion: &str) -> Result<Value, String> {
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(assertion).cloned();
        if let Some(claims) = known {
            return Ok(claims);
        }
        let (signed, signature) = assertion.rsplit_once('.').ok_or("no JWT")?;
        let (protected, payload) = signed.split_once('.').ok_or("no JWT")?;
        let header = json_of(protected).ok_or("no JSON")?;
        if header["alg"] != "ES256" {
            return Err(format!("signed with {}", header["alg"]));
        }
        let jwk = self.key(&header["kid"]).ok_or("its key is not published")?;
        let coordinate = |name: &str| jwk[name].as_str().and_then(base64).ok_or("a key without point");
        let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
        let signature = base64(signature).ok_or("no signature")?;
        ECDSA_P256_SHA256_FIXED
            .verify_sig(&point, signed.as_bytes(), &signature)
            .map_err(|_| "a wrong signature")?;
        let claims = json_of(payload).ok_or("no JSON")?;
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= MOST {
            verified.clear();
        }
        verified.insert(assertion.to_owned(), claims.clone());
        Ok(claims)
    }

    /// A published key; the set is fetched where it is not known.
    fn key(&self, kid: &Value) -> Option<Value> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |keys: &[Value]| keys.iter().find(|key| key["kid"] == *kid).cloned();
        find(&keys).or_else(|| {
            *keys = (self.fetch)();
            find(&keys)
        })
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

fn json_of(part: &str) -> Option<Value> {
    serde_json::from_slice(&base64(part)?).ok()
}

#[test]
fn a_reply_of_somebody_else_is_noticed() {
    let judge = Judge::new("app", Vec::new);
    let told = "GET /a\nx-identity-fnr: 01810000001\n";
    assert_eq!(judge.fault("GET /a", None, b"GET /a\n"), None);
    let faults = [
        (judge.fault("GET /b", None, b"GET /a\n"), "the reply is to"),
        (judge.fault("GET /a", None, told.as_bytes()), "nobody asked"),
        (judge.fault("GET /a", Some("01810000002"), told.as_bytes()), "of somebody else"),
        (judge.fault("GET /a", Some("01810000001"), told.as_bytes()), "without assertion"),
        (judge.fault("GET /a", Some("01810000001"), b"GET /a\n"), "of nobody"),
        (judge.fault("GET /a", None, b"GET /a\na: 1\na: 2\n"), "twice"),
        (judge.fault("GET /a", None, &[0xff]), "not the app's page"),
    ];
    for (fault, expected) in faults {
        assert!(fault.as_ref().is_some_and(|fault| fault.contains(expected)), "{fault:?}, not {expected}");
    }
}
