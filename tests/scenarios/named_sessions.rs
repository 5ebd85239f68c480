//! Several sessions in one browser, each by its name, its provider and its issuer; and one session for the
//! hosts of a domain (`design.md` D2, D13; `threats.md` CK-2, CK-10, OP-1, RT-6).

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use url::Url;

use crate::harness::browser::{Browser, Page};
use crate::harness::http::exchange;
use crate::harness::process::{Process, await_that, program};
use crate::harness::{Settings, World, client_jwks, free_port, run_keys};

const CITIZEN: &str = "__Host-portvakt";
const STAFF: &str = "__Host-portvakt-staff";
const NORA: (&str, &str) = ("bankid-high", "24929935140");
const KARI: (&str, &str) = ("bankid-high-2", "17838534171");
const SIGNED_OUT: &str = "Du er logget ut";

/// The second provider: a simulator of its own, at an address of its own, so that no cookie is mixed up.
struct Second {
    _process: Process,
    address: SocketAddr,
}

impl Second {
    fn start(world: &World) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 2], free_port()));
        let mut command = Command::new(program("portvakt-simulator"));
        command.args(["--listen", &address.to_string()]);
        let mut process = Process::start(&mut command, world.folder(), "second");
        process.await_line("simulator ready ");
        Self { _process: process, address }
    }

    fn issuer(&self) -> String {
        format!("http://{}/idporten", self.address)
    }

    fn control(&self, orders: &Value) {
        let body = orders.to_string();
        let head = format!(
            "POST /control HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        assert_eq!(exchange(self.address, head.as_bytes()).status, 200);
    }

    fn state(&self) -> Value {
        let head = format!("GET /control HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        exchange(self.address, head.as_bytes()).json()
    }

    fn calls(&self, endpoint: &str) -> u64 {
        self.state()["calls"][endpoint].as_u64().unwrap_or(0)
    }

    fn sessions(&self) -> Value {
        self.state()["issuers"]["idporten"]["sessions"].clone()
    }
}

/// The client of the gateway as a provider has it registered, for these origins.
fn client(world: &World, origins: &[String], callback: &str, jwks: &str) -> Value {
    let at = |path: &str| origins.iter().map(|origin| format!("{origin}{path}")).collect::<Vec<_>>();
    let origin = world.origin();
    json!({"client": {
        "client_id": world.settings.client_id,
        "jwks": serde_json::from_str::<Value>(jwks).unwrap(),
        "redirect_uris": at(callback),
        "post_logout_redirect_uris": at("/oauth2/logout/callback"),
        "frontchannel_logout_uri": format!("{origin}/oauth2/logout/frontchannel"),
        "backchannel_logout_uri": format!("{origin}/oauth2/logout/backchannel"),
    }})
}

/// A world with a second provider, `staff`, for `/staff/**`. `keys`: further keys of the provider.
fn two(profile: &str, callback: &str, keys: &[&str]) -> (World, Second) {
    let mut world = World::start();
    let second = Second::start(&world);
    let keys: String = keys.iter().map(|key| format!("    {key}\n")).collect();
    world.settings.providers = format!(
        "  staff:\n    profile: {profile}\n    issuer: '{}'\n    client_id: {}\n{keys}",
        second.issuer(),
        world.settings.client_id,
    );
    let level = if profile == "oidc" { "none" } else { "substantial" };
    let route = format!(
        "{{path: '/staff/**', access: login, session: staff, require: {{level: {level}}}, upstream: app}}"
    );
    world.settings.routes.push(route);
    world.write_configuration();
    run_keys(world.folder(), &["new", "client-staff"]);
    let jwks = run_keys(world.folder(), &["list", "client-staff", "--jwks"]);
    second.control(&client(&world, &[world.origin()], callback, &jwks));
    world.restart_gateway();
    world.await_ready();
    (world, second)
}

fn both_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/a", NORA.0).target(), "/app/a");
    assert_eq!(browser.log_in("/staff/b?c=1", KARI.0).target(), "/staff/b?c=1");
    browser
}

