//! The request in its normal form: host, path and query parsed once; that form is matched, logged and
//! sent (`design.md` D4; `threats.md` 2).
//!
//! **Invariant:** what two parsers could read differently is refused, not repaired. The only change a
//! path undergoes is RFC 3986, 6.2.2.2: escapes of unreserved characters are decoded, once.

use std::borrow::Cow;

use http::header::{ACCEPT, HOST};
use http::{HeaderMap, Method};

/// The most bytes a request target may have.
pub const MAX_TARGET: usize = 8 * 1024;

/// How many times over an escape may be escaped itself. Each time costs a look at the whole path, of which a long one could demand
/// thousands (`threats.md` LI-3).
const MAX_LAYERS: usize = 4;

/// What came in, as the listener read it.
#[derive(Debug, Clone, Copy)]
pub struct RawHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target, byte for byte.
    pub target: &'a [u8],
    /// `:authority` of HTTP/2; `None` for HTTP/1.
    pub authority: Option<&'a str>,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// A request that every party reads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalRequest {
    method: Method,
    host: HostName,
    path: String,
    query: Option<String>,
}

/// A host name and port as the client gave them: lower case, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName {
    /// The name, or an address; IPv6 in brackets.
    pub name: String,
    /// The port, if one was given.
    pub port: Option<u16>,
}

/// Why a request has no normal form. The client gets 400 (414 for [`TooLong`](Self::TooLong)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The target is longer than [`MAX_TARGET`].
    #[error("the request target is too long")]
    TooLong,
    /// Neither origin form nor the absolute form of this very host (RFC 9112, 3.2).
    #[error("the request target is neither a path nor this host's absolute form")]
    TargetForm,
    /// No host, several, two that differ, or none that is `host[:port]` (RFC 9110, 7.2).
    #[error("the host is missing, doubled or malformed")]
    Host,
    /// A byte that a path or query may not hold unescaped.
    #[error("the target has a character that must be escaped")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path has a broken escape")]
    Escape,
    /// An escaped slash, backslash or control character, in any depth of encoding.
    #[error("the path has an escaped slash, backslash or control character")]
    EscapedSeparator,
    /// Escapes of escapes, deeper than any link has them.
    #[error("the path is escaped too many times over")]
    Layers,
    /// The escapes do not decode to UTF-8.
    #[error("the path is not UTF-8")]
    Utf8,
    /// A dot segment, in any encoding, or one that appears when path parameters are cut off.
    #[error("the path has a dot segment")]
    DotSegment,
    /// An empty segment before the last.
    #[error("the path has an empty segment")]
    EmptySegment,
}

impl NormalRequest {
    /// Parses what the listener read.
    ///
    /// # Errors
    ///
    /// [`Malformed`] says what two parsers could read differently.
    pub fn parse(head: RawHead<'_>) -> Result<Self, Malformed> {
        if head.target.len() > MAX_TARGET {
            return Err(Malformed::TooLong);
        }
        let host = host_of(head.authority, head.headers)?;
        let target = origin_form(head.target, &host)?;
        let (path, query) = match target.iter().position(|&byte| byte == b'?') {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        Ok(Self {
            method: head.method.clone(),
            host,
            path: request_path(path)?,
            query: query.map(normal_query).transpose()?,
        })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The host that was asked for.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The path in its normal form; begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as received, without `?`; it plays no part in access rules (RT-3).
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query, as they are sent upstream.
    #[must_use]
    pub fn target(&self) -> Cow<'_, str> {
        match &self.query {
            None => Cow::Borrowed(&self.path),
            Some(query) => Cow::Owned(format!("{}?{query}", self.path)),
        }
    }
}

/// Whether a person waits for a page: only such a request is sent to log in (`design.md` 2).
///
/// A GET with `Sec-Fetch-Mode: navigate` and `Sec-Fetch-Dest: document`; without Sec-Fetch, one whose
/// Accept contains `text/html`.
#[must_use]
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    // A navigation opens no WebSocket: who asks for one is told, never redirected.
    let socket = headers.get_all(http::header::UPGRADE).iter().any(|upgrade| {
        upgrade.as_bytes().to_ascii_lowercase().windows(9).any(|window| window == b"websocket")
    });
    if method != Method::GET || socket || headers.contains_key("sec-purpose") {
        return false;
    }
    let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    match (value("sec-fetch-mode"), value("sec-fetch-dest")) {
        (None, None) => headers.get_all(ACCEPT).iter().any(|accept| {
            accept.as_bytes().to_ascii_lowercase().windows(9).any(|window| window == b"text/html")
        }),
        (mode, dest) => mode == Some(b"navigate") && dest == Some(b"document"),
    }
}

