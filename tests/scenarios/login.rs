//! Logging in: from a page that somebody wants to that very page, with the right person at the app
//! (`threats.md` 5; `design.md` 2 and 3).

use serde_json::{Value, json};

use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const EXPIRED: &str = "Innloggingen gjelder ikke lenger";
const REFUSED: &str = "Vi fikk ikke logget deg inn";
const LOOP: &str = "Nettleseren husker ikke innloggingen";
const TOO_LOW: &str = "Du må logge inn på en sikrere måte";
const CANCELLED: &str = "Innloggingen ble avbrutt";
const DOWN: &str = "Innloggingen virker ikke akkurat nå";

#[test]
fn a_navigation_ends_on_the_page_that_was_asked_for_with_its_query() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.log_in("/app/letters/7?year=2026&q=%C3%A5", "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/letters/7?year=2026&q=%C3%A5"));
    assert_eq!(page.text(), "the app's page");
    assert_eq!(world.app.last().target(), "/app/letters/7?year=2026&q=%C3%A5");
    let expected = [
        "/app/letters/7",
        "/oauth2/login",
        "/idporten/authorize",
        "/idporten/login",
        "/oauth2/callback",
        "/app/letters/7",
    ];
    assert_eq!(browser.paths(), expected);
    world.finish();
}

/// The identity headers of one login, without what differs each time.
fn told(world: &World, person: &str, place: &str) -> Vec<(String, String)> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in(place, person).status(), 200);
    let received = world.app.last();
    let mut told: Vec<(String, String)> =
        received.identity().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, shortest) in
        [("X-Identity-Auth-Time", 10), ("X-Identity-Subject", 8), ("X-Identity-Session", 22)]
    {
        let found = told.iter().position(|(known, value)| known == name && value.len() >= shortest);
        told.remove(found.unwrap_or_else(|| panic!("{name} is missing: {told:?}")));
    }
    told
}

fn national(fnr: &str, level: &str, amr: &str, names: &[(&str, &str)]) -> Vec<(String, String)> {
    let acr = format!("idporten-loa-{level}");
    let facts = [
        ("Kind", "national"),
        ("Fnr", fnr),
        ("Loa", level),
        ("Acr", &acr),
        ("Amr", amr),
        ("Provider", "idporten"),
    ];
    facts
        .iter()
        .chain(names)
        .map(|(name, value)| (format!("X-Identity-{name}"), (*value).to_owned()))
        .collect()
}

#[test]
fn the_app_is_told_exactly_the_headers_of_the_contract() {
    let world = World::start();
    assert_eq!(
        told(&world, "bankid-high", "/app/"),
        national("24929935140", "high", "BankID", &[("Given-Name", "Nora"), ("Family-Name", "Berg")])
    );
    assert_eq!(
        told(&world, "minid-substantial", "/app/"),
        national("02916131944", "substantial", "Minid-APP", &[])
    );
    assert_eq!(
        told(&world, "d-number", "/high/"),
        national("52859032001", "high", "Buypass", &[("Given-Name", "Maria"), ("Family-Name", "Lindqvist")])
    );
    let percent = [("Given-Name", "Kari"), ("Family-Name", "%C3%85s %C4%8C%C3%A1hci")];
    assert_eq!(told(&world, "bankid-high-2", "/app/"), national("17838534171", "high", "BankID", &percent));
    world.finish();
}

#[test]
fn europeans_come_to_routes_that_take_them_with_a_national_number_only_if_it_was_asserted() {
    let world = World::start();
    let told_se = told(&world, "eidas-se", "/eu/");
    let of = |told: &[(String, String)], name: &str| {
        told.iter().find(|(known, _)| known == &format!("X-Identity-{name}")).map(|(_, value)| value.clone())
    };
    assert_eq!(of(&told_se, "Kind").as_deref(), Some("eidas"));
    assert_eq!(of(&told_se, "Fnr"), None);
    assert_eq!(of(&told_se, "Eidas-Identifier").as_deref(), Some("SE/NO/199005120000"));
    assert_eq!(of(&told_se, "Eidas-Country").as_deref(), Some("SE"));
    assert_eq!(of(&told_se, "Loa").as_deref(), Some("substantial"));
    assert_eq!(of(&told_se, "Given-Name").as_deref(), Some("%C3%85sa"));
    assert_eq!(of(&told_se, "Birthdate").as_deref(), Some("1990-05-12"));
    let told_dk = told(&world, "eidas-dk", "/eu/");
    assert_eq!(of(&told_dk, "Fnr").as_deref(), Some("68817832028"));
    assert_eq!(of(&told_dk, "Eidas-Country").as_deref(), Some("DK"));
    assert_eq!(told(&world, "bankid-high", "/eu/")[0].1, "national");
    world.finish();
}

