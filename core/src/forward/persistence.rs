//! Whether the identifier of a foreign eID outlives that eID: a table of countries, by their own word
//! (dossier 1.2.4). It decides about nobody; apps use it to know what they may keep.

use std::collections::BTreeSet;

/// Which countries send an identifier that stays with the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    lasting: BTreeSet<String>,
    changing: BTreeSet<String>,
}

/// The Nordic countries but Denmark, and the Baltic ones, send the national number (dossier 1.2.4).
impl Default for Persistence {
    fn default() -> Self {
        let of = |countries: &[&str]| countries.iter().map(|&country| country.to_owned()).collect();
        Self { lasting: of(&["EE", "FI", "IS", "LT", "LV", "SE"]), changing: of(&["DK"]) }
    }
}

impl Persistence {
    /// A table of these countries; of others nothing is known.
    #[must_use]
    pub fn new(lasting: BTreeSet<String>, changing: BTreeSet<String>) -> Self {
        Self { lasting, changing }
    }

    /// Countries whose identifiers stay.
    #[must_use]
    pub fn lasting(&self) -> &BTreeSet<String> {
        &self.lasting
    }

    /// Countries whose identifiers may change with a new eID.
    #[must_use]
    pub fn changing(&self) -> &BTreeSet<String> {
        &self.changing
    }

    /// `yes`, `no` or `unknown`.
    #[must_use]
    pub fn of(&self, country: &str) -> &'static str {
        match (self.lasting.contains(country), self.changing.contains(country)) {
            (true, false) => "yes",
            (_, true) => "no",
            (false, false) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nordic_and_baltic_identifiers_last_and_danish_ones_do_not() {
        let table = Persistence::default();
        for (country, expected) in
            [("SE", "yes"), ("FI", "yes"), ("EE", "yes"), ("DK", "no"), ("DE", "unknown"), ("EL", "unknown")]
        {
            assert_eq!(table.of(country), expected, "{country}");
        }
    }
}
