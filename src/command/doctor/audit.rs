//! The logs that are demanded: the audit log of logins and logouts under profile `idporten` (dossier 3.6), and
//! room for all that are files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use portvakt_core::config::LogTarget;

use super::Surroundings;
use super::files::{free_space, may_write};
use super::finding::Finding;

/// Less room than this is soon none.
const ROOM: u64 = 256 << 20;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let logs = &around.configuration.logs;
    let demanded = around.configuration.providers.iter().any(|provider| provider.profile.name == "idporten");
    let mut findings = Vec::new();
    match &logs.audit {
        LogTarget::Off if demanded => findings.push(Finding::fail(
            "",
            "the audit log is off, and people log in at ID-porten",
            "ID-porten's terms demand time, action, result, address and `sid` of each login and logout; what is not written now cannot be written later",
            "write `logs: {audit: {file: PATH}}`",
        )),
        LogTarget::Off => findings.push(Finding::ok("", "it is off, and no provider here demands it")),
        LogTarget::Stdout => findings.push(Finding::warn(
            "",
            "it goes to standard output, together with what else is said there",
            "`sid` is readable for everybody who reads the process's output",
            "write `logs: {audit: {file: PATH}}`, and let few people read that file",
        )),
        LogTarget::File(path) => findings.push(look_at("", path, true)),
    }
    if let LogTarget::File(path) = &logs.access {
        findings.push(look_at("access log", path, false));
    }
    findings
}

fn look_at(name: &str, path: &Path, holds_sid: bool) -> Finding {
    let subject = format!("{name} {}", path.display()).trim_start().to_owned();
    let means = "lines are lost: what people did cannot be told afterwards";
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let asked = if path.exists() { path } else { folder };
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
