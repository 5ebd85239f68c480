//! Reverse proxies that carry requests themselves and ask about each: who is told what, in which dialect, and that
//! nobody else is told anything (`docs/forward-auth.md`; `threats.md` RT-1, RT-3, RT-7, RT-8, ID-1 to ID-7, OP-14).

mod caddy;
mod nginx;
mod proxy;

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::http::{Response, exchange};
use crate::harness::process::await_that;
use crate::harness::{Settings, World, free_port, run_keys};

const NORA: (&str, &str) = ("bankid-high", "24929935140");
const DIALECTS: [&str; 4] = ["nginx", "traefik", "caddy", "envoy"];
const NAVIGATION: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

const ROUTES: [&str; 5] = [
    "{path: '/letters/**', access: login, require: {level: substantial}, audience: app, forward_auth: true}",
    "{path: '/letters/secret/**', access: login, require: {level: high}, audience: app, forward_auth: true}",
    "{path: '/staff/**', access: login, require: {kinds: [eidas]}, audience: app, forward_auth: true}",
    "{path: '/news/**', access: optional, audience: app, forward_auth: true}",
    "{path: '/help/**', access: public, forward_auth: true}",
];

/// A world whose proxies speak a dialect, and where they ask.
struct Asking {
    world: World,
    dialect: &'static str,
    at: SocketAddr,
}

impl Asking {
    fn start(dialect: &'static str) -> Self {
        Self::with(dialect, Settings::default())
    }

    fn with(dialect: &'static str, settings: Settings) -> Self {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listener = format!(
            "{{address: '{at}', h2c: true, forward_auth: {{dialect: {dialect}, peers: [127.0.0.0/8]}}}}"
        );
        let settings = ROUTES.into_iter().fold(settings, Settings::route).also_at(listener);
        Self { world: World::with(settings), dialect, at }
    }

    /// Asks about a request of this world's host, as a proxy does that passes the client's fields on.
    fn ask(&self, method: &str, target: &str, fields: &str) -> Response {
        self.ask_of(&self.world.authority(), method, target, fields)
    }

    fn ask_of(&self, host: &str, method: &str, target: &str, fields: &str) -> Response {
        self.send(&call(self.dialect, host, method, target, fields))
    }

    fn send(&self, call: &str) -> Response {
        exchange(self.at, call.as_bytes())
    }

    fn get(&self, target: &str, fields: &str) -> Response {
        self.ask("GET", target, fields)
    }

    /// Whatever is refused is refused in a way that the proxy understands, and tells of nobody.
    fn refuses(&self, answer: &Response, status: u16, what: &str) {
        let expected = match (self.dialect, status) {
            ("nginx", 400..=499) if status != 401 => 403,
            _ => status,
        };
        assert_eq!(answer.status, expected, "{} {what}: {}", self.dialect, answer.text());
        assert_eq!(identity(answer), [], "{} {what}", self.dialect);
        assert!(answer.head.all("cookie").is_empty(), "{} {what}", self.dialect);
    }
}

/// The call in a dialect.
fn call(dialect: &str, host: &str, method: &str, target: &str, fields: &str) -> String {
    let common = format!("{fields}X-Forwarded-For: 198.51.100.7\r\nConnection: close\r\n\r\n");
    match dialect {
        "nginx" => format!(
            "GET /oauth2/forwardauth HTTP/1.1\r\nHost: gateway\r\nX-Original-Method: {method}\r\n\
             X-Original-URL: http://{host}{target}\r\n{common}"
        ),
        "envoy" => format!(
            "{method} /oauth2/forwardauth{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\
             X-Forwarded-Proto: http\r\n{common}"
        ),
        _ => format!(
            "GET /oauth2/forwardauth HTTP/1.1\r\nHost: gateway\r\nX-Forwarded-Method: {method}\r\n\
             X-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: {target}\r\n{common}"
        ),
    }
}

/// What an answer says of a person, in its order.
fn identity(answer: &Response) -> Vec<(String, String)> {
    let fields = answer.head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    fields.filter(|(name, _)| name.contains("identity")).collect()
}

fn logged_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    assert_eq!(browser.log_in("/app/", NORA.0).status(), 200);
    browser
}

fn cookie(browser: &Browser<'_>) -> String {
    format!("Cookie: a=1; __Host-portvakt={}; b=2\r\n", browser.session_cookie().unwrap())
}

