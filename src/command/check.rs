//! `portvakt check`: every problem of the file, each with its line and its fix, and keys that should be
//! rotated.

use std::process::ExitCode;

use portvakt_core::clock::Clock;
use portvakt_core::config;

use super::{ConfigFile, complain, keys, say};

pub(super) fn execute(file: &ConfigFile) -> ExitCode {
    match config::load(&file.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&warning.to_string());
            }
            let of_keys = keys::warnings(&loaded.configuration, Clock::start().now());
            for warning in &of_keys {
                complain(warning);
            }
            let (hosts, routes) = loaded
                .configuration
                .hosts
                .iter()
                .fold((0, 0), |(hosts, routes), host| (hosts + 1, routes + host.routes.iter().count()));
            let warnings = loaded.warnings.len() + of_keys.len();
            say(&format!(
                "{}: sound; {hosts} hosts, {routes} routes, {warnings} warnings",
                file.config.display()
            ));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            complain(&problems.to_string());
            ExitCode::FAILURE
        }
    }
}
