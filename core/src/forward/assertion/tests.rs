//! What assertions say, how long they are used, and when there is none.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, VerificationAlgorithm};
use http::HeaderValue;

use super::kept::LEAST_LEFT;
use super::*;
use crate::forward::HeaderChange;
use crate::identity::machine::tests::machine_with;
use crate::identity::resume::tests::{email, european, identity};
use crate::identity::{Person, VerifiedIdentity};
use crate::key::{Keys, MacKey, Ring, RingKey};
use crate::revocation::Tagger;
use crate::seal::SealKey;
use crate::session::SessionId;
use crate::token::Algorithm;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_700);

fn at(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn pair(algorithm: Algorithm) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(algorithm).unwrap())
}

fn ring_key<K>(id: u8, active_from: Timestamp, retire_after: Option<Timestamp>, key: K) -> RingKey<K> {
    RingKey { id: KeyId([id; 4]), active_from, retire_after, key }
}

fn keys(assertion: Vec<RingKey<Arc<SigningKey>>>) -> Keys {
    let from = Timestamp::from_seconds(0);
    let mac = |byte| Ring::single(KeyId([byte; 4]), from, MacKey::new(&[byte; 32]));
    Keys {
        cookie: Ring::single(KeyId([9; 4]), from, SealKey::new(&[9; 32])),
        revocation: mac(2),
        pseudonym: mac(3),
        lasting: None,
        audit: mac(4),
        assertion: Ring::new(assertion),
        signature: std::collections::HashMap::new(),
        apps: std::collections::HashMap::new(),
    }
}

fn one_key(algorithm: Algorithm) -> Keys {
    keys(vec![ring_key(1, Timestamp::from_seconds(0), None, pair(algorithm))])
}

fn session(who: VerifiedIdentity) -> Session {
    let (ring, id) = (Ring::single(KeyId([2; 4]), NOW, MacKey::new(&[2; 32])), SessionId::random());
    Session::begin(id, Tagger::active(&ring, NOW).tags(&id, "p", "i", None, "s"), who, NOW)
}

fn plan(audience: &str) -> AssertionPlan {
    AssertionPlan::new("https://login.example".to_owned(), &HeaderPlan::new(audience.to_owned(), &[]))
}

/// The claims, once the published key of that `kid` has verified them, with none of our own code.
fn verified(header: &HeaderValue, keys: &Keys) -> Value {
    let (signed, signature) = header.to_str().unwrap().rsplit_once('.').unwrap();
    let (protected, payload) = signed.split_once('.').unwrap();
    let protected: Value = serde_json::from_slice(&base64(protected)).unwrap();
    let published = keys.assertion.as_ref().unwrap().keys().iter();
    let mut published = published.map(|key| key.key.public_jwk(&key.id.to_string()));
    let jwk = published.find(|jwk| jwk["kid"] == protected["kid"] && jwk["alg"] == protected["alg"]).unwrap();
    let coordinate = |name| base64(jwk[name].as_str().unwrap());
    let (algorithm, point): (&dyn VerificationAlgorithm, _) = match jwk["crv"].as_str().unwrap() {
        "P-256" => (&ECDSA_P256_SHA256_FIXED, [vec![4], coordinate("x"), coordinate("y")].concat()),
        curve => {
            assert_eq!(curve, "Ed25519");
            (&ED25519, coordinate("x"))
        }
    };
    algorithm.verify_sig(&point, signed.as_bytes(), &base64(signature)).unwrap();
    serde_json::from_slice(&base64(payload)).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}

/// The claims without those that differ in every assertion.
fn told(plan: &AssertionPlan, who: VerifiedIdentity) -> Value {
    let (keys, session) = (one_key(Algorithm::Es256), session(who));
    let header = Assertions::new(1 << 20).header(plan, &session, &keys, 1, NOW).unwrap();
    let mut claims = verified(&header, &keys);
    let members = claims.as_object_mut().unwrap();
    assert_eq!(members.remove("jti").unwrap().as_str().unwrap().len(), 22);
    let handle = plain::handle(&session, plan.audience(), &keys.pseudonym);
    assert_eq!(members.remove("session"), Some(handle.into()));
    for (name, expected) in [("iat", 1_790_000_000), ("exp", 1_790_000_060)] {
        assert_eq!(members.remove(name), Some(Value::from(expected)), "{name}");
    }
    claims
}

