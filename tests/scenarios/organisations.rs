//! An employee with several organisations chooses one after the login, and changes it without another (dossier 1.5;
//! `portvakt_core::session::choice`).

use url::form_urlencoded;

use crate::choosing;
use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};
use crate::provider_logout::end_at_provider;

const ONE: &str = "310123455";
const OTHER: &str = "213987658";
const COOKIE: &str = "__Secure-portvakt-organisations";

fn world() -> World {
    let details = "[{type: 'ansattporten:altinn:resource', resource: 'urn:altinn:resource:proeve', \
                   allow_multiple_organizations: true}]";
    let routes = [
        "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}".to_owned(),
        format!(
            "{{path: '/job/**', access: login, require: {{level: substantial}}, authorization_details: {details}, \
             choose_organisation: true, upstream: app}}"
        ),
        format!(
            "{{path: '/all/**', access: login, require: {{level: substantial}}, authorization_details: {details}, \
             upstream: app}}"
        ),
    ];
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    World::with(Settings::default().at("ansattporten", "ansattporten", &routes))
}

/// Sends the page's form, or one of an app's, from here.
fn choose(world: &World, browser: &mut Browser<'_>, from: &str, fields: &[(&str, &str)]) -> Page {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let from = world.url(from);
    let ask = Ask {
        method: "POST",
        from: Some(&from),
        body: Some(("application/x-www-form-urlencoded", &body)),
        ..Ask::NAVIGATION
    };
    browser.ask("/oauth2/organisation", &ask)
}

/// Organisation, name and handle, as the app was told last.
fn told(world: &World) -> (Option<String>, Option<String>, String) {
    let last = world.app.last();
    let of = |name: &str| last.header(name).map(str::to_owned);
    (of("x-identity-org"), of("x-identity-org-name"), of("x-identity-session").unwrap())
}

/// To the page, and past it to the app.
fn employee<'w>(world: &'w World, organisation: &str) -> Browser<'w> {
    let mut browser = world.browser();
    let page = browser.log_in("/job/orders?x=1", "employee-many");
    assert_eq!((page.status(), page.url.path()), (200, "/oauth2/organisation"), "{}", page.text());
    let page = browser.submit(&page, &[("organisation", organisation)]);
    assert_eq!((page.status(), page.target()), (200, "/job/orders?x=1"), "{}", page.text());
    browser
}

#[test]
fn one_is_chosen_after_the_login_and_changed_without_another() {
    let world = world();
    let mut browser = world.browser();
    let page = browser.log_in("/job/orders?x=1", "employee-many");
    page.shows(200, "Hvem representerer du?");
    page.shows(200, "PRØVE AS (310123455)").shows(200, "ANNEN, OG SØNN (213987658)");
    assert_eq!(world.app.count(), 0);
    // Until then nobody is represented, and the place that asks for somebody is closed.
    assert_eq!(browser.fetch("/job/orders").status(), 403);
    assert_eq!(world.app.count(), 0);
    let page = browser.submit(&page, &[("organisation", OTHER)]);
    assert_eq!((page.status(), page.target()), (200, "/job/orders?x=1"), "{}", page.text());
    let first = told(&world);
    assert_eq!((first.0.as_deref(), first.1.as_deref()), (Some(OTHER), Some("ANNEN%2C OG S%C3%98NN")));
    // No other endpoint of ours gets the cookie, and no app.
    assert!(!browser.jar.line(&world.url("/job/x"), true).unwrap().contains(COOKIE));
    assert!(!browser.jar.line(&world.url("/oauth2/logout"), true).unwrap().contains(COOKIE));
    let cookie = browser.session_cookie().unwrap();
    let logins = world.calls("par");

    let page = browser.open("/oauth2/organisation?redirect=/job/next");
    assert!(page.text().contains("aria-current"));
    let page = browser.submit(&page, &[("organisation", ONE)]);
    assert_eq!((page.status(), page.target()), (200, "/job/next"));
    let second = told(&world);
    assert_eq!((second.0.as_deref(), second.1.as_deref()), (Some(ONE), Some("PR%C3%98VE AS")));
    assert_ne!(first.2, second.2, "another session for the app");
    assert_eq!(world.calls("par"), logins, "nobody logged in again");
    // The session for the other one has ended.
    let copy = world.curl("/job/x", &format!("Cookie: __Host-portvakt={cookie}\r\n"));
    assert_eq!(copy.status, 401);
    // A form of the app's own does it, too; and where all are told, that is another question.
    let page = choose(&world, &mut browser, "/job/", &[("organisation", OTHER), ("redirect", "/job/own")]);
    assert_eq!((page.status(), page.response.location()), (303, Some("/job/own")));
    browser.follow(page);
    assert_eq!(told(&world).0.as_deref(), Some(OTHER));
    let page = browser.open("/all/x");
    assert!(browser.at_login_page(&page));
    assert_eq!(browser.choose(&page, "employee-many").status(), 200);
    assert_eq!(told(&world).0, Some(format!("{OTHER},{ONE}")));
    world.finish();
}

