//! What differs a little from the tokens of the dossier's section 5, and what is told of it then: the open questions of
//! its section 7 as far as one token answers them. The tokens themselves are in `tokens.rs`.

use serde_json::{Value, json};

use super::super::*;
use super::verified;
use crate::clock::Timestamp;
use crate::forward::{HeaderPlan, plain};
use crate::key::{Hashing, KeyId, MacKey, Ring};
use crate::provider::tests_support::provider;
use crate::revocation::Tagger;
use crate::session::{Session, SessionId};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_101);

/// The lines that an app gets, but for `X-Identity-Session` and `-Provider`.
fn told(profile: &str, claims: Value, asked: &Asked<'_>) -> Result<Vec<String>, IdentityError> {
    let who = verify(&verified(claims), &provider(profile), asked)?;
    let ring =
        |secret| Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), MacKey::new(&[secret; 32]));
    let id = SessionId::random();
    let tags = Tagger::active(&ring(1), NOW).tags(&id, "p", "i", None, "s");
    let session = Session::begin(id, tags, who, NOW);
    let plan = HeaderPlan::new("app".into(), &[]).asking(asked.representation.map(Representation::id));
    let headers = plain::headers(&plan, &session, Hashing { handles: &ring(2), lasting: None }).unwrap();
    let line = |(name, value): (&std::borrow::Cow<'static, str>, http::HeaderValue)| {
        format!("{}: {}", name.strip_prefix("X-Identity-").unwrap(), value.to_str().unwrap())
    };
    let lines = headers.into_iter().map(line);
    Ok(lines.filter(|line| !line.starts_with("Session:") && !line.starts_with("Provider:")).collect())
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn bankid() -> Value {
    json!({"sub": "mX0c", "pid": "17838534171", "acr": "idporten-loa-high", "amr": ["BankID"],
        "auth_time": 1_790_000_000, "sid": "KqW8", "locale": "nb", "given_name": "Kari", "family_name": "Ås"})
}

fn swede() -> Value {
    json!({"sub": "q4dQ", "acr": "eidas-loa-substantial", "amr": ["eIDAS"], "pid": "52859032001",
        "eidas_person_identifier": "SE/NO/199005120000", "given_name": "Åsa", "family_name": "Öberg",
        "birthdate": "1990-05-12", "auth_time": 1_790_000_100, "locale": "en"})
}

fn employee() -> Value {
    json!({"sub": "z9Ru", "pid": "09867238341", "name": "OLA TEST", "acr": "high", "amr": ["TestID"],
        "authorization_details": [{"type": "ansattporten:altinn:service",
            "resource": "urn:altinn:resource:2480:40", "resource_name": "Prøveressurs", "reportees": [
                {"Rights": ["Read", "ArchiveRead"], "Authority": "iso6523-actorid-upis",
                 "ID": "0192:310123455", "Name": "PRØVE AS"}]}],
        "auth_time": 1_790_000_100, "locale": "nb"})
}

fn signicat() -> Value {
    json!({"sub": "4Hq2", "idp": "idporten", "idp_issuer": "https://test.idporten.no", "idporten_sub": "mX0c",
        "idporten_loa": "idporten-loa-high", "idporten_idp": "BankID", "acr": "high", "nin": "24929935140",
        "nin_type": "BIRTH", "nin_issuing_country": "NO", "name": "Per Prøve", "given_name": "Per",
        "family_name": "Prøve", "sandbox": true, "transaction_id": "t-1", "auth_time": 1_790_000_100})
}

fn fh() -> Value {
    json!({"sub": "pseudonym-1", "acr": "low", "amr": ["apple"], "fhnummer": "81234567802",
        "mobile": "+4799999999", "email": "a@example.com", "auth_time": 1_790_000_100, "locale": "en"})
}

fn idporten(claims: Value) -> Result<Vec<String>, IdentityError> {
    told("idporten", claims, &Asked::default())
}

