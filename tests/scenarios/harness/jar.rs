//! A browser's cookies (RFC 6265bis, 5.6 to 5.8), as far as loopback needs them.
//!
//! Ports play no part: cookies do not know them. `localhost` and `127.0.0.1` are different sites.

use url::Url;

/// A stored cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Name with its prefix.
    pub(crate) name: String,
    /// Value.
    pub(crate) value: String,
    /// The host that set it, and that alone gets it back, or its `Domain`.
    pub(crate) host: String,
    /// Whether hosts below `host` get it too.
    shared: bool,
    /// `Path`.
    pub(crate) path: String,
    /// Everything behind the pair, as it stood.
    pub(crate) attributes: String,
    cross_site: bool,
}

/// All cookies of a browser.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Every cookie that a host has set.
    pub(crate) fn of(&self, host: &str) -> Vec<&Cookie> {
        self.cookies.iter().filter(|cookie| cookie.host == host).collect()
    }

    /// Changes a cookie behind the gateway's back.
    pub(crate) fn put(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.retain(|cookie| cookie.host != host || cookie.name != name);
        self.cookies.push(Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host: host.to_owned(),
            shared: false,
            path: "/".to_owned(),
            attributes: String::new(),
            cross_site: false,
        });
    }

    /// Takes a cookie away.
    pub(crate) fn remove(&mut self, host: &str, name: &str) {
        self.cookies.retain(|cookie| cookie.host != host || cookie.name != name);
    }

    /// What `Set-Cookie` asks for, unless a browser would ignore it.
    pub(crate) fn set(&mut self, line: &str, url: &Url) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let Some((name, value)) = pair.split_once('=') else { return };
        let (name, value) = (name.trim(), value.trim());
        let attribute = |wanted: &str| {
            attributes
                .split(';')
                .filter_map(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
                })
                .next_back()
        };
        let secure = attribute("secure").is_some();
        let host = url.host_str().unwrap_or_default().to_owned();
        let local = host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.0.0.");
        let trusted = url.scheme() == "https" || local;
        let given_path = attribute("path").filter(|path| path.starts_with('/'));
        let prefix =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
        let host_only = attribute("domain").is_none();
        let ignored = (secure && !trusted)
            || (prefix("__secure-") && !secure)
            || (prefix("__host-") && !(secure && host_only && given_path.as_deref() == Some("/")))
            || attribute("domain")
                .is_some_and(|domain| domain != host && !(domain.contains('.') && is_below(&host, &domain)))
            || name.len() + value.len() > 4096;
        if ignored {
            return;
        }
        let directory =
            url.path().rsplit_once('/').map_or("/", |(head, _)| if head.is_empty() { "/" } else { head });
        let path = given_path.unwrap_or_else(|| directory.to_owned());
        let shared = !host_only;
        let host = attribute("domain").unwrap_or(host);
        self.cookies.retain(|cookie| {
            !(cookie.name == name && cookie.host == host && cookie.shared == shared && cookie.path == path)
        });
        if attribute("max-age").is_some_and(|age| age.parse::<i64>().is_ok_and(|age| age <= 0)) {
            return;
        }
        let cross_site = attribute("samesite").is_some_and(|site| site.eq_ignore_ascii_case("none"));
        self.cookies.push(Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host,
            shared,
            path,
            attributes: attributes.trim().to_owned(),
            cross_site,
        });
    }

    /// The `Cookie` line for a request. `lax`: whether cookies that are not `SameSite=None` go along.
    pub(crate) fn line(&self, url: &Url, lax: bool) -> Option<String> {
        let mut sent: Vec<&Cookie> = self
            .cookies
            .iter()
            .filter(|cookie| {
                let host = url.host_str().unwrap_or_default();
                cookie.host == host || (cookie.shared && is_below(host, &cookie.host))
            })
            .filter(|cookie| path_matches(url.path(), &cookie.path) && (lax || cookie.cross_site))
            .collect();
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> =
            sent.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// RFC 6265bis, 5.1.3.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|head| head.ends_with('.'))
}

/// RFC 6265bis, 5.1.4.
fn path_matches(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[test]
fn the_jar_takes_and_sends_what_a_browser_would() {
    let url = |text: &str| Url::parse(text).unwrap();
    let here = url("http://localhost:1/oauth2/callback");
    let mut jar = Jar::default();
    for ignored in [
        "__Host-a=1; Path=/",
        "__Host-a=1; Path=/x; Secure",
        "__Host-a=1; Secure",
        "__host-a=1; Path=/; Secure; Domain=localhost",
        "__Secure-a=1; Path=/",
        "a=1; Domain=evil.example",
    ] {
        jar.set(ignored, &here);
        assert_eq!(jar.of("localhost"), Vec::<&Cookie>::new(), "{ignored}");
    }
    jar.set(&format!("a={}", "x".repeat(5_000)), &here);
    jar.set("__Host-a=1; Path=/; Secure; SameSite=Lax", &here);
    jar.set("b=2", &here);
    let line = |jar: &Jar, to: &str, lax| jar.line(&url(to), lax);
    // Longer paths come first; ports do not count, sites do.
    assert_eq!(line(&jar, "http://localhost:2/oauth2/x", true).as_deref(), Some("b=2; __Host-a=1"));
    assert_eq!(line(&jar, "http://localhost:1/oauth2x", true).as_deref(), Some("__Host-a=1"));
    assert_eq!(line(&jar, "http://127.0.0.1:1/oauth2/x", true), None);
    assert_eq!(line(&jar, "http://localhost:1/oauth2/x", false), None);
    jar.set("__Host-a=; Path=/; Secure; Max-Age=0", &here);
    assert_eq!(line(&jar, "http://localhost:1/", true), None);
    jar.set("__Secure-a=1; Path=/; Secure; Domain=x.localhost", &url("http://a.x.localhost:1/"));
    assert_eq!(line(&jar, "http://b.x.localhost:1/", true).as_deref(), Some("__Secure-a=1"));
    assert_eq!(line(&jar, "http://bx.localhost:1/", true), None);
    jar.set("__Secure-a=; Path=/; Secure; Domain=x.localhost; Max-Age=0", &url("http://x.localhost:1/"));
    assert_eq!(jar.of("x.localhost"), Vec::<&Cookie>::new());
}
