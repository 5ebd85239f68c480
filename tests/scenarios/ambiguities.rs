//! The safe reading of the open questions of the dossier's section 7, where several parts must agree on it: provider,
//! gateway, app.
//!
//! A question that one module decides is tested beside that module. Every test of this kind is called
//! `ambiguity_N_…` or says `Dossier 7, no. N` of itself; `tests/architecture.rs` looks that none is left out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::browser::{Browser, Page};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};
use crate::identities::{facts, told};
use crate::provider_logout::{end_at_provider, is_in, register, sid_of};

const FOREIGN: &str =
    "{path: '/foreign/**', access: login, require: {level: substantial, kinds: [eidas]}, upstream: app}";

/// Fails unless the login ended on a page with nobody logged in, the app having heard nothing.
fn nobody_is_in(world: &World, browser: &Browser<'_>, page: &Page, before: usize, what: &str) {
    assert_eq!(page.status(), 403, "{what}: {}", page.text());
    assert_eq!((browser.session_cookie(), world.app.count()), (None, before), "{what}");
}

fn query(page: &url::Url) -> std::collections::HashMap<String, String> {
    page.query_pairs().into_owned().collect()
}

/// The newest names and those of October 2024 are told alike, for everybody; any older spelling that says something
/// else than the newest logs nobody in.
#[test]
fn ambiguity_3_old_and_new_names_say_the_same_and_two_that_disagree_log_nobody_in() {
    let world = World::with(Settings::default().route(FOREIGN));
    for person in ["eidas-se", "eidas-dk", "eidas-dk-renewed", "eidas-ee", "eidas-el"] {
        let told_by = |names: &str| {
            world.control(&json!({ "eidas_claim_names": names }));
            let page = world.browser().log_in("/foreign/x", person);
            assert_eq!(page.status(), 200, "{person}, {names}: {}", page.text());
            told(&world)
        };
        let new = told_by("new");
        assert_eq!(told_by("old"), new, "{person}");
        let count = |wanted: &str| new.iter().filter(|(name, _)| name == wanted).count();
        assert_eq!(count("x-identity-eidas-identifier"), 1, "{person}");
        assert_eq!(count("x-identity-birthdate"), 1, "{person}");
    }
    world.control(&json!({ "eidas_claim_names": "new" }));
    for (claim, value) in [
        ("eidas_identifier", "SE/NO/199005120001"),
        ("eidas-PersonIdentifier", "se/NO/199005120000"),
        ("eidas_citizen_country_code", "DK"),
        ("eidas_firstname", "Asa"),
        ("familiy_name", "Oberg"),
        ("eidas_date_of_birth", "1990-12-05"),
    ] {
        world.control(&json!({ "id_token_claims": { claim: value } }));
        let (mut browser, before) = (world.browser(), world.app.count());
        let page = browser.log_in("/foreign/x", "eidas-se");
        nobody_is_in(&world, &browser, &page, before, claim);
    }
    // The same said twice is no disagreement.
    world.control(&json!({ "id_token_claims": { "eidas_identifier": "SE/NO/199005120000" } }));
    assert_eq!(world.browser().log_in("/foreign/x", "eidas-se").status(), 200);
    world.finish();
}

/// Both are sent whether or not the provider demands them, and never twice the same.
#[test]
fn ambiguity_6_state_and_nonce_are_always_sent() {
    let routes =
        ["{path: '/helper/**', access: login, require: {level: low, kinds: [helper]}, upstream: app}"];
    // This one knows no pushed requests, so that they can be seen; like Ansattporten it demands both.
    let world = World::with(Settings::default().at("idporten-utland", "utland", &routes));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2 {
        let mut browser = world.browser();
        let page = browser.open("/helper/x");
        assert!(browser.at_login_page(&page));
        let parameters = query(browser.history.last().unwrap());
        for name in ["state", "nonce"] {
            let value = parameters.get(name).unwrap_or_else(|| panic!("no {name}"));
            // 128 bits in base64url, so that no encoding changes it.
            assert!(value.len() >= 22, "{name}");
            assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert!(seen.insert(value.clone()), "{name} came twice");
        }
        assert_eq!(browser.choose(&page, "helper").status(), 200);
    }
    world.finish();
}

