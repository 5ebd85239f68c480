//! Log lines on their way to a file or to a standard stream (`threats.md` OM-5, LI-5).
//!
//! A caller appends its line to a bounded buffer; one thread for each target writes what has gathered. A line
//! that finds the buffer full is dropped and counted, of every log: a caller never waits, for a disk that hangs
//! would otherwise hold up people's requests. What was taken from the buffer is written again until it succeeds,
//! so that a full disk costs no line until the buffer is full as well.
//!
//! A log that is moved to another place takes along what could not be written at the former one.
//!
//! **Invariant:** nothing that happens to a log reaches a request: no error, no wait, no growth beyond twice the
//! buffer.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long the first line of a batch waits for company.
const LINGER: Duration = Duration::from_millis(5);
/// A batch of this size waits no longer.
const BATCH: usize = 64 * 1024;
/// How long after a failure the same lines are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long what is left of one log waits for room in its successor, and how often it looks.
const MOVE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; made with mode 0600.
    File(PathBuf),
}

/// One log: a bounded buffer, and the thread that empties it.
#[derive(Debug)]
pub struct LogWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    limit: usize,
    queue: Mutex<Queue>,
    /// Something to do for the thread.
    wake: Condvar,
    /// The thread has ended.
    ended: Condvar,
    dropped: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
    /// Whether the dropping of lines has been reported since the buffer was last emptied.
    overflowing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    reopen: bool,
    closing: bool,
    ended: bool,
    /// Who gets what cannot be written any more.
    successor: Option<Arc<Shared>>,
}

impl LogWriter {
    /// Opens the destination and starts the thread. `name` is the log's name in metrics and messages; `limit` is
    /// how many bytes may wait.
    ///
    /// # Errors
    ///
    /// If the destination cannot be opened, or no thread be started.
    pub fn open(name: &'static str, destination: &Destination, limit: usize) -> io::Result<Self> {
        let target = Target::open(destination)?;
        Self::start(name, target, limit)
    }

    fn start(name: &'static str, target: Target, limit: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            limit,
            queue: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            overflowing: AtomicBool::new(false),
        });
        let writing = shared.clone();
        thread::Builder::new().name(format!("log-{name}")).spawn(move || {
            Writing { shared: &writing, target, batch: Vec::new(), written: 0 }.run();
            let mut queue = writing.queue();
            queue.ended = true;
            // Else two that once moved to each other would keep each other.
            queue.successor = None;
            drop(queue);
            writing.ended.notify_all();
        })?;
        Ok(Self(shared))
    }

    /// Hands over a line, which ends with a newline. `false`: it was dropped.
    pub fn write(&self, line: &[u8]) -> bool {
        let taken = self.0.take(line);
        if !taken {
            self.0.overflow();
        }
        taken
    }

    /// Opens the file anew before the next line, so that a rotated one is let go.
    pub fn reopen(&self) {
        self.0.queue().reopen = true;
        self.0.wake.notify_one();
    }

    /// Takes no more lines, and waits until the others are written, at most `patience`. `false`: some are not.
    pub fn close(&self, patience: Duration) -> bool {
        self.begin_close();
        let waited = self.0.ended.wait_timeout_while(self.0.queue(), patience, |queue| !queue.ended);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.ended && !self.0.failing.load(Ordering::Relaxed)
    }

    /// Takes no more lines; those that cannot be written go to `successor`.
    pub(super) fn move_to(&self, successor: &Self) {
        self.0.queue().successor = Some(Arc::clone(&successor.0));
        self.begin_close();
    }

    fn begin_close(&self) {
        self.0.queue().closing = true;
        self.0.wake.notify_one();
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Lines that were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Attempts to write or to reopen that failed since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to write failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }
}

