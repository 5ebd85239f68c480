//! What a machine's token must be worth for a route (dossier 1.6).
//!
//! **Invariant:** a route takes tokens only where it names at least one scope, and of suppliers only where it names the
//! place at which their right was agreed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::distinct;
use super::host::Surroundings;
use crate::access::TokenRule;
use crate::config::raw::{RawAccess, RawRoute, RawToken};
use crate::config::shape::{At, Desk};
use crate::identity::{OrganisationNumber, machine};
use crate::token::is_scope;

/// The rule of a route, if it takes tokens.
pub(super) fn rule(
    access: &At<RawAccess>,
    raw: &RawRoute,
    surroundings: &Surroundings<'_>,
    desk: &mut Desk<'_>,
) -> Option<Arc<TokenRule>> {
    let Some(token) = &raw.token else {
        if access.value == RawAccess::Token && !raw.unread.contains(&"token") {
            desk.error(
                &access.span,
                "no token is enough: the route does not say what it must be worth",
                "add `token: {scopes: [...]}`",
            );
        }
        return None;
    };
    if let RawAccess::Public | RawAccess::Optional = access.value {
        let line = desk.line(&access.span);
        desk.error(
            &token.span,
            "`token` has no effect where everybody passes",
            format!("write `access: token` on line {line}, or `access: login` for people and machines"),
        );
    }
    if let Some(websocket) = raw.websocket.as_ref().filter(|websocket| websocket.value) {
        desk.error(
            &websocket.span,
            "no WebSocket is opened where machines come: their tokens end, and it would not",
            "give WebSockets a route of their own, or remove `token`",
        );
    }
    if let Some(preset) = raw.headers.as_ref().and_then(|headers| headers.value.preset.as_ref()) {
        desk.error(
            &preset.span,
            "no product before this one told of machines: the app would take one for nobody",
            "remove `preset`, or give machines a route of their own",
        );
    }
    // Everything is checked before anything is missed.
    let raw = &token.value;
    let scopes = scopes(raw, desk);
    let consumers = numbers(raw.consumers.as_ref(), desk);
    let suppliers = numbers(raw.suppliers.as_ref(), desk);
    let delegation = delegation(raw, desk);
    if let Some(given) = raw.suppliers.as_ref().filter(|_| raw.delegation.is_none()) {
        desk.error(
            &given.span,
            "no supplier acts for anybody here",
            "add `delegation: [\"https://altinn.no/\"]`, or remove `suppliers`",
        );
    }
    let audience = raw.audience.as_ref().map(|given| audience(given, desk));
    let provider = surroundings.sessions.providers.find_of_machines(raw.provider.as_ref(), &token.span, desk);
    Some(Arc::new(TokenRule {
        provider: provider?,
        scopes: scopes?,
        consumers,
        delegation,
        suppliers,
        audience,
        forward: raw.forward.as_ref().is_some_and(|forward| forward.value),
    }))
}

fn scopes(raw: &RawToken, desk: &mut Desk<'_>) -> Option<BTreeSet<String>> {
    let given = raw.scopes.as_ref()?;
    for scope in given.value.iter().filter(|scope| !is_scope(&scope.value)) {
        desk.error(
            &scope.span,
            "this is no scope",
            "write each scope as an entry of its own, whole: `[\"agency:cases.read\"]`",
        );
    }
    Some(distinct(&given.value, desk).into_iter().collect())
}

fn numbers(given: Option<&At<Vec<At<String>>>>, desk: &mut Desk<'_>) -> BTreeSet<OrganisationNumber> {
    let Some(given) = given else { return BTreeSet::new() };
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

fn delegation(raw: &RawToken, desk: &mut Desk<'_>) -> BTreeSet<String> {
    let Some(given) = &raw.delegation else { return BTreeSet::new() };
    for source in given.value.iter().filter(|source| !machine::is_source(&source.value)) {
        desk.error(
            &source.span,
            "this is no source of delegations",
            "write it exactly as in `delegation_source`, such as `https://altinn.no/`",
        );
    }
    distinct(&given.value, desk).into_iter().collect()
}

fn audience(given: &At<String>, desk: &mut Desk<'_>) -> String {
    let plain = given.value.bytes().all(|byte| byte.is_ascii_graphic());
    if given.value.is_empty() || given.value.len() > 256 || !plain {
        desk.error(
            &given.span,
            "this is no audience",
            "write it exactly as in `aud`, such as `https://api.example.no`",
        );
    } else if given.value == "unspecified" {
        desk.error(
            &given.span,
            "`unspecified` stands for no audience at all",
            "name the audience, or remove the line",
        );
    }
    given.value.clone()
}
