//! When the certificates end that this gateway shows: to browsers, and to apps that ask for one (RFC 5280, 4.1.2.5).

use std::path::Path;
use std::time::Duration;

use pingora::utils::tls::{WrappedX509, parse_x509};
use portvakt_core::clock::Timestamp;
use portvakt_core::config::Transport;

use super::Surroundings;
use super::finding::Finding;
use crate::cause;
use crate::guard::Certificates;

/// How long before its end a certificate should have been renewed.
const SOON: Duration = Duration::from_secs(21 * DAY);

const DAY: u64 = 24 * 3600;

pub(super) async fn examine(around: &Surroundings) -> Vec<Finding> {
    let now = around.clock.now();
    let mut findings = Vec::new();
    for listener in &around.configuration.listeners {
        if let Transport::Tls { certificate, key } = &listener.transport {
            let meaning = "no browser connects without a warning that people should heed";
            findings.push(look_at(&format!("of {}", listener.address), certificate, key, meaning, now));
        }
    }
    let mut seen = Vec::new();
    for route in around.configuration.hosts.iter().flat_map(|host| host.routes.iter()) {
        let Some(app) = route.upstream() else { continue };
        let client = app.tls.as_ref().and_then(|trust| trust.client.as_ref());
        if let Some(client) = client.filter(|_| !seen.contains(&&app.name)) {
            seen.push(&app.name);
            let subject = format!("for the app `{}`", app.name);
            findings.push(look_at(
                &subject,
                &client.certificate,
                &client.key,
                "the app refuses the gateway, and people get 502",
                now,
            ));
        }
    }
    findings
}

fn look_at(subject: &str, certificate: &Path, key: &Path, meaning: &str, now: Timestamp) -> Finding {
    let pair = match Certificates::read(certificate, key) {
        Ok(pair) => pair,
        Err(error) => {
            let remedy =
                "put a chain and its key there, both in PEM; a gateway that runs keeps the pair that it has";
            return Finding::fail(subject, cause::chain(&error), meaning, remedy);
        }
    };
    // The TLS library has read it by now: the parser, which panics, meets a certificate.
    let leaf = WrappedX509::new(pair.leaf().to_vec(), parse_x509);
    let validity = leaf.borrow_cert().validity();
    judge(
        subject,
        certificate,
        (validity.not_before.timestamp(), validity.not_after.timestamp()),
        meaning,
        now,
    )
}

fn judge(subject: &str, file: &Path, (from, to): (i64, i64), meaning: &str, now: Timestamp) -> Finding {
    let at = |seconds: i64| Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0));
    let (from, to) = (at(from), at(to));
    let remedy =
        format!("renew {} and its key; the gateway takes them by itself, or at SIGHUP", file.display());
    if now >= to {
        let days = now.since(to).as_secs() / DAY;
        return Finding::fail(subject, format!("it ended {days} days ago"), meaning, remedy);
    }
    if now < from {
        return Finding::fail(
            subject,
            "it is not valid yet",
            meaning,
            "look at this machine's clock, or put the former one back",
        );
    }
    let left = to.since(now);
    let found = format!("it ends in {} days", left.as_secs() / DAY);
    if left < SOON {
        return Finding::warn(
            subject,
            found,
            format!("then {meaning}; what renews it seems not to run"),
            remedy,
        );
    }
    Finding::ok(subject, found)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn three_weeks_before_its_end_somebody_is_told() {
        let day = |days: i64| days * i64::try_from(DAY).unwrap();
        for (from, to, expected) in [
            (0, 200, Verdict::Ok),
            (0, 122, Verdict::Ok),
            (0, 120, Verdict::Warn),
            (0, 101, Verdict::Warn),
            (0, 100, Verdict::Fail),
            (0, 50, Verdict::Fail),
            (101, 200, Verdict::Fail),
        ] {
            let now = Timestamp::from_seconds(100 * DAY);
            assert_eq!(
                judge("", Path::new("x"), (day(from), day(to)), "", now).verdict,
                expected,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        let (certificate, key) = (folder.join("app.pem"), folder.join("app.key"));
        let judged = |seconds| look_at("", &certificate, &key, "", Timestamp::from_seconds(seconds)).verdict;
        assert_eq!(judged(1), Verdict::Fail, "not yet");
        assert_eq!(judged(1 << 40), Verdict::Fail, "long ago");
        assert_eq!(
            look_at("", &certificate, &folder.join("client-one.key"), "", Timestamp::from_seconds(1)).verdict,
            Verdict::Fail
        );
    }
}
