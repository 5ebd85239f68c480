//! A login, from the person's first request to the session: pushed authorization request, client assertion, code,
//! token, verification, cookies. The client's key signs two assertions.

use super::{Measure, Row};
use crate::Result;
use crate::world::World;

/// In one round.
const LOGINS: usize = 60;

pub(super) const ES256: Row = Row {
    name: "login_es256",
    what: "a login, ES256 client key",
    measure: Measure::Gateway(|world: &mut World| log_in(world, "idporten")),
};

pub(super) const RS256: Row = Row {
    name: "login_rs256",
    what: "a login, RS256 client key of 3072 bits",
    measure: Measure::Gateway(|world: &mut World| log_in(world, "rsa")),
};

fn log_in(world: &mut World, provider: &str) -> Result<f64> {
    world.log_in(provider, LOGINS)
}
