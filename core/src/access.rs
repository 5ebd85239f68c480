//! May it pass? The only maker of permits (`design.md` D3).
//!
//! **Invariant:** a [`Permit`] comes out of [`Access::judge`] and nowhere else. What is sent to an app is
//! built from a permit, so that nothing is forwarded that was not judged:
//!
//! ```compile_fail
//! use portvakt_core::access::Permit;
//! // Its fields are private and there is no constructor.
//! let forged = Permit { route: todo!(), request: todo!(), caller: todo!() };
//! ```
//!
//! ```compile_fail
//! use portvakt_core::access::Permit;
//! let nothing: Permit = Default::default();
//! ```

mod token;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::clock::Timestamp;
use crate::cors::Cors;
use crate::identity::{
    EidasIdentifier, Kinds, Organisation, OrganisationNumber, Representation, VerifiedIdentity,
    VerifiedMachine,
};
use crate::level::Level;
use crate::request::NormalRequest;
use crate::route::Route;
use crate::session::Session;

pub use self::token::{TokenRule, TokenShortfall};

/// Who may pass a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without being told apart.
    Public,
    /// Everybody; the app is told of who is logged in and fulfils the requirement.
    Optional(Requirement),
    /// Who is logged in and fulfils the requirement.
    Login(Requirement),
    /// A machine with a token of its own that is worth what the rule asks for.
    Token(Arc<TokenRule>),
    /// One or the other, never both at once.
    LoginOrToken(Requirement, Arc<TokenRule>),
}

/// As whom a request comes, once that has been checked.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Caller {
    /// Nobody knows.
    Nobody,
    /// A person, by a live session: opened, not ended, within its limits.
    Person(Session),
    /// A machine, by a token that was verified for this request.
    Machine(Arc<VerifiedMachine>),
}

impl From<Option<Session>> for Caller {
    fn from(session: Option<Session>) -> Self {
        session.map_or(Self::Nobody, Self::Person)
    }
}

/// What a login must be worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The lowest level of assurance; `None` asks for none.
    pub level: Option<Level>,
    /// The kinds of identity that may pass; empty: every kind of person.
    pub kinds: Kinds,
    /// Whether the person must have a Norwegian identity number (dossier 0, fact 4).
    pub number: bool,
    /// The greatest age of the authentication (RFC 9470).
    pub max_age: Option<Duration>,
    /// The providers at which the login may have been; empty: every one of the host.
    pub providers: BTreeSet<String>,
    /// The countries whose eIDs may pass; empty: every one. Norwegian eIDs are another kind.
    pub countries: BTreeSet<String>,
    /// Methods of authentication that do not count, in lower case.
    pub not_amr: BTreeSet<String>,
    /// For whom the login asks the person to act, if it does.
    pub representation: Option<Arc<Representation>>,
    /// The providers whose logins are asked for whom the person acts; empty: every one. Who logs in elsewhere acts
    /// for nobody, and need not.
    pub asked_at: BTreeSet<String>,
    /// Whether the person must represent an organisation.
    pub organisation: bool,
    /// The organisations that may be represented; empty: every one.
    pub organisations: BTreeSet<OrganisationNumber>,
    /// What is asked for with `acr_values` instead of the values that follow from level and kinds.
    pub acr_values: Vec<String>,
}

/// What is wrong with a login for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortfall {
    /// The kind of identity is not one that the route takes; logging in again does not help.
    #[error("the route does not take this kind of identity")]
    Kind,
    /// The login brought no Norwegian identity number.
    #[error("the person has no Norwegian identity number")]
    Number,
    /// The login was at a provider that the route does not take.
    #[error("the route does not take logins at this provider")]
    Provider,
    /// The eID is of a country that the route does not take.
    #[error("the route does not take eIDs of this country")]
    Country,
    /// The person authenticated by a method that does not count here.
    #[error("the route does not take this method of authentication")]
    Method,
    /// The login was not asked for whom the person acts, as this route asks.
    #[error("the login was not asked what this route asks for")]
    Asked,
    /// The person represents no organisation.
    #[error("the person represents no organisation")]
    NoOrganisation,
    /// The person represents an organisation that the route does not take.
    #[error("the route does not take this organisation")]
    Organisation,
    /// The level of assurance is too low.
    #[error("the level of assurance is too low")]
    Level,
    /// The authentication is too old, or its time is unknown.
    #[error("the authentication is too old")]
    Age,
}

