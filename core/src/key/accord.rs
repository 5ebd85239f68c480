//! Whether two processes mean the same by their keys (`design.md` D15): asked before one takes over from the other.
//!
//! **Invariant:** two that agree accept whatever the other one makes, now and until either meets a new key file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::council::Named;
use super::{KeyId, Keys, MATCH, MacKey, Ring, RingKey, Secret};
use crate::clock::Timestamp;

/// What a process shows of a key: enough to compare, and nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What the key is for.
    pub purpose: String,
    /// Its id.
    pub id: String,
    /// A keyed hash or a thumbprint.
    pub print: String,
    /// Whether it is the one in use.
    pub active: bool,
}

/// Does something to each ring, whatever its keys are.
trait Rings {
    fn meet<K>(&mut self, purpose: &str, ring: &Ring<K>, print: &dyn Fn(&K) -> String);
}

impl Keys {
    fn show(&self, to: &mut impl Rings) {
        let mac = |key: &MacKey| hex(&key.tag::<16>("portvakt fingerprint", &[]));
        to.meet(Secret::Cookie.as_str(), &self.cookie, &|key| hex(key.fingerprint()));
        for (purpose, ring) in [
            (Secret::Revocation, &self.revocation),
            (Secret::Pseudonym, &self.pseudonym),
            (Secret::Audit, &self.audit),
        ] {
            to.meet(purpose.as_str(), ring, &mac);
        }
        if let Some(ring) = &self.lasting {
            to.meet(MATCH, ring, &mac);
        }
        for (upstream, ring) in &self.apps {
            to.meet(&format!("app {upstream}"), ring, &mac);
        }
        let signing = self.assertion.iter().map(|ring| ("assertion".to_owned(), ring));
        let requests =
            self.signature.iter().map(|(algorithm, ring)| (format!("signature {algorithm:?}"), ring));
        for (purpose, ring) in signing.chain(requests) {
            to.meet(&purpose, ring, &|key| key.thumbprint());
        }
    }

    /// Every key that is accepted, oldest first for each purpose.
    #[must_use]
    pub fn proofs(&self, now: Timestamp) -> Vec<Proof> {
        struct Shown(Vec<Proof>, Timestamp);
        impl Rings for Shown {
            fn meet<K>(&mut self, purpose: &str, ring: &Ring<K>, print: &dyn Fn(&K) -> String) {
                self.0.extend(of(purpose, ring, self.1, print));
            }
        }
        let mut shown = Shown(Vec::new(), now);
        self.show(&mut shown);
        shown.0
    }

    /// From now on these keys, and no others, are used only where there is no other.
    pub fn withhold(&self, these: &BTreeSet<Named>) {
        struct Withheld<'a>(&'a BTreeSet<Named>);
        impl Rings for Withheld<'_> {
            fn meet<K>(&mut self, purpose: &str, ring: &Ring<K>, _: &dyn Fn(&K) -> String) {
                let is_named = |id: KeyId| {
                    self.0.iter().any(|named| named.purpose == purpose && named.id == id.to_string())
                };
                ring.withhold(|key| is_named(key.id));
            }
        }
        self.show(&mut Withheld(these));
    }
}

/// The purpose of a key that one side uses and the other does not know. A purpose that only one side has is none.
#[must_use]
pub fn disagreement<'a>(one: &'a [Proof], other: &'a [Proof]) -> Option<&'a str> {
    lacking(one, other).or_else(|| lacking(other, one))
}

fn lacking<'a>(uses: &'a [Proof], knows: &[Proof]) -> Option<&'a str> {
    let is_known = |used: &Proof| {
        let mut alike = knows.iter().filter(|known| known.purpose == used.purpose).peekable();
        alike.peek().is_none() || alike.any(|known| known.id == used.id && known.print == used.print)
    };
    uses.iter().find(|proof| proof.active && !is_known(proof)).map(|proof| proof.purpose.as_str())
}

fn of<K>(purpose: &str, ring: &Ring<K>, now: Timestamp, print: impl Fn(&K) -> String) -> Vec<Proof> {
    let active = ring.active(now);
    let proof = |key: &RingKey<K>| Proof {
        purpose: purpose.to_owned(),
        id: key.id.to_string(),
        print: print(&key.key),
        active: std::ptr::eq(key, active),
    };
    ring.accepted(now).map(proof).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[(u8, u8, u64)]) -> Vec<Proof> {
        let key = |&(id, secret, from): &(u8, u8, u64)| RingKey {
            id: KeyId([id; 4]),
            active_from: Timestamp::from_seconds(from),
            retire_after: None,
            key: MacKey::new(&[secret; 32]),
        };
        let ring = Ring::new(keys.iter().map(key).collect()).unwrap();
        of("cookie", &ring, Timestamp::from_seconds(1000), |key| hex(&key.tag::<16>("x", &[])))
    }

    #[test]
    fn what_one_uses_the_other_must_know() {
        let old = ring(&[(1, 1, 0)]);
        for (other, agrees) in [
            (ring(&[(1, 1, 0)]), true),
            // A key that is not used yet may be unknown.
            (ring(&[(1, 1, 0), (2, 2, 2000)]), true),
            (ring(&[(1, 1, 0), (2, 2, 500)]), false),
            (ring(&[(2, 2, 0)]), false),
            // The same id, and another key.
            (ring(&[(1, 2, 0)]), false),
            (Vec::new(), true),
        ] {
            assert_eq!(disagreement(&old, &other).is_none(), agrees, "{other:?}");
            assert_eq!(disagreement(&other, &old).is_none(), agrees, "{other:?}");
        }
        assert_eq!(disagreement(&old, &ring(&[(2, 2, 0)])), Some("cookie"));
    }
}
