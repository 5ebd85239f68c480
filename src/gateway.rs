//! THE FLOW: one request from top to bottom, and the hooks of the proxy that carry it out.
//!
//! **Invariant:** what decides runs once, in [`Gateway::admit`], before an upstream is chosen. Everything
//! behind it, which the proxy may repeat on a retry, needs the [`Permit`] that it gave: without one the
//! answer is 500 (`design.md` D3).

mod access_token;
mod app_session;
mod arrival;
mod body;
mod browser;
pub(crate) mod explain;
mod forward;
mod forward_auth;
mod grpc;
mod reply;
mod rewrite;
mod websocket;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, Method, StatusCode};
use pingora::connectors::TransportConnector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use portvakt_core::access::{Access, Caller, Judgement, Permit, TokenRule};
use portvakt_core::bearer;
use portvakt_core::clock::Timestamp;
use portvakt_core::endpoint::OwnEndpoint;
use portvakt_core::forward::signature;
use portvakt_core::redirect::Target;
use portvakt_core::request::{NormalRequest, RawHead, is_form_of_older_browser, is_navigation};
use portvakt_core::revocation::Standing;
use portvakt_core::route::{Host, Route, Staleness};
use portvakt_core::session::{Session as OpenSession, SessionId, cookies};
use portvakt_core::upstream::Protocol;
use portvakt_core::websocket::Handshake;

use crate::answer::Answer;
use crate::endpoint::{self, Visit};
use crate::guard::{self, RequestEnd};
use crate::limit;
use crate::machine::{self, TokenRefusal};
use crate::respond::{self, Asker, PageSeal, Refusal};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{AccessRecord, InFlight, Reference};
use crate::tokens::Bearer;
use crate::underway::{Entry, Place};
use crate::upstream::Stay;

use self::access_token::Held;
use self::app_session::AppSessionHeld;
pub(crate) use self::arrival::Arrival;

/// How slowly a client may take a reply before it is cut off, in bytes per second.
const MIN_SEND_RATE: usize = 1_000;

/// How long an answer may wait for a client that does not read.
const CLIENT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The proxy.
pub struct Gateway {
    live: Arc<Live>,
    /// Connects WebSockets; made with the first of them.
    tunnels: OnceLock<TransportConnector>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("live", &self.live).finish_non_exhaustive()
    }
}

/// What one request carries from hook to hook. Born without a permit.
#[derive(Debug)]
pub struct Passage {
    live: Arc<Live>,
    snapshot: Arc<Snapshot>,
    /// What [`Revocations::changes`](portvakt_core::revocation::Revocations::changes) said before it was judged.
    changes: u64,
    /// Among what ends with its session.
    place: Option<Place>,
    began: Timestamp,
    started: Instant,
    sent_upstream: Option<Instant>,
    upstream: Option<Duration>,
    reference: Reference,
    arrival: Option<Arrival>,
    host: Option<Arc<Host>>,
    route: Option<Arc<Route>>,
    permit: Option<Permit>,
    /// What the app's own session needs, where it keeps one.
    app_session: Option<AppSessionHeld>,
    /// The person's token at the provider, where the app gets it.
    bearer: Option<Bearer>,
    stay: Option<Stay>,
    /// The body's digest, where the signature covers it.
    digest: Option<String>,
    /// Whether a client that waits with its body was told to send it.
    told_to_go_on: bool,
    /// Bytes of the body so far.
    body: u64,
    handshake: Option<Handshake>,
    rule: &'static str,
    session: Option<SessionId>,
    interim: usize,
    navigation: bool,
    method: &'static str,
    protocol: &'static str,
    /// Status and body bytes so far, for the log of a request that is dropped under way.
    answered: (u16, u64),
    logged: bool,
    _in_flight: InFlight,
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub(crate) enum Verdict {
    /// It goes to the app.
    Forward(Permit),
    /// We answer it.
    Answer(Answer),
    /// A form that somebody must log in for: its page keeps it, if that is possible.
    KeepForm {
        /// Whether its body is worth reading.
        keepable: bool,
    },
}

impl Gateway {
    /// A gateway for this process.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, tunnels: OnceLock::new() }
    }