#[test]
fn a_national_identity_is_told_with_its_names_as_they_are() {
    let expected = json!({
        "iss": "https://login.example",
        "aud": "app",
        "sub": "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5",
        "kind": "national",
        "fnr": "17838534171",
        "loa": "high",
        "acr": "idporten-loa-high",
        "amr": ["BankID"],
        "auth_time": 1_789_999_000,
        "given_name": "Kari Anne",
        "family_name": "Ås 100%",
        "provider": "idporten",
    });
    assert_eq!(told(&plan("app"), identity(1_789_999_000)), expected);
}

#[test]
fn a_missing_fact_is_a_missing_member() {
    let expected = json!({
        "iss": "https://login.example",
        "aud": "app",
        "sub": "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5",
        "kind": "eidas",
        "eidas": { "identifier": "SE/NO/å+1", "country": "SE", "persistent": "yes" },
        "loa": "substantial",
        "acr": "eidas-loa-substantial",
        "given_name": "Kari Anne",
        "family_name": "Ås 100%",
        "provider": "idporten",
    });
    assert_eq!(told(&plan("app"), european()), expected);
    let expected = json!({
        "iss": "https://login.example",
        "aud": "app",
        "sub": "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5",
        "kind": "email",
        "email": "kari@example.no",
        "provider": "idporten",
    });
    assert!(matches!(email().person(), Person::Email));
    assert_eq!(told(&plan("app"), email()), expected);
}

#[test]
fn what_a_route_drops_is_not_told_and_what_it_renames_keeps_its_member() {
    let renamed = HeaderChange::Use {
        name: Some(http::HeaderName::from_static("x-pid")),
        encoding: crate::forward::Encoding::Rfc8187,
    };
    let changes =
        [(Fact::Fnr, renamed), (Fact::GivenName, HeaderChange::Drop), (Fact::Amr, HeaderChange::Drop)];
    let plan = AssertionPlan::new("i".to_owned(), &HeaderPlan::new("app".to_owned(), &changes));
    let claims = told(&plan, identity(0));
    assert_eq!(claims["fnr"], "17838534171");
    assert_eq!((claims.get("given_name"), claims.get("amr")), (None, None));
}

#[test]
fn the_header_says_algorithm_key_and_type_and_utf8_is_not_escaped() {
    for (algorithm, name) in [(Algorithm::Es256, "ES256"), (Algorithm::EdDsa, "EdDSA")] {
        let keys = one_key(algorithm);
        let assertions = Assertions::new(1 << 20);
        let header = assertions.header(&plan("app"), &session(identity(0)), &keys, 1, NOW).unwrap();
        assert_eq!(format!("{header:?}"), "Sensitive");
        let part = |at| {
            let part = header.to_str().unwrap().split('.').nth(at).unwrap().to_owned();
            String::from_utf8(base64(&part)).unwrap()
        };
        assert_eq!(part(0), format!("{{\"alg\":\"{name}\",\"kid\":\"01010101\",\"typ\":\"JWT\"}}"));
        assert!(part(1).contains("\"family_name\":\"Ås 100%\""));
        assert_eq!(verified(&header, &keys)["sub"], "mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5");
    }
}

#[test]
fn an_assertion_is_used_while_half_a_minute_of_it_remains() {
    let (assertions, keys, session) =
        (Assertions::new(1 << 20), one_key(Algorithm::EdDsa), session(identity(0)));
    let made = |now| assertions.header(&plan("app"), &session, &keys, 1, now).unwrap();
    let first = made(NOW);
    // `exp` is 59.3 s away.
    for later in [0, 10, 29] {
        assert_eq!(made(at(later)), first, "{later}");
    }
    let second = made(at(30));
    assert_ne!(second, first);
    assert_eq!(made(at(31)), second);
    assert_eq!(assertions.count(), 1);
    assertions.forget(at(31));
    assert_eq!(assertions.count(), 1);
    assertions.forget(at(30) + LIFE - LEAST_LEFT);
    assert_eq!(assertions.count(), 0);
}

