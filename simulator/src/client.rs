//! Registered clients, and how a request proves to come from one (dossier 2.5, 2.9; RFC 7523; OIDC Core 1.0, 9).
//!
//! **Invariant:** only the registered method is accepted, an assertion only once.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::expiring::Expiring;
use crate::issuer::maskinporten;
use crate::params::Params;
use crate::random::from_base64url;

/// What a client has registered. Names follow Digdir's API and OIDC dynamic registration.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// The issuer it is registered with: the path without slash.
    #[serde(default = "idporten")]
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) token_endpoint_auth_method: AuthMethod,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    #[serde(default)]
    pub(crate) jwks: KeySet,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    pub(crate) frontchannel_logout_uri: Option<String>,
    #[serde(default = "yes")]
    pub(crate) frontchannel_logout_session_required: bool,
    #[serde(default)]
    pub(crate) backchannel_logout_uri: Option<String>,
    /// `S256`, or `none` for a downgraded client.
    #[serde(default)]
    pub(crate) code_challenge_method: ChallengeMethod,
    /// Without this, plain parameters at `/authorize` are accepted too (RFC 9126, 6).
    #[serde(default = "yes")]
    pub(crate) require_pushed_authorization_requests: bool,
    /// `refresh_token` among them: logins bring refresh tokens.
    #[serde(default = "of_codes")]
    pub(crate) grant_types: Vec<String>,
    /// Whose machine it is, at Maskinporten.
    #[serde(default = "organisation")]
    pub(crate) organisation: String,
    /// The scopes that the organisation was given there.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The organisations that let it act for them there.
    #[serde(default)]
    pub(crate) delegations: Vec<String>,
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMethod {
    #[default]
    PrivateKeyJwt,
    ClientSecretBasic,
    ClientSecretPost,
    None,
}

/// Whether PKCE is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChallengeMethod {
    #[default]
    S256,
    #[serde(rename = "none")]
    None,
}

/// A public key set (RFC 7517), kept as it came.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<Map<String, Value>>,
}

impl Client {
    /// Whether tokens carry `sid` (dossier 0 #12).
    pub(crate) fn wants_sid(&self) -> bool {
        self.backchannel_logout_uri.is_some()
            || (self.frontchannel_logout_uri.is_some() && self.frontchannel_logout_session_required)
    }
}

impl Client {
    /// A machine that may have this scope, and act for this consumer.
    pub(crate) fn of_demo_machine(scopes: &str, consumer: Option<&str>) -> Self {
        Self {
            issuer: maskinporten::NAME.into(),
            client_id: "portvakt-demo-machine".into(),
            token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
            client_secret: None,
            jwks: KeySet::default(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            frontchannel_logout_uri: None,
            frontchannel_logout_session_required: false,
            backchannel_logout_uri: None,
            code_challenge_method: ChallengeMethod::S256,
            require_pushed_authorization_requests: false,
            grant_types: Vec::new(),
            // Who acts for somebody else is somebody else.
            organisation: if consumer.is_some() { "213987658".into() } else { organisation() },
            scopes: scopes.split(' ').map(str::to_owned).collect(),
            delegations: consumer.map(str::to_owned).into_iter().collect(),
        }
    }
}

fn organisation() -> String {
    "310123455".into()
}

fn of_codes() -> Vec<String> {
    vec!["authorization_code".into()]
}

fn idporten() -> String {
    "idporten".into()
}

fn yes() -> bool {
    true
}

/// All clients of all issuers.
#[derive(Default)]
pub(crate) struct Clients(BTreeMap<(String, String), Client>);

impl Clients {
    /// Registers, or replaces one with the same issuer and id.
    pub(crate) fn register(&mut self, client: Client) {
        self.0.insert((client.issuer.clone(), client.client_id.clone()), client);
    }

