//! The session's cookies: the session itself, and what a logout needs and no other request carries
//! (`design.md` D2).
//!
//! The second, `__Secure-portvakt-logout`, holds the `id_token` for `id_token_hint`, its parts decoded and
//! in at most [`CHUNKS`] cookies; during a logout it holds what the way back needs.
//!
//! **Invariant:** parts that were not made together are no hint (`threats.md` CK-5).

use base64_simd::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Limits, Session, ticket};
use crate::clock::Timestamp;
use crate::cookie::{self, Jar};
use crate::key::Ring;
use crate::redirect::Target;
use crate::seal::{self, Place, SealKey};

/// The session's cookie.
pub const SESSION: &str = "__Host-portvakt";

const LOGOUT: &str = "__Secure-portvakt-logout";

/// The most parts of a hint. A longer token gives none: `client_id` alone goes to the provider then.
pub const CHUNKS: usize = 3;

/// The most bytes in a part, so that the cookie with its attributes stays below 4 096.
const CHUNK: usize = 2_850;

/// The most bytes of a session's value, so that the cookie with its name and attributes stays within 4 096
/// (`threats.md` CK-8).
pub const MAX_SESSION: usize = 3_900;

const HINT: &str = "logout-hint";
const RETURN: &str = "logout-return";

/// How long the way back from the provider may take, in seconds.
pub const RETURN_LIFE: u32 = 15 * 60;

/// Where the session's cookie lives.
#[must_use]
pub fn session_jar() -> Jar {
    Jar { name: SESSION.to_owned(), path: "/".to_owned() }
}

/// Opens the session that a request carries: whole, ours, within its limits. Whether it has been ended is
/// not known here.
#[must_use]
pub fn open_session(
    headers: &HeaderMap,
    host: &str,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> Option<Session> {
    ticket::open(cookie::find(headers, SESSION)?, SESSION, host, ring, limits, now)
}

/// Opens every session that a request carries, two of one name included, which count for nothing but their
/// end.
pub fn open_each(
    headers: &HeaderMap,
    host: &str,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> impl Iterator<Item = Session> {
    cookie::pairs(headers)
        .filter(|(name, _)| *name == SESSION.as_bytes())
        .take(MAX_PRESENTED)
        .filter_map(move |(_, value)| ticket::open(value, SESSION, host, ring, limits, now))
}

/// The most cookies by the session's name that are looked at.
const MAX_PRESENTED: usize = 10;

/// Whether a request carries a cookie by the session's name, usable or not.
#[must_use]
pub fn has_session_cookie(headers: &HeaderMap) -> bool {
    cookie::pairs(headers).any(|(name, _)| name == SESSION.as_bytes())
}

/// Where the parts of the logout's cookie live: only a logout carries them.
#[must_use]
pub fn logout_jar(prefix: &str, part: usize) -> Jar {
    let name = if part == 0 { LOGOUT.to_owned() } else { format!("{LOGOUT}-{part}") };
    Jar { name, path: format!("{prefix}/logout") }
}

#[derive(Serialize, Deserialize)]
struct Part<'a> {
    set: [u8; 8],
    #[serde(borrow)]
    bytes: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Token<'a>(&'a [u8], &'a [u8], &'a [u8]);

/// Seals an ID token as the values of [`logout_jar`]'s parts; `None` if it does not fit.
///
/// # Panics
///
/// Never: a token is plain data.
#[must_use]
pub fn seal_hint(
    id_token: &str,
    prefix: &str,
    host: &str,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> Option<Vec<String>> {
    let parts = id_token
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode_to_vec(part.as_bytes()).ok())
        .collect::<Option<Vec<_>>>()?;
    let [header, payload, signature] = parts.as_slice() else { return None };
    let plain = postcard::to_allocvec(&Token(header, payload, signature)).expect("a token is plain data");
    let chunks: Vec<&[u8]> = plain.chunks(CHUNK).collect();
    if chunks.len() > CHUNKS {
        return None;
    }
    let set = seal::random();
    let sealed = |(at, bytes): (usize, &&[u8])| {
        let part = postcard::to_allocvec(&Part { set, bytes }).expect("a part is plain data");
        let name = logout_jar(prefix, at).name;
        seal::seal(ring, &place(HINT, &name, host, at, chunks.len()), &part, now)
    };
    Some(chunks.iter().enumerate().map(sealed).collect())
}

/// The ID token that a logout request carries, as it was sealed.
#[must_use]
pub fn open_hint(
    headers: &HeaderMap,
    prefix: &str,
    host: &str,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> Option<String> {
    let values: Vec<(String, &[u8])> = (0..CHUNKS)
        .map(|part| logout_jar(prefix, part).name)
        .map_while(|name| cookie::find(headers, &name).map(|value| (name, value)))
        .collect();
    let mut plain = Vec::new();
    let mut first_set = None;
    for (at, (name, value)) in values.iter().enumerate() {
        let opened = seal::open(ring, &place(HINT, name, host, at, values.len()), value, now)?;
        let part: Part<'_> = postcard::from_bytes(&opened).ok()?;
        if *first_set.get_or_insert(part.set) != part.set {
            return None;
        }
        plain.extend_from_slice(part.bytes);
    }
    let Token(header, payload, signature) = postcard::from_bytes(&plain).ok()?;
    let encode = |part| URL_SAFE_NO_PAD.encode_to_string(part);
    Some(format!("{}.{}.{}", encode(header), encode(payload), encode(signature)))
}

fn place<'a>(purpose: &'static str, name: &'a str, host: &'a str, at: usize, of: usize) -> Place<'a> {
    let small = |number| u8::try_from(number).unwrap_or(u8::MAX);
    Place { purpose, cookie: name, scope: host, chunk: small(at), chunks: small(of) }
}

