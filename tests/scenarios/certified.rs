//! Against a certified OpenID provider (`tests/oidc-provider`), so that the gateway and its simulator do not
//! agree on mistakes: login with PAR and `private_key_jwt`, logout, and the way back.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::harness::http::exchange;
use crate::harness::process::{Process, await_that};
use crate::harness::{Settings, World, client_jwks, free_port};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc-provider");

/// Whether the provider is installed. Where everything must be tested, its absence is a failure.
fn installed() -> bool {
    let installed = Path::new(FOLDER).join("node_modules/oidc-provider").is_dir();
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(installed || !must, "tests/oidc-provider is not installed: `make setup`");
    if !installed {
        let warning = "\nNOT TESTED: the certified provider is not installed; `make setup` does it\n\n";
        // Past the capture of the test runner: whoever reads the result must see it.
        std::io::stderr().write_all(warning.as_bytes()).unwrap();
    }
    installed
}

/// A world whose provider is the certified one, on a port of its own.
fn world(algorithm: &str) -> (World, Process) {
    world_with(Settings::default(), algorithm, &[])
}

fn world_with(settings: Settings, algorithm: &str, arguments: &[&str]) -> (World, Process) {
    let port = free_port();
    let settings = Settings {
        issuer: Some(format!("http://127.0.0.1:{port}")),
        provider_is_up: false,
        ..settings.provider("par: required").provider(&format!("algorithms: [{algorithm}]"))
    };
    let mut world = World::with(settings);
    let jwks = world.folder().join("client.jwks");
    std::fs::write(&jwks, client_jwks()).unwrap();
    let mut command = Command::new("node");
    command
        .current_dir(FOLDER)
        .arg("provider.mjs")
        .args(["--port", &port.to_string(), "--alg", algorithm])
        .arg("--jwks")
        .arg(jwks);
    command.args(["--redirect-uri", &format!("{}/oauth2/callback", world.origin())]);
    command.args(["--post-logout-uri", &format!("{}/oauth2/logout/callback", world.origin())]);
    command.args(["--backchannel-uri", &format!("{}/oauth2/logout/backchannel", world.origin())]);
    command.args(arguments);
    let mut provider = Process::start(&mut command, world.folder(), "provider");
    provider.await_line("ready ");
    // A reload asks the provider at once.
    world.gateway().signal("HUP");
    world.await_ready();
    (world, provider)
}

#[test]
fn a_login_and_a_logout_work_with_a_certified_provider() {
    if !installed() {
        return;
    }
    for algorithm in ["RS256", "ES256", "PS256"] {
        let (world, _provider) = world(algorithm);
        let mut browser = world.browser();
        let page = browser.open("/app/letters?x=1");
        let page = browser.submit(&page, &[("person", "kari")]);
        assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"), "{algorithm}: {}", page.text());
        let received = world.app.last();
        for (name, value) in [
            ("x-identity-kind", "national"),
            ("x-identity-fnr", "01817012345"),
            ("x-identity-loa", "high"),
            ("x-identity-acr", "idporten-loa-high"),
            ("x-identity-amr", "BankID"),
            ("x-identity-given-name", "Kari"),
            ("x-identity-family-name", "%C3%85sen"),
            ("x-identity-provider", "idporten"),
        ] {
            assert_eq!(received.header(name), Some(value), "{algorithm}: {name}");
        }
        world.secrets.add("01817012345");
        world.secrets.add("Åsen");
        let cookie = browser.session_cookie().unwrap();
        let form = browser.open("/oauth2/logout");
        let confirm = browser.submit(&form, &[]);
        let back = browser.submit(&confirm, &[("logout", "yes")]);
        back.shows(200, "Du er logget ut");
        assert_eq!(back.url.path(), "/oauth2/logout/callback", "{algorithm}");
        assert_eq!(world.curl("/app/", &format!("Cookie: __Host-portvakt={cookie}\r\n")).status, 401);
        // The provider told us by its back channel, too.
        let lines = world.await_audit(3);
        assert_eq!(lines[2]["action"], "backchannel_logout", "{algorithm}: {lines:?}");
        assert_eq!((lines[2]["result"].as_str(), &lines[2]["sid"]), (Some("success"), &lines[0]["sid"]));
        let again = browser.open("/app/");
        assert!(browser.at_login_page(&again), "{algorithm}: the provider's session lives on");
        world.finish();
    }
}

#[test]
fn a_step_up_works_with_a_certified_provider() {
    if !installed() {
        return;
    }
    let (world, _provider) = world("RS256");
    let mut browser = world.browser();
    let page = browser.open("/app/");
    let page = browser.submit(&page, &[("person", "ola")]);
    assert_eq!((page.status(), world.app.last().header("x-identity-loa")), (200, Some("substantial")));
    let page = browser.open("/high/");
    assert!(browser.at_login_page(&page), "a stronger login is wanted: {}", page.text());
    // The one who logs in again is no stronger: told so, and not sent round.
    let page = browser.submit(&page, &[("person", "ola")]);
    page.shows(403, "Du må logge inn på en sikrere måte");
    assert_eq!(browser.open("/app/").status(), 200);
    world.finish();
}

#[test]
fn access_tokens_are_exchanged_and_ended_at_a_certified_provider() {
    if !installed() {
        return;
    }
    let route = "{path: '/token/**', access: login, upstream: app, access_token: true}";
    let settings = Settings::default().provider("access_tokens: true").route(route);
    let (world, _provider) = world_with(settings, "ES256", &["--refresh", "6"]);
    let address = world.settings.issuer.clone().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let is_good = |token: &str| {
        let head = format!(
            "GET /me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        exchange(address, head.as_bytes()).status == 200
    };
    let bearer = || {
        let token =
            world.app.last().header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        world.secrets.add(&token);
        token
    };
    let mut browser = world.browser();
    let page = browser.open("/token/");
    assert_eq!(browser.submit(&page, &[("person", "kari")]).status(), 200);
    let mut tokens = vec![bearer()];
    assert!(is_good(&tokens[0]));
    // Each exchange brings another refresh token, and an ID token with the login's nonce.
    let logins = world.await_audit(1).len();
    while tokens.len() < 4 {
        await_that("another token", || {
            assert_eq!(browser.fetch("/token/").status(), 200);
            let token = bearer();
            (token != *tokens.last().unwrap()).then(|| tokens.push(token))
        });
        assert!(is_good(tokens.last().unwrap()));
    }
    assert_eq!(world.audit_log().len(), logins, "nobody logged in again");
    assert_eq!(browser.fetch("/token/").status(), 200);
    let last = bearer();
    assert!(browser.open("/oauth2/logout").form().is_some());
    await_that("the token's end", || (!is_good(&last)).then_some(()));
    let ended = world.admin("/metrics").text();
    let ended = ended
        .lines()
        .find(|line| line.contains("call=\"revoke\"") && line.contains("outcome=\"ok\""))
        .unwrap();
    assert!(ended.ends_with(" 1"), "{ended}");
    world.finish();
}
