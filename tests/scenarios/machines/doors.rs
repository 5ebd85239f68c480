//! Each by their own door: a token where people log in, a session where machines come, both at once.

use std::process::Command;

use serde_json::json;

use super::{API, DEMO, EITHER, ask, facts, settings, start, token, told};
use crate::harness::World;
use crate::harness::process::program;

#[test]
fn a_token_is_worth_nothing_where_people_log_in_and_a_session_nothing_where_machines_come() {
    let world = start();
    let token = token(&world, "");
    for path in ["/app/x", "/high/x", "/eu/x"] {
        let response = ask(&world, path, &token, "");
        assert_eq!((response.status, &response.json()["error"]), (401, &json!("login_required")), "{path}");
    }
    assert_eq!(world.app.count(), 0);
    for path in ["/public/x", "/optional/x", "/"] {
        assert_eq!(ask(&world, path, &token, "").status, 200, "{path}");
        assert_eq!(told(&world), [], "{path}");
    }
    let mut browser = world.browser();
    browser.log_in("/app/x", "bankid-high");
    let cookie = format!("Cookie: __Host-portvakt={}; app=1\r\n", browser.session_cookie().unwrap());
    let count = world.app.count();
    for fields in [cookie.clone(), format!("{cookie}Authorization: Basic YTpi\r\n")] {
        let response = world.curl("/api/x", &fields);
        assert_eq!((response.status, &response.json()["error"]), (401, &json!("token_required")));
    }
    // A person with a browser is told the same, and is not sent anywhere.
    let page = browser.step("/api/x");
    assert_eq!((page.status(), page.response.location()), (401, None));
    assert_eq!(world.app.count(), count);
    // Beside a token the session adds nothing there.
    assert_eq!(ask(&world, "/api/x", &token, &cookie).status, 200);
    assert_eq!(told(&world), facts(&DEMO));
    assert_eq!(world.app.last().header("cookie"), None);
    world.finish();
}

#[test]
fn a_route_for_both_takes_each_alone_and_neither_beside_the_other() {
    let world = start();
    let token = token(&world, "");
    assert_eq!(ask(&world, "/either/x", &token, "").status, 200);
    assert_eq!(told(&world), facts(&DEMO));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/either/y?z=1", "bankid-high").target(), "/either/y?z=1");
    assert_eq!(world.app.last().header("x-identity-fnr"), Some("24929935140"));
    let session = browser.session_cookie().unwrap();
    let cookie = format!("Cookie: __Host-portvakt={session}\r\n");
    let count = world.app.count();
    for token in [token.as_str(), "a.b.c"] {
        let response = ask(&world, "/either/x", token, &cookie);
        assert_eq!((response.status, &response.json()["error"]), (400, &json!("invalid_request")));
    }
    assert_eq!(world.app.count(), count);
    // A cookie that is none changes nothing (CK-1).
    for broken in
        [format!("Cookie: __Host-portvakt={}x\r\n", session), "Cookie: __Host-portvakt=x\r\n".to_owned()]
    {
        assert_eq!(ask(&world, "/either/x", &token, &broken).status, 200);
        assert_eq!(told(&world), facts(&DEMO));
        assert_eq!(ask(&world, "/either/x", "a.b.c", &broken).status, 401);
    }
    // A token that is not enough is not a reason to log somebody in.
    world.control(&json!({"access_token_claims": {"scope": "other"}}));
    let other = super::token(&world, "");
    assert_eq!(ask(&world, "/either/x", &other, "").status, 403);
    let nobody = world.curl("/either/x", "");
    assert_eq!((nobody.status, &nobody.json()["error"]), (401, &json!("login_required")));
    // Other credentials of the person's own do not reach the app there.
    assert_eq!(world.curl("/either/x", &format!("{cookie}Authorization: Basic YTpi\r\n")).status, 200);
    let last = world.app.last();
    assert_eq!((last.header("authorization"), last.header("x-identity-kind")), (None, Some("national")));
    world.finish();
}

