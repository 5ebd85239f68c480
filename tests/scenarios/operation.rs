//! Running it: reload, logs, readiness, an orderly end (`threats.md` 8; `design.md` D5, D16).

use std::process::Command;

use serde_json::Value;

use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, free_port};
use crate::reload::make_certificate;

#[test]
fn a_reload_takes_a_changed_file_and_keeps_everybody_logged_in() {
    let mut world = World::start();
    let cookie = {
        let mut browser = world.browser();
        browser.log_in("/app/", "minid-substantial");
        assert_eq!(browser.open("/new/").status(), 404);
        browser.session_cookie().unwrap()
    };
    world.settings.routes.push("{path: '/new/**', access: login, upstream: app}".to_owned());
    world.settings.routes[3] =
        "{path: '/app/**', access: login, require: {level: high}, upstream: app}".to_owned();
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the new route is there", || (world.curl("/new/", "").status == 401).then_some(()));
    let mut browser = world.browser();
    browser.jar.put("localhost", "__Host-portvakt", &cookie);
    assert_eq!(browser.fetch("/new/").status(), 200);
    // The new rule is judged against the old session.
    assert_eq!(browser.fetch("/app/").status(), 401);
    world.finish();
}

#[test]
fn a_broken_file_changes_nothing_and_is_named_with_its_place() {
    let mut world = World::start();
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    for (broken, named) in [
        (sound.replace("access: public", "access: pubic"), "pubic"),
        (sound.replace("upstream: app}", "upstream: application}"), "application"),
        (sound.replace("threads: 2", "treads: 2"), "treads"),
        (sound[..sound.len() / 2].to_owned(), "gateway.yaml"),
        (String::new(), "gateway.yaml"),
    ] {
        let before = world.errors().matches("was not taken").count();
        std::fs::write(world.configuration(), &broken).unwrap();
        world.gateway().signal("HUP");
        let errors = await_that("the reload is refused", || {
            Some(world.errors()).filter(|errors| errors.matches("was not taken").count() > before)
        });
        let line = errors.lines().rfind(|line| line.contains("was not taken")).unwrap();
        assert!(line.contains(named) && line.contains("gateway.yaml:"), "{line}");
        assert_eq!(world.browser().open("/public/").status(), 200);
        assert_eq!(world.curl("/app/", "").status, 401);
    }
    // A missing key file is no less broken.
    std::fs::write(world.configuration(), &sound).unwrap();
    let keys = world.folder().join("keys");
    std::fs::rename(&keys, world.folder().join("gone")).unwrap();
    let before = world.errors().matches("was not taken").count();
    world.gateway().signal("HUP");
    await_that("the reload is refused", || {
        (world.errors().matches("was not taken").count() > before).then_some(())
    });
    std::fs::rename(world.folder().join("gone"), keys).unwrap();
    assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    world.finish();
}

