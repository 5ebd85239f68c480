//! `kill -9` under load (`design.md` D1): what was answered before it is in force after it, and whoever was not
//! logged out stays logged in.
//!
//! Each round logs people in, ends the sessions of some in all three ways while others read, and kills one
//! gateway or both in the middle of it: at any moment, while the file of ended sessions is replaced by a gateway
//! (compaction), or by somebody else. `make kills` runs a hundred and more; among the tests a few.
//!
//! **Invariant:** a logout counts as answered as soon as the status has arrived. One that was sent and not
//! answered may be in force or not, and is not looked at again.

mod gateways;
pub(crate) mod people;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::gateways::{Gateways, Victims};
use self::people::{Client, Person, Way};
use crate::harness::World;
use crate::harness::process::await_that;

/// How many kills `make kills` asks for.
const VARIABLE: &str = "PORTVAKT_KILLS";

/// How many there are among the tests.
const FEW: usize = 6;

/// How long the whole may take, for each kill. It takes about two seconds where nothing else runs.
const EACH: Duration = Duration::from_secs(12);

/// People who are never logged out.
const STEADY: usize = 12;

/// People who are logged out in each round, in each way.
const LEAVING: usize = 6;

/// How many of those who left long ago are looked at after a kill; all of them are at the end.
const SAMPLE: usize = 30;

/// How many read at the same time.
const READERS: usize = 3;

/// What happens to the file while the load is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Nothing,
    /// It has become so long that a gateway replaces it, and the kill waits for that.
    Compaction,
    /// Somebody puts a copy in its place.
    Replacement,
}

/// The rounds, over and over.
const ROUNDS: [(Victims, Disturbance); 12] = [
    (Victims::Alone, Disturbance::Nothing),
    (Victims::Alone, Disturbance::Compaction),
    (Victims::Both, Disturbance::Replacement),
    (Victims::Second, Disturbance::Compaction),
    (Victims::First, Disturbance::Nothing),
    (Victims::Both, Disturbance::Nothing),
    (Victims::First, Disturbance::Compaction),
    (Victims::Second, Disturbance::Nothing),
    (Victims::Alone, Disturbance::Replacement),
    (Victims::Both, Disturbance::Compaction),
    (Victims::First, Disturbance::Replacement),
    (Victims::Second, Disturbance::Replacement),
];