#[test]
fn a_european_on_a_route_for_national_identities_is_told_so_and_not_sent_round_in_circles() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/eu/", "eidas-se");
    let page = browser.open("/app/");
    page.shows(403, "Her trengs norsk fødselsnummer eller D-nummer");
    assert_eq!(page.target(), "/app/");
    assert!(page.links().contains(&"/oauth2/logout".to_owned()));
    assert_eq!(world.app.count(), 1);
    world.finish();
}

#[test]
fn what_is_no_navigation_gets_401_and_is_never_redirected() {
    let world = World::start();
    let mut browser = world.browser();
    let home = world.url("/");
    let script = |method| Ask { method, from: Some(&home), ..Ask::FETCH };
    let form = Some(("application/x-www-form-urlencoded", "a=b"));
    for ask in [
        script("GET"),
        script("POST"),
        script("PUT"),
        script("DELETE"),
        script("OPTIONS"),
        Ask { body: form, ..script("POST") },
        Ask { dest: "iframe", from: Some(&home), ..Ask::NAVIGATION },
        Ask { mode: "no-cors", dest: "image", from: Some(&home), ..Ask::FETCH },
    ] {
        let answer = browser.ask("/app/x?secret=1", &ask);
        assert_eq!(answer.status(), 401, "{ask:?}");
        assert_eq!(answer.response.location(), None, "{ask:?}");
        assert!(answer.response.header("set-cookie").is_none(), "{ask:?}");
        let body = answer.response.json();
        assert_eq!(body["error"], "login_required", "{ask:?}");
        assert!(body["login"].as_str().unwrap().starts_with("/oauth2/login?redirect="), "{body}");
        let challenge = answer.response.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
        assert_eq!(answer.response.header("cache-control"), Some("no-store"));
    }
    assert_eq!(world.curl("/app/", "").status, 401);
    let preflight = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = world
        .send(format!("OPTIONS /app/ HTTP/1.1\r\nHost: {{host}}\r\n{preflight}Connection: close\r\n\r\n"));
    assert_eq!(answer.status, 401);
    assert!(
        answer.head.fields.iter().all(|(name, _)| !name.to_ascii_lowercase().starts_with("access-control"))
    );
    // An old browser says no more than that it wants a page.
    assert_eq!(
        world
            .send("GET /app/ HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
            .status,
        302
    );
    assert_eq!((world.app.count(), world.calls("par")), (0, 0));
    world.finish();
}

#[test]
fn a_form_sent_without_a_session_shows_a_page_that_keeps_it() {
    let world = World::start();
    let mut browser = world.browser();
    let home = world.url("/");
    let ask = Ask {
        method: "POST",
        from: Some(&home),
        body: Some(("application/x-www-form-urlencoded", "text=long")),
        ..Ask::NAVIGATION
    };
    let page = browser.ask("/app/", &ask);
    page.shows(401, "Logg inn for å sende");
    assert_eq!(page.response.header("www-authenticate"), Some("Bearer"));
    assert_eq!(page.links()[0], "/oauth2/login?redirect=%2F&form=%2Fapp%2F");
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_route_for_level_high_offers_and_takes_nothing_lower() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.open("/high/");
    assert!(page.text().contains("bankid-high") && !page.text().contains("minid-substantial"));
    browser.choose(&page, "bankid-high");
    assert_eq!(world.app.last().header("x-identity-loa"), Some("high"));
    // A higher login is good for lower demands.
    assert_eq!(browser.open("/app/").status(), 200);
    let lower = world.browser().open("/app/");
    assert!(lower.text().contains("minid-substantial"));
    world.finish();
}

#[test]
fn every_request_is_judged_by_the_level_and_a_step_up_is_a_new_session() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "minid-substantial");
    let (old, handle) = (
        browser.session_cookie().unwrap(),
        world.app.last().header("x-identity-session").unwrap().to_owned(),
    );
    let fetched = browser.fetch("/high/data");
    assert_eq!(fetched.status(), 401);
    let challenge = fetched.response.header("www-authenticate").unwrap().to_owned();
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
    assert!(challenge.contains("acr_values=\"idporten-loa-high\""), "{challenge}");
    assert_eq!(world.app.count(), 1);
    let page = browser.log_in("/high/file?x=1", "bankid-high");
    // Another person than before: not the old place, which may be another's.
    assert_eq!(page.target(), "/");
    assert_eq!(browser.open("/high/file?x=1").status(), 200);
    assert_eq!(world.app.last().header("x-identity-fnr"), Some("24929935140"));
    assert_ne!(world.app.last().header("x-identity-session"), Some(handle.as_str()));
    let mut copy = world.browser();
    copy.jar.put("localhost", "__Host-portvakt", &old);
    assert_eq!(copy.fetch("/app/").status(), 401, "the session before the step-up lives on");
    let actions: Vec<Value> = world.await_audit(2).iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["login", "login"], "another person steps nowhere");
    world.finish();
}

