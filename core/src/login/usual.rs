//! What a provider's logins can be worth, and what is asked for where nobody says: one source for the
//! configuration's check and for logins that belong to no route.

use crate::identity::{Kind, Kinds};
use crate::level::{AcrRow, Framework, Level};
use crate::provider::ProviderSettings;

/// The kinds that are asked for where none is named: the first that the provider asserts of national, employee,
/// helper. A value of `acr` that an operator adds says what it is worth, and not for whom the other routes are.
#[must_use]
pub fn kinds(provider: &ProviderSettings) -> Kinds {
    let usual = [Kind::National, Kind::Employee, Kind::Helper];
    let asserted: Vec<Kind> = usual.into_iter().filter(|kind| asserts(provider, *kind)).collect();
    let of_profile = |kind: &&Kind| {
        provider.profile.acr_table().rows().iter().any(|row| Some(row.framework) == kind.framework())
    };
    asserted.iter().find(of_profile).or(asserted.first()).copied().into_iter().collect()
}

/// The level that is asked for where none is named: `substantial` where the provider has levels, unless the kinds
/// never reach it: e-mail alone has no level.
#[must_use]
pub fn level(provider: &ProviderSettings, kinds: &Kinds) -> Option<Level> {
    let usual = Some(Level::Substantial);
    let has_levels = provider.acr.rows().iter().any(|row| row.level.is_some());
    let reachable = kinds.is_empty() || kinds.iter().any(|kind| reaches(provider, *kind, usual));
    if has_levels && reachable { usual } else { None }
}

/// Whether a login at the provider can end in this kind of identity.
#[must_use]
pub fn asserts(provider: &ProviderSettings, kind: Kind) -> bool {
    let claims = &provider.profile.claims;
    let has = |framework| provider.acr.rows().iter().any(|row| row.framework == framework);
    match kind {
        Kind::National => !claims.pid.is_empty() && has(Framework::National),
        Kind::Eidas => !claims.eidas_identifier.is_empty() && has(Framework::Eidas),
        Kind::Email => has(Framework::Email),
        Kind::Employee => has(Framework::Employee),
        Kind::Helper => !claims.helper_number.is_empty() && has(Framework::Helper),
        // Every employee is told as such.
        Kind::Pseudonymous => claims.pid.is_empty() || has(Framework::National),
        Kind::Machine => false,
    }
}

/// Whether such a login can be asked for so that it reaches the level.
#[must_use]
pub fn reaches(provider: &ProviderSettings, kind: Kind, level: Option<Level>) -> bool {
    let fits = |row: &&AcrRow| kind.framework().is_none_or(|framework| row.framework == framework);
    level.is_none()
        || provider.acr.rows().iter().filter(fits).any(|row| row.requestable && row.level >= level)
}
