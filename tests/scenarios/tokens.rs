//! People's access tokens for the apps that call APIs as them: kept by the browser, exchanged, forwarded where a route
//! says so, and ended (dossier 2.8; `threats.md` OP-8; `docs/decisions/008-access-tokens.md`).

mod ending;
mod hostile;
mod places;
mod replicas;
mod store;

use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::harness::browser::{Ask, Browser};
use crate::harness::http::{Response, exchange};
use crate::harness::process::{await_that, program};
use crate::harness::{Settings, World};

const COOKIE: &str = "__Host-portvakt-tokens";
const NORA: &str = "24929935140";

/// `/token/**` gets the person's token, which lives on after a logout if nobody ends it.
fn settings() -> Settings {
    Settings { refreshes: true, ..Settings::default() }
        .provider("access_tokens: true")
        .provider("scopes: [openid, profile, 'portvakt:api']")
        .route("{path: '/token/**', access: login, upstream: app, access_token: true}")
}

/// Somebody logged in whose token is past its time: the next request for it exchanges it.
fn with_an_old_token(world: &World) -> Browser<'_> {
    world.control(&json!({"access_token_seconds": 0}));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    world.control(&json!({"access_token_seconds": 120}));
    browser
}

/// The token that the app got last.
fn bearer(world: &World) -> String {
    let received = world.app.last();
    assert_eq!(received.head.all("authorization").len(), 1, "{:?}", received.head);
    let value = received.header("authorization").unwrap();
    let token = value.strip_prefix("Bearer ").unwrap().to_owned();
    world.secrets.add(&token);
    token
}

/// What the provider says of a token; null: it is worth nothing.
fn userinfo(world: &World, token: &str) -> Value {
    let head = format!(
        "GET /idporten/userinfo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let response = exchange(world.simulator_address(), head.as_bytes());
    if response.status == 200 { response.json() } else { Value::Null }
}

/// How many logins the provider would refresh.
fn refreshable(world: &World) -> Value {
    world.simulator_state()["issuers"]["idporten"]["refreshable"].clone()
}

/// What a browser sends as `Cookie`.
fn cookies(browser: &Browser<'_>, world: &World) -> String {
    format!("Cookie: {}\r\n", browser.jar.line(&world.url("/token/"), true).unwrap())
}

/// The names of the cookies that an answer sets or deletes, with whether it deletes them.
fn set(response: &Response) -> Vec<(String, bool)> {
    let named =
        |line: &&str| (line.split('=').next().unwrap_or_default().to_owned(), line.contains("Max-Age=0"));
    response.head.all("set-cookie").iter().map(named).collect()
}

fn metric(world: &World, event: &str) -> u64 {
    let metrics = world.admin("/metrics").text();
    let labels = format!("event=\"{event}\",provider=\"idporten\"");
    let line = metrics.lines().find(|line| line.contains("access_tokens_total") && line.contains(&labels));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn the_app_gets_the_persons_token_where_its_route_says_so_and_nowhere_else() {
    let world = World::with(settings().provider("resource: 'https://api.example.no'"));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/letters?x=1", "bankid-high").status(), 200);
    let token = bearer(&world);
    let said = userinfo(&world, &token);
    assert_eq!((&said["pid"], &said["aud"]), (&json!(NORA), &json!("https://api.example.no")));
    let received = world.app.last();
    assert_eq!((received.header("cookie"), received.header("x-identity-fnr")), (None, Some(NORA)));
    let kept = browser.jar.of("localhost").into_iter().find(|cookie| cookie.name == COOKIE).unwrap();
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(kept.attributes.contains(attribute), "{}", kept.attributes);
    }
    assert!(!kept.value.contains(&token));
    // What a client sends itself is never taken for it, and never beside it.
    let own = "Authorization: Bearer of-the-client\r\nauthorization: Basic YTpi\r\n";
    assert_eq!(world.curl("/token/", &format!("{}{own}", cookies(&browser, &world))).status, 200);
    assert_eq!(bearer(&world), token);
    let count = world.app.count();
    assert_eq!(world.curl("/token/", own).status, 401);
    assert_eq!(world.curl("/token/?access_token=x", &cookies(&browser, &world)).status, 400);
    assert_eq!(world.app.count(), count);
    let asked = format!("{}/token/?access_token=x", world.origin());
    let explained = Command::new(program("portvakt"))
        .args(["explain", "--config"])
        .arg(world.configuration())
        .args(["--as", "national:high", "GET", &asked])
        .output()
        .unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.starts_with("refused: 400"), "{explained}");
    // Elsewhere nobody hears of it.
    for path in ["/app/", "/optional/", "/public/", "/"] {
        assert_eq!(browser.open(path).status(), 200);
        assert_eq!(world.app.last().header("authorization"), None, "{path}");
        assert!(!String::from_utf8_lossy(&world.app.last().raw).contains(&token));
    }
    assert_eq!((world.calls("refresh"), metric(&world, "kept")), (0, 1));
    world.finish();
}

