//! `portvakt doctor`: what it says of sound and of broken surroundings; and an app that is reached past the
//! gateway: behind a kit of `deploy/verify` it rejects everything, and doctor tells it from one that does not.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::http::exchange;
use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, free_port, run_keys};

const KITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kits/node");
const KIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/verify/node");

#[test]
fn sound_surroundings_are_in_order_and_what_is_broken_is_named_with_what_to_do() {
    let mut world = World::start();
    let (code, findings) = doctor(&world);
    assert_eq!(verdicts(&findings, "fail"), Vec::<String>::new());
    assert_eq!(code, 0, "{findings:#}");
    for check in ["running", "clock", "provider", "host", "key", "upstream", "revocations", "audit"] {
        let of = findings["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
        assert!(
            of.clone().count() > 0 && of.clone().all(|finding| finding["verdict"] == "ok"),
            "{check}: {findings:#}"
        );
    }
    let redirect = format!("{}/oauth2/callback ", world.origin());
    assert!(text(&run(&world, &[])).contains(&redirect), "what is to be registered");

    let key = world.folder().join("keys/cookie.json");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(world.folder().join("keys/pseudonym.json")).unwrap();
    world.stop_simulator();
    world.app.stop();
    let (code, findings) = doctor(&world);
    assert_eq!(code, 1);
    let failed = verdicts(&findings, "fail");
    for (check, what) in [
        ("provider", "cannot be reached"),
        ("key", "may be read by others"),
        ("key", "pseudonym.json is missing"),
        ("upstream", "refused"),
    ] {
        assert!(
            failed.iter().any(|found| found.starts_with(check) && found.contains(what)),
            "{what}: {failed:?}"
        );
    }
    assert_eq!(failed.len(), 4, "{failed:?}");
    for finding in
        findings["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] != "ok")
    {
        assert!(finding["means"].is_string() && finding["do"].is_string(), "{finding}");
    }
    let words = text(&run(&world, &[]));
    assert!(words.contains("FAIL  key `cookie`: ") && words.contains("      do:    `chmod 600 "), "{words}");
    assert!(words.trim_end().ends_with("4 failed"), "{words}");
    world.finish();
}

/// What the terms demand is not lost unseen, and who vouches for machines is looked at too.
#[test]
fn a_log_that_is_not_written_and_a_provider_of_machines_that_is_away_are_found() {
    let world = World::start();
    let log = world.folder().join("audit.log");
    let rotated = world.folder().join("audit.log.1");
    // Somebody has rotated it and has told nobody.
    fs::rename(&log, &rotated).unwrap();
    let (code, findings) = doctor(&world);
    let failed = verdicts(&findings, "fail");
    assert_eq!((code, failed.len()), (1, 1), "{failed:?}");
    assert!(failed[0].starts_with("audit") && failed[0].contains("taken away"), "{failed:?}");
    fs::rename(&rotated, &log).unwrap();
    let text = fs::read_to_string(world.configuration()).unwrap();
    let machines = format!(
        "providers:\n  machines: {{profile: maskinporten, issuer: 'http://127.0.0.1:{}/maskinporten/'}}\n",
        free_port()
    );
    let (before_routes, _) = text.split_once("    routes:\n").unwrap();
    let employees = before_routes
        .replace("profile: idporten", "profile: ansattporten")
        .replace("audit: {file: audit.log}", "audit: off");
    let route = "{path: '/**', access: login, upstream: app, require: {level: substantial}}";
    for (text, wanted) in [
        (text.replacen("providers:\n", &machines, 1), "provider `machines`: "),
        (format!("{employees}    routes: [{route}]\n"), "audit : the audit log is off"),
    ] {
        let aside = world.folder().join("aside.yaml");
        fs::write(&aside, text).unwrap();
        let mut command = Command::new(program("portvakt"));
        let output = command.args(["doctor", "--json", "--config"]).arg(&aside).output().unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let failed = verdicts(&findings, "fail");
        assert!(failed.iter().any(|found| found.starts_with(wanted)), "{wanted}: {failed:?}");
    }
    world.finish();
}

#[test]
fn a_file_that_does_not_load_and_one_that_is_not_in_force_are_told_apart() {
    let mut world = World::with(Settings::default().top("reload_on_change: false"));
    world.settings = world.settings.clone().route("{path: '/more/**', access: public, upstream: app}");
    world.write_configuration();
    let (code, findings) = doctor(&world);
    assert_eq!(code, 0);
    let warnings = verdicts(&findings, "warn");
    assert!(warnings.iter().any(|found| found.contains("another file in force")), "{warnings:?}");
    fs::write(world.configuration(), "version: 2\n").unwrap();
    let output = run(&world, &[]);
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(2), ""));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gateway.yaml:1:10"), "{output:?}");
    world.finish();
}