/// Without a number nobody knows who it is, whatever address they claim.
#[test]
fn without_a_helper_number_a_person_abroad_is_nobody_in_particular() {
    let nobody = without(without(fh(), "mobile"), "fhnummer");
    let told = told("idporten-utland", nobody, &Asked::default()).unwrap();
    assert_eq!(told[0], "Kind: pseudonymous");
}

#[test]
fn what_userinfo_says_is_of_the_same_person_and_worth_the_same() {
    let token = json!({"sub": "4Hq2", "acr": "high", "auth_time": 1_790_000_100});
    let from = |userinfo: &Value, token: &Value| {
        let asked = Asked { userinfo: userinfo.as_object(), ..Asked::default() };
        told("signicat", token.clone(), &asked)
    };
    // Of somebody else, of another level, against the token, or a level that nobody signed.
    let other = with(signicat(), "sub", json!("other"));
    assert_eq!(from(&other, &token), Err(IdentityError::OtherSubject));
    assert_eq!(from(&without(signicat(), "sub"), &token), Err(IdentityError::OtherSubject));
    let lower = with(without(signicat(), "acr"), "idporten_loa", json!("idporten-loa-substantial"));
    assert_eq!(from(&lower, &token), Err(IdentityError::Disagreement));
    let against = with(token.clone(), "nin", json!("17838534171"));
    assert_eq!(from(&signicat(), &against), Err(IdentityError::Disagreement));
    assert_eq!(from(&signicat(), &without(token, "acr")), Err(IdentityError::UnknownAcr));
    // A test person of the provider's, in production.
    let production = Asked { production: true, ..Asked::default() };
    assert_eq!(told("signicat", signicat(), &production), Err(IdentityError::TestIdentity));
}

#[test]
fn ambiguity_2_only_the_new_words_for_a_foreign_level_count() {
    for acr in ["eIDAS", "eidas", "eidas-loa", "no-notified-high"] {
        assert_eq!(idporten(with(swede(), "acr", json!(acr))), Err(IdentityError::UnknownAcr), "{acr}");
    }
}

/// Dossier 1.2.5: every spelling is read, and two that disagree refuse the login.
#[test]
fn ambiguity_3_each_spelling_is_read_and_two_must_agree() {
    let names = &provider("idporten").profile.claims;
    let expected = idporten(swede());
    for (spellings, newest, other) in [
        (names.eidas_identifier, "eidas_person_identifier", "SE/NO/2"),
        (names.given_name, "given_name", "Eva"),
        (names.family_name, "family_name", "Ek"),
        (names.birthdate, "birthdate", "1990-05-13"),
        (names.eidas_country, "", "DK"),
    ] {
        for spelling in spellings {
            if !newest.is_empty() {
                let renamed = with(without(swede(), newest), spelling, swede()[newest].clone());
                assert_eq!(idporten(renamed), expected, "{spelling}");
            }
            if *spelling != newest {
                let both = with(swede(), spelling, json!(other));
                assert_eq!(idporten(both), Err(IdentityError::Disagreement), "{spelling}");
            }
        }
    }
}

#[test]
fn ambiguity_8_onbehalfof_is_read_under_either_name_and_checked_both_ways() {
    let read = |claims: Value, sent: Option<&str>| {
        told("idporten", claims, &Asked { onbehalfof: sent, ..Asked::default() })
    };
    for name in ["client_onbehalfof", "aud_onbehalfof"] {
        let claims = with(bankid(), name, json!("kunde"));
        assert_eq!(read(claims.clone(), Some("kunde")).unwrap().last().unwrap(), "On-Behalf-Of: kunde");
        for sent in [None, Some("annen")] {
            assert_eq!(read(claims.clone(), sent), Err(IdentityError::OnBehalfOf), "{name} {sent:?}");
        }
        assert_eq!(read(with(bankid(), name, json!(1)), Some("1")), Err(IdentityError::OnBehalfOf));
    }
    assert_eq!(read(bankid(), Some("kunde")), Err(IdentityError::OnBehalfOf));
    let both = with(with(bankid(), "client_onbehalfof", json!("kunde")), "aud_onbehalfof", json!("annen"));
    assert_eq!(read(both, Some("kunde")), Err(IdentityError::OnBehalfOf));
}

