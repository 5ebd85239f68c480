//! Message signatures: verified by an app that follows RFC 9421 and knows the published keys, or the secret
//! that it shares (`design.md` D7c; `threats.md` ID-1 to ID-8).

use std::fs;
use std::process::Command;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, VerificationAlgorithm};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use portvakt_core::clock::Clock;
use serde_json::Value;

use crate::harness::app::Received;
use crate::harness::process::{await_that, program};
use crate::harness::{World, run_keys};

const JWKS: &str = "/.well-known/portvakt/jwks.json";

const ROUTES: [(&str, &str); 3] =
    [("/ed/", "ed25519"), ("/ec/", "ecdsa-p256-sha256"), ("/mac/", "hmac-sha256")];

#[test]
fn every_request_of_a_signed_route_can_be_checked() {
    let world = signed_world();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/ed/a?b=c%20d", "bankid-high").status(), 200);
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    for (path, algorithm) in ROUTES {
        for target in ["a?b=c%20d", "a%C3%A5?", "b", "b?x=%2F&y"] {
            assert_eq!(world.curl(&format!("{path}{target}"), &cookie).status, 200);
            let received = world.app.last();
            let components = checked(&world, &received, algorithm);
            for (name, _) in received.identity() {
                assert!(components.contains(&name.to_ascii_lowercase()), "{name} is not covered");
            }
            assert!(components.contains(&"x-identity-fnr".to_owned()));
            assert_eq!(received.header("x-portvakt-audience"), Some("app"));
        }
    }
    let post = format!(
        "POST /ed/form HTTP/1.1\r\nHost: {{host}}\r\n{cookie}Content-Length: 3\r\nConnection: close\r\n\r\na=b"
    );
    assert_eq!(world.send(post).status, 200);
    checked(&world, &world.app.last(), "ed25519");
    world.finish();
}

#[test]
fn nobody_is_signed_as_nobody_and_two_requests_never_the_same() {
    let world = signed_world();
    let nonces: Vec<String> = (0..2)
        .map(|_| {
            assert_eq!(world.curl("/open/a", "").status, 200);
            let received = world.app.last();
            assert!(received.identity().is_empty());
            let components = checked(&world, &received, "ed25519");
            assert_eq!(components.len(), 5, "{components:?}");
            parameter(received.header("signature-input").unwrap(), "nonce").to_owned()
        })
        .collect();
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(world.curl("/public/a", "").status, 200);
    assert_eq!(world.app.last().header("signature"), None, "this route did not ask for it");
    world.finish();
}

#[test]
fn a_client_brings_no_signature_and_no_audience() {
    let world = signed_world();
    for field in [
        "Signature: portvakt=:AAAA:\r\nSignature-Input: portvakt=()\r\n",
        "signature_input: portvakt=()\r\n",
        "X-Portvakt-Audience: other\r\n",
        "X_Portvakt_Audience: other\r\n",
        "Connection: close, X-Portvakt-Audience\r\n",
        "Connection: close, Signature, Signature-Input\r\n",
    ] {
        for path in ["/open/a", "/public/a"] {
            // A nomination of our fields may be refused; if it is not, it has no effect.
            if world.curl(path, field).status != 200 {
                continue;
            }
            let received = world.app.last();
            if path == "/open/a" {
                checked(&world, &received, "ed25519");
                assert_eq!(received.header("x-portvakt-audience"), Some("app"));
            } else {
                let ours = ["signature", "signature-input", "x-portvakt-audience"];
                assert!(ours.iter().all(|name| received.header(name).is_none()), "{field}");
            }
        }
    }
    world.finish();
}

