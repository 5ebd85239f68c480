//! Which apps get people's access tokens.

use super::*;
use crate::provider::AccessTokens;

const CLIENT: &str = "    client_id: demo\n";
const APP: &str = "        access: login\n        upstream: app\n";

/// The base with these keys for the provider and for `/app/**`.
fn file(provider: &str, route: &str) -> String {
    let text = with(CLIENT, &format!("{CLIENT}{provider}"));
    text.replacen(APP, &format!("{APP}{route}"), 1)
}

const KEPT: &str = "    access_tokens: true\n";
const FORWARDED: &str = "        access_token: true\n";

#[test]
fn no_token_is_kept_or_forwarded_unless_the_file_says_so() {
    let loaded = check(BASE).unwrap();
    assert!(loaded.configuration.providers.iter().all(|provider| provider.access_tokens.is_none()));
    assert!(!route(&loaded, "/app/**").access_token && !route(&loaded, "/app/**").writes_authorization());
    let text = file(&format!("{KEPT}    resource: https://api.example.no/v1\n"), FORWARDED);
    assert_eq!(heads(&text), Vec::<String>::new());
    let loaded = check(&text).unwrap();
    let resource = Some("https://api.example.no/v1".to_owned());
    assert_eq!(loaded.configuration.providers[0].access_tokens, Some(AccessTokens { resource }));
    assert!(route(&loaded, "/app/**").access_token && !route(&loaded, "/").access_token);
    let explicit = file("    access_tokens: false\n", "        access_token: false\n");
    assert_eq!(heads(&explicit), Vec::<String>::new());
}

#[test]
fn what_could_not_work_is_said_with_its_place() {
    let one = |text: &str, expected: &str| {
        let found = heads(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:#?}");
    };
    one(&file("", FORWARDED), "24:23: no access token of the provider `idporten` is kept");
    one(&file(KEPT, ""), "12:20: warning: access tokens are kept, and no route forwards one");
    for access in ["public", "optional"] {
        let text = file(KEPT, FORWARDED).replacen("access: login", &format!("access: {access}"), 1);
        one(&text, "there is no person's token without a login");
    }
    one(&file("    resource: https://api.example.no\n", ""), "no access token is kept, whatever it is for");
    for resource in ["api", "'https://a/#b'", "'https://a b'", "'1a:b'", "'https:'"] {
        let text = file(&format!("{KEPT}    resource: {resource}\n"), FORWARDED);
        one(&text, "this is no absolute URI without a fragment");
    }
    let preset = "        assertion: true\n        headers: {preset: wonderwall}\n";
    one(
        &file(KEPT, &format!("{FORWARDED}{preset}")),
        "the app already gets the assertion in `Authorization`",
    );
    let machines = with("upstreams:", "  m: {profile: maskinporten, access_tokens: true}\nupstreams:");
    assert!(
        heads(&machines).iter().any(|head| head.contains("nobody logs in at a provider")),
        "{:#?}",
        heads(&machines)
    );
}
