//! A route that leaves a choice: one page with the ways in, or none where there is nothing to ask; who logged in last is
//! who the app is told of (`design.md` D13; `threats.md` CK-10, OP-13, BR-3).

use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::harness::browser::{Ask, Browser, Page};
use crate::harness::{Settings, World, run_keys};

const CHOICE: &str = "__Host-portvakt-choice";
const HEADING: &str = "<h1>Hvordan vil du logge inn?</h1>";
const DETAILS: &str = "[{type: 'ansattporten:altinn:service', resource: 'urn:altinn:resource:2480:40'}]";
const NORA: &str = "24929935140";
const OLA: &str = "10915596784";

/// `/both/**` by ID-porten or Ansattporten, `/either/**` by a Norwegian or a European eID.
fn world() -> World {
    let both = format!(
        "{{path: '/both/**', access: login, choose: [idporten, ansattporten], authorization_details: {DETAILS}, \
         require: {{level: substantial}}, upstream: app}}"
    );
    let either = "{path: '/either/**', access: login, choose: ['idporten:national', 'idporten:eidas'], \
                  require: {level: substantial, kinds: [national, eidas]}, upstream: app}";
    world_with(&[both, either.to_owned()])
}

/// With these routes and both providers.
pub(crate) fn world_with(routes: &[String]) -> World {
    let mut world = World::with(Settings::default());
    world.settings.providers = format!(
        "  ansattporten:\n    profile: ansattporten\n    issuer: '{}/ansattporten'\n    client_id: staff\n    \
         label: {{nb: Jobb & sånt, en: Work}}\n",
        world.simulator(),
    );
    world.settings.routes.extend_from_slice(routes);
    world.write_configuration();
    run_keys(world.folder(), &["new", "client-ansattporten"]);
    let jwks = run_keys(world.folder(), &["list", "client-ansattporten", "--jwks"]);
    let at = |path: &str| format!("{}/oauth2/{path}", world.origin());
    world.control(&json!({"client": {
        "issuer": "ansattporten",
        "client_id": "staff",
        "jwks": serde_json::from_str::<Value>(&jwks).unwrap(),
        "redirect_uris": [at("callback")],
        "post_logout_redirect_uris": [at("logout/callback")],
        "frontchannel_logout_uri": at("logout/frontchannel"),
        "backchannel_logout_uri": at("logout/backchannel"),
    }}));
    world.restart_gateway();
    world.await_ready();
    world
}

/// Presses the button of a way, and goes where the page leads.
fn press(browser: &mut Browser<'_>, page: &Page, way: &str, remember: bool) -> Page {
    let fields = [("way", way), ("remember", "yes")];
    let onward = browser.submit(page, if remember { &fields } else { &fields[..1] });
    onward.shows(200, "<h1>Du blir sendt videre</h1>");
    let to = onward.links().remove(0);
    assert!(
        onward.text().contains("<meta http-equiv=\"refresh\" content=\"0; url=/oauth2/login?"),
        "{}",
        onward.text()
    );
    browser.open(&to)
}

/// Who the app was told of, and by whom.
fn told(world: &World) -> (String, String) {
    let last = world.app.last();
    let of = |name| last.header(name).unwrap_or_default().to_owned();
    (of("x-identity-provider"), of("x-identity-fnr"))
}

fn as_told(provider: &str, fnr: &str) -> (String, String) {
    (provider.to_owned(), fnr.to_owned())
}

