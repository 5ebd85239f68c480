//! Ends of sessions that several replicas share through a stream (`design.md` D1): what is said there, and what follows
//! from it. No input or output: a driver carries bytes to and from the store.
//!
//! The store holds two sequences. *Ends*: the records of [`record`](super::record), each with its writer and its place
//! among that writer's records. *Beats*: signs of life, in which each replica says how far it has written and what it
//! has of everybody else. Whoever finds in a beat what it has not read, knows that it lacks something, asks for it, and
//! whoever has it writes the same record again. A record says the same however often, whenever and by whomever it is
//! written.
//!
//! **Invariant:** the store decides nothing. What it leaves out is noticed by the numbers, what it alters by the MAC, what
//! it repeats says nothing new; and what it hides costs a login, never an end.
//!
//! **Invariant:** a replica that is not sure says so ([`Replica::is_sure`]) until it is, or until it has moved
//! `known_since` to where it is sure.

mod beat;
mod ledger;
#[cfg(test)]
pub(super) mod model;
mod replica;

pub(in crate::revocation) use self::beat::Beat;
pub(in crate::revocation) use self::replica::{Due, Moved, Replica, Start};

/// A writer's id, new with each start.
pub(in crate::revocation) type Writer = [u8; 8];
