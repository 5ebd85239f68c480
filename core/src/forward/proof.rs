//! Which proofs of a captured request hold, and why one fails: for who asks why an app refuses it.
//!
//! **Invariant:** what it says names headers and keys, never the value of a header that tells of a person.

use std::fmt;

use base64_simd::STANDARD;
use serde_json::{Map, Value};

use super::assertion::{self, AssertionPlan};
use super::signature::{self, AUDIENCE_HEADER, Covered, DIGEST_HEADER, LABEL, SignaturePlan};
use crate::clock::Timestamp;
use crate::key::{KeyId, Keys};
use crate::token::{KeySet, SKEW, SignatureAlgorithm, TokenError, verify_assertion};

/// A request as an app received it.
#[derive(Clone, PartialEq, Eq)]
pub struct Captured {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// Why a text is no captured request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCaptured {
    /// Neither a request's header nor a HAR.
    #[error("this is neither the header of an HTTP/1.1 request, nor `curl -v`, nor a HAR file")]
    Form,
    /// A line of the header without a colon; by its number from 1.
    #[error("line {0} is no header field")]
    Line(usize),
    /// A HAR without a request.
    #[error("the HAR file has no request")]
    Empty,
}

/// What one proof is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// The request does not have it.
    Absent,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which proof, or which part of one.
    pub proof: &'static str,
    /// What it is worth.
    pub outcome: Outcome,
    /// Why, for a person.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Holds => "holds",
            Outcome::Fails => "FAILS",
            Outcome::Absent => "absent",
        };
        write!(f, "{:<10} {outcome:<7} {}", self.proof, self.why)
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Captured {
    /// Reads a request's header with or without a body, the output of `curl -v`, or the first request of a HAR.
    ///
    /// # Errors
    ///
    /// [`NotCaptured`].
    pub fn parse(text: &str) -> Result<Self, NotCaptured> {
        if text.trim_start().starts_with('{') { Self::of_har(text) } else { Self::of_text(text) }
    }

    fn of_text(text: &str) -> Result<Self, NotCaptured> {
        let dumped = text.lines().any(|line| line.starts_with("> "));
        let lines = text.lines().enumerate().filter(|(_, line)| !dumped || line.starts_with('>'));
        let mut lines = lines.map(|(number, line)| (number + 1, line.strip_prefix('>').unwrap_or(line)));
        let (_, start) = lines.find(|(_, line)| !line.trim().is_empty()).ok_or(NotCaptured::Form)?;
        let words: Vec<&str> = start.split_whitespace().collect();
        let [method, target, version] = words.as_slice() else { return Err(NotCaptured::Form) };
        if !version.starts_with("HTTP/") || !target.starts_with('/') {
            return Err(NotCaptured::Form);
        }
        let mut headers = Vec::new();
        for (number, line) in lines {
            let line = if dumped { line.trim_start() } else { line };
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(NotCaptured::Line(number))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let body = text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n"));
        let body = body.filter(|_| !dumped).map(|(_, body)| body.as_bytes().to_vec());
        Ok(Self { method: (*method).to_owned(), target: (*target).to_owned(), headers, body })
    }

    fn of_har(text: &str) -> Result<Self, NotCaptured> {
        let har: Value = serde_json::from_str(text).map_err(|_| NotCaptured::Form)?;
        let request = har.pointer("/log/entries/0/request").ok_or(NotCaptured::Empty)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let url = text(&request["url"]).ok_or(NotCaptured::Empty)?;
        let (_, rest) = url.split_once("://").ok_or(NotCaptured::Empty)?;
        let target = rest.find('/').map_or("/", |slash| &rest[slash..]);
        let headers = request["headers"].as_array().ok_or(NotCaptured::Empty)?;
        let headers = headers.iter().filter_map(|field| text(&field["name"]).zip(text(&field["value"])));
        Ok(Self {
            method: text(&request["method"]).ok_or(NotCaptured::Empty)?,
            target: target.to_owned(),
            headers: headers.filter(|(name, _)| !name.starts_with(':')).collect(),
            body: text(&request["postData"]["text"]).map(String::into_bytes),
        })
    }

    fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    fn only(&self, name: &str) -> Result<&str, String> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(format!("there is no `{name}`")),
            (Some(_), Some(_)) => Err(format!("`{name}` is there more than once")),
        }
    }

    /// Headers that an app could take for identity.
    fn identity(&self) -> impl Iterator<Item = &str> {
        let folds = |name: &&str| {
            name.bytes()
                .map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' })
                .take(10)
                .eq(*b"x-identity")
        };
        self.headers.iter().map(|(name, _)| &**name).filter(folds)
    }
}

