//! The signed assertion: verified by an app that knows the published keys and nothing else of the gateway
//! (`design.md` 3 and D15; `threats.md` ID-1 to ID-8).

use std::fs;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, VerificationAlgorithm};
use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::Clock;
use serde_json::{Value, json};

use crate::harness::process::await_that;
use crate::harness::{Settings, World, run_keys};

const JWKS: &str = "/.well-known/portvakt/jwks.json";

#[test]
fn an_app_verifies_assertions_that_are_for_it_alone() {
    let mut world = World::start();
    let settings = world.settings.clone();
    assert_eq!(world.curl(JWKS, "").status, 404);
    world.settings = with_assertions(settings);
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the reload is refused", || {
        world.errors().contains("`portvakt keys new assertion`").then_some(())
    });
    assert_eq!(generation(&world), 1);
    run_keys(world.folder(), &["new", "assertion"]);
    reload(&mut world, 2);

    let mut browser = world.browser();
    assert_eq!(browser.log_in("/signed/a", "bankid-high").status(), 200);
    let first = assertion(&world);
    let claims = verified(&world, &first, "ES256");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(world.origin()), &json!("app")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(claims["iat"].as_u64().unwrap().abs_diff(seconds()) <= 30);
    // The assertion and the headers say the same.
    let received = world.app.last();
    for (member, header) in [
        ("kind", "x-identity-kind"),
        ("fnr", "x-identity-fnr"),
        ("loa", "x-identity-loa"),
        ("acr", "x-identity-acr"),
        ("sub", "x-identity-subject"),
        ("provider", "x-identity-provider"),
        ("session", "x-identity-session"),
    ] {
        assert_eq!(claims[member].as_str(), received.header(header), "{member}");
    }
    assert_eq!((claims["fnr"].as_str(), claims["kind"].as_str()), (Some("24929935140"), Some("national")));

    browser.fetch("/signed/b");
    assert_eq!(assertion(&world), first, "it is used again");
    browser.fetch("/other/a");
    let other = verified(&world, &assertion(&world), "ES256");
    assert_eq!(other["aud"], "other");
    assert_eq!(other["sub"], claims["sub"]);
    assert_ne!(other["session"], claims["session"]);
    assert_ne!(other["jti"], claims["jti"]);
    browser.fetch("/app/a");
    assert_eq!(world.app.last().header("x-identity-assertion"), None, "this route did not ask for it");

    let mut another = world.browser();
    another.log_in("/signed/a", "bankid-high");
    let second = assertion(&world);
    assert_ne!(verified(&world, &second, "ES256")["session"], claims["session"]);
    world.finish();
}

#[test]
fn where_the_route_says_so_each_request_has_an_assertion_of_its_own() {
    let mut world = world_with_assertions();
    world.settings = world
        .settings
        .clone()
        .route("{path: '/once/**', access: login, upstream: app, assertion: true, assertion_once: true}");
    world.write_configuration();
    world.restart_gateway();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/once/a", "bankid-high").status(), 200);
    let mut seen = Vec::new();
    for _ in 0..5 {
        browser.fetch("/once/b");
        let jti = verified(&world, &assertion(&world), "ES256")["jti"].clone();
        assert!(!seen.contains(&jti), "{jti} came twice");
        seen.push(jti);
    }
    world.finish();
}

#[test]
fn a_client_neither_brings_nor_takes_away_an_assertion() {
    let world = world_with_assertions();
    let mut browser = world.browser();
    browser.log_in("/signed/a", "bankid-high");
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let forged = assertion(&world);
    for name in
        ["X-Identity-Assertion", "x-identity-assertion", "X_Identity_Assertion", "X-IDENTITY-ASSERTION"]
    {
        let field = format!("{name}: {forged}\r\n");
        for target in ["/", "/maybe/a", "/app/a"] {
            let cookie = if target == "/app/a" { &*cookie } else { "" };
            assert_eq!(world.curl(target, &format!("{field}{cookie}")).status, 200, "{target}");
            let received = world.app.last();
            assert!(
                received.identity().iter().all(|(name, _)| !name.to_ascii_lowercase().contains("assertion"))
            );
        }
        let fields = format!("{field}{cookie}Connection: X-Identity-Assertion\r\n");
        let head = format!("GET /other/a HTTP/1.1\r\nHost: {{host}}\r\n{fields}\r\n");
        // A nomination of our headers may be refused; if it is not, it has no effect.
        if world.send(head).status == 200 {
            assert_eq!(verified(&world, &assertion(&world), "ES256")["aud"], "other");
        }
        assert_eq!(world.curl("/other/a", &format!("{field}{cookie}")).status, 200);
        assert_eq!(verified(&world, &assertion(&world), "ES256")["aud"], "other");
    }
    world.finish();
}