/// The lines that were handed over are still written, by the thread alone.
impl Drop for LogWriter {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl Shared {
    /// A thread that panicked left whole lines behind: there is nothing to protect from.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line into the buffer, if there is room.
    fn take(&self, line: &[u8]) -> bool {
        let mut queue = self.queue();
        let before = queue.bytes.len();
        if queue.closing || before + line.len() > self.limit {
            return false;
        }
        queue.bytes.extend_from_slice(line);
        let after = queue.bytes.len();
        drop(queue);
        if before == 0 || (before < BATCH && after >= BATCH) {
            self.wake.notify_one();
        }
        true
    }

    fn overflow(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.overflowing.swap(true, Ordering::Relaxed) {
            self.report(|name| {
                tracing::error!(log = name, "log lines are dropped: the log does not keep up")
            });
        }
    }

    fn failed(&self, error: &io::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            let kind = error.kind();
            self.report(
                |name| tracing::error!(log = name, %kind, "a log cannot be written; it is tried again"),
            );
        }
    }

    fn succeeded(&self) {
        self.overflowing.store(false, Ordering::Relaxed);
        if self.failing.swap(false, Ordering::Relaxed) {
            let dropped = self.dropped.load(Ordering::Relaxed);
            self.report(|name| tracing::info!(log = name, dropped, "the log is written again"));
        }
    }

    /// The log of operational messages cannot report on itself.
    fn report(&self, say: impl FnOnce(&'static str)) {
        if self.name != super::OPERATIONAL {
            say(self.name);
        }
    }
}

/// The thread's side.
struct Writing<'a> {
    shared: &'a Shared,
    target: Target,
    batch: Vec<u8>,
    /// How much of the batch has been written.
    written: usize,
}

impl Writing<'_> {
    fn run(&mut self) {
        while self.gather() {
            while !self.write_out() {
                if !self.rest() {
                    self.give_up();
                    return;
                }
            }
        }
    }

    /// Waits for lines and takes them. `false`: there will be none.
    fn gather(&mut self) -> bool {
        let shared = self.shared;
        let idle = |queue: &mut Queue| queue.bytes.is_empty() && !queue.reopen && !queue.closing;
        let queue = shared.wake.wait_while(shared.queue(), idle).unwrap_or_else(PoisonError::into_inner);
        let alone = |queue: &mut Queue| queue.bytes.len() < BATCH && !queue.reopen && !queue.closing;
        let waited = shared.wake.wait_timeout_while(queue, LINGER, alone);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.written = 0;
        self.batch.clear();
        // What a burst needed is not kept for ever.
        self.batch.shrink_to(BATCH);
        std::mem::swap(&mut self.batch, &mut queue.bytes);
        let more = !self.batch.is_empty() || !queue.closing;
        let reopen = std::mem::take(&mut queue.reopen);
        drop(queue);
        if reopen {
            self.reopen();
        }
        more
    }

    /// Writes the batch. `false`: something is left.
    fn write_out(&mut self) -> bool {
        while self.written < self.batch.len() {
            match self.target.sink.write(&self.batch[self.written..]) {
                Ok(0) => {
                    self.shared.failed(&io::ErrorKind::WriteZero.into());
                    return false;
                }
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.shared.failed(&error);
                    return false;
                }
            }
        }
        self.shared.succeeded();
        true
    }

    /// Waits before the next attempt. `false`: the log closes, and there is none.
    fn rest(&mut self) -> bool {
        let shared = self.shared;
        let idle = |queue: &mut Queue| !queue.reopen && !queue.closing;
        let waited = shared.wake.wait_timeout_while(shared.queue(), RETRY, idle);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (reopen, closing) = (std::mem::take(&mut queue.reopen), queue.closing);
        drop(queue);
        if reopen {
            self.reopen();
            // The line that was cut in the old file is whole in the new one.
            self.written = self.whole_lines();
        }
        !closing || reopen
    }

    /// If it fails, lines go where they went before.
    fn reopen(&mut self) {
        if let Err(error) = self.target.reopen() {
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            let kind = error.kind();
            self.shared
                .report(|log| tracing::error!(log, %kind, "a log cannot be reopened; the old file is used"));
        }
    }

    /// What is left goes to the successor, if there is one; what that has no room for, or nobody takes, is counted.
    fn give_up(&mut self) {
        let (rest, successor) = {
            let mut queue = self.shared.queue();
            (std::mem::take(&mut queue.bytes), queue.successor.take())
        };
        let whole = self.whole_lines();
        let left = self.batch[whole..].split_inclusive(|byte| *byte == b'\n');
        let mut left = left.chain(rest.split_inclusive(|byte| *byte == b'\n'));
        let Some(successor) = successor else {
            self.shared.dropped.fetch_add(left.count() as u64, Ordering::Relaxed);
            return;
        };
        let end = Instant::now() + MOVE;
        while let Some(line) = left.next() {
            while !successor.take(line) {
                if Instant::now() > end || successor.queue().closing {
                    let lost = left.count() as u64 + 1;
                    successor.dropped.fetch_add(lost, Ordering::Relaxed);
                    return;
                }
                thread::sleep(LOOK);
            }
        }
    }

    /// Where the line begins that was cut, if one was.
    fn whole_lines(&self) -> usize {
        let done = &self.batch[..self.written];
        done.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
    }
}

