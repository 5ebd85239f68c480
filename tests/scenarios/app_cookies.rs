//! An app that keeps a session of its own, and looks at the identity headers only when that begins: two
//! persons after each other in one browser never see each other's page, however the first one's time ended.

use serde_json::json;

use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::process::await_that;
use crate::harness::{Settings, World};

const NORA: (&str, &str) = ("bankid-high", "the page of 24929935140");
const KARI: (&str, &str) = ("bankid-high-2", "the page of 17838534171");
const HELD: &str = "__Host-portvakt-app-";

/// A gateway before an app with sessions of its own, in a cookie with these attributes.
fn world(attributes: &str) -> World {
    with(Settings::default(), attributes)
}

fn with(settings: Settings, attributes: &str) -> World {
    let world = World::with(settings.app("app_cookies: [JSESSIONID, 'ASPSESSIONID*']"));
    world.app.keep_sessions("JSESSIONID", attributes);
    world
}

/// The names of the cookies that hold an app's.
fn held(browser: &Browser<'_>) -> Vec<String> {
    let cookies = browser.jar.of("localhost");
    cookies.iter().filter(|cookie| cookie.name.starts_with(HELD)).map(|cookie| cookie.name.clone()).collect()
}

/// The provider forgets who is logged in, in this browser alone.
fn forget_at_provider(browser: &mut Browser<'_>) {
    let names: Vec<String> = browser.jar.of("127.0.0.1").iter().map(|cookie| cookie.name.clone()).collect();
    for name in names {
        browser.jar.remove("127.0.0.1", &name);
    }
}

/// Somebody logs in, and sees that the app keeps a session that is theirs.
fn at_work(browser: &mut Browser<'_>, (person, page): (&str, &str)) -> Page {
    let found = browser.log_in("/app/letters", person);
    // Another person than before starts at the start page (`design.md` D13).
    let found = if found.target() == "/" { browser.open("/app/letters") } else { found };
    found.shows(200, page);
    browser.open("/app/other").shows(200, page);
    found
}

#[test]
fn an_app_keeps_its_session_and_gets_its_own_cookie_byte_for_byte() {
    let world = world("; Path=/app; HttpOnly; Domain=localhost");
    let mut browser = world.browser();
    let page = at_work(&mut browser, NORA);
    assert_eq!(world.app.owners().len(), 1);
    let line = world.app.last().header("cookie").unwrap().to_owned();
    assert_eq!(line, "JSESSIONID=app-session-1-\"x y=zx y=zx y=z\"");
    // The browser holds something else, out of reach of scripts, that tells nothing.
    let set: Vec<&str> =
        page.response.head.all("set-cookie").into_iter().filter(|line| line.starts_with(HELD)).collect();
    let [set] = set.as_slice() else { panic!("{set:?}") };
    assert!(set.ends_with("; HttpOnly; Secure; Path=/; SameSite=Lax"), "{set}");
    assert!(!set.contains("app-session") && set.len() < 400, "{set}");
    assert_eq!(page.response.head.one("cache-control"), Some("private, no-store"));
    // Outside of its path the app does not get it, as from a browser; it begins another.
    browser.open("/eu/");
    assert_eq!(world.app.last().header("cookie"), None);
    let line = line.replace("session-1", "session-2");
    browser.jar.put("localhost", "lang", "nb");
    browser.open("/app/");
    assert_eq!(world.app.last().header("cookie"), Some(format!("{line}; lang=nb").as_str()));
    world.finish();
}

#[test]
fn two_persons_after_each_other_never_see_the_others_page() {
    for attributes in ["", "; Path=/", "; Path=/app", "; Path=/; Max-Age=86400"] {
        let world = world(attributes);
        let mut browser = world.browser();
        at_work(&mut browser, NORA);
        browser.log_out("/oauth2/logout");
        browser.open("/optional/").shows(200, "the page of nobody");
        browser.open("/").shows(200, "the page of nobody");
        at_work(&mut browser, KARI);
        // And back again: the first one's session at the app is not found a second time either.
        browser.log_out("/oauth2/logout");
        at_work(&mut browser, NORA);
        assert_eq!(world.app.owners().iter().filter(|owner| *owner == "24929935140").count(), 2);
        world.finish();
    }
}

#[test]
fn a_logout_lets_the_browser_forget_whatever_path_the_app_named() {
    let world = world("; Path=/app/deep/below");
    let mut browser = world.browser();
    browser.log_in("/app/deep/below/x", NORA.0);
    assert_eq!(held(&browser).len(), 1);
    browser.log_out("/oauth2/logout");
    assert_eq!(held(&browser), Vec::<String>::new());
    world.finish();
}

