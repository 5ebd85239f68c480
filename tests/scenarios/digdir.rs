//! Digdir's verification tests (dossier 3.5) under their numbers, with the gateway as the service O.
//! `docs/digdir-verification.md` tells them in words.
//!
//! T is Digdir's test client, K the service "Dine kontaktopplysninger": here each is a client of the
//! simulator with a web server of its own. Their waits are shortened by the simulator's clock for its
//! sessions (`sso_offset_seconds`) and by short limits, never by sleeping.

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::harness::app::App;
use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::http::exchange;
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// MinID: substantial.
const SUBSTANTIAL: &str = "minid-substantial";
/// BankID: high.
const HIGH: &str = "bankid-high";

/// Another service of the same SSO.
struct Service<'w> {
    world: &'w World,
    name: &'static str,
    site: App,
}

impl<'w> Service<'w> {
    /// Starts its web server and registers it.
    fn register(world: &'w World, name: &'static str) -> Self {
        let site = App::start();
        let at = |path: &str| format!("http://{}{path}", site.address());
        world.control(&json!({ "client": {
            "client_id": name,
            "token_endpoint_auth_method": "none",
            "redirect_uris": [at("/callback")],
            "post_logout_redirect_uris": [at("/bye")],
            "frontchannel_logout_uri": at("/frontchannel"),
            "code_challenge_method": "none",
            "require_pushed_authorization_requests": false,
        }}));
        Self { world, name, site }
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.site.address())
    }

    /// The person opens the service, which sends them to log in: the provider's page, or the callback.
    fn open(&self, browser: &mut Browser<'_>, level: &str) -> Page {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", self.name)
            .append_pair("response_type", "code")
            .append_pair("scope", "openid profile")
            .append_pair("redirect_uri", &self.at("/callback"))
            .append_pair("state", "state")
            .append_pair("nonce", "nonce")
            .append_pair("acr_values", &format!("idporten-loa-{level}"))
            .finish();
        browser.open(&format!("{}/idporten/authorize?{query}", self.world.simulator()))
    }

    /// The person was sent back: the service redeems the code. Its ID token, and the claims in it.
    fn finish(&self, page: &Page) -> (String, Value) {
        assert!(self.has(page), "not at {}: {} {}", self.name, page.url.path(), page.text());
        let code = page.url.query_pairs().find(|(name, _)| name == "code").expect("a code").1;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", self.name)
            .append_pair("code", &code)
            .append_pair("redirect_uri", &self.at("/callback"))
            .finish();
        let simulator = Url::parse(&self.world.simulator()).unwrap();
        let address = simulator.socket_addrs(|| None).unwrap()[0];
        let head = format!(
            "POST /idporten/token HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        let response = exchange(address, head.as_bytes());
        assert_eq!(response.status, 200, "{}", response.text());
        let id_token = response.json()["id_token"].as_str().expect("an ID token").to_owned();
        let payload = id_token.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap();
        (id_token, serde_json::from_slice(&claims).unwrap())
    }

    /// Whether the browser is there.
    fn has(&self, page: &Page) -> bool {
        page.url.port() == Some(self.site.address().port())
    }

    /// The person logs out there: the provider's page, whose frames the browser loads, and back.
    fn log_out(&self, browser: &mut Browser<'_>, id_token: &str) {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("id_token_hint", id_token)
            .append_pair("post_logout_redirect_uri", &self.at("/bye"))
            .finish();
        let page = browser.open(&format!("{}/idporten/logout?{query}", self.world.simulator()));
        let page = browser.leave_provider(&page);
        assert!(self.has(&page), "not back at {}", self.name);
    }

    /// Whether the provider has told the service that this session is over.
    fn was_told(&self, claims: &Value) -> bool {
        let sid = claims["sid"].as_str().expect("a sid");
        self.site.received().iter().any(|received| {
            let url = Url::parse("http://site").unwrap().join(received.target()).unwrap();
            url.path() == "/frontchannel"
                && url.query_pairs().any(|(name, value)| name == "sid" && value == sid)
        })
    }
}

