//! Answers that come to another host of ours than the one that asked: to its `auth_host`, whose URLs alone are registered at
//! the provider (`design.md` D13).
//!
//! `state` then names the host that asked, sealed, behind a dot. The auth host sends the browser on with the answer as it is; the
//! host that asked judges it as any other, by the attempt in its own cookie. Nothing else passes between the two.
//!
//! **Invariant:** a `state` that we have not sealed for this very auth host leads nowhere, so nobody is sent to a place of an
//! attacker's choice (`threats.md` RT-6).

use crate::clock::Timestamp;
use crate::key::Ring;
use crate::seal::{self, Place, SealKey};

/// What stands between the asking host's own `state` and its name. No `state` of ours holds one.
const MARK: char = '.';

const PURPOSE: &str = "relay";

/// The `state` of a host that asks by way of an auth host. Both are origins, as they stand in the configuration.
#[must_use]
pub fn mark(state: &str, asking: &str, auth_host: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
    format!("{state}{MARK}{}", seal::seal(ring, &place(auth_host), asking.as_bytes(), now))
}

/// The origin that asked, if it did so by way of this auth host.
#[must_use]
pub fn asking(state: &str, auth_host: &str, ring: &Ring<SealKey>, now: Timestamp) -> Option<String> {
    let (_, sealed) = state.split_once(MARK)?;
    String::from_utf8(seal::open(ring, &place(auth_host), sealed.as_bytes(), now)?).ok()
}

/// The asking host's own `state`.
#[must_use]
pub fn own(state: &str) -> &str {
    state.split_once(MARK).map_or(state, |(own, _)| own)
}

fn place(auth_host: &str) -> Place<'_> {
    Place::whole(PURPOSE, "", auth_host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const AUTH: &str = "https://login.example.no";
    const APP: &str = "https://app.example.no:8443";

    fn ring(secret: u8) -> Ring<SealKey> {
        Ring::single(KeyId([secret; 4]), Timestamp::from_seconds(0), SealKey::new(&[secret; 32]))
    }

    #[test]
    fn an_auth_host_learns_who_asked_and_the_state_stays() {
        let marked = mark("3abc", APP, AUTH, &ring(1), NOW);
        assert_eq!(asking(&marked, AUTH, &ring(1), NOW).as_deref(), Some(APP));
        assert_eq!((own(&marked), own("3abc")), ("3abc", "3abc"));
        assert!(marked.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    }

    #[test]
    fn what_is_not_sealed_for_this_auth_host_leads_nowhere() {
        let marked = mark("3abc", APP, AUTH, &ring(1), NOW);
        assert_eq!(asking(&marked, APP, &ring(1), NOW), None);
        assert_eq!(asking(&marked, AUTH, &ring(2), NOW), None);
        for state in [
            "",
            "3abc",
            "3abc.",
            "3abc.aHR0cHM6Ly9ldmlsLnRlc3Q",
            &format!("{marked}A"),
            &format!("{marked}.x"),
        ] {
            assert_eq!(asking(state, AUTH, &ring(1), NOW), None, "{state}");
        }
    }
}
