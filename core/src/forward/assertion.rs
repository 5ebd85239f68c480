//! The JWT assertion: what the app is told, signed for it alone (`design.md` D7b and 3; RFC 7519; RFC 8725).
//!
//! **Invariant:** an assertion names issuer, audience, subject, kind, level, session and time, and lives
//! [`LIFE`] (`threats.md` ID-8). A missing fact is a missing member, and what a route drops from the
//! headers is not told here either.
//!
//! **Invariant:** without an accepted key there is no assertion, and the request fails (ID-7).

mod kept;

use std::time::Duration;

use aws_lc_rs::digest;
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{Fact, HeaderPlan, plain, pseudonym};
use crate::clock::Timestamp;
use crate::identity::{Person, VerifiedMachine};
use crate::key::{Hashing, KeyId, MacKey, Ring};
use crate::session::Session;
use crate::token::{SigningError, SigningKey};

pub use self::kept::{Assertions, Unmade};

/// The header that carries it.
pub const HEADER: &str = "X-Identity-Assertion";

/// `exp` − `iat`.
pub const LIFE: Duration = Duration::from_secs(60);

/// Facts without which an assertion would not say whom it speaks of (ID-8).
pub const NEEDED: [Fact; 4] = [Fact::Kind, Fact::Loa, Fact::Subject, Fact::Session];

/// What the assertions of a route say, whoever is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionPlan {
    issuer: String,
    audience: String,
    facts: Vec<Fact>,
    headers: HeaderPlan,
    /// Whether each request gets one of its own.
    once: bool,
    id: PlanId,
}

/// A digest of everything in a plan: plans with the same id make the same assertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PlanId([u8; digest::SHA256_OUTPUT_LEN]);

impl AssertionPlan {
    /// Assertions by `issuer` that tell what the headers tell, for the same audience.
    #[must_use]
    pub fn new(issuer: String, headers: &HeaderPlan) -> Self {
        let facts = headers.asserted().to_vec();
        let audience = headers.audience().to_owned();
        // What else a plan says of its facts makes another assertion, too.
        let beyond = format!("{:?} {:?}", headers.persistence, headers.asked);
        let id = PlanId::of(
            [issuer.as_str(), &audience, &beyond].into_iter().chain(facts.iter().map(|fact| fact.key())),
        );
        Self { issuer, audience, facts, headers: headers.clone(), once: false, id }
    }

    /// The same, made anew for each request: an app can remember its `jti`, and refuse what comes twice.
    #[must_use]
    pub fn once(self, once: bool) -> Self {
        Self { once, ..self }
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }
}