#[test]
fn ambiguity_10_methods_are_read_as_text_and_as_list() {
    let text = idporten(with(bankid(), "amr", json!("BankID")));
    assert_eq!(text, idporten(bankid()));
}

#[test]
fn ambiguity_11_ansattporten_names_its_levels_in_two_ways() {
    for (acr, level) in [("high", "high"), ("idporten-loa-high", "high"), ("substantial", "substantial")] {
        let told = told("ansattporten", with(employee(), "acr", json!(acr)), &Asked::default()).unwrap();
        assert!(told.contains(&format!("Loa: {level}")), "{told:?}");
    }
    let foreign = with(employee(), "acr", json!("eidas-loa-high"));
    assert_eq!(told("ansattporten", foreign, &Asked::default()), Err(IdentityError::UnknownAcr));
}

#[test]
fn ambiguity_17_a_number_that_vanishes_leaves_the_identifier() {
    let who = |claims| verify(&verified(claims), &provider("idporten"), &Asked::default()).unwrap();
    assert_eq!(who(swede()).person_key(), ("pid", "52859032001"));
    assert_eq!(who(without(swede(), "pid")).person_key(), ("eidas", "SE/NO/199005120000"));
}

#[test]
fn ambiguity_18_limited_is_below_substantial_and_no_suffix_is_read() {
    let limited = with(bankid(), "acr", json!("idporten-loa-substantial-limited"));
    assert!(idporten(limited).unwrap().contains(&"Loa: low".to_owned()));
    for acr in ["idporten-loa-substantial-limited-x", "x-high", "wallet-loa-high"] {
        assert_eq!(idporten(with(bankid(), "acr", json!(acr))), Err(IdentityError::UnknownAcr), "{acr}");
    }
}

#[test]
fn ambiguity_25_nothing_is_derived_from_a_number_and_a_synthetic_one_is_refused_by_configuration() {
    // Check digits of 2032, and none at all.
    for pid in ["01813200399", "01010012345"] {
        assert!(idporten(with(bankid(), "pid", json!(pid))).is_ok(), "{pid}");
    }
    let mut strict = provider("idporten");
    strict.synthetic_numbers = SyntheticNumbers::Refuse;
    assert_eq!(
        verify(&verified(bankid()), &strict, &Asked::default()).err(),
        Some(IdentityError::TestIdentity)
    );
}

#[test]
fn ambiguity_26_number_and_identifier_are_both_told_with_the_kind() {
    let told = idporten(swede()).unwrap();
    assert_eq!(told[..3], ["Kind: eidas", "Fnr: 52859032001", "Eidas-Identifier: SE/NO/199005120000"]);
}

#[test]
fn ambiguity_28_a_helper_number_has_its_check_digits_and_is_no_identity_number() {
    for wrong in ["17012054321", "87012054321", "17838534171"] {
        let claims = with(fh(), "fhnummer", json!(wrong));
        assert_eq!(told("idporten-utland", claims, &Asked::default()), Err(IdentityError::Shape), "{wrong}");
    }
    assert_eq!(idporten(with(bankid(), "pid", json!("81234567802"))), Err(IdentityError::Shape));
}

#[test]
fn ambiguity_29_without_a_norwegian_number_signicat_names_nobody() {
    for (name, value) in [("nin_type", json!("PERSONAL")), ("nin_issuing_country", json!("SE"))] {
        let told = told("signicat", with(signicat(), name, value), &Asked::default()).unwrap();
        assert_eq!(told[0], "Kind: pseudonymous");
        assert!(!told.iter().any(|line| line.starts_with("Fnr")), "{told:?}");
    }
    let unknown = with(signicat(), "idporten_loa", json!("passport"));
    assert_eq!(told("signicat", unknown, &Asked::default()), Err(IdentityError::UnknownAcr));
}
