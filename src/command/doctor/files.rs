//! How many files the gateway may hold open, against what `limits:` let in; and what others ask of files here.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::{Surroundings, running};

/// What the process holds besides connections: logs, key files, sockets, idle connections to apps.
const BESIDES: u64 = 1_024;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let limits = &around.configuration.limits;
    // Each request under way has a connection to its app.
    let needed = limits.connections as u64 + limits.requests as u64 + BESIDES;
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
