//! Gateways that share a real Redis: what one ends is over at the others, and whatever happens to the store, nobody
//! is let in whose session has ended (`design.md` D1; `threats.md` CK-12, LO-7, LO-8).
//!
//! Each scenario that breaks something has a watch over it, which asks every gateway all the time: those who have left
//! are never let in on strict routes, and those who stay get exactly the answers that the configuration promises.

mod between;
mod endless;
mod fleet;
mod gone;
mod keys;
mod lies;
mod lost;
mod places;
pub(crate) mod redis;
mod resp;

use self::fleet::Fleet;
use self::redis::Redis;

#[test]
fn what_one_ends_is_over_at_the_others() {
    let redis = Redis::start();
    let fleet = Fleet::at(redis.port, 3);
    let watch = fleet.watch();
    for at in 0..3 {
        let person = ["bankid-high", "bankid-high-2", "bankid-high"][at];
        let (cookie, other) = (fleet.log_in(person), fleet.log_in("d-number"));
        fleet.end(at, &cookie, &watch);
        assert_eq!(fleet.statuses("/app/", &other), [200; 3], "nobody else's");
    }
    // A store that takes its time is written to again: that is no alarm.
    for kind in ["foreign", "missing", "rewound"] {
        assert_eq!(fleet.alarms(kind), [0; 3], "{kind}");
    }
    watch.finish();
    fleet.finish();
}
