//! What a run showed: in words, in its last line, and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::Tally;
use super::logouts::Logouts;
use super::store::Commands;
use super::{Soaked, count};

/// The target (`design.md` 4): in force on every replica, from the logout's answer.
const TARGET: Duration = Duration::from_millis(100);

/// Commands a second vary by so much although nothing but time makes them: beats are a second apart, and a window cuts
/// them somewhere.
const UNEVEN: f64 = 0.05;

/// What the store did in some time.
pub(super) struct Counted {
    requests: u64,
    seconds: f64,
    commands: u64,
    calls: BTreeMap<String, u64>,
}

impl Counted {
    pub(super) fn between(before: &Commands, after: &Commands, requests: u64, took: Duration) -> Self {
        let calls = after
            .calls
            .iter()
            .map(|(name, calls)| (name.clone(), calls - before.calls.get(name).copied().unwrap_or_default()));
        Self {
            requests,
            seconds: took.as_secs_f64(),
            commands: after.total - before.total,
            calls: calls.filter(|(_, calls)| *calls > 0).collect(),
        }
    }

    fn requests_a_second(&self) -> f64 {
        number(self.requests) / self.seconds
    }

    fn commands_a_second(&self) -> f64 {
        number(self.commands) / self.seconds
    }

    fn json(&self) -> Value {
        json!({
            "requests_per_second": round(self.requests_a_second(), 1),
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "store_commands": self.commands,
            "store_commands_per_second": round(self.commands_a_second(), 3),
            "by_command": self.calls,
        })
    }
}

/// Everything that `make replicas` shows.
pub(super) struct Measured {
    pub(super) most: f64,
    pub(super) half: f64,
    pub(super) low: Counted,
    pub(super) high: Counted,
    pub(super) logouts: Logouts,
    /// What clients met is of the whole run.
    pub(super) soaked: Soaked,
}

impl Measured {
    /// By how much more requests made the store do more. Below zero, where more entries are read at a time because
    /// there is more to do.
    fn calls_per_request(&self) -> f64 {
        let commands = self.high.commands_a_second() - self.low.commands_a_second();
        commands / (self.high.requests_a_second() - self.low.requests_a_second())
    }

    pub(super) fn judge(&self) {
        let (low, high) = (self.low.commands_a_second(), self.high.commands_a_second());
        assert!(high - low <= UNEVEN * low + 1.0, "{low} commands a second became {high}");
        assert_eq!(self.logouts.unanswered, 0, "front-channel calls that were not answered as done");
        assert_eq!(self.logouts.revived, 0, "sessions that were accepted after they had ended");
        judge_soak(&self.soaked);
        // Among the tests the machine may be about much else.
        if self.soaked.took > Duration::from_secs(120) {
            assert!(percentile(&self.logouts.delays, 99) <= TARGET, "later than {TARGET:?}");
        }
    }
}

pub(super) fn judge_soak(soaked: &Soaked) {
    let tally = &soaked.tally;
    assert_eq!((tally.wrong, tally.revived), (0, 0), "{:#?}", tally.told);
    assert_eq!((tally.failed, soaked.moved.failed), (0, 0), "{:#?}", tally.told);
    assert_eq!(soaked.moved.revived, 0, "sessions that were accepted after they had ended");
    assert_eq!(soaked.moved.strangers, 0, "requests that came as somebody else");
    let every_way = soaked.moved.left.iter().all(|left| *left > 0);
    assert!(every_way || soaked.took.is_zero(), "not every way to leave: {:?}", soaked.moved);
}

