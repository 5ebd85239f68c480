//! What is known of the countries whose eIDs log in here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::raw::RawEidas;
use crate::config::shape::{At, Desk};
use crate::forward::Persistence;
use crate::identity::is_country;

/// The table of countries: the file's, or what is known of them.
pub(super) fn persistence(raw: Option<&At<RawEidas>>, desk: &mut Desk<'_>) -> Arc<Persistence> {
    let Some(raw) = raw.map(|raw| &raw.value) else { return Arc::default() };
    let known = Persistence::default();
    let mut table = |given: Option<&At<Vec<At<String>>>>, known: &BTreeSet<String>| match given {
        Some(given) => countries(&given.value, desk),
        None => known.clone(),
    };
    let lasting = table(raw.persistent.as_ref(), known.lasting());
    let changing = table(raw.not_persistent.as_ref(), known.changing());
    for country in raw.persistent.iter().chain(&raw.not_persistent).flat_map(|list| &list.value) {
        if lasting.contains(&country.value) && changing.contains(&country.value) {
            desk.error(
                &country.span,
                format!("{} is persistent and not", desk.quoted(&country.span)),
                "keep it in one of `persistent` and `not_persistent`; where one is not given, its default counts",
            );
        }
    }
    Arc::new(Persistence::new(lasting, changing))
}

/// Countries as eIDAS writes them.
pub(super) fn countries(list: &[At<String>], desk: &mut Desk<'_>) -> BTreeSet<String> {
    for country in list {
        let hint = match country.value.as_str() {
            "GR" => Some("Greece is `EL` in eIDAS"),
            "UK" | "GB" => Some("the United Kingdom has no eIDAS node"),
            "NO" => Some("people with a Norwegian eID are of kind `national`"),
            other if !is_country(other) => Some("a country is two capital letters"),
            _ => None,
        };
        if let Some(hint) = hint {
            let message = format!("{} is no country here: {hint}", desk.quoted(&country.span));
            desk.error(&country.span, message, "write a country as in an eIDAS identifier, such as `SE`");
        }
    }
    super::distinct(list, desk).into_iter().collect()
}
