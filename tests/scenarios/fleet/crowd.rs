//! Who is logged in, who has left, and who comes and goes meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::harness::World;
use crate::kills::people::{self, Person};

/// A session that ended is over everywhere within this time of the answer (`threats.md` CK-12).
pub(super) const ALLOWED: Duration = Duration::from_secs(1);

/// The provider shows so many sessions at a time.
const AT_ONCE: usize = 90;

/// Still here; leaving; otherwise microseconds of the crowd's clock at which the end was answered.
const HERE: u64 = 0;
const LEAVING: u64 = u64::MAX;

/// Somebody with a session.
pub(super) struct Somebody {
    pub(super) person: Person,
    pub(super) fnr: String,
    /// The line of cookies.
    pub(super) cookie: String,
    left: AtomicU64,
}

/// Everybody.
pub(super) struct Crowd {
    began: Instant,
    here: RwLock<Vec<Arc<Somebody>>>,
    gone: RwLock<Vec<Arc<Somebody>>>,
}

/// New people, whose sids are known.
pub(super) fn log_in(world: &World, count: usize) -> Vec<Arc<Somebody>> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        people::forget_provider_sessions(world);
        let mut some: Vec<Person> =
            (0..AT_ONCE.min(count - all.len())).map(|_| Person::logged_in(world)).collect();
        people::learn_sids(world, &mut some);
        all.extend(some.into_iter().map(|person| {
            let (fnr, cookie) = (person.fnr(), format!("__Host-portvakt={}", person.session_cookie()));
            Arc::new(Somebody { person, fnr, cookie, left: AtomicU64::new(HERE) })
        }));
    }
    all
}

impl Somebody {
    /// Whoever is leaving may be taken for nobody.
    pub(super) fn is_here(&self) -> bool {
        self.left.load(Ordering::Acquire) == HERE
    }

    /// Before the end is asked for.
    pub(super) fn leaves(&self) {
        self.left.store(LEAVING, Ordering::Release);
    }
}

impl Crowd {
    pub(super) fn of(people: Vec<Arc<Somebody>>) -> Self {
        Self { began: Instant::now(), here: RwLock::new(people), gone: RwLock::default() }
    }

    /// One of those who are here, by a number.
    pub(super) fn one(&self, number: usize) -> Arc<Somebody> {
        let here = self.here.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&here[number % here.len()])
    }

    /// One of those who have left.
    pub(super) fn one_gone(&self, number: usize) -> Option<Arc<Somebody>> {
        let gone = self.gone.read().unwrap_or_else(PoisonError::into_inner);
        (!gone.is_empty()).then(|| Arc::clone(&gone[number % gone.len()]))
    }

    pub(super) fn gone(&self) -> Vec<Arc<Somebody>> {
        self.gone.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody takes the place of another.
    pub(super) fn exchange(&self, place: usize, new: Arc<Somebody>) -> Arc<Somebody> {
        let mut here = self.here.write().unwrap_or_else(PoisonError::into_inner);
        let place = place % here.len();
        std::mem::replace(&mut here[place], new)
    }

    /// The end was answered as done.
    pub(super) fn left(&self, somebody: Arc<Somebody>) {
        somebody.left.store(self.now().max(1), Ordering::Release);
        self.gone.write().unwrap_or_else(PoisonError::into_inner).push(somebody);
    }

    /// Microseconds since it began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// Whether a request that was sent then must not have been accepted.
    pub(super) fn is_revived(&self, somebody: &Somebody, sent_at: u64) -> bool {
        let left = somebody.left.load(Ordering::Acquire);
        left != HERE && left != LEAVING && sent_at > left + u64::try_from(ALLOWED.as_micros()).unwrap()
    }
}
