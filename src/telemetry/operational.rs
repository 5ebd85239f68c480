//! Messages for operators: JSON lines on standard error, through [`tracing`].
//!
//! The level is `info`, or what `PORTVAKT_LOG` says (directives of `tracing_subscriber::EnvFilter`).
//!
//! **Invariant:** whatever the level, no library can print what a request or an answer held. Errors of pingora quote
//! header and body bytes, its messages at `debug` whole headers, those of HTTP and TLS libraries likewise. So of
//! pingora only the modules that start, stop and accept are heard, and of other libraries only warnings; what happens
//! to a request is told by the gateway in its own words (`threats.md` OM-4).
//!
//! **Invariant:** a standard error that nobody reads stops nothing: lines go through a [`LogWriter`] (OM-5).

use std::fmt;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::writer::{Destination, LogWriter};

/// The variable that sets the level.
pub const VARIABLE: &str = "PORTVAKT_LOG";

/// How many bytes of messages may wait.
const LIMIT: usize = 1 << 20;
/// How long the end of the program waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What of pingora is heard, where it warns: it starts and stops the process, and accepts connections. Its
/// progress is not; the program tells its own.
const HEARD: [&str; 4] = [
    "pingora_core::server",
    "pingora_core::services",
    "pingora_core::listeners",
    "pingora_core::protocols::l4::listener",
];
/// What is not worth a line, although its module is heard: any scanner causes it, and it holds an address that the
/// access log might be told to leave out.
const UNHEARD_MESSAGE: &str = "Downstream handshake";

/// Why messages cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OperationalError {
    /// The variable is no list of directives.
    #[error("{VARIABLE} is no list of directives such as `info` or `portvakt=debug`")]
    Directives(#[source] tracing_subscriber::filter::ParseError),
    /// Standard error cannot be used.
    #[error("standard error cannot be opened")]
    Open(#[source] io::Error),
    /// Somebody else has set up messages in this process.
    #[error("messages are set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Keeps messages going; when it is dropped, those under way are written.
#[derive(Debug)]
pub struct Operational(Arc<LogWriter>);

impl Operational {
    /// Sets up messages for the whole process, panics among them. `directives`: the value of [`VARIABLE`].
    ///
    /// # Errors
    ///
    /// [`OperationalError`].
    pub fn install(directives: Option<&str>) -> Result<Self, OperationalError> {
        let filter = filter(directives)?;
        let log = LogWriter::open(super::OPERATIONAL, &Destination::Stderr, LIMIT)
            .map_err(OperationalError::Open)?;
        let log = Arc::new(log);
        subscriber(filter, Lines(log.clone())).try_init().map_err(OperationalError::Twice)?;
        std::panic::set_hook(Box::new(report_panic));
        Ok(Self(log))
    }

    /// The log of messages, for metrics.
    #[must_use]
    pub fn log(&self) -> &LogWriter {
        &self.0
    }
}

impl Drop for Operational {
    fn drop(&mut self) {
        self.0.close(PATIENCE);
    }
}

fn filter(directives: Option<&str>) -> Result<EnvFilter, OperationalError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    builder.parse(directives.unwrap_or_default()).map_err(OperationalError::Directives)
}

fn subscriber<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(Discretion).with(filter).with(lines)
}

/// Silences what might print more than it should, whatever the directives say.
struct Discretion;

impl<S: Subscriber> Layer<S> for Discretion {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        may_speak(metadata.target(), *metadata.level())
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut handshake = Begins { with: UNHEARD_MESSAGE, found: false };
        event.record(&mut handshake);
        !handshake.found
    }
}

fn may_speak(target: &str, level: Level) -> bool {
    let is_of = |module: &str| {
        target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if is_of("portvakt") || is_of("portvakt_core") {
        return true;
    }
    if target.starts_with("pingora") {
        return level <= Level::WARN && HEARD.into_iter().any(is_of);
    }
    level <= Level::WARN
}

/// Whether the message of an event begins so.
struct Begins {
    with: &'static str,
    found: bool,
}

impl Visit for Begins {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.found = format!("{value:?}").starts_with(self.with);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.found = value.starts_with(self.with);
        }
    }
}

/// Where, and never what: the message of a panic may hold what a request held.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
    tracing::error!(place, "a task panicked; its connection is lost");
}

