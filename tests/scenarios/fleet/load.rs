//! The load: people read and post over kept connections, and each reply is held against the cookie that asked.
//!
//! Of twenty requests thirteen read, four post, one is nobody's, and two are on routes where it is not asked who reads.
//! Half of the clients speak HTTP/2. Where it counts how many requests there are, each client asks several at a time over
//! HTTP/1.1, and does not post: that costs the clients less, who share the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Fleet;
use super::crowd::Somebody;
use crate::harness::kept::{Answer, Ask, Asked, Connection, Outcome};

/// So many failures are told in words.
const TOLD: usize = 12;

/// No client waits longer for its next request before it looks whether the load is over.
const STEP: Duration = Duration::from_millis(100);

/// How hard it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) clients: usize,
    /// Requests a second; `None`: as many as can be made.
    pub(super) rate: Option<f64>,
    /// Requests that a client asks at a time.
    pub(super) together: usize,
}

/// What the clients met.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Tally {
    pub(super) requests: usize,
    /// Asked a second time, as RFC 9110, 9.2.2 allows.
    pub(super) again: usize,
    /// Posts that a kept connection left without an answer.
    pub(super) unanswered: usize,
    /// 503 with `Retry-After` while the store was being troubled: what the configuration says.
    pub(super) held_back: usize,
    pub(super) failed: usize,
    pub(super) wrong: usize,
    /// Accepted although the session had ended.
    pub(super) revived: usize,
    /// To be held against what the app was asked; who goes on has another app.
    #[serde(skip)]
    pub(super) posted: Vec<String>,
    pub(super) told: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.again += other.again;
        self.unanswered += other.unanswered;
        self.held_back += other.held_back;
        self.failed += other.failed;
        self.wrong += other.wrong;
        self.revived += other.revived;
        self.posted.extend(other.posted);
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }
}

/// Runs until `work` is done; gives what it gave, what the clients met, and how long it took.
pub(super) fn during<T: Send>(
    fleet: &Fleet,
    load: Load,
    work: impl FnOnce() -> T + Send,
) -> (T, Tally, Duration) {
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (outcome, tally) = thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|number| {
                let over = &over;
                scope.spawn(move || Client::new(fleet, number, load).run(load, over))
            })
            .collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Release);
        let mut tally = Tally::default();
        clients.into_iter().for_each(|client| tally.add(client.join().unwrap()));
        (outcome, tally)
    });
    match outcome {
        Ok(outcome) => (outcome, tally, began.elapsed()),
        Err(panic) => {
            fleet.complain(&format!("{:?}", tally.told));
            std::panic::resume_unwind(panic)
        }
    }
}

/// What a client asks for next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Post,
    Nobody,
    Public,
    Optional,
}

impl Kind {
    fn of(number: usize) -> Self {
        match number % 20 {
            2 | 7 | 12 | 17 => Self::Post,
            5 => Self::Nobody,
            9 => Self::Public,
            15 => Self::Optional,
            _ => Self::Read,
        }
    }
}

/// Of whom, and for what.
struct Request {
    kind: Kind,
    method: &'static str,
    target: String,
    somebody: Arc<Somebody>,
}

impl Request {
    fn ask<'a>(&'a self, fleet: &'a Fleet) -> Ask<'a> {
        Ask {
            method: self.method,
            target: self.target.clone(),
            authority: &fleet.authority,
            cookie: if self.kind == Kind::Nobody { "" } else { &self.somebody.cookie },
            body: (self.kind == Kind::Post).then_some("a few words"),
        }
    }
}

struct Client<'a> {
    fleet: &'a Fleet,
    number: usize,
    front: std::net::SocketAddr,
    connection: Connection,
    tally: Tally,
}

impl<'a> Client<'a> {
    fn new(fleet: &'a Fleet, number: usize, load: Load) -> Self {
        let http1 = load.together > 1 || number.is_multiple_of(2);
        let connection = if http1 { Connection::http1() } else { Connection::http2() };
        let front = fleet.fronts[number / 2 % fleet.fronts.len()];
        Self { fleet, number, front, connection, tally: Tally::default() }
    }

    fn run(mut self, load: Load, over: &AtomicBool) -> Tally {
        let clients = super::count(load.clients);
        let at_once = clients * super::count(load.together);
        let pause = load.rate.map(|rate| Duration::from_secs_f64(at_once / rate));
        // Not all at the same moment.
        let share = super::count(self.number) / clients;
        let mut next = Instant::now() + pause.unwrap_or_default().mul_f64(share);
        while !over.load(Ordering::Acquire) {
            if let Some(pause) = pause {
                let wait = next.saturating_duration_since(Instant::now());
                if wait > STEP {
                    thread::sleep(STEP);
                    continue;
                }
                thread::sleep(wait);
                // Who is late does not catch up: the rate is the most, not the mean.
                next = (next + pause).max(Instant::now());
            }
            if load.together > 1 { self.ask_together(load.together) } else { self.ask() }
        }
        self.tally
    }