#[test]
fn a_step_up_of_the_same_person_leads_to_the_page_that_was_asked_for() {
    let world = World::start();
    let mut browser = world.browser();
    test_id(&mut browser, "/app/", "24929935140_idporten-loa-substantial");
    let old = browser.session_cookie().unwrap();
    assert_eq!(world.app.last().header("x-identity-loa"), Some("substantial"));
    let page = browser.log_in("/high/file?x=1", "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/high/file?x=1"));
    assert_eq!(world.app.last().header("x-identity-loa"), Some("high"));
    let mut copy = world.browser();
    copy.jar.put("localhost", "__Host-portvakt", &old);
    assert_eq!(copy.fetch("/app/").status(), 401, "the session before the step-up lives on");
    let lines = world.await_audit(2);
    let told =
        |line: &Value| [&line["action"], &line["level"]].map(|value| value.as_str().unwrap().to_owned());
    assert_eq!(told(&lines[0]), ["login", "substantial"]);
    assert_eq!(told(&lines[1]), ["step_up", "high"]);
    assert_eq!(lines[1]["previous"], lines[0]["session"]);
    assert!(lines[1]["sid"].is_string() && lines[1]["session"] != lines[0]["session"], "{}", lines[1]);
    world.finish();
}

/// Logs in without a page, as in the provider's test environment.
fn test_id(browser: &mut Browser<'_>, place: &str, testid: &str) -> Page {
    let invited = browser.step(place);
    let started = browser.step(invited.response.location().unwrap());
    let authorize = format!("{}&login_hint=testid:{testid}", started.response.location().unwrap());
    browser.open(&authorize)
}

#[test]
fn a_login_that_comes_back_too_low_makes_no_session_and_shows_the_way_out() {
    let world = World::start();
    for place in ["/app/", "/high/"] {
        let mut browser = world.browser();
        let page = browser.log_in(place, "level-too-low");
        page.shows(403, TOO_LOW);
        assert_eq!(browser.session_cookie(), None);
        let links = page.links();
        assert!(links.contains(&"/oauth2/logout".to_owned()), "{links:?}");
        assert!(links[0].starts_with("/oauth2/login?redirect="), "{links:?}");
        // The link leads to the provider's page, where another login can be chosen.
        let again = browser.open(&links[0]);
        let page = browser.choose(&again, "bankid-high");
        assert_eq!((page.status(), page.target()), (200, place));
    }
    assert_eq!(world.app.count(), 2);
    world.finish();
}

