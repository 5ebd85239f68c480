//! The ways in to a route that leaves a choice: at which provider, and as what, somebody may log in, and which of them
//! they have chosen before (`design.md` D13).
//!
//! **Invariant:** a way never asks for more kinds of identity, or for a lower level, than the route's requirement: it
//! only leaves some of it out.
//!
//! **Invariant:** a remembered choice says which way, and nothing of anybody. It counts for the very set of ways among
//! which it was made, so that a new way is offered to those who chose before it was there.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderValue};

use crate::access::Requirement;
use crate::cookie::{self, Jar};
use crate::identity::{Kind, Kinds};
use crate::login::usual::{asserts, reaches};
use crate::login::wish::Wish;
use crate::session::plan::SessionPlan;

/// The cookie of remembered choices.
const COOKIE: &str = "__Host-portvakt-choice";

/// How long a choice is remembered, in seconds: 90 days.
const REMEMBERED: u32 = 90 * 24 * 60 * 60;

/// As many choices are remembered as a host may have sets of ways.
const MAX_CHOICES: usize = 4;

/// As much of the cookie as is read, in bytes.
const MAX_COOKIE: usize = 512;

/// One way in.
#[derive(Clone, Debug)]
pub struct Way {
    /// The session that it begins, and thereby who logs in.
    pub plan: Arc<SessionPlan>,
    /// The one kind of identity that it is for; `None`: all that the provider has and the route takes.
    pub kind: Option<Kind>,
}

impl Way {
    /// `SESSION` or `SESSION:KIND`, as in the file.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            Some(kind) => format!("{}:{}", self.plan.name, kind.as_str()),
            None => self.plan.name.clone(),
        }
    }

    /// The kinds of identity that can pass by this way.
    #[must_use]
    pub fn kinds(&self, requirement: &Requirement) -> Kinds {
        let provider = &self.plan.provider;
        let taken = |kind: &Kind| requirement.kinds.is_empty() || requirement.kinds.contains(kind);
        let meant = |kind: &Kind| self.kind.is_none_or(|only| only == *kind);
        let brought = |kind: &Kind| asserts(provider, *kind) && reaches(provider, *kind, requirement.level);
        let numbered = |kind: &Kind| {
            !requirement.number || (kind.may_have_number() && !provider.profile.claims.pid.is_empty())
        };
        let brought = |kind: &Kind| brought(kind) && numbered(kind);
        Kind::ALL.into_iter().filter(|kind| taken(kind) && meant(kind) && brought(kind)).collect()
    }

    /// Whether somebody can pass by this way.
    #[must_use]
    pub fn satisfies(&self, requirement: &Requirement) -> bool {
        let provider = &self.plan.provider;
        let here = requirement.providers.is_empty() || requirement.providers.contains(&provider.name);
        here && !self.kinds(requirement).is_empty()
    }

    /// What a login by this way is asked for.
    #[must_use]
    pub fn wish(&self, requirement: &Requirement) -> Wish {
        let wish = Wish::of(requirement);
        let asked = wish.asked.filter(|_| requirement.asks_at(&self.plan.provider.name));
        let kinds = if self.kind.is_some() { self.kinds(requirement) } else { wish.kinds };
        let acr_values = if self.kind.is_some() { Vec::new() } else { wish.acr_values };
        Wish { kinds, asked, acr_values, ..wish }
    }
}

/// Which ways can satisfy a route, in their order.
#[must_use]
pub fn satisfying<'a>(ways: &'a [Way], requirement: &Requirement) -> Vec<&'a Way> {
    ways.iter().filter(|way| way.satisfies(requirement)).collect()
}