    /// The client of this issuer.
    pub(crate) fn find(&self, issuer: &str, client_id: &str) -> Option<&Client> {
        self.0.get(&(issuer.to_owned(), client_id.to_owned()))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Client> {
        self.0.values()
    }
}

/// What a request offered as proof.
pub(crate) struct Credentials<'a> {
    /// The decoded form.
    pub(crate) form: &'a Params,
    /// The `Authorization` header.
    pub(crate) authorization: Option<&'a str>,
}

impl Credentials<'_> {
    /// The id the request claims, before any proof.
    pub(crate) fn client_id(&self) -> Option<String> {
        let basic = self.basic().map(|(client_id, _)| client_id);
        basic.or_else(|| self.form.get("client_id").map(str::to_owned))
    }

    /// Checks the proof by the registered method; the error is for the developer.
    pub(crate) fn prove(
        &self,
        client: &Client,
        issuer: &str,
        used: &mut Expiring<()>,
        now: u64,
    ) -> Result<(), &'static str> {
        let basic = self.basic();
        let post = self.form.get("client_secret");
        let assertion = self.form.get("client_assertion");
        let offered = usize::from(self.authorization.is_some())
            + usize::from(post.is_some())
            + usize::from(assertion.is_some());
        if offered > 1 {
            return Err("more than one client authentication");
        }
        if self.form.get("client_id").is_some_and(|client_id| client_id != client.client_id) {
            return Err("client_id differs from the authenticated client");
        }
        let secret = client.client_secret.as_deref();
        match client.token_endpoint_auth_method {
            AuthMethod::PrivateKeyJwt => {
                if self.form.get("client_assertion_type") != Some(JWT_BEARER) {
                    return Err("client_assertion_type is not jwt-bearer");
                }
                let assertion = assertion.ok_or("the client must authenticate with private_key_jwt")?;
                check_assertion(assertion, client, issuer, used, now)
            }
            AuthMethod::ClientSecretBasic => {
                let (_, offered) = basic.ok_or("the client must authenticate with client_secret_basic")?;
                if secret == Some(&offered) { Ok(()) } else { Err("wrong client_secret") }
            }
            AuthMethod::ClientSecretPost => {
                let offered = post.ok_or("the client must authenticate with client_secret_post")?;
                if secret == Some(offered) { Ok(()) } else { Err("wrong client_secret") }
            }
            AuthMethod::None if offered == 0 => Ok(()),
            AuthMethod::None => Err("the client is public"),
        }
    }

    /// Both parts are form-encoded inside (RFC 6749, 2.3.1).
    fn basic(&self) -> Option<(String, String)> {
        let encoded = self.authorization?.strip_prefix("Basic ")?;
        let decoded = base64_simd::STANDARD.decode_to_vec(encoded).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (client_id, secret) = decoded.split_once(':')?;
        let plain = |part: &str| {
            let part = format!("_={part}");
            url::form_urlencoded::parse(part.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        Some((plain(client_id)?, plain(secret)?))
    }
}

/// `iss` = `sub` = client, `aud` = the issuer as one string, at most 120 s, a `jti` never seen (dossier 2.5).
fn check_assertion(
    assertion: &str,
    client: &Client,
    issuer: &str,
    used: &mut Expiring<()>,
    now: u64,
) -> Result<(), &'static str> {
    let (_, claims) = verify(assertion, &client.jwks)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    if text("iss") != Some(&client.client_id) || text("sub") != Some(&client.client_id) {
        return Err("iss and sub of the assertion must be the client_id");
    }
    if text("aud") != Some(issuer) {
        return Err("aud of the assertion must be the issuer, as one string");
    }
    let (iat, exp) =
        (time("iat").ok_or("the assertion lacks iat")?, time("exp").ok_or("the assertion lacks exp")?);
    if exp <= iat || exp - iat > MAX_ASSERTION_LIFE {
        return Err("the assertion lives longer than 120 s");
    }
    if exp <= now || iat > now + SKEW || time("nbf").is_some_and(|nbf| nbf > now + SKEW) {
        return Err("the assertion is expired or not yet valid");
    }
    let jti = format!("{} {}", client.client_id, text("jti").ok_or("the assertion lacks jti")?);
    if used.get(&jti, now).is_some() {
        return Err("the assertion was used before");
    }
    used.insert(jti, (), exp, now);
    Ok(())
}

