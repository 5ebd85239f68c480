//! The session as its cookie holds it: sealed, small, without tokens (`design.md` D2).
//!
//! **Invariant:** every defect is the same as no cookie. The limits are ours, not those of `Max-Age` (CK-11).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Limits, Session, SessionId, Tags};
use crate::clock::Timestamp;
use crate::identity::resume::{Beyond, Stored};
use crate::key::{KeyId, Ring};
use crate::revocation::Tag;
use crate::seal::{self, Place, SealKey};

/// The purpose to which a session's seal is bound.
const PURPOSE: &str = "session";

/// A cookie that is further ahead of our clock than this is refused (`design.md` D14).
pub const AHEAD: Duration = Duration::from_secs(60);

/// What is sealed. A new version of its shape needs a new version of the seal.
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

/// Seals a session for its cookie on this host.
///
/// # Panics
///
/// Never: the ticket is plain data.
#[must_use]
pub fn seal(session: &Session, cookie: &str, host: &str, ring: &Ring<SealKey>, now: Timestamp) -> String {
    let ticket = Ticket {
        id: session.id.0,
        began: session.began.millis(),
        active: session.active.millis(),
        tag_key: session.tags.key.0,
        session: session.tags.session.0,
        op_session: session.tags.op_session.map(|tag| tag.0),
        subject: session.tags.subject.0,
        identity: Stored::of(&session.identity),
    };
    let mut plain = postcard::to_allocvec(&ticket).expect("a ticket is plain data");
    if let Some(beyond) = Beyond::of(&session.identity) {
        plain.extend(postcard::to_allocvec(&beyond).expect("a ticket is plain data"));
    }
    seal::seal(ring, &Place::whole(PURPOSE, cookie, host), &plain, now)
}

/// Opens a session's cookie; `None` if it is not ours, not whole, or over.
#[must_use]
pub fn open(
    value: &[u8],
    cookie: &str,
    host: &str,
    ring: &Ring<SealKey>,
    limits: &Limits,
    now: Timestamp,
) -> Option<Session> {
    let plain = seal::open(ring, &Place::whole(PURPOSE, cookie, host), value, now)?;
    let (ticket, rest) = postcard::take_from_bytes::<Ticket<'_>>(&plain).ok()?;
    let beyond = match rest {
        [] => None,
        rest => match postcard::take_from_bytes::<Beyond<'_>>(rest).ok()? {
            (beyond, []) => Some(beyond),
            _ => return None,
        },
    };
    let session = Session {
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
    };
    let ahead = session.began.max(session.active) > now + AHEAD;
    (!ahead && now < session.over_at(limits)).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::representation::MAX_ORGANISATIONS;
    use crate::identity::resume::tests::{authorized, employee, european, helper, identity};
    use crate::key::MacKey;
    use crate::revocation::Tagger;

    const NAME: &str = "__Host-portvakt";
    const BEGAN: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn session() -> Session {
        let ring = Ring::single(KeyId([2; 4]), Timestamp::from_seconds(0), MacKey::new(&[3; 32]));
        let id = SessionId::random();
        let tags = Tagger::active(&ring, BEGAN).tags(&id, "idporten", "https://op", Some("sid"), "sub");
        Session::begin(id, tags, identity(BEGAN.seconds()), BEGAN)
    }

    fn opened(value: &str, now: Timestamp) -> Option<Session> {
        open(value.as_bytes(), NAME, "a.no", &ring(), &Limits::default(), now)
    }

    #[test]
    fn a_session_is_whole_after_its_journey_and_small() {
        let session = session();
        let value = seal(&session, NAME, "a.no", &ring(), BEGAN);
        assert!(value.len() < 700, "{}", value.len());
        let again = opened(&value, BEGAN).unwrap();
        assert_eq!(again.identity(), session.identity());
        assert_eq!((again.id(), again.tags(), again.began()), (session.id(), session.tags(), BEGAN));
        assert!(open(value.as_bytes(), NAME, "b.no", &ring(), &Limits::default(), BEGAN).is_none());
    }

    #[test]
    fn every_kind_of_identity_fits() {
        let many = employee(u32::try_from(MAX_ORGANISATIONS).unwrap());
        for who in [european(), helper(), authorized(), employee(1), many] {
            let session = Session { identity: who, ..session() };
            let value = seal(&session, NAME, "a.no", &ring(), BEGAN);
            assert!(value.len() < 4000, "{}", value.len());
            assert_eq!(opened(&value, BEGAN).unwrap().identity(), session.identity());
        }
    }

    #[test]
    fn idle_and_absolute_limits_hold_to_the_moment() {
        let limits = Limits::default();
        let idle = seal(&session(), NAME, "a.no", &ring(), BEGAN);
        assert!(opened(&idle, BEGAN + limits.idle - Duration::from_millis(1)).is_some());
        assert!(opened(&idle, BEGAN + limits.idle).is_none());
        let last = session().touched(BEGAN + limits.absolute - Duration::from_secs(1));
        let used = seal(&last, NAME, "a.no", &ring(), BEGAN);
        assert!(opened(&used, BEGAN + limits.absolute - Duration::from_millis(1)).is_some());
        assert!(opened(&used, BEGAN + limits.absolute).is_none());
    }

    #[test]
    fn a_cookie_from_the_future_is_none() {
        let value = seal(&session(), NAME, "a.no", &ring(), BEGAN);
        assert!(opened(&value, BEGAN - AHEAD).is_some());
        assert!(opened(&value, BEGAN - AHEAD - Duration::from_millis(1)).is_none());
    }

    #[test]
    fn bytes_behind_a_ticket_make_it_none() {
        let value = seal(&session(), NAME, "a.no", &ring(), BEGAN);
        let place = Place::whole(PURPOSE, NAME, "a.no");
        let mut plain = seal::open(&ring(), &place, value.as_bytes(), BEGAN).unwrap();
        plain.push(0);
        assert!(opened(&seal::seal(&ring(), &place, &plain, BEGAN), BEGAN).is_none());
    }
}