#[test]
fn no_assertion_is_used_for_another_session_audience_issuer_fact_or_generation() {
    let (assertions, keys) = (Assertions::new(1 << 20), one_key(Algorithm::EdDsa));
    let (kari, ola) = (session(identity(0)), session(identity(0)));
    let fewer = HeaderPlan::new("app".to_owned(), &[(Fact::Fnr, HeaderChange::Drop)]);
    let plans = [
        plan("app"),
        plan("other"),
        AssertionPlan::new("https://other.example".to_owned(), &HeaderPlan::new("app".to_owned(), &[])),
        AssertionPlan::new("https://login.example".to_owned(), &fewer),
        AssertionPlan::new("https://login.examplea".to_owned(), &HeaderPlan::new("pp".to_owned(), &[])),
    ];
    let mut seen = std::collections::HashSet::new();
    for generation in [1, 2] {
        for session in [&kari, &ola] {
            for plan in &plans {
                let header = assertions.header(plan, session, &keys, generation, NOW).unwrap();
                let again = assertions.header(plan, session, &keys, generation, NOW).unwrap();
                assert_eq!(header, again);
                let claims = verified(&header, &keys);
                assert_eq!(
                    (&claims["aud"], &claims["iss"]),
                    (&plan.audience().into(), &plan.issuer().into())
                );
                let handle = plain::handle(session, plan.audience(), &keys.pseudonym);
                assert_eq!(claims["session"], handle.as_str());
                assert!(seen.insert(header.as_bytes().to_vec()));
            }
        }
    }
    assertions.renew(1 << 20);
    assert_eq!(assertions.count(), 0);
}