/// What the tester sees at O: the app's page, opened by the person and the level that the app was told.
fn in_at_o(world: &World, page: &Page, target: &str, level: &str) {
    assert_eq!((page.status(), page.target(), page.text().as_str()), (200, target, "the app's page"));
    let received = world.app.last();
    assert_eq!(received.header("x-identity-loa"), Some(level));
    assert_eq!(received.header("x-identity-acr"), Some(format!("idporten-loa-{level}").as_str()));
}

fn fnr_at_o(world: &World) -> String {
    world.app.last().header("x-identity-fnr").expect("a national number").to_owned()
}

/// Whether O takes the browser for logged in, on its page for that and at the app alike.
fn is_in_at_o(browser: &mut Browser<'_>) -> bool {
    let session = browser.fetch("/oauth2/session");
    let app = browser.step("/app/x");
    assert_eq!(session.status() == 200, app.status() == 200);
    session.status() == 200
}

#[test]
fn test_1_sso_from_o_at_substantial() {
    sso_from_o("/app/letters?x=1", SUBSTANTIAL, "substantial");
}

#[test]
fn test_2_sso_from_o_at_high() {
    sso_from_o("/high/letters?x=1", HIGH, "high");
}

fn sso_from_o(target: &str, person: &str, level: &str) {
    let world = World::start();
    let t = Service::register(&world, "t");
    let mut browser = world.browser();
    // 1.1 to 1.4
    let page = browser.open(target);
    assert!(browser.at_login_page(&page), "1.2: sent to ID-porten");
    let page = browser.choose(&page, person);
    in_at_o(&world, &page, target, level);
    // 1.5 to 1.7
    let page = t.open(&mut browser, level);
    let (_, claims) = t.finish(&page);
    assert_eq!(claims["acr"], format!("idporten-loa-{level}"));
    assert_eq!(claims["pid"], fnr_at_o(&world));
    world.finish();
}

#[test]
fn test_3_sso_to_o_at_substantial() {
    sso_to_o("/app/letters?x=1", SUBSTANTIAL, "substantial");
}

#[test]
fn test_4_sso_to_o_at_high() {
    sso_to_o("/high/letters?x=1", HIGH, "high");
}

fn sso_to_o(target: &str, person: &str, level: &str) {
    let world = World::start();
    let k = Service::register(&world, "k");
    let mut browser = world.browser();
    // 3.1 to 3.4
    let page = k.open(&mut browser, level);
    assert!(browser.at_login_page(&page), "3.2");
    let page = browser.choose(&page, person);
    let (_, claims) = k.finish(&page);
    // 3.5 to 3.7
    let page = browser.open(target);
    in_at_o(&world, &page, target, level);
    assert_eq!(claims["pid"], fnr_at_o(&world));
    let session = browser.fetch("/oauth2/session").response.json();
    assert_eq!((&session["level"], &session["kind"]), (&json!(level), &json!("national")));
    world.finish();
}

#[test]
fn test_5_level_upgrade_at_t() {
    let world = World::start();
    let t = Service::register(&world, "t");
    let mut browser = world.browser();
    // 5.1 to 5.3
    let page = browser.log_in("/app/x", SUBSTANTIAL);
    in_at_o(&world, &page, "/app/x", "substantial");
    // 5.4 to 5.8
    let page = t.open(&mut browser, "high");
    assert!(browser.at_login_page(&page), "5.6: substantial is not enough");
    let page = browser.choose(&page, HIGH);
    let (_, claims) = t.finish(&page);
    assert_eq!(claims["acr"], "idporten-loa-high");
    world.finish();
}