#[test]
fn who_has_not_chosen_yet_is_asked_where_it_is_needed_and_who_has_nothing_to_choose_is_told() {
    let world = world();
    let mut browser = world.browser();
    browser.log_in("/job/orders?x=1", "employee-many").shows(200, "Hvem representerer du?");
    // Somebody who leaves the page alone and goes to the place, or to another one, directly.
    let page = browser.open("/job/other?y=2&z=å");
    page.shows(200, "Hvem representerer du?");
    assert_eq!(world.app.count(), 0);
    let page = browser.submit(&page, &[("organisation", ONE)]);
    assert_eq!((page.status(), page.target()), (200, "/job/other?y=2&z=%C3%A5"), "{}", page.text());
    assert_eq!(told(&world).0.as_deref(), Some(ONE));
    // Programs are told, not sent.
    let mut browser = world.browser();
    browser.log_in("/job/x", "employee-many");
    let answer = browser.fetch("/job/x");
    assert_eq!((answer.status(), answer.response.json()["error"].as_str()), (403, Some("represents_nobody")));
    // Who represents nobody is not sent to the provider again and again.
    let count = world.app.count();
    let mut browser = world.browser();
    browser.log_in("/job/x?y=1", "employee-none").shows(403, "<h1>Du representerer ingen virksomhet</h1>");
    let logins = world.calls("par");
    for place in ["/job/x?y=1", "/oauth2/organisation?redirect=%2Fjob%2Fx%3Fy%3D1&needed=yes"] {
        let page = browser.open(place);
        page.shows(403, "<h1>Du representerer ingen virksomhet</h1>");
        assert_eq!(page.links()[0], "/oauth2/login?redirect=%2Fjob%2Fx%3Fy%3D1&prompt=login");
    }
    assert_eq!((world.calls("par"), world.app.count()), (logins, count));
    // Without any login the link leads to one.
    let page = world.browser().open("/oauth2/organisation?redirect=/job/x&needed=yes");
    page.shows(200, "name=\"person\"");
    world.finish();
}

#[test]
fn each_choice_is_in_the_audit_log_without_saying_for_whom() {
    let world = world();
    let mut browser = employee(&world, ONE);
    let page = browser.open("/oauth2/organisation");
    browser.submit(&page, &[("organisation", OTHER)]);
    let lines = world.await_audit(3);
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["login", "organisation", "organisation"]);
    for (before, line) in lines.iter().zip(&lines[1..]) {
        assert_eq!(line["result"], "success");
        assert_eq!(line["previous"], before["session"], "one leads to the other, and so to the sid");
        assert_ne!(line["session"], line["previous"]);
        assert_eq!(
            (&line["provider"], &line["level"], &line["identity"]),
            (&before["provider"], &before["level"], &before["identity"])
        );
        let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let known = [
            "action",
            "client",
            "identity",
            "kind",
            "level",
            "previous",
            "provider",
            "reference",
            "result",
            "session",
            "time",
        ];
        assert!(keys.iter().all(|key| known.contains(key)), "{keys:?}");
        let text = line.to_string();
        assert!(![ONE, OTHER, "PRØVE", "ANNEN"].iter().any(|said| text.contains(said)), "{text}");
    }
    // What was not chosen is not in it.
    choose(&world, &mut browser, "/job/", &[("organisation", "991825827")]);
    assert_eq!(browser.fetch("/job/x").status(), 200);
    assert_eq!(world.audit_log().len(), 3);
    world.finish();
}

