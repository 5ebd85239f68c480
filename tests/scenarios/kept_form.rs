//! A form that was sent before somebody was logged in well enough is kept by its page and sent again, as the
//! same person alone (`threats.md` CK-10, OP-13, OP-14; `design.md` D13).

use url::{Url, form_urlencoded};

use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::{Settings, World};

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a body as a form of one of the gateway's own pages does.
fn send(world: &World, browser: &mut Browser<'_>, to: &str, media_type: &str, body: &str) -> Page {
    send_from(&world.url("/"), browser, to, media_type, body)
}

fn send_from(from: &Url, browser: &mut Browser<'_>, to: &str, media_type: &str, body: &str) -> Page {
    let ask = Ask { method: "POST", from: Some(from), body: Some((media_type, body)), ..Ask::NAVIGATION };
    browser.ask(to, &ask)
}

/// Presses the button of the page that sends a form again: its fields as a browser reads and encodes them.
fn press_send(browser: &mut Browser<'_>, page: &Page) -> Page {
    page.shows(200, "Vi sender det du ville sende");
    let text = page.text();
    let fields = text.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        (resolved(name), resolved(rest.split_once("\">").unwrap().0))
    });
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let action =
        resolved(text.split_once("<form method=\"post\" action=\"").unwrap().1.split('"').next().unwrap());
    send_from(&page.url, browser, &action, FORM, &body)
}