/// Why somebody must log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginNeed {
    /// Nobody is logged in.
    NoSession,
    /// Somebody is, but at too low a level.
    Level,
    /// Somebody is, but too long ago.
    Age,
    /// Somebody is, but was not asked for whom they act.
    Asked,
}

/// The outcome for one request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Judgement {
    /// It may be sent to the app.
    Allowed(Permit),
    /// Not before somebody has logged in.
    MustLogIn(LoginNeed),
    /// Not at all as who is logged in: the reason is what a page can say.
    Forbidden(Shortfall),
    /// Not without a machine's token.
    TokenNeeded,
    /// Not with this token, which is this machine's.
    TokenRefused(TokenShortfall, Arc<VerifiedMachine>),
}

/// The proof that a request may be sent to an app, and as whom.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    request: NormalRequest,
    caller: Caller,
}

impl Permit {
    /// The route that was judged.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The request that was judged; what is sent is this.
    #[must_use]
    pub fn request(&self) -> &NormalRequest {
        &self.request
    }

    /// As whom it is sent.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The session of the person as whom it is sent; `None`: of nobody, or of a machine, which has none.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        match &self.caller {
            Caller::Person(session) => Some(session),
            Caller::Nobody | Caller::Machine(_) => None,
        }
    }

    /// The machine as which it is sent.
    #[must_use]
    pub fn machine(&self) -> Option<&VerifiedMachine> {
        match &self.caller {
            Caller::Machine(machine) => Some(machine),
            Caller::Nobody | Caller::Person(_) => None,
        }
    }

    /// Whether it is sent as anybody at all.
    #[must_use]
    pub fn is_somebodys(&self) -> bool {
        !matches!(self.caller, Caller::Nobody)
    }
}

impl Access {
    /// Judges one request of a route. A machine is no person, and a person no machine: each passes by its own door.
    #[must_use]
    pub fn judge(route: &Arc<Route>, request: NormalRequest, caller: Caller, now: Timestamp) -> Judgement {
        let allow = |caller| {
            Judgement::Allowed(Permit { route: Arc::clone(route), request: request.clone(), caller })
        };
        match (&route.access, caller) {
            (Self::Public, _) => allow(Caller::Nobody),
            (Self::Optional(requirement), Caller::Person(session))
                if requirement.shortfall(session.identity(), now).is_none() =>
            {
                allow(Caller::Person(session))
            }
            (Self::Optional(_), _) => allow(Caller::Nobody),
            (Self::Token(rule) | Self::LoginOrToken(_, rule), Caller::Machine(machine)) => {
                match rule.shortfall(&machine) {
                    None => allow(Caller::Machine(machine)),
                    Some(why) => Judgement::TokenRefused(why, machine),
                }
            }
            (Self::Token(_), Caller::Nobody | Caller::Person(_)) => Judgement::TokenNeeded,
            (Self::Login(_), Caller::Nobody | Caller::Machine(_))
            | (Self::LoginOrToken(..), Caller::Nobody) => Judgement::MustLogIn(LoginNeed::NoSession),
            (Self::Login(requirement) | Self::LoginOrToken(requirement, _), Caller::Person(session)) => {
                match requirement.shortfall(session.identity(), now) {
                    None => allow(Caller::Person(session)),
                    Some(Shortfall::Level) => Judgement::MustLogIn(LoginNeed::Level),
                    Some(Shortfall::Age) => Judgement::MustLogIn(LoginNeed::Age),
                    Some(Shortfall::Asked) => Judgement::MustLogIn(LoginNeed::Asked),
                    Some(
                        why @ (Shortfall::Kind
                        | Shortfall::Number
                        | Shortfall::Provider
                        | Shortfall::Country
                        | Shortfall::Method
                        | Shortfall::NoOrganisation
                        | Shortfall::Organisation),
                    ) => Judgement::Forbidden(why),
                }
            }
        }
    }

