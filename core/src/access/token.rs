//! What a machine's token must be worth for a route (dossier 1.6).
//!
//! **Invariant:** positive rules only. A scope counts as a whole member, never by its beginning; a supplier acts for
//! a consumer only where the route names the place at which that was agreed; a token that is for somebody in
//! particular is for us only if the route says that we are that somebody (RFC 7519, 4.1.3).

use std::collections::BTreeSet;

use crate::identity::{OrganisationNumber, VerifiedMachine};

/// What a token must be worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// The provider whose tokens count, by its name in the file.
    pub provider: String,
    /// The scopes that it must have, all of them.
    pub scopes: BTreeSet<String>,
    /// The organisations that may have the access; empty: each that was given the scopes.
    pub consumers: BTreeSet<OrganisationNumber>,
    /// Where a supplier's right to act may have been agreed; empty: no supplier acts for anybody.
    pub delegation: BTreeSet<String>,
    /// The suppliers that may act; empty: each whose right was agreed there.
    pub suppliers: BTreeSet<OrganisationNumber>,
    /// For whom it must be; `None`: for nobody in particular.
    pub audience: Option<String>,
    /// Whether the app gets the token too.
    pub forward: bool,
}

/// What is wrong with a sound token for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenShortfall {
    /// It is from a provider whose tokens do not count here.
    #[error("the route does not take tokens of this provider")]
    Provider,
    /// It is for somebody else, or for nobody in particular where that is not enough.
    #[error("the token is not for this route's audience")]
    Audience,
    /// It lacks a scope.
    #[error("the token lacks a scope of the route")]
    Scope,
    /// The organisation may not have the access.
    #[error("the route does not take this consumer")]
    Consumer,
    /// A supplier acts, by a right that was agreed where it does not count.
    #[error("the route does not take this delegation")]
    Delegation,
    /// The supplier may not act.
    #[error("the route does not take this supplier")]
    Supplier,
}

impl TokenRule {
    /// What a machine lacks, if anything.
    #[must_use]
    pub fn shortfall(&self, machine: &VerifiedMachine) -> Option<TokenShortfall> {
        if machine.provider() != self.provider {
            return Some(TokenShortfall::Provider);
        }
        let for_us = match &self.audience {
            Some(wanted) => machine.audience().contains(wanted),
            None => machine.audience().is_empty(),
        };
        if !for_us {
            return Some(TokenShortfall::Audience);
        }
        if !self.scopes.iter().all(|scope| machine.scopes().contains(scope)) {
            return Some(TokenShortfall::Scope);
        }
        if !self.consumers.is_empty() && !self.consumers.contains(&machine.consumer()) {
            return Some(TokenShortfall::Consumer);
        }
        let delegation = machine.delegation()?;
        if !self.delegation.contains(&delegation.source) {
            return Some(TokenShortfall::Delegation);
        }
        let taken = self.suppliers.is_empty() || self.suppliers.contains(&delegation.supplier);
        (!taken).then_some(TokenShortfall::Supplier)
    }

