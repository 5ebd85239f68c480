//! A person's access token at the provider, for an app that is to get it: found or exchanged, or what is told instead.

use http::{HeaderValue, Method};
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use portvakt_core::access::{LoginNeed, Permit};
use portvakt_core::bearer;

use super::{Verdict, reply};
use crate::answer::{Answer, Location};
use crate::endpoint::{self, Visit};
use crate::respond::Refusal;
use crate::snapshot::Live;
use crate::tokens::{self, Bearer, Missing, Unavailable};

/// What a request gets: its token, or none where its route asks for none, or what it is told instead.
pub(super) enum Held {
    /// It goes on.
    Forward(Option<Bearer>),
    /// It does not.
    Instead(Box<Verdict>),
}

impl Held {
    fn instead(verdict: Verdict) -> Self {
        Self::Instead(Box::new(verdict))
    }
}

/// Finds the token of a request that was judged.
pub(super) async fn hold(permit: &Permit, visit: &Visit<'_>) -> Result<Held, Refusal> {
    if !permit.route().access_token {
        return Ok(Held::Forward(None));
    }
    if bearer::in_query(permit.request().query()) {
        // An app that takes tokens might believe that one instead.
        return Err(Refusal::Parameters);
    }
    match tokens::hold(permit, visit).await {
        Ok(bearer) => Ok(Held::Forward(bearer)),
        Err(Missing::Login { forget }) => log_in(permit, forget, visit).map(Held::instead),
        Err(Missing::Again) => match again(visit) {
            Some(answer) => Ok(Held::instead(Verdict::Answer(answer))),
            None => Err(Refusal::AccessToken(Unavailable::Exchanged)),
        },
        Err(Missing::Unavailable(why)) => Err(Refusal::AccessToken(why)),
    }
}

/// A new login, of which a person who is logged in at the provider sees nothing.
fn log_in(permit: &Permit, forget: Vec<HeaderValue>, visit: &Visit<'_>) -> Result<Verdict, Refusal> {
    if endpoint::resume::is_form(visit) {
        return Ok(Verdict::KeepForm { keepable: endpoint::resume::can_be_kept(visit) });
    }
    let invitation = endpoint::login::invite(visit, permit.route(), LoginNeed::NoSession)?;
    Ok(Verdict::Answer(invitation.with_cookies(forget)))
}

/// The same once more, with the cookies that the browser has by then; `None` for what no redirect repeats.
fn again(visit: &Visit<'_>) -> Option<Answer> {
    let navigates = portvakt_core::request::is_navigation(&visit.head.method, visit.headers());
    let asked = std::str::from_utf8(visit.head.raw_path()).ok();
    let target = visit.target(asked.filter(|_| navigates && visit.head.method == Method::GET))?;
    Some(Answer::redirect(&Location::Target(target), "access_token_again"))
}

/// Brings newer tokens to the browser with the reply, while the session is alive.
pub(super) fn renew(
    response: &mut ResponseHeader,
    permit: &Permit,
    bearer: Option<&Bearer>,
    live: &Live,
) -> Result<()> {
    for line in lines(Some(permit), bearer, live) {
        reply::set_cookie(response, line)?;
    }
    Ok(())
}

/// The `Set-Cookie` lines of newer tokens, for an answer of ours.
pub(super) fn lines(permit: Option<&Permit>, bearer: Option<&Bearer>, live: &Live) -> Vec<HeaderValue> {
    let newer = bearer.map(Bearer::lines).unwrap_or_default();
    let session = permit.and_then(Permit::session).filter(|_| !newer.is_empty());
    match session {
        Some(session) if live.revocations.check(session).is_ok() => newer.to_vec(),
        _ => Vec::new(),
    }
}
