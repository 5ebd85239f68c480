//! Access tokens: what RFC 9068, 4 and dossier 1.6 demand, one defect each.

use aws_lc_rs::hmac;
use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::token::forge::{CLIENT, Forge, KID, changed};
use crate::token::json::JsonError;
use crate::token::{
    IdTokenExpectation, LogoutTokenExpectation, client_assertion, verify_id_token, verify_logout_token,
};

const ISSUER: &str = "https://test.maskinporten.no/";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_601);
const ALGORITHMS: &[Algorithm] = &[Algorithm::Rs256, Algorithm::EdDsa];

/// Dossier 5.8.
fn delegated() -> Value {
    json!({
        "iss": ISSUER, "client_id": "1a2b3c4d-0000-4000-8000-000000000002", "client_amr": "private_key_jwt",
        "token_type": "Bearer", "aud": "unspecified", "scope": "agency:cases.read agency:cases.write",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:310123455"},
        "supplier": {"authority": "iso6523-actorid-upis", "ID": "0192:213987658"},
        "delegation_source": "https://tt02.altinn.no/", "iat": 1_790_000_600, "exp": 1_790_000_719, "jti": "m1",
    })
}

fn verify(forge: &Forge, token: &str) -> Result<VerifiedAccessToken, TokenError> {
    let expected = AccessTokenExpectation { issuer: ISSUER, algorithms: ALGORITHMS };
    verify_access_token(token, &forge.keys(), &expected, NOW)
}

fn outcome(forge: &Forge, changes: &Value) -> Result<(), TokenError> {
    verify(forge, &forge.token(&changed(&delegated(), changes))).map(|_| ())
}

#[test]
fn maskinportens_token_is_read_with_its_scopes() {
    for algorithm in [Algorithm::Rs256, Algorithm::EdDsa] {
        let forge = Forge::new(algorithm);
        for typ in [json!({}), json!({"typ": "JWT"}), json!({"typ": "application/at+jwt"})] {
            let text = forge.with_header(&changed(&forge.header(), &typ), &delegated());
            let token = verify(&forge, &text).unwrap();
            assert_eq!(token.scopes(), ["agency:cases.read", "agency:cases.write"]);
            assert_eq!(token.client_id(), "1a2b3c4d-0000-4000-8000-000000000002");
            assert_eq!(token.audience(), [""; 0]);
            assert_eq!(token.issued(), Timestamp::from_seconds(1_790_000_600));
            assert_eq!(token.expires(), Timestamp::from_seconds(1_790_000_719));
            assert_eq!(token.digest(), &digest_of(&text));
            assert_eq!(format!("{token:?}"), "VerifiedAccessToken([REDACTED])");
        }
    }
}

#[test]
fn ambiguity_9_unspecified_and_absent_are_both_no_audience() {
    let forge = Forge::new(Algorithm::EdDsa);
    let audience = |aud: Value| {
        let token = verify(&forge, &forge.token(&changed(&delegated(), &json!({"aud": aud}))));
        token.map(|token| token.audience().to_vec())
    };
    assert_eq!(audience(Value::Null), Ok(vec![]));
    assert_eq!(audience(json!("unspecified")), Ok(vec![]));
    assert_eq!(audience(json!(["unspecified"])), Ok(vec![]));
    assert_eq!(audience(json!("https://api.example")), Ok(vec!["https://api.example".to_owned()]));
    // Who is named beside it is named.
    assert_eq!(audience(json!(["unspecified", "https://a.example"])).unwrap().len(), 2);
    for odd in [json!(""), json!(5), json!({"a": 1}), json!([5]), json!([""])] {
        assert_eq!(audience(odd.clone()), Err(TokenError::Malformed("aud")), "{odd}");
    }
}