#[test]
fn after_an_end_from_the_provider_nobody_gets_the_page() {
    let world = world("; Path=/");
    let mut browser = world.browser();
    at_work(&mut browser, NORA);
    world.control(&json!({ "end_session": { "person": NORA.0 } }));
    assert_eq!(browser.fetch("/app/letters").status(), 401);
    browser.open("/optional/").shows(200, "the page of nobody");
    at_work(&mut browser, KARI);
    world.finish();
}

#[test]
fn after_a_long_pause_nobody_gets_the_page() {
    let world = with(Settings::default().session("{idle: 2s, absolute: 120m}"), "; Path=/");
    let mut browser = world.browser();
    browser.log_in("/app/letters", NORA.0).shows(200, NORA.1);
    await_that("the session is over", || (browser.fetch("/oauth2/session").status() == 401).then_some(()));
    browser.open("/optional/").shows(200, "the page of nobody");
    assert_eq!(browser.fetch("/app/letters").status(), 401);
    forget_at_provider(&mut browser);
    // Another person starts at the start page (`design.md` D13).
    assert_eq!(browser.log_in("/app/letters", KARI.0).target(), "/");
    browser.open("/app/letters").shows(200, KARI.1);
    world.finish();
}

#[test]
fn a_step_up_by_another_person_does_not_inherit_the_page() {
    let world = world("; Path=/");
    let mut browser = world.browser();
    let first = browser.log_in("/app/letters", "minid-substantial").text();
    forget_at_provider(&mut browser);
    let page = browser.log_in("/high/file", NORA.0);
    // Another person starts at the start page (`design.md` D13).
    assert_eq!(page.target(), "/");
    browser.open("/high/file").shows(200, NORA.1);
    assert_ne!(browser.open("/app/letters").text(), first);
    world.finish();
}

#[test]
fn what_an_attacker_began_before_the_login_is_not_what_the_victim_goes_on_with() {
    let world = world("; Path=/");
    // The attacker has a session at the app, as anybody has without logging in.
    let mut attacker = world.browser();
    attacker.open("/optional/").shows(200, "the page of nobody");
    let planted = held(&attacker).pop().expect("the app's session of nobody is held");
    let value = attacker.cookie(&planted).unwrap();
    let mut victim = world.browser();
    victim.jar.put("localhost", &planted, &value);
    victim.jar.put("localhost", "JSESSIONID", "app-session-1-\"x y=zx y=zx y=z\"");
    victim.open("/optional/").shows(200, "the page of nobody");
    at_work(&mut victim, NORA);
    attacker.open("/optional/").shows(200, "the page of nobody");
    assert!(world.app.owners().contains(&"24929935140".to_owned()));
    // A public page of the same app, during the session and after it, is nobody's.
    victim.open("/public/").shows(200, "the page of nobody");
    at_work_again(&mut victim, NORA.1);
    world.finish();
}

fn at_work_again(browser: &mut Browser<'_>, page: &str) {
    browser.open("/app/other").shows(200, page);
}

#[test]
fn copied_and_replaced_cookies_are_worth_nothing_in_another_session() {
    let world = world("; Path=/");
    let (mut nora, mut kari) = (world.browser(), world.browser());
    at_work(&mut nora, NORA);
    at_work(&mut kari, KARI);
    let name = held(&nora).pop().unwrap();
    assert_eq!(held(&kari), std::slice::from_ref(&name));
    let stolen = nora.cookie(&name).unwrap();
    let own = kari.cookie(&name).unwrap();
    kari.jar.put("localhost", &name, &stolen);
    kari.open("/app/letters").shows(200, KARI.1);
    // The stolen one is gone from the browser, and a new one of its own is there.
    assert_ne!(kari.cookie(&name), Some(stolen.clone()));
    // Doubled, in both orders, and under the app's own name.
    let session = kari.session_cookie().unwrap();
    for line in [
        format!("__Host-portvakt={session}; {name}={own}; {name}={stolen}"),
        format!("__Host-portvakt={session}; {name}={stolen}; {name}={own}"),
        format!("__Host-portvakt={session}; JSESSIONID=app-session-1-\"x y=zx y=zx y=z\""),
        format!("__Host-portvakt={session}; jsessionid=app-session-1-\"x y=zx y=zx y=z\"; {name}={own}"),
        format!("__Host-portvakt={session}; a=\"b, JSESSIONID=app-session-1-x\"; {name}={own}"),
    ] {
        let answer = world.curl("/app/letters", &format!("Cookie: {line}\r\n"));
        assert_eq!((answer.status, answer.text()), (200, KARI.1.to_owned()), "{line}");
    }
    // Without a session of ours nothing is, and two of those are none.
    let answer = world.curl("/optional/", &format!("Cookie: {name}={stolen}\r\n"));
    assert_eq!(answer.text(), "the page of nobody");
    let twice = format!("Cookie: __Host-portvakt={session}; __Host-portvakt={session}; {name}={own}\r\n");
    assert_eq!(world.curl("/optional/", &twice).text(), "the page of nobody");
    world.finish();
}