    fn ask(&mut self) {
        let request = self.next(Kind::of(self.tally.requests + self.number));
        let sent_at = self.fleet.crowd.now();
        let outcome = self.connection.ask(self.front, &request.ask(self.fleet));
        self.judge(&request, sent_at, outcome);
    }

    fn ask_together(&mut self, count: usize) {
        let kinds = (0..count).map(|place| Kind::of(self.tally.requests + self.number + place));
        // What is not done twice is not asked before the answer to another is there.
        let kinds = kinds.map(|kind| if kind == Kind::Post { Kind::Read } else { kind });
        let requests: Vec<Request> = kinds.map(|kind| self.next(kind)).collect();
        let asks: Vec<Ask<'_>> = requests.iter().map(|request| request.ask(self.fleet)).collect();
        let sent_at = self.fleet.crowd.now();
        let outcomes = self.connection.ask_together(self.front, &asks);
        for (request, outcome) in requests.iter().zip(outcomes) {
            self.judge(request, sent_at, Asked { outcome, again: false, unanswered: false });
        }
    }

    fn next(&self, kind: Kind) -> Request {
        static NAMES: AtomicUsize = AtomicUsize::new(0);
        let name = NAMES.fetch_add(1, Ordering::Relaxed);
        // Neighbouring requests of one connection are of different people.
        let somebody = self.fleet.crowd.one(name.wrapping_mul(7919));
        let (method, target) = match kind {
            Kind::Read => ("GET", format!("/fleet/got/{name}")),
            Kind::Post => ("POST", format!("/fleet/posted/{name}")),
            Kind::Nobody => ("GET", format!("/fleet/nobody/{name}")),
            Kind::Public => ("GET", format!("/open/{name}")),
            Kind::Optional => ("GET", format!("/maybe/{name}")),
        };
        Request { kind, method, target, somebody }
    }

    fn judge(&mut self, request: &Request, sent_at: u64, came: Asked) {
        let Request { kind, method, target, somebody } = request;
        let (kind, asked) = (*kind, &*format!("{method} {target}"));
        self.fleet.requests.fetch_add(1, Ordering::Relaxed);
        self.tally.requests += 1;
        let tally = &mut self.tally;
        tally.again += usize::from(came.again);
        if came.unanswered {
            tally.unanswered += 1;
            return;
        }
        let failure = match came.outcome {
            Outcome::Answered(Answer { status: 200, body, .. })
                if kind == Kind::Optional
                    && is_nobodys(&body)
                    && somebody.is_here()
                    && !self.fleet.store_is_troubled() =>
            {
                format!("{asked}: taken for nobody")
            }
            Outcome::Answered(Answer { status: 200, body, .. }) if kind != Kind::Nobody => {
                // Where nobody has to log in, whoever leaves is nobody, and so is everybody while it is not known who left.
                let nobody = kind == Kind::Optional && is_nobodys(&body);
                let troubled = nobody && self.fleet.store_is_troubled();
                let person = match kind {
                    Kind::Public => None,
                    _ if nobody && (troubled || !somebody.is_here()) => None,
                    _ => Some(somebody.fnr.as_str()),
                };
                tally.held_back += usize::from(troubled);
                if let Some(fault) = self.fleet.judge.fault(asked, person, &body) {
                    tally.wrong += 1;
                    tally.tell(format!("wrong: {fault}"));
                } else if person.is_some() && self.fleet.crowd.is_revived(somebody, sent_at) {
                    tally.revived += 1;
                    tally.tell(format!("revived: {asked}"));
                } else if kind == Kind::Post {
                    tally.posted.push(target.clone());
                }
                return;
            }
            Outcome::Answered(Answer { status: 401, .. }) if kind == Kind::Nobody || !somebody.is_here() => {
                return;
            }
            Outcome::Answered(Answer { status: 503, retry_after: true, .. })
                if self.fleet.store_is_troubled() =>
            {
                tally.held_back += 1;
                return;
            }
            Outcome::Answered(Answer { status, body, .. }) => {
                let page = String::from_utf8_lossy(&body);
                format!("{asked}: {status} {}", page.chars().take(120).collect::<String>())
            }
            Outcome::NotBegun => format!("{asked}: not begun on a new connection either"),
            Outcome::Closed { .. } => format!("{asked}: closed without an answer"),
            Outcome::Refused(error) => format!("{asked}: {error}"),
        };
        tally.failed += 1;
        tally.tell(failure);
    }
}

/// Whether the app was told of nobody.
fn is_nobodys(body: &[u8]) -> bool {
    body.iter().filter(|byte| **byte == b'\n').count() == 1
}
