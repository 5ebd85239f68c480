//! Sessions side by side: their names, their cookie domains, and that no provider's answer can be taken for
//! another's (`design.md` D13; RFC 9207; RFC 9700, 4.4).

use std::cell::Cell;
use std::sync::Arc;

use super::provider::Providers;
use super::{Span, check_name, unknown_name};
use crate::config::problem::one_of;
use crate::config::raw::{RawFile, RawHost, RawRoute};
use crate::config::shape::{At, Desk};
use crate::identity::Kind;
use crate::provider::ProviderSettings;
use crate::request::HostName;
use crate::route::Origin;
use crate::session::plan::{RESERVED, SessionPlan};
use crate::way::Way;

/// Domains below which anybody gets a name: what all of their hosts would share is nobody's. Browsers know
/// more of them (publicsuffix.org); these are those of Norwegian services.
const SHARED_BY_ALL: [&str; 12] = [
    "dep.no",
    "fhs.no",
    "folkebibl.no",
    "fylkesbibl.no",
    "herad.no",
    "idrett.no",
    "kommune.no",
    "mil.no",
    "museum.no",
    "priv.no",
    "stat.no",
    "vgs.no",
];

/// The sessions of a file: those with a name, and one for each provider.
pub(super) struct Sessions<'a> {
    known: Vec<Known>,
    pub(super) providers: &'a Providers,
    /// Whether all could be read: else nobody knows which names there are.
    complete: bool,
}

struct Known {
    name: At<String>,
    settings: Option<Arc<ProviderSettings>>,
    domain: Option<At<String>>,
    used: Cell<bool>,
}

impl<'a> Sessions<'a> {
    pub(super) fn check(file: &RawFile, providers: &'a Providers, desk: &mut Desk<'_>) -> Self {
        let mut known = Vec::new();
        for (name, raw) in file.sessions.iter().flat_map(|raw| &raw.value.0) {
            self::name(name, desk);
            let raw = raw.as_ref().map(|raw| &raw.value);
            let provider = raw.and_then(|raw| raw.provider.as_ref());
            let settings = provider.and_then(|provider| providers.find(provider, desk));
            if let Some(provider) = provider.filter(|provider| provider.value != name.value)
                && let Some(other) = providers.place_of(&name.value)
            {
                let line = desk.line(other);
                desk.error(
                    &provider.span,
                    format!("the session has the name of the provider on line {line}, and another provider"),
                    format!("give the session another name, or write `{}` here", name.value),
                );
            }
            let domain = raw.and_then(|raw| raw.cookie_domain.as_ref());
            known.push(Known {
                name: name.clone(),
                settings,
                domain: domain.filter(|domain| cookie_domain(domain, desk)).cloned(),
                used: Cell::new(false),
            });
        }
        Self { known, providers, complete: !file.unread.contains(&"sessions") }
    }

    pub(super) fn warn_of_unused(&self, desk: &mut Desk<'_>) {
        for known in self.known.iter().filter(|known| !known.used.get()) {
            desk.warn(
                &known.name.span,
                format!("no host uses the session `{}`", known.name.value),
                "remove it, or name it as the `session` of a host or a route",
            );
        }
    }

    fn named(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.name.value == name)
    }
}

fn name(name: &At<String>, desk: &mut Desk<'_>) {
    check_name("a session", name, desk);
    let head = name.value.split('-').next();
    let reserved = RESERVED.into_iter().find(|word| head == Some(word));
    if let Some(word) = reserved {
        desk.error(
            &name.span,
            format!("other cookies of the gateway begin with `{word}`"),
            "give the session another name, such as `citizen`",
        );
    }
}

