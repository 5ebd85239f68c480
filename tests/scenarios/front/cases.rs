//! The table: what is asked in the same words over both protocols, and what must become of it.

use crate::corpus;

/// What a client claims of itself; no app and no log may see it.
pub(super) const CANARY: &str = "01817000001";

/// A request, whatever carries it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    /// The host that is asked for; `None`: the gateway's.
    pub(super) authority: Option<String>,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Body>,
}

/// A body and how it comes.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// In so many parts: chunks, or DATA frames. 0: as it is, whatever the fields say of it.
    pub(super) parts: usize,
    /// Whether its length is announced.
    pub(super) announced: bool,
    /// Whether an empty DATA frame ends it.
    pub(super) empty_end: bool,
}

/// What must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// It arrives once and whole at this target, with the right person.
    Arrives(String),
    /// It may arrive: with the right person or none, and nothing that the client claimed.
    Harmless,
    /// It does not arrive.
    Refused,
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) ask: Ask,
    pub(super) want: Want,
}

impl Ask {
    fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        Self { method: method.into(), target: target.into(), authority: None, fields: Vec::new(), body: None }
    }

    fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", target)
    }

    fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    fn of(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    fn carrying(mut self, bytes: impl Into<Vec<u8>>, parts: usize, announced: bool) -> Self {
        self.body = Some(Body { bytes: bytes.into(), parts, announced, empty_end: false });
        self
    }

    /// A body without a word on its framing.
    fn raw(self, bytes: &str) -> Self {
        self.carrying(bytes, 0, false)
    }

    fn ending_empty(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body.empty_end = true;
        }
        self
    }

    fn refused(self, name: &str) -> Case {
        Case { name: name.to_owned(), ask: self, want: Want::Refused }
    }

    fn harmless(self, name: &str) -> Case {
        Case { name: name.to_owned(), ask: self, want: Want::Harmless }
    }

    fn arrives(self, name: &str) -> Case {
        let target = String::from_utf8(self.target.clone()).unwrap();
        Case { name: name.to_owned(), ask: self, want: Want::Arrives(target) }
    }
}

/// Whether a row attacks, or is somebody's everyday request.
pub(super) fn is_hostile(case: &Case) -> bool {
    !matches!(case.want, Want::Arrives(_))
}

/// Every row that both protocols share.
pub(super) fn shared() -> Vec<Case> {
    [
        targets(),
        identity(),
        origins(),
        hosts(),
        methods(),
        own(),
        cookies(),
        sizes(),
        framing(),
        everyday(),
        bodies(),
    ]
    .concat()
}

/// The corpus of request targets.
fn targets() -> Vec<Case> {
    let lines = corpus(include_str!("../../data/targets-hostile.txt"));
    let case = |line: &String| {
        let bytes = |text: &str| {
            text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect::<Vec<_>>()
        };
        let (target, want) = match line.split_once(" -> ") {
            Some((target, arrives)) => (target, Want::Arrives(arrives.to_owned())),
            None => (line.as_str(), Want::Refused),
        };
        Case { name: format!("target {target:?}"), ask: Ask::get(bytes(target)), want }
    };
    lines.iter().map(case).collect()
}

/// Claims to be somebody, in every spelling that an app server could take for it.
fn identity() -> Vec<Case> {
    const SPELLINGS: [&str; 24] = [
        "x-identity-fnr",
        "X-Identity-Fnr",
        "X_Identity_Fnr",
        "X-Identity_Fnr",
        "x.identity.fnr",
        "X~Identity~Fnr",
        "X!Identity!Fnr",
        "X|Identity-Fnr",
        "X-Identity",
        "X-Identity-",
        "X-Identity-Loa",
        "X-Identity-Kind",
        "X-Identity-Assertion",
        "X-Identity-Anything",
        "X-Identity-Fnr-",
        "HTTP_X_IDENTITY_FNR",
        "X-Identity.Fnr",
        "X-Identity'Fnr",
        "X-Identity*Fnr",
        "x+identity+fnr",
        "X-identity#fnr",
        "x-identity-session",
        "x^identity^fnr",
        "x`identity`fnr",
    ];
    let mut cases: Vec<Case> = SPELLINGS
        .iter()
        .flat_map(|name| {
            [
                Ask::get("/app/").with(name, CANARY).harmless(&format!("identity {name}")),
                Ask::get("/public/")
                    .with(name, CANARY)
                    .harmless(&format!("identity {name} on a public route")),
            ]
        })
        .collect();
    cases.push(
        Ask::get("/app/")
            .with("x-identity-fnr", CANARY)
            .with("x-identity-fnr", CANARY)
            .harmless("identity twice"),
    );
    cases
}

