//! Where we may send a browser (`threats.md` OP-13; RFC 9700, 4.11).
//!
//! **Invariant:** a [`Target`] is a path on the host's own origin, read the way a browser reads it. The
//! origin comes from the configuration, never from the request.

use url::Url;

use crate::endpoint::is_below_decoded;
use crate::request::request_path;
use crate::route::Origin;

/// The most bytes of a target that is kept over a login.
pub const MAX: usize = 2048;

/// A path, with its query, on a host of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// The start page.
    #[must_use]
    pub fn start() -> Self {
        Self("/".to_owned())
    }

    /// Judges a target that a request named: a path, or a whole URL of this very origin.
    ///
    /// `None` for anything that a browser could read as another place, and for our own endpoints, which
    /// would log out or in again.
    #[must_use]
    pub fn parse(text: &str, origin: &Origin, prefix: &str) -> Option<Self> {
        let odd = |byte: u8| !byte.is_ascii_graphic() || byte == b'\\';
        if text.is_empty() || text.len() > MAX || text.bytes().any(odd) {
            return None;
        }
        let base = Url::parse(&origin.to_string()).ok()?;
        let relative = match text.strip_prefix(&origin.to_string()) {
            Some("") => "/",
            Some(rest) => rest,
            None => text,
        };
        if !relative.starts_with('/') || relative.starts_with("//") {
            return None;
        }
        let url = base.join(relative).ok()?;
        let same = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
        // Judged as the request that the browser will send; one that would be refused leads nowhere.
        let path = request_path(url.path().as_bytes()).ok()?;
        if !same || is_below_decoded(&path, prefix) || path.starts_with("//") {
            return None;
        }
        // As the browser would write it: dot segments are gone, nothing is left to interpret.
        Some(Self(url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()))
    }

    /// A target that was judged before it was sealed, opened again.
    pub(crate) fn sealed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The path with its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// The same place without its query.
    #[must_use]
    pub fn without_query(&self) -> Self {
        Self(self.path().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        Origin { secure: true, name: "app.no".into(), port: 443 }
    }

    fn parse(text: &str) -> Option<String> {
        Target::parse(text, &origin(), "/oauth2").map(|target| target.0)
    }

    #[test]
    fn a_path_of_ours_is_kept_with_its_query() {
        for (text, kept) in [
            ("/", "/"),
            ("/a/b?c=d&e=%2F", "/a/b?c=d&e=%2F"),
            ("/a?x=//evil.no", "/a?x=//evil.no"),
            ("https://app.no/a", "/a"),
            ("https://app.no", "/"),
            ("/a#b", "/a"),
            ("/oauth2x", "/oauth2x"),
            ("/a/../b", "/b"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(kept), "{text}");
        }
    }

    #[test]
    fn whatever_a_browser_could_read_as_another_place_is_refused() {
        for text in [
            "",
            "a",
            "//evil.no",
            "///evil.no",
            "/\\evil.no",
            "\\\\evil.no",
            "https://evil.no",
            "https:/evil.no",
            "https:evil.no",
            "http://app.no/",
            "https://app.no.evil.no/",
            "https://app.no@evil.no/",
            "https://app.no:444/",
            "https://u:p@app.no/",
            "javascript:alert(1)",
            "data:text/html,x",
            "/\t/evil.no",
            "/\n/evil.no",
            " /a",
            "/a b",
            "/å",
            "/.//evil.no",
            "/a/..//evil.no",
            "/%09/\u{0}",
            "?a",
            "#a",
            ".",
            "..",
            "./a",
            "https://APP.no.",
            "//",
            "/\u{2028}/evil.no",
            "/．．/a",
            "https://app.no\\@evil.no",
            "https://app.no//evil.no",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn our_own_endpoints_are_no_target() {
        for text in [
            "/oauth2/logout",
            "/oauth2",
            "/oauth2/",
            "/OAuth2/logout",
            "/a/../oauth2/logout",
            "/oauth2;x/logout",
            "/oauth2%2flogout",
            "/%6fauth2/logout",
            "/oauth%32/logout",
            "/oauth2%3Bx/logout",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_target_never_leaves_the_origin(text in "[ -~]{0,30}") {
            if let Some(kept) = parse(&format!("/{text}")) {
                let base = Url::parse("https://app.no/x/y").unwrap();
                let url = base.join(&kept).unwrap();
                prop_assert_eq!(url.origin(), base.origin());
                prop_assert_eq!(parse(&kept), Some(kept));
            }
        }
    }
}