/// An attribute's value with its character references resolved, once (HTML, 13.2.5.72).
fn resolved(attribute: &str) -> String {
    let mut parts = attribute.split("&#");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(';').unwrap();
        text.push(char::from_u32(number.parse().unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

/// The person logs in by the page's link, in another tab.
fn log_in_elsewhere(browser: &mut Browser<'_>, kept: &Page, person: &str) -> Page {
    let page = browser.open(&kept.links()[0]);
    browser.choose(&page, person)
}

fn pairs(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Logs in at a level, without a page, as in the provider's test environment.
fn log_in_at(browser: &mut Browser<'_>, testid: &str) -> Page {
    let invited = browser.step("/app/");
    let started = browser.step(invited.response.location().unwrap());
    browser.open(&format!("{}&login_hint=testid:{testid}", started.response.location().unwrap()))
}

#[test]
fn a_form_sent_without_a_session_arrives_after_the_login_as_it_was() {
    let world = World::start();
    let mut browser = world.browser();
    let body = "b=1&a=+%20%2B&b=2&empty=&submit=x&action=y&text=%0D%0A+line%0D%0Aline%0D%0A&quote=%22%3E%3Cb%3E%26amp%3B%27&%C3%A5=%E2%9C%93";
    world.secrets.add("%E2%9C%93");
    let kept = send(&world, &mut browser, "/app/letters?to=7&x=%C3%A5", FORM, body);
    kept.shows(401, "Logg inn for å sende");
    assert_eq!(kept.response.head.one("www-authenticate"), Some("Bearer"));
    assert_eq!(kept.response.head.one("cache-control"), Some("no-store"));
    assert!(!kept.text().contains("quote") && !kept.text().contains("%E2%9C%93"), "the form is sealed");
    assert_eq!(world.app.count(), 0);
    let other_tab = log_in_elsewhere(&mut browser, &kept, "bankid-high");
    assert_eq!((other_tab.status(), other_tab.target()), (200, "/"));
    let before = world.app.count();
    let resend = browser.submit(&kept, &[]);
    assert_eq!(world.app.count(), before, "the gateway sends nothing itself");
    assert_eq!(resend.response.head.one("referrer-policy"), Some("same-origin"));
    let page = press_send(&mut browser, &resend);
    assert_eq!((page.status(), page.text().as_str()), (200, "the app's page"));
    let received = world.app.last();
    assert_eq!(received.head.start, "POST /app/letters?to=7&x=%C3%A5 HTTP/1.1");
    // A browser writes spaces as `+`; the pairs are the same, byte for byte.
    assert_eq!(pairs(&received.body), pairs(body.as_bytes()));
    assert_eq!(received.header("content-type"), Some(FORM));
    assert_eq!(received.header("x-identity-fnr"), Some("24929935140"));
    world.finish();
}

#[test]
fn the_page_without_a_login_is_the_same_page_again_and_loses_nothing() {
    let world = World::start();
    let mut browser = world.browser();
    let kept = send(&world, &mut browser, "/app/a", FORM, "a=1");
    let again = browser.submit(&kept, &[]);
    again.shows(401, "Logg inn for å sende");
    assert_eq!(again.form(), kept.form());
    assert_eq!(again.links(), kept.links());
    log_in_elsewhere(&mut browser, &again, "bankid-high");
    let resend = browser.submit(&again, &[]);
    press_send(&mut browser, &resend);
    assert_eq!(world.app.last().body, b"a=1");
    world.finish();
}

#[test]
fn a_form_for_a_higher_level_arrives_after_the_step_up() {
    let world = World::start();
    let mut browser = world.browser();
    log_in_at(&mut browser, "24929935140_idporten-loa-substantial").shows(200, "the app's page");
    let kept = send(&world, &mut browser, "/high/consent", FORM, "yes=1&text=a%0D%0Ab");
    kept.shows(401, "Logg inn for å sende");
    let page = browser.open(&kept.links()[0]);
    assert!(browser.at_login_page(&page), "the login is asked for the level that the form needs");
    browser.choose(&page, "bankid-high");
    let resend = browser.submit(&kept, &[]);
    press_send(&mut browser, &resend);
    let received = world.app.last();
    assert_eq!(
        (received.target(), received.body.as_slice()),
        ("/high/consent", b"yes=1&text=a%0D%0Ab".as_slice())
    );
    assert_eq!(received.header("x-identity-loa"), Some("high"));
    world.finish();
}

#[test]
fn the_login_is_worth_what_the_forms_route_demands_although_it_ends_elsewhere() {
    let route = "{path: '/post/**', methods: [POST], access: login, require: {level: high}, upstream: app}";
    let world = World::with(Settings::default().route(route));
    let mut browser = world.browser();
    for (target, offered, person) in
        [("/eu/a?x=1", true, "eidas-dk"), ("/post/a", false, "minid-substantial")]
    {
        let kept = send(&world, &mut browser, target, FORM, "a=1");
        let page = browser.open(&kept.links()[0]);
        assert!(browser.at_login_page(&page));
        assert_eq!(page.text().contains(person), offered, "{target}");
    }
    world.finish();
}

#[test]
fn another_person_starts_at_the_start_page_and_the_app_gets_nothing() {
    let world = World::start();
    for over in [false, true] {
        let mut browser = world.browser();
        browser.log_in("/app/", "minid-substantial").shows(200, "the app's page");
        if over {
            // The cookie stays, the session is over.
            let cookie = browser.session_cookie().unwrap();
            browser.log_out("/oauth2/logout");
            browser.jar.put("localhost", "__Host-portvakt", &cookie);
        }
        let target = if over { "/app/a" } else { "/high/a" };
        let kept = send(&world, &mut browser, target, FORM, "secret=1");
        kept.shows(401, "Logg inn for å sende");
        let page = browser.open(&kept.links()[0]);
        browser.choose(&page, "bankid-high");
        let posts = |world: &World| {
            let received = world.app.received();
            received.iter().filter(|received| received.head.start.starts_with("POST")).count()
        };
        let (action, fields) = kept.form().unwrap();
        let body = format!("{}={}", fields[0].0, fields[0].1);
        let answer = send_from(&kept.url, &mut browser, &action, FORM, &body);
        assert_eq!((answer.status(), answer.response.location()), (303, Some("/")));
        assert_eq!(answer.text(), "");
        browser.follow(answer).shows(200, "the app's page");
        assert_eq!(posts(&world), 0);
    }
    world.finish();
}

#[test]
fn what_cannot_be_kept_gets_a_page_that_says_so() {
    let world = World::start();
    let mut browser = world.browser();
    let largest = format!("a={}", "x".repeat(64 * 1024 - 2));
    send(&world, &mut browser, "/app/a", FORM, &largest).shows(401, "Logg inn for å sende");
    let too_large = format!("{largest}x");
    let far_too_large = "x".repeat(3 * 1024 * 1024);
    let parts = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
    for (media_type, body) in [
        (FORM, too_large.as_str()),
        (FORM, &far_too_large),
        (FORM, "a=%E5"),
        (FORM, "=nameless"),
        ("application/x-www-form-urlencoded; charset=iso-8859-1", "a=1"),
        ("multipart/form-data; boundary=x", parts),
        ("multipart/form-data; boundary=x", &far_too_large),
        ("text/plain", "a=1"),
    ] {
        let page = send(&world, &mut browser, "/app/a", media_type, body);
        page.shows(401, "vi kunne ikke ta vare på det").shows(401, "target=\"_blank\"");
        assert!(page.form().is_none(), "{media_type}");
    }
    assert_eq!(world.app.count(), 0);
    world.finish();
}

#[test]
fn a_form_of_another_site_is_not_kept_and_none_is_resumed_from_there() {
    let world = World::start();
    let mut browser = world.browser();
    let evil = Url::parse("https://evil.example/").unwrap();
    let sibling = Url::parse("http://localhost:1/").unwrap();
    for from in [&evil, &sibling] {
        let page = send_from(from, &mut browser, "/app/a", FORM, "a=1");
        page.shows(403, "annen nettside");
        assert!(page.form().is_none());
    }
    let kept = send(&world, &mut browser, "/app/a", FORM, "a=1");
    log_in_elsewhere(&mut browser, &kept, "bankid-high");
    let (action, fields) = kept.form().unwrap();
    let body = format!("kept={}", fields[0].1);
    for from in [&evil, &sibling] {
        let page = send_from(from, &mut browser, &action, FORM, &body);
        assert_eq!(page.status(), 400);
        assert!(page.form().is_none());
    }
    let post = format!(
        "POST /oauth2/resume HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(world.send(post).status, 400);
    world.finish();
}

#[test]
fn a_value_that_is_not_ours_sends_nothing() {
    let world = World::start();
    let mut browser = world.browser();
    browser.log_in("/app/", "bankid-high");
    let kept = send(&world, &mut world.browser(), "/app/a", FORM, "a=1");
    let sealed = kept.form().unwrap().1[0].1.clone();
    let mut changed = sealed.clone();
    let middle = sealed.len() / 2;
    let other = if &sealed[middle..=middle] == "A" { "B" } else { "A" };
    changed.replace_range(middle..=middle, other);
    let session = browser.session_cookie().unwrap();
    let much = "A".repeat(200_000);
    for value in ["", "x", &changed, &sealed[1..], &session, &much] {
        let page = send(&world, &mut browser, "/oauth2/resume", FORM, &format!("kept={value}"));
        page.shows(400, "er ikke lenger her");
        assert!(page.form().is_none());
    }
    send(&world, &mut browser, "/oauth2/resume", FORM, "").shows(400, "er ikke lenger her");
    let doubled = format!("kept={sealed}&kept={sealed}");
    assert_eq!(send(&world, &mut browser, "/oauth2/resume", FORM, &doubled).status(), 400);
    assert_eq!(browser.step("/oauth2/resume").status(), 405);
    world.finish();
}

/// The provider's session has ended meanwhile, so that the person is asked once more: for the same as before, not for
/// what the start page asks for.
#[test]
fn a_login_for_a_form_that_must_be_repeated_asks_for_the_same() {
    let world = World::start();
    let mut browser = world.browser();
    let kept = send(&world, &mut browser, "/eu/letters", FORM, "a=1");
    let page = browser.open(&kept.links()[0]);
    let callback = browser.callback_from(&page, "eidas-se");
    world.control(&serde_json::json!({ "end_session": { "person": "eidas-se" } }));
    let pushed = world.calls("par");
    let page = browser.open(callback.as_str());
    assert_eq!(world.calls("par"), pushed + 1);
    let page = browser.choose(&page, "eidas-se");
    assert_eq!((page.status(), page.target()), (200, "/"), "{}", page.text());
    let (action, fields) = kept.form().unwrap();
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .finish();
    let resumed = send(&world, &mut browser, &action, FORM, &body);
    press_send(&mut browser, &resumed);
    assert_eq!(world.app.last().body, b"a=1");
    world.finish();
}