#[test]
fn each_lie_has_its_own_refusal() {
    use TokenError as E;
    let forge = Forge::new(Algorithm::EdDsa);
    let far = NOW.seconds() + 25 * 3600;
    for (lie, refusal) in [
        // Ambiguity 4: the slash at the end is the issuer's.
        (json!({"iss": "https://test.maskinporten.no"}), E::WrongIssuer),
        (json!({"iss": "https://test.maskinporten.no//"}), E::WrongIssuer),
        (json!({"iss": "https://TEST.maskinporten.no/"}), E::WrongIssuer),
        (json!({"iss": "https://maskinporten.no/"}), E::WrongIssuer),
        (json!({"iss": [ISSUER]}), E::Malformed("iss")),
        (json!({"iss": null}), E::Missing("iss")),
        (json!({"exp": NOW.seconds() - 10}), E::Expired),
        (json!({"exp": null}), E::Missing("exp")),
        (json!({"exp": "1790000719"}), E::Malformed("exp")),
        (json!({"exp": 1_790_000_719.5}), E::Malformed("exp")),
        (json!({"exp": far}), E::Malformed("exp")),
        (json!({"exp": u64::MAX}), E::Malformed("exp")),
        (json!({"exp": 1_790_000_599_u64}), E::Malformed("exp")),
        (json!({"iat": NOW.seconds() + 11}), E::InFuture("iat")),
        (json!({"iat": null}), E::Missing("iat")),
        (json!({"iat": -5}), E::Malformed("iat")),
        (json!({"nbf": NOW.seconds() + 11}), E::NotYetValid),
        (json!({"nbf": "now"}), E::Malformed("nbf")),
        (json!({"token_type": null}), E::Missing("token_type")),
        (json!({"token_type": "DPoP"}), E::NotABearerToken),
        (json!({"token_type": ["Bearer"]}), E::Malformed("token_type")),
        (json!({"cnf": {"jkt": "x"}}), E::NotABearerToken),
        (json!({"client_id": null}), E::Missing("client_id")),
        (json!({"client_id": ""}), E::Malformed("client_id")),
        (json!({"client_id": "a\nb"}), E::Malformed("client_id")),
        (json!({"scope": null}), E::Missing("scope")),
        (json!({"scope": ""}), E::Malformed("scope")),
        (json!({"scope": ["agency:cases.read"]}), E::Malformed("scope")),
        (json!({"scope": "a  b"}), E::Malformed("scope")),
        (json!({"scope": " a"}), E::Malformed("scope")),
        (json!({"scope": "a\tb"}), E::Malformed("scope")),
        (json!({"scope": "a\nb"}), E::Malformed("scope")),
        (json!({"scope": "a\"b"}), E::Malformed("scope")),
        (json!({"scope": "å"}), E::Malformed("scope")),
        (json!({"scope": "a ".repeat(200) + "a"}), E::Malformed("scope")),
        (json!({"scope": "a".repeat(5000)}), E::Malformed("scope")),
        (json!({"nonce": "n"}), E::WrongType),
        (json!({"sid": "s"}), E::WrongType),
        (json!({"events": {}}), E::WrongType),
        (json!({"acr": "idporten-loa-high"}), E::WrongType),
        (json!({"amr": ["BankID"]}), E::WrongType),
        (json!({"auth_time": 1_790_000_000}), E::WrongType),
        (json!({"at_hash": "x"}), E::WrongType),
    ] {
        assert_eq!(outcome(&forge, &lie), Err(refusal), "{lie}");
    }
    // The skew is what it is, and no more.
    for sound in [
        json!({"exp": NOW.seconds() - 9, "iat": NOW.seconds() - 100}),
        json!({"iat": NOW.seconds() + 10}),
        json!({"nbf": NOW.seconds() + 10}),
        json!({"token_type": "bearer"}),
        json!({"pid": "17838534171"}),
    ] {
        assert_eq!(outcome(&forge, &sound), Ok(()), "{sound}");
    }
}