    /// Decides what happens to one request. Runs once; what follows it may run again.
    async fn admit(
        &self,
        head: &RequestHeader,
        body: Option<&[u8]>,
        passage: &mut Passage,
    ) -> Result<Verdict, Refusal> {
        let now = passage.began;
        let snapshot = Arc::clone(&passage.snapshot);
        let arrival = passage.arrival.as_ref().ok_or(Refusal::UnknownListener)?;
        arrival.check_peer()?; // 1 only from whom this listener serves
        let request = NormalRequest::parse(raw(head))?; // 2 refuse what two parsers could read differently
        let host = snapshot.configuration.hosts.find(request.host()).ok_or(Refusal::WrongHost)?; // 3 a host of ours
        passage.host = Some(Arc::clone(host));
        arrival.check_transport(host, &request)?;
        forward_auth::check_form(arrival, head, &request, host)?;
        let visit = Visit {
            live: &self.live,
            snapshot: &snapshot,
            host,
            head,
            body,
            arrival,
            reference: passage.reference.as_str(),
            now,
            ended: Mutex::default(),
        };
        let own = OwnEndpoint::of(&request, &snapshot.configuration.prefix);
        limit::check_load(own, &snapshot, &self.live)?; // what ends a session goes first
        if let Some(own) = own {
            if arrival.asking().is_some() {
                return Err(Refusal::NoRoute); // for another proxy's app neither (RT-8)
            }
            return Ok(Verdict::Answer(endpoint::serve(own, &request, &visit).await?)); // 4 ours, never forwarded
        }
        if let Some(route) = browser::preflight(&request, host, head) {
            forward_auth::check_carrier(arrival, route)?;
            passage.rule = rule_of(route); // what a browser asks before a script's request, never with a login
            passage.route = Some(Arc::clone(route));
            limit::check_route(route, arrival.client(), &self.live, now)?;
            let Some(permit) = Access::judge_preflight(route, request) else {
                return Ok(Verdict::Answer(browser::answer_preflight(route, head)));
            };
            passage.app_session = app_session::hold(&permit, None, &visit);
            return Ok(Verdict::Forward(permit));
        }
        let route = host
            .routes
            .find(&request)
            .map_err(|why| Refusal::unrouted(why, host, &request, arrival.asking().is_some()))?; // 5 no rule, no entry
        forward_auth::check_carrier(arrival, route)?;
        passage.rule = rule_of(route);
        // No person waits for a page there, whatever the machine accepts.
        passage.navigation &= !matches!(route.access, Access::Token(_));
        passage.route = Some(Arc::clone(route));
        limit::check_route(route, arrival.client(), &self.live, now)?; // open, and not asked too often
        browser::check_origin(route, host, head)?; // not from another origin's page, where that is refused
        body::check_length(head, route)?;
        let caller = match route.access.token_rule() {
            None => self.session(route, &visit)?.into(), // 6 opened, aged, known not to have ended
            Some(rule) => self.machine_or_person(route, rule, &request, &visit).await?, // or a token, verified now
        };
        match &caller {
            Caller::Nobody => {}
            Caller::Person(session) => passage.session = Some(*session.id()),
            Caller::Machine(_) => passage.rule = "token",
        }
        match Access::judge(route, request, caller, now) {
            // 7 public, logged in, level, age
            Judgement::Allowed(permit) => {
                if let Caller::Machine(machine) = permit.caller() {
                    visit.audit_machine(machine, None);
                }
                passage.handshake = websocket::handshake(&permit, head, host)?; // 8 a WebSocket only where and as it may be
                passage.app_session = app_session::hold(&permit, passage.session, &visit); // 9 the app's own, inside ours
                match access_token::hold(&permit, &visit).await? {
                    Held::Instead(verdict) => Ok(*verdict),
                    Held::Forward(bearer) => {
                        passage.bearer = bearer; // 10 the person's token, where the app needs one
                        Ok(Verdict::Forward(permit))
                    }
                }
            }
            Judgement::MustLogIn(_) if arrival.asking().is_none() && endpoint::resume::is_form(&visit) => {
                Ok(Verdict::KeepForm { keepable: endpoint::resume::can_be_kept(&visit) })
            }
            Judgement::TokenNeeded => Err(Refusal::Token(TokenRefusal::Missing)),
            Judgement::TokenRefused(why, machine) => {
                let refusal = Refusal::token_not_enough(why, route);
                visit.audit_machine(&machine, Some(refusal.rule()));
                Err(refusal)
            }
            Judgement::MustLogIn(need) => Ok(Verdict::Answer(endpoint::login::invite(&visit, route, need)?)),
            Judgement::Forbidden(why) => match endpoint::organisation::offer(&visit, route, why) {
                Some(answer) => Ok(Verdict::Answer(answer)),
                None => Err(endpoint::login::forbid(&visit, route, why)),
            },
        }
    }

