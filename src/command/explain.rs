//! `portvakt explain`: what would happen to a request, and which line of the configuration says so.

use std::process::ExitCode;

use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use portvakt_core::clock::Clock;
use portvakt_core::config;
use portvakt_core::supposed::Supposed;

use super::{ConfigFile, complain, say};
use crate::gateway::explain::{self, Explanation, Question};

/// Says which route governs a request, what would happen to it, and which line of the configuration says so.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// Who is logged in: kind and level, such as `national:substantial`, `eidas:high,country=SE` or
    /// `employee:high,org=974760673`; or a machine with its token, such as `machine,scope=agency:read`, with
    /// `,consumer=NUMBER`, `,supplier=NUMBER` and `,source=URL`. Nobody by default.
    #[arg(long = "as", value_name = "KIND:LEVEL")]
    who: Option<Supposed>,
    /// A header that the request has besides, such as `Origin: https://other.example`; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    with: Vec<(HeaderName, HeaderValue)>,
    /// The method, in capitals.
    method: Method,
    /// The whole URL, such as `https://app.example.no/minside`.
    url: String,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `Name: value`")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "this is no header name")?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| "this is no header value")?;
    Ok((name, value))
}

impl Explain {
    /// Success if it could be explained, whatever would happen.
    pub(super) fn execute(&self) -> ExitCode {
        let loaded = match config::load(&self.file.config, &|name| std::env::var(name).ok()) {
            Ok(loaded) => loaded,
            Err(problems) => {
                complain(&problems.to_string());
                return ExitCode::FAILURE;
            }
        };
        let question = Question {
            method: &self.method,
            url: &self.url,
            with: &self.with,
            who: self.who.as_ref(),
            opened: false,
        };
        let file = self.file.config.display().to_string();
        match explain::explain(&question, &file, &loaded.configuration, Clock::start().now()) {
            Ok(explanation) => {
                say(&in_words(&explanation));
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        }
    }
}

fn in_words(explanation: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", explanation.outcome, explanation.reason)];
    lines.extend(explanation.found.iter().map(|(name, value)| format!("  {name:<13} {value}")));
    for (at, (name, what)) in explanation.headers.iter().enumerate() {
        let title = if at == 0 { "the app gets" } else { "" };
        lines.push(format!("  {title:<13} {name} ({what})"));
    }
    lines.join("\n")
}