/// Who the app was told of, and by whom.
fn told(world: &World) -> (Option<String>, Option<String>) {
    let last = world.app.last();
    let of = |name| last.header(name).map(str::to_owned);
    (of("x-identity-provider"), of("x-identity-fnr"))
}

fn told_of(world: &World, provider: &str, fnr: &str) -> bool {
    told(world) == (Some(provider.to_owned()), Some(fnr.to_owned()))
}

/// The status of a fetch with nothing but this `Cookie` line.
fn with_cookie(world: &World, target: &str, line: &str) -> u16 {
    world.curl(target, &format!("Cookie: {line}\r\n")).status
}

#[test]
fn two_persons_are_logged_in_side_by_side_and_neither_is_told_as_the_other() {
    let (world, _second) = two("idporten", "/oauth2/callback", &[]);
    let mut browser = both_in(&world);
    assert!(told_of(&world, "staff", KARI.1));
    assert_eq!(world.app.last().header("cookie"), None);
    assert_eq!(browser.open("/app/again").status(), 200);
    assert!(told_of(&world, "idporten", NORA.1));
    browser.open("/optional/");
    assert!(told_of(&world, "idporten", NORA.1));
    browser.open("/public/");
    assert_eq!(told(&world), (None, None));
    for (name, length) in [(CITIZEN, 700), (STAFF, 700)] {
        assert!(browser.cookie(name).unwrap().len() < length, "{name}");
    }
    for (query, expected) in [("", "idporten"), ("?session=staff", "staff"), ("?provider=staff", "staff")] {
        let page = browser.fetch(&format!("/oauth2/session{query}"));
        assert_eq!(
            (page.status(), page.response.json()["provider"].as_str()),
            (200, Some(expected)),
            "{query}"
        );
    }
    for query in [
        "?session=nobody",
        "?provider=nobody",
        "?session=staff&provider=idporten",
        "?session=staff&session=staff",
    ] {
        assert_eq!(browser.fetch(&format!("/oauth2/session{query}")).status(), 400, "{query}");
    }
    world.finish();
}

#[test]
fn a_login_names_a_session_of_this_host_or_takes_that_of_the_place() {
    let (mut world, second) = two("idporten", "/oauth2/callback", &[]);
    let at = |page: &Page| page.response.location().unwrap_or_default().to_owned();
    let leads = |world: &World, query: &str| {
        let location = at(&world.browser().step(&format!("/oauth2/login{query}")));
        if location.starts_with(&second.issuer()) {
            "second"
        } else if location.starts_with(&world.simulator()) {
            "first"
        } else {
            "nowhere"
        }
    };
    for (query, expected) in [
        ("", "first"),
        ("?redirect=/app/", "first"),
        ("?redirect=/staff/x", "second"),
        ("?provider=staff", "second"),
        ("?session=staff&redirect=/app/", "second"),
        ("?provider=idporten&redirect=/staff/x", "first"),
        ("?session=nobody", "nowhere"),
        ("?provider=nobody", "nowhere"),
        ("?session=staff&provider=idporten", "nowhere"),
    ] {
        assert_eq!(leads(&world, query), expected, "{query}");
    }
    // Programs are told where to log in, by name.
    let body = world.curl("/staff/x", "").json();
    assert_eq!(
        body["login"].as_str(),
        Some("/oauth2/login?redirect=%2Fstaff%2Fx&session=staff&level=substantial")
    );
    // What only another host uses is not to be had here.
    let route = world.settings.routes.pop().unwrap();
    let port = world.url("/").port().unwrap();
    world.settings.hosts =
        format!("  - origin: 'http://a.test.localhost:{port}'\n    routes:\n      - {route}\n");
    world.write_configuration();
    world.restart_gateway();
    for query in ["?provider=staff", "?session=staff"] {
        assert_eq!(world.browser().step(&format!("/oauth2/login{query}")).status(), 400, "{query}");
    }
    let there =
        world.browser().step(&format!("http://a.test.localhost:{port}/oauth2/login?provider=idporten"));
    assert_eq!(there.status(), 400);
    world.finish();
}

