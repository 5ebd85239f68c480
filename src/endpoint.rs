//! The gateway's own endpoints, one file each.

mod apps;
pub(crate) mod backchannel_logout;
pub(crate) mod callback;
pub(crate) mod choose;
pub(crate) mod frontchannel_logout;
pub(crate) mod jwks;
mod language;
pub(crate) mod login;
mod logo;
pub(crate) mod logout;
pub(crate) mod logout_callback;
pub(crate) mod organisation;
pub(crate) mod resume;
pub(crate) mod session;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::http::RequestHeader;
use portvakt_core::clock::Timestamp;
use portvakt_core::endpoint::OwnEndpoint;
use portvakt_core::identity::{VerifiedIdentity, VerifiedMachine};
use portvakt_core::key::{KeyId, MacKey, Ring};
use portvakt_core::level::Level;
use portvakt_core::login::relay;
use portvakt_core::redirect::Target;
use portvakt_core::request::NormalRequest;
use portvakt_core::revocation::{Ended, Kind, Proof, Tag, Tagger};
use portvakt_core::route::{Host, Route};
use portvakt_core::seal::SealKey;
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::{Limits, Session, cookies};
use url::form_urlencoded;

use crate::answer::{Answer, Location};
use crate::gateway::Arrival;
use crate::provider::Provider;
use crate::respond::{Asker, PageSeal, Refusal};
use crate::snapshot::{LONGEST_SESSION, Live, Snapshot};
use crate::telemetry::{Action, AuditRecord, AuditResult};

/// One request to an endpoint of ours, and what it may use.
pub(crate) struct Visit<'a> {
    /// The process.
    pub(crate) live: &'a Live,
    /// The configuration of this request.
    pub(crate) snapshot: &'a Snapshot,
    /// The host that was asked for.
    pub(crate) host: &'a Host,
    /// The request.
    pub(crate) head: &'a RequestHeader,
    /// Its body, where it is one that an endpoint of ours reads.
    pub(crate) body: Option<&'a [u8]>,
    /// How it came in.
    pub(crate) arrival: &'a Arrival,
    /// Its reference.
    pub(crate) reference: &'a str,
    /// When it came.
    pub(crate) now: Timestamp,
    /// What it has ended, and other replicas may not know yet.
    pub(crate) ended: Mutex<Vec<Tag>>,
}

/// Serves an endpoint.
pub(crate) async fn serve(
    endpoint: OwnEndpoint,
    request: &NormalRequest,
    visit: &Visit<'_>,
) -> Result<Answer, Refusal> {
    if endpoint == OwnEndpoint::Unknown {
        return Err(Refusal::NoRoute);
    }
    if !endpoint.methods().contains(request.method()) {
        return Err(Refusal::Method(endpoint.methods().to_vec()));
    }
    let query = request.query().unwrap_or_default();
    match endpoint {
        OwnEndpoint::Login => login::serve(query, visit).await,
        OwnEndpoint::Callback => callback::serve(request.path(), query, visit).await,
        OwnEndpoint::Logout => logout::serve(query, visit).await,
        OwnEndpoint::LogoutCallback => logout_callback::serve(request.path(), query, visit).await,
        OwnEndpoint::FrontChannelLogout => frontchannel_logout::serve(query, visit).await,
        OwnEndpoint::BackChannelLogout => backchannel_logout::serve(visit.body, visit).await,
        OwnEndpoint::Session => session::serve(query, visit),
        OwnEndpoint::Organisation => organisation::serve(query, visit).await,
        OwnEndpoint::Resume => resume::serve(visit.body, visit),
        OwnEndpoint::Choose => choose::serve(visit.body, visit),
        OwnEndpoint::Language => language::serve(query, visit),
        OwnEndpoint::Jwks => jwks::serve(visit),
        OwnEndpoint::Logo => logo::serve(request.path(), visit),
        OwnEndpoint::Unknown => Err(Refusal::NoRoute),
    }
}

/// Whether the end of a session is in the log. If not, it is in force here and a restart may forget it: it must
/// not be answered as done (`design.md` D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Written {
    /// Yes, or there was nothing to end.
    Yes,
    /// It will be, as soon as that is possible.
    NotYet,
}

