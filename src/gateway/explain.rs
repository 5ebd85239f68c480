//! What would happen to a request, and why: for `portvakt explain`, and for the `tests` of a configuration.
//!
//! **Invariant:** nothing is decided here. Each step asks the function that THE FLOW
//! ([`Gateway::admit`](super::Gateway)) asks, in its order; a scenario holds both against each other. What only a
//! running gateway knows is not told: whether a session has ended, and how loaded it is.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{ACCEPT, HOST, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora::http::RequestHeader;
use portvakt_core::access::{
    Access, Caller, Judgement, LoginNeed, Permit, Requirement, Shortfall, TokenRule, TokenShortfall,
};
use portvakt_core::bearer;
use portvakt_core::clock::Timestamp;
use portvakt_core::config::{Configuration, Expectation, Listener, Outcome};
use portvakt_core::cors::Cors;
use portvakt_core::endpoint::OwnEndpoint;
use portvakt_core::forward::{assertion, plain, signature};
use portvakt_core::forward_auth::Dialect;
use portvakt_core::identity::{Kind, VerifiedMachine};
use portvakt_core::key::{Hashing, KeyId, MacKey, Ring};
use portvakt_core::login::usual;
use portvakt_core::login::wish::Wish;
use portvakt_core::provider::ProviderSettings;
use portvakt_core::request::{HostName, NormalRequest, RawHead, is_navigation};
use portvakt_core::route::{Host, Route, Unrouted, UpstreamHost};
use portvakt_core::seal;
use portvakt_core::session::Session;
use portvakt_core::supposed::Supposed;

use super::arrival::Arrival;
use super::{body, browser, forward_auth, rule_of, websocket};
use crate::limit;
use crate::machine::TokenRefusal;
use crate::respond::{Forbidden, Refusal};

/// A request that is only supposed.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Its method.
    pub(crate) method: &'a Method,
    /// The whole URL, as typed: it is not tidied up.
    pub(crate) url: &'a str,
    /// Headers beyond those of a browser.
    pub(crate) with: &'a [(HeaderName, HeaderValue)],
    /// Who is logged in.
    pub(crate) who: Option<&'a Supposed>,
    /// Whether routes that are closed for now count as open: what a file promises holds when they are.
    pub(crate) opened: bool,
}