#[test]
fn a_clients_own_signature_passes_where_the_route_says_so_and_never_as_ours() {
    let passing = "{path: '/passing/**', access: optional, upstream: app, client_signatures: pass}";
    let world = World::with(crate::harness::Settings::default().route(passing));
    let theirs = "sig1=(\"@method\" \"@path\");created=1790000000;keyid=\"shop\"";
    let fields =
        |input: &str, signature: &str| format!("Signature-Input: {input}\r\nSignature: {signature}\r\n");
    let got = |path: &str, fields: &str| {
        assert_eq!(world.curl(path, fields).status, 200, "{fields}");
        let received = world.app.last();
        let all = |name| received.head.all(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        (all("signature-input"), all("signature"))
    };
    let own = fields(theirs, "sig1=:AAAA:");
    let passed = (vec![theirs.to_owned()], vec!["sig1=:AAAA:".to_owned()]);
    assert_eq!(got("/passing/a", &own), passed);
    assert_eq!(got("/public/a", &own), (vec![], vec![]), "elsewhere it is removed");
    let ours = format!("portvakt=();created=1;tag=\"portvakt\", {theirs}");
    assert_eq!(got("/passing/a", &fields(&ours, "portvakt=:BBBB:, sig1=:AAAA:")), passed);
    for (input, signature) in [
        ("portvakt=()", "portvakt=:AAAA:"),
        ("sig1=();tag=\"portvakt\"", "sig1=:AAAA:"),
        ("sig1=()", "portvakt=:AAAA:"),
        ("sig1=(", "sig1=:AAAA:"),
        ("Portvakt=()", "Portvakt=:AAAA:"),
    ] {
        assert_eq!(got("/passing/a", &fields(input, signature)), (vec![], vec![]), "{input}");
    }
    // Lines of one field are one; other spellings are nobody's.
    let lines = format!("{own}{}signature_input: portvakt=()\r\n", fields("portvakt=()", "portvakt=:BBBB:"));
    assert_eq!(got("/passing/a", &lines), passed);
    world.finish();
}

#[test]
fn a_body_under_its_digest_arrives_whole_or_not_at_all() {
    let world = signed_world();
    let mut chunked = "POST /digest/a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\
                       Content-Digest: sha-256=:AAAA:\r\nConnection: close\r\n\r\n"
        .to_owned();
    let (empty, full) = (format!("{chunked}0\r\n\r\n"), "6\r\namount\r\n2\r\n=1\r\n0\r\n\r\n");
    chunked.push_str(full);
    let long = "x".repeat(64 * 1024);
    let sized = |body: &str| {
        format!(
            "POST /digest/a HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, body) in [
        (sized("amount=1"), "amount=1"),
        (sized(""), ""),
        (sized(&long), &*long),
        (chunked, "amount=1"),
        (empty, ""),
        ("GET /digest/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".to_owned(), ""),
    ] {
        assert_eq!(world.send(request).status, 200);
        let received = world.app.last();
        assert_eq!(String::from_utf8_lossy(&received.body), body);
        assert!(checked(&world, &received, "ed25519").contains(&"content-digest".to_owned()));
        let digest =
            STANDARD.encode_to_string(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()));
        assert_eq!(only(&received, "content-digest"), format!("sha-256=:{digest}:"));
    }
    let count = world.app.count();
    assert_eq!((world.send(sized(&format!("{long}x"))).status, world.app.count()), (413, count));
    world.finish();
}

#[test]
fn without_a_key_a_signed_route_does_not_load_and_with_a_retired_one_nothing_is_forwarded() {
    let mut world = World::start();
    world.settings = world
        .settings
        .clone()
        .route("{path: '/mac/**', access: public, upstream: app, signature: hmac-sha256}");
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the reload is refused", || {
        world.errors().contains("`portvakt keys new app-app`").then_some(())
    });
    run_keys(world.folder(), &["new", "app-app"]);
    world.gateway().signal("HUP");
    await_that("the reload", || (world.curl("/mac/a", "").status == 200).then_some(()));
    let file = world.folder().join("keys/app-app.json");
    let mut content: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    content["keys"][0]["retire_after"] = (Clock::start().now().seconds() + 3).into();
    fs::write(&file, content.to_string()).unwrap();
    world.gateway().signal("HUP");
    await_that("the key retires", || (world.curl("/mac/a", "").status == 500).then_some(()));
    let count = world.app.count();
    assert_eq!((world.curl("/mac/a", "").status, world.app.count()), (500, count));
    assert_eq!(world.curl("/public/a", "").status, 200, "other routes are as they were");
    world.finish();
}