/// Userinfo may exist there; it is not asked.
#[test]
fn ambiguity_11_ansattporten_is_not_asked_for_userinfo() {
    let routes = ["{path: '/app/**', access: login, require: {level: high}, upstream: app}"];
    let world = World::with(Settings::default().at("ansattporten", "ansattporten", &routes));
    for acr in ["high", "idporten-loa-high"] {
        world.control(&json!({ "id_token_claims": { "acr": acr } }));
        assert_eq!(world.browser().log_in("/app/x", "employee").status(), 200, "{acr}");
        assert_eq!(world.app.last().header("x-identity-loa"), Some("high"), "{acr}");
        assert_eq!(world.app.last().header("x-identity-acr"), Some(acr));
    }
    assert_eq!(world.calls("userinfo"), 0);
    world.finish();
}

/// The token of the back channel has a bare number as `sub`: `sid` alone says what ends, so that the same person
/// goes on in another browser. That the number is in no log is judged when the world ends.
#[test]
fn ambiguity_13_a_logout_token_ends_the_session_of_its_sid_and_not_the_person_of_its_sub() {
    let world = World::start();
    register(&world, &["back"]);
    let log_in = || {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/x", "bankid-high").status(), 200);
        browser
    };
    let (mut one, mut other) = (log_in(), log_in());
    // The provider's own logout page, without ours before it.
    let page = one.step(&format!("{}/idporten/logout", world.simulator()));
    page.shows(200, "Du er logget ut");
    await_that("the back channel's call", || (one.fetch("/oauth2/session").status() == 401).then_some(()));
    assert!(!is_in(&mut one));
    assert!(is_in(&mut other), "the same person, logged in elsewhere");
    sid_of(&world, "bankid-high");
    world.finish();
}

/// Whether Ansattporten's isolated sessions are announced by the one or the other is not said: both do.
#[test]
fn ambiguity_14_either_channel_ends_a_session_at_ansattporten() {
    let routes = ["{path: '/app/**', access: login, require: {level: substantial}, upstream: app}"];
    let world = World::with(Settings::default().at("ansattporten", "ansattporten", &routes));
    for channel in ["front", "back"] {
        register(&world, &[channel]);
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/x", "employee").status(), 200);
        assert!(is_in(&mut browser));
        assert_eq!(end_at_provider(&world, "employee"), [(channel.to_owned(), 200)]);
        assert!(!is_in(&mut browser), "{channel}");
    }
    world.finish();
}

/// No single sign-on, and a logout all the same.
#[test]
fn ambiguity_15_either_channel_ends_the_session_of_a_foreign_eid() {
    let world = World::with(Settings::default().route(FOREIGN));
    for channel in ["front", "back"] {
        register(&world, &[channel]);
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/foreign/x", "eidas-el").status(), 200);
        assert_eq!(end_at_provider(&world, "eidas-el"), [(channel.to_owned(), 200)]);
        let before = world.app.count();
        let page = browser.open("/foreign/x");
        assert!(browser.at_login_page(&page), "{channel}: {}", page.text());
        assert_eq!(world.app.count(), before, "{channel}");
    }
    world.finish();
}

/// A provider that answers a request for a foreign eID with the national session that the browser has there.
#[test]
fn ambiguity_16_a_level_of_another_framework_than_asked_for_is_refused() {
    let world = World::with(Settings::default().route(FOREIGN));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/high/x", "bankid-high").status(), 200);
    // Gone from here, still known there.
    browser.jar.remove("localhost", "__Host-portvakt");
    let before = world.app.count();
    world.control(&json!({ "lies": [{ "name": "sso_any_framework" }] }));
    let page = browser.open("/foreign/x");
    assert_eq!(world.simulator_state()["lies"], json!([]), "it was told");
    nobody_is_in(&world, &browser, &page, before, "a national session");
    // Honestly asked, the person chooses a country.
    let page = browser.open("/foreign/x");
    assert!(browser.at_login_page(&page));
    assert_eq!(browser.choose(&page, "eidas-se").status(), 200);
    world.finish();
}

/// What one login brought is nothing that the next one has: without the number the person is not the same for us, and
/// begins at the start page.
#[test]
fn ambiguity_17_a_number_that_vanishes_is_told_no_more() {
    let world = World::with(Settings::default().route(FOREIGN));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/foreign/x", "eidas-ee").status(), 200);
    assert_eq!(world.app.last().header("x-identity-fnr"), Some("54838810082"));
    let first = world.app.last().header("x-identity-session").unwrap().to_owned();
    world.control(&json!({ "id_token_claims": { "pid": null } }));
    let page = browser.log_in("/oauth2/login?redirect=/foreign/y&prompt=login", "eidas-ee");
    assert_eq!((page.status(), page.target()), (200, "/"));
    assert_eq!(browser.open("/foreign/y").status(), 200);
    let last = world.app.last();
    assert_eq!(last.header("x-identity-fnr"), None);
    assert_eq!(last.header("x-identity-eidas-identifier"), Some("EE/NO/38803140018"));
    assert_ne!(last.header("x-identity-session"), Some(first.as_str()));
    world.finish();
}

