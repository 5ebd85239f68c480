//! What a reverse proxy asks when it carries requests to an app itself, and only asks here whether it may
//! (`GET <prefix>/forwardauth`, `design.md` 2; `docs/decisions/009-forward-auth.md`).
//!
//! A proxy tells of the request in its own dialect. Only one dialect is read, the one that the file names, and all of
//! it must be there, once: a header of another is as good as one that the client made up (`threats.md` RT-7).
//!
//! **Invariant:** nothing is decided here. What was asked about is judged as if it had come by itself.

use http::header::{HOST, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, Method};

use crate::request::RawHead;

/// The endpoint, below the prefix.
const ENDPOINT: &str = "/forwardauth";

const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// How a proxy tells of the request that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `auth_request`: `X-Original-Method` and `X-Original-URL`, which the operator's configuration writes. It
    /// understands 2xx, 401 and 403 alone.
    Nginx,
    /// `forwardAuth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`. Every other answer is passed on.
    Traefik,
    /// `forward_auth`: as Traefik.
    Caddy,
    /// `ext_authz` with an HTTP service: the method and the host are the call's own, the target stands behind the
    /// endpoint's path, the scheme in `X-Forwarded-Proto`. Every answer but 200 is passed on.
    Envoy,
}

impl Dialect {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
        }
    }
}

/// The request that a proxy asks about, as far as the call itself does not tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Whether it came by https.
    pub secure: bool,
    /// Its `Host`, as it stood there.
    pub host: String,
    /// Its target, as it stood there.
    pub target: String,
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// It is another path.
    #[error("this is not the endpoint that proxies ask")]
    Elsewhere,
    /// The call has another method than a proxy's.
    #[error("a proxy asks by GET")]
    Method,
    /// What a proxy of this dialect says is missing, doubled or malformed.
    #[error("the headers of the dialect are missing, doubled or malformed")]
    Dialect,
    /// The client wants another protocol, which nobody judges here.
    #[error("a change of protocol cannot be asked about")]
    Upgrade,
}

/// Reads a call to the endpoint.
///
/// # Errors
///
/// [`NotAsked`]: then the answer must not be one that lets anything pass.
pub fn read(dialect: Dialect, call: RawHead<'_>, prefix: &str) -> Result<Asked, NotAsked> {
    let behind =
        call.target.strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_prefix(ENDPOINT.as_bytes()));
    let behind = behind.ok_or(NotAsked::Elsewhere)?;
    let asked = match dialect {
        Dialect::Envoy => of_itself(call, behind)?,
        // Caddy leaves the query of the client's request where it was. It is not read.
        Dialect::Caddy if behind.starts_with(b"?") && call.method == Method::GET => {
            of_forwarded(call.headers)?
        }
        // Nothing is said behind the path: who writes a query there believes that it is heeded.
        _ if !behind.is_empty() => return Err(NotAsked::Elsewhere),
        _ if call.method != Method::GET => return Err(NotAsked::Method),
        Dialect::Nginx => of_original(call.headers)?,
        Dialect::Traefik | Dialect::Caddy => of_forwarded(call.headers)?,
    };
    // Most proxies keep `Upgrade` to themselves when they ask, and carry it all the same; the key they show (RFC 6455, 4.1).
    if call.headers.contains_key(UPGRADE) || call.headers.contains_key(SEC_WEBSOCKET_KEY) {
        return Err(NotAsked::Upgrade);
    }
    Ok(asked)
}

fn of_original(headers: &HeaderMap) -> Result<Asked, NotAsked> {
    let method = method(one(headers, &ORIGINAL_METHOD)?)?;
    let (scheme, rest) = one(headers, &ORIGINAL_URL)?.split_once("://").ok_or(NotAsked::Dialect)?;
    let (host, target) = rest.split_at(rest.find('/').ok_or(NotAsked::Dialect)?);
    asked(method, scheme, host, target)
}

