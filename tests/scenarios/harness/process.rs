//! Programs that a world runs: their output goes to files, and they end with the value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::http::PATIENCE;

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Waits for a condition.
///
/// # Panics
///
/// If it does not come true in time.
pub(crate) fn await_that<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::sleep(STEP);
    }
}

/// A program of this workspace, as `cargo test --workspace` built it.
///
/// # Panics
///
/// If it is not there.
pub(crate) fn program(name: &str) -> PathBuf {
    let gateway = Path::new(env!("CARGO_BIN_EXE_portvakt"));
    let program = gateway.with_file_name(name);
    assert!(program.is_file(), "{} is missing: `cargo build --workspace --bins` makes it", program.display());
    program
}

/// A running program.
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    /// Starts it; `name` is that of its output files in the folder, which are appended to.
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        let (output, errors) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let open = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        let child = command.stdin(Stdio::null()).stdout(open(&output)).stderr(open(&errors)).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, output, errors }
    }

    /// What it has written to standard output so far.
    pub(crate) fn output(&self) -> String {
        read(&self.output)
    }

    /// What it has written to standard error so far.
    pub(crate) fn errors(&self) -> String {
        read(&self.errors)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The most memory that it has held so far, in KiB.
    pub(crate) fn most_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if self.ended().is_none() {
            self.signal("TERM");
        }
        await_that("the program ends after SIGTERM", || self.ended())
    }

    /// Waits for the line that says where it serves, and gives what follows `ready`.
    pub(crate) fn await_line(&mut self, ready: &str) -> String {
        await_that(ready, || {
            let found = self.output().lines().find_map(|line| line.strip_prefix(ready).map(str::to_owned));
            if found.is_none() {
                assert!(self.ended().is_none(), "it has ended: {}", self.errors());
            }
            found
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