    /// Lets a preflight through to the app of a route that says so: as nobody's, whoever sent it, since browsers
    /// send none with anybody's cookies (Fetch, 4.8).
    #[must_use]
    pub fn judge_preflight(route: &Arc<Route>, request: NormalRequest) -> Option<Permit> {
        let passes = route.cors == Cors::Pass && request.method() == Method::OPTIONS;
        passes.then(|| Permit { route: Arc::clone(route), request, caller: Caller::Nobody })
    }

    /// Whether the route has any use for a session.
    #[must_use]
    pub fn wants_session(&self) -> bool {
        self.requirement().is_some()
    }

    /// What a login for this route must be worth; `None` where nobody logs in.
    #[must_use]
    pub fn requirement(&self) -> Option<&Requirement> {
        match self {
            Self::Public | Self::Token(_) => None,
            Self::Optional(requirement) | Self::Login(requirement) | Self::LoginOrToken(requirement, _) => {
                Some(requirement)
            }
        }
    }

    /// What a machine's token must be worth; `None` where none is read.
    #[must_use]
    pub fn token_rule(&self) -> Option<&TokenRule> {
        match self {
            Self::Token(rule) | Self::LoginOrToken(_, rule) => Some(rule),
            Self::Public | Self::Optional(_) | Self::Login(_) => None,
        }
    }

    /// Whether somebody could pass here who could not pass `other`, by the same door: a door for machines beside one
    /// for people is opened by the file in so many words.
    #[must_use]
    pub fn is_weaker_than(&self, other: &Self) -> bool {
        let open = |access: &Self| matches!(access, Self::Public | Self::Optional(_));
        if open(self) || open(other) {
            return open(self) && !open(other);
        }
        let people = self.requirement().zip(other.requirement());
        let machines = self.token_rule().zip(other.token_rule());
        people.is_some_and(|(ours, theirs)| ours.is_weaker_than(theirs))
            || machines.is_some_and(|(ours, theirs)| ours.is_weaker_than(theirs))
    }
}

impl Requirement {
    /// What a login lacks, if anything. A lacking kind comes first: a new login would not mend it.
    #[must_use]
    pub fn shortfall(&self, who: &VerifiedIdentity, now: Timestamp) -> Option<Shortfall> {
        if !self.kinds.is_empty() && !self.kinds.contains(&who.kind()) {
            return Some(Shortfall::Kind);
        }
        if self.number && who.pid().is_none() {
            return Some(Shortfall::Number);
        }
        if !self.providers.is_empty() && !self.providers.contains(who.provider()) {
            return Some(Shortfall::Provider);
        }
        let foreign = |identifier: &EidasIdentifier| !self.countries.contains(identifier.country());
        if !self.countries.is_empty() && who.eidas().is_some_and(foreign) {
            return Some(Shortfall::Country);
        }
        if who.amr().iter().any(|method| self.excludes(method)) {
            return Some(Shortfall::Method);
        }
        if self.level > who.level() && cfg!(not(planted_fault = "level")) {
            return Some(Shortfall::Level);
        }
        if let Some(shortfall) = self.shortfall_of_representation(who) {
            return Some(shortfall);
        }
        let too_old = |max_age| who.auth_time().is_none_or(|auth_time| now.since(auth_time) > max_age);
        self.max_age.is_some_and(too_old).then_some(Shortfall::Age)
    }

