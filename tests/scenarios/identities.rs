//! Who people are at the sisters of ID-porten, from the browser to the app's headers (dossier 1.4, 1.5, 1.9), and of Europeans
//! at ID-porten (dossier 1.2.5).
//!
//! **Invariant:** the app is told what the provider asserted and nothing else: all identity fields are compared.

use crate::harness::process::await_that;
use crate::harness::{Settings, World};

/// The facts that the app was told with its last request, but for those that differ each time.
pub(crate) fn told(world: &World) -> Vec<(String, String)> {
    let last = world.app.last();
    let facts =
        last.identity().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let changing = ["x-identity-auth-time", "x-identity-subject", "x-identity-session"];
    let (varies, facts): (Vec<_>, Vec<_>) = facts.partition(|(name, _)| changing.contains(&name.as_str()));
    assert_eq!(varies.len(), changing.len(), "{varies:?}");
    assert!(varies.iter().all(|(_, value)| !value.is_empty()), "{varies:?}");
    facts
}

/// What [`told`] is compared with.
pub(crate) fn facts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (format!("x-identity-{name}"), (*value).to_owned())).collect()
}

#[test]
fn signicat_tells_in_userinfo_who_it_is() {
    let routes = [
        "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}",
        "{path: '/high/**', access: login, require: {level: high}, upstream: app}",
    ];
    let world = World::with(Settings::default().at("signicat", "signicat", &routes));
    let mut browser = world.browser();
    let page = browser.log_in("/app/letters?x=1", "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/letters?x=1"), "{}", page.text());
    let expected = facts(&[
        ("kind", "national"),
        ("fnr", "24929935140"),
        ("loa", "high"),
        ("acr", "idporten-loa-high"),
        ("amr", "BankID"),
        ("provider", "idporten"),
        ("given-name", "Nora"),
        ("family-name", "Berg"),
    ]);
    assert_eq!(told(&world), expected);
    assert_eq!(world.calls("userinfo"), 1);
    // The session holds it: the provider is not asked again.
    assert_eq!(browser.open("/high/file").status(), 200);
    assert_eq!((told(&world), world.calls("userinfo")), (expected, 1));
    world.finish();
}

#[test]
fn an_employee_comes_with_the_organisation_that_was_asked_for_and_only_where_it_was() {
    let details = "[{type: 'ansattporten:altinn:service', resource: 'urn:altinn:resource:2480:40'}]";
    let routes = [
        "{path: '/app/**', access: login, require: {level: substantial}, upstream: app}".to_owned(),
        format!(
            "{{path: '/job/**', access: login, require: {{level: substantial, organisation: required}}, \
             authorization_details: {details}, upstream: app}}"
        ),
    ];
    let routes = [routes[0].as_str(), routes[1].as_str()];
    let world = World::with(Settings::default().at("ansattporten", "ansattporten", &routes));
    let employee = |fnr: &'static str| {
        vec![
            ("kind", "employee"),
            ("fnr", fnr),
            ("loa", "high"),
            ("acr", "high"),
            ("amr", "BankID"),
            ("provider", "idporten"),
        ]
    };
    let mut browser = world.browser();
    let page = browser.log_in("/job/orders?x=1", "employee");
    assert_eq!((page.status(), page.target()), (200, "/job/orders?x=1"), "{}", page.text());
    let organisation = [("org", "310123455"), ("org-name", "PR%C3%98VE AS")];
    assert_eq!(told(&world), facts(&[employee("10915596784").as_slice(), &organisation].concat()));
    assert_eq!(browser.open("/app/x").status(), 200);
    assert_eq!(told(&world), facts(&employee("10915596784")));
    // Who represents nobody is somebody, but not there.
    let mut browser = world.browser();
    let count = world.app.count();
    let page = browser.log_in("/job/orders", "employee-none");
    page.shows(403, "<h1>Du representerer ingen virksomhet</h1>");
    assert_eq!(world.app.count(), count);
    // Another login that does not simply repeat this one, and ends where this one was to end.
    let otherwise = page.links().remove(0);
    assert_eq!(otherwise, "/oauth2/login?redirect=%2Fjob%2Forders&prompt=login");
    assert!(
        browser.fetch("/job/orders").text().starts_with("{\"error\":\"represents_nobody\",\"reference\":\"")
    );
    await_that("the access log's line", || {
        let lines = world.access_log();
        lines.iter().any(|line| line["rule"] == "represents_nobody" && line["status"] == 403).then_some(())
    });
    assert_eq!(browser.open("/app/x").status(), 200);
    assert_eq!(told(&world), facts(&employee("47906701517")));
    world.finish();
}