fn of_forwarded(headers: &HeaderMap) -> Result<Asked, NotAsked> {
    let method = method(one(headers, &FORWARDED_METHOD)?)?;
    let (scheme, host) = (one(headers, &FORWARDED_PROTO)?, one(headers, &FORWARDED_HOST)?);
    asked(method, scheme, host, one(headers, &FORWARDED_URI)?)
}

fn of_itself(call: RawHead<'_>, behind: &[u8]) -> Result<Asked, NotAsked> {
    let target = std::str::from_utf8(behind).map_err(|_| NotAsked::Dialect)?;
    let host = match (call.authority, call.headers.contains_key(HOST)) {
        (Some(authority), false) => authority,
        (None, _) => one(call.headers, &HOST)?,
        (Some(authority), true) if one(call.headers, &HOST)? == authority => authority,
        (Some(_), true) => return Err(NotAsked::Dialect),
    };
    asked(call.method.clone(), one(call.headers, &FORWARDED_PROTO)?, host, target)
}

fn asked(method: Method, scheme: &str, host: &str, target: &str) -> Result<Asked, NotAsked> {
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(NotAsked::Dialect),
    };
    if host.is_empty() || !target.starts_with('/') {
        return Err(NotAsked::Dialect);
    }
    Ok(Asked { method, secure, host: host.to_owned(), target: target.to_owned() })
}

fn method(text: &str) -> Result<Method, NotAsked> {
    Method::from_bytes(text.as_bytes()).map_err(|_| NotAsked::Dialect)
}

