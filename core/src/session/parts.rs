//! A value in as many cookies as it needs, up to [`MOST`] (`design.md` D2).
//!
//! **Invariant:** parts that were not made together are no value, and a value is of one session plan alone: it goes to
//! the provider that made it and to no other, whatever the file says by then (`threats.md` CK-2, CK-5).

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::plan::{Realm, SessionPlan};
use crate::clock::Timestamp;
use crate::cookie;
use crate::key::Ring;
use crate::seal::{self, Place, SealKey};

/// The most cookies of one value.
pub(super) const MOST: usize = 3;

/// The most bytes in a part, so that the cookie with its attributes stays below 4 096.
const LONGEST: usize = 2_850;

/// Where the parts of a value are.
pub(super) struct Parts<'a> {
    /// What they are sealed for.
    pub(super) purpose: &'static str,
    /// The name of the cookie of each.
    pub(super) name: fn(&SessionPlan, usize) -> String,
    /// Whose they are.
    pub(super) plan: &'a SessionPlan,
}

#[derive(Serialize, Deserialize)]
struct Part<'a> {
    realm: Realm,
    set: [u8; 8],
    #[serde(borrow)]
    bytes: &'a [u8],
}

impl Parts<'_> {
    /// The values of the cookies; `None` if it does not fit.
    pub(super) fn seal(&self, plain: &[u8], ring: &Ring<SealKey>, now: Timestamp) -> Option<Vec<String>> {
        let chunks: Vec<&[u8]> = plain.chunks(LONGEST).collect();
        if chunks.len() > MOST {
            return None;
        }
        let set = seal::random();
        let sealed = |(at, bytes): (usize, &&[u8])| {
            let part = Part { realm: self.plan.realm(), set, bytes };
            let part = postcard::to_allocvec(&part).expect("a part is plain data");
            seal::seal(ring, &self.place(&(self.name)(self.plan, at), at, chunks.len()), &part, now)
        };
        Some(chunks.iter().enumerate().map(sealed).collect())
    }

    /// The value that a request carries, as it was sealed.
    pub(super) fn open(&self, headers: &HeaderMap, ring: &Ring<SealKey>, now: Timestamp) -> Option<Vec<u8>> {
        let values: Vec<(String, &[u8])> = (0..MOST)
            .map(|part| (self.name)(self.plan, part))
            .map_while(|name| cookie::find(headers, &name).map(|value| (name, value)))
            .collect();
        let mut plain = Vec::new();
        let mut first_set = None;
        for (at, (name, value)) in values.iter().enumerate() {
            let opened = seal::open(ring, &self.place(name, at, values.len()), value, now)?;
            let part: Part<'_> = postcard::from_bytes(&opened).ok()?;
            if *first_set.get_or_insert(part.set) != part.set || part.realm != self.plan.realm() {
                return None;
            }
            plain.extend_from_slice(part.bytes);
        }
        first_set.is_some().then_some(plain)
    }

    fn place<'n>(&'n self, name: &'n str, at: usize, of: usize) -> Place<'n> {
        let small = |number| u8::try_from(number).unwrap_or(u8::MAX);
        Place {
            purpose: self.purpose,
            cookie: name,
            scope: self.plan.scope(),
            chunk: small(at),
            chunks: small(of),
        }
    }
}