#[test]
fn a_broken_file_does_not_start() {
    let world = World::start();
    let file = world.folder().join("broken.yaml");
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    for broken in [
        sound.replace("version: 1", "version: 2"),
        sound.replace("environment: test", "environment: production"),
        format!("{sound}unknown: 1\n"),
    ] {
        std::fs::write(&file, broken).unwrap();
        let mut command = Command::new(program("portvakt"));
        let output = command.args(["run", "--config"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("broken.yaml:"), "{output:?}");
    }
    world.finish();
}

/// All replicas read the same file: a slip in it must not leave a balancer with nobody.
#[test]
fn a_provider_that_a_reload_brings_and_that_is_away_takes_nobody_out() {
    let mut world = World::start();
    let cookie = {
        let mut browser = world.browser();
        browser.log_in("/app/", "bankid-high");
        browser.session_cookie().unwrap()
    };
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    let other = format!(
        "providers:\n  other: {{profile: oidc, issuer: 'http://127.0.0.1:{}', client_id: c, callback: own, \
         client_auth: {{client_secret_post: 'file:secret'}}}}\n",
        free_port()
    );
    let secret = world.folder().join("secret");
    std::fs::write(&secret, "some-secret-of-the-client").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    world.settings.routes.push(
        "{path: '/other/**', access: login, session: other, upstream: app, require: {level: none}}"
            .to_owned(),
    );
    world.write_configuration();
    let text = std::fs::read_to_string(world.configuration()).unwrap();
    std::fs::write(world.configuration(), text.replacen("providers:\n", &other, 1)).unwrap();
    world.gateway().signal("HUP");
    await_that("the new route is there", || (world.curl("/other/", "").status == 401).then_some(()));
    let ready = world.admin("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("`other` have not been fetched yet"), "{}", ready.text());
    assert_eq!(world.admin("/readyz?strict").status, 200);
    assert!(world.admin("/status").text().contains("Logins wait: "));
    let line = format!("Cookie: __Host-portvakt={cookie}\r\n");
    assert_eq!((world.curl("/app/", &line).status, world.curl("/public/", "").status), (200, 200));
    world.settings.routes.pop();
    std::fs::write(world.configuration(), sound).unwrap();
    world.gateway().signal("HUP");
    await_that("it is gone", || (world.admin("/readyz").text() == "ok\n").then_some(()));
    world.finish();
}

/// The disk of the audit log is full; whoever names another place for it is told what is wrong with that one, too.
#[test]
fn a_log_that_cannot_be_opened_is_named_at_the_start_and_at_a_reload() {
    let mut world = World::start();
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    let broken = sound.replace("audit: {file: audit.log}", "audit: {file: nowhere/audit.log}");
    let aside = world.folder().join("broken.yaml");
    std::fs::write(&aside, &broken).unwrap();
    let mut command = Command::new(program("portvakt"));
    let output = command.args(["run", "--config"]).arg(&aside).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    std::fs::write(world.configuration(), &broken).unwrap();
    world.gateway().signal("HUP");
    let errors = await_that("the reload is refused", || {
        Some(world.errors()).filter(|errors| errors.contains("was not taken"))
    });
    let line = 1 + sound.lines().position(|line| line.contains("audit: {file: ")).unwrap();
    for (said, file) in [(said, "broken.yaml"), (errors, "gateway.yaml")] {
        assert!(said.contains("nowhere/audit.log") && said.contains("audit log"), "{said}");
        assert!(said.contains(&format!("{file}:{line}:")) && said.contains("make its folder"), "{said}");
    }
    std::fs::write(world.configuration(), sound).unwrap();
    assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    world.finish();
}

/// Whoever asks before a reload or an upgrade hears what they would be told by it, and where it stands.
#[test]
fn check_says_which_certificates_would_not_be_taken_and_mending_them_is_noticed() {
    let mut world = World::start();
    let place = |name: &str| world.folder().join(name);
    let (chain, key, other) = (place("chain.pem"), place("key.pem"), place("other.pem"));
    make_certificate(&chain, &key);
    make_certificate(&place("unused.pem"), &other);
    std::fs::write(place("ca.pem"), "no certificate").unwrap();
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    let listens = |pair: &str| {
        let tls = format!("listeners: [{{address: '127.0.0.1:{}', tls: {pair}}}, ", free_port());
        sound.replacen("listeners: [", &tls, 1)
    };
    let upstream = "upstreams:\n  app: {url: 'https://127.0.0.1:1', ca_file: ca.pem}\n";
    let (before, rest) = sound.split_once("upstreams:\n").unwrap();
    let aside = place("aside.yaml");
    for (text, said) in [
        (listens("{certificate: chain.pem, key: other.pem}"), "cannot be used: the certificate `"),
        (listens("{certificate: ca.pem, key: key.pem}"), "ca.pem"),
        (format!("{before}{upstream}{}", rest.split_once('\n').unwrap().1), "the CA file "),
    ] {
        std::fs::write(&aside, text).unwrap();
        let output =
            Command::new(program("portvakt")).args(["check", "--config"]).arg(&aside).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{told}");
        assert!(told.contains(said) && told.starts_with(&aside.display().to_string()), "{said}: {told}");
        assert!(told.contains("   fix: ") && told.contains("aside.yaml:"), "{told}");
    }
    // The configuration names another pair, which does not fit. What is mended then is the key alone.
    let text = listens("{certificate: chain.pem, key: other.pem}");
    std::fs::write(world.configuration(), text).unwrap();
    await_that("the reload is refused", || world.errors().contains("was not taken").then_some(()));
    assert!(world.errors().contains("gateway.yaml:4:"), "{}", world.errors());
    std::fs::rename(&key, &other).unwrap();
    await_that("it is taken", || (world.admin("/status.json").json()["generation"] == 2).then_some(()));
    std::fs::write(world.configuration(), &sound).unwrap();
    world.gateway().signal("HUP");
    await_that("the first is in force", || {
        (world.admin("/status.json").json()["generation"] == 3).then_some(())
    });
    world.finish();
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_nothing_of_the_person() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/secret-path?secret-query=1", "bankid-high");
    browser.open("/public/");
    world.curl("/nowhere/secret-path", "");
    world.send("GET /app/%2f HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let lines =
        await_that("the lines are written", || Some(world.access_log()).filter(|lines| lines.len() >= 7));
    for line in &lines {
        for field in ["time", "kind", "reference", "method", "rule", "status", "took_us"] {
            assert!(!line[field].is_null(), "{field} is missing: {line}");
        }
        assert!(!line.to_string().contains("secret-"), "a path or query is in the log: {line}");
    }
    let rules: Vec<&str> = lines.iter().map(|line| line["rule"].as_str().unwrap()).collect();
    assert_eq!(rules[..5], ["login_redirect", "login_started", "login_done", "login", "public"]);
    let app = &lines[3];
    assert_eq!((app["status"].as_u64(), app["route"].as_str()), (Some(200), Some("localhost /app/**")));
    assert!(app["session"].is_string() && lines[4]["session"].is_null());
    world.finish();
}

#[test]
fn the_audit_log_has_each_login_and_logout_with_its_sid_and_no_name() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let sid = world.secrets.sids().pop().unwrap();
    browser.open("/oauth2/logout");
    world.browser().log_in("/app/", "cancels");
    let lines = world.await_audit(3);
    let of = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    for (line, action, result) in
        [(&lines[0], "login", "success"), (&lines[1], "logout", "success"), (&lines[2], "login", "failure")]
    {
        assert_eq!((of(line, "action").as_str(), of(line, "result").as_str()), (action, result), "{line}");
        assert_eq!((of(line, "client").as_str(), of(line, "provider").as_str()), ("127.0.0.1", "idporten"));
        assert!(!of(line, "time").is_empty() && !of(line, "reference").is_empty());
    }
    assert_eq!((of(&lines[0], "sid"), of(&lines[1], "sid")), (sid.clone(), sid));
    assert_eq!(of(&lines[0], "session"), of(&lines[1], "session"));
    assert!(lines.iter().all(|line| line["fnr"].is_null() && line["pseudonym"].is_null()));
    world.finish();
}

#[test]
fn the_reference_on_a_page_is_that_of_the_log() {
    let world = World::start();
    let page = world.browser().open("/nowhere");
    let text = page.text();
    let shown = text.split_once("<code>").unwrap().1.split('<').next().unwrap();
    let logged = await_that("the line is written", || world.access_log().pop());
    assert_eq!(logged["reference"], shown);
    world.finish();
}

#[test]
fn admin_is_not_on_the_public_listener() {
    let world = World::start();
    for path in ["/metrics", "/status", "/status.json", "/readyz", "/livez"] {
        assert_eq!(world.curl(path, "").status, 404, "{path}");
        assert_eq!(world.admin(path).status, 200, "{path}");
    }
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    for path in ["/metrics", "/status", "/status.json"] {
        let text = world.admin(path).text();
        for secret in ["24929935140", "Nora"] {
            assert!(!text.contains(secret), "{path}");
        }
        for sid in world.secrets.sids() {
            assert!(!text.contains(&sid), "{path}");
        }
    }
    world.finish();
}

#[test]
fn sigterm_lets_requests_under_way_finish() {
    let mut world = World::start();
    let (address, request) = (
        world.address(),
        format!("POST /public/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\n", world.authority()),
    );
    let mut stream = crate::harness::http::connect(address);
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    await_that("the request is under way", || {
        let metrics = world.admin("/metrics").text();
        metrics.lines().any(|line| line.contains("in_flight") && line.ends_with(" 1")).then_some(())
    });
    world.gateway().signal("TERM");
    await_that("it is not ready any more", || (world.admin("/readyz").status == 503).then_some(()));
    std::io::Write::write_all(&mut stream, b"ok").unwrap();
    let answer = crate::harness::http::read_response(&mut stream, false);
    assert_eq!((answer.status, world.app.last().body.as_slice()), (200, &b"ok"[..]));
    world.finish();
}

/// OM-2: what a running process cannot take up stays in force, and whoever changed it is told.
#[test]
fn a_reload_takes_up_what_it_can_and_says_what_needs_a_restart() {
    let mut world = World::start();
    let cookie = {
        let mut browser = world.browser();
        browser.log_in("/app/", "bankid-high");
        browser.session_cookie().unwrap()
    };
    let sound = std::fs::read_to_string(world.configuration()).unwrap();
    let changed = sound
        .replace(&format!(":{}'}}]", world.address().port()), ":1'}]")
        .replace("threads: 2", "threads: 3")
        .replace("drain: 5s", "drain: 7s\nrevocation: {file: other.log, max_lag: 2s}");
    std::fs::write(world.configuration(), changed).unwrap();
    world.gateway().signal("HUP");
    let status = await_that("the configuration is in force", || {
        Some(world.admin("/status.json").json()).filter(|status| status["generation"] == 2)
    });
    assert_eq!(
        status["needs_restart"],
        serde_json::json!(["listeners", "threads", "revocation.file", "handover_socket"])
    );
    assert!(world.admin("/status").text().contains("listeners, threads, revocation.file"));
    let errors =
        await_that("it is said", || Some(world.errors()).filter(|errors| errors.contains("revocation.file")));
    for setting in ["listeners", "threads"] {
        assert!(errors.contains(&format!("\"{setting}\"")), "{errors}");
    }
    // It serves where it did, and logouts go where they went.
    let line = format!("Cookie: __Host-portvakt={cookie}\r\n");
    assert_eq!(world.curl("/app/", &line).status, 200);
    assert!(!world.folder().join("other.log").exists());

    std::fs::write(world.configuration(), sound).unwrap();
    world.gateway().signal("HUP");
    let status = await_that("the configuration is in force", || {
        Some(world.admin("/status.json").json()).filter(|status| status["generation"] == 3)
    });
    assert_eq!(status["needs_restart"], serde_json::json!([]));
    world.finish();
}

/// Nobody is logged out by surprise because a key has grown old or ends.
#[test]
fn it_is_said_when_it_is_time_to_rotate_keys() {
    let mut world = World::start();
    let check = |world: &World| {
        let mut command = Command::new(program("portvakt"));
        let output = command.args(["check", "--config"]).arg(world.configuration()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(!check(&world).1.contains("keys rotate"), "{}", check(&world).1);
    let metric = r#"portvakt_key_warning{concern="old",purpose="cookie"}"#;
    assert!(world.admin("/metrics").text().contains(&format!("{metric} 0")));
    for (purpose, member, value) in
        [("cookie", "active_from", 1_700_000_000_i64), ("client-idporten", "retire_after", 1_i64 << 40)]
    {
        let path = world.folder().join(format!("keys/{purpose}.json"));
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file["keys"][0][member] = value.into();
        std::fs::write(&path, file.to_string()).unwrap();
    }
    let (sound, told) = check(&world);
    assert!(sound, "{told}");
    for line in [
        "cookie: the key in use is older than a year; run `portvakt keys rotate cookie`",
        "client-idporten: the key in use ends, and has no successor",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    world.gateway().signal("HUP");
    let status: Value = await_that("the status says so", || {
        let status = world.admin("/status.json").json();
        (status["generation"] == 2).then_some(status)
    });
    let warnings = serde_json::json!([
        { "purpose": "cookie", "concern": "old" },
        { "purpose": "client-idporten", "concern": "no_successor" },
    ]);
    assert_eq!(status["key_warnings"], warnings);
    assert!(world.admin("/metrics").text().contains(&format!("{metric} 1")));
    world.finish();
}

/// OM-4: a crash writes no memory to a file, even where the system would.
#[test]
fn a_crash_leaves_no_memory_behind() {
    use std::os::unix::process::ExitStatusExt as _;

    let world = World::without_gateway(Settings::default());
    let crash = |script: &str, name: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -c unlimited && {script}")]).current_dir(world.folder());
        let mut process = Process::start(&mut command, world.folder(), name);
        if name == "gateway" {
            await_that("it listens", || {
                assert!(process.ended().is_none(), "{}", process.errors());
                process.errors().contains("starting").then_some(())
            });
        }
        process.signal("ABRT");
        let ended = await_that("it has crashed", || process.ended());
        assert_eq!(ended.signal(), Some(6), "{name}: {}", process.errors());
        ended.core_dumped()
    };
    let gateway = program("portvakt");
    let run = format!("exec '{}' run --config '{}'", gateway.display(), world.configuration().display());
    assert!(!crash(&run, "gateway"));
    world.finish();
}
