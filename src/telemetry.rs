//! What the gateway tells operators: logs, metrics, references (`design.md` D16; `threats.md` OM-4 to OM-6).
//!
//! | part | what it holds |
//! |---|---|
//! | [`AccessRecord`] | one line for each request, without an identity |
//! | [`AuditRecord`] | one line for each login and logout, with `sid` |
//! | [`Metrics`] | every counter, its name and its meaning |
//! | [`Operational`] | messages on standard error |
//! | [`References`] | what a person reads to the help desk |
//! | [`LogWriter`] | lines on their way to a file |
//!
//! **Invariant:** telemetry never fails a request and never makes one wait.

mod access;
mod audit;
mod line;
pub mod metrics;
mod operational;
mod reference;
mod writer;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portvakt_core::clock::{Clock, Timestamp};
use portvakt_core::config::{ClientAddress, LogTarget, Logs};
use portvakt_core::key::Keys;

pub use self::access::AccessRecord;
pub use self::audit::{Action, AuditRecord, AuditResult};
pub(crate) use self::line::rfc3339;
pub use self::metrics::{InFlight, Metrics, RouteMetrics};
pub use self::operational::{Operational, OperationalError, VARIABLE};
pub use self::reference::{Reference, References};
pub use self::writer::{Destination, LogWriter};

use crate::admin::LogStatus;
use crate::guard::{Observer, Refused};

/// The names of the logs, in metrics and messages.
const ACCESS: &str = "access";
const AUDIT: &str = "audit";
const OPERATIONAL: &str = "operational";

/// How many bytes of a log may wait: some ten thousand lines. The audit log waits for a disk that is full or hangs as
/// long as twenty thousand logins need; after that it loses lines, counts them and says so, as the access log does:
/// to make a login wait would stop the gateway, because waiting blocks the thread that serves everybody else.
const ACCESS_LIMIT: usize = 4 << 20;
const AUDIT_LIMIT: usize = 8 << 20;

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {log} log {} cannot be opened: make its folder, and let the gateway's user write there (`logs: {{{log}: …}}`)", target_in_words(.target))]
pub struct LogError {
    log: &'static str,
    target: LogTarget,
    source: io::Error,
}

impl LogError {
    /// The file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            LogTarget::File(path) => Some(path),
            LogTarget::Off | LogTarget::Stdout => None,
        }
    }
}

fn target_in_words(target: &LogTarget) -> String {
    match target {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Stdout => "on standard output".to_owned(),
        LogTarget::Off => "that is off".to_owned(),
    }
}

/// The logs and metrics of one process.
pub struct Telemetry {
    /// Every metric.
    pub metrics: Metrics,
    references: References,
    logs: ArcSwap<OpenLogs>,
}

/// The logs as one configuration wants them.
struct OpenLogs {
    settings: Logs,
    access: Option<Arc<LogWriter>>,
    audit: Option<Arc<LogWriter>>,
}

impl Telemetry {
    /// Opens the logs.
    ///
    /// # Errors
    ///
    /// The first log that cannot be opened.
    pub fn start(logs: &Logs) -> Result<Self, LogError> {
        Ok(Self {
            metrics: Metrics::new(),
            references: References::random(),
            logs: ArcSwap::from_pointee(OpenLogs::open(logs, None)?),
        })
    }

    /// Follows a new configuration. A log whose destination stays goes on; what the others were handed is still
    /// written: there, or if that fails at the new place.
    ///
    /// # Errors
    ///
    /// The first log that cannot be opened; then everything stays as it was.
    pub fn configure(&self, logs: &Logs) -> Result<(), LogError> {
        let before = self.logs.load_full();
        let open = Arc::new(OpenLogs::open(logs, Some(&before))?);
        self.logs.store(Arc::clone(&open));
        for (old, new) in [(&before.audit, &open.audit), (&before.access, &open.access)] {
            if let (Some(old), Some(new)) = (old, new)
                && !open.has(old)
            {
                old.move_to(new);
            }
        }
        Ok(())
    }

    /// A reference for a request.
    #[must_use]
    pub fn reference(&self) -> Reference {
        self.references.next()
    }

    /// Logs a request.
    pub fn access(&self, record: &AccessRecord<'_>, keys: &Keys) {
        let logs = self.logs.load();
        if let Some(log) = &logs.access {
            record.log(logs.settings.client_address, &keys.audit, |line| log.write(line));
        }
    }

    /// Logs a login or a logout, and what a machine asks for where that is wanted.
    pub fn audit(&self, record: &AuditRecord<'_>, keys: &Keys) {
        let logs = self.logs.load();
        let wanted = record.machine.is_none() || logs.settings.audit_machines;
        if let Some(log) = logs.audit.as_ref().filter(|_| wanted) {
            record.log(logs.settings.audit_person, &keys.audit, |line| log.write(line));
        }
    }

