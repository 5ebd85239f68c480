//! What a version of the program writes, others of the same minor version read, and the other way round: during an
//! upgrade both serve the same browsers (`threats.md` CK-12).
//!
//! `formats/0.1.json` holds the cookies that 0.1 set. `revocation::record`, `revocation::stream::beat` and `key::council` have what they write likewise. Each entry must open and say what it said, and what it said must be written
//! as it stands there, byte for byte under the seal. Who changes a format gives it another purpose or version, reads
//! the old one for as long as it can come, and adds an entry: `UPDATE_FORMATS=1 cargo test -p portvakt-core formats`
//! adds what is missing and never changes what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::forward::{HeaderPlan, plain};
use crate::identity::verify;
use crate::key::{Hashing, KeyId, MacKey, Ring};
use crate::level::Level;
use crate::login::attempt::{self, Attempt, Slot};
use crate::login::wish::Wish;
use crate::provider::tests_support::provider;
use crate::redirect::Target;
use crate::revocation::Tagger;
use crate::seal::{self, Place, SealKey};
use crate::session::cookies::{self, LogoutReturn};
use crate::session::plan::SessionPlan;
use crate::session::plan::tests_support::{named, usual};
use crate::session::tokens::{AccessToken, Tokens};
use crate::session::{Limits, Session, SessionId, ticket};
use crate::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/formats/0.1.json");
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const HOST: &str = "app.example.no";
const KEY: KeyId = KeyId([7, 1, 7, 1]);

/// What was written, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    written: String,
    says: String,
}