#[test]
fn the_cookie_of_one_session_is_nothing_as_another() {
    let (world, _second) = two("idporten", "/oauth2/callback", &[]);
    let browser = both_in(&world);
    let (citizen, staff) = (browser.cookie(CITIZEN).unwrap(), browser.cookie(STAFF).unwrap());
    assert_eq!(with_cookie(&world, "/app/", &format!("{CITIZEN}={citizen}")), 200);
    assert_eq!(with_cookie(&world, "/staff/", &format!("{STAFF}={staff}")), 200);
    for line in [
        format!("{CITIZEN}={staff}; {STAFF}={citizen}"),
        format!("{CITIZEN}-idporten={citizen}; {STAFF}-staff={staff}"),
        format!("__Secure-portvakt={citizen}; __Secure-portvakt-staff={staff}"),
        // Two of one name are none.
        format!("{STAFF}={staff}; {STAFF}={citizen}; {CITIZEN}={citizen}; {CITIZEN}={staff}"),
    ] {
        for place in ["/app/", "/staff/"] {
            assert_eq!(with_cookie(&world, place, &line), 401, "{place}");
        }
    }
    // Each opens its own places alone.
    assert_eq!(with_cookie(&world, "/staff/", &format!("{CITIZEN}={citizen}")), 401);
    assert_eq!(with_cookie(&world, "/app/", &format!("{STAFF}={staff}")), 401);
    world.finish();
}

#[test]
fn a_change_of_person_in_one_session_starts_at_the_start_page_and_leaves_the_other_alone() {
    let (world, _second) = two("idporten", "/oauth2/callback", &[]);
    let mut browser = world.browser();
    browser.log_in("/staff/", KARI.0);
    browser.log_in("/app/", "minid-substantial");
    let (staff, citizen) = (browser.cookie(STAFF).unwrap(), browser.cookie(CITIZEN).unwrap());
    let page = browser.open("/high/file");
    // Another person than the one who was asked for more.
    let page = browser.choose(&page, NORA.0);
    assert_eq!(page.target(), "/");
    assert_eq!(browser.cookie(STAFF), Some(staff));
    assert_eq!(
        with_cookie(&world, "/app/", &format!("{CITIZEN}={citizen}")),
        401,
        "the one before has ended"
    );
    browser.open("/high/file");
    assert!(told_of(&world, "idporten", NORA.1));
    browser.open("/staff/");
    assert!(told_of(&world, "staff", KARI.1));
    world.finish();
}

#[test]
fn a_logout_ends_the_named_session_or_all_of_the_host_here_and_at_every_provider() {
    let (world, second) = two("idporten", "/oauth2/callback", &[]);
    let first_sessions = || world.simulator_state()["issuers"]["idporten"]["sessions"].clone();
    let mut browser = both_in(&world);
    let (citizen, staff) = (browser.cookie(CITIZEN).unwrap(), browser.cookie(STAFF).unwrap());
    let dies = |target: &str, name: &str, value: &str| {
        with_cookie(&world, target, &format!("{name}={value}")) == 401
    };
    browser.log_out("/oauth2/logout?session=staff").shows(200, SIGNED_OUT);
    assert!(dies("/staff/", STAFF, &staff) && !dies("/app/", CITIZEN, &citizen));
    assert_eq!((browser.cookie(STAFF), browser.open("/app/").status()), (None, 200));
    assert_eq!(second.sessions(), json!([]));
    assert_ne!(first_sessions(), json!([]));
    // The other one kept what its own logout needs.
    assert_eq!(browser.log_in("/staff/", KARI.0).status(), 200);
    let staff = browser.cookie(STAFF).unwrap();
    let form = browser.open("/oauth2/logout?redirect=/public/bye");
    assert!(dies("/staff/", STAFF, &staff) && dies("/app/", CITIZEN, &citizen), "both end here at once");
    assert!(form.form().unwrap().0.starts_with(&world.simulator()));
    let provider = browser.submit(&form, &[]);
    let next = browser.leave_provider(&provider);
    let (action, fields) = next.form().expect("the way leads to the next provider");
    assert!(action.starts_with(&second.issuer()), "{action}");
    assert!(fields.iter().any(|(name, _)| name == "id_token_hint"));
    let provider = browser.submit(&next, &[]);
    let end = browser.leave_provider(&provider);
    assert_eq!((end.status(), end.target()), (200, "/public/bye"));
    assert_eq!((first_sessions(), second.sessions()), (json!([]), json!([])));
    let left = browser.jar.of("localhost");
    assert!(left.iter().all(|cookie| cookie.name.contains("-login-")), "{left:?}");
    world.finish();
}

