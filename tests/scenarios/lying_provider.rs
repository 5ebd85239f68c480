//! A provider that lies (`threats.md` 5): what the person sees, that nobody is logged in, that the app hears
//! nothing, and how often the provider was asked for it.
//!
//! Every lie of the simulator has its row in one of these tables; a lie without one fails
//! `every_lie_of_the_simulator_is_met_by_a_scenario`.

mod answer;
mod calls;
mod id_token;
mod keys;
mod userinfo;

use serde_json::json;

use crate::harness::World;
use crate::harness::browser::{Browser, Page};
use crate::harness::process::await_that;

/// Who logs in here.
const PERSON: &str = "bankid-high";

/// Their number.
const FNR: &str = "24929935140";

/// What they want to see.
const WANTED: &str = "/app/letters/7?year=2026";

/// The link with which a refused login for [`WANTED`] is tried again.
const RESTART: &str = "/oauth2/login?redirect=%2Fapp%2Fletters%2F7%3Fyear%3D2026";

/// A page on which a login ends: its status and its heading in Norwegian.
#[derive(Clone, Copy, Debug)]
struct End(u16, &'static str);

const REFUSED: End = End(403, "Vi fikk ikke logget deg inn");
const TOO_OLD: End = End(403, "Du må bekrefte på nytt hvem du er");
const EXPIRED: End = End(400, "Innloggingen gjelder ikke lenger");
const DOWN: End = End(503, "Innloggingen virker ikke akkurat nå");
const TOO_LOW: End = End(403, "Du må logge inn på en sikrere måte");

/// The provider's counters and the app's, from one moment on.
struct Watch<'w> {
    world: &'w World,
    app: usize,
    before: serde_json::Value,
}

impl<'w> Watch<'w> {
    fn new(world: &'w World) -> Self {
        Self { world, app: world.app.count(), before: world.simulator_state() }
    }

    /// How often an endpoint was called since.
    fn calls(&self, endpoint: &str) -> u64 {
        self.world.calls(endpoint) - self.before["calls"][endpoint].as_u64().unwrap_or(0)
    }

    /// How many requests the app got since.
    fn app(&self) -> usize {
        self.world.app.count() - self.app
    }
}

/// Orders lies, each once.
fn lie(world: &World, names: &[&str]) {
    let lies: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    world.control(&json!({ "lies": lies }));
}

/// Fails unless every lie that was ordered has been told.
fn told(world: &World, name: &str) {
    assert_eq!(world.simulator_state()["lies"], json!([]), "{name} was not told");
}

/// Fails unless the login ended on this page, with nobody logged in; the page's reference finds the log's
/// line, which says `rule`.
fn ended(world: &World, browser: &Browser<'_>, page: &Page, name: &str, end: End, rule: &str) {
    let End(status, heading) = end;
    let text = page.text();
    assert_eq!((page.status(), text.contains(heading)), (status, true), "{name}: {end:?}: {text}");
    assert_eq!(browser.session_cookie(), None, "{name}");
    let reference = text.split_once("<code>").and_then(|(_, rest)| rest.split("</code>").next());
    let reference = reference.unwrap_or_else(|| panic!("{name}: no reference"));
    let retry = page.response.header("retry-after").is_some();
    assert_eq!(retry, status == 503, "{name}: Retry-After");
    assert_eq!(page.response.header("cache-control"), Some("no-store"), "{name}");
    let line = await_that("the access log's line", || {
        let lines = world.access_log();
        lines.into_iter().find(|line| line["reference"] == reference)
    });
    assert_eq!((line["status"].as_u64(), line["rule"].as_str()), (Some(status.into()), Some(rule)), "{name}");
}

/// Fails unless the page's first link begins the same login again, which now succeeds.
fn begins_again(world: &World, browser: &mut Browser<'_>, page: &Page, name: &str, restart: &str) {
    let link = page.links().into_iter().next().unwrap_or_else(|| panic!("{name}: no link"));
    assert!(link.starts_with(restart), "{name}: {link}");
    let page = browser.open(&link);
    let page = if browser.at_login_page(&page) { browser.choose(&page, PERSON) } else { page };
    assert_eq!(page.status(), 200, "{name}: {}", page.text());
    assert_eq!(page.text(), "the app's page", "{name}");
    if restart.starts_with(RESTART) {
        assert_eq!(page.target(), WANTED, "{name}");
        assert_eq!(world.app.last().header("x-identity-fnr"), Some(FNR), "{name}");
    }
}

#[test]
fn every_lie_of_the_simulator_is_met_by_a_scenario() {
    let world = World::start();
    let state = world.simulator_state();
    let known = state["known_lies"].as_array().unwrap().iter().map(|lie| lie["name"].as_str().unwrap());
    let sources = [
        include_str!("lying_provider/answer.rs"),
        include_str!("lying_provider/calls.rs"),
        include_str!("lying_provider/id_token.rs"),
        include_str!("lying_provider/keys.rs"),
        include_str!("lying_provider/userinfo.rs"),
        include_str!("provider_logout.rs"),
        include_str!("ambiguities.rs"),
        include_str!("machines/hostile.rs"),
        include_str!("tokens/ending.rs"),
        include_str!("tokens/hostile.rs"),
    ];
    let unmet: Vec<&str> =
        known.filter(|name| !sources.iter().any(|source| source.contains(&format!("\"{name}\"")))).collect();
    assert!(unmet.is_empty(), "no scenario for {unmet:?}");
    world.finish();
}