/// What an assertion says, before any proof.
pub(crate) fn unverified(assertion: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&from_base64url(assertion.split('.').nth(1)?)?).ok()
}

/// `alg` and the claims, if the registered key of this `kid` signed them.
pub(crate) fn verify(assertion: &str, keys: &KeySet) -> Result<(String, Map<String, Value>), &'static str> {
    let unreadable = "the assertion is not a JWT";
    let (signed, signature) = assertion.rsplit_once('.').ok_or(unreadable)?;
    let (header, payload) = signed.split_once('.').ok_or(unreadable)?;
    let object = |part: &str| -> Result<Map<String, Value>, &'static str> {
        serde_json::from_slice(&from_base64url(part).ok_or(unreadable)?).map_err(|_| unreadable)
    };
    let header = object(header)?;
    let kid = header.get("kid").ok_or("the assertion lacks kid")?;
    let key = keys.keys.iter().find(|key| key.get("kid") == Some(kid)).ok_or("kid is not registered")?;
    let alg = header.get("alg").and_then(Value::as_str).ok_or("the assertion lacks alg")?;
    if key.get("alg").and_then(Value::as_str).is_some_and(|registered| registered != alg) {
        return Err("alg is not the registered key's");
    }
    let signature = from_base64url(signature).ok_or(unreadable)?;
    if !signed_by(key, alg, signed.as_bytes(), &signature) {
        return Err("the assertion's signature is wrong");
    }
    Ok((alg.to_owned(), object(payload)?))
}

