//! A request that was signed as the gateway signs, judged whole and changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::forward::HeaderPlan;
use crate::key::{MacKey, Ring};
use crate::seal::SealKey;
use crate::token::{Algorithm, SigningKey};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn keys() -> Keys {
    let from = Timestamp::from_seconds(0);
    let macs = |byte| Ring::single(KeyId([byte; 4]), from, MacKey::new(&[byte; 32]));
    let pair = |byte, algorithm| {
        Ring::single(KeyId([byte; 4]), from, Arc::new(SigningKey::generate(algorithm).unwrap()))
    };
    Keys {
        cookie: Ring::single(KeyId([1; 4]), from, SealKey::new(&[1; 32])),
        revocation: macs(2),
        pseudonym: macs(3),
        lasting: None,
        audit: macs(4),
        assertion: Some(pair(6, Algorithm::Es256)),
        signature: HashMap::from([(SignatureAlgorithm::Ed25519, pair(7, Algorithm::EdDsa))]),
        apps: HashMap::from([("app".to_owned(), macs(5))]),
    }
}

fn plan(algorithm: SignatureAlgorithm) -> SignaturePlan {
    SignaturePlan { algorithm, audience: "app".into(), app: "app".into(), content_digest: false }
}

fn request(keys: &Keys, algorithm: SignatureAlgorithm) -> String {
    let fields = [("X-Identity-Fnr", "17838534171"), (AUDIENCE_HEADER, "app")];
    let covered = Covered {
        method: "GET",
        authority: "app.example",
        path: "/signed/a%20b",
        query: Some("x=1"),
        fields: &fields,
    };
    let signed = signature::sign(&plan(algorithm), &covered, keys, NOW, [7; 16]).unwrap();
    format!(
        "GET /signed/a%20b?x=1 HTTP/1.1\r\nHost: App.example\r\nX-Identity-Fnr: 17838534171\r\n\
         X-Portvakt-Audience: app\r\nSignature-Input: {}\r\nSignature: {}\r\n\r\n",
        signed.input, signed.signature
    )
}

fn fails(text: &str, keys: &Keys, now: Timestamp) -> Vec<(&'static str, String)> {
    let plans = [plan(SignatureAlgorithm::Ed25519)];
    let captured = Captured::parse(text).unwrap();
    let issued = AssertionPlan::new("https://app.example".into(), &HeaderPlan::new("app".into(), &[]));
    let findings = judge(&captured, &[&plans[0]], &[&issued], keys, now);
    let said = findings.iter().map(ToString::to_string).collect::<String>();
    assert!(!said.contains("17838534171"), "{said}");
    let failed = findings.into_iter().filter(|finding| finding.outcome == Outcome::Fails);
    failed.map(|finding| (finding.proof, finding.why)).collect()
}

#[test]
fn what_was_signed_holds_in_each_form_of_capture() {
    let keys = keys();
    for algorithm in [SignatureAlgorithm::Ed25519, SignatureAlgorithm::HmacSha256] {
        let text = request(&keys, algorithm);
        assert_eq!(fails(&text, &keys, NOW), [], "raw");
        assert_eq!(fails(&text.replace("\r\n", "\n"), &keys, NOW), [], "line feeds");
        let dump: String = text.lines().map(|line| format!("> {line}\n")).collect();
        let dump = format!("*   Trying 127.0.0.1:1...\n{dump}< HTTP/1.1 200 OK\n< Server: x\n");
        assert_eq!(fails(&dump, &keys, NOW), [], "curl");
        let fields = text.lines().skip(1).take_while(|line| !line.is_empty());
        let fields: Vec<Value> = fields
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
            .collect();
        let har = serde_json::json!({ "log": { "entries": [{ "request": {
            "method": "GET", "url": "http://app.example/signed/a%20b?x=1", "headers": fields,
        }}]}});
        assert_eq!(fails(&har.to_string(), &keys, NOW), [], "HAR");
    }
}