/// Whether a browser says that this request is anything but a page that a person waits for.
#[must_use]
pub fn is_known_subrequest(headers: &HeaderMap) -> bool {
    let differs = |name, expected: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes() != expected);
    is_in_advance(headers) || differs("sec-fetch-mode", b"navigate") || differs("sec-fetch-dest", b"document")
}

/// Whether a browser that says nothing of itself (no Fetch Metadata: Safari before 16.4) sends a form, so that a person
/// waits for a page. A script says what it is, or sends what no form can (HTML, 4.10.22.8).
#[must_use]
pub fn is_form_of_older_browser(method: &Method, headers: &HeaderMap) -> bool {
    const TYPES: [&[u8]; 3] = [b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"];
    let wants_page = || {
        headers.get_all(ACCEPT).iter().any(|accept| {
            accept.as_bytes().to_ascii_lowercase().windows(9).any(|window| window == b"text/html")
        })
    };
    let is_form = || {
        let media_type =
            headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
        let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
    };
    method == Method::POST
        && ["sec-fetch-mode", "sec-fetch-dest", "sec-fetch-site", "x-requested-with"]
            .iter()
            .all(|name| !headers.contains_key(*name))
        && wants_page()
        && is_form()
}

/// Whether a browser asks in advance for what a person may open (Fetch, 2.2.9), in the words of older ones too.
#[must_use]
pub fn is_in_advance(headers: &HeaderMap) -> bool {
    const OLDER: [&str; 3] = ["purpose", "x-purpose", "x-moz"];
    headers.contains_key("sec-purpose")
        || OLDER
            .iter()
            .any(|name| headers.get(*name).is_some_and(|value| value == "prefetch" || value == "preview"))
}

impl HostName {
    /// Parses `host[:port]` (RFC 9110, 4.2.3 and 7.2): case and one trailing dot are folded.
    ///
    /// # Errors
    ///
    /// [`Malformed::Host`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (name, port) = match text.rfind(':') {
            Some(at) if !text[at..].contains(']') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        let port = match port {
            None => None,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| Malformed::Host)?)
            }
            Some(_) => return Err(Malformed::Host),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if !is_host_name(name) && !is_ipv6_literal(name) {
            return Err(Malformed::Host);
        }
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

fn is_ipv6_literal(name: &str) -> bool {
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn host_of(authority: Option<&str>, headers: &HeaderMap) -> Result<HostName, Malformed> {
    let mut lines = headers.get_all(HOST).iter();
    let line = match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(Malformed::Host),
        (line, None) => line.map(|line| line.to_str().map_err(|_| Malformed::Host)).transpose()?,
    };
    let host = HostName::parse(authority.or(line).ok_or(Malformed::Host)?)?;
    match line {
        Some(line) if HostName::parse(line)? != host => Err(Malformed::Host),
        _ => Ok(host),
    }
}

/// The origin form of the target (RFC 9112, 3.2.1); the absolute form (3.2.2) only of the same host.
fn origin_form<'a>(target: &'a [u8], host: &HostName) -> Result<&'a [u8], Malformed> {
    if target.first() == Some(&b'/') {
        return Ok(target);
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
        })
        .ok_or(Malformed::TargetForm)?;
    let end = rest.iter().position(|&byte| byte == b'/').ok_or(Malformed::TargetForm)?;
    let authority = str::from_utf8(&rest[..end]).map_err(|_| Malformed::TargetForm)?;
    match HostName::parse(authority) {
        Ok(named) if named == *host => Ok(&rest[end..]),
        _ => Err(Malformed::TargetForm),
    }
}

