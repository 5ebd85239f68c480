//! Portvakt: a reverse-proxy authentication gateway for ID-porten.
//!
//! What is decided, and how, is in `portvakt-core`; here it is carried out. In reading order:
//!
//! | module | what it does |
//! |---|---|
//! | [`gateway`] | THE FLOW: one request from top to bottom; the proxy's hooks |
//! | [`guard`] | the bytes of a connection, judged before the proxy sees them |
//! | [`endpoint`] | our own endpoints: login, callback, logout, session |
//! | [`answer`], [`respond`], [`page`] | what we say ourselves: data, cause to status, pages |
//! | [`provider`] | talking to an identity provider |
//! | `machine` | a machine's token: read, verified, refused |
//! | `tokens` | people's access tokens: exchanged, forwarded, ended |
//! | `limit` | how much one client, and all together, may ask |
//! | `share` | what one client may use of what everybody needs |
//! | [`upstream`] | where requests go |
//! | [`snapshot`] | one generation of the configuration, and what outlives it |
//! | `underway` | what ends with its session although nobody sends anything |
//! | [`upkeep`], `watch` | what is done in the background; what changed on disk |
//! | [`telemetry`], [`health`], [`admin`] | logs, metrics, and what operators are shown |
//! | `handover`, `system` | one process takes over from another; what the service manager is told |
//! | [`command`] | the commands |
//!
//! **Invariant:** only `gateway`, `guard`, `respond`, `upstream`, `upkeep`, `admin` and `command` know the
//! proxy; nothing but `gateway` forwards a request, and it needs a permit. Of what comes with the proxy,
//! `endpoint` knows the header of a request and `provider` the TLS library.

pub mod admin;
pub mod answer;
mod cause;
pub mod command;
mod endpoint;
mod fixed;
pub mod gateway;
pub mod guard;
mod handover;
mod health;
mod limit;
mod machine;
pub mod page;
pub mod provider;
mod replication;
mod respond;
mod share;
pub mod snapshot;
mod system;
pub mod telemetry;
mod tokens;
mod underway;
mod upkeep;
pub mod upstream;
mod watch;
