//! Portvakt.
