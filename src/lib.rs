//! Portvakt.
pub mod guard;
pub mod page;
pub mod provider;
