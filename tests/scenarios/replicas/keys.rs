//! Keys of several replicas (`design.md` D15): nobody uses one that another does not accept yet, and who lacks one that others
//! use is not ready, while those are not disturbed.

use std::fs;
use std::path::PathBuf;

use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::Clock;
use serde_json::{Value, json};

use super::fleet::{Fleet, plain};
use super::redis::Redis;
use crate::harness::process::await_that;
use crate::harness::run_keys;

fn path(fleet: &Fleet, at: usize, purpose: &str) -> PathBuf {
    fleet.keys(at).join(format!("{purpose}.json"))
}

fn read(fleet: &Fleet, at: usize, purpose: &str) -> Value {
    serde_json::from_slice(&fs::read(path(fleet, at, purpose)).unwrap()).unwrap()
}

/// Writes in place: mode and owner stay.
fn write(fleet: &Fleet, at: usize, purpose: &str, file: &Value) {
    fs::write(path(fleet, at, purpose), file.to_string()).unwrap();
    fleet.reload(at);
}

/// A new key, as if its day had come already. Gives the file, and the new one's id.
fn rotated(fleet: &Fleet, purpose: &str) -> (Value, String) {
    let before = read(fleet, 0, purpose);
    run_keys(fleet.world.folder(), &["rotate", purpose]);
    let mut file = read(fleet, 0, purpose);
    fs::write(path(fleet, 0, purpose), before.to_string()).unwrap();
    let keys = file["keys"].as_array_mut().unwrap();
    let newest = keys.last_mut().unwrap();
    newest["active_from"] = json!(Clock::start().now().seconds());
    let id = newest["id"].as_str().unwrap().to_owned();
    (file, id)
}

/// Which key sealed a session.
fn key_of(cookie: &str) -> String {
    let value = cookie.split_once('=').unwrap().1;
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(value.as_bytes()).unwrap();
    bytes[1..5].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which key signed the assertion of this gateway.
fn assertion_key(fleet: &Fleet, at: usize, cookie: &str) -> String {
    assert_eq!(fleet.ask(at, "/asserted/", cookie).status, 200);
    let received = fleet.world.app.received();
    let assertion = received.iter().rev().find_map(|request| request.header("x-identity-assertion")).unwrap();
    let head = URL_SAFE_NO_PAD.decode_to_vec(assertion.split('.').next().unwrap().as_bytes()).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_that_some_do_not_have_yet_is_used_when_the_last_one_has_it() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high");
    let old = key_of(&stays);
    watch.only("/app/", &stays, &[200]);
    let (file, new) = rotated(&fleet, "cookie");
    for at in 0..2 {
        write(&fleet, at, "cookie", &file);
        await_that("it is read", || fleet.messages(at).contains("keys are not used before").then_some(()));
        // All accept what the first one makes: `log_in` looks.
        let cookie = fleet.log_in("bankid-high-2");
        assert_eq!(key_of(&cookie), old, "the third one has not got the key");
    }
    let withheld = "portvakt_keys_withheld{purpose=\"cookie\"}";
    assert_eq!(fleet.figures(withheld), [1, 1, 0]);
    write(&fleet, 2, "cookie", &file);
    await_that("it is used", || (key_of(&fleet.log_in("bankid-high-2")) == new).then_some(()));
    assert!(fleet.is_ready());
    await_that("it is told", || (fleet.figures(withheld) == [0, 0, 0]).then_some(()));
    // So it is after a restart, when the others have been heard.
    fleet.end(1, &stays, &watch);
    assert_eq!(
        watch.met("/app/", &stays).iter().filter(|status| **status != 401).collect::<Vec<_>>(),
        [&200]
    );
    fleet.finish();
}

#[test]
fn assertions_are_signed_with_a_key_that_every_replica_publishes() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 2);
    run_keys(fleet.world.folder(), &["new", "assertion"]);
    for at in 0..2 {
        if at > 0 {
            fs::copy(path(&fleet, 0, "assertion"), path(&fleet, at, "assertion")).unwrap();
        }
        fleet.add_route(at, "{path: '/asserted/**', access: login, assertion: true, upstream: app}");
    }
    let cookie = fleet.log_in("bankid-high");
    fleet.await_statuses("it is served", "/asserted/", &cookie, 200);
    let old = assertion_key(&fleet, 0, &cookie);
    let (file, new) = rotated(&fleet, "assertion");
    write(&fleet, 0, "assertion", &file);
    await_that("it is read", || fleet.messages(0).contains("keys are not used before").then_some(()));
    let published = |at: usize| fleet.ask(at, "/.well-known/portvakt/jwks.json", "").text();
    // A session of its own: what was signed before is used again.
    let fresh = || fleet.log_in("bankid-high-2");
    assert_eq!(assertion_key(&fleet, 0, &fresh()), old);
    assert!(published(0).contains(&new) && !published(1).contains(&new));
    write(&fleet, 1, "assertion", &file);
    await_that("it is used", || (assertion_key(&fleet, 0, &fresh()) == new).then_some(()));
    assert!(published(1).contains(&new), "whoever asks the other one finds it there");
    fleet.finish();
}

