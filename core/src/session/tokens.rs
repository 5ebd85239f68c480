//! The tokens that a provider gave beside the ID token, kept by the browser for the apps that need them: sealed, in
//! cookies of their own, bound to one session.
//!
//! The session's cookie has no part in them: routes that ask for no token never look here, and a browser without these
//! cookies is as logged in as before.
//!
//! **Invariant:** they are of one session, by its id, under the seal: those of another session, person, provider, host
//! or name are none (`threats.md` CK-2). What was begun before a login is no part of it (CK-10).
//!
//! **Invariant:** what is forwarded is one token of the characters of RFC 6750, 2.1, and does not print itself.

use std::time::Duration;

use aws_lc_rs::digest;
use base64_simd::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::SessionId;
use super::parts::{MOST, Parts};
use super::plan::SessionPlan;
use crate::clock::Timestamp;
use crate::cookie::Jar;
use crate::key::Ring;
use crate::seal::{self, Place, SealKey};

/// The purpose to which the seal is bound. Another shape needs another.
const PURPOSE: &str = "tokens";

/// The same for what replicas leave each other.
const NOTE: &str = "tokens-note";

/// A token that is given no life is used for so long (RFC 6749, 5.1 leaves it open).
const UNSAID: Duration = Duration::from_secs(60);

/// The longest time before its end at which an access token is exchanged.
const EARLY: Duration = Duration::from_secs(30);

/// An access token that ends sooner is not sent: the app would get it too late.
const LEAST: Duration = Duration::from_secs(2);

/// An access token, and for how long it is good.
#[derive(Clone, Debug)]
pub struct AccessToken {
    token: SecretString,
    renew: Timestamp,
    expires: Timestamp,
}

impl AccessToken {
    /// As a provider gave it: `expires_in` seconds, asked for at `at`. `None` if it cannot be sent as a bearer token.
    #[must_use]
    pub fn received(token: &str, expires_in: Option<u64>, at: Timestamp) -> Option<Self> {
        let life = expires_in.map_or(UNSAID, |seconds| Duration::from_secs(seconds.min(24 * 3600)));
        // A third of a short life is left for the exchange.
        let early = EARLY.min(life / 3);
        is_bearer(token).then(|| Self { token: token.into(), renew: at + (life - early), expires: at + life })
    }

    /// As `Authorization` has it (RFC 6750, 2.1). It hides itself from logs.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let value = format!("Bearer {}", self.token.expose_secret());
        let mut value = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// The token itself, for its end at the provider.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.token
    }

    /// Whether an app that is asked now can use it.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        now + LEAST < self.expires
    }

    /// Whether it is time to exchange it.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.renew || !self.is_good(now)
    }
}

