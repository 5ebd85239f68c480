//! The session as its cookie holds it: sealed, small, without tokens (`design.md` D2).
//!
//! Each holds the realm of the session that it is. Tickets of the version before had none; they are opened
//! still, where they could have come from: as the usual session of a host.
//!
//! **Invariant:** every defect is the same as no cookie. The limits are ours, not those of `Max-Age` (CK-11).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::{Realm, SessionPlan};
use super::{Limits, Session, SessionId, Tags};
use crate::clock::Timestamp;
use crate::identity::resume::{Beyond, Stored};
use crate::key::{KeyId, Ring};
use crate::revocation::Tag;
use crate::seal::{self, Place, SealKey};

/// The purpose to which a session's seal is bound: `realm | ticket`.
const PURPOSE: &str = "session-2";

/// The same for tickets without a realm.
const UNMARKED: &str = "session";

/// A cookie that is further ahead of our clock than this is refused (`design.md` D14).
pub const AHEAD: Duration = Duration::from_secs(60);

/// What is sealed behind the realm. Another shape needs another purpose.
#[derive(Serialize, Deserialize)]
struct Ticket<'a> {
    id: [u8; 16],
    began: u64,
    active: u64,
    tag_key: [u8; KeyId::LENGTH],
    session: [u8; 16],
    op_session: Option<[u8; 16]>,
    subject: [u8; 16],
    #[serde(borrow)]
    identity: Stored<'a>,
}

/// Seals a session for its cookie.
///
/// # Panics
///
/// Never: the ticket is plain data.
#[must_use]
pub fn seal(session: &Session, plan: &SessionPlan, ring: &Ring<SealKey>, now: Timestamp) -> String {
    seal::seal(ring, &Place::whole(PURPOSE, plan.cookie(), plan.scope()), &plain(session, plan), now)
}

