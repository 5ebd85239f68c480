//! An OpenID provider: the machinery that all issuers share. What is special to one is its [`Profile`].
//!
//! Reading order: `metadata`, `par`, `authorize`, `redeem` (token endpoint), `refresh`, `logout`; `maskinporten` is for machines.

pub(crate) mod ansattporten;
mod authorize;
pub(crate) mod idporten;
pub(crate) mod logout;
pub(crate) mod maskinporten;
mod metadata;
mod par;
mod redeem;
mod refresh;
pub(crate) mod signicat;
pub(crate) mod utland;

use std::sync::{Arc, Mutex, RwLock};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::{Map, Value, json};

use crate::client::{Client, Credentials};
use crate::clock::real_now;
use crate::expiring::Expiring;
use crate::jws::Keys;
use crate::params::Params;
use crate::person::Person;
use crate::sso::{Authentication, SsoSessions};
use crate::world::{EidasClaimNames, World, locked};

/// What differs between issuers: data, and four judgements.
pub(crate) struct Profile {
    /// The path below the origin, and the `issuer` of its clients.
    pub(crate) name: &'static str,
    /// The discovery document of this issuer URL.
    pub(crate) metadata: fn(&str) -> Value,
    /// Whether these `acr_values` may be asked for.
    pub(crate) check_acr_values: fn(&[String]) -> Result<(), &'static str>,
    /// Whether a session of this `acr` is enough.
    pub(crate) satisfied: fn(&[String], &str) -> bool,
    /// With which `acr` this person would come back; `None` if not offered.
    pub(crate) reached: fn(&[String], &Person) -> Option<&'static str>,
    /// The level that a test's `login_hint` may name.
    pub(crate) test_level: fn(&str) -> Option<&'static str>,
    /// The claims that say who it is.
    pub(crate) identity: fn(&Authentication, &Told<'_>) -> Map<String, Value>,
    /// Scopes beside `openid` and `profile`.
    pub(crate) scopes: &'static [&'static str],
    /// Whether a request without `state` or `nonce` is refused (dossier 1.4, 1.5).
    pub(crate) demands_state_and_nonce: bool,
    /// Whether who it is stands in userinfo and not in the ID token (dossier 1.9).
    pub(crate) in_userinfo: bool,
}

/// What of a request decides what is told.
pub(crate) struct Told<'a> {
    /// The scopes.
    pub(crate) scope: &'a str,
    /// Which spellings.
    pub(crate) names: EidasClaimNames,
    /// What was asked for in `authorization_details` (RFC 9396).
    pub(crate) details: Option<&'a Value>,
    /// Which of the organisations was chosen; `none` for nobody.
    pub(crate) organisation: Option<&'a str>,
    /// On whose behalf (dossier 2.10).
    pub(crate) onbehalfof: Option<&'a str>,
}

impl Told<'_> {
    /// Whether a scope was asked for.
    pub(crate) fn has_scope(&self, wanted: &str) -> bool {
        self.scope.split(' ').any(|scope| scope == wanted)
    }
}

/// One running issuer.
pub(crate) struct Op {
    pub(crate) profile: Profile,
    /// The `iss`: origin and path, no slash at the end.
    pub(crate) issuer: String,
    pub(crate) world: Arc<World>,
    pub(crate) keys: RwLock<Keys>,
    pub(crate) state: Mutex<OpState>,
}

/// What the issuer remembers.
#[derive(Default)]
pub(crate) struct OpState {
    pub(crate) sso: SsoSessions,
    used_assertions: Expiring<()>,
    pushed: Expiring<AuthRequest>,
    logins: Expiring<AuthRequest>,
    codes: Expiring<Grant>,
    access_tokens: Expiring<Access>,
    /// What may be refreshed, by an id of its own.
    authorizations: Expiring<Grant>,
    /// Of which of them a refresh token is, and one that was exchanged.
    refresh_tokens: Expiring<String>,
    exchanged: Expiring<String>,
    logouts: Expiring<Params>,
}

