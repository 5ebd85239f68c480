//! Which of our keys every other replica accepts, and which of theirs we lack (`design.md` D15). No input or output: a
//! driver carries what replicas say of their keys.
//!
//! A replica says every few seconds which keys it accepts and which it uses: ids and fingerprints, under a MAC of the
//! revocation key.
//!
//! **Invariant:** a key that another one does not accept is not used, as long as there is another that everybody does.
//! **Invariant:** who lacks a key that another one uses is not ready, and what it says of itself disturbs nobody who was
//! there before.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{KeyId, MacKey, Proof, Ring};
use crate::clock::Timestamp;

/// How often it is said what has not changed.
const EVERY: Duration = Duration::from_secs(5);

/// For how long a word counts: some of them may get lost, and clocks differ.
const LIFE: Duration = Duration::from_secs(30);

/// What one says takes some hundred bytes for each purpose.
const LONGEST: usize = 64 << 10;

/// How many others are heard.
const MOST: usize = 4096;

const VERSION: u8 = 1;
const MAC: usize = 16;
const HEAD: usize = 1 + KeyId::LENGTH;

/// A key by its purpose and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// What it is for.
    pub purpose: String,
    /// Its id.
    pub id: String,
}

impl Named {
    fn of(proof: &Proof) -> Self {
        Self { purpose: proof.purpose.clone(), id: proof.id.clone() }
    }
}

/// What follows from what others said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Our keys that somebody does not accept.
    pub withheld: BTreeSet<Named>,
    /// A key that somebody uses and we lack.
    pub lacking: Option<Named>,
}

/// Why a word does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// Another length, version or layout.
    #[error("not a word of version 1")]
    Malformed,
    /// A key that the ring does not have.
    #[error("the word was said with an unknown key")]
    UnknownKey,
    /// The MAC is wrong.
    #[error("the word was altered")]
    Altered,
}

/// What a replica says of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Notice {
    writer: [u8; 8],
    /// By its clock, in milliseconds.
    at: u64,
    /// Whether it uses them: it lacked none of the others' when it came, or changed them.
    settled: bool,
    keys: Vec<Proof>,
}

/// What a replica knows of the others' keys.
#[derive(Debug)]
pub struct Council {
    id: [u8; 8],
    others: HashMap<[u8; 8], (Notice, Timestamp)>,
    /// What was there when we came is read.
    read: bool,
    settled: bool,
    own: Vec<Proof>,
    said: Option<Timestamp>,
}

impl Council {
    /// Of a replica that has heard nobody yet.
    #[must_use]
    pub fn new(id: [u8; 8]) -> Self {
        Self { id, others: HashMap::new(), read: false, settled: false, own: Vec::new(), said: None }
    }

    /// What another one said.
    ///
    /// # Errors
    ///
    /// [`NoticeError`]: it does not count.
    pub fn take(&mut self, bytes: &[u8], ring: &Ring<MacKey>, now: Timestamp) -> Result<(), NoticeError> {
        let notice = Notice::decode(bytes, ring, now)?;
        let at = Timestamp::from_millis(notice.at);
        let is_old = now.since(at) > LIFE || at.since(now) > LIFE;
        let is_known = self.others.get(&notice.writer).is_some_and(|(before, _)| before.at >= notice.at);
        if notice.writer != self.id && !is_old && !is_known && self.others.len() < MOST {
            self.others.insert(notice.writer, (notice, now));
        }
        Ok(())
    }

    /// Everything that was there is taken: when we came, or when the store was not what it had been. Then it may lack what we
    /// said.
    pub fn all_read(&mut self) {
        (self.read, self.said) = (true, None);
    }

