//! Where machines pass, and with which tokens.

use super::*;
use crate::access::TokenRule;

const APP: &str = "        access: login\n";

/// The base with a provider of machines, and these keys on `/app/**`.
fn api(keys: &str) -> String {
    with("upstreams:", "  machines: {profile: maskinporten}\nupstreams:").replacen(APP, keys, 1)
}

fn rule(text: &str) -> TokenRule {
    route(&check(text).unwrap(), "/app/**").access.token_rule().unwrap().clone()
}

#[test]
fn a_route_says_what_a_token_must_be_worth() {
    let text = api(
        "        access: token\n        token:\n          scopes: ['agency:cases.read', 'agency:cases.write']\n          consumers: ['310123455']\n          delegation: ['https://tt02.altinn.no/']\n          suppliers: ['213987658']\n          audience: https://api.example\n          forward: true\n",
    );
    let loaded = check(&text).unwrap();
    assert_eq!(heads(&text), Vec::<String>::new());
    let found = route(&loaded, "/app/**");
    assert!(matches!(found.access, Access::Token(_)) && found.access.requirement().is_none());
    let rule = rule(&text);
    assert_eq!((rule.provider.as_str(), rule.audience.as_deref()), ("machines", Some("https://api.example")));
    assert_eq!(rule.scopes.len() + rule.consumers.len() + rule.delegation.len() + rule.suppliers.len(), 5);
    assert!(rule.forward);
    let machines =
        loaded.configuration.providers.iter().find(|provider| provider.name == "machines").unwrap();
    assert_eq!(machines.issuer, "https://test.maskinporten.no/");
    assert!(!machines.has_client_key());
}

#[test]
fn the_default_is_no_supplier_no_audience_and_no_token_for_the_app() {
    let text = api("        access: token\n        token: {scopes: ['a:b']}\n");
    let rule = rule(&text);
    assert!(rule.delegation.is_empty() && rule.audience.is_none() && !rule.forward);
    // A host where nobody logs in needs no provider of people.
    let machines_alone = text
        .replace("    provider: idporten\n    routes", "    routes")
        .replace("  idporten:\n    profile: idporten\n    client_id: demo\n", "");
    assert_eq!(heads(&machines_alone), Vec::<String>::new());
}

#[test]
fn a_route_takes_people_and_machines_where_it_says_so() {
    let text = api("        access: login\n        token: {scopes: ['a:b']}\n");
    let loaded = check(&text).unwrap();
    let Access::LoginOrToken(requirement, rule) = &route(&loaded, "/app/**").access else { panic!() };
    assert_eq!(requirement.level, Some(Level::Substantial));
    assert_eq!(rule.provider, "machines");
}

#[test]
fn what_is_said_of_logins_where_nobody_logs_in_is_told_to_do_nothing() {
    let given = "  machines: {profile: maskinporten, client_id: m, scopes: [openid], par: required, callback: own}\nupstreams:";
    let text = api("        access: token\n        token: {scopes: [a]}\n").replacen(
        "  machines: {profile: maskinporten}\nupstreams:",
        given,
        1,
    );
    let heads = heads(&text);
    for key in ["client_id", "scopes", "par", "callback"] {
        let expected =
            format!("warning: `{key}` has no effect: nobody logs in at a provider of profile `maskinporten`");
        assert!(heads.iter().any(|head| head.contains(&expected)), "{key}: {heads:?}");
    }
    assert_eq!(heads.len(), 4, "{heads:?}");
}

