//! What an app says of places, as the browser must see it: `Location` and its like, and the paths of cookies
//! (`portvakt_core::rewrite` says which).
//!
//! **Invariant:** routes whose app knows the public host and path are left as they are.

use http::header::{CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION, REFRESH, SET_COOKIE};
use pingora::http::ResponseHeader;
use portvakt_core::access::Permit;
use portvakt_core::rewrite::Places;
use portvakt_core::route::{Host, UpstreamHost};

use crate::snapshot::Snapshot;

/// Rewrites a reply. `upstream`: the app's own `host:port`.
pub(super) fn reply(
    response: &mut ResponseHeader,
    permit: &Permit,
    upstream: &str,
    host: &Host,
    snapshot: &Snapshot,
) {
    let route = permit.route();
    let sent = match &route.host {
        UpstreamHost::Keep if route.rewrite.is_none() => return,
        UpstreamHost::Keep | UpstreamHost::Upstream => upstream,
        UpstreamHost::Named(name) => name,
    };
    let (public, authority) = (host.origin.to_string(), host.origin.authority());
    let places = Places {
        rewrite: route.rewrite.as_ref(),
        public: &public,
        of_the_app: [&authority, upstream, sent],
        own: &snapshot.configuration.prefix,
    };
    for name in [LOCATION, CONTENT_LOCATION] {
        change(response, &name, |text| places.location(text));
    }
    change(response, &REFRESH, |text| places.refresh(text));
    change(response, &SET_COOKIE, |text| places.set_cookie(text));
}

/// Rewrites the lines of a field. What is no text, or would be none, stays.
fn change(response: &mut ResponseHeader, name: &HeaderName, rewrite: impl Fn(&str) -> Option<String>) {
    let changed = |value: &HeaderValue| HeaderValue::try_from(rewrite(value.to_str().ok()?)?).ok();
    let lines: Vec<(HeaderValue, Option<HeaderValue>)> =
        response.headers.get_all(name).iter().map(|value| (value.clone(), changed(value))).collect();
    if lines.iter().all(|(_, changed)| changed.is_none()) {
        return;
    }
    response.remove_header(name);
    for (line, changed) in lines {
        // It was a header a moment ago, or was made one above.
        let _ = response.append_header(name.clone(), changed.unwrap_or(line));
    }
}
