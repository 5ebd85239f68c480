//! Tokens that are worth nothing, each with its own refusal in the words of RFC 6750, 3.1, and none at the app.

use serde_json::json;

use super::{API, ask, settings, start, token};
use crate::harness::World;
use crate::harness::process::await_that;

const INVALID: (u16, &str) = (401, "invalid_token");
const NOT_ENOUGH: (u16, &str) = (403, "insufficient_scope");

/// Asks, and looks for the refusal: no page, no redirect, nothing at the app.
fn refused(world: &World, token: &str, (status, error): (u16, &str), why: &str) {
    let count = world.app.count();
    let response = ask(world, "/api/x", token, "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n");
    assert_eq!(response.status, status, "{why}: {}", response.text());
    assert_eq!(response.json()["error"], error, "{why}");
    let challenge = response.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains(&format!("error=\"{error}\"")),
        "{why}: {challenge}"
    );
    assert_eq!(response.header("content-type"), Some("application/json"), "{why}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{why}");
    assert!(response.location().is_none() && response.header("set-cookie").is_none(), "{why}");
    assert_eq!(world.app.count(), count, "{why}");
}

#[test]
fn no_lie_of_the_issuer_passes() {
    let world = start();
    for (lie, expected) in [
        ("access_token_wrong_iss", INVALID),
        ("access_token_iss_without_slash", INVALID),
        ("access_token_expired", INVALID),
        ("access_token_future_iat", INVALID),
        ("access_token_unknown_kid", INVALID),
        ("access_token_bad_signature", INVALID),
        ("access_token_duplicate_member", INVALID),
        ("access_token_hs256_public_key", INVALID),
    ] {
        world.control(&json!({"lie": {"name": lie}}));
        refused(&world, &token(&world, ""), expected, lie);
    }
    world.control(&json!({"lie": {"name": "access_token_alg_none"}}));
    refused(&world, &token(&world, ""), INVALID, "alg none");
    // A person in it is no lie that makes it worth less, nor more.
    world.control(&json!({"lie": {"name": "access_token_with_pid"}}));
    let response = ask(&world, "/api/x", &token(&world, ""), "");
    assert_eq!((response.status, world.app.last().header("x-identity-fnr")), (200, None));
    assert_eq!(world.app.last().header("x-identity-kind"), Some("machine"));
    world.finish();
}