    /// What follows for these keys of ours, from now on.
    pub fn judge(&mut self, own: Vec<Proof>, now: Timestamp) -> Judgement {
        self.others.retain(|_, (_, heard)| now.since(*heard) <= LIFE && heard.since(now) <= LIFE);
        let same = |one: &[Proof], other: &[Proof]| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        };
        let changed = !same(&self.own, &own);
        if !same_use(&self.own, &own) {
            self.said = None;
        }
        self.own = own;
        let lacking = self.lacking();
        if !self.read {
            return Judgement { withheld: self.all_but_the_oldest(), lacking };
        }
        // Who changes something yields to those who were there before.
        if (changed || !self.settled) && self.settled != lacking.is_none() {
            self.settled = lacking.is_none();
            self.said = None;
        }
        Judgement { withheld: self.not_accepted(), lacking }
    }

    /// What is to be said now, if anything.
    pub fn due(&mut self, ring: &Ring<MacKey>, now: Timestamp) -> Option<Vec<u8>> {
        let is_due = self.said.is_none_or(|said| now.since(said) >= EVERY || said > now);
        if !self.read || !is_due {
            return None;
        }
        self.said = Some(now);
        let notice =
            Notice { writer: self.id, at: now.millis(), settled: self.settled, keys: self.own.clone() };
        let key = ring.active(now);
        Some(notice.encode(key.id, &key.key))
    }

    fn settled_others(&self) -> impl Iterator<Item = &Notice> {
        self.others.values().map(|(notice, _)| notice).filter(|notice| notice.settled)
    }

    fn lacking(&self) -> Option<Named> {
        let uses = self.settled_others().flat_map(|notice| &notice.keys).filter(|key| key.active);
        uses.filter(|used| lacks(&self.own, used)).map(Named::of).min()
    }

    fn not_accepted(&self) -> BTreeSet<Named> {
        let somebody_lacks = |key: &&Proof| self.settled_others().any(|notice| lacks(&notice.keys, key));
        self.own.iter().filter(somebody_lacks).map(Named::of).collect()
    }

    /// As long as nobody was heard, the oldest is the one that most accept.
    fn all_but_the_oldest(&self) -> BTreeSet<Named> {
        let mut purposes = BTreeSet::new();
        self.own.iter().filter(|key| !purposes.insert(&key.purpose)).map(Named::of).collect()
    }
}

fn is_same(one: &Proof, other: &Proof) -> bool {
    (&one.purpose, &one.id, &one.print) == (&other.purpose, &other.id, &other.print)
}

fn same_use(one: &[Proof], other: &[Proof]) -> bool {
    one == other
}

/// Whether these do not hold that one. Who has none of the purpose has no use for it.
fn lacks(these: &[Proof], that: &Proof) -> bool {
    let mut alike = these.iter().filter(|key| key.purpose == that.purpose).peekable();
    alike.peek().is_some() && !alike.any(|key| is_same(key, that))
}

impl Notice {
    fn encode(&self, id: KeyId, key: &MacKey) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&id.0);
        bytes.extend(postcard::to_allocvec(self).expect("it is plain data"));
        bytes.extend_from_slice(&mac(key, &bytes));
        bytes
    }

    fn decode(bytes: &[u8], ring: &Ring<MacKey>, now: Timestamp) -> Result<Self, NoticeError> {
        let bytes = Some(bytes).filter(|bytes| bytes.len() <= LONGEST).ok_or(NoticeError::Malformed)?;
        let (signed, claimed) = bytes.split_last_chunk::<MAC>().ok_or(NoticeError::Malformed)?;
        let (head, said) = signed.split_first_chunk::<HEAD>().ok_or(NoticeError::Malformed)?;
        let [version, id @ ..] = *head;
        if version != VERSION {
            return Err(NoticeError::Malformed);
        }
        let key = ring.by_id(KeyId(id), now).ok_or(NoticeError::UnknownKey)?;
        if !bool::from(mac(key, signed).as_slice().ct_eq(claimed)) {
            return Err(NoticeError::Altered);
        }
        match postcard::take_from_bytes(said) {
            Ok((notice, [])) => Ok(notice),
            _ => Err(NoticeError::Malformed),
        }
    }
}

fn mac(key: &MacKey, bytes: &[u8]) -> [u8; MAC] {
    key.tag("replica-keys", &[bytes])
}

#[cfg(test)]
mod tests;
