//! Against a provider on loopback that does as it is told, and remembers what it was asked.

mod fake;
mod tls;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use portvakt_core::provider::{ClientAuth, Par};
use portvakt_core::session::SessionId;
use portvakt_core::session::tokens::{AccessToken, Tokens as KeptTokens};
use portvakt_core::token::{Algorithm, SigningKey, TokenError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use url::Url;

use self::fake::{Answer, CLIENT, FakeProvider, NONCE, RawServer, id_claims, logout_claims};
use super::cache::{FRESH, LIMIT, SPREAD};
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_645);

fn login() -> LoginExpectation<'static> {
    LoginExpectation { nonce: NONCE, max_age: None, code: "code.1" }
}

fn request() -> AuthorizationRequest<'static> {
    AuthorizationRequest {
        redirect_uri: "https://app.example/oauth2/callback",
        state: "state-1",
        nonce: NONCE,
        code_challenge: "b7elB7ZyxIXgFyvBznKvxl7wOB-H17Pz0a3B62NIMFI",
        acr_values: &["idporten-loa-high"],
        prompt: Some("login"),
        max_age: Some(Duration::ZERO),
        ui_locales: Some("nn"),
        extra: &[],
    }
}

/// Dossier 1.1.1, shortened by what we do not read.
#[test]
fn id_portens_metadata_is_understood() {
    let document = json!({
        "issuer": "https://test.idporten.no", "authorization_endpoint": "https://login.test.idporten.no/authorize",
        "pushed_authorization_request_endpoint": "https://test.idporten.no/par",
        "token_endpoint": "https://test.idporten.no/token",
        "end_session_endpoint": "https://login.test.idporten.no/logout",
        "jwks_uri": "https://test.idporten.no/jwks.json", "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post", "query.jwt", "form_post.jwt"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"], "subject_types_supported": ["public", "pairwise"],
        "acr_values_supported": ["idporten-loa-low", "idporten-loa-high", "a-new-one"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none", "private_key_jwt", "a_new_one"],
        "id_token_signing_alg_values_supported": ["RS256", "A-NEW-ONE"], "prompt_values_supported": ["login"],
        "ui_locales_supported": ["en", "nb", "nn", "se"], "display_values_supported": ["page"],
        "request_parameter_supported": false, "claims_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true, "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true, "a_key_of_tomorrow": {"x": [1]},
    });
    let mut settings = fake::settings("https://test.idporten.no");
    settings.insecure_http = false;
    let metadata = Metadata::parse(document.to_string().as_bytes(), &settings).unwrap();
    assert_eq!(
        metadata.authorization_endpoint().unwrap().as_str(),
        "https://login.test.idporten.no/authorize"
    );
    assert_eq!(metadata.token_endpoint().unwrap().as_str(), "https://test.idporten.no/token");
    assert_eq!(metadata.jwks_uri().as_str(), "https://test.idporten.no/jwks.json");
    assert_eq!(metadata.pushed_authorization_request_endpoint().unwrap().path(), "/par");
    assert_eq!(metadata.end_session_endpoint().unwrap().as_str(), "https://login.test.idporten.no/logout");
    assert!(metadata.iss_in_response() && metadata.frontchannel_logout() && !metadata.backchannel_logout());
    assert!(metadata.sid());
    assert_eq!(metadata.acr_values(), ["idporten-loa-low", "idporten-loa-high", "a-new-one"]);
    assert_eq!(
        Metadata::url(&settings).unwrap().as_str(),
        "https://test.idporten.no/.well-known/openid-configuration"
    );
}

#[tokio::test]
async fn metadata_that_lies_or_is_damaged_is_refused() {
    let fake = FakeProvider::start().await;
    let good = fake.metadata();
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document.to_string()
    };
    let issuer = fake.issuer.as_str();
    let documents = [
        (with("issuer", json!(format!("{issuer}/"))), "the metadata is of another issuer"),
        (with("issuer", json!("https://idporten.no")), "the metadata is of another issuer"),
        (with("token_endpoint", Value::Null), "the metadata's `token_endpoint` cannot be used"),
        (
            with("token_endpoint", json!("http://10.0.0.1/token")),
            "the metadata's `token_endpoint` cannot be used",
        ),
        (with("jwks_uri", json!("http://evil.example/")), "the metadata's `jwks_uri` cannot be used"),
        (
            with("authorization_endpoint", json!("https://u:p@evil.example")),
            "the metadata's `authorization_endpoint` cannot be used",
        ),
        (
            with("pushed_authorization_request_endpoint", json!("/par")),
            "the metadata's `pushed_authorization_request_endpoint` cannot be used",
        ),
        (
            with("end_session_endpoint", json!("javascript:alert(1)")),
            "the metadata's `end_session_endpoint` cannot be used",
        ),
        (
            good.to_string().replacen('{', r#"{"issuer":"x","#, 1),
            "the answer to `metadata` cannot be used: not one JSON object",
        ),
        (String::from("<html>"), "the answer to `metadata` cannot be used: not one JSON object"),
        (
            with("subject_types_supported", Value::Null),
            "the answer to `metadata` cannot be used: a required member is missing or malformed",
        ),
    ];
    for (document, message) in documents {
        fake.answer("/.well-known/openid-configuration", [Answer::Json(200, document)]);
        let refusal = fake.provider().metadata(NOW).await.unwrap_err();
        assert_eq!(refusal.to_string(), message);
    }
}

#[tokio::test]
async fn an_answer_is_bounded_in_time_and_size_and_no_redirect_is_followed() {
    let fake = FakeProvider::start().await;
    let limits = Limits { total: Duration::from_millis(300), body: 100_000, ..Limits::default() };
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}\r\n\r\n");
    let elsewhere =
        format!("HTTP/1.1 302 Found\r\nlocation: {}/elsewhere\r\ncontent-length: 0\r\n\r\n", fake.issuer);
    let body = "x".repeat(100_001);
    for (answer, hold, message) in [
        (String::new(), true, "the call `metadata` took too long"),
        (head("content-length: 10") + "{", true, "the call `metadata` took too long"),
        (head("content-length: 100001"), true, "the answer to `metadata` is too long"),
        (
            head("transfer-encoding: chunked") + &format!("{:x}\r\n{body}\r\n", body.len()),
            true,
            "the answer to `metadata` is too long",
        ),
        (elsewhere, false, "the provider answered `metadata` with status 302"),
        (head("content-length: 10") + "{", false, "the connection broke during `metadata`"),
    ] {
        let server = RawServer::start(answer.into_bytes(), hold).await;
        let mut settings = fake::settings(&fake.issuer);
        settings.metadata_url = Some(server.url.clone());
        let started = Instant::now();
        let refusal = fake.provider_with(settings, limits).metadata(NOW).await.unwrap_err();
        assert_eq!(refusal.to_string(), message);
        assert!(started.elapsed() < Duration::from_secs(5), "{message}");
        assert_eq!(server.asked(), 1, "{message}");
    }
    assert_eq!(fake.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn a_start_with_many_logins_fetches_once() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.keys(NOW).await.map(|keys| keys.usable()) })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap(), 1);
    }
    assert_eq!((fake.asked("/.well-known/openid-configuration"), fake.asked("/jwks.json")), (1, 1));
    assert_eq!(provider.fetched(), Fetched { metadata: Some(NOW), keys: Some(NOW) });
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_once_in_a_while() {
    let fake = FakeProvider::start().await;
    let path = "/.well-known/openid-configuration";
    fake.answer(path, [Answer::Json(503, String::new())]);
    let provider = fake.provider();
    assert!(matches!(provider.metadata(NOW).await, Err(ProviderError::Status { status: 503, .. })));
    for _ in 0..20 {
        assert!(matches!(provider.metadata(NOW).await, Err(ProviderError::Resting { .. })));
    }
    assert_eq!(fake.asked(path), 1);
    fake.answer(path, [Answer::Json(200, fake.metadata().to_string())]);
    assert!(provider.metadata(NOW + Duration::from_secs(20)).await.is_ok());
    assert_eq!(provider.calls().total(Call::Metadata, Outcome::Failed), 1);
    assert_eq!(provider.calls().total(Call::Metadata, Outcome::Ok), 1);
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_last_good_copy_up_to_its_limit() {
    let fake = FakeProvider::start().await;
    let (path, minute) = ("/jwks.json", Duration::from_secs(60));
    let provider = fake.provider();
    provider.refresh(NOW).await.unwrap();
    let first = provider.keys(NOW).await.unwrap();
    provider.refresh(NOW + FRESH.saturating_sub(SPREAD + minute)).await.unwrap();
    assert_eq!(fake.asked(path), 1, "fresh copies are not fetched");

    for bad in [Answer::Json(500, String::new()), Answer::Json(200, r#"{"keys":[]}"#.to_owned())] {
        fake.answer(path, [bad]);
        let asked = fake.asked(path);
        let later = NOW + FRESH + minute * u32::try_from(5 * asked).unwrap();
        assert!(provider.refresh(later).await.is_err());
        assert_eq!(fake.asked(path), asked + 1);
        assert!(matches!(provider.refresh(later).await, Err(ProviderError::Resting { .. })));
        assert_eq!(fake.asked(path), asked + 1, "a failure is not repeated at once");
        assert!(Arc::ptr_eq(&provider.keys(later).await.unwrap(), &first));
    }
    assert!(provider.keys(NOW + LIMIT.saturating_sub(minute)).await.is_ok());
    assert!(provider.keys(NOW + LIMIT).await.is_err());

    fake.publish(&["key-1"]);
    let after = NOW + LIMIT + minute;
    provider.refresh(after).await.unwrap();
    assert!(!Arc::ptr_eq(&provider.keys(after).await.unwrap(), &first));
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_the_login_succeeds() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    provider.refresh(NOW).await.unwrap();
    fake.publish(&["key-1", "key-2"]);
    fake.grant(&fake.sign("key-2", &id_claims(&fake.issuer)));
    let tokens = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap();
    let tokens = Arc::new(tokens);
    let logins: Vec<_> = (0..20)
        .map(|_| {
            let (provider, tokens) = (provider.clone(), tokens.clone());
            tokio::spawn(async move { provider.verify_id_token(&tokens, &login(), NOW).await })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap().subject(), "subject-1");
    }
    assert_eq!(fake.asked("/jwks.json"), 2, "one fetch for all of them");
}

#[tokio::test]
async fn logins_with_unknown_keys_cost_one_fetch_a_minute_too() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    provider.refresh(NOW).await.unwrap();
    fake.grant(&fake.sign("key-9", &id_claims(&fake.issuer)));
    let tokens = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap();
    for (seconds, asked) in [(0, 2), (0, 2), (59, 2), (60, 3), (61, 3)] {
        let refusal = provider.verify_id_token(&tokens, &login(), NOW + Duration::from_secs(seconds)).await;
        assert!(matches!(refusal, Err(VerifyError::Token(TokenError::UnknownKey))));
        assert_eq!(fake.asked("/jwks.json"), asked, "{seconds} s");
    }
}

#[tokio::test]
async fn unknown_keys_cost_one_fetch_a_minute_and_strangers_do_not_use_up_the_logins() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    provider.refresh(NOW).await.unwrap();
    let forged = fake.sign("key-9", &logout_claims(&fake.issuer));
    let flood: Vec<_> = (0..40)
        .map(|_| {
            let (provider, forged) = (provider.clone(), forged.clone());
            tokio::spawn(async move { provider.verify_logout_token(&forged, NOW).await.map(|_| ()) })
        })
        .collect();
    for call in flood {
        assert!(matches!(call.await.unwrap(), Err(VerifyError::Token(TokenError::UnknownKey))));
    }
    assert_eq!(fake.asked("/jwks.json"), 2, "one fetch for the whole flood");

    // The provider rotates right after the flood; the login must still get its keys.
    fake.publish(&["key-2"]);
    fake.grant(&fake.sign("key-2", &id_claims(&fake.issuer)));
    let tokens = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap();
    assert!(provider.verify_id_token(&tokens, &login(), NOW).await.is_ok());
    assert_eq!(fake.asked("/jwks.json"), 3);

    for (seconds, asked) in [(59, 3), (60, 4), (61, 4)] {
        let later = NOW + Duration::from_secs(seconds);
        assert!(provider.verify_logout_token(&forged, later).await.is_err());
        assert_eq!(fake.asked("/jwks.json"), asked, "{seconds} s");
    }
    // A signature that fails is no reason to fetch.
    let other = fake.sign("key-2", &logout_claims(&fake.issuer));
    let broken = format!("{}.{}", other.rsplit_once('.').unwrap().0, "A".repeat(86));
    assert!(provider.verify_logout_token(&broken, NOW + Duration::from_secs(300)).await.is_err());
    assert!(provider.verify_logout_token(&other, NOW).await.is_ok());
    assert_eq!(fake.asked("/jwks.json"), 4);
}

