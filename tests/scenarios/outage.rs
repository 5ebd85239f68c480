//! The provider is gone, for everybody at once: who is logged in notices nothing, who comes is told at once when to try
//! again, nothing that was good is forgotten, and its return is no second outage (`threats.md` OP-11, OP-15, OM-7,
//! LI-4; `docs/replicas.md`).
//!
//! An outage takes the simulator's place at its address, so that whoever calls is counted; afterwards the simulator
//! starts again, with new keys and without memory, as after a real one.

mod apart;
mod broken;
mod crowd;
mod kept;

use std::time::{Duration, Instant};

use self::broken::{Broken, How};
use crate::harness::browser::{Browser, Page};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const NORA: &str = "24929935140";
const DOWN: &str = "Innloggingen virker ikke akkurat nå";
const WANTED: &str = "/app/letters/7?year=2026";
const RESTART: &str = "/oauth2/login?redirect=%2Fapp%2Fletters%2F7%3Fyear%3D2026";

/// Clearly less than a call may take; the machine may have much to do. The probe of a provider that is silent waits two
/// seconds.
const AT_ONCE: Duration = Duration::from_secs(6);

/// What a provider that does not answer may cost each of those who came first.
const FIRST: Duration = Duration::from_secs(12);

/// After the provider is back: the longest rest, and a call that the outage still holds.
const RECOVERY: Duration = Duration::from_secs(22);

/// `/token/**` gets the person's token.
fn settings() -> Settings {
    Settings { refreshes: true, ..Settings::default() }
        .provider("access_tokens: true")
        .provider("scopes: [openid, profile, 'portvakt:api']")
        .route("{path: '/token/**', access: login, upstream: app, access_token: true}")
}

/// Takes the provider away, and puts what is broken in its place.
fn begin(world: &mut World, how: How) -> Option<Broken> {
    world.stop_simulator();
    (how != How::Refuses).then(|| Broken::at(world.simulator_address(), how))
}

fn end(world: &mut World, broken: Option<Broken>) {
    drop(broken);
    world.start_simulator();
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (act(), began.elapsed())
}

/// Whether calls of this kind are not made now, as the metrics tell.
fn is_down(world: &World, call: &str) -> bool {
    let labels = format!("portvakt_provider_down{{call=\"{call}\",provider=\"idporten\"}} 1");
    world.admin("/metrics").text().contains(&labels)
}

/// Somebody who wants to log in is told that it does not work now, and when to come again.
fn refused(page: &Page) {
    page.shows(503, DOWN);
    let retry: u32 = page.response.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=3600).contains(&retry), "{retry}");
    assert_eq!(page.response.header("cache-control"), Some("no-store"));
    let link = page.links().into_iter().next().unwrap();
    assert!(link.starts_with(RESTART), "{link}");
}

/// People log in until the gateway knows that it is of no use: few, and none of them for longer than a call may take.
fn find_out(world: &World) -> u32 {
    let mut tried = 0;
    while !is_down(world, "par") {
        tried += 1;
        assert!(tried <= 3, "{tried} have waited");
        let (page, took) = timed(|| world.browser().open(WANTED));
        refused(&page);
        assert!(took < FIRST, "{took:?}");
    }
    tried
}

/// A page of the app, as this person.
fn is_served(browser: &mut Browser<'_>, world: &World) {
    let (page, took) = timed(|| browser.open("/app/x"));
    page.shows(200, "the app's page");
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(world.app.last().header("x-identity-fnr"), Some(NORA));
}

/// Logs in as soon as that works, and says how long it took.
fn recovers(world: &World) -> Duration {
    let (page, took) = timed(|| {
        await_that("logins work again", || {
            let mut browser = world.browser();
            let page = browser.open(WANTED);
            let page = if browser.at_login_page(&page) { browser.choose(&page, "bankid-high") } else { page };
            Some(page).filter(|page| page.status() == 200)
        })
    });
    assert_eq!(page.target(), WANTED);
    assert_eq!(world.app.last().header("x-identity-fnr"), Some(NORA));
    assert!(took < RECOVERY, "{took:?}");
    took
}

