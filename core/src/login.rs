//! An attempt to log in, from its start to the provider's answer (OpenID Connect Core 1.0, 3.1; RFC 9700).
//!
//! **Invariant:** an answer counts only for the browser that started the attempt, at the provider where it
//! was started, within [`attempt::LIFE`] (`threats.md` OP-1). [`answer::CheckedAnswer`] is the proof, and
//! only it gives a code to redeem.

pub mod answer;
pub mod attempt;
pub mod form;
pub mod relay;
pub mod usual;
pub mod wish;
