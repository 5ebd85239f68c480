//! What comes back, and what an app keeps itself.

use super::*;
use crate::cross_site::CrossSite;

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

const LOGIN: &str = "        access: login\n";

fn login_with(keys: &str) -> String {
    format!("{LOGIN}        {keys}\n")
}

#[test]
fn pages_of_other_origins_change_nothing_where_people_log_in_unless_the_file_says_so() {
    let policy = |text: &str, pattern: &str| route(&check(text).unwrap(), pattern).cross_site;
    assert_eq!(policy(BASE, "/app/**"), CrossSite::RefuseUnsafe);
    assert_eq!(policy(BASE, "/"), CrossSite::Allow);
    for (keys, expected) in [
        ("cross_site: allow", CrossSite::Allow),
        ("cross_site: refuse", CrossSite::Refuse),
        ("cors: pass", CrossSite::Allow),
        ("cors: {origins: ['https://a.no']}", CrossSite::RefuseUnsafe),
    ] {
        assert_eq!(policy(&with(LOGIN, &login_with(keys)), "/app/**"), expected, "{keys}");
    }
    one(
        LOGIN,
        &login_with("cross_site: refused"),
        "23:21: `refused` is not known here; did you mean `refuse`?",
    );
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    let text = with(
        LOGIN,
        &login_with("cors: {origins: ['https://Portal.example:443', 'http://b.no:81'], credentials: true}"),
    );
    let loaded = check(&text).unwrap();
    assert_eq!(route(&loaded, "/app/**").cors.origins(), ["https://portal.example", "http://b.no:81"]);
    for (keys, expected) in [
        ("cors: {}", "23:15: `origins` is missing"),
        ("cors: {origins: ['*'], credentials: true}", "23:16: `*` is everybody"),
        ("cors: {origins: ['*', 'https://a.no']}", "23:16: `*` is everybody"),
        ("cors: {origins: ['https://a.no/']}", "23:26: this is no origin"),
        ("cors: {origins: ['https://*.a.no']}", "23:26: this is no origin"),
        ("cors: {origins: ['https://a.no'], methods: [put]}", "23:53: `put` is no such name"),
        ("cors: {origins: ['https://a.no'], headers: ['a b']}", "23:53: `a b` is no such name"),
        ("cors: answer", "23:15: `answer` is not known here"),
    ] {
        one(LOGIN, &login_with(keys), expected);
    }
}

#[test]
fn https_is_for_a_year_unless_the_file_says_otherwise() {
    let https = |keys: &str| {
        let text = with("insecure_http_loopback: true\n", "").replace(
            "  - address: 127.0.0.1:8080",
            "  - address: 127.0.0.1:8080\n    load_balancers: [10.0.0.1]",
        );
        let text =
            text.replace("  - origin: http://localhost:8080\n", &format!("  - origin: https://a.no\n{keys}"));
        let loaded = check(&text).unwrap_or_else(|problems| panic!("{problems}"));
        host(&loaded).hsts.as_ref().map(|hsts| hsts.to_str().unwrap().to_owned())
    };
    assert_eq!(https("").as_deref(), Some("max-age=31536000"));
    assert_eq!(https("    hsts: off\n"), None);
    let longer = "    hsts: {max_age: 9000h, subdomains: true}\n";
    assert_eq!(https(longer).as_deref(), Some("max-age=32400000; includeSubDomains"));
    assert!(host(&check(BASE).unwrap()).hsts.is_none());
}
