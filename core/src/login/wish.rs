//! What a login must bring: the route's demand, which a request may raise and never lower (`design.md` 2).

use std::time::Duration;

use super::usual;
use crate::access::Requirement;
use crate::clock::Timestamp;
use crate::identity::{Kind, Kinds, RepresentationId, VerifiedIdentity};
use crate::level::{Framework, Level};
use crate::provider::ProviderSettings;

/// What a login is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The lowest level that will do.
    pub level: Option<Level>,
    /// The kinds that will do; empty: every kind.
    pub kinds: Kinds,
    /// The greatest age of the authentication.
    pub max_age: Option<Duration>,
    /// Whether the person must authenticate anew, whatever the provider remembers: `prompt=login`.
    pub fresh: bool,
    /// What the person is asked to bring in `authorization_details`.
    pub asked: Option<RepresentationId>,
    /// What is asked for instead of the values that follow from level and kinds. No cookie holds it.
    pub acr_values: Vec<String>,
}

/// A login that was accepted is still not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfulfilled {
    /// The level is too low.
    #[error("the login reached too low a level")]
    Level,
    /// It is of another kind than was asked for.
    #[error("the login is of another kind than was asked for")]
    Kind,
}

impl Wish {
    /// What a route demands.
    #[must_use]
    pub fn of(requirement: &Requirement) -> Self {
        Self {
            level: requirement.level,
            kinds: requirement.kinds.clone(),
            max_age: requirement.max_age,
            fresh: false,
            asked: requirement.representation.as_ref().map(|representation| representation.id()),
            acr_values: requirement.acr_values.clone(),
        }
    }

    /// What is asked for where no route says.
    #[must_use]
    pub fn usual(provider: &ProviderSettings) -> Self {
        let kinds = usual::kinds(provider);
        Self { level: usual::level(provider, &kinds), kinds, ..Self::default() }
    }

    /// The same, at this level at the least.
    #[must_use]
    pub fn raised(self, level: Option<Level>) -> Self {
        // Values that were enough for less are not asked for.
        let acr_values = if level > self.level { Vec::new() } else { self.acr_values };
        Self { level: self.level.max(level), acr_values, ..self }
    }

    /// `acr_values` for a provider: for each kind the lowest value that will do; never both eIDAS levels
    /// (dossier 1.2.2). `None` for a provider without a table.
    #[must_use]
    pub fn acr_values(&self, provider: &ProviderSettings) -> Option<String> {
        if provider.acr.rows().is_empty() {
            return None;
        }
        if !self.acr_values.is_empty() {
            return Some(self.acr_values.join(" "));
        }
        let mut frameworks: Vec<Framework> = self.kinds.iter().filter_map(|kind| kind.framework()).collect();
        if frameworks.is_empty() {
            let of_table = provider.acr.rows().iter().map(|row| row.framework);
            frameworks.extend(of_table.min());
        }
        if self.level.is_some() && frameworks.len() > 1 {
            // Who took that button would be refused: it has no level.
            frameworks.retain(|framework| *framework != Framework::Email);
        }
        let values: Vec<&str> = frameworks
            .into_iter()
            .filter_map(|framework| {
                let level = if framework == Framework::Email { None } else { self.level };
                provider.acr.request(framework, level)
            })
            .collect();
        (!values.is_empty()).then(|| values.join(" "))
    }

    /// Whether a login is what was asked for. The provider may return more, never less (dossier 0, fact 6).
    ///
    /// # Errors
    ///
    /// [`Unfulfilled`] says what it lacks.
    pub fn check(&self, who: &VerifiedIdentity) -> Result<(), Unfulfilled> {
        if !self.kinds.is_empty() && !self.kinds.contains(&who.kind()) {
            return Err(Unfulfilled::Kind);
        }
        let too_low = self.level > who.level() && cfg!(not(planted_fault = "level"));
        if too_low { Err(Unfulfilled::Level) } else { Ok(()) }
    }

    /// Whether somebody who is logged in is what was asked for already.
    #[must_use]
    pub fn is_met_by(&self, who: &VerifiedIdentity, now: Timestamp) -> bool {
        let requirement = Requirement {
            level: self.level,
            kinds: self.kinds.clone(),
            max_age: self.max_age,
            ..Requirement::default()
        };
        self.asked.is_none_or(|asked| who.asked() == Some(asked)) && requirement.shortfall(who, now).is_none()
    }

    pub(super) fn kinds_as_bits(&self) -> u8 {
        Kind::ALL
            .iter()
            .enumerate()
            .filter(|(_, kind)| self.kinds.contains(kind))
            .fold(0, |bits, (at, _)| bits | 1 << at)
    }

    pub(super) fn kinds_of_bits(bits: u8) -> Kinds {
        Kind::ALL
            .into_iter()
            .enumerate()
            .filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, kind)| kind)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::resume::tests::{european, identity};
    use crate::provider::tests_support::provider;

    fn wish(level: Level, kinds: &[Kind]) -> Wish {
        Wish { level: Some(level), kinds: kinds.iter().copied().collect(), ..Wish::default() }
    }

    #[test]
    fn each_kind_is_asked_for_with_its_lowest_sufficient_value() {
        let idporten = provider("idporten");
        for (wish, expected) in [
            (wish(Level::Substantial, &[]), Some("idporten-loa-substantial")),
            (wish(Level::High, &[Kind::National]), Some("idporten-loa-high")),
            (
                wish(Level::Substantial, &[Kind::National, Kind::Eidas]),
                Some("idporten-loa-substantial eidas-loa-substantial"),
            ),
            (wish(Level::High, &[Kind::Eidas]), Some("eidas-loa-high")),
            (Wish { kinds: [Kind::Email].into(), ..Wish::default() }, Some("selfregistered-email")),
            (
                Wish { kinds: [Kind::National, Kind::Email].into(), ..Wish::default() },
                Some("idporten-loa-substantial selfregistered-email"),
            ),
            (wish(Level::High, &[Kind::National, Kind::Email]), Some("idporten-loa-high")),
        ] {
            assert_eq!(wish.acr_values(&idporten).as_deref(), expected, "{wish:?}");
        }
        assert_eq!(wish(Level::High, &[]).acr_values(&provider("oidc")), None);
    }

    #[test]
    fn a_wish_is_raised_and_never_lowered() {
        assert_eq!(wish(Level::High, &[]).raised(Some(Level::Low)).level, Some(Level::High));
        assert_eq!(wish(Level::Low, &[]).raised(Some(Level::High)).level, Some(Level::High));
        assert_eq!(wish(Level::Low, &[]).raised(None).level, Some(Level::Low));
    }

    #[test]
    fn a_login_may_bring_more_and_never_less_or_another_kind() {
        assert_eq!(wish(Level::Substantial, &[Kind::National]).check(&identity(0)), Ok(()));
        assert_eq!(wish(Level::High, &[]).check(&european()), Err(Unfulfilled::Level));
        assert_eq!(wish(Level::Low, &[Kind::National]).check(&european()), Err(Unfulfilled::Kind));
    }

    #[test]
    fn kinds_survive_as_bits() {
        for kinds in [vec![], vec![Kind::National], vec![Kind::Eidas, Kind::Machine], Kind::ALL.to_vec()] {
            let wish = wish(Level::Low, &kinds);
            assert_eq!(Wish::kinds_of_bits(wish.kinds_as_bits()), wish.kinds);
        }
    }
}