#[test]
fn who_comes_without_a_key_that_others_use_is_not_ready_and_disturbs_nobody() {
    let redis = Redis::start();
    let mut fleet = Fleet::at(redis.port, 2);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high");
    watch.only("/app/", &stays, &[200]);
    for (number, purpose) in [(2, "cookie"), (3, "revocation")] {
        fleet.prepare_other(number, &plain(redis.port), &plain(redis.port));
        let right = read(&fleet, number, purpose);
        fs::remove_file(path(&fleet, number, purpose)).unwrap();
        let configuration = format!("gateway-{number}.yaml");
        fleet.run_keys(&configuration, &["new", purpose]);
        fleet.run_other(number);
        let id = right["keys"][0]["id"].as_str().unwrap().to_owned();
        await_that("it says what it lacks", || {
            let (status, text) = fleet.readiness().pop()?;
            assert_ne!(status, 200, "{purpose}: it is ready");
            (text.contains(&id) && text.contains(purpose)).then_some(())
        });
        let readiness = fleet.readiness();
        assert!(readiness[..number].iter().all(|(status, _)| *status == 200), "{readiness:?}");
        // Everybody goes on meanwhile.
        let cookie = fleet.log_in_at_first("bankid-high-2");
        assert_eq!(
            (0..number).map(|at| fleet.ask(at, "/app/", &cookie).status).collect::<Vec<_>>(),
            vec![200; number]
        );
        let at = fleet.size() - 1;
        fs::write(path(&fleet, at, purpose), right.to_string()).unwrap();
        fleet.restart(at);
        fleet.await_all();
        fleet.await_statuses("it is one of them", "/app/", &stays, 200);
    }
    assert_eq!(watch.met("/app/", &stays), [200]);
    watch.finish();
    fleet.finish();
}

#[test]
fn who_is_given_other_keys_by_mistake_is_not_ready_and_the_others_are() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    let stays = fleet.log_in("bankid-high");
    for purpose in ["cookie", "revocation"] {
        let right = read(&fleet, 1, purpose);
        let (rotated, id) = rotated(&fleet, purpose);
        let mut wrong = rotated.clone();
        let keys = wrong["keys"].as_array_mut().unwrap();
        keys.remove(0);
        write(&fleet, 1, purpose, &wrong);
        await_that("it says so", || {
            let readiness = fleet.readiness_for("/readyz?strict");
            assert_eq!([readiness[0].0, readiness[2].0], [200; 2], "{readiness:?}");
            readiness[1].1.contains(&format!("another replica uses the `{purpose}` key")).then_some(())
        });
        // However long it takes until somebody looks, nobody else is disturbed.
        let silent = "portvakt_revocations_replicas_silent ";
        await_that("the others go on without it", || {
            let statuses = [0, 2].map(|at| fleet.ask(at, "/app/", &stays).status);
            assert_eq!(statuses, [200; 2], "{purpose}");
            (purpose == "cookie" || fleet.figures(silent)[0] == 1).then_some(())
        });
        assert!(!fleet.messages(0).contains(&id) && !fleet.messages(2).contains(&id), "{purpose}");
        let mut both = rotated;
        both["keys"][1]["active_from"] = json!(right["keys"][0]["active_from"].as_u64().unwrap() - 1);
        // What it wrote into its own file meanwhile it can still read.
        write(&fleet, 1, purpose, &both);
        fleet.await_all();
        fleet.await_statuses("it is one of them again", "/app/", &stays, 200);
    }
    watch.finish();
    fleet.finish();
}