fn normal_query(query: &[u8]) -> Result<String, Malformed> {
    if query.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        Ok(query.iter().map(|&byte| char::from(byte)).collect())
    } else {
        Err(Malformed::Character)
    }
}

/// The normal form of a path without escaped slashes: what configuration and redirects name.
pub(crate) fn normal_path(raw: &[u8]) -> Result<String, Malformed> {
    let path = request_path(raw)?;
    if path.contains("%2F") { Err(Malformed::EscapedSeparator) } else { Ok(path) }
}

/// The normal form of a request's path. An escaped slash stays `%2F`, and is judged by the route; with it
/// decoded the path is sound, too.
pub(crate) fn request_path(raw: &[u8]) -> Result<String, Malformed> {
    let mut path = String::with_capacity(raw.len());
    let mut decoded = Vec::new();
    let mut escaped = false;
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            escaped = true;
            let value = hex_pair(bytes.next(), bytes.next()).ok_or(Malformed::Escape)?;
            push_escape(&mut path, value)?;
        } else if is_path_byte(byte) {
            path.push(char::from(byte));
        } else {
            return Err(Malformed::Character);
        }
    }
    if escaped {
        decode(path.as_bytes(), &mut decoded);
        str::from_utf8(&decoded).map_err(|_| Malformed::Utf8)?;
        refuse_deeper_escapes(decoded)?;
    }
    refuse_odd_segments(&path)?;
    if path.contains("%2F") {
        refuse_odd_segments(&path.replace("%2F", "/"))?;
    }
    Ok(path)
}

fn push_escape(path: &mut String, value: u8) -> Result<(), Malformed> {
    match value {
        b'\\' | 0..=0x1f | 0x7f => Err(Malformed::EscapedSeparator),
        _ if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => {
            path.push(char::from(value));
            Ok(())
        }
        _ => {
            path.push('%');
            path.push(char::from(HEX[usize::from(value >> 4)]));
            path.push(char::from(HEX[usize::from(value & 15)]));
            Ok(())
        }
    }
}

/// RFC 3986, 3.3 `pchar`, the slash, and three characters that browsers send unescaped.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/|[]".contains(&byte)
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn decode(bytes: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = || hex_pair(bytes.get(at + 1).copied(), bytes.get(at + 2).copied());
        if let (b'%', Some(value)) = (byte, pair()) {
            into.push(value);
            at += 3;
        } else {
            into.push(byte);
            at += 1;
        }
    }
}

/// An app that decodes more often than once must not find a separator that nobody judged.
fn refuse_deeper_escapes(mut decoded: Vec<u8>) -> Result<(), Malformed> {
    let mut deeper = Vec::new();
    for _ in 0..MAX_LAYERS {
        if !decoded.contains(&b'%') {
            return Ok(());
        }
        decode(&decoded, &mut deeper);
        if deeper == decoded {
            return Ok(());
        }
        let separators = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/').count();
        let unsafe_byte = |byte: &u8| *byte == b'\\' || byte.is_ascii_control();
        if separators(&deeper) != separators(&decoded) || deeper.iter().any(unsafe_byte) {
            return Err(Malformed::EscapedSeparator);
        }
        if deeper.split(|&byte| byte == b'/').any(|segment| segment == b"." || segment == b"..") {
            return Err(Malformed::DotSegment);
        }
        std::mem::swap(&mut decoded, &mut deeper);
    }
    Err(Malformed::Layers)
}

/// A path in normal form as an app reads it that decodes as often as there is something to decode.
pub(crate) fn fully_decoded(path: &str) -> String {
    let (mut decoded, mut deeper) = (path.as_bytes().to_vec(), Vec::new());
    for _ in 0..=MAX_LAYERS {
        decode(&decoded, &mut deeper);
        if deeper == decoded {
            break;
        }
        std::mem::swap(&mut decoded, &mut deeper);
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn refuse_odd_segments(path: &str) -> Result<(), Malformed> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let bare = without_parameters(segment);
        if bare == "." || bare == ".." {
            return Err(Malformed::DotSegment);
        }
        let last = segments.peek().is_none();
        if bare.is_empty() && (!last || bare.len() != segment.len()) {
            return Err(Malformed::EmptySegment);
        }
    }
    Ok(())
}