#[test]
fn who_cancels_gets_a_quiet_page_with_a_way_to_try_again() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.log_in("/app/x?y=1", "cancels");
    page.shows(403, CANCELLED);
    assert!(!page.text().contains("access_denied") && !page.text().contains("End user"));
    let again = browser.open(&page.links()[0]);
    let page = browser.choose(&again, "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/x?y=1"));
    world.finish();
}

#[test]
fn a_provider_that_fails_on_the_way_back_shows_a_page_and_when_to_try_again() {
    let world = World::start();
    for (lie, status, heading) in [
        ("callback_server_error", 503, DOWN),
        ("token_500", 503, DOWN),
        ("token_503", 503, DOWN),
        ("token_not_json", 503, DOWN),
        ("token_redirect", 503, DOWN),
        ("token_invalid_grant", 400, EXPIRED),
        ("id_token_wrong_iss", 403, REFUSED),
        ("id_token_wrong_aud", 403, REFUSED),
        ("id_token_aud_two", 403, REFUSED),
        ("id_token_wrong_nonce", 403, REFUSED),
        ("id_token_missing_nonce", 403, REFUSED),
        ("id_token_alg_none", 403, REFUSED),
        ("id_token_hs256_public_key", 403, REFUSED),
        ("id_token_expired", 403, REFUSED),
        ("id_token_future_iat", 403, REFUSED),
        ("id_token_missing_sub", 403, REFUSED),
        ("id_token_bad_signature", 403, REFUSED),
        ("id_token_duplicate_member", 403, REFUSED),
        ("id_token_crit_header", 403, REFUSED),
        ("id_token_nested", 403, REFUSED),
        ("id_token_not_jwt", 403, REFUSED),
        ("id_token_bad_pid", 403, REFUSED),
    ] {
        world.control(&json!({"lies": [{"name": lie}]}));
        let mut browser = world.browser();
        let page = browser.log_in("/app/", "bankid-high");
        assert_eq!(page.status(), status, "{lie}: {}", page.text());
        page.shows(status, heading);
        assert_eq!(page.response.header("retry-after").is_some(), status == 503, "{lie}");
        assert_eq!(browser.session_cookie(), None, "{lie}");
        assert!(page.links()[0].starts_with("/oauth2/login?redirect=%2Fapp%2F"), "{lie}");
        assert_eq!(world.app.count(), 0, "{lie}");
    }
    world.control(&json!({"lies": []}));
    assert_eq!(world.browser().log_in("/app/", "bankid-high").status(), 200);
    world.finish();
}

#[test]
fn a_login_without_any_level_opens_no_route_that_demands_one() {
    let world = World::start();
    for lie in ["id_token_missing_acr", "id_token_unknown_acr", "id_token_limited_acr"] {
        world.control(&json!({"lies": [{"name": lie}]}));
        let mut browser = world.browser();
        let page = browser.log_in("/app/", "bankid-high");
        assert_eq!(page.status(), 403, "{lie}: {}", page.text());
        assert_eq!((browser.session_cookie(), world.app.count()), (None, 0), "{lie}");
    }
    world.finish();
}

#[test]
fn what_an_honest_provider_may_do_does_not_stop_a_login() {
    let world = World::start();
    for lie in ["id_token_amr_string", "callback_iss_double_encoded"] {
        world.control(&json!({"lies": [{"name": lie}]}));
        let page = world.browser().log_in("/app/", "bankid-high");
        assert_eq!(page.status(), 200, "{lie}: {}", page.text());
    }
    world.finish();
}

#[test]
fn back_after_login_ends_at_the_page_or_on_one_with_a_way_on() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/x", "bankid-high");
    let redeemed = world.calls("token");
    let callback = browser.history.iter().find(|url| url.path() == "/oauth2/callback").unwrap().clone();
    let page = browser.open(callback.as_str());
    page.shows(400, EXPIRED);
    assert_eq!(world.calls("token"), redeemed, "the code was sent again");
    assert!(browser.session_cookie().is_some(), "Back must not log out");
    assert_eq!(browser.open("/app/x").status(), 200);
    // The link of the page leads on without a new login.
    let page = browser.open(&page.links()[0]);
    assert_eq!((page.status(), page.target()), (200, "/"));
    world.finish();
}

