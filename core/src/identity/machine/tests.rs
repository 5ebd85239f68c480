//! Whose machine it is: fixture 5.8 of the dossier, and each way of not saying it.

use serde_json::{Value, json};

use super::*;
use crate::token::{AccessTokenExpectation, Algorithm, KeySet, SigningKey, verify_access_token};

const ISSUER: &str = "https://test.maskinporten.no/";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_601);

/// Dossier 5.8 with some claims changed; `null` removes one.
pub(crate) fn machine_with(changes: &Value) -> Result<VerifiedMachine, MachineError> {
    let mut claims = json!({
        "iss": ISSUER, "client_id": "1a2b3c4d-0000-4000-8000-000000000002", "client_amr": "private_key_jwt",
        "token_type": "Bearer", "aud": "unspecified", "scope": "agency:cases.read agency:cases.write",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:310123455"},
        "supplier": {"authority": "iso6523-actorid-upis", "ID": "0192:213987658"},
        "delegation_source": "https://tt02.altinn.no/", "iat": 1_790_000_600, "exp": 1_790_000_719, "jti": "m1",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let token = key.sign_jws(&[("kid", "k")], &claims).unwrap();
    let keys = KeySet::parse(json!({"keys": [key.public_jwk("k")]}).to_string().as_bytes()).unwrap();
    let expected = AccessTokenExpectation { issuer: ISSUER, algorithms: &[Algorithm::EdDsa] };
    verify(&verify_access_token(&token, &keys, &expected, NOW).unwrap(), "maskinporten")
}

fn number(text: &str) -> OrganisationNumber {
    OrganisationNumber::parse(text).unwrap()
}

#[test]
fn fixture_5_8_a_delegated_token() {
    let machine = machine_with(&json!({})).unwrap();
    assert_eq!(machine.consumer(), number("310123455"));
    let delegation = machine.delegation().unwrap();
    assert_eq!(delegation.supplier, number("213987658"));
    assert_eq!(delegation.source, "https://tt02.altinn.no/");
    assert_eq!(machine.scopes(), ["agency:cases.read", "agency:cases.write"]);
    assert_eq!((machine.kind(), machine.provider()), (Kind::Machine, "maskinporten"));
    assert_eq!(machine.expires(), Timestamp::from_seconds(1_790_000_719));
    let own = machine_with(&json!({"supplier": null, "delegation_source": null})).unwrap();
    assert_eq!(own.delegation(), None);
}

#[test]
fn a_person_in_a_machines_token_is_nobody() {
    let with = machine_with(&json!({"pid": "17838534171", "sub": "x", "given_name": "Kari"})).unwrap();
    assert_eq!(with.kind(), Kind::Machine);
    let printed = format!("{with:?} {:?}", with.delegation());
    assert!(!["17838534171", "Kari", "310123455", "213987658"].iter().any(|text| printed.contains(text)));
}

#[test]
fn what_does_not_name_an_organisation_is_nobodys() {
    use MachineError as E;
    let org = |authority: &str, id: &str| json!({"authority": authority, "ID": id});
    let iso = "iso6523-actorid-upis";
    for consumer in [
        Value::Null,
        json!("0192:310123455"),
        json!(310_123_455),
        json!([org(iso, "0192:310123455")]),
        json!({"ID": "0192:310123455"}),
        json!({"authority": iso}),
        org(iso, "310123455"),
        org(iso, "9908:310123455"),
        org(iso, "0192:310123456"),
        org(iso, "0192:31012345"),
        org(iso, "0192:310123455 "),
        org(iso, "0192:310123455,991825827"),
        org("etsi-en-319-412", "NTRNO-310123455"),
        org("ISO6523-actorid-upis", "0192:310123455"),
        json!({"Identifier": {"Authority": iso, "ID": "0192:310123455"}}),
        json!({"Authority": iso, "ID": "0192:310123455"}),
    ] {
        assert_eq!(machine_with(&json!({"consumer": consumer})), Err(E::Consumer), "{consumer}");
    }
    // Another claim never stands in for `consumer`.
    let other = json!({"consumer": null, "client_orgno": "310123455"});
    assert_eq!(machine_with(&other), Err(E::Consumer));
    for (changes, refusal) in [
        (json!({"supplier": org(iso, "0192:1")}), E::Supplier),
        (json!({"supplier": "0192:213987658"}), E::Supplier),
        (json!({"supplier": null}), E::Delegation),
        (json!({"delegation_source": null}), E::Delegation),
        (json!({"delegation_source": ""}), E::Delegation),
        (json!({"delegation_source": "a b"}), E::Delegation),
        (json!({"delegation_source": ["https://tt02.altinn.no/"]}), E::Delegation),
        (json!({"delegation_source": "a".repeat(257)}), E::Delegation),
    ] {
        assert_eq!(machine_with(&changes), Err(refusal), "{changes}");
    }
}
