//! Tokens at the other places where sessions are: several hosts, a shared domain, an employee's organisations, WebSockets.

use super::*;

const ROUTE: &str = "{path: '/token/**', access: login, upstream: app, access_token: true}";

/// Two more hosts, who log in at the world's own: on the first a route asks for tokens, on the second none does.
fn two_hosts(world: &mut World, names: [&str; 2], who: &str) -> [String; 2] {
    let (port, by) = (world.url("/").port().unwrap(), world.origin());
    let hosts = names.map(|name| format!("http://{name}:{port}"));
    let routes = [ROUTE, "{path: '/app/**', access: login, upstream: app}"];
    world.settings.hosts = hosts
        .iter()
        .zip(routes)
        .map(|(origin, route)| {
            format!("  - {{origin: '{origin}', {who}, auth_host: '{by}', routes: [{route}]}}\n")
        })
        .collect();
    world.write_configuration();
    world.restart_gateway();
    hosts
}

#[test]
fn each_host_keeps_its_own_and_only_where_somebody_asks() {
    let mut world = World::with(settings());
    let [a, b] = two_hosts(&mut world, ["a.localhost", "b.localhost"], "provider: idporten");
    let mut browser = world.browser();
    assert_eq!(browser.log_in(&format!("{a}/token/"), "bankid-high").status(), 200);
    assert_eq!(userinfo(&world, &bearer(&world))["pid"], NORA);
    assert_eq!(browser.open(&format!("{b}/app/")).status(), 200);
    assert_eq!(world.app.last().header("authorization"), None);
    let of = |browser: &Browser<'_>, host: &str| {
        let kept = browser.jar.of(host);
        kept.iter().find(|cookie| cookie.name == COOKIE).map(|cookie| cookie.value.clone())
    };
    assert!(of(&browser, "a.localhost").is_some());
    assert_eq!(of(&browser, "b.localhost"), None, "nobody asks there");
    assert_eq!(of(&browser, "localhost"), None, "the auth host keeps nothing");
    // What was sealed for one host opens on no other, with whatever session.
    assert_eq!(browser.open("/app/").status(), 200);
    let session = browser.session_cookie().unwrap();
    let stolen = of(&browser, "a.localhost").unwrap();
    let sent = format!("Cookie: __Host-portvakt={session}; {COOKIE}={stolen}\r\n");
    assert_eq!(world.curl("/token/", &sent).status, 401);
    world.finish();
}

#[test]
fn hosts_that_share_a_session_share_its_tokens() {
    let mut world = World::with(Settings {
        top: "sessions: {citizen: {provider: idporten, cookie_domain: test.localhost}}\n".to_owned(),
        ..settings()
    });
    let [a, b] = two_hosts(&mut world, ["a.test.localhost", "b.test.localhost"], "session: citizen");
    let mut browser = world.browser();
    // Logged in where nobody asks for a token, it is there where somebody does.
    assert_eq!(browser.log_in(&format!("{b}/app/"), "bankid-high").status(), 200);
    let logins = world.calls("token");
    assert_eq!(browser.open(&format!("{a}/token/")).status(), 200);
    assert_eq!(
        (userinfo(&world, &bearer(&world))["pid"].clone(), world.calls("token")),
        (json!(NORA), logins)
    );
    let names: Vec<_> = browser.jar.of("test.localhost").iter().map(|cookie| cookie.name.clone()).collect();
    assert!(names.contains(&"__Secure-portvakt-tokens-citizen".to_owned()), "{names:?}");
    world.finish();
}

/// Employees choose for whom they act on `/job/**`; `/token/**` takes them for nobody.
fn of_employees() -> World {
    let details = "[{type: 'ansattporten:altinn:resource', resource: 'urn:altinn:resource:proeve', \
                   allow_multiple_organizations: true}]";
    let job = format!(
        "{{path: '/job/**', access: login, require: {{level: substantial}}, authorization_details: {details}, \
         choose_organisation: true, upstream: app, access_token: true}}"
    );
    let token = "{path: '/token/**', access: login, upstream: app, access_token: true}";
    let settings = Settings { refreshes: true, ..Settings::default() }.provider("access_tokens: true");
    World::with(settings.at("ansattporten", "ansattporten", &[&job, token]))
}

