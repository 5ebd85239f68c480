//! How long a front-channel logout takes: from its answer at one replica until every replica refuses the session.
//!
//! For each logout, three pollers ask the three replicas directly, over kept connections, one request after the other,
//! from before the call until the first refusal and a few requests beyond it. What counts is when the refusal had
//! arrived, so the figure is too high by up to one poll, never too low.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use url::form_urlencoded;

use super::Fleet;
use super::crowd::Somebody;
use crate::harness::kept::{Answer, Ask, Connection, Outcome};

/// Beyond the first refusal each replica is asked so often, and must say the same.
const BEYOND: usize = 3;

/// Longer than this no refusal is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Logouts {
    /// From the answer to the last replica's refusal; zero where all had refused before the answer came.
    pub(super) delays: Vec<Duration>,
    /// Calls that were not answered as done.
    pub(super) unanswered: usize,
    /// Between two polls of one replica: how exact the delays are.
    pub(super) polls: Vec<Duration>,
    /// From the call to its answer.
    pub(super) calls: Vec<Duration>,
    /// Sessions that a replica accepted again after it had refused them, or for longer than anybody waits.
    pub(super) revived: usize,
}

/// What one poller saw.
struct Seen {
    refused_at: Option<Instant>,
    polls: Vec<Duration>,
    revived: bool,
}

/// Ends the sessions of these, one after the other and not faster than one in `pause`, at one replica after the other.
pub(super) fn measure(fleet: &Fleet, leaving: Vec<Arc<Somebody>>, pause: Duration) -> Logouts {
    let mut logouts = Logouts::default();
    let mut callers: Vec<Connection> = fleet.addresses.iter().map(|_| Connection::http1()).collect();
    let mut pollers: Vec<Connection> = fleet.addresses.iter().map(|_| Connection::http1()).collect();
    for (number, somebody) in leaving.into_iter().enumerate() {
        let next = Instant::now() + pause;
        let at = number % callers.len();
        let caller = (fleet.addresses[at], &mut callers[at]);
        end(fleet, &somebody, caller, &mut pollers, &mut logouts);
        fleet.crowd.left(somebody);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    logouts
}

fn end(
    fleet: &Fleet,
    somebody: &Somebody,
    (address, caller): (SocketAddr, &mut Connection),
    pollers: &mut [Connection],
    logouts: &mut Logouts,
) {
    let accepted = Barrier::new(pollers.len() + 1);
    let given_up = AtomicBool::new(false);
    somebody.leaves();
    let (called_at, answered_at, status, seen) = thread::scope(|scope| {
        let polls: Vec<_> = pollers
            .iter_mut()
            .zip(&fleet.addresses)
            .map(|(connection, replica)| {
                let (accepted, given_up) = (&accepted, &given_up);
                scope.spawn(move || poll(fleet, somebody, connection, *replica, accepted, given_up))
            })
            .collect();
        accepted.wait();
        let called_at = Instant::now();
        let outcome = caller.ask(address, &front_channel(fleet, somebody)).outcome;
        let answered_at = Instant::now();
        let status = match outcome {
            Outcome::Answered(answer) => answer.status,
            _ => 0,
        };
        let seen: Vec<Seen> = polls.into_iter().map(|poll| poll.join().unwrap()).collect();
        (called_at, answered_at, status, seen)
    });
    logouts.polls.extend(seen.iter().flat_map(|seen| &seen.polls));
    logouts.calls.push(answered_at - called_at);
    logouts.revived += seen.iter().filter(|seen| seen.revived || seen.refused_at.is_none()).count();
    if status != 200 {
        logouts.unanswered += 1;
        return;
    }
    let last = seen.iter().filter_map(|seen| seen.refused_at).max().unwrap_or(answered_at + PATIENCE);
    logouts.delays.push(last.saturating_duration_since(answered_at));
}

fn front_channel<'a>(fleet: &'a Fleet, somebody: &Somebody) -> Ask<'a> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("iss", &fleet.issuer)
        .append_pair("sid", somebody.person.sid())
        .finish();
    let target = format!("/oauth2/logout/frontchannel?{query}");
    Ask { method: "GET", target, authority: &fleet.authority, cookie: "", body: None }
}

/// Asks until the session is refused, and somewhat longer.
fn poll(
    fleet: &Fleet,
    somebody: &Somebody,
    connection: &mut Connection,
    replica: SocketAddr,
    accepted: &Barrier,
    given_up: &AtomicBool,
) -> Seen {
    let mut seen = Seen { refused_at: None, polls: Vec::new(), revived: false };
    let ask = Ask {
        method: "GET",
        target: "/fleet/polled".to_owned(),
        authority: &fleet.authority,
        cookie: &somebody.cookie,
        body: None,
    };
    let mut status = || match connection.ask(replica, &ask).outcome {
        Outcome::Answered(Answer { status, .. }) => status,
        _ => 0,
    };
    // A machine that is full may make a gateway wait for the store; nothing is measured before it goes on.
    let first = Instant::now();
    while status() != 200 && first.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    accepted.wait();
    let (began, mut last) = (Instant::now(), Instant::now());
    let mut beyond = 0;
    while beyond < BEYOND && !given_up.load(Ordering::Relaxed) {
        let status = status();
        let now = Instant::now();
        seen.polls.push(now - last);
        last = now;
        match (status, seen.refused_at) {
            (401, None) => seen.refused_at = Some(now),
            (401, Some(_)) => beyond += 1,
            (200, Some(_)) => {
                seen.revived = true;
                break;
            }
            (200, None) if began.elapsed() < PATIENCE => {}
            // Neither yes nor no: nobody was let in, and nothing is said of the delay.
            (_, _) if began.elapsed() < PATIENCE => {}
            _ => {
                given_up.store(true, Ordering::Relaxed);
            }
        }
    }
    seen
}
