//! The tokens of the dossier's section 5, whole, and exactly the headers that the app of each gets: one file each in
//! `tokens/`. A profile that is added gets a file there; nothing here changes.
//!
//! A file holds `profile`, `claims` of the ID token, `userinfo` where the provider tells it there, what was `asked` in
//! `authorization_details`, `onbehalfof`, and `headers` in their order; `*` stands for what differs each time.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::forward::{HeaderPlan, plain};
use crate::identity::verify::{Asked, verify};
use crate::identity::{Representation, VerifiedIdentity};
use crate::key::{Hashing, KeyId, MacKey, Ring};
use crate::provider::{PROFILES, ProviderSettings};
use crate::revocation::Tagger;
use crate::session::{Session, SessionId};
use crate::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};

/// A file of `tokens/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    #[serde(rename = "is_what")]
    _what: String,
    profile: String,
    claims: Map<String, Value>,
    userinfo: Option<Map<String, Value>>,
    #[serde(default)]
    asked: Vec<Map<String, Value>>,
    onbehalfof: Option<String>,
    headers: Vec<(String, String)>,
}

fn fixtures() -> Vec<(String, Fixture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/identity/verify/tests/tokens");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let fixture = serde_json::from_str(&std::fs::read_to_string(path).unwrap());
        (name.clone(), fixture.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files.map(read).collect()
}

impl Fixture {
    fn provider(&self) -> ProviderSettings {
        let mut provider = crate::provider::tests_support::provider(&self.profile);
        self.text("iss").clone_into(&mut provider.issuer);
        provider
    }

    fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap()
    }

    fn representation(&self) -> Option<Representation> {
        (!self.asked.is_empty()).then(|| Representation::of(&self.asked).unwrap())
    }

    /// Signed, verified a second after it was issued, and read.
    fn identity(&self) -> VerifiedIdentity {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = KeySet::parse(json!({"keys": [key.public_jwk("k")]}).to_string().as_bytes()).unwrap();
        let expected = IdTokenExpectation {
            issuer: self.text("iss"),
            client_id: self.text("aud"),
            nonce: self.text("nonce"),
            algorithms: &[Algorithm::Es256],
            max_age: None,
            code: None,
            access_token: None,
        };
        let token = key.sign_jws(&[("kid", "k")], &Value::from(self.claims.clone())).unwrap();
        let token = verify_id_token(&token, &keys, &expected, self.now()).unwrap();
        let representation = self.representation();
        let asked = Asked {
            production: false,
            userinfo: self.userinfo.as_ref(),
            representation: representation.as_ref(),
            onbehalfof: self.onbehalfof.as_deref(),
        };
        verify(&token, &self.provider(), &asked).unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.claims["iat"].as_u64().unwrap() + 1)
    }

    fn written(&self) -> Vec<(String, String)> {
        let ring =
            |secret| Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), MacKey::new(&[secret; 32]));
        let id = SessionId::random();
        let tags = Tagger::active(&ring(1), self.now()).tags(&id, "p", "i", None, "s");
        let session = Session::begin(id, tags, self.identity(), self.now());
        let asked = self.representation().map(|asked| asked.id());
        let plan = HeaderPlan::new("app".into(), &[]).asking(asked);
        let headers = plain::headers(&plan, &session, Hashing { handles: &ring(2), lasting: None }).unwrap();
        let line = |(name, value): (&std::borrow::Cow<'static, str>, http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        headers.into_iter().map(line).collect()
    }
}

#[test]
fn each_token_of_the_dossier_gives_exactly_the_documented_headers() {
    for (name, fixture) in fixtures() {
        let mut written = fixture.written();
        for (written, expected) in written.iter_mut().zip(&fixture.headers) {
            if expected.1 == "*" && !written.1.is_empty() {
                "*".clone_into(&mut written.1);
            }
        }
        assert_eq!(written, fixture.headers, "{name}");
    }
}

#[test]
fn each_profile_at_which_people_log_in_has_a_token_and_each_section_of_the_dossier() {
    let fixtures = fixtures();
    let profiles: BTreeSet<_> = fixtures.iter().map(|(_, fixture)| fixture.profile.as_str()).collect();
    for profile in PROFILES.iter().filter(|profile| profile.capabilities.people && profile.name != "oidc") {
        assert!(profiles.contains(profile.name), "no token of {}", profile.name);
    }
    // 5.8 is a machine's, 5.10 a logout token.
    for section in ["5.1-", "5.2-", "5.3-", "5.4-", "5.5-", "5.6-", "5.7-", "5.9-"] {
        assert!(fixtures.iter().any(|(name, _)| name.starts_with(section)), "no token of {section}");
    }
    // Where a profile knows its issuer for tests, the token is that one's.
    for (name, fixture) in &fixtures {
        let known = fixture.provider().profile.test_issuer;
        assert!(known.is_none_or(|issuer| issuer == fixture.text("iss")), "{name}");
    }
}