#[test]
fn an_app_is_told_of_a_logout_and_of_a_new_login() {
    let logout = "app_logout: {path: /app/signout?all=1, method: POST}";
    let world = with(Settings::default().app(logout), "; Path=/app");
    let mut browser = world.browser();
    at_work(&mut browser, NORA);
    assert_eq!(world.app.owners(), ["24929935140"]);
    browser.log_out("/oauth2/logout");
    await_that("the app has ended its session", || world.app.owners().is_empty().then_some(()));
    let told = world.app.received().into_iter().find(|request| request.target() == "/app/signout?all=1");
    let told = told.unwrap();
    assert!(told.head.start.starts_with("POST "));
    assert_eq!(told.header("cookie"), Some("JSESSIONID=app-session-1-\"x y=zx y=zx y=z\""));
    assert_eq!(told.header("host"), Some(world.authority().as_str()));
    assert_eq!(told.identity(), []);
    // Whose session the provider ended, the app is told when somebody logs in again in that browser.
    at_work(&mut browser, NORA);
    world.control(&json!({ "end_session": { "person": NORA.0 } }));
    at_work(&mut browser, KARI);
    let owned_by = |fnr: &str| world.app.owners().iter().any(|owner| owner == fnr);
    await_that("the app has ended the first one", || (!owned_by("24929935140")).then_some(()));
    assert!(owned_by("17838534171"));
    assert_eq!(world.app.errands(), 2);
    // Nobody's logout is none of the app's business.
    world.browser().ask("/oauth2/logout", &Ask::NAVIGATION);
    assert_eq!(world.app.errands(), 2);
    world.finish();
}

#[test]
fn an_app_ends_its_session_itself_and_other_apps_get_nothing() {
    let mut settings = Settings::default();
    settings = settings.route("{path: '/second/**', access: login, upstream: app, audience: second}");
    let world = with(settings, "; Path=/");
    let mut browser = world.browser();
    at_work(&mut browser, NORA);
    browser.open("/second/").shows(200, NORA.1);
    assert_eq!((held(&browser).len(), world.app.owners().len()), (2, 2));
    world.app.reply(
        "/app/bye",
        "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=; Path=/; Max-Age=0\r\nSet-Cookie: lang=nb\r\nContent-Length: 0\r\n\r\n",
    );
    let page = browser.open("/app/bye");
    assert!(page.response.head.all("set-cookie").contains(&"lang=nb"));
    assert_eq!(held(&browser).len(), 1);
    world.finish();
}

/// The app knows neither the prefix of its public path nor its public name.
#[test]
fn behind_a_prefix_that_the_app_does_not_know_two_persons_never_see_the_others_page() {
    for (attributes, reach) in [
        ("", "/old/a/c"),
        ("; Path=/", "/old/z"),
        ("; Path=/; Domain=127.0.0.1", "/old"),
        ("; Path=/a/", "/old/a/c"),
        ("; Path=/a", "/old/a"),
    ] {
        let settings =
            Settings::default().route("{path: '/old/**', access: login, upstream: app, strip_prefix: /old}");
        let world = with(settings, attributes);
        let mut browser = world.browser();
        for (person, page) in [NORA, KARI, NORA] {
            let known = world.app.owners().len();
            browser.log_in("/old/a/b", person).shows(200, page);
            assert_eq!(world.app.last().target(), "/a/b");
            assert_eq!(world.app.owners().len(), known + 1, "{attributes}: a new session of the app");
            browser.open(reach).shows(200, page);
            assert_eq!(world.app.owners().len(), known + 1, "{attributes}: it goes on");
            let line = world.app.last().header("cookie").unwrap_or_default().to_owned();
            assert!(line.starts_with("JSESSIONID=app-session-"), "{attributes}: {line}");
            // Under the app's own path, where the cookie is not for, it begins another.
            browser.open("/app/a/b").shows(200, page);
            assert_eq!(world.app.owners().len(), known + 2, "{attributes}: another prefix");
            browser.log_out("/oauth2/logout");
            assert_eq!(held(&browser), Vec::<String>::new());
        }
        world.finish();
    }
}