/// A segment as a server sees it that cuts path parameters off (`;jsessionid=…`), escaped or not.
pub(crate) fn without_parameters(segment: &str) -> &str {
    let plain = segment.find(';').unwrap_or(segment.len());
    let escaped = segment.find("%3B").unwrap_or(segment.len());
    &segment[..plain.min(escaped)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(target: &str) -> Result<NormalRequest, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "App.Example.No.:8443".parse().unwrap());
        NormalRequest::parse(RawHead {
            method: &Method::GET,
            target: target.as_bytes(),
            authority: None,
            headers: &headers,
        })
    }

    #[test]
    fn a_plain_path_stays_as_it_is() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/a;x=1/b",
            "/@a:b/c,d",
            "/.well-known/x",
            "/...",
            "/a..b",
            "/x|y[1]",
        ] {
            assert_eq!(parse(path).unwrap().path(), path);
        }
    }

    #[test]
    fn escapes_of_unreserved_characters_are_decoded_once_and_others_kept_in_upper_case() {
        for (raw, normal) in [
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a%20b", "/a%20b"),
            ("/%c3%a5", "/%C3%A5"),
            ("/%2561", "/%2561"),
            ("/100%25", "/100%25"),
            // For the route to judge.
            ("/a%2fb", "/a%2Fb"),
        ] {
            assert_eq!(parse(raw).unwrap().path(), normal, "{raw}");
        }
    }

    #[test]
    fn what_needs_interpretation_is_refused() {
        use Malformed::*;
        for (raw, why) in [
            ("/a/../b", DotSegment),
            ("/a/./b", DotSegment),
            ("/..", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/..;x=1/b", DotSegment),
            ("/a/..%3bx/b", DotSegment),
            ("/a/%252e%252e/b", DotSegment),
            ("/a/%25252e%25252e/b", DotSegment),
            ("/a%2f..%2fb", DotSegment),
            ("/a%2f%2Fb", EmptySegment),
            ("/%2fa", EmptySegment),
            ("/a%2f;x/b", EmptySegment),
            ("/a%2f%252e%252e/b", DotSegment),
            ("/a%2f%5cb", EscapedSeparator),
            ("/a%5Cb", EscapedSeparator),
            ("/a%252fb", EscapedSeparator),
            ("/a%25255cb", EscapedSeparator),
            ("/a%00", EscapedSeparator),
            ("/a%2500", EscapedSeparator),
            ("/a%0d%0ab", EscapedSeparator),
            ("/a%7f", EscapedSeparator),
            ("/a\\b", Character),
            ("/a b", Character),
            ("/a<b", Character),
            ("/a\"b", Character),
            ("/å", Character),
            ("/a#b", Character),
            ("/a\u{1}", Character),
            ("/a%zz", Escape),
            ("/a%", Escape),
            ("/a%4", Escape),
            ("/a%+1", Escape),
            ("/%252525252541", Layers),
            ("/%c0%ae%c0%ae/a", Utf8),
            ("/%ff", Utf8),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/;/a", EmptySegment),
            ("/a/;x", EmptySegment),
            ("a", TargetForm),
            ("", TargetForm),
            ("*", TargetForm),
            ("?x", TargetForm),
            ("%2fadmin", TargetForm),
            ("http:/\\evil/", TargetForm),
            ("http://evil.test/", TargetForm),
            ("http://app.example.no:8443", TargetForm),
            ("ftp://app.example.no:8443/", TargetForm),
            ("http://u@app.example.no:8443/", TargetForm),
            ("/a?x y", Character),
            ("/a?\u{7f}", Character),
        ] {
            assert_eq!(parse(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_path_that_is_escaped_over_and_over_costs_no_more_than_another() {
        let nested = |layers: usize| format!("/%{}41", "25".repeat(layers));
        for layers in 0..MAX_LAYERS {
            assert_eq!(parse(&nested(layers)).map(|request| fully_decoded(request.path())), Ok("/A".into()));
        }
        for layers in [MAX_LAYERS, 100, 4000] {
            assert_eq!(parse(&nested(layers)), Err(Malformed::Layers), "{layers}");
        }
    }

    #[test]
    fn the_absolute_form_of_the_same_host_is_read_as_its_path() {
        let request = parse("HTTP://app.example.no:8443/a?b").unwrap();
        assert_eq!((request.path(), request.query(), &*request.target()), ("/a", Some("b"), "/a?b"));
    }

    #[test]
    fn an_empty_query_is_kept() {
        assert_eq!(&*parse("/a?").unwrap().target(), "/a?");
    }

    #[test]
    fn a_host_is_a_name_and_a_port_and_nothing_else() {
        let host = |text| HostName::parse(text).map(|host| (host.name, host.port));
        assert_eq!(host("A.Test"), Ok(("a.test".into(), None)));
        assert_eq!(host("a.test.:80"), Ok(("a.test".into(), Some(80))));
        assert_eq!(host("[::1]:8080"), Ok(("[::1]".into(), Some(8080))));
        for odd in [
            "",
            ".",
            "a.test/evil",
            "a.test, b.test",
            "a.test:abc",
            "a.test:",
            "a.test:99999",
            "a..test",
            "a@b",
            "a.test..",
            ":80",
            "[::1",
            "::1",
            "[x]",
            "a.test:+80",
            "a b",
            "a%2e",
            "å.no",
            "a.test:80:80",
        ] {
            assert_eq!(host(odd), Err(Malformed::Host), "{odd:?}");
        }
    }

    #[test]
    fn two_hosts_or_none_are_refused() {
        let head = |authority, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(HOST, http::HeaderValue::from_static(line));
            }
            NormalRequest::parse(RawHead { method: &Method::GET, target: b"/", authority, headers: &headers })
                .map(|request| request.host.name)
        };
        assert_eq!(head(None, &[]), Err(Malformed::Host));
        assert_eq!(head(None, &["a.test", "a.test"]), Err(Malformed::Host));
        assert_eq!(head(Some("a.test"), &["b.test"]), Err(Malformed::Host));
        assert_eq!(head(Some("A.test"), &["a.test"]), Ok("a.test".into()));
        assert_eq!(head(Some("a.test"), &[]), Ok("a.test".into()));
    }

    #[test]
    fn only_pages_that_a_person_waits_for_are_navigations() {
        let navigates = |method: Method, fields: &[(&'static str, &'static str)]| {
            let headers = fields
                .iter()
                .map(|&(name, value)| {
                    (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
                })
                .collect();
            is_navigation(&method, &headers)
        };
        let page = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(navigates(Method::GET, &page));
        assert!(navigates(Method::GET, &[("accept", "application/xml,Text/HTML;q=0.9")]));
        assert!(!navigates(Method::POST, &page));
        assert!(!navigates(Method::HEAD, &page));
        assert!(!navigates(Method::GET, &[]));
        assert!(!navigates(Method::GET, &[("accept", "*/*")]));
        assert!(!navigates(Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")]));
        assert!(!navigates(Method::GET, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!navigates(Method::GET, &[page[0], page[1], ("sec-purpose", "prefetch")]));
    }

    #[test]
    fn a_form_of_an_older_browser_is_known_by_what_it_sends() {
        let is = |method: Method, fields: &[(&'static str, &str)]| {
            let headers = fields
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            is_form_of_older_browser(&method, &headers)
        };
        let page = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert!(is(Method::POST, &[page, form]));
        assert!(is(Method::POST, &[page, ("content-type", "Multipart/Form-Data; boundary=x")]));
        for fields in [
            &[page, form, ("sec-fetch-mode", "cors")][..],
            &[page, form, ("x-requested-with", "XMLHttpRequest")],
            &[page, ("content-type", "application/json")],
            &[page],
            &[("accept", "*/*"), form],
            &[form],
        ] {
            assert!(!is(Method::POST, fields), "{fields:?}");
        }
        assert!(!is(Method::PUT, &[page, form]) && !is(Method::GET, &[page, form]));
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(raw in "/[ -~]{0,40}") {
            if let Ok(once) = request_path(raw.as_bytes()) {
                prop_assert_eq!(request_path(once.as_bytes()), Ok(once));
            }
        }

        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = normal_path(&raw);
            let _ = origin_form(&raw, &HostName { name: "a".into(), port: None });
        }
    }
}
