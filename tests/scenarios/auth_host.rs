//! Hosts whose logins another host answers for, so that the provider knows that one alone (`design.md` D13; `threats.md` OP-1,
//! RT-6).

use url::Url;

use crate::harness::browser::Browser;
use crate::harness::{Settings, World};

const NORA: (&str, &str) = ("bankid-high", "24929935140");
const SESSION: &str = "__Host-portvakt";
const SIGNED_OUT: &str = "Du er logget ut";

/// `localhost` is what the provider knows; `a` and `b` log in by way of it.
fn world() -> (World, [String; 2]) {
    let mut world = World::start();
    let port = world.url("/").port().unwrap();
    let hosts = ["a.localhost", "b.localhost"].map(|name| format!("http://{name}:{port}"));
    world.settings.hosts = hosts
        .iter()
        .map(|origin| {
            format!(
                "  - origin: '{origin}'\n    provider: idporten\n    auth_host: '{}'\n    routes:\n      \
                 - {{path: '/app/**', access: login, upstream: app}}\n",
                world.origin()
            )
        })
        .collect();
    world.write_configuration();
    world.restart_gateway();
    (world, hosts)
}

fn is_logged_in_at(browser: &Browser<'_>, host: &str) -> bool {
    browser.jar.of(host).iter().any(|cookie| cookie.name == SESSION)
}

#[test]
fn one_host_answers_for_the_logins_and_logouts_of_others() {
    let (world, [a, b]) = world();
    let mut browser = world.browser();
    let page = browser.log_in(&format!("{a}/app/letters?page=2"), NORA.0);
    assert_eq!((page.status(), page.url.as_str()), (200, format!("{a}/app/letters?page=2").as_str()));
    assert_eq!(world.app.last().header("x-identity-fnr"), Some(NORA.1));
    let relayed = |url: &&Url| url.path() == "/oauth2/callback" && url.host_str() == Some("localhost");
    assert_eq!(browser.history.iter().filter(relayed).count(), 1, "by way of the auth host");
    // The session is of the host that asked, and of no other.
    assert!(is_logged_in_at(&browser, "a.localhost"));
    assert!(!is_logged_in_at(&browser, "localhost") && !is_logged_in_at(&browser, "b.localhost"));
    assert_eq!(browser.fetch(&format!("{b}/app/")).status(), 401);
    // The next host logs in without a page, by the provider's own session.
    let logins = world.calls("login");
    assert_eq!(browser.open(&format!("{b}/app/")).status(), 200);
    assert_eq!(world.calls("login"), logins);
    // The way out leads back to the host where it began; the provider ends the sessions of all.
    let out = browser.log_out(&format!("{a}/oauth2/logout"));
    out.shows(200, SIGNED_OUT);
    assert_eq!(out.url.host_str(), Some("a.localhost"));
    for origin in [&a, &b] {
        assert_eq!(browser.fetch(&format!("{origin}/app/")).status(), 401, "{origin}");
    }
    world.finish();
}

#[test]
fn an_answer_is_sent_on_to_nobody_but_the_host_that_asked() {
    let (mut world, [a, b]) = world();
    let mut browser = world.browser();
    let callback = browser.callback(&format!("{a}/app/"), NORA.0);
    assert_eq!(callback.host_str(), Some("localhost"));
    let (state, marked) = {
        let of = |url: &Url| url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let marked = of(&callback);
        (marked.split('.').next().unwrap().to_owned(), marked)
    };
    // A state that names nobody, or was sealed for another place, leads nowhere.
    for odd in [
        state.clone(),
        format!("{state}.aHR0cDovL2V2aWwudGVzdA"),
        format!("{state}.http://evil.test"),
        format!("{marked}x"),
    ] {
        let page = world.browser().step(&format!("/oauth2/callback?code=x&state={odd}"));
        assert_eq!((page.status(), page.response.location()), (400, None), "{odd}");
        let page = world.browser().step(&format!("/oauth2/logout/callback?state={odd}"));
        assert_eq!((page.status(), page.response.location()), (200, None), "{odd}");
    }
    // At a host that is no auth host the name in it means nothing.
    let page = world.browser().step(&format!("{b}/oauth2/callback?code=x&state={marked}"));
    assert_eq!((page.status(), page.response.location()), (400, None));
    // Another browser is sent on, and is nobody there.
    let mut thief = world.browser();
    let page = thief.step(callback.as_str());
    assert!(page.response.location().unwrap().starts_with(&format!("{a}/oauth2/callback?")));
    assert_eq!(thief.open(callback.as_str()).status(), 400);
    assert!(!is_logged_in_at(&thief, "a.localhost") && !is_logged_in_at(&thief, "localhost"));
    // Who asked is logged in where he asked, once.
    assert_eq!(browser.open(callback.as_str()).status(), 200);
    assert!(is_logged_in_at(&browser, "a.localhost"));
    // A host that the file has no more gets nothing.
    world.settings = Settings { hosts: String::new(), ..world.settings.clone() };
    world.write_configuration();
    world.restart_gateway();
    let page = world.browser().step(callback.as_str());
    assert_eq!((page.status(), page.response.location()), (400, None));
    world.finish();
}