/// The whole of an outage, as those who meet it see it.
fn outage(how: How) {
    let mut world = World::with(settings());
    let cookies = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/token/x", "bankid-high").status(), 200);
        browser.jar
    };
    let (leaving, coming) = {
        let mut leaver = world.browser();
        leaver.log_in("/app/", "bankid-high");
        let mut comer = world.browser();
        let callback = comer.callback(WANTED, "bankid-high");
        (leaver.jar, (comer.jar, callback))
    };
    let broken = begin(&mut world, how);

    // Nobody is at the provider, and nobody notices.
    let mut browser = world.browser();
    browser.jar = cookies;
    is_served(&mut browser, &world);
    find_out(&world);
    for _ in 0..10 {
        is_served(&mut browser, &world);
        let page = browser.open("/token/x");
        page.shows(200, "the app's page");
    }
    assert_eq!(world.admin("/readyz").status, 200);

    // Whoever comes now is told at once: a page in everybody's language, or JSON.
    for _ in 0..10 {
        let (page, took) = timed(|| world.browser().open(WANTED));
        refused(&page);
        assert!(took < AT_ONCE, "{took:?}");
    }
    for (language, words) in [
        ("nn", "Innlogginga verkar ikkje akkurat no"),
        ("en", "Login is not working right now"),
        ("se", "Sisačáliheapmi"),
    ] {
        let fields = format!("Accept: text/html\r\nAccept-Language: {language}\r\n");
        let answer = world.curl("/oauth2/login", &fields);
        assert_eq!((answer.status, answer.header("content-language")), (503, Some(language)));
        assert!(answer.text().contains(words), "{language}: {}", answer.text());
    }
    let answer = world.curl("/oauth2/login", "");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("provider_down")));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(world.curl("/app/x", "").status, 401);

    // A code that cannot be redeemed: nothing but this login is lost, and its link leads where it was to lead.
    let (mut comer, (jar, callback)) = (world.browser(), coming);
    comer.jar = jar;
    let (page, took) = timed(|| comer.open(callback.as_str()));
    refused(&page);
    assert!(took < FIRST && comer.session_cookie().is_none(), "{took:?}");

    // A logout ends the session here.
    let mut leaver = world.browser();
    let stolen = leaving.clone();
    leaver.jar = leaving;
    let (page, took) = timed(|| leaver.step("/oauth2/logout"));
    assert!(took < AT_ONCE, "{took:?}");
    page.shows(200, "Du er logget ut her");
    leaver.jar = stolen;
    assert_eq!(leaver.fetch("/app/x").status(), 401);

    if let Some(broken) = &broken {
        // Three who found out, each with a second attempt, and then one at a time.
        let pushed = broken.asked("par");
        assert!((1..=12).contains(&pushed), "{pushed} requests were pushed");
    }
    let jar = browser.jar;
    end(&mut world, broken);
    recovers(&world);
    let mut browser = world.browser();
    browser.jar = jar;
    is_served(&mut browser, &world);
    world.finish();
}

#[test]
fn nobody_listens_there() {
    outage(How::Refuses);
}

#[test]
fn connections_are_taken_and_never_answered() {
    outage(How::Silent);
}

#[test]
fn answers_come_in_drops() {
    outage(How::Drips);
}

#[test]
fn it_is_unavailable() {
    outage(How::Unavailable(None));
}

#[test]
fn it_is_unavailable_and_says_for_how_long() {
    outage(How::Unavailable(Some(5)));
}

#[test]
fn a_page_of_somebody_elses_comes_instead_of_json() {
    outage(How::Html);
}

#[test]
fn it_speaks_something_else() {
    outage(How::Noise);
}

#[test]
fn its_answers_are_huge() {
    outage(How::Huge);
}