fn cookie_ring() -> Ring<SealKey> {
    Ring::single(KEY, Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
}

fn revocation_ring() -> Ring<MacKey> {
    Ring::single(KEY, Timestamp::from_seconds(0), MacKey::new(&[9; 32]))
}

/// A session as a login makes it.
fn session(claims: Value) -> Session {
    let provider = provider("idporten");
    let mut all = json!({
        "iss": provider.issuer, "aud": provider.client_id, "nonce": "n", "sub": "subject-of-the-person",
        "iat": NOW.seconds(), "exp": NOW.seconds() + 120, "auth_time": NOW.seconds() - 5, "sid": "their-session",
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = json!({ "keys": [key.public_jwk("k")] }).to_string();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode_to_string(part.to_string());
    let signed = format!("{}.{}", encode(&json!({"alg": "ES256", "kid": "k"})), encode(&all));
    let signature = URL_SAFE_NO_PAD.encode_to_string(key.sign(signed.as_bytes()).unwrap());
    let expected = IdTokenExpectation {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        nonce: "n",
        algorithms: &[Algorithm::Es256],
        max_age: None,
        code: None,
        access_token: None,
    };
    let keys = KeySet::parse(keys.as_bytes()).unwrap();
    let token = verify_id_token(&format!("{signed}.{signature}"), &keys, &expected, NOW).unwrap();
    let who = verify::verify(&token, &provider, &verify::Asked::default()).unwrap();
    let (id, ring) = (SessionId::random(), revocation_ring());
    let tags =
        Tagger::active(&ring, NOW).tags(&id, &provider.name, &provider.issuer, token.sid(), token.subject());
    Session::begin(id, tags, who, NOW)
}

/// Everything that is written, as it would be now.
fn written_now() -> BTreeMap<String, String> {
    let (usual, staff) = (usual(HOST), named("staff", Some("example.no"), HOST));
    let sealed = |session: &Session, plan: &SessionPlan| ticket::seal(session, plan, &cookie_ring(), NOW);
    let national = session(json!({"pid": "24929935140", "acr": "idporten-loa-high", "amr": ["BankID"]}));
    let european = session(json!({
        "acr": "eidas-loa-substantial", "amr": ["eidas"], "eidas_person_identifier": "SE/NO/197001011234",
        "given_name": "Åsa Ōe", "family_name": "Ünal", "birthdate": "1970-01-01",
    }));
    let wish = Wish { level: Some(Level::High), ..Wish::default() };
    let target = Target::sealed("/app/letters?page=2");
    let attempt = Slot::Pending(Attempt::start(usual.realm(), wish, target.clone(), 1, NOW));
    let back = LogoutReturn::begin(Some(target), vec!["staff".to_owned()], NOW);
    let access = AccessToken::received("eyJhIjoxfQ.eyJiIjoyfQ.c2lnbmF0dXJl", Some(120), NOW);
    let tokens = Tokens::begin(national.id(), "n", access, Some("opaque+text".into()));
    let tokens = tokens.exchanged(tokens.access().unwrap().clone(), None);
    let note = tokens.note("name", &cookie_ring(), NOW);
    let tokens = tokens.keep(&usual, &cookie_ring(), NOW).unwrap().remove(0);
    let tokens = tokens.to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    [
        ("session of a national identity", sealed(&national, &usual)),
        ("session of a European identity, by name and domain", sealed(&european, &staff)),
        ("attempt", attempt::seal(3, &attempt, HOST, &cookie_ring(), NOW)),
        ("tokens", tokens),
        ("note of an exchange", note),
        ("way back from a logout", back.seal(&usual, HOST, &cookie_ring(), NOW)),
    ]
    .map(|(name, written)| (name.to_owned(), written))
    .into()
}

/// What an app would be told of a session, and when it began.
fn told(session: &Session) -> String {
    let handles = revocation_ring();
    let hashing = Hashing { handles: &handles, lasting: None };
    let plan = HeaderPlan::new("app".to_owned(), &[]);
    let headers = plain::headers(&plan, session, hashing).unwrap();
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    format!("{} {} {}", session.began().millis(), session.active().millis(), lines.join("; "))
}

/// What an entry says, and the bytes below its seal as they were written and as they are written now.
fn read(name: &str, written: &str) -> (String, Vec<u8>, Vec<u8>) {
    let (usual, staff, ring) = (usual(HOST), named("staff", Some("example.no"), HOST), cookie_ring());
    let carrying = |cookie: &str| {
        let line = format!("{cookie}={written}");
        HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::try_from(line).unwrap())])
    };
    let below = |place: &Place<'_>, sealed: &str| {
        seal::open(&ring, place, sealed.as_bytes(), NOW).expect("it opens in its place")
    };
    match name.split(' ').next().unwrap() {
        "session" => {
            let plan = if name.contains("by name") { staff } else { usual };
            let session = ticket::open(written.as_bytes(), &plan, &ring, &Limits::default(), NOW).unwrap();
            let place = Place::whole("session-2", plan.cookie(), plan.scope());
            let again = ticket::seal(&session, &plan, &ring, NOW);
            (told(&session), below(&place, written), below(&place, &again))
        }
        "attempt" => {
            let jar = attempt::jar(3);
            let slot = attempt::open(3, &carrying(&jar.name), HOST, &ring, NOW).unwrap();
            let place = Place::whole("login-2", &jar.name, HOST);
            let again = attempt::seal(3, &slot, HOST, &ring, NOW);
            let Slot::Pending(attempt) = &slot else { panic!("an attempt under way") };
            let Attempt { started, wish, target, .. } = attempt;
            let says = format!(
                "{} {} {} {} {:?} {}",
                attempt.state(3),
                attempt.nonce(),
                attempt.verifier(),
                started.millis(),
                wish.level,
                target.as_str()
            );
            (says, below(&place, written), below(&place, &again))
        }
        "tokens" => {
            use secrecy::ExposeSecret as _;
            let place = Place::whole("tokens", "__Host-portvakt-tokens", HOST);
            let tokens = Tokens::open(&carrying(place.cookie), &usual, &ring, NOW).unwrap();
            let again = tokens.keep(&usual, &ring, NOW).unwrap().remove(0);
            let again = again.to_str().unwrap().split(['=', ';']).nth(1).unwrap();
            let (access, later) = (tokens.access().unwrap(), |seconds| NOW + Duration::from_secs(seconds));
            assert!(access.is_due(later(90)) && !access.is_due(later(89)) && access.is_good(later(117)));
            let says = format!(
                "{} {} {} {}",
                tokens.exchange(),
                tokens.is_nonce("n"),
                access.secret().expose_secret(),
                tokens.refresh().unwrap().expose_secret()
            );
            // Each set of parts has a mark of its own behind the realm.
            let unmarked = |sealed: &str| {
                let mut plain = below(&place, sealed);
                plain.drain(8..16);
                plain
            };
            (says, unmarked(written), unmarked(again))
        }
        "note" => {
            use secrecy::ExposeSecret as _;
            let place = Place::whole("tokens-note", "name", "");
            let plain = below(&place, written);
            // Behind the session's id.
            let session = SessionId::of_bytes(plain[..16].try_into().unwrap());
            let before = Tokens::begin(&session, "n", None, None);
            let tokens = before.read_note(written.as_bytes(), "name", &ring, NOW).unwrap();
            let access = tokens.access().unwrap().secret().expose_secret();
            let says =
                format!("{} {access} {}", tokens.exchange(), tokens.refresh().unwrap().expose_secret());
            (says, plain, below(&place, &tokens.note("name", &ring, NOW)))
        }
        "way" => {
            let jar = cookies::logout_jar(&usual, "/oauth2", 0);
            let back = LogoutReturn::open(&carrying(&jar.name), &usual, HOST, &ring, NOW).unwrap();
            let place = Place::whole("logout-return", &jar.name, HOST);
            let again = back.seal(&usual, HOST, &ring, NOW);
            let LogoutReturn { state, target, began, next } = &back;
            let target = target.as_ref().map(Target::as_str);
            let says = format!("{state} {target:?} {} {next:?}", began.millis());
            (says, below(&place, written), below(&place, &again))
        }
        other => panic!("nobody reads `{other}`"),
    }
}

#[test]
fn versions_read_what_the_others_write() {
    let mut entries: BTreeMap<String, Entry> =
        serde_json::from_str(include_str!("formats/0.1.json")).unwrap();
    let now = written_now();
    if std::env::var_os("UPDATE_FORMATS").is_some() {
        for (name, written) in &now {
            let says = read(name, written).0;
            entries.entry(name.clone()).or_insert(Entry { written: written.clone(), says });
        }
        let text = serde_json::to_string_pretty(&entries).unwrap();
        std::fs::write(Path::new(FILE), text + "\n").unwrap();
    }
    assert!(now.keys().all(|name| entries.contains_key(name)), "what is new has no entry");
    for (name, Entry { written, says }) in &entries {
        let (said, then, again) = read(name, written);
        assert_eq!(&said, says, "{name}: it is read otherwise than it was written");
        assert_eq!(then, again, "{name}: it is written otherwise than it was");
    }
}