#[test]
fn what_a_machine_says_of_itself_is_taken_away() {
    let world = start();
    let token = token(&world, "");
    let forged = "X-Identity-Fnr: 24929935140\r\nx-identity-kind: national\r\nX-Identity-Consumer: 991825827\r\n\
                  X_Identity_Fnr: 24929935140\r\nX-Identity-Supplier: 991825827\r\nX-Identity-Scope: admin\r\n\
                  Connection: close, X-Identity-Consumer\r\n";
    let head = format!(
        "GET /api/x HTTP/1.1\r\nHost: {{host}}\r\nAuthorization: Bearer {token}\r\nCookie: a=b\r\n{forged}\r\n"
    );
    assert_eq!(world.send(head).status, 200);
    assert_eq!(told(&world), facts(&DEMO));
    let last = world.app.last();
    assert_eq!((last.header("cookie"), last.header("authorization")), (None, None));
    world.finish();
}

#[test]
fn a_machine_keeps_no_cookie_and_no_cache_keeps_its_reply() {
    let world = start();
    let reply = "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1\r\nSet-Cookie: __Host-portvakt=x\r\n\
                 Cache-Control: public, max-age=600\r\nContent-Length: 2\r\n\r\nok";
    world.app.reply("/api/x", reply);
    let response = ask(&world, "/api/x", &token(&world, ""), "");
    assert_eq!((response.status, response.header("set-cookie")), (200, None));
    assert_eq!(response.header("cache-control"), Some("private, no-store"));
    world.finish();
}

#[test]
fn an_app_gets_the_token_only_where_its_route_says_so() {
    let open =
        "{path: '/open/**', access: token, upstream: app, token: {scopes: ['portvakt:demo'], forward: true}}";
    let both =
        "{path: '/both/**', access: login, upstream: app, token: {scopes: ['portvakt:demo'], forward: true}}";
    let world = World::with(settings(&[open, both]));
    let token = token(&world, "");
    for path in ["/open/x", "/both/x"] {
        assert_eq!(ask(&world, path, &token, "").status, 200);
        let expected = format!("Bearer {token}");
        assert_eq!(world.app.last().header("authorization"), Some(expected.as_str()));
    }
    // What was not verified is not forwarded.
    let mut browser = world.browser();
    browser.log_in("/both/x", "bankid-high");
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    assert_eq!(world.curl("/both/x", &format!("{cookie}Authorization: Basic YTpi\r\n")).status, 200);
    assert_eq!(world.app.last().header("authorization"), None);
    world.finish();
}

#[test]
fn what_is_explained_is_what_happens_to_machines() {
    let world = start();
    let explained = |who: &str, path: &str| {
        let output = Command::new(program("portvakt"))
            .args(["explain", "--config"])
            .arg(world.configuration())
            .args(["--as", who, "GET", &format!("{}{path}", world.origin())])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let machine = |scope: &str| format!("machine,scope={scope}");
    for (who, query, path, word) in [
        (machine("portvakt:demo"), "", "/api/x", "forward"),
        (machine("portvakt:demo"), "", "/either/x", "forward"),
        (machine("portvakt:demo"), "", "/app/x", "login"),
        (machine("portvakt:demo"), "", "/optional/x", "forward"),
        (
            machine("portvakt:demo,supplier=213987658,source=https://tt02.altinn.no/"),
            "consumer_org=310123455",
            "/api/x",
            "forward",
        ),
        (
            machine("portvakt:demo,supplier=213987658,source=https://tt02.altinn.no/"),
            "consumer_org=310123455",
            "/either/x",
            "forbidden",
        ),
    ] {
        let said = explained(&who, path);
        assert!(said.starts_with(&format!("{word}:")), "{who} {path}: {said}");
        let response = ask(&world, path, &token(&world, query), "");
        let status = match word {
            "forward" => 200,
            "login" => 401,
            _ => 403,
        };
        assert_eq!(response.status, status, "{who} {path}");
        if response.status == 200 {
            for (name, _) in told(&world) {
                assert!(said.to_ascii_lowercase().contains(&name), "{name}: {said}");
            }
        }
    }
    let said = explained(&machine("portvakt:other"), "/api/x");
    let text = std::fs::read_to_string(world.configuration()).unwrap();
    let line = text.lines().position(|line| line.contains("/api/**")).unwrap() + 1;
    assert!(said.starts_with("forbidden: 403 token_scope") && said.contains(&format!(":{line}")), "{said}");
    assert!(
        explained("nobody", "/api/x").is_empty()
            && explained("national:high", "/api/x").starts_with("token:")
    );
    assert!(API.contains("access: token") && EITHER.contains("access: login"));
    world.finish();
}
