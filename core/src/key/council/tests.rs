//! Councils that hear each other, and the form of their words (`design.md` D15).

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn ring(byte: u8) -> Ring<MacKey> {
    Ring::single(KeyId([1, 2, 3, 4]), Timestamp::from_seconds(0), MacKey::new(&[byte; 32]))
}

/// Keys of one purpose; the last one that is named is in use.
fn keys(purpose: &str, ids: &[u8], active: u8) -> Vec<Proof> {
    let key = |id: &u8| Proof {
        purpose: purpose.to_owned(),
        id: id.to_string(),
        print: format!("print of {id}"),
        active: *id == active,
    };
    ids.iter().map(key).collect()
}

fn named(purpose: &str, id: u8) -> Named {
    Named { purpose: purpose.to_owned(), id: id.to_string() }
}

/// Replicas that hear each other, each with the ids of its cookie keys, oldest first.
struct World {
    councils: Vec<Council>,
    have: Vec<Vec<u8>>,
    now: Timestamp,
}

impl World {
    fn of(have: &[&[u8]]) -> Self {
        let mut world = Self { councils: Vec::new(), have: Vec::new(), now: START };
        have.iter().for_each(|keys| world.join(keys));
        world
    }

    fn join(&mut self, keys: &[u8]) {
        let number = self.councils.len();
        self.councils.push(Council::new([u8::try_from(number).unwrap() + 1; 8]));
        self.have.push(keys.to_vec());
        // What is there is read before anything is said.
        self.round();
        self.councils[number].all_read();
        (0..3).for_each(|_| drop(self.round()));
    }

    /// What this one would use: the newest that is not withheld, or the newest.
    fn uses(&self, at: usize, withheld: &BTreeSet<Named>) -> u8 {
        let have = &self.have[at];
        let free = have.iter().rev().find(|id| !withheld.contains(&named("cookie", **id)));
        *free.unwrap_or(have.last().unwrap())
    }

    /// Everybody judges, and says what is due; everybody hears it. Gives what each one judged.
    fn round(&mut self) -> Vec<Judgement> {
        self.now = self.now + Duration::from_secs(2);
        let mut judged = Vec::new();
        for at in 0..self.councils.len() {
            // Which one is in use follows from the judgement, and is said with the next word.
            let mut judgement = Judgement::default();
            for _ in 0..2 {
                let used = self.uses(at, &judgement.withheld);
                judgement = self.councils[at].judge(keys("cookie", &self.have[at], used), self.now);
            }
            let word = self.councils[at].due(&ring(9), self.now);
            for council in &mut self.councils {
                if let Some(word) = &word {
                    council.take(word, &ring(9), self.now).unwrap();
                }
            }
            judged.push(judgement);
        }
        judged
    }

    fn in_use(&mut self) -> Vec<u8> {
        let judged = self.round();
        (0..self.have.len()).map(|at| self.uses(at, &judged[at].withheld)).collect()
    }

    fn lacking(&mut self) -> Vec<bool> {
        self.round().iter().map(|judgement| judgement.lacking.is_some()).collect()
    }
}

#[test]
fn a_key_is_used_when_the_last_one_has_it() {
    let mut world = World::of(&[&[1], &[1], &[1]]);
    for (at, in_use) in [(0, [1, 1, 1]), (1, [1, 1, 1]), (2, [2, 2, 2])] {
        world.have[at].push(2);
        world.round();
        assert_eq!(world.in_use(), in_use, "after {at} has it");
        assert_eq!(world.lacking(), [false; 3]);
    }
}

#[test]
fn who_comes_with_other_keys_is_not_ready_and_disturbs_nobody() {
    let mut world = World::of(&[&[1, 2], &[1, 2]]);
    assert_eq!(world.in_use(), [2, 2]);
    for odd in [&[9][..], &[1], &[1, 9]] {
        world.join(odd);
        assert_eq!(world.lacking(), [false, false, true], "{odd:?}");
        assert_eq!(world.in_use()[..2], [2, 2], "{odd:?}");
        // It gets the right ones.
        world.have[2] = vec![1, 2];
        world.round();
        assert_eq!(world.lacking(), [false; 3]);
        assert_eq!(world.in_use(), [2, 2, 2]);
        world.councils.pop();
        world.have.pop();
        world.now = world.now + LIFE * 2;
        (0..3).for_each(|_| drop(world.round()));
    }
}

