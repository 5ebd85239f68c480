//! `portvakt explain` and `portvakt test`: what they say is what the gateway does.

use std::process::{Command, Output};

use crate::harness::World;
use crate::harness::browser::Ask;
use crate::harness::process::{await_that, program};
use crate::harness::settings::Settings;

/// What `explain` says of a request, in a word.
fn explained(world: &World, arguments: &[&str]) -> String {
    let output = portvakt(world, "explain", arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text.split(':').next().unwrap().to_owned()
}

fn portvakt(world: &World, command: &str, arguments: &[&str]) -> Output {
    let configuration = world.configuration();
    Command::new(program("portvakt"))
        .arg(command)
        .arg("--config")
        .arg(configuration)
        .args(arguments)
        .output()
        .unwrap()
}

fn settings() -> Settings {
    Settings::default()
        .route("{path: '/post/*', methods: [POST], access: public, upstream: app}")
        .route("{path: '/open/**', access: login, cross_site: allow, upstream: app, strip_prefix: /open}")
        .route("{path: '/files/**', access: public, encoded_slash: true, upstream: app}")
        .route("{path: '/closed/**', access: public, maintenance: true, upstream: app}")
        .route("{path: '/small/**', access: public, max_body: 1KiB, upstream: app}")
        .route("{path: '/api/**', access: login, cors: {origins: ['https://portal.example'], methods: [PUT]}, upstream: app}")
}

/// What the gateway did, in the same words.
fn done(status: u16, location: &str, rule: &str, forwarded: bool) -> &'static str {
    match (status, forwarded) {
        (_, true) => "forward",
        (302, _) if location.contains("/oauth2/login") => "login",
        (401, _) => "login",
        (403, _) if rule.starts_with("forbidden") => "forbidden",
        (404, _) => "not_found",
        (200 | 204, _) => "own",
        (302, _) => "own",
        _ => "refused",
    }
}

