//! Who an ID token speaks of, and which log nobody in.

mod ambiguities;
mod tokens;

use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::identity::Kind;
use crate::level::Level;
use crate::token::{Algorithm, IdTokenExpectation, KeySet, SigningKey, verify_id_token};

/// What the verifier makes of a token with these claims: signed and verified for real.
fn verified(mut claims: Value) -> VerifiedIdToken {
    for (name, value) in [
        ("iss", json!("https://op.example")),
        ("aud", json!("client")),
        ("nonce", json!("n")),
        ("iat", json!(1_790_000_100)),
        ("exp", json!(1_790_000_220)),
    ] {
        claims[name] = value;
    }
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = KeySet::parse(json!({"keys": [key.public_jwk("k")]}).to_string().as_bytes()).unwrap();
    let expected = IdTokenExpectation {
        issuer: "https://op.example",
        client_id: "client",
        nonce: "n",
        algorithms: &[Algorithm::Es256],
        max_age: None,
        code: None,
        access_token: None,
    };
    let token = key.sign_jws(&[("kid", "k")], &claims).unwrap();
    verify_id_token(&token, &keys, &expected, Timestamp::from_seconds(1_790_000_101)).unwrap()
}

fn provider(profile: &str) -> ProviderSettings {
    crate::provider::tests_support::provider(profile)
}

fn read(claims: Value) -> Result<VerifiedIdentity, IdentityError> {
    verify(&verified(claims), &provider("idporten"), &Asked::default())
}

fn national() -> Value {
    json!({"sub": "s", "pid": "17838534171", "acr": "idporten-loa-high", "amr": ["BankID"],
           "auth_time": 1_790_000_000, "given_name": "Kari", "family_name": "Ås"})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[test]
fn a_norwegian_login_is_national_at_the_level_that_was_reached() {
    let who = read(national()).unwrap();
    assert_eq!((who.kind(), who.level()), (Kind::National, Some(Level::High)));
    assert_eq!(who.pid().unwrap().as_str(), "17838534171");
    assert_eq!(who.attributes().family_name.as_deref(), Some("Ås"));
    assert_eq!(who.auth_time().unwrap().seconds(), 1_790_000_000);
}

#[test]
fn an_unknown_or_missing_level_logs_nobody_in() {
    for acr in [json!("high"), json!("idporten-loa-HIGH"), json!("no-notified-high")] {
        assert_eq!(read(with(national(), "acr", acr)).err(), Some(IdentityError::UnknownAcr));
    }
    let mut missing = national();
    missing.as_object_mut().unwrap().remove("acr");
    assert_eq!(read(missing).err(), Some(IdentityError::UnknownAcr));
}

#[test]
fn a_number_without_its_shape_logs_nobody_in() {
    for pid in [json!("1783853417"), json!("1783853417a"), json!(17_838_534_171_u64), json!(["17838534171"])]
    {
        assert_eq!(read(with(national(), "pid", pid)).err(), Some(IdentityError::Shape));
    }
}

#[test]
fn without_a_number_a_person_is_pseudonymous_and_never_national() {
    let mut claims = national();
    claims.as_object_mut().unwrap().remove("pid");
    let who = read(claims).unwrap();
    assert_eq!((who.kind(), who.pid()), (Kind::Pseudonymous, None));
}

#[test]
fn a_european_is_read_under_old_and_new_names_with_and_without_a_number() {
    let new = json!({"sub": "s", "acr": "eidas-loa-substantial", "amr": ["eIDAS"], "pid": "52859032001",
        "eidas_person_identifier": "SE/NO/199005120000", "given_name": "Åsa", "birthdate": "1990-05-12"});
    let who = read(new.clone()).unwrap();
    assert_eq!((who.kind(), who.pid().is_some()), (Kind::Eidas, true));
    let old = json!({"sub": "s", "acr": "eidas-loa-high", "eidas_identifier": "DK/NO/7f3a-0c2e-91bb",
        "eidas_firstname": "Søren", "eidas_lastname": "Kjær", "eidas_date_of_birth": "1972-06-09"});
    let who = read(old).unwrap();
    assert_eq!(who.attributes().given_name.as_deref(), Some("Søren"));
    assert_eq!(who.attributes().birthdate.as_deref(), Some("1972-06-09"));
    assert_eq!(who.pid(), None);
    let differing = with(new, "eidas_identifier", json!("SE/NO/1"));
    assert_eq!(read(differing).err(), Some(IdentityError::Disagreement));
}

#[test]
fn kind_and_identifiers_must_fit() {
    for claims in [
        json!({"sub": "s", "acr": "eidas-loa-high", "pid": "17838534171"}),
        json!({"sub": "s", "acr": "selfregistered-email", "pid": "17838534171", "email": "a@b.no"}),
        json!({"sub": "s", "acr": "selfregistered-email"}),
        json!({"sub": "s", "acr": "idporten-loa-high", "eidas_identifier": "SE/NO/1"}),
    ] {
        assert_eq!(read(claims.clone()).err(), Some(IdentityError::Contradiction), "{claims}");
    }
}

#[test]
fn an_email_login_has_no_level() {
    let who = read(json!({"sub": "s", "acr": "selfregistered-email", "email": "a@example.com"})).unwrap();
    assert_eq!((who.kind(), who.level()), (Kind::Email, None));
}

#[test]
fn control_characters_in_names_log_nobody_in() {
    for given in ["a\nb", "a\u{0}", "a\u{85}b"] {
        let claims = with(national(), "given_name", json!(given));
        assert_eq!(read(claims).err(), Some(IdentityError::ControlCharacter));
    }
}

#[test]
fn methods_that_could_be_taken_for_two_are_left_out() {
    let who = read(with(national(), "amr", json!(["BankID Mobil", "a,b", "å"]))).unwrap();
    assert_eq!(who.amr(), ["BankID Mobil"]);
}

#[test]
fn test_identities_stay_out_of_production() {
    let production = Asked { production: true, ..Asked::default() };
    let mut idporten = provider("idporten");
    idporten.synthetic_numbers = SyntheticNumbers::Refuse;
    let read = |provider: &ProviderSettings, claims| verify(&verified(claims), provider, &production);
    assert_eq!(read(&idporten, national()).err(), Some(IdentityError::TestIdentity));
    let real = with(national(), "pid", json!("01010012345"));
    assert!(read(&idporten, real.clone()).is_ok());
    let by_test = with(real, "amr", json!(["testid"]));
    assert_eq!(read(&idporten, by_test.clone()).err(), Some(IdentityError::TestIdentity));
    // An operator may let synthetic numbers in, and nothing that the provider calls a test.
    idporten.synthetic_numbers = SyntheticNumbers::Warn;
    assert!(is_synthetic(&read(&idporten, national()).unwrap()));
    assert_eq!(read(&idporten, by_test).err(), Some(IdentityError::TestIdentity));
}

#[test]
fn a_plain_provider_asserts_a_pseudonym_and_no_number() {
    let claims = json!({"sub": "s", "acr": "whatever", "pid": "17838534171", "email": "a@example.com"});
    let who = verify(&verified(claims), &provider("oidc"), &Asked::default()).unwrap();
    assert_eq!((who.kind(), who.pid(), who.level()), (Kind::Pseudonymous, None, None));
    assert_eq!(who.attributes().email.as_deref(), Some("a@example.com"));
}