/// `b64token` (RFC 6750, 2.1).
fn is_bearer(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// The tokens of one session.
#[derive(Clone, Debug)]
pub struct Tokens {
    session: SessionId,
    exchange: u32,
    nonce: [u8; 16],
    access: Option<AccessToken>,
    refresh: Option<SecretString>,
}

impl Tokens {
    /// What a login brought; `nonce`: the one that it sent.
    #[must_use]
    pub fn begin(
        session: &SessionId,
        nonce: &str,
        access: Option<AccessToken>,
        refresh: Option<SecretString>,
    ) -> Self {
        Self { session: *session, exchange: 0, nonce: digest_of(nonce), access, refresh }
    }

    /// What their exchange brought. Without a new refresh token the old one stays (RFC 6749, 6).
    #[must_use]
    pub fn exchanged(&self, access: AccessToken, refresh: Option<SecretString>) -> Self {
        Self {
            exchange: self.exchange.saturating_add(1),
            access: Some(access),
            refresh: refresh.or_else(|| self.refresh.clone()),
            ..self.clone()
        }
    }

    /// The same for a session that takes this one's place without a new login.
    #[must_use]
    pub fn carried_over(&self, session: &SessionId) -> Self {
        Self { session: *session, ..self.clone() }
    }

    /// The same, good until the access token ends: what it would be exchanged with is spent.
    #[must_use]
    pub fn without_refresh(&self) -> Self {
        Self { refresh: None, ..self.clone() }
    }

    /// What is kept where they cannot be: that a login was, and brought nothing for apps.
    #[must_use]
    pub fn not_kept(&self) -> Self {
        Self { access: None, refresh: None, ..self.clone() }
    }

    /// Whose they are.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Whether they are of this session.
    #[must_use]
    pub fn are_of(&self, session: &SessionId) -> bool {
        self.session == *session
    }

    /// How often they were exchanged since the login: of two of one session the greater is the newer.
    #[must_use]
    pub fn exchange(&self) -> u32 {
        self.exchange
    }

    /// The access token; `None` if the provider gave none that could be kept, and a new login would give no other.
    #[must_use]
    pub fn access(&self) -> Option<&AccessToken> {
        self.access.as_ref()
    }

    /// What it is exchanged with.
    #[must_use]
    pub fn refresh(&self) -> Option<&SecretString> {
        self.refresh.as_ref()
    }

    /// Whether this is the `nonce` of the login (OpenID Connect Core 1.0, 12.2).
    #[must_use]
    pub fn is_nonce(&self, nonce: &str) -> bool {
        digest_of(nonce).ct_eq(&self.nonce).into()
    }

    /// The `Set-Cookie` lines that keep them, and forget parts of those before; `None` if they do not fit.
    ///
    /// # Panics
    ///
    /// Never: they are plain data.
    #[must_use]
    pub fn keep(&self, plan: &SessionPlan, ring: &Ring<SealKey>, now: Timestamp) -> Option<Vec<HeaderValue>> {
        let plain = self.plain();
        let values = parts(plan).seal(&plain, ring, now)?;
        let line = |part: usize| {
            let jar = jar(plan, part);
            values.get(part).map_or_else(|| jar.delete(), |value| jar.set(value))
        };
        Some((0..MOST).map(line).collect())
    }

    /// The tokens that a request carries, of whatever session: to be ended, or compared.
    #[must_use]
    pub fn open(
        headers: &HeaderMap,
        plan: &SessionPlan,
        ring: &Ring<SealKey>,
        now: Timestamp,
    ) -> Option<Self> {
        Self::of_plain(&parts(plan).open(headers, ring, now)?)
    }

    /// Sealed for other replicas, in a place that is called `name`, which only who has the tokens before can know.
    #[must_use]
    pub fn note(&self, name: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
        seal::seal(ring, &Place::whole(NOTE, name, ""), &self.plain(), now)
    }

    /// What another replica left there, if it is of the same session as these tokens and newer.
    #[must_use]
    pub fn read_note(&self, note: &[u8], name: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<Self> {
        let newer = Self::of_plain(&seal::open(ring, &Place::whole(NOTE, name, ""), note, now)?)?;
        (newer.are_of(&self.session) && newer.exchange > self.exchange).then_some(newer)
    }

    fn plain(&self) -> Vec<u8> {
        let stored = Stored {
            session: *self.session.bytes(),
            exchange: self.exchange,
            nonce: self.nonce,
            access: self.access.as_ref().map(|access| StoredAccess {
                token: Compact::of(access.token.expose_secret()),
                renew: access.renew.millis(),
                expires: access.expires.millis(),
            }),
            refresh: self.refresh.as_ref().map(|refresh| Compact::of(refresh.expose_secret())),
        };
        postcard::to_allocvec(&stored).expect("tokens are plain data")
    }

    fn of_plain(plain: &[u8]) -> Option<Self> {
        let Stored { session, exchange, nonce, access, refresh } = postcard::from_bytes(plain).ok()?;
        let access = access.map(|access| {
            let (renew, expires) = (access.renew, access.expires);
            let token = access.token.text()?.into();
            let at = Timestamp::from_millis;
            Some(AccessToken { token, renew: at(renew), expires: at(expires) })
        });
        let refresh = refresh.map(|refresh| refresh.text().map(SecretString::from));
        Some(Self {
            session: SessionId(session),
            exchange,
            nonce,
            access: access.map_or(Some(None), |access| access.map(Some))?,
            refresh: refresh.map_or(Some(None), |refresh| refresh.map(Some))?,
        })
    }
}

/// The `Set-Cookie` lines that let a browser forget its tokens.
#[must_use]
pub fn forget(plan: &SessionPlan) -> Vec<HeaderValue> {
    (0..MOST).map(|part| jar(plan, part).delete()).collect()
}

/// Whether a request carries cookies of tokens, usable or not.
#[must_use]
pub fn are_carried(headers: &HeaderMap, plan: &SessionPlan) -> bool {
    let first = name(plan, 0);
    crate::cookie::pairs(headers).any(|(name, _)| name == first.as_bytes())
}

fn parts(plan: &SessionPlan) -> Parts<'_> {
    Parts { purpose: PURPOSE, name, plan }
}

/// Where a part lives: with the session's cookie.
fn jar(plan: &SessionPlan, part: usize) -> Jar {
    Jar { name: name(plan, part), path: "/".to_owned(), domain: plan.domain().map(str::to_owned) }
}

fn name(plan: &SessionPlan, part: usize) -> String {
    let prefix = if plan.domain().is_some() { "__Secure-" } else { "__Host-" };
    let number = if part == 0 { String::new() } else { format!("-{part}") };
    format!("{prefix}portvakt-tokens{number}{}", plan.suffix())
}

fn digest_of(nonce: &str) -> [u8; 16] {
    let mut cut = [0; 16];
    cut.copy_from_slice(&digest::digest(&digest::SHA256, nonce.as_bytes()).as_ref()[..16]);
    cut
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    session: [u8; 16],
    exchange: u32,
    nonce: [u8; 16],
    #[serde(borrow)]
    access: Option<StoredAccess<'a>>,
    #[serde(borrow)]
    refresh: Option<Compact<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredAccess<'a> {
    #[serde(borrow)]
    token: Compact<'a>,
    renew: u64,
    expires: u64,
}

/// A token in as few bytes as it needs: of a JWS or JWE the parts, decoded.
#[derive(Serialize, Deserialize)]
enum Compact<'a> {
    Text(&'a str),
    Parts(Vec<Vec<u8>>),
}

impl<'a> Compact<'a> {
    fn of(token: &'a str) -> Self {
        let part = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode_to_vec(part.as_bytes()).ok()?;
            // Byte for byte what it was, or not at all.
            (URL_SAFE_NO_PAD.encode_to_string(&bytes) == part).then_some(bytes)
        };
        token.split('.').map(part).collect::<Option<Vec<_>>>().map_or(Self::Text(token), Self::Parts)
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            Self::Parts(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|part| URL_SAFE_NO_PAD.encode_to_string(part)).collect();
                Some(parts.join("."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;
    use crate::session::plan::tests_support::{named, usual};

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn after(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn tokens(session: &SessionId, access: &str, refresh: &str) -> Tokens {
        let access = AccessToken::received(access, Some(120), NOW);
        Tokens::begin(session, "the nonce", access, Some(refresh.into()))
    }

    /// What a browser sends that has kept these lines.
    fn carried(lines: &[HeaderValue]) -> HeaderMap {
        let pairs = lines.iter().filter_map(|line| {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            (!pair.ends_with('=')).then_some(pair)
        });
        let line = pairs.collect::<Vec<_>>().join("; ");
        [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect()
    }

    fn jws(bytes: usize) -> String {
        let part = |length| URL_SAFE_NO_PAD.encode_to_string(vec![b'x'; length]);
        format!("{}.{}.{}", part(30), part(bytes), part(256))
    }

    /// A JWE, whose second part is empty (`dir`).
    fn jwe(bytes: usize) -> String {
        let part = |length| URL_SAFE_NO_PAD.encode_to_string(vec![b'x'; length]);
        format!("{}..{}.{}.{}", part(60), part(16), part(bytes), part(16))
    }

    #[test]
    fn tokens_come_back_byte_for_byte_in_as_many_cookies_as_they_need() {
        let session = SessionId::random();
        for (access, refresh, cookies) in [
            (jws(900), jwe(700), 1),
            (jws(2_500), jwe(700), 2),
            (jws(6_000), jwe(1_000), 3),
            ("opaque~+/==".to_owned(), "any thing".to_owned(), 1),
            ("a.b.c".to_owned(), "e30=".to_owned(), 1),
        ] {
            let lines = tokens(&session, &access, &refresh).keep(&usual("a.no"), &ring(), NOW).unwrap();
            assert_eq!(lines.len(), MOST, "what is left of longer ones is forgotten");
            let kept = lines.iter().filter(|line| !line.to_str().unwrap().contains("Max-Age=0"));
            assert_eq!(kept.clone().count(), cookies);
            assert!(kept.clone().all(|line| line.len() <= 4_096));
            let opened = Tokens::open(&carried(&lines), &usual("a.no"), &ring(), NOW).unwrap();
            assert_eq!(opened.access().unwrap().header(), format!("Bearer {access}"));
            assert_eq!(opened.refresh().unwrap().expose_secret(), refresh);
            assert!(opened.are_of(&session) && !opened.are_of(&SessionId::random()));
            assert!(opened.is_nonce("the nonce") && !opened.is_nonce("another"));
        }
        assert!(tokens(&session, &jws(8_000), &jwe(700)).keep(&usual("a.no"), &ring(), NOW).is_none());
    }

    #[test]
    fn tokens_open_for_their_session_host_and_issuer_alone() {
        let session = SessionId::random();
        let plans = [
            usual("a.no"),
            usual("b.no"),
            named("one", None, "a.no"),
            named("two", None, "a.no"),
            named("one", Some("a.no"), "x.a.no"),
        ];
        for (at, plan) in plans.iter().enumerate() {
            let lines = tokens(&session, "a", "b").keep(plan, &ring(), NOW).unwrap();
            let value = lines[0].to_str().unwrap().split(['=', ';']).nth(1).unwrap();
            for (other, candidate) in plans.iter().enumerate() {
                let line = format!("{}={value}", name(candidate, 0));
                let headers = [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect();
                let opened = Tokens::open(&headers, candidate, &ring(), NOW);
                assert_eq!(opened.is_some(), at == other, "{at} {other}");
            }
        }
        let lines = tokens(&session, "a", "b").keep(&usual("a.no"), &ring(), NOW).unwrap();
        let mut provider = crate::provider::tests_support::provider("idporten");
        provider.issuer = "https://other.example".to_owned();
        let moved = SessionPlan::usual(provider.into(), "a.no");
        assert!(Tokens::open(&carried(&lines), &moved, &ring(), NOW).is_none());
        let other = Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[8; 32]));
        assert!(Tokens::open(&carried(&lines), &usual("a.no"), &other, NOW).is_none());
    }

    #[test]
    fn parts_of_two_sets_are_no_tokens() {
        let (session, plan) = (SessionId::random(), usual("a.no"));
        let set = || tokens(&session, &jws(4_000), &jwe(700)).keep(&plan, &ring(), NOW).unwrap();
        let (one, other) = (set(), set());
        assert!(Tokens::open(&carried(&one), &plan, &ring(), NOW).is_some());
        for lines in [
            vec![one[0].clone(), other[1].clone()],
            vec![one[0].clone()],
            vec![one[1].clone()],
            vec![one[0].clone(), one[0].clone(), one[1].clone()],
            vec![],
        ] {
            assert!(Tokens::open(&carried(&lines), &plan, &ring(), NOW).is_none());
        }
        assert!(are_carried(&carried(&one), &plan) && !are_carried(&carried(&forget(&plan)), &plan));
    }

    #[test]
    fn no_token_is_called_as_a_session_or_a_hint() {
        use super::super::cookies::logout_jar;
        let mut names = std::collections::HashSet::new();
        for plan in [usual("a.no"), named("a", None, "a.no"), named("b", Some("a.no"), "a.no")] {
            for part in 0..MOST {
                assert!(names.insert(name(&plan, part)));
                assert!(names.insert(logout_jar(&plan, "/oauth2", part).name));
            }
            assert!(names.insert(plan.cookie().to_owned()));
        }
    }

    #[test]
    fn an_exchange_is_newer_and_keeps_what_is_not_given_anew() {
        let first = tokens(&SessionId::random(), "one", "refresh");
        let access = || AccessToken::received("two", Some(120), NOW).unwrap();
        let kept = first.exchanged(access(), None);
        assert_eq!((kept.exchange(), kept.refresh().unwrap().expose_secret()), (1, "refresh"));
        let given = kept.exchanged(access(), Some("other".into()));
        assert_eq!((given.exchange(), given.refresh().unwrap().expose_secret()), (2, "other"));
        assert!(given.is_nonce("the nonce"));
        let session = SessionId::random();
        assert!(given.carried_over(&session).are_of(&session));
    }

    #[test]
    fn a_note_is_for_who_has_the_tokens_before_it() {
        let session = SessionId::random();
        let first = tokens(&session, "one", "refresh");
        let newer = first.exchanged(AccessToken::received("two", Some(120), NOW).unwrap(), None);
        let note = newer.note("here", &ring(), NOW);
        let read = |by: &Tokens, name| by.read_note(note.as_bytes(), name, &ring(), NOW);
        assert_eq!(read(&first, "here").unwrap().access().unwrap().header(), "Bearer two");
        assert!(read(&first, "there").is_none());
        assert!(read(&newer, "here").is_none(), "it is no newer");
        assert!(read(&tokens(&SessionId::random(), "one", "refresh"), "here").is_none());
        let cookie = newer.keep(&usual("a.no"), &ring(), NOW).unwrap();
        let cookie = cookie[0].to_str().unwrap().split(['=', ';']).nth(1).unwrap();
        assert!(first.read_note(cookie.as_bytes(), "here", &ring(), NOW).is_none());
        assert!(first.read_note(b"", "here", &ring(), NOW).is_none());
    }

    #[test]
    fn a_token_is_exchanged_before_it_ends() {
        for (life, due, good) in [(Some(120), 90, 117), (Some(30), 20, 27), (None, 40, 57)] {
            let token = AccessToken::received("a", life, NOW).unwrap();
            assert!(!token.is_due(after(due - 1)) && token.is_due(after(due)), "{life:?}");
            assert!(token.is_good(after(good)) && !token.is_good(after(good + 1)), "{life:?}");
        }
        let short = AccessToken::received("a", Some(2), NOW).unwrap();
        assert!(short.is_due(NOW) && !short.is_good(NOW), "an app would get it too late");
    }

    #[test]
    fn what_is_no_bearer_token_is_not_kept() {
        for text in ["", "=", "a b", "a\r\nX: y", "a\"", "å", "a,b", "a=b"] {
            assert!(AccessToken::received(text, Some(1), NOW).is_none(), "{text}");
        }
        let value = AccessToken::received("secret", Some(1), NOW).unwrap();
        assert_eq!(format!("{:?}", value.header()), "Sensitive");
        let tokens = tokens(&SessionId::random(), "a-secret", "b-secret");
        assert!(!format!("{tokens:?} {value:?}").contains("secret\""));
        assert!(!format!("{tokens:?}").contains("-secret"));
    }
}
