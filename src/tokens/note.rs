//! One exchange at a time among replicas that share a store (`revocation.stream`): who comes first takes the place of a
//! note, whose name is a keyed hash of session, refresh token and number of the exchange, and leaves there what the exchange brought, sealed.
//!
//! **Invariant:** the store learns nothing and decides nothing: it cannot open a note, and one that it keeps back, makes up
//! or brings for another session is none. Then an exchange is made as without a store.

use std::sync::Arc;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::Clock;
use portvakt_core::config::Stream;
use portvakt_core::key::{MacKey, Ring};
use portvakt_core::seal::SealKey;
use portvakt_core::session::tokens::Tokens;
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep};

use super::exchange::KEPT;
use crate::replication::Notes;

/// How long a place is taken at the most: a little longer than the provider may take. Who took it may be gone.
const TAKEN: Duration = Duration::from_secs(12);

/// How long another replica is waited for. By then its place is free, and so is that of whoever took it next: a store that
/// still says that it is taken is not believed.
const PATIENCE: Duration = Duration::from_secs(25);

/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);

/// The way to other replicas.
pub(super) struct Others {
    pub(super) notes: Arc<Notes>,
    pub(super) store: Stream,
    pub(super) ring: Ring<SealKey>,
    /// The key of the session's tags: the same at all replicas.
    pub(super) key: MacKey,
}

/// Whose turn it is.
pub(super) enum Turn {
    /// Ours, as far as anybody knows.
    Ours,
    /// Another replica has done it.
    Done(Tokens),
}

impl Others {
    /// Whose turn it is to exchange these, once that is known.
    pub(super) async fn turn(&self, from: &Tokens, clock: &Clock) -> Turn {
        let (name, deadline) = (self.name(from), Instant::now() + PATIENCE);
        loop {
            match self.notes.claim(&self.store, &name, TAKEN).await {
                Some(true) | None => return Turn::Ours,
                Some(false) => {}
            }
            loop {
                match self.notes.read(&self.store, &name).await {
                    None => return Turn::Ours,
                    // Who took it has given up, or is gone.
                    Some(None) => break,
                    Some(Some(note)) if note.is_empty() => {}
                    Some(Some(note)) => {
                        let newer = from.read_note(&note, &name, &self.ring, clock.now());
                        return newer.map_or(Turn::Ours, Turn::Done);
                    }
                }
                if Instant::now() >= deadline {
                    return Turn::Ours;
                }
                sleep(LOOK).await;
            }
        }
    }

    /// Tells what came of ours.
    pub(super) async fn tell(&self, from: &Tokens, newer: &Tokens, clock: &Clock) {
        let name = self.name(from);
        let note = newer.note(&name, &self.ring, clock.now());
        let _ = self.notes.leave(&self.store, &name, note.as_bytes(), KEPT).await;
    }

    /// Nothing came of ours: another may try.
    pub(super) async fn give_up(&self, from: &Tokens) {
        let _ = self.notes.leave(&self.store, &self.name(from), b"", Duration::from_millis(1)).await;
    }

    fn name(&self, from: &Tokens) -> String {
        let refresh = from.refresh().map(|refresh| refresh.expose_secret().as_bytes()).unwrap_or_default();
        // A refresh token that is not exchanged for another one is used again.
        let number = from.exchange().to_be_bytes();
        let hash: [u8; 16] = self.key.tag("exchange", &[from.session().bytes(), refresh, &number]);
        URL_SAFE_NO_PAD.encode_to_string(hash)
    }
}
