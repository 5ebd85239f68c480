//! The results: a table, a summary in one line, and JSON.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use crate::rows::{self, Measure, Row};
use crate::{Result, load};

/// A row with what it cost in each round.
pub(crate) struct Measured {
    pub(crate) row: &'static Row,
    /// CPU nanoseconds for one request or operation, by round; or bytes, once.
    pub(crate) values: Vec<f64>,
}

/// What a run found.
pub(crate) struct Report {
    pub(crate) measured: Vec<Measured>,
    /// Lines that the access log lost.
    pub(crate) lost: u64,
    /// Requests of one row in one round.
    pub(crate) requests: usize,
    /// The gateway's memory before the first request and after the last one, in bytes.
    pub(crate) unused: u64,
    pub(crate) used: u64,
}

impl Measured {
    pub(crate) fn of(row: &'static Row) -> Self {
        Self { row, values: Vec::new() }
    }

    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.row.measure, Measure::Memory(..))
    }

    /// Whether bare Pingora does the like.
    fn has_likeness(&self) -> bool {
        matches!(self.row.measure, Measure::Requests(_))
    }
}

/// What one row costs beside another.
struct Beside {
    /// The median of the differences within each round, in microseconds.
    more: f64,
    /// The throughput by CPU, as a percentage of the other's.
    throughput: f64,
}

impl Report {
    fn row(&self, name: &str) -> Result<&Measured> {
        Ok(self.measured.iter().find(|measured| measured.row.name == name).ok_or("a row is missing")?)
    }

    fn beside(&self, row: &Measured, other: &Measured) -> Beside {
        let pairs = || row.values.iter().zip(&other.values);
        Beside {
            more: median(pairs().map(|(one, other)| (one - other) / 1_000.0)),
            throughput: 100.0 * median(pairs().map(|(one, other)| other / one)),
        }
    }

    /// Writes the results as JSON.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let bare = self.row(rows::BARE)?;
        let rows: Vec<_> = self
            .measured
            .iter()
            .map(|measured| {
                if measured.is_memory() {
                    return json!({
                        "name": measured.row.name, "what": measured.row.what, "bytes": median(measured.values.iter().copied()),
                    });
                }
                let mut row = json!({
                    "name": measured.row.name, "what": measured.row.what,
                    "cpu_ns": { "median": median(measured.values.iter().copied()), "spread": spread(&measured.values),
                                "rounds": measured.values },
                });
                if measured.has_likeness() {
                    let beside = self.beside(measured, bare);
                    row["more_than_bare_us"] = json!(beside.more);
                    row["throughput_of_bare_percent"] = json!(beside.throughput);
                }
                row
            })
            .collect();
        let all = json!({
            "rows": rows, "requests_per_round": self.requests, "connections": load::CONNECTIONS,
            "access_log_lines_lost": self.lost, "gateway_bytes": { "unused": self.unused, "used": self.used }, "summary": self.summary()?,
        });
        fs::write(folder.join("gateway.json"), format!("{all:#}\n"))?;
        Ok(())
    }

    /// Prints the table and, as its last line, the summary.
    pub(crate) fn print(&self, folder: &Path) -> Result<()> {
        let bare = self.row(rows::BARE)?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "\n{:<48} {:>10} {:>8} {:>12} {:>10}",
            "CPU for one", "median", "spread", "over bare", "throughput"
        )?;
        let (held, timed): (Vec<_>, Vec<_>) = self.measured.iter().partition(|measured| measured.is_memory());
        for measured in timed {
            let nanos = median(measured.values.iter().copied());
            write!(
                out,
                "{:<48} {:>7.2} µs {:>7.1}%",
                measured.row.what,
                nanos / 1_000.0,
                100.0 * spread(&measured.values)
            )?;
            if measured.has_likeness() {
                let beside = self.beside(measured, bare);
                write!(out, " {:>+9.2} µs {:>9.1}%", beside.more, beside.throughput)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "\n{:<48} {:>10}", "Memory for one", "")?;
        for measured in held {
            writeln!(
                out,
                "{:<48} {:>7.1} KiB",
                measured.row.what,
                median(measured.values.iter().copied()) / 1024.0
            )?;
        }
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (unused, used) = (mebibytes(self.unused), mebibytes(self.used));
        writeln!(
            out,
            "The gateway's memory: {unused:.1} MiB before the first request, {used:.1} MiB after the last."
        )?;
        let rounds = bare.values.len();
        writeln!(
            out,
            "\nMedians of {rounds} rounds of {} requests each over {} connections. Spread: half the distance between the \
             quartiles.\nThroughput: by CPU, of bare Pingora's. {}\n",
            self.requests,
            load::CONNECTIONS,
            folder.join("gateway.json").display()
        )?;
        for (row, most) in rows::PROOFS {
            let Ok(measured) = self.row(row.name) else { continue };
            let more = self.beside(measured, self.row(rows::AUTHENTICATED)?).more;
            let target = match most {
                Some(most) if more <= most => format!(", target {most} µs: met"),
                Some(most) => format!(", target {most} µs: missed"),
                None => String::new(),
            };
            writeln!(out, "{}: {more:+.1} µs over the authenticated row{target}", row.what)?;
        }
        writeln!(out)?;
        if self.lost > 0 {
            writeln!(
                out,
                "The access log lost {} lines, which cost nothing: the disk was too slow.",
                self.lost
            )?;
        }
        writeln!(out, "{}", self.summary()?)?;
        Ok(())
    }

    fn summary(&self) -> Result<String> {
        let (bare, public) = (self.row(rows::BARE)?, self.row(rows::PUBLIC)?);
        let authenticated = self.row(rows::AUTHENTICATED)?;
        let over_bare = self.beside(authenticated, bare);
        Ok(format!(
            "authenticated costs {:.1} µs more than plain proxied (gateway public) and {:.1} µs more than bare Pingora = \
             {:.0} % of bare throughput by CPU",
            self.beside(authenticated, public).more,
            over_bare.more,
            over_bare.throughput
        ))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// Half the distance between the quartiles, as a part of the median.
fn spread(values: &[f64]) -> f64 {
    let at = |part| quantile(values.iter().copied(), part);
    (at(0.75) - at(0.25)) / 2.0 / at(0.5)
}

fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Says why the run ended.
pub(crate) fn complain(error: &dyn Error) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "bench: {error}");
}