/// Claims to come from elsewhere, or to be for another place.
fn origins() -> Vec<Case> {
    const NAMES: [&str; 16] = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-forwarded-port",
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-client-cert",
        "x-forwarded-user",
    ];
    NAMES
        .iter()
        .map(|name| Ask::get("/app/").with(name, CANARY).harmless(&format!("origin {name}")))
        .collect()
}

fn hosts() -> Vec<Case> {
    [
        "evil.test",
        "localhost",
        "localhost:1",
        "localhost:{port}.evil.test",
        "evil.test:{port}",
        "127.0.0.1:{port}",
        "user@localhost:{port}",
        "localhost:{port}/",
        "localhost:{port}:80",
        "localhost:0{port}0",
        "",
        "localhost:+{port}",
        "xn--localhost:{port}",
        "localhost..:{port}",
        "[::1]:{port}",
    ]
    .iter()
    .map(|host| Ask::get("/app/").of(host).refused(&format!("host {host:?}")))
    .collect()
}

fn methods() -> Vec<Case> {
    let unknown = ["TRACE", "TRACK", "FOO", "get", "Get", "PROPFIND", "PURGE", "CONNECT", "PRI", "GET-"];
    unknown.iter().map(|method| Ask::new(method, "/app/").refused(&format!("method {method}"))).collect()
}

/// Our own endpoints, in spellings that an app could take for its own.
fn own() -> Vec<Case> {
    [
        "/oauth2",
        "/oauth2/",
        "/oauth2/x",
        "/OAuth2/login",
        "/oauth2;a/login",
        "/oauth2%3Ba/login",
        "/oauth2/login/",
        "/oauth2/LOGIN",
        "/%6fauth2/nothing",
        "/.well-known/portvakt",
        "/.Well-Known/Portvakt",
        "/oauth2/session/x",
    ]
    .iter()
    .map(|target| Ask::get(*target).refused(&format!("own {target}")))
    .collect()
}

/// Cookies that are not what they seem. The row's own cookie comes beside the person's.
fn cookies() -> Vec<Case> {
    [
        "__Host-portvakt=AAAA",
        "__Host-portvakt=",
        "__host-portvakt=x; __HOST-PORTVAKT=y",
        "portvakt=x",
        "__Secure-portvakt-logout=x",
        "__Host-portvakt-login-1=x",
        ";;;;",
        "=;=;=",
        "\"__Host-portvakt\"=x",
        " __Host-portvakt =x",
    ]
    .iter()
    .map(|cookie| Ask::get("/optional/").with("cookie", *cookie).harmless(&format!("cookie {cookie:?}")))
    .collect()
}

fn sizes() -> Vec<Case> {
    let many = (0..120).fold(Ask::get("/app/"), |ask, number| ask.with(&format!("x-{number}"), "y"));
    let spread =
        (0..40).fold(Ask::get("/app/"), |ask, number| ask.with(&format!("x-{number}"), "y".repeat(1000)));
    vec![
        many.refused("120 fields"),
        spread.refused("40 KB in 40 fields"),
        Ask::get("/app/").with("x", "y".repeat(40_000)).refused("40 KB in one field"),
        Ask::get("/app/").with("cookie", "y=".repeat(20_000)).refused("40 KB of cookies"),
        Ask::get(format!("/app/{}", "a".repeat(9_000))).refused("a target of 9 KB"),
        Ask::get(format!("/app/?{}", "a".repeat(9_000))).refused("a query of 9 KB"),
    ]
}

