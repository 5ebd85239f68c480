//! Many press login at the same moment: what reaches the provider is bounded, at its end and at its return.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::broken::How;
use super::{AT_ONCE, begin, end, find_out, is_down, recovers};
use crate::harness::http::press_login;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// As many as live in a town, each in a network of their own.
const CROWD: u16 = 1000;

/// As many calls as may be open at one time, and the second attempts of those who called when it broke.
const MOST: usize = 256 * 2;

/// What the crowd was told.
#[derive(Default)]
struct Told {
    started: AtomicUsize,
    later: AtomicUsize,
    other: AtomicUsize,
    /// The longest wait, in milliseconds.
    longest: AtomicUsize,
}

impl Told {
    fn all(&self) -> usize {
        [&self.started, &self.later, &self.other].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// Everybody presses login, and has an answer.
fn press(world: &World, runtime: &Runtime, crowd: u16) -> Told {
    let told = Arc::new(Told::default());
    for number in 0..crowd {
        let [high, low] = number.to_be_bytes();
        let from = Ipv4Addr::new(127, 1 + high, low, 1);
        let (told, address, authority) = (Arc::clone(&told), world.address(), world.authority());
        runtime.spawn(async move {
            let began = Instant::now();
            let answer = press_login(from, address, &authority).await;
            let took = usize::try_from(began.elapsed().as_millis()).unwrap();
            told.longest.fetch_max(took, Ordering::Relaxed);
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let count = match text.get(..12) {
                Some("http/1.1 302") => &told.started,
                Some("http/1.1 503") if text.contains("\r\nretry-after: ") => &told.later,
                _ => &told.other,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    await_that("everybody has an answer", || (told.all() == usize::from(crowd)).then_some(()));
    Arc::into_inner(told).unwrap_or_default()
}

/// What a crowd costs a provider that has just gone, and what a second one costs when that is known.
fn a_crowd_in_an_outage(how: How, most: usize) {
    let mut world = World::with(Settings::default());
    let runtime = Runtime::new().unwrap();
    let broken = begin(&mut world, how);
    let count = || broken.as_ref().map_or(0, |broken| broken.asked("par"));
    let told = press(&world, &runtime, CROWD);
    assert_eq!((told.started.into_inner(), told.other.into_inner()), (0, 0));
    assert!(is_down(&world, "par"));
    let first = count();
    assert!(first <= most, "{first} calls");
    let (before, began) = (count(), Instant::now());
    let told = press(&world, &runtime, CROWD);
    assert_eq!(told.later.into_inner(), usize::from(CROWD));
    // One finds out at a time, calls once, and rests for a second at the least.
    let (called, took) = (count() - before, began.elapsed());
    assert!(called <= 2 + usize::try_from(took.as_secs()).unwrap(), "{called} calls in {took:?}");
    end(&mut world, broken);
    recovers(&world);
    // When it is back, a crowd is let in little by little, and who does not get in is told when to come again.
    let before = world.calls("par");
    let told = press(&world, &runtime, CROWD);
    let (started, other) = (told.started.into_inner(), told.other.into_inner());
    assert_eq!(other, 0);
    // How many find a place within a second depends on the machine.
    assert!(started >= 20, "{started} logins were started");
    let pushed = usize::try_from(world.calls("par") - before).unwrap();
    assert!(pushed >= started, "{started} logins were started by {pushed} calls");
    world.finish();
}

#[test]
fn a_crowd_at_a_provider_that_is_unavailable() {
    a_crowd_in_an_outage(How::Unavailable(None), MOST);
}

#[test]
fn a_crowd_at_a_provider_that_is_silent() {
    a_crowd_in_an_outage(How::Silent, MOST);
}

/// Everybody waits for its return and presses at that moment: until the first call has been answered nobody else calls.
#[test]
fn a_crowd_at_the_moment_of_the_return() {
    let mut world = World::with(Settings::default());
    let runtime = Runtime::new().unwrap();
    let broken = begin(&mut world, How::Refuses);
    find_out(&world);
    end(&mut world, broken);
    world.control(&serde_json::json!({ "delay_milliseconds": { "par": 200 } }));
    let over = Instant::now() + Duration::from_secs(25);
    let mut first = 0;
    while first == 0 {
        assert!(Instant::now() < over, "it does not come back");
        let before = world.calls("par");
        let told = press(&world, &runtime, CROWD / 4);
        first = usize::try_from(world.calls("par") - before).unwrap();
        assert!(told.longest.into_inner() < usize::try_from(AT_ONCE.as_millis()).unwrap());
    }
    // Within the second that somebody waits for a place: one, and then two more for each answer.
    assert!(first <= 150, "{first} called at once");
    world.control(&serde_json::json!({ "delay_milliseconds": { "par": 0 } }));
    recovers(&world);
    world.finish();
}
