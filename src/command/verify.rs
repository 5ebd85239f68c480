//! `portvakt verify`: given a captured request, says which proofs hold and why one fails.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::config;
use portvakt_core::forward::proof::{self, Captured, NotCaptured, Outcome};
use portvakt_core::key::{KeyFileError, Keys};

use super::{ConfigFile, complain, say};
use crate::cause;

/// Captures are requests with small bodies.
const MAX_CAPTURE: u64 = 4 * 1024 * 1024;

/// Says which proofs of a captured request hold, and why one fails.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A request as the app received it: its header with or without the body, the output of `curl -v`, or a
    /// HAR file; `-` is standard input.
    request: PathBuf,
    /// When it is judged, in Unix seconds; now by default.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("{0}")]
    File(config::Problems),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("{path} cannot be read")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no captured request")]
    Form {
        path: String,
        #[source]
        source: NotCaptured,
    },
}

impl Verify {
    /// Success if what there is holds, and there is something.
    pub(super) fn execute(&self) -> ExitCode {
        match self.judge() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(&cause::chain(&error));
                ExitCode::FAILURE
            }
        }
    }

    fn judge(&self) -> Result<bool, VerifyError> {
        let loaded =
            config::load(&self.file.config, &|name| std::env::var(name).ok()).map_err(VerifyError::File)?;
        let keys = Keys::load(&loaded.configuration.keys)?;
        let path = self.request.display().to_string();
        let text = read(&self.request).map_err(|source| VerifyError::Read { path: path.clone(), source })?;
        let captured = Captured::parse(&text).map_err(|source| VerifyError::Form { path, source })?;
        let routes = || loaded.configuration.hosts.iter().flat_map(|host| host.routes.iter());
        let signatures: Vec<_> = routes().filter_map(|route| route.signature.as_deref()).collect();
        let assertions: Vec<_> = routes().filter_map(|route| route.assertion.as_deref()).collect();
        let now = self.at.map_or_else(|| Clock::start().now(), Timestamp::from_seconds);
        let findings = proof::judge(&captured, &signatures, &assertions, &keys, now);
        for finding in &findings {
            say(&finding.to_string());
        }
        let any = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
        Ok(any(Outcome::Holds) && !any(Outcome::Fails))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let source: Box<dyn io::Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
    let mut text = String::new();
    source.take(MAX_CAPTURE).read_to_string(&mut text)?;
    Ok(text)
}
