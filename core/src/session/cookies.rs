//! The session's cookies: the session itself, and what a logout needs and no other request carries
//! (`design.md` D2).
//!
//! The second, `__Secure-portvakt-logout`, holds the `id_token` for `id_token_hint`, its parts decoded and
//! in at most [`CHUNKS`] cookies; during a logout it holds what the way back needs. Those of a named session
//! end in its name.
//!
//! **Invariant:** no two cookies of ours have one name, whatever sessions are called: theirs begin with a
//! letter and with none of [`plan::RESERVED`](super::plan::RESERVED), and the parts' numbers stand before them.
//!
//! **Invariant:** parts that were not made together are no hint (`threats.md` CK-5).

use std::borrow::Cow;

use base64_simd::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::parts::{self, Parts};
use super::plan::SessionPlan;
use super::{Limits, Session, ticket};
use crate::clock::Timestamp;
use crate::cookie::{self, Jar};
use crate::key::Ring;
use crate::redirect::Target;
use crate::seal::{self, Place, SealKey};

const LOGOUT: &str = "__Secure-portvakt-logout";

/// The most parts of a hint. A longer token gives none: `client_id` alone goes to the provider then.
pub const CHUNKS: usize = parts::MOST;

/// The most bytes of a session's value, so that the cookie with its name and attributes stays within 4 096
/// (`threats.md` CK-8).
pub const MAX_SESSION: usize = 3_900;

const HINT: &str = "logout-hint";
const RETURN: &str = "logout-return";

/// How long the way back from the provider may take, in seconds.
pub const RETURN_LIFE: u32 = 15 * 60;

/// Where a session's cookie lives.
#[must_use]
pub fn session_jar(plan: &SessionPlan) -> Jar {
    Jar { name: plan.cookie().to_owned(), path: "/".to_owned(), domain: plan.domain().map(str::to_owned) }
}