#[test]
fn a_proxy_is_told_what_an_app_is_told() {
    for dialect in DIALECTS {
        let mut asking = Asking::start(dialect);
        run_keys(asking.world.folder(), &["new", "assertion"]);
        for route in asking.world.settings.routes.iter_mut() {
            for whole in ["'/letters/**', access: login,", "'/app/**', access: login,"] {
                *route = route.replace(whole, &format!("{whole} assertion: true,"));
            }
        }
        asking.world.write_configuration();
        asking.world.restart_gateway();
        let browser = logged_in(&asking.world);
        let app = asking.world.app.last();
        let told: Vec<(String, String)> = app
            .identity()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        assert!(told.contains(&("x-identity-fnr".to_owned(), NORA.1.to_owned())));
        assert!(told.iter().any(|(name, _)| name == "x-identity-assertion"));
        for (method, target) in
            [("GET", "/letters/"), ("POST", "/letters/a/b?c=/d%2F..&e=f://g"), ("DELETE", "/letters")]
        {
            let answer = asking.ask(method, target, &cookie(&browser));
            assert_eq!(answer.status, 200, "{dialect} {method} {target}: {}", answer.text());
            assert_eq!(identity(&answer), told, "{dialect}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("cookie"), Some("a=1; b=2"), "the app's own cookies, without ours");
            assert_eq!((answer.header("set-cookie"), answer.body.len()), (None, 0));
        }
        let line = await_that("the last request is in the log", || {
            asking.world.access_log().into_iter().find(|line| line["method"] == "DELETE")
        });
        assert_eq!((&line["rule"], &line["client"]), (&json!("forward_auth"), &json!("198.51.100.7")));
        asking.world.finish();
    }
}

#[test]
fn nobody_is_told_of_on_routes_for_everybody() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        for target in ["/news/", "/help/a"] {
            let answer = asking.get(target, "Cookie: a=1\r\n");
            assert_eq!((answer.status, identity(&answer)), (200, Vec::new()), "{dialect} {target}");
            assert_eq!(answer.header("cookie"), Some("a=1"));
        }
        let browser = logged_in(&asking.world);
        let answer = asking.get("/news/", &cookie(&browser));
        assert!(identity(&answer).contains(&("x-identity-fnr".to_owned(), NORA.1.to_owned())));
        let answer = asking.get("/help/", &cookie(&browser));
        assert_eq!((answer.status, identity(&answer)), (200, Vec::new()), "a public route tells of nobody");
        if dialect == "envoy" {
            // Envoy takes away what it is told to, and sets what is there.
            let removed = answer.header("x-envoy-auth-headers-to-remove").unwrap();
            for name in
                ["x-identity-fnr", "x-identity-kind", "x-identity-assertion", "sm_user", "oidc_claim_pid"]
            {
                assert!(removed.split(',').any(|one| one == name), "{removed}");
            }
            assert!(!removed.split(',').any(|one| one == "cookie"), "{removed}");
            let told = asking.get("/news/", &cookie(&browser));
            let removed = told.header("x-envoy-auth-headers-to-remove").unwrap();
            assert!(!removed.split(',').any(|one| one == "x-identity-fnr"), "{removed}");
            let bare = asking.get("/help/", "");
            assert!(bare.header("x-envoy-auth-headers-to-remove").unwrap().starts_with("cookie,"));
        }
        asking.world.finish();
    }
}

#[test]
fn who_is_not_logged_in_is_sent_to_log_in_as_the_dialect_has_it() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let link = "/oauth2/login?redirect=%2Fletters%2Fa%3Fb%3Dc&level=substantial";
        let whole = format!("{}{link}", asking.world.origin());
        let page = asking.get("/letters/a?b=c", NAVIGATION);
        if dialect == "nginx" {
            asking.refuses(&page, 401, "a page");
            assert_eq!((page.header("x-portvakt-redirect"), page.location()), (Some(whole.as_str()), None));
        } else {
            asking.refuses(&page, 302, "a page");
            assert_eq!(page.location(), Some(whole.as_str()));
        }
        let script = asking.get("/letters/a?b=c", "Accept: */*\r\nSec-Fetch-Mode: cors\r\n");
        asking.refuses(&script, 401, "a script");
        assert_eq!(script.json()["login"], link);
        assert!(
            script.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer realm"))
        );
        if dialect == "nginx" {
            assert_eq!(script.header("x-portvakt-login"), Some(link));
            assert_eq!(script.header("x-portvakt-redirect"), None);
        }
        // A form cannot be kept whose body is not here.
        let form = format!("{NAVIGATION}Content-Type: application/x-www-form-urlencoded\r\n");
        asking.refuses(&asking.ask("POST", "/letters/", &form), 401, "a form");
        // The login ends where the person was.
        let mut browser = asking.world.browser();
        let at_provider = browser.open(link);
        let done = browser.callback_from(&at_provider, NORA.0);
        let back = browser.step(done.as_str());
        assert_eq!(back.response.location(), Some("/letters/a?b=c"));
        assert_eq!(asking.get("/letters/a?b=c", &cookie(&browser)).status, 200);
        asking.world.finish();
    }
}