/// The session takes another id meanwhile: what the exchange brings goes with it, and no refresh token is used twice.
#[test]
fn an_organisation_that_is_chosen_while_the_token_is_exchanged_costs_no_token() {
    let world = of_employees();
    world.control(&json!({"access_token_seconds": 0}));
    let mut browser = world.browser();
    let page = browser.log_in("/job/", "employee-many");
    page.shows(200, "Hvem representerer du?");
    world.control(&json!({"access_token_seconds": 120, "delay_milliseconds": {"refresh": 700}}));
    let sent = cookies(&browser, &world);
    let page = thread::scope(|scope| {
        let exchanging = scope.spawn(|| world.curl("/token/", &sent));
        await_that("the exchange begins", || (world.calls("refresh") == 1).then_some(()));
        let page = browser.submit(&page, &[("organisation", "310123455")]);
        // It is through, or its session has ended: before, or under way, and its connection with it (`threats.md` LO-6).
        let status = exchanging.join().unwrap().status;
        assert!([200, 401, 0].contains(&status), "{status}");
        page
    });
    assert_eq!((page.status(), page.target()), (200, "/job/"), "{}", page.text());
    let received = world.app.received();
    let job = received.iter().find(|one| one.target() == "/job/").unwrap();
    assert_eq!(job.header("x-identity-org"), Some("310123455"));
    assert!(job.header("authorization").unwrap().starts_with("Bearer "));
    let refreshable = world.simulator_state()["issuers"]["ansattporten"]["refreshable"].clone();
    // The login and its exchange.
    assert_eq!((world.calls("refresh"), world.calls("token"), refreshable), (1, 2, json!(1)));
    world.finish();
}

#[test]
fn an_employee_who_changes_the_organisation_keeps_the_token() {
    let world = of_employees();
    let mut browser = world.browser();
    let page = browser.log_in("/job/", "employee-many");
    assert_eq!(browser.submit(&page, &[("organisation", "310123455")]).status(), 200);
    let (first, logins) = (bearer(&world), world.calls("token"));
    let kept = browser.cookie(COOKIE).unwrap();
    let page = browser.open("/oauth2/organisation?redirect=/job/");
    assert_eq!(browser.submit(&page, &[("organisation", "213987658")]).status(), 200);
    assert_eq!(world.app.last().header("x-identity-org"), Some("213987658"));
    assert_eq!((bearer(&world), world.calls("token")), (first, logins));
    // The one for the session before is worth nothing.
    browser.jar.put("localhost", COOKIE, &kept);
    assert_eq!(browser.fetch("/job/").status(), 401);
    world.finish();
}

#[test]
fn a_websocket_begins_with_the_token_and_its_answer_brings_the_next() {
    let route = "{path: '/ws/**', access: login, upstream: app, access_token: true, websocket: true}";
    let world = World::with(settings().route(route));
    let browser = with_an_old_token(&world);
    let fields = format!(
        "{}Origin: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        cookies(&browser, &world),
        world.origin()
    );
    let head = format!("GET /ws/ HTTP/1.1\r\nHost: {{host}}\r\n{fields}Authorization: Bearer own\r\n\r\n");
    // This app opens none, and says so.
    let answer = world.send(head);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!userinfo(&world, &bearer(&world)).is_null());
    assert_eq!(set(&answer)[0], (COOKIE.to_owned(), false));
    world.finish();
}

#[test]
fn explain_says_which_apps_get_a_token() {
    let world = World::with(settings());
    let run = |path: &str| {
        let mut command = std::process::Command::new(crate::harness::process::program("portvakt"));
        command.arg("explain").arg("--config").arg(world.configuration());
        command.args(["--as", "national:high", "GET", &format!("{}{path}", world.origin())]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(run("/token/").contains("the person's access token at the provider"), "{}", run("/token/"));
    assert!(!run("/app/").contains("access token"));
    world.finish();
}