/// The same at O: the session at substantial is replaced, and the page that was wanted is kept.
#[test]
fn test_5_mirrored_level_upgrade_at_o() {
    let world = World::start();
    let mut browser = world.browser();
    let hint = "login_hint=testid:24929935140_idporten-loa-substantial";
    let page = log_in_by_hint(&mut browser, "/app/x", hint);
    in_at_o(&world, &page, "/app/x", "substantial");
    let person = fnr_at_o(&world);
    let mut low = world.browser();
    low.jar = browser.jar.clone();
    // A script is told what is lacking (RFC 9470), a person is asked for it.
    let refused = browser.fetch("/high/form?step=2");
    assert_eq!(refused.status(), 401);
    let challenge = refused.response.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
    assert!(challenge.contains("acr_values=\"idporten-loa-high\""), "{challenge}");
    let page = browser.open("/high/form?step=2");
    assert!(browser.at_login_page(&page), "substantial is not enough");
    let page = browser.choose(&page, HIGH);
    in_at_o(&world, &page, "/high/form?step=2", "high");
    assert_eq!(fnr_at_o(&world), person);
    // The session before is over, also where its cookie was kept.
    assert!(is_in_at_o(&mut browser) && !is_in_at_o(&mut low));
    world.finish();
}

/// A form sent at too low a level reaches nobody yet, and the way to the higher level is offered beside it.
#[test]
fn test_5_a_form_sent_at_too_low_a_level_waits_for_the_login() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/x", SUBSTANTIAL);
    let (seen, from) = (world.app.count(), world.url("/app/x"));
    let body = Some(("application/x-www-form-urlencoded", "answer=yes"));
    let sent = Ask { method: "POST", from: Some(&from), body, ..Ask::NAVIGATION };
    let page = browser.ask("/high/form", &sent);
    page.shows(401, "Logg inn for å sende");
    assert_eq!((page.response.location(), world.app.count()), (None, seen));
    let page = browser.open(&page.links()[0]);
    assert!(browser.at_login_page(&page), "substantial is not enough");
    world.finish();
}

/// Another person at the higher level does not get what the first was about to see.
#[test]
fn test_5_another_person_at_the_higher_level_begins_at_the_start_page() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/x", SUBSTANTIAL);
    let first = fnr_at_o(&world);
    let page = browser.open("/high/form?step=2");
    let page = browser.choose(&page, HIGH);
    assert_eq!((page.status(), page.target()), (200, "/"));
    browser.open("/app/x");
    assert_ne!(fnr_at_o(&world), first);
    world.finish();
}

/// The test environment's way in without a page.
fn log_in_by_hint(browser: &mut Browser<'_>, target: &str, hint: &str) -> Page {
    let mut page = browser.step(target);
    while let Some(location) = page.response.location() {
        let next = page.url.join(location).unwrap();
        let hinted = next.path() == "/idporten/authorize";
        page = browser.step(&if hinted { format!("{next}&{hint}") } else { next.to_string() });
    }
    page
}

#[test]
fn test_6_logout_from_o() {
    let world = World::start();
    let (k, t) = (Service::register(&world, "k"), Service::register(&world, "t"));
    let mut browser = world.browser();
    // 6.1 to 6.4
    let page = k.open(&mut browser, "substantial");
    let page = browser.choose(&page, HIGH);
    let (_, at_k) = k.finish(&page);
    // 6.5 and 6.6
    let page = browser.open("/app/x");
    in_at_o(&world, &page, "/app/x", "high");
    let page = t.open(&mut browser, "substantial");
    let (_, at_t) = t.finish(&page);
    world.note_sids();
    // 6.7 and 6.8
    let page = browser.log_out("/oauth2/logout");
    page.shows(200, "Du er logget ut");
    assert!(!page.links().iter().any(|link| link.contains("/login")), "{:?}", page.links());
    assert!(!is_in_at_o(&mut browser));
    // 6.9
    assert!(k.was_told(&at_k) && t.was_told(&at_t));
    let page = t.open(&mut browser, "substantial");
    assert!(browser.at_login_page(&page), "T asks again");
    let page = browser.open("/app/x");
    assert!(browser.at_login_page(&page), "O asks again");
    world.finish();
}

