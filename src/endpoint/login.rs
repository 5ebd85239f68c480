//! `GET <prefix>/login`: starts a login, at the level that the place demands or above, never below, and for a
//! session that routes of this host ask for: the one that is named, or that of the place. Where the place has several
//! ways in, the person is asked, unless there is nothing to ask.

use std::str::FromStr as _;
use std::sync::Arc;

use http::header::{REFERER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use portvakt_core::access::{LoginNeed, Requirement, Shortfall};
use portvakt_core::identity::Kind;
use portvakt_core::language::Language;
use portvakt_core::level::Level;
use portvakt_core::login::attempt::{self, Attempt, LIFE, MAX_IN_A_ROW, Slot};
use portvakt_core::login::wish::Wish;
use portvakt_core::redirect::Target;
use portvakt_core::request::{is_known_subrequest, is_navigation};
use portvakt_core::route::Route;
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::way::{self, Remembered, Way};
use serde_json::json;

use super::{Visit, parameters};
use crate::answer::{Answer, Location};
use crate::limit;
use crate::page::{Choice, Offered};
use crate::provider::{AuthorizationRequest, Call};
use crate::respond::{self, Asker, Forbidden, Refusal};
use crate::tokens;

/// Tells a request that somebody must log in first: a navigation is sent there, all else is told (OP-14).
pub(crate) fn invite(visit: &Visit<'_>, route: &Route, need: LoginNeed) -> Result<Answer, Refusal> {
    let navigates = is_navigation(&visit.head.method, visit.headers());
    let target =
        page_of_script(visit, route).filter(|_| !navigates).unwrap_or_else(|| place_asked_for(visit));
    let requirement = route.access.requirement();
    let level = requirement.and_then(|requirement| requirement.level);
    let plan = route.session.as_ref().ok_or(Refusal::Internal)?;
    let link = if route.ways.is_empty() {
        visit.login_link(plan, &target, level)
    } else {
        visit.choice_link(&target, level)
    };
    if navigates {
        return Ok(Answer::redirect(&Location::Own(link), "login_redirect"));
    }
    let challenge = match need {
        LoginNeed::NoSession | LoginNeed::Asked => format!("Bearer realm=\"{}\"", visit.host.origin),
        // RFC 9470, 3.
        LoginNeed::Level | LoginNeed::Age => {
            let mut challenge = "Bearer error=\"insufficient_user_authentication\"".to_owned();
            let wish = requirement.map(Wish::of).unwrap_or_default();
            if let Some(values) = wish.acr_values(&plan.provider) {
                challenge.push_str(&format!(", acr_values=\"{values}\""));
            }
            if let Some(age) = wish.max_age {
                challenge.push_str(&format!(", max_age=\"{}\"", age.as_secs()));
            }
            challenge
        }
    };
    let body = json!({ "error": "login_required", "login": link });
    let answer = Answer::json(StatusCode::UNAUTHORIZED, &body, "login_required");
    Ok(match HeaderValue::try_from(challenge) {
        Ok(challenge) => answer.with(WWW_AUTHENTICATE, challenge),
        Err(_) => answer,
    })
}

/// Tells somebody who is logged in that the route does not take them as they are, and what they can do.
pub(crate) fn forbid(visit: &Visit<'_>, route: &Route, why: Shortfall) -> Refusal {
    forbid_at(&place_asked_for(visit), visit, route, why)
}

/// The same for a place that another request asked for.
pub(super) fn forbid_at(target: &Target, visit: &Visit<'_>, route: &Route, why: Shortfall) -> Refusal {
    let (requirement, plan) = (route.access.requirement(), visit.plan_of(route));
    let plan = plan.or_else(|| route.session.clone());
    Refusal::Forbidden(Box::new(Forbidden {
        why,
        kinds: requirement.map(|requirement| requirement.kinds.clone()).unwrap_or_default(),
        otherwise: plan.as_ref().map(|plan| other_link(visit, plan, target, true)),
        logout: plan.as_ref().map(|plan| visit.logout_link(plan)),
    }))
}

/// Where somebody logs in otherwise for a place: by another way, if it has several; else by another authentication at the
/// same provider. `fresh`: also by another way what a provider remembers would not help.
pub(super) fn other_link(visit: &Visit<'_>, plan: &SessionPlan, target: &Target, fresh: bool) -> String {
    if !has_choice(visit, target) {
        return visit.other_login_link(plan, target);
    }
    let link = format!("{}&choose=anew", visit.choice_link(target, None));
    if fresh { format!("{link}&prompt=login") } else { link }
}

/// Whether people choose how they log in for a place.
pub(super) fn has_choice(visit: &Visit<'_>, target: &Target) -> bool {
    place(visit, target, None).is_some_and(|route| !route.ways.is_empty())
}

/// The route for which somebody logs in: where they end (`redirect`), or where they send a form (`form`, see
/// `resume.rs`) and end at `redirect`.
pub(super) fn place<'v>(
    visit: &'v Visit<'_>,
    target: &Target,
    form: Option<&Target>,
) -> Option<&'v Arc<Route>> {
    match form {
        Some(form) => visit.host.routes.route_at(&Method::POST, form),
        None => visit.host.routes.route_at(&Method::GET, target),
    }
}