/// What the proofs of a request are worth at a time, for the routes of a file and its keys.
#[must_use]
pub fn judge(
    captured: &Captured,
    signatures: &[&SignaturePlan],
    assertions: &[&AssertionPlan],
    keys: &Keys,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |proof, outcome, why| findings.push(Finding { proof, outcome, why });
    if captured.all("signature").chain(captured.all("signature-input")).next().is_none() {
        say("signature", Outcome::Absent, "the request is not signed".to_owned());
    } else {
        for (proof, said) in judge_signature(captured, signatures, keys, now) {
            let (outcome, why) = said.map_or_else(|why| (Outcome::Fails, why), |why| (Outcome::Holds, why));
            say(proof, outcome, why);
        }
    }
    match captured.only(assertion::HEADER) {
        Err(_) if captured.all(assertion::HEADER).next().is_none() => {
            say("assertion", Outcome::Absent, "the request has no assertion".to_owned());
        }
        Err(why) => say("assertion", Outcome::Fails, why),
        Ok(token) => match judge_assertion(token, assertions, keys, now) {
            Ok((why, claims)) => {
                say("assertion", Outcome::Holds, why);
                match contradicted(captured, &claims) {
                    None => say("headers", Outcome::Holds, "say nothing else than the assertion".to_owned()),
                    Some(name) => {
                        say("headers", Outcome::Fails, format!("`{name}` is not as the assertion says"));
                    }
                }
            }
            Err(why) => say("assertion", Outcome::Fails, why),
        },
    }
    findings
}

type Said = Result<String, String>;

fn judge_signature(
    captured: &Captured,
    plans: &[&SignaturePlan],
    keys: &Keys,
    now: Timestamp,
) -> Vec<(&'static str, Said)> {
    let read = match Input::read(captured) {
        Ok(read) => read,
        Err(why) => return vec![("signature", Err(why))],
    };
    vec![
        ("signature", read.check_bytes(captured, keys)),
        ("time", read.check_time(now)),
        ("audience", read.check_audience(captured, plans)),
        ("covers", read.check_cover(captured)),
        ("body", read.check_body(captured)),
    ]
}

/// What `Signature-Input` says.
struct Input<'a> {
    names: Vec<&'a str>,
    parameters: &'a str,
}

impl<'a> Input<'a> {
    fn read(captured: &'a Captured) -> Result<Self, String> {
        let field = captured.only("signature-input")?;
        let label = format!("{LABEL}=");
        let not_ours = || format!("`Signature-Input` is not of the label `{LABEL}`");
        let parameters = field.strip_prefix(&label).ok_or_else(not_ours)?;
        let (list, _) = parameters
            .strip_prefix('(')
            .and_then(|list| list.split_once(')'))
            .ok_or("`Signature-Input` lists no components")?;
        let names: Vec<&str> = list.split(' ').map(|name| name.trim_matches('"')).collect();
        let given = Self { names, parameters };
        if given.parameter("tag") != Some(LABEL) {
            return Err(format!("`tag` is not `{LABEL}`"));
        }
        Ok(given)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let (_, after) = self.parameters.split_once(&format!(";{name}="))?;
        after.split(';').next().map(|value| value.trim_matches('"'))
    }

    fn check_bytes(&self, captured: &Captured, keys: &Keys) -> Said {
        let kid = self.parameter("keyid").unwrap_or_default();
        let (algorithm, key) = verifier(kid, keys).ok_or_else(|| {
            format!("key `{kid}` is in no key file of the gateway; another gateway's, or retired")
        })?;
        if self.parameter("alg").is_some_and(|said| said != algorithm.as_str()) {
            return Err(format!("`alg` is not that of key {kid}, {}", algorithm.as_str()));
        }
        let base = self.base(captured)?;
        let field = captured.only("signature")?;
        let encoded = field.strip_prefix(&*format!("{LABEL}=:")).and_then(|rest| rest.strip_suffix(':'));
        let bytes = encoded.and_then(|text| STANDARD.decode_to_vec(text).ok());
        let bytes = bytes.ok_or_else(|| format!("`Signature` is not of the label `{LABEL}`, or no bytes"))?;
        if !key(base.as_bytes(), &bytes) {
            let hint = "method, host, path, query or a covered header is not as the gateway sent it";
            return Err(format!("the bytes do not fit: {hint}, or the gateway did not sign it"));
        }
        Ok(format!("{}, key {kid}", algorithm.as_str()))
    }

    fn base(&self, captured: &Captured) -> Result<String, String> {
        let (path, query) = captured
            .target
            .split_once('?')
            .map_or((&*captured.target, None), |(path, query)| (path, Some(query)));
        let host = captured.only("host")?.to_ascii_lowercase();
        let mut fields = Vec::new();
        for name in self.names.iter().filter(|name| !name.starts_with('@')) {
            fields.push((*name, captured.only(name)?));
        }
        let derived = self.names.iter().take_while(|name| name.starts_with('@')).copied();
        if !derived.eq(["@method", "@authority", "@path", "@query"]) {
            return Err("it does not begin with `@method`, `@authority`, `@path` and `@query`".to_owned());
        }
        let covered = Covered { method: &captured.method, authority: &host, path, query, fields: &fields };
        signature::base(&covered, self.parameters).map_err(|error| error.to_string())
    }

