//! What routes do with paths and sizes.

use super::*;

const APP: &str = "        access: login\n        upstream: app\n";

fn with_keys(keys: &str) -> String {
    let text = with(APP, &format!("{APP}{keys}"));
    assert!(text.ends_with(keys));
    text
}

#[test]
fn a_route_names_prefixes_and_limits() {
    let keys = "        strip_prefix: /app\n        encoded_slash: true\n        max_body: 10MiB\n        timeout: 5s\n        read_timeout: 2s\n";
    let loaded = check(&with_keys(keys)).unwrap();
    let route = route(&loaded, "/app/**");
    assert_eq!(route.rewrite.as_ref().unwrap().up("/app/x").as_deref(), Some("/x"));
    assert!(route.encoded_slash);
    assert_eq!(route.limits.max_body, Some(10 * 1024 * 1024));
    assert_eq!(route.limits.timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(route.limits.read_timeout, Some(std::time::Duration::from_secs(2)));
    let loaded = check(&with_keys("        rewrite: {from: /app, to: /legacy/v1}\n")).unwrap();
    let rewrite = super::route(&loaded, "/app/**").rewrite.as_ref().unwrap();
    assert_eq!(rewrite.up("/app/x").as_deref(), Some("/legacy/v1/x"));
}

#[test]
fn odd_prefixes_and_limits_are_told() {
    for (keys, expected) in [
        ("strip_prefix: /other", "24:23: not every path of this route begins with `/other`"),
        ("strip_prefix: /app/*", "24:23: not every path of this route begins with `/app/*`"),
        ("strip_prefix: app", "24:23: `app` is no prefix of paths"),
        ("rewrite: {from: /app, to: /a/../b}", "24:35: `/a/../b` is no prefix of paths"),
        ("rewrite: {from: /app, to: //evil.no}", "24:35: `//evil.no` is no prefix of paths"),
        ("rewrite: {from: /app}", "24:19: `to` is missing"),
        ("max_body: 0KiB", "24:19: this size is out of bounds"),
        ("timeout: 0s", "24:18: `0s` is out of bounds"),
    ] {
        let problems = problems(&with_keys(&format!("        {keys}\n")));
        let told: Vec<String> =
            problems.iter().map(|one| format!("{}:{}: {}", one.line, one.column, one.message)).collect();
        assert!(told.iter().any(|told| told.starts_with(expected)), "{keys}: {told:?}");
    }
}

#[test]
fn a_rewrite_to_what_is_guarded_better_is_warned_of() {
    let public = "      - path: /open/**\n        access: public\n        upstream: app\n        strip_prefix: /open\n";
    let loaded = check(&format!("{BASE}{public}")).unwrap();
    let told: Vec<&str> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(told, ["`/open/**` is rewritten to paths of `app`, and asks for less than `/app/**` does"]);
}