#[test]
fn a_person_chooses_between_two_ways_and_the_latest_login_counts() {
    let world = world();
    let mut browser = world.browser();
    let page = browser.open("/both/x?y=1");
    page.shows(200, HEADING);
    for words in ["<strong>ID-porten</strong>", "<strong>Jobb &#38; sånt</strong>", "BankID"] {
        page.shows(200, words);
    }
    let page = press(&mut browser, &page, "ansattporten", false);
    let page = browser.choose(&page, "employee");
    assert_eq!((page.status(), page.target()), (200, "/both/x?y=1"), "{}", page.text());
    assert_eq!(told(&world), as_told("ansattporten", OLA));
    assert_eq!(world.app.last().header("x-identity-org"), Some("310123455"));
    assert_eq!(browser.cookie(CHOICE), None);
    // A link of the app's leads to one of them at once.
    let page = browser.open("/oauth2/login?redirect=/both/x&provider=idporten");
    let page = browser.choose(&page, "bankid-high");
    assert_eq!((page.status(), page.target()), (200, "/both/x"), "{}", page.text());
    assert_eq!(told(&world), as_told("idporten", NORA));
    assert_eq!(browser.open("/both/z").status(), 200);
    assert_eq!(told(&world), as_told("idporten", NORA));
    // Back again: who was the employee logs in anew, by what the provider remembers.
    let page = browser.open("/oauth2/login?redirect=/both/x&provider=ansattporten");
    let page = if page.target() == "/both/x" { page } else { browser.choose(&page, "employee") };
    assert_eq!((page.status(), told(&world)), (200, as_told("ansattporten", OLA)));
    // Ended by its provider, the latest login leaves nobody: no older one takes its place.
    world.control(&json!({"end_session": {"person": "employee"}}));
    let count = world.app.count();
    browser.open("/both/x").shows(200, HEADING);
    assert_eq!(browser.fetch("/both/x").status(), 401);
    assert_eq!(world.app.count(), count);
    assert_eq!(browser.open("/app/x").status(), 200);
    assert_eq!(told(&world), as_told("idporten", NORA));
    world.finish();
}

/// A logout of the latest login alone, as the gateway's own pages offer it.
#[test]
fn who_logs_out_of_the_latest_login_is_not_taken_for_who_was_there_before() {
    let world = world();
    let mut browser = world.browser();
    let log_in = |browser: &mut Browser<'_>, provider: &str, person: &str| {
        let page = browser.open(&format!("/oauth2/login?redirect=/both/x&provider={provider}"));
        let page = if page.target() == "/both/x" { page } else { browser.choose(&page, person) };
        assert_eq!((page.status(), page.target()), (200, "/both/x"), "{}", page.text());
    };
    log_in(&mut browser, "idporten", "bankid-high");
    log_in(&mut browser, "ansattporten", "employee");
    assert_eq!(told(&world), as_told("ansattporten", OLA));
    browser.log_out("/oauth2/logout?session=ansattporten").shows(200, "Du er logget ut");
    let count = world.app.count();
    browser.open("/both/x").shows(200, HEADING);
    assert_eq!(browser.fetch("/both/x").status(), 401);
    assert_eq!(world.app.count(), count);
    // Elsewhere the other session is as it was.
    assert_eq!(browser.open("/app/x").status(), 200);
    assert_eq!(told(&world), as_told("idporten", NORA));
    // The next login counts again, and a logout of all leaves nothing.
    log_in(&mut browser, "idporten", "bankid-high");
    assert_eq!(browser.open("/both/y").status(), 200);
    assert_eq!(told(&world), as_told("idporten", NORA));
    browser.open("/oauth2/logout");
    assert_eq!((browser.session_cookie(), browser.cookie("__Host-portvakt-ansattporten")), (None, None));
    world.finish();
}

#[test]
fn a_kind_of_login_is_a_way_too() {
    let world = world();
    let mut browser = world.browser();
    let page = browser.open("/either/x");
    page.shows(200, "<strong>Europeisk eID</strong>");
    let page = press(&mut browser, &page, "idporten:eidas", false);
    let page = browser.choose(&page, "eidas-se");
    assert_eq!((page.status(), page.target()), (200, "/either/x"), "{}", page.text());
    assert_eq!(world.app.last().header("x-identity-kind"), Some("eidas"));
    // Another way is a link away where this one does not do; the provider asks again.
    let page = browser.open("/app/x");
    page.shows(403, "<h1>Her trengs norsk fødselsnummer eller D-nummer</h1>");
    for place in
        ["/either/x&kind=employee", "/either/x&kind=machine", "/either/x&kind=x", "/app/x&kind=eidas"]
    {
        assert_eq!(browser.step(&format!("/oauth2/login?redirect={place}")).status(), 400, "{place}");
    }
    // An app's link may name the kind: nobody is asked.
    let mut browser = world.browser();
    let page = browser.open("/oauth2/login?redirect=/either/x&kind=national");
    let page = browser.choose(&page, "bankid-high");
    assert_eq!((page.status(), world.app.last().header("x-identity-kind")), (200, Some("national")));
    world.finish();
}