/// What would happen.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// In a word.
    pub(crate) outcome: Outcome,
    /// In a sentence, with the line that decided.
    pub(crate) reason: String,
    /// What was found on the way: a name and what it is.
    pub(crate) found: Vec<(&'static str, String)>,
    /// The app's name in the file, if it goes to one.
    pub(crate) upstream: Option<String>,
    /// The headers by which the app is told, with what they are.
    pub(crate) headers: Vec<(String, &'static str)>,
}

/// A URL that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no whole URL: write one such as `https://app.example.no/minside`")]
pub(crate) struct NoUrl(String);

/// Explains what would happen to a request.
///
/// # Errors
///
/// [`NoUrl`] if the URL does not begin with a scheme and a host.
pub(crate) fn explain(
    question: &Question<'_>,
    file: &str,
    configuration: &Configuration,
    now: Timestamp,
) -> Result<Explanation, NoUrl> {
    let no_url = || NoUrl(question.url.to_owned());
    let (scheme, rest) = question.url.split_once("://").ok_or_else(no_url)?;
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(no_url()),
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(no_url());
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let walk = Walk { question, file, configuration, secure, now };
    let mut found = Vec::new();
    let end = walk.walk(authority, &target, &mut found);
    Ok(Explanation {
        outcome: end.outcome,
        reason: end.reason,
        found,
        upstream: end.upstream,
        headers: end.headers,
    })
}

/// Which expectations do not hold: each with its place, what was expected, and what would happen.
pub(crate) fn broken(configuration: &Configuration, file: &str, now: Timestamp) -> Vec<String> {
    let check = |expectation: &Expectation| {
        let question = Question {
            method: &expectation.method,
            url: &expectation.url,
            with: &expectation.with,
            who: expectation.who.as_ref(),
            opened: true,
        };
        let explanation = match explain(&question, file, configuration, now) {
            Ok(explanation) => explanation,
            Err(error) => return Some(format!("{}: {error}", expectation.place)),
        };
        let (expected, got) = difference(expectation, &explanation)?;
        let who = expectation.who.as_ref().map_or_else(|| "nobody".to_owned(), Supposed::to_string);
        Some(format!(
            "{}: {} {} as {who}\n   expected: {expected}\n   got: {got}\n   because: {}",
            expectation.place, expectation.method, expectation.url, explanation.reason
        ))
    };
    configuration.tests.iter().filter_map(check).collect()
}

/// What was expected and what would happen instead; `None` if they agree.
fn difference(expected: &Expectation, got: &Explanation) -> Option<(String, String)> {
    if expected.outcome != got.outcome {
        return Some((expected.outcome.to_string(), got.outcome.to_string()));
    }
    if let Some(upstream) = &expected.upstream
        && got.upstream.as_ref() != Some(upstream)
    {
        let got = got.upstream.as_deref().unwrap_or("none");
        return Some((format!("upstream `{upstream}`"), format!("upstream `{got}`")));
    }
    let told = |name: &&String| got.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if let Some(missing) = expected.headers.iter().find(|name| !told(name)) {
        return Some((format!("the header `{missing}`"), "no such header".to_owned()));
    }
    let unwanted = expected.not_headers.iter().find(told)?;
    Some((format!("no header `{unwanted}`"), "that header".to_owned()))
}

/// The end of a walk through the flow.
struct End {
    outcome: Outcome,
    reason: String,
    upstream: Option<String>,
    headers: Vec<(String, &'static str)>,
}

impl End {
    fn of(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into(), upstream: None, headers: Vec::new() }
    }

    fn refused(refusal: &Refusal, why: impl std::fmt::Display) -> Self {
        let (status, rule) = refusal.in_short();
        let outcome = if matches!(refusal, Refusal::NoRoute) { Outcome::NotFound } else { Outcome::Refused };
        Self::of(outcome, format!("{status} {rule}: {why}"))
    }
}

type Found = Vec<(&'static str, String)>;

struct Walk<'a> {
    question: &'a Question<'a>,
    file: &'a str,
    configuration: &'a Configuration,
    secure: bool,
    now: Timestamp,
}

impl Walk<'_> {
    /// The steps of the flow, in its order.
    fn walk(&self, authority: &str, target: &str, found: &mut Found) -> End {
        let arrival = Arrival::supposed(self.secure, self.configuration);
        let Ok(host) = HeaderValue::try_from(authority) else {
            return End::of(Outcome::Refused, "400: the host is malformed");
        };
        let headers = self.headers(host);
        let method = self.question.method;
        let raw = RawHead { method, target: target.as_bytes(), authority: None, headers: &headers };
        let request = match NormalRequest::parse(raw) {
            Ok(request) => request,
            Err(why) => return End::refused(&Refusal::Malformed(why), why),
        };
        if request.target() != target {
            found.push(("judged as", request.target().into_owned()));
        }
        let Some(host) = self.configuration.hosts.find(request.host()) else {
            let origins: Vec<String> =
                self.configuration.hosts.iter().map(|host| host.origin.to_string()).collect();
            let why = format!("{} serves {}, and not {authority}", self.file, origins.join(", "));
            return End::refused(&Refusal::WrongHost, why);
        };
        found.push(("host", host.origin.to_string()));
        if let Err(refusal) = arrival.check_transport(host, &request) {
            return End::refused(
                &refusal,
                format!("{} is served by https; a page is sent there", host.origin),
            );
        }
        let Ok(mut head) = RequestHeader::build(method.clone(), target.as_bytes(), None) else {
            return End::of(Outcome::Refused, "400: the target is malformed");
        };
        for (name, value) in &headers {
            if head.append_header(name.clone(), value.clone()).is_err() {
                return End::of(Outcome::Refused, "400: a header is malformed");
            }
        }
        if let Some(own) = OwnEndpoint::of(&request, &self.configuration.prefix) {
            return self.own(own, method);
        }
        if let Some(route) = browser::preflight(&request, host, &head) {
            if let Err(end) = self.check_asked(route, &arrival, &head, &request, host) {
                return *end;
            }
            return self.preflight(route, request, host, found);
        }
        let route = match host.routes.find(&request) {
            Ok(route) => route,
            Err(why) => return self.unrouted(why, host, &request),
        };
        self.describe(route, found);
        if let Err(end) = self.check_asked(route, &arrival, &head, &request, host) {
            return *end;
        }
        if let Err(end) = self.check_open(route) {
            return *end;
        }
        if let Err(refusal) = browser::check_origin(route, host, &head) {
            let why = self.at(route, "cross_site", "pages of other origins may not ask for this");
            return End::refused(&refusal, why);
        }
        if let Err(refusal) = body::check_length(&head, route) {
            return End::refused(&refusal, "the body is larger than `max_body` of the route");
        }
        let caller = match self.caller(route, &request, &headers) {
            Ok(caller) => caller,
            Err(end) => return *end,
        };
        let supposed = match &caller {
            Caller::Person(session) => Some(session.clone()),
            Caller::Nobody | Caller::Machine(_) => None,
        };
        let told = supposed.is_some();
        match Access::judge(route, request, caller, self.now) {
            Judgement::Allowed(permit) => {
                if let Err(refusal) = websocket::handshake(&permit, &head, host) {
                    return End::refused(
                        &refusal,
                        "the WebSocket's handshake is not one that the route takes",
                    );
                }
                self.forward(&permit, host, told, supposed.as_ref(), found)
            }
            Judgement::MustLogIn(need) => self.log_in(route, need, supposed.as_ref(), &head),
            Judgement::TokenNeeded => {
                let refusal = Refusal::Token(TokenRefusal::Missing);
                let why = self.at(route, "access", "a machine's token is needed");
                End { outcome: Outcome::Token, ..End::refused(&refusal, why) }
            }
            Judgement::TokenRefused(why, _) => {
                let refusal = Refusal::token_not_enough(why, route);
                End::refused_person(&refusal, self.at(route, key_of_token(why), &why.to_string()))
            }
            Judgement::Forbidden(why) => {
                let key = key_of(why);
                let refusal = Refusal::Forbidden(Box::new(Forbidden::supposed(why)));
                End::refused_person(&refusal, self.at(route, key, &why.to_string()))
            }
        }
    }

    /// The headers of a request that a person's browser makes, unless the question has its own.
    fn headers(&self, host: HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host);
        for (name, value) in self.question.with {
            headers.append(name.clone(), value.clone());
        }
        let speaks = [ACCEPT, ORIGIN, REFERER].iter().any(|name| headers.contains_key(name))
            || headers.keys().any(|name| name.as_str().starts_with("sec-") || name == http::header::UPGRADE);
        if speaks {
            return headers;
        }
        let navigation = self.question.method == Method::GET;
        let fields: &[(&'static str, &'static str)] = if navigation {
            &[
                ("accept", "text/html"),
                ("sec-fetch-site", "none"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ]
        } else {
            &[("sec-fetch-site", "same-origin")]
        };
        for (name, value) in fields {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn own(&self, own: OwnEndpoint, method: &Method) -> End {
        if own == OwnEndpoint::Unknown {
            let why =
                format!("below `{}` is nothing but the gateway's own endpoints", self.configuration.prefix);
            return End::refused(&Refusal::NoRoute, why);
        }
        if !own.methods().contains(method) {
            let refusal = Refusal::Method(own.methods().to_vec());
            return End::refused(
                &refusal,
                format!("{own:?} is an endpoint of the gateway for {}", list(own.methods())),
            );
        }
        End::of(Outcome::Own, format!("the gateway's own endpoint {own:?}; no app sees the request"))
    }

    fn preflight(&self, route: &Arc<Route>, request: NormalRequest, host: &Host, found: &mut Found) -> End {
        self.describe(route, found);
        if let Err(end) = self.check_open(route) {
            return *end;
        }
        match Access::judge_preflight(route, request) {
            Some(permit) => self.forward(&permit, host, false, None, found),
            None => End::of(
                Outcome::Own,
                self.at(route, "cors", "the gateway answers the preflight, as `cors` of the route says"),
            ),
        }
    }

    /// What is supposed of a route that a proxy asks about: that the proxy asks.
    fn check_asked(
        &self,
        route: &Route,
        arrival: &Arrival,
        head: &RequestHeader,
        request: &NormalRequest,
        host: &Host,
    ) -> Result<(), Box<End>> {
        let Some((dialect, _)) = self.asking().filter(|_| route.is_forward_auth()) else { return Ok(()) };
        let arrival = arrival.clone().supposed_of(dialect);
        forward_auth::check_form(&arrival, head, request, host).map_err(|refusal| {
            let why = "a proxy sends what the client wrote, and this is not written in its normal form";
            Box::new(End::refused(&refusal, why))
        })
    }

    /// How the file's proxies ask, and where.
    fn asking(&self) -> Option<(Dialect, SocketAddr)> {
        let asking = |listener: &Listener| Some((listener.forward_auth.as_ref()?.dialect, listener.address));
        self.configuration.listeners.iter().find_map(asking)
    }

    fn check_open(&self, route: &Route) -> Result<(), Box<End>> {
        if self.question.opened {
            return Ok(());
        }
        limit::check_open(route, self.now).map_err(|refusal| {
            Box::new(End::refused(&refusal, self.at(route, "maintenance", "the route is closed for now")))
        })
    }

    fn unrouted(&self, why: Unrouted, host: &Host, request: &NormalRequest) -> End {
        // Where only a proxy may ask, it is the one that is told.
        let asked_about = host.routes.methods_at(request.path(), false).is_empty();
        let more = match why {
            Unrouted::Method => {
                format!(": it takes {}", list(&host.routes.methods_at(request.path(), asked_about)))
            }
            Unrouted::EncodedSlash => "; a route takes one with `encoded_slash: true`".to_owned(),
            Unrouted::NoRoute | Unrouted::Ambiguous => String::new(),
        };
        End::refused(&Refusal::unrouted(why, host, request, asked_about), format!("{why}{more}"))
    }

    fn describe(&self, route: &Route, found: &mut Found) {
        let at = route.lines.of("path").map_or_else(String::new, |line| format!(" ({}:{line})", self.file));
        found.push(("route", format!("{}{at}", route.pattern)));
        let mut rule = rule_of(route).to_owned();
        if let Some(requirement) = route.access.requirement() {
            rule.push_str(&requirement_in_words(requirement));
        }
        if let Some(rule_of_token) = route.access.token_rule() {
            rule.push_str(if route.access.wants_session() { "; or a " } else { ", a " });
            rule.push_str(&token_in_words(rule_of_token));
        }
        let access =
            route.lines.of("access").map_or_else(String::new, |line| format!(" ({}:{line})", self.file));
        found.push(("rule", format!("{rule}{access}")));
    }

    /// As whom the supposed request comes.
    fn caller(
        &self,
        route: &Route,
        request: &NormalRequest,
        headers: &HeaderMap,
    ) -> Result<Caller, Box<End>> {
        let Some(rule) = route.access.token_rule() else { return Ok(self.session(route)?.into()) };
        let token = bearer::token(headers, request.query())
            .map_err(|why| Box::new(End::refused(&Refusal::Token(TokenRefusal::Request(why)), why)))?;
        let machine = self.question.who.filter(|who| who.is_machine());
        if token.is_some() && (machine.is_some() || self.question.who.is_none()) {
            let why = "whether a token is sound can only be told where it is used: suppose a machine with `machine`";
            return Err(Box::new(End::of(Outcome::Refused, why)));
        }
        match machine {
            None => Ok(self.session(route)?.into()),
            Some(who) => self.machine(who, rule).map(|machine| Caller::Machine(Arc::new(machine))),
        }
    }

    /// The supposed machine, as if its token had just been verified.
    fn machine(&self, who: &Supposed, rule: &TokenRule) -> Result<VerifiedMachine, Box<End>> {
        let mut providers = self.configuration.providers.iter();
        let provider = providers.find(|provider| provider.name == rule.provider);
        let nobody = || Box::new(End::of(Outcome::Refused, "the route's provider is not there"));
        who.machine(provider.ok_or_else(nobody)?, rule.audience.as_deref(), self.now)
            .map_err(|why| Box::new(End::of(Outcome::Forbidden, why.to_string())))
    }

    /// The supposed session, as somebody would have it who had just logged in for this route.
    fn session(&self, route: &Route) -> Result<Option<Session>, Box<End>> {
        let person = self.question.who.filter(|who| !who.is_machine() && route.access.wants_session());
        let Some(who) = person else { return Ok(None) };
        let Some(provider) = provider_for(route, who.kind()) else { return Ok(None) };
        let requirement = route.access.requirement();
        let representation = requirement
            .filter(|requirement| requirement.asks_at(&provider.name))
            .and_then(|requirement| requirement.representation.as_deref());
        who.session(provider, representation, self.now)
            .map(Some)
            .map_err(|why| Box::new(End::of(Outcome::Forbidden, why.to_string())))
    }

    fn log_in(&self, route: &Route, need: LoginNeed, session: Option<&Session>, head: &RequestHeader) -> End {
        let requirement = route.access.requirement();
        let provider = session
            .map_or_else(|| provider_of(route), |session| provider_for(route, session.identity().kind()));
        let ways: Vec<String> = route.ways.iter().map(|way| format!("`{}`", way.name())).collect();
        let mut to = match provider.filter(|_| ways.is_empty() || session.is_some()) {
            Some(provider) => format!(" at the provider `{}`", provider.name),
            None if ways.is_empty() => String::new(),
            None => format!(" where people choose between {}", ways.join(" and ")),
        };
        let provider = provider.filter(|_| ways.is_empty() || session.is_some());
        let wish = requirement.map(Wish::of).unwrap_or_default();
        if let Some(acr) = provider.and_then(|provider| wish.acr_values(provider)) {
            to.push_str(&format!(" with acr_values={acr}"));
        }
        if let Some(age) = wish.max_age {
            to.push_str(&format!(" and max_age={}", age.as_secs()));
        }
        let answer = if route.is_forward_auth() {
            let sent =
                if is_navigation(&head.method, &head.headers) { ", and to send the browser" } else { "" };
            format!("the proxy that asks is told no{sent}: to {}/login,{to}", self.configuration.prefix)
        } else if is_navigation(&head.method, &head.headers) {
            format!("302 to {}/login,{to}", self.configuration.prefix)
        } else if head.method == Method::GET {
            format!("401 with a link to {}/login,{to}", self.configuration.prefix)
        } else {
            format!(
                "401, or for a page's form a page that keeps it; then {}/login,{to}",
                self.configuration.prefix
            )
        };
        let lacking = requirement
            .zip(session)
            .and_then(|(requirement, session)| requirement.shortfall(session.identity(), self.now));
        match (need, lacking) {
            (LoginNeed::NoSession, _) => End::of(
                Outcome::Login,
                format!("{answer}; {}", self.at(route, "access", "nobody is logged in")),
            ),
            (_, Some(lacking)) => {
                let why = self.at(route, key_of(lacking), &lacking.to_string());
                End::of(Outcome::StepUp, format!("{answer}; {why}"))
            }
            (_, None) => End::of(Outcome::StepUp, answer),
        }
    }

    fn forward(
        &self,
        permit: &Permit,
        host: &Host,
        supposed: bool,
        session: Option<&Session>,
        found: &mut Found,
    ) -> End {
        let route = permit.route();
        if route.access_token && bearer::in_query(permit.request().query()) {
            let why = "the application would get a token in the query beside the person's own";
            return End::refused(&Refusal::Parameters, why);
        }
        let path = match &route.rewrite {
            None => Some(permit.request().path().to_owned()),
            Some(rewrite) => rewrite.up(permit.request().path()),
        };
        let Some(path) = path else {
            return End::refused(&Refusal::Internal, "the path has not the prefix of the route's rewrite");
        };
        let query = permit.request().query().map_or_else(String::new, |query| format!("?{query}"));
        let Some(upstream) = route.upstream() else {
            return self.tell_proxy(permit, found);
        };
        let sent = match &route.host {
            UpstreamHost::Keep => asked_host(permit.request().host()),
            UpstreamHost::Upstream => "the upstream's own".to_owned(),
            UpstreamHost::Named(name) => name.clone(),
        };
        found.push(("upstream", upstream.name.clone()));
        found.push(("sent as", format!("{} {path}{query}, Host: {sent}", permit.request().method())));
        let headers = self.told(permit);
        for (name, value) in notes(route) {
            found.push((name, value));
        }
        let reason = match (permit.session(), supposed) {
            (None, _) if permit.machine().is_some() => {
                "the token fulfils the rule: the app is told whose machine it is".to_owned()
            }
            (Some(_), _) => "the login fulfils the rule: the app is told who it is".to_owned(),
            (None, true) => {
                let lacking =
                    route.access.requirement().zip(session).and_then(|(requirement, session)| {
                        requirement.shortfall(session.identity(), self.now)
                    });
                let why = lacking.map_or_else(
                    || "the rule lets everybody pass".to_owned(),
                    |lacking| self.at(route, key_of(lacking), &lacking.to_string()),
                );
                format!("everybody passes, and the app is told of nobody: {why}")
            }
            (None, false) => {
                format!("everybody passes here ({}), and the app is told of nobody", host.origin)
            }
        };
        End { outcome: Outcome::Forward, reason, upstream: Some(upstream.name.clone()), headers }
    }

    /// What the proxy that asks is told.
    fn tell_proxy(&self, permit: &Permit, found: &mut Found) -> End {
        if let Some((dialect, address)) = self.asking() {
            let who = format!("a proxy that asks at {address} ({})", dialect.as_str());
            found.push(("carried by", who));
        }
        found.extend(notes(permit.route()));
        let whom = if permit.is_somebodys() { "who it is" } else { "of nobody" };
        let why =
            format!("the proxy that asks may pass it on, and is told {whom}; without a proxy it gets 404");
        let reason = self.at(permit.route(), "forward_auth", &why);
        End { outcome: Outcome::Forward, reason, upstream: None, headers: self.told(permit) }
    }

    /// The headers by which the app is told. Their values are nobody's, and stay here.
    fn told(&self, permit: &Permit) -> Vec<(String, &'static str)> {
        let route = permit.route();
        let mut told = Vec::new();
        let written = match permit.caller() {
            Caller::Nobody => None,
            Caller::Person(session) => {
                let handles = Ring::single(KeyId([0; 4]), self.now, MacKey::new(&seal::random()));
                let hashing = Hashing { handles: &handles, lasting: Some(&handles) };
                Some(plain::headers(&route.headers, session, hashing))
            }
            Caller::Machine(machine) => Some(plain::headers_of_machine(&route.headers, machine)),
        };
        if let Some(written) = written {
            for (name, _) in written.unwrap_or_default() {
                let fact = route.headers.headers().iter().find(|header| header.name == *name);
                told.push((name.to_string(), fact.map_or("", |header| header.fact.key())));
            }
            if route.assertion.is_some() {
                told.push((assertion::HEADER.to_owned(), "assertion (JWT)"));
                if route.headers.is_bearer() {
                    told.push(("Authorization".to_owned(), "Bearer, the assertion"));
                }
            }
        }
        if route.access_token && permit.session().is_some() {
            told.push(("Authorization".to_owned(), "Bearer, the person's access token at the provider"));
        }
        if let Some(plan) = &route.signature {
            told.push((signature::AUDIENCE_HEADER.to_owned(), "for whom it is signed"));
            told.push(("Signature-Input".to_owned(), "what is signed (RFC 9421)"));
            told.push(("Signature".to_owned(), plan.algorithm.as_str()));
        }
        told
    }

    /// A sentence, and the line of the file that decides it.
    fn at(&self, route: &Route, key: &str, why: &str) -> String {
        let (line, left_out) = match (route.lines.of(key), route.lines.of("access")) {
            (Some(line), _) => (line, false),
            (None, Some(line)) => (line, true),
            (None, None) => return why.to_owned(),
        };
        if left_out {
            format!("{why}: the default of `{key}`, which {}:{line} leaves out", self.file)
        } else {
            format!("{why}: `{key}`, {}:{line}", self.file)
        }
    }
}

impl End {
    /// Somebody is refused, and somebody else would not be.
    fn refused_person(refusal: &Refusal, why: impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Forbidden, ..Self::refused(refusal, why) }
    }
}

/// The provider that logs in for a route.
fn provider_of(route: &Route) -> Option<&ProviderSettings> {
    route.session.as_deref().map(|plan| &*plan.provider)
}

/// The provider at which somebody of a kind would have logged in for a route.
fn provider_for(route: &Route, kind: Kind) -> Option<&ProviderSettings> {
    let brings = |provider: &&ProviderSettings| usual::asserts(provider, kind);
    let of_ways = route.ways.iter().map(|way| &*way.plan.provider).find(brings);
    of_ways.or_else(|| provider_of(route))
}

/// The key of `require` that somebody does not fulfil.
const fn key_of(shortfall: Shortfall) -> &'static str {
    match shortfall {
        Shortfall::Kind => "kinds",
        Shortfall::Number => "fnr",
        Shortfall::Provider => "providers",
        Shortfall::Country => "countries",
        Shortfall::Method => "not_amr",
        Shortfall::Asked => "authorization_details",
        Shortfall::NoOrganisation => "organisation",
        Shortfall::Organisation => "organisations",
        Shortfall::Level => "level",
        Shortfall::Age => "max_age",
    }
}