/// The policy of the first provider's page holds redirects that follow its form, and names no other provider.
#[test]
fn the_way_from_one_provider_to_the_next_is_a_page_also_without_a_hint() {
    let (world, second) = two("idporten", "/oauth2/callback", &[]);
    let mut browser = both_in(&world);
    let cookies = browser.jar.of("localhost");
    let names = cookies.iter().map(|cookie| cookie.name.clone());
    let is_hint = |name: &String| name.starts_with("__Secure-portvakt-logout") && name.ends_with("staff");
    let hints: Vec<String> = names.filter(is_hint).collect();
    assert!(!hints.is_empty());
    hints.iter().for_each(|name| browser.jar.remove("localhost", name));
    let form = browser.open("/oauth2/logout");
    let provider = browser.submit(&form, &[]);
    let next = browser.leave_provider(&provider);
    assert_eq!((next.status(), next.url.path()), (200, "/oauth2/logout/callback"));
    let (action, fields) = next.form().expect("a form of ours");
    assert!(action.starts_with(&second.issuer()), "{action}");
    assert!(fields.iter().all(|(name, _)| name != "id_token_hint"));
    world.finish();
}

/// A world in which two entries of the file are one client of one issuer, which asks for other things.
fn twice_the_same() -> World {
    let mut world = World::start();
    world.settings.providers = format!(
        "  again:\n    profile: idporten\n    issuer: '{}/idporten'\n    client_id: {}\n    scopes: [openid]\n",
        world.simulator(),
        world.settings.client_id,
    );
    let route = "{path: '/again/**', access: login, session: again, upstream: app}";
    world.settings.routes.push(route.to_owned());
    world.write_configuration();
    run_keys(world.folder(), &["new", "client-again"]);
    let mut jwks: Value = serde_json::from_str(client_jwks()).unwrap();
    let further = run_keys(world.folder(), &["list", "client-again", "--jwks"]);
    let further: Value = serde_json::from_str(&further).unwrap();
    let keys = jwks["keys"].as_array_mut().unwrap();
    keys.extend(further["keys"].as_array().unwrap().clone());
    world.control(&client(&world, &[world.origin()], "/oauth2/callback", &jwks.to_string()));
    world.restart_gateway();
    world.await_ready();
    world
}

/// In by both entries, the second time silently.
fn in_twice(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/a", NORA.0).target(), "/app/a");
    assert_eq!(browser.open("/again/b").target(), "/again/b");
    assert!(told_of(world, "again", NORA.1));
    browser
}

#[test]
fn a_logout_token_ends_the_sessions_of_every_entry_that_is_its_client() {
    let world = twice_the_same();
    for channel in ["frontchannel_logout_uri", "backchannel_logout_uri"] {
        let mut orders = client(&world, &[world.origin()], "/oauth2/callback", client_jwks());
        orders["client"][channel] = Value::Null;
        let jwks = run_keys(world.folder(), &["list", "client-again", "--jwks"]);
        let further: Value = serde_json::from_str(&jwks).unwrap();
        let keys = orders["client"]["jwks"]["keys"].as_array_mut().unwrap();
        keys.extend(further["keys"].as_array().unwrap().clone());
        world.control(&orders);
        let mut browser = in_twice(&world);
        let ended = world.control(&json!({"end_session": {"person": NORA.0}}));
        assert_eq!(ended["end_session"]["called"].as_array().unwrap().len(), 1, "{ended}");
        assert_eq!(
            (browser.fetch("/app/").status(), browser.fetch("/again/").status()),
            (401, 401),
            "{channel} is not registered"
        );
    }
    world.finish();
}