/// Whatever the code, known or not: a page of ours without the provider's words, a way to try again that nobody takes
/// by itself, a way out, and nothing spent.
#[test]
fn ambiguity_19_every_error_code_ends_on_a_page() {
    let world = World::start();
    let (tokens, long) = (world.calls("token"), "e".repeat(300));
    for code in [
        "access_denied",
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
        "unmet_authentication_requirements",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_request_uri",
        "invalid_authorization_details",
        "server_error",
        "temporarily_unavailable",
        "a_code_of_tomorrow",
        "<script>alert(1)</script>",
        "ACCESS_DENIED",
        &long,
    ] {
        let mut browser = world.browser();
        let mut answer = browser.callback("/app/x?y=1", "bankid-high");
        let mut parameters = query(&answer);
        parameters.remove("code");
        parameters.insert("error".to_owned(), code.to_owned());
        parameters.insert("error_description".to_owned(), "<b>Words of the provider 17838534171".to_owned());
        answer.query_pairs_mut().clear().extend_pairs(&parameters);
        let page = browser.step(answer.as_str());
        assert!([400, 403, 503].contains(&page.status()), "{code}: {}", page.status());
        let text = page.text();
        assert!(!text.contains("Words of") && !text.contains("17838534171"), "{code}: {text}");
        assert!(!text.contains(code), "{code}: {text}");
        assert!(page.links()[0].starts_with("/oauth2/login?redirect=%2Fapp%2Fx%3Fy%3D1"), "{code}");
        assert!(page.links().iter().any(|link| link == "/oauth2/logout"), "{code}");
        assert_eq!((browser.session_cookie(), world.app.count()), (None, 0), "{code}");
        // The attempt is spent.
        assert_eq!(browser.step(answer.as_str()).status(), 400, "{code}");
    }
    assert_eq!(world.calls("token"), tokens);
    world.finish();
}

/// TLS 1.2 or newer: an older hello gets an alert, and the same one for 1.2 a handshake.
#[test]
fn ambiguity_20_nothing_older_than_tls_1_2_is_spoken() {
    let mut world = World::start();
    let (port, folder) = (crate::harness::free_port(), world.folder().to_owned());
    crate::reload::make_certificate(&folder.join("chain.pem"), &folder.join("key.pem"));
    let text = std::fs::read_to_string(world.configuration()).unwrap();
    let further = format!(
        "listeners: [{{address: '127.0.0.1:{port}', tls: {{certificate: chain.pem, key: key.pem}}}}, "
    );
    std::fs::write(world.configuration(), text.replacen("listeners: [", &further, 1)).unwrap();
    world.restart_gateway();
    for version in [0x0300_u16, 0x0301, 0x0302] {
        // RFC 5246, 7.2.2: fatal (2), protocol_version (70).
        assert_eq!(first_of_record(port, version), (21, vec![2, 70]), "{version:#06x}");
    }
    let (kind, bytes) = first_of_record(port, 0x0303);
    assert_eq!((kind, bytes[0]), (22, 2), "a ServerHello");
    world.finish();
}

/// The type and the content of the first record that answers a ClientHello of a version.
fn first_of_record(port: u16, version: u16) -> (u8, Vec<u8>) {
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]);
    // No session; ECDHE_ECDSA with AES, by CBC for the old and GCM for the new; no compression.
    hello.extend([0, 0, 6, 0xc0, 0x09, 0xc0, 0x2b, 0x00, 0xff, 1, 0]);
    let extensions: [&[u8]; 4] = [
        // supported_groups: P-256; ec_point_formats: uncompressed; signature_algorithms: ECDSA with SHA-256.
        &[0, 10, 0, 4, 0, 2, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        // server_name: a.test.
        &[0, 0, 0, 11, 0, 9, 0, 0, 6, b'a', b'.', b't', b'e', b's', b't'],
    ];
    let extensions = extensions.concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(hello.len() + 4).unwrap().to_be_bytes());
    record.extend([1, 0]);
    record.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    record.extend(hello);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&record).unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut content).unwrap();
    (head[0], content)
}