#[test]
fn a_new_key_signs_from_its_time_on_and_is_published_before() {
    let zero = Timestamp::from_seconds(0);
    let rotated = keys(vec![
        ring_key(1, zero, Some(at(1_000)), pair(Algorithm::Es256)),
        ring_key(2, at(20), None, pair(Algorithm::EdDsa)),
    ]);
    let (assertions, session) = (Assertions::new(1 << 20), session(identity(0)));
    let made = |now| assertions.header(&plan("app"), &session, &rotated, 1, now).unwrap();
    let kid = |header: &HeaderValue| {
        verified(header, &rotated);
        let part = header.to_str().unwrap().split('.').next().unwrap().to_owned();
        let part: Value = serde_json::from_slice(&base64(&part)).unwrap();
        part["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!(kid(&made(at(19))), "01010101");
    // The kept assertion of the old key would last longer.
    assert_eq!(kid(&made(at(20))), "02020202");
    let accepted =
        |now| rotated.assertion.as_ref().unwrap().accepted(now).map(|key| key.id.0[0]).collect::<Vec<_>>();
    assert_eq!((accepted(NOW), accepted(at(999)), accepted(at(1_000))), (vec![1, 2], vec![1, 2], vec![2]));
}

#[test]
fn without_an_accepted_key_there_is_no_assertion_kept_or_new() {
    let (assertions, session) = (Assertions::new(1 << 20), session(identity(0)));
    let made = |keys: &Keys, now| assertions.header(&plan("app"), &session, keys, 1, now);
    assert_eq!(made(&keys(vec![]), NOW), Err(Unmade::NoKey));
    let retiring = keys(vec![ring_key(1, Timestamp::from_seconds(0), Some(at(10)), pair(Algorithm::EdDsa))]);
    assert!(made(&retiring, at(9)).is_ok());
    assert_eq!(made(&retiring, at(10)), Err(Unmade::NoKey));
    assert!(retiring.demand_assertion(std::path::Path::new("keys"), at(9)).is_ok());
    assert!(retiring.demand_assertion(std::path::Path::new("keys"), at(10)).is_err());
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_a_smaller_bound_is_followed() {
    const CAPACITY: usize = 1 << 20;
    let (assertions, keys, plan) = (Assertions::new(CAPACITY), one_key(Algorithm::EdDsa), plan("app"));
    let mut greatest = 0;
    for _ in 0..2_500 {
        let header = assertions.header(&plan, &session(identity(0)), &keys, 1, NOW).unwrap();
        assert!(header.len() > 500);
        greatest = greatest.max(assertions.weight());
    }
    assert!(greatest <= CAPACITY as u64 && greatest > CAPACITY as u64 / 2, "{greatest}");
    assert!(assertions.count() * 500 < CAPACITY);
    assertions.renew(CAPACITY / 2);
    for _ in 0..1_500 {
        assertions.header(&plan, &session(identity(0)), &keys, 1, NOW).unwrap();
        assert!(assertions.weight() <= CAPACITY as u64 / 2);
    }
}

/// `cargo test --release -p portvakt-core -- --ignored --nocapture what_an_assertion_costs`: nanoseconds.
#[test]
#[ignore = "a measurement, not a check"]
fn what_an_assertion_costs() {
    const SESSIONS: usize = 20_000;
    const ROUNDS: u32 = 500_000;
    let told = |what: &str, rounds: u32, run: &mut dyn FnMut()| {
        let started = std::time::Instant::now();
        (0..rounds).for_each(|_| run());
        let each = started.elapsed().as_nanos() / u128::from(rounds);
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{what}: {each} ns\n")).unwrap();
    };
    let plan = plan("app");
    for (name, algorithm) in [("ES256", Algorithm::Es256), ("EdDSA", Algorithm::EdDsa)] {
        let (assertions, keys) = (Assertions::new(32 << 20), one_key(algorithm));
        let sessions: Vec<Session> = (0..SESSIONS).map(|_| session(identity(0))).collect();
        let mut next = sessions.iter().cycle();
        let mut make = || {
            std::hint::black_box(
                assertions.header(&plan, next.next().unwrap(), &keys, 1, NOW).map_err(|_| "made").unwrap(),
            );
        };
        told(&format!("a new one, {name}"), u32::try_from(SESSIONS).unwrap(), &mut make);
        told(&format!("a kept one of {SESSIONS}, {name}"), ROUNDS, &mut make);
        let bytes = assertions.weight() / assertions.count() as u64;
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("kept: {} of {bytes} bytes each\n", assertions.count()),
        )
        .unwrap();
    }
}

#[test]
fn a_machine_is_told_as_itself_and_each_time_anew() {
    let keys = one_key(Algorithm::Es256);
    let machine = machine_with(&json!({"pid": "17838534171"})).unwrap();
    let claims = |audience: &str| {
        verified(&Assertions::of_machine(&plan(audience), &machine, &keys, NOW).unwrap(), &keys)
    };
    let (one, same, other) = (claims("app"), claims("app"), claims("other"));
    assert_ne!(one["jti"], same["jti"]);
    assert_eq!(one["session"], same["session"]);
    assert_ne!(one["session"], other["session"]);
    let mut one = one;
    one.as_object_mut().unwrap().retain(|name, _| !["jti", "session"].contains(&name.as_str()));
    let expected = json!({
        "iss": "https://login.example",
        "aud": "app",
        "sub": "1a2b3c4d-0000-4000-8000-000000000002",
        "iat": 1_790_000_000,
        "exp": 1_790_000_060,
        "kind": "machine",
        "provider": "maskinporten",
        "consumer": "310123455",
        "supplier": "213987658",
        "scope": "agency:cases.read agency:cases.write",
    });
    assert_eq!(one, expected);
    let none = keys_of_nobody();
    assert_eq!(Assertions::of_machine(&plan("app"), &machine, &none, NOW), Err(Unmade::NoKey));
}

fn keys_of_nobody() -> Keys {
    keys(Vec::new())
}

#[test]
fn a_plan_that_says_so_gives_each_request_an_assertion_of_its_own() {
    let (assertions, keys, session) =
        (Assertions::new(1 << 20), one_key(Algorithm::EdDsa), session(identity(0)));
    let once = plan("app").once(true);
    let made: Vec<_> = (0..3).map(|_| assertions.header(&once, &session, &keys, 1, NOW).unwrap()).collect();
    assert!(made[0] != made[1] && made[1] != made[2] && made[0] != made[2]);
    assert_eq!(assertions.count(), 0);
    // One that is kept for another route with the same plan is not taken either.
    let kept = assertions.header(&plan("app"), &session, &keys, 1, NOW).unwrap();
    assert_ne!(assertions.header(&once, &session, &keys, 1, NOW).unwrap(), kept);
}
