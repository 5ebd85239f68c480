//! Access tokens of people, for apps that call APIs as them (dossier 2.8).
//!
//! **Invariant:** none is kept, and none reaches an app, where the file does not say so.

use super::host::Surroundings;
use super::{Desk, span_of};
use crate::config::raw::{RawAccess, RawFile, RawProvider, RawRoute};
use crate::forward::HeaderPlan;
use crate::provider::{AccessTokens, Profile, ProviderSettings};

/// Whether a provider's access tokens are kept, and for which API they are.
pub(super) fn kept(raw: &RawProvider, profile: &Profile, desk: &mut Desk<'_>) -> Option<AccessTokens> {
    let wanted = raw.access_tokens.as_ref().filter(|wanted| wanted.value);
    if let Some(wanted) = wanted.filter(|_| !profile.capabilities.people) {
        let message = format!("nobody logs in at a provider of profile `{}`", profile.name);
        desk.error(
            &wanted.span,
            message,
            "remove it; `token: {forward: true}` on a route passes a machine's token on",
        );
    }
    if let Some(resource) = &raw.resource {
        if !is_absolute_uri(&resource.value) {
            let fix = "write one such as `https://api.example.no`, exactly as the API wants it in `aud`";
            desk.error(&resource.span, "this is no absolute URI without a fragment (RFC 8707, 2)", fix);
        }
        if wanted.is_none() && !raw.unread.contains(&"access_tokens") {
            let fix = "write `access_tokens: true` too, or remove this";
            desk.error(&resource.span, "no access token is kept, whatever it is for", fix);
        }
    }
    let resource = raw.resource.as_ref().map(|resource| resource.value.clone());
    wanted.map(|_| AccessTokens { resource })
}

/// RFC 3986, 4.3, as far as a parameter needs it.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && (1..=512).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte))
}

/// Whether the app of a route gets the person's token.
pub(super) fn of_route(
    raw: &RawRoute,
    providers: &[&ProviderSettings],
    headers: &HeaderPlan,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> bool {
    let Some(wanted) = raw.access_token.as_ref().filter(|wanted| wanted.value) else { return false };
    if let Some(access) = raw.access.as_ref().filter(|access| access.value != RawAccess::Login) {
        let line = desk.line(&access.span);
        let message = "there is no person's token without a login";
        desk.error(&wanted.span, message, format!("write `access: login` on line {line}, or remove this"));
        return false;
    }
    for provider in providers.iter().filter(|provider| provider.access_tokens.is_none()) {
        let name = &provider.name;
        let place = surroundings.sessions.providers.place_of(name);
        let line = place.map(|span| format!(" on line {}", desk.line(span))).unwrap_or_default();
        desk.error(
            &wanted.span,
            format!("no access token of the provider `{name}` is kept"),
            format!("write `access_tokens: true` for the provider{line}, or remove this"),
        );
    }
    if headers.is_bearer() {
        let preset = raw.headers.as_ref().map(|headers| headers.value.preset.as_ref());
        desk.error(
            &wanted.span,
            format!(
                "the app already gets the assertion in `Authorization`, by the preset on line {}",
                desk.line(&span_of(preset.flatten(), &wanted.span))
            ),
            "remove one of the two: there is one `Authorization`",
        );
    }
    true
}

/// A provider's tokens that no app gets are a risk without a use.
pub(super) fn warn_of_unused(file: &RawFile, desk: &mut Desk<'_>) {
    let routes = || {
        let hosts = file.hosts.iter().flat_map(|hosts| &hosts.value);
        hosts.filter_map(|host| host.value.routes.as_ref()).flat_map(|routes| &routes.value)
    };
    if routes().any(|route| route.value.access_token.as_ref().is_some_and(|wanted| wanted.value)) {
        return;
    }
    let providers = file.providers.iter().flat_map(|providers| &providers.value.0);
    for provider in providers.filter_map(|(_, provider)| provider.as_ref()) {
        if let Some(wanted) = provider.value.access_tokens.as_ref().filter(|wanted| wanted.value) {
            let fix = "write `access_token: true` on the routes whose apps need one, or remove this";
            desk.warn(&wanted.span, "access tokens are kept, and no route forwards one", fix);
        }
    }
}