#[test]
fn a_login_that_is_not_enough_is_not_enough() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let mut browser = asking.world.browser();
        assert_eq!(browser.log_in("/app/", "minid-substantial").status(), 200);
        let low = cookie(&browser);
        assert_eq!(asking.get("/letters/", &low).status, 200);
        let script = asking.get("/letters/secret/", &low);
        asking.refuses(&script, 401, "a level");
        let challenge = script.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
        asking.refuses(&asking.get("/staff/", &low), 403, "a kind");
        asking.refuses(&asking.get("/staff/", &format!("{low}{NAVIGATION}")), 403, "a kind, on a page");
        // The step up makes a new session; the old one is over.
        let page = browser.open("/oauth2/login?redirect=/letters/secret/&level=high");
        let done = browser.callback_from(&page, "bankid-high");
        browser.step(done.as_str());
        assert_eq!(asking.get("/letters/secret/", &cookie(&browser)).status, 200);
        asking.refuses(&asking.get("/letters/", &low), 401, "the session before");
        asking.world.finish();
    }
}

#[test]
fn a_session_that_has_ended_opens_nothing() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let (mut leaving, ended) = (logged_in(&asking.world), logged_in(&asking.world));
        let (left, cookie_of_ended) = (cookie(&leaving), cookie(&ended));
        assert_eq!(asking.get("/letters/", &left).status, 200);
        leaving.open("/oauth2/logout");
        asking.refuses(&asking.get("/letters/", &left), 401, "after the logout");
        let news = asking.get("/news/", &left);
        assert_eq!((news.status, identity(&news)), (200, Vec::new()));
        asking.world.control(&json!({"end_session": {"person": NORA.0}}));
        let over = || (asking.get("/letters/", &cookie_of_ended).status == 401).then_some(());
        await_that("the provider's logout is in force", over);
        for broken in
            ["Cookie: __Host-portvakt=x\r\n".to_owned(), format!("{cookie_of_ended}{cookie_of_ended}")]
        {
            asking.refuses(&asking.get("/letters/", &broken), 401, "a broken cookie");
        }
        asking.world.finish();
    }
}

#[test]
fn while_nobody_knows_which_sessions_have_ended_nothing_passes() {
    let asking = Asking::start("traefik");
    let browser = logged_in(&asking.world);
    let file = asking.world.configuration().with_file_name(".portvakt").join("revocations.log");
    await_that("a folder stands there", || {
        let _ = std::fs::remove_file(&file);
        std::fs::create_dir(&file).ok()
    });
    std::fs::create_dir(file.join("occupied")).unwrap();
    let page = await_that("strict routes wait", || {
        let answer = asking.get("/letters/", &cookie(&browser));
        (answer.status == 503).then_some(answer)
    });
    asking.refuses(&page, 503, "not known");
    let news = asking.get("/news/", &cookie(&browser));
    assert_eq!((news.status, identity(&news)), (200, Vec::new()));
    std::fs::remove_dir_all(&file).unwrap();
    await_that("it has recovered", || (asking.world.admin("/readyz").status == 200).then_some(()));
    asking.world.finish();
}