/// Whether hosts may share cookies by this domain.
fn cookie_domain(given: &At<String>, desk: &mut Desk<'_>) -> bool {
    let text = given.value.as_str();
    let quoted = desk.quoted(&given.span);
    let (message, fix) = if text.starts_with('.') || text.contains(':') || HostName::parse(text).is_err() {
        (format!("{quoted} is no domain"), "write a name such as `example.no`")
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) || text.ends_with('.') {
        (
            format!("{quoted} is not written as browsers write it"),
            "write it in lower case, without a dot at the end",
        )
    } else if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        (format!("{quoted} is an address"), "write the domain of the hosts, or remove `cookie_domain`")
    } else if !text.contains('.') || SHARED_BY_ALL.contains(&text) {
        let message = format!("anybody can have a host below {quoted}, and would get the session");
        (message, "name a domain that is yours alone, such as `example.no`")
    } else {
        return true;
    };
    desk.error(&given.span, message, fix);
    false
}

/// The sessions of one host, as its routes name them.
pub(super) struct HostSessions<'a> {
    all: &'a Sessions<'a>,
    host: Option<&'a Origin>,
    /// The host's own, if it has one and it is sound.
    own: Option<Arc<SessionPlan>>,
    plans: Vec<Arc<SessionPlan>>,
}

impl<'a> HostSessions<'a> {
    pub(super) fn check(
        raw: &RawHost,
        host: Option<&'a Origin>,
        all: &'a Sessions<'a>,
        desk: &mut Desk<'_>,
    ) -> Self {
        let mut sessions = Self { all, host, own: None, plans: Vec::new() };
        if let (Some(provider), Some(session)) = (&raw.provider, &raw.session) {
            let line = desk.line(&provider.span);
            desk.error(
                &session.span,
                format!("this host has a `provider` on line {line}, and a session too"),
                "keep one: a session has a provider of its own",
            );
        }
        let own = match (&raw.provider, &raw.session) {
            (Some(provider), _) => sessions.of_provider(provider, desk),
            (None, Some(session)) => sessions.find(session, desk),
            (None, None) => None,
        };
        sessions.own.clone_from(&own);
        sessions.plans.extend(own);
        sessions
    }

    /// The host's own, which public routes know of too.
    pub(super) fn own(&self) -> Option<Arc<SessionPlan>> {
        self.own.clone()
    }

    /// The session that a route asks for.
    pub(super) fn of_route(&mut self, raw: &RawRoute, desk: &mut Desk<'_>) -> Option<Arc<SessionPlan>> {
        let Some(name) = &raw.session else { return self.own.clone() };
        self.plan(name, desk)
    }

    /// The session of this name on this host.
    fn plan(&mut self, name: &At<String>, desk: &mut Desk<'_>) -> Option<Arc<SessionPlan>> {
        if let Some(plan) = self.plans.iter().find(|plan| plan.name == name.value) {
            return Some(Arc::clone(plan));
        }
        let plan = self.find(name, desk)?;
        self.plans.push(Arc::clone(&plan));
        Some(plan)
    }

    /// The ways in between which a route leaves the choice; `None` if one of them is not sound.
    pub(super) fn of_choice(
        &mut self,
        raw: &RawRoute,
        given: &At<Vec<At<String>>>,
        desk: &mut Desk<'_>,
    ) -> Option<Vec<Way>> {
        if let Some(session) = &raw.session {
            let line = desk.line(&given.span);
            desk.error(
                &session.span,
                format!("this route has a `session`, and leaves a choice on line {line}"),
                "keep one of the two",
            );
        }
        let ways: Vec<Option<Way>> = given.value.iter().map(|entry| self.way(entry, desk)).collect();
        let ways: Vec<Way> = ways.into_iter().collect::<Option<_>>()?;
        let mut sound = true;
        for (at, way) in ways.iter().enumerate() {
            let (earlier, span) = (&ways[..at], &given.value[at].span);
            if earlier.iter().any(|other| other.name() == way.name()) {
                desk.error(span, format!("{} is there twice", desk.quoted(span)), "keep one of the two");
                sound = false;
            }
            let provider = &way.plan.provider.name;
            let same_provider = |other: &&Way| other.plan.provider.name == *provider;
            if earlier.iter().filter(same_provider).any(|other| other.plan.realm() != way.plan.realm()) {
                desk.error(
                    span,
                    format!(
                        "two of these sessions are of the provider `{provider}`: nobody could tell them apart"
                    ),
                    "keep one of them",
                );
                sound = false;
            }
        }
        sound.then_some(ways)
    }

