//! The session that a legacy app keeps itself, by a cookie of its own, held inside one of ours: without this
//! the right headers still lead to the wrong person's page.
//!
//! What an app sets under a name that the operator lists never reaches the browser as it is. It becomes a
//! cookie of the gateway, `__Host-portvakt-app-…`, whose sealed value holds the app's value, the path for
//! which the app set it, the app, and our session. What comes back is opened, and the app gets its own value
//! under its own name, byte for byte.
//!
//! **Invariant:** an app's cookie is forwarded only within the session of ours in which the app set it, to
//! the app that set it, and only to requests that the app hears of as it did then: those of a person, or
//! those of nobody. So it ends with our session, whoever ended that, and whether or not the browser forgets
//! it; and what was begun before a login is no part of it (session fixation).
//!
//! **Invariant:** a cookie under a listed name that comes from a browser is forwarded in no spelling that an
//! app server is known to take for it: whoever planted it, it is not ours.

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::cookie::{self, ForUpstream, Jar};
use crate::key::Ring;
use crate::seal::{self, Place, SealKey};
use crate::session::SessionId;

/// The beginning of the name of each cookie that holds an app's. `__Host-`, so that no sibling domain can
/// plant one (RFC 6265bis, 4.1.3); it goes to every path, so that a logout sees all of them.
const PREFIX: &str = "__Host-portvakt-app-";

/// The purpose to which the seal is bound.
const PURPOSE: &str = "app-session";

/// The most bytes of name and value that browsers keep (RFC 6265bis, 5.6).
const MOST: usize = 4096;

/// Which cookies are an app's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName {
    /// In lower case; without the star.
    name: String,
    /// Whether the name ended in a star: any ending will do.
    any_ending: bool,
}

/// Why a text names no cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieNameError {
    /// Not a token (RFC 9110, 5.6.2).
    #[error("a cookie's name has letters, digits and a few signs, and a star at most at its end")]
    Character,
    /// It would mean every cookie, or nearly.
    #[error("before the star stand at least three characters")]
    TooWide,
    /// One of the gateway's.
    #[error("cookies whose name begins with `portvakt` are the gateway's own")]
    Ours,
}

impl CookieName {
    /// Parses `JSESSIONID` or `ASPSESSIONID*`.
    ///
    /// # Errors
    ///
    /// [`CookieNameError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, CookieNameError> {
        let (name, any_ending) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        if (name.is_empty() && !any_ending) || name.contains('*') || !name.bytes().all(is_token) {
            return Err(CookieNameError::Character);
        }
        if any_ending && name.len() < 3 {
            return Err(CookieNameError::TooWide);
        }
        if cookie::is_ours(name.as_bytes()) {
            return Err(CookieNameError::Ours);
        }
        Ok(Self { name: name.to_ascii_lowercase(), any_ending })
    }

    /// Whether a name is meant, in any case of its letters.
    fn matches(&self, name: &[u8]) -> bool {
        let ours = self.name.as_bytes();
        if !self.any_ending {
            return name.eq_ignore_ascii_case(ours);
        }
        name.get(..ours.len()).is_some_and(|head| head.eq_ignore_ascii_case(ours))
    }

    /// Whether an app server could take a name for one that is meant: PHP turns what is no letter or digit
    /// into `_`, and older versions decode escapes.
    fn could_be(&self, name: &[u8]) -> bool {
        let ours: Vec<u8> = self.name.bytes().map(folded).collect();
        let decoded = decoded(name);
        // `a[b]=c` is an entry of `a`.
        let name = decoded.split(|&byte| byte == b'[').next().unwrap_or_default();
        let name: Vec<u8> = name.trim_ascii().iter().copied().map(folded).collect();
        if self.any_ending { name.starts_with(&ours) } else { name == ours }
    }
}

/// How an app's session is ended when ours ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppLogout {
    /// A path of the app, with a query if it needs one.
    pub target: String,
    /// Whether the app wants a POST, without a body; otherwise it is a GET.
    pub post: bool,
}