/// The values that the place where a login leads asks for: no attempt's cookie has room for them.
pub(super) fn with_values(visit: &Visit<'_>, plan: &Arc<SessionPlan>, target: &Target, wish: Wish) -> Wish {
    let route =
        place(visit, target, None).filter(|route| route.plans().any(|known| known.realm() == plan.realm()));
    let Some(requirement) = route.and_then(|route| route.access.requirement()) else { return wish };
    let demanded = Way { plan: Arc::clone(plan), kind: None }.wish(requirement);
    // Who was asked for more, or for one kind alone, was not asked for these.
    if demanded.level == wish.level && demanded.kinds == wish.kinds {
        Wish { acr_values: demanded.acr_values, ..wish }
    } else {
        wish
    }
}

/// Which way in a login takes.
enum Taken<'r> {
    /// This one: the only one, the one of who is logged in already, or the one that the browser remembers.
    Straight(&'r Way),
    /// The person is asked.
    Asked(Vec<&'r Way>),
}

/// `anew`: the person wants to be asked. `kind`: what the login is narrowed to.
fn taken<'r>(
    visit: &Visit<'_>,
    route: &'r Route,
    requirement: &Requirement,
    anew: bool,
    kind: Option<Kind>,
) -> Taken<'r> {
    let mut ways = way::satisfying(&route.ways, requirement);
    ways.retain(|way| kind.is_none_or(|kind| way.kinds(requirement).contains(&kind)));
    if let ([only], false) = (ways.as_slice(), anew) {
        return Taken::Straight(only);
    }
    if anew {
        return Taken::Asked(ways);
    }
    let session = visit.session_of(route);
    let of_session = session.as_ref().and_then(|session| {
        let (who, plan) = (session.identity(), route.plan_of(session)?);
        let fits =
            |way: &&&Way| way.plan.realm() == plan.realm() && way.kinds(requirement).contains(&who.kind());
        ways.iter().find(fits).copied()
    });
    let remembered = || {
        let chosen = Remembered::of(visit.headers()).among(&route.ways)?;
        ways.iter().find(|way| way.name() == chosen.name()).copied()
    };
    match of_session.or_else(remembered) {
        Some(way) => Taken::Straight(way),
        None => Taken::Asked(ways),
    }
}