/// What says where a body ends, said twice or otherwise than it is.
fn framing() -> Vec<Case> {
    let post = || Ask::new("POST", "/app/");
    vec![
        post().with("content-length", "3").with("content-length", "3").raw("abc").refused("length twice"),
        post().with("content-length", "3").with("content-length", "4").raw("abcd").refused("lengths differ"),
        post().with("content-length", "3, 3").raw("abc").refused("a list of lengths"),
        post().with("content-length", "+3").raw("abc").refused("+3"),
        post().with("content-length", "0x3").raw("abc").refused("0x3"),
        post().with("content-length", "-1").raw("abc").refused("-1"),
        post().with("content-length", "3 ").with("content_length", "0").raw("abc").refused("content_length"),
        post().with("content-length", "03").raw("abc").refused("03"),
        post().with("content-length", "").raw("abc").refused("an empty length"),
        post().with("content-length", "99999999999999999999").raw("abc").refused("a length beyond 64 bits"),
        post().with("transfer_encoding", "chunked").carrying("abc", 1, true).refused("transfer_encoding"),
        post().with("transfer-encoding", "gzip").raw("abc").refused("gzip"),
        post().with("transfer-encoding", "chunked, chunked").raw("abc").refused("chunked twice"),
        post().with("transfer-encoding", "identity").raw("abc").refused("identity"),
        post().with("x-a", "a\rb").carrying("abc", 1, true).refused("CR in a value"),
        post().with("x-a", "a\nX-Identity-Fnr: 1").carrying("abc", 1, true).refused("LF in a value"),
        post()
            .with("x-a", "a\r\nX-Identity-Fnr: 1\r\nb: ")
            .carrying("abc", 1, true)
            .harmless("CR LF in a value"),
        post().with("x-a", "a\0b").carrying("abc", 1, true).refused("NUL in a value"),
        post().with("x a", "b").carrying("abc", 1, true).refused("a space in a name"),
        post().with("", "b").carrying("abc", 1, true).refused("no name"),
        post().with("x(a", "b").carrying("abc", 1, true).refused("a bracket in a name"),
        post().with("x\u{e5}", "b").carrying("abc", 1, true).refused("a letter beyond ASCII in a name"),
    ]
}