/// The session of one app, as routes to it treat it.
#[derive(Clone, Debug)]
pub struct AppSession {
    names: Vec<CookieName>,
    logout: Option<AppLogout>,
    of_person: AppId,
    of_nobody: AppId,
}

/// An app as hearing of a person, or of nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AppId {
    bytes: [u8; 16],
    /// A part of the cookies' names, so that apps do not overwrite each other's. The seal decides.
    tag: String,
}

impl AppId {
    fn of(audience: &str, person: bool) -> Self {
        let hash = hash(&[audience.as_bytes(), if person { b"person" } else { b"nobody" }]);
        Self { bytes: hash, tag: hex4(&hash) }
    }
}

/// Within which session of ours a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The live session in this browser, whether or not the app hears of it.
    pub session: Option<SessionId>,
    /// Whether the app hears of a person.
    pub person: bool,
    /// Whether it is known which sessions have ended; if not, what does not fit is kept from the app, and
    /// the browser keeps it.
    pub certain: bool,
}

/// The place in which an app's cookies are sealed, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The host to which our session is bound.
    pub host: &'a str,
    /// The keys of cookies.
    pub ring: &'a Ring<SealKey>,
    /// Now.
    pub now: Timestamp,
}

/// What a request's cookies are for the app.
#[derive(Debug)]
pub struct Held {
    /// What goes up.
    pub cookies: ForUpstream,
    /// Names of cookies of ours that will never be good again: the browser shall forget them.
    pub over: Vec<String>,
}

/// What becomes of a `Set-Cookie` of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is no session of the app's: it goes out as it is.
    NotListed,
    /// This goes out instead.
    As(HeaderValue),
    /// It is too long for a browser when sealed.
    TooLong,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    app: [u8; 16],
    session: Option<[u8; 16]>,
    path: &'a str,
    #[serde(borrow)]
    value: &'a [u8],
}

impl AppSession {
    /// The session that the app `audience` keeps in cookies of these names. `within`: the named session of
    /// ours inside which it lives; an app keeps one in each, and they do not touch each other (`design.md`
    /// D13).
    #[must_use]
    pub fn new(
        names: Vec<CookieName>,
        logout: Option<AppLogout>,
        audience: &str,
        within: Option<&str>,
    ) -> Self {
        // No audience holds a line break.
        let audience = within.map_or(audience.to_owned(), |within| format!("{audience}\n{within}"));
        Self { names, logout, of_person: AppId::of(&audience, true), of_nobody: AppId::of(&audience, false) }
    }

