//! Assertions that are kept: made once for each session and audience, and used while they last.
//!
//! **Invariant:** what is kept is found only by everything that decides about its content: the session, the
//! plan (issuer, audience, facts), the key, and the generation of the configuration.
//!
//! **Invariant:** all that is kept together weighs no more than its capacity.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::{AssertionPlan, LIFE, PlanId};
use crate::clock::Timestamp;
use crate::identity::VerifiedMachine;
use crate::key::{KeyId, Keys, RingKey};
use crate::seal;
use crate::session::{Session, SessionId};
use crate::token::{SigningError, SigningKey};

/// What must be left of an assertion's life when it is sent.
pub(super) const LEAST_LEFT: Duration = Duration::from_secs(30);

/// What an entry takes besides the assertion's own bytes: key, value, the places in the cache's tables.
const ENTRY: usize = size_of::<Place>() + size_of::<Kept>() + 96;

/// An entry with the assertion of somebody with usual names, about.
const USUAL: usize = 1024;

/// Why there is no assertion. The request fails then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    /// There is no key, or the one to use has retired.
    #[error("no assertion key is accepted; run `portvakt keys rotate assertion`")]
    NoKey,
    /// The route tells a match key or a pseudonym, and there is no key for them.
    #[error("there is no key for match keys and pseudonyms; run `portvakt keys new match`")]
    NoLastingKey,
    /// The library refused.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// It does not fit into a header, which cannot be: it is base64url and dots.
    #[error("the assertion does not fit into a header")]
    Unwritable,
}

/// The assertions that are kept.
pub struct Assertions {
    kept: Cache<Place, Kept, Weight>,
}

/// By what an assertion is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    session: SessionId,
    plan: PlanId,
    key: KeyId,
    generation: u64,
}

#[derive(Clone)]
struct Kept {
    expires: Timestamp,
    header: HeaderValue,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Place, Kept> for Weight {
    fn weight(&self, _: &Place, kept: &Kept) -> u64 {
        (ENTRY + kept.header.len()) as u64
    }
}

impl std::fmt::Debug for Assertions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assertions").field("count", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Assertions {
    /// Keeps at most `capacity` bytes.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity / USUAL)
            .weight_capacity(capacity as u64)
            // What has gone expires before it could be wanted again: it is not remembered.
            .ghost_allocation(0.0)
            .build()
            .expect("both capacities are given");
        let kept =
            Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { kept }
    }

    /// The value of [`HEADER`](super::HEADER) for a session: a kept assertion of which half a minute is left,
    /// or a new one; always a new one where the plan says so.
    ///
    /// # Errors
    ///
    /// [`Unmade`]: nothing may be sent then (`threats.md` ID-7).
    pub fn header(
        &self,
        plan: &AssertionPlan,
        session: &Session,
        keys: &Keys,
        generation: u64,
        now: Timestamp,
    ) -> Result<HeaderValue, Unmade> {
        let active = key(keys, now)?;
        let place = Place { session: *session.id(), plan: plan.id, key: active.id, generation };
        if !plan.once
            && let Some(kept) = self.kept.get(&place)
            && now + LEAST_LEFT <= kept.expires
        {
            return Ok(kept.header);
        }
        if plan.headers.tells_what_lasts() && keys.lasting.is_none() {
            return Err(Unmade::NoLastingKey);
        }
        let RingKey { id, key, .. } = active;
        let header = as_header(super::sign(plan, session, (*id, key), keys.hashing(), now, seal::random())?)?;
        if plan.once {
            return Ok(header);
        }
        // `exp` is in whole seconds.
        let expires = Timestamp::from_seconds((now + LIFE).seconds());
        self.kept.insert(place, Kept { expires, header: header.clone() });
        Ok(header)
    }

    /// The same for a machine: made for each request, since its token is its session.
    ///
    /// # Errors
    ///
    /// [`Unmade`]: nothing may be sent then (`threats.md` ID-7).
    pub fn of_machine(
        plan: &AssertionPlan,
        machine: &VerifiedMachine,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<HeaderValue, Unmade> {
        let RingKey { id, key, .. } = key(keys, now)?;
        let claims = super::claims_of_machine(plan, machine, &keys.pseudonym, now, seal::random());
        as_header(super::signed(&claims, (*id, key))?)
    }

    /// Begins a new generation: keeps nothing of the one before, and at most `capacity` bytes.
    pub fn renew(&self, capacity: usize) {
        self.kept.clear();
        self.kept.set_capacity(capacity as u64);
    }

    /// Drops what is not used any more.
    pub fn forget(&self, now: Timestamp) {
        self.kept.retain(|_, kept| now + LEAST_LEFT <= kept.expires);
    }

    /// How many are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// The bytes that they take.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.kept.weight()
    }
}

fn key(keys: &Keys, now: Timestamp) -> Result<&RingKey<Arc<SigningKey>>, Unmade> {
    let active = keys.assertion.as_ref().ok_or(Unmade::NoKey)?.active(now);
    if active.is_retired(now) { Err(Unmade::NoKey) } else { Ok(active) }
}

fn as_header(assertion: String) -> Result<HeaderValue, Unmade> {
    let mut header = HeaderValue::try_from(assertion).map_err(|_| Unmade::Unwritable)?;
    header.set_sensitive(true);
    Ok(header)
}
