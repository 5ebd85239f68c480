//! `portvakt doctor`: a list of checks against the live surroundings, one file for each.
//!
//! To add a check: a file here with one function from [`Surroundings`] to findings, and a line in [`examine`].
//!
//! **Invariant:** nothing is changed, neither on this machine nor elsewhere: no file is made, no key is used, and
//! apps are asked by GET or HEAD alone. Everything has a deadline.
//! **Invariant:** what fails says what it means for people and what to do: whoever reads it may have been woken.

mod audit;
mod certificates;
mod clock;
mod files;
mod finding;
mod hosts;
mod keys;
mod providers;
mod revocations;
mod running;
mod store;
mod unsigned;
mod upstreams;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Args;
use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Configuration};
use serde_json::json;

use self::finding::{Finding, Verdict};
use super::{ConfigFile, complain, say};

/// Exit when something fails.
const FAILED: u8 = 1;

/// Exit when nothing could be looked at.
const NOT_EXAMINED: u8 = 2;

/// Looks at everything around the gateway, and says what it means and what to do. Changes nothing.
///
/// Exit 0 when nothing fails, warnings or not; 1 when something does; 2 when the configuration does not load.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What the checks look at.
struct Surroundings {
    configuration: Configuration,
    /// Tells one state of its file from another.
    digest: String,
    clock: Clock,
}

type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// Every check by its name, in the order in which an operator would look.
fn examine(around: &Surroundings) -> Vec<(&'static str, Findings<'_>)> {
    vec![
        ("running", Box::pin(running::examine(around))),
        ("clock", Box::pin(clock::examine(around))),
        ("provider", Box::pin(providers::examine(around))),
        ("host", Box::pin(hosts::examine(around))),
        ("certificate", Box::pin(certificates::examine(around))),
        ("key", Box::pin(keys::examine(around))),
        ("upstream", Box::pin(upstreams::examine(around))),
        ("verified", Box::pin(unsigned::examine(around))),
        ("revocations", Box::pin(revocations::examine(around))),
        ("store", Box::pin(store::examine(around))),
        ("audit", Box::pin(audit::examine(around))),
        ("files", Box::pin(files::examine(around))),
    ]
}

impl Doctor {
    pub(super) fn execute(&self) -> ExitCode {
        // The configuration's own warnings are for `portvakt check`.
        let loaded = match config::load(&self.file.config, &|name| std::env::var(name).ok()) {
            Ok(loaded) => loaded,
            Err(problems) => {
                complain(&problems.to_string());
                return ExitCode::from(NOT_EXAMINED);
            }
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&format!("nothing can be looked at: {error}"));
                return ExitCode::from(NOT_EXAMINED);
            }
        };
        pingora::tls::install_default_crypto_provider();
        let around = Surroundings {
            configuration: loaded.configuration,
            digest: loaded.digest,
            clock: Clock::start(),
        };
        let findings = runtime.block_on(self.look(&around));
        let count = |verdict| findings.iter().filter(|(_, finding)| finding.verdict == verdict).count();
        let (fine, warnings, failed) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
        let file = self.file.config.display();
        if self.json {
            let findings: Vec<_> = findings.iter().map(|(check, finding)| finding.to_json(check)).collect();
            say(&json!({ "configuration": file.to_string(), "ok": fine, "warnings": warnings, "failed": failed, "findings": findings }).to_string());
        } else {
            say(&format!("{file}: {fine} ok, {warnings} to be looked at, {failed} failed"));
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
    }

    /// One check after the other; what each finds is said at once.
    async fn look(&self, around: &Surroundings) -> Vec<(&'static str, Finding)> {
        let mut all = Vec::new();
        for (check, findings) in examine(around) {
            for finding in findings.await {
                if !self.json {
                    say(&finding.in_words(check));
                }
                all.push((check, finding));
            }
        }
        all
    }
}