#[expect(clippy::print_stdout, reason = "`make replicas` shows the figures")]
pub(super) fn measured(measured: &Measured, result: Option<&Path>) {
    let Measured { most, half, low, high, logouts, soaked } = measured;
    let tally = &soaked.tally;
    let at = |percent| milliseconds(percentile(&logouts.delays, percent));
    let polls = percentile(&logouts.polls, 50);
    println!(
        "\n{most:.0} requests a second are the most that this machine bears; half of it: {half:.0} reached"
    );
    for (name, counted) in [("few", low), ("many", high)] {
        println!(
            "{name} requests: {:.1} a second for {:.1} s, {} commands of the store, {:.3} a second: {:?}",
            counted.requests_a_second(),
            counted.seconds,
            counted.commands,
            counted.commands_a_second(),
            counted.calls,
        );
    }
    let before = logouts.delays.iter().filter(|delay| delay.is_zero()).count();
    println!(
        "{:.3} commands a second more for {:.1} requests a second more: {:.6} for each",
        high.commands_a_second() - low.commands_a_second(),
        high.requests_a_second() - low.requests_a_second(),
        measured.calls_per_request(),
    );
    println!(
        "from a logout's answer to the last replica's refusal: p50 {} ms, p99 {} ms, most {} ms; {before} of {} were \
         refused everywhere before the answer; a poll took {} ms at p50, {} ms at p99; the answer took {} ms at p50, \
         {} ms at p99",
        at(50),
        at(99),
        at(100),
        logouts.delays.len(),
        milliseconds(polls),
        milliseconds(percentile(&logouts.polls, 99)),
        milliseconds(percentile(&logouts.calls, 50)),
        milliseconds(percentile(&logouts.calls, 99)),
    );
    say_soak(soaked);
    let last = format!(
        "revocation p99 {} ms over {} logouts; {} store calls per request; {} failed of {} requests; \
         {} wrong identities",
        at(99),
        logouts.delays.len(),
        plain(measured.calls_per_request()),
        tally.failed + logouts.unanswered + soaked.moved.failed,
        tally.requests,
        tally.wrong + soaked.moved.strangers,
    );
    println!("{last}");
    let json = json!({
        "machine": machine(),
        "load": {"most_per_second": round(*most, 0), "half_per_second": round(*half, 0)},
        "store": {
            "few": low.json(),
            "many": high.json(),
            "calls_per_request": measured.calls_per_request(),
        },
        "logouts": {
            "count": logouts.delays.len(),
            "not_answered_as_done": logouts.unanswered,
            "refused_everywhere_before_the_answer": before,
            "p50_ms": at(50),
            "p99_ms": at(99),
            "max_ms": at(100),
            "poll_p50_ms": milliseconds(polls),
            "poll_p99_ms": milliseconds(percentile(&logouts.polls, 99)),
            "answer_p50_ms": milliseconds(percentile(&logouts.calls, 50)),
            "answer_p99_ms": milliseconds(percentile(&logouts.calls, 99)),
        },
        "soak": soak_json(soaked),
        "requests": requests_json(tally),
        "summary": last,
    });
    write(result, &json);
    let busy = format!(
        "Last run, on {} processors that everything shared, {} build: the machine bore {most:.0} requests a second; at {half:.0} a \
         second {} logouts were refused everywhere {} ms (p50), {} ms (p99) and at most {} ms after their answer, {before} of them \
         before it, with polls of {} ms (p50) and {} ms (p99). The store did {:.2} commands a second at {:.1} requests a second, \
         and {:.2} at {:.0}: {:.6} more for each request. {}",
        processors(),
        build(),
        logouts.delays.len(),
        at(50),
        at(99),
        at(100),
        milliseconds(polls),
        milliseconds(percentile(&logouts.polls, 99)),
        low.commands_a_second(),
        low.requests_a_second(),
        high.commands_a_second(),
        high.requests_a_second(),
        measured.calls_per_request(),
        trouble_in_words(soaked),
    );
    read_out(result, "replicas", &format!("{busy}\n\n    {last}"));
}

fn trouble_in_words(soaked: &Soaked) -> String {
    let (moved, tally) = (&soaked.moved, &soaked.tally);
    format!(
        "In {:.0} s of trouble {} things were done to replicas and store, and {} sessions ended; {} were accepted afterwards. After \
         the store was back, all replicas were sure again within {} ms. {} requests were held back meanwhile, and {} posts \
         were left without an answer by a connection that closed.",
        soaked.took.as_secs_f64(),
        soaked.done.values().sum::<usize>(),
        moved.left.iter().sum::<usize>(),
        moved.revived + tally.revived,
        milliseconds(soaked.longest_back),
        tally.held_back,
        tally.unanswered,
    )
}