/// The key of `token` that a machine does not fulfil.
const fn key_of_token(shortfall: TokenShortfall) -> &'static str {
    match shortfall {
        TokenShortfall::Provider => "token",
        TokenShortfall::Audience => "token_audience",
        TokenShortfall::Scope => "scopes",
        TokenShortfall::Consumer => "consumers",
        TokenShortfall::Delegation => "delegation",
        TokenShortfall::Supplier => "suppliers",
    }
}

fn token_in_words(rule: &TokenRule) -> String {
    let scopes: Vec<&str> = rule.scopes.iter().map(String::as_str).collect();
    let consumers = if rule.consumers.is_empty() { "" } else { ", of some consumers" };
    let suppliers = if rule.delegation.is_empty() { "" } else { ", also by suppliers" };
    let audience = rule.audience.as_ref().map_or_else(String::new, |audience| format!(", for {audience}"));
    format!("token of `{}` with {}{consumers}{suppliers}{audience}", rule.provider, scopes.join(" and "))
}

fn requirement_in_words(requirement: &Requirement) -> String {
    let mut words = String::new();
    if let Some(level) = requirement.level {
        words.push_str(&format!(", level {level}"));
    }
    if !requirement.kinds.is_empty() {
        let kinds: Vec<&str> = requirement.kinds.iter().map(|kind| kind.as_str()).collect();
        words.push_str(&format!(", {}", kinds.join(" or ")));
    }
    if requirement.number {
        words.push_str(", with a Norwegian number");
    }
    if let Some(age) = requirement.max_age {
        words.push_str(&format!(", authenticated at most {} s ago", age.as_secs()));
    }
    words
}