#[test]
fn without_the_option_no_token_is_kept() {
    let world = World::with(Settings { refreshes: true, ..Settings::default() });
    let mut browser = world.browser();
    let page = browser.log_in("/app/", "bankid-high");
    assert_eq!(page.status(), 200);
    assert_eq!(world.app.last().header("authorization"), None);
    let kept: Vec<_> = browser.jar.of("localhost").iter().map(|cookie| cookie.name.clone()).collect();
    assert!(!kept.iter().any(|name| name.contains("tokens")), "{kept:?}");
    world.finish();
}

#[test]
fn a_token_is_exchanged_before_it_ends_and_the_browser_gets_the_next() {
    let world = World::with(settings());
    world.control(&json!({"access_token_seconds": 12}));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    let (first, kept) = (bearer(&world), browser.cookie(COOKIE));
    let second = await_that("another token", || {
        assert_eq!(browser.fetch("/token/").status(), 200);
        let token = bearer(&world);
        assert!(!userinfo(&world, &token).is_null(), "the app got a token that was over");
        (token != first).then_some(token)
    });
    assert_eq!(userinfo(&world, &second)["pid"], NORA);
    assert_ne!(browser.cookie(COOKIE), kept);
    assert_eq!((world.calls("refresh"), metric(&world, "exchanged")), (1, 1));
    assert_eq!(browser.fetch("/token/").status(), 200);
    assert_eq!((bearer(&world), world.calls("refresh")), (second, 1));
    world.finish();
}

