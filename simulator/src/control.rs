//! `/control`: what makes the simulator lie, wait, rotate its keys, forget. Only for callers on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Simulator;
use crate::client::Client;
use crate::issuer::{Op, OpState, logout};
use crate::jws::{Keys, Rotation};
use crate::lie::Lie;
use crate::world::{EidasClaimNames, Endpoint, Settings, locked};

/// Orders, carried out in this sequence; what is absent stays as it is.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Orders {
    /// Forgets lies, delays, settings, offsets, counters, sessions, codes; keeps clients and keys.
    reset: bool,
    /// Registers or replaces one client.
    client: Option<Client>,
    /// Registers or replaces several.
    clients: Vec<Client>,
    /// Adds a lie.
    lie: Option<Order>,
    /// Replaces all lies.
    lies: Option<Vec<Order>>,
    /// Milliseconds by endpoint; 0 ends the delay.
    delay_milliseconds: BTreeMap<Endpoint, u64>,
    /// How long the slow lies wait.
    slow_milliseconds: Option<u64>,
    rotate_keys: Option<Rotation>,
    clock_offset_seconds: Option<i64>,
    sso_offset_seconds: Option<i64>,
    /// `typ` in the ID token's header; empty for none.
    id_token_typ: Option<String>,
    eidas_claim_names: Option<EidasClaimNames>,
    /// Claims of every ID token from now on, in the place of the true ones; null takes one away, `{}` ends it.
    id_token_claims: Option<Map<String, Value>>,
    /// The same for machines' tokens, and for their header.
    access_token_claims: Option<Map<String, Value>>,
    access_token_header: Option<Map<String, Value>>,
    /// How long people's tokens live from now on, and by how much they are too long.
    access_token_seconds: Option<u64>,
    refresh_token_seconds: Option<u64>,
    access_token_padding: Option<usize>,
    refresh_token_padding: Option<usize>,
    /// Whether a refresh token is exchanged at each use; it is unless this says otherwise.
    refresh_rotation: Option<bool>,
    /// Whether the second use of one ends all that came of the login; it does unless this says otherwise.
    refresh_reuse_ends: Option<bool>,
    /// Logs a person out as if at another service.
    end_session: Option<EndSession>,
}

/// A lie and how often to tell it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: Lie,
    #[serde(default = "once")]
    times: u64,
}

fn once() -> u64 {
    1
}

/// Whom to log out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndSession {
    person: String,
}

/// `POST /control`
pub(crate) async fn order(
    State(simulator): State<Arc<Simulator>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(orders): Json<Orders>,
) -> Response {
    if !peer.ip().is_loopback() {
        return StatusCode::FORBIDDEN.into_response();
    }
    Json(carry_out(&simulator, orders).await).into_response()
}

async fn carry_out(simulator: &Simulator, orders: Orders) -> Value {
    let world = &simulator.world;
    if orders.reset {
        reset(simulator);
    }
    {
        let mut clients = world.clients.write().unwrap_or_else(PoisonError::into_inner);
        orders.client.into_iter().chain(orders.clients).for_each(|client| clients.register(client));
    }
    {
        let mut lies = locked(&world.lies);
        if orders.lies.is_some() {
            lies.clear();
        }
        let added = orders.lies.into_iter().flatten().chain(orders.lie);
        added.for_each(|order| lies.order(order.name, order.times));
    }
    {
        let mut settings = locked(&world.settings);
        settings.delays.extend(orders.delay_milliseconds);
        settings.delays.retain(|_, milliseconds| *milliseconds > 0);
        settings.slow_milliseconds = orders.slow_milliseconds.unwrap_or(settings.slow_milliseconds);
        settings.eidas_claim_names = orders.eidas_claim_names.unwrap_or(settings.eidas_claim_names);
        orders.access_token_seconds.into_iter().for_each(|given| settings.access_token_seconds = given);
        orders.refresh_token_seconds.into_iter().for_each(|given| settings.refresh_token_seconds = given);
        orders.access_token_padding.into_iter().for_each(|given| settings.access_token_padding = given);
        orders.refresh_token_padding.into_iter().for_each(|given| settings.refresh_token_padding = given);
        orders.refresh_rotation.into_iter().for_each(|given| settings.refresh_rotation = given);
        orders.refresh_reuse_ends.into_iter().for_each(|given| settings.refresh_reuse_ends = given);
        if let Some(claims) = orders.access_token_claims {
            settings.access_token_claims = claims;
        }
        if let Some(header) = orders.access_token_header {
            settings.access_token_header = header;
        }
        if let Some(claims) = orders.id_token_claims {
            settings.id_token_claims = claims;
        }
        if let Some(typ) = orders.id_token_typ {
            settings.id_token_typ = Some(typ).filter(|typ| !typ.is_empty());
        }
    }
    if let Some(rotation) = orders.rotate_keys {
        for op in &simulator.issuers {
            let fresh = Keys::generate();
            op.keys.write().unwrap_or_else(PoisonError::into_inner).rotate(rotation, fresh);
        }
        let machines = simulator.machines.keys().write();
        machines.unwrap_or_else(PoisonError::into_inner).rotate(rotation, Keys::generate());
    }
    orders.clock_offset_seconds.into_iter().for_each(|seconds| world.clock.set_offset(seconds));
    orders.sso_offset_seconds.into_iter().for_each(|seconds| world.clock.set_sso_offset(seconds));
    let Some(EndSession { person }) = orders.end_session else { return json!({}) };
    let (mut sessions, mut called) = (0, Vec::new());
    for op in &simulator.issuers {
        let ended = logout::end_person(op, &person).await;
        sessions += ended.sessions;
        called.extend(ended.called);
    }
    json!({"end_session": {"sessions": sessions, "called": called}})
}

