//! References: what a person reads from a page over the telephone, and what finds the log line.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BITS: u32 = 50;
const MASK: u64 = (1 << BITS) - 1;

/// A reference such as `7K2QD-M0XW4`: 50 bits, in ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference([u8; 11]);

impl Reference {
    fn of(bits: u64) -> Self {
        let mut text = [b'-'; 11];
        for (index, place) in [0, 1, 2, 3, 4, 6, 7, 8, 9, 10].into_iter().enumerate() {
            text[place] = ALPHABET[(bits >> (5 * index)) as usize % 32];
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every byte is from the alphabet or a hyphen.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes references: a counter from a random start, mixed with random factors that only this process knows.
///
/// No two of a process are equal, and two of different processes hardly ever. They are not secret and open
/// nothing; that the next one cannot be told from the last keeps people from counting our requests.
#[derive(Debug)]
pub struct References {
    counter: AtomicU64,
    factors: [u64; 3],
}

impl References {
    /// With randomness of its own.
    #[must_use]
    pub fn random() -> Self {
        let word = || u64::from_be_bytes(portvakt_core::seal::random());
        Self { counter: AtomicU64::new(word()), factors: [word() | 1, word() | 1, word() | 1] }
    }

    /// The next one.
    #[must_use]
    pub fn next(&self) -> Reference {
        let mut bits = self.counter.fetch_add(1, Ordering::Relaxed) & MASK;
        // Each step is a bijection of the 50 bits: an odd factor, and a shift of half their width.
        for factor in self.factors {
            bits = bits.wrapping_mul(factor) & MASK;
            bits ^= bits >> (BITS / 2);
        }
        Reference::of(bits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_reference_is_two_groups_of_five_that_nobody_mishears() {
        let references = References::random();
        for _ in 0..1000 {
            let reference = references.next();
            let text = reference.as_str();
            assert_eq!((text.len(), text.find('-')), (11, Some(5)), "{text}");
            assert!(text.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)), "{text}");
        }
        assert!(!ALPHABET.iter().any(|letter| b"ILOU".contains(letter)));
    }

    #[test]
    fn no_two_are_equal_and_neighbours_do_not_look_alike() {
        let references = References::random();
        let all: Vec<_> = (0..100_000).map(|_| references.next()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        let alike = all.windows(2).filter(|pair| {
            pair[0].0.iter().zip(pair[1].0).filter(|(one, other)| **one != *other).count() < 4
        });
        assert!(alike.count() < all.len() / 100);
    }
}
