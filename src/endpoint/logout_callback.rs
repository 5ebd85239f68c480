//! `GET <prefix>/logout/callback`: back from the provider, or never there. Goes on to the next provider that the
//! logout leaves, or shows that the person is signed out, or goes where the logout was asked to lead; starts no
//! login.
//!
//! **Invariant:** nobody who is logged in is told that they are not: whoever comes by Back or by another's link might
//! leave the computer to somebody else.

use portvakt_core::login::relay;
use portvakt_core::redirect::Target;
use portvakt_core::session::cookies::{self, LogoutReturn};

use super::logout::Way;
use super::{Visit, Written, logout, parameters};
use crate::answer::{Answer, Location};
use crate::respond::{self, Refusal};

pub(super) async fn serve(path: &str, query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [state] = parameters(query, ["state"])?;
    let (here, state) = (visit.host.origin.to_string(), state.unwrap_or_default());
    let asking = relay::asking(&state, &here, visit.ring(), visit.now);
    if let Some(answer) = asking.and_then(|origin| visit.relayed(&origin, path, query)) {
        return Ok(answer);
    }
    let mut spent = Vec::new();
    let mut right = None;
    for plan in &visit.host.sessions {
        let back = LogoutReturn::open(visit.headers(), plan, visit.scope(), visit.ring(), visit.now);
        let Some(back) = back else { continue };
        spent.push(cookies::logout_jar(plan, visit.prefix(), 0).delete());
        // A logout that somebody else began leads nowhere but to the page.
        if relay::own(&state) == back.state {
            right = Some((plan, back));
        }
    }
    let Some((plan, LogoutReturn { target, next, .. })) = right else {
        let is_logged_in = visit.host.sessions.iter().any(|plan| visit.session(plan).is_some());
        return Ok(signed_out(is_logged_in, visit).with_cookies(spent));
    };
    let mut names = next.into_iter();
    while let Some(name) = names.next() {
        // A session that the file has no more is left as it is.
        let Some(plan) = visit.host.sessions.iter().find(|plan| plan.name == name) else { continue };
        let back = LogoutReturn::begin(target, names.collect(), visit.now);
        return Ok(logout::end_there(visit, plan, &back, Written::Yes, Way::Form).await?.with_cookies(spent));
    }
    let answer = match target {
        Some(target) => Answer::redirect(&Location::Target(target), "signed_out_redirect"),
        // In another tab they may have logged in again.
        None => signed_out(visit.session(plan).is_some(), visit),
    };
    Ok(answer.with_cookies(spent))
}

fn signed_out(is_logged_in: bool, visit: &Visit<'_>) -> Answer {
    if is_logged_in {
        return Answer::redirect(&Location::Target(Target::start()), "not_signed_out");
    }
    respond::refuse(&Refusal::SignedOut, &visit.asker())
}
