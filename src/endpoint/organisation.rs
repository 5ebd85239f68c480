//! `GET|POST <prefix>/organisation`: for which of several organisations an employee acts, chosen after the login and
//! changed without another one (dossier 1.5; `portvakt_core::session::choice`).
//!
//! GET shows a page, POST takes the choice: `organisation` is a number, `redirect` the place to go to. Where nothing can
//! be chosen from, since the provider let the person choose, or the login is over, a new login follows. Who comes to a
//! place that needs a choice and has made none is sent here with `needed=yes`: if there is nothing to choose from, they
//! represent nobody, and another login would only say so again.
//!
//! **Invariant:** a choice counts only from a page of this very origin: nobody else decides for whom a person acts.

use std::sync::Arc;

use http::{Method, StatusCode};
use portvakt_core::access::Shortfall;
use portvakt_core::identity::OrganisationNumber;
use portvakt_core::language::Language;
use portvakt_core::redirect::Target;
use portvakt_core::request::{is_known_subrequest, is_navigation};
use portvakt_core::revocation::Tagger;
use portvakt_core::route::{Route, Staleness};
use portvakt_core::session::choice::{self, Choice};
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::{cookies, ticket};
use url::form_urlencoded;

use super::{Visit, apps, login, parameters};
use crate::answer::{Answer, Location};
use crate::page::{Chosen, OrganisationChoice};
use crate::respond::{self, Asker, Refusal};
use crate::telemetry::Action;
use crate::tokens;

/// The most bytes of the form: a number, a place, a name.
pub(crate) const MAX_BODY: usize = 8 * 1024;

const PARAMETERS: [&str; 6] = ["organisation", "redirect", "session", "provider", "needed", "locale"];

/// Sends somebody to choose who may pass once they have: what they lack is an organisation, and the place lets people
/// choose one. Only a navigation is sent anywhere (OP-14).
pub(crate) fn offer(visit: &Visit<'_>, route: &Route, why: Shortfall) -> Option<Answer> {
    let navigates = is_navigation(&visit.head.method, visit.headers());
    let asked = route.access.requirement()?.representation.as_ref()?;
    if why != Shortfall::NoOrganisation || !navigates || !asked.is_chosen() {
        return None;
    }
    let plan = visit.plan_of(route)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("redirect", login::place_asked_for(visit).as_str());
    query.append_pair("needed", "yes");
    if let Some(name) = visit.name_in_links(&plan) {
        query.append_pair("session", name);
    }
    let place = Location::Own(format!("{}/organisation?{}", visit.prefix(), query.finish()));
    Some(Answer::redirect(&place, "organisation_needed"))
}

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if visit.head.method == Method::POST {
        return take(visit).await;
    }
    if is_known_subrequest(visit.headers()) {
        return Err(Refusal::NotANavigation);
    }
    let [_, redirect, session, provider, needed, locale] = parameters(query, PARAMETERS)?;
    let target = visit.target(redirect.as_deref());
    let plan = &*plan(visit, session.as_deref(), provider.as_deref(), target.as_ref())?;
    if let Some(choice) = standing(visit, plan) {
        let chosen = locale.as_deref().and_then(Language::named);
        let news = chosen.filter(|chosen| Language::remembered(visit.headers()) != Some(*chosen));
        return Ok(page(&choice, target, plan, chosen, visit).with_cookies(news.map(Language::remember)));
    }
    let route = target.as_ref().and_then(|target| login::place(visit, target, None));
    match (route, &target) {
        (Some(route), Some(target)) if needed.is_some() && visit.session(plan).is_some() => {
            Err(login::forbid_at(target, visit, route, Shortfall::NoOrganisation))
        }
        _ => Ok(Answer::redirect(&Location::Own(anew(target, plan, visit)), "login_for_organisation")),
    }
}

async fn take(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if !visit.is_from_here(false) {
        return Err(Refusal::NotANavigation);
    }
    let text = visit.body.and_then(|body| std::str::from_utf8(body).ok()).ok_or(Refusal::Parameters)?;
    let [organisation, redirect, session, provider, ..] = parameters(text, PARAMETERS)?;
    let target = visit.target(redirect.as_deref());
    let plan = &*plan(visit, session.as_deref(), provider.as_deref(), target.as_ref())?;
    tokens::await_exchange(visit, plan).await;
    // What is chosen is another session: the end of this one, if nobody here knows of it yet, would not be its end.
    if visit.live.revocations.is_uncertain(visit.live.clock.now()) && is_strict(plan, visit) {
        return Err(Refusal::SessionsUncertain);
    }
    let Some(choice) = standing(visit, plan) else {
        // Redirects that follow a form are held to its page's policy, which lets no form go to the provider.
        let page = respond::onward(&anew(target, plan, visit), &visit.asker());
        return Ok(Answer { rule: "login_for_organisation", ..page });
    };
    let number = organisation.and_then(|number| OrganisationNumber::parse(&number).ok());
    let now = visit.live.clock.now();
    let tags = choice.whole().tags();
    let key = visit.snapshot.keys.revocation.by_id(tags.key, visit.now).ok_or(Refusal::Internal)?;
    let chosen = number.and_then(|number| choice.choose(number, &Tagger::with(tags.key, key), now));
    let (session, next) = chosen.ok_or(Refusal::Parameters)?;
    let Some(kept) = next.seal(plan, visit.ring(), now) else { return Err(Refusal::Internal) };
    // Its cookie is replaced by this answer. If its end is not written, that is tried again.
    let _ = visit.end(choice.whole());
    let provider = visit.provider(plan)?;
    visit.audit_exchange(Action::Organisation, provider, None, &session, choice.whole());
    let target = target.or_else(|| choice.target().cloned()).unwrap_or_else(Target::start);
    let mut answer = Answer::redirect(&Location::Target(target), "organisation_chosen");
    // After a POST the browser must come with GET (RFC 9110, 15.4.4).
    answer.status = StatusCode::SEE_OTHER;
    let ticket = ticket::seal(&session, plan, visit.ring(), now);
    let mut set = vec![cookies::session_jar(plan).set(&ticket), choice::jar(plan, visit.prefix()).set(&kept)];
    set.extend(tokens::carry_over(visit, plan, choice.whole(), &session));
    set.extend(apps::leave(&[plan], visit));
    Ok(answer.with_cookies(set))
}