/// The value of a header that is there once, in visible ASCII.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, NotAsked> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().map_err(|_| NotAsked::Dialect),
        _ => Err(NotAsked::Dialect),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NGINX: &[(&str, &str)] =
        &[("x-original-method", "POST"), ("x-original-url", "https://app.example.no:8443/a/b?c=/d://e")];
    const TRAEFIK: &[(&str, &str)] = &[
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example.no:8443"),
        ("x-forwarded-uri", "/a/b?c=/d://e"),
    ];
    const ENVOY: &[(&str, &str)] = &[("host", "app.example.no:8443"), ("x-forwarded-proto", "https")];

    fn call(dialect: Dialect, line: (&str, &str), fields: &[(&str, &str)]) -> Result<Asked, NotAsked> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let method = Method::from_bytes(line.0.as_bytes()).unwrap();
        let head = RawHead { method: &method, target: line.1.as_bytes(), authority: None, headers: &headers };
        read(dialect, head, "/oauth2")
    }

    fn get(dialect: Dialect, fields: &[(&str, &str)]) -> Result<Asked, NotAsked> {
        call(dialect, ("GET", "/oauth2/forwardauth"), fields)
    }

    #[test]
    fn every_dialect_tells_the_same() {
        let expected = Asked {
            method: Method::POST,
            secure: true,
            host: "app.example.no:8443".to_owned(),
            target: "/a/b?c=/d://e".to_owned(),
        };
        assert_eq!(get(Dialect::Nginx, NGINX).as_ref(), Ok(&expected));
        assert_eq!(get(Dialect::Traefik, TRAEFIK).as_ref(), Ok(&expected));
        assert_eq!(get(Dialect::Caddy, TRAEFIK).as_ref(), Ok(&expected));
        let line = ("POST", "/oauth2/forwardauth/a/b?c=/d://e");
        assert_eq!(call(Dialect::Envoy, line, ENVOY), Ok(expected));
    }

    #[test]
    fn what_is_missing_doubled_or_of_another_dialect_tells_nothing() {
        for (dialect, fields) in
            [(Dialect::Nginx, NGINX), (Dialect::Traefik, TRAEFIK), (Dialect::Caddy, TRAEFIK)]
        {
            for at in 0..fields.len() {
                let mut lacking = fields.to_vec();
                let taken = lacking.remove(at);
                assert_eq!(get(dialect, &lacking), Err(NotAsked::Dialect), "{taken:?}");
                let mut doubled = fields.to_vec();
                doubled.push(taken);
                assert_eq!(get(dialect, &doubled), Err(NotAsked::Dialect), "{taken:?}");
                let mut empty = fields.to_vec();
                empty[at].1 = "";
                assert_eq!(get(dialect, &empty), Err(NotAsked::Dialect), "{taken:?}");
            }
        }
        assert_eq!(get(Dialect::Nginx, TRAEFIK), Err(NotAsked::Dialect));
        assert_eq!(get(Dialect::Traefik, NGINX), Err(NotAsked::Dialect));
        let line = ("GET", "/oauth2/forwardauth/a");
        assert_eq!(call(Dialect::Envoy, line, &ENVOY[..1]), Err(NotAsked::Dialect));
        assert_eq!(call(Dialect::Envoy, line, &ENVOY[1..]), Err(NotAsked::Dialect));
        assert_eq!(call(Dialect::Envoy, ("GET", "/oauth2/forwardauth"), ENVOY), Err(NotAsked::Dialect));
        assert_eq!(call(Dialect::Envoy, ("GET", "/oauth2/forwardauthx"), ENVOY), Err(NotAsked::Dialect));
    }

    #[test]
    fn malformed_urls_methods_and_schemes_tell_nothing() {
        for url in [
            "/a",
            "https:/a",
            "https://app.example.no",
            "https:///a",
            "HTTPS://app.example.no/a",
            "wss://app.example.no/a",
            "https://app.example.no?x=/",
        ] {
            let found = get(Dialect::Nginx, &[("x-original-method", "GET"), ("x-original-url", url)]);
            // A host that is none is refused by the parser of hosts.
            let host = found.as_ref().map(|asked| asked.host.as_str());
            assert!(found == Err(NotAsked::Dialect) || host == Ok("app.example.no?x="), "{url}: {found:?}");
        }
        for method in ["GET, GET", "G T", ""] {
            let fields = [("x-original-method", method), ("x-original-url", "https://a.no/")];
            assert_eq!(get(Dialect::Nginx, &fields), Err(NotAsked::Dialect), "{method}");
        }
        for (at, value) in [(1, "ws"), (1, "https,http"), (3, "a"), (3, "http://app.example.no/a"), (3, "*")]
        {
            let mut fields = TRAEFIK.to_vec();
            fields[at].1 = value;
            assert_eq!(get(Dialect::Traefik, &fields), Err(NotAsked::Dialect), "{value}");
        }
    }

    #[test]
    fn a_proxy_asks_at_one_place_by_get() {
        for target in
            ["/oauth2/forwardauth?x", "/oauth2/forwardauth/", "/oauth2/forwardauth/a", "/oauth2/login", "/"]
        {
            assert_eq!(call(Dialect::Nginx, ("GET", target), NGINX), Err(NotAsked::Elsewhere), "{target}");
        }
        let of_caddy = |target| call(Dialect::Caddy, ("GET", target), TRAEFIK);
        assert_eq!(of_caddy("/oauth2/forwardauth?x=/help/"), of_caddy("/oauth2/forwardauth"));
        assert_eq!(of_caddy("/oauth2/forwardauth/?x"), Err(NotAsked::Elsewhere));
        for method in ["HEAD", "POST", "OPTIONS", "PROPFIND"] {
            let line = (method, "/oauth2/forwardauth");
            assert_eq!(call(Dialect::Traefik, line, TRAEFIK), Err(NotAsked::Method), "{method}");
        }
        for handshake in [("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")] {
            let mut fields = NGINX.to_vec();
            fields.push(handshake);
            assert_eq!(get(Dialect::Nginx, &fields), Err(NotAsked::Upgrade));
        }
    }

    #[test]
    fn two_hosts_of_one_call_agree() {
        let headers: HeaderMap =
            [(HOST, HeaderValue::from_static("a.no")), (FORWARDED_PROTO, HeaderValue::from_static("https"))]
                .into_iter()
                .collect();
        let read = |authority| {
            let (method, target) = (&Method::GET, &b"/oauth2/forwardauth/a"[..]);
            super::read(Dialect::Envoy, RawHead { method, target, authority, headers: &headers }, "/oauth2")
        };
        assert_eq!(read(Some("a.no")).unwrap().host, "a.no");
        assert_eq!(read(Some("b.no")), Err(NotAsked::Dialect));
    }
}
