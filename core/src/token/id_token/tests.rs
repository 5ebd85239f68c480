//! ID tokens: what OpenID Connect Core 1.0, 3.1.3.7 demands, one defect each.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::token::KeySetError;
use crate::token::forge::{CLIENT, Forge, ISSUER, KID, changed, set};
use crate::token::json::JsonError;

const NONCE: &str = "n-0S6_WzA2Mj-7vYw3";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_645);
const ALGORITHMS: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// Dossier 5.1: BankID, single sign-on reused.
fn bankid() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5", "pid": "17838534171",
        "acr": "idporten-loa-high", "amr": ["BankID"], "auth_time": 1_790_000_000, "iat": 1_790_000_640,
        "exp": 1_790_000_760, "jti": "a1B2c3D4e5F", "nonce": NONCE,
        "sid": "KqW8sid0bQ2n7Zr5Yx1Tt9Lm4Pp6Vv3Hh0Gg8Ff2Dd1", "locale": "nb", "given_name": "Kari",
        "family_name": "Ås",
    })
}

fn expected() -> IdTokenExpectation<'static> {
    IdTokenExpectation {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: NONCE,
        algorithms: ALGORITHMS,
        max_age: None,
        code: None,
        access_token: None,
    }
}

fn verify(forge: &Forge, token: &str) -> Result<VerifiedIdToken, TokenError> {
    verify_id_token(token, &forge.keys(), &expected(), NOW)
}

/// The outcome for dossier 5.1 with some claims changed.
fn outcome(forge: &Forge, changes: &Value) -> Result<(), TokenError> {
    verify(forge, &forge.token(&changed(&bankid(), changes))).map(|_| ())
}

#[test]
fn an_id_porten_token_is_read_with_all_its_facts() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let forge = Forge::new(algorithm);
        let token = verify(&forge, &forge.token(&bankid())).unwrap();
        assert_eq!(token.subject(), "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5");
        assert_eq!(token.sid(), Some("KqW8sid0bQ2n7Zr5Yx1Tt9Lm4Pp6Vv3Hh0Gg8Ff2Dd1"));
        assert_eq!(token.acr(), Some("idporten-loa-high"));
        assert_eq!(token.amr(), ["BankID"]);
        assert_eq!(token.auth_time(), Some(Timestamp::from_seconds(1_790_000_000)));
        assert_eq!(token.issued(), Timestamp::from_seconds(1_790_000_640));
        assert_eq!(token.expires(), Timestamp::from_seconds(1_790_000_760));
        assert_eq!(token.claim_str("pid"), Some("17838534171"));
        assert_eq!(token.claim_str("family_name"), Some("Ås"));
        assert_eq!(token.claim_str("iat"), None);
        assert_eq!(token.claim("amr"), Some(&json!(["BankID"])));
        assert_eq!(token.claim("absent"), None);
        assert_eq!(format!("{token:?}"), "VerifiedIdToken([REDACTED])");
    }
}

/// Dossier 5.3, 5.4, 5.6, 5.9: with and without a number, old and new names, nested details.
#[test]
fn the_dossiers_other_logins_are_read_too() {
    let forge = Forge::new(Algorithm::EdDsa);
    let tokens = [
        json!({"sub": "q4dQ", "acr": "eidas-loa-substantial", "amr": ["eIDAS"], "pid": "52859032001",
            "eidas_person_identifier": "SE/NO/199005120000", "given_name": "Åsa", "birthdate": "1990-05-12"}),
        json!({"sub": "r9Kp", "acr": "eidas-loa-high", "amr": ["eIDAS"], "eidas_identifier": "DK/NO/7f3a-0c2e-91bb",
            "eidas_firstname": "Søren", "eidas_lastname": "Kjær", "eidas_date_of_birth": "1972-06-09"}),
        json!({"sub": "z9Ru", "acr": "high", "amr": ["TestID"], "authorization_details": [
            {"type": "ansattporten:altinn:service", "resource": "urn:altinn:resource:2480:40", "reportees":
            [{"Rights": ["Read", "ArchiveRead"], "ID": "0192:310123455", "Name": "PRØVE AS"}]}]}),
        json!({"sub": "u5Ee", "acr": "selfregistered-email", "amr": "Selfregistered-email", "email": "a@example.com"}),
    ];
    for claims in tokens {
        let common = json!({"iss": ISSUER, "aud": [CLIENT], "iat": 1_790_000_640, "exp": 1_790_000_760,
            "nonce": NONCE, "auth_time": 1_790_000_640, "jti": "e1"});
        let token = verify(&forge, &forge.token(&changed(&common, &claims))).unwrap();
        assert_eq!(token.acr(), claims["acr"].as_str());
        assert_eq!(token.amr().len(), 1);
        assert_eq!(token.sid(), None);
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(token.claim(name), Some(value));
        }
    }
}

