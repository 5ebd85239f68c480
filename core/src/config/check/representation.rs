//! For whom people are asked to act: the entries of `authorization_details` (RFC 9396; dossier 1.5, 1.13).

use serde_json::{Map, Value};

use crate::config::problem::one_of;
use crate::config::raw::RawDetails;
use crate::config::shape::{At, Desk};
use crate::identity::Representation;
use crate::identity::representation::POWER_OF_ATTORNEY;
use crate::provider::ProviderSettings;

const SERVICE: &str = "ansattporten:altinn:service";
const RESOURCE: &str = "ansattporten:altinn:resource";

/// What a route asks for; `None` if it is not sound, which is said.
pub(super) fn representation(
    raw: &At<Vec<At<RawDetails>>>,
    provider: &ProviderSettings,
    desk: &mut Desk<'_>,
) -> Option<Representation> {
    let before = desk.problems.len();
    let entries: Vec<Map<String, Value>> =
        raw.value.iter().filter_map(|details| entry(&details.value, provider, desk)).collect();
    if desk.problems.len() > before {
        return None;
    }
    let representation = Representation::of(&entries);
    if representation.is_err() {
        desk.error(
            &raw.span,
            "one login asks for one type, and for something",
            "keep entries of one `type`; let another route ask for the other",
        );
    }
    representation.ok()
}

fn entry(raw: &RawDetails, provider: &ProviderSettings, desk: &mut Desk<'_>) -> Option<Map<String, Value>> {
    let kind = raw.r#type.as_ref()?;
    let known = provider.profile.capabilities.authorization_details;
    if !known.contains(&kind.value.as_str()) {
        let message =
            format!("profile `{}` does not know the type {}", provider.profile.name, desk.quoted(&kind.span));
        let fix = if known.is_empty() {
            "remove `authorization_details`".to_owned()
        } else {
            format!("write {}", one_of(known.iter().copied()))
        };
        desk.error(&kind.span, message, fix);
        return None;
    }
    check_options(raw, kind, desk);
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("type", kind.value.as_str().into());
    if let Some(resource) = &raw.resource {
        put("resource", resource.value.as_str().into());
    }
    let list = |given: &Vec<At<String>>| {
        Value::from(given.iter().map(|item| item.value.clone()).collect::<Vec<_>>())
    };
    if let Some(actions) = &raw.actions {
        put("actions", list(&actions.value));
    }
    if let Some(form) = &raw.organizationform {
        put("organizationform", form.value.as_str().into());
    }
    if let Some(roles) = &raw.permission_roles {
        put("permission_roles", list(&roles.value));
    }
    for (name, switch) in [
        ("allow_multiple_organizations", &raw.allow_multiple_organizations),
        ("allow_deleted_organizations", &raw.allow_deleted_organizations),
        ("representation_is_required", &raw.representation_is_required),
    ] {
        // A text, as in the provider's sample.
        if switch.as_ref().is_some_and(|switch| switch.value) {
            put(name, "true".into());
        }
    }
    Some(entry)
}

/// Each type has its own options.
fn check_options(raw: &RawDetails, kind: &At<String>, desk: &mut Desk<'_>) {
    let is_altinn = matches!(kind.value.as_str(), SERVICE | RESOURCE);
    let span = |given: Option<&crate::config::problem::Span>| given.cloned();
    let options = [
        ("resource", span(raw.resource.as_ref().map(|it| &it.span)), is_altinn),
        ("actions", span(raw.actions.as_ref().map(|it| &it.span)), kind.value == RESOURCE),
        ("organizationform", span(raw.organizationform.as_ref().map(|it| &it.span)), is_altinn),
        (
            "permission_roles",
            span(raw.permission_roles.as_ref().map(|it| &it.span)),
            kind.value == POWER_OF_ATTORNEY,
        ),
    ];
    for (name, given, fits) in &options {
        if let Some(given) = given.as_ref().filter(|_| !fits) {
            desk.error(given, format!("`{name}` means nothing for the type `{}`", kind.value), "remove it");
        }
    }
    let needs_roles = kind.value == POWER_OF_ATTORNEY && raw.permission_roles.is_none();
    if needs_roles && !raw.unread.contains(&"permission_roles") {
        desk.error(&kind.span, "`permission_roles` is missing", "add the roles that are asked for");
    }
    if !is_altinn {
        return;
    }
    let parts = if kind.value == SERVICE { 2 } else { 1 };
    match &raw.resource {
        None if raw.unread.contains(&"resource") => {}
        None => desk.error(&kind.span, "`resource` is missing", "add `resource: urn:altinn:resource:…`"),
        Some(resource) => {
            let id = resource.value.strip_prefix("urn:altinn:resource:").unwrap_or_default();
            let word = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            if id.split(':').count() != parts || !id.split(':').all(word) {
                let fix = if parts == 2 {
                    "write `urn:altinn:resource:CODE:EDITION`"
                } else {
                    "write `urn:altinn:resource:ID`"
                };
                desk.error(&resource.span, "this is no resource of Altinn's for that type", fix);
            }
        }
    }
}
