//! What a route says of WebSockets: nothing is opened that the file does not name.

use http::Method;

use super::{Circumstances, DAY, MINUTE, SECOND, bounded, place};
use crate::config::raw::RawRoute;
use crate::config::shape::{At, Desk};
use crate::route::{Origin, WebSockets};
use crate::upstream::{Protocol, Upstream};

/// How long a WebSocket may be silent.
const IDLE: std::time::Duration = MINUTE.saturating_mul(10);

/// The WebSockets of a route; `None`: none.
pub(super) fn websockets(
    raw: &RawRoute,
    methods: Option<&[Method]>,
    upstream: Option<&Upstream>,
    circumstances: Circumstances,
    desk: &mut Desk<'_>,
) -> Option<WebSockets> {
    let given = raw.websocket.as_ref().filter(|given| given.value);
    let idle = bounded(raw.websocket_idle.as_ref(), IDLE, SECOND..=DAY, desk);
    let origins: Vec<String> = raw
        .websocket_origins
        .iter()
        .flat_map(|list| &list.value)
        .filter_map(|text| origin(text, circumstances, desk))
        .collect();
    let Some(given) = given else {
        let idle = raw.websocket_idle.as_ref().map(|field| ("websocket_idle", &field.span));
        let origins = raw.websocket_origins.as_ref().map(|field| ("websocket_origins", &field.span));
        for (key, span) in [idle, origins].into_iter().flatten() {
            desk.error(
                span,
                format!("`{key}` has no effect: the route opens no WebSockets"),
                "write `websocket: true`, or remove it",
            );
        }
        return None;
    };
    if methods.is_some_and(|methods| !methods.contains(&Method::GET)) {
        desk.error(
            &given.span,
            "a WebSocket is opened by GET, which this route does not govern",
            "add `GET` to `methods`, or remove `websocket`",
        );
    }
    if let Some(upstream) = upstream.filter(|upstream| upstream.protocol == Protocol::Http2) {
        desk.error(
            &given.span,
            format!("the app `{}` speaks HTTP/2, and WebSockets are opened in HTTP/1.1", upstream.name),
            "remove `websocket`, or name another upstream of the same app with `protocol: http1`",
        );
    }
    Some(WebSockets { idle, origins })
}

/// As browsers write it.
fn origin(text: &At<String>, circumstances: Circumstances, desk: &mut Desk<'_>) -> Option<String> {
    let quoted = desk.quoted(&text.span);
    match place::origin(&text.value) {
        Ok(place) if circumstances.allow(&place) => {
            let port = place.port();
            Some(Origin { secure: place.secure, name: place.host.name, port }.to_string())
        }
        Ok(_) => {
            desk.error(&text.span, format!("{quoted} is not https"), "write `https://host[:port]`");
            None
        }
        Err(why) => {
            desk.error(
                &text.span,
                format!("{quoted} is no origin: {why}"),
                "write `https://host[:port]`, without a path",
            );
            None
        }
    }
}