/// A renewed eID is another identifier and another pseudonym, and the same match key, at one audience; nobody else's at
/// another. All of it lasts beyond the sessions, under keys of its own.
#[test]
fn who_comes_with_a_new_eid_is_proposed_by_the_match_key_and_by_nothing_else() {
    let mut world = World::start();
    for (path, audience) in [("one", "one"), ("two", "two")] {
        world.settings.routes.push(format!(
            "{{path: '/{path}/**', access: login, require: {{level: substantial, kinds: [national, eidas]}}, \
             upstream: app, audience: {audience}, headers: {{match_key: add, pseudonym: add}}}}"
        ));
    }
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the reload is refused", || {
        world.errors().contains("`portvakt keys new match`").then_some(())
    });
    world.run_keys(&["new", "match"]);
    world.gateway().signal("HUP");
    await_that("the reload", || (world.admin("/status.json").json()["generation"] == 2).then_some(()));
    fn logged_in(world: &World, person: &str, path: &str) -> (Option<String>, String, Option<String>) {
        let page = world.browser().log_in(path, person);
        assert_eq!(page.status(), 200, "{person}: {}", page.text());
        let last = world.app.last();
        let of = |name: &str| last.header(&format!("x-identity-{name}")).map(str::to_owned);
        (of("match-key"), of("pseudonym").unwrap(), of("eidas-identifier"))
    }
    let told = |person: &str, path: &str| logged_in(&world, person, path);
    let (before, after) = (told("eidas-dk", "/one/x"), told("eidas-dk-renewed", "/one/x"));
    assert!(before.0.is_some() && before.0 == after.0);
    assert_ne!((&before.1, &before.2), (&after.1, &after.2));
    assert_ne!(before.1, after.1);
    // The next login says the same, another audience hears something else, and a namesake of another country too.
    assert_eq!(told("eidas-dk", "/one/y"), before);
    let elsewhere = told("eidas-dk", "/two/x");
    assert!(elsewhere.0 != before.0 && elsewhere.1 != before.1 && elsewhere.2 == before.2);
    let swede = told("eidas-se", "/one/x");
    assert!(swede.0.is_some() && swede.0 != before.0);
    // Who has no foreign eID has none.
    assert_eq!(told("bankid-high", "/one/x").0, None);
    // Other keys of the handles change nothing of it.
    std::fs::remove_file(world.folder().join("keys/pseudonym.json")).unwrap();
    world.run_keys(&["new", "pseudonym"]);
    world.gateway().signal("HUP");
    await_that("the reload", || (world.admin("/status.json").json()["generation"] == 3).then_some(()));
    assert_eq!(logged_in(&world, "eidas-dk", "/one/x"), before);
    world.finish();
}

#[test]
fn people_abroad_come_with_a_helper_number_or_under_a_pseudonym_and_never_with_an_fnr() {
    let routes = [
        "{path: '/helper/**', access: login, require: {level: low, kinds: [helper]}, upstream: app}",
        "{path: '/any/**', access: login, require: {level: low, kinds: [helper, pseudonymous]}, upstream: app}",
    ];
    let world = World::with(Settings::default().at("idporten-utland", "utland", &routes));
    let abroad = |kind| {
        vec![("kind", kind), ("loa", "low"), ("acr", "low"), ("amr", "apple"), ("provider", "idporten")]
    };
    let mut browser = world.browser();
    let page = browser.log_in("/helper/x?y=1", "helper");
    assert_eq!((page.status(), page.target()), (200, "/helper/x?y=1"), "{}", page.text());
    let number = [("fhnummer", "81234567802")];
    assert_eq!(told(&world), facts(&[abroad("helper").as_slice(), &number].concat()));
    assert_eq!(world.calls("par"), 0, "this provider has none");
    let mut browser = world.browser();
    let count = world.app.count();
    let page = browser.log_in("/helper/x", "abroad");
    page.shows(403, "<h1>Siden krever en annen innlogging</h1>");
    assert_eq!(page.links().remove(0), "/oauth2/login?redirect=%2Fhelper%2Fx&prompt=login");
    assert_eq!(world.app.count(), count);
    assert_eq!(browser.session_cookie(), None);
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/any/x", "abroad").status(), 200);
    assert_eq!(told(&world), facts(&abroad("pseudonymous")));
    world.finish();
}

