//! What a route takes beyond level, kind and age: provider, country, method, organisation, and what it asks for.
//!
//! **Invariant:** every rule says what it takes. One that can take nobody, or that judges what no login there
//! brings, does not load.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::host::Surroundings;
use super::{distinct, eidas, representation};
use crate::access::Requirement;
use crate::config::raw::{RawOrganisation, RawRequire, RawRoute};
use crate::config::shape::{At, Desk};
use crate::identity::{Kind, OrganisationNumber, Representation};
use crate::level::Framework;
use crate::provider::ProviderSettings;

/// The whole requirement.
pub(super) fn beyond(
    requirement: Requirement,
    raw: &RawRoute,
    require: &RawRequire,
    provider: &ProviderSettings,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Requirement {
    let asked = raw
        .authorization_details
        .as_ref()
        .and_then(|details| representation::representation(details, provider, desk))
        .map(|asked| chosen(raw, asked, desk))
        .map(Arc::new);
    let requirement = Requirement {
        number: number(raw, require, &requirement, provider, desk),
        providers: providers(require, provider, surroundings, desk),
        countries: countries(require, &requirement, desk),
        not_amr: not_amr(require, desk),
        organisations: organisations(require, desk),
        organisation: asked.as_ref().is_some_and(|asked| asked.asks_for_organisations())
            && require.organisation.as_ref().is_none_or(|given| given.value == RawOrganisation::Required),
        representation: asked,
        ..requirement
    };
    check_asked(raw, require, &requirement, desk);
    Requirement { acr_values: acr_values(raw, &requirement, provider, desk), ..requirement }
}

/// Of what is asked for, whether one is chosen.
fn chosen(raw: &RawRoute, asked: Representation, desk: &mut Desk<'_>) -> Representation {
    let Some(given) = raw.choose_organisation.as_ref().filter(|given| given.value) else { return asked };
    if asked.allows_several() {
        return asked.choosing();
    }
    desk.error(
        &given.span,
        "there is nothing to choose from: the provider is asked for one organisation",
        "add `allow_multiple_organizations: true` to `authorization_details`, or remove it",
    );
    asked
}

/// The same where people choose between several ways in: what a rule says of one provider is said by the choice.
pub(super) fn beyond_choice(
    requirement: Requirement,
    raw: &RawRoute,
    require: &RawRequire,
    providers: &[&ProviderSettings],
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Requirement {
    let of_one = [
        ("providers", require.providers.as_ref().map(|field| &field.span), "`choose` names the providers"),
        (
            "acr_values",
            raw.acr_values.as_ref().map(|field| &field.span),
            "each provider has values of its own",
        ),
    ];
    let mut unsound = false;
    for (key, span, why) in of_one.into_iter().filter_map(|(key, span, why)| Some((key, span?, why))) {
        unsound = true;
        desk.error(span, format!("`{key}` cannot be said where people choose: {why}"), "remove it");
    }
    let details = raw.authorization_details.iter().flat_map(|details| &details.value);
    let asked: Vec<&str> =
        details.filter_map(|details| Some(details.value.r#type.as_ref()?.value.as_str())).collect();
    let knows = |provider: &&&ProviderSettings| {
        let known = provider.profile.capabilities.authorization_details;
        !asked.is_empty() && asked.iter().all(|kind| known.contains(kind))
    };
    let asking: Vec<&&ProviderSettings> = providers.iter().filter(knows).collect();
    let Some(&&provider) = asking.first().or(providers.first().as_ref()).filter(|_| !unsound) else {
        return requirement;
    };
    let asked_at = if asking.len() < providers.len() {
        asking.iter().map(|provider| provider.name.clone()).collect()
    } else {
        BTreeSet::new()
    };
    Requirement { asked_at, ..beyond(requirement, raw, require, provider, surroundings, desk) }
}

fn providers(
    require: &RawRequire,
    provider: &ProviderSettings,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> BTreeSet<String> {
    let Some(given) = &require.providers else { return BTreeSet::new() };
    for name in &given.value {
        surroundings.sessions.providers.find(name, desk);
    }
    if !given.value.iter().any(|name| name.value == provider.name) {
        desk.error(
            &given.span,
            format!("nobody passes: people log in at `{}` here", provider.name),
            format!("add `{}`", provider.name),
        );
    }
    distinct(&given.value, desk).into_iter().collect()
}

/// Whether the person must have a number; where people choose, each way is judged by it.
fn number(
    raw: &RawRoute,
    require: &RawRequire,
    requirement: &Requirement,
    provider: &ProviderSettings,
    desk: &mut Desk<'_>,
) -> bool {
    let Some(given) = require.fnr.as_ref().filter(|given| given.value) else { return false };
    if raw.choose.is_none() && provider.profile.claims.pid.is_empty() {
        desk.error(
            &given.span,
            format!("nobody passes: the provider `{}` never asserts a number", provider.name),
            "remove it, or let people log in at a provider that does",
        );
    } else if !requirement.kinds.is_empty() && !requirement.kinds.iter().any(|kind| kind.may_have_number()) {
        desk.error(
            &given.span,
            "nobody passes: nobody of the kinds that the route takes has a number",
            "remove it, or take `national`, `eidas` or `employee`",
        );
    }
    true
}

fn countries(require: &RawRequire, requirement: &Requirement, desk: &mut Desk<'_>) -> BTreeSet<String> {
    let Some(given) = &require.countries else { return BTreeSet::new() };
    let countries = eidas::countries(&given.value, desk);
    if !requirement.kinds.is_empty() && !requirement.kinds.contains(&Kind::Eidas) {
        desk.error(
            &given.span,
            "no foreign eID passes here, from whatever country",
            "add `eidas` to `kinds`, or remove `countries`",
        );
    }
    countries
}

fn not_amr(require: &RawRequire, desk: &mut Desk<'_>) -> BTreeSet<String> {
    let Some(given) = &require.not_amr else { return BTreeSet::new() };
    for method in &given.value {
        let plain =
            method.value.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b',');
        if method.value.is_empty() || method.value.len() > 48 || !plain {
            desk.error(
                &method.span,
                "this is no method of authentication",
                "write it as in the provider's `amr`",
            );
        }
    }
    distinct(&given.value, desk).iter().map(|method| method.to_ascii_lowercase()).collect()
}

fn organisations(require: &RawRequire, desk: &mut Desk<'_>) -> BTreeSet<OrganisationNumber> {
    let Some(given) = &require.organisations else { return BTreeSet::new() };
    let mut numbers = BTreeSet::new();
    for number in &given.value {
        match OrganisationNumber::parse(&number.value) {
            Ok(parsed) => _ = numbers.insert(parsed),
            Err(_) => desk.error(
                &number.span,
                format!("{} is no organisation number", desk.quoted(&number.span)),
                "write nine digits, in quotes",
            ),
        }
    }
    numbers
}

/// Rules about organisations need somebody to be asked for them, and employees who may answer.
fn check_asked(raw: &RawRoute, require: &RawRequire, requirement: &Requirement, desk: &mut Desk<'_>) {
    let asks = requirement.representation.as_ref().is_some_and(|asked| asked.asks_for_organisations());
    let unsound = raw.authorization_details.is_some() && requirement.representation.is_none();
    let chosen =
        raw.choose_organisation.as_ref().filter(|given| given.value && raw.authorization_details.is_none());
    let rules = [
        ("choose_organisation", chosen.map(|field| &field.span)),
        ("organisation", require.organisation.as_ref().map(|field| &field.span)),
        ("organisations", require.organisations.as_ref().map(|field| &field.span)),
    ];
    for (key, span) in rules.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        if !asks && !unsound {
            desk.error(
                span,
                format!("`{key}` has no effect: nobody is asked which organisation they represent"),
                "add `authorization_details` to the route, at a provider of profile `ansattporten`",
            );
        }
    }
}

/// At most one eIDAS value: the provider supports no request for both (dossier 1.2.2; 7, 1).
fn acr_values(
    raw: &RawRoute,
    requirement: &Requirement,
    provider: &ProviderSettings,
    desk: &mut Desk<'_>,
) -> Vec<String> {
    let Some(given) = &raw.acr_values else { return Vec::new() };
    let mut european: Option<&At<String>> = None;
    for value in &given.value {
        let quoted = desk.quoted(&value.span);
        let rows = provider.acr.rows();
        let Some(row) = rows.iter().find(|row| row.acr == value.value && row.requestable) else {
            desk.error(
                &value.span,
                format!("{quoted} cannot be asked for at the provider `{}`", provider.name),
                "write a value that it knows, or say what it is worth with the provider's `acr`",
            );
            continue;
        };
        if row.framework == Framework::Eidas && european.replace(value).is_some() {
            desk.error(
                &value.span,
                "ID-porten supports no request for two eIDAS levels",
                "keep the lowest that will do: most countries have no higher one, and who has it brings it",
            );
        }
        let fits = |kind: &Kind| kind.framework() == Some(row.framework);
        if !requirement.kinds.is_empty() && !requirement.kinds.iter().any(fits) {
            desk.error(
                &value.span,
                format!("who logs in by {quoted} does not pass: it is of no kind that the route takes"),
                "remove it, or add the kind to `require.kinds`",
            );
        } else if row.level < requirement.level && row.framework != Framework::Email {
            desk.error(
                &value.span,
                format!("who logs in by {quoted} does not pass: its level is too low for the route"),
                "remove it, or lower `require.level`",
            );
        }
    }
    distinct(&given.value, desk)
}
