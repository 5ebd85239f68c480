//! Which of several organisations an employee acts for, and the others that they may change to without a new login
//! (dossier 1.5): kept by the browser, for one endpoint of ours alone.
//!
//! The cookie holds the login whole, with every organisation that it brought; the session holds the chosen one. It is
//! sealed by the same means as a session's, for the same host or domain and session, under a purpose of its own, and
//! is bound to the id of one session: that which it changes. Before the first choice that session acts for nobody.
//!
//! **Invariant:** it is no session. Nothing passes a route with it, and it counts only beside the session that it is
//! bound to, which lives: a cookie that somebody planted in another browser is worth nothing there.
//!
//! **Invariant:** each choice is a session of its own, with an id of its own; the one before ends (`threats.md` CK-10).

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::cookies::MAX_SESSION;
use super::plan::SessionPlan;
use super::{Limits, Session, SessionId, ticket};
use crate::clock::Timestamp;
use crate::cookie::{self, Jar};
use crate::identity::OrganisationNumber;
use crate::key::Ring;
use crate::redirect::Target;
use crate::revocation::Tagger;
use crate::seal::{self, Place, SealKey};

const PURPOSE: &str = "organisations";

const NAME: &str = "__Secure-portvakt-organisations";

/// What an employee may choose from.
#[derive(Clone, Debug)]
pub struct Choice {
    whole: Session,
    pending: Option<Target>,
}

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    /// Where the browser goes when the first one is chosen.
    #[serde(borrow)]
    pending: Option<&'a str>,
    /// Realm and ticket.
    #[serde(borrow)]
    whole: &'a [u8],
}

impl Choice {
    /// The first choice after a login; `target`: where the browser goes then.
    #[must_use]
    pub fn pending(whole: Session, target: Target) -> Self {
        Self { whole, pending: Some(target) }
    }

    /// The login with every organisation that it brought, under the id of the session that may be changed.
    #[must_use]
    pub fn whole(&self) -> &Session {
        &self.whole
    }

    /// The session before anything is chosen: it acts for nobody.
    #[must_use]
    pub fn unchosen(&self) -> Session {
        Session { identity: self.whole.identity.acting_for_nobody(), ..self.whole.clone() }
    }

    /// Where the browser goes when something is chosen, if nothing was yet.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.pending.as_ref()
    }

    /// Whether it is bound to this session.
    #[must_use]
    pub fn is_of(&self, session: &Session) -> bool {
        self.whole.id == session.id && self.whole.identity.is_same_person(&session.identity)
    }

    /// The session for one of the organisations, and what may be chosen from it on; `None` if the login did not bring
    /// it. `key`: the one that made the login's tags.
    #[must_use]
    pub fn choose(
        &self,
        number: OrganisationNumber,
        key: &Tagger<'_>,
        now: Timestamp,
    ) -> Option<(Session, Self)> {
        let identity = self.whole.identity.acting_for(number)?;
        let id = SessionId::random();
        let mut whole = self.whole.touched(now);
        whole.id = id;
        whole.tags.session = key.session(&id);
        let session = Session { identity, ..whole.clone() };
        Some((session, Self { whole, pending: None }))
    }

    /// The value of its cookie; `None` if it does not fit into one.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn seal(&self, plan: &SessionPlan, ring: &Ring<SealKey>, now: Timestamp) -> Option<String> {
        let whole = ticket::plain(&self.whole, plan);
        let kept = Kept { pending: self.pending.as_ref().map(Target::as_str), whole: &whole };
        let plain = postcard::to_allocvec(&kept).expect("a choice is plain data");
        let name = name(plan);
        let value = seal::seal(ring, &Place::whole(PURPOSE, &name, plan.scope()), &plain, now);
        (value.len() <= MAX_SESSION).then_some(value)
    }

    /// What a request carries; `None` if it is not ours, not whole, or over. Whether its session goes on is not known
    /// here.
    #[must_use]
    pub fn open(
        headers: &HeaderMap,
        plan: &SessionPlan,
        ring: &Ring<SealKey>,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Self> {
        let name = name(plan);
        let value = cookie::find(headers, &name)?;
        let plain = seal::open(ring, &Place::whole(PURPOSE, &name, plan.scope()), value, now)?;
        let kept: Kept<'_> = postcard::from_bytes(&plain).ok()?;
        let whole = ticket::of_plain(kept.whole, plan)?;
        let pending = kept.pending.map(Target::sealed);
        let ahead = whole.began.max(whole.active) > now + ticket::AHEAD;
        // When it was active last, the session itself says.
        (!ahead && now < whole.began + limits.absolute).then_some(Self { whole, pending })
    }
}

/// Where its cookie lives: no other endpoint of ours gets it.
#[must_use]
pub fn jar(plan: &SessionPlan, prefix: &str) -> Jar {
    Jar { name: name(plan), path: format!("{prefix}/organisation"), domain: plan.domain().map(str::to_owned) }
}

/// Whether a request carries such a cookie, usable or not.
#[must_use]
pub fn is_carried(headers: &HeaderMap, plan: &SessionPlan) -> bool {
    cookie::find(headers, &name(plan)).is_some()
}

