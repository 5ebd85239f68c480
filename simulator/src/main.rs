//! ID-porten and its sisters on loopback: they behave as the real ones do, and lie on command.
//!
//! **Invariant:** nothing here protects anybody. Everybody is invented, every key is made at start, nothing is written
//! to files, and the gateway never links this program.
//!
//! Reading order: [`issuer`] (the provider, endpoint by endpoint), [`client`], [`person`], [`sso`], [`token`],
//! [`lie`], [`control`].

mod certificate;
mod client;
mod clock;
mod control;
mod expiring;
mod issuer;
mod jws;
mod lie;
mod page;
mod params;
mod person;
mod random;
mod sso;
mod token;
mod world;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::issuer::maskinporten::Maskinporten;
use crate::issuer::{Op, Profile, ansattporten, idporten, signicat, utland};
use crate::person::Person;
use crate::world::World;

/// Simulates ID-porten for tests and the demo.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// The origin in all URLs, if it is not `http://` and the address of `--listen`.
    #[arg(long)]
    origin: Option<String>,
    /// A JSON array of clients to register.
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
    /// The gateway's public origin: registers the client `portvakt-demo` at each issuer; its key is in --client-jwks.
    #[arg(long, value_name = "URL", requires = "client_jwks")]
    gateway: Option<String>,
    /// The public key set (JWKS) of the client `portvakt-demo`; several are taken together.
    #[arg(long, value_name = "FILE", requires = "gateway")]
    client_jwks: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Without a provider of cryptography reqwest cannot be built. Err means there is one already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let origin = arguments.origin.clone().unwrap_or_else(|| format!("http://{address}"));
    let world = Arc::new(World::new(origin.trim_end_matches('/').to_owned())?);
    let profiles = [idporten::profile(), ansattporten::profile(), utland::profile(), signicat::profile()];
    register(&world, &arguments, &profiles)?;
    let issuers = profiles.map(|profile| Arc::new(Op::new(profile, Arc::clone(&world)))).into();
    let machines = Arc::new(Maskinporten::new(Arc::clone(&world)));
    let simulator = Arc::new(Simulator { world, issuers, machines });
    let service = simulator.router().into_make_service_with_connect_info::<SocketAddr>();
    writeln!(std::io::stdout(), "simulator ready http://{address}")?;
    axum::serve(listener, service).await?;
    Ok(())
}

/// All issuers under the origin, and what they share.
struct Simulator {
    world: Arc<World>,
    issuers: Vec<Arc<Op>>,
    machines: Arc<Maskinporten>,
}

impl Simulator {
    fn router(self: &Arc<Self>) -> Router {
        let shared = Router::new()
            .route("/", get(start))
            .route("/persons.json", get(persons))
            .route("/control", get(control::show).post(control::order))
            .with_state(Arc::clone(self));
        let people = self.issuers.iter().fold(shared, |router, op| router.merge(op.router()));
        people.merge(self.machines.router())
    }
}

async fn start(State(simulator): State<Arc<Simulator>>) -> Html<String> {
    let people = simulator.issuers.iter().map(|op| op.issuer.as_str());
    let issuers: Vec<_> = people.chain([simulator.machines.issuer.as_str()]).collect();
    Html(page::start(&issuers))
}

async fn persons(State(simulator): State<Arc<Simulator>>) -> Json<Vec<Value>> {
    Json(simulator.world.persons.iter().map(Person::listed).collect())
}

/// Registers the clients named on the command line.
fn register(world: &World, arguments: &Arguments, issuers: &[Profile]) -> Result<(), Box<dyn Error>> {
    let mut clients = world.clients.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = &arguments.clients {
        let listed: Vec<Client> = read(file)?;
        listed.into_iter().for_each(|client| clients.register(client));
    }
    if let Some(gateway) = &arguments.gateway {
        let mut keys: Vec<Value> = Vec::new();
        for file in &arguments.client_jwks {
            let jwks: Value = read(file)?;
            keys.extend(jwks["keys"].as_array().into_iter().flatten().cloned());
        }
        let jwks = json!({ "keys": keys });
        for issuer in issuers {
            clients.register(demo_client(issuer.name, gateway.trim_end_matches('/'), &jwks)?);
        }
    }
    Ok(())
}

/// The demo's gateway, with both kinds of logout.
fn demo_client(issuer: &str, gateway: &str, jwks: &Value) -> Result<Client, serde_json::Error> {
    serde_json::from_value(json!({
        "issuer": issuer,
        "client_id": "portvakt-demo",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": jwks,
        // Which this one does not offer (dossier 1.4).
        "require_pushed_authorization_requests": issuer != utland::profile().name,
        "redirect_uris": [format!("{gateway}/oauth2/callback")],
        "post_logout_redirect_uris": [format!("{gateway}/oauth2/logout/callback")],
        "frontchannel_logout_uri": format!("{gateway}/oauth2/logout/frontchannel"),
        "backchannel_logout_uri": format!("{gateway}/oauth2/logout/backchannel"),
    }))
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, Box<dyn Error>> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read(file).map_err(|error| unreadable(&error))?;
    Ok(serde_json::from_slice(&text).map_err(|error| unreadable(&error))?)
}