/// The page on which somebody chooses.
fn ask(
    visit: &Visit<'_>,
    route: &Route,
    ways: &[&Way],
    requirement: &Requirement,
    fields: Vec<(&'static str, String)>,
    language: Option<Language>,
) -> Answer {
    let remembered = Remembered::of(visit.headers()).among(&route.ways).is_some();
    let choice = Choice {
        action: format!("{}/choose", visit.prefix()),
        login: format!("{}/login", visit.prefix()),
        ways: ways.iter().map(|way| Offered::of(way, requirement)).collect(),
        fields,
        remembered,
    };
    respond::choice(&choice, language, &visit.asker())
}

/// Where a login that a request needs ends: on the place that it asked for, if that can be asked for again.
pub(super) fn place_asked_for(visit: &Visit<'_>) -> Target {
    let asked = std::str::from_utf8(visit.head.raw_path()).ok();
    visit.target(asked.filter(|_| visit.head.method == Method::GET)).unwrap_or_else(Target::start)
}

/// The page whose script asked: a login for it leads back there, and not to what only the script can read. Only where the
/// page is of the same route, so that its login is worth as much.
fn page_of_script(visit: &Visit<'_>, route: &Route) -> Option<Target> {
    let page = visit.target(visit.headers().get(REFERER)?.to_str().ok())?;
    let of_page = place(visit, &page, None)?;
    std::ptr::eq(&**of_page, route).then_some(page)
}

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [locale] = parameters(query, ["locale"])?;
    if is_known_subrequest(visit.headers()) {
        return Err(Refusal::NotANavigation);
    }
    // The app's word for what the person has chosen there; our own pages follow it, also the one that says why there is
    // no login.
    let chosen = locale.as_deref().and_then(Language::named);
    let Some(language) = chosen else { return begin(query, None, visit).await };
    let answer = begin(query, chosen, visit).await.unwrap_or_else(|refusal| {
        let navigation = is_navigation(&visit.head.method, visit.headers());
        respond::refuse(&refusal, &Asker { language: chosen, navigation, ..visit.asker() })
    });
    let news = (Language::remembered(visit.headers()) != chosen).then(|| language.remember());
    Ok(answer.with_cookies(news))
}

/// `chosen`: the language that the person has just chosen.
async fn begin(query: &str, chosen: Option<Language>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let names = ["redirect", "level", "prompt", "session", "provider", "form", "kind", "choose"];
    let [redirect, level, prompt, session, provider, form, kind, choose] = parameters(query, names)?;
    let named = visit.named_plan(session.as_deref(), provider.as_deref())?;
    let level = level.map(|level| Level::from_str(&level)).transpose().map_err(|_| Refusal::Parameters)?;
    let fresh = match prompt.as_deref() {
        None => false,
        Some("login") => true,
        Some(_) => return Err(Refusal::Parameters),
    };
    let kind_of = |word: String| Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let kind = kind.map(|word| kind_of(word).ok_or(Refusal::Parameters)).transpose()?;
    let target = visit.target(redirect.as_deref()).unwrap_or_else(Target::start);
    let form = visit.target(form.as_deref());
    let place = place(visit, &target, form.as_ref());
    let requirement = place.and_then(|route| route.access.requirement());
    let mut way: Option<Way> = None;
    if let (Some(route), Some(requirement), None) = (place, requirement, named)
        && !route.ways.is_empty()
    {
        let raised = Requirement { level: requirement.level.max(level), ..requirement.clone() };
        match taken(visit, route, &raised, choose.is_some(), kind) {
            Taken::Straight(straight) => way = Some(straight.clone()),
            Taken::Asked(ways) if ways.is_empty() => return Err(Refusal::Parameters),
            Taken::Asked(ways) => {
                let given = [
                    ("redirect", Some(target.as_str().to_owned())),
                    ("level", level.map(|level| level.as_str().to_owned())),
                    ("prompt", prompt),
                    ("form", form.map(|form| form.as_str().to_owned())),
                ];
                let fields = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                return Ok(ask(visit, route, &ways, &raised, fields, chosen));
            }
        }
    }
    let of_place = place.and_then(|route| route.session.as_ref());
    let plan = match named.or(way.as_ref().map(|way| &way.plan)).or(of_place) {
        Some(plan) => Arc::clone(plan),
        None => Arc::clone(visit.usual_plan()?),
    };
    let plan = &plan;
    let provider = visit.provider(plan)?;
    // What a place demands of some sessions says nothing of another.
    let demands = place.filter(|route| route.plans().any(|known| known.realm() == plan.realm()));
    let wish = match demands.and_then(|route| route.access.requirement()) {
        None => Wish::usual(provider.settings()),
        Some(requirement) => {
            let whole = || Way { plan: Arc::clone(plan), kind: None };
            let narrowed = kind.map(|kind| Way { kind: Some(kind), ..whole() });
            let way = narrowed.or(way).unwrap_or_else(whole);
            if kind.is_some() && !way.satisfies(requirement) {
                return Err(Refusal::Parameters);
            }
            way.wish(requirement)
        }
    };
    let wish = Wish { fresh, ..wish.raised(level) };
    let session = match demands {
        // Where people choose, the latest login counts.
        Some(route) => visit
            .session_of(route)
            .filter(|session| route.plan_of(session).is_some_and(|held| held.realm() == plan.realm())),
        None => visit.session(plan),
    };
    if let Some(session) = session
        && !fresh
        && wish.is_met_by(session.identity(), visit.now)
        && !place.is_some_and(|route| tokens::are_lacking(visit, route, &session))
    {
        return Ok(Answer::redirect(&Location::Target(target), "login_already"));
    }
    let (slot, in_a_row) =
        attempt::choose(visit.headers(), visit.scope(), plan.realm(), visit.ring(), visit.now);
    if in_a_row >= MAX_IN_A_ROW {
        return Err(Refusal::LoginLoop { login: visit.login_link(plan, &target, None) });
    }
    let attempt = Attempt::start(plan.realm(), wish, target, in_a_row, visit.now);
    start(visit, plan, slot, attempt, chosen).await
}

