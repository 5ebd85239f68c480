//! From a path to the place of its node: the most specific pattern, whatever the order in the file (`threats.md` RT-4).
//!
//! Read from the left, a literal segment goes before a star, and a star before a tail. `matchit`'s tree finds by that order, but takes no
//! star and no tail at one place (`/a/*/b` beside `/a/**`): what does not fit into the first tree stands in the next one, and of what
//! several trees find the most specific counts.
//!
//! **Invariant:** every pattern stands in a tree.

use std::collections::HashSet;

use super::Pattern;

/// The trees; hosts without a star beside a tail have one.
#[derive(Debug, Default)]
pub(super) struct Matcher(Vec<matchit::Router<Place>>);

#[derive(Clone, Debug)]
struct Place {
    node: usize,
    rank: Vec<Segment>,
}

/// How specific a pattern is at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal,
    Star,
    Tail,
}

impl Matcher {
    /// The patterns in the order of their nodes. Of two that are equal the first counts.
    pub(super) fn build(patterns: impl Iterator<Item = Pattern>) -> Self {
        let patterns: Vec<(usize, Pattern)> = patterns.enumerate().collect();
        let twins = |below: bool| {
            patterns.iter().filter(move |(_, pattern)| pattern.below == below).flat_map(|(node, pattern)| {
                pattern.matcher_patterns().into_iter().skip(1).map(move |twin| (*node, twin))
            })
        };
        let own = patterns.iter().map(|(node, pattern)| (*node, pattern.matcher_patterns().swap_remove(0)));
        let (mut matcher, mut known) = (Self::default(), HashSet::new());
        // The patterns themselves, then the twins of exact ones (`/a/` for `/a`), then what a tail covers
        // besides (`/a` and `/a/` for `/a/**`): what is there already is more exact.
        for (node, pattern) in own.chain(twins(false)).chain(twins(true)) {
            if known.insert(pattern.clone()) {
                matcher.insert(pattern, node);
            }
        }
        matcher
    }

    fn insert(&mut self, pattern: String, node: usize) {
        let place = Place { node, rank: rank(&pattern) };
        if self.0.iter_mut().any(|tree| tree.insert(pattern.as_str(), place.clone()).is_ok()) {
            return;
        }
        let mut tree = matchit::Router::new();
        tree.insert(pattern, place).expect("an empty tree takes every pattern of whole segments");
        self.0.push(tree);
    }

    /// The node of the most specific pattern that governs a path.
    pub(super) fn at(&self, path: &str) -> Option<usize> {
        let found = self.0.iter().filter_map(|tree| Some(tree.at(path).ok()?.value));
        found.min_by(|one, other| one.rank.cmp(&other.rank)).map(|place| place.node)
    }
}

fn rank(pattern: &str) -> Vec<Segment> {
    let kind = |segment: &str| match segment.as_bytes() {
        [b'{', b'*', ..] => Segment::Tail,
        [b'{', ..] => Segment::Star,
        _ => Segment::Literal,
    };
    pattern.split('/').skip(1).map(kind).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(patterns: &[String]) -> Matcher {
        Matcher::build(patterns.iter().map(|text| Pattern::parse(text).unwrap()))
    }

    /// What the contract says, pattern by pattern: of those that govern the path the most specific, read from the left.
    fn expected(patterns: &[String], path: &str) -> Option<usize> {
        let governs = |form: &str| {
            let (wanted, given): (Vec<&str>, Vec<&str>) =
                (form.split('/').collect(), path.split('/').collect());
            let same = |(wanted, given): (&&str, &&str)| match *wanted {
                wanted if wanted.starts_with("{s") => !given.is_empty(),
                wanted => wanted == *given,
            };
            match wanted.split_last() {
                Some((&"{*below}", before)) => {
                    given.len() > before.len()
                        && before.iter().zip(&given).all(same)
                        && given[before.len()..] != [""]
                }
                _ => wanted.len() == given.len() && wanted.iter().zip(&given).all(same),
            }
        };
        let forms = |(node, text): (usize, &String)| {
            let pattern = Pattern::parse(text).unwrap();
            let below = pattern.below;
            let forms = pattern.matcher_patterns().into_iter().enumerate();
            // A pattern itself goes before another's twin with a slash, and that before what a tail covers besides.
            forms.map(move |(at, form)| {
                (rank(&form), usize::from(at > 0) * (1 + usize::from(below)), node, form)
            })
        };
        let all = patterns.iter().enumerate().flat_map(forms).filter(|(.., form)| governs(form));
        all.min().map(|(_, _, node, _)| node)
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "*"]);
        (prop::collection::vec(segment, 0..4), any::<bool>(), any::<bool>()).prop_map(
            |(segments, below, slash)| {
                let text: String = segments.iter().map(|segment| format!("/{segment}")).collect();
                match (below, slash || text.is_empty()) {
                    (true, _) => format!("{text}/**"),
                    (false, true) => format!("{text}/"),
                    (false, false) => text,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn the_most_specific_pattern_is_found_in_any_order(
            patterns in prop::collection::hash_set(pattern(), 1..8),
            segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..5),
            slash in any::<bool>(),
            turn in 0..8_usize,
        ) {
            let mut patterns: Vec<String> = patterns.into_iter().collect();
            let turn = turn % patterns.len();
            patterns.rotate_left(turn);
            let text: String = segments.iter().map(|segment| format!("/{segment}")).collect();
            let path = if slash || text.is_empty() { format!("{text}/") } else { text };
            prop_assert_eq!(matcher(&patterns).at(&path), expected(&patterns, &path), "{} {:?}", path, patterns);
        }
    }
}
