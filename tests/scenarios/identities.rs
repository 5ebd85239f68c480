//! Who people are at the sisters of ID-porten, from the browser to the app's headers (dossier 1.9).
//!
//! **Invariant:** the app is told what the provider asserted and nothing else: all identity fields are compared.

use crate::harness::{Settings, World};

/// The facts that the app was told with its last request, but for those that differ each time.
fn told(world: &World) -> Vec<(String, String)> {
    let last = world.app.last();
    let facts =
        last.identity().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let changing = ["x-identity-auth-time", "x-identity-subject", "x-identity-session"];
    let (varies, facts): (Vec<_>, Vec<_>) = facts.partition(|(name, _)| changing.contains(&name.as_str()));
    assert_eq!(varies.len(), changing.len(), "{varies:?}");
    assert!(varies.iter().all(|(_, value)| !value.is_empty()), "{varies:?}");
    facts
}

/// What [`told`] is compared with.
fn facts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (format!("x-identity-{name}"), (*value).to_owned())).collect()
}

#[test]
fn signicat_tells_in_userinfo_who_it_is() {
    let routes = [
        "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}",
        "{path: '/high/**', access: login, require: {level: high}, upstream: app}",
    ];
    let world = World::with(Settings::default().at("signicat", "signicat", &routes));
    let mut browser = world.browser();
    let page = browser.log_in("/app/letters?x=1", "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"), "{}", page.text());
    let expected = facts(&[
        ("kind", "national"),
        ("fnr", "24929935140"),
        ("loa", "high"),
        ("acr", "idporten-loa-high"),
        ("amr", "BankID"),
        ("provider", "idporten"),
        ("given-name", "Nora"),
        ("family-name", "Berg"),
    ]);
    assert_eq!(told(&world), expected);
    assert_eq!(world.calls("userinfo"), 1);
    // The session holds it: the provider is not asked again.
    assert_eq!(browser.open("/high/file").status(), 200);
    assert_eq!((told(&world), world.calls("userinfo")), (expected, 1));
    world.finish();
}