fn everyday() -> Vec<Case> {
    let browser = |ask: Ask| {
        ask.with("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
            .with("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
            .with("accept-language", "nb-NO,nb;q=0.9,no-NO;q=0.8,en;q=0.5")
            .with("accept-encoding", "gzip, deflate, br, zstd")
            .with("upgrade-insecure-requests", "1")
            .with("sec-fetch-dest", "document")
            .with("sec-fetch-mode", "navigate")
            .with("sec-fetch-site", "same-origin")
            .with("priority", "u=0, i")
    };
    let many = (0..85).fold(Ask::get("/app/many"), |ask, number| ask.with(&format!("x-{number}"), "y"));
    let crumbs = (0..30)
        .fold(Ask::get("/app/crumbs"), |ask, number| ask.with("cookie", format!("c{number}=v{number}")));
    vec![
        browser(Ask::get("/app/")).arrives("a browser's page"),
        browser(Ask::get("/app/letters/2026/11?sort=date&page=2")).arrives("a browser's page with a query"),
        Ask::get("/app/api")
            .with("accept", "application/json")
            .with("x-requested-with", "XMLHttpRequest")
            .arrives("a script"),
        Ask::get("/app/a").with("range", "bytes=0-99").arrives("a range"),
        Ask::get("/app/a").with("if-none-match", "\"abc\", W/\"d\"").arrives("a conditional request"),
        Ask::get("/app/a").with("if-modified-since", "Sat, 21 Nov 2026 06:00:00 GMT").arrives("if modified"),
        Ask::get("/app/a").with("cache-control", "no-cache").with("pragma", "no-cache").arrives("a reload"),
        Ask::get("/app/a").with("authorization", "Basic YTpi").arrives("an app's own authorization"),
        Ask::get("/app/a").with("referer", "https://example.no/app/?x=1").arrives("a referrer"),
        Ask::get("/app/a").with("x-empty", "").arrives("an empty value"),
        Ask::get("/app/a").with("x-long", "y".repeat(8_000)).arrives("a long value"),
        Ask::get("/app/a").with("x-text", "bl\u{e5}b\u{e6}r".as_bytes()).arrives("a value beyond ASCII"),
        Ask::get("/app/a").with("x-tab", "a\tb").arrives("a tab in a value"),
        Ask::get("/app/a").with("x-twice", "1").with("x-twice", "2").arrives("a field twice"),
        Ask::get("/app/a").with("te", "trailers").arrives("trailers are welcome"),
        Ask::get("/app/a").with("save-data", "on").with("dnt", "1").with("sec-gpc", "1").arrives("wishes"),
        Ask::get("/app/a")
            .with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .arrives("a trace"),
        Ask::get("/app/a").with("cookie", "JSESSIONID=1A2B; theme=dark").arrives("an app's cookies"),
        Ask::get("/app/a").with("cookie", "a=b=c; d=\"e f\"; g=").arrives("odd cookies of an app"),
        many.arrives("85 fields"),
        crumbs.arrives("thirty cookies one by one"),
        Ask::new("HEAD", "/app/a").arrives("HEAD"),
        Ask::new("OPTIONS", "/app/a").arrives("OPTIONS"),
        Ask::new("DELETE", "/app/a").arrives("DELETE"),
        Ask::get(format!("/app/?q={}", "a".repeat(7_000))).arrives("a long query"),
        Ask::get("/app/a:b@c;d=e,f+g$h!i*j'k(l)").arrives("every character that a path may hold"),
        Ask::get("/app/?").arrives("an empty query"),
        Ask::get("/app/?a=b?c/d&e=%20&f=%C3%A5&g=a+b").arrives("every kind of query"),
    ]
}

fn bodies() -> Vec<Case> {
    let post = |method: &str, target: &str| {
        Ask::new(method, target).with("content-type", "application/octet-stream")
    };
    let form = || Ask::new("POST", "/app/form").with("content-type", "application/x-www-form-urlencoded");
    let crlf = b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n";
    vec![
        form().carrying("a=b&c=d", 1, true).arrives("a form"),
        form().carrying("a=b&c=d", 3, false).arrives("a form in parts"),
        form().carrying("a=b", 1, false).ending_empty().arrives("a form whose end is an empty frame"),
        form()
            .carrying("a=b", 1, true)
            .ending_empty()
            .arrives("an announced form whose end is an empty frame"),
        post("POST", "/app/b").carrying(&crlf[..], 1, true).arrives("a body that looks like requests"),
        post("POST", "/app/b").carrying(&crlf[..], 5, false).arrives("the same in parts"),
        post("POST", "/app/b").carrying(vec![0; 60_000], 7, true).arrives("60 KB of zeros"),
        post("POST", "/app/b").carrying(vec![255; 50_000], 4, false).arrives("50 KB in parts"),
        post("PUT", "/app/b").carrying("x", 1, true).arrives("PUT"),
        post("PATCH", "/app/b").carrying("{}", 1, true).arrives("PATCH"),
        post("DELETE", "/app/b").carrying("why", 1, true).arrives("DELETE with a body"),
        post("POST", "/app/b").carrying("", 1, true).arrives("POST of nothing"),
        post("POST", "/app/b")
            .with("content-encoding", "gzip")
            .carrying("gz", 1, true)
            .arrives("a compressed body"),
        post("POST", "/app/b")
            .with("expect", "100-continue")
            .carrying("abc", 1, true)
            .arrives("a client that asks first"),
    ]
}