impl PlanId {
    fn of<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            // Each part is preceded by its length, so that none can be shifted into another.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Self(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// A new assertion of a session. `typ` is `JWT`, which ready libraries expect.
fn sign(
    plan: &AssertionPlan,
    session: &Session,
    (kid, key): (KeyId, &SigningKey),
    keys: Hashing<'_>,
    now: Timestamp,
    jti: [u8; 16],
) -> Result<String, SigningError> {
    signed(&claims(plan, session, keys, now, jti), (kid, key))
}

fn signed(claims: &Value, (kid, key): (KeyId, &SigningKey)) -> Result<String, SigningError> {
    key.sign_jws(&[("kid", &kid.to_string()), ("typ", "JWT")], claims)
}

fn claims(
    plan: &AssertionPlan,
    session: &Session,
    keys: Hashing<'_>,
    now: Timestamp,
    jti: [u8; 16],
) -> Value {
    let mut claims = beginning(plan, now, jti);
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    let (mut eidas, mut authorizer) = (Map::new(), Map::new());
    for fact in &plan.facts {
        let Some(value) = value(*fact, plan, session, keys) else { continue };
        match member(*fact) {
            Member::Own(name) => _ = put(name, value),
            Member::OfEidas(name) => _ = eidas.insert(name.to_owned(), value),
            Member::OfAuthorizer(name) => _ = authorizer.insert(name.to_owned(), value),
        }
    }
    for (name, members) in [("eidas", eidas), ("authorizer", authorizer)] {
        if !members.is_empty() {
            put(name, members.into());
        }
    }
    claims.into()
}

/// Where a fact stands.
enum Member {
    Own(&'static str),
    OfEidas(&'static str),
    OfAuthorizer(&'static str),
}

fn member(fact: Fact) -> Member {
    match fact {
        Fact::EidasIdentifier => Member::OfEidas("identifier"),
        Fact::EidasCountry => Member::OfEidas("country"),
        Fact::EidasPersistent => Member::OfEidas("persistent"),
        Fact::AuthorizerFnr => Member::OfAuthorizer("fnr"),
        Fact::AuthorizerName => Member::OfAuthorizer("name"),
        Fact::Org => Member::Own("orgs"),
        Fact::OrgName => Member::Own("org_names"),
        Fact::Subject => Member::Own("sub"),
        Fact::Kind
        | Fact::Fnr
        | Fact::Loa
        | Fact::Acr
        | Fact::Amr
        | Fact::AuthTime
        | Fact::Provider
        | Fact::Session
        | Fact::GivenName
        | Fact::FamilyName
        | Fact::Birthdate
        | Fact::Email
        | Fact::Mobile
        | Fact::Fhnummer
        | Fact::MatchKey
        | Fact::Pseudonym
        | Fact::OnBehalfOf
        | Fact::Consumer
        | Fact::Supplier
        | Fact::Scope => Member::Own(fact.key()),
    }
}

fn value(fact: Fact, plan: &AssertionPlan, session: &Session, keys: Hashing<'_>) -> Option<Value> {
    let who = session.identity();
    let attributes = who.attributes();
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let headers = &plan.headers;
    let organisations = headers.organisations(who);
    match fact {
        Fact::Kind => Some(who.kind().as_str().into()),
        Fact::Fnr => Some(who.pid()?.as_str().into()),
        Fact::EidasIdentifier => Some(who.eidas()?.as_str().into()),
        Fact::EidasCountry => Some(who.eidas()?.country().into()),
        Fact::EidasPersistent => Some(headers.persistence.of(who.eidas()?.country()).into()),
        Fact::MatchKey => Some(pseudonym::match_key(session, &plan.audience, keys.lasting?)?.into()),
        Fact::Pseudonym => Some(pseudonym::pseudonym(session, &plan.audience, keys.lasting?).into()),
        Fact::Loa => Some(who.level()?.as_str().into()),
        Fact::Acr => (!who.acr().is_empty()).then(|| who.acr().into()),
        Fact::Amr => (!who.amr().is_empty()).then(|| json!(who.amr())),
        Fact::AuthTime => Some(who.auth_time()?.seconds().into()),
        Fact::Subject => Some(who.subject().into()),
        Fact::Provider => Some(who.provider().into()),
        Fact::Session => Some(plain::handle(session, &plan.audience, keys.handles).into()),
        Fact::GivenName => text(&attributes.given_name),
        Fact::FamilyName => text(&attributes.family_name),
        Fact::Birthdate => text(&attributes.birthdate),
        Fact::Email => text(&attributes.email),
        Fact::Mobile => text(&attributes.mobile),
        Fact::Fhnummer => match who.person() {
            Person::Helper { number } => Some(number.as_str().into()),
            _ => None,
        },
        Fact::Org => {
            let numbers: Vec<String> = organisations.iter().map(|one| one.number.to_string()).collect();
            (!numbers.is_empty()).then(|| json!(numbers))
        }
        Fact::OrgName => {
            let names: Option<Vec<&str>> = organisations.iter().map(|one| one.name.as_deref()).collect();
            names.filter(|names| !names.is_empty()).map(|names| json!(names))
        }
        Fact::AuthorizerFnr => Some(headers.authorizer(who)?.pid.as_str().into()),
        Fact::AuthorizerName => text(&headers.authorizer(who)?.name),
        Fact::OnBehalfOf => Some(who.onbehalfof()?.into()),
        Fact::Consumer | Fact::Supplier | Fact::Scope => None,
    }
}

/// What is said of a machine. `sub` is its client's id (RFC 9068, 2.2), and `session` stands for its token: the same
/// in all requests with it, and different for each audience.
fn claims_of_machine(
    plan: &AssertionPlan,
    machine: &VerifiedMachine,
    handles: &Ring<MacKey>,
    now: Timestamp,
    jti: [u8; 16],
) -> Value {
    let mut claims = beginning(plan, now, jti);
    let key = &handles.active(machine.issued()).key;
    let handle: [u8; 16] = key.tag("machine-handle", &[plan.audience.as_bytes(), machine.token()]);
    claims.insert("sub".to_owned(), machine.client_id().into());
    claims.insert("session".to_owned(), URL_SAFE_NO_PAD.encode_to_string(handle).into());
    for fact in &plan.facts {
        let value = match fact {
            Fact::Kind => machine.kind().as_str().into(),
            Fact::Provider => machine.provider().into(),
            Fact::Consumer => machine.consumer().to_string().into(),
            Fact::Supplier => match machine.delegation() {
                Some(delegation) => delegation.supplier.to_string().into(),
                None => continue,
            },
            Fact::Scope => machine.scopes().join(" ").into(),
            _ => continue,
        };
        claims.insert(fact.key().to_owned(), value);
    }
    claims.into()
}

/// For whom, by whom, and when.
fn beginning(plan: &AssertionPlan, now: Timestamp, jti: [u8; 16]) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", plan.issuer.as_str().into());
    put("aud", plan.audience.as_str().into());
    put("iat", now.seconds().into());
    put("exp", (now + LIFE).seconds().into());
    put("jti", URL_SAFE_NO_PAD.encode_to_string(jti).into());
    claims
}

#[cfg(test)]
mod tests;