/// What else is configured for a route's requests.
fn notes(route: &Route) -> Vec<(&'static str, String)> {
    let mut notes = Vec::new();
    if let Some(plan) = &route.signature {
        let body = if plan.content_digest { ", with the body" } else { "" };
        notes.push(("signed", format!("{} for `{}`{body}", plan.algorithm.as_str(), plan.audience)));
    }
    if let Some(rate) = &route.rate {
        let (per, burst) = (rate.per.as_secs(), rate.burst);
        notes.push(("rate", format!("{} requests in {per} s of one client, {burst} at once", rate.requests)));
    }
    if let Some(most) = route.limits.max_body {
        notes.push(("body", format!("at most {most} bytes")));
    }
    if route.app_session.is_some() {
        notes.push(("app's session", "its cookies are held inside the person's session".to_owned()));
    }
    match &route.cors {
        Cors::Unknown => {}
        Cors::Pass => notes.push(("cors", "left to the app".to_owned())),
        Cors::Answered(plan) if plan.origins.is_empty() => notes.push(("cors", "every origin".to_owned())),
        Cors::Answered(plan) => notes.push(("cors", plan.origins.join(", "))),
    }
    if route.websocket.is_some() {
        notes.push(("websocket", "may be opened".to_owned()));
    }
    notes
}

