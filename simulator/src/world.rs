//! What all issuers under the origin share: clock, clients, people, lies, counters.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::Clients;
use crate::clock::Clock;
use crate::lie::{Lie, Lies};
use crate::person::{Person, everybody};

/// The simulator's shared state.
pub(crate) struct World {
    /// `http://host:port`, without a slash at the end.
    pub(crate) origin: String,
    pub(crate) clock: Clock,
    pub(crate) persons: Vec<Person>,
    pub(crate) clients: RwLock<Clients>,
    pub(crate) lies: Mutex<Lies>,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) calls: Mutex<BTreeMap<Endpoint, u64>>,
    /// The latest logout calls to clients, newest last.
    pub(crate) logout_calls: Mutex<VecDeque<Value>>,
    /// Calls clients' logout endpoints: no cookies, no redirects, one try.
    pub(crate) http: reqwest::Client,
}

/// What `/control` sets until `reset`.
pub(crate) struct Settings {
    pub(crate) delays: BTreeMap<Endpoint, u64>,
    pub(crate) slow_milliseconds: u64,
    pub(crate) id_token_typ: Option<String>,
    pub(crate) eidas_claim_names: EidasClaimNames,
    /// Put into every ID token, in the place of what is there; null takes a claim away.
    pub(crate) id_token_claims: Map<String, Value>,
    /// The same for the claims and the header of machines' tokens.
    pub(crate) access_token_claims: Map<String, Value>,
    pub(crate) access_token_header: Map<String, Value>,
    /// How long people's tokens live, in seconds.
    pub(crate) access_token_seconds: u64,
    pub(crate) refresh_token_seconds: u64,
    /// By how many characters they are longer than they need to be.
    pub(crate) access_token_padding: usize,
    pub(crate) refresh_token_padding: usize,
    /// Whether a refresh token is exchanged at each use.
    pub(crate) refresh_rotation: bool,
    /// Whether the second use of one ends all that came of the login; if not, it is refused and that is all.
    pub(crate) refresh_reuse_ends: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delays: BTreeMap::new(),
            slow_milliseconds: 30_000,
            id_token_typ: None,
            eidas_claim_names: EidasClaimNames::New,
            id_token_claims: Map::new(),
            access_token_claims: Map::new(),
            access_token_header: Map::new(),
            access_token_seconds: 120,
            refresh_token_seconds: 600,
            access_token_padding: 0,
            refresh_token_padding: 0,
            refresh_rotation: true,
            refresh_reuse_ends: true,
        }
    }
}

/// Which spelling European tokens use (dossier 1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EidasClaimNames {
    /// Since April 2026.
    New,
    /// October 2024 to April 2026.
    Old,
}

/// Where requests arrive; counted and delayed by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Endpoint {
    Discovery,
    Jwks,
    Par,
    Authorize,
    Login,
    Token,
    /// The token endpoint, asked for other tokens.
    Refresh,
    Userinfo,
    Introspect,
    Revoke,
    Logout,
    Elsewhere,
}

/// One way an endpoint can fail.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Slow,
    Huge,
    NotJson,
    Redirect,
    /// Status and OAuth error code.
    Error(StatusCode, &'static str),
}

impl World {
    /// Nobody registered, everything honest.
    pub(crate) fn new(origin: String) -> Result<Self, reqwest::Error> {
        // The clients stand on loopback, at most with a self-made certificate: there is nothing to verify against.
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            origin,
            clock: Clock::default(),
            persons: everybody(),
            clients: RwLock::default(),
            lies: Mutex::default(),
            settings: Mutex::default(),
            calls: Mutex::default(),
            logout_calls: Mutex::default(),
            http,
        })
    }

    /// Counts the call and waits as ordered.
    pub(crate) async fn arrive(&self, endpoint: Endpoint) {
        *locked(&self.calls).entry(endpoint).or_default() += 1;
        let delay = locked(&self.settings).delays.get(&endpoint).copied();
        if let Some(milliseconds) = delay {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    /// Whether to tell this lie now.
    pub(crate) fn lies(&self, lie: Lie) -> bool {
        locked(&self.lies).tell(lie)
    }

    /// The response of an endpoint that was ordered to fail. A slow one goes on after its wait.
    pub(crate) async fn trouble(&self, ways: &[(Lie, Trouble)], success: StatusCode) -> Option<Response> {
        for (lie, trouble) in ways {
            if self.lies(*lie) {
                match trouble {
                    Trouble::Slow => {
                        let milliseconds = locked(&self.settings).slow_milliseconds;
                        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                    }
                    other => return Some(other.response(success)),
                }
            }
        }
        None
    }

    /// Remembers a logout call for `GET /control`.
    pub(crate) fn remember_logout_call(&self, call: Value) {
        let mut calls = locked(&self.logout_calls);
        if calls.len() == MOST_LOGOUT_CALLS {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    /// The person of this id.
    pub(crate) fn person(&self, id: &str) -> Option<&Person> {
        self.persons.iter().find(|person| person.id == id)
    }
}

impl Trouble {
    fn response(self, success: StatusCode) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        match self {
            Trouble::Huge | Trouble::Slow => {
                let mut body = Vec::with_capacity(HUGE + 32);
                body.extend_from_slice(b"{\"padding\":\"");
                body.resize(HUGE, b'a');
                body.extend_from_slice(b"\"}");
                (success, json, Body::from(body)).into_response()
            }
            Trouble::NotJson => (success, axum::response::Html("<p>Hello")).into_response(),
            Trouble::Redirect => {
                (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "elsewhere")]).into_response()
            }
            Trouble::Error(status, code) => {
                (status, json, format!("{{\"error\":\"{code}\"}}")).into_response()
            }
        }
    }
}

/// The lock, also after a panic elsewhere: one failed request must not end the simulator.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const HUGE: usize = 32 * 1024 * 1024;
const MOST_LOGOUT_CALLS: usize = 1000;