/// The test's note: logging out works for those too who may not come in.
#[test]
fn test_6_logout_works_for_those_without_access() {
    let world = World::with(Settings::default().route(
        "{path: '/national/**', access: login, require: {level: substantial, kinds: [national]}, upstream: app}",
    ));
    // Turned away for their kind, at the app's route; for their level, before there is a session; and at will.
    for (target, person, turned_away) in [
        ("/eu/x", "eidas-se", Some("/national/x")),
        ("/app/x", "level-too-low", None),
        ("/app/x", "cancels", None),
    ] {
        let mut browser = world.browser();
        let mut page = browser.log_in(target, person);
        if let Some(other) = turned_away {
            assert_eq!(page.status(), 200, "{person}");
            page = browser.open(other);
        }
        assert_eq!(page.status(), 403, "{person}: {}", page.text());
        let logout = page.links().into_iter().find(|link| link == "/oauth2/logout");
        let page = browser.open(&logout.unwrap_or_else(|| panic!("{person}: no way out")));
        let page = if page.form().is_some() { browser.submit(&page, &[]) } else { page };
        // Without a session at the provider it keeps the browser (dossier 3.2); O has nobody logged in.
        let page = if page.links().is_empty() { page } else { browser.leave_provider(&page) };
        assert_eq!(page.status(), 200, "{person}");
        assert!(!is_in_at_o(&mut browser), "{person}");
        let state = world.simulator_state();
        assert_eq!(state["issuers"]["idporten"]["sessions"], json!([]), "{person}");
    }
    world.finish();
}

#[test]
fn test_7_logout_from_elsewhere() {
    let world = World::start();
    let k = Service::register(&world, "k");
    let mut browser = world.browser();
    // 7.1 to 7.4
    let page = browser.log_in("/app/x", HIGH);
    in_at_o(&world, &page, "/app/x", "high");
    assert_eq!(page.response.header("cache-control"), Some("private, no-store"), "Back shows nothing");
    // 7.5 and 7.6
    let page = k.open(&mut browser, "substantial");
    let (id_token, at_k) = k.finish(&page);
    world.secrets.add(&id_token);
    // 7.7 and 7.8
    k.log_out(&mut browser, &id_token);
    assert!(k.was_told(&at_k));
    // 7.9
    let seen = world.app.count();
    assert!(!is_in_at_o(&mut browser));
    let page = browser.open("/app/x");
    assert!(browser.at_login_page(&page), "7.9: logged out of O");
    assert_eq!(world.app.count(), seen);
    world.finish();
}

/// Dossier 7, no. 22: all tests are run, in 8 the person logs in at O first.
#[test]
fn test_8_timeout() {
    let world = World::with(Settings::default().session("{idle: 2s, absolute: 120m}"));
    let k = Service::register(&world, "k");
    let mut browser = world.browser();
    // 8.1 to 8.4, and the visit to O that the text forgets.
    let page = k.open(&mut browser, "substantial");
    let page = browser.choose(&page, HIGH);
    k.finish(&page);
    let page = browser.open("/app/x");
    in_at_o(&world, &page, "/app/x", "high");
    // 8.5: more than 30 minutes at the provider, more than `idle` at O. Asking is no activity.
    world.control(&json!({ "sso_offset_seconds": 31 * 60 }));
    await_that("the session has been idle too long", || {
        (browser.fetch("/oauth2/session").status() == 401).then_some(())
    });
    // 8.6: the next request goes to ID-porten.
    let seen = world.app.count();
    assert_eq!(browser.fetch("/app/data").status(), 401);
    let page = browser.open("/app/x");
    assert!(browser.at_login_page(&page), "8.6: logged out of O");
    assert_eq!(world.app.count(), seen);
    world.finish();
}

