//! Logout tokens: what OpenID Connect Back-Channel Logout 1.0, 2.6 demands, one defect each.

use serde_json::{Value, json};

use super::*;
use crate::token::forge::{CLIENT, Forge, ISSUER, changed};
use crate::token::{IdTokenExpectation, verify_id_token};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_801);

/// Dossier 5.10.
fn logout() -> Value {
    json!({"iss": ISSUER, "aud": CLIENT, "sub": "17838534171", "sid": "KqW8", "jti": "l1", "iat": 1_790_000_800,
        "exp": 1_790_001_100, "events": {EVENT: {}}})
}

fn verify(forge: &Forge, header: &Value, claims: &Value) -> Result<VerifiedLogoutToken, TokenError> {
    let expected =
        LogoutTokenExpectation { issuer: ISSUER, client_id: CLIENT, algorithms: &[Algorithm::EdDsa] };
    let header = changed(&forge.header(), header);
    verify_logout_token(&forge.with_header(&header, claims), &forge.keys(), &expected, NOW)
}

#[test]
fn id_portens_logout_token_names_the_session() {
    let forge = Forge::new(Algorithm::EdDsa);
    for header in [json!({}), json!({"typ": "logout+jwt"}), json!({"typ": "application/LOGOUT+jwt"})] {
        let token = verify(&forge, &header, &logout()).unwrap();
        assert_eq!(token.sid(), Some("KqW8"));
        assert_eq!(token.subject(), None);
        assert_eq!(token.jti(), "l1");
        assert_eq!(token.issued(), Timestamp::from_seconds(1_790_000_800));
        assert_eq!(token.expires(), Timestamp::from_seconds(1_790_001_100));
        assert_eq!(format!("{token:?}"), "VerifiedLogoutToken([REDACTED])");
    }
    let only = |change| verify(&forge, &json!({}), &changed(&logout(), &change)).unwrap();
    let whole_person = only(json!({"sid": null}));
    assert_eq!((whole_person.sid(), whole_person.subject()), (None, Some("17838534171")));
}

/// What is no `sub` of ours, such as the identifier of a foreign eID, is none of our business beside `sid`.
#[test]
fn ambiguity_13_beside_sid_the_subject_is_not_looked_at() {
    let forge = Forge::new(Algorithm::EdDsa);
    for subject in [json!("EL/NO/Ω-70/b+="), json!("17838534171"), json!(""), json!(17), json!(null)] {
        let token = verify(&forge, &json!({}), &changed(&logout(), &json!({ "sub": subject }))).unwrap();
        assert_eq!((token.sid(), token.subject()), (Some("KqW8"), None), "{subject}");
    }
}

#[test]
fn each_lie_has_its_own_refusal() {
    use TokenError as E;
    let forge = Forge::new(Algorithm::EdDsa);
    let lies = [
        (json!({"iss": "https://evil.example"}), E::WrongIssuer),
        (json!({"aud": "gw-client-2"}), E::WrongAudience),
        (json!({"exp": 1_790_000_791_u64, "iat": 1_790_000_700}), E::Expired),
        (json!({"exp": null}), E::Missing("exp")),
        (json!({"iat": null}), E::Missing("iat")),
        (json!({"iat": 1_790_000_812_u64}), E::InFuture("iat")),
        (json!({"jti": null}), E::Missing("jti")),
        (json!({"jti": 5}), E::Malformed("jti")),
        (json!({"events": null}), E::NoLogoutEvent),
        (json!({"events": {}}), E::NoLogoutEvent),
        (json!({"events": [EVENT]}), E::NoLogoutEvent),
        (json!({"events": {EVENT: true}}), E::NoLogoutEvent),
        (json!({"nonce": "n"}), E::NonceInLogoutToken),
        (json!({"sid": null, "sub": null}), E::NobodyNamed),
        (json!({"sid": ""}), E::Malformed("sid")),
        (json!({"sid": null, "sub": ""}), E::Malformed("sub")),
        (json!({"sid": null, "sub": "EL/NO/Ω"}), E::Malformed("sub")),
    ];
    for (lie, refusal) in lies {
        assert_eq!(verify(&forge, &json!({}), &changed(&logout(), &lie)).map(|_| ()), Err(refusal), "{lie}");
    }
    assert_eq!(verify(&forge, &json!({"typ": "JWT"}), &logout()).map(|_| ()), Err(E::WrongType));
    assert_eq!(verify(&forge, &json!({"typ": "at+jwt"}), &logout()).map(|_| ()), Err(E::WrongType));
    // `nonce` is refused even where it is null.
    let null = logout().to_string().replacen('{', r#"{"nonce":null,"#, 1);
    let expected =
        LogoutTokenExpectation { issuer: ISSUER, client_id: CLIENT, algorithms: &[Algorithm::EdDsa] };
    let token = forge.raw(&forge.header().to_string(), &null);
    assert_eq!(
        verify_logout_token(&token, &forge.keys(), &expected, NOW).map(|_| ()),
        Err(E::NonceInLogoutToken)
    );
}

#[test]
fn a_logout_token_is_not_an_id_token() {
    let forge = Forge::new(Algorithm::EdDsa);
    let expected = IdTokenExpectation {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: "n",
        algorithms: &[Algorithm::EdDsa],
        max_age: None,
        code: None,
        access_token: None,
    };
    let untyped = forge.token(&logout());
    assert_eq!(
        verify_id_token(&untyped, &forge.keys(), &expected, NOW).map(|_| ()),
        Err(TokenError::Missing("nonce"))
    );
}