/// Pushed, or in the clear where the provider knows no such thing; never as an object of its own.
#[test]
fn ambiguity_21_a_request_is_pushed_and_never_an_object() {
    let world = World::start();
    let mut browser = world.browser();
    browser.open("/app/x");
    let mut parameters: Vec<_> = query(browser.history.last().unwrap()).into_iter().collect();
    parameters.sort();
    assert_eq!(parameters.len(), 2, "{parameters:?}");
    assert_eq!(parameters[0], ("client_id".to_owned(), "portvakt-demo".to_owned()));
    assert_eq!(parameters[1].0, "request_uri");
    assert!(parameters[1].1.starts_with("urn:"), "not by reference to anybody's place");
    world.finish();
    let routes =
        ["{path: '/any/**', access: login, require: {level: low, kinds: [pseudonymous]}, upstream: app}"];
    let world = World::with(Settings::default().at("idporten-utland", "utland", &routes));
    let mut browser = world.browser();
    browser.open("/any/x");
    let parameters = query(browser.history.last().unwrap());
    assert!(parameters.contains_key("code_challenge"), "in the clear");
    assert!(!parameters.contains_key("request") && !parameters.contains_key("request_uri"));
    world.finish();
}

/// The hint is expired as soon as two minutes after the login; and where the provider's session is over already,
/// nobody comes back from there.
#[test]
fn ambiguity_23_an_expired_hint_is_sent_with_the_client_and_the_session_has_ended_before() {
    let world = World::start();
    let log_in = || {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/x", "bankid-high").status(), 200);
        browser
    };
    let mut browser = log_in();
    world.control(&json!({ "clock_offset_seconds": 600 }));
    let page = browser.open("/oauth2/logout");
    assert!(!is_in(&mut browser));
    let fields: Vec<_> = page.form().unwrap().1.into_iter().map(|(name, _)| name).collect();
    assert!(["client_id", "id_token_hint"].iter().all(|name| fields.iter().any(|field| field == name)));
    let provider = browser.submit(&page, &[]);
    browser.leave_provider(&provider).shows(200, "Du er logget ut");
    // The provider forgot everybody.
    world.control(&json!({ "clock_offset_seconds": 0 }));
    let mut browser = log_in();
    sid_of(&world, "bankid-high");
    world.control(&json!({ "sso_offset_seconds": 3 * 3600 }));
    let page = browser.open("/oauth2/logout");
    assert!(!is_in(&mut browser));
    let provider = browser.submit(&page, &[]);
    provider.shows(200, "no session to log out of");
    assert_eq!(provider.links(), Vec::<String>::new());
    assert!(!is_in(&mut browser));
    assert_eq!(browser.session_cookie(), None);
    world.finish();
}

/// A wallet behind ID-porten, with a level that no profile knows: nobody logs in by it, the operator is told which it
/// is, and it is worth what the file says from the reload on, not more.
#[test]
fn ambiguity_29_a_level_of_tomorrow_counts_when_the_file_says_so() {
    let mut world = World::with(Settings::default().route(FOREIGN));
    world.control(&json!({ "id_token_claims": { "acr": "eudiw-loa-high", "amr": ["eudiw"] } }));
    let mut browser = world.browser();
    let page = browser.log_in("/foreign/x", "eidas-ee");
    nobody_is_in(&world, &browser, &page, 0, "unknown");
    await_that("the operator is told", || world.errors().contains("eudiw-loa-high").then_some(()));
    world.settings =
        world.settings.clone().provider("acr: {eudiw-loa-high: {level: high, framework: eidas}}");
    world.write_configuration();
    world.gateway().signal("HUP");
    await_that("the reload", || (world.admin("/status.json").json()["generation"] == 2).then_some(()));
    await_that("the operator is told", || world.errors().contains("because this file says so").then_some(()));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/foreign/x", "eidas-ee").status(), 200);
    let last = world.app.last();
    let told = ["kind", "loa", "acr", "amr"]
        .map(|name| last.header(&format!("x-identity-{name}")).unwrap().to_owned());
    assert_eq!(told, ["eidas", "high", "eudiw-loa-high", "eudiw"]);
    // A national level it is not.
    let before = world.app.count();
    assert_eq!(browser.fetch("/app/x").status(), 403);
    assert_eq!(world.app.count(), before);
    world.finish();
}