    /// Decides once, and once more if the session has ended meanwhile.
    async fn decide(
        &self,
        head: &RequestHeader,
        body: Option<&[u8]>,
        passage: &mut Passage,
    ) -> Result<Verdict, Refusal> {
        let verdict = self.admit(head, body, passage).await;
        match &verdict {
            Ok(Verdict::Forward(permit)) if !passage.takes_place(permit) => {}
            _ => return verdict,
        }
        // Its session has ended since it was opened: judged anew, without it.
        passage.changes = self.live.revocations.changes();
        match self.admit(head, body, passage).await {
            Ok(Verdict::Forward(permit)) if !passage.takes_place(&permit) => Err(Refusal::SessionsUncertain),
            verdict => verdict,
        }
    }

    /// The session as which a request is judged. While an end may be unknown, a strict route waits, or, if it
    /// does not need a session, tells of none (`design.md` D1).
    fn session(&self, route: &Route, visit: &Visit<'_>) -> Result<Option<OpenSession>, Refusal> {
        if !route.access.wants_session() {
            return Ok(None);
        }
        if route.revocation == Staleness::Strict && self.live.revocations.is_uncertain(visit.now) {
            return match route.access {
                Access::Login(_) | Access::LoginOrToken(..) => Err(Refusal::SessionsUncertain),
                Access::Optional(_) | Access::Public | Access::Token(_) => Ok(None),
            };
        }
        Ok(visit.session_of(route))
    }

    /// As whom a request comes to a route that takes tokens: by its token, or without one by its session, where the
    /// route takes that too. Never by both.
    async fn machine_or_person(
        &self,
        route: &Route,
        rule: &TokenRule,
        request: &NormalRequest,
        visit: &Visit<'_>,
    ) -> Result<Caller, Refusal> {
        let token = bearer::token(visit.headers(), request.query())
            .map_err(|why| Refusal::Token(TokenRefusal::Request(why)))?;
        let Some(token) = token else { return Ok(self.session(route, visit)?.into()) };
        let shows_session = route.plans().any(|plan| cookies::has_session_cookie(visit.headers(), plan));
        if shows_session && self.session(route, visit)?.is_some() {
            return Err(Refusal::Token(TokenRefusal::BesideSession));
        }
        let machine = machine::verify(rule, token, visit).await.map_err(Refusal::Token)?;
        Ok(Caller::Machine(Arc::new(machine)))
    }