#[test]
fn what_was_changed_is_named() {
    let keys = keys();
    let text = request(&keys, SignatureAlgorithm::Ed25519);
    for (from, to, now, expected) in [
        ("17838534171", "24929935140", 0, ("signature", "the bytes do not fit")),
        ("GET ", "POST ", 0, ("signature", "the bytes do not fit")),
        ("?x=1", "?x=2", 0, ("signature", "the bytes do not fit")),
        ("App.example", "other.example", 0, ("signature", "the bytes do not fit")),
        ("keyid=\"07070707\"", "keyid=\"08080808\"", 0, ("signature", "key `08080808` is in no key file")),
        ("alg=\"ed25519\"", "alg=\"hmac-sha256\"", 0, ("signature", "`alg` is not that of key")),
        ("tag=\"portvakt\"", "tag=\"other\"", 0, ("signature", "`tag` is not `portvakt`")),
        (
            "Signature-Input: portvakt=",
            "Signature-Input: sig=",
            0,
            ("signature", "`Signature-Input` is not of"),
        ),
        (
            "Signature: portvakt=:",
            "Signature: portvakt=:%",
            0,
            ("signature", "`Signature` is not of the label"),
        ),
        (
            "\r\n\r\n",
            "\r\nX_Identity_Fnr: 1\r\n\r\n",
            0,
            ("covers", "not written by the gateway: X_Identity_Fnr"),
        ),
        ("Audience: app", "Audience: other", 0, ("audience", "no signed route of the file has")),
        ("", "", 41, ("time", "expired 11 s ago")),
        ("\r\n\r\n", "\r\nX-Identity-Assertion: a.b.c\r\n\r\n", 0, ("assertion", "the token")),
    ] {
        let now = Timestamp::from_seconds(NOW.seconds() + now);
        let failed = fails(&text.replacen(from, to, 1), &keys, now);
        let found = failed.iter().any(|(proof, why)| *proof == expected.0 && why.starts_with(expected.1));
        assert!(found, "{to}: {failed:?}");
    }
}

#[test]
fn what_is_no_request_is_told() {
    assert_eq!(Captured::parse(""), Err(NotCaptured::Form));
    assert_eq!(Captured::parse("hello"), Err(NotCaptured::Form));
    assert_eq!(Captured::parse("GET / HTTP/1.1\nHost: a\nodd\n\n"), Err(NotCaptured::Line(3)));
    assert_eq!(Captured::parse("{}"), Err(NotCaptured::Empty));
    assert_eq!(Captured::parse("{"), Err(NotCaptured::Form));
}

#[test]
fn headers_that_the_assertion_does_not_bear_out_are_named() {
    let keys = keys();
    let claims = serde_json::json!({
        "iss": "https://app.example", "aud": "app", "sub": "s", "kind": "national", "session": "h", "jti": "j",
        "fnr": "17838534171", "loa": "high", "iat": NOW.seconds(), "exp": NOW.seconds() + 60,
    });
    let ring = keys.assertion.as_ref().unwrap();
    let key = &ring.keys()[0];
    let token = key.key.sign_jws(&[("kid", &key.id.to_string()), ("typ", "JWT")], &claims).unwrap();
    let text = format!(
        "GET / HTTP/1.1\r\nHost: app.example\r\nX-Identity-Kind: national\r\nX-Identity-Fnr: 17838534171\r\n\
         X-Identity-Loa: high\r\nX-Identity-Given-Name: A\r\nX-Identity-Assertion: {token}\r\n\r\n"
    );
    assert_eq!(fails(&text, &keys, NOW), []);
    for (from, to, named) in [
        ("Fnr: 17838534171", "Fnr: 24929935140", "`x-identity-fnr`"),
        ("Loa: high", "Loa: low", "`x-identity-loa`"),
        ("Loa: high", "Acr: idporten-loa-high", "`x-identity-acr`"),
        ("X-Identity-Given-Name: A", "X_Identity_Fnr: 1", "`X_Identity_Fnr`"),
        ("X-Identity-Given-Name: A", "X-IdentityFnr: 1", "`X-IdentityFnr`"),
        ("X-Identity-Given-Name: A", "X-Identity-Fnr: 17838534171", "`X-Identity-Fnr`"),
    ] {
        let failed = fails(&text.replacen(from, to, 1), &keys, NOW);
        assert!(matches!(&*failed, [("headers", why)] if why.starts_with(named)), "{to}: {failed:?}");
    }
}