/// Whoever may not ask learns as much as of an endpoint that does not exist, on every listener.
#[test]
fn for_everybody_else_the_endpoint_is_not_there() {
    let off = World::start();
    let nowhere = |answer: &Response, reference: &Response| {
        let bare = |answer: &Response| {
            answer.json().as_object().map(|body| body.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!((answer.status, bare(answer)), (404, bare(reference)), "{}", answer.text());
        assert_eq!(identity(answer), []);
    };
    let browser = logged_in(&off);
    let unknown = off.curl("/oauth2/nothing", "");
    for dialect in DIALECTS {
        let call = call(dialect, &off.authority(), "GET", "/app/", &cookie(&browser));
        nowhere(&off.send(call.replace("Host: gateway", "Host: {host}")), &unknown);
    }
    let before = off.app.count();
    for target in
        ["/oauth2/forwardauth", "/oauth2/forwardauth/", "/OAuth2/ForwardAuth", "/oauth2/forwardauth/app/"]
    {
        nowhere(&off.curl(target, &cookie(&browser)), &unknown);
    }
    assert_eq!(off.app.count(), before, "no app sees it");
    off.finish();

    // Switched on, it is not there for the public either, nor for a peer that is not named.
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let stranger = format!("{{address: '{at}', forward_auth: {{dialect: nginx, peers: [192.0.2.7]}}}}");
    let asking = Asking::with("nginx", Settings::default().also_at(stranger));
    let browser = logged_in(&asking.world);
    let whole = call("nginx", &asking.world.authority(), "GET", "/letters/", &cookie(&browser));
    assert_eq!(asking.send(&whole).status, 200);
    let refused = exchange(at, whole.as_bytes());
    nowhere(&refused, &unknown);
    nowhere(&asking.world.send(whole.replace("Host: gateway", "Host: {host}")), &unknown);
    // And where proxies ask, nothing else is served.
    for target in
        ["/", "/app/", "/letters/", "/oauth2/login?redirect=/", "/oauth2/session", "/oauth2/forwardauth?a=b"]
    {
        let line = format!("GET {target} HTTP/1.1");
        nowhere(&asking.send(&whole.replace("GET /oauth2/forwardauth HTTP/1.1", &line)), &unknown);
    }
    asking.world.finish();
}

/// A route is carried by the gateway or asked about: neither door leads to the other's routes.
#[test]
fn a_route_has_one_door() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let browser = logged_in(&asking.world);
        let cookie = cookie(&browser);
        let before = asking.world.app.count();
        for target in ["/letters/", "/news/", "/help/", "/letters/secret/a"] {
            for fields in ["", cookie.as_str()] {
                assert_eq!(asking.world.curl(target, fields).status, 404, "{target}");
            }
            // Not even that there is something that takes other methods.
            let odd = format!("PROPFIND {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
            let answer = asking.world.send(odd);
            assert_eq!((answer.status, answer.header("allow")), (404, None), "{target}");
        }
        for target in [
            "/",
            "/app/",
            "/public/",
            "/optional/",
            "/oauth2/session",
            "/oauth2/login",
            "/oauth2/forwardauth",
            "/.well-known/portvakt/jwks.json",
        ] {
            asking.refuses(&asking.get(target, &cookie), 404, target);
        }
        assert_eq!(asking.world.app.count(), before);
        asking.world.finish();
    }
}

#[test]
fn what_is_not_in_normal_form_or_of_another_host_is_refused_whatever_it_would_be() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let browser = logged_in(&asking.world);
        let cookie = cookie(&browser);
        for target in [
            "/help/../letters/",
            "/help/..;/letters/",
            "/help/%2e%2e/letters/",
            "/help/%252e%252e/letters/",
            "//letters/",
            "/help//letters/",
            "/letters/%61",
            "/%6cetters/",
            "/letters/a%2Fb",
            "/letters/a%2fb",
            "/letters/%c3%a5",
            "/letters/a%5cb",
            "/letters/a\\b",
            "/letters/a%00",
            "/letters/a%zz",
            "/letters/å",
            "/letters/a#b",
            "/LETTERS/",
            "/letters;x/",
        ] {
            let answer = asking.get(target, &cookie);
            asking.refuses(&answer, 400, target);
        }
        assert_eq!(asking.get("/letters/%C3%A5", &cookie).status, 200);
        let port = asking.world.url("/").port().unwrap();
        for (host, status) in [
            (format!("LOCALHOST:{port}"), 400),
            (format!("localhost.:{port}"), 400),
            (format!("user@localhost:{port}"), 400),
            (format!("localhost:{port}, localhost:{port}"), 400),
            ("localhost".to_owned(), 421),
            ("elsewhere.example".to_owned(), 421),
            (format!("127.0.0.1:{port}"), 421),
        ] {
            asking.refuses(&asking.ask_of(&host, "GET", "/letters/", &cookie), status, &host);
        }
        // The query plays no part, whatever is in it.
        for query in ["?", "?/help/", "?x=/../help/", "?url=https://elsewhere.example/", "?a=%2e%2e%2f"] {
            assert_eq!(asking.get(&format!("/letters/{query}"), &cookie).status, 200, "{query}");
            asking.refuses(&asking.get(&format!("/letters/{query}"), ""), 401, query);
        }
        for method in ["TRACE", "PROPFIND", "get"] {
            let answer = asking.ask(method, "/letters/", &cookie);
            assert!(
                answer.status == 403 || answer.status == 405 || answer.status == 501,
                "{method}: {}",
                answer.status
            );
            assert_eq!(identity(&answer), []);
        }
        asking.world.finish();
    }
}

