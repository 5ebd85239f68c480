//! What a person does with the gateway's own pages: changes their language.
//!
//! **Invariant:** a page says the same in every language, and only what the gateway said itself.

use url::Url;

use crate::harness::browser::Ask;
use crate::harness::{Settings, World};

const FORM: &str = "application/x-www-form-urlencoded";

/// What an older browser sends: no Fetch Metadata.
fn older(method: &str, target: &str, cookie: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n\
         Accept-Language: en\r\n{cookie}{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn a_person_chooses_the_language_of_a_page_and_of_all_that_follow() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.open("/app/x?y=1");
    assert!(page.text().contains("<html lang=\"nb\""), "{}", page.text());
    let page = browser.choose(&page, "cancels");
    page.shows(403, "<h1>Innloggingen ble avbrutt</h1>");
    let reference = page.text().split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    // What led to it cannot be asked again: the code is spent, and the attempt gone.
    for (link, heading, tag) in [
        (3, "Sisačáliheapmi gaskkalduvai", "se"),
        (1, "Innlogginga vart avbroten", "nn"),
        (2, "The login was cancelled", "en"),
        (3, "Sisačáliheapmi gaskkalduvai", "se"),
    ] {
        let other = browser.open(&page.languages()[link]);
        other.shows(200, &format!("<h1>{heading}</h1>"));
        assert_eq!(other.response.header("content-language"), Some(tag));
        assert_eq!(browser.cookie("__Host-portvakt-language").as_deref(), Some(tag));
        assert!(other.text().contains(&reference), "the reference is that of what happened");
        assert_eq!(other.links()[0], page.links()[0]);
        assert_eq!(other.languages(), page.languages());
    }
    browser.open("/nothing").shows(404, "<h1>Mii eat gávnna siiddu</h1>");
    // The provider is told, and the app is not.
    let page = browser.open(&page.links()[0]);
    assert!(page.text().contains("<html lang=\"se\""), "{}", page.text());
    let page = browser.choose(&page, "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/app/x?y=1"), "{}", page.text());
    assert!(!world.app.last().header("cookie").unwrap_or_default().contains("portvakt"));
    world.finish();
}

#[test]
fn an_app_says_in_its_link_which_language_a_person_reads() {
    let world = World::start();
    let mut browser = world.browser();
    let page = browser.open("/oauth2/login?redirect=/app/x&locale=nn");
    assert!(page.text().contains("<html lang=\"nn\""), "{}", page.text());
    browser.choose(&page, "cancels").shows(403, "<h1>Innlogginga vart avbroten</h1>");
    let page = browser.open("/oauth2/login?redirect=/app/x&locale=xx");
    assert!(page.text().contains("<html lang=\"nn\""), "{}", page.text());
    world.finish();
}

#[test]
fn nobody_else_chooses_a_language_unseen_or_makes_the_host_say_something() {
    let world = World::with(Settings::default());
    let mut browser = world.browser();
    let elsewhere = Url::parse("http://127.0.0.1:9/").unwrap();
    for dest in ["image", "iframe", "empty"] {
        let mode = if dest == "iframe" { "navigate" } else { "no-cors" };
        let ask = Ask { dest, mode, from: Some(&elsewhere), ..Ask::NAVIGATION };
        assert_eq!(browser.ask("/oauth2/language?to=se", &ask).status(), 400, "{dest}");
    }
    assert_eq!(browser.cookie("__Host-portvakt-language"), None);
    for link in ["/oauth2/language", "/oauth2/language?to=xx", "/oauth2/language?to=se&to=nn"] {
        assert_eq!(browser.step(link).status(), 400, "{link}");
    }
    // Cut; with another end; made up.
    let own = browser.open("/nothing").languages().remove(3);
    let cut = &own[..own.len() - 1];
    let changed = format!("{cut}{}", if own.ends_with('A') { "Q" } else { "A" });
    for link in [cut, &changed, "/oauth2/language?to=se&page=not_found"] {
        let answer = browser.step(link);
        assert_eq!((answer.status(), answer.response.location()), (302, Some("/")), "{link}");
    }
    browser.step(&own).shows(200, "<h1>Mii eat gávnna siiddu</h1>");
    world.finish();
}