#[test]
fn a_european_comes_with_the_identifier_and_with_an_fnr_only_if_it_was_asserted() {
    let route =
        "{path: '/foreign/**', access: login, require: {level: substantial, kinds: [eidas]}, upstream: app}";
    let world = World::with(Settings::default().route(route));
    let common = |loa, acr| [("loa", loa), ("acr", acr), ("amr", "eIDAS"), ("provider", "idporten")];
    let mut browser = world.browser();
    let page = browser.log_in("/foreign/x?y=1", "eidas-se");
    assert_eq!((page.status(), page.target()), (200, "/foreign/x?y=1"), "{}", page.text());
    let swede = [
        ("kind", "eidas"),
        ("eidas-identifier", "SE/NO/199005120000"),
        ("eidas-country", "SE"),
        ("eidas-persistent", "yes"),
    ];
    let named = [("given-name", "%C3%85sa"), ("family-name", "%C3%96berg"), ("birthdate", "1990-05-12")];
    let common_of_swede = common("substantial", "eidas-loa-substantial");
    assert_eq!(told(&world), facts(&[swede.as_slice(), &common_of_swede, &named].concat()));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/foreign/x", "eidas-dk").status(), 200);
    let dane = [
        ("kind", "eidas"),
        ("fnr", "68817832028"),
        ("eidas-identifier", "DK/NO/7f3a-0c2e-91bb"),
        ("eidas-country", "DK"),
        ("eidas-persistent", "no"),
    ];
    let named = [("given-name", "S%C3%B8ren"), ("family-name", "Kj%C3%A6r"), ("birthdate", "1972-06-09")];
    assert_eq!(told(&world), facts(&[dane.as_slice(), &common("high", "eidas-loa-high"), &named].concat()));
    // With a number or without: where Norwegians are asked for, no European is let in.
    let count = world.app.count();
    assert!(browser.fetch("/app/x").shows(403, "\"national_number_needed\"").links().is_empty());
    let page = browser.open("/app/x?y=1");
    page.shows(403, "<h1>Her trengs norsk fødselsnummer eller D-nummer</h1>");
    // Behind these the page offers itself in each language.
    assert_eq!(
        page.links()[..3],
        ["/oauth2/login?redirect=%2Fapp%2Fx%3Fy%3D1&prompt=login", "/oauth2/logout", "/"]
    );
    assert_eq!(world.app.count(), count);
    // The provider asks again, although it remembers the Dane; another person begins at the start page.
    let asked = browser.open(&page.links()[0]);
    let page = browser.choose(&asked, "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/"), "{}", page.text());
    assert_eq!(browser.open("/app/x?y=1").status(), 200);
    world.finish();
}

#[test]
fn each_reason_for_which_somebody_is_not_taken_has_a_page_and_a_word_for_programs() {
    let both = "level: substantial, kinds: [national, eidas]";
    let world = World::with(
        Settings::default()
            .route("{path: '/nordic/**', access: login, require: {level: substantial, kinds: [eidas], countries: [FI]}, upstream: app}")
            .route(&format!("{{path: '/strict/**', access: login, require: {{{both}, not_amr: [bankid]}}, upstream: app}}"))
            .route(&format!("{{path: '/foreign/**', access: login, require: {{{both}, countries: [SE]}}, upstream: app}}")),
    );
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/eu/x", "eidas-dk").status(), 200);
    let count = world.app.count();
    for (path, heading, code) in [
        ("/nordic/x", "Siden tar ikke imot eID fra landet ditt", "wrong_country"),
        ("/foreign/x", "Siden tar ikke imot eID fra landet ditt", "wrong_country"),
        ("/high/x", "Her trengs norsk fødselsnummer eller D-nummer", "national_number_needed"),
    ] {
        browser.open(path).shows(403, &format!("<h1>{heading}</h1>"));
        browser.fetch(path).shows(403, &format!("{{\"error\":\"{code}\",\"reference\":\""));
    }
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/x", "bankid-high").status(), 200);
    for (path, heading, code) in [
        ("/nordic/x", "Her trengs en europeisk eID", "european_id_needed"),
        ("/strict/x", "Siden godtar ikke måten du logget inn på", "wrong_method"),
    ] {
        browser.open(path).shows(403, &format!("<h1>{heading}</h1>"));
        browser.fetch(path).shows(403, &format!("{{\"error\":\"{code}\",\"reference\":\""));
    }
    assert_eq!(world.app.count(), count + 1, "but for the login");
    world.finish();
}

/// Dossier 0, fact 4: a European may have a Norwegian number or not, and the next time the other way round.
#[test]
fn a_place_that_needs_a_number_takes_europeans_whom_the_register_knows() {
    let world = World::with(Settings::default().route(
        "{path: '/number/**', access: login, require: {kinds: [national, eidas], fnr: true}, upstream: app}",
    ));
    for (person, number) in [("eidas-dk", "68817832028"), ("bankid-high", "24929935140")] {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/number/x", person).status(), 200, "{person}");
        assert_eq!(world.app.last().header("x-identity-fnr"), Some(number));
    }
    let count = world.app.count();
    for person in ["eidas-dk-renewed", "eidas-se"] {
        let mut browser = world.browser();
        let page = browser.log_in("/number/x", person);
        page.shows(403, "<h1>Her trengs norsk fødselsnummer eller D-nummer</h1>");
        assert!(page.links().iter().any(|link| link.contains("prompt=login")), "{:?}", page.links());
        browser.fetch("/number/x").shows(403, "{\"error\":\"national_number_needed\",\"reference\":\"");
        assert_eq!(world.app.count(), count, "{person}");
    }
    let rules: Vec<_> = world.access_log().iter().map(|line| line["rule"].clone()).collect();
    assert!(rules.iter().any(|rule| rule == "forbidden_without_number"), "{rules:?}");
    world.finish();
}