#[test]
fn who_loses_a_key_that_others_use_yields() {
    let mut world = World::of(&[&[1], &[1], &[1]]);
    world.have[0] = vec![2];
    world.round();
    assert_eq!(world.lacking(), [true, false, false]);
    world.have[0] = vec![1, 2];
    world.round();
    assert_eq!(world.lacking(), [false; 3]);
    assert_eq!(world.in_use(), [1, 1, 1], "it waits until the others have it");
}

#[test]
fn one_that_is_gone_is_not_waited_for() {
    let mut world = World::of(&[&[1], &[1]]);
    world.have[0].push(2);
    assert_eq!(world.in_use()[0], 1);
    world.councils.pop();
    world.have.pop();
    world.now = world.now + LIFE;
    world.round();
    assert_eq!(world.in_use(), [2]);
}

#[test]
fn before_anybody_was_heard_the_oldest_is_used() {
    let mut council = Council::new([1; 8]);
    let own = [keys("cookie", &[1, 2], 2), keys("audit", &[3], 3)].concat();
    let judgement = council.judge(own.clone(), START);
    assert_eq!(judgement.withheld, BTreeSet::from([named("cookie", 2)]));
    assert_eq!(council.due(&ring(9), START), None, "who has not listened says nothing");
    council.all_read();
    assert_eq!(council.judge(own, START), Judgement::default());
    assert!(council.due(&ring(9), START).is_some());
}

#[test]
fn a_purpose_that_only_one_has_is_nobodys_concern() {
    let (mut one, mut other) = (Council::new([1; 8]), Council::new([2; 8]));
    one.all_read();
    other.all_read();
    one.judge([keys("cookie", &[1], 1), keys("assertion", &[5, 6], 6)].concat(), START);
    other.judge(keys("cookie", &[1], 1), START);
    let words = [one.due(&ring(9), START).unwrap(), other.due(&ring(9), START).unwrap()];
    for word in &words {
        one.take(word, &ring(9), START).unwrap();
        other.take(word, &ring(9), START).unwrap();
    }
    assert_eq!(other.judge(keys("cookie", &[1], 1), START), Judgement::default());
    let own = [keys("cookie", &[1], 1), keys("assertion", &[5, 6], 6)].concat();
    assert_eq!(one.judge(own, START), Judgement::default());
}

fn word(ring: &Ring<MacKey>) -> Vec<u8> {
    let mut council = Council::new([7; 8]);
    council.all_read();
    council.judge(keys("cookie", &[1, 2], 1), START);
    council.due(ring, START).unwrap()
}

proptest! {
    #[test]
    fn any_changed_bit_is_noticed(at in 0usize..60, bit in 0u8..8) {
        let mut bytes = word(&ring(9));
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Council::new([1; 8]).take(&bytes, &ring(9), START).is_err());
    }

    #[test]
    fn whatever_is_read_is_refused_or_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Council::new([1; 8]).take(&bytes, &ring(9), START).is_err());
    }
}

#[test]
fn an_old_word_a_torn_one_and_one_of_another_key_do_not_count() {
    let (bytes, mut council) = (word(&ring(9)), Council::new([1; 8]));
    council.all_read();
    for end in 0..bytes.len() {
        assert!(council.take(&bytes[..end], &ring(9), START).is_err());
    }
    assert_eq!(council.take(&bytes, &ring(8), START), Err(NoticeError::Altered));
    let other = Ring::single(KeyId([9; 4]), Timestamp::from_seconds(0), MacKey::new(&[9; 32]));
    assert_eq!(council.take(&bytes, &other, START), Err(NoticeError::UnknownKey));
    let later = START + LIFE * 2;
    council.take(&bytes, &ring(9), later).unwrap();
    assert_eq!(council.judge(keys("cookie", &[3], 3), later).lacking, None, "it may have changed since");
    council.take(&bytes, &ring(9), START).unwrap();
    assert_eq!(council.judge(keys("cookie", &[3], 3), START).lacking, Some(named("cookie", 1)));
}

/// Processes of two versions follow one stream.
#[test]
fn a_word_stands_as_version_0_1_said_it() {
    let hex: String = word(&ring(9)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, WORD_0_1);
}

const WORD_0_1: &str = "0101020304070707070707070780d8c1a28c34010206636f6f6b696501310a7072696e74206f6620310106636f6f6b696501320a7072696e74206f66203200b0f6f3a935d2f00ca38f4920fd28d613";
