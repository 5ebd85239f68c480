//! Whether the file of ended sessions can be written, and replaced when it is compacted (`design.md` D1).
//!
//! **Invariant:** it is only asked for; a file made here would belong to whoever asks, and not to the gateway.

use std::path::Path;

use super::Surroundings;
use super::files::{free_space, may_write};
use super::finding::Finding;

const MEANS: &str =
    "a logout is not kept: the gateway is not ready, and routes with `revocation: strict` answer 503";

/// Less room than this is soon none.
const ROOM: u64 = 64 << 20;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let path = &around.configuration.revocation.file;
    let subject = path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let remedy = |what: &Path| {
        format!(
            "give the gateway's user {} to write, or correct `revocation.file`; run this as that user",
            what.display()
        )
    };
    let finding = if path.exists() {
        match (may_write(path), may_write(folder)) {
            (Err(error), _) => {
                Finding::fail(subject, format!("it cannot be written: {error}"), MEANS, remedy(path))
            }
            (_, Err(error)) => Finding::fail(
                subject,
                format!("its folder cannot be written: {error}"),
                "it is not compacted, and grows until the disk is full",
                remedy(folder),
            ),
            (Ok(()), Ok(())) => with_room(subject, folder),
        }
    } else {
        // The gateway makes it, and the folders before it.
        let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
        match may_write(there) {
            Ok(()) => Finding::warn(
                subject,
                "it is not there yet",
                "sessions that began before the gateway starts log in again",
                "nothing, if the gateway has never run here; else look where the file has gone, and keep it over restarts",
            ),
            Err(error) => Finding::fail(
                subject,
                format!("it is not there, and cannot be made: {error}"),
                MEANS,
                remedy(there),
            ),
        }
    };
    vec![finding]
}

fn with_room(subject: String, folder: &Path) -> Finding {
    match free_space(folder) {
        Some(free) if free < ROOM => Finding::fail(
            subject,
            format!("{} MiB are left on its disk", free >> 20),
            MEANS,
            "free some space there; ended sessions need some 100 bytes each",
        ),
        _ => Finding::ok(subject, "it can be written, and replaced"),
    }
}