#[test]
fn an_older_browser_gets_pages_for_its_forms_and_scripts_get_json() {
    let world = World::start();
    let origin = format!("Origin: {}\r\nContent-Type: {FORM}\r\n", world.origin());
    let sent = world.send(older("POST", "/app/letters", "", &origin, "a=1"));
    assert_eq!((sent.status, sent.header("www-authenticate")), (401, Some("Bearer")));
    let text = sent.text();
    assert!(text.contains("<h1>Log in to send</h1>") && text.contains("name=\"kept\""), "{text}");
    assert_eq!(sent.header("referrer-policy"), Some("same-origin"), "the form says where it comes from");
    // Whatever else a form is answered with is a page too.
    let refused = world.send(older("POST", "/oauth2/session", "", &origin, "a=1"));
    assert_eq!((refused.status, refused.header("content-language")), (405, Some("en")));
    for script in ["X-Requested-With: XMLHttpRequest\r\n", "Sec-Fetch-Mode: cors\r\n"] {
        let answer = world.send(older("POST", "/app/letters", "", &format!("{origin}{script}"), "a=1"));
        assert_eq!((answer.status, &answer.json()["error"]), (401, &"login_required".into()), "{script}");
    }
    world.finish();
}

#[test]
fn an_older_browser_brings_a_kept_form_back_and_no_other_page_does() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high").shows(200, "the app's page");
    let cookie = format!("Cookie: __Host-portvakt={}\r\n", browser.session_cookie().unwrap());
    let here = format!("Origin: {}\r\nContent-Type: {FORM}\r\n", world.origin());
    let page = world.send(older("POST", "/app/letters", "", &here, "a=1")).text();
    let kept = page.split("name=\"kept\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let body = format!("kept={kept}");
    for origin in ["", "Origin: null\r\n", "Origin: https://evil.example\r\n"] {
        let fields = format!("{origin}Content-Type: {FORM}\r\n");
        assert_eq!(
            world.send(older("POST", "/oauth2/resume", &cookie, &fields, &body)).status,
            400,
            "{origin}"
        );
    }
    let twice = format!("Origin: {}\r\n{here}", world.origin());
    assert_eq!(world.send(older("POST", "/oauth2/resume", &cookie, &twice, &body)).status, 400);
    // Fetch Metadata, where it is sent, is what counts.
    let foreign = format!("{here}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(world.send(older("POST", "/oauth2/resume", &cookie, &foreign, &body)).status, 400);
    let resent = world.send(older("POST", "/oauth2/resume", &cookie, &here, &body));
    assert_eq!(resent.status, 200);
    assert!(resent.text().contains("action=\"/app/letters\""), "{}", resent.text());
    world.finish();
}

#[test]
fn a_page_that_says_try_again_leads_there_again() {
    let world = World::with(
        Settings::default().route("{path: '/closed/**', access: public, upstream: app, maintenance: true}"),
    );
    let mut browser = world.browser();
    let page = browser.open("/closed/a?b=c%2Fd");
    assert_eq!(page.status(), 503);
    assert_eq!(page.links()[0], "/closed/a?b=c%2Fd");
    assert!(page.text().contains("class=\"first\">Prøv igjen</a>"), "{}", page.text());
    // What a form sent cannot be asked for by a link.
    let home = world.url("/");
    let sent = Ask { method: "POST", from: Some(&home), body: Some((FORM, "a=1")), ..Ask::NAVIGATION };
    let page = browser.ask("/closed/a", &sent);
    assert_eq!((page.status(), page.links().remove(0)), (503, "/".to_owned()));
    world.finish();
}

#[test]
fn a_login_that_cannot_start_says_so_in_the_language_that_was_chosen() {
    let mut world = World::start();
    world.stop_simulator();
    let mut browser = world.browser();
    let page = browser.open("/oauth2/login?redirect=/app/x&locale=nn");
    page.shows(503, "<h1>Innlogginga verkar ikkje akkurat no</h1>");
    assert_eq!(browser.cookie("__Host-portvakt-language").as_deref(), Some("nn"));
    // For a script it is no page, and an image chooses nothing.
    let image = Ask { dest: "image", mode: "no-cors", ..Ask::NAVIGATION };
    let answer = browser.ask("/oauth2/login?redirect=/app/x&locale=se", &image);
    assert_eq!((answer.status(), answer.response.header("set-cookie")), (400, None));
    let script = world.curl("/oauth2/login?redirect=/app/x&locale=se", "");
    assert_eq!((script.status, script.header("content-type")), (503, Some("application/json")));
    world.finish();
}

#[test]
fn every_answer_of_the_gateway_says_what_browsers_may_do_with_it() {
    let world = World::start();
    let mut browser = world.browser();
    let home = world.url("/");
    let started = browser.step("/oauth2/login?redirect=/app/x");
    let provider = browser.open("/app/x");
    let callback = browser.callback_from(&provider, "bankid-high");
    let answers = [
        started,
        browser.step(callback.as_str()),
        browser.fetch("/oauth2/session"),
        world.browser().fetch("/oauth2/session"),
        world.browser().fetch("/app/x"),
        browser.step("/.well-known/portvakt/nothing"),
        browser.ask("/oauth2/logout/frontchannel?iss=x&sid=y", &Ask { dest: "iframe", ..Ask::NAVIGATION }),
        world.browser().ask("/app/x", &Ask { method: "OPTIONS", from: Some(&home), ..Ask::FETCH }),
        browser.step("/nothing"),
    ];
    for answer in answers {
        let of = |name: &str| answer.response.header(name).unwrap_or_default().to_owned();
        let about = format!("{} {}", answer.url.path(), answer.status());
        assert_eq!(of("x-content-type-options"), "nosniff", "{about}");
        assert_eq!(of("referrer-policy"), "no-referrer", "{about}");
        assert!(of("content-security-policy").contains("default-src 'none'"), "{about}");
        assert_eq!(of("cache-control"), "no-store", "{about}");
        // The provider may frame its answer, and no header takes that back.
        assert!(answer.url.path() != "/oauth2/logout/frontchannel" || of("x-frame-options").is_empty());
        if answer.status() == 401 {
            assert!(of("www-authenticate").starts_with("Bearer"), "{about}");
        }
    }
    world.finish();
}

#[test]
fn a_login_that_a_script_is_told_of_leads_back_to_its_page() {
    let world = World::start();
    let link = |referer: &str| {
        let answer = world.curl("/app/api/items", &format!("Sec-Fetch-Mode: cors\r\nReferer: {referer}\r\n"));
        assert_eq!(answer.status, 401);
        answer.json()["login"].as_str().unwrap().split('&').next().unwrap().to_owned()
    };
    let (page, asked) =
        ("/oauth2/login?redirect=%2Fapp%2Fpage%3Fa%3D1", "/oauth2/login?redirect=%2Fapp%2Fapi%2Fitems");
    assert_eq!(link(&format!("{}/app/page?a=1", world.origin())), page);
    // A page of a route that asks for something else; of another site; of ours; no page.
    for referer in [
        &format!("{}/high/x", world.origin()),
        "https://evil.example/app/",
        "https://localhost.evil.example/",
        "x",
    ] {
        assert_eq!(link(referer), asked, "{referer}");
    }
    assert_eq!(link(&format!("{}/oauth2/logout", world.origin())), asked);
    world.finish();
}