/// Gives each event's line to the log.
struct Lines(Arc<LogWriter>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Handover<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Handover(&self.0)
    }
}

struct Handover<'a>(&'a LogWriter);

/// The formatter writes each event at once, newline included. A dropped line is no error: it is counted.
impl io::Write for Handover<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::super::writer::tests::scratch;
    use super::*;

    /// The lines that the events of `speak` make.
    fn lines(directives: &str, speak: impl FnOnce()) -> Vec<serde_json::Value> {
        let path = scratch("operational.log");
        let log = LogWriter::open(super::super::OPERATIONAL, &Destination::File(path.to_path_buf()), LIMIT)
            .unwrap();
        let log = Arc::new(log);
        with_default(subscriber(filter(Some(directives)).unwrap(), Lines(log.clone())), speak);
        assert!(log.close(Duration::from_secs(10)));
        let text = std::fs::read_to_string(&*path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn our_messages_are_lines_of_json() {
        let lines = lines("", || {
            tracing::info!(target: "portvakt::gateway", route = "a\"b\n", "ready");
            tracing::debug!(target: "portvakt::gateway", "not at this level");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0]["message"].as_str(), lines[0]["route"].as_str()),
            (Some("ready"), Some("a\"b\n"))
        );
        assert_eq!((&lines[0]["level"], &lines[0]["target"]), (&"INFO".into(), &"portvakt::gateway".into()));
    }

    #[test]
    fn no_directive_makes_a_library_print_requests() {
        for directives in
            ["trace", "pingora_proxy=trace", "pingora_core::apps=error,h2=trace,hyper=debug", ""]
        {
            let lines = lines(directives, || {
                tracing::error!(target: "pingora_proxy", "Fail to proxy: Invalid chunk size ... buf: canary");
                tracing::error!(target: "pingora_core::apps::http_app", "buf: canary");
                tracing::error!(target: "pingora_core::protocols::http::v1::server", "canary");
                tracing::debug!(target: "h2::codec::framed_write", "send frame=canary");
                tracing::trace!(target: "hyper::proto", "canary");
                tracing::info!(target: "rustls::client", "canary");
                tracing::error!(target: "pingora_core::services::listening", "Downstream handshake error from 192.0.2.7: canary");
            });
            assert_eq!(lines, Vec::<serde_json::Value>::new(), "{directives}");
        }
    }

    #[test]
    fn what_an_operator_must_know_of_the_server_is_heard() {
        let lines = lines("", || {
            tracing::error!(target: "pingora_core::services::listening", "Accept() failed: too many open files");
            tracing::warn!(target: "pingora_core::server", "a runtime did not exit");
            tracing::info!(target: "pingora_core::server", "Waiting for runtimes to exit!");
            tracing::warn!(target: "rustls", "a warning");
        });
        assert_eq!(lines.len(), 3);
    }

    /// pingora and others speak through the crate `log`.
    #[test]
    fn messages_of_the_older_kind_are_judged_alike() {
        // What `install` does for the process: records reach the subscriber of the thread.
        let _ = tracing_subscriber::registry().try_init();
        let lines = lines("trace", || {
            log::error!(target: "pingora_proxy", "Fail to proxy: canary");
            log::error!(target: "pingora_core::services::listening", "Downstream handshake error from 192.0.2.7: canary");
            log::debug!(target: "pingora_core::server", "canary");
            log::debug!(target: "h2::proto", "canary");
            log::info!(target: "pingora_core::server", "Waiting for runtimes to exit!");
            log::warn!(target: "pingora_core::server", "a runtime did not exit");
            log::error!(target: "pingora_core::services::listening", "Accept() failed");
        });
        let told: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(told, ["a runtime did not exit", "Accept() failed"]);
    }

    #[test]
    fn only_our_own_modules_may_say_more() {
        assert!(
            may_speak("portvakt::gateway", Level::TRACE) && may_speak("portvakt_core::key", Level::DEBUG)
        );
        assert!(!may_speak("portvaktx", Level::DEBUG) && !may_speak("pingora_core::server2", Level::ERROR));
    }

    #[test]
    fn directives_that_are_none_are_refused() {
        assert!(matches!(filter(Some("portvakt=loud")), Err(OperationalError::Directives(_))));
    }
}
