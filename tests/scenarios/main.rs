//! What people, apps and attackers meet, shown with the real programs: gateway, simulator, and an app that
//! writes down each byte. `harness/mod.rs` says how a scenario is written; each module holds one subject.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot go on fails")]

#[allow(dead_code, reason = "offers more than today's scenarios use")]
mod harness;
mod login;