/// Where people choose how they log in, and one of the ways is for employees.
#[test]
fn beside_another_way_in_the_organisation_is_chosen_where_it_is_asked_for() {
    let details = "[{type: 'ansattporten:altinn:resource', resource: 'urn:altinn:resource:proeve', \
                   allow_multiple_organizations: true}]";
    let world = choosing::world_with(&[format!(
        "{{path: '/job/**', access: login, choose: [idporten, ansattporten], require: {{level: substantial}}, \
         authorization_details: {details}, choose_organisation: true, upstream: app}}"
    )]);
    // Logged in by the other way, and by none: the employees' provider is asked.
    let mut browser = world.browser();
    for logged_in in [false, true] {
        if logged_in {
            browser.open("/oauth2/login?redirect=/job/x&provider=idporten");
            let page = browser.open("/oauth2/login?redirect=/job/x&provider=idporten");
            assert_eq!(browser.choose(&page, "bankid-high").target(), "/job/x");
            assert_eq!(told(&world).0, None);
        }
        let page = browser.open("/oauth2/organisation?redirect=/job/x");
        assert!(page.url.path().starts_with("/ansattporten/"), "{logged_in}: {}", page.url);
    }
    let page = browser.open("/oauth2/organisation?redirect=/job/x");
    let page = browser.choose(&page, "employee-many");
    page.shows(200, "Hvem representerer du?");
    let asked = browser.open("/job/y");
    asked.shows(200, "Hvem representerer du?");
    let page = browser.submit(&asked, &[("organisation", OTHER)]);
    assert_eq!((page.status(), page.target()), (200, "/job/y"), "{}", page.text());
    assert_eq!(told(&world).0.as_deref(), Some(OTHER));
    // Who may not come in is led out of the session in which they are.
    let mut browser = world.browser();
    let page = browser.open("/oauth2/login?redirect=/job/x&provider=ansattporten");
    let page = browser.choose(&page, "employee-none");
    page.shows(403, "<h1>Du representerer ingen virksomhet</h1>");
    assert!(page.links().contains(&"/oauth2/logout?session=ansattporten".to_owned()), "{:?}", page.links());
    world.finish();
}

#[test]
fn the_page_is_there_in_every_language_and_loses_nothing_by_it() {
    let world = world();
    let mut browser = world.browser();
    let page = browser.log_in("/job/orders?x=1", "employee-many");
    page.shows(200, "Hvem representerer du?");
    let english = page.text().split("href=\"").find(|link| link.contains("locale=en")).unwrap().to_owned();
    let english = english.split('"').next().unwrap().replace("&#38;", "&");
    let page = browser.open(&english);
    page.shows(200, "<h1>Whom do you represent?</h1>");
    assert_eq!(browser.cookie("__Host-portvakt-language").as_deref(), Some("en"));
    let page = browser.submit(&page, &[("organisation", OTHER)]);
    assert_eq!((page.status(), page.target()), (200, "/job/orders?x=1"), "{}", page.text());
    world.finish();
}

#[test]
fn who_has_one_is_not_asked_and_who_has_none_represents_nobody() {
    let world = world();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/job/x", "employee").target(), "/job/x");
    assert_eq!(told(&world).0.as_deref(), Some(ONE));
    assert_eq!(browser.cookie(COOKIE), None);
    // There is nothing to choose from: the provider asks.
    let page = browser.open("/oauth2/organisation?redirect=/job/y");
    assert!(browser.at_login_page(&page));
    assert_eq!(browser.choose(&page, "employee").target(), "/job/y");
    let count = world.app.count();
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/job/x", "employee-none").status(), 403);
    assert_eq!(world.app.count(), count);
    world.finish();
}

