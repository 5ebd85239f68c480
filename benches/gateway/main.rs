//! What a request costs: CPU time of the proxy's process for each request, beside the smallest Pingora proxy in the
//! same run (`design.md` 4). `docs/performance.md` says how to read it.
//!
//! The program is five: this one measures; it starts the gateway as it is released, and itself again as the bare
//! proxy, the upstream and the load ([`Role`]). All of them stay on loopback and are ended by their ids.
//!
//! Names of rows as arguments restrict it to these and to what the summary compares.
//!
//! To add a row, add a file to `rows/` and a line to [`rows::ALL`].

mod bare;
mod cpu;
mod load;
mod person;
mod process;
mod protocol;
mod report;
mod rows;
mod sessions;
mod upstream;
mod world;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use protocol::Protocol;
use report::{Measured, Report};
use rows::Measure;
use world::World;

/// The gateway's allocator, also for the bare proxy, so that nothing else differs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What fails ends the run.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Rounds: each measures every row once, so that whatever disturbs the machine disturbs all rows.
const ROUNDS: usize = 31;

/// The fewest rounds that give medians, however slow the machine.
const FEWEST_ROUNDS: usize = 5;

/// Requests of one row in one round.
const REQUESTS: usize = 10_000;

/// No round begins later than this after the first.
const TIME: Duration = Duration::from_secs(200);

fn main() -> ExitCode {
    let outcome = match Role::of(std::env::args().skip(1)) {
        Role::Measure(names) => measure(&names),
        Role::Bare(arguments) => bare::run(&arguments),
        Role::Upstream => upstream::run(),
        Role::Load(arguments) => load::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&*error);
            ExitCode::FAILURE
        }
    }
}

/// What this process is.
enum Role {
    /// The one that cargo starts, with names of rows.
    Measure(Vec<String>),
    Bare(Vec<String>),
    Upstream,
    Load(Vec<String>),
}

impl Role {
    fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        match arguments.next() {
            Some(role) if role == bare::ROLE => Self::Bare(arguments.collect()),
            Some(role) if role == upstream::ROLE => Self::Upstream,
            Some(role) if role == load::ROLE => Self::Load(arguments.collect()),
            // What cargo says to every bench begins with two dashes.
            first => Self::Measure(
                first.into_iter().chain(arguments).filter(|name| !name.starts_with("--")).collect(),
            ),
        }
    }
}

fn measure(names: &[String]) -> Result<()> {
    let mut measured: Vec<Measured> =
        rows::ALL.iter().filter(|row| row.is_asked_for(names)).map(Measured::of).collect();
    let (mut held, mut timed): (Vec<_>, Vec<_>) = measured.iter_mut().partition(|row| row.is_memory());
    for row in &mut held {
        // Each in a gateway of its own: memory that was used before would be used again, and count for nothing.
        row.values.push(World::start()?.take(row.row, REQUESTS)?);
    }
    let mut world = World::start()?;
    let unused = world.memory()?;
    for row in &timed {
        world.take(row.row, REQUESTS)?; // Connections are made and caches filled before anything counts.
    }
    let began = Instant::now();
    for round in 0..ROUNDS {
        if round >= FEWEST_ROUNDS && began.elapsed() > TIME {
            break;
        }
        for row in &mut timed {
            let nanos = world.take(row.row, REQUESTS)?;
            row.values.push(nanos);
        }
    }
    let lost = world.lost_log_lines()?;
    let report = Report { measured, lost, requests: REQUESTS, unused, used: world.memory()? };
    report.write(&world.results)?;
    report.print(&world.results)
}

impl World {
    /// CPU nanoseconds for each request, or each operation, of a row; or bytes.
    fn take(&mut self, row: &rows::Row, requests: usize) -> Result<f64> {
        match row.measure {
            // A handshake costs as much as dozens of requests.
            Measure::Requests(to) if to.over == Protocol::Handshake => self.request(to, requests / 20),
            Measure::Requests(to) => self.request(to, requests),
            Measure::Operation(operation) => operation(self),
            Measure::Gateway(operation) => operation(self),
            Measure::Memory(to, number) => self.hold(to, number),
        }
    }
}
