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

#[test]
fn an_employee_who_changes_the_organisation_keeps_the_token() {
    let details = "[{type: 'ansattporten:altinn:resource', resource: 'urn:altinn:resource:proeve', \
                   allow_multiple_organizations: true}]";
    let route = format!(
        "{{path: '/job/**', access: login, require: {{level: substantial}}, authorization_details: {details}, \
         choose_organisation: true, upstream: app, access_token: true}}"
    );
    let settings = Settings { refreshes: true, ..Settings::default() }.provider("access_tokens: true");
    let world = World::with(settings.at("ansattporten", "ansattporten", &[&route]));
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
