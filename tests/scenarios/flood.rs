//! Many at once: what a few clients do keeps nobody else from logging in (`threats.md` OP-15, LI-4).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::harness::World;
use crate::harness::http::press_login;
use crate::harness::process::await_that;

/// Four networks, so that no rule about neighbours is what helps.
const GREEDY: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 0, 1, 1),
    Ipv4Addr::new(127, 0, 2, 1),
    Ipv4Addr::new(127, 0, 3, 1),
    Ipv4Addr::new(127, 0, 4, 1),
];

/// How many logins each of them begins: more than the places that there are, 256, in all.
const EACH: usize = 80;

/// What became of the flood.
#[derive(Default)]
struct Flood {
    /// Told to come again.
    refused: AtomicUsize,
    answered: AtomicUsize,
}

/// Begins logins from these addresses, and waits for their answers in the background.
fn begin(world: &World, runtime: &Runtime) -> Arc<Flood> {
    let flood = Arc::new(Flood::default());
    for from in GREEDY.into_iter().flat_map(|from| [from; EACH]) {
        let (flood, address, authority) = (Arc::clone(&flood), world.address(), world.authority());
        runtime.spawn(async move {
            let answer = press_login(from, address, &authority).await;
            let refused = answer.starts_with(b"HTTP/1.1 503 ");
            flood.refused.fetch_add(usize::from(refused), Ordering::Relaxed);
            flood.answered.fetch_add(1, Ordering::Relaxed);
        });
    }
    flood
}

#[test]
fn a_flood_of_logins_at_a_slow_provider_shuts_nobody_out() {
    let world = World::start();
    let runtime = Runtime::new().unwrap();
    let mut already_there = world.browser();
    let callback = already_there.callback("/app/", "bankid-high");
    let before = world.calls("par");
    // Longer than the gateway waits.
    world.control(&json!({ "slow_milliseconds": 60_000, "lies": [{ "name": "par_slow", "times": 1000 }] }));
    let flood = begin(&world, &runtime);
    let pushed = await_that("every login of the flood is pushed or refused", || {
        let pushed = usize::try_from(world.calls("par") - before).unwrap();
        (pushed + flood.refused.load(Ordering::Relaxed) == GREEDY.len() * EACH).then_some(pushed)
    });
    // Each takes a quarter of what is left at the most.
    assert!((120..=156).contains(&pushed), "{pushed}");

    // Those who come now are answered, while the flood is not.
    world.control(&json!({ "lies": [] }));
    let page = already_there.open(callback.as_str());
    assert_eq!(page.status(), 200, "{}", page.text());
    for _ in 0..3 {
        assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    }
    await_that("the flood is answered", || {
        (flood.answered.load(Ordering::Relaxed) == GREEDY.len() * EACH).then_some(())
    });
    assert_eq!(flood.refused.load(Ordering::Relaxed), GREEDY.len() * EACH, "every one of them");
    world.finish();
}
