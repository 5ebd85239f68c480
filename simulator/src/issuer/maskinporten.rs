//! Maskinporten (dossier 1.6): tokens for machines by the JWT bearer grant (RFC 7523, 2.1). Nobody logs in here.
//!
//! **Invariant:** its issuer ends in a slash, as the real one's does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::metadata::{DISCOVERY_TROUBLES, key_set};
use super::redeem::TROUBLES;
use super::{NO_STORE, OAuthError, form};
use crate::client::{self, Client};
use crate::clock::real_now;
use crate::expiring::Expiring;
use crate::jws::Keys;
use crate::lie::Lie;
use crate::random;
use crate::token::sign_access_token;
use crate::world::{Endpoint, World, locked};

/// The path below the origin, and the `issuer` of its clients.
pub(crate) const NAME: &str = "maskinporten";

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Dossier 1.6.
const ALGORITHMS: [&str; 3] = ["RS256", "RS384", "RS512"];
const MAX_ASSERTION_LIFE: u64 = 120;
const SKEW: u64 = 10;
const LIFE: u64 = 119;
/// Where consumers of the test environment say who may act for them.
const DELEGATION_SOURCE: &str = "https://tt02.altinn.no/";

/// The authorization server.
pub(crate) struct Maskinporten {
    /// The `iss`, with its slash.
    pub(crate) issuer: String,
    world: Arc<World>,
    /// Made when they are first wanted: most worlds have no machines.
    keys: OnceLock<RwLock<Keys>>,
    used: Mutex<Expiring<()>>,
}

/// What a client asks for.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    scope: String,
    resource: Option<String>,
    consumer_org: Option<String>,
    pid: Option<String>,
}

impl Maskinporten {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let issuer = format!("{}/{NAME}/", world.origin);
        Self { issuer, world, keys: OnceLock::new(), used: Mutex::default() }
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> &RwLock<Keys> {
        self.keys.get_or_init(|| RwLock::new(Keys::generate()))
    }

    /// Its endpoints, below its path.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let endpoints = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/jwk", get(jwk))
            .route("/token", post(token))
            .route("/demo-token", get(demo_token))
            .with_state(Arc::clone(self));
        Router::new().nest(&format!("/{NAME}"), endpoints)
    }

    /// Whose assertion it is, and what it asks for.
    fn grant(&self, headers: &HeaderMap, body: &[u8]) -> Result<(Client, Wanted), OAuthError> {
        let form = form(headers, body)?;
        if form.get("grant_type") != Some(JWT_BEARER) {
            return Err(OAuthError::new("unsupported_grant_type", "grant_type must be jwt-bearer"));
        }
        let assertion =
            form.get("assertion").ok_or_else(|| OAuthError::invalid_request("assertion is missing"))?;
        let unverified =
            client::unverified(assertion).ok_or_else(|| invalid("the assertion is not a JWT"))?;
        let client_id = unverified.get("iss").and_then(Value::as_str).unwrap_or_default();
        let client = {
            let clients = self.world.clients.read().unwrap_or_else(PoisonError::into_inner);
            clients.find(NAME, client_id).cloned().ok_or_else(|| invalid("unknown client"))?
        };
        let (alg, claims) = client::verify(assertion, &client.jwks).map_err(invalid)?;
        if !ALGORITHMS.contains(&alg.as_str()) {
            return Err(invalid("alg is not RS256, RS384 or RS512"));
        }
        self.check(&claims, &client.client_id).map_err(invalid)?;
        let wanted = serde_json::from_value(claims.into())
            .map_err(|_| OAuthError::invalid_request("a claim is malformed"))?;
        Ok((client, wanted))
    }

    /// `aud` = the issuer as one string, `iat` within ten seconds of our clock, at most 120 s, a `jti` never seen.
    fn check(&self, claims: &Map<String, Value>, client_id: &str) -> Result<(), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        if text("aud") != Some(&self.issuer) {
            return Err("aud of the assertion must be the issuer, as one string");
        }
        let (iat, exp) =
            (time("iat").ok_or("the assertion lacks iat")?, time("exp").ok_or("the assertion lacks exp")?);
        let now = real_now();
        if exp <= iat || exp - iat > MAX_ASSERTION_LIFE {
            return Err("the assertion lives longer than 120 s");
        }
        if iat.abs_diff(now) > SKEW || exp <= now {
            return Err("the assertion was not made just now");
        }
        let jti = format!("{client_id} {}", text("jti").ok_or("the assertion lacks jti")?);
        let mut used = locked(&self.used);
        if used.get(&jti, now).is_some() {
            return Err("the assertion was used before");
        }
        used.insert(jti, (), exp, now);
        Ok(())
    }

    /// The token, if the client may have it.
    fn issue(&self, client: &Client, wanted: &Wanted) -> Result<Value, OAuthError> {
        let scopes: Vec<&str> = wanted.scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        let has = |scope: &&str| client.scopes.iter().any(|known| known == scope);
        if scopes.is_empty() || !scopes.iter().all(has) {
            return Err(OAuthError::new("invalid_scope", "the organisation was not given a scope"));
        }
        let organisation =
            |number: &str| json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{number}")});
        let now = self.world.clock.now();
        let mut claims = json!({
            "iss": self.issuer,
            "client_id": client.client_id,
            "client_amr": "private_key_jwt",
            "token_type": "Bearer",
            "aud": wanted.resource.as_deref().unwrap_or("unspecified"),
            "scope": scopes.join(" "),
            "consumer": organisation(&client.organisation),
            "iat": now,
            "exp": now + LIFE,
            "jti": random::token(),
        });
        if let Some(consumer) = &wanted.consumer_org {
            if !client.delegations.contains(consumer) {
                return Err(OAuthError::new("invalid_grant", "the consumer has delegated nothing"));
            }
            claims["consumer"] = organisation(consumer);
            claims["supplier"] = organisation(&client.organisation);
            claims["delegation_source"] = json!(DELEGATION_SOURCE);
        }
        if let Some(pid) = &wanted.pid {
            claims["pid"] = json!(pid);
        }
        let Value::Object(claims) = claims else { return Err(invalid("the claims are no object")) };
        let keys = self.keys().read().unwrap_or_else(PoisonError::into_inner);
        let token = sign_access_token(&self.world, &keys, claims);
        Ok(json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIFE,
            "scope": scopes.join(" "),
        }))
    }
}

