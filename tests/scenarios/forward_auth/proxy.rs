//! A real proxy in front of an app, as its example in `deploy/` configures it, with the gateway beside it.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::ROUTES;
use crate::harness::http::{Response, exchange};
use crate::harness::process::{Process, await_that};
use crate::harness::{Settings, World, free_port};

/// The proxy, the app behind it, and the gateway that it asks.
pub(super) struct Proxied {
    pub(super) world: World,
    /// Where the proxy serves, by the name of its host.
    pub(super) origin: String,
    address: SocketAddr,
    _proxy: Process,
}

impl Proxied {
    /// `configure` writes the proxy's configuration into the world's folder and says how it is started.
    pub(super) fn start(
        dialect: &str,
        configure: impl FnOnce(&World, SocketAddr, SocketAddr) -> Command,
    ) -> Self {
        let [address, asked] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let listener =
            format!("{{address: '{asked}', forward_auth: {{dialect: {dialect}, peers: [127.0.0.1]}}}}");
        let mut world = World::with(Settings::default().route(ROUTES[0]).also_at(listener));
        let origin = format!("http://app.localhost:{}", address.port());
        let routes: String = ROUTES.iter().map(|route| format!("      - {route}\n")).collect();
        world.settings.hosts = format!(
            "  - origin: '{origin}'\n    provider: idporten\n    auth_host: '{}'\n    routes:\n{routes}  \
             - origin: 'http://{}'\n    routes:\n      - {{path: '/**', access: public, forward_auth: true}}\n",
            world.origin(),
            other(address),
        );
        world.write_configuration();
        world.restart_gateway();
        let mut command = configure(&world, address, asked);
        let mut proxy = Process::start(&mut command, world.folder(), "proxy");
        await_that("the proxy listens", || {
            assert!(proxy.ended().is_none(), "the proxy has ended: {}", proxy.errors());
            TcpStream::connect(address).is_ok().then_some(())
        });
        Self { world, origin, address, _proxy: proxy }
    }

    pub(super) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.origin)
    }

    /// A request by a program; `fields` each with CRLF.
    pub(super) fn send(&self, method: &str, target: &str, fields: &str, body: &str) -> Response {
        let host = self.origin.trim_start_matches("http://");
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{fields}{length}Connection: close\r\n\r\n{body}"
        );
        exchange(self.address, head.as_bytes())
    }

    pub(super) fn get(&self, target: &str, fields: &str) -> Response {
        self.send("GET", target, fields, "")
    }

    /// Bytes as they stand.
    pub(super) fn raw(&self, bytes: &str) -> Response {
        exchange(self.address, bytes.as_bytes())
    }
}

/// Another host of the gateway's, where everything is public, and which the proxy does not serve.
fn other(address: SocketAddr) -> String {
    format!("other.localhost:{}", address.port())
}