fn name(plan: &SessionPlan) -> String {
    format!("{NAME}{}", plan.suffix())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::representation::MAX_ORGANISATIONS;
    use crate::identity::resume::tests::{employee, identity};
    use crate::key::{KeyId, MacKey};
    use crate::session::plan::tests_support::{named, usual};

    const BEGAN: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn ring() -> Ring<SealKey> {
        Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), SealKey::new(&[7; 32]))
    }

    fn tags() -> Ring<MacKey> {
        Ring::single(KeyId([2; 4]), Timestamp::from_seconds(0), MacKey::new(&[3; 32]))
    }

    fn whole(organisations: u32) -> Session {
        let (id, who, ring) = (SessionId::random(), employee(organisations), tags());
        let tags = Tagger::active(&ring, BEGAN).tags(&id, "p", "i", Some("sid"), who.subject());
        Session::begin(id, tags, who, BEGAN)
    }

    fn pending(organisations: u32) -> Choice {
        Choice::pending(whole(organisations), Target::sealed("/job/x"))
    }

    fn carried(value: &str, plan: &SessionPlan) -> HeaderMap {
        let line = format!("{}={value}", name(plan));
        [(http::header::COOKIE, line.parse().unwrap())].into_iter().collect()
    }

    fn opened(value: &str, now: Timestamp) -> Option<Choice> {
        let plan = usual("a.no");
        Choice::open(&carried(value, &plan), &plan, &ring(), &Limits::default(), now)
    }

    #[test]
    fn a_choice_is_one_organisation_of_the_login_and_a_session_of_its_own() {
        let (choice, ring_of_tags) = (pending(3), tags());
        let key = Tagger::active(&ring_of_tags, BEGAN);
        let numbers: Vec<_> = choice
            .whole()
            .identity()
            .organisations()
            .iter()
            .map(|organisation| organisation.number)
            .collect();
        let later = BEGAN + Duration::from_secs(60);
        let (session, next) = choice.choose(numbers[1], &key, later).unwrap();
        assert_eq!(session.identity().organisations().len(), 1);
        assert_eq!(session.identity().organisations()[0].number, numbers[1]);
        assert_eq!((session.began(), session.active()), (BEGAN, later));
        assert_ne!(session.id(), choice.whole().id());
        let (before, after) = (choice.whole().tags(), session.tags());
        assert_eq!((before.op_session, before.subject), (after.op_session, after.subject));
        assert_eq!(after.session, key.session(session.id()));
        // All of them may be chosen from there, under the new id.
        assert_eq!(next.whole().id(), session.id());
        assert_eq!(next.whole().identity(), choice.whole().identity());
        assert!(next.target().is_none());
        assert!(next.is_of(&session) && !choice.is_of(&session) && !next.is_of(choice.whole()));
        // Before the choice the person acts for nobody, and is the same person.
        let unchosen = choice.unchosen();
        assert!(unchosen.identity().organisations().is_empty() && choice.is_of(&unchosen));
        assert_eq!(unchosen.identity().asked(), session.identity().asked());
        let (again, _) = next.choose(numbers[2], &key, later).unwrap();
        assert_eq!(again.identity().organisations()[0].number, numbers[2]);
        let foreign = OrganisationNumber::parse("310123455").unwrap();
        assert!(!numbers.contains(&foreign) && choice.choose(foreign, &key, later).is_none());
        let nobody = Choice::pending(Session { identity: identity(0), ..whole(0) }, Target::start());
        assert!(nobody.choose(foreign, &key, later).is_none());
    }

    #[test]
    fn a_cookie_opens_for_its_plan_within_its_time_and_as_what_it_is() {
        let plan = usual("a.no");
        let value = pending(2).seal(&plan, &ring(), BEGAN).unwrap();
        let choice = opened(&value, BEGAN).unwrap();
        assert_eq!(choice.target().map(Target::as_str), Some("/job/x"));
        assert_eq!(choice.whole().identity().organisations().len(), 2);
        for other in [usual("b.no"), named("one", None, "a.no"), named("one", Some("a.no"), "a.no")] {
            let headers = carried(&value, &other);
            assert!(Choice::open(&headers, &other, &ring(), &Limits::default(), BEGAN).is_none());
        }
        assert!(opened(&value, BEGAN - ticket::AHEAD - Duration::from_millis(1)).is_none());
        let absolute = Limits::default().absolute;
        assert!(opened(&value, BEGAN + absolute - Duration::from_millis(1)).is_some());
        assert!(opened(&value, BEGAN + absolute).is_none());
        // Neither is the other.
        let session = ticket::seal(&choice.unchosen(), &plan, &ring(), BEGAN);
        assert!(opened(&session, BEGAN).is_none());
        assert!(ticket::open(value.as_bytes(), &plan, &ring(), &Limits::default(), BEGAN).is_none());
    }

    #[test]
    fn as_many_as_a_login_may_bring_fit_into_one_cookie() {
        let most = u32::try_from(MAX_ORGANISATIONS).unwrap();
        let value = pending(most).seal(&usual("a.no"), &ring(), BEGAN).unwrap();
        assert_eq!(
            opened(&value, BEGAN).unwrap().whole().identity().organisations().len(),
            MAX_ORGANISATIONS
        );
    }
}