/// Scripts of an open tab keep nobody logged in.
#[test]
fn test_8_a_tab_that_keeps_asking_is_no_activity() {
    let world = World::with(Settings::default().session("{idle: 2s, absolute: 120m}"));
    let mut browser = world.browser();
    browser.log_in("/app/x", HIGH);
    await_that("the session ends although a script keeps asking", || {
        (browser.fetch("/app/data").status() == 401).then_some(())
    });
    assert!(!is_in_at_o(&mut browser));
    world.finish();
}

#[test]
fn test_9_forced_authentication() {
    let world = World::start();
    let t = Service::register(&world, "t");
    let mut browser = world.browser();
    // 9.1 to 9.4, five minutes ago
    world.control(&json!({ "clock_offset_seconds": -300 }));
    let page = t.open(&mut browser, "substantial");
    let page = browser.choose(&page, HIGH);
    let (_, claims) = t.finish(&page);
    world.control(&json!({ "clock_offset_seconds": 0 }));
    // 9.5b and 9.6
    let page = browser.open("/oauth2/login?redirect=/app/x&prompt=login");
    assert!(browser.at_login_page(&page), "9.6: asked to log in again");
    let page = browser.choose(&page, HIGH);
    in_at_o(&world, &page, "/app/x", "high");
    let at_o: u64 = world.app.last().header("x-identity-auth-time").unwrap().parse().unwrap();
    assert!(at_o >= claims["auth_time"].as_u64().unwrap() + 290, "authenticated anew");
    // Without `prompt=login` the same browser would not have been asked.
    assert_eq!(browser.open("/app/y").target(), "/app/y");
    world.finish();
}

/// A route may demand it by itself: `max_age`, with `auth_time` as the proof.
#[test]
fn test_9_a_route_that_demands_a_recent_authentication() {
    let recent =
        "{path: '/recent/**', access: login, require: {level: substantial, max_age: 1m}, upstream: app}";
    let world = World::with(Settings::default().route(recent));
    let t = Service::register(&world, "t");
    let mut browser = world.browser();
    world.control(&json!({ "clock_offset_seconds": -300 }));
    let page = t.open(&mut browser, "substantial");
    let page = browser.choose(&page, HIGH);
    t.finish(&page);
    world.control(&json!({ "clock_offset_seconds": 0 }));
    let page = browser.open("/app/x");
    in_at_o(&world, &page, "/app/x", "high");
    let page = browser.open("/recent/x");
    assert!(browser.at_login_page(&page), "five minutes are too long ago");
    let page = browser.choose(&page, HIGH);
    in_at_o(&world, &page, "/recent/x", "high");
    world.finish();
}

#[test]
fn test_11_language() {
    let world = World::start();
    for (locale, heading) in [
        ("nb", "Velg hvem du vil logge inn som"),
        ("nn", "Vel kven du vil logge inn som"),
        ("en", "Choose whom to log in as"),
        ("se", "Vállje gean namas logget sisa"),
    ] {
        let mut browser = world.browser();
        let page = browser.open(&format!("/oauth2/login?redirect=/app/x&locale={locale}"));
        assert!(page.text().contains(&format!("<html lang=\"{locale}\">")), "{locale}");
        page.shows(200, heading);
        let page = browser.choose(&page, HIGH);
        in_at_o(&world, &page, "/app/x", "high");
    }
    // Of several the first that is known counts, and any other text is not passed on.
    let page = world.browser().open("/oauth2/login?redirect=/app/x&locale=de%20en");
    page.shows(200, "Choose whom to log in as");
    let page = world.browser().open("/oauth2/login?redirect=/app/x&locale=en%2Cprompt");
    page.shows(200, "Velg hvem du vil logge inn som");
    world.finish();
}

/// Test 11 for everybody who comes to a service in one language: the provider's `locale` in the file.
#[test]
fn test_11_the_language_of_the_service() {
    let world = World::with(Settings::default().provider("locale: nn"));
    world.browser().open("/app/x").shows(200, "Vel kven du vil logge inn som");
    let page = world.browser().open("/oauth2/login?redirect=/app/x&locale=en");
    page.shows(200, "Choose whom to log in as");
    world.finish();
}