/// The second time there would be nothing to log out of, and the person would stand there (dossier 0, fact 17).
#[test]
fn an_issuer_is_left_once() {
    let world = twice_the_same();
    let mut browser = in_twice(&world);
    let end = browser.log_out("/oauth2/logout?redirect=/public/bye");
    assert_eq!((end.status(), end.target()), (200, "/public/bye"), "{}", end.text());
    assert_eq!((browser.fetch("/app/").status(), browser.fetch("/again/").status()), (401, 401));
    let left = browser.jar.of("localhost");
    assert!(left.iter().all(|cookie| cookie.name.contains("-login-")), "{left:?}");
    world.finish();
}

#[test]
fn a_logout_at_a_provider_ends_the_session_of_that_provider_alone() {
    let (world, second) = two("idporten", "/oauth2/callback", &[]);
    let mut browser = both_in(&world);
    second.control(&json!({"end_session": {"person": KARI.0}}));
    assert_eq!((browser.fetch("/staff/").status(), browser.fetch("/app/").status()), (401, 200));
    let mut browser = both_in(&world);
    world.control(&json!({"end_session": {"person": NORA.0}}));
    assert_eq!((browser.fetch("/staff/").status(), browser.fetch("/app/").status()), (200, 401));
    // Each provider's signed call was taken for its own.
    let told_by = |provider: &str| {
        let of = |line: &Value| {
            line["action"] == "backchannel_logout"
                && line["result"] == "success"
                && line["provider"] == provider
        };
        world.audit_log().iter().any(of)
    };
    await_that("both back channels", || (told_by("staff") && told_by("idporten")).then_some(()));
    world.finish();
}

/// RFC 9207, 2.4: both providers answer at one callback, and say who they are.
#[test]
fn the_answer_of_another_provider_is_refused_by_its_issuer() {
    let (world, second) = two("idporten", "/oauth2/callback", &[]);
    let mut browser = world.browser();
    let honest = browser.callback("/app/", NORA.0);
    let changed = |change: &dyn Fn(&str, String) -> Option<String>| {
        let mut url = honest.clone();
        let pairs: Vec<(String, String)> = honest.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear().extend_pairs(
            pairs.into_iter().filter_map(|(name, value)| Some((name.clone(), change(&name, value)?))),
        );
        url
    };
    let others = changed(&|name, value| Some(if name == "iss" { second.issuer() } else { value }));
    let nobodys = changed(&|name, value| (name != "iss").then_some(value));
    let jar = browser.jar.clone();
    for forged in [others, nobodys] {
        browser.jar = jar.clone();
        assert_eq!(browser.step(forged.as_str()).status(), 403);
    }
    assert_eq!((world.calls("token"), second.calls("token")), (0, 0));
    await_that("both refusals in the audit log", || (world.audit_log().len() == 2).then_some(()));
    browser.jar = jar;
    assert_eq!(browser.step(honest.as_str()).status(), 302, "the honest answer still counts");
    world.finish();
}