    /// Whether a token could be enough here that is not enough for `other`.
    pub(super) fn is_weaker_than(&self, other: &Self) -> bool {
        !other.scopes.is_subset(&self.scopes)
            || super::takes_more(&self.consumers, &other.consumers)
            || !self.delegation.is_subset(&other.delegation)
            || (!self.delegation.is_empty() && super::takes_more(&self.suppliers, &other.suppliers))
            || (other.audience.is_some() && self.audience != other.audience)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::machine::tests::machine_with;

    /// What fixture 5.8 passes.
    pub(crate) fn rule() -> TokenRule {
        TokenRule {
            provider: "maskinporten".to_owned(),
            scopes: BTreeSet::from(["agency:cases.read".to_owned()]),
            consumers: BTreeSet::new(),
            delegation: BTreeSet::from(["https://tt02.altinn.no/".to_owned()]),
            suppliers: BTreeSet::new(),
            audience: None,
            forward: false,
        }
    }

    fn numbers(texts: &[&str]) -> BTreeSet<OrganisationNumber> {
        texts.iter().map(|text| OrganisationNumber::parse(text).unwrap()).collect()
    }

    #[test]
    fn fixture_5_8_passes_by_positive_rules_alone() {
        use TokenShortfall as S;
        let delegated = machine_with(&json!({})).unwrap();
        let own = machine_with(&json!({"supplier": null, "delegation_source": null})).unwrap();
        let scopes = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let with = |change: fn(&mut TokenRule)| {
            let mut rule = rule();
            change(&mut rule);
            rule
        };
        for (rule, of_delegated, of_own) in [
            (rule(), None, None),
            (with(|rule| rule.provider = "other".to_owned()), Some(S::Provider), Some(S::Provider)),
            (
                TokenRule { scopes: scopes(&["agency:cases.read", "agency:cases.write"]), ..rule() },
                None,
                None,
            ),
            (TokenRule { scopes: scopes(&["agency:cases"]), ..rule() }, Some(S::Scope), Some(S::Scope)),
            (TokenRule { scopes: scopes(&["cases.read"]), ..rule() }, Some(S::Scope), Some(S::Scope)),
            (TokenRule { scopes: scopes(&["agency:cases.rea"]), ..rule() }, Some(S::Scope), Some(S::Scope)),
            (TokenRule { scopes: scopes(&["agency:cases.readx"]), ..rule() }, Some(S::Scope), Some(S::Scope)),
            (TokenRule { scopes: scopes(&["Agency:cases.read"]), ..rule() }, Some(S::Scope), Some(S::Scope)),
            (
                TokenRule { scopes: scopes(&["agency:cases.read agency:cases.write"]), ..rule() },
                Some(S::Scope),
                Some(S::Scope),
            ),
            (TokenRule { consumers: numbers(&["310123455"]), ..rule() }, None, None),
            // The supplier is not the consumer.
            (
                TokenRule { consumers: numbers(&["213987658"]), ..rule() },
                Some(S::Consumer),
                Some(S::Consumer),
            ),
            (with(|rule| rule.delegation.clear()), Some(S::Delegation), None),
            (
                TokenRule { delegation: scopes(&["https://altinn.no/", "https://tt02.altinn.no"]), ..rule() },
                Some(S::Delegation),
                None,
            ),
            (TokenRule { suppliers: numbers(&["213987658"]), ..rule() }, None, None),
            (TokenRule { suppliers: numbers(&["310123455"]), ..rule() }, Some(S::Supplier), None),
            (
                with(|rule| rule.audience = Some("unspecified".to_owned())),
                Some(S::Audience),
                Some(S::Audience),
            ),
        ] {
            assert_eq!(rule.shortfall(&delegated), of_delegated, "{rule:?}");
            assert_eq!(rule.shortfall(&own), of_own, "{rule:?}");
        }
    }

    #[test]
    fn a_token_for_somebody_is_for_nobody_else() {
        let aud = |value: Value| machine_with(&json!({"aud": value})).unwrap();
        let ours = TokenRule { audience: Some("https://api.example".to_owned()), ..rule() };
        for (value, wanted, open) in [
            (Value::Null, false, true),
            (json!("unspecified"), false, true),
            (json!("https://api.example"), true, false),
            (json!(["https://api.example", "https://b.example"]), true, false),
            (json!("https://api.example/"), false, false),
            (json!("https://b.example"), false, false),
        ] {
            let lacking = |fits: bool| (!fits).then_some(TokenShortfall::Audience);
            assert_eq!(ours.shortfall(&aud(value.clone())), lacking(wanted), "{value}");
            assert_eq!(rule().shortfall(&aud(value.clone())), lacking(open), "{value}");
        }
    }

    #[test]
    fn a_rule_that_takes_more_is_weaker() {
        let other = TokenRule {
            consumers: numbers(&["310123455"]),
            suppliers: numbers(&["213987658"]),
            audience: Some("a".to_owned()),
            ..rule()
        };
        assert!(
            !other.is_weaker_than(&other) && !other.is_weaker_than(&rule()) && rule().is_weaker_than(&other)
        );
        let none = TokenRule { scopes: BTreeSet::from(["b".to_owned()]), ..other.clone() };
        assert!(none.is_weaker_than(&other) && other.is_weaker_than(&none));
        let alone = TokenRule { delegation: BTreeSet::new(), suppliers: BTreeSet::new(), ..other.clone() };
        assert!(!alone.is_weaker_than(&other) && other.is_weaker_than(&alone));
    }
}