    /// Logs and counts what the guard refused, and makes its reference.
    pub fn refused(&self, peer: Option<SocketAddr>, reason: Refused, now: Timestamp) -> Reference {
        let reference = self.reference();
        self.metrics.guard_refused(reason.code());
        let logs = self.logs.load();
        if let Some(log) = &logs.access {
            refusal(reference, peer, reason, now, logs.settings.client_address, log);
        }
        reference
    }

    /// Opens the files anew, after they have been rotated.
    pub fn reopen(&self) {
        self.logs.load().each(LogWriter::reopen);
    }

    /// Brings the metrics of the logs up to date, before they are rendered.
    pub fn observe_logs(&self) {
        self.logs.load().each(|log| self.metrics.log(log));
    }

    /// How each log that is on fares.
    #[must_use]
    pub fn log_status(&self) -> Vec<LogStatus> {
        let mut logs = Vec::new();
        self.logs.load().each(|log| logs.push(LogStatus::from(log)));
        logs
    }

    /// Whether every log can be written.
    #[must_use]
    pub fn logs_work(&self) -> bool {
        let mut work = true;
        self.logs.load().each(|log| work &= !log.is_failing());
        work
    }

    /// Writes what is under way and takes no more, each log at most for `patience`. `false`: lines are lost.
    pub fn close(&self, patience: Duration) -> bool {
        let mut whole = true;
        self.logs.load().each(|log| whole &= log.close(patience));
        whole
    }
}

impl OpenLogs {
    fn open(logs: &Logs, before: Option<&Self>) -> Result<Self, LogError> {
        let kept = |target: &LogTarget, old: fn(&Self) -> (&LogTarget, &Option<Arc<LogWriter>>)| {
            before.map(old).filter(|(was, _)| *was == target).and_then(|(_, log)| log.clone())
        };
        let open = |name, target: &LogTarget, kept, limit| match (kept, destination(target)) {
            (Some(kept), _) => Ok(Some(kept)),
            (None, None) => Ok(None),
            (None, Some(destination)) => match LogWriter::open(name, &destination, limit) {
                Ok(log) => Ok(Some(Arc::new(log))),
                Err(source) => Err(LogError { log: name, target: target.clone(), source }),
            },
        };
        let kept_audit = kept(&logs.audit, |old| (&old.settings.audit, &old.audit));
        let audit = open(AUDIT, &logs.audit, kept_audit, AUDIT_LIMIT)?;
        // Two writers of one destination would tear each other's lines.
        let access = if logs.access == logs.audit {
            audit.clone()
        } else {
            let kept_access = kept(&logs.access, |old| (&old.settings.access, &old.access));
            // A writer that both shared stays the audit log's.
            let kept_access = kept_access.filter(|log| log.name() == ACCESS);
            open(ACCESS, &logs.access, kept_access, ACCESS_LIMIT)?
        };
        Ok(Self { settings: logs.clone(), access, audit })
    }

    fn has(&self, log: &Arc<LogWriter>) -> bool {
        [&self.audit, &self.access].into_iter().flatten().any(|ours| Arc::ptr_eq(ours, log))
    }

    /// Each log once, also if both kinds share it.
    fn each(&self, mut act: impl FnMut(&LogWriter)) {
        if let Some(audit) = &self.audit {
            act(audit);
        }
        match (&self.access, &self.audit) {
            (Some(access), Some(audit)) if Arc::ptr_eq(access, audit) => {}
            (Some(access), _) => act(access),
            (None, _) => {}
        }
    }
}

fn destination(target: &LogTarget) -> Option<Destination> {
    match target {
        LogTarget::Off => None,
        LogTarget::Stdout => Some(Destination::Stdout),
        LogTarget::File(path) => Some(Destination::File(path.clone())),
    }
}

fn refusal(
    reference: Reference,
    peer: Option<SocketAddr>,
    reason: Refused,
    now: Timestamp,
    shown: ClientAddress,
    log: &LogWriter,
) {
    let fill = |line: &mut line::Line<'_>| {
        line.word("reference", reference.as_str());
        if let Some(client) = peer.and_then(|peer| access::Shown::of(peer.ip(), shown)) {
            line.display("client", client);
        }
        line.word("reason", reason.code());
        line.number("status", reason.status().0.into());
    };
    line::with_line("refused", now, fill, |line| log.write(line));
}

/// Tells telemetry what the guard sees.
pub struct GuardObserver {
    telemetry: Arc<Telemetry>,
    clock: Arc<Clock>,
}

impl GuardObserver {
    /// With the clock that dates the lines.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>, clock: Arc<Clock>) -> Self {
        Self { telemetry, clock }
    }
}