    /// Answers a form that somebody must log in for. Its body is read only now: what passes is not read here.
    async fn keep_form(&self, session: &mut Session, keepable: bool, passage: &Passage) -> Answer {
        let form = if keepable {
            body::of_form(session).await
        } else {
            body::throw_away(session).await;
            None
        };
        let route = passage.route.as_ref();
        let (Some(host), Some(arrival), Some(route)) = (&passage.host, &passage.arrival, route) else {
            return respond::refuse(&Refusal::Internal, &passage.asker(session));
        };
        let visit = Visit {
            live: &self.live,
            snapshot: &passage.snapshot,
            host,
            head: session.req_header(),
            body: None,
            arrival,
            reference: passage.reference.as_str(),
            now: passage.began,
            ended: Mutex::default(),
        };
        endpoint::resume::keep(form, route, &visit)
    }
}

impl Gateway {
    /// While the process leaves, the client's next request comes by another connection.
    fn see_off(&self, session: &mut Session) {
        if self.live.leaving.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
    }
}

fn raw(head: &RequestHeader) -> RawHead<'_> {
    RawHead {
        method: &head.method,
        target: head.raw_path(),
        authority: head.uri.authority().map(http::uri::Authority::as_str),
        headers: &head.headers,
    }
}

/// A method's name for the log: what a client makes up stays out of it.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// A protocol's name for the log.
fn protocol_of(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "http/1.0",
        http::Version::HTTP_11 => "http/1.1",
        http::Version::HTTP_2 => "h2",
        _ => "other",
    }
}

fn rule_of(route: &Route) -> &'static str {
    match route.access {
        Access::Public => "public",
        Access::Optional(_) => "optional",
        Access::Login(_) | Access::LoginOrToken(..) => "login",
        Access::Token(_) => "token",
    }
}

impl Passage {
    /// From now on the request ends with the session as which it is sent; false if that has ended.
    fn takes_place(&mut self, permit: &Permit) -> bool {
        let (Some(session), Some(end)) = (permit.session(), RequestEnd::of_this_request()) else {
            return true;
        };
        let entry = Entry {
            standing: Standing::of(session),
            over_at: session.began() + self.snapshot.configuration.session.absolute,
            strict: permit.route().revocation == Staleness::Strict,
            end,
        };
        self.place = Place::take(&self.live, entry, self.changes).ok();
        self.place.is_some()
    }

    fn log(&mut self, status: u16, sent: u64, refused: Option<guard::Refused>, aborted: bool) {
        self.logged = true;
        let took = self.started.elapsed();
        let route = self.route.as_ref().map(|route| route.name.as_str());
        let metrics = route.and_then(|route| self.snapshot.metrics.get(route));
        let rule = refused.map_or(self.rule, guard::Refused::code);
        self.live.telemetry.metrics.request(metrics, rule, status, took, self.upstream);
        let host = self.host.as_ref().map(|host| host.origin.name.as_str());
        let record = AccessRecord {
            time: self.began,
            reference: self.reference.as_str(),
            client: self.arrival.as_ref().and_then(Arrival::client),
            method: self.method,
            protocol: self.protocol,
            host: host.unwrap_or_default(),
            route,
            rule,
            status,
            sent,
            took,
            upstream: self.upstream,
            session: self.session.as_ref(),
            aborted,
        };
        self.live.telemetry.access(&record, &self.snapshot.keys);
    }

    fn permit(&self) -> Result<&Permit> {
        granted(self.permit.as_ref())
    }

    /// Counts a part of the body, which need not be as long as it was said to be.
    fn count_body(&mut self, length: usize) -> Result<()> {
        self.body = self.body.saturating_add(length as u64);
        let most = self.route.as_ref().and_then(|route| route.limits.max_body);
        if most.is_some_and(|most| self.body > most) {
            return Err(Error::explain(ErrorType::HTTPStatus(413), "the body is too large").into_down());
        }
        Ok(())
    }

    /// Whether the request's time at its app goes on.
    fn check_deadline(&self) -> Result<()> {
        self.stay.as_ref().map_or(Ok(()), Stay::check_deadline)
    }

    /// The place that a person asked for, if it can be asked for again.
    fn here(&self, head: &RequestHeader) -> Option<Target> {
        let host = self.host.as_ref().filter(|_| self.navigation)?;
        let asked = std::str::from_utf8(head.raw_path()).ok()?;
        Target::parse(asked, &host.origin, &self.snapshot.configuration.prefix)
    }

