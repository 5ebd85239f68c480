//! `POST <prefix>/choose`: the way in that a person chose, and whether it is to be remembered. It starts nothing itself:
//! its page leads on to `<prefix>/login` like any link.
//!
//! **Invariant:** only our own page chooses for somebody (`threats.md` BR-3), only among the ways of the place, and what is
//! remembered says nothing of anybody.

use portvakt_core::redirect::Target;
use portvakt_core::way::Remembered;
use url::form_urlencoded;

use super::{Visit, login, parameters};
use crate::answer::Answer;
use crate::respond::{self, Refusal};

/// The most bytes of the form: two targets, escaped, and a few words.
pub(crate) const MAX_BODY: usize = 16 * 1024;

pub(super) fn serve(body: Option<&[u8]>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    choose(body, visit).or_else(|refusal| Ok(respond::refuse(&refusal, &visit.asker())))
}

fn choose(body: Option<&[u8]>, visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let site = visit.headers().get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    if !matches!(site, Some(b"same-origin") | None) {
        return Err(Refusal::CrossSite);
    }
    let text = body.and_then(|body| std::str::from_utf8(body).ok()).ok_or(Refusal::Parameters)?;
    let names = ["redirect", "level", "prompt", "form", "way", "remember"];
    let [redirect, level, prompt, form, way, remember] = parameters(text, names)?;
    let target = visit.target(redirect.as_deref()).unwrap_or_else(Target::start);
    let form = visit.target(form.as_deref());
    let place = login::place(visit, &target, form.as_ref()).ok_or(Refusal::Parameters)?;
    let chosen = place.ways.iter().find(|known| Some(known.name()) == way).ok_or(Refusal::Parameters)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("redirect", target.as_str()).append_pair("session", &chosen.plan.name);
    let given = [
        ("kind", chosen.kind.map(|kind| kind.as_str().to_owned())),
        ("level", level),
        ("prompt", prompt),
        ("form", form.map(|form| form.as_str().to_owned())),
    ];
    for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        query.append_pair(name, &value);
    }
    let answer = respond::onward(&format!("{}/login?{}", visit.prefix(), query.finish()), &visit.asker());
    let before = Remembered::of(visit.headers());
    // A browser that does not say who asks (Fetch Metadata) remembers nothing: any page could ask.
    let wanted = remember.is_some() && site.is_some();
    let now = before.clone().with(&place.ways, wanted.then_some(chosen));
    Ok(if now == before { answer } else { answer.with_cookies([now.remember()]) })
}
