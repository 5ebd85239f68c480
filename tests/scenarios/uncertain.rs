//! When nobody can say which sessions have ended: strict routes wait, others go on, and it passes by itself
//! (`design.md` D1; `threats.md` LO-8).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::http::try_exchange;
use crate::harness::jar::Jar;
use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, free_port};

#[test]
fn while_the_file_of_ended_sessions_cannot_be_written_strict_routes_wait_and_then_go_on() {
    let world = World::with(
        Settings::default()
            .route("{path: '/lenient/**', access: login, revocation: available, upstream: app}"),
    );
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    let file = world.configuration().with_file_name(".portvakt").join("revocations.log");
    // A folder in its place: it can neither be appended to nor replaced by a file. The gateway may be quicker with a
    // new file.
    await_that("a folder stands there", || {
        let _ = std::fs::remove_file(&file);
        std::fs::create_dir(&file).ok()
    });
    std::fs::create_dir(file.join("occupied")).unwrap();

    let page = await_that("strict routes wait", || {
        let page = browser.open("/app/");
        (page.status() == 503).then_some(page)
    });
    assert_eq!(page.response.header("retry-after"), Some("5"));
    assert!(page.text().contains("lang="), "a page, for a person waits");
    assert_eq!(world.admin("/readyz").status, 503);
    let forwarded = world.app.received().len();
    assert_eq!(browser.fetch("/app/").status(), 503);
    assert_eq!(world.app.received().len(), forwarded, "nothing reached the app");
    assert_eq!(browser.fetch("/public/").status(), 200);
    assert_eq!(browser.fetch("/optional/").status(), 200);
    assert_eq!(world.app.last().header("x-identity-fnr"), None, "an optional route tells of nobody");
    assert_ne!(browser.fetch("/lenient/").status(), 503);

    std::fs::remove_dir_all(&file).unwrap();
    await_that("it has recovered", || (world.admin("/readyz").status == 200).then_some(()));
    // What was lost with the file may have been an end: the session begins anew, without a word.
    let logins = world.calls("login");
    assert_eq!(browser.open("/app/").status(), 200);
    assert_eq!(world.calls("login"), logins);
    world.finish();
}

/// The provider may have ended the session between its answer and the browser's coming back: an end that was forgotten
/// with all the others.
#[test]
fn a_login_that_began_before_what_is_known_is_asked_again_and_nobody_sees_it() {
    let mut world = World::start();
    let (mut browser, mut away) = (world.browser(), world.browser());
    let callback = browser.callback("/app/letters?x=1", "bankid-high");
    let lost = away.callback("/app/", "bankid-high-2");
    let jars = [browser.jar.clone(), away.jar.clone()];
    world.control(&json!({"end_session": {"person": "bankid-high-2"}}));
    world.kill_gateway();
    std::fs::remove_file(world.configuration().with_file_name(".portvakt").join("revocations.log")).unwrap();
    world.start_killed_gateway();

    let (mut browser, mut away) = (world.browser(), world.browser());
    [browser.jar, away.jar] = jars;
    let (logins, authorized) = (world.calls("login"), world.calls("authorize"));
    let page = browser.open(callback.as_str());
    assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"));
    assert_eq!(world.calls("login"), logins, "the provider remembers who it is");
    assert_eq!(world.calls("authorize"), authorized + 1, "and is asked again");
    assert!(world.access_log().iter().any(|line| line["rule"] == "login_anew"));
    // Whom the provider does not know any more is nobody here.
    let page = away.open(lost.as_str());
    assert!(away.at_login_page(&page), "{}", page.text());
    world.finish();
}

