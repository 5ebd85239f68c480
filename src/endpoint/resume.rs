//! `POST <prefix>/resume`: a form that was kept over a login is sent again (`design.md` D13).
//!
//! Nothing is remembered here: the page that keeps the form holds it, sealed, so that any replica can take
//! it back. The app gets it from the browser, as a request that is judged like every other.
//!
//! **Invariant:** a form is sent again only as the person whose session the browser had when it was sent
//! first, if it had one (`threats.md` CK-10).
//!
//! **Invariant:** only our own page gives a kept form back. Whoever could make a browser post one here could
//! otherwise send the app any form as one of its own.

use http::{Method, StatusCode};
use portvakt_core::access::{Access, Judgement};
use portvakt_core::login::form::{KeptForm, MAX_SEALED, is_keepable, is_keepable_body, pairs};
use portvakt_core::redirect::Target;
use portvakt_core::request::{NormalRequest, RawHead, is_form_of_older_browser};
use portvakt_core::route::Route;
use portvakt_core::session::plan::SessionPlan;
use url::form_urlencoded;

use super::{Visit, login, parameters};
use crate::answer::{Answer, Location};
use crate::page::KeptFormLinks;
use crate::respond::{self, Refusal};

/// The most bytes of the form that brings a kept one back: its one field needs no escapes.
pub(crate) const MAX_BODY: usize = MAX_SEALED + 64;

/// Whether a request that needs a login first is a form that a person sent.
pub(crate) fn is_form(visit: &Visit<'_>) -> bool {
    let navigates = visit.headers().get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    navigates && visit.head.method != Method::GET && visit.head.method != Method::HEAD
        || is_form_of_older_browser(&visit.head.method, visit.headers())
}

/// Whether its body is worth reading.
pub(crate) fn can_be_kept(visit: &Visit<'_>) -> bool {
    let (method, headers) = (&visit.head.method, visit.headers());
    let is_older = || {
        is_form_of_older_browser(method, headers) && visit.is_from_here(false) && is_keepable_body(headers)
    };
    (is_keepable(method, headers) || is_older()) && here(visit).is_some()
}

/// Keeps a form, or says that it cannot be kept: `body` is `None` if it was not read or is too large.
pub(crate) fn keep(body: Option<Vec<u8>>, route: &Route, visit: &Visit<'_>) -> Answer {
    let Some(plan) = &route.session else {
        return respond::refuse(&Refusal::Internal, &visit.asker());
    };
    let target = here(visit);
    let login = login_link_for(target.as_ref(), route, plan, visit);
    let sealed = target.zip(body).and_then(|(target, body)| {
        let last = visit.latest(route).map(|(_, session)| session);
        let subject = last.map(|session| (session.tags().key, session.tags().subject));
        let form = KeptForm { target, sent: visit.now, subject, body };
        form.seal(visit.scope(), visit.ring(), visit.now)
    });
    match sealed {
        Some(sealed) => page(&sealed, &login, visit),
        None => respond::refuse(&Refusal::FormNotKept { login }, &visit.asker()),
    }
}

pub(super) fn serve(body: Option<&[u8]>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if !visit.is_from_here(true) {
        return Err(Refusal::NotANavigation);
    }
    match resume(body, visit) {
        Ok(answer) => Ok(answer),
        // A person waits for a page.
        Err(refusal) => Ok(respond::refuse(&refusal, &visit.asker())),
    }
}

fn resume(body: Option<&[u8]>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let text = body.and_then(|body| std::str::from_utf8(body).ok()).ok_or(Refusal::FormGone)?;
    let [sealed] = parameters(text, ["kept"])?;
    let sealed = sealed.ok_or(Refusal::FormGone)?;
    let form = KeptForm::open(&sealed, visit.scope(), visit.ring(), visit.now).ok_or(Refusal::FormGone)?;
    let request = NormalRequest::parse(RawHead {
        method: &Method::POST,
        target: form.target.as_str().as_bytes(),
        authority: visit.head.uri.authority().map(http::uri::Authority::as_str),
        headers: visit.headers(),
    })?;
    let routes = &visit.host.routes;
    let route = routes.find(&request).map_err(|why| Refusal::unrouted(why, visit.host, &request, false))?;
    let session = visit.session_of(route);
    if session.as_ref().is_some_and(|session| form.is_of_another_than(session.tags())) {
        let mut answer = Answer::redirect(&Location::Target(Target::start()), "form_of_another");
        // After a POST the browser must come with GET (RFC 9110, 15.4.4).
        answer.status = StatusCode::SEE_OTHER;
        return Ok(answer);
    }
    match Access::judge(route, request, session.into(), visit.now) {
        // The permit is dropped: what the browser sends next is judged anew.
        Judgement::Allowed(_) => {
            let pairs = pairs(&form.body).ok_or(Refusal::FormGone)?;
            Ok(respond::resent_form(&form.target, &pairs, &visit.asker()))
        }
        // Nothing is lost: the same page once more.
        Judgement::MustLogIn(_) => {
            let plan = route.session.as_ref().ok_or(Refusal::Internal)?;
            Ok(page(&sealed, &login_link_for(Some(&form.target), route, plan, visit), visit))
        }
        Judgement::Forbidden(why) => Err(login::forbid(visit, route, why)),
        // No person sends a form there.
        Judgement::TokenNeeded | Judgement::TokenRefused(..) => Err(Refusal::FormGone),
    }
}

fn page(sealed: &str, login: &str, visit: &Visit<'_>) -> Answer {
    let resume = format!("{}/resume", visit.prefix());
    respond::kept_form(KeptFormLinks { login, resume: &resume }, sealed, &visit.asker())
}

/// The place that was asked for.
fn here(visit: &Visit<'_>) -> Option<Target> {
    visit.target(std::str::from_utf8(visit.head.raw_path()).ok())
}

/// A login that is worth what the form's target demands, and ends on the start page: the form waits in
/// another tab.
fn login_link_for(form: Option<&Target>, route: &Route, plan: &SessionPlan, visit: &Visit<'_>) -> String {
    let name = if route.ways.is_empty() { visit.name_in_links(plan) } else { None };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("redirect", Target::start().as_str());
    for (name, value) in [("session", name), ("form", form.map(Target::path))] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{}/login?{}", visit.prefix(), query.finish())
}