#[test]
fn an_answer_counts_only_in_the_browser_that_began_with_its_own_state() {
    let world = World::start();
    let mut victim = world.browser();
    let answer = victim.callback("/app/", "bankid-high");
    // Another browser, which has an attempt of its own, or none.
    let mut stranger = world.browser();
    stranger.open(answer.as_str()).shows(400, EXPIRED);
    stranger.open("/app/");
    stranger.open(answer.as_str()).shows(400, EXPIRED);
    assert_eq!((world.calls("token"), stranger.session_cookie()), (0, None));
    // A foreign state beside the right code.
    let foreign = answer.as_str().replace("state=0", "state=0A");
    victim.open(&foreign).shows(400, EXPIRED);
    assert_eq!((world.calls("token"), victim.session_cookie()), (0, None));
    // And still the honest answer counts.
    assert_eq!(victim.open(answer.as_str()).status(), 200);
    world.finish();
}

#[test]
fn an_answer_that_names_another_issuer_or_none_is_refused_before_the_code_is_spent() {
    let world = World::start();
    for lie in ["callback_iss_wrong", "callback_iss_missing"] {
        world.control(&json!({"lies": [{"name": lie}]}));
        let mut browser = world.browser();
        browser.log_in("/app/", "bankid-high").shows(403, REFUSED);
        assert_eq!((world.calls("token"), browser.session_cookie()), (0, None), "{lie}");
    }
    world.finish();
}

#[test]
fn doubled_missing_or_odd_parameters_of_the_answer_spend_nothing() {
    let world = World::start();
    for lie in
        ["callback_code_doubled", "callback_code_missing", "callback_state_missing", "callback_state_wrong"]
    {
        world.control(&json!({"lies": [{"name": lie}]}));
        let mut browser = world.browser();
        browser.log_in("/app/", "bankid-high").shows(400, EXPIRED);
        assert_eq!((world.calls("token"), browser.session_cookie()), (0, None), "{lie}");
    }
    let mut browser = world.browser();
    let answer = browser.callback("/app/", "bankid-high");
    let query = answer.query().unwrap().to_owned();
    let iss = query.split('&').find(|pair| pair.starts_with("iss=")).unwrap();
    for query in [
        format!("{query}&{iss}"),
        format!("{query}&state=0x"),
        format!("{query}&error=access_denied"),
        format!("{query}&code="),
        query.replace("code=", "c="),
        query.replace("code=", "code=%FF"),
        String::new(),
    ] {
        let page = browser.open(&format!("/oauth2/callback?{query}"));
        page.shows(400, EXPIRED);
        assert_eq!((world.calls("token"), browser.session_cookie()), (0, None), "{query}");
    }
    world.finish();
}

#[test]
fn the_answer_counts_by_get_alone() {
    let world = World::start();
    let mut browser = world.browser();
    let answer = browser.callback("/app/", "bankid-high");
    let ask = Ask {
        method: "POST",
        body: Some(("application/x-www-form-urlencoded", answer.query().unwrap())),
        ..Ask::NAVIGATION
    };
    let page = browser.ask("/oauth2/callback", &ask);
    assert_eq!((page.status(), page.response.header("allow")), (405, Some("GET")));
    // Nor does a page that loads it as an image.
    let image = Ask { mode: "no-cors", dest: "image", ..Ask::FETCH };
    assert_eq!(browser.ask(answer.as_str(), &image).status(), 400);
    assert_eq!(world.calls("token"), 0);
    world.finish();
}

#[test]
fn ten_tabs_log_in_side_by_side_and_the_eleventh_costs_the_oldest() {
    let world = World::start();
    let mut browser = world.browser();
    let mut answers = Vec::new();
    for tab in 0..11 {
        answers.push(browser.open(&format!("/app/{tab}")));
        assert!(browser.at_login_page(&answers[tab]));
    }
    let cookies = browser.jar.of("localhost");
    assert_eq!(cookies.iter().filter(|cookie| cookie.name.starts_with("__Host-portvakt-login-")).count(), 10);
    assert!(cookies.iter().all(|cookie| cookie.name.len() + cookie.value.len() < 400));
    let answer = browser.callback_from(&answers[0], "bankid-high");
    browser.open(answer.as_str()).shows(400, EXPIRED);
    for (tab, answer) in answers.iter().enumerate().skip(1) {
        let page = browser.choose(answer, "bankid-high");
        assert_eq!((page.status(), page.target()), (200, format!("/app/{tab}").as_str()));
    }
    world.finish();
}