/// An answer says that no restart forgets the logout. Until that is true there is none that says so.
#[test]
fn a_logout_that_could_not_be_written_is_in_force_and_not_answered_as_done() {
    let mut world = World::start();
    let [own, framed, posted] = ["bankid-high", "bankid-high-2", "d-number"].map(|person| {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/", person).status(), 200);
        (browser.jar.clone(), person)
    });
    let sids: Vec<String> = [&own, &framed, &posted].map(|(_, person)| sid_of(&world, person)).into();
    let folder = world.configuration().with_file_name(".portvakt");
    let aside = folder.with_file_name("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "not a folder").unwrap();

    let is_in = |world: &World, (jar, _): &(Jar, &str)| {
        let mut browser = world.browser();
        browser.jar = jar.clone();
        browser.fetch("/optional/").status() == 200 && world.app.last().header("x-identity-fnr").is_some()
    };
    let frame = format!(
        "/oauth2/logout/frontchannel?iss={}&sid={}",
        format!("{}/idporten", world.simulator()).replace(':', "%3A").replace('/', "%2F"),
        sids[1]
    );
    let token = |world: &World, person: &str| {
        let report = world.control(&serde_json::json!({ "end_session": { "person": person } }));
        let called = report["end_session"]["called"].as_array().unwrap().clone();
        called.iter().find(|call| call["channel"] == "back").unwrap()["status"].clone()
    };
    {
        let mut browser = world.browser();
        browser.jar = own.0.clone();
        // The person still goes on to the provider, by the same form.
        let page = browser.open("/oauth2/logout");
        assert_eq!(page.status(), 503, "{}", page.text());
        assert!(
            page.form().is_some_and(|(_, fields)| fields.iter().any(|(name, _)| name == "id_token_hint"))
        );
        assert_eq!(browser.session_cookie(), None);
        let page = browser.submit(&page, &[]);
        let page = browser.leave_provider(&page);
        assert_eq!(page.status(), 200, "{}", page.text());
        assert_eq!(world.curl(&frame, "").status, 503);
        assert_eq!(token(&world, posted.1), 503);
    }
    assert_eq!(world.admin("/readyz").status, 503);

    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    world.await_ready();
    // What was in force stays so, and now it survives.
    for person in [&own, &framed, &posted] {
        assert!(!is_in(&world, person));
    }
    assert_eq!(world.curl(&frame, "").status, 200);
    world.kill_gateway();
    world.start_killed_gateway();
    for person in [&own, &framed, &posted] {
        assert!(!is_in(&world, person));
    }
    world.finish();
}

/// The person's session at the provider.
fn sid_of(world: &World, person: &str) -> String {
    let state = world.simulator_state();
    let sessions = state["issuers"]["idporten"]["sessions"].as_array().unwrap();
    let session = sessions.iter().find(|session| session["person"] == person).unwrap();
    session["sids"][&world.settings.client_id].as_str().unwrap().to_owned()
}

/// Another configuration may allow for more idle time; who has logged out stays out.
#[test]
fn a_session_that_has_been_idle_for_too_long_can_still_be_ended() {
    let mut world = World::with(Settings::default().session("{idle: 1s, absolute: 120m}"));
    let (jar, cookie) = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
        (browser.jar.clone(), browser.session_cookie().unwrap())
    };
    let status = |world: &World, cookie: &str| {
        world.curl("/app/", &format!("Cookie: __Host-portvakt={cookie}\r\n")).status
    };
    await_that("the session is over", || (status(&world, &cookie) == 401).then_some(()));
    // Somebody else's, ended by nobody.
    let other = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/", "bankid-high-2").status(), 200);
        browser.session_cookie().unwrap()
    };
    await_that("the session is over", || (status(&world, &other) == 401).then_some(()));
    let mut browser = world.browser();
    browser.jar = jar;
    assert_eq!(browser.step("/oauth2/logout").status(), 200);

    world.settings.session = "{idle: 30m, absolute: 120m}".to_owned();
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the configuration is in force", || (status(&world, &other) == 200).then_some(()));
    assert_eq!(status(&world, &cookie), 401);
    world.finish();
}

/// Another gateway with the same file of ended sessions and keys of its own.
struct Beside {
    process: Process,
    keys: PathBuf,
}

impl Beside {
    fn start(world: &World, change_keys: impl FnOnce(&Path)) -> Self {
        let keys = world.folder().join("keys-beside");
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(world.folder().join("keys"))
                .arg(&keys)
                .status()
                .unwrap()
                .success()
        );
        change_keys(&keys);
        let (port, admin) = (free_port(), free_port());
        let text = std::fs::read_to_string(world.configuration()).unwrap();
        let text = text
            .replace(&format!(":{}", world.address().port()), &format!(":{port}"))
            .replace(&format!(":{}", world.admin_port()), &format!(":{admin}"))
            .replace("keys: keys", "keys: keys-beside")
            .replace("audit.log", "beside-audit.log");
        let configuration = world.folder().join("beside.yaml");
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new(program("portvakt"));
        let mut process =
            Process::start(command.args(["run", "--config"]).arg(&configuration), world.folder(), "beside");
        let admin = std::net::SocketAddr::from(([127, 0, 0, 1], admin));
        await_that("the other gateway is ready", || {
            assert!(process.ended().is_none(), "{}", process.errors());
            let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            try_exchange(admin, ask).filter(|answer| answer.status == 200)
        });
        Self { process, keys }
    }

    fn keys(&self) -> &Path {
        &self.keys
    }

    fn stop(&mut self) {
        assert!(self.process.stop().success(), "{}", self.process.errors());
    }
}

/// `design.md` D15: two processes of which one has missed a rotation.
#[test]
fn who_lacks_the_key_of_another_process_waits_until_it_has_it() {
    let mut world = World::start();
    let mut second = Beside::start(&world, |keys| {
        let file = keys.join("revocation.json");
        let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let mut newer = content["keys"][0].clone();
        newer["id"] = "0badcafe".into();
        newer["active_from"] = (newer["active_from"].as_u64().unwrap() + 1).into();
        newer["secret"] = "xyo94uhy3zKvgB0NJwLms86SwcjtWviEOpkBnGgaLlo".into();
        content["keys"].as_array_mut().unwrap().push(newer);
        std::fs::write(&file, content.to_string()).unwrap();
    });
    // The first sign of life of the second is enough.
    await_that("the first gateway is not ready", || (world.admin("/readyz").status == 503).then_some(()));
    let status = world.admin("/status.json").json();
    let reasons = status["not_ready_because"].to_string();
    assert!(reasons.contains("0badcafe"), "{reasons}");
    assert!(world.admin("/metrics").text().contains("portvakt_revocations_key_lacking 1"));
    let jar = {
        let mut browser = world.browser();
        assert_eq!(browser.open("/app/").status(), 503);
        assert_eq!(browser.open("/optional/").status(), 200);
        browser.jar.clone()
    };
    std::fs::copy(second.keys().join("revocation.json"), world.folder().join("keys/revocation.json"))
        .unwrap();
    world.gateway().signal("HUP");
    world.await_ready();
    assert!(world.admin("/metrics").text().contains("portvakt_revocations_key_lacking 0"));
    let mut browser = world.browser();
    browser.jar = jar;
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    second.stop();
    world.finish();
}