/// What holds whichever proxy it is.
pub(super) fn keeps_the_promise(proxied: &Proxied) {
    const CANARY: &str = "01817000001";
    let (world, nora) = (&proxied.world, super::NORA);
    world.secrets.add(CANARY);
    let mut browser = world.browser();

    // A page is sent to log in, and the login leads back to it.
    let page = browser.log_in(&proxied.url("/letters/a?b=c%2Fd"), nora.0);
    assert_eq!(
        (page.status(), page.url.as_str()),
        (200, proxied.url("/letters/a?b=c%2Fd").as_str()),
        "{}",
        page.text()
    );
    let received = world.app.last();
    assert_eq!(received.target(), "/letters/a?b=c%2Fd");
    assert_eq!(received.header("x-identity-fnr"), Some(nora.1));
    assert_eq!(received.header("host"), Some(proxied.origin.trim_start_matches("http://")));
    assert_eq!(page.response.header("cache-control"), Some("private, no-store"));
    let told: Vec<(String, String)> = received
        .identity()
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .collect();
    assert!(told.len() > 5 && told.iter().all(|(_, value)| !value.is_empty()), "{told:?}");

    // The app never has the gateway's cookies, and has its own.
    let session = browser
        .jar
        .of("app.localhost")
        .iter()
        .find(|cookie| cookie.name == "__Host-portvakt")
        .unwrap()
        .value
        .clone();
    let cookie = format!("Cookie: a=1; __Host-portvakt={session}; b=2\r\n");
    let posted = proxied.send("POST", "/letters/send", &cookie, "hello");
    assert_eq!(posted.status, 200, "{}", posted.text());
    let received = world.app.last();
    assert_eq!((received.header("cookie"), received.body.as_slice()), (Some("a=1; b=2"), &b"hello"[..]));
    assert!(
        !String::from_utf8_lossy(&received.raw).contains("portvakt"),
        "{}",
        String::from_utf8_lossy(&received.raw)
    );
    assert_eq!(proxied.get("/help/", &format!("Cookie: __Host-portvakt={session}\r\n")).status, 200);
    let received = world.app.last();
    assert_eq!((received.header("cookie"), received.identity()), (None, Vec::new()));

    // However many cookies the app keeps.
    let many = "c".repeat(6_000);
    let answer = proxied.get("/letters/a", &format!("Cookie: a={many}; __Host-portvakt={session}\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.app.last().header("cookie"), Some(format!("a={many}").as_str()));

    // Nor can a client take away what it is told (RFC 9110, 7.6.1).
    let nominated = "Connection: close, X-Identity-Fnr, X-Identity-Loa, X-Identity-Kind\r\n";
    let answer = proxied.get("/letters/a", &format!("{cookie}{nominated}"));
    let told_then: Vec<(String, String)> = world
        .app
        .last()
        .identity()
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .collect();
    assert_eq!((answer.status, told_then), (200, told));

    // Nobody says who they are, or what they asked for.
    let before = world.app.count();
    for name in [
        "X-Identity-Fnr",
        "X_Identity_Fnr",
        "x.identity.fnr",
        "X-Identity-Org",
        "X-Identity-Assertion",
        "X-Identity-Anything",
    ] {
        for (target, cookie) in
            [("/help/", ""), ("/news/", ""), ("/letters/", cookie.as_str()), ("/news/", cookie.as_str())]
        {
            let seen = world.app.count();
            proxied.get(target, &format!("{name}: {CANARY}\r\n{cookie}"));
            if world.app.count() > seen {
                let raw = String::from_utf8_lossy(&world.app.last().raw).into_owned();
                assert!(!raw.contains(CANARY), "{name} {target}: {raw}");
            }
        }
    }
    let after = world.app.count();
    assert!(after < before + 24, "most are refused");
    for claim in [
        "X-Original-URL: http://app.localhost/help/\r\n",
        "X-Original-URI: /help/\r\nX-Original-Method: GET\r\n",
        "X-Forwarded-Uri: /help/\r\nX-Forwarded-Method: GET\r\n",
        "X-Forwarded-Host: elsewhere.example\r\nX-Forwarded-Proto: https\r\n",
        "X-Rewrite-URL: /help/\r\n",
        "Connection: close, X-Original-URL, X-Forwarded-Uri, Cookie\r\n",
    ] {
        let answer = proxied.get("/letters/", claim);
        assert!((400..500).contains(&answer.status), "{claim}: {}", answer.status);
        assert_eq!(world.app.count(), after, "{claim}");
    }

    // What is judged is what is sent, or nothing is.
    for target in [
        "/help/../letters/",
        "/help/%2e%2e/letters/",
        "/help/..%2fletters/",
        "/help/..;/letters/",
        "//letters/",
        "/help//letters/",
        "/%6cetters/",
        "/letters%2f",
        "/LETTERS/",
        "/oauth2/../letters/",
        "/oauth2/..%2fletters/",
    ] {
        let answer = proxied.get(target, &cookie);
        assert!(answer.status >= 300, "{target}: {} {}", answer.status, answer.text());
        assert_eq!(world.app.count(), after, "{target}");
    }
    let host = proxied.origin.trim_start_matches("http://").to_owned();
    for head in [
        format!("GET /letters/ HTTP/1.1\r\nHost: elsewhere.example\r\n{cookie}"),
        format!("GET /letters/ HTTP/1.1\r\nHost: {}\r\n{cookie}", host.to_uppercase()),
        format!("GET /letters/ HTTP/1.0\r\n{cookie}"),
        // The rules of one host are not asked for a request to another.
        format!("GET http://{host}/letters/ HTTP/1.1\r\nHost: {}\r\n", other(proxied.address)),
        format!("GET http://{}/letters/ HTTP/1.1\r\nHost: {host}\r\n", other(proxied.address)),
        // A WebSocket would outlive its session.
        format!(
            "GET /letters/ HTTP/1.1\r\nHost: {host}\r\n{cookie}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
    ] {
        proxied.raw(&format!("{head}Connection: close\r\n\r\n"));
        assert_eq!(world.app.count(), after, "{head}");
    }

    // Nobody asks in the proxy's place.
    for target in ["/oauth2/forwardauth", "/oauth2/forwardauth/letters/", "/portvakt-ask"] {
        let url = proxied.url("/letters/");
        let answer =
            proxied.get(target, &format!("{cookie}X-Original-Method: GET\r\nX-Original-URL: {url}\r\n"));
        assert!((400..500).contains(&answer.status), "{target}: {}", answer.status);
        assert_eq!((super::identity(&answer), world.app.count()), (Vec::new(), after), "{target}");
    }

    // Too low a level leads to another login; the wrong kind nowhere.
    let mut low = world.browser();
    assert_eq!(low.log_in(&proxied.url("/letters/"), "minid-substantial").status(), 200);
    let page = low.step(&proxied.url("/letters/secret/"));
    assert_eq!(page.status(), 302);
    assert!(page.response.location().unwrap().starts_with(&proxied.url("/oauth2/login?")));
    assert_eq!(low.step(&proxied.url("/staff/")).status(), 403);

    // After the logout nothing opens.
    browser.open(&proxied.url("/oauth2/logout"));
    let before = world.app.count();
    let answer = proxied.get("/letters/", &cookie);
    assert_eq!((answer.status, world.app.count()), (401, before));
    assert_eq!(answer.json()["error"], "login_required");
    assert!(answer.json()["login"].as_str().unwrap().starts_with("/oauth2/login?redirect=%2Fletters%2F"));
}
