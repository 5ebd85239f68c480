//! What the browser keeps between the start of a login and its answer: one sealed cookie for each attempt,
//! at most [`SLOTS`] of them, none longer than [`MAX_COOKIE`] (`design.md` D2).
//!
//! State, nonce and PKCE verifier are derived from one random seed, so that the cookie stays small.

use std::time::Duration;

use http::HeaderMap;
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::relay;
use super::wish::Wish;
use crate::clock::Timestamp;
use crate::cookie::{self, Jar};
use crate::identity::RepresentationId;
use crate::key::{MacKey, Ring};
use crate::level::Level;
use crate::redirect::Target;
use crate::seal::{self, OVERHEAD, Place, SealKey};
use crate::session::plan::Realm;

/// How long an attempt may take: a foreign eID needs its time (dossier 1.2.8).
pub const LIFE: Duration = Duration::from_secs(15 * 60);

/// How many attempts one browser may have under way.
pub const SLOTS: u8 = 10;

/// The most bytes of such a cookie, name included.
pub const MAX_COOKIE: usize = 400;

/// After so many logins in a row that brought the browser straight back to log in, it is told instead.
pub const MAX_IN_A_ROW: u8 = 3;

/// Logins further apart than this are not in a row.
const IN_A_ROW: Duration = Duration::from_secs(60);

/// Not that of an earlier version, whose attempts name a provider and no session.
const PURPOSE: &str = "login-2";

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    seed: Seed,
    /// The session that it is for, with its provider and issuer.
    pub realm: Realm,
    /// When it was started.
    pub started: Timestamp,
    /// What the login is asked for.
    pub wish: Wish,
    /// Where the browser goes afterwards.
    pub target: Target,
    /// How many logins went before it in a row.
    pub in_a_row: u8,
}

/// Everything secret of an attempt is derived from it. Not for logs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seed([u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed([REDACTED])")
    }
}

/// What a slot's cookie holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// An attempt under way.
    Pending(Attempt),
    /// A login that ended well, kept for a minute to notice browsers that do not keep the session.
    Done {
        /// When it ended.
        at: Timestamp,
        /// How many logins in a row ended so.
        in_a_row: u8,
        /// The session that it was for.
        realm: Realm,
    },
}

#[derive(Serialize, Deserialize)]
enum Sealed<'a> {
    Pending {
        seed: [u8; 32],
        realm: Realm,
        started: u64,
        level: Option<Level>,
        kinds: u8,
        max_age: Option<u32>,
        fresh: bool,
        target: &'a str,
        in_a_row: u8,
        asked: Option<[u8; 8]>,
    },
    Done {
        at: u64,
        in_a_row: u8,
        realm: Realm,
    },
}

impl Attempt {
    /// A new attempt.
    #[must_use]
    pub fn start(realm: Realm, wish: Wish, target: Target, in_a_row: u8, now: Timestamp) -> Self {
        let seed = Seed(seal::random());
        Self { seed, realm, started: now, wish, target, in_a_row }
    }

    /// `state`: the slot's digit and 128 bits, URL-safe so that encoding changes nothing (dossier 0, fact 11).
    #[must_use]
    pub fn state(&self, slot: u8) -> String {
        format!("{slot}{}", self.derived::<16>("state"))
    }

    /// `nonce` (OpenID Connect Core 1.0, 3.1.2.1).
    #[must_use]
    pub fn nonce(&self) -> String {
        self.derived::<16>("nonce")
    }

    /// `code_verifier` (RFC 7636, 4.1): 43 characters.
    #[must_use]
    pub fn verifier(&self) -> String {
        self.derived::<32>("verifier")
    }

    /// `code_challenge` with method S256 (RFC 7636, 4.2).
    #[must_use]
    pub fn challenge(&self) -> String {
        let verifier = PkceCodeVerifier::new(self.verifier());
        PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str().to_owned()
    }

    /// Whether a `state` is this attempt's, by whatever way it came.
    #[must_use]
    pub fn has_state(&self, slot: u8, state: &str) -> bool {
        self.state(slot).as_bytes().ct_eq(relay::own(state).as_bytes()).into()
    }

    /// Whether it may still be answered.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.started + LIFE
    }

    fn derived<const N: usize>(&self, label: &str) -> String {
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(MacKey::new(&self.seed.0).tag::<N>(label, &[]))
    }
}

/// The cookie of a slot: of this host alone, whichever session it is for, since the answer comes here.
#[must_use]
pub fn jar(slot: u8) -> Jar {
    Jar { name: format!("__Host-portvakt-login-{slot}"), path: "/".to_owned(), domain: None }
}

/// The slot that a `state` names.
#[must_use]
pub fn slot_of(state: &str) -> Option<u8> {
    let slot = state.bytes().next()?.wrapping_sub(b'0');
    (slot < SLOTS).then_some(slot)
}