#[test]
fn what_is_explained_is_what_happens_to_nobodys_requests() {
    let world = World::with(settings());
    let paths = [
        "/",
        "/public/",
        "/public",
        "/public/a/b?c=d",
        "/optional/x",
        "/app/",
        "/app",
        "/high/x",
        "/eu/",
        "/none",
        "/post/a",
        "/post/a/b",
        "/open/deep/er",
        "/files/a%2Fb",
        "/files%2Fa",
        "/public/a%2Fb",
        "/public/../app/",
        "/public/%2e%2e/app/",
        "/public/%252e%252e/app/",
        "/public//a",
        "/APP/x",
        "/Public/x",
        "/app;x/y",
        "/public/;a",
        "/public/%00",
        "/public/a%5Cb",
        "/public/%",
        "/public/%zz",
        "/public/%C3%A5",
        "/public/%ff",
        "/oauth2/session",
        "/oauth2/nothing",
        "/OAuth2/login",
        "/oauth2/login/x",
        "/.well-known/portvakt/jwks.json",
        "/.well-known/portvakt/x",
        "/public/a|b",
        "/public/~user",
        "/public/.",
        "/public/..",
        "/public/a?b=../c",
    ];
    let fields = [
        "",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nOrigin: https://evil.example\r\n",
        "Origin: https://portal.example\r\nAccess-Control-Request-Method: PUT\r\n",
    ];
    let mut compared = 0;
    for path in paths.iter().copied().chain(["/small/x", "/api/x", "/closed/x"]) {
        for method in ["GET", "POST", "OPTIONS", "TRACE"] {
            for fields in fields {
                let before = world.app.count();
                let response = world.send(format!(
                    "{method} {path} HTTP/1.1\r\nHost: {{host}}\r\nAccept: */*\r\n{fields}Connection: close\r\n\r\n"
                ));
                let rule = response.text();
                let did = done(
                    response.status,
                    response.location().unwrap_or_default(),
                    &rule,
                    world.app.count() > before,
                );
                let url = format!("{}{path}", world.origin());
                let mut arguments = vec![method, url.as_str(), "-H", "Accept: */*"];
                for field in fields.lines().filter(|field| !field.is_empty()) {
                    arguments.extend(["-H", field]);
                }
                let said = explained(&world, &arguments);
                // The gateway's own endpoints refuse for reasons of their own.
                let own = said == "own" && did != "forward";
                assert!(
                    said == did || own,
                    "{method} {path} {fields:?}: said {said}, did {did} {}",
                    response.status
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 450, "{compared}");
    world.finish();
}

#[test]
fn what_is_explained_is_what_happens_to_persons() {
    let world = World::with(settings());
    for (person, who) in [("minid-substantial", "national:substantial"), ("bankid-high", "national:high")] {
        let mut browser = world.browser();
        browser.log_in("/app/", person);
        for (path, needs_step_up) in [
            ("/", false),
            ("/optional/x", false),
            ("/app/x", false),
            ("/high/x", who == "national:substantial"),
            ("/eu/x", false),
            ("/open/deep/er?x=1", false),
            ("/public/x", false),
        ] {
            let before = world.app.count();
            let page = browser.ask(path, &Ask::NAVIGATION);
            let forwarded = world.app.count() > before;
            let url = format!("{}{path}", world.origin());
            let output = portvakt(&world, "explain", &["--as", who, "GET", &url]);
            let said = String::from_utf8(output.stdout).unwrap();
            let word = if needs_step_up { "step_up: " } else { "forward: " };
            assert!(said.starts_with(word), "{path} as {who}: {said}");
            assert_eq!(forwarded, !needs_step_up, "{path} as {who}: {}", page.status());
            if !forwarded {
                assert!(
                    said.contains("acr_values=idporten-loa-high") && said.contains("gateway.yaml:"),
                    "{said}"
                );
                continue;
            }
            let received = world.app.last();
            assert!(said.contains(&format!("GET {}", received.target())), "{said}\n{}", received.target());
            // What the app got is what was promised: names are asked for by scope and may be missing.
            for (name, _) in received.identity() {
                let promised = said.to_ascii_lowercase().contains(&name.to_ascii_lowercase());
                assert!(promised || name.eq_ignore_ascii_case("X-Identity-Amr"), "{name} at {path}: {said}");
            }
            assert_eq!(
                received.header("X-Identity-Fnr").is_some(),
                said.contains("X-Identity-Fnr"),
                "{path}"
            );
        }
    }
    world.finish();
}

#[test]
fn the_line_that_decides_is_named() {
    let world = World::with(settings());
    let text = std::fs::read_to_string(world.configuration()).unwrap();
    let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let url = |path: &str| format!("{}{path}", world.origin());
    for (who, path, parts) in [
        ("eidas:low", "/eu/", vec!["step_up: 302".to_owned(), format!("`level`, {}:{}", "", line("/eu/**"))]),
        ("email", "/eu/", vec!["forbidden: 403".to_owned(), format!(":{}", line("/eu/**"))]),
        ("eidas:high", "/app/", vec!["forbidden: 403".to_owned(), "the default of `kinds`".to_owned()]),
        ("employee:high", "/app/", vec!["forbidden: no login at the provider `idporten`".to_owned()]),
    ] {
        let output = portvakt(&world, "explain", &["--as", who, "GET", &url(path)]);
        let said = String::from_utf8(output.stdout)
            .unwrap()
            .replace(&world.configuration().display().to_string(), "");
        for part in parts {
            assert!(said.contains(&part), "{who} {path}: {part:?} in {said}");
        }
    }
    for (arguments, said) in [
        (vec!["GET", "/app/"], "no whole URL"),
        (vec!["--as", "citizen:high", "GET", "http://localhost/"], "no kind of identity"),
        (vec!["GET"], "required"),
    ] {
        let output = portvakt(&world, "explain", &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{arguments:?}");
    }
    world.finish();
}

#[test]
fn a_file_that_breaks_its_own_tests_neither_starts_nor_is_taken() {
    let mut world = World::start();
    let good = format!(
        "tests:\n  - {{request: 'GET {0}/app/', expect: login}}\n  - {{request: 'GET {0}/app/', as: 'national:high', expect: forward, upstream: app, headers: [X-Identity-Fnr]}}\n",
        world.origin()
    );
    world.settings.top = good;
    world.write_configuration();
    let output = portvakt(&world, "test", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 expectations, 0 do not hold"));
    // Somebody opens what was closed.
    world.settings.routes[3] = "{path: '/app/**', access: public, upstream: app}".to_owned();
    world.write_configuration();
    let output = portvakt(&world, "test", &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for part in ["expected: login", "got: forward", "expected: the header `x-identity-fnr`", "2 do not hold"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let expectation = std::fs::read_to_string(world.configuration()).unwrap();
    let line = expectation.lines().position(|line| line.contains("expect: login")).unwrap() + 1;
    assert!(said.contains(&format!("gateway.yaml:{line}:")), "{said}");
    world.gateway().signal("HUP");
    await_that("the reload is refused", || world.errors().contains("breaks its own").then_some(()));
    assert_eq!(world.curl("/app/", "").status, 401);
    let output = portvakt(&world, "run", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected: login"));
    world.finish();
}
