//! What ends at one is over at the other, through the store; and each may join what the other has written alone.

use std::fs;
use std::time::{Duration, Instant};

use super::super::crowd::{self, Crowd};
use super::super::load::{self, Load};
use super::Age;
use super::scene::{Beside, Shares};
use crate::harness::process::await_that;
use crate::kills::people::{Client, Way};

/// So many leave in each way at each of the two.
const EACH: usize = 5;

/// A steady load: the machine is not to be full.
pub(super) const LOAD: Load = Load { clients: 6, rate: Some(80.0), together: 1 };

/// Who stays all the time.
pub(super) const PEOPLE: usize = 8;

/// How soon the other knows (`threats.md` CK-12).
const IN_FORCE: Duration = Duration::from_secs(1);

#[test]
#[ignore = "`make skew` runs it beside an older binary"]
fn what_ends_at_either_is_over_at_the_other_and_nothing_alarms() {
    let Some(mut beside) = Beside::start(&Age::BOTH, Shares::Ends) else { return };
    beside.fleet.crowd = Crowd::of(crowd::log_in(&beside.world, PEOPLE));
    let stays = beside.fleet.crowd.one(0);
    let (mut gone, tally, _) = load::during(&beside.fleet, LOAD, || {
        let mut gone = Vec::new();
        for round in 0..EACH {
            for (age, way) in Age::BOTH.iter().flat_map(|age| Way::ALL.map(|way| (*age, way))) {
                // Whoever ends it need not be who began it.
                let begun = if round % 2 == 0 { age } else { age.other() };
                gone.push(leaves(&beside, begun, age, way, &Age::BOTH));
            }
        }
        gone
    });
    beside.count(&tally);
    beside.look_for(&gone, "/fleet/gone");
    beside.check_alarms(0);
    for age in Age::BOTH {
        // The other one is away, and its file is lost.
        stop_and_forget(&mut beside, age.other());
        gone.push(leaves(&beside, age, age, Way::Own, &[age]));
        beside.at_mut(age.other()).begin();
        beside.await_company();
        beside.look_for(&gone, "/fleet/gone");
        for at in Age::BOTH {
            beside.check(
                "who stays is known",
                beside.told(at as usize, "/fleet/stays", &stays.cookie).len() > 6,
            );
        }
        gone.push(leaves(&beside, age.other(), age, Way::FrontChannel, &Age::BOTH));
        gone.push(leaves(&beside, age, age.other(), Way::Own, &Age::BOTH));
        beside.check_alarms(usize::from(age == Age::New));
    }
    for age in Age::BOTH {
        // What is known is in the store, and in the file of the one that does not come yet.
        beside.at_mut(age.other()).stop();
        stop_and_forget(&mut beside, age);
        beside.at_mut(age).begin();
        beside.at_mut(age).await_ready();
        for cookie in &gone {
            let status = beside.status(age as usize, "/fleet/gone", cookie);
            beside.check(&format!("{age:?} knows from the store who left: {status}"), status == 401);
        }
        beside.at_mut(age.other()).begin();
        beside.await_company();
        beside.look_for(&gone, "/fleet/gone");
        let status = Age::BOTH.map(|at| beside.status(at as usize, "/fleet/stays", &stays.cookie));
        beside.check(&format!("{status:?}: at both, or at neither"), [[200; 2], [401; 2]].contains(&status));
        gone.push(leaves(&beside, age, age.other(), Way::BackChannel, &Age::BOTH));
    }
    beside.finish();
}

fn stop_and_forget(beside: &mut Beside, age: Age) {
    let replica = beside.at_mut(age);
    replica.stop();
    fs::remove_dir_all(replica.folder.join("ended")).unwrap();
}

/// Somebody logs in at one, is known by all that run, leaves at one, and is refused by all. Gives the cookie.
fn leaves(beside: &Beside, begun: Age, ended: Age, way: Way, running: &[Age]) -> String {
    let client = |age: Age| Client { address: beside.at(age).address };
    beside.turn_to(begun);
    let somebody = crowd::log_in(&beside.world, 1).pop().unwrap();
    for at in running {
        beside.check("who came is known", somebody.person.is_in(&client(*at)));
    }
    beside.turn_to(ended);
    let simulator = beside.world.simulator_address();
    let leave = || somebody.person.leave(way, &client(ended), simulator, &beside.fleet.issuer) == Some(true);
    // A machine that is full may answer that others cannot know yet. The provider calls once.
    let answered = if way == Way::BackChannel {
        leave()
    } else {
        await_that("the logout is answered", || leave().then_some(true))
    };
    let since = Instant::now();
    for at in running {
        await_that("it is over", || {
            let late = answered && since.elapsed() > IN_FORCE;
            let status = somebody.person.read(&client(*at));
            beside.asked(1);
            if late && status == Some(200) {
                beside.revived();
            }
            (status == Some(401)).then_some(())
        });
        beside.check("who left is refused", true);
    }
    somebody.cookie.clone()
}
