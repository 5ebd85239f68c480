//! What was good is kept over a reload and a hand-over, and who has nothing of it serves all the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::broken::How;
use super::{AT_ONCE, FIRST, WANTED, begin, end, find_out, is_served, recovers, refused, timed};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// When its metadata and keys were fetched.
fn fetched(world: &World) -> (Value, Value) {
    let provider = &world.admin("/status.json").json()["providers"][0];
    (provider["metadata_fetched"].clone(), provider["keys_fetched"].clone())
}

/// The operator changes what the file says of the provider while that is down, as operators do then.
#[test]
fn a_reload_goes_on_with_what_is_known_of_the_same_issuer() {
    let mut world = World::start();
    let before = fetched(&world);
    let (jar, callback) = {
        let mut comer = world.browser();
        let callback = comer.callback(WANTED, "bankid-high");
        (comer.jar, callback)
    };
    let broken = begin(&mut world, How::Refuses);
    find_out(&world);
    for line in ["locale: nn", "scopes: [openid, profile, 'portvakt:api']"] {
        let generation = world.admin("/status.json").json()["generation"].as_u64().unwrap();
        world.settings.provider.push(line.to_owned());
        world.write_configuration();
        world.gateway().signal("HUP");
        await_that("the file is in force", || {
            (world.admin("/status.json").json()["generation"].as_u64() > Some(generation)).then_some(())
        });
        assert_eq!(fetched(&world), before);
        assert_eq!(world.admin("/readyz").status, 200);
        // What is known of the outage is known still.
        let (page, took) = timed(|| world.browser().open(WANTED));
        refused(&page);
        assert!(took < AT_ONCE, "{took:?}");
    }
    // The code gets as far as the token endpoint.
    let mut comer = world.browser();
    comer.jar = jar;
    refused(&comer.open(callback.as_str()));
    let calls = "portvakt_provider_calls_total{call=\"token\",outcome=\"failed\",provider=\"idporten\"}";
    assert!(world.admin("/metrics").text().contains(calls));
    end(&mut world, broken);
    recovers(&world);
    world.finish();
}

/// A security update does not wait for the provider.
#[test]
fn a_successor_takes_over_during_an_outage() {
    for how in [How::Refuses, How::Silent] {
        let mut world = World::with(Settings::default().drain_delay("300ms"));
        let before = fetched(&world);
        let jar = {
            let mut browser = world.browser();
            browser.log_in("/app/", "bankid-high");
            browser.jar
        };
        let broken = begin(&mut world, how);
        let (successor, took) = timed(|| {
            let successor = world.start_successor();
            await_that("the successor is ready", || {
                world.errors().contains("a successor is ready").then_some(())
            });
            successor
        });
        assert!(took < FIRST, "{took:?}");
        let mut old = world.exchange_gateway(successor);
        old.signal("QUIT");
        let status = await_that("the one before ends", || old.ended());
        assert!(status.success(), "{status:?}");
        assert!(world.errors().contains("took over"));
        assert_eq!((fetched(&world), world.admin("/readyz").status), (before.clone(), 200));
        let mut browser = world.browser();
        browser.jar = jar;
        is_served(&mut browser, &world);
        refused(&world.browser().open(WANTED));
        end(&mut world, broken);
        recovers(&world);
        world.finish();
    }
}

/// A replica that was restarted during an outage is not ready, since it cannot log in anybody, and serves who is.
#[test]
fn a_process_that_starts_during_an_outage_serves_who_is_logged_in() {
    for how in [How::Refuses, How::Silent] {
        let mut world = World::start();
        let (jar, leaving) = {
            let (mut browser, mut leaver) = (world.browser(), world.browser());
            browser.log_in("/app/", "bankid-high");
            leaver.log_in("/app/", "bankid-high");
            (browser.jar, leaver.jar)
        };
        let broken = begin(&mut world, how);
        world.settings.provider_is_up = false;
        world.restart_gateway();
        let ready = world.admin("/readyz");
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains("`idporten` have not been fetched yet"), "{}", ready.text());
        let mut browser = world.browser();
        browser.jar = jar;
        for _ in 0..5 {
            is_served(&mut browser, &world);
        }
        assert_eq!(world.curl("/public/", "").status, 200);
        let (page, took) = timed(|| world.browser().open(WANTED));
        refused(&page);
        assert!(took < FIRST, "{took:?}");
        for _ in 0..10 {
            let (page, took) = timed(|| world.browser().open(WANTED));
            refused(&page);
            assert!(took < AT_ONCE, "{took:?}");
        }
        let mut leaver = world.browser();
        leaver.jar = leaving.clone();
        leaver.open("/oauth2/logout").shows(200, "Du er logget ut her");
        leaver.jar = leaving;
        assert_eq!(leaver.fetch("/app/x").status(), 401);
        if let Some(broken) = &broken {
            // Not everybody's login asks for it, but the background.
            let asked = broken.times("openid-configuration");
            assert!((1..=10).contains(&asked.len()), "{}", asked.len());
            let close = asked.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_secs(2)).count();
            assert!(close <= 1, "{close} of {} came close together", asked.len());
        }
        end(&mut world, broken);
        await_that("it is ready", || (world.admin("/readyz").status == 200).then_some(()));
        recovers(&world);
        world.finish();
    }
}

/// Newer keys that cannot be had keep nobody out for longer than that lasts, and strangers ask once a minute.
#[test]
fn a_rotation_during_an_outage_of_the_keys_keeps_out_nobody_for_long() {
    let world = World::start();
    let before = world.calls("jwks");
    world.control(&json!({ "lies": [{ "name": "jwks_500", "times": 1000 }] }));
    // {"alg":"RS256","kid":"nobody's","typ":"logout+jwt"}.{}
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im5vYm9keSdzIiwidHlwIjoibG9nb3V0K2p3dCJ9.e30.AA";
    let body = format!("logout_token={token}");
    for _ in 0..30 {
        let response = world.send(format!(
            "POST /oauth2/logout/backchannel HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        ));
        // Nobody knows whether there is such a key.
        assert_eq!(response.status, 503);
    }
    assert_eq!(world.calls("jwks") - before, 1, "one fetch for all of them");
    // Keys that are known go on: for logins, and for the logout of who is logged in.
    let mut browser = world.browser();
    assert_eq!(browser.log_in(WANTED, "bankid-high").status(), 200);
    let report = world.control(&json!({ "end_session": { "person": "bankid-high" } }));
    let called = report["end_session"]["called"].as_array().unwrap();
    assert!(!called.is_empty() && called.iter().all(|call| call["status"] == 200), "{report}");
    assert_eq!(browser.fetch("/app/x").status(), 401);

    world.control(&json!({ "rotate_keys": "sudden" }));
    refused(&world.browser().log_in(WANTED, "bankid-high"));
    refused(&world.browser().log_in(WANTED, "bankid-high"));
    assert!(world.calls("jwks") - before <= 3);
    world.control(&json!({ "lies": [] }));
    let took = recovers(&world);
    assert!(took < Duration::from_secs(12), "{took:?}");
    world.finish();
}
