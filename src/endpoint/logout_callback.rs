//! `GET <prefix>/logout/callback`: back from the provider, or never there. Shows that the person is signed
//! out, or goes where the logout was asked to lead; starts no login.

use portvakt_core::session::cookies::{self, LogoutReturn};

use super::{Visit, parameters};
use crate::answer::{Answer, Location};
use crate::respond::{self, Refusal};

pub(super) fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [state] = parameters(query, ["state"])?;
    let back = LogoutReturn::open(visit.headers(), visit.prefix(), visit.scope(), visit.ring(), visit.now);
    // A logout that somebody else began leads nowhere but to the page.
    let target = back.filter(|back| state.as_deref() == Some(&back.state)).and_then(|back| back.target);
    let answer = match target {
        Some(target) => Answer::redirect(&Location::Target(target), "signed_out_redirect"),
        None => respond::refuse(&Refusal::SignedOut, &visit.asker()),
    };
    Ok(answer.with_cookies([cookies::logout_jar(visit.prefix(), 0).delete()]))
}
