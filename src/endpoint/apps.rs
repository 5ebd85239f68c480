//! The sessions that apps keep themselves end with ours: the browser forgets their cookies, and an app that
//! wants to hear of it is told (`portvakt_core::app_session`).
//!
//! Only cookies that the browser sends along are known here, so only a logout or a new login of the person's
//! own browser tells an app. An end that comes from the provider brings none: the app's cookies are worth
//! nothing from then on, and the app is told when this browser logs in again.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use portvakt_core::app_session::{self, AppSession, Sealing};
use portvakt_core::route::{Route, UpstreamHost};
use portvakt_core::session::plan::SessionPlan;
use portvakt_core::session::{Limits, Session, cookies};

use super::Visit;
use crate::upstream::Errand;

/// Tells apps that the sessions of these plans which this request presents are over, and makes the browser
/// forget all that apps hold in them: what is set from here on belongs to another session.
pub(super) fn leave(plans: &[&SessionPlan], visit: &Visit<'_>) -> Vec<HeaderValue> {
    let of_another = |route: &&Arc<Route>| {
        let mut known = route.plans().peekable();
        known.peek().is_some() && !known.any(|plan| plans.iter().any(|left| left.realm() == plan.realm()))
    };
    let kept: Vec<&AppSession> = visit
        .host
        .routes
        .iter()
        .filter(of_another)
        .filter_map(|route| route.app_session.as_deref())
        .collect();
    let keeps = |name: &str| kept.iter().any(|app| app.holds(name));
    let deletions: Vec<HeaderValue> = app_session::forget_all(visit.headers(), keeps).collect();
    if !deletions.is_empty() {
        // Also of a session that was idle for too long: its app does not know that yet.
        let unlimited = Limits { idle: Duration::MAX, absolute: Duration::MAX };
        for plan in plans {
            for session in cookies::open_each(visit.headers(), plan, visit.ring(), &unlimited, visit.now) {
                tell(visit, &session);
            }
        }
    }
    deletions
}

fn tell(visit: &Visit<'_>, session: &Session) {
    let mut told: Vec<&AppSession> = Vec::new();
    let sealing = Sealing { host: &visit.host.origin.name, ring: visit.ring(), now: visit.now };
    for route in visit.host.routes.iter() {
        let Some(app) = route.app_session.as_deref() else { continue };
        if told.iter().any(|other| other.is_same_app(app)) {
            continue;
        }
        told.push(app);
        let (Some(logout), Some(cookies)) =
            (app.logout(), app.of_ended(visit.headers(), *session.id(), sealing))
        else {
            continue;
        };
        let Some(upstream) = route.upstream() else { continue };
        let Some((peer, authority)) = visit.snapshot.upstreams.peer_of(&upstream.name, session) else {
            continue;
        };
        let errand = Errand {
            upstream: upstream.name.clone(),
            target: logout.target.clone(),
            post: logout.post,
            host: host_of(route, authority, visit),
            cookies,
        };
        visit.live.errands.send(errand, peer);
    }
}

/// The `Host` that the app sees on this route.
fn host_of(route: &Route, authority: String, visit: &Visit<'_>) -> String {
    match &route.host {
        UpstreamHost::Keep => visit.host.origin.authority(),
        UpstreamHost::Upstream => authority,
        UpstreamHost::Named(name) => name.clone(),
    }
}