#[test]
fn the_gateway_starts_without_the_provider_and_is_ready_when_it_comes() {
    let mut world = World::with(Settings { provider_is_up: false, ..Settings::default() });
    let ready = world.admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("idporten"), "{}", ready.text());
    assert_eq!(world.browser().open("/public/").status(), 200);
    let page = world.browser().open("/app/x");
    page.shows(503, DOWN);
    assert_eq!(page.response.header("retry-after"), Some("30"));
    assert_eq!(page.links()[0].split('&').next(), Some("/oauth2/login?redirect=%2Fapp%2Fx"));
    world.start_simulator();
    await_that("the gateway is ready", || (world.admin("/readyz").status == 200).then_some(()));
    assert_eq!(world.browser().log_in("/app/x", "bankid-high").status(), 200);
    world.finish();
}

#[test]
fn a_provider_that_goes_away_later_costs_nobody_a_session_and_no_readiness() {
    let mut world = World::start();
    let cookie = {
        let mut browser = world.browser();
        browser.log_in("/app/", "bankid-high");
        browser.session_cookie().unwrap()
    };
    world.stop_simulator();
    assert_eq!(world.admin("/readyz").status, 200);
    let mut browser = world.browser();
    browser.jar.put("localhost", "__Host-portvakt", &cookie);
    assert_eq!(browser.open("/app/").status(), 200);
    let page = world.browser().open("/app/");
    page.shows(503, DOWN);
    assert!(page.text().contains("Prøv igjen om et minutt"), "{}", page.text());
    world.finish();
}

#[test]
fn a_browser_that_keeps_no_session_stops_at_the_third_login() {
    let world = World::start();
    let mut browser = world.browser();
    let mut page = browser.open("/app/");
    page = browser.choose_without_keeping(&page, "bankid-high");
    // From now on the provider's SSO answers by itself: without an end this would go on for ever.
    for _ in 0..6 {
        if page.status() != 302 {
            break;
        }
        page = browser.round_without_session("/app/");
    }
    page.shows(400, LOOP);
    assert_eq!(world.calls("token"), 3);
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_level_in_the_url_raises_what_the_place_demands_and_never_lowers_it() {
    let world = World::start();
    for link in [
        "/oauth2/login?redirect=/high/&level=substantial",
        "/oauth2/login?redirect=/high/&level=low",
        "/oauth2/login?redirect=/app/&level=high",
    ] {
        let page = world.browser().open(link);
        assert!(page.text().contains("bankid-high") && !page.text().contains("minid-substantial"), "{link}");
    }
    for odd in [
        "level=none",
        "level=HIGH",
        "level=",
        "level=high&level=low",
        "prompt=none",
        "provider=other",
        "redirect=/&redirect=/app/",
    ] {
        let page = world.browser().open(&format!("/oauth2/login?{odd}"));
        assert_eq!(page.status(), 400, "{odd}");
    }
    // Who is logged in low enough is asked for more all the same.
    let mut browser = world.browser();
    browser.log_in("/app/", "minid-substantial");
    let page = browser.open("/oauth2/login?redirect=/high/&level=low");
    assert!(browser.at_login_page(&page));
    world.finish();
}

#[test]
fn a_login_link_for_somebody_who_is_logged_in_leads_straight_to_the_place() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let calls = world.calls("par");
    let page = browser.open("/oauth2/login?redirect=/app/there%3Fx%3D1");
    assert_eq!((page.status(), page.target()), (200, "/app/there?x=1"));
    assert_eq!(world.calls("par"), calls);
    let page = browser.open("/oauth2/login?redirect=/app/&prompt=login");
    assert!(browser.at_login_page(&page), "prompt=login asks for a fresh login");
    world.finish();
}

