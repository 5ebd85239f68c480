//! Whether a request comes from a page of another origin, and whether a route takes such requests
//! (`threats.md` BR-3; Fetch Metadata; RFC 6454; RFC 6455, 10.2).
//!
//! Our session's cookie is `SameSite=Lax`: other sites cannot send it along with a form. Sibling domains are
//! the same site, and can. So what counts here is the origin: this host's own, and those that the route's
//! `cors` names.
//!
//! 1. `Sec-Fetch-Site` decides where a browser sends it: `same-origin` and `none` (typed by the person) are
//!    own, all else is another's.
//! 2. Otherwise `Origin`, which browsers have sent with every unsafe request since 2020 and with every
//!    WebSocket handshake since there are any; `null` is another's.
//! 3. Otherwise `Referer`, for what is older.
//! 4. What has none of them comes from no browser that somebody is logged in with: a program makes its
//!    requests for itself. It is not refused.
//!
//! **Invariant:** where two of the fields disagree, or one occurs twice, the request is another's.

use http::header::{ORIGIN, REFERER, UPGRADE};
use http::{HeaderMap, Method};

use crate::route::Origin;

/// Which requests from pages of other origins a route takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrossSite {
    /// All.
    #[default]
    Allow,
    /// Those that only read; no WebSocket handshakes, which `SameSite` and CORS do not hold back.
    RefuseUnsafe,
    /// Links that a person follows, and nothing else.
    Refuse,
}

impl CrossSite {
    /// Whether a request is refused. `trusted`: origins that count as own, as browsers write them.
    #[must_use]
    pub fn refuses(self, method: &Method, headers: &HeaderMap, own: &Origin, trusted: &[String]) -> bool {
        let judged = match self {
            Self::Allow => false,
            Self::RefuseUnsafe => is_unsafe(method, headers),
            Self::Refuse => is_unsafe(method, headers) || !is_link(headers),
        };
        judged && is_of_another(headers, own, trusted)
    }
}

/// Whether it does more than read (RFC 9110, 9.2.1), a WebSocket handshake included.
#[must_use]
pub fn is_unsafe(method: &Method, headers: &HeaderMap) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) || is_handshake(headers)
}

/// Whether it asks for a WebSocket (RFC 6455, 4.1).
fn is_handshake(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-websocket-key")
        || headers
            .get_all(UPGRADE)
            .iter()
            .any(|line| line.as_bytes().to_ascii_lowercase().windows(9).any(|window| window == b"websocket"))
}

/// A page that a person opens in a tab, from wherever.
fn is_link(headers: &HeaderMap) -> bool {
    let is = |name, wanted: &str| headers.get(name).is_some_and(|value| value == wanted);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// Whether a page of another origin made it.
fn is_of_another(headers: &HeaderMap, own: &Origin, trusted: &[String]) -> bool {
    let known = |origin: &str| own.to_string() == origin || trusted.iter().any(|trusted| trusted == origin);
    let origin = match only(headers, ORIGIN.as_str()) {
        Ok(origin) => origin,
        Err(Doubled) => return true,
    };
    match only(headers, "sec-fetch-site") {
        Err(Doubled) => true,
        // A page without referrers says `null` of itself.
        Ok(Some("same-origin" | "none")) => origin.is_some_and(|origin| origin != "null" && !known(origin)),
        Ok(Some(_)) => !origin.is_some_and(|origin| trusted.iter().any(|trusted| trusted == origin)),
        Ok(None) => match (origin, only(headers, REFERER.as_str())) {
            (Some(origin), _) => !known(origin),
            (None, Err(Doubled)) => true,
            (None, Ok(Some(referer))) => !known(origin_of(referer)),
            (None, Ok(None)) => false,
        },
    }
}

struct Doubled;

/// The one line of a name.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Doubled> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        // What is no text is nobody's.
        (Some(line), None) => Ok(Some(line.to_str().unwrap_or("null"))),
        (Some(_), Some(_)) => Err(Doubled),
    }
}

/// Scheme, host and port of a URL as browsers write it.
fn origin_of(url: &str) -> &str {
    let authority_at = url.find("://").map_or(url.len(), |at| at + 3);
    let end = url[authority_at..].find(['/', '?', '#']).map_or(url.len(), |at| authority_at + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://a.no";
    const TRUSTED: &str = "https://portal.no:8443";

    fn refused(policy: CrossSite, method: &str, fields: &[(&'static str, &str)]) -> bool {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let own = Origin { secure: true, name: "a.no".into(), port: 443 };
        assert_eq!(own.to_string(), OWN);
        policy.refuses(&method.parse().unwrap(), &headers, &own, &[TRUSTED.to_owned()])
    }

    #[test]
    fn an_unsafe_request_of_another_origin_is_refused_whatever_says_so() {
        for (fields, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", OWN)], false),
            (&[("origin", OWN)], false),
            (&[("origin", TRUSTED)], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", TRUSTED)], false),
            (&[("referer", "https://a.no/x?y#z")], false),
            (&[("referer", "https://a.no")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "future")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", OWN)], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://evil.a.no")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.no")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", OWN), ("origin", "https://evil.no")], true),
            (&[("origin", "null")], true),
            (&[("origin", "http://a.no")], true),
            (&[("origin", "https://a.no:444")], true),
            (&[("origin", "https://a.no.evil.no")], true),
            (&[("origin", "https://evil.no"), ("referer", "https://a.no/")], true),
            (&[("referer", "https://a.no.evil.no/")], true),
            (&[("referer", "https://a.no@evil.no/")], true),
            (&[("referer", "https://evil.no/https://a.no/")], true),
        ] {
            for method in ["POST", "PUT", "DELETE", "PROPFIND"] {
                assert_eq!(refused(CrossSite::RefuseUnsafe, method, fields), expected, "{method} {fields:?}");
                assert_eq!(refused(CrossSite::Refuse, method, fields), expected, "{method} {fields:?}");
                assert!(!refused(CrossSite::Allow, method, fields));
            }
        }
    }

    #[test]
    fn what_only_reads_is_refused_where_everything_but_links_is() {
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let frame =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let image =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
        assert!(!refused(CrossSite::Refuse, "GET", &link));
        assert!(refused(CrossSite::Refuse, "GET", &frame) && refused(CrossSite::Refuse, "GET", &image));
        for fields in [link, frame, image] {
            assert!(!refused(CrossSite::RefuseUnsafe, "GET", &fields));
        }
        assert!(refused(CrossSite::RefuseUnsafe, "POST", &link));
    }

    #[test]
    fn a_websocket_is_no_mere_reading() {
        let from = |origin: &'static str| [("upgrade", "WebSocket"), ("origin", origin)];
        assert!(!refused(CrossSite::RefuseUnsafe, "GET", &from(OWN)));
        assert!(refused(CrossSite::RefuseUnsafe, "GET", &from("https://evil.no")));
        assert!(refused(CrossSite::RefuseUnsafe, "GET", &[("sec-websocket-key", "x"), ("origin", "null")]));
        assert!(!refused(CrossSite::RefuseUnsafe, "GET", &[("upgrade", "websocket")]));
    }
}
