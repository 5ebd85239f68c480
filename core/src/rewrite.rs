//! A path prefix that the app does not know: taken off on the way up, put back in what the app says of places
//! on the way down.
//!
//! **Invariant:** what is rewritten is a prefix of whole, literal segments of a path that was judged in its
//! normal form; what follows it stays byte for byte (`threats.md` RT-1).
//! **Invariant:** on the way down only places of the app itself are changed, and none of them becomes another
//! site's.

use std::borrow::Cow;

use crate::endpoint::is_below;
use crate::request::HostName;

/// From a prefix of the public path to one of the app's. Without a slash at the end; empty: the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    from: String,
    to: String,
}

impl Rewrite {
    /// From `from` to `to`, both in normal form; a slash at the end is left out.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Self {
        let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
        Self { from: bare(from), to: bare(to) }
    }

    /// The app's path for a judged path that begins with the prefix; `None` if it does not.
    #[must_use]
    pub fn up(&self, path: &str) -> Option<String> {
        replace(path, &self.from, &self.to)
    }

    /// The paths of the app that it leads to, as a pattern.
    #[must_use]
    pub fn reach(&self) -> String {
        format!("{}/**", self.to)
    }

    /// The public path for one that the app names; one outside of the app's prefix, and one of our own
    /// endpoints below `own`, is what it is.
    fn down<'a>(&self, path: &'a str, own: &str) -> Cow<'a, str> {
        if is_below(path.split(['?', '#']).next().unwrap_or_default(), own) {
            return Cow::Borrowed(path);
        }
        replace(path, &self.to, &self.from).map_or(Cow::Borrowed(path), Cow::Owned)
    }
}

/// Another prefix for a path, by whole segments. The root of one is the root of the other.
fn replace(path: &str, from: &str, to: &str) -> Option<String> {
    let rest = path.strip_prefix(from)?;
    match rest.as_bytes().first() {
        None if to.is_empty() => Some("/".to_owned()),
        None | Some(b'/') => Some(format!("{to}{rest}")),
        Some(b'?' | b'#') if to.is_empty() => Some(format!("/{rest}")),
        Some(b'?' | b'#') => Some(format!("{to}{rest}")),
        Some(_) => None,
    }
}

/// What a reply's places are read by.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The route's rewrite, if it has one.
    pub rewrite: Option<&'a Rewrite>,
    /// The public origin, `scheme://host[:port]`.
    pub public: &'a str,
    /// Authorities under which the app may know itself: the public one, the upstream's, the `Host` it was sent.
    pub of_the_app: [&'a str; 3],
    /// The prefix of our own endpoints.
    pub own: &'a str,
}

impl Places<'_> {
    /// A place in `Location` or `Content-Location` as the browser must see it; `None` if it is that already.
    #[must_use]
    pub fn location(&self, text: &str) -> Option<String> {
        let changed = match authority(text) {
            Some((authority, rest)) => {
                if !self.of_the_app.iter().any(|ours| is_same(ours, authority)) {
                    return None;
                }
                let path =
                    if rest.starts_with('/') { Cow::Borrowed(rest) } else { format!("/{rest}").into() };
                format!("{}{}", self.public, self.down(&path))
            }
            None if text.starts_with('/') && !text.starts_with("/\\") => {
                let path = self.down(text);
                // Without its prefix it would name another site.
                let outside = path.starts_with("//") || path.starts_with("/\\");
                if outside { format!("{}{path}", self.public) } else { path.into_owned() }
            }
            None => return None,
        };
        (changed != text).then_some(changed)
    }

    /// The same for `Refresh`: `5; url=/there`.
    #[must_use]
    pub fn refresh(&self, text: &str) -> Option<String> {
        let at = text.to_ascii_lowercase().find("url=")? + 4;
        let (head, place) = text.split_at(at);
        let place = place.trim();
        let quote = place.chars().next().filter(|quote| "'\"".contains(*quote));
        let bare = quote.map_or(place, |quote| place.trim_matches(quote));
        let changed = self.location(bare)?;
        let quote = quote.map(String::from).unwrap_or_default();
        Some(format!("{head}{quote}{changed}{quote}"))
    }

    /// A `Set-Cookie` line with its `Path` as the browser knows it, and without a `Domain` that is the app's
    /// own name: such a cookie would be refused. `None` if nothing is to be changed.
    #[must_use]
    pub fn set_cookie(&self, line: &str) -> Option<String> {
        // A name that demands `Path=/` and no domain says all there is to say.
        if line.trim_start().to_ascii_lowercase().starts_with("__host-") {
            return None;
        }
        let mut changed = false;
        let mut kept: Vec<Cow<'_, str>> = Vec::new();
        for (at, part) in line.split(';').enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if at > 0 && name.eq_ignore_ascii_case("domain") && self.is_foreign(value) {
                changed = true;
                continue;
            }
            if at > 0 && name.eq_ignore_ascii_case("path") && value.starts_with('/') {
                let path = self.down(value);
                if path != value {
                    changed = true;
                    // The root of the app is its prefix, which covers itself and all below it.
                    let path = path.strip_suffix('/').filter(|bare| !bare.is_empty()).unwrap_or(&path);
                    kept.push(format!(" {name}={path}").into());
                    continue;
                }
            }
            kept.push(part.into());
        }
        changed.then(|| kept.join(";"))
    }

    fn down<'a>(&self, path: &'a str) -> Cow<'a, str> {
        self.rewrite.map_or(Cow::Borrowed(path), |rewrite| rewrite.down(path, self.own))
    }

    /// Whether a cookie's domain is a name of the app that is not the public host's.
    fn is_foreign(&self, domain: &str) -> bool {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        let within = |authority: &str| {
            let name = HostName::parse(authority).map(|host| host.name).unwrap_or_default();
            name == domain || name.ends_with(&format!(".{domain}"))
        };
        let [public, others @ ..] = self.of_the_app;
        !domain.is_empty() && !within(public) && others.iter().any(|authority| within(authority))
    }
}