#[test]
fn nobody_else_chooses_and_nothing_that_the_login_did_not_bring_is_chosen() {
    let world = world();
    let mut browser = employee(&world, ONE);
    let mine = told(&world);
    // A sibling's page, another site's, and a program that says nothing of where it is.
    for from in ["http://other.localhost", "http://evil.example"] {
        let page = choose(&world, &mut browser, from, &[("organisation", OTHER)]);
        assert!((400..500).contains(&page.status()), "{from}: {}", page.status());
        assert!(page.response.head.all("set-cookie").is_empty(), "{from}");
    }
    let line = browser.jar.line(&world.url("/oauth2/organisation"), true).unwrap();
    let body = format!("organisation={OTHER}");
    let bare = world.send(format!(
        "POST /oauth2/organisation HTTP/1.1\r\nHost: {{host}}\r\nCookie: {line}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    ));
    assert!((400..500).contains(&bare.status) && bare.head.all("set-cookie").is_empty(), "{}", bare.status);
    // An older browser says nothing but its origin.
    let older = |origin: &str| {
        world.send(format!(
            "POST /oauth2/organisation HTTP/1.1\r\nHost: {{host}}\r\nCookie: {line}\r\nConnection: close\r\n\
             Origin: {origin}\r\nAccept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        ))
    };
    for origin in ["null", "http://evil.example", "http://localhost"] {
        let answer = older(origin);
        assert_eq!(answer.status, 400, "{origin}");
        assert!(answer.text().contains("<html") && answer.head.all("set-cookie").is_empty(), "{origin}");
    }
    for number in ["991825827", "310123456", "", "x", "310123455,213987658"] {
        let page = choose(&world, &mut browser, "/job/", &[("organisation", number)]);
        assert!((400..500).contains(&page.status()), "{number}: {}", page.status());
        assert!(page.response.head.all("set-cookie").is_empty(), "{number}");
    }
    let twice = choose(&world, &mut browser, "/job/", &[("organisation", ONE), ("organisation", OTHER)]);
    assert!((400..500).contains(&twice.status()));
    assert_eq!(browser.fetch("/job/x").status(), 200);
    assert_eq!(told(&world), mine);
    let answer = older(&world.origin());
    assert_eq!((answer.status, answer.head.all("set-cookie").is_empty()), (303, false), "{}", answer.text());
    // What one browser may choose from is nothing in another, planted or copied: not for its own session, and not
    // without one.
    let choice = browser.cookie(COOKIE).unwrap();
    let mut victim = world.browser();
    assert_eq!(victim.log_in("/job/x", "employee").status(), 200);
    for logged_in in [true, false] {
        if !logged_in {
            victim.jar.remove("localhost", "__Host-portvakt");
        }
        let line = format!("{COOKIE}={choice}");
        let session =
            victim.session_cookie().map(|value| format!("; __Host-portvakt={value}")).unwrap_or_default();
        let answer = world.send(format!(
            "POST /oauth2/organisation HTTP/1.1\r\nHost: {{host}}\r\nCookie: {line}{session}\r\nConnection: close\r\n\
             Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        ));
        assert_eq!((answer.status, answer.location()), (200, None));
        assert!(answer.text().contains("url=/oauth2/login?"), "{}", answer.text());
        assert!(answer.head.all("set-cookie").is_empty());
    }
    world.finish();
}

#[test]
fn nothing_is_chosen_when_the_session_has_ended() {
    let world = world();
    // Here, with the cookies of before the logout; and at the provider, before the first choice and after it.
    let mut browser = employee(&world, ONE);
    let mut copy = world.browser();
    copy.jar = browser.jar.clone();
    browser.open("/oauth2/logout");
    assert_eq!(browser.cookie(COOKIE), None);
    // By a page: the policy of the one with the form holds redirects that follow it, and names no provider.
    let to_login = |page: &Page| {
        assert_eq!((page.status(), page.response.location()), (200, None));
        assert!(page.links()[0].starts_with("/oauth2/login?"), "{}", page.text());
        assert!(page.response.head.all("set-cookie").is_empty());
    };
    to_login(&choose(&world, &mut copy, "/job/", &[("organisation", OTHER)]));
    let mut waiting = world.browser();
    let page = waiting.log_in("/job/x", "employee-many");
    page.shows(200, "Hvem representerer du?");
    end_at_provider(&world, "employee-many");
    to_login(&choose(&world, &mut waiting, "/oauth2/organisation", &[("organisation", OTHER)]));
    let mut chosen = employee(&world, ONE);
    end_at_provider(&world, "employee-many");
    to_login(&choose(&world, &mut chosen, "/job/", &[("organisation", OTHER)]));
    world.finish();
}

/// Each choice is a session of its own: an end of the one before that is not known yet would not be its end.
#[test]
fn nothing_is_chosen_while_an_end_may_be_unknown() {
    let world = world();
    let mut browser = employee(&world, ONE);
    let cookie = browser.session_cookie();
    let file = world.configuration().with_file_name(".portvakt").join("revocations.log");
    await_that("a folder stands there", || {
        let _ = std::fs::remove_file(&file);
        std::fs::create_dir(&file).ok()
    });
    std::fs::create_dir(file.join("occupied")).unwrap();
    await_that("strict routes wait", || (browser.fetch("/job/x").status() == 503).then_some(()));
    let page = choose(&world, &mut browser, "/job/", &[("organisation", OTHER)]);
    assert_eq!((page.status(), page.response.header("retry-after")), (503, Some("5")), "{}", page.text());
    assert_eq!(browser.session_cookie(), cookie);
    std::fs::remove_dir_all(&file).unwrap();
    await_that("it has recovered", || (world.admin("/readyz").status == 200).then_some(()));
    world.finish();
}

/// More than can be kept to choose from: the provider lets the person choose, each time anew.
#[test]
fn with_too_many_to_keep_the_provider_lets_the_person_choose() {
    let world = world();
    let party = |number: String| {
        serde_json::json!({ "orgno": { "authority": "iso6523-actorid-upis", "ID": format!("0192:{number}") },
            "resource": "urn:altinn:resource:proeve", "name": "EN AV MANGE" })
    };
    let numbers = (10_000_000_u32..).filter_map(|base| with_check_digit(&base.to_string()));
    let parties: Vec<_> = numbers.take(51).map(party).collect();
    let details =
        serde_json::json!([{ "type": "ansattporten:altinn:resource", "authorized_parties": parties }]);
    world.control(&serde_json::json!({ "id_token_claims": { "authorization_details": details } }));
    let mut browser = world.browser();
    let page = browser.log_in("/job/orders?x=1", "employee-many");
    assert!(browser.at_login_page(&page), "asked again: {}", page.text());
    assert_eq!((browser.session_cookie(), browser.cookie(COOKIE)), (None, None));
    world.control(&serde_json::json!({ "id_token_claims": {} }));
    // Asked for one, the provider gives one.
    let page = browser.choose(&page, "employee-many");
    assert_eq!((page.status(), page.target()), (200, "/job/orders?x=1"), "{}", page.text());
    assert_eq!(told(&world).0.as_deref(), Some(ONE));
    assert_eq!(browser.fetch("/job/next").status(), 200, "it counts as what the route asks for");
    // To change it is a new login.
    let page = browser.open("/oauth2/organisation?redirect=/job/z");
    assert!(browser.at_login_page(&page));
    // A provider that gives too many even then logs nobody in.
    world.control(&serde_json::json!({ "id_token_claims": { "authorization_details": details } }));
    let mut browser = world.browser();
    let page = browser.log_in("/job/x", "employee-many");
    let page = browser.choose(&page, "employee-many");
    assert_eq!((page.status(), browser.session_cookie()), (403, None));
    world.finish();
}

/// An organisation number that begins so, if there is one.
fn with_check_digit(base: &str) -> Option<String> {
    let weights = [3, 2, 7, 6, 5, 4, 3, 2];
    let sum: u32 = base.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    match 11 - sum % 11 {
        11 => Some(format!("{base}0")),
        10 => None,
        digit => Some(format!("{base}{digit}")),
    }
}