/// Dossier 7, no. 4: its first row.
#[test]
fn each_lie_in_a_claim_has_its_own_refusal() {
    use TokenError as E;
    let forge = Forge::new(Algorithm::EdDsa);
    let lies = [
        (json!({"iss": "https://test.idporten.no/"}), E::WrongIssuer),
        (json!({"iss": "https://TEST.idporten.no"}), E::WrongIssuer),
        (json!({"iss": null}), E::Missing("iss")),
        (json!({"iss": [ISSUER]}), E::Malformed("iss")),
        (json!({"aud": "gw-client-2"}), E::WrongAudience),
        (json!({"aud": "gw-client-1 "}), E::WrongAudience),
        (json!({"aud": []}), E::WrongAudience),
        (json!({"aud": null}), E::Missing("aud")),
        (json!({"aud": {"0": CLIENT}}), E::Malformed("aud")),
        (json!({"aud": [CLIENT, 1]}), E::Malformed("aud")),
        (json!({"aud": [CLIENT, "other"]}), E::WrongAuthorizedParty),
        (json!({"aud": [CLIENT, "other"], "azp": "other"}), E::WrongAuthorizedParty),
        (json!({"azp": "other"}), E::WrongAuthorizedParty),
        (json!({"azp": 1}), E::Malformed("azp")),
        (json!({"exp": 1_790_000_635_u64, "iat": 1_790_000_600_u64}), E::Expired),
        (json!({"exp": null}), E::Missing("exp")),
        (json!({"exp": "1790000760"}), E::Malformed("exp")),
        (json!({"exp": -1}), E::Malformed("exp")),
        (json!({"exp": 1_790_000_639_u64}), E::Malformed("exp")),
        (json!({"nbf": 1_790_000_656_u64}), E::NotYetValid),
        (json!({"nbf": "soon"}), E::Malformed("nbf")),
        (json!({"iat": 1_790_000_656_u64}), E::InFuture("iat")),
        (json!({"iat": null}), E::Missing("iat")),
        (json!({"iat": 1_790_000_640.5}), E::Malformed("iat")),
        (json!({"iat": 1_790_000_034_u64}), E::TooOld),
        (json!({"nonce": "n-0S6_WzA2Mj-7vYw4"}), E::WrongNonce),
        (json!({"nonce": "n-0S6_WzA2Mj-7vYw"}), E::WrongNonce),
        (json!({"nonce": ""}), E::Malformed("nonce")),
        (json!({"nonce": [NONCE]}), E::Malformed("nonce")),
        (json!({"nonce": null}), E::Missing("nonce")),
        (json!({"sub": null}), E::Missing("sub")),
        (json!({"sub": ""}), E::Malformed("sub")),
        (json!({"sub": "a".repeat(256)}), E::Malformed("sub")),
        (json!({"sub": "ås"}), E::Malformed("sub")),
        (json!({"sub": "a\r\nb"}), E::Malformed("sub")),
        (json!({"sub": 17}), E::Malformed("sub")),
        (json!({"sid": ""}), E::Malformed("sid")),
        (json!({"sid": "a".repeat(257)}), E::Malformed("sid")),
        (json!({"acr": ["idporten-loa-high"]}), E::Malformed("acr")),
        (json!({"amr": 4}), E::Malformed("amr")),
        (json!({"amr": ["BankID", null]}), E::Malformed("amr")),
        (json!({"amr": vec!["BankID"; 17]}), E::Malformed("amr")),
        (json!({"auth_time": "yesterday"}), E::Malformed("auth_time")),
        (json!({"auth_time": 1_790_000_656_u64}), E::InFuture("auth_time")),
    ];
    for (lie, refusal) in lies {
        assert_eq!(outcome(&forge, &lie), Err(refusal), "{lie}");
    }
}

