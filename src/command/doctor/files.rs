//! How many files the gateway may hold open, against what `limits:` let in; and what others ask of files here.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};

use portvakt_core::config::FrontLimits;

use super::finding::Finding;
use super::{Surroundings, running};

/// What the process holds besides: logs, key files, sockets, idle connections to apps.
const BESIDES: u64 = 1_024;

/// A connection to an app has a second descriptor, by which its wait is cut.
const OF_AN_APP: u64 = 2;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let needed = needed(&around.configuration.limits);
    let running = running::status(around).await;
    let of_gateway = running.as_ref().and_then(|status| status["open_files_limit"].as_u64());
    let (limit, whose) = match of_gateway {
        Some(limit) => (limit, "the running gateway"),
        None => (
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            "this shell (no gateway runs; a service has its own limit)",
        ),
    };
    let subject = format!("of {whose}");
    if limit >= needed {
        return vec![Finding::ok(
            subject,
            format!("{limit} may be open, and `limits` need at most {needed}"),
        )];
    }
    vec![Finding::warn(
        subject,
        format!("{limit} may be open, and `limits` need up to {needed}"),
        "under load, new connections wait until others end, before `limits` say so",
        format!(
            "write `LimitNOFILE={}` in the service's unit, or lower `limits.connections` and `limits.requests`",
            needed.next_power_of_two()
        ),
    )]
}

/// Each request under way has a connection to its app.
fn needed(limits: &FrontLimits) -> u64 {
    limits.connections as u64 + OF_AN_APP * limits.requests as u64 + BESIDES
}

/// Whether this user may write a file, or in a folder. Nothing is opened.
pub(super) fn may_write(path: &Path) -> io::Result<()> {
    let what = if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    Ok(access(path, what)?)
}

/// The bytes that are left for everybody on a folder's disk.
pub(super) fn free_space(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portvakt_core::config;

    use super::*;

    #[test]
    fn a_request_under_way_needs_two_files_besides_its_connection() {
        let of = |limits: &str| {
            let text = format!(
                "version: 1\nenvironment: test\nlisteners: [{{address: '0.0.0.0:80', load_balancers: [10.0.0.0/8]}}]\n\
                 keys: keys\nlimits: {{{limits}}}\nupstreams: {{app: {{url: 'http://127.0.0.1:9'}}}}\n\
                 hosts: [{{origin: 'https://a.example', routes: [{{path: /, access: public, upstream: app}}]}}]\n"
            );
            needed(&config::parse(&text, "", Path::new(""), &|_| None).unwrap().configuration.limits)
        };
        let few = of("connections: 10, requests: 20");
        assert_eq!(of("connections: 11, requests: 20") - few, 1);
        assert_eq!(of("connections: 10, requests: 21") - few, 2);
    }
}