impl Observer for GuardObserver {
    fn refused(&self, peer: Option<SocketAddr>, reason: Refused) -> String {
        self.telemetry.refused(peer, reason, self.clock.now()).to_string()
    }

    fn connections(&self, delta: i64) {
        self.telemetry.metrics.connections(delta);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portvakt_core::config::AuditPerson;
    use portvakt_core::key::{KeyId, Ring};
    use portvakt_core::seal::SealKey;
    use portvakt_core::session::SessionId;

    use super::access::tests::{NOW, record, ring};
    use super::writer::tests::{Scratch, scratch};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn keys() -> Keys {
        let cookie = Ring::single(KeyId([9; 4]), Timestamp::from_seconds(0), SealKey::new(&[9; 32]));
        Keys {
            cookie,
            revocation: ring(2),
            pseudonym: ring(3),
            lasting: None,
            audit: ring(1),
            assertion: None,
            signature: std::collections::HashMap::new(),
            apps: std::collections::HashMap::new(),
        }
    }

    fn logs(access: &Path, audit: &Path) -> Logs {
        Logs {
            access: LogTarget::File(access.to_owned()),
            audit: LogTarget::File(audit.to_owned()),
            audit_person: AuditPerson::None,
            audit_machines: false,
            client_address: ClientAddress::Truncated,
        }
    }

    fn two_files() -> (Scratch, Scratch) {
        (scratch("access.log"), scratch("audit.log"))
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn logout(sid: &str) -> AuditRecord<'_> {
        AuditRecord {
            time: NOW,
            action: Action::Logout,
            result: AuditResult::Success,
            client: None,
            provider: "idporten",
            sid: Some(sid),
            level: None,
            kind: None,
            person: None,
            session: None,
            previous: None,
            machine: None,
            reference: "7K2QD-M0XW4",
        }
    }

    #[test]
    fn each_log_has_its_own_file_and_only_one_holds_the_sid() {
        let (access, audit) = two_files();
        let telemetry = Telemetry::start(&logs(&access, &audit)).unwrap();
        let session = SessionId::random();
        telemetry.access(&AccessRecord { session: Some(&session), ..record() }, &keys());
        telemetry.audit(&logout("canary-sid"), &keys());
        assert!(telemetry.close(PATIENCE) && telemetry.logs_work());
        let (access, audit) = (lines(&access), lines(&audit));
        assert_eq!((access.len(), audit.len()), (1, 1));
        assert!(!access[0].to_string().contains("canary") && audit[0]["sid"] == "canary-sid");
        assert_eq!(access[0]["client"], "192.0.2.0/24");
    }

    #[test]
    fn a_refusal_has_a_line_a_count_and_the_reference_that_the_client_sees() {
        let (access, audit) = two_files();
        let telemetry = Arc::new(Telemetry::start(&logs(&access, &audit)).unwrap());
        let observer = GuardObserver::new(telemetry.clone(), Arc::new(Clock::start()));
        let shown = observer.refused(Some("192.0.2.9:1234".parse().unwrap()), Refused::BareLineFeed);
        observer.connections(1);
        assert!(telemetry.close(PATIENCE));
        let lines = lines(&access);
        assert_eq!(
            (lines[0]["kind"].as_str(), lines[0]["reason"].as_str(), lines[0]["reference"].as_str()),
            (Some("refused"), Some("bare_line_feed"), Some(shown.as_str()))
        );
        assert_eq!(
            (lines[0]["client"].as_str(), lines[0]["status"].as_u64()),
            (Some("192.0.2.0/24"), Some(400))
        );
        let metrics = telemetry.metrics.render();
        assert!(metrics.contains("portvakt_refused_total{reason=\"bare_line_feed\"} 1"), "{metrics}");
    }

    #[test]
    fn a_new_configuration_moves_one_log_and_leaves_the_other() {
        let (access, audit) = two_files();
        let telemetry = Telemetry::start(&logs(&access, &audit)).unwrap();
        telemetry.audit(&logout("before"), &keys());
        let moved = scratch("moved.log");
        let (kept, settings) = (telemetry.logs.load().audit.clone(), logs(&moved, &audit));
        telemetry.configure(&settings).unwrap();
        assert!(Arc::ptr_eq(&kept.unwrap(), telemetry.logs.load().audit.as_ref().unwrap()));
        telemetry.access(&record(), &keys());
        telemetry.audit(&logout("after"), &keys());
        assert!(telemetry.close(PATIENCE));
        assert_eq!((lines(&access).len(), lines(&moved).len(), lines(&audit).len()), (0, 1, 2));
    }

    /// The disk is full, and the operator names another one: what was done meanwhile is in the audit log.
    #[test]
    fn a_log_that_is_moved_loses_nothing_that_it_could_not_write() {
        let (access, audit) = two_files();
        let telemetry = Telemetry::start(&logs(&access, Path::new("/dev/full"))).unwrap();
        for sid in ["one", "two"] {
            telemetry.audit(&logout(sid), &keys());
        }
        let failing = telemetry.logs.load().audit.clone().unwrap();
        while !failing.is_failing() {
            std::thread::yield_now();
        }
        telemetry.configure(&logs(&access, &audit)).unwrap();
        telemetry.audit(&logout("three"), &keys());
        assert!(failing.close(PATIENCE) || failing.is_failing());
        assert!(telemetry.close(PATIENCE));
        let mut sids: Vec<_> = lines(&audit).iter().map(|line| line["sid"].to_string()).collect();
        sids.sort();
        assert_eq!(sids, ["\"one\"", "\"three\"", "\"two\""]);
        assert_eq!(failing.dropped(), 0);
    }

    #[test]
    fn a_log_that_cannot_be_opened_changes_nothing_and_is_named() {
        let (access, audit) = two_files();
        let telemetry = Telemetry::start(&logs(&access, &audit)).unwrap();
        let folder = scratch("missing");
        let missing = folder.join("access.log");
        let error = telemetry.configure(&logs(&missing, &audit)).unwrap_err();
        assert!(error.to_string().contains(&format!("the access log {}", missing.display())), "{error}");
        telemetry.access(&record(), &keys());
        assert!(telemetry.close(PATIENCE));
        assert_eq!(lines(&access).len(), 1);
    }

    #[test]
    fn one_destination_has_one_writer() {
        let both = scratch("both.log");
        let telemetry = Telemetry::start(&logs(&both, &both)).unwrap();
        for _ in 0..100 {
            telemetry.access(&record(), &keys());
            telemetry.audit(&logout("sid"), &keys());
        }
        assert!(telemetry.close(PATIENCE));
        assert_eq!(lines(&both).len(), 200);
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let settings =
            Logs { access: LogTarget::Off, audit: LogTarget::Off, ..logs(Path::new(""), Path::new("")) };
        let telemetry = Telemetry::start(&settings).unwrap();
        telemetry.access(&record(), &keys());
        telemetry.audit(&logout("sid"), &keys());
        assert!(telemetry.close(PATIENCE) && telemetry.logs_work());
    }

    #[test]
    fn a_log_that_fails_shows_in_the_metrics_and_stops_nobody() {
        let audit = scratch("audit.log");
        let telemetry = Telemetry::start(&logs(Path::new("/dev/full"), &audit)).unwrap();
        telemetry.access(&record(), &keys());
        telemetry.audit(&logout("sid"), &keys());
        assert!(!telemetry.close(PATIENCE) && !telemetry.logs_work());
        telemetry.observe_logs();
        let metrics = telemetry.metrics.render();
        for line in [
            "portvakt_log_failing{log=\"access\"} 1",
            "portvakt_log_dropped_total{log=\"access\"} 1",
            "portvakt_log_failing{log=\"audit\"} 0",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        assert_eq!(lines(&audit).len(), 1);
    }

    /// `cargo test --release -- --ignored --nocapture what_a_request_costs`: nanoseconds, all of telemetry.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn what_a_request_costs() {
        const ROUNDS: u32 = 500_000;
        let audit = scratch("audit.log");
        let telemetry = Telemetry::start(&logs(Path::new("/dev/null"), &audit)).unwrap();
        let (keys, session, route) = (keys(), SessionId::random(), telemetry.metrics.route("app"));
        let told = |what: &str, run: &dyn Fn()| {
            let started = std::time::Instant::now();
            for _ in 0..ROUNDS {
                run();
            }
            let each = started.elapsed().as_nanos() / u128::from(ROUNDS);
            io::Write::write_fmt(&mut io::stderr(), format_args!("{what}: {each} ns\n")).unwrap();
        };
        told("a reference", &|| {
            std::hint::black_box(telemetry.reference());
        });
        told("a line", &|| telemetry.access(&record(), &keys));
        told("a line of a session", &|| {
            telemetry.access(&AccessRecord { session: Some(&session), ..record() }, &keys);
        });
        told("metrics", &|| {
            let _under_way = telemetry.metrics.in_flight();
            telemetry.metrics.request(
                Some(&route),
                "session",
                200,
                Duration::from_millis(1),
                Some(Duration::ZERO),
            );
        });
        assert!(telemetry.close(PATIENCE));
        telemetry.logs.load().each(|log| {
            let told = format_args!("{}: {} lines dropped\n", log.name(), log.dropped());
            io::Write::write_fmt(&mut io::stderr(), told).unwrap();
        });
    }
}
