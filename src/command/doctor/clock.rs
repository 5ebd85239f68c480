//! This machine's clock against the `Date` of each provider's answer (RFC 9110, 6.6.1).
//!
//! A provider's tokens live two minutes, and ten seconds of difference are forgiven (`design.md` D14).

use portvakt_core::clock::Timestamp;
use portvakt_core::provider::ProviderSettings;

use super::Surroundings;
use super::finding::Finding;
use crate::provider::Provider;

/// What is forgiven in a token's times, in seconds.
const FORGIVEN: u64 = 10;

/// What a look at two clocks over a network may be off, in seconds: `Date` has whole ones.
const PRECISION: u64 = 2;

const REMEDY: &str = "let the machine's clock follow NTP (`timedatectl set-ntp true`; `chronyc tracking` says how far it is off)";

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for settings in &around.configuration.providers {
        // A provider that cannot be reached is another check's matter.
        if let Some((theirs, ours)) = compare(settings, around).await {
            findings.push(judge(&format!("against `{}`", settings.name), theirs, ours));
        }
    }
    findings
}

/// The provider's time, and ours in the middle of the call; `None` if it does not say.
async fn compare(settings: &ProviderSettings, around: &Surroundings) -> Option<(Timestamp, Timestamp)> {
    let provider = Provider::new(settings.clone(), None).ok()?;
    // The first call makes the connection.
    provider.date().await.ok()?;
    let began = around.clock.now();
    let theirs = provider.date().await.ok()??;
    let took = around.clock.now().since(began);
    Some((theirs, began + took / 2))
}

fn judge(subject: &str, theirs: Timestamp, ours: Timestamp) -> Finding {
    let (off, direction) = if ours > theirs {
        (ours.since(theirs).as_secs(), "ahead of")
    } else {
        (theirs.since(ours).as_secs(), "behind")
    };
    let found = format!("this machine is {off} s {direction} the provider");
    match off {
        0..=PRECISION => Finding::ok(subject, "this machine and the provider have the same time"),
        3..=FORGIVEN => Finding::warn(subject, found, "logins fail once it is more than 10 s", REMEDY),
        _ => Finding::fail(
            subject,
            found,
            "logins fail: tokens seem to be expired, or to come from the future",
            REMEDY,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_is_forgiven_is_a_warning_and_more_fails() {
        let at = Timestamp::from_seconds;
        for (theirs, ours, expected) in [
            (100, 100, Verdict::Ok),
            (100, 102, Verdict::Ok),
            (102, 100, Verdict::Ok),
            (100, 103, Verdict::Warn),
            (110, 100, Verdict::Warn),
            (100, 111, Verdict::Fail),
            (3700, 100, Verdict::Fail),
        ] {
            assert_eq!(judge("", at(theirs), at(ours)).verdict, expected, "{theirs} {ours}");
        }
    }
}