#[test]
fn an_app_that_believes_everybody_is_found_out_and_is_asked_nothing_that_changes_anything() {
    let world = with_routes(
        World::start(),
        &[
            "{path: '/believes/*/**', access: login, upstream: app, signature: ed25519, verified: true}",
            "{path: '/writes/**', access: login, upstream: app, methods: [POST], assertion: true, verified: true}",
            "{path: '/unsaid/**', access: login, upstream: app, signature: ed25519}",
        ],
    );
    let (code, findings) = doctor(&world);
    assert_eq!(code, 1);
    let failed = verdicts(&findings, "fail");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("verified `localhost /believes/*/**` at 127.0.0.1:"), "{failed:?}");
    assert!(failed[0].contains("the app answered 200 to a request without any proof"), "{failed:?}");
    let warnings = verdicts(&findings, "warn");
    let unasked = |found: &&String| {
        found.starts_with("verified `localhost /writes/**`") && found.contains("neither GET nor HEAD")
    };
    assert_eq!(warnings.iter().filter(unasked).count(), 1, "{warnings:?}");
    let received = world.app.received();
    assert_eq!(received.len(), 2, "once without a proof, once with a made-up one");
    for request in &received {
        assert_eq!(request.head.start, "GET /believes/portvakt/ HTTP/1.1");
        assert_eq!(request.header("user-agent"), Some("portvakt-doctor"));
        assert_eq!(request.header("host"), Some(&*world.authority()));
        assert_eq!(request.header("x-identity-fnr"), Some("00000000000"));
        assert_eq!(request.header("cookie"), None);
    }
    assert_eq!(received[0].header("signature"), None);
    assert!(received[1].header("signature").is_some());
    for (path, reply) in [
        ("/believes/portvakt/", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        ("/x", ""),
    ] {
        world.app.reply(path, reply);
    }
    let (code, findings) = doctor(&world);
    assert_eq!((code, verdicts(&findings, "fail")), (0, Vec::new()), "it cannot be told");
    assert!(
        verdicts(&findings, "warn").iter().any(|found| found.contains("answered 302, neither 401 nor 403"))
    );
    world.app.reply("/believes/portvakt/", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    assert!(
        verdicts(&doctor(&world).1, "ok")
            .iter()
            .any(|found| found.starts_with("verified `localhost /believes"))
    );
    world.unjudged_count();
}

#[test]
fn an_app_behind_a_kit_rejects_everything_that_did_not_come_through_the_gateway() {
    if !has_node() {
        return;
    }
    let port = free_port();
    let world = World::with(Settings::default().upstream(format!("kit: {{url: 'http://127.0.0.1:{port}'}}")));
    let world = with_routes(
        world,
        &[
            "{path: '/kit/**', access: login, upstream: kit, signature: ed25519, assertion: true, verified: true}",
            // The same requests, where they can be read; as if somebody had.
            "{path: '/copy/**', access: login, upstream: app, audience: kit, signature: ed25519, assertion: true}",
        ],
    );
    let _app = start_kit(&world, port, KIT, &["signature", "assertion"]);
    let mut browser = world.browser();
    let page = browser.log_in("/kit/letters", "bankid-high");
    assert_eq!(
        (page.status(), page.response.json()["who"].as_str()),
        (200, Some("24929935140")),
        "{}",
        page.text()
    );

    assert_eq!(browser.open("/copy/letters").status(), 200);
    let copied = world.app.last();
    let line = |(name, value): &(String, String)| format!("{name}: {value}\r\n");
    let all: String = copied.head.fields.iter().map(line).collect();
    let without = |names: &[&str]| -> String {
        let kept =
            copied.head.fields.iter().filter(|(name, _)| !names.contains(&&*name.to_ascii_lowercase()));
        kept.map(line).collect()
    };
    let host = format!("Host: {}\r\n", world.authority());
    let forged =
        format!("{host}X-Identity-Kind: national\r\nX-Identity-Fnr: 24929935140\r\nX-Identity-Loa: high\r\n");
    for (what, start, fields) in [
        ("nothing", "GET /kit/letters", host.clone()),
        ("forged headers", "GET /kit/letters", forged.clone()),
        (
            "forged headers in another spelling",
            "GET /kit/letters",
            forged.replace("X-Identity-", "X_Identity_"),
        ),
        ("a signed request, to another path", "GET /kit/other", all.clone()),
        ("a signed request, by another method", "DELETE /copy/letters", all.clone()),
        ("a signed request, with a query", "GET /copy/letters?all=1", all.clone()),
        (
            "another person in a signed request",
            "GET /copy/letters",
            all.replace("24929935140", "17838534171"),
        ),
        (
            "a signed request without its signature",
            "GET /copy/letters",
            without(&["signature", "signature-input"]),
        ),
        ("a signed request without its assertion", "GET /copy/letters", without(&["x-identity-assertion"])),
        (
            "a signed request and one header more",
            "GET /copy/letters",
            format!("{all}X-Identity-Org: 974760673\r\n"),
        ),
    ] {
        let status = past(port, start, &fields);
        assert!([401, 403].contains(&status), "{what}: {status}");
    }
    // Otherwise everything would have been refused for another reason.
    assert_eq!(past(port, "GET /copy/letters", &all), 200, "what was signed");
    let (code, findings) = doctor(&world);
    assert_eq!((code, verdicts(&findings, "fail")), (0, Vec::new()));
    let found = verdicts(&findings, "ok");
    let refuses = |found: &&String| {
        found.starts_with("verified `localhost /kit/**`")
            && found.contains("refuses what the gateway did not sign")
    };
    assert_eq!(found.iter().filter(refuses).count(), 1, "{found:?}");
    world.unjudged_count();
}

#[test]
fn an_app_whose_kit_does_not_look_at_the_signature_is_found_out() {
    if !has_node() {
        return;
    }
    // As a planted fault of `make kits`: everything is checked but the one thing that matters.
    let fault = "throw new Refused('the signature is wrong');\n}\n";
    let sound = fs::read_to_string(format!("{KIT}/portvakt-verify.mjs")).unwrap();
    assert!(sound.contains(fault));
    let port = free_port();
    let world = World::with(Settings::default().upstream(format!("kit: {{url: 'http://127.0.0.1:{port}'}}")));
    let world = with_routes(
        world,
        &[
            // A kit that demands an assertion too would refuse a made-up one.
            "{path: '/kit/**', access: login, upstream: kit, signature: ed25519, verified: true}",
        ],
    );
    let kit = world.folder().join("kit");
    fs::create_dir(&kit).unwrap();
    fs::write(kit.join("portvakt-verify.mjs"), sound.replace(fault, "}\n")).unwrap();
    let _app = start_kit(&world, port, kit.to_str().unwrap(), &["signature"]);
    let (code, findings) = doctor(&world);
    let failed = verdicts(&findings, "fail");
    assert_eq!((code, failed.len()), (1, 1), "{findings:#}");
    assert!(failed[0].contains("answered 200 to a request with a made-up proof"), "{failed:?}");
    world.unjudged_count();
}

/// The world with more routes, and the keys that they need.
fn with_routes(mut world: World, routes: &[&str]) -> World {
    for route in routes {
        world.settings = world.settings.clone().route(route);
    }
    world.write_configuration();
    for purpose in ["signature-ed25519", "assertion"] {
        run_keys(world.folder(), &["new", purpose]);
    }
    world.restart_gateway();
    world
}

/// An app behind the kit for Node, with the keys that the gateway publishes.
fn start_kit(world: &World, port: u16, kit: &str, proofs: &[&str]) -> Process {
    let keys = format!("{}/.well-known/portvakt/jwks.json", world.origin());
    let mut control = json!({"vector": "now", "config": {
        "audience": "kit",
        "signature": {"algorithm": "ed25519", "keys": keys},
        "assertion": {"algorithm": "ES256", "issuer": world.origin(), "keys": keys},
    }});
    let config = control["config"].as_object_mut().unwrap();
    config.retain(|name, _| name == "audience" || proofs.contains(&name.as_str()));
    let file = world.folder().join("kit.json");
    fs::write(&file, control.to_string()).unwrap();
    let mut command = Command::new("node");
    command.arg(format!("{KITS}/server.mjs")).arg("http");
    command.env("KIT_FOLDER", kit).env("KIT_CONTROL", file).env("PORT", port.to_string());
    let process = Process::start(&mut command, world.folder(), "kit");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    await_that("the app listens", || TcpStream::connect(address).is_ok().then_some(()));
    process
}

/// The status of a request that does not go through the gateway.
fn past(port: u16, start: &str, fields: &str) -> u16 {
    let fields = fields.replace("connection: close\r\n", "");
    let request = format!("{start} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    exchange(SocketAddr::from(([127, 0, 0, 1], port)), request.as_bytes()).status
}

/// Whether there is Node. Where everything must be tested, its absence is a failure.
fn has_node() -> bool {
    let has = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(has || !must, "Node is not installed: `make setup`");
    if !has {
        // Past the capture of the test runner: whoever reads the result must see it.
        std::io::stderr()
            .write_all(b"\nNOT TESTED: Node is not installed; `make setup` does it\n\n")
            .unwrap();
    }
    has
}

fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("portvakt"));
    command.arg("doctor").args(arguments).arg("--config").arg(world.configuration()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Its exit code, and what it found.
pub(crate) fn doctor(world: &World) -> (i32, Value) {
    let output = run(world, &["--json"]);
    let findings = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), findings.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

/// What was found with a verdict: check, subject and finding in a line each.
pub(crate) fn verdicts(findings: &Value, verdict: &str) -> Vec<String> {
    let all = findings["findings"].as_array().unwrap().iter();
    let part = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let of = all.filter(|finding| finding["verdict"] == verdict);
    of.map(|finding| {
        format!("{} {}: {}", part(finding, "check"), part(finding, "subject"), part(finding, "found"))
    })
    .collect()
}