/// Seals a slot. A target too long for the cookie loses its query, then its path: better the start page
/// than a cookie that the browser drops.
#[must_use]
pub fn seal(number: u8, slot: &Slot, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
    let name = jar(number).name;
    let room = (MAX_COOKIE - name.len() - 1) / 4 * 3 - OVERHEAD;
    let fitting = |target: &Target| Some(encode(slot, target)).filter(|plain| plain.len() <= room);
    let plain = match slot {
        Slot::Pending(attempt) => fitting(&attempt.target)
            .or_else(|| fitting(&attempt.target.without_query()))
            .unwrap_or_else(|| encode(slot, &Target::start())),
        Slot::Done { .. } => encode(slot, &Target::start()),
    };
    seal::seal(ring, &Place::whole(PURPOSE, &name, host), &plain, now)
}

fn encode(slot: &Slot, target: &Target) -> Vec<u8> {
    let sealed = match slot {
        Slot::Pending(attempt) => Sealed::Pending {
            seed: attempt.seed.0,
            realm: attempt.realm,
            started: attempt.started.millis(),
            level: attempt.wish.level,
            kinds: attempt.wish.kinds_as_bits(),
            max_age: attempt.wish.max_age.map(|age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
            fresh: attempt.wish.fresh,
            target: target.as_str(),
            in_a_row: attempt.in_a_row,
            asked: attempt.wish.asked.map(|asked| asked.0),
        },
        Slot::Done { at, in_a_row, realm } => {
            Sealed::Done { at: at.millis(), in_a_row: *in_a_row, realm: *realm }
        }
    };
    postcard::to_allocvec(&sealed).expect("a slot is plain data")
}

/// Opens the cookie of a slot; `None` if there is none, or it is not ours, or over.
#[must_use]
pub fn open(
    number: u8,
    headers: &HeaderMap,
    host: &str,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> Option<Slot> {
    let name = jar(number).name;
    let value = cookie::find(headers, &name)?;
    let plain = seal::open(ring, &Place::whole(PURPOSE, &name, host), value, now)?;
    let slot = match postcard::from_bytes(&plain).ok()? {
        Sealed::Pending { seed, realm, started, level, kinds, max_age, fresh, target, in_a_row, asked } => {
            Slot::Pending(Attempt {
                seed: Seed(seed),
                realm,
                started: Timestamp::from_millis(started),
                wish: Wish {
                    level,
                    kinds: Wish::kinds_of_bits(kinds),
                    max_age: max_age.map(|age| Duration::from_secs(age.into())),
                    fresh,
                    asked: asked.map(RepresentationId),
                    acr_values: Vec::new(),
                },
                target: Target::sealed(target),
                in_a_row,
            })
        }
        Sealed::Done { at, in_a_row, realm } => {
            Slot::Done { at: Timestamp::from_millis(at), in_a_row, realm }
        }
    };
    let alive = match &slot {
        Slot::Pending(attempt) => attempt.is_alive(now),
        Slot::Done { at, .. } => now < *at + IN_A_ROW,
    };
    alive.then_some(slot)
}

/// The slot for a new attempt, a free one or the oldest, and how many logins of its session ended well just
/// before it.
#[must_use]
pub fn choose(
    headers: &HeaderMap,
    host: &str,
    realm: Realm,
    ring: &Ring<SealKey>,
    now: Timestamp,
) -> (u8, u8) {
    let slots: Vec<Option<Slot>> = (0..SLOTS).map(|number| open(number, headers, host, ring, now)).collect();
    let age = |number: &u8| match &slots[usize::from(*number)] {
        None => (0, 0),
        Some(Slot::Done { at, .. }) => (1, at.millis()),
        Some(Slot::Pending(attempt)) => (2, attempt.started.millis()),
    };
    let chosen = (0..SLOTS).min_by_key(age).unwrap_or(0);
    let done = |slot: &Option<Slot>| match slot {
        Some(Slot::Done { in_a_row, realm: of, .. }) if *of == realm => *in_a_row,
        _ => 0,
    };
    (chosen, slots.iter().map(done).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;
    use crate::route::Origin;
    use crate::session::plan::tests_support::{named, usual};

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const HOST: &str = "a.no";

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn realm() -> Realm {
        usual(HOST).realm()
    }

    fn target(text: &str) -> Target {
        let origin = Origin { secure: true, name: HOST.into(), port: 443 };
        Target::parse(text, &origin, "/oauth2").unwrap()
    }

    fn attempt(to: &str) -> Attempt {
        let wish =
            Wish { level: Some(Level::High), max_age: Some(Duration::from_secs(60)), ..Wish::default() };
        Attempt::start(realm(), wish, target(to), 0, NOW)
    }

    fn headers(cookies: &[(u8, String)]) -> HeaderMap {
        let line: Vec<String> =
            cookies.iter().map(|(slot, value)| format!("{}={value}", jar(*slot).name)).collect();
        [(http::header::COOKIE, line.join("; ").parse().unwrap())].into_iter().collect()
    }

    fn sealed(number: u8, slot: &Slot) -> (u8, String) {
        (number, seal(number, slot, HOST, &ring(), NOW))
    }

    #[test]
    fn an_attempt_comes_back_whole_from_its_own_slot_only() {
        let slot = Slot::Pending(attempt("/app/x?y=1"));
        let (_, value) = sealed(3, &slot);
        assert_eq!(open(3, &headers(&[(3, value.clone())]), HOST, &ring(), NOW), Some(slot));
        assert_eq!(open(4, &headers(&[(4, value.clone())]), HOST, &ring(), NOW), None);
        assert_eq!(open(3, &headers(&[(3, value)]), "b.no", &ring(), NOW), None);
    }

    #[test]
    fn an_attempt_ends_after_its_life() {
        let cookies = headers(&[sealed(0, &Slot::Pending(attempt("/")))]);
        assert!(open(0, &cookies, HOST, &ring(), NOW + LIFE - Duration::from_millis(1)).is_some());
        assert!(open(0, &cookies, HOST, &ring(), NOW + LIFE).is_none());
    }

    #[test]
    fn state_nonce_and_verifier_are_long_different_and_url_safe() {
        let (one, other) = (attempt("/"), attempt("/"));
        assert!(one.has_state(7, &one.state(7)));
        assert!(
            !one.has_state(7, &one.state(6)) && !one.has_state(7, &other.state(7)) && !one.has_state(7, "")
        );
        assert_eq!((one.state(7).len(), one.nonce().len(), one.verifier().len()), (23, 22, 43));
        assert_eq!((slot_of(&one.state(7)), slot_of("x"), slot_of("")), (Some(7), None, None));
        let all = [one.state(0)[1..].to_owned(), one.nonce(), one.verifier(), other.nonce()];
        assert!(all.iter().enumerate().all(|(at, text)| !all[..at].contains(text)));
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Dossier 2.1.
        let verifier = PkceCodeVerifier::new("xyo94uhy3zKvgB0NJwLms86SwcjtWviEOpkBnGgaLlo".into());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        assert_eq!(challenge.as_str(), "b7elB7ZyxIXgFyvBznKvxl7wOB-H17Pz0a3B62NIMFI");
        assert_eq!(attempt("/").challenge().len(), 43);
    }

    #[test]
    fn a_long_target_loses_its_query_and_then_its_path_and_the_cookie_stays_small() {
        let long = "x".repeat(300);
        for (text, kept) in [
            (format!("/app?q={}", "x".repeat(80)), format!("/app?q={}", "x".repeat(80))),
            (format!("/app?q={long}"), "/app".to_owned()),
            (format!("/{long}"), "/".to_owned()),
        ] {
            let (number, value) = sealed(9, &Slot::Pending(attempt(&text)));
            assert!(jar(9).name.len() + 1 + value.len() <= MAX_COOKIE);
            let Some(Slot::Pending(opened)) = open(9, &headers(&[(number, value)]), HOST, &ring(), NOW)
            else {
                panic!("it opens")
            };
            assert_eq!(opened.target.as_str(), kept);
        }
    }

    #[test]
    fn ten_tabs_have_a_slot_each_and_the_eleventh_takes_the_oldest() {
        let mut cookies = Vec::new();
        for number in 0..SLOTS {
            assert_eq!(choose(&headers(&cookies), HOST, realm(), &ring(), NOW), (number, 0));
            let started = NOW - Duration::from_secs(u64::from(if number == 4 { 100 } else { number }));
            cookies.push(sealed(number, &Slot::Pending(Attempt { started, ..attempt("/") })));
        }
        assert_eq!(choose(&headers(&cookies), HOST, realm(), &ring(), NOW).0, 4);
    }

    #[test]
    fn logins_in_a_row_are_counted_for_a_minute() {
        let done = Slot::Done { at: NOW, in_a_row: 2, realm: realm() };
        let cookies = headers(&[sealed(0, &done)]);
        assert_eq!(choose(&cookies, HOST, realm(), &ring(), NOW), (1, 2));
        assert_eq!(choose(&cookies, HOST, realm(), &ring(), NOW + IN_A_ROW), (0, 0));
        // Who logs in to several sessions goes round in no circle.
        let other = named("other", None, HOST).realm();
        assert_eq!(choose(&cookies, HOST, other, &ring(), NOW), (1, 0));
    }
}