#[expect(clippy::print_stdout, reason = "`make soak` shows the figures")]
pub(super) fn soaked(soaked: &Soaked, result: Option<&Path>) {
    println!();
    say_soak(soaked);
    let (moved, tally) = (&soaked.moved, &soaked.tally);
    let last = format!(
        "{:.1} minutes, {} disturbances; {} sessions ended, {} revived; {} failed of {} requests; {} wrong identities",
        soaked.took.as_secs_f64() / 60.0,
        soaked.done.values().sum::<usize>(),
        moved.left.iter().sum::<usize>(),
        moved.revived + tally.revived,
        tally.failed + moved.failed,
        tally.requests,
        tally.wrong + moved.strangers,
    );
    println!("{last}");
    let json = json!({
        "machine": machine(),
        "soak": soak_json(soaked),
        "requests": requests_json(tally),
        "summary": last,
    });
    write(result, &json);
    let run = format!("Last long run, {} build: {}", build(), trouble_in_words(soaked));
    read_out(result, "soak", &format!("{run}\n\n    {last}"));
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn say_soak(soaked: &Soaked) {
    let tally = &soaked.tally;
    println!("{:.0} s of {:?}", soaked.took.as_secs_f64(), soaked.done);
    println!(
        "{:?}; all replicas were sure again at most {} ms after the store was back",
        soaked.moved,
        milliseconds(soaked.longest_back)
    );
    println!(
        "{} requests were asked again, {} posts were left without an answer by a kept connection, {} were held back \
         (503 with Retry-After, or nobody where nobody has to log in) while the store was troubled; {} accepted after the session's end",
        tally.again, tally.unanswered, tally.held_back, tally.revived
    );
    for told in &tally.told {
        println!("  {told}");
    }
}

fn soak_json(soaked: &Soaked) -> Value {
    let moved = &soaked.moved;
    let [own, front, back] = moved.left;
    json!({
        "seconds": round(soaked.took.as_secs_f64(), 0),
        "fleets_started": soaked.begun,
        "disturbances": soaked.done,
        "logins": moved.came,
        "logins_or_logouts_that_failed": moved.failed,
        "logouts": {"own": own, "front_channel": front, "back_channel": back},
        "logouts_asked_again": moved.asked_again,
        "looks_at_ended_sessions": moved.looks,
        "revived": moved.revived,
        "came_as_somebody_else": moved.strangers,
        "longest_until_all_were_sure_again_ms": milliseconds(soaked.longest_back),
    })
}

fn requests_json(tally: &Tally) -> Value {
    json!({
        "requests": tally.requests,
        "failed": tally.failed,
        "wrong_identities": tally.wrong,
        "accepted_after_the_end": tally.revived,
        "asked_again": tally.again,
        "posts_left_without_an_answer": tally.unanswered,
        "held_back_while_the_store_was_troubled": tally.held_back,
    })
}

/// On what it ran.
fn machine() -> Value {
    let says = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    };
    json!({
        "processors": processors(),
        "build": build(),
        "store": says("redis-server", "--version"),
        "balancer": says("haproxy", "-v"),
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Puts a paragraph between its marks in the documentation beside the result.
fn read_out(result: Option<&Path>, mark: &str, paragraph: &str) {
    let Some(file) = result.and_then(|result| Some(result.parent()?.parent()?.join("replicas.md"))) else {
        return;
    };
    let Ok(text) = fs::read_to_string(&file) else { return };
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, behind)) = parts else { return };
    // Who reads the figures finds them in the result too.
    let _ = fs::write(&file, format!("{before}{begin}{paragraph}\n{end}{behind}"));
}

#[expect(clippy::print_stderr, reason = "a result that cannot be kept is still in the output")]
fn write(result: Option<&Path>, json: &Value) {
    let Some(file) = result else { return };
    if let Err(error) = fs::write(file, format!("{json:#}\n")) {
        eprintln!("{}: {error}", file.display());
    }
}

/// The value that so many of a hundred do not exceed.
fn percentile(all: &[Duration], percent: usize) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0, 2)
}

fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    // No minus before a zero.
    (value * factor).round() / factor + 0.0
}

/// With its digits; `0` for less than one in ten thousand.
fn plain(calls: f64) -> String {
    if calls < 0.000_1 { "0".to_owned() } else { format!("{calls:.4}") }
}

fn number(value: u64) -> f64 {
    count(usize::try_from(value).unwrap())
}

#[test]
fn percentiles_are_of_what_was_measured() {
    let all: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
    let at = |percent| percentile(&all, percent).as_millis();
    assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
    assert_eq!(percentile(&[], 99), Duration::ZERO);
    assert_eq!(format!("{}", round(-0.000_01, 4)), "0");
}