/// RFC 9700, 4.4.2.2: the second provider does not say who it is, and has a callback of its own.
#[test]
fn the_answer_at_another_providers_callback_is_refused() {
    let (world, second) = two("oidc", "/oauth2/callback/staff", &["callback: own"]);
    let mut browser = world.browser();
    let elsewhere = |url: &Url, path: &str| {
        let mut url = url.clone();
        url.set_path(path);
        url
    };
    for (place, own, others) in [
        ("/staff/x", "/oauth2/callback/staff", "/oauth2/callback"),
        ("/app/x", "/oauth2/callback", "/oauth2/callback/staff"),
    ] {
        let honest = browser.callback(place, NORA.0);
        assert_eq!(honest.path(), own);
        let jar = browser.jar.clone();
        assert_eq!(browser.step(elsewhere(&honest, others).as_str()).status(), 403, "{place}");
        browser.jar = jar;
        for unknown in ["/oauth2/callback/idporten", "/oauth2/callback/nobody", "/oauth2/callback/"] {
            assert_eq!(browser.step(elsewhere(&honest, unknown).as_str()).status(), 404, "{unknown}");
        }
        assert_eq!((world.calls("token"), second.calls("token")), (0, u64::from(place == "/app/x")));
        let page = browser.step(honest.as_str());
        assert_eq!(browser.follow(page).target(), place);
    }
    world.finish();
}

#[test]
fn one_session_serves_the_hosts_of_a_domain_and_ends_on_all_of_them() {
    let mut world = World::start();
    let port = world.url("/").port().unwrap();
    let hosts = ["a.test.localhost", "b.test.localhost"].map(|name| format!("http://{name}:{port}"));
    let [a, b] = &hosts;
    world.settings = world
        .settings
        .clone()
        .top("sessions: {citizen: {provider: idporten, cookie_domain: test.localhost}}");
    world.settings.hosts = hosts
        .iter()
        .map(|origin| {
            format!(
                "  - origin: '{origin}'\n    session: citizen\n    routes:\n      - {{path: '/app/**', access: login, upstream: app}}\n"
            )
        })
        .collect();
    world.write_configuration();
    let mut origins = hosts.to_vec();
    origins.push(world.origin());
    world.control(&client(&world, &origins, "/oauth2/callback", client_jwks()));
    world.restart_gateway();
    let mut browser = world.browser();
    let there = |origin: &str| format!("{origin}/app/x");
    assert_eq!(browser.log_in(&there(a), NORA.0).status(), 200);
    let logins = world.calls("login");
    assert_eq!(browser.open(&there(b)).status(), 200);
    assert!(told_of(&world, "idporten", NORA.1));
    assert_eq!((world.app.last().header("cookie"), world.calls("login")), (None, logins));
    let name = "__Secure-portvakt-citizen";
    let cookie =
        browser.jar.of("test.localhost").into_iter().find(|cookie| cookie.name == name).unwrap().clone();
    assert_eq!(cookie.attributes, "HttpOnly; SameSite=Lax; Secure; Path=/; Domain=test.localhost");
    // Another domain, and the host's own session, are other places.
    assert_eq!(with_cookie(&world, "/app/", &format!("{name}={0}; {CITIZEN}={0}", cookie.value)), 401);
    // An app sets and clears none of them, whatever domain it names.
    world.app.reply(
        "/app/evil",
        "HTTP/1.1 200 OK\r\nSet-Cookie: __Secure-portvakt-citizen=; Domain=test.localhost; Path=/; Secure; Max-Age=0\r\n\
         Set-Cookie: __Secure-portvakt-logout-citizen=x; Domain=test.localhost; Path=/oauth2/logout; Secure\r\n\
         Set-Cookie: app=1; Path=/\r\nContent-Length: 0\r\n\r\n",
    );
    let page = browser.open(&format!("{a}/app/evil"));
    assert_eq!(page.response.head.all("set-cookie"), ["app=1; Path=/"]);
    // Out at one is out at the other, with the hint that the first one's login left.
    let form = browser.open(&format!("{b}/oauth2/logout"));
    assert!(form.form().unwrap().1.iter().any(|(name, _)| name == "id_token_hint"));
    let provider = browser.submit(&form, &[]);
    browser.leave_provider(&provider).shows(200, SIGNED_OUT);
    assert_eq!(browser.fetch(&there(a)).status(), 401);
    let mut copy = world.browser();
    copy.jar.set(
        &format!("{name}={}; Secure; Path=/; Domain=test.localhost", cookie.value),
        &Url::parse(a).unwrap(),
    );
    for origin in &hosts {
        assert_eq!(copy.fetch(&there(origin)).status(), 401);
    }
    // The provider calls one host of them all.
    assert_eq!(browser.log_in(&there(b), NORA.0).status(), 200);
    world.control(&json!({"end_session": {"person": NORA.0}}));
    for origin in &hosts {
        assert_eq!(browser.fetch(&there(origin)).status(), 401);
    }
    world.finish();
}