fn invalid(description: &'static str) -> OAuthError {
    OAuthError::invalid_grant(description)
}

/// RFC 8414, 3.2: there is no authorization endpoint.
async fn metadata(State(server): State<Arc<Maskinporten>>) -> Response {
    server.world.arrive(Endpoint::Discovery).await;
    if let Some(trouble) = server.world.trouble(DISCOVERY_TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let at = |path: &str| format!("{}{path}", server.issuer);
    let other = if server.world.lies(Lie::DiscoveryWrongIssuer) { "other/" } else { "" };
    Json(json!({
        "issuer": format!("{}{other}", server.issuer),
        "token_endpoint": at("token"),
        "jwks_uri": at("jwk"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "grant_types_supported": [JWT_BEARER],
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
    }))
    .into_response()
}

async fn jwk(State(server): State<Arc<Maskinporten>>) -> Response {
    key_set(&server.world, server.keys()).await
}

async fn token(State(server): State<Arc<Maskinporten>>, headers: HeaderMap, body: Bytes) -> Response {
    server.world.arrive(Endpoint::Token).await;
    if let Some(trouble) = server.world.trouble(TROUBLES, StatusCode::OK).await {
        return trouble;
    }
    let issued = server.grant(&headers, &body).and_then(|(client, wanted)| server.issue(&client, &wanted));
    match issued {
        Ok(issued) => (NO_STORE, Json(issued)).into_response(),
        Err(error) => error.into_response(),
    }
}

/// A token without an assertion, for one line of a shell; the real one has nothing like it.
async fn demo_token(State(server): State<Arc<Maskinporten>>, Query(wanted): Query<Wanted>) -> Response {
    let scope = if wanted.scope.is_empty() { "portvakt:demo".to_owned() } else { wanted.scope.clone() };
    let client = Client::of_demo_machine(&scope, wanted.consumer_org.as_deref());
    match server.issue(&client, &Wanted { scope, ..wanted }) {
        Ok(issued) => {
            (NO_STORE, issued["access_token"].as_str().unwrap_or_default().to_owned()).into_response()
        }
        Err(error) => error.into_response(),
    }
}