    fn asker<'a>(&'a self, session: &'a Session) -> Asker<'a> {
        let head = session.req_header();
        Asker {
            headers: &head.headers,
            navigation: self.navigation,
            language: None,
            here: self.here(head),
            form: is_form_of_older_browser(&head.method, &head.headers),
            prefix: &self.snapshot.configuration.prefix,
            brand: self.host.as_ref().map_or(&self.snapshot.configuration.brand, |host| &host.brand),
            reference: self.reference.as_str(),
            secure: self.arrival.as_ref().is_some_and(|arrival| arrival.is_secure()),
            seal: self.host.as_ref().map(|host| PageSeal {
                host: &host.origin.name,
                origin: &host.origin,
                ring: &self.snapshot.keys.cookie,
                now: self.began,
            }),
        }
    }
}

/// A request that was dropped under way, because its session ended or because of a panic, is in the log too.
impl Drop for Passage {
    fn drop(&mut self) {
        if !self.logged {
            let (status, sent) = self.answered;
            self.log(status, sent, None, true);
        }
    }
}

/// The permit; without one nothing may be sent.
fn granted(permit: Option<&Permit>) -> Result<&Permit> {
    permit.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(500), "no permit"))
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Passage;

    fn new_ctx(&self) -> Passage {
        Passage {
            live: Arc::clone(&self.live),
            changes: self.live.revocations.changes(),
            place: None,
            snapshot: self.live.snapshot(),
            began: self.live.clock.now(),
            started: Instant::now(),
            sent_upstream: None,
            upstream: None,
            reference: self.live.telemetry.reference(),
            arrival: None,
            host: None,
            route: None,
            permit: None,
            app_session: None,
            bearer: None,
            stay: None,
            digest: None,
            told_to_go_on: false,
            body: 0,
            handshake: None,
            rule: "none",
            session: None,
            interim: 0,
            navigation: false,
            method: "other",
            protocol: "other",
            answered: (0, 0),
            logged: false,
            _in_flight: self.live.telemetry.metrics.in_flight(),
        }
    }

    async fn early_request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<()> {
        guard::reached_filters(session);
        self.see_off(session);
        session.set_min_send_rate(Some(MIN_SEND_RATE));
        session.set_write_timeout(Some(CLIENT_WRITE_TIMEOUT));
        // An app's 1xx goes to a client that asked for it and to nobody else (HTTP-6).
        session.as_downstream_mut().set_ignore_info_resp(true);
        passage.method = known_method(&session.req_header().method);
        passage.protocol = protocol_of(session.req_header().version);
        passage.navigation = is_navigation(&session.req_header().method, &session.req_header().headers);
        passage.arrival = Arrival::of(session, &passage.snapshot.configuration);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<bool> {
        if let Some(dialect) = passage.arrival.as_ref().and_then(Arrival::asking) {
            return self.answer_proxy(session, dialect, passage).await;
        }
        let body = body::of_own_endpoint(session, &passage.snapshot.configuration.prefix).await;
        let mut answer = match self.decide(session.req_header(), body.as_deref(), passage).await {
            Ok(Verdict::Forward(permit)) => match body::digest(session, &permit).await {
                Ok(digest) => {
                    passage.told_to_go_on = digest.is_some();
                    passage.digest = digest;
                    if permit.route().upstream().is_some_and(|app| app.protocol == Protocol::Http2)
                        && grpc::is_call(session.req_header())
                    {
                        guard::body_lasts(session);
                    }
                    passage.permit = Some(permit);
                    let Some(handshake) = passage.handshake.take() else { return Ok(false) };
                    self.serve_websocket(session, &handshake, passage).await?;
                    return Ok(true);
                }
                Err(refusal) => {
                    let lines = access_token::lines(Some(&permit), passage.bearer.as_ref(), &self.live);
                    respond::refuse(&refusal, &passage.asker(session)).with_cookies(lines)
                }
            },
            Ok(Verdict::Answer(answer)) => answer,
            Ok(Verdict::KeepForm { keepable }) => self.keep_form(session, keepable, passage).await,
            Err(refusal) => {
                if matches!(refusal, Refusal::TooLarge) {
                    body::let_finish(session).await;
                }
                respond::refuse(&refusal, &passage.asker(session))
            }
        };
        respond::complete(&mut answer, passage.arrival.as_ref().is_some_and(Arrival::is_secure));
        browser::mark_answer(&mut answer, passage.route.as_ref(), session.req_header());
        if grpc::is_call(session.req_header()) {
            answer = grpc::answer(answer);
        }
        passage.rule = answer.rule;
        respond::send(session, answer).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, passage: &mut Passage) -> Result<Box<HttpPeer>> {
        let permit = granted(passage.permit.as_ref())?;
        let stay = match &mut passage.stay {
            Some(stay) => stay,
            none => none.insert(passage.snapshot.upstreams.enter(permit.route())?),
        };
        stay.next_peer(permit.session())
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        passage: &mut Passage,
    ) -> Result<()> {
        passage.stay.iter_mut().for_each(|stay| stay.connected(digest));
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        passage.sent_upstream = Some(Instant::now());
        // A repeated request begins anew, its body too.
        passage.body = 0;
        let permit = passage.permit()?;
        let arrival = passage.arrival.as_ref().ok_or_else(|| Error::new(ErrorType::InternalError))?;
        if let Some(digest) = &passage.digest {
            request.insert_header(signature::DIGEST_HEADER, digest.as_str())?;
            // The body is here: who waited has been told already.
            request.remove_header(&EXPECT);
        }
        let upstream = passage.stay.as_ref().and_then(Stay::authority).unwrap_or_default();
        let held =
            forward::Held { own_session: passage.app_session.as_ref(), bearer: passage.bearer.as_ref() };
        forward::write(request, permit, upstream, arrival, &held, &passage.snapshot, &self.live)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        passage: &mut Passage,
    ) -> Result<()> {
        passage.check_deadline()?;
        passage.count_body(body.as_ref().map_or(0, Bytes::len))?;
        guard::body_read(session, body.as_ref().map_or(0, Bytes::len), end_of_stream);
        // An empty last frame would be written as a second end of the body (pingora issue 935).
        if end_of_stream && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        if response.status.is_informational() {
            passage.interim += 1;
            reply::check_interim(response, passage.interim)?;
            if response.status == StatusCode::CONTINUE && std::mem::replace(&mut passage.told_to_go_on, true)
            {
                // Once is enough (HTTP-6): of what nobody asked for, the proxy passes nothing on.
                response.set_status(StatusCode::PROCESSING)?;
            }
            return Ok(());
        }
        passage.stay.as_mut().map_or(Ok(()), Stay::answered)?;
        // It may have begun to leave after the request had come.
        self.see_off(session);
        passage.upstream = passage.sent_upstream.map(|sent| sent.elapsed());
        passage.answered.0 = response.status.as_u16();
        let streams = reply::is_event_stream(response) || grpc::is_reply(response);
        if let Some(stay) = passage.stay.as_mut().filter(|_| streams) {
            stay.streams();
        }
        let Some(permit) = &passage.permit else { return Ok(()) };
        reply::clean(response, permit, &passage.snapshot);
        if let (Some(host), Some(upstream)) = (&passage.host, passage.stay.as_ref().and_then(Stay::authority))
        {
            rewrite::reply(response, permit, upstream, host, &passage.snapshot);
        }
        if let Some(held) = &passage.app_session {
            app_session::bind(response, permit, held, &passage.snapshot, &self.live)?;
        }
        reply::frame(session, response);
        browser::instruct(response, permit.route(), passage.host.as_ref(), &session.req_header().headers)?;
        let renewed = reply::renewed(permit, passage.navigation, &self.live, &passage.snapshot);
        if let Some(cookie) = renewed {
            reply::set_cookie(response, cookie)?;
        }
        access_token::renew(response, permit, passage.bearer.as_ref(), &self.live)
    }

    /// A reply ends when its time is over (LI-1). Its session's end is noticed elsewhere: see [`Place`].
    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        passage: &mut Passage,
    ) -> Result<Option<Duration>> {
        passage.check_deadline()?;
        passage.answered.1 += body.as_ref().map_or(0, Bytes::len) as u64;
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        passage: &mut Passage,
    ) -> Result<Option<Bytes>> {
        grpc::clean_trailers(trailers, &passage.snapshot);
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        passage: &mut Passage,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so any request may be tried again (RFC 9110, 9.2.2).
        error.set_retry(passage.stay.as_mut().is_some_and(Stay::failed));
        error
    }

    /// Something was sent: only a request that may run twice, whose like can be sent whole, is tried again,
    /// and only when the app had closed an idle connection (HTTP-10). It is built anew from its permit.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        passage: &mut Passage,
        reused: bool,
    ) -> Box<Error> {
        let empty = session.as_downstream_mut().is_body_empty();
        if session.req_header().method.is_idempotent() && empty && session.response_written().is_none() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        passage.sent_upstream = None;
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        passage: &mut Passage,
    ) -> FailToProxy {
        let refused = guard::connection(session).and_then(guard::Connection::refused);
        let refusal = Refusal::of_proxy_error(error).map(|refusal| match refusal {
            // Its connection was cut for that, or it left by itself when it was too late.
            Refusal::AppUnreachable if passage.check_deadline().is_err() => Refusal::AppTooSlow,
            refusal => refusal,
        });
        let Some(refusal) = refusal.filter(|_| refused.is_none()) else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        passage.rule = refusal.rule();
        // Its kind alone: its text may quote what the app or the client sent.
        let (kind, source) = (error.etype().as_str(), error.esource().as_str());
        tracing::warn!(
            reference = passage.reference.as_str(),
            kind,
            source,
            "a request could not be forwarded"
        );
        let mut code = 0;
        if session.response_written().is_none_or(|written| written.status.is_informational()) {
            session.set_keepalive(None);
            let lines = access_token::lines(passage.permit.as_ref(), passage.bearer.as_ref(), &self.live);
            let mut answer = respond::refuse(&refusal, &passage.asker(session)).with_cookies(lines);
            code = answer.status.as_u16();
            if grpc::is_call(session.req_header()) {
                answer = grpc::answer(answer);
            }
            if respond::send(session, answer).await.is_err() {
                code = 0;
            } else if !session.is_http2() {
                // Who is still sending reads the answer: the guard takes what comes for a moment, and a drop would not.
                session.as_downstream_mut().shutdown().await;
            }
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, passage: &mut Passage) {
        let refused = guard::connection(session).and_then(guard::Connection::refused);
        let status = match (session.response_written(), refused) {
            (Some(response), _) => response.status.as_u16(),
            (None, Some(refused)) => refused.status().0,
            (None, None) => 0,
        };
        passage.log(status, session.body_bytes_sent() as u64, refused, error.is_some());
    }

    /// The default would write the path and the query into error logs.
    fn request_summary(&self, _session: &Session, passage: &Passage) -> String {
        format!("request {}", passage.reference.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permit_answers_500() {
        let error = granted(None).expect_err("nothing was permitted");
        let refusal = Refusal::of_proxy_error(&error).expect("the client is there and waits");
        let asker = Asker {
            headers: &http::HeaderMap::new(),
            navigation: false,
            language: None,
            here: None,
            form: false,
            prefix: "/oauth2",
            brand: &portvakt_core::brand::Brand::default(),
            reference: "r",
            secure: true,
            seal: None,
        };
        assert_eq!(respond::refuse(&refusal, &asker).status, 500);
    }
}