struct Target {
    sink: Box<dyn Write + Send>,
    path: Option<PathBuf>,
}

impl Target {
    fn open(destination: &Destination) -> io::Result<Self> {
        // The descriptor itself: what the standard library buffers could be written twice after an error.
        let descriptor = match destination {
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
            Destination::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
            Destination::File(path) => {
                return Ok(Self { sink: Box::new(append_to(path)?), path: Some(path.clone()) });
            }
        };
        Ok(Self { sink: Box::new(File::from(descriptor)), path: None })
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.sink = Box::new(append_to(path)?);
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Without waiting: a pipe that nobody reads would keep the process from its start, or from its upkeep.
    let waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(waiting).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    if file.metadata()?.is_file() && ends_within_a_line(path)? {
        // A line that a crash cut off does not spoil the next one.
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// The path of a file in a folder of its own, which goes with it.
    pub(crate) struct Scratch(PathBuf);

    pub(crate) fn scratch(name: &str) -> Scratch {
        let unique: [u8; 8] = portvakt_core::seal::random();
        let folder = std::env::temp_dir().join(format!("portvakt-log-{:016x}", u64::from_be_bytes(unique)));
        std::fs::create_dir(&folder).unwrap();
        Scratch(folder.join(name))
    }

    impl std::ops::Deref for Scratch {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    fn file(path: &Path) -> LogWriter {
        LogWriter::open("access", &Destination::File(path.to_owned()), 1 << 20).unwrap()
    }

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    /// A sink that does what each message says, and reports every attempt.
    struct Scripted {
        steps: Receiver<io::Result<usize>>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let step = self.steps.recv().unwrap_or(Ok(usize::MAX));
            let count = step?.min(bytes.len());
            self.seen.send(bytes[..count].to_vec()).unwrap();
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted(limit: usize) -> (LogWriter, SyncSender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let ((steps, taken), (seen, written)) = (sync_channel(0), channel());
        let target = Target { sink: Box::new(Scripted { steps: taken, seen }), path: None };
        (LogWriter::start("access", target, limit).unwrap(), steps, written)
    }

    #[test]
    fn every_line_is_in_the_file_in_its_order_and_the_file_is_private() {
        let path = scratch("access.log");
        let log = file(&path);
        for number in 0..5000 {
            assert!(log.write(format!("{number}\n").as_bytes()));
        }
        assert!(log.close(PATIENCE));
        assert_eq!(lines(&path), (0..5000).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(std::fs::metadata(&*path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((log.dropped(), log.failures()), (0, 0));
        assert!(!log.write(b"late\n"));
    }

    #[test]
    fn a_full_buffer_drops_counts_and_lets_the_caller_go_on() {
        let (log, steps, written) = scripted(40);
        assert!(log.write(b"first\n"));
        // The thread has taken the first line once it asks what to do with it: from then on it hangs.
        steps.send(Ok(3)).unwrap();
        assert_eq!(written.recv().unwrap(), b"fir");
        for number in 0..10 {
            assert_eq!(log.write(b"0123456789\n"), number < 3, "{number}");
        }
        assert_eq!(log.dropped(), 7);
        drop(steps);
        assert!(log.close(PATIENCE));
        let rest: Vec<u8> = written.iter().flatten().collect();
        assert_eq!(rest, b"st\n0123456789\n0123456789\n0123456789\n");
    }

    #[test]
    fn a_failed_batch_is_tried_again_where_it_stopped() {
        let (log, steps, written) = scripted(1000);
        log.write(b"one\ntwo\n");
        steps.send(Ok(6)).unwrap();
        steps.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        // The next step is taken by the next attempt: the failure has been counted by then.
        steps.send(Ok(2)).unwrap();
        assert_eq!(log.failures(), 1);
        drop(steps);
        assert!(log.close(PATIENCE));
        assert_eq!(written.iter().flatten().collect::<Vec<u8>>(), b"one\ntwo\n");
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_log_that_fails_until_the_end_gives_up_and_says_how_much_is_lost() {
        let log = LogWriter::open("access", &Destination::File("/dev/full".into()), 1000).unwrap();
        log.write(b"one\n");
        log.write(b"two\n");
        assert!(!log.close(PATIENCE));
        assert!(log.is_failing() && log.failures() > 0);
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn a_log_that_moves_takes_along_what_could_not_be_written() {
        let path = scratch("access.log");
        let (full, steps, written) = scripted(1 << 20);
        full.write(b"one\ntwo\n");
        steps.send(Ok(6)).unwrap();
        assert_eq!(written.recv().unwrap(), b"one\ntw");
        steps.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        let many: String = (0..5000).map(|number| format!("{number}\n")).collect();
        full.write(many.as_bytes());
        // The successor has less room than there is left.
        let next = LogWriter::open("access", &Destination::File(path.to_path_buf()), 4000).unwrap();
        full.move_to(&next);
        // It is tried once more, with the same end.
        let _ = steps.send(Err(io::ErrorKind::StorageFull.into()));
        assert!(!full.write(b"late\n"));
        drop(full.0.ended.wait_while(full.0.queue(), |queue| !queue.ended).unwrap());
        assert!(next.close(PATIENCE));
        let mut expected = vec!["two".to_owned()];
        expected.extend((0..5000).map(|number| number.to_string()));
        assert_eq!(lines(&path), expected);
        assert_eq!((full.dropped(), next.dropped()), (1, 0), "the late one alone");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let path = scratch("access.log");
        let made = std::process::Command::new("mkfifo").arg(&*path).status().unwrap();
        assert!(made.success());
        assert!(LogWriter::open("access", &Destination::File(path.to_path_buf()), 1000).is_err());
    }

    #[test]
    fn a_rotated_file_is_let_go() {
        let path = scratch("access.log");
        let old = path.with_extension("log.1");
        let log = file(&path);
        log.write(b"before\n");
        assert!(log.close(PATIENCE));
        let log = file(&path);
        std::fs::rename(&*path, &old).unwrap();
        log.reopen();
        log.write(b"after\n");
        assert!(log.close(PATIENCE));
        assert_eq!((lines(&old), lines(&path)), (vec!["before".to_owned()], vec!["after".to_owned()]));
    }

    #[test]
    fn a_line_that_a_crash_cut_off_does_not_spoil_the_next() {
        let path = scratch("audit.log");
        std::fs::write(&*path, "{\"cut").unwrap();
        let log = file(&path);
        log.write(b"{}\n");
        assert!(log.close(PATIENCE));
        assert_eq!(lines(&path), ["{\"cut", "{}"]);
    }

    #[test]
    fn a_destination_that_cannot_be_opened_is_an_error() {
        let folder = scratch("missing");
        let path = folder.join("access.log");
        assert!(LogWriter::open("access", &Destination::File(path), 1000).is_err());
    }
}