/// What the way back from the provider needs: kept by the browser, since the session is gone by then
/// (dossier 0, fact 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutReturn {
    /// `state` as sent.
    pub state: String,
    /// Where the browser goes; `None`: the signed-out page.
    pub target: Option<Target>,
    /// When the logout began.
    pub began: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredReturn<'a>(&'a str, Option<&'a str>, u64);

impl LogoutReturn {
    /// A logout that begins now.
    #[must_use]
    pub fn begin(target: Option<Target>, now: Timestamp) -> Self {
        let state = URL_SAFE_NO_PAD.encode_to_string(seal::random::<16>());
        Self { state, target, began: now }
    }

    /// The value of [`logout_jar`]'s first part.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn seal(&self, prefix: &str, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
        let stored = StoredReturn(&self.state, self.target.as_ref().map(Target::as_str), self.began.millis());
        let plain = postcard::to_allocvec(&stored).expect("a return is plain data");
        seal::seal(ring, &Place::whole(RETURN, &logout_jar(prefix, 0).name, host), &plain, now)
    }

    /// What a request brings back; `None` if it is not ours or too old.
    #[must_use]
    pub fn open(
        headers: &HeaderMap,
        prefix: &str,
        host: &str,
        ring: &Ring<SealKey>,
        now: Timestamp,
    ) -> Option<Self> {
        let name = logout_jar(prefix, 0).name;
        let plain = seal::open(ring, &Place::whole(RETURN, &name, host), cookie::find(headers, &name)?, now)?;
        let StoredReturn(state, target, began) = postcard::from_bytes(&plain).ok()?;
        let began = Timestamp::from_millis(began);
        (now.since(began).as_secs() < RETURN_LIFE.into()).then(|| Self {
            state: state.to_owned(),
            target: target.map(Target::sealed),
            began,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn token(bytes: usize) -> String {
        let part = |length| URL_SAFE_NO_PAD.encode_to_string(vec![b'x'; length]);
        format!("{}.{}.{}", part(30), part(bytes), part(256))
    }

    fn carried(values: &[String]) -> HeaderMap {
        let line: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, value)| format!("{}={value}", logout_jar("/oauth2", at).name))
            .collect();
        [(http::header::COOKIE, line.join("; ").parse().unwrap())].into_iter().collect()
    }

    fn sealed(token: &str) -> Option<Vec<String>> {
        seal_hint(token, "/oauth2", "a.no", &ring(), NOW)
    }

    fn opened(values: &[String]) -> Option<String> {
        open_hint(&carried(values), "/oauth2", "a.no", &ring(), NOW)
    }

    #[test]
    fn a_token_comes_back_byte_for_byte_in_as_many_cookies_as_it_needs() {
        for (bytes, parts) in [(500, 1), (4_000, 2), (8_000, 3)] {
            let token = token(bytes);
            let values = sealed(&token).unwrap();
            assert_eq!(values.len(), parts);
            for (at, value) in values.iter().enumerate() {
                assert!(logout_jar("/oauth2", at).set(value).len() <= 4_096);
            }
            assert_eq!(opened(&values), Some(token));
        }
        assert_eq!(sealed(&token(9_000)), None);
        assert_eq!(sealed("a.b"), None);
        assert_eq!(sealed("a.b.c.d"), None);
    }

    #[test]
    fn parts_that_were_not_made_together_are_no_hint() {
        let (one, other) = (sealed(&token(8_000)).unwrap(), sealed(&token(8_000)).unwrap());
        for values in [
            vec![one[0].clone(), other[1].clone(), one[2].clone()],
            vec![one[1].clone(), one[0].clone(), one[2].clone()],
            vec![one[0].clone(), one[1].clone()],
            vec![one[0].clone()],
            vec![],
        ] {
            assert_eq!(opened(&values), None);
        }
    }

    #[test]
    fn the_way_back_is_kept_for_its_time_and_is_no_hint() {
        let back = LogoutReturn::begin(Some(Target::start()), NOW);
        let value = back.seal("/oauth2", "a.no", &ring(), NOW);
        let open =
            |now| LogoutReturn::open(&carried(std::slice::from_ref(&value)), "/oauth2", "a.no", &ring(), now);
        assert_eq!(open(NOW), Some(back.clone()));
        assert_eq!(open(NOW + std::time::Duration::from_secs(u64::from(RETURN_LIFE))), None);
        assert_eq!(opened(std::slice::from_ref(&value)), None);
        assert!(
            LogoutReturn::open(&carried(&sealed(&token(10)).unwrap()), "/oauth2", "a.no", &ring(), NOW)
                .is_none()
        );
    }
}