fn reset(simulator: &Simulator) {
    let world = &simulator.world;
    locked(&world.lies).clear();
    *locked(&world.settings) = Settings::default();
    world.clock.set_offset(0);
    world.clock.set_sso_offset(0);
    locked(&world.calls).clear();
    locked(&world.logout_calls).clear();
    simulator.issuers.iter().for_each(|op| *locked(&op.state) = OpState::default());
}

/// `GET /control`
pub(crate) async fn show(
    State(simulator): State<Arc<Simulator>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Response {
    if !peer.ip().is_loopback() {
        return StatusCode::FORBIDDEN.into_response();
    }
    Json(state(&simulator)).into_response()
}

fn state(simulator: &Simulator) -> Value {
    let world = &simulator.world;
    let clients = world.clients.read().unwrap_or_else(PoisonError::into_inner);
    let clients: Vec<_> = clients.all().map(|client| &client.client_id).collect();
    let lies: Vec<_> = locked(&world.lies).pending().map(|(name, times)| Order { name, times }).collect();
    let known: Vec<_> =
        Lie::ALL.iter().map(|(name, meaning)| json!({"name": name, "meaning": meaning})).collect();
    let issuers: BTreeMap<_, _> =
        simulator.issuers.iter().map(|op| (op.profile.name, issuer_state(op))).collect();
    let settings = locked(&world.settings);
    let (clock_offset, sso_offset) = world.clock.offsets();
    json!({
        "calls": *locked(&world.calls),
        "lies": lies,
        "known_lies": known,
        "clients": clients,
        "issuers": issuers,
        "logout_calls": *locked(&world.logout_calls),
        "delay_milliseconds": settings.delays,
        "slow_milliseconds": settings.slow_milliseconds,
        "id_token_typ": settings.id_token_typ,
        "eidas_claim_names": settings.eidas_claim_names,
        "id_token_claims": settings.id_token_claims,
        "access_token_claims": settings.access_token_claims,
        "access_token_header": settings.access_token_header,
        "access_token_seconds": settings.access_token_seconds,
        "refresh_token_seconds": settings.refresh_token_seconds,
        "access_token_padding": settings.access_token_padding,
        "refresh_token_padding": settings.refresh_token_padding,
        "refresh_rotation": settings.refresh_rotation,
        "refresh_reuse_ends": settings.refresh_reuse_ends,
        "clock_offset_seconds": clock_offset,
        "sso_offset_seconds": sso_offset,
    })
}

fn issuer_state(op: &Op) -> Value {
    let keys = op.keys.read().unwrap_or_else(PoisonError::into_inner);
    let kids: Vec<_> = keys.published().into_iter().map(|key| key["kid"].clone()).collect();
    let state = locked(&op.state);
    let sessions = state.sso.living(op.world.clock.sso_now()).map(|session| {
        let authentication = &session.authentication;
        json!({
            "person": authentication.person.id,
            "acr": authentication.acr,
            "auth_time": authentication.auth_time,
            "sids": session.sids,
        })
    });
    // Enough for any test; a load run makes a hundred thousand.
    let sessions: Vec<_> = sessions.take(MOST_SHOWN).collect();
    let keys = json!({"active": keys.active().kid, "published": kids});
    let refreshable = state.refreshable(op.world.clock.now());
    json!({"issuer": op.issuer, "keys": keys, "sessions": sessions, "refreshable": refreshable})
}

const MOST_SHOWN: usize = 100;