/// Opens a session's cookie; `None` if it is not ours, not whole, of another session, or over.
#[must_use]
pub fn open(
    value: &[u8],
    plan: &SessionPlan,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> Option<Session> {
    let place = |purpose| Place::whole(purpose, plan.cookie(), plan.scope());
    let session = match seal::open(ring, &place(PURPOSE), value, now) {
        Some(plain) => of_plain(&plain, plan)?,
        None if plan.is_usual() => {
            let plain = seal::open(ring, &place(UNMARKED), value, now)?;
            let session = Ticket::resume(&plain, false)?;
            if session.identity.provider() != plan.provider.name {
                return None;
            }
            session
        }
        None => return None,
    };
    let ahead = session.began.max(session.active) > now + AHEAD;
    (!ahead && now < session.over_at(limits)).then_some(session)
}

/// A session and the realm that it is of, for a cookie that is no session's.
pub(super) fn plain(session: &Session, plan: &SessionPlan) -> Vec<u8> {
    Ticket::of(session).written(plan.realm(), Beyond::of(&session.identity))
}

/// What [`plain`] wrote for the same plan; whether it is over is not judged.
pub(super) fn of_plain(plain: &[u8], plan: &SessionPlan) -> Option<Session> {
    let (realm, plain) = postcard::take_from_bytes::<Realm>(plain).ok()?;
    if realm == plan.realm() { Ticket::resume(plain, true) } else { None }
}

impl<'a> Ticket<'a> {
    fn of(session: &'a Session) -> Self {
        Self {
            id: session.id.0,
            began: session.began.millis(),
            active: session.active.millis(),
            tag_key: session.tags.key.0,
            session: session.tags.session.0,
            op_session: session.tags.op_session.map(|tag| tag.0),
            subject: session.tags.subject.0,
            identity: Stored::of(&session.identity),
        }
    }

    fn written(&self, realm: Realm, beyond: Option<Beyond<'_>>) -> Vec<u8> {
        let mut plain = postcard::to_allocvec(&(realm, self)).expect("a ticket is plain data");
        if let Some(beyond) = beyond {
            plain.extend(postcard::to_allocvec(&beyond).expect("a ticket is plain data"));
        }
        plain
    }

    fn resume(plain: &'a [u8], marked: bool) -> Option<Session> {
        let (ticket, rest) = postcard::take_from_bytes::<Self>(plain).ok()?;
        let beyond = match rest {
            [] => None,
            rest => match postcard::take_from_bytes::<Beyond<'_>>(rest).ok()? {
                (beyond, []) => Some(beyond),
                _ => return None,
            },
        };
        Some(Session {
            id: SessionId(ticket.id),
            began: Timestamp::from_millis(ticket.began),
            active: Timestamp::from_millis(ticket.active),
            tags: Tags {
                key: KeyId(ticket.tag_key),
                session: Tag(ticket.session),
                op_session: ticket.op_session.map(Tag),
                subject: Tag(ticket.subject),
            },
            identity: ticket.identity.resume(beyond)?,
            marked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::representation::MAX_ORGANISATIONS;
    use crate::identity::resume::tests::{authorized, employee, european, helper, identity};
    use crate::key::MacKey;
    use crate::revocation::Tagger;
    use crate::session::plan::USUAL;
    use crate::session::plan::tests_support::{named, usual};

    const BEGAN: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn tag_ring() -> Ring<MacKey> {
        Ring::single(KeyId([2; 4]), Timestamp::from_seconds(0), MacKey::new(&[3; 32]))
    }

    fn plan() -> SessionPlan {
        usual("a.no")
    }

    /// A cookie of the version that knew one session for each host.
    fn unmarked(session: &Session, place: &Place<'_>) -> String {
        seal::seal(&ring(), place, &postcard::to_allocvec(&Ticket::of(session)).unwrap(), BEGAN)
    }

    fn session() -> Session {
        let (id, who) = (SessionId::random(), identity(BEGAN.seconds()));
        let ring = tag_ring();
        let tags = Tagger::active(&ring, BEGAN).tags(
            &id,
            "idporten",
            "https://op.example",
            Some("sid"),
            who.subject(),
        );
        Session::begin(id, tags, who, BEGAN)
    }

    fn opened(value: &str, now: Timestamp) -> Option<Session> {
        open(value.as_bytes(), &plan(), &ring(), &Limits::default(), now)
    }

    #[test]
    fn a_session_is_whole_after_its_journey_and_small() {
        let session = session();
        let value = seal(&session, &plan(), &ring(), BEGAN);
        assert!(value.len() < 700, "{}", value.len());
        let again = opened(&value, BEGAN).unwrap();
        assert_eq!(again.identity(), session.identity());
        assert_eq!((again.id(), again.tags(), again.began()), (session.id(), session.tags(), BEGAN));
        assert!(again.is_marked());
    }

    #[test]
    fn a_cookie_opens_for_the_session_that_it_is_of_and_no_other() {
        let plans = [
            usual("a.no"),
            usual("b.no"),
            named("idporten", None, "a.no"),
            named("one", None, "a.no"),
            named("two", None, "a.no"),
            named("one", Some("a.no"), "a.no"),
            named("one", Some("no.no"), "a.no.no"),
        ];
        for (at, plan) in plans.iter().enumerate() {
            let value = seal(&session(), plan, &ring(), BEGAN);
            assert!(value.len() < 700, "{}", value.len());
            for (other, candidate) in plans.iter().enumerate() {
                let opened = open(value.as_bytes(), candidate, &ring(), &Limits::default(), BEGAN);
                assert_eq!(opened.is_some(), at == other, "{at} {other}");
            }
        }
        // A domain is the same for every host below it.
        let value = seal(&session(), &named("one", Some("a.no"), "x.a.no"), &ring(), BEGAN);
        let elsewhere = named("one", Some("a.no"), "y.a.no");
        assert!(open(value.as_bytes(), &elsewhere, &ring(), &Limits::default(), BEGAN).is_some());
    }

    #[test]
    fn the_same_name_of_another_issuer_or_session_is_another_session() {
        let value = seal(&session(), &plan(), &ring(), BEGAN);
        let mut provider = crate::provider::tests_support::provider("idporten");
        provider.issuer = "https://other.example".to_owned();
        let moved = SessionPlan::usual(provider.into(), "a.no");
        assert!(open(value.as_bytes(), &moved, &ring(), &Limits::default(), BEGAN).is_none());
    }

    #[test]
    fn a_cookie_of_the_version_without_names_is_the_usual_session_and_its_issuer_is_in_its_tags() {
        let value = unmarked(&session(), &Place::whole(UNMARKED, USUAL, "a.no"));
        let old = opened(&value, BEGAN).unwrap();
        assert!(!old.is_marked());
        let ring_of_tags = tag_ring();
        let tagger = Tagger::active(&ring_of_tags, BEGAN);
        assert!(old.is_of_issuer("https://op.example", &tagger));
        assert!(!old.is_of_issuer("https://other.example", &tagger));
        // The next time it is written it says so itself.
        assert!(opened(&seal(&old, &plan(), &ring(), BEGAN), BEGAN).unwrap().is_marked());
        let named = named("one", None, "a.no");
        let value = unmarked(&session(), &Place::whole(UNMARKED, named.cookie(), "a.no"));
        assert!(open(value.as_bytes(), &named, &ring(), &Limits::default(), BEGAN).is_none());
        let elsewhere = usual("b.no");
        let value = unmarked(&session(), &Place::whole(UNMARKED, USUAL, "a.no"));
        assert!(open(value.as_bytes(), &elsewhere, &ring(), &Limits::default(), BEGAN).is_none());
    }

    #[test]
    fn every_kind_of_identity_fits() {
        let many = employee(u32::try_from(MAX_ORGANISATIONS).unwrap());
        for who in [european(), helper(), authorized(), employee(1), many] {
            let session = Session { identity: who, ..session() };
            let value = seal(&session, &plan(), &ring(), BEGAN);
            assert!(value.len() < 4000, "{}", value.len());
            assert_eq!(opened(&value, BEGAN).unwrap().identity(), session.identity());
        }
    }

    #[test]
    fn idle_and_absolute_limits_hold_to_the_moment() {
        let limits = Limits::default();
        let idle = seal(&session(), &plan(), &ring(), BEGAN);
        assert!(opened(&idle, BEGAN + limits.idle - Duration::from_millis(1)).is_some());
        assert!(opened(&idle, BEGAN + limits.idle).is_none());
        let last = session().touched(BEGAN + limits.absolute - Duration::from_secs(1));
        let used = seal(&last, &plan(), &ring(), BEGAN);
        assert!(opened(&used, BEGAN + limits.absolute - Duration::from_millis(1)).is_some());
        assert!(opened(&used, BEGAN + limits.absolute).is_none());
    }

    #[test]
    fn a_cookie_from_the_future_is_none() {
        let value = seal(&session(), &plan(), &ring(), BEGAN);
        assert!(opened(&value, BEGAN - AHEAD).is_some());
        assert!(opened(&value, BEGAN - AHEAD - Duration::from_millis(1)).is_none());
    }

    #[test]
    fn bytes_behind_a_ticket_make_it_none() {
        let value = seal(&session(), &plan(), &ring(), BEGAN);
        let place = Place::whole(PURPOSE, USUAL, "a.no");
        let mut plain = seal::open(&ring(), &place, value.as_bytes(), BEGAN).unwrap();
        plain.push(0);
        assert!(opened(&seal::seal(&ring(), &place, &plain, BEGAN), BEGAN).is_none());
    }
}