/// Whether some place takes this session only while every end is known.
fn is_strict(plan: &SessionPlan, visit: &Visit<'_>) -> bool {
    let takes = |route: &&Arc<Route>| route.plans().any(|known| known.realm() == plan.realm());
    visit.host.routes.iter().filter(takes).any(|route| route.revocation == Staleness::Strict)
}

/// What may be chosen from with this request: its session goes on, and is this browser's.
fn standing(visit: &Visit<'_>, plan: &SessionPlan) -> Option<Choice> {
    let limits = &visit.snapshot.configuration.session;
    let choice = Choice::open(visit.headers(), plan, visit.ring(), limits, visit.now)?;
    let session = visit.session(plan)?;
    choice.is_of(&session).then_some(choice)
}

fn page(
    choice: &Choice,
    target: Option<Target>,
    plan: &SessionPlan,
    language: Option<Language>,
    visit: &Visit<'_>,
) -> Answer {
    let current = visit.session(plan);
    let acts_for = |number: OrganisationNumber| {
        let organisations = current.as_ref().map(|session| session.identity().organisations());
        organisations.is_some_and(|of| of.iter().any(|one| one.number == number))
    };
    let organisations: Vec<Chosen> = choice
        .whole()
        .identity()
        .organisations()
        .iter()
        .map(|one| Chosen {
            number: one.number.to_string(),
            name: one
                .name
                .as_ref()
                .map_or_else(|| one.number.to_string(), |name| format!("{name} ({})", one.number)),
            is_current: acts_for(one.number),
        })
        .collect();
    let target = target.or_else(|| choice.target().cloned()).unwrap_or_else(Target::start);
    let mut hidden = vec![("redirect", target.as_str())];
    hidden.extend(visit.name_in_links(plan).map(|name| ("session", name)));
    let again = |other: Language| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&hidden).append_pair("locale", other.tag());
        (other, format!("{}/organisation?{}", visit.prefix(), query.finish()))
    };
    let switch = Language::ALL.map(again).to_vec();
    let choice = OrganisationChoice {
        action: &format!("{}/organisation", visit.prefix()),
        hidden: &hidden,
        organisations: &organisations,
        logout: &visit.logout_link(plan),
    };
    respond::organisations(&choice, switch, &Asker { language, ..visit.asker() })
}

/// The session whose organisation is chosen: the named one; else that of the place where the choice counts; else the first
/// that has anything to choose from.
fn plan(
    visit: &Visit<'_>,
    session: Option<&str>,
    provider: Option<&str>,
    target: Option<&Target>,
) -> Result<Arc<SessionPlan>, Refusal> {
    if !visit.host.routes.let_choose() {
        return Err(Refusal::NoRoute);
    }
    if let Some(plan) = visit.named_plan(session, provider)? {
        return Ok(Arc::clone(plan));
    }
    let of_place = target.and_then(|target| asked_plan(visit, login::place(visit, target, None)?));
    let carried =
        || visit.host.sessions.iter().find(|plan| choice::is_carried(visit.headers(), plan)).cloned();
    let of_routes = || visit.host.routes.iter().find_map(|route| asked_plan(visit, route));
    of_place.or_else(carried).or_else(of_routes).ok_or(Refusal::NoRoute)
}

/// In which session an organisation is chosen for a route; `None`: in none. Where people choose how they log in, only
/// some providers are asked for organisations; of those the one counts where the person is.
fn asked_plan(visit: &Visit<'_>, route: &Route) -> Option<Arc<SessionPlan>> {
    let requirement = route.access.requirement()?;
    requirement.representation.as_ref().filter(|asked| asked.is_chosen())?;
    let asks = |plan: &Arc<SessionPlan>| requirement.asks_at(&plan.provider.name);
    visit.plan_of(route).filter(asks).or_else(|| route.plans().find(|plan| asks(plan)).cloned())
}

/// A login at which the provider asks for whom the person acts, also who is logged in there.
fn anew(target: Option<Target>, plan: &SessionPlan, visit: &Visit<'_>) -> String {
    let link = visit.login_link(plan, &target.unwrap_or_else(Target::start), None);
    let fresh = if visit.session(plan).is_some() { "&prompt=login" } else { "" };
    format!("{link}{fresh}")
}

/// Where the browser goes to choose.
pub(super) fn link(plan: &SessionPlan, visit: &Visit<'_>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(name) = visit.name_in_links(plan) {
        query.append_pair("session", name);
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}/organisation{mark}{query}", visit.prefix())
}
