//! Cookies, read strictly and written with every attribute (`design.md` D2; `threats.md` CK-5 to CK-8).
//!
//! The `Cookie` field is read by RFC 6265bis, 4.2.1 and 5.8.3, by bytes, from all its lines (HTTP/2 splits
//! it: RFC 9113, 8.2.3). What `Set-Cookie` says is written by the `cookie` crate.
//!
//! **Invariant:** a name that occurs twice is no cookie: nobody can say which one the browser meant.

use cookie::{CookieBuilder, SameSite};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The name of every cookie of ours begins with this, behind `__Host-` or `__Secure-`.
const OURS: &[u8] = b"portvakt";

/// Every part of the `Cookie` lines that is not empty, as bytes.
pub fn parts(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}

/// Every pair of the `Cookie` lines, as bytes; a pair without `=` has an empty name.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    parts(headers).map(pair)
}

/// Name and value of a part; without `=` it is a value, and its name is empty.
#[must_use]
pub fn pair(part: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = attribute(part);
    if part.contains(&b'=') { (name, value) } else { (b"", name) }
}

/// Name and value of an attribute of `Set-Cookie`; without `=` its value is empty.
#[must_use]
pub fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    match part.iter().position(|&byte| byte == b'=') {
        Some(at) => (part[..at].trim_ascii(), part[at + 1..].trim_ascii()),
        None => (part.trim_ascii(), b""),
    }
}

/// The value of the one cookie of this exact name; `None` if there is none, or more than one.
#[must_use]
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut found = pairs(headers).filter(|(candidate, _)| *candidate == name.as_bytes());
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// Whether a cookie of this name is the gateway's, in any spelling that a careless app might take for it.
#[must_use]
pub fn is_ours(name: &[u8]) -> bool {
    let name = name.trim_ascii();
    let bare = ["__host-", "__secure-"].iter().find_map(|prefix| {
        let (head, rest) = name.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
    });
    bare.unwrap_or(name).get(..OURS.len()).is_some_and(|head| head.eq_ignore_ascii_case(OURS))
}

/// What goes upstream instead of the received `Cookie` lines: the app's cookies byte for byte in one line,
/// ours never (CK-7).
#[derive(Debug, PartialEq, Eq)]
pub enum ForUpstream {
    /// The received line, which holds none of ours.
    AsReceived,
    /// This line instead.
    Line(HeaderValue),
    /// No line.
    None,
}

/// Splits what a browser sent into ours, which stay, and the app's.
#[must_use]
pub fn for_upstream(headers: &HeaderMap) -> ForUpstream {
    let mut lines = headers.get_all(COOKIE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => return ForUpstream::None,
        (Some(line), None) if !mentions_ours(line.as_bytes()) => return ForUpstream::AsReceived,
        _ => {}
    }
    let mut kept: Vec<u8> = Vec::new();
    for line in headers.get_all(COOKIE) {
        for part in line.as_bytes().split(|&byte| byte == b';') {
            let name = part.split(|&byte| byte == b'=').next().unwrap_or_default();
            if part.trim_ascii().is_empty() || is_ours(name) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(part.trim_ascii());
        }
    }
    if kept.is_empty() {
        return ForUpstream::None;
    }
    HeaderValue::from_bytes(&kept).map_or(ForUpstream::None, ForUpstream::Line)
}

fn mentions_ours(line: &[u8]) -> bool {
    line.windows(OURS.len()).any(|window| window.eq_ignore_ascii_case(OURS))
}

/// Whether a `Set-Cookie` of an app touches a cookie of ours (ID-10).
#[must_use]
pub fn set_cookie_is_ours(value: &[u8]) -> bool {
    let pair = value.split(|&byte| byte == b';').next().unwrap_or_default();
    // A browser sends a nameless cookie `=a=b` back as `a=b` (RFC 6265bis, 5.8.3).
    let named = pair.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace());
    let pair = &pair[named.unwrap_or(pair.len())..];
    is_ours(pair.split(|&byte| byte == b'=').next().unwrap_or_default())
}

/// A cookie of ours: its name and where it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jar {
    /// Name with its prefix.
    pub name: String,
    /// `Path`; `/` wherever the name begins with `__Host-`.
    pub path: String,
    /// `Domain`; `None`, as wherever the name begins with `__Host-`: the host that sets it alone.
    pub domain: Option<String>,
}

impl Jar {
    /// `Set-Cookie` for a sealed value that the browser keeps until it is closed.
    #[must_use]
    pub fn set(&self, value: &str) -> HeaderValue {
        Self::written(self.builder(value.to_owned()))
    }

    /// `Set-Cookie` for a value that is worthless after `seconds`.
    #[must_use]
    pub fn set_for(&self, value: &str, seconds: u32) -> HeaderValue {
        let life = cookie::time::Duration::seconds(i64::from(seconds));
        Self::written(self.builder(value.to_owned()).max_age(life))
    }