#[test]
fn no_claim_that_is_wrong_missing_or_of_another_kind_passes() {
    let world = start();
    let org = |authority: &str, id: &str| json!({"authority": authority, "ID": id});
    let iso = "iso6523-actorid-upis";
    let mut count = 0;
    for (changes, expected) in [
        (json!({"iss": "https://test.maskinporten.no/"}), INVALID),
        (json!({"iss": null}), INVALID),
        (json!({"exp": null}), INVALID),
        (json!({"exp": 1}), INVALID),
        (json!({"exp": 9_999_999_999_u64}), INVALID),
        (json!({"exp": "9999999999"}), INVALID),
        (json!({"iat": null}), INVALID),
        (json!({"nbf": 9_999_999_999_u64}), INVALID),
        (json!({"token_type": null}), INVALID),
        (json!({"token_type": "DPoP"}), INVALID),
        (json!({"cnf": {"jkt": "x"}}), INVALID),
        (json!({"client_id": null}), INVALID),
        // Another kind of token.
        (json!({"nonce": "n"}), INVALID),
        (json!({"acr": "idporten-loa-high", "sub": "x", "pid": "24929935140"}), INVALID),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "s"}), INVALID),
        (json!({"auth_time": 1}), INVALID),
        (json!({"token_type": null, "scope": null, "kind": "machine", "session": "s", "sub": "x"}), INVALID),
        // Nobody's.
        (json!({"consumer": null}), INVALID),
        (json!({"consumer": null, "client_orgno": "310123455"}), INVALID),
        (json!({"consumer": "0192:310123455"}), INVALID),
        (json!({"consumer": [org(iso, "0192:310123455")]}), INVALID),
        (json!({"consumer": org(iso, "9908:310123455")}), INVALID),
        (json!({"consumer": org(iso, "310123455")}), INVALID),
        (json!({"consumer": org(iso, "0192:310123456")}), INVALID),
        (json!({"consumer": org("etsi-en-319-412", "NTRNO-310123455")}), INVALID),
        (json!({"consumer": {"Identifier": {"Authority": iso, "ID": "0192:310123455"}}}), INVALID),
        (json!({"consumer": org(iso, "0192:310123455\r\nX-Identity-Fnr: 24929935140")}), INVALID),
        (json!({"supplier": org(iso, "0192:213987658")}), INVALID),
        (json!({"delegation_source": "https://tt02.altinn.no/"}), INVALID),
        // For somebody else.
        (json!({"aud": "https://other.example"}), INVALID),
        (json!({"aud": ["unspecified", "https://other.example"]}), INVALID),
        (json!({"aud": 5}), INVALID),
        // Not the scope, although it looks like it.
        (json!({"scope": null}), INVALID),
        (json!({"scope": ["portvakt:demo"]}), INVALID),
        (json!({"scope": "portvakt:demo\tportvakt:x"}), INVALID),
        (json!({"scope": "portvakt:demo\r\nX-Identity-Fnr: 24929935140"}), INVALID),
        (json!({"scope": "portvakt:demonstration"}), NOT_ENOUGH),
        (json!({"scope": "portvakt"}), NOT_ENOUGH),
        (json!({"scope": "portvakt:dem"}), NOT_ENOUGH),
        (json!({"scope": "xportvakt:demo"}), NOT_ENOUGH),
        (json!({"scope": "PORTVAKT:DEMO"}), NOT_ENOUGH),
        (json!({"scope": "portvakt:demo,portvakt:x"}), NOT_ENOUGH),
        // A supplier whose right was agreed where it does not count.
        (
            json!({"supplier": org(iso, "0192:213987658"), "delegation_source": "https://tt02.altinn.no"}),
            NOT_ENOUGH,
        ),
        (
            json!({"supplier": org(iso, "0192:213987658"), "delegation_source": "https://altinn.no/"}),
            NOT_ENOUGH,
        ),
    ] {
        world.control(&json!({ "access_token_claims": changes }));
        refused(&world, &token(&world, ""), expected, &changes.to_string());
        count += 1;
    }
    for header in [
        json!({"typ": "logout+jwt"}),
        json!({"typ": "dpop+jwt"}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"cty": "JWT"}),
        json!({"zip": "DEF"}),
        json!({"alg": "RS384"}),
        json!({"alg": "ES256"}),
        json!({"alg": null}),
        json!({"kid": 5}),
        json!({"kid": "../../jwk"}),
        json!({"kid": "x", "jku": "http://127.0.0.1:1/jwk"}),
    ] {
        world.control(&json!({"access_token_claims": {}, "access_token_header": header}));
        refused(&world, &token(&world, ""), INVALID, &header.to_string());
        count += 1;
    }
    assert!(count >= 50, "{count}");
    // Nothing of this has spoiled anything.
    world.control(&json!({"access_token_claims": {}, "access_token_header": {}}));
    assert_eq!(ask(&world, "/api/x", &token(&world, ""), "").status, 200);
    world.finish();
}

#[test]
fn bytes_that_are_no_token_are_told_so() {
    let world = start();
    let sound = token(&world, "");
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for text in [
        "a".to_owned(),
        "a.b.c".to_owned(),
        "....".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{signature}="),
        format!("{sound}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{}", "A".repeat(signature.len())),
        sound.to_ascii_uppercase(),
        "A".repeat(8_000),
    ] {
        refused(&world, &text, INVALID, &text.chars().take(40).collect::<String>());
    }
    let count = world.app.count();
    for (fields, why) in [
        (format!("Authorization: Bearer {sound}\r\nAuthorization: Bearer {sound}\r\n"), "twice"),
        (format!("Authorization: Basic YTpi\r\nAuthorization: Bearer {sound}\r\n"), "beside another"),
        (format!("Authorization: Bearer {sound}, Bearer {sound}\r\n"), "a list"),
        (format!("Authorization: Bearer {sound} x\r\n"), "and more"),
        (format!("Authorization: Bearer \"{sound}\"\r\n"), "quoted"),
        ("Authorization: Bearer\r\n".to_owned(), "nothing"),
        (format!("Authorization: Bearer {}\r\n", "A".repeat(9_000)), "too long"),
    ] {
        let response = world.curl("/api/x", &fields);
        assert_eq!((response.status, &response.json()["error"]), (400, &json!("invalid_request")), "{why}");
        assert!(response.header("www-authenticate").unwrap().contains("invalid_request"), "{why}");
    }
    assert_eq!(world.app.count(), count);
    world.finish();
}

