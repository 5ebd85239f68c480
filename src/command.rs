//! The commands, one file each.

pub mod check;
mod doctor;
mod explain;
pub mod keys;
pub mod run;
mod test;
pub mod verify;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A reverse-proxy authentication gateway for ID-porten.
#[derive(Debug, Parser)]
#[command(name = "portvakt", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM; SIGHUP reloads the configuration; SIGQUIT hands over to a successor that is ready.
    Run(run::Run),
    /// Names every problem of the configuration, with its place and its remedy.
    Check(ConfigFile),
    /// Says what would happen to a request, and which line of the configuration says so.
    Explain(explain::Explain),
    /// Says which of the configuration's `tests` do not hold.
    Test(ConfigFile),
    /// Looks at everything around the gateway, and says what it means and what to do.
    Doctor(doctor::Doctor),
    /// Makes, rotates and lists keys.
    Keys(keys::Keys),
    /// Says which proofs of a captured request hold, and why one fails.
    Verify(verify::Verify),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "gateway.yaml")]
    pub config: PathBuf,
}

impl Cli {
    /// Does what was asked for.
    #[must_use]
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Run(run) => run.execute(),
            Command::Check(file) => check::execute(&file),
            Command::Explain(explain) => explain.execute(),
            Command::Test(file) => test::execute(&file),
            Command::Doctor(doctor) => doctor.execute(),
            Command::Keys(keys) => keys.execute(),
            Command::Verify(verify) => verify.execute(),
        }
    }
}

/// Writes what was asked for to standard output; a closed pipe is nobody's fault.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes what went wrong to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