#[test]
fn what_a_proxy_does_not_say_in_full_and_once_is_not_believed() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let browser = logged_in(&asking.world);
        let whole = call(dialect, &asking.world.authority(), "GET", "/letters/", &cookie(&browser));
        assert_eq!(asking.send(&whole).status, 200);
        let lines: Vec<&str> = whole.split("\r\n").collect();
        let own = |line: &&&str| {
            line.starts_with("X-Original-")
                || line.starts_with("X-Forwarded-") && !line.starts_with("X-Forwarded-For")
        };
        for line in lines.iter().filter(own) {
            let without = whole.replace(&format!("{line}\r\n"), "");
            asking.refuses(&asking.send(&without), 400, &format!("without {line}"));
            let doubled = whole.replace(line, &format!("{line}\r\n{line}"));
            asking.refuses(&asking.send(&doubled), 400, &format!("twice {line}"));
            let (name, value) = line.split_once(": ").unwrap();
            let listed = whole.replace(line, &format!("{name}: {value}, {value}"));
            assert_ne!(asking.send(&listed).status, 200, "a list {line}");
            let under = whole.replace(name, &name.replace('-', "_"));
            asking.refuses(&asking.send(&under), 400, &format!("another name {line}"));
        }
        // What another dialect would say is not heard.
        for other in DIALECTS.into_iter().filter(|other| *other != dialect) {
            let foreign = call(other, &asking.world.authority(), "GET", "/help/", "");
            let claims: String = foreign
                .split("\r\n")
                .filter(|line| own(&line) && !line.starts_with("X-Forwarded-Proto"))
                .map(|line| format!("{line}\r\n"))
                .collect();
            if claims.is_empty()
                || ["traefik", "caddy"].contains(&dialect) && ["traefik", "caddy"].contains(&other)
            {
                continue;
            }
            asking.refuses(&asking.get("/letters/", &claims), 401, other);
        }
        if dialect != "envoy" {
            for method in ["POST", "HEAD", "OPTIONS"] {
                let other = whole.replacen("GET /oauth2", &format!("{method} /oauth2"), 1);
                let answer = asking.send(&other.replace("X-Original", "Content-Length: 0\r\nX-Original"));
                assert!(answer.status == 400 || answer.status == 403, "{method}: {}", answer.status);
                assert_eq!(identity(&answer), []);
            }
        }
        let upgrade = whole.replace("Connection: close", "Connection: close, upgrade\r\nUpgrade: websocket");
        asking.refuses(&asking.send(&upgrade), 400, "another protocol");
        // As nginx and Traefik show it.
        let key =
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For";
        asking.refuses(&asking.send(&whole.replacen("X-Forwarded-For", key, 1)), 400, "a WebSocket");
        asking.world.finish();
    }
}

/// A proxy may pass on to its app what the client sent: whoever claims to be somebody gets no further.
#[test]
fn who_says_who_they_are_is_refused_everywhere() {
    const CANARY: &str = "01817000001";
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        asking.world.secrets.add(CANARY);
        let browser = logged_in(&asking.world);
        for name in [
            "X-Identity-Fnr",
            "x-identity-fnr",
            "X_Identity_Fnr",
            "X-Identity_Fnr",
            "x.identity.fnr",
            "X-Identity",
            "X-Identity-Anything",
            "X-Identity-Assertion",
            "OIDC_CLAIM_pid",
            "SM_USER",
        ] {
            let claim = format!("{name}: {CANARY}\r\n");
            for target in ["/letters/", "/news/", "/help/"] {
                let answer = asking.get(target, &format!("{}{claim}", cookie(&browser)));
                assert!((400..500).contains(&answer.status), "{dialect} {name} {target}: {}", answer.status);
                assert_eq!(identity(&answer), [], "{dialect} {name} {target}");
            }
        }
        asking.world.finish();
    }
}

