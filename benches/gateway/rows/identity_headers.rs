//! Telling the app who it is: the values of the identity headers, with the session's handle.

use portvakt_core::forward::{HeaderPlan, plain};

use super::{Measure, Row};
use crate::Result;
use crate::cpu;
use crate::world::World;

/// How often one session's headers are made.
const TIMES: u32 = 100_000;

pub(super) const ROW: Row =
    Row { name: "identity_headers", what: "make the identity headers", measure: Measure::Operation(make) };

fn make(world: &World) -> Result<f64> {
    let plan = HeaderPlan::new("app".to_owned(), &[]);
    let before = cpu::of_this_thread()?;
    for _ in 0..TIMES {
        let headers = plain::headers(&plan, world.sessions.one(), world.keys.hashing())?;
        std::hint::black_box(headers);
    }
    Ok((cpu::of_this_thread()? - before) as f64 / f64::from(TIMES))
}
