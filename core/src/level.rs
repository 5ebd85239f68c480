//! Levels of assurance, ranked by an explicit table for each issuer (dossier 2.7).
//!
//! **Invariant:** a value that the table does not hold is no level. Nothing is read from a prefix or a
//! suffix: `idporten-loa-substantial-limited` is not substantial, and `no-notified-high` is nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A level of assurance, ordered: a higher one satisfies a demand for a lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Self-asserted or weakly proofed.
    Low,
    /// eIDAS *substantial*, such as MinID.
    Substantial,
    /// eIDAS *high*, such as `BankID`.
    High,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Substantial, Self::High];

    /// The name in YAML, headers and URLs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a level is one of low, substantial, high")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(UnknownLevel)
    }
}

/// The family of identity that an `acr` value speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framework {
    /// Norwegian eIDs: `idporten-loa-*`.
    National,
    /// Notified foreign eIDs: `eidas-loa-*`.
    Eidas,
    /// Self-registered e-mail: no proofing of who it is.
    Email,
    /// Employees: Ansattporten's own levels.
    Employee,
    /// People without a Norwegian number, by a weak eID: idporten-utland's.
    Helper,
}

/// One row of an issuer's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcrRow {
    /// The exact value of the `acr` claim.
    pub acr: String,
    /// What it is worth; `None` for a login without any level.
    pub level: Option<Level>,
    /// Whose scale it is on.
    pub framework: Framework,
    /// Whether it may be asked for with `acr_values` to reach its level.
    pub requestable: bool,
    /// Whether tokens carry it: some values are only asked for (dossier 1.3, 1.9).
    pub asserted: bool,
}

/// An issuer's table of `acr` values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcrTable(Vec<AcrRow>);

impl AcrTable {
    /// A table of these rows; of two rows for one value the later one counts.
    #[must_use]
    pub fn new(rows: Vec<AcrRow>) -> Self {
        let mut table: Vec<AcrRow> = Vec::with_capacity(rows.len());
        for row in rows {
            table.retain(|known| known.acr != row.acr);
            table.push(row);
        }
        Self(table)
    }

    /// What a token's `acr` is worth at this issuer; `None` if it is unknown.
    #[must_use]
    pub fn rank(&self, acr: &str) -> Option<&AcrRow> {
        self.0.iter().find(|row| row.asserted && row.acr == acr)
    }

    /// The value to ask for so that at least `level` is reached within `framework`.
    ///
    /// The lowest value that suffices: the provider may always return more (dossier 0, fact 6).
    #[must_use]
    pub fn request(&self, framework: Framework, level: Option<Level>) -> Option<&str> {
        self.0
            .iter()
            .filter(|row| row.requestable && row.framework == framework && row.level >= level)
            .min_by_key(|row| row.level)
            .map(|row| row.acr.as_str())
    }

    /// Whether a login with this `acr` is still worth this level, on this scale if it is known: somebody may have logged in
    /// when another file, or another version, said otherwise.
    #[must_use]
    pub fn still_says(&self, acr: &str, level: Option<Level>, framework: Option<Framework>) -> bool {
        if self.0.is_empty() {
            return level.is_none();
        }
        let same = |row: &AcrRow| row.level == level && framework.is_none_or(|one| one == row.framework);
        self.rank(acr).is_some_and(same)
    }

    /// The rows, in their order.
    #[must_use]
    pub fn rows(&self) -> &[AcrRow] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Profile;

    #[test]
    fn only_exact_values_have_a_rank() {
        let table = Profile::named("idporten").unwrap().acr_table();
        assert_eq!(table.rank("idporten-loa-high").unwrap().level, Some(Level::High));
        assert_eq!(table.rank("Level3").unwrap().level, Some(Level::Substantial));
        assert_eq!(table.rank("idporten-loa-substantial-limited").unwrap().level, Some(Level::Low));
        for unknown in ["high", "no-notified-high", "IDPORTEN-LOA-HIGH", "idporten-loa-high ", "", "eidas"] {
            assert!(table.rank(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn what_a_login_was_worth_is_compared_with_what_it_is_worth_now() {
        let table = Profile::named("idporten").unwrap().acr_table();
        let (high, national) = (Some(Level::High), Some(Framework::National));
        assert!(table.still_says("idporten-loa-high", high, national));
        assert!(table.still_says("idporten-loa-high", high, None));
        assert!(table.still_says("selfregistered-email", None, Some(Framework::Email)));
        for (acr, level, framework) in [
            ("idporten-loa-high", Some(Level::Substantial), national),
            ("idporten-loa-high", None, national),
            ("idporten-loa-high", high, Some(Framework::Eidas)),
            ("taken-away", high, national),
            ("", None, None),
        ] {
            assert!(!table.still_says(acr, level, framework), "{acr}");
        }
        let none = AcrTable::default();
        assert!(none.still_says("whatever", None, None) && !none.still_says("whatever", high, national));
    }

    #[test]
    fn the_lowest_sufficient_value_is_asked_for() {
        let table = Profile::named("idporten").unwrap().acr_table();
        let ask = |framework, level| table.request(framework, Some(level));
        assert_eq!(ask(Framework::National, Level::Substantial), Some("idporten-loa-substantial"));
        assert_eq!(ask(Framework::National, Level::Low), Some("idporten-loa-substantial"));
        assert_eq!(ask(Framework::Eidas, Level::High), Some("eidas-loa-high"));
    }
}