/// Opens the session that a request carries: whole, ours, within its limits. Whether it has been ended is
/// not known here.
#[must_use]
pub fn open_session(
    headers: &HeaderMap,
    plan: &SessionPlan,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> Option<Session> {
    ticket::open(cookie::find(headers, plan.cookie())?, plan, ring, limits, now)
}

/// Opens every session of a plan that a request carries, two of one name included, which count for nothing
/// but their end.
pub fn open_each(
    headers: &HeaderMap,
    plan: &SessionPlan,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> impl Iterator<Item = Session> {
    cookie::pairs(headers)
        .filter(|(name, _)| *name == plan.cookie().as_bytes())
        .take(MAX_PRESENTED)
        .filter_map(move |(_, value)| ticket::open(value, plan, ring, limits, now))
}

/// The most cookies by the session's name that are looked at.
const MAX_PRESENTED: usize = 10;

/// Whether a request carries a cookie by the session's name, usable or not.
#[must_use]
pub fn has_session_cookie(headers: &HeaderMap, plan: &SessionPlan) -> bool {
    cookie::pairs(headers).any(|(name, _)| name == plan.cookie().as_bytes())
}

/// Where the parts of the logout's cookie live: only a logout carries them.
#[must_use]
pub fn logout_jar(plan: &SessionPlan, prefix: &str, part: usize) -> Jar {
    Jar {
        name: logout_name(plan, part),
        path: format!("{prefix}/logout"),
        domain: plan.domain().map(str::to_owned),
    }
}

fn logout_name(plan: &SessionPlan, part: usize) -> String {
    let number = if part == 0 { String::new() } else { format!("-{part}") };
    format!("{LOGOUT}{number}{}", plan.suffix())
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
    plan: &SessionPlan,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> Option<Vec<String>> {
    let parts = id_token
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode_to_vec(part.as_bytes()).ok())
        .collect::<Option<Vec<_>>>()?;
    let [header, payload, signature] = parts.as_slice() else { return None };
    let plain = postcard::to_allocvec(&Token(header, payload, signature)).expect("a token is plain data");
    hint(plan).seal(&plain, ring, now)
}

/// The ID token that a logout request carries, as it was sealed.
#[must_use]
pub fn open_hint(
    headers: &HeaderMap,
    plan: &SessionPlan,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> Option<String> {
    let plain = hint(plan).open(headers, ring, now)?;
    let Token(header, payload, signature) = postcard::from_bytes(&plain).ok()?;
    let encode = |part| URL_SAFE_NO_PAD.encode_to_string(part);
    Some(format!("{}.{}.{}", encode(header), encode(payload), encode(signature)))
}

fn hint(plan: &SessionPlan) -> Parts<'_> {
    Parts { purpose: HINT, name: logout_name, plan }
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
    /// Sessions whose providers the browser leaves next, by name.
    pub next: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredReturn<'a>(&'a str, Option<&'a str>, u64, #[serde(borrow)] Vec<Cow<'a, str>>);

impl LogoutReturn {
    /// A logout that begins now.
    #[must_use]
    pub fn begin(target: Option<Target>, next: Vec<String>, now: Timestamp) -> Self {
        let state = URL_SAFE_NO_PAD.encode_to_string(seal::random::<16>());
        Self { state, target, began: now, next }
    }

    /// The value of [`logout_jar`]'s first part. It opens on the host where the logout began, whatever the
    /// cookie's domain: the target is a place there.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn seal(&self, plan: &SessionPlan, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
        let target = self.target.as_ref().map(Target::as_str);
        let next = self.next.iter().map(Into::into).collect();
        let stored = StoredReturn(&self.state, target, self.began.millis(), next);
        let plain = postcard::to_allocvec(&stored).expect("a return is plain data");
        seal::seal(ring, &Place::whole(RETURN, &logout_name(plan, 0), host), &plain, now)
    }

    /// What a request brings back; `None` if it is not ours or too old.
    #[must_use]
    pub fn open(
        headers: &HeaderMap,
        plan: &SessionPlan,
        host: &str,
        ring: &Ring<SealKey>,
        now: Timestamp,
    ) -> Option<Self> {
        let name = logout_name(plan, 0);
        let plain = seal::open(ring, &Place::whole(RETURN, &name, host), cookie::find(headers, &name)?, now)?;
        let StoredReturn(state, target, began, next) = postcard::from_bytes(&plain).ok()?;
        let began = Timestamp::from_millis(began);
        (now.since(began).as_secs() < RETURN_LIFE.into()).then(|| Self {
            state: state.to_owned(),
            target: target.map(Target::sealed),
            began,
            next: next.into_iter().map(Cow::into_owned).collect(),
        })
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

    fn plan() -> SessionPlan {
        usual("a.no")
    }

    fn token(bytes: usize) -> String {
        let part = |length| URL_SAFE_NO_PAD.encode_to_string(vec![b'x'; length]);
        format!("{}.{}.{}", part(30), part(bytes), part(256))
    }

    fn carried(values: &[String]) -> HeaderMap {
        let line: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, value)| format!("{}={value}", logout_name(&plan(), at)))
            .collect();
        [(http::header::COOKIE, line.join("; ").parse().unwrap())].into_iter().collect()
    }

    fn sealed(token: &str) -> Option<Vec<String>> {
        seal_hint(token, &plan(), &ring(), NOW)
    }

    fn opened(values: &[String]) -> Option<String> {
        open_hint(&carried(values), &plan(), &ring(), NOW)
    }

    #[test]
    fn a_token_comes_back_byte_for_byte_in_as_many_cookies_as_it_needs() {
        for (bytes, parts) in [(500, 1), (4_000, 2), (8_000, 3)] {
            let token = token(bytes);
            let values = sealed(&token).unwrap();
            assert_eq!(values.len(), parts);
            for (at, value) in values.iter().enumerate() {
                assert!(logout_jar(&plan(), "/oauth2", at).set(value).len() <= 4_096);
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
        let back = LogoutReturn::begin(Some(Target::start()), vec!["staff".to_owned()], NOW);
        let value = back.seal(&plan(), "a.no", &ring(), NOW);
        let open =
            |now| LogoutReturn::open(&carried(std::slice::from_ref(&value)), &plan(), "a.no", &ring(), now);
        assert_eq!(open(NOW), Some(back.clone()));
        assert_eq!(open(NOW + std::time::Duration::from_secs(u64::from(RETURN_LIFE))), None);
        assert_eq!(opened(std::slice::from_ref(&value)), None);
        assert!(
            LogoutReturn::open(&carried(&sealed(&token(10)).unwrap()), &plan(), "a.no", &ring(), NOW)
                .is_none()
        );
    }

    #[test]
    fn no_two_cookies_have_one_name() {
        let mut names = std::collections::HashSet::new();
        for plan in [
            usual("a.no"),
            named("a", Some("a.no"), "a.no"),
            named("a-1", Some("a.no"), "a.no"),
            named("a", None, "a.no"),
            named("log", Some("a.no"), "a.no"),
        ] {
            for part in 0..CHUNKS {
                let jar = logout_jar(&plan, "/oauth2", part);
                assert_eq!(jar.domain.as_deref(), plan.domain());
                // A session keeps its hint's name when it gets a domain.
                let known = names.insert(jar.name.clone());
                assert!(known || plan.domain().is_none(), "{}", jar.name);
            }
            assert!(names.insert(plan.cookie().to_owned()), "{}", plan.cookie());
        }
    }

    #[test]
    fn a_token_is_a_hint_for_its_own_session_and_issuer_alone() {
        let one = named("one", Some("a.no"), "x.a.no");
        let values = seal_hint(&token(10), &one, &ring(), NOW).unwrap();
        let carried_as = |plan: &SessionPlan| {
            let line = format!("{}={}", logout_name(plan, 0), values[0]);
            [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect::<HeaderMap>()
        };
        let opens = |plan: &SessionPlan| open_hint(&carried_as(plan), plan, &ring(), NOW).is_some();
        assert!(opens(&one) && opens(&named("one", Some("a.no"), "y.a.no")));
        assert!(!opens(&named("two", Some("a.no"), "x.a.no")));
        assert!(!opens(&named("one", None, "x.a.no")));
        let mut provider = crate::provider::tests_support::provider("idporten");
        provider.issuer = "https://other.example".to_owned();
        assert!(!opens(&SessionPlan::named("one", provider.into(), Some("a.no"), "x.a.no")));
    }

    #[test]
    fn the_way_back_is_that_of_the_host_where_the_logout_began() {
        let plan = named("one", Some("a.no"), "x.a.no");
        let value = LogoutReturn::begin(None, Vec::new(), NOW).seal(&plan, "x.a.no", &ring(), NOW);
        let line = format!("{}={value}", logout_name(&plan, 0));
        let headers: HeaderMap = [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect();
        assert!(LogoutReturn::open(&headers, &plan, "x.a.no", &ring(), NOW).is_some());
        assert!(LogoutReturn::open(&headers, &plan, "y.a.no", &ring(), NOW).is_none());
    }
}
