//! Signatures against a verifier that follows RFC 9421, 3.2 on its own, and against the RFC's vector.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde_json::Value;

use super::*;
use crate::key::{Ring, RingKey};
use crate::seal::SealKey;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const FIELDS: [(&str, &str); 2] = [("X-Identity-Fnr", "17838534171"), ("X-Portvakt-Audience", "app")];

fn keys() -> Keys {
    let from = Timestamp::from_seconds(0);
    let macs = |byte| Ring::single(KeyId([byte; 4]), from, MacKey::new(&[byte; 32]));
    let pair = |algorithm: SignatureAlgorithm| {
        let key = SigningKey::generate(algorithm.pair().unwrap()).unwrap();
        (algorithm, Ring::single(KeyId([9; 4]), from, Arc::new(key)))
    };
    Keys {
        cookie: Ring::single(KeyId([1; 4]), from, SealKey::new(&[1; 32])),
        revocation: macs(2),
        pseudonym: macs(3),
        lasting: None,
        audit: macs(4),
        assertion: None,
        signature: SignatureAlgorithm::PAIRS.into_iter().map(pair).collect(),
        apps: HashMap::from([("app".to_owned(), macs(5))]),
    }
}

fn plan(algorithm: SignatureAlgorithm) -> SignaturePlan {
    SignaturePlan { algorithm, audience: "app".into(), app: "app".into(), content_digest: false }
}

fn covered<'a>(fields: &'a [(&'a str, &'a str)]) -> Covered<'a> {
    Covered { method: "POST", authority: "app.example", path: "/a%20b", query: Some("c=1"), fields }
}

/// The base as RFC 9421, 2.5 has it, from what the app received.
fn expected_base(signature: &Signature) -> String {
    let parameters = signature.input.strip_prefix("portvakt=").unwrap();
    let lines = [
        "\"@method\": POST",
        "\"@authority\": app.example",
        "\"@path\": /a%20b",
        "\"@query\": ?c=1",
        "\"x-identity-fnr\": 17838534171",
        "\"x-portvakt-audience\": app",
    ];
    format!("{}\n\"@signature-params\": {parameters}", lines.join("\n"))
}

fn bytes(signature: &Signature) -> Vec<u8> {
    let value = signature.signature.strip_prefix("portvakt=:").unwrap().strip_suffix(':').unwrap();
    STANDARD.decode_to_vec(value).unwrap()
}

fn coordinate(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(jwk[name].as_str().unwrap()).unwrap()
}

#[test]
fn each_algorithm_signs_the_base_of_the_rfc() {
    let keys = keys();
    for algorithm in
        [SignatureAlgorithm::Ed25519, SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::HmacSha256]
    {
        let signed = sign(&plan(algorithm), &covered(&FIELDS), &keys, NOW, [7; 16]).unwrap();
        let (base, signature) = (expected_base(&signed), bytes(&signed));
        match keys.signature.get(&algorithm).map(|ring| ring.active(NOW).key.public_jwk("k")) {
            None => assert_eq!(signature, MacKey::new(&[5; 32]).mac(base.as_bytes())),
            Some(jwk) if algorithm == SignatureAlgorithm::Ed25519 => {
                let key = UnparsedPublicKey::new(&ED25519, coordinate(&jwk, "x"));
                key.verify(base.as_bytes(), &signature).unwrap();
            }
            Some(jwk) => {
                let point = [vec![4], coordinate(&jwk, "x"), coordinate(&jwk, "y")].concat();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(base.as_bytes(), &signature).unwrap();
            }
        }
    }
}

#[test]
fn the_parameters_say_who_signed_what_for_how_long() {
    let signed =
        sign(&plan(SignatureAlgorithm::HmacSha256), &covered(&FIELDS), &keys(), NOW, [0; 16]).unwrap();
    assert_eq!(
        signed.input,
        "portvakt=(\"@method\" \"@authority\" \"@path\" \"@query\" \"x-identity-fnr\" \
         \"x-portvakt-audience\");created=1790000000;expires=1790000030;nonce=\"AAAAAAAAAAAAAAAAAAAAAA\";\
         alg=\"hmac-sha256\";keyid=\"05050505\";tag=\"portvakt\""
    );
}

#[test]
fn nothing_is_signed_without_a_key_that_is_accepted() {
    let mut keys = keys();
    let other = SignaturePlan { app: "other".into(), ..plan(SignatureAlgorithm::HmacSha256) };
    assert_eq!(sign(&other, &covered(&FIELDS), &keys, NOW, [0; 16]), Err(Unsigned::NoKey));
    let retired = RingKey {
        id: KeyId([5; 4]),
        active_from: Timestamp::from_seconds(0),
        retire_after: Some(NOW),
        key: MacKey::new(&[5; 32]),
    };
    keys.apps.insert("app".into(), Ring::new(vec![retired]).unwrap());
    let plan = plan(SignatureAlgorithm::HmacSha256);
    assert_eq!(sign(&plan, &covered(&FIELDS), &keys, NOW, [0; 16]), Err(Unsigned::NoKey));
}

#[test]
fn a_value_cannot_become_another_component() {
    for value in ["a\n\"@path\": /other", "a\rb", "Å", "\u{7f}", "a\tb"] {
        let fields = [("X-Identity-Fnr", value)];
        let plan = plan(SignatureAlgorithm::HmacSha256);
        assert_eq!(sign(&plan, &covered(&fields), &keys(), NOW, [0; 16]), Err(Unsigned::Value), "{value:?}");
    }
}

#[test]
fn a_digest_is_that_of_the_rfc() {
    // RFC 9530, appendix D.
    let body = b"{\"hello\": \"world\"}\n";
    assert_eq!(content_digest(body), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
}

#[test]
fn no_query_is_a_question_mark_alone() {
    let fields = [];
    let base = base(&Covered { query: None, ..covered(&fields) }, "()").unwrap();
    assert!(base.contains("\"@query\": ?\n\"@signature-params\": ()"), "{base}");
}