/// Who may ask, and about what, is the configuration of each request.
#[test]
fn a_reload_takes_a_door_away() {
    let mut asking = Asking::start("nginx");
    let cookie = cookie(&logged_in(&asking.world));
    let stranger = asking.world.settings.listeners[0].replace("127.0.0.0/8", "192.0.2.7");
    let known = std::mem::replace(&mut asking.world.settings.listeners[0], stranger);
    assert_eq!(asking.get("/letters/", &cookie).status, 200);
    asking.world.write_configuration();
    asking.world.signal("HUP");
    await_that("the proxy is a stranger", || {
        let answer = asking.get("/letters/", &cookie);
        assert!(answer.status == 404 || !identity(&answer).is_empty());
        (answer.status == 404).then_some(())
    });
    asking.world.settings.listeners[0] = known;
    for route in &mut asking.world.settings.routes {
        if route.contains("'/letters/**'") {
            *route = route.replace("forward_auth: true", "upstream: app");
        }
    }
    asking.world.write_configuration();
    asking.world.signal("HUP");
    let carried = || (asking.world.curl("/letters/", &cookie).status == 200).then_some(());
    await_that("the gateway carries the route", carried);
    assert_eq!(asking.world.app.last().header("x-identity-fnr"), Some(NORA.1));
    asking.refuses(&asking.get("/letters/", &cookie), 404, "asked about a route that is carried");
    asking.world.finish();
}

/// A preflight that the gateway would answer itself with success is none for a proxy's app.
#[test]
fn no_answer_of_ours_is_taken_for_a_yes() {
    for dialect in DIALECTS {
        let cors = "{path: '/api/**', access: login, cors: {origins: ['https://a.example']}, upstream: app}";
        let asking = Asking::with(dialect, Settings::default().route(cors));
        let preflight = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n";
        asking.refuses(&asking.ask("OPTIONS", "/api/", preflight), 404, "a preflight of another door");
        asking.refuses(&asking.ask("OPTIONS", "/letters/", preflight), 401, "a preflight");
        asking.refuses(&asking.get("/nowhere/", ""), 404, "no route");
        let grpc = "Content-Type: application/grpc\r\n";
        asking.refuses(&asking.ask("POST", "/letters/", grpc), 401, "a call");
        let (status, told) =
            over_http2(&asking, "POST", "/letters/", &[("content-type", "application/grpc")]);
        assert!(status == 401 && told.is_empty(), "{dialect} gRPC: {status}");
        asking.world.finish();
    }
}

#[test]
fn a_proxy_may_ask_over_http2() {
    for dialect in DIALECTS {
        let asking = Asking::start(dialect);
        let browser = logged_in(&asking.world);
        let session = format!("__Host-portvakt={}", browser.session_cookie().unwrap());
        let (status, told) =
            over_http2(&asking, "GET", "/letters/a?b", &[("cookie", "a=1"), ("cookie", &session)]);
        assert_eq!(status, 200, "{dialect}");
        assert!(told.contains(&("x-identity-fnr".to_owned(), NORA.1.to_owned())), "{told:?}");
        assert!(told.contains(&("cookie".to_owned(), "a=1".to_owned())), "{told:?}");
        let (status, told) = over_http2(&asking, "GET", "/letters/a?b", &[]);
        assert!(status == 401 && told.is_empty(), "{dialect}: {status} {told:?}");
        asking.world.finish();
    }
}

/// The status, and what the answer says of a person or their cookies.
fn over_http2(
    asking: &Asking,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> (u16, Vec<(String, String)>) {
    let host = asking.world.authority();
    let origin = format!("http://{host}{target}");
    let (line, own): (_, Vec<(&str, &str)>) = match asking.dialect {
        "nginx" => (
            ("GET", "/oauth2/forwardauth".to_owned()),
            vec![("x-original-method", method), ("x-original-url", &origin)],
        ),
        "envoy" => ((method, format!("/oauth2/forwardauth{target}")), vec![("x-forwarded-proto", "http")]),
        _ => (
            ("GET", "/oauth2/forwardauth".to_owned()),
            vec![
                ("x-forwarded-method", method),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", &host),
                ("x-forwarded-uri", target),
            ],
        ),
    };
    let mut request = http::Request::builder().method(line.0).uri(format!("http://{host}{}", line.1));
    for (name, value) in own.iter().chain(fields) {
        request = request.header(*name, *value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let head = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(asking.at).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        tokio::time::timeout(crate::harness::http::PATIENCE, answer)
            .await
            .expect("an answer")
            .unwrap()
            .into_parts()
            .0
    });
    let told = head
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().contains("identity") || *name == http::header::COOKIE);
    let told = told.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (head.status.as_u16(), told)
}