#[test]
fn a_session_of_another_issuer_than_the_provider_has_now_is_none() {
    let mut world = World::start();
    let second = Second::start(&world);
    let jar = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/", NORA.0).status(), 200);
        browser.jar.clone()
    };
    second.control(&client(&world, &[world.origin()], "/oauth2/callback", client_jwks()));
    world.settings = Settings { issuer: Some(second.issuer()), ..world.settings.clone() };
    world.write_configuration();
    world.restart_gateway();
    let mut browser = world.browser();
    browser.jar = jar;
    assert_eq!(browser.fetch("/app/").status(), 401);
    let page = browser.open("/app/");
    assert!(browser.at_login_page(&page) && page.url.as_str().starts_with(&second.issuer()));
    // Nor is the former issuer's token shown to the present one.
    let logout = browser.step("/oauth2/logout");
    assert!(!logout.text().contains("id_token_hint"), "{}", logout.text());
    world.finish();
}

/// OP-5: what an operator takes back is taken back from those who are logged in, too.
#[test]
fn a_session_is_worth_what_the_file_says_now() {
    let mut world = World::start();
    let mut generation = 1;
    let mut worth = |world: &mut World, acr: &str| {
        world.settings.provider = vec![acr.to_owned()];
        world.write_configuration();
        generation += 1;
        await_that("the configuration is in force", || {
            (world.admin("/status.json").json()["generation"] == generation).then_some(())
        });
    };
    world.control(&json!({ "id_token_claims": { "acr": "new-loa" } }));
    worth(&mut world, "acr: {new-loa: {level: substantial, framework: national}}");
    let jar = {
        let mut browser = world.browser();
        assert_eq!(browser.log_in("/app/", NORA.0).status(), 200);
        browser.jar
    };
    for other in [
        "acr: {new-loa: {level: low, framework: national}}",
        "acr: {new-loa: {level: substantial, framework: eidas}}",
        "locale: nb",
    ] {
        worth(&mut world, other);
        let mut browser = world.browser();
        browser.jar = jar.clone();
        let count = world.app.count();
        assert_eq!((browser.fetch("/app/").status(), world.app.count()), (401, count), "{other}");
    }
    worth(&mut world, "acr: {new-loa: {level: substantial, framework: national}}");
    let mut browser = world.browser();
    browser.jar = jar;
    assert_eq!(browser.fetch("/app/").status(), 200);
    world.finish();
}

/// Dossier 2.10: whoever logged in on behalf of one customer is nobody where the host is another's.
#[test]
fn a_session_is_worth_nothing_on_behalf_of_another_customer() {
    let world = World::start();
    let plain = fs::read_to_string(world.configuration()).unwrap();
    let mut generation = 1;
    let mut customer = |name: &str| {
        let with = if name.is_empty() { String::new() } else { format!("    onbehalfof: {name}\n") };
        fs::write(world.configuration(), plain.replace("    routes:\n", &format!("{with}    routes:\n")))
            .unwrap();
        generation += 1;
        await_that("the configuration is in force", || {
            (world.admin("/status.json").json()["generation"] == generation).then_some(())
        });
    };
    customer("one");
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", NORA.0).status(), 200);
    assert_eq!(world.app.last().header("x-identity-on-behalf-of"), Some("one"));
    for other in ["two", ""] {
        customer(other);
        let count = world.app.count();
        assert_eq!((browser.fetch("/app/").status(), world.app.count()), (401, count), "{other:?}");
    }
    customer("one");
    assert_eq!(browser.fetch("/app/").status(), 200);
    world.finish();
}
