//! Opening the session's cookie alone: base64, cipher, decoding, limits.

use portvakt_core::session::{Limits, ticket};

use super::{Measure, Row};
use crate::Result;
use crate::cpu;
use crate::world::World;

pub(super) const ROW: Row =
    Row { name: "ticket_open", what: "open a session's cookie", measure: Measure::Operation(open) };

fn open(world: &World) -> Result<f64> {
    let (sessions, ring, limits) = (&world.sessions, &world.keys.cookie, Limits::default());
    let before = cpu::of_this_thread()?;
    for value in sessions.cookies() {
        let opened = ticket::open(value, sessions.plan(), ring, &limits, sessions.began());
        std::hint::black_box(opened).ok_or("a session's cookie does not open")?;
    }
    Ok((cpu::of_this_thread()? - before) as f64 / sessions.cookies().count() as f64)
}