    /// Whether logins at a provider are asked for whom the person acts.
    #[must_use]
    pub fn asks_at(&self, provider: &str) -> bool {
        self.representation.is_some() && (self.asked_at.is_empty() || self.asked_at.contains(provider))
    }

    fn excludes(&self, method: &str) -> bool {
        self.not_amr.iter().any(|excluded| excluded.eq_ignore_ascii_case(method))
    }

    /// What was asked for elsewhere does not count: a right to act for somebody is for one resource.
    fn shortfall_of_representation(&self, who: &VerifiedIdentity) -> Option<Shortfall> {
        let asked = self.representation.as_ref().filter(|_| self.asks_at(who.provider()))?;
        if who.asked() != Some(asked.id()) {
            return Some(Shortfall::Asked);
        }
        if self.organisation && who.organisations().is_empty() {
            return Some(Shortfall::NoOrganisation);
        }
        let taken = |one: &Organisation| self.organisations.contains(&one.number);
        let all_taken = self.organisations.is_empty() || who.organisations().iter().all(taken);
        (!all_taken).then_some(Shortfall::Organisation)
    }

    fn is_weaker_than(&self, other: &Self) -> bool {
        let more_kinds = takes_more(&self.kinds, &other.kinds)
            || takes_more(&self.providers, &other.providers)
            || takes_more(&self.countries, &other.countries)
            || takes_more(&self.organisations, &other.organisations)
            || !other.not_amr.is_subset(&self.not_amr)
            || (other.organisation && !self.organisation)
            || (other.number && !self.number);
        let older = match (self.max_age, other.max_age) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => ours > theirs,
        };
        self.level < other.level || more_kinds || older
    }
}

