//! Portvakt.
pub mod guard;
pub mod provider;