#[test]
fn the_reply_that_brings_new_tokens_is_nobody_elses_and_the_token_is_in_no_reply() {
    let world = World::with(settings());
    world.app.reply(
        "/token/cached",
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut browser = with_an_old_token(&world);
    let page = browser.fetch("/token/cached");
    let token = bearer(&world);
    assert_eq!(page.response.header("cache-control"), Some("private, no-store"));
    assert_eq!(set(&page.response)[0], (COOKIE.to_owned(), false));
    let whole = format!("{:?}{}", page.response.head, page.text());
    assert!(!whole.contains(&token));
    // An app that cannot be reached costs nobody the new tokens.
    let mut browser = with_an_old_token(&world);
    world.app.stop();
    let page = browser.fetch("/token/");
    assert_eq!(page.status(), 502);
    assert_eq!(set(&page.response)[0], (COOKIE.to_owned(), false));
    world.unjudged_count();
}

#[test]
fn twenty_requests_at_once_are_one_exchange() {
    let world = World::with(settings());
    let browser = with_an_old_token(&world);
    world.control(&json!({"delay_milliseconds": {"refresh": 300}}));
    let sent = cookies(&browser, &world);
    let answers: Vec<Response> = thread::scope(|scope| {
        let ask = || scope.spawn(|| world.curl("/token/", &sent));
        (0..20).map(|_| ask()).collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(world.calls("refresh"), 1);
    let token = bearer(&world);
    let received = world.app.received();
    let of_all = received.iter().filter(|one| one.target() == "/token/");
    assert!(of_all.clone().all(|one| one.header("authorization") == Some(&format!("Bearer {token}"))));
    assert_eq!(of_all.count(), 20);
    // Each reply brings the same cookie, whichever comes last.
    let first = answers[0].head.all("set-cookie");
    assert!(!first.is_empty() && answers.iter().all(|answer| answer.head.all("set-cookie") == first));
    first.iter().for_each(|line| world.secrets.add_set_cookie(line));
    world.finish();
}

#[test]
fn a_reply_that_is_lost_costs_nobody_anything() {
    let world = World::with(settings());
    let mut browser = with_an_old_token(&world);
    let old = cookies(&browser, &world);
    // The browser never sees the answers.
    for _ in 0..3 {
        assert_eq!(world.curl("/token/", &old).status, 200);
    }
    let token = bearer(&world);
    assert_eq!((world.calls("refresh"), refreshable(&world)), (1, json!(1)));
    let page = browser.fetch("/token/");
    assert_eq!((page.status(), bearer(&world)), (200, token));
    assert_eq!(set(&page.response)[0], (COOKIE.to_owned(), false));
    assert_eq!(browser.fetch("/token/").response.head.all("set-cookie"), Vec::<&str>::new());
    assert_eq!(world.calls("refresh"), 1);
    world.finish();
}

#[test]
fn a_client_that_goes_away_does_not_stop_the_exchange() {
    use std::io::Write as _;
    let world = World::with(settings());
    let mut browser = with_an_old_token(&world);
    world.control(&json!({"delay_milliseconds": {"refresh": 500}}));
    let head =
        format!("GET /token/ HTTP/1.1\r\nHost: {}\r\n{}\r\n", world.authority(), cookies(&browser, &world));
    let mut connection = crate::harness::http::connect(world.address());
    connection.write_all(head.as_bytes()).unwrap();
    await_that("the exchange begins", || (world.calls("refresh") == 1).then_some(()));
    drop(connection);
    world.control(&json!({"delay_milliseconds": {"refresh": 0}}));
    assert_eq!(browser.fetch("/token/").status(), 200);
    assert!(!userinfo(&world, &bearer(&world)).is_null());
    assert_eq!((world.calls("refresh"), refreshable(&world)), (1, json!(1)));
    world.unjudged_count();
}

#[test]
fn a_token_that_cannot_be_exchanged_is_brought_by_a_new_login_that_nobody_sees() {
    let world = World::with(Settings { refreshes: false, ..settings() });
    let mut browser = with_an_old_token(&world);
    // A script is told, and the session lives.
    let page = browser.fetch("/token/data");
    assert_eq!(page.status(), 401);
    assert_eq!(page.response.json()["error"], "login_required");
    assert_eq!(browser.fetch("/app/").status(), 200);
    let logins = world.calls("token");
    let page = browser.open("/token/letters?x=1");
    assert_eq!((page.status(), page.target()), (200, "/token/letters?x=1"));
    assert_eq!(
        (world.calls("token"), userinfo(&world, &bearer(&world))["pid"].clone()),
        (logins + 1, json!(NORA))
    );
    // A form that somebody must log in for is kept, as any other.
    let mut browser = with_an_old_token(&world);
    let home = world.url("/token/");
    let form = ("application/x-www-form-urlencoded", "a=b");
    let ask = Ask { method: "POST", from: Some(&home), body: Some(form), ..Ask::NAVIGATION };
    let count = world.app.count();
    let page = browser.ask("/token/form", &ask);
    assert_eq!((page.status(), world.app.count()), (401, count), "{}", page.text());
    world.finish();
}

#[test]
fn where_the_file_asks_for_none_any_more_they_are_forgotten_with_the_next_login() {
    let mut world = World::with(settings());
    let (jar, token) = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
        (browser.jar.clone(), bearer(&world))
    };
    world.settings.routes.retain(|route| !route.contains("access_token"));
    world.settings.routes.push("{path: '/token/**', access: login, upstream: app}".to_owned());
    world.settings.provider.retain(|line| !line.contains("access_tokens"));
    world.write_configuration();
    world.restart_gateway();
    let mut browser = world.browser();
    browser.jar = jar;
    assert_eq!(browser.fetch("/token/").status(), 200);
    assert_eq!(world.app.last().header("authorization"), None);
    let page = browser.open("/oauth2/login?prompt=login&redirect=/token/");
    browser.choose(&page, "bankid-high");
    assert_eq!(browser.cookie(COOKIE), None);
    assert!(!userinfo(&world, &token).is_null());
    world.finish();
}

#[test]
fn tokens_that_do_not_fit_are_refused_where_they_are_needed_and_only_there() {
    let world = World::with(settings());
    world.control(&json!({"access_token_padding": 9_000}));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", "bankid-high").status(), 200);
    for _ in 0..2 {
        let page = browser.open("/token/");
        page.shows(503, "Vi kan ikke vise siden akkurat nå");
        assert_eq!(page.response.header("retry-after"), Some("60"));
    }
    assert_eq!(browser.fetch("/token/").response.json()["error"], "access_token_missing");
    assert_eq!(browser.fetch("/app/").status(), 200);
    assert_eq!((metric(&world, "not_kept"), world.calls("token")), (1, 1));
    assert!(world.errors().contains("they do not fit into cookies"));
    await_that("they are ended at the provider", || (refreshable(&world) == json!(0)).then_some(()));
    // Several cookies are no trouble.
    world.control(&json!({"access_token_padding": 2_500, "refresh_token_padding": 3_000}));
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/token/", "bankid-high").status(), 200);
    assert!(bearer(&world).len() > 2_500 && browser.cookie(&format!("{COOKIE}-1")).is_some());
    // So long is no other text of these.
    world.secrets.add(&"x".repeat(60));
    world.secrets.add(&"y".repeat(60));
    world.control(&json!({"access_token_padding": 0, "refresh_token_padding": 0}));
    assert_eq!(browser.open("/oauth2/login?prompt=login&redirect=/token/").status(), 200);
    world.finish();
}