#[test]
fn an_operator_learns_why_a_captured_request_is_refused() {
    let world = signed_world();
    let mut browser = world.browser();
    browser.log_in("/ed/a?b", "bankid-high");
    let captured = String::from_utf8(world.app.last().raw).unwrap() + "\r\n\r\n";
    let verify = |text: &str| {
        let file = world.folder().join("captured");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program("portvakt"));
        let output =
            command.arg("verify").arg(&file).arg("--config").arg(world.configuration()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (sound, said) = verify(&captured);
    assert!(sound && said.contains("signature  holds   ed25519"), "{said}");
    assert!(!said.contains("24929935140"), "{said}");
    let (sound, said) = verify(&captured.replace("24929935140", "17838534171"));
    assert!(!sound && said.contains("signature  FAILS   the bytes do not fit"), "{said}");
    let (sound, said) = verify(&captured.replace("\r\n\r\n", "\r\nX_Identity_Org: 1\r\n\r\n"));
    assert!(
        !sound && said.contains("covers     FAILS   not written by the gateway: X_Identity_Org"),
        "{said}"
    );
    world.finish();
}

fn signed_world() -> World {
    let mut world = World::start();
    let mut settings = world.settings.clone();
    for (path, algorithm) in ROUTES {
        settings = settings.route(&format!(
            "{{path: '{path}**', access: login, require: {{level: substantial}}, upstream: app, signature: {algorithm}}}"
        ));
    }
    let open = "{path: '/open/**', access: optional, upstream: app, signature: ed25519}";
    let digest =
        "{path: '/digest/**', access: public, upstream: app, signature: ed25519, content_digest: true}";
    world.settings = settings.route(open).route(digest);
    world.write_configuration();
    for purpose in ["signature-ed25519", "signature-ecdsa-p256-sha256", "app-app"] {
        run_keys(world.folder(), &["new", purpose]);
    }
    world.restart_gateway();
    world
}

/// Verifies a request as RFC 9421, 3.2 says, from the bytes that the app received. Returns what is covered.
fn checked(world: &World, received: &Received, algorithm: &str) -> Vec<String> {
    let input = only(received, "signature-input").strip_prefix("portvakt=").unwrap().to_owned();
    let signature = only(received, "signature");
    let signature = signature.strip_prefix("portvakt=:").unwrap().strip_suffix(':').unwrap();
    let signature = STANDARD.decode_to_vec(signature).unwrap();
    let (list, _) = input.strip_prefix('(').unwrap().split_once(')').unwrap();
    let components: Vec<String> = list.split(' ').map(|name| name.trim_matches('"').to_owned()).collect();
    let mut base = String::new();
    for name in &components {
        let (path, query) = received.target().split_once('?').unwrap_or((received.target(), ""));
        let value = match name.as_str() {
            "@method" => received.head.start.split(' ').next().unwrap().to_owned(),
            "@authority" => received.header("host").unwrap().to_ascii_lowercase(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            name => only(received, name),
        };
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {input}"));
    let (created, now) = (parameter(&input, "created"), Clock::start().now().seconds());
    assert!(created.parse::<u64>().unwrap().abs_diff(now) <= 30);
    assert_eq!(parameter(&input, "expires").parse::<u64>().unwrap(), created.parse::<u64>().unwrap() + 30);
    assert_eq!((parameter(&input, "tag"), parameter(&input, "alg")), ("portvakt", algorithm));
    let kid = parameter(&input, "keyid");
    if algorithm == "hmac-sha256" {
        let file = fs::read(world.folder().join("keys/app-app.json")).unwrap();
        let key = &serde_json::from_slice::<Value>(&file).unwrap()["keys"][0];
        assert_eq!(key["id"], kid);
        let secret = URL_SAFE_NO_PAD.decode_to_vec(key["secret"].as_str().unwrap()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), base.as_bytes(), &signature).unwrap();
        return components;
    }
    let set = world.curl(JWKS, "").json();
    let jwk = set["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == kid).unwrap();
    let coordinate = |name| URL_SAFE_NO_PAD.decode_to_vec(jwk[name].as_str().unwrap()).unwrap();
    let (verifier, point): (&dyn VerificationAlgorithm, Vec<u8>) = match algorithm {
        "ed25519" => (&ED25519, coordinate("x")),
        _ => (&ECDSA_P256_SHA256_FIXED, [vec![4], coordinate("x"), coordinate("y")].concat()),
    };
    verifier.verify_sig(&point, base.as_bytes(), &signature).unwrap();
    components
}

fn only(received: &Received, name: &str) -> String {
    let all = received.head.all(name);
    let [value] = all.as_slice() else { panic!("{} of {name}", all.len()) };
    (*value).to_owned()
}

fn parameter<'a>(input: &'a str, name: &str) -> &'a str {
    let (_, after) = input.split_once(&format!(";{name}=")).unwrap();
    after.split(';').next().unwrap().trim_matches('"')
}