/// The authority of `http://…`, `https://…` or `//…`, and what follows it.
fn authority(text: &str) -> Option<(&str, &str)> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let at = ["http://", "https://", "//"].into_iter().find(|scheme| lower.starts_with(scheme))?.len();
    let rest = &text[at..];
    Some(rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())))
}

/// Whether two authorities are one; a default port may be left out.
fn is_same(ours: &str, theirs: &str) -> bool {
    let parse = |text: &str| HostName::parse(text).ok();
    let (Some(ours), Some(theirs)) = (parse(ours), parse(theirs)) else { return false };
    let port = |host: &HostName| host.port.filter(|port| ![80, 443].contains(port));
    ours.name == theirs.name && port(&ours) == port(&theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rewrite: Option<&Rewrite>) -> Places<'_> {
        Places {
            rewrite,
            public: "https://www.example.no",
            of_the_app: ["www.example.no", "10.0.0.7:8080", "app.internal"],
            own: "/oauth2",
        }
    }

    #[test]
    fn a_prefix_is_replaced_by_whole_segments_and_the_rest_stays() {
        for (from, to, path, expected) in [
            ("/app", "", "/app", Some("/")),
            ("/app", "/", "/app/", Some("/")),
            ("/app", "", "/app/a%2Fb;x/", Some("/a%2Fb;x/")),
            ("/app", "", "/apple", None),
            ("/app", "", "/other", None),
            ("/app/", "/legacy/v1", "/app/x", Some("/legacy/v1/x")),
            ("/app", "/legacy", "/app", Some("/legacy")),
            ("", "/legacy", "/x", Some("/legacy/x")),
            ("/", "/legacy", "/", Some("/legacy/")),
        ] {
            assert_eq!(Rewrite::new(from, to).up(path).as_deref(), expected, "{from} {to} {path}");
        }
    }

    #[test]
    fn places_of_the_app_become_public_ones_and_others_stay() {
        let strip = Rewrite::new("/app", "/");
        let stripped = places(Some(&strip));
        for (said, seen) in [
            ("/", Some("/app/")),
            ("/x?y=/z#/w", Some("/app/x?y=/z#/w")),
            ("http://10.0.0.7:8080/x", Some("https://www.example.no/app/x")),
            ("HTTP://App.Internal:80", Some("https://www.example.no/app/")),
            ("//app.internal?x", Some("https://www.example.no/app/?x")),
            ("http://www.example.no/x", Some("https://www.example.no/app/x")),
            ("/oauth2/logout?redirect=/", None),
            ("https://www.example.no/oauth2/login", None),
            ("x/y", None),
            ("?x", None),
            ("", None),
            ("https://elsewhere.no/x", None),
            ("//elsewhere.no/x", None),
            ("http://10.0.0.7:8081/x", None),
            ("http://app.internal@evil.no/", None),
            ("http://app.internal.evil.no/", None),
            ("http://evil.no\\@app.internal/", None),
            ("/\\evil.no", None),
            ("mailto:a@app.internal", None),
        ] {
            assert_eq!(stripped.location(said).as_deref(), seen, "{said}");
        }
        let moved = Rewrite::new("/", "/legacy");
        let moved = places(Some(&moved));
        for (said, seen) in [
            ("/legacy/x", Some("/x")),
            ("/legacy", Some("/")),
            ("/legacy?x", Some("/?x")),
            ("/legacyx", None),
            ("/legacy//evil.no/", Some("https://www.example.no//evil.no/")),
            ("/legacy/\\evil.no/", Some("https://www.example.no/\\evil.no/")),
        ] {
            assert_eq!(moved.location(said).as_deref(), seen, "{said}");
        }
        assert_eq!(
            places(None).location("http://app.internal/x").as_deref(),
            Some("https://www.example.no/x")
        );
        assert_eq!(places(None).location("/x"), None);
    }

    #[test]
    fn a_refresh_names_a_place_too() {
        let strip = Rewrite::new("/app", "/");
        let refresh = |said| places(Some(&strip)).refresh(said);
        assert_eq!(refresh("5; url=/x").as_deref(), Some("5; url=/app/x"));
        assert_eq!(
            refresh("0;URL='http://app.internal/x'").as_deref(),
            Some("0;URL='https://www.example.no/app/x'")
        );
        assert_eq!((refresh("5"), refresh("5; url=https://elsewhere.no/")), (None, None));
    }

    #[test]
    fn cookies_get_the_path_and_lose_the_domain_that_browsers_do_not_know() {
        let strip = Rewrite::new("/app", "/");
        let stripped = places(Some(&strip));
        for (said, seen) in [
            ("a=b; Path=/", Some("a=b; Path=/app")),
            ("a=b; path=/x/; HttpOnly", Some("a=b; path=/app/x; HttpOnly")),
            ("a=b;Domain=app.internal;Secure", Some("a=b;Secure")),
            ("a=b; Domain=.internal", Some("a=b")),
            ("a=b; Domain=example.no", None),
            ("a=b", None),
            ("a=path=/; HttpOnly", None),
            ("path=/; HttpOnly", None),
            ("__Host-a=b; Path=/; Secure", None),
        ] {
            assert_eq!(stripped.set_cookie(said).as_deref(), seen, "{said}");
        }
        assert_eq!(places(None).set_cookie("a=b; Path=/"), None);
    }
}