    /// Whether a cookie of ours, by its name, holds one of this app's.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        split(name).is_some_and(|(tag, _)| tag == self.of_person.tag || tag == self.of_nobody.tag)
    }

    /// How the app is told of the end of our session.
    #[must_use]
    pub fn logout(&self) -> Option<&AppLogout> {
        self.logout.as_ref()
    }

    /// Whether two routes lead to the same app.
    #[must_use]
    pub fn is_same_app(&self, other: &Self) -> bool {
        self.of_person == other.of_person
    }

    /// What a request's `Cookie` lines are for the app, and what of them is over.
    #[must_use]
    pub fn open(&self, headers: &HeaderMap, path: &str, standing: Standing, sealing: Sealing<'_>) -> Held {
        let mut own: Vec<(usize, Vec<u8>)> = Vec::new();
        let (mut rest, mut over) = (Vec::new(), Vec::new());
        for part in cookie::parts(headers) {
            let (name, value) = cookie::pair(part);
            if let Some(name) = held_name(name) {
                match self.judge(name, value, path, standing, sealing) {
                    Verdict::Goes { length, pair } => own.push((length, pair)),
                    Verdict::Over => over.push(name.to_owned()),
                    Verdict::Stays => {}
                }
            } else if !cookie::is_ours(name) && !self.could_be_read_in(part) {
                rest.push(part);
            }
        }
        // As browsers do (RFC 6265bis, 5.8.3): longer paths first. Before the others: of two of one name
        // most apps take the first.
        own.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        let line =
            own.iter().map(|(_, pair)| pair.as_slice()).chain(rest).collect::<Vec<_>>().join(&b"; "[..]);
        let cookies = if line.is_empty() {
            ForUpstream::None
        } else {
            HeaderValue::from_bytes(&line).map_or(ForUpstream::None, ForUpstream::Line)
        };
        Held { cookies, over }
    }

    /// The app's cookies of a person in a session of ours that has ended: what its logout needs. `None` if
    /// there are none.
    #[must_use]
    pub fn of_ended(
        &self,
        headers: &HeaderMap,
        session: SessionId,
        sealing: Sealing<'_>,
    ) -> Option<HeaderValue> {
        let path = self.logout.as_ref()?.target.split('?').next().unwrap_or_default();
        let standing = Standing { session: Some(session), person: true, certain: true };
        let pairs: Vec<Vec<u8>> = cookie::pairs(headers)
            .filter_map(|(name, value)| Some((held_name(name)?, value)))
            .filter_map(|(name, value)| match self.judge(name, value, path, standing, sealing) {
                Verdict::Goes { pair, .. } => Some(pair),
                Verdict::Over | Verdict::Stays => None,
            })
            .collect();
        if pairs.is_empty() { None } else { HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok() }
    }

    fn judge(
        &self,
        name: &str,
        value: &[u8],
        path: &str,
        standing: Standing,
        sealing: Sealing<'_>,
    ) -> Verdict {
        let Some((tag, app_name)) = split(name) else { return Verdict::Stays };
        let Some(app) = [&self.of_person, &self.of_nobody].into_iter().find(|app| app.tag == tag) else {
            return Verdict::Stays;
        };
        let place = Place::whole(PURPOSE, name, sealing.host);
        let Some(plain) = seal::open(sealing.ring, &place, value, sealing.now) else { return Verdict::Stays };
        let Ok(sealed) = postcard::from_bytes::<Sealed<'_>>(&plain) else { return Verdict::Stays };
        if sealed.app != app.bytes {
            return Verdict::Stays;
        }
        if sealed.session != standing.session.map(|session| *session.bytes()) {
            return if standing.certain { Verdict::Over } else { Verdict::Stays };
        }
        if app != self.app(standing) || !path_matches(path, sealed.path) {
            return Verdict::Stays;
        }
        Verdict::Goes { length: sealed.path.len(), pair: [app_name.as_bytes(), b"=", sealed.value].concat() }
    }

    /// What becomes of one `Set-Cookie` that the app answers a request for `path` with.
    #[must_use]
    pub fn bind(&self, set_cookie: &[u8], path: &str, standing: Standing, sealing: Sealing<'_>) -> Bound {
        let mut parts = set_cookie.split(|&byte| byte == b';');
        let (name, value) = cookie::pair(parts.next().unwrap_or_default());
        if !self.names.iter().any(|listed| listed.matches(name)) {
            return Bound::NotListed;
        }
        let attributes: Vec<(&[u8], &[u8])> = parts.map(cookie::attribute).collect();
        // The last one counts (RFC 6265bis, 5.6).
        let last = |wanted: &str| {
            attributes
                .iter()
                .rev()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
                .map(|(_, value)| *value)
        };
        let asked = last("path").and_then(|path| std::str::from_utf8(path).ok());
        let cookie_path = asked.filter(|path| path.starts_with('/')).unwrap_or_else(|| default_path(path));
        let (Ok(name), app) = (std::str::from_utf8(name), self.app(standing)) else {
            return Bound::NotListed;
        };
        let name = format!("{PREFIX}{}-{}-{name}", app.tag, hex4(&hash::<16>(&[cookie_path.as_bytes()])));
        let sealed = Sealed {
            app: app.bytes,
            session: standing.session.map(|session| *session.bytes()),
            path: cookie_path,
            value,
        };
        let plain = postcard::to_allocvec(&sealed).expect("a cookie is plain data");
        let value =
            seal::seal(sealing.ring, &Place::whole(PURPOSE, &name, sealing.host), &plain, sealing.now);
        if name.len() + value.len() > MOST {
            return Bound::TooLong;
        }
        let mut line = format!("{name}={value}; HttpOnly; Secure; Path=/").into_bytes();
        for kept in ["Max-Age", "Expires"] {
            if let Some(value) = last(kept) {
                line.extend_from_slice(format!("; {kept}=").as_bytes());
                line.extend_from_slice(value);
            }
        }
        let same_site = last("samesite").and_then(|value| {
            ["Strict", "Lax", "None"].into_iter().find(|known| value.eq_ignore_ascii_case(known.as_bytes()))
        });
        line.extend_from_slice(format!("; SameSite={}", same_site.unwrap_or("Lax")).as_bytes());
        HeaderValue::from_bytes(&line).map_or(Bound::TooLong, Bound::As)
    }

    fn app(&self, standing: Standing) -> &AppId {
        if standing.person { &self.of_person } else { &self.of_nobody }
    }

    /// Whether some app server would find a listed cookie in this part of a line: under its name, or, since
    /// old ones split at commas and know no quotes, within another's value.
    fn could_be_read_in(&self, part: &[u8]) -> bool {
        let listed = |name| self.names.iter().any(|listed| listed.could_be(name));
        // `=a=b` is a cookie without a name to browsers, and `a` to who skips an odd beginning.
        let begin = part.iter().position(|byte| !b"= \t".contains(byte)).unwrap_or(part.len());
        let part = &part[begin..];
        let pieces = || part.split(|byte| b",\"' \t".contains(byte)).filter(|piece| piece.contains(&b'='));
        listed(cookie::attribute(part).0) || pieces().any(|piece| listed(cookie::attribute(piece).0))
    }
}