#[test]
fn a_token_is_read_from_its_field_alone() {
    let world = start();
    let sound = token(&world, "");
    for target in [
        format!("/api/x?access_token={sound}"),
        format!("/api/x?a=b&access_token={sound}"),
        format!("/api/x?access%5ftoken={sound}"),
        "/api/x?access_token".to_owned(),
    ] {
        for fields in [String::new(), format!("Authorization: Bearer {sound}\r\n")] {
            let response = world.curl(&target, &fields);
            assert_eq!(
                (response.status, &response.json()["error"]),
                (400, &json!("invalid_request")),
                "{target}"
            );
        }
    }
    let body = format!("access_token={sound}");
    let form = format!(
        "POST /api/x HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(world.send(form).status, 401);
    for fields in [
        format!("Authorization: {sound}\r\n"),
        format!("Authorization: Basic {sound}\r\n"),
        format!("Authorization: DPoP {sound}\r\n"),
        format!("Proxy-Authorization: Bearer {sound}\r\n"),
        format!("X-Authorization: Bearer {sound}\r\n"),
        format!("X-Forwarded-Access-Token: {sound}\r\n"),
        format!("Cookie: access_token={sound}\r\n"),
    ] {
        let response = world.curl("/api/x", &fields);
        assert_eq!(response.status, 401, "{}", response.text());
        assert_eq!(response.json()["error"], "token_required");
        // RFC 6750, 3.1: who brought none is told no error.
        assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"portvakt\""));
    }
    assert_eq!(world.app.count(), 0);
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        assert_eq!(
            world.curl("/api/x", &format!("Authorization: {scheme} {sound}\r\n")).status,
            200,
            "{scheme}"
        );
    }
    world.finish();
}

#[test]
fn each_rule_of_a_route_can_refuse() {
    let route = |path: &str, token: &str| {
        format!(
            "{{path: '/{path}/**', access: token, upstream: app, token: {{scopes: ['portvakt:demo'], {token}}}}}"
        )
    };
    let source = "delegation: ['https://tt02.altinn.no/']";
    let routes = [
        route("ours", "audience: 'https://api.example'"),
        route("few", "consumers: ['991825827']"),
        route("alone", "forward: false"),
        route("supplied", &format!("{source}, suppliers: ['991825827']")),
        route("two", &format!("{source}, suppliers: ['213987658']")),
    ];
    let world = World::with(settings(&routes.each_ref().map(String::as_str)));
    let (own, delegated) = (token(&world, ""), token(&world, "consumer_org=310123455"));
    let (ours, others) =
        (token(&world, "resource=https://api.example"), token(&world, "resource=https://other.example"));
    for (path, token, expected) in [
        ("ours", &ours, Ok(())),
        ("ours", &own, Err((INVALID, "audience"))),
        ("ours", &others, Err((INVALID, "audience"))),
        ("alone", &ours, Err((INVALID, "audience"))),
        ("alone", &own, Ok(())),
        ("few", &own, Err((NOT_ENOUGH, "consumer"))),
        ("alone", &delegated, Err((NOT_ENOUGH, "delegation"))),
        ("supplied", &delegated, Err((NOT_ENOUGH, "supplier"))),
        ("supplied", &own, Ok(())),
        ("two", &delegated, Ok(())),
    ] {
        let response = ask(&world, &format!("/{path}/x"), token, "");
        match expected {
            Ok(()) => assert_eq!(response.status, 200, "{path}: {}", response.text()),
            Err(((status, error), word)) => {
                let body = response.json();
                let said = body["error_description"].as_str().unwrap();
                assert_eq!((response.status, &body["error"]), (status, &json!(error)), "{path} {said}");
                assert!(said.contains(word), "{path}: {said}");
            }
        }
    }
    // The scope that is missing is named.
    world.control(&json!({"access_token_claims": {"scope": "other:scope"}}));
    let response = ask(&world, "/api/x", &token(&world, ""), "");
    let challenge = response.header("www-authenticate").unwrap();
    assert!(challenge.ends_with(", scope=\"portvakt:demo\""), "{challenge}");
    for rule in ["token_audience", "token_consumer", "token_delegation", "token_supplier"] {
        await_that(rule, || world.access_log().iter().any(|line| line["rule"] == rule).then_some(()));
    }
    assert!(API.contains("portvakt:demo"));
    world.finish();
}