#[test]
fn the_key_set_is_public_and_only_read() {
    let world = world_with_assertions();
    let set = world.curl(JWKS, "");
    assert_eq!((set.status, set.header("content-type")), (200, Some("application/json")));
    assert_eq!(set.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(set.header("access-control-allow-origin"), None);
    let keys = set.json()["keys"].as_array().unwrap().clone();
    let members: Vec<&str> = keys[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((keys.len(), members), (1, vec!["alg", "crv", "kid", "kty", "use", "x", "y"]));
    let ask = |method: &str| {
        world.send(format!(
            "{method} {JWKS} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    assert_eq!((ask("POST").status, ask("DELETE").status, ask("OPTIONS").status), (405, 405, 405));
    assert_eq!(ask("POST").header("allow"), Some("GET, HEAD"));
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_new_key_is_published_then_used_and_without_keys_nothing_is_forwarded() {
    let mut world = world_with_assertions();
    let cookie = {
        let mut browser = world.browser();
        browser.log_in("/signed/a", "bankid-high");
        format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap())
    };
    let first = kid(&assertion(&world));
    run_keys(world.folder(), &["rotate", "assertion", "--alg", "EdDSA"]);
    reload(&mut world, 2);
    let published = kids(&world);
    assert_eq!((published.len(), &published[0]), (2, &first));
    assert_eq!(world.curl("/signed/a", &cookie).status, 200);
    assert_eq!(kid(&assertion(&world)), first, "the new key waits");

    // The same with seconds for hours.
    let now = seconds();
    let file = world.folder().join("keys/assertion.json");
    let mut content: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    content["keys"][0]["retire_after"] = (now + 5).into();
    content["keys"][1]["active_from"] = (now + 3).into();
    content["keys"][1]["retire_after"] = (now + 8).into();
    fs::write(&file, content.to_string()).unwrap();
    reload(&mut world, 3);
    let next = |world: &World| {
        assert_eq!(world.curl("/signed/a", &cookie).status, 200);
        assertion(world)
    };
    await_that("the new key is used", || (kid(&next(&world)) == published[1]).then_some(()));
    let by_new = next(&world);
    assert_eq!(verified(&world, &by_new, "EdDSA")["aud"], "app");
    await_that("the old key leaves", || (kids(&world) == published[1..]).then_some(()));
    await_that("no key is left", || (world.curl(JWKS, "").status == 404).then_some(()));
    let count = world.app.count();
    let refused = world.curl("/signed/a", &cookie);
    assert_eq!((refused.status, world.app.count()), (500, count), "it fails rather than go on unsigned");
    assert_eq!(world.curl("/app/a", &cookie).status, 200, "other routes are as they were");
    world.finish();
}

fn with_assertions(settings: Settings) -> Settings {
    settings
        .route("{path: '/signed/**', access: login, require: {level: substantial}, upstream: app, assertion: true}")
        .route("{path: '/other/**', access: login, upstream: app, audience: other, assertion: true}")
        .route("{path: '/maybe/**', access: optional, upstream: app, assertion: true}")
}

fn world_with_assertions() -> World {
    let mut world = World::start();
    run_keys(world.folder(), &["new", "assertion"]);
    world.settings = with_assertions(world.settings.clone());
    world.write_configuration();
    world.restart_gateway();
    world
}

fn reload(world: &mut World, expected: u64) {
    world.gateway().signal("HUP");
    await_that("the reload", || (generation(world) == expected).then_some(()));
}

fn generation(world: &World) -> u64 {
    world.admin("/status.json").json()["generation"].as_u64().unwrap()
}

fn seconds() -> u64 {
    Clock::start().now().seconds()
}

/// The assertion in the latest request; there is exactly one.
fn assertion(world: &World) -> String {
    let received = world.app.last();
    let all = received.head.all("x-identity-assertion");
    let [assertion] = all.as_slice() else { panic!("{} assertions", all.len()) };
    world.secrets.add(assertion);
    (*assertion).to_owned()
}

fn kids(world: &World) -> Vec<String> {
    let set = world.curl(JWKS, "");
    if set.status == 404 {
        return Vec::new();
    }
    let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
    set.json()["keys"].as_array().unwrap().iter().map(kid).collect()
}

fn kid(assertion: &str) -> String {
    let (protected, _) = assertion.split_once('.').unwrap();
    json_of(protected)["kid"].as_str().unwrap().to_owned()
}

/// The claims, as an app reads them that pins the algorithm and has fetched the key set.
fn verified(world: &World, assertion: &str, algorithm: &str) -> Value {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (protected, payload) = signed.split_once('.').unwrap();
    let header = json_of(protected);
    assert_eq!((&header["alg"], &header["typ"]), (&json!(algorithm), &json!("JWT")));
    let set = world.curl(JWKS, "").json();
    let jwk = set["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == header["kid"]).unwrap();
    assert_eq!((&jwk["alg"], &jwk["use"]), (&header["alg"], &json!("sig")));
    let coordinate = |name| base64(jwk[name].as_str().unwrap());
    let (verifier, point): (&dyn VerificationAlgorithm, Vec<u8>) = match algorithm {
        "ES256" => (&ECDSA_P256_SHA256_FIXED, [vec![4], coordinate("x"), coordinate("y")].concat()),
        _ => (&ED25519, coordinate("x")),
    };
    verifier.verify_sig(&point, signed.as_bytes(), &base64(signature)).unwrap();
    json_of(payload)
}

fn json_of(part: &str) -> Value {
    serde_json::from_slice(&base64(part)).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}