/// What a set of ways is remembered by.
fn digest_of(ways: &[Way]) -> String {
    let names: BTreeSet<String> = ways.iter().map(Way::name).collect();
    let mut hash = digest::Context::new(&digest::SHA256);
    for name in names {
        hash.update(name.as_bytes());
        hash.update(b"\n");
    }
    hash.finish().as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The choices that a browser remembers, the last one first: the set of ways, and which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered(Vec<(String, String)>);

impl Remembered {
    /// Of a request. What is not understood is forgotten.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let value = cookie::find(headers, COOKIE).filter(|value| value.len() <= MAX_COOKIE);
        let text = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        let entries = text.split('~').take(MAX_CHOICES).filter_map(|entry| entry.split_once('.'));
        Self(entries.map(|(set, way)| (set.to_owned(), way.to_owned())).collect())
    }

    /// What was chosen among these ways, if it is still one of them.
    #[must_use]
    pub fn among<'a>(&self, ways: &'a [Way]) -> Option<&'a Way> {
        let set = digest_of(ways);
        let (_, chosen) = self.0.iter().find(|(known, _)| *known == set)?;
        ways.iter().find(|way| way.name() == *chosen)
    }

    /// With another choice among these ways, or none.
    #[must_use]
    pub fn with(mut self, ways: &[Way], chosen: Option<&Way>) -> Self {
        let set = digest_of(ways);
        self.0.retain(|(known, _)| *known != set);
        if let Some(chosen) = chosen {
            self.0.insert(0, (set, chosen.name()));
        }
        self.0.truncate(MAX_CHOICES);
        self
    }

    /// `Set-Cookie` that remembers it.
    #[must_use]
    pub fn remember(&self) -> HeaderValue {
        let jar = Jar { name: COOKIE.to_owned(), path: "/".to_owned(), domain: None };
        if self.0.is_empty() {
            return jar.delete();
        }
        let entries: Vec<String> = self.0.iter().map(|(set, way)| format!("{set}.{way}")).collect();
        jar.set_for(&entries.join("~"), REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::provider::tests_support::provider;

    fn way(profile: &str, kind: Option<Kind>) -> Way {
        Way { plan: Arc::new(SessionPlan::usual(Arc::new(provider(profile)), "a.no")), kind }
    }

    fn require(level: Option<Level>, kinds: &[Kind]) -> Requirement {
        Requirement { level, kinds: kinds.iter().copied().collect(), ..Requirement::default() }
    }

    fn names(ways: &[Way], requirement: &Requirement) -> Vec<String> {
        satisfying(ways, requirement).into_iter().map(Way::name).collect()
    }

    #[test]
    fn a_way_is_offered_only_where_it_can_lead_in() {
        let ways = [
            way("idporten", None),
            way("idporten", Some(Kind::Eidas)),
            way("idporten", Some(Kind::Email)),
            way("ansattporten", None),
        ];
        let substantial = Some(Level::Substantial);
        for (requirement, expected) in [
            (require(substantial, &[Kind::National]), vec!["idporten"]),
            (require(substantial, &[Kind::National, Kind::Eidas]), vec!["idporten", "idporten:eidas"]),
            (require(substantial, &[Kind::Employee]), vec!["ansattporten"]),
            // E-mail has no level.
            (require(substantial, &[Kind::Email, Kind::Employee]), vec!["ansattporten"]),
            (require(None, &[Kind::Email]), vec!["idporten", "idporten:email"]),
            (require(None, &[]), vec!["idporten", "idporten:eidas", "idporten:email", "ansattporten"]),
            (require(None, &[Kind::Helper]), vec![]),
        ] {
            assert_eq!(names(&ways, &requirement), expected, "{requirement:?}");
        }
        let numbered = Requirement { number: true, ..require(None, &[]) };
        assert_eq!(names(&ways, &numbered), ["idporten", "idporten:eidas", "ansattporten"]);
        let elsewhere =
            Requirement { providers: ["ansattporten".to_owned()].into(), ..require(substantial, &[]) };
        assert_eq!(names(&ways, &elsewhere), ["ansattporten"]);
    }

    #[test]
    fn a_way_asks_for_what_the_route_demands_and_for_no_other_kind_than_its_own() {
        let requirement = require(Some(Level::High), &[Kind::National, Kind::Eidas]);
        let asked = |way: &Way| way.wish(&requirement).acr_values(&way.plan.provider);
        let both = Some("idporten-loa-high eidas-loa-high".to_owned());
        assert_eq!(asked(&way("idporten", None)), both);
        assert_eq!(asked(&way("idporten", Some(Kind::Eidas))).as_deref(), Some("eidas-loa-high"));
        assert_eq!(asked(&way("idporten", Some(Kind::National))).as_deref(), Some("idporten-loa-high"));
        assert_eq!(way("idporten", Some(Kind::Eidas)).wish(&requirement).kinds, [Kind::Eidas].into());
    }

    #[test]
    fn a_choice_counts_among_the_ways_among_which_it_was_made() {
        let ways = [way("idporten", None), way("ansattporten", None)];
        let more = [way("idporten", None), way("ansattporten", None), way("idporten", Some(Kind::Eidas))];
        let chosen = Remembered::default().with(&ways, Some(&ways[1]));
        let turned = [way("ansattporten", None), way("idporten", None)];
        assert_eq!(chosen.among(&ways).map(Way::name).as_deref(), Some("ansattporten"));
        assert_eq!(chosen.among(&turned).map(Way::name).as_deref(), Some("ansattporten"));
        assert!(chosen.among(&more).is_none());
        let both = chosen.with(&more, Some(&more[2]));
        assert_eq!(both.among(&ways).map(Way::name).as_deref(), Some("ansattporten"));
        assert_eq!(both.among(&more).map(Way::name).as_deref(), Some("idporten:eidas"));
        assert_eq!(both.clone().with(&ways, None).among(&ways).map(Way::name), None);
        // As a browser sends it back.
        let set = both.remember().to_str().unwrap().to_owned();
        let again = |line: &str| {
            Remembered::of(&[(http::header::COOKIE, line.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(again(set.split(';').next().unwrap()), both);
        assert!(set.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=7776000"), "{set}");
        assert!(Remembered::default().remember().to_str().unwrap().contains("Max-Age=0"));
        for odd in ["", "x", "~~~", "a.b.c", &"a.b~".repeat(200)] {
            assert!(again(&format!("{COOKIE}={odd}")).among(&ways).is_none(), "{odd}");
        }
    }
}