    /// `Set-Cookie` that deletes it, with the same attributes, so that browsers obey.
    #[must_use]
    pub fn delete(&self) -> HeaderValue {
        let past = cookie::time::OffsetDateTime::UNIX_EPOCH;
        Self::written(self.builder(String::new()).max_age(cookie::time::Duration::ZERO).expires(past))
    }

    fn builder(&self, value: String) -> CookieBuilder<'_> {
        let cookie = cookie::Cookie::build((self.name.as_str(), value))
            .path(self.path.as_str())
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Lax);
        match &self.domain {
            Some(domain) => cookie.domain(domain.as_str()),
            None => cookie,
        }
    }

    fn written(cookie: CookieBuilder<'_>) -> HeaderValue {
        HeaderValue::try_from(cookie.build().to_string()).expect("our names and values are plain ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_exact_name_in_any_line() {
        let headers = headers(&[b"a=1; __Host-portvakt=x=y;b=2", b"c=3"]);
        assert_eq!(find(&headers, "__Host-portvakt"), Some(&b"x=y"[..]));
        assert_eq!(find(&headers, "c"), Some(&b"3"[..]));
        assert_eq!(find(&headers, "__host-portvakt"), None);
        assert_eq!(find(&headers, "A"), None);
    }

    #[test]
    fn two_of_one_name_are_none() {
        assert_eq!(find(&headers(&[b"a=1; a=1"]), "a"), None);
        assert_eq!(find(&headers(&[b"a=1", b"a=2"]), "a"), None);
    }

    #[test]
    fn odd_lines_crash_nothing() {
        for line in [&b";;;"[..], b"=", b"=x", b"a", b"a=;", b"\xff=\xfe", b"a==; =a=", b" ; a = 1 "] {
            let headers = headers(&[line]);
            let _ = (pairs(&headers).count(), find(&headers, "a"), for_upstream(&headers));
        }
        assert_eq!(find(&headers(&[b" ; a = 1 "]), "a"), Some(&b"1"[..]));
    }

    #[test]
    fn ours_never_go_upstream_and_the_apps_arrive_byte_for_byte_in_one_line() {
        let line = |text: &[u8]| ForUpstream::Line(HeaderValue::from_bytes(text).unwrap());
        for (lines, expected) in [
            (vec![&b"a=1; b=\"x y\""[..]], ForUpstream::AsReceived),
            (vec![b"a=1", b"b=2"], line(b"a=1; b=2")),
            (vec![b"__Host-portvakt=x"], ForUpstream::None),
            (vec![b"a=1; __Host-portvakt=x; b=\xe5"], line(b"a=1; b=\xe5")),
            (vec![b"__HOST-Portvakt-login-3=x;a=1"], line(b"a=1")),
            (vec![b"__Secure-portvakt-logout=x; portvakt=y; a= z"], line(b"a= z")),
            (vec![b" __Host-portvakt =x; a=1"], line(b"a=1")),
            (vec![b"__Secure-portvakt-staff=x; a=1", b"__Host-portvakt-citizen=y"], line(b"a=1")),
            (vec![b"__Host-portvakt; a=1"], line(b"a=1")),
            (vec![b"a=portvakt"], line(b"a=portvakt")),
            (vec![], ForUpstream::None),
        ] {
            assert_eq!(for_upstream(&headers(&lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_app_cannot_set_or_clear_ours() {
        for ours in [
            &b"__Host-portvakt=x; Path=/"[..],
            b"__host-PORTVAKT-login-1=",
            b" portvakt=1",
            b"__Secure-portvakt-logout=; Max-Age=0",
            b"__Secure-portvakt-staff=; Domain=example.no; Max-Age=0",
            b"__Host-portvakt-staff=x; Secure; Path=/",
        ] {
            assert!(set_cookie_is_ours(ours), "{ours:?}");
        }
        for app in [&b"JSESSIONID=portvakt"[..], b"a=1; Path=/portvakt", b""] {
            assert!(!set_cookie_is_ours(app), "{app:?}");
        }
    }

    #[test]
    fn what_is_set_and_what_is_deleted_have_the_same_attributes() {
        let jar = Jar { name: "__Host-portvakt".into(), path: "/".into(), domain: None };
        assert_eq!(jar.set("x"), "__Host-portvakt=x; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert_eq!(
            jar.set_for("x", 900),
            "__Host-portvakt=x; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=900"
        );
        let deleted = jar.delete();
        let deleted = deleted.to_str().unwrap();
        assert!(
            deleted.starts_with("__Host-portvakt=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"),
            "{deleted}"
        );
        let shared =
            Jar { name: "__Secure-portvakt-a".into(), path: "/".into(), domain: Some("example.no".into()) };
        let set = "__Secure-portvakt-a=x; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.no";
        assert_eq!(shared.set("x"), set);
        let deleted = shared.delete();
        let deleted = deleted.to_str().unwrap();
        assert!(deleted.contains("; Path=/; Domain=example.no; Max-Age=0"), "{deleted}");
    }
}