#[test]
fn a_forged_signature_is_none() {
    use TokenError as E;
    let (forge, foreign) = (Forge::new(Algorithm::Rs256), Forge::new(Algorithm::Rs256));
    let sound = forge.token(&delegated());
    let refused = |token: &str| verify(&forge, token).map(|_| ()).unwrap_err();
    assert_eq!(refused(&foreign.token(&delegated())), E::SignatureInvalid);
    let headed = |header: Value| forge.with_header(&header, &delegated());
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    // `none`, with a signature, without one, and with the parts shifted.
    for alg in ["none", "None", "NONE", "HS256", "RS1", "ES256", "PS256", ""] {
        assert_eq!(refused(&headed(json!({"alg": alg, "kid": KID}))), E::AlgorithmNotAllowed, "{alg}");
    }
    let none = URL_SAFE_NO_PAD.encode_to_string(format!(r#"{{"alg":"none","kid":"{KID}"}}"#));
    assert_eq!(refused(&format!("{none}.{payload}.")), E::NotCompact);
    assert_eq!(refused(&format!("{none}.{payload}.{signature}")), E::AlgorithmNotAllowed);
    // HMAC keyed with the public key.
    let public = forge.key.public_jwk(KID);
    let hs256 = URL_SAFE_NO_PAD.encode_to_string(format!(r#"{{"alg":"HS256","kid":"{KID}"}}"#));
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{hs256}.{payload}").as_bytes());
        let token = format!("{hs256}.{payload}.{}", URL_SAFE_NO_PAD.encode_to_string(tag.as_ref()));
        assert_eq!(refused(&token), E::AlgorithmNotAllowed);
    }
    // Key hints are not looked at.
    for hint in ["jwk", "jku", "x5c", "x5u"] {
        let value = if hint == "jwk" { foreign.key.public_jwk(KID) } else { json!("https://evil.example/") };
        let header = json!({"alg": "RS256", "kid": KID, hint: value});
        assert_eq!(refused(&foreign.with_header(&header, &delegated())), E::SignatureInvalid, "{hint}");
    }
    for (member, value) in [("crit", json!(["b64"])), ("b64", json!(false)), ("cty", json!("JWT"))] {
        let header = json!({"alg": "RS256", "kid": KID, member: value});
        assert!(matches!(refused(&headed(header)), E::UnsupportedHeader(_)), "{member}");
    }
    assert_eq!(refused(&headed(json!({"alg": "RS256", "kid": "another"}))), E::UnknownKey);
    assert_eq!(refused(&headed(json!({"kid": KID}))), E::AlgorithmNotAllowed);
    assert_eq!(refused(&headed(json!({"alg": "RS256", "kid": KID, "typ": "logout+jwt"}))), E::WrongType);
    for cut in [
        format!("{header}.{payload}"),
        format!("{sound}."),
        format!("{sound}.a.b"),
        format!("{header}.{payload}.{signature}="),
        format!(" {sound}"),
        format!("{header}..{signature}"),
        "a".repeat(40_000),
        String::new(),
    ] {
        assert!(verify(&forge, &cut).is_err(), "{}", cut.len());
    }
    let doubled = delegated().to_string().replacen('{', r#"{"scope":"admin","#, 1);
    let doubled = forge.raw(&forge.header().to_string(), &doubled);
    assert_eq!(refused(&doubled), E::Json(JsonError::Repeated));
    assert!(verify(&forge, &sound).is_ok());
}

#[test]
fn no_other_kind_of_token_is_an_access_token() {
    let forge = Forge::new(Algorithm::EdDsa);
    let refused = |claims: Value| verify(&forge, &forge.token(&claims)).map(|_| ()).unwrap_err();
    // An ID token, a logout token and our own assertion, by the same issuer and under the same key.
    let id_token = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "x", "acr": "idporten-loa-high", "nonce": "n",
        "iat": 1_790_000_600, "exp": 1_790_000_719,
    });
    assert_eq!(refused(id_token), TokenError::WrongType);
    let bare = json!({"iss": ISSUER, "aud": CLIENT, "sub": "x", "iat": 1_790_000_600, "exp": 1_790_000_719});
    assert_eq!(refused(bare), TokenError::Missing("token_type"));
    let logout = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "x", "jti": "l", "iat": 1_790_000_600, "exp": 1_790_000_719,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    assert_eq!(refused(logout), TokenError::WrongType);
    let own = json!({
        "iss": ISSUER, "aud": "app", "sub": "x", "kind": "national", "session": "s", "jti": "j",
        "iat": 1_790_000_600, "exp": 1_790_000_660,
    });
    assert_eq!(refused(own), TokenError::Missing("token_type"));
    let assertion = client_assertion(&forge.key, KID, ISSUER, ISSUER, NOW, [1; 16]).unwrap();
    assert_eq!(verify(&forge, &assertion).map(|_| ()), Err(TokenError::Missing("token_type")));
}

#[test]
fn an_access_token_is_no_other_kind_of_token() {
    let forge = Forge::new(Algorithm::EdDsa);
    let token =
        forge.token(&changed(&delegated(), &json!({"aud": CLIENT, "sub": "x", "pid": "17838534171"})));
    let id = IdTokenExpectation {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: "n",
        algorithms: ALGORITHMS,
        max_age: None,
        code: None,
        access_token: None,
    };
    let as_id = verify_id_token(&token, &forge.keys(), &id, NOW).map(|_| ());
    assert_eq!(as_id, Err(TokenError::Missing("nonce")));
    let logout = LogoutTokenExpectation { issuer: ISSUER, client_id: CLIENT, algorithms: ALGORITHMS };
    let as_logout = verify_logout_token(&token, &forge.keys(), &logout, NOW).map(|_| ());
    assert_eq!(as_logout, Err(TokenError::NoLogoutEvent));
}