impl Written {
    /// Of several ends.
    fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }

    /// The status of an answer that says that it is done.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Yes => StatusCode::OK,
            Self::NotYet => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Visit<'_> {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.snapshot.configuration.prefix
    }

    /// The name to which this host's own cookies are bound.
    pub(crate) fn scope(&self) -> &str {
        &self.host.origin.name
    }

    pub(crate) fn ring(&self) -> &Ring<SealKey> {
        &self.snapshot.keys.cookie
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.arrival.client()
    }

    /// The host's own session, or the first that its routes name.
    pub(crate) fn usual_plan(&self) -> Result<&Arc<SessionPlan>, Refusal> {
        self.host.sessions.first().ok_or(Refusal::NoRoute)
    }

    /// The session of this host that a request names, by itself or by its provider; `None` if it names none.
    /// Of several of one provider it is the host's own, or nobody knows which.
    pub(crate) fn named_plan(
        &self,
        session: Option<&str>,
        provider: Option<&str>,
    ) -> Result<Option<&Arc<SessionPlan>>, Refusal> {
        let usual = self.usual_plan()?;
        if session.is_none() && provider.is_none() {
            return Ok(None);
        }
        let fits = |plan: &&Arc<SessionPlan>| {
            session.is_none_or(|name| name == plan.name)
                && provider.is_none_or(|name| name == plan.provider.name)
        };
        let mut found = self.host.sessions.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(plan), None) => Ok(Some(plan)),
            (Some(plan), Some(_)) if Arc::ptr_eq(plan, usual) => Ok(Some(plan)),
            _ => Err(Refusal::Parameters),
        }
    }

    /// How a link of ours names a session: not at all where the host has no other.
    pub(crate) fn name_in_links<'p>(&self, plan: &'p SessionPlan) -> Option<&'p str> {
        (self.host.sessions.len() > 1).then_some(plan.name.as_str())
    }

    /// The customer on whose behalf people log in here, for a provider that can be told (dossier 2.10).
    pub(crate) fn onbehalfof(&self, plan: &SessionPlan) -> Option<&str> {
        let knows = plan.provider.profile.capabilities.onbehalfof;
        self.host.onbehalfof.as_deref().filter(|_| knows)
    }

    /// The entries of the file that are this very client of this issuer, itself among them: what it ends, it ends in all.
    pub(crate) fn same_client(&self, provider: &Provider) -> impl Iterator<Item = &Arc<Provider>> {
        let (issuer, client_id) = (provider.settings().issuer.clone(), provider.settings().client_id.clone());
        self.snapshot
            .providers()
            .filter(move |other| other.settings().issuer == issuer && other.settings().client_id == client_id)
    }

    /// A link to start a login for a place on this host.
    pub(crate) fn login_link(&self, plan: &SessionPlan, target: &Target, level: Option<Level>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("redirect", target.as_str());
        let level = level.map(Level::as_str);
        for (name, value) in [("session", self.name_in_links(plan)), ("level", level)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("{}/login?{}", self.prefix(), query.finish())
    }

    /// A link to log in for a place by whatever way the person chooses.
    pub(crate) fn choice_link(&self, target: &Target, level: Option<Level>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("redirect", target.as_str());
        if let Some(level) = level {
            query.append_pair("level", level.as_str());
        }
        format!("{}/login?{}", self.prefix(), query.finish())
    }

    /// The same as [`login_link`](Self::login_link) with a new authentication at the provider, whatever it remembers: for somebody who means to come
    /// as somebody else, or by another way.
    pub(crate) fn other_login_link(&self, plan: &SessionPlan, target: &Target) -> String {
        format!("{}&prompt=login", self.login_link(plan, target, None))
    }

    /// A link to end a session, also at its provider.
    pub(crate) fn logout_link(&self, plan: &SessionPlan) -> String {
        let name = self.name_in_links(plan).map(|name| format!("?session={name}"));
        format!("{}/logout{}", self.prefix(), name.unwrap_or_default())
    }

    /// The provider that logs in for a session.
    pub(crate) fn provider(&self, plan: &SessionPlan) -> Result<&Arc<Provider>, Refusal> {
        self.snapshot.provider(&plan.provider.name).ok_or(Refusal::NoRoute)
    }

    /// Whether a page of this very origin sent the form: as the browser says, or an older one by its `Origin`. `typed`: or
    /// the person repeated it, by reloading the page.
    pub(crate) fn is_from_here(&self, typed: bool) -> bool {
        let only = |name: &str| {
            let mut lines = self.headers().get_all(name).iter();
            lines.next().filter(|_| lines.next().is_none()).map(HeaderValue::as_bytes)
        };
        if self.headers().contains_key("sec-fetch-site") {
            return match only("sec-fetch-site") {
                Some(b"same-origin") => true,
                Some(b"none") => typed,
                _ => false,
            };
        }
        only("origin").is_some_and(|origin| origin == self.host.origin.to_string().as_bytes())
    }

    /// The providers that log in for this host, each once.
    pub(crate) fn providers(&self) -> Result<Vec<&Arc<Provider>>, Refusal> {
        let mut providers: Vec<&Arc<Provider>> = Vec::new();
        for plan in &self.host.sessions {
            let provider = self.provider(plan)?;
            if !providers.iter().any(|known| Arc::ptr_eq(known, provider)) {
                providers.push(provider);
            }
        }
        if providers.is_empty() { Err(Refusal::NoRoute) } else { Ok(providers) }
    }

    /// Who asks, where only a person can have come: a redirect brought the browser here.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker {
            headers: self.headers(),
            navigation: true,
            language: None,
            here: None,
            form: false,
            prefix: self.prefix(),
            brand: &self.host.brand,
            reference: self.reference,
            secure: self.arrival.is_secure(),
            seal: Some(PageSeal {
                host: self.scope(),
                origin: &self.host.origin,
                ring: self.ring(),
                now: self.now,
            }),
        }
    }

    /// A URL of ours to which a provider sends people back, from the configuration alone (RT-6): this host's, or its
    /// auth host's.
    pub(crate) fn return_url(&self, path: &str) -> String {
        format!("{}{}{path}", self.host.answered_at(), self.prefix())
    }

    /// `state` as a provider is given it: an auth host must know whom it answers for.
    pub(crate) fn sent_state(&self, state: String) -> String {
        match &self.host.auth_host {
            None => state,
            Some(auth_host) => {
                let (asking, auth_host) = (self.host.origin.to_string(), auth_host.to_string());
                relay::mark(&state, &asking, &auth_host, self.ring(), self.now)
            }
        }
    }

    /// Sends the browser on with an answer that another host asked for by way of this one; `None` if none did.
    /// `origin` is what `state` named.
    pub(crate) fn relayed(&self, origin: &str, path: &str, query: &str) -> Option<Answer> {
        let asked = |host: &&Arc<Host>| {
            host.origin.to_string() == origin && host.auth_host.as_ref() == Some(&self.host.origin)
        };
        // A host that the file has no more, or that is answered elsewhere now, asked for nothing.
        self.snapshot.configuration.hosts.iter().find(asked)?;
        Some(Answer::redirect(&Location::Own(format!("{origin}{path}?{query}")), "relayed"))
    }

    /// A target that the request names; `None` if it names none or none that we may send a browser to.
    pub(crate) fn target(&self, text: Option<&str>) -> Option<Target> {
        Target::parse(text?, &self.host.origin, self.prefix())
    }

    /// The live session of this request: its cookie is ours and whole and of this plan, its limits hold, it
    /// has not ended and can be ended, by us and by the issuer that its provider has now.
    pub(crate) fn session(&self, plan: &SessionPlan) -> Option<Session> {
        let found = self.find_session(plan);
        if let Err(reason) = &found
            && cookies::has_session_cookie(self.headers(), plan)
        {
            self.live.telemetry.metrics.session_refused(reason);
        }
        found.ok()
    }

    /// The session that this browser had last, as far as its cookie tells: also one that is over or has
    /// ended. For comparing alone: it lets nobody in.
    pub(crate) fn last_session(&self, plan: &SessionPlan) -> Option<Session> {
        let unlimited = Limits { idle: Duration::MAX, absolute: Duration::MAX };
        cookies::open_session(self.headers(), plan, self.ring(), &unlimited, self.now)
    }

    /// The session as which a request of a route is judged.
    pub(crate) fn session_of(&self, route: &Route) -> Option<Session> {
        if route.ways.is_empty() {
            return self.session(route.session.as_ref()?);
        }
        self.session(&*self.plan_of(route)?)
    }

    /// As whose session a request of a route is judged. Where people choose between several, it is that of their
    /// latest login, alive or not: an older one never takes its place unseen.
    pub(crate) fn plan_of(&self, route: &Route) -> Option<Arc<SessionPlan>> {
        if route.ways.is_empty() {
            return route.session.clone();
        }
        self.latest(route).map(|(plan, _)| plan)
    }

    /// The latest login of this browser among a route's sessions, as far as its cookies tell: also one that is over
    /// or has ended.
    pub(crate) fn latest(&self, route: &Route) -> Option<(Arc<SessionPlan>, Session)> {
        let held = route.plans().filter_map(|plan| Some((Arc::clone(plan), self.last_session(plan)?)));
        held.reduce(|latest, other| if other.1.began() > latest.1.began() { other } else { latest })
    }

    /// The session, or the word for the metrics why there is none. The client is not told (CK-1).
    fn find_session(&self, plan: &SessionPlan) -> Result<Session, &'static str> {
        let limits = &self.snapshot.configuration.session;
        let session = cookies::open_session(self.headers(), plan, self.ring(), limits, self.now)
            .ok_or("not_ours_or_over")?;
        // What could not be ended is not accepted.
        let tags = session.tags();
        let key = self.snapshot.keys.revocation.by_id(tags.key, self.now).ok_or("retired_key")?;
        if !session.is_marked() && !session.is_of_issuer(&plan.provider.issuer, &Tagger::with(tags.key, key))
        {
            return Err("other_issuer");
        }
        // A reload may have taken back what a value of `acr` is worth.
        let who = session.identity();
        if !plan.provider.acr.still_says(who.acr(), who.level(), who.kind().framework()) {
            return Err("other_level");
        }
        // Hosts that share a session, or a reload, may have changed for whom people log in here.
        if session.identity().onbehalfof() != self.onbehalfof(plan) {
            return Err("other_customer");
        }
        match self.live.revocations.check(&session) {
            Ok(()) => Ok(session),
            Err(Ended::Revoked) => Err("ended"),
            Err(Ended::BeforeKnowledge) => Err("before_knowledge"),
        }
    }

    /// Ends every session of a plan that the request presents, in whatever spelling: a logout that leaves one of
    /// two cookies alive is none (CK-12). Also one that has been idle for too long: another configuration may
    /// allow for more.
    pub(crate) fn end_presented(&self, plan: &SessionPlan) -> Written {
        let any = Limits { idle: Duration::MAX, absolute: LONGEST_SESSION };
        cookies::open_each(self.headers(), plan, self.ring(), &any, self.now)
            .fold(Written::Yes, |written, session| written.and(self.end(&session)))
    }

    /// Writes down that somebody logged in or out, or that it failed. `session`: ours, if there is one.
    pub(crate) fn audit(
        &self,
        action: Action,
        result: AuditResult,
        provider: &Provider,
        sid: Option<&str>,
        session: Option<&Session>,
    ) {
        let record = self.audit_record(action, result, provider, sid, session);
        self.live.telemetry.audit(&record, &self.snapshot.keys);
    }

    /// Writes down that `session` began in the place of `previous`, of the same person: at a higher level or anew, or for
    /// another organisation. For which, no log says.
    pub(crate) fn audit_exchange(
        &self,
        action: Action,
        provider: &Provider,
        sid: Option<&str>,
        session: &Session,
        previous: &Session,
    ) {
        let record = AuditRecord {
            previous: Some(previous.id()),
            ..self.audit_record(action, AuditResult::Success, provider, sid, Some(session))
        };
        self.live.telemetry.audit(&record, &self.snapshot.keys);
    }

    /// Writes down that a machine asked for something, and whether its token was enough: the word for the log says why
    /// not.
    pub(crate) fn audit_machine(&self, machine: &VerifiedMachine, short_of: Option<&'static str>) {
        self.live.telemetry.audit(
            &AuditRecord {
                time: self.live.clock.now(),
                action: Action::Machine,
                result: short_of.map_or(AuditResult::Success, AuditResult::Failure),
                client: self.client(),
                provider: machine.provider(),
                sid: None,
                level: None,
                kind: Some(machine.kind()),
                person: None,
                session: None,
                previous: None,
                machine: Some(machine),
                reference: self.reference,
            },
            &self.snapshot.keys,
        );
    }

    fn audit_record<'r>(
        &'r self,
        action: Action,
        result: AuditResult,
        provider: &'r Provider,
        sid: Option<&'r str>,
        session: Option<&'r Session>,
    ) -> AuditRecord<'r> {
        let person = session.map(Session::identity);
        AuditRecord {
            time: self.live.clock.now(),
            action,
            result,
            client: self.client(),
            provider: &provider.settings().name,
            sid,
            level: person.and_then(VerifiedIdentity::level),
            kind: person.map(VerifiedIdentity::kind),
            person,
            session: session.map(Session::id),
            previous: None,
            machine: None,
            reference: self.reference,
        }
    }

    /// Ends a session here.
    pub(crate) fn end(&self, session: &Session) -> Written {
        let tags = session.tags();
        // Without the key no session of it is accepted.
        let key = self.snapshot.keys.revocation.by_id(tags.key, self.now);
        key.map_or(Written::Yes, |key| {
            self.write_end(Kind::Session, Proof::Proven, tags.session, (tags.key, key))
        })
    }

    /// Ends what the provider ended: under every key that a live session's tags may have been made with.
    /// `proven`: whether a signed token said so.
    pub(crate) fn end_at_provider(
        &self,
        kind: Kind,
        proven: bool,
        tag: impl Fn(&Tagger<'_>) -> Tag,
    ) -> Written {
        // Callers that cannot be told apart are one source.
        let source = self.arrival.client().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut written = Written::Yes;
        for key in self.snapshot.keys.revocation.accepted(self.now) {
            let tagger = Tagger::of(key);
            let proof = if proven { Proof::Proven } else { Proof::Unproven(tagger.source(source)) };
            written = written.and(self.write_end(kind, proof, tag(&tagger), (key.id, &key.key)));
        }
        written
    }

    /// Waits until every replica can know what was ended here. Nobody is told before that it is done.
    pub(crate) async fn shared(&self, written: Written) -> Written {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.is_empty() || self.live.replication.delivered(self.live, &ended).await {
            return written;
        }
        if self.may_cause_line("not_shared") {
            tracing::error!(
                reference = self.reference,
                "the end of a session is in force here, and other replicas do not know of it yet"
            );
        }
        Written::NotYet
    }

    /// Whether a call that nobody can prove may cause a line in a log; if not, it is counted.
    pub(crate) fn may_cause_line(&self, kind: &'static str) -> bool {
        let may = self.live.unproven_lines.may_cause(self.client(), self.now);
        if !may {
            self.live.telemetry.metrics.unlogged(kind);
        }
        may
    }

    fn write_end(&self, kind: Kind, proof: Proof, tag: Tag, key: (KeyId, &MacKey)) -> Written {
        let ended = self.live.revocations.end(kind, tag, proof, key, self.now);
        if self.live.revocations.is_shared() {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(tag);
        }
        let Err(error) = ended else { return Written::Yes };
        if proof == Proof::Proven || self.may_cause_line("not_written") {
            let error = crate::cause::chain(&error);
            tracing::error!(error, reference = self.reference, "the end of a session was not written");
        }
        Written::NotYet
    }
}

/// The parameters of a query that an endpoint knows; a doubled one is refused.
pub(crate) fn parameters<const N: usize>(
    query: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], Refusal> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(at) = names.iter().position(|known| *known == name) else { continue };
        if values[at].replace(value.into_owned()).is_some() {
            return Err(Refusal::Parameters);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_parameter_is_refused_and_unknown_ones_are_left_alone() {
        let parse = |query| parameters(query, ["a", "b"]).ok();
        assert_eq!(parse("b=2&c=3&c=4"), Some([None, Some("2".to_owned())]));
        assert_eq!(parse("a=1&a=1"), None);
    }
}
