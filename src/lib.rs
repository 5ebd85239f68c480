//! Portvakt.
pub mod admin;
pub mod guard;
pub mod page;
pub mod provider;
pub mod telemetry;
