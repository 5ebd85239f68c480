//! `GET <prefix>/login`: starts a login, at the level that the place demands or above, never below, and for a
//! session that routes of this host ask for: the one that is named, or that of the place.

use std::str::FromStr as _;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, StatusCode};
use portvakt_core::access::{LoginNeed, Shortfall};
use portvakt_core::language::Language;
use portvakt_core::level::Level;
use portvakt_core::login::attempt::{self, Attempt, LIFE, MAX_IN_A_ROW, Slot};
use portvakt_core::login::wish::Wish;
use portvakt_core::redirect::Target;
use portvakt_core::request::is_known_subrequest;
use portvakt_core::route::Route;
use portvakt_core::session::plan::SessionPlan;
use serde_json::json;

use super::{Visit, parameters};
use crate::answer::{Answer, Location};
use crate::limit;
use crate::provider::{AuthorizationRequest, Call};
use crate::respond::{Forbidden, Refusal};

/// Tells a request that somebody must log in first: a navigation is sent there, all else is told (OP-14).
pub(crate) fn invite(visit: &Visit<'_>, route: &Route, need: LoginNeed) -> Result<Answer, Refusal> {
    let target = place_asked_for(visit);
    let requirement = route.access.requirement();
    let level = requirement.and_then(|requirement| requirement.level);
    let plan = route.session.as_ref().ok_or(Refusal::Internal)?;
    let link = visit.login_link(plan, &target, level);
    if portvakt_core::request::is_navigation(&visit.head.method, visit.headers()) {
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
    let (requirement, plan) = (route.access.requirement(), route.session.as_ref());
    Refusal::Forbidden(Box::new(Forbidden {
        why,
        kinds: requirement.map(|requirement| requirement.kinds.clone()).unwrap_or_default(),
        otherwise: plan.map(|plan| visit.other_login_link(plan, &place_asked_for(visit))),
        logout: plan.map(|plan| visit.logout_link(plan)),
    }))
}

/// Where a login that a request needs ends: on the place that it asked for, if that can be asked for again.
fn place_asked_for(visit: &Visit<'_>) -> Target {
    let asked = std::str::from_utf8(visit.head.raw_path()).ok();
    visit.target(asked.filter(|_| visit.head.method == Method::GET)).unwrap_or_else(Target::start)
}

pub(super) async fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [redirect, level, locale, prompt, session, provider, form] =
        parameters(query, ["redirect", "level", "locale", "prompt", "session", "provider", "form"])?;
    if is_known_subrequest(visit.headers()) {
        return Err(Refusal::NotANavigation);
    }
    let named = visit.named_plan(session.as_deref(), provider.as_deref())?;
    let level = level.map(|level| Level::from_str(&level)).transpose().map_err(|_| Refusal::Parameters)?;
    let fresh = match prompt.as_deref() {
        None => false,
        Some("login") => true,
        Some(_) => return Err(Refusal::Parameters),
    };
    let target = visit.target(redirect.as_deref()).unwrap_or_else(Target::start);
    let form = visit.target(form.as_deref());
    let place = match &form {
        // Somebody logs in to send a form there, and ends at `redirect` (`resume.rs`).
        Some(form) => visit.host.routes.route_at(&Method::POST, form),
        None => visit.host.routes.route_at(&Method::GET, &target),
    };
    let of_place = place.and_then(|route| route.session.as_ref());
    let plan = match named.or(of_place) {
        Some(plan) => plan,
        None => visit.usual_plan()?,
    };
    let provider = visit.provider(plan)?;
    // What a place demands of one session says nothing of another.
    let demanded = place.filter(|_| of_place.is_some_and(|of_place| of_place.realm() == plan.realm()));
    let demanded = demanded.and_then(|route| route.access.requirement());
    let wish = demanded.map_or_else(|| Wish::usual(provider.settings()), Wish::of).raised(level);
    let wish = Wish { fresh, ..wish };
    if let Some(session) = visit.session(plan)
        && !fresh
        && wish.is_met_by(session.identity(), visit.now)
    {
        return Ok(Answer::redirect(&Location::Target(target), "login_already"));
    }
    let (slot, in_a_row) =
        attempt::choose(visit.headers(), visit.scope(), plan.realm(), visit.ring(), visit.now);
    if in_a_row >= MAX_IN_A_ROW {
        return Err(Refusal::LoginLoop { login: visit.login_link(plan, &target, None) });
    }
    let chosen = locale.as_deref().and_then(Language::named);
    let attempt = Attempt::start(plan.realm(), wish, target, in_a_row, visit.now);
    let answer = start(visit, plan, slot, attempt, chosen).await?;
    // The app's word for what the person has chosen there; our own pages follow it.
    let news = chosen.filter(|chosen| Language::remembered(visit.headers()) != Some(*chosen));
    Ok(answer.with_cookies(news.map(Language::remember)))
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
    if let Err(retry) = limit::count_login(visit.client(), visit.snapshot, visit.live) {
        return Err(Refusal::TooManyRequests { retry, login: Some(login) });
    }
    let _share = match provider.share(Call::Par, visit.client()) {
        Ok(share) => share,
        Err(cause) => return Err(Refusal::ProviderDown { cause, login }),
    };
    let acr_values = attempt.wish.acr_values(provider.settings());
    let asked = attempt.wish.asked.and_then(|id| visit.host.routes.representation(id));
    let extra: Vec<(&str, String)> = [
        ("onbehalfof", visit.onbehalfof(plan).map(str::to_owned)),
        ("authorization_details", asked.map(|asked| asked.parameter().to_owned())),
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
        Err(cause) => return Err(Refusal::ProviderDown { cause, login }),
    };
    visit.live.telemetry.metrics.login_started(&provider.settings().name);
    let value = attempt::seal(slot, &Slot::Pending(attempt), visit.scope(), visit.ring(), visit.now);
    let life = u32::try_from(LIFE.as_secs()).unwrap_or(u32::MAX);
    Ok(Answer::redirect(&Location::Provider(url), "login_started")
        .with_cookies([attempt::jar(slot).set_for(&value, life)]))
}