#[tokio::test]
async fn a_login_that_is_cut_off_does_not_use_up_the_next_ones_fetch() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    provider.refresh(NOW).await.unwrap();
    fake.grant(&fake.sign("key-2", &id_claims(&fake.issuer)));
    let tokens = Arc::new(provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap());
    fake.answer("/jwks.json", [Answer::Silent]);
    let cut_off = {
        let (provider, tokens) = (provider.clone(), tokens.clone());
        tokio::spawn(async move { provider.verify_id_token(&tokens, &login(), NOW).await.map(|_| ()) })
    };
    while fake.asked("/jwks.json") < 2 {
        tokio::task::yield_now().await;
    }
    cut_off.abort();
    assert!(cut_off.await.unwrap_err().is_cancelled());
    fake.publish(&["key-2"]);
    assert!(provider.verify_id_token(&tokens, &login(), NOW).await.is_ok());
}

fn claims_of(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap()).unwrap()
}

/// Dossier 7, no. 7.
#[tokio::test]
async fn a_pushed_request_is_tried_twice_with_two_assertions_and_leaves_two_parameters() {
    let fake = FakeProvider::start().await;
    fake.answer("/par", [Answer::Json(503, String::new()), fake::pushed("urn:idporten:1")]);
    let provider = fake.provider();
    let url = provider.authorize(&request(), NOW).await.unwrap();
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    let expected = [("client_id", CLIENT), ("request_uri", "urn:idporten:1")];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(url.path(), "/authorize");

    let forms = fake.forms("/par");
    assert_eq!(forms.len(), 2);
    let mut ids = HashSet::new();
    for form in &forms {
        let mut form: HashMap<_, _> = form.iter().cloned().collect();
        let claims = claims_of(&form.remove("client_assertion").unwrap());
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(CLIENT), &json!(CLIENT)));
        assert_eq!(claims["aud"], fake.issuer.as_str());
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert!(ids.insert(claims["jti"].as_str().unwrap().to_owned()), "jti used twice");
        let expected = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_id", CLIENT),
            ("response_type", "code"),
            ("redirect_uri", "https://app.example/oauth2/callback"),
            ("scope", "openid profile"),
            ("state", "state-1"),
            ("nonce", NONCE),
            ("code_challenge", "b7elB7ZyxIXgFyvBznKvxl7wOB-H17Pz0a3B62NIMFI"),
            ("code_challenge_method", "S256"),
            ("acr_values", "idporten-loa-high"),
            ("prompt", "login"),
            ("max_age", "0"),
            ("ui_locales", "nn"),
        ];
        let expected: HashMap<_, _> =
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(form, expected);
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_pushed_starts_no_login() {
    let fake = FakeProvider::start().await;
    for (answer, attempts, message) in [
        (Answer::Json(500, String::new()), 2, "the provider answered `par` with status 500"),
        (
            Answer::Json(
                400,
                r#"{"error":"invalid_request","error_description":"<b>fnr 17838534171"}"#.into(),
            ),
            1,
            "the provider refused `par`: invalid_request",
        ),
        (Answer::Json(401, r#"{"error":"17838534171"}"#.into()), 1, "the provider refused `par`: other"),
        (Answer::Json(403, "no".into()), 1, "the provider answered `par` with status 403"),
        (Answer::Redirect("/elsewhere"), 1, "the provider answered `par` with status 302"),
        (
            Answer::Json(201, r#"{"request_uri":"urn:x","request_uri":"urn:y","expires_in":1}"#.into()),
            1,
            "the answer to `par` cannot be used: not one JSON object",
        ),
        (
            Answer::Json(201, r#"{"request_uri":"urn:x y","expires_in":1}"#.into()),
            1,
            "the answer to `par` cannot be used: `request_uri` is missing or malformed",
        ),
        (
            Answer::Json(201, r#"{"request_uri":"urn:x"}"#.into()),
            1,
            "the answer to `par` cannot be used: `expires_in` is missing or not positive",
        ),
    ] {
        let (provider, before) = (fake.provider(), fake.asked("/par"));
        fake.answer("/par", [answer]);
        assert_eq!(provider.authorize(&request(), NOW).await.unwrap_err().to_string(), message);
        assert_eq!(fake.asked("/par") - before, attempts, "{message}");
    }
    assert_eq!(fake.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn whether_a_request_is_pushed_is_settings_and_metadata() {
    let fake = FakeProvider::start().await;
    fake.answer("/par", [fake::pushed("urn:idporten:1")]);
    let start = async |par| {
        let mut settings = fake::settings(&fake.issuer);
        settings.par = par;
        fake.provider_with(settings, Limits::default()).authorize(&request(), NOW).await
    };
    let pushed = |url: Url| url.query_pairs().any(|(name, _)| name == "request_uri");
    assert!(pushed(start(Par::WhenOffered).await.unwrap()));
    assert!(pushed(start(Par::Required).await.unwrap()));
    let plain = start(Par::Never).await.unwrap();
    assert!(plain.query_pairs().any(|(name, value)| name == "client_id" && value == CLIENT));
    assert!(plain.query_pairs().any(|(name, value)| name == "nonce" && value == NONCE));
    assert!(!pushed(plain));

    let mut without = fake.metadata();
    without.as_object_mut().unwrap().remove("pushed_authorization_request_endpoint");
    fake.answer("/.well-known/openid-configuration", [Answer::Json(200, without.to_string())]);
    assert!(!pushed(start(Par::WhenOffered).await.unwrap()));
    assert!(matches!(start(Par::Required).await, Err(ProviderError::ParNotOffered)));
}

#[tokio::test]
async fn a_code_is_redeemed_with_each_method_of_authentication() {
    let fake = FakeProvider::start().await;
    fake.grant(&fake.sign("key-1", &id_claims(&fake.issuer)));
    let secret = || SecretString::from("s:e c/ret");
    for method in [
        ClientAuth::PrivateKeyJwt,
        ClientAuth::ClientSecretBasic(secret()),
        ClientAuth::ClientSecretPost(secret()),
    ] {
        let mut settings = fake::settings(&fake.issuer);
        settings.client_auth = method.clone();
        let provider = fake.provider_with(settings, Limits::default());
        let tokens = provider.redeem("code.1", request().redirect_uri, "verifier-1", NOW).await.unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens([REDACTED])");
        assert!(provider.verify_id_token(&tokens, &login(), NOW).await.is_ok());

        let (authorization, form) = fake.last("/token");
        let mut form: HashMap<_, _> = form.into_iter().collect();
        match method {
            ClientAuth::PrivateKeyJwt => {
                assert_eq!(authorization, None);
                assert!(
                    form.remove("client_assertion").is_some()
                        && form.remove("client_assertion_type").is_some()
                );
            }
            ClientAuth::ClientSecretBasic(_) => {
                let pair = STANDARD.encode_to_string("gw-client-1:s%3Ae+c%2Fret");
                assert_eq!(authorization, Some(format!("Basic {pair}")));
            }
            ClientAuth::ClientSecretPost(_) => {
                assert_eq!(authorization, None);
                assert_eq!(form.remove("client_secret").unwrap(), "s:e c/ret");
            }
        }
        let expected = [
            ("grant_type", "authorization_code"),
            ("code", "code.1"),
            ("redirect_uri", "https://app.example/oauth2/callback"),
            ("code_verifier", "verifier-1"),
            ("client_id", CLIENT),
        ];
        assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}

#[tokio::test]
async fn a_code_is_sent_once_whatever_the_answer() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    for (answer, message) in [
        (Answer::Json(500, String::new()), "the provider answered `token` with status 500"),
        (
            Answer::Json(503, r#"{"error":"server_error"}"#.into()),
            "the provider answered `token` with status 503",
        ),
        (
            Answer::Json(400, r#"{"error":"invalid_grant"}"#.into()),
            "the provider refused `token`: invalid_grant",
        ),
        (
            Answer::Json(401, r#"{"error":"invalid_client"}"#.into()),
            "the provider refused `token`: invalid_client",
        ),
        (
            Answer::Json(200, r#"{"id_token":"a","id_token":"b"}"#.into()),
            "the answer to `token` cannot be used: not one JSON object",
        ),
        (
            Answer::Json(200, r#"{"access_token":"a"}"#.into()),
            "the answer to `token` cannot be used: `id_token` is missing or not a string",
        ),
        (
            Answer::Json(200, r#"{"id_token":"a","access_token":1}"#.into()),
            "the answer to `token` cannot be used: `access_token` is not a string",
        ),
    ] {
        let before = fake.asked("/token");
        fake.answer("/token", [answer]);
        let refusal = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap_err();
        assert_eq!(refusal.to_string(), message);
        assert_eq!(fake.asked("/token") - before, 1, "{message}");
    }
    let refused = provider.calls().total(Call::Token, Outcome::Refused);
    assert_eq!((refused, provider.calls().total(Call::Token, Outcome::Failed)), (2, 5));

    // The connection breaks after the code may have been read.
    let server = RawServer::start(b"HTTP/1.1 200 OK\r\n".to_vec(), false).await;
    let mut document = fake.metadata();
    document["token_endpoint"] = json!(server.url);
    fake.answer("/.well-known/openid-configuration", [Answer::Json(200, document.to_string())]);
    let refusal = fake.provider().redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the connection broke during `token`");
    assert_eq!(server.asked(), 1);
}

/// Tokens that are kept for an app.
fn kept(refresh: Option<&str>) -> KeptTokens {
    let access = AccessToken::received("old", Some(120), NOW);
    KeptTokens::begin(&SessionId::random(), "the nonce", access, refresh.map(SecretString::from))
}

#[tokio::test]
async fn a_refresh_token_is_sent_once_as_this_client_and_its_answer_is_read_strictly() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    let refresh = SecretString::from("refresh.1");
    let answer = |members: Value| {
        let mut reply = json!({"access_token": "new", "token_type": "bearer", "expires_in": 120});
        for (name, value) in members.as_object().unwrap() {
            reply[name] = value.clone();
        }
        reply.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        Answer::Json(200, reply.to_string())
    };
    for (members, rotated) in [(json!({}), None), (json!({"refresh_token": "refresh.2"}), Some("refresh.2"))]
    {
        fake.answer("/token", [answer(members)]);
        let exchanged = provider.exchange(&refresh, NOW).await.unwrap();
        assert_eq!(exchanged.access.header(), "Bearer new");
        assert_eq!(exchanged.refresh.as_ref().map(ExposeSecret::expose_secret), rotated);
        assert_eq!(format!("{exchanged:?}"), "Exchanged([REDACTED])");
    }
    let (_, form) = fake.last("/token");
    let form: HashMap<_, _> = form.into_iter().collect();
    assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", "refresh.1"));
    assert_eq!(form["client_id"], CLIENT);
    let assertions = fake
        .forms("/token")
        .into_iter()
        .map(|form| form.into_iter().find(|(name, _)| name == "client_assertion"));
    assert_eq!(assertions.collect::<Option<HashSet<_>>>().unwrap().len(), 2, "each its own");
    for (wrong, message) in [
        (Answer::Json(500, String::new()), "the provider answered `refresh` with status 500"),
        (
            Answer::Json(400, r#"{"error":"invalid_grant"}"#.into()),
            "the provider refused `refresh`: invalid_grant",
        ),
        (
            answer(json!({"access_token": null})),
            "the answer to `refresh` cannot be used: `access_token` is missing, or no bearer token",
        ),
        (
            answer(json!({"access_token": "a b"})),
            "the answer to `refresh` cannot be used: `access_token` is missing, or no bearer token",
        ),
        (
            answer(json!({"token_type": "DPoP"})),
            "the answer to `refresh` cannot be used: `access_token` is missing, or no bearer token",
        ),
        (
            answer(json!({"token_type": null})),
            "the answer to `refresh` cannot be used: `access_token` is missing, or no bearer token",
        ),
        (
            answer(json!({"id_token": 1})),
            "the answer to `refresh` cannot be used: `id_token` is not a string",
        ),
        (Answer::Redirect("/elsewhere"), "the provider answered `refresh` with status 302"),
    ] {
        let before = fake.asked("/token");
        fake.answer("/token", [wrong]);
        assert_eq!(provider.exchange(&refresh, NOW).await.unwrap_err().to_string(), message);
        assert_eq!(fake.asked("/token") - before, 1, "{message}");
    }
}

#[tokio::test]
async fn a_token_is_ended_where_the_provider_ends_tokens() {
    let fake = FakeProvider::start().await;
    // Nothing to do, and nothing done.
    fake.provider().revoke(&kept(Some("refresh")), NOW).await.unwrap();
    for (endpoint, works) in
        [(format!("{}/revoke", fake.issuer), true), ("http://elsewhere.example/".to_owned(), false)]
    {
        let mut document = fake.metadata();
        document["revocation_endpoint"] = json!(endpoint);
        fake.answer("/.well-known/openid-configuration", [Answer::Json(200, document.to_string())]);
        fake.answer("/revoke", [Answer::Json(200, String::new())]);
        let provider = fake.provider();
        for (refresh, sent) in
            [(Some("refresh"), ["refresh", "refresh_token"]), (None, ["old", "access_token"])]
        {
            let before = fake.asked("/revoke");
            // An endpoint that may not be called is none, and costs nobody a login.
            provider.revoke(&kept(refresh), NOW).await.unwrap();
            assert_eq!(fake.asked("/revoke") - before, usize::from(works));
            if works {
                let form: HashMap<_, _> = fake.last("/revoke").1.into_iter().collect();
                assert_eq!([form["token"].as_str(), form["token_type_hint"].as_str()], sent);
                assert!(form.contains_key("client_assertion"));
            }
        }
    }
}

#[tokio::test]
async fn at_hash_is_checked_with_the_access_token_that_came_along() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    let mut claims = id_claims(&fake.issuer);
    claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    fake.grant(&fake.sign("key-1", &claims));
    let tokens = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap();
    let refusal = provider.verify_id_token(&tokens, &login(), NOW).await.unwrap_err();
    assert!(matches!(refusal, VerifyError::Token(TokenError::WrongHash("at_hash"))));
}

#[tokio::test]
async fn nobody_there_is_told_apart_and_a_code_may_be_tried_again() {
    let fake = FakeProvider::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut document = fake.metadata();
    document["token_endpoint"] = json!(format!("http://{address}/token"));
    document["jwks_uri"] = json!(fake.issuer.replace("http://", "https://"));
    fake.answer("/.well-known/openid-configuration", [Answer::Json(200, document.to_string())]);
    let provider = fake.provider();
    let refusal = provider.redeem("code.1", request().redirect_uri, "v", NOW).await.unwrap_err();
    assert!(matches!(refusal, ProviderError::Unreachable { why: Unreachable::Connect, .. }));
    assert_eq!(provider.calls().total(Call::Token, Outcome::Failed), 2);
    // A server that does not speak TLS cannot prove its name.
    let refusal = provider.keys(NOW).await.unwrap_err();
    assert!(matches!(refusal, ProviderError::Unreachable { why: Unreachable::Tls, .. }), "{refusal}");
}

#[tokio::test]
async fn more_logins_than_places_are_told_to_come_again() {
    let fake = FakeProvider::start().await;
    fake.answer("/par", [Answer::Silent]);
    let limits = Limits {
        total: Duration::from_secs(2),
        open: 1,
        wait: Duration::from_millis(50),
        ..Limits::default()
    };
    let provider = fake.provider_with(fake::settings(&fake.issuer), limits);
    provider.refresh(NOW).await.unwrap();
    let request = request();
    let (first, second) = tokio::join!(provider.authorize(&request, NOW), provider.authorize(&request, NOW));
    assert!(matches!(first, Err(ProviderError::TimedOut { .. })), "{first:?}");
    assert!(matches!(second, Err(ProviderError::Busy { call: Call::Par })), "{second:?}");
    assert_eq!(provider.calls().total(Call::Par, Outcome::Busy), 1);
    assert_eq!(provider.calls().total(Call::Par, Outcome::Failed), 1);
}

#[tokio::test]
async fn without_a_client_key_nothing_is_sent() {
    let fake = FakeProvider::start().await;
    let provider = Arc::new(Provider::new(fake::settings(&fake.issuer), None).unwrap());
    assert!(provider.lacks_client_key());
    assert!(matches!(provider.authorize(&request(), NOW).await, Err(ProviderError::NoClientKey)));
    assert_eq!(fake.asked("/par"), 0);
    provider.set_client_key(ClientKey {
        kid: "k".to_owned(),
        key: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()),
    });
    assert!(!provider.lacks_client_key());
    fake.answer("/par", [fake::pushed("urn:idporten:1")]);
    assert!(provider.authorize(&request(), NOW).await.is_ok());
}

#[tokio::test]
async fn the_way_out_carries_client_hint_and_state() {
    let fake = FakeProvider::start().await;
    let provider = fake.provider();
    let metadata = provider.metadata(NOW).await.unwrap();
    let logout = EndSession {
        id_token_hint: Some("a.b.c"),
        post_logout_redirect_uri: "https://app.example/oauth2/logout/callback",
        state: "s-1",
    };
    let request = provider.end_session(&metadata, &logout).unwrap();
    assert!(!format!("{request:?}").contains("a.b.c"));
    let query: HashMap<_, _> = request.url().query_pairs().into_owned().collect();
    let expected = [
        ("client_id", CLIENT),
        ("post_logout_redirect_uri", "https://app.example/oauth2/logout/callback"),
        ("state", "s-1"),
        ("id_token_hint", "a.b.c"),
    ];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let without = EndSession { id_token_hint: None, ..logout };
    assert!(!provider.end_session(&metadata, &without).unwrap().url().as_str().contains("id_token_hint"));
}

#[test]
fn a_ca_file_without_certificates_stops_the_start() {
    let mut settings = fake::settings("https://idporten.no");
    settings.ca_file = Some("does-not-exist.pem".into());
    assert!(matches!(Provider::new(settings.clone(), None), Err(ProviderError::HttpClient(_))));
    settings.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
    assert!(matches!(Provider::new(settings, None), Err(ProviderError::HttpClient(_))));
}

/// Metadata as an authorization server of machines has it (RFC 8414): nobody logs in there.
fn machines(fake: &FakeProvider) -> Arc<Provider> {
    let (issuer, jwks) = (format!("{}/", fake.issuer), format!("{}/jwks.json", fake.issuer));
    let metadata = json!({
        "issuer": issuer, "jwks_uri": jwks, "token_endpoint": format!("{}/token", fake.issuer),
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    });
    fake.answer("/.well-known/oauth-authorization-server", [Answer::Json(200, metadata.to_string())]);
    let profile = portvakt_core::provider::Profile::named("maskinporten").unwrap();
    let settings = ProviderSettings {
        profile,
        name: "maskinporten".to_owned(),
        issuer,
        algorithms: vec![Algorithm::EdDsa],
        ..fake::settings(&fake.issuer)
    };
    Arc::new(Provider::with_limits(settings, None, Limits::default()).unwrap())
}

fn access_token(fake: &FakeProvider, kid: &str) -> String {
    fake.sign(
        kid,
        &json!({
            "iss": format!("{}/", fake.issuer), "client_id": "c", "token_type": "Bearer", "scope": "a:b",
            "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:310123455"},
            "iat": NOW.seconds(), "exp": NOW.seconds() + 119, "pid": "17838534171",
        }),
    )
}

#[tokio::test]
async fn a_machine_is_verified_without_a_client_key_and_by_keys_that_are_kept() {
    let fake = FakeProvider::start().await;
    let provider = machines(&fake);
    assert!(!provider.lacks_client_key());
    let token = access_token(&fake, "key-1");
    for _ in 0..3 {
        let machine = provider.verify_machine(&token, NOW).await.unwrap();
        assert_eq!(machine.consumer().to_string(), "310123455");
    }
    assert_eq!((fake.asked("/.well-known/oauth-authorization-server"), fake.asked("/jwks.json")), (1, 1));
    // Nobody logs in there.
    assert!(provider.authorize(&request(), NOW).await.is_err());
    for name in ["issuer", "jwks_uri"] {
        let other = FakeProvider::start().await;
        let provider = machines(&other);
        let metadata =
            json!({"issuer": format!("{}/", other.issuer), "jwks_uri": "x", name: "https://evil.example"});
        other.answer("/.well-known/oauth-authorization-server", [Answer::Json(200, metadata.to_string())]);
        let refused = provider.verify_machine(&access_token(&other, "key-1"), NOW).await;
        assert!(
            matches!(refused, Err(MachineRefused::Token(VerifyError::Provider(_)))),
            "{name}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_a_minute_and_nobody_passes_meanwhile() {
    let fake = FakeProvider::start().await;
    let provider = machines(&fake);
    let known = access_token(&fake, "key-1");
    assert!(provider.verify_machine(&known, NOW).await.is_ok());
    let unknown = access_token(&fake, "key-2");
    for _ in 0..20 {
        let refused = provider.verify_machine(&unknown, NOW).await.unwrap_err();
        assert!(matches!(refused, MachineRefused::Token(VerifyError::Token(TokenError::UnknownKey))));
    }
    assert_eq!(fake.asked("/jwks.json"), 2);
    // Strangers have not used up the fetch of another kind of caller, and a new key is found a minute later.
    let later = NOW + Duration::from_secs(60);
    fake.publish(&["key-2"]);
    assert!(provider.verify_machine(&unknown, later).await.is_ok());
    // A key that is withdrawn is worth nothing any more.
    assert!(provider.verify_machine(&known, later).await.is_err());
    assert_eq!(fake.asked("/jwks.json"), 3);
}

#[tokio::test]
async fn while_newer_keys_cannot_be_had_nobody_is_told_that_a_token_is_wrong() {
    let fake = FakeProvider::start().await;
    let provider = machines(&fake);
    assert!(provider.verify_machine(&access_token(&fake, "key-1"), NOW).await.is_ok());
    fake.answer("/jwks.json", [Answer::Json(503, String::new())]);
    let unknown = access_token(&fake, "key-2");
    for _ in 0..5 {
        let refused = provider.verify_machine(&unknown, NOW).await.unwrap_err();
        assert!(matches!(refused, MachineRefused::Token(VerifyError::Provider(_))), "{refused:?}");
    }
    assert_eq!(fake.asked("/jwks.json"), 2);
    // The keys that are there go on.
    assert!(provider.verify_machine(&access_token(&fake, "key-1"), NOW).await.is_ok());
}

#[tokio::test]
async fn a_process_that_takes_over_knows_what_was_known_and_nothing_of_another_provider() {
    let fake = FakeProvider::start().await;
    let before = fake.provider();
    before.refresh(NOW).await.unwrap();
    let known: Known = serde_json::from_value(serde_json::to_value(before.known()).unwrap()).unwrap();
    fake.answer("/.well-known/openid-configuration", [Answer::Json(503, String::new())]);
    fake.answer("/jwks.json", [Answer::Json(503, String::new())]);

    let later = NOW + Duration::from_secs(3600);
    let after = fake.provider();
    after.learn(&known, later);
    assert_eq!(after.fetched(), Fetched { metadata: Some(NOW), keys: Some(NOW) });
    assert!(after.is_due(later), "it is fetched anew, whatever its age");
    assert!(after.refresh(later).await.is_err());
    assert!(!after.is_due(later));
    assert_eq!(after.keys(later).await.unwrap().usable(), 1);
    fake.answer("/.well-known/openid-configuration", [Answer::Json(200, fake.metadata().to_string())]);
    fake.publish(&["key-1", "key-2"]);
    let again = later + Duration::from_secs(120);
    after.refresh(again).await.unwrap();
    assert!(!after.is_due(again) && after.keys(again).await.unwrap().usable() == 2);
    // What is known here is not replaced by what others know.
    after.learn(&known, again);
    assert_eq!(after.keys(again).await.unwrap().usable(), 2);

    let too_late = fake.provider();
    too_late.learn(&known, NOW + LIMIT);
    let nothing = Fetched { metadata: None, keys: None };
    assert_eq!(too_late.fetched(), nothing);
    for change in [
        |settings: &mut ProviderSettings| settings.issuer.push('/'),
        |settings: &mut ProviderSettings| settings.metadata_url = Some("https://idporten.no/x".to_owned()),
        |settings: &mut ProviderSettings| settings.insecure_http = false,
    ] {
        let mut settings = fake::settings(&fake.issuer);
        change(&mut settings);
        let mut other = Provider::new(settings, None).unwrap();
        other.learn(&known, later);
        other.go_on_from(&before);
        assert_eq!(other.fetched(), nothing);
    }
}

#[tokio::test]
async fn what_another_process_tells_is_judged_as_if_the_provider_said_it() {
    let fake = FakeProvider::start().await;
    let before = fake.provider();
    before.refresh(NOW).await.unwrap();
    let told = serde_json::to_value(before.known()).unwrap();
    let elsewhere = told["metadata"]["text"].as_str().unwrap().replace(&fake.issuer, "https://evil.example");
    for (document, text) in [("metadata", elsewhere.as_str()), ("keys", "{\"keys\":[]}"), ("keys", "")] {
        let mut told = told.clone();
        told[document]["text"] = text.into();
        let after = fake.provider();
        after.learn(&serde_json::from_value(told).unwrap(), NOW);
        assert_eq!(after.fetched(), Fetched { metadata: None, keys: None }, "{document}");
    }
}