    fn check_time(&self, now: Timestamp) -> Said {
        let seconds = |name| self.parameter(name).and_then(|text: &str| text.parse::<u64>().ok());
        let (Some(created), Some(expires)) = (seconds("created"), seconds("expires")) else {
            return Err("`created` or `expires` is missing".to_owned());
        };
        let now = now.seconds();
        if created > now + SKEW.as_secs() {
            return Err(format!("made {} s in the future: the clocks differ", created - now));
        }
        if now > expires + SKEW.as_secs() {
            return Err(format!("expired {} s ago; `--at {created}` judges it as of then", now - expires));
        }
        Ok(format!("made {} s ago", now.saturating_sub(created)))
    }

    fn check_audience(&self, captured: &Captured, plans: &[&SignaturePlan]) -> Said {
        let audience = captured.only(AUDIENCE_HEADER)?;
        if !plans.iter().any(|plan| plan.audience == audience) {
            return Err(format!("no signed route of the file has the audience `{audience}`"));
        }
        Ok(audience.to_owned())
    }

    fn check_cover(&self, captured: &Captured) -> Said {
        let covers = |name: &str| self.names.iter().any(|covered| covered.eq_ignore_ascii_case(name));
        if !covers(AUDIENCE_HEADER) {
            return Err(format!("`{AUDIENCE_HEADER}` is not covered"));
        }
        let beside: Vec<&str> = captured.identity().filter(|name| !covers(name)).collect();
        if !beside.is_empty() {
            return Err(format!("not written by the gateway: {}", beside.join(", ")));
        }
        Ok(self.names.join(" "))
    }

    fn check_body(&self, captured: &Captured) -> Said {
        if !self.names.iter().any(|name| name.eq_ignore_ascii_case(DIGEST_HEADER)) {
            return Ok("is not covered: the route does not ask for it".to_owned());
        }
        let Some(body) = &captured.body else { return Ok("was not captured".to_owned()) };
        if captured.only(DIGEST_HEADER)? == signature::content_digest(body) {
            Ok("is the one that the gateway saw".to_owned())
        } else {
            Err("is not the one that the gateway saw".to_owned())
        }
    }
}

type Check<'k> = Box<dyn Fn(&[u8], &[u8]) -> bool + 'k>;

/// Who can check a signature of this key, whether it has retired or not.
fn verifier<'k>(kid: &str, keys: &'k Keys) -> Option<(SignatureAlgorithm, Check<'k>)> {
    let kid = KeyId::parse(kid)?;
    for algorithm in SignatureAlgorithm::PAIRS {
        let ring = keys.signature.get(&algorithm).map(|ring| ring.keys()).unwrap_or_default();
        if let Some(key) = ring.iter().find(|key| key.id == kid) {
            return Some((algorithm, Box::new(|base, bytes| key.key.verify(base, bytes))));
        }
    }
    let secrets = keys.apps.values().flat_map(|ring| ring.keys());
    let key = secrets.into_iter().find(|key| key.id == kid)?;
    let check = move |base: &[u8], bytes: &[u8]| key.key.is_mac(base, bytes);
    Some((SignatureAlgorithm::HmacSha256, Box::new(check)))
}

/// Which header the verifiers of `deploy/verify` refuse beside these claims: it says something else than the claim of
/// the same fact, or its name is none of ours.
fn contradicted(captured: &Captured, claims: &Map<String, Value>) -> Option<String> {
    const TWICE: [(&str, &str); 7] = [
        ("x-identity-kind", "kind"),
        ("x-identity-fnr", "fnr"),
        ("x-identity-loa", "loa"),
        ("x-identity-acr", "acr"),
        ("x-identity-subject", "sub"),
        ("x-identity-session", "session"),
        ("x-identity-provider", "provider"),
    ];
    let said = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let differs = |name: &str, claim: &str| captured.all(name).any(|value| said(claim) != Some(value));
    let twice = TWICE.iter().find(|(name, claim)| differs(name, claim)).map(|(name, _)| (*name).to_owned());
    let foreign = |name: &&str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !name.bytes().all(letters)
            || !name.to_ascii_lowercase().starts_with("x-identity-")
            || captured.all(name).count() != 1
    };
    twice.or_else(|| captured.identity().find(foreign).map(str::to_owned))
}

fn judge_assertion(
    token: &str,
    plans: &[&AssertionPlan],
    keys: &Keys,
    now: Timestamp,
) -> Result<(String, Map<String, Value>), String> {
    let ring = keys.assertion.as_ref().ok_or("the gateway has no assertion keys")?;
    let published: Vec<Value> =
        ring.keys().iter().map(|key| key.key.public_jwk(&key.id.to_string())).collect();
    let set = serde_json::json!({ "keys": published }).to_string();
    let set = KeySet::parse(set.as_bytes()).map_err(|error| error.to_string())?;
    let mut why = TokenError::WrongAudience;
    for plan in plans {
        match verify_assertion(token, &set, plan.issuer(), plan.audience(), now) {
            Ok(claims) => return Ok((format!("by {} for {}", plan.issuer(), plan.audience()), claims)),
            // The nearest miss says most.
            Err(error) if !matches!(error, TokenError::WrongAudience | TokenError::WrongIssuer) => {
                why = error
            }
            Err(_) => {}
        }
    }
    Err(match why {
        TokenError::WrongAudience => {
            "no route of the file has assertions of this issuer and audience".to_owned()
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests;
