//! Key files, and what replicas know of each other's keys when one of them is too old to say which it has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use base64_simd::URL_SAFE_NO_PAD;
use portvakt_core::clock::Clock;
use serde_json::{Value, json};

use super::super::crowd::{self, ALLOWED};
use super::super::replica::Replica;
use super::Age;
use super::scene::{Beside, Shares, check};
use crate::harness::process::await_that;
use crate::kills::people::{Client, Way};

/// Signs of life, one a second.
const SEVERAL: usize = 5;

/// Whatever `keys` makes.
const PURPOSES: [&str; 9] = [
    "cookie",
    "revocation",
    "pseudonym",
    "match",
    "audit",
    "assertion",
    "client-idporten",
    "signature-ed25519",
    "signature-ecdsa-p256-sha256",
];

fn run_keys(age: Age, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(age.program());
    command.arg("keys").args(arguments).arg("--config").arg(folder.join("gateway.yaml"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{age:?} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn ids(listed: &str) -> Vec<String> {
    let is_id = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    listed.split_whitespace().filter(is_id).map(str::to_owned).collect()
}

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn key_files_of_either_are_read_and_rotated_by_the_other() {
    let mut beside = Beside::start(&Age::BOTH, Shares::Keys).expect("keys can always be shared");
    for age in Age::BOTH {
        let folder = beside.world.folder().join(format!("keys-of-{age:?}"));
        fs::create_dir(&folder).unwrap();
        fs::copy(beside.world.configuration(), folder.join("gateway.yaml")).unwrap();
        for purpose in PURPOSES {
            run_keys(age, &folder, &["new", purpose]);
            run_keys(age.other(), &folder, &["rotate", purpose]);
            let listed = Age::BOTH.map(|by| ids(&run_keys(by, &folder, &["list", purpose])));
            beside.check(
                &format!("{purpose}, made by {age:?}: {listed:?}"),
                listed[0] == listed[1] && listed[0].len() == 2,
            );
        }
        for by in Age::BOTH {
            let (sound, said) = check(by, &folder.join("gateway.yaml"));
            beside.check(&format!("{by:?} starts with what {age:?} made: {said}"), sound);
        }
    }
    // Those that serve get a new key of each, and use it.
    for age in Age::BOTH {
        let before = ["cookie", "assertion"].map(|purpose| ids_of(&read(beside.at(age), purpose)));
        for purpose in ["cookie", "revocation", "assertion", "pseudonym", "audit"] {
            let file = rotated(beside.at(age), age, purpose);
            beside.replicas.iter_mut().for_each(|replica| give(replica, purpose, &file));
        }
        for at in Age::BOTH {
            beside.turn_to(at);
            let somebody = crowd::log_in(&beside.world, 1).pop().unwrap();
            beside.check("its new key seals", !before[0].contains(&key_of(&somebody.cookie)));
            let [old, new] = [0, 1].map(|at| beside.told(at, "/fleet/rotated", &somebody.cookie));
            beside.check(&format!("{old:?}, and {new:?}"), old == new);
        }
    }
    beside.finish();
}

fn path(replica: &Replica, purpose: &str) -> std::path::PathBuf {
    replica.folder.join(format!("keys/{purpose}.json"))
}

fn read(replica: &Replica, purpose: &str) -> Value {
    serde_json::from_slice(&fs::read(path(replica, purpose)).unwrap()).unwrap()
}

fn ids_of(file: &Value) -> Vec<String> {
    let keys = file["keys"].as_array().unwrap().iter();
    keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

/// Writes in place, so that mode and owner stay, and reads it.
fn give(replica: &mut Replica, purpose: &str, file: &Value) {
    fs::write(path(replica, purpose), file.to_string()).unwrap();
    replica.reload();
}

/// A file with one key more, by `keys rotate`, as if its day had come. The replica has it not yet.
fn rotated(replica: &Replica, by: Age, purpose: &str) -> Value {
    let before = read(replica, purpose);
    run_keys(by, &replica.folder, &["rotate", purpose]);
    let mut file = read(replica, purpose);
    fs::write(path(replica, purpose), before.to_string()).unwrap();
    let newest = file["keys"].as_array_mut().unwrap().last_mut().unwrap();
    newest["active_from"] = json!(Clock::start().now().seconds());
    file
}

/// Which key sealed a session.
fn key_of(cookie: &str) -> String {
    let value = cookie.split_once('=').unwrap().1;
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(value.as_bytes()).unwrap();
    bytes[1..5].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the older one says which keys it has.
fn old_tells_of_its_keys() -> Option<bool> {
    let beside = Beside::start(&[Age::Old], Shares::Ends)?;
    // It would do so as soon as it is ready.
    let told = await_that("it has been there for some seconds", || {
        let length = |stream: &str| -> usize {
            let answer = beside.store.say(&format!("XLEN {{portvakt}}:{stream}"));
            answer.trim_start_matches(':').lines().next().unwrap().parse().unwrap()
        };
        (length("beats") > SEVERAL).then(|| length("keys") > 0)
    });
    beside.finish();
    Some(told)
}

/// An operator has brought a rotated key to one of them only, a day later. Nobody is taken for somebody else, nobody
/// who left comes back, and all is well when the other one has it too.
#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_key_that_only_one_of_them_has_lets_nobody_in_and_keeps_nobody_waiting() {
    let Some(tells) = old_tells_of_its_keys() else { return };
    let Some(mut beside) = Beside::start(&Age::BOTH, Shares::Ends) else { return };
    let stays = crowd::log_in(&beside.world, 1).pop().unwrap();
    for age in Age::BOTH {
        let file = rotated(beside.at(age), age, "cookie");
        let new = ids_of(&file).pop().unwrap();
        give(beside.at_mut(age), "cookie", &file);
        beside.turn_to(age);
        let with_new = || crowd::log_in(&beside.world, 1).pop().unwrap();
        let somebody = if tells {
            // They know of each other: it is not used, whoever has it.
            let read = "used before every replica accepts";
            await_that("it is read", || beside.at(age).messages().contains(read).then_some(()));
            let somebody = with_new();
            beside.check("it is waited with", key_of(&somebody.cookie) != new);
            await_that("nobody lacks anything", || all_ready(&beside).then_some(()));
            somebody
        } else {
            // One that hears nothing waits for nobody.
            await_that("it is used", || Some(with_new()).filter(|somebody| key_of(&somebody.cookie) == new))
        };
        for at in Age::BOTH {
            let known = at == age || tells;
            let status = beside.status(at as usize, "/fleet/new", &somebody.cookie);
            beside.check(&format!("{at:?}: {status}"), status == if known { 200 } else { 401 });
            let who = beside.told(at as usize, "/fleet/stays", &stays.cookie);
            beside.check("what the others sealed is read", !who.is_empty() && beside.at(at).is_ready());
        }
        give(beside.at_mut(age.other()), "cookie", &file);
        beside.turn_to(age.other());
        await_that("all use it", || {
            let somebody = crowd::log_in(&beside.world, 1).pop().unwrap();
            (key_of(&somebody.cookie) == new).then_some(())
        });
        let [old, new] = [0, 1].map(|at| beside.told(at, "/fleet/new", &somebody.cookie));
        beside.check(&format!("{old:?}, and {new:?}"), old == new);
    }
    beside.finish();
}

fn all_ready(beside: &Beside) -> bool {
    beside.replicas.iter().all(Replica::is_ready)
}

/// The same with the key under which ends of sessions are told: who cannot read them knows that it does not know.
#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn who_cannot_read_what_the_other_ends_lets_nobody_in_until_it_has_the_key() {
    let Some(tells) = old_tells_of_its_keys() else { return };
    let Some(mut beside) = Beside::start(&Age::BOTH, Shares::Ends) else { return };
    let stays = crowd::log_in(&beside.world, 1).pop().unwrap();
    let mut gone = Vec::new();
    for age in Age::BOTH {
        let file = rotated(beside.at(age), age, "revocation");
        beside.turn_to(age);
        let leaving = crowd::log_in(&beside.world, 1).pop().unwrap();
        give(beside.at_mut(age), "revocation", &file);
        if !tells {
            let lacking = || beside.at(age.other()).metric("portvakt_revocations_key_lacking") == 1.0;
            await_that("it knows that it lacks a key", || lacking().then_some(()));
            beside.check("it is not ready", !beside.at(age.other()).is_ready());
            let status = beside.status(age.other() as usize, "/fleet/stays", &stays.cookie);
            beside.check(&format!("nobody is let in: {status}"), status == 503);
            beside.check(
                "the other one goes on",
                !beside.told(age as usize, "/fleet/stays", &stays.cookie).is_empty(),
            );
        }
        let client = Client { address: beside.at(age).address };
        let simulator = beside.world.simulator_address();
        // It is answered as done when the store has it.
        await_that("the logout is answered", || {
            let left = leaving.person.leave(Way::Own, &client, simulator, &beside.fleet.issuer);
            (left == Some(true)).then_some(())
        });
        gone.push(leaving.cookie.clone());
        thread::sleep(ALLOWED);
        beside.look_for(&gone, "/fleet/gone");
        give(beside.at_mut(age.other()), "revocation", &file);
        beside.await_company();
        for at in Age::BOTH {
            let who = beside.told(at as usize, "/fleet/stays", &stays.cookie);
            beside.check("who stays is known", who.len() > 6);
            for cookie in &gone {
                let status = beside.status(at as usize, "/fleet/gone", cookie);
                beside.check(&format!("who left is refused: {status}"), status == 401);
            }
        }
    }
    beside.finish();
}

/// A store's user that was allowed what an older binary needs by name, and nothing else.
#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn a_store_that_allows_no_word_of_keys_makes_strict_routes_of_the_new_one_wait_and_the_old_one_goes_on() {
    let Some(tells) = old_tells_of_its_keys() else { return };
    let Some(beside) = Beside::start(&Age::BOTH, Shares::Ends) else { return };
    let stays = crowd::log_in(&beside.world, 1).pop().unwrap();
    let allow = |streams: &str| {
        let said = beside.store.say(&format!("ACL SETUSER default resetkeys {streams}"));
        assert!(said.starts_with("+OK"), "{said}");
    };
    allow("~{portvakt}:ends ~{portvakt}:beats");
    let new = beside.at(Age::New);
    await_that("it says that strict routes wait", || {
        (new.asked("/readyz?strict") == Some(503)).then_some(())
    });
    beside.check("it says why", new.messages().to_ascii_uppercase().contains("NOPERM"));
    let status = beside.status(Age::New as usize, "/fleet/stays", &stays.cookie);
    beside.check(&format!("nobody is let in: {status}"), status == 503);
    if !tells {
        beside.check("the other one goes on", beside.at(Age::Old).is_ready());
        let who = beside.told(Age::Old as usize, "/fleet/stays", &stays.cookie);
        beside.check("who stays is known", who.len() > 6);
    }
    allow("~{portvakt}:*");
    beside.await_company();
    for at in 0..2 {
        let who = beside.told(at, "/fleet/stays", &stays.cookie);
        beside.check("who stays is known", who.len() > 6);
    }
    beside.finish();
}