enum Verdict {
    /// It goes to the app.
    Goes { length: usize, pair: Vec<u8> },
    /// Its session is not this one any more.
    Over,
    /// It is not for this request: of another app or path, or none of ours.
    Stays,
}

/// The deletion of each cookie that holds an app's, whatever it is worth: at a login and at a logout none
/// goes on, but those that another session of ours keeps.
pub fn forget_all(headers: &HeaderMap, keeps: impl Fn(&str) -> bool) -> impl Iterator<Item = HeaderValue> {
    let names: std::collections::BTreeSet<&str> =
        cookie::pairs(headers).filter_map(|(name, _)| held_name(name)).filter(|name| !keeps(name)).collect();
    names.into_iter().map(forget)
}

/// The deletion of one, by its name from a request.
///
/// # Panics
///
/// Never: such names are tokens.
#[must_use]
pub fn forget(name: &str) -> HeaderValue {
    Jar { name: name.to_owned(), path: "/".to_owned(), domain: None }.delete()
}

/// The name, if it is of a cookie that holds an app's.
fn held_name(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    (name.starts_with(PREFIX) && name.bytes().all(is_token)).then_some(name)
}

/// The app's tag and the app's own name for a cookie.
fn split(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(tag), Some(_), Some(name)) => Some((tag, name)),
        _ => None,
    }
}

/// RFC 6265bis, 5.1.4.
fn path_matches(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// RFC 6265bis, 5.1.4: the directory of the request.
fn default_path(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((directory, _)) if directory.starts_with('/') => directory,
        _ => "/",
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

/// The bytes with escapes decoded once.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

fn hash<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 32) };
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    let mut cut = [0; N];
    cut.copy_from_slice(&digest(&SHA256, &bytes).as_ref()[..N]);
    cut
}

fn hex4(hash: &[u8; 16]) -> String {
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
