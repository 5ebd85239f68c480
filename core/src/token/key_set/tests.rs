//! Key sets: which keys are taken, and which are left out.

use serde_json::json;

use super::*;
use crate::token::SigningKey;
use crate::token::jws;

/// RFC 7515, A.2.1 and A.2.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515, A.3.1 and A.3.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn parse(keys: &Value) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn rsa_key() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"})
}

fn ec_key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y})
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key.as_object_mut().unwrap().insert(member.to_owned(), value);
    key
}

#[test]
fn the_vectors_of_rfc_7515_verify() {
    let claims = json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true});
    for (key, algorithm, token) in
        [(rsa_key(), Algorithm::Rs256, RSA_TOKEN), (ec_key(), Algorithm::Es256, EC_TOKEN)]
    {
        let keys = parse(&json!([key])).unwrap();
        let (used, read) = jws::verify(token, &keys, &Algorithm::ALL, &[]).unwrap();
        assert_eq!((used, Value::Object(read)), (algorithm, claims.clone()));
    }
}

#[test]
fn keys_that_cannot_verify_are_dropped_and_counted() {
    let p256 = SigningKey::generate(Algorithm::Es256).unwrap().public_jwk("x");
    let small = "A".repeat(170);
    let useless = [
        with(rsa_key(), "use", json!("enc")),
        with(rsa_key(), "use", json!(["sig"])),
        with(rsa_key(), "key_ops", json!(["encrypt"])),
        with(rsa_key(), "key_ops", json!("verify")),
        with(rsa_key(), "alg", json!("none")),
        with(rsa_key(), "alg", json!("HS256")),
        with(rsa_key(), "alg", json!("RSA-OAEP")),
        with(rsa_key(), "alg", json!("ES256")),
        with(rsa_key(), "alg", Value::Null),
        with(rsa_key(), "kid", json!(7)),
        with(rsa_key(), "e", json!("AQ")),
        with(rsa_key(), "e", json!("")),
        with(rsa_key(), "e", json!("AQAC")),
        with(rsa_key(), "e", json!("AQAAAAAB")),
        with(rsa_key(), "n", json!(format!("_{small}"))),
        with(rsa_key(), "n", json!(format!("{RSA_N}="))),
        with(rsa_key(), "n", json!(1)),
        with(ec_key(), "crv", json!("P-521")),
        with(ec_key(), "crv", json!("secp256k1")),
        with(ec_key(), "crv", json!("P-384")),
        // A point of another key's half: off the curve.
        with(ec_key(), "y", p256["x"].clone()),
        with(ec_key(), "x", json!("AA")),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "X25519", "x": EC_X}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        json!({"kty": "AKP"}),
        json!({}),
    ];
    for key in &useless {
        assert_eq!(parse(&json!([key])).map(|_| ()), Err(KeySetError::NoUsableKey), "{key}");
    }
    let mut all = useless.to_vec();
    all.push(rsa_key());
    let keys = parse(&json!(all)).unwrap();
    assert_eq!((keys.usable(), keys.ignored()), (1, useless.len()));
}

#[test]
fn a_key_is_used_for_its_own_algorithm_only() {
    let keys = parse(&json!([with(rsa_key(), "alg", json!("PS256"))])).unwrap();
    assert!(keys.find(None, Algorithm::Ps256).is_ok());
    assert_eq!(keys.find(None, Algorithm::Rs256).map(|_| ()), Err(TokenError::UnknownKey));
    let keys = parse(&json!([with(with(rsa_key(), "alg", json!("PS256")), "kid", json!("a"))])).unwrap();
    assert_eq!(keys.find(Some("a"), Algorithm::Rs256).map(|_| ()), Err(TokenError::KeyDoesNotFit));
    assert_eq!(keys.find(Some("b"), Algorithm::Ps256).map(|_| ()), Err(TokenError::UnknownKey));
}

/// Dossier 7, no. 20.
#[test]
fn rsa_below_2048_bits_is_too_weak_by_a_single_bit() {
    let mut modulus = URL_SAFE_NO_PAD.decode_to_vec(RSA_N).unwrap();
    modulus[0] &= 0x7f;
    let key = with(rsa_key(), "n", json!(URL_SAFE_NO_PAD.encode_to_string(modulus)));
    assert_eq!(parse(&json!([key])).map(|_| ()), Err(KeySetError::NoUsableKey));
}

#[test]
fn a_document_that_is_no_key_set_is_refused_whole() {
    let key = rsa_key().to_string();
    let refusals = [
        (String::from("[]"), KeySetError::Json(JsonError::Malformed)),
        (String::from("{}"), KeySetError::NotAKeySet),
        (String::from(r#"{"keys":{}}"#), KeySetError::NotAKeySet),
        (format!(r#"{{"keys":[{key},1]}}"#), KeySetError::NotAKeySet),
        (String::from(r#"{"keys":[]}"#), KeySetError::NoUsableKey),
        (format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#), KeySetError::Json(JsonError::Repeated)),
    ];
    for (document, refusal) in refusals {
        assert_eq!(KeySet::parse(document.as_bytes()).map(|_| ()), Err(refusal), "{document}");
    }
    assert_eq!(parse(&json!(vec![rsa_key(); MAX_KEYS])).map(|keys| keys.usable()), Ok(MAX_KEYS));
    assert_eq!(parse(&json!(vec![rsa_key(); MAX_KEYS + 1])).map(|_| ()), Err(KeySetError::TooManyKeys));
}
