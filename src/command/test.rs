//! `portvakt test`: whether the expectations of the configuration hold.

use std::process::ExitCode;

use portvakt_core::clock::Clock;
use portvakt_core::config;

use super::{ConfigFile, complain, say};
use crate::gateway::explain;

pub(super) fn execute(file: &ConfigFile) -> ExitCode {
    let loaded = match config::load(&file.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            complain(&problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    let name = file.config.display().to_string();
    let broken = explain::broken(&loaded.configuration, &name, Clock::start().now());
    for broken in &broken {
        say(broken);
    }
    let all = loaded.configuration.tests.len();
    if all == 0 {
        complain(&format!("{name}: there are no `tests`"));
    }
    say(&format!("{name}: {all} expectations, {} do not hold", broken.len()));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
