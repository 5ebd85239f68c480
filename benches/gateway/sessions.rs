//! Sessions as logins make them: an ID token of an issuer of our own is verified, and the ticket sealed with the keys
//! of the run.

use std::sync::Arc;

use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::identity::{VerifiedIdentity, verify};
use portvakt_core::key::Keys;
use portvakt_core::provider::ProviderSettings;
use portvakt_core::revocation::Tagger;
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::{Session, SessionId, ticket};
use portvakt_core::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};
use serde_json::json;

use crate::Result;

/// How many sessions there are.
const SESSIONS: usize = 100_000;

/// Of how many persons.
const PERSONS: usize = 1_000;

/// Many sessions, sealed.
pub(crate) struct Sessions {
    plan: SessionPlan,
    began: Timestamp,
    one: Session,
    cookies: Vec<String>,
}

impl Sessions {
    /// Sessions that begin now.
    pub(crate) fn begin(provider: &ProviderSettings, host: &str, keys: &Keys) -> Result<Self> {
        let began = Clock::start().now();
        let plan = SessionPlan::usual(Arc::new(provider.clone()), host);
        let issuer = Issuer::new(provider)?;
        let persons = (0..PERSONS).map(|person| issuer.login(person, began)).collect::<Result<Vec<_>>>()?;
        let tagger = Tagger::active(&keys.revocation, began);
        let session = |at: usize| {
            let (id, who) = (SessionId::random(), &persons[at % PERSONS]);
            let sid = format!("bench-{at}");
            let tags = tagger.tags(&id, &provider.name, &provider.issuer, Some(&sid), who.subject());
            Session::begin(id, tags, who.clone(), began)
        };
        let seal = |session: &Session| ticket::seal(session, &plan, &keys.cookie, began);
        let cookies = (0..SESSIONS).map(|at| seal(&session(at))).collect();
        Ok(Self { plan, began, one: session(0), cookies })
    }

    /// The session and the host to which the cookies are bound.
    pub(crate) fn plan(&self) -> &SessionPlan {
        &self.plan
    }

    /// When they began.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// One of them, open.
    pub(crate) fn one(&self) -> &Session {
        &self.one
    }

    /// The values of all cookies.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.cookies.iter().map(String::as_bytes)
    }

    /// One value in each line.
    pub(crate) fn lines(&self) -> String {
        self.cookies.join("\n")
    }
}

/// Signs what ID-porten would.
struct Issuer<'a> {
    provider: &'a ProviderSettings,
    key: SigningKey,
    keys: KeySet,
}

impl<'a> Issuer<'a> {
    fn new(provider: &'a ProviderSettings) -> Result<Self> {
        let key = SigningKey::generate(Algorithm::EdDsa)?;
        let keys = KeySet::parse(json!({ "keys": [key.public_jwk("bench")] }).to_string().as_bytes())?;
        Ok(Self { provider, key, keys })
    }

    fn login(&self, person: usize, now: Timestamp) -> Result<VerifiedIdentity> {
        let header = json!({ "alg": "EdDSA", "kid": "bench" });
        let claims = json!({
            "iss": self.provider.issuer, "aud": self.provider.client_id, "nonce": "bench",
            "iat": now.seconds(), "exp": now.seconds() + 120, "auth_time": now.seconds(),
            "sub": format!("mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE{person:04}"),
            "pid": format!("178385{person:05}"), "acr": "idporten-loa-high", "amr": ["BankID"],
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode_to_string(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode_to_string(self.key.sign(signed.as_bytes())?);
        let expected = IdTokenExpectation {
            issuer: &self.provider.issuer,
            client_id: &self.provider.client_id,
            nonce: "bench",
            algorithms: &[Algorithm::EdDsa],
            max_age: None,
            code: None,
            access_token: None,
        };
        let token = verify_id_token(&format!("{signed}.{signature}"), &self.keys, &expected, now)?;
        Ok(verify::verify(&token, self.provider, &verify::Asked::default())?)
    }
}