/// Whether a rule takes what another does not; an empty one takes everything.
fn takes_more<T: Ord>(ours: &BTreeSet<T>, theirs: &BTreeSet<T>) -> bool {
    !theirs.is_empty() && (ours.is_empty() || !ours.is_subset(theirs))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::token::tests::rule;
    use super::*;
    use crate::identity::Kind;
    use crate::identity::machine::tests::machine_with;
    use crate::identity::resume::tests::{employee, european, identity};
    use crate::key::{KeyId, MacKey, Ring};
    use crate::request::RawHead;
    use crate::revocation::Tagger;
    use crate::route::tests_support::route;
    use crate::session::SessionId;

    const NOW: Timestamp = Timestamp::from_seconds(10_000);

    fn session(who: VerifiedIdentity) -> Session {
        let ring = Ring::single(KeyId([1; 4]), Timestamp::from_seconds(0), MacKey::new(&[1; 32]));
        let id = SessionId::random();
        Session::begin(id, Tagger::active(&ring, NOW).tags(&id, "p", "i", None, "s"), who, NOW)
    }

    fn judge(access: Access, caller: impl Into<Caller>) -> Judgement {
        let headers = [(http::header::HOST, "a.no".parse().unwrap())].into_iter().collect();
        let head =
            RawHead { method: &http::Method::GET, target: b"/app", authority: None, headers: &headers };
        let request = NormalRequest::parse(head).unwrap();
        Access::judge(&Arc::new(route("/app", access, None)), request, caller.into(), NOW)
    }

    fn require(level: Option<Level>, kinds: &[Kind], max_age: Option<u64>) -> Requirement {
        Requirement {
            level,
            kinds: kinds.iter().copied().collect(),
            max_age: max_age.map(Duration::from_secs),
            ..Requirement::default()
        }
    }

    /// What a judgement comes to: who is told to the app, or the word for what is missing.
    fn outcome(judgement: &Judgement) -> &'static str {
        match judgement {
            Judgement::Allowed(permit) if permit.session().is_some() => "as somebody",
            Judgement::Allowed(permit) if permit.machine().is_some() => "as a machine",
            Judgement::Allowed(_) => "as nobody",
            Judgement::MustLogIn(LoginNeed::NoSession) => "log in",
            Judgement::MustLogIn(LoginNeed::Level) => "higher level",
            Judgement::MustLogIn(LoginNeed::Age) => "newer login",
            Judgement::MustLogIn(LoginNeed::Asked) => "ask for whom",
            Judgement::Forbidden(_) => "forbidden",
            Judgement::TokenNeeded => "token",
            Judgement::TokenRefused(..) => "token refused",
        }
    }

    #[test]
    fn a_public_route_is_for_everybody_and_tells_the_app_of_nobody() {
        assert_eq!(outcome(&judge(Access::Public, None)), "as nobody");
        assert_eq!(outcome(&judge(Access::Public, Some(session(identity(9_000))))), "as nobody");
    }

    #[test]
    fn a_machine_and_a_person_pass_by_their_own_doors() {
        let machine = || Caller::Machine(Arc::new(machine_with(&json!({})).unwrap()));
        let person = || Caller::Person(session(identity(9_000)));
        let login = || require(None, &[], None);
        let other = TokenRule { scopes: ["other".to_owned()].into(), ..rule() };
        for (access, of_nobody, of_person, of_machine) in [
            (Access::Public, "as nobody", "as nobody", "as nobody"),
            (Access::Optional(login()), "as nobody", "as somebody", "as nobody"),
            (Access::Login(login()), "log in", "as somebody", "log in"),
            (Access::Token(Arc::new(rule())), "token", "token", "as a machine"),
            (Access::Token(Arc::new(other.clone())), "token", "token", "token refused"),
            (Access::LoginOrToken(login(), Arc::new(rule())), "log in", "as somebody", "as a machine"),
            (Access::LoginOrToken(login(), Arc::new(other)), "log in", "as somebody", "token refused"),
        ] {
            assert_eq!(outcome(&judge(access.clone(), None)), of_nobody, "{access:?}");
            assert_eq!(outcome(&judge(access.clone(), person())), of_person, "{access:?}");
            assert_eq!(outcome(&judge(access.clone(), machine())), of_machine, "{access:?}");
        }
    }

    #[test]
    fn a_door_is_weaker_than_one_of_its_kind() {
        let login = || Access::Login(require(None, &[], None));
        let token = || Access::Token(Arc::new(rule()));
        let either = || Access::LoginOrToken(require(None, &[], None), Arc::new(rule()));
        for (weaker, stronger) in
            [(Access::Public, token()), (Access::Public, either()), (Access::Public, login())]
        {
            assert!(weaker.is_weaker_than(&stronger) && !stronger.is_weaker_than(&weaker), "{stronger:?}");
        }
        for (one, other) in [(token(), login()), (token(), either()), (login(), either())] {
            assert!(!one.is_weaker_than(&other) && !other.is_weaker_than(&one), "{one:?} {other:?}");
        }
        let high = Access::LoginOrToken(require(Some(Level::High), &[], None), Arc::new(rule()));
        assert!(
            either().is_weaker_than(&high) && login().is_weaker_than(&high) && !high.is_weaker_than(&login())
        );
    }

    #[test]
    fn a_route_with_login_is_judged_by_level_kind_and_age() {
        let high = || Some(session(identity(9_900)));
        let foreign = || Some(session(european()));
        for (requirement, session, expected) in [
            (require(None, &[], None), None, "log in"),
            (require(None, &[], None), high(), "as somebody"),
            (require(Some(Level::High), &[Kind::National], None), high(), "as somebody"),
            (require(Some(Level::Low), &[], None), foreign(), "as somebody"),
            (require(Some(Level::High), &[], None), foreign(), "higher level"),
            (require(Some(Level::Low), &[Kind::National], None), foreign(), "forbidden"),
            // A wrong kind comes first: a new login would not mend it.
            (require(Some(Level::High), &[Kind::National], None), foreign(), "forbidden"),
            (require(None, &[], Some(100)), high(), "as somebody"),
            (require(None, &[], Some(99)), high(), "newer login"),
            // Nobody knows how old it is.
            (require(None, &[], Some(99_999)), foreign(), "newer login"),
        ] {
            assert_eq!(
                outcome(&judge(Access::Login(requirement.clone()), session)),
                expected,
                "{requirement:?}"
            );
        }
    }

    #[test]
    fn who_has_no_number_does_not_pass_where_one_is_needed() {
        let needed = |kinds: &[Kind]| Requirement { number: true, ..require(None, kinds, None) };
        let both = needed(&[Kind::National, Kind::Eidas]);
        assert_eq!(both.shortfall(&identity(0), NOW), None);
        assert_eq!(both.shortfall(&european(), NOW), Some(Shortfall::Number));
        assert_eq!(needed(&[]).shortfall(&employee(1), NOW), Some(Shortfall::Number));
        assert_eq!(
            outcome(&judge(Access::Login(both.clone()), Some(session(european())))),
            "forbidden",
            "another login of the same person brings none"
        );
        assert_eq!(outcome(&judge(Access::Optional(both.clone()), Some(session(european())))), "as nobody");
        let open = Requirement { number: false, ..both.clone() };
        assert!(Access::Login(open.clone()).is_weaker_than(&Access::Login(both.clone())));
        assert!(!Access::Login(both).is_weaker_than(&Access::Login(open)));
    }

    #[test]
    fn provider_country_and_method_are_judged_by_what_the_route_takes() {
        let set = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<BTreeSet<_>>();
        let countries = |texts| Requirement { countries: set(texts), ..Requirement::default() };
        let providers = |texts| Requirement { providers: set(texts), ..Requirement::default() };
        let not_amr = |texts| Requirement { not_amr: set(texts), ..Requirement::default() };
        for (requirement, who, expected) in [
            (countries(&["SE", "FI"]), european(), None),
            (countries(&["DK"]), european(), Some(Shortfall::Country)),
            // A Norwegian eID has no country to judge: `kinds` says whether it passes.
            (countries(&["DK"]), identity(0), None),
            (providers(&["idporten"]), identity(0), None),
            (providers(&["ansattporten"]), identity(0), Some(Shortfall::Provider)),
            (not_amr(&["minid-pin"]), identity(0), None),
            (not_amr(&["bankid"]), identity(0), Some(Shortfall::Method)),
        ] {
            assert_eq!(requirement.shortfall(&who, NOW), expected, "{requirement:?}");
        }
    }

    #[test]
    fn whom_somebody_represents_counts_only_where_it_was_asked_for() {
        let asking = |resource: &str| {
            let entry = serde_json::json!({"type": "ansattporten:altinn:service", "resource": resource});
            Some(Arc::new(Representation::of(&[entry.as_object().unwrap().clone()]).unwrap()))
        };
        let ours = asking("urn:altinn:resource:1:1");
        let asked = |who: VerifiedIdentity, representation: &Option<Arc<Representation>>| {
            who.asked_for(representation.as_ref().map(|asked| asked.id()))
        };
        let requirement = |representation, organisation, organisations: &[&str]| Requirement {
            representation,
            organisation,
            organisations: organisations.iter().map(|one| OrganisationNumber::parse(one).unwrap()).collect(),
            ..Requirement::default()
        };
        let number = employee(1).organisations()[0].number.to_string();
        for (requirement, who, expected) in [
            (requirement(ours.clone(), true, &[]), asked(employee(1), &ours), None),
            (requirement(ours.clone(), true, &[&number]), asked(employee(1), &ours), None),
            (
                requirement(ours.clone(), true, &["991825827"]),
                asked(employee(1), &ours),
                Some(Shortfall::Organisation),
            ),
            // One of two is not enough: the app would be told of both.
            (
                requirement(ours.clone(), true, &[&number]),
                asked(employee(2), &ours),
                Some(Shortfall::Organisation),
            ),
            (
                requirement(ours.clone(), true, &[]),
                asked(employee(0), &ours),
                Some(Shortfall::NoOrganisation),
            ),
            (requirement(ours.clone(), false, &[]), asked(employee(0), &ours), None),
            (requirement(ours.clone(), true, &[]), asked(employee(1), &None), Some(Shortfall::Asked)),
            (
                requirement(asking("urn:altinn:resource:2:2"), true, &[]),
                asked(employee(1), &ours),
                Some(Shortfall::Asked),
            ),
            (requirement(None, false, &[]), asked(employee(1), &ours), None),
        ] {
            assert_eq!(requirement.shortfall(&who, NOW), expected, "{requirement:?}");
        }
    }

    #[test]
    fn whom_somebody_represents_is_judged_where_it_is_asked() {
        let entry =
            serde_json::json!({"type": "ansattporten:altinn:service", "resource": "urn:altinn:resource:1:1"});
        let asked = Some(Arc::new(Representation::of(&[entry.as_object().unwrap().clone()]).unwrap()));
        let of = |asked_at: &[&str]| Requirement {
            representation: asked.clone(),
            asked_at: asked_at.iter().map(|&name| name.to_owned()).collect(),
            organisation: true,
            ..Requirement::default()
        };
        assert_eq!(of(&[]).shortfall(&identity(0), NOW), Some(Shortfall::Asked));
        assert_eq!(of(&["idporten"]).shortfall(&identity(0), NOW), Some(Shortfall::Asked));
        assert_eq!(of(&["ansattporten"]).shortfall(&identity(0), NOW), None);
        let (nobody, at) = (employee(0), employee(0).provider().to_owned());
        assert_eq!(of(&[at.as_str()]).shortfall(&nobody, NOW), Some(Shortfall::Asked));
    }

    #[test]
    fn an_optional_route_tells_only_of_who_fulfils_its_requirement() {
        let optional = |level| Access::Optional(require(Some(level), &[], None));
        assert_eq!(outcome(&judge(optional(Level::High), None)), "as nobody");
        assert_eq!(outcome(&judge(optional(Level::High), Some(session(european())))), "as nobody");
        assert_eq!(outcome(&judge(optional(Level::Substantial), Some(session(european())))), "as somebody");
    }

    #[test]
    fn the_permit_is_for_the_request_that_was_judged() {
        let Judgement::Allowed(permit) = judge(Access::Public, None) else { panic!("public") };
        assert_eq!((permit.request().path(), permit.route().name.as_str()), ("/app", "/app"));
    }

    #[test]
    fn what_lets_more_people_in_is_weaker() {
        let login = |level, kinds: &[Kind], age| Access::Login(require(level, kinds, age));
        let base = login(Some(Level::Substantial), &[Kind::National], Some(60));
        for weaker in [
            Access::Public,
            Access::Optional(Requirement::default()),
            login(Some(Level::Low), &[Kind::National], Some(60)),
            login(Some(Level::Substantial), &[], Some(60)),
            login(Some(Level::Substantial), &[Kind::National, Kind::Eidas], Some(60)),
            login(Some(Level::Substantial), &[Kind::National], Some(61)),
            login(Some(Level::Substantial), &[Kind::National], None),
        ] {
            assert!(weaker.is_weaker_than(&base), "{weaker:?}");
            assert!(!base.is_weaker_than(&weaker) || weaker == base, "{weaker:?}");
        }
        for no_weaker in [base.clone(), login(Some(Level::High), &[Kind::National], Some(30))] {
            assert!(!no_weaker.is_weaker_than(&base), "{no_weaker:?}");
        }
        assert!(!Access::Public.is_weaker_than(&Access::Optional(Requirement::default())));
    }
}