/// Sends the browser to the provider, with the attempt in the cookie of this slot.
pub(super) async fn start(
    visit: &Visit<'_>,
    plan: &SessionPlan,
    slot: u8,
    attempt: Attempt,
    chosen: Option<Language>,
) -> Result<Answer, Refusal> {
    let provider = visit.provider(plan)?;
    let login = visit.login_link(plan, &attempt.target, None);
    let otherwise =
        || has_choice(visit, &attempt.target).then(|| other_link(visit, plan, &attempt.target, false));
    if let Err(retry) = limit::count_login(visit.client(), visit.snapshot, visit.live) {
        return Err(Refusal::TooManyRequests { retry, login: Some(login) });
    }
    let _share = match provider.share(Call::Par, visit.client()) {
        Ok(share) => share,
        Err(cause) => return Err(Refusal::ProviderDown { cause, login, otherwise: otherwise() }),
    };
    let acr_values = attempt.wish.acr_values(provider.settings());
    let asked = attempt.wish.asked.and_then(|id| visit.host.routes.representation(id));
    let extra: Vec<(&str, String)> = [
        ("onbehalfof", visit.onbehalfof(plan).map(str::to_owned)),
        ("authorization_details", asked.map(|asked| asked.parameter().to_owned())),
        ("resource", plan.provider.access_tokens.as_ref().and_then(|tokens| tokens.resource.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let request = AuthorizationRequest {
        redirect_uri: &visit.return_url(&plan.provider.callback()),
        state: &visit.sent_state(attempt.state(slot)),
        nonce: &attempt.nonce(),
        code_challenge: &attempt.challenge(),
        acr_values: &acr_values.as_deref().into_iter().collect::<Vec<_>>(),
        prompt: attempt.wish.fresh.then_some("login"),
        max_age: attempt.wish.max_age,
        ui_locales: chosen.or_else(|| Language::remembered(visit.headers())).map(Language::tag),
        extra: &extra,
    };
    let url = match provider.authorize(&request, visit.now).await {
        Ok(url) => url,
        Err(cause) => return Err(Refusal::ProviderDown { cause, login, otherwise: otherwise() }),
    };
    visit.live.telemetry.metrics.login_started(&provider.settings().name);
    let value = attempt::seal(slot, &Slot::Pending(attempt), visit.scope(), visit.ring(), visit.now);
    let life = u32::try_from(LIFE.as_secs()).unwrap_or(u32::MAX);
    Ok(Answer::redirect(&Location::Provider(url), "login_started")
        .with_cookies([attempt::jar(slot).set_for(&value, life)]))
}