#[test]
fn what_was_answered_before_a_kill_is_in_force_after_it_and_nobody_else_is_logged_out() {
    let kills = std::env::var(VARIABLE).map_or(FEW, |kills| kills.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(60) + EACH * u32::try_from(kills).unwrap();
    let mut campaign = Campaign::begin();
    let mut last = None;
    for (victims, disturbance) in ROUNDS.into_iter().cycle() {
        if campaign.tally.kills >= kills || campaign.tally.is_wrong() {
            break;
        }
        assert!(Instant::now() < end, "it takes too long: {:?}", campaign.tally);
        campaign.round(victims, disturbance);
        last = Some((victims, disturbance));
    }
    campaign.finish(last);
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    rounds: usize,
    kills: usize,
    /// Logouts by their way: [`Way::ALL`].
    answered: [usize; 3],
    unanswered: usize,
    read: usize,
    /// Kills while a gateway was replacing the file.
    while_replacing: usize,
    revived: usize,
    lost: usize,
}

impl Tally {
    fn is_wrong(&self) -> bool {
        self.revived + self.lost > 0
    }
}

struct Campaign {
    world: World,
    gateways: Gateways,
    chance: Chance,
    steady: Vec<Person>,
    /// Logged in, and never asked to be logged out.
    waiting: Vec<Person>,
    /// Logged out with an answer.
    gone: Vec<Person>,
    tally: Tally,
}

impl Campaign {
    fn begin() -> Self {
        let mut world = World::start();
        let gateways = Gateways::beside(&mut world);
        let mut campaign = Self {
            gateways,
            chance: Chance::new(),
            steady: Vec::new(),
            waiting: Vec::new(),
            gone: Vec::new(),
            tally: Tally::default(),
            world,
        };
        campaign.steady = campaign.logged_in(STEADY);
        campaign
    }

    /// So many new people.
    fn logged_in(&self, count: usize) -> Vec<Person> {
        people::forget_provider_sessions(&self.world);
        let mut people: Vec<Person> = (0..count).map(|_| Person::logged_in(&self.world)).collect();
        people::learn_sids(&self.world, &mut people);
        people
    }

    fn round(&mut self, victims: Victims, disturbance: Disturbance) {
        self.tally.rounds += 1;
        self.gateways.prepare(&self.world, victims);
        // Who waited in the round before has no session at the provider any more.
        let mut leaving = self.logged_in(LEAVING * Way::ALL.len());
        let waited = std::mem::take(&mut self.waiting);
        let outcome = self.load(&mut leaving, victims, disturbance);
        self.tally.kills += self.gateways.restart(&mut self.world, victims);
        self.tally.while_replacing += usize::from(outcome.while_replacing);
        self.tally.read += outcome.read;
        self.tally.lost += outcome.lost;
        for (person, end) in leaving.into_iter().zip(outcome.ends) {
            match end {
                End::Answered(way) => {
                    self.tally.answered[way as usize] += 1;
                    self.gone.push(person);
                }
                End::Sent => self.tally.unanswered += 1,
                End::NotSent => self.waiting.push(person),
            }
        }
        self.look_around(&waited);
    }

    /// People read and others leave, until the victims are killed and everybody has noticed.
    fn load(&mut self, leaving: &mut [Person], victims: Victims, disturbance: Disturbance) -> Outcome {
        let clients = self.gateways.clients(&self.world, victims);
        let log = self.gateways.log(&self.world);
        let simulator = self.world.simulator_address();
        let issuer = format!("{}/idporten", self.world.simulator());
        let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (steady, chance) = (&self.steady, &mut self.chance);
        // The kill comes after some of the answers, or after all.
        let enough = chance.below(leaving.len() + 1);
        let pauses: Vec<u64> = leaving.iter().map(|_| chance.below(20) as u64).collect();
        let after = Duration::from_micros(chance.below(5_000) as u64);
        let before_it_is_in_place = chance.below(2) == 0;
        let (gateways, world) = (&mut self.gateways, &mut self.world);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS)
                .map(|reader| {
                    let (clients, over) = (&clients, &over);
                    scope.spawn(move || read(&steady[reader..], clients, over))
                })
                .collect();
            let leavers: Vec<_> = leaving
                .chunks_mut(LEAVING)
                .zip(pauses.chunks(LEAVING))
                .zip(Way::ALL)
                .map(|((people, pauses), way)| {
                    let (clients, over, answered, issuer) = (&clients, &over, &answered, &issuer);
                    scope.spawn(move || {
                        let mut leave = |(at, person): (usize, &mut Person)| {
                            if over.load(Ordering::Acquire) {
                                return End::NotSent;
                            }
                            thread::sleep(Duration::from_millis(pauses[at]));
                            let client = &clients[(at + way as usize) % clients.len()];
                            let end = match person.leave(way, client, simulator, issuer) {
                                Some(true) => End::Answered(way),
                                Some(false) => End::Sent,
                                None => End::NotSent,
                            };
                            answered
                                .fetch_add(usize::from(matches!(end, End::Answered(_))), Ordering::AcqRel);
                            end
                        };
                        people.iter_mut().enumerate().map(&mut leave).collect::<Vec<_>>()
                    })
                })
                .collect();
            let done = || leavers.iter().all(thread::ScopedJoinHandle::is_finished);
            if disturbance == Disturbance::Replacement {
                gateways::replace_by_copy(&log);
            }
            await_that("logouts are answered", || {
                (answered.load(Ordering::Acquire) >= enough || done()).then_some(())
            });
            let compaction =
                (disturbance == Disturbance::Compaction).then(|| gateways::begin_compaction(&log)).flatten();
            let while_replacing = compaction.is_some();
            match compaction {
                // Before the other file is in place, or about when it is.
                Some(held) if before_it_is_in_place => {
                    gateways.kill(world, victims);
                    drop(held);
                }
                held => {
                    drop(held);
                    thread::sleep(after);
                    gateways.kill(world, victims);
                }
            }
            over.store(true, Ordering::Release);
            let ends = leavers.into_iter().flat_map(|leaver| leaver.join().unwrap()).collect();
            let (read, lost) = readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            Outcome { ends, read, lost, while_replacing }
        })
    }

    /// After the restart: who is gone is gone, who is not is here.
    fn look_around(&mut self, waited: &[Person]) {
        let recent = self.gone.len().saturating_sub(2 * LEAVING * Way::ALL.len());
        let mut gone: Vec<usize> = (recent..self.gone.len()).collect();
        gone.extend((0..SAMPLE.min(recent)).map(|_| self.chance.below(recent)));
        let here: Vec<&Person> = self.steady.iter().chain(&self.waiting).chain(waited).collect();
        for client in self.gateways.running(&self.world) {
            self.tally.revived += gone.iter().filter(|at| self.gone[**at].is_in(&client)).count();
            self.tally.lost += here.iter().filter(|person| !person.is_in(&client)).count();
        }
    }

    #[expect(clippy::print_stdout, reason = "the figures are what `make kills` is for")]
    fn finish(mut self, last: Option<(Victims, Disturbance)>) {
        for client in self.gateways.running(&self.world) {
            self.tally.revived += self.gone.iter().filter(|person| person.is_in(&client)).count();
            self.tally.lost += self.steady.iter().filter(|person| !person.is_in(&client)).count();
        }
        let wrong = people::strangers(&self.world);
        let Tally { rounds, kills, answered, unanswered, read, while_replacing, revived, lost } = self.tally;
        self.gateways.finish(&self.world);
        self.world.finish();
        let [own, front, back] = answered;
        let figures = format!(
            "{rounds} rounds, {while_replacing} kills while the file was replaced, {read} requests read meanwhile; \
             logouts: {own} own, {front} front-channel, {back} back-channel, {unanswered} without an answer\n\
             {kills} kills, {} logouts answered, {revived} revived, {lost} sessions lost",
            answered.iter().sum::<usize>()
        );
        println!("\n{figures}");
        assert_eq!((revived, lost, wrong), (0, 0, 0), "after {last:?}");
        assert!(answered.iter().all(|count| *count > 0), "not every way was answered: {answered:?}");
    }
}

/// What one round did.
struct Outcome {
    /// For each of those who were to leave.
    ends: Vec<End>,
    read: usize,
    lost: usize,
    while_replacing: bool,
}

/// What came of a logout.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered(Way),
    /// It may be in force.
    Sent,
    NotSent,
}

/// Reads as one person after the other; how often, and how often somebody was taken for nobody.
fn read(steady: &[Person], clients: &[Client], over: &AtomicBool) -> (usize, usize) {
    let (mut read, mut lost) = (0, 0);
    for (person, client) in steady.iter().cycle().zip(clients.iter().cycle()) {
        if over.load(Ordering::Acquire) {
            break;
        }
        // Killed, or waiting for the file: nobody is told anything wrong.
        match person.read(client) {
            None | Some(0 | 503) => thread::yield_now(),
            Some(status) => {
                read += 1;
                lost += usize::from(status != 200);
            }
        }
    }
    (read, lost)
}

/// Numbers by chance (xorshift64*).
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        Self(u64::from_ne_bytes(portvakt_core::seal::random()) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % bound
    }
}
