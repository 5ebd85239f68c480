//! The logs that are demanded: the audit log of logins and logouts (dossier 3.6), what the running gateway says of its
//! logs, and room for all that are files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use portvakt_core::config::LogTarget;

use serde_json::Value;

use super::files::{free_space, may_write};
use super::finding::Finding;
use super::{Surroundings, running};

/// Less room than this is soon none.
const ROOM: u64 = 256 << 20;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let logs = &around.configuration.logs;
    let demanding = around.configuration.providers.iter().find(|provider| provider.profile.demands_audit);
    let running = running::status(around).await;
    let in_force = running.as_ref().is_some_and(|status| status["digest"] == around.digest.as_str());
    let mut findings = Vec::new();
    match (&logs.audit, demanding) {
        (LogTarget::Off, Some(provider)) => findings.push(Finding::fail(
            "",
            format!("the audit log is off, and people log in at `{}`", provider.name),
            format!(
                "the terms of profile `{}` demand time, action, result, address and `sid` of each login and logout; what is not written now cannot be written later",
                provider.profile.name
            ),
            "write `logs: {audit: {file: PATH}}`",
        )),
        (LogTarget::Off, None) => findings.push(Finding::ok("", "it is off, and no provider here demands it")),
        (LogTarget::Stdout, _) => findings.push(Finding::warn(
            "",
            "it goes to standard output, together with what else is said there",
            "`sid` is readable for everybody who reads the process's output",
            "write `logs: {audit: {file: PATH}}`, and let few people read that file",
        )),
        (LogTarget::File(path), _) => findings.push(look_at("", path, true, in_force)),
    }
    if let LogTarget::File(path) = &logs.access {
        findings.push(look_at("access log", path, false, in_force));
    }
    findings.extend(running.iter().flat_map(what_fails));
    findings
}

/// What the running gateway says of its logs itself.
fn what_fails(status: &Value) -> Vec<Finding> {
    let failing = |log: &&Value| log["failing"] == true;
    let said = |log: &Value| {
        Finding::fail(
            "",
            format!(
                "the gateway cannot write its {} log; {} lines are lost so far",
                log["name"].as_str().unwrap_or_default(),
                log["dropped"]
            ),
            "it keeps some ten thousand lines until it can; what comes beyond is lost",
            "give it room or rights there, or another place in `logs`: a reload takes the lines that wait along",
        )
    };
    status["logs"].as_array().into_iter().flatten().filter(failing).map(said).collect()
}

fn look_at(name: &str, path: &Path, holds_sid: bool, in_force: bool) -> Finding {
    let subject = format!("{name} {}", path.display()).trim_start().to_owned();
    let means = "lines are lost: what people did cannot be told afterwards";
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let asked = if path.exists() { path } else { folder };
    if in_force && !path.exists() {
        return Finding::fail(
            subject,
            "it is not there, and a gateway runs: it writes into a file that somebody has taken away",
            means,
            "SIGHUP (`systemctl reload portvakt`) makes it anew; let what rotates it do that each time",
        );
    }
    if let Err(error) = may_write(asked) {
        let remedy = format!("give the gateway's user {} to write; run this as that user", asked.display());
        return Finding::fail(subject, format!("it cannot be written: {error}"), means, remedy);
    }
    if let Some(free) = free_space(folder).filter(|free| *free < ROOM) {
        return Finding::fail(
            subject,
            format!("{} MiB are left on its disk", free >> 20),
            means,
            "free some space there, and rotate it (`logrotate`, then SIGHUP)",
        );
    }
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if holds_sid && mode & 0o007 != 0 {
        return Finding::warn(
            subject,
            format!("everybody on this machine may read it (mode {mode:03o})"),
            "it holds `sid`, by which a provider's session can be ended",
            format!("`chmod 640 {}`", path.display()),
        );
    }
    Finding::ok(subject, "it can be written")
}
