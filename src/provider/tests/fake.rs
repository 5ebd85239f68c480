//! A provider on loopback whose answers are set path by path.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use portvakt_core::provider::{ClientAuth, Par, Profile, ProviderSettings};
use portvakt_core::token::{Algorithm, SigningKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::{ClientKey, Limits, Provider};

pub(super) const CLIENT: &str = "gw-client-1";
pub(super) const NONCE: &str = "n-0S6_WzA2Mj-7vYw3";

/// What a path answers.
#[derive(Clone)]
pub(super) enum Answer {
    Json(u16, String),
    Redirect(&'static str),
    /// Takes the request and never answers.
    Silent,
}

type Form = Vec<(String, String)>;

#[derive(Default)]
struct Memory {
    answers: HashMap<String, VecDeque<Answer>>,
    asked: Vec<(String, Option<String>, Form)>,
}

pub(super) struct FakeProvider {
    pub(super) issuer: String,
    memory: Arc<Mutex<Memory>>,
    keys: HashMap<&'static str, SigningKey>,
    server: JoinHandle<()>,
}

impl FakeProvider {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let memory = Arc::new(Mutex::new(Memory::default()));
        let app = axum::Router::new().fallback(serve).with_state(memory.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let keys = ["key-1", "key-2", "key-9"]
            .into_iter()
            .map(|kid| (kid, SigningKey::generate(Algorithm::EdDsa).unwrap()))
            .collect();
        let fake = Self { issuer, memory, keys, server };
        fake.answer("/.well-known/openid-configuration", [Answer::Json(200, fake.metadata().to_string())]);
        fake.publish(&["key-1"]);
        fake
    }

    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks.json"), "pushed_authorization_request_endpoint": at("/par"),
            "end_session_endpoint": at("/logout"), "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["EdDSA"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// The answers of a path, in order; the last one stays.
    pub(super) fn answer<const N: usize>(&self, path: &str, answers: [Answer; N]) {
        lock(&self.memory).answers.insert(path.to_owned(), answers.into());
    }

    pub(super) fn publish(&self, kids: &[&str]) {
        let keys: Vec<_> = kids.iter().map(|kid| self.keys[kid].public_jwk(kid)).collect();
        self.answer("/jwks.json", [Answer::Json(200, json!({ "keys": keys }).to_string())]);
    }

    pub(super) fn sign(&self, kid: &str, claims: &Value) -> String {
        self.keys[kid].sign_jws(&[("kid", kid)], claims).unwrap()
    }

    pub(super) fn grant(&self, id_token: &str) {
        let reply = json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 120, "id_token": id_token});
        self.answer("/token", [Answer::Json(200, reply.to_string())]);
    }

    pub(super) fn provider(&self) -> Arc<Provider> {
        self.provider_with(settings(&self.issuer), Limits::default())
    }

    pub(super) fn provider_with(&self, settings: ProviderSettings, limits: Limits) -> Arc<Provider> {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let key = ClientKey { kid: "client-1".to_owned(), key: Arc::new(key) };
        Arc::new(Provider::with_limits(settings, Some(key), limits).unwrap())
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        lock(&self.memory).asked.iter().filter(|(asked, ..)| asked == path).count()
    }

    pub(super) fn forms(&self, path: &str) -> Vec<Form> {
        let memory = lock(&self.memory);
        memory.asked.iter().filter(|(asked, ..)| asked == path).map(|(.., form)| form.clone()).collect()
    }

    /// The last request's `Authorization` and form.
    pub(super) fn last(&self, path: &str) -> (Option<String>, Form) {
        let memory = lock(&self.memory);
        let (_, authorization, form) = memory.asked.iter().rfind(|(asked, ..)| asked == path).unwrap();
        (authorization.clone(), form.clone())
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(State(memory): State<Arc<Mutex<Memory>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 100_000).await.unwrap();
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let answer = {
        let mut memory = lock(&memory);
        memory.asked.push((path.clone(), authorization, form));
        match memory.answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        }
    };
    match answer {
        Some(answer) => respond(answer).await,
        None => Response::builder().status(404).body(Body::empty()).unwrap(),
    }
}

async fn respond(answer: Answer) -> Response {
    let builder = Response::builder().header("content-type", "application/json;charset=UTF-8");
    match answer {
        Answer::Json(status, body) => builder.status(status).body(body.into()),
        Answer::Redirect(to) => builder.status(302).header("location", to).body(Body::empty()),
        Answer::Silent => std::future::pending().await,
    }
    .unwrap()
}

/// Answers every connection with the same bytes, then closes it or holds it.
pub(super) struct RawServer {
    pub(super) url: String,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl RawServer {
    pub(super) async fn start(answer: Vec<u8>, then_hold: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let server = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(&answer).await;
                if then_hold {
                    held.push(stream);
                }
            }
        });
        Self { url, asked, server }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(super) fn pushed(request_uri: &str) -> Answer {
    Answer::Json(201, json!({ "request_uri": request_uri, "expires_in": 120 }).to_string())
}

pub(super) fn id_claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": CLIENT, "sub": "subject-1", "nonce": NONCE, "iat": 1_790_000_640,
        "exp": 1_790_000_760, "acr": "idporten-loa-high", "amr": ["BankID"], "auth_time": 1_790_000_640})
}

pub(super) fn logout_claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": CLIENT, "sid": "sid-1", "jti": "l1", "iat": 1_790_000_640, "exp": 1_790_000_940,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}})
}

pub(super) fn settings(issuer: &str) -> ProviderSettings {
    let profile = Profile::named("idporten").unwrap();
    ProviderSettings {
        name: "idporten".to_owned(),
        profile,
        issuer: issuer.to_owned(),
        metadata_url: None,
        client_id: CLIENT.to_owned(),
        client_auth: ClientAuth::PrivateKeyJwt,
        par: Par::WhenOffered,
        scopes: vec!["openid".to_owned(), "profile".to_owned()],
        algorithms: profile.algorithms.to_vec(),
        acr: profile.acr_table(),
        locale: None,
        label: portvakt_core::language::Localised::default(),
        synthetic_numbers: portvakt_core::provider::SyntheticNumbers::Accept,
        ca_file: None,
        insecure_login_without_sid: false,
        insecure_http: true,
        sends_iss: true,
        own_callback: false,
        access_tokens: None,
    }
}
