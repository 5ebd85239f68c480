//! `GET <prefix>/language?to=&page=`: remembers the language that a person wants, and shows the page on which they said
//! so in it. No page of another site can choose for them unseen: only a navigation is answered (OP-14).

use portvakt_core::language::Language;
use portvakt_core::redirect::Target;
use portvakt_core::request::is_known_subrequest;

use super::{Visit, parameters};
use crate::answer::{Answer, Location};
use crate::page::Again;
use crate::respond::{self, Refusal};

pub(super) fn serve(query: &str, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let [to, page] = parameters(query, ["to", "page"])?;
    if is_known_subrequest(visit.headers()) {
        return Err(Refusal::NotANavigation);
    }
    let language = to.as_deref().and_then(Language::named).ok_or(Refusal::Parameters)?;
    let shown = page.as_deref().and_then(|sealed| {
        let again = Again::open(sealed, visit.scope(), visit.ring(), visit.now)?;
        respond::again(&again, sealed, language, &visit.asker())
    });
    // A link that is too old, or none of ours, still says which language is wanted.
    let answer = shown.unwrap_or_else(|| Answer::redirect(&Location::Target(Target::start()), "language"));
    Ok(answer.with_cookies([language.remember()]))
}