fn signed_by(key: &Map<String, Value>, alg: &str, message: &[u8], signature: &[u8]) -> bool {
    let part = |name: &str| key.get(name).and_then(Value::as_str).and_then(from_base64url);
    let kty = key.get("kty").and_then(Value::as_str);
    let rsa = match alg {
        "ES256" => {
            let (Some("EC"), Some(x), Some(y)) = (kty, part("x"), part("y")) else { return false };
            let point = [&[4], x.as_slice(), &y].concat();
            return UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok();
        }
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        _ => return false,
    };
    let (Some("RSA"), Some(n), Some(e)) = (kty, part("n"), part("e")) else { return false };
    RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok()
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const MAX_ASSERTION_LIFE: u64 = 120;
const SKEW: u64 = 10;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA256, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;
    use crate::jws::{Keys, signing_input, spoil};
    use crate::random::base64url;

    const ISSUER: &str = "http://127.0.0.1:1/idporten";
    const NOW: u64 = 1_790_000_000;

    struct Bench {
        keys: Keys,
        client: Client,
        used: Expiring<()>,
    }

    impl Bench {
        fn new() -> Self {
            let keys = Keys::generate();
            let client = json!({"client_id": "c", "redirect_uris": [], "jwks": {"keys": keys.published()}});
            Self { keys, client: serde_json::from_value(client).unwrap(), used: Expiring::default() }
        }

        fn claims() -> Value {
            json!({"iss": "c", "sub": "c", "aud": ISSUER, "iat": NOW, "exp": NOW + 120, "jti": "1"})
        }

        fn sign(&self, claims: &Value) -> String {
            let key = self.keys.active();
            key.sign(&key.header(None), claims.to_string().as_bytes())
        }

        fn judge(&mut self, assertion: &str) -> Result<(), &'static str> {
            let form = format!("client_id=c&client_assertion_type={JWT_BEARER}&client_assertion={assertion}");
            let form = Params::parse(form.as_bytes()).unwrap();
            let credentials = Credentials { form: &form, authorization: None };
            credentials.prove(&self.client, ISSUER, &mut self.used, NOW)
        }
    }

    #[test]
    fn an_assertion_is_accepted_once() {
        let mut bench = Bench::new();
        let assertion = bench.sign(&Bench::claims());
        assert_eq!(bench.judge(&assertion), Ok(()));
        assert_eq!(bench.judge(&assertion), Err("the assertion was used before"));
    }

    #[test]
    fn each_defect_of_an_assertion_is_refused() {
        let mut bench = Bench::new();
        let defects = [
            ("iss", json!("d")),
            ("sub", json!("d")),
            ("sub", Value::Null),
            ("aud", json!([ISSUER])),
            ("aud", json!(format!("{ISSUER}/token"))),
            ("exp", json!(NOW + 121)),
            ("exp", json!(NOW)),
            ("iat", json!(NOW + 11)),
            ("iat", Value::Null),
            ("jti", Value::Null),
        ];
        for (name, value) in defects {
            let mut claims = Bench::claims();
            claims[name] = value;
            let assertion = bench.sign(&claims);
            assert!(bench.judge(&assertion).is_err(), "{claims}");
        }
        let spoiled = spoil(&bench.sign(&Bench::claims()));
        assert_eq!(bench.judge(&spoiled), Err("the assertion's signature is wrong"));
    }

    #[test]
    fn es256_and_ps256_assertions_are_accepted() {
        let random = SystemRandom::new();
        let mut bench = Bench::new();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = ec.public_key().as_ref();
        let ec_key = json!({
            "kty": "EC", "crv": "P-256", "kid": "ec",
            "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
        });
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let part = |bytes: &[u8]| base64url(bytes);
        let rsa_key = json!({
            "kty": "RSA", "kid": "rsa",
            "n": part(rsa.public_key().modulus().big_endian_without_leading_zero()),
            "e": part(rsa.public_key().exponent().big_endian_without_leading_zero()),
        });
        bench.client.jwks = serde_json::from_value(json!({"keys": [ec_key, rsa_key]})).unwrap();
        for (alg, kid) in [("ES256", "ec"), ("PS256", "rsa")] {
            let mut claims = Bench::claims();
            claims["jti"] = json!(alg);
            let header = json!({"alg": alg, "kid": kid});
            let signing = signing_input(header.as_object().unwrap(), claims.to_string().as_bytes());
            let signature = if alg == "ES256" {
                ec.sign(&random, signing.as_bytes()).unwrap().as_ref().to_vec()
            } else {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(&RSA_PSS_SHA256, &random, signing.as_bytes(), &mut signature).unwrap();
                signature
            };
            let assertion = format!("{signing}.{}", base64url(signature));
            assert_eq!(bench.judge(&spoil(&assertion)), Err("the assertion's signature is wrong"), "{alg}");
            assert_eq!(bench.judge(&assertion), Ok(()), "{alg}");
        }
    }

    #[test]
    fn only_the_registered_method_is_accepted() {
        let mut bench = Bench::new();
        bench.client.client_secret = Some("s".into());
        let form = Params::parse(b"client_id=c&client_secret=s").unwrap();
        let post = Credentials { form: &form, authorization: None };
        assert!(post.prove(&bench.client, ISSUER, &mut bench.used, NOW).is_err());
        bench.client.token_endpoint_auth_method = AuthMethod::ClientSecretPost;
        assert_eq!(post.prove(&bench.client, ISSUER, &mut bench.used, NOW), Ok(()));
        bench.client.token_endpoint_auth_method = AuthMethod::ClientSecretBasic;
        assert!(post.prove(&bench.client, ISSUER, &mut bench.used, NOW).is_err());
        let form = Params::default();
        let basic = Credentials { form: &form, authorization: Some("Basic Yzpz") };
        assert_eq!(basic.client_id().as_deref(), Some("c"));
        assert_eq!(basic.prove(&bench.client, ISSUER, &mut bench.used, NOW), Ok(()));
    }
}
