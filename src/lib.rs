//! Portvakt.
pub mod guard;
