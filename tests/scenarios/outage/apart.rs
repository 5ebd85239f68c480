//! One provider's outage is not another's, and an app's need for tokens is no flood.

use std::thread;

use serde_json::{Value, json};

use super::broken::How;
use super::{AT_ONCE, begin, end, find_out, is_served, recovers, settings, timed};
use crate::harness::http::exchange;
use crate::harness::jar::Jar;
use crate::harness::process::{Process, await_that, program};
use crate::harness::{World, free_port, run_keys};

/// A second simulator, so that one may go and the other stay.
fn start_ansattporten(world: &mut World) -> Process {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = std::process::Command::new(program("portvakt-simulator"));
    command.args(["--listen", &address.to_string()]);
    let mut simulator = Process::start(&mut command, world.folder(), "ansattporten");
    simulator.await_line("simulator ready ");
    world.settings.providers = format!(
        "  ansattporten:\n    profile: ansattporten\n    issuer: 'http://{address}/ansattporten'\n    client_id: staff\n"
    );
    world.settings.routes.push(
        "{path: '/staff/**', access: login, session: ansattporten, require: {kinds: [employee]}, upstream: app}"
            .to_owned(),
    );
    world.write_configuration();
    run_keys(world.folder(), &["new", "client-ansattporten"]);
    let jwks = run_keys(world.folder(), &["list", "client-ansattporten", "--jwks"]);
    let at = |path: &str| format!("{}/oauth2/{path}", world.origin());
    let orders = json!({"client": {
        "issuer": "ansattporten",
        "client_id": "staff",
        "jwks": serde_json::from_str::<Value>(&jwks).unwrap(),
        "redirect_uris": [at("callback")],
        "post_logout_redirect_uris": [at("logout/callback")],
        "frontchannel_logout_uri": at("logout/frontchannel"),
        "backchannel_logout_uri": at("logout/backchannel"),
    }})
    .to_string();
    let head = format!(
        "POST /control HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{orders}",
        orders.len(),
    );
    assert_eq!(exchange(address, head.as_bytes()).status, 200);
    world.restart_gateway();
    world.await_ready();
    simulator
}

fn logins_at_another_provider_go_on(how: How) {
    let mut world = World::start();
    let _ansattporten = start_ansattporten(&mut world);
    let broken = begin(&mut world, how);
    find_out(&world);
    for _ in 0..5 {
        let mut browser = world.browser();
        let (page, took) = timed(|| browser.log_in("/staff/x", "employee"));
        page.shows(200, "the app's page");
        assert!(took < AT_ONCE, "{took:?}");
        assert_eq!(world.app.last().header("x-identity-provider"), Some("ansattporten"));
    }
    assert_eq!(world.admin("/readyz").status, 200);
    let providers = world.admin("/status.json").json()["providers"].clone();
    for provider in providers.as_array().unwrap() {
        let not_answering = provider["not_answering"].as_array().unwrap();
        assert_eq!(not_answering.is_empty(), provider["name"] == "ansattporten", "{provider}");
    }
    end(&mut world, broken);
    recovers(&world);
    world.finish();
}

#[test]
fn logins_at_another_provider_go_on_while_one_is_gone() {
    logins_at_another_provider_go_on(How::Refuses);
}

#[test]
fn logins_at_another_provider_go_on_while_one_is_silent() {
    logins_at_another_provider_go_on(How::Silent);
}

/// So many people whose tokens are past their time.
const PEOPLE: usize = 12;

#[test]
fn tokens_that_cannot_be_exchanged_are_asked_for_now_and_then_and_are_nobody_elses() {
    let world = World::with(settings());
    let persons = ["bankid-high", "bankid-high-2"];
    world.control(&json!({"access_token_seconds": 0}));
    let people: Vec<(Jar, &str)> = (0..PEOPLE)
        .map(|number| {
            let (mut browser, person) = (world.browser(), persons[number % persons.len()]);
            assert_eq!(browser.log_in("/app/", person).status(), 200);
            (browser.jar, person)
        })
        .collect();
    world.control(&json!({
        "access_token_seconds": 120,
        "lies": [{ "name": "refresh_500", "times": 1000 }],
    }));
    let before = world.calls("refresh");
    // Everybody asks often, and at the same moment.
    thread::scope(|scope| {
        for (jar, _) in people.iter().cycle().take(3 * PEOPLE) {
            let world = &world;
            scope.spawn(move || {
                let mut browser = world.browser();
                browser.jar = jar.clone();
                for _ in 0..3 {
                    let (page, took) = timed(|| browser.fetch("/token/x"));
                    assert_eq!(page.status(), 503, "{}", page.text());
                    assert_eq!(page.response.header("retry-after"), Some("5"));
                    assert_eq!(page.response.json()["error"], "access_token_missing");
                    assert!(took < AT_ONCE, "{took:?}");
                    // All else goes on.
                    assert_eq!(browser.fetch("/app/x").status(), 200);
                }
            });
        }
    });
    let refreshed = world.calls("refresh") - before;
    assert!(refreshed <= u64::try_from(PEOPLE).unwrap(), "{refreshed} calls");
    world.control(&json!({ "lies": [] }));
    for (jar, person) in people {
        let mut browser = world.browser();
        browser.jar = jar;
        await_that("there is a token again", || (browser.fetch("/token/x").status() == 200).then_some(()));
        let received = world.app.last();
        let fnr = received.header("x-identity-fnr").unwrap().to_owned();
        let bearer = received.header("authorization").unwrap().to_owned();
        let head = format!(
            "GET /idporten/userinfo HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n"
        );
        let said = exchange(world.simulator_address(), head.as_bytes()).json();
        assert_eq!(said["pid"], fnr.as_str(), "{person}");
        world.secrets.add(bearer.trim_start_matches("Bearer "));
    }
    world.finish();
}

/// The token endpoint says nothing: who has a good token waits for nothing, who has none is told in time.
#[test]
fn a_token_that_is_good_is_sent_while_the_provider_is_silent() {
    let mut world = World::with(settings());
    let (good, old) = {
        let mut good = world.browser();
        assert_eq!(good.log_in("/token/x", "bankid-high").status(), 200);
        world.control(&json!({"access_token_seconds": 0}));
        let mut old = world.browser();
        old.log_in("/app/", "bankid-high");
        (good.jar, old.jar)
    };
    let broken = begin(&mut world, How::Silent);
    let (world_, mut with_a_good_one) = (&world, world.browser());
    with_a_good_one.jar = good;
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let jar = old.clone();
                scope.spawn(move || {
                    let mut browser = world_.browser();
                    browser.jar = jar;
                    timed(|| browser.fetch("/token/x").status())
                })
            })
            .collect();
        for _ in 0..5 {
            let (page, took) = timed(|| with_a_good_one.fetch("/token/x"));
            assert_eq!(page.status(), 200);
            assert!(took < AT_ONCE, "{took:?}");
        }
        for waiting in waiting {
            let (status, took) = waiting.join().unwrap();
            assert_eq!(status, 503);
            assert!(took < super::FIRST, "{took:?}");
        }
    });
    // One exchange for the session, however many wait for it.
    assert_eq!(broken.as_ref().unwrap().asked("token"), 1);
    is_served(&mut with_a_good_one, &world);
    end(&mut world, broken);
    world.finish();
}
