//! Server-sent events: what one costs on its way, when they come one by one.

use super::{Measure, Protocol, Proxy, Requests, Row};
use crate::Result;
use crate::upstream::EVENTS;
use crate::world::World;

pub(super) const ROW: Row =
    Row { name: "event", what: "gateway, one server-sent event", measure: Measure::Gateway(take) };

/// So many streams at a time.
const STREAMS: usize = 32;

fn take(world: &mut World) -> Result<f64> {
    let sort =
        Requests { through: Proxy::Gateway, over: Protocol::Http1, path: "/app/events", session: true };
    let nanos = world.stream(sort, STREAMS)?;
    Ok(nanos / EVENTS as f64)
}
