//! Signing: what is signed verifies, and keys stay what they are.

use super::*;
use crate::token::{KeySet, jws};

fn keys_of(jwk: Value) -> KeySet {
    KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
}

#[test]
fn what_is_signed_verifies_and_only_under_its_own_key() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let token = key.sign_jws(&[("kid", "a"), ("typ", "JWT")], &json!({"x": 1})).unwrap();
        let read = jws::verify(&token, &keys_of(key.public_jwk("a")), &[algorithm], &["jwt"]);
        assert_eq!(Value::Object(read.unwrap().1), json!({"x": 1}));
        let other =
            SigningKey::generate(if algorithm == Algorithm::Rs256 { Algorithm::Es256 } else { algorithm });
        let other = keys_of(other.unwrap().public_jwk("a"));
        assert!(jws::verify(&token, &other, &[algorithm], &["jwt"]).is_err());
    }
}

#[test]
fn the_callers_header_cannot_choose_the_algorithm() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let token = key.sign_jws(&[("alg", "none")], &json!({})).unwrap();
    let header = URL_SAFE_NO_PAD.decode_to_vec(token.split('.').next().unwrap()).unwrap();
    assert_eq!(header, br#"{"alg":"EdDSA"}"#);
}

#[test]
fn a_key_survives_its_file() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        assert!(pem.lines().all(|line| line.len() <= 64));
        let again = SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(again.public_jwk("a"), key.public_jwk("a"));
        assert_eq!(again.algorithm(), algorithm);
        assert_eq!(
            SigningKey::from_pkcs8_pem(&pem.replace('\n', "\r\n")).unwrap().thumbprint(),
            key.thumbprint()
        );
        assert_eq!(format!("{key:?}"), format!("SigningKey({algorithm}, [REDACTED])"));
    }
}

#[test]
fn what_is_not_one_sound_key_is_refused() {
    let pem = SigningKey::generate(Algorithm::EdDsa).unwrap().to_pkcs8_pem().unwrap();
    let refusals = [
        (String::new(), KeyError::NotPem),
        (pem.replace("PRIVATE", "PUBLIC"), KeyError::NotPem),
        (pem.replace("PRIVATE KEY", "RSA PRIVATE KEY"), KeyError::NotPem),
        (format!("{}{}", *pem, *pem), KeyError::NotPem),
        (pem.replace(PEM_END, ""), KeyError::NotPem),
        (format!("{PEM_BEGIN}\n????\n{PEM_END}\n"), KeyError::NotPem),
        (format!("{PEM_BEGIN}\nAAAA\n{PEM_END}\n"), KeyError::NotAKey),
    ];
    for (text, refusal) in refusals {
        assert_eq!(SigningKey::from_pkcs8_pem(&text).map(|_| ()), Err(refusal));
    }
    assert_eq!(
        SigningKey::generate(Algorithm::Ps256).map(|_| ()),
        Err(KeyError::NotForSigning(Algorithm::Ps256))
    );
}

/// Made with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024`; used nowhere.
const WEAK_KEY: &str = concat!(
    "MIICXAIBAAKBgQDwAeQ4nZwUhIyKY6yvVXLrGYse/s9t5E6ejI8ytHTHD6jfcnIblAyZFAJCpG/aw/6fatnfWJzHrD",
    "cWn33cA9chpIdRKRJ55d+ti9ajm1xPeTrmqSUkCC0MFGoDGlZVPkYW7xv3FOimUQEpq/lJtNBbTRKB/q1tNG3fbq4t",
    "clnQVQIDAQABAoGAQXyiovgOUGLiXhhYU/cCxjdQCIMKYje7Y/OCVxl6C56wO1fk3rWEwnf9LeXkR1LXNPRYwmJRVQ",
    "IefePC2beKiTIg5QD1G7+2iAI6i4nhkeMXK1SFkN++Y/0oI3TOX+C+uZxDFVfqThMX0E7wxNk83r6lqtYYUv73odKN",
    "x2LxKvkCQQD/biX3TqHf33qRDVOVX2ZWFIn6ddSn+c1dulwugmfnwA/1pGJTvAkR0M4LHkh4j65FDPXscvJbohnxl3",
    "z/yFZPAkEA8IrvyOmZeqTlLNsnXBGkyG2XwUEVv8jotYn98wuqAf4pokW1o3zey1+cCjTTrnhk8UgnJXPfJ8h3qe6p",
    "kMRqGwJBAKd4t6nLQ3T+GGVsQGYKc5Vyx/iQMwqjTRPr8S6JT8jx80TSL6nI+oVUyxMdGtT5F4Cse704rFCKGsp80X",
    "b/Ch8CQHZrb/DxT+XZGBolKhNhfEZP7c3uRM7OEgKNlL/6lg+1GLoSp4F9EBH/V8qOh0f1bXx7kQoXKV1ki8TVAhWL",
    "HNECQFKH9fd1koR6vJtE2wtpjzCP1SYz8Kfb7DyraOu3Xs+3E2RMNFKNtHRnJEk9iNZkLlC29EaCPhjEJYTf3T5Mpg",
    "Q=",
);

#[test]
fn an_rsa_key_of_1024_bits_is_too_weak_to_sign() {
    let pem = format!("{PEM_BEGIN}\n{WEAK_KEY}\n{PEM_END}\n");
    assert_eq!(SigningKey::from_pkcs8_pem(&pem).map(|_| ()), Err(KeyError::NotAKey));
}

/// RFC 8037, A.1 to A.4: Ed25519 key, thumbprint and signature.
#[test]
fn the_vectors_of_rfc_8037_hold() {
    // RFC 8410, 7: the 16 bytes before the seed.
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(URL_SAFE_NO_PAD.decode_to_vec("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap());
    let key = SigningKey::from_pkcs8_der(&der).unwrap();
    assert_eq!(key.public_jwk("a")["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = URL_SAFE_NO_PAD.encode_to_string(key.sign(signed.as_bytes()).unwrap());
    assert_eq!(
        signature,
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}