/// A checked authorization request (dossier 2.1).
#[derive(Clone)]
struct AuthRequest {
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    nonce: Option<String>,
    scope: String,
    code_challenge: Option<String>,
    acr_values: Vec<String>,
    prompt: Option<String>,
    max_age: Option<u64>,
    locale: &'static str,
    login_hint: Option<String>,
    details: Option<Value>,
    onbehalfof: Option<String>,
    organisation: Option<String>,
    resource: Option<String>,
}

/// What a code stands for.
#[derive(Clone)]
struct Grant {
    request: AuthRequest,
    authentication: Authentication,
    sid: String,
}

impl Grant {
    /// Whether its tokens are for logging in and nothing else: those end with the session (dossier 2.8).
    fn is_of_login_alone(&self) -> bool {
        self.request.scope.split(' ').all(|scope| ["openid", "profile"].contains(&scope))
    }
}

/// What an access token stands for.
struct Access {
    client_id: String,
    sid: String,
    is_of_login_alone: bool,
    authorization: Option<String>,
    userinfo: Value,
}

impl Op {
    /// A provider with fresh keys and no sessions.
    pub(crate) fn new(profile: Profile, world: Arc<World>) -> Self {
        let issuer = format!("{}/{}", world.origin, profile.name);
        Self { profile, issuer, world, keys: RwLock::new(Keys::generate()), state: Mutex::default() }
    }

    /// Its endpoints, below its path.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let endpoints = Router::new()
            .route("/.well-known/openid-configuration", get(metadata::discovery))
            .route("/jwks.json", get(metadata::jwks))
            .route("/par", post(par::push))
            .route("/authorize", get(authorize::authorize))
            .route("/login", post(authorize::choose))
            .route("/token", post(redeem::token))
            .route("/userinfo", get(redeem::userinfo).post(redeem::userinfo))
            .route("/token/introspect", post(redeem::introspect))
            .route("/token/revoke", post(refresh::revoke))
            .route("/logout", get(logout::get).post(logout::post))
            .route("/elsewhere", any(metadata::elsewhere))
            .with_state(Arc::clone(self));
        Router::new().nest(&format!("/{}", self.profile.name), endpoints)
    }

    /// The registered client.
    fn client(&self, client_id: &str) -> Option<Client> {
        let clients = self.world.clients.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        clients.find(self.profile.name, client_id).cloned()
    }

    /// The client that sent this form, proven by its registered method.
    fn authenticate(&self, headers: &HeaderMap, form: &Params) -> Result<Client, OAuthError> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = Credentials { form, authorization };
        let unknown = || OAuthError::invalid_client("unknown client");
        let client = self.client(&credentials.client_id().ok_or_else(unknown)?).ok_or_else(unknown)?;
        let mut state = locked(&self.state);
        credentials
            .prove(&client, &self.issuer, &mut state.used_assertions, real_now())
            .map_err(OAuthError::invalid_client)?;
        Ok(client)
    }

    /// The SSO cookie's name and the value the browser sent.
    fn cookie_name(&self) -> String {
        format!("{}_sso", self.profile.name)
    }

    fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.cookie_name();
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(candidate, _)| *candidate == name).map(|(_, value)| value.to_owned())
    }

    /// `Set-Cookie` with this value; empty deletes.
    fn set_cookie(&self, value: &str) -> String {
        let life = if value.is_empty() { "; Max-Age=0" } else { "" };
        format!("{}={value}; Path=/{}; HttpOnly; SameSite=Lax{life}", self.cookie_name(), self.profile.name)
    }
}

/// A form body; anything else is an error of the client's.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, OAuthError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid_request("the body is not a form"));
    }
    Params::parse(body)
        .map_err(|name| OAuthError::invalid_request(format!("the parameter {name} is repeated")))
}

/// An error in OAuth's form (RFC 6749, 5.2).
#[derive(Debug)]
struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl OAuthError {
    fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: description.into() }
    }

    fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    fn invalid_grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }

    fn invalid_client(description: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = axum::Json(json!({"error": self.code, "error_description": self.description}));
        let mut response = (self.status, NO_STORE, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Basic realm=\"simulator\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

const NO_STORE: [(header::HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
