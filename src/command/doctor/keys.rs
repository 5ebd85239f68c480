//! The key files: there, readable by their owner alone, in time, and each key used for one purpose (`design.md` D15).

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use portvakt_core::clock::Timestamp;
use portvakt_core::config::Configuration;
use portvakt_core::key::{
    ASSERTION, Concern, KeyFile, KeyFileError, Keys, MATCH, Secret, path_of, signature_purpose,
};

use super::Surroundings;
use super::finding::Finding;
use crate::cause;
use crate::command::keys::{apps, clients};

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let (configuration, now) = (&around.configuration, around.clock.now());
    let mut findings = vec![look_at_folder(&configuration.keys)];
    let purposes = needed(configuration);
    findings.extend(purposes.iter().map(|purpose| look_at(purpose, &configuration.keys, now)));
    // What can be seen in all of them together alone: a key that is used twice, or is weak.
    if let Err(error) = Keys::load(&configuration.keys)
        && !findings.iter().any(|finding| finding.in_words("").contains(&cause::chain(&error)))
    {
        let means = "a gateway with these keys does not start; one that runs keeps those that it has";
        findings.push(Finding::fail(
            "",
            cause::chain(&error),
            means,
            "do what it says, then `portvakt doctor` again",
        ));
    }
    findings
}

/// The purposes without whose keys this configuration does not serve.
fn needed(configuration: &Configuration) -> Vec<String> {
    let routes = || configuration.hosts.iter().flat_map(|host| host.routes.iter());
    let mut all: Vec<String> = Secret::ALL.iter().map(|secret| secret.as_str().to_owned()).collect();
    if routes().any(|route| route.assertion.is_some()) {
        all.push(ASSERTION.to_owned());
    }
    if routes().any(|route| route.tells_what_lasts()) {
        all.push(MATCH.to_owned());
    }
    for plan in routes().filter_map(|route| route.signature.as_ref()) {
        if let Some(purpose) =
            signature_purpose(plan.algorithm).filter(|purpose| !all.iter().any(|one| one == purpose))
        {
            all.push(purpose.to_owned());
        }
    }
    all.extend(clients(configuration));
    all.extend(apps(configuration));
    all
}

fn look_at(purpose: &str, folder: &Path, now: Timestamp) -> Finding {
    let subject = format!("`{purpose}`");
    let path = path_of(folder, purpose);
    let rotate = format!("run `portvakt keys rotate {purpose}`, and give the file to every replica");
    let file = match KeyFile::read(&path, purpose) {
        Ok(file) => file,
        Err(error) => {
            let means = "the gateway does not start; one that runs keeps the keys that it has";
            let remedy = match &error {
                KeyFileError::Missing { .. } => format!(
                    "if other replicas have it, copy theirs: with another one nobody's session passes from one to the other; else `portvakt keys new {purpose}`"
                ),
                KeyFileError::Mode(path) => format!(
                    "`chmod 600 {path}`; if others may have read it, `portvakt keys rotate {purpose}`"
                ),
                _ => "put back what it was, from a replica or a backup; run this as the gateway's own user"
                    .to_owned(),
            };
            return Finding::fail(subject, cause::chain(&error), means, remedy);
        }
    };
    match Concern::of_purpose(purpose, &file.times(), now) {
        Some(Concern::Retired) => Finding::fail(
            subject,
            Concern::Retired.to_string(),
            "what it makes is refused: logins, sessions or proofs to apps, by its purpose",
            rotate,
        ),
        Some(concern @ Concern::NoSuccessor) => {
            Finding::warn(subject, concern.to_string(), "at its end, what it makes is refused", rotate)
        }
        Some(concern @ Concern::Old) => Finding::warn(
            subject,
            concern.to_string(),
            "nothing breaks; whoever has an old copy of it can still use it",
            rotate,
        ),
        None => Finding::ok(subject, "it is the owner's alone to read, and its keys are in time"),
    }
}

fn look_at_folder(folder: &Path) -> Finding {
    let subject = folder.display().to_string();
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            let remedy = "correct `keys`, or make the folder with `portvakt keys new`; run this as the gateway's own user";
            return Finding::fail(
                subject,
                format!("the folder cannot be read: {error}"),
                "the gateway does not start",
                remedy,
            );
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Finding::fail(
            subject,
            format!("others than its owner may write in the folder (mode {mode:03o})"),
            "whoever does can put their own keys in place, and be anybody",
            "`chmod 700` on it; then compare the keys' ids with those of another replica (`portvakt keys list PURPOSE`)",
        );
    }
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        return Finding::warn(
            subject,
            format!("the folder belongs to user {owner}, and this runs as user {me}"),
            "what is said here of files holds for user {me}, not for the gateway"
                .replace("{me}", &me.to_string()),
            "run this as the gateway's own user: `sudo -u portvakt portvakt doctor …`",
        );
    }
    Finding::ok(subject, "the folder is its owner's alone to write")
}