#[test]
fn what_differs_harmlessly_is_accepted() {
    let forge = Forge::new(Algorithm::EdDsa);
    for change in [
        json!({}),
        json!({"aud": [CLIENT]}),
        json!({"aud": ["other", CLIENT], "azp": CLIENT}),
        json!({"azp": CLIENT}),
        json!({"amr": "BankID Mobil"}),
        json!({"amr": null, "acr": null, "sid": null, "auth_time": null}),
        json!({"sub": "a".repeat(255)}),
        json!({"sid": "a=b="}),
        json!({"amr": vec!["BankID"; 16]}),
        json!({"exp": 1_790_000_640_u64}),
        // The clocks differ by the skew, exactly.
        json!({"exp": 1_790_000_636_u64, "iat": 1_790_000_600_u64}),
        json!({"iat": 1_790_000_655_u64, "nbf": 1_790_000_655_u64, "auth_time": 1_790_000_655_u64}),
        json!({"iat": 1_790_000_035_u64}),
    ] {
        assert_eq!(outcome(&forge, &change), Ok(()), "{change}");
    }
}

#[test]
fn an_expectation_without_nonce_accepts_nothing() {
    let forge = Forge::new(Algorithm::EdDsa);
    let expected = IdTokenExpectation { nonce: "", ..expected() };
    for claims in [bankid(), changed(&bankid(), &json!({"nonce": null}))] {
        let refusal = verify_id_token(&forge.token(&claims), &forge.keys(), &expected, NOW).unwrap_err();
        assert!(matches!(refusal, TokenError::WrongNonce | TokenError::Missing("nonce")));
    }
}

#[test]
fn asked_for_freshness_is_checked_with_auth_time() {
    let forge = Forge::new(Algorithm::EdDsa);
    let requested_at = Timestamp::from_seconds(1_790_000_600);
    let with = |age: u64, auth_time: Value| {
        let expected = IdTokenExpectation {
            max_age: Some(MaxAge { age: Duration::from_secs(age), requested_at }),
            ..expected()
        };
        let claims = changed(&bankid(), &json!({ "auth_time": auth_time }));
        verify_id_token(&forge.token(&claims), &forge.keys(), &expected, NOW).map(|_| ())
    };
    assert_eq!(with(0, json!(1_790_000_620_u64)), Ok(()));
    assert_eq!(with(0, json!(1_790_000_590_u64)), Ok(()));
    assert_eq!(with(0, json!(1_790_000_589_u64)), Err(TokenError::AuthenticationTooOld));
    assert_eq!(with(300, json!(1_790_000_300_u64)), Ok(()));
    // A route judges an age without leeway, and so does the login for it.
    assert_eq!(with(300, json!(1_790_000_299_u64)), Err(TokenError::AuthenticationTooOld));
    assert_eq!(with(0, Value::Null), Err(TokenError::Missing("auth_time")));
}

