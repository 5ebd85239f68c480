//! `portvakt check`: every problem of the file, each with its line and its fix; certificates and CAs that it names and
//! with which it would not be taken; keys that should be rotated.

use std::process::ExitCode;

use portvakt_core::clock::Clock;
use portvakt_core::config::{self, Loaded, Transport};

use super::{ConfigFile, complain, keys, say};
use crate::cause;
use crate::guard::Certificates;
use crate::provider::http;
use crate::snapshot::LoadError;
use crate::upstream::Upstreams;

pub(super) fn execute(file: &ConfigFile) -> ExitCode {
    match config::load(&file.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&warning.to_string());
            }
            let unusable = unusable(&loaded);
            if !unusable.is_empty() {
                unusable.iter().for_each(|why| complain(why));
                return ExitCode::FAILURE;
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

/// What is in the files that the configuration names, and cannot be used: neither a start nor a reload would take it.
fn unusable(loaded: &Loaded) -> Vec<String> {
    let configuration = &loaded.configuration;
    let mut errors = Vec::new();
    for listener in &configuration.listeners {
        if let Transport::Tls { certificate, key } = &listener.transport
            && let Err(source) = Certificates::read(certificate, key)
        {
            errors.push(LoadError::Certificate { address: listener.address, source });
        }
    }
    errors.extend(Upstreams::of(&configuration.hosts, None).err().map(LoadError::Upstream));
    for provider in &configuration.providers {
        let ca_file = provider.ca_file.clone();
        if let Some(path) = &ca_file
            && let Err(source) = http::client(Some(path), provider.insecure_http)
        {
            errors.push(LoadError::Provider { name: provider.name.clone(), ca_file, source });
        }
    }
    let in_words = |error: LoadError| {
        let error = error.at(&loaded.places, &configuration.keys, &loaded.files);
        format!(
            "{}\n   fix: put PEM files there: certificates, and the key that is theirs",
            cause::chain(&error)
        )
    };
    errors.into_iter().map(in_words).collect()
}