#[test]
fn what_would_let_anybody_in_or_nobody_does_not_load() {
    let both = "  machines: {profile: maskinporten}\n  others: {profile: maskinporten, issuer: 'https://m.example/'}\nupstreams:";
    let two = |keys: &str| with("upstreams:", both).replacen(APP, keys, 1);
    for (text, expected) in [
        (api("        access: token\n"), "no token is enough"),
        (api("        access: token\n        token: {}\n"), "`scopes` is missing"),
        (api("        access: token\n        token: {scopes: []}\n"), "an empty list stands where"),
        (api("        access: token\n        token: {scopes: ['a b']}\n"), "this is no scope"),
        (api("        access: token\n        token: {scope: a}\n"), "did you mean `scopes`?"),
        (
            api("        access: public\n        token: {scopes: [a]}\n"),
            "`token` has no effect where everybody",
        ),
        (
            api("        access: optional\n        token: {scopes: [a]}\n"),
            "`token` has no effect where everybody",
        ),
        (
            api("        access: token\n        token: {scopes: [a], consumers: []}\n"),
            "an empty list stands where",
        ),
        (
            api("        access: token\n        token: {scopes: [a], consumers: ['123456789']}\n"),
            "is no organisation",
        ),
        (
            api("        access: token\n        token: {scopes: [a], suppliers: ['213987658']}\n"),
            "no supplier acts",
        ),
        (
            api("        access: token\n        token: {scopes: [a], delegation: ['a b']}\n"),
            "no source of delegations",
        ),
        (
            api("        access: token\n        token: {scopes: [a], audience: unspecified}\n"),
            "no audience at all",
        ),
        (
            api("        access: token\n        token: {scopes: [a], audience: 'a b'}\n"),
            "this is no audience",
        ),
        (
            api(
                "        access: token\n        headers: {preset: siteminder}\n        token: {scopes: [a]}\n",
            ),
            "no product before this one",
        ),
        (
            api("        access: token\n        require: {level: high}\n        token: {scopes: [a]}\n"),
            "`require` has no effect on a route for machines",
        ),
        (
            api("        access: token\n        websocket: true\n        token: {scopes: [a]}\n"),
            "no WebSocket is opened",
        ),
        (
            api("        access: login\n        websocket: true\n        token: {scopes: [a]}\n"),
            "no WebSocket is opened",
        ),
        (
            api("        access: token\n        token: {scopes: [a], provider: idporten}\n"),
            "people log in at `idporten`",
        ),
        (
            api("        access: token\n        token: {scopes: [a], provider: machine}\n"),
            "there is no provider",
        ),
        (two("        access: token\n        token: {scopes: [a]}\n"), "several providers vouch"),
        (with(APP, "        access: token\n        token: {scopes: [a]}\n"), "no provider vouches"),
        (
            api("        access: token\n        token: {scopes: [a]}\n").replace(
                "{profile: maskinporten}",
                "{profile: maskinporten, issuer: 'https://test.idporten.no/'}",
            ),
            "people log in at the same issuer",
        ),
    ] {
        let found = heads(&text);
        assert!(
            found.iter().any(|head| head.contains(expected) && !head.contains("warning")),
            "{expected}: {found:?}"
        );
        assert!(check(&text).is_err(), "{text}");
    }
    let named = two("        access: token\n        token: {scopes: [a], provider: others}\n");
    assert_eq!(rule(&named).provider, "others");
    // What speaks of a login is told to be of no use.
    let idle = heads(&api("        access: token\n        activity: any\n        token: {scopes: [a]}\n"));
    assert!(idle.iter().any(|head| head.contains("warning: `activity` has no effect")), "{idle:?}");
}

#[test]
fn expectations_suppose_machines() {
    let tests = "tests:\n  - {request: 'GET http://localhost:8080/app/', as: 'machine,scope=a:b', expect: forward}\n  - {request: 'GET http://localhost:8080/app/', expect: token}\n";
    let text = api("        access: token\n        token: {scopes: ['a:b']}\n") + tests;
    let loaded = check(&text).unwrap();
    let [machine, nobody] = loaded.configuration.tests.as_slice() else { panic!() };
    assert!(machine.who.as_ref().unwrap().is_machine());
    assert_eq!((nobody.outcome, nobody.outcome.as_str()), (Outcome::Token, "token"));
}