#[test]
fn a_choice_is_remembered_only_when_the_person_wishes_and_is_forgotten_when_they_wish() {
    let world = world();
    let mut browser = world.browser();
    let page = browser.open("/both/x");
    assert!(!page.text().contains(" checked"));
    press(&mut browser, &page, "ansattporten", true);
    let remembered = browser.cookie(CHOICE).expect("the choice is remembered");
    assert!(
        remembered.ends_with(".ansattporten") && remembered.len() == "12345678.ansattporten".len(),
        "{remembered}"
    );
    // The next time nobody is asked; another set of ways is another question.
    let page = browser.open("/both/x");
    assert!(browser.at_login_page(&page) && page.url.path().starts_with("/ansattporten"), "{}", page.url);
    browser.open("/either/x").shows(200, HEADING);
    // Who wants to be asked is asked, and may let it be forgotten.
    let page = browser.open("/oauth2/login?redirect=/both/x&choose=anew");
    page.shows(200, HEADING);
    assert!(page.text().contains(" checked"));
    // The language is a choice of its own.
    let nynorsk = page.links().into_iter().find(|link| link.contains("locale=nn")).unwrap();
    browser.open(&nynorsk).shows(200, "<h1>Korleis vil du logge inn?</h1>");
    browser.open("/oauth2/language?to=nb");
    press(&mut browser, &page, "idporten", false);
    assert_eq!(browser.cookie(CHOICE), None);
    browser.open("/both/x").shows(200, HEADING);
    // A cookie that says what is no way is none.
    for odd in ["x.y", &remembered.replace("ansattporten", "nowhere"), "~~"] {
        let ask = Ask { fields: &format!("Cookie: {CHOICE}={odd}\r\n"), ..Ask::NAVIGATION };
        let page = browser.ask("/oauth2/login?redirect=/both/x", &ask);
        page.shows(200, HEADING);
    }
    world.finish();
}

#[test]
fn nobody_else_chooses_and_a_choice_leads_nowhere_else() {
    let world = world();
    let mut browser = world.browser();
    let elsewhere = Url::parse("http://127.0.0.1:9/").unwrap();
    let sibling = world.url("/");
    let send = |browser: &mut Browser<'_>, from: Option<&Url>, pairs: &[(&str, &str)]| {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let body = Some(("application/x-www-form-urlencoded", body.as_str()));
        browser.ask("/oauth2/choose", &Ask { method: "POST", from, body, ..Ask::NAVIGATION })
    };
    let wanted = [("redirect", "/both/x"), ("way", "idporten"), ("remember", "yes")];
    assert_eq!(send(&mut browser, Some(&elsewhere), &wanted).status(), 403);
    assert_eq!(send(&mut browser, None, &wanted).status(), 403);
    assert_eq!(browser.cookie(CHOICE), None);
    for pairs in [
        &[("redirect", "/both/x")][..],
        &[("redirect", "/both/x"), ("way", "nowhere")],
        &[("redirect", "/both/x"), ("way", "idporten"), ("way", "ansattporten")],
        // These places leave no choice.
        &[("redirect", "/app/x"), ("way", "idporten")],
        &[("redirect", "//evil.example/both/x"), ("way", "idporten")],
        &[("redirect", "https://evil.example/both/x"), ("way", "idporten")],
    ] {
        assert_eq!(send(&mut browser, Some(&sibling), pairs).status(), 400, "{pairs:?}");
    }
    for redirect in ["//evil.example/both/x", "https://evil.example/", "/\\evil.example"] {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("redirect", redirect).finish();
        let page = browser.step(&format!("/oauth2/login?{query}&choose=anew"));
        let location = page.response.location().unwrap_or_default();
        assert!(!location.contains("evil") && !page.text().contains("evil"), "{redirect}: {location}");
    }
    let page = send(&mut browser, Some(&sibling), &wanted);
    page.shows(200, "/oauth2/login?redirect=%2Fboth%2Fx&#38;session=idporten");
    assert_eq!(browser.step("/oauth2/choose").status(), 405);
    world.finish();
}
