//! What comes back, and what an app keeps itself.

use super::*;

const APP: &str = "  app: {url: \"http://127.0.0.1:8083\"}";

fn with_app(keys: &str) -> String {
    format!("  app: {{url: \"http://127.0.0.1:8083\", {keys}}}")
}

#[test]
fn session_cookies_of_an_app_are_named_on_its_upstream() {
    let text = with(
        APP,
        &with_app("app_cookies: [JSESSIONID, 'ASPSESSIONID*'], app_logout: {path: '/bye?x=1', method: POST}"),
    );
    let loaded = check(&text).unwrap();
    for pattern in ["/", "/app/**"] {
        let app = route(&loaded, pattern).app_session.as_ref().unwrap();
        let logout = app.logout().unwrap();
        assert_eq!((logout.target.as_str(), logout.post), ("/bye?x=1", true));
    }
    assert!(route(&check(BASE).unwrap(), "/app/**").app_session.is_none());
    for (keys, expected) in [
        ("app_cookies: []", "13:52: an empty list"),
        ("app_cookies: [a b]", "13:53: `a b` names no cookie"),
        ("app_cookies: ['*']", "13:53: `*` names no cookie"),
        ("app_cookies: [portvakt-x]", "13:53: `portvakt-x` names no cookie"),
        ("app_logout: {path: /bye}", "13:52: `app_logout` has no effect without `app_cookies`"),
        ("app_cookies: [SID], app_logout: {path: bye}", "13:78: `bye` is no path of an app"),
        ("app_cookies: [SID], app_logout: {path: /a/../b}", "13:78: `/a/../b` is no path"),
        ("app_cookies: [SID], app_logout: {path: /a, method: PUT}", "13:90: `PUT` is not known here"),
    ] {
        one(APP, &with_app(keys), expected);
    }
}

/// One replacement in the base leads to one problem, which begins so.
fn one(old: &str, new: &str, expected: &str) {
    let found = heads(&with(old, new));
    assert!(
        found.len() == 1 && found[0].starts_with(expected),
        "{new}\n  expected {expected}\n  found {found:?}"
    );
}