/// The values are those of OpenID Connect Core 1.0, A.3 (`at_hash`) and A.4 (`c_hash`), for SHA-256.
#[test]
fn hashes_are_checked_where_the_token_has_them() {
    let forge = Forge::new(Algorithm::Es256);
    let (code, access_token) = (
        "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk",
        "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
    );
    let check = |change: &Value, code, access_token| {
        let expected = IdTokenExpectation { code, access_token, ..expected() };
        verify_id_token(&forge.token(&changed(&bankid(), change)), &forge.keys(), &expected, NOW).map(|_| ())
    };
    let both = json!({"c_hash": "LDktKdoQak3Pk0cnXxCltA", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ"});
    assert_eq!(check(&both, Some(code), Some(access_token)), Ok(()));
    assert_eq!(check(&json!({}), Some(code), Some(access_token)), Ok(()));
    assert_eq!(check(&both, Some("another"), Some(access_token)), Err(TokenError::WrongHash("c_hash")));
    assert_eq!(check(&both, Some(code), Some("another")), Err(TokenError::WrongHash("at_hash")));
    assert_eq!(check(&json!({"at_hash": 1}), None, Some("x")), Err(TokenError::Malformed("at_hash")));
}

#[test]
fn each_lie_in_the_header_has_its_own_refusal() {
    use TokenError as E;
    let forge = Forge::new(Algorithm::EdDsa);
    let lies = [
        (json!({"alg": "none"}), E::AlgorithmNotAllowed),
        (json!({"alg": "HS256"}), E::AlgorithmNotAllowed),
        (json!({"alg": "PS256"}), E::AlgorithmNotAllowed),
        (json!({"alg": null}), E::AlgorithmNotAllowed),
        (json!({"alg": ["EdDSA"]}), E::AlgorithmNotAllowed),
        (json!({"alg": "RS256"}), E::KeyDoesNotFit),
        (json!({"alg": "ES256"}), E::KeyDoesNotFit),
        (json!({"kid": "key-2"}), E::UnknownKey),
        (json!({"kid": 1}), E::Malformed("kid")),
        (json!({"kid": ""}), E::Malformed("kid")),
        (json!({"kid": "k".repeat(257)}), E::Malformed("kid")),
        (json!({"kid": "k".repeat(256)}), E::UnknownKey),
        (json!({"x5c": ["A".repeat(13_000)]}), E::NotCompact),
        (json!({"typ": "logout+jwt"}), E::WrongType),
        (json!({"typ": "at+jwt"}), E::WrongType),
        (json!({"typ": "application/at+jwt"}), E::WrongType),
        (json!({"typ": true}), E::Malformed("typ")),
        (json!({"crit": ["exp"], "exp": 1}), E::UnsupportedHeader("crit")),
        (json!({"crit": []}), E::UnsupportedHeader("crit")),
        (json!({"b64": false}), E::UnsupportedHeader("b64")),
        (json!({"b64": true}), E::UnsupportedHeader("b64")),
        (json!({"zip": "DEF"}), E::UnsupportedHeader("zip")),
        (json!({"cty": "JWT"}), E::UnsupportedHeader("cty")),
        (json!({"enc": "A128GCM"}), E::UnsupportedHeader("enc")),
    ];
    for (lie, refusal) in lies {
        let token = forge.with_header(&changed(&forge.header(), &lie), &bankid());
        assert_eq!(verify(&forge, &token).map(|_| ()), Err(refusal), "{lie}");
    }
    for harmless in [
        json!({"typ": "JWT"}),
        json!({"typ": "jwt"}),
        json!({"typ": "application/jwt"}),
        json!({"kid": null}),
        json!({"x": 1}),
    ] {
        let token = forge.with_header(&changed(&forge.header(), &harmless), &bankid());
        assert!(verify(&forge, &token).is_ok(), "{harmless}");
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    let (forge, stranger) = (Forge::new(Algorithm::EdDsa), Forge::new(Algorithm::EdDsa));
    let hints = json!({"jwk": stranger.key.public_jwk(KID), "jku": "https://evil.example/jwks", "x5u": "https://evil.example", "x5c": ["AAAA"]});
    let header = changed(&forge.header(), &hints);
    assert_eq!(
        verify(&forge, &stranger.with_header(&header, &bankid())).map(|_| ()),
        Err(TokenError::SignatureInvalid)
    );
    assert!(verify(&forge, &forge.with_header(&header, &bankid())).is_ok());
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    let forge = Forge::new(Algorithm::Rs256);
    let jwk = forge.key.public_jwk(KID);
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode_to_string(json!({"alg": "HS256", "kid": KID}).to_string()),
        URL_SAFE_NO_PAD.encode_to_string(bankid().to_string())
    );
    let secret =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, jwk["n"].as_str().unwrap().as_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(tag));
    assert_eq!(verify(&forge, &token).map(|_| ()), Err(TokenError::AlgorithmNotAllowed));
}

#[test]
fn a_repeated_member_is_refused_in_claims_and_header() {
    let forge = Forge::new(Algorithm::EdDsa);
    let repeated = TokenError::Json(JsonError::Repeated);
    let claims = bankid().to_string();
    let twice = claims.replacen('{', r#"{"pid":"02916131944","#, 1);
    assert_eq!(verify(&forge, &forge.raw(&forge.header().to_string(), &twice)).map(|_| ()), Err(repeated));
    let nested = claims.replacen('{', r#"{"x":{"a":[{"b":1,"b":2}]},"#, 1);
    assert_eq!(verify(&forge, &forge.raw(&forge.header().to_string(), &nested)).map(|_| ()), Err(repeated));
    let header = r#"{"alg":"EdDSA","kid":"key-1","kid":"key-1"}"#;
    assert_eq!(verify(&forge, &forge.raw(header, &claims)).map(|_| ()), Err(repeated));
}

#[test]
fn another_text_of_the_same_token_is_refused() {
    let forge = Forge::new(Algorithm::EdDsa);
    let token = forge.token(&bankid());
    let parts: Vec<&str> = token.split('.').collect();
    let not_compact = [
        format!("{token}="),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}."),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0].replace('-', "+"), parts[1], "AA=="),
        String::new(),
        "..".to_owned(),
        json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
    ];
    for text in not_compact {
        assert_eq!(verify(&forge, &text).map(|_| ()), Err(TokenError::NotCompact), "{text}");
    }
    assert_eq!(verify(&forge, &format!("{token}.a.b")).map(|_| ()), Err(TokenError::Encrypted));
    let long = forge.token(&changed(&bankid(), &json!({"x": "x".repeat(40_000)})));
    assert_eq!(verify(&forge, &long).map(|_| ()), Err(TokenError::TooLong));
}

#[test]
fn without_kid_only_a_single_fitting_key_is_taken() {
    let (forge, other) = (Forge::new(Algorithm::EdDsa), Forge::new(Algorithm::EdDsa));
    let curve = Forge::new(Algorithm::Es256);
    let token = forge.with_header(&json!({"alg": "EdDSA"}), &bankid());
    let under = |keys: &[Value]| verify_id_token(&token, &set(keys), &expected(), NOW).map(|_| ());
    assert_eq!(under(&[forge.key.public_jwk("a"), curve.key.public_jwk("b")]), Ok(()));
    assert_eq!(under(&[forge.key.public_jwk("a"), other.key.public_jwk("b")]), Err(TokenError::AmbiguousKey));
    assert_eq!(under(&[curve.key.public_jwk("b")]), Err(TokenError::UnknownKey));
}

#[test]
fn a_kid_that_two_keys_share_names_neither() {
    let (forge, other) = (Forge::new(Algorithm::EdDsa), Forge::new(Algorithm::EdDsa));
    let curve = Forge::new(Algorithm::Es256);
    let token = forge.token(&bankid());
    let under = |keys: &[Value]| verify_id_token(&token, &set(keys), &expected(), NOW).map(|_| ());
    let (ours, theirs) = (forge.key.public_jwk(KID), other.key.public_jwk(KID));
    for both in [[&ours, &theirs], [&theirs, &ours]] {
        let document = json!({ "keys": both }).to_string();
        assert_eq!(KeySet::parse(document.as_bytes()).map(|_| ()), Err(KeySetError::AmbiguousKid));
    }
    // The same key twice is one key; a key of another kind is told apart by `alg`.
    assert_eq!(under(&[ours.clone(), ours.clone()]), Ok(()));
    assert_eq!(under(&[curve.key.public_jwk(KID), ours]), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_single_changed_byte_leaves_a_token_valid(at in any::<prop::sample::Index>(), to in 0_u8..128) {
        thread_local! {
            static TOKENS: Vec<(KeySet, String)> = [Algorithm::EdDsa, Algorithm::Es256]
                .map(|algorithm| { let forge = Forge::new(algorithm); (forge.keys(), forge.token(&bankid())) })
                .into();
        }
        TOKENS.with(|tokens| {
            for (keys, token) in tokens {
                let mut bytes = token.clone().into_bytes();
                let at = at.index(bytes.len());
                if bytes[at] == to {
                    continue;
                }
                bytes[at] = to;
                let changed = String::from_utf8(bytes).unwrap();
                prop_assert!(verify_id_token(token, keys, &expected(), NOW).is_ok());
                prop_assert!(verify_id_token(&changed, keys, &expected(), NOW).is_err());
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
        let forge = Forge::new(Algorithm::EdDsa);
        prop_assert!(verify(&forge, &text).is_err());
    }
}

/// The outcome of a refresh that brings dossier 5.1 with some claims changed.
fn refreshed(forge: &Forge, changes: &Value) -> Result<(), TokenError> {
    let expected = RefreshedExpectation {
        issuer: ISSUER,
        client_id: CLIENT,
        algorithms: ALGORITHMS,
        access_token: Some("an access token"),
        subject: "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5",
        is_nonce: &|nonce| nonce == NONCE,
    };
    let token = forge.token(&changed(&bankid(), changes));
    verify_refreshed_id_token(&token, &forge.keys(), &expected, NOW).map(|_| ())
}

#[test]
fn a_refreshed_token_is_of_the_same_issuer_client_subject_and_login() {
    let forge = Forge::new(Algorithm::Es256);
    for (changes, expected) in [
        (json!({}), Ok(())),
        (json!({"nonce": null}), Ok(())),
        (json!({"nonce": "another"}), Err(TokenError::WrongNonce)),
        (json!({"nonce": ""}), Err(TokenError::Malformed("nonce"))),
        (json!({"sub": "another"}), Err(TokenError::WrongSubject)),
        (json!({"sub": null}), Err(TokenError::Missing("sub"))),
        (json!({"iss": "https://other.example"}), Err(TokenError::WrongIssuer)),
        (json!({"aud": "another"}), Err(TokenError::WrongAudience)),
        (json!({"aud": [CLIENT, "another"]}), Err(TokenError::WrongAuthorizedParty)),
        (json!({"exp": 1_790_000_600}), Err(TokenError::Expired)),
        (json!({"iat": 1_789_990_000}), Err(TokenError::TooOld)),
        (json!({"at_hash": "AAAA"}), Err(TokenError::WrongHash("at_hash"))),
    ] {
        assert_eq!(refreshed(&forge, &changes), expected, "{changes}");
    }
    let other = Forge::new(Algorithm::Es256);
    let token = other.token(&bankid());
    let by_another_key = RefreshedExpectation {
        issuer: ISSUER,
        client_id: CLIENT,
        algorithms: ALGORITHMS,
        access_token: None,
        subject: "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5",
        is_nonce: &|_| true,
    };
    assert!(verify_refreshed_id_token(&token, &forge.keys(), &by_another_key, NOW).is_err());
}