/// Names and an identifier far from ASCII, from the eID to the app, in every encoding that a route may ask for.
#[test]
fn ambiguity_30_names_beyond_ascii_survive_in_every_encoding() {
    let mut settings = Settings::default();
    for (path, encoding) in
        [("percent", "percent"), ("rfc", "rfc8187"), ("raw", "insecure_utf8"), ("latin", "insecure_latin1")]
    {
        settings = settings.route(&format!(
            "{{path: '/{path}/**', access: login, require: {{level: substantial, kinds: [eidas]}}, upstream: app, \
             headers: {{given_name: {{encoding: {encoding}}}, family_name: {{encoding: {encoding}}}}}}}"
        ));
    }
    let world = World::with(settings);
    let (greek, estonian) = (("Γιώργος", "Παπαδόπουλος"), ("Õie Žanna", "Kõiv"));
    for (person, names) in [("eidas-el", greek), ("eidas-ee", estonian)] {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/percent/x", person).status(), 200);
        let sent = || {
            let last = world.app.last();
            // The app writes each byte down as the character of its number.
            let of = |name: &str| -> Vec<u8> {
                let value = last.header(name).expect("it is told");
                value.chars().map(|byte| u8::try_from(byte).unwrap()).collect()
            };
            (of("x-identity-given-name"), of("x-identity-family-name"))
        };
        let (given, family) = sent();
        assert!(given.is_ascii() && family.is_ascii());
        assert_eq!((decoded(&given), decoded(&family)), (names.0.to_owned(), names.1.to_owned()));
        assert_eq!(browser.open("/rfc/x").status(), 200);
        let (given, family) = sent();
        let value = |bytes: &[u8]| decoded(bytes.strip_prefix(b"UTF-8''").expect("RFC 8187, 3.2"));
        assert_eq!((value(&given), value(&family)), (names.0.to_owned(), names.1.to_owned()));
        assert_eq!(browser.open("/raw/x").status(), 200);
        assert_eq!(sent(), (names.0.as_bytes().to_vec(), names.1.as_bytes().to_vec()));
        assert_eq!(browser.open("/latin/x").status(), 200);
        let latin = |text: &str| -> Vec<u8> {
            text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
        };
        assert_eq!(sent(), (latin(names.0), latin(names.1)));
    }
    let mut browser = world.browser();
    browser.log_in("/percent/x", "eidas-el");
    let identifier = world.app.last().header("x-identity-eidas-identifier").unwrap().to_owned();
    assert_eq!(decoded(identifier.as_bytes()), "EL/NO/Ω-70/b+=");
    assert_eq!(
        told(&world),
        facts(&[
            ("kind", "eidas"),
            ("eidas-identifier", "EL/NO/%CE%A9-70/b+="),
            ("eidas-country", "EL"),
            ("eidas-persistent", "unknown"),
            ("loa", "substantial"),
            ("acr", "eidas-loa-substantial"),
            ("amr", "eIDAS"),
            ("provider", "idporten"),
            ("given-name", "%CE%93%CE%B9%CF%8E%CF%81%CE%B3%CE%BF%CF%82"),
            ("family-name", "%CE%A0%CE%B1%CF%80%CE%B1%CE%B4%CF%8C%CF%80%CE%BF%CF%85%CE%BB%CE%BF%CF%82"),
            ("birthdate", "1970-01-31"),
        ])
    );
    world.finish();
}

/// What a percent-encoded text says; `+` is itself.
fn decoded(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap().replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    // A text with `=` in it reads as a name and a value.
    match pairs.next() {
        Some((name, value)) if text.contains('=') => format!("{name}={value}"),
        Some((name, _)) => name.into_owned(),
        None => String::new(),
    }
}

/// What the simulator says of the people that these scenarios need, for those who choose by hand.
#[test]
fn people_are_listed_with_their_countries() {
    let world = World::start();
    let listed = world.simulator_get("/persons.json");
    let of = |id: &str| -> Value {
        listed.as_array().unwrap().iter().find(|person| person["id"] == id).unwrap().clone()
    };
    for (id, country, matched) in [
        ("eidas-se", "SE", false),
        ("eidas-dk", "DK", true),
        ("eidas-dk-renewed", "DK", false),
        ("eidas-ee", "EE", true),
        ("eidas-el", "EL", false),
    ] {
        let person = of(id);
        assert_eq!((person["country"].as_str(), person["fnr"].is_string()), (Some(country), matched), "{id}");
        assert_eq!(person["kind"], "eidas");
    }
    assert_eq!(of("bankid-high").get("country"), None);
    world.finish();
}
