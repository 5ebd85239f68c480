//! What a person does with the gateway's own pages: changes their language.
//!
//! **Invariant:** a page says the same in every language, and only what the gateway said itself.

use url::Url;

use crate::harness::browser::Ask;
use crate::harness::{Settings, World};

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