fn asked_host(host: &HostName) -> String {
    host.port.map_or_else(|| host.name.clone(), |port| format!("{}:{port}", host.name))
}

fn list(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portvakt_core::config;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn demo() -> (Configuration, String) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");
        let loaded = config::load(&file, &|_| None).unwrap();
        (loaded.configuration, "gateway.yaml".to_owned())
    }

    #[test]
    fn the_demo_keeps_its_own_expectations() {
        let (configuration, file) = demo();
        assert!(configuration.tests.len() >= 12);
        assert_eq!(broken(&configuration, &file, NOW), Vec::<String>::new());
    }

    #[test]
    fn a_route_that_a_proxy_asks_about_is_explained_as_the_proxy_is_told() {
        let text = "version: 1\nenvironment: test\nlogs: {audit: off}\nkeys: keys\n\
             listeners: [{address: '127.0.0.1:8090', forward_auth: {dialect: nginx, peers: [127.0.0.1]}}]\n\
             providers: {op: {profile: idporten, client_id: c}}\n\
             hosts: [{origin: 'https://a.example', provider: op, routes: [\
             {path: /a/**, access: login, require: {level: high}, audience: a, forward_auth: true}]}]\n";
        let loaded = config::parse(text, "gateway.yaml", Path::new(""), &|_| None);
        let configuration = loaded.unwrap_or_else(|problems| panic!("{problems}")).configuration;
        let ask = |url: &str, who: Option<&str>| {
            let who = who.map(|who| who.parse().unwrap());
            let question =
                Question { method: &Method::GET, url, with: &[], who: who.as_ref(), opened: false };
            explain(&question, "gateway.yaml", &configuration, NOW).unwrap()
        };
        let passes = ask("https://a.example/a/b", Some("national:high"));
        assert_eq!((passes.outcome, passes.upstream), (Outcome::Forward, None));
        assert!(passes.reason.starts_with("the proxy that asks may pass it on"), "{}", passes.reason);
        assert!(passes.found.iter().any(|(name, by)| *name == "carried by" && by.contains("nginx")));
        assert!(passes.headers.iter().any(|(name, _)| name == "X-Identity-Fnr"));
        assert_eq!(ask("https://a.example/a/b", None).outcome, Outcome::Login);
        assert_eq!(ask("https://a.example/a/b", Some("national:substantial")).outcome, Outcome::StepUp);
        let odd = ask("https://a.example/a/%62", Some("national:high"));
        assert_eq!(odd.outcome, Outcome::Refused);
        assert!(odd.reason.contains("forward_auth_not_normal"), "{}", odd.reason);
    }

    #[test]
    fn every_part_of_an_expectation_can_fail() {
        let (mut configuration, file) = demo();
        configuration.tests.retain(|test| !test.headers.is_empty() && test.url.ends_with("/app/"));
        let sound = configuration.tests.remove(0);
        let mut holds = |test: Expectation| {
            configuration.tests = vec![test];
            broken(&configuration, &file, NOW).is_empty()
        };
        assert!(holds(sound.clone()));
        for outcome in [
            Outcome::Login,
            Outcome::StepUp,
            Outcome::Forbidden,
            Outcome::Refused,
            Outcome::NotFound,
            Outcome::Own,
        ] {
            assert!(!holds(Expectation { outcome, ..sound.clone() }), "{outcome}");
        }
        assert!(!holds(Expectation { upstream: Some("other".to_owned()), ..sound.clone() }));
        assert!(!holds(Expectation { headers: vec!["x-identity-org".to_owned()], ..sound.clone() }));
        assert!(!holds(Expectation { not_headers: vec!["x-identity-fnr".to_owned()], ..sound.clone() }));
        assert!(!holds(Expectation { who: None, ..sound.clone() }));
        assert!(!holds(Expectation { url: "http://elsewhere.example/app/".to_owned(), ..sound }));
    }
}