#[test]
fn only_navigations_start_a_login() {
    let world = World::start();
    let mut browser = world.browser();
    let home = world.url("/");
    for ask in [
        Ask { from: Some(&home), ..Ask::FETCH },
        Ask { mode: "no-cors", dest: "image", ..Ask::FETCH },
        Ask { dest: "iframe", ..Ask::NAVIGATION },
    ] {
        assert_eq!(browser.ask("/oauth2/login?redirect=/app/", &ask).status(), 400, "{ask:?}");
    }
    assert_eq!(world.calls("par"), 0);
    world.finish();
}

/// What `redirect=` leads to, without logging in: somebody is logged in already.
fn led_to(browser: &mut Browser<'_>, redirect: &str) -> (u16, String) {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("redirect", redirect).finish();
    let answer = browser.step(&format!("/oauth2/login?{query}"));
    (answer.status(), answer.response.location().unwrap_or_default().to_owned())
}

#[test]
fn a_hostile_redirect_leads_to_the_start_page_and_nowhere_else() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    for line in crate::corpus(include_str!("../data/redirects-hostile.txt")) {
        let redirect = line.replace("{host}", &world.authority());
        let (status, location) = led_to(&mut browser, &redirect);
        assert_eq!((status, location.as_str()), (302, "/"), "{redirect:?}");
    }
    world.finish();
}

#[test]
fn a_sound_redirect_leads_to_its_place() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    for line in crate::corpus(include_str!("../data/redirects-sound.txt")) {
        let (redirect, expected) = line.split_once(" -> ").unwrap_or((&line, &line));
        let redirect = redirect.replace("{host}", &world.authority());
        assert_eq!(led_to(&mut browser, &redirect), (302, expected.to_owned()), "{redirect:?}");
    }
    world.finish();
}

#[test]
fn a_public_route_never_gets_an_identity_and_an_optional_one_only_of_who_is_logged_in() {
    let world = World::start();
    let mut browser = world.browser();
    assert_eq!(browser.open("/optional/").status(), 200);
    assert_eq!(world.app.last().identity(), []);
    browser.log_in("/app/", "bankid-high");
    browser.open("/optional/");
    assert_eq!(world.app.last().header("x-identity-fnr"), Some("24929935140"));
    for place in ["/", "/public/", "/public/a/b"] {
        assert_eq!(browser.open(place).status(), 200);
        assert_eq!(world.app.last().identity(), [], "{place}");
        assert_eq!(world.app.last().header("cookie"), None, "{place}");
    }
    world.finish();
}

#[test]
fn an_optional_route_knows_nobody_whose_login_does_not_fulfil_it() {
    let world = World::with(
        Settings::default()
            .route("{path: '/optional-high/**', access: optional, require: {level: high}, upstream: app}"),
    );
    let mut browser = world.browser();
    browser.log_in("/app/", "minid-substantial");
    assert_eq!(browser.open("/optional-high/").status(), 200);
    assert_eq!(world.app.last().identity(), []);
    world.finish();
}

#[test]
fn the_session_endpoint_says_whether_and_how_long_and_never_who() {
    let world = World::start();
    let mut browser = world.browser();
    let nobody = browser.fetch("/oauth2/session");
    assert_eq!((nobody.status(), nobody.response.json()), (401, json!({"active": false})));
    browser.log_in("/app/", "bankid-high");
    let cookie = browser.session_cookie();
    let answer = browser.fetch("/oauth2/session");
    let mut body = answer.response.json();
    let left = |body: &serde_json::Value, name: &str| body[name].as_u64().unwrap();
    assert!((1790..=1800).contains(&left(&body, "idle_seconds_left")), "{body}");
    assert!((7190..=7200).contains(&left(&body, "seconds_left")), "{body}");
    for name in ["idle_seconds_left", "seconds_left"] {
        body.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(body, json!({"active": true, "kind": "national", "level": "high", "provider": "idporten"}));
    assert_eq!(answer.response.header("cache-control"), Some("no-store"));
    assert_eq!((answer.response.header("set-cookie"), browser.session_cookie()), (None, cookie));
    world.finish();
}