    /// `SESSION` or `SESSION:KIND`.
    fn way(&mut self, entry: &At<String>, desk: &mut Desk<'_>) -> Option<Way> {
        let (name, kind) = match entry.value.split_once(':') {
            None => (entry.value.as_str(), None),
            Some((name, word)) => {
                let people = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Machine);
                let Some(kind) = people().find(|kind| kind.as_str() == word) else {
                    let message = format!("{} ends in no kind of identity", desk.quoted(&entry.span));
                    let words = one_of(people().map(Kind::as_str).collect::<Vec<_>>().iter().copied());
                    desk.error(&entry.span, message, format!("write {words} behind the colon"));
                    return None;
                };
                (name, Some(kind))
            }
        };
        let plan = self.plan(&At { span: entry.span.clone(), value: name.to_owned() }, desk)?;
        Some(Way { plan, kind })
    }

    /// All of them, the host's own first, once no answer can be taken for that of another provider.
    pub(super) fn close(self, at: &Span, prefix: &str, desk: &mut Desk<'_>) -> Vec<Arc<SessionPlan>> {
        let mut providers: Vec<&ProviderSettings> = Vec::new();
        for plan in &self.plans {
            if !providers.iter().any(|known| known.name == plan.provider.name) {
                providers.push(&plan.provider);
            }
        }
        let silent = |provider: &&&ProviderSettings| !provider.sends_iss && !provider.own_callback;
        if providers.len() < 2 {
            return self.plans;
        }
        for provider in providers.iter().filter(silent) {
            let name = &provider.name;
            let message = format!(
                "several providers answer this host, and the answers of `{name}` do not say that they are its (RFC 9207)"
            );
            let callback =
                format!("{}{prefix}/callback/{name}", self.host.map(Origin::to_string).unwrap_or_default());
            let fix = format!(
                "write `callback: own` at the provider and register `{callback}` there; or `sends_iss: true`, if its metadata says `authorization_response_iss_parameter_supported`"
            );
            desk.error(at, message, fix);
        }
        self.plans
    }

    /// The session of a host that names a provider: the one that has the provider's name, or none.
    fn of_provider(&self, provider: &At<String>, desk: &mut Desk<'_>) -> Option<Arc<SessionPlan>> {
        if self.all.named(&provider.value).is_some() {
            return self.find(provider, desk);
        }
        let settings = self.all.providers.find(provider, desk)?;
        Some(Arc::new(SessionPlan::usual(settings, &self.host?.name)))
    }

    /// The session of this name, or that of the provider of this name.
    fn find(&self, name: &At<String>, desk: &mut Desk<'_>) -> Option<Arc<SessionPlan>> {
        let Some(known) = self.all.named(&name.value) else {
            if self.all.providers.place_of(&name.value).is_none() {
                if self.all.complete {
                    let names = self.all.known.iter().map(|known| known.name.value.as_str());
                    unknown_name("session", name, names, desk);
                }
                return None;
            }
            self::name(name, desk);
            let settings = self.all.providers.find(name, desk)?;
            return Some(Arc::new(SessionPlan::named(&name.value, settings, None, &self.host?.name)));
        };
        known.used.set(true);
        let host = &self.host?.name;
        if let Some(domain) = known.domain.as_ref().filter(|domain| !is_below(host, &domain.value)) {
            let line = desk.line(&domain.span);
            desk.error(
                &name.span,
                format!("this host is not below the cookie domain on line {line}, `{}`", domain.value),
                "name a session of another domain or of none, or a domain above all hosts of the session",
            );
        }
        let domain = known.domain.as_ref().map(|domain| domain.value.as_str());
        let provider = known.settings.clone()?;
        Some(Arc::new(SessionPlan::named(&name.value, provider, domain, host)))
    }
}

/// Whether a browser sends the domain's cookies to the host (RFC 6265bis, 5.1.3).
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}
