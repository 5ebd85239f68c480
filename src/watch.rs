//! Notices that the configuration, or a file that it names, is another one (`design.md` D5; `threats.md` OM-2).
//!
//! The system tells of changes in the folders; what counts is the contents: names are only the occasion to look.
//! So Kubernetes' exchange of a link, an editor's rename and a renewed certificate are all the same.
//!
//! **Invariant:** a change is told of only when the files have held the same for a while ([`QUIET`]), and what has
//! been tried already is not told of again.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long nothing must happen before the files are read: editors and tools write in pieces.
const QUIET: Duration = Duration::from_millis(300);

/// After so long they are read although something happens all the time.
const MOST: Duration = Duration::from_secs(5);

/// How long a file may be open for writing before it is read nevertheless.
const WRITER: Duration = Duration::from_secs(30);

/// How often they are read without an occasion: some file systems tell of nothing.
const POLL: Duration = Duration::from_secs(60);

/// More than any file that a configuration names.
const MAX_FILE: u64 = 16 << 20;

/// More than any folder of keys holds.
const MAX_ENTRIES: usize = 1024;

/// How many links lead to a file at most.
const MAX_LINKS: usize = 8;

/// What was tried last: these files, with these contents.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    files: Vec<PathBuf>,
    contents: Contents,
}

impl Attempt {
    /// What these files and folders hold now.
    pub(crate) fn of(mut files: Vec<PathBuf>) -> Self {
        files.sort();
        files.dedup();
        let contents = Contents::of(&files);
        Self { files, contents }
    }

    /// The same contents, with more files to look at.
    pub(crate) fn with(self, files: &[PathBuf]) -> Self {
        if files.iter().all(|file| self.files.contains(file)) {
            return self;
        }
        Self::of(self.files.into_iter().chain(files.iter().cloned()).collect())
    }
}

/// Tells of changes beyond the last attempt, one at a time: the next one only after a new attempt.
pub(crate) fn follow(attempts: watch::Receiver<Attempt>) -> mpsc::Receiver<()> {
    let (changed, changes) = mpsc::channel(1);
    tokio::spawn(run(attempts, changed));
    changes
}

async fn run(mut attempts: watch::Receiver<Attempt>, changed: mpsc::Sender<()>) {
    let touched = Arc::new(Touched::default());
    let mut watching = None;
    loop {
        let attempt = attempts.borrow_and_update().clone();
        // The one before goes when the next one is there: what is open for writing in between is known to one of them.
        let _before = std::mem::replace(&mut watching, watcher(&attempt.files, &touched));
        // What happened before the folders were watched.
        touched.happened.notify_one();
        tokio::select! {
            tried = attempts.changed() => {
                if tried.is_err() {
                    return;
                }
            }
            () = difference(&attempt, &touched) => {
                if changed.send(()).await.is_err() || attempts.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Returns when the files hold something else than at the attempt, and have held it for a while.
async fn difference(attempt: &Attempt, touched: &Touched) {
    let mut before = None;
    loop {
        let _ = timeout(POLL, touched.happened.notified()).await;
        loop {
            settled(touched).await;
            let files = attempt.files.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || Contents::of(&files)).await else { return };
            if now == attempt.contents {
                break;
            }
            if before.as_ref() == Some(&now) {
                return;
            }
            before = Some(now);
        }
    }
}

async fn settled(touched: &Touched) {
    let start = Instant::now();
    sleep(QUIET).await;
    while start.elapsed() < MOST && timeout(QUIET, touched.happened.notified()).await.is_ok() {}
    while start.elapsed() < WRITER && touched.is_being_written() {
        let _ = timeout(QUIET, touched.happened.notified()).await;
    }
}

/// What the system has told of.
#[derive(Default)]
struct Touched {
    happened: Notify,
    /// Files that somebody has begun to write and has not closed.
    open: Mutex<HashSet<PathBuf>>,
}

impl Touched {
    fn is_being_written(&self) -> bool {
        !self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn told(&self, event: notify::Result<Event>, names: &Names) {
        let Ok(event) = event else { return self.happened.notify_one() };
        if !event.need_rescan() && !event.paths.is_empty() && !event.paths.iter().any(|path| names.has(path))
        {
            return;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            // Its close is told of, where the system tells of closes.
            EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => open.extend(event.paths),
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => {
                open.retain(|path| !event.paths.contains(path));
                self.happened.notify_one();
            }
            EventKind::Access(_) => {}
            _ => self.happened.notify_one(),
        }
    }
}

/// What files and folders hold, and who may read them: equal if nothing of it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents([u8; 32]);

impl Contents {
    fn of(files: &[PathBuf]) -> Self {
        let mut digest = Context::new(&SHA256);
        for path in files {
            if path.is_dir() {
                for entry in entries(path) {
                    add(&mut digest, &entry);
                }
            } else {
                add(&mut digest, path);
            }
        }
        let mut contents = [0; 32];
        contents.copy_from_slice(digest.finish().as_ref());
        Self(contents)
    }
}

/// The files of a folder, by their names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).take(MAX_ENTRIES).collect();
    files.sort();
    files
}

fn add(digest: &mut Context, path: &Path) {
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(path.as_os_str().as_encoded_bytes());
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let mut text = Vec::new();
    let opened = metadata.as_ref().and_then(|_| fs::File::open(path).ok());
    let read = opened.and_then(|file| file.take(MAX_FILE).read_to_end(&mut text).ok());
    part(&metadata.filter(|_| read.is_some()).map_or(0, |it| it.permissions().mode()).to_be_bytes());
    part(&text);
}

/// Watches the folders in which the files and the links to them are. Where the system cannot, files are read each
/// minute all the same.
fn watcher(files: &[PathBuf], touched: &Arc<Touched>) -> Option<RecommendedWatcher> {
    let places = Places::of(files);
    let (names, touched) = (places.names, Arc::clone(touched));
    let told = move |event| touched.told(event, &names);
    let watching = notify::recommended_watcher(told).map(|mut watcher| {
        for folder in &places.folders {
            // A folder that is not there yet is looked at each minute.
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, "a folder is not watched");
            }
        }
        watcher
    });
    watching
        .inspect_err(|error| {
            tracing::warn!(%error, "the system tells of no changes; files are compared once a minute");
        })
        .ok()
}

/// Where something may happen that concerns the files.
#[derive(Default)]
struct Places {
    folders: HashSet<PathBuf>,
    /// Of files, of links, and of folders of which every file counts.
    names: Names,
}

#[derive(Default)]
struct Names {
    names: HashSet<OsString>,
    whole: HashSet<PathBuf>,
}

impl Places {
    fn of(files: &[PathBuf]) -> Self {
        let mut places = Self::default();
        for file in files {
            places.add(file, MAX_LINKS);
            if file.is_dir() {
                places.folders.insert(file.clone());
                places.names.whole.insert(file.clone());
            }
        }
        places
    }

    fn add(&mut self, path: &Path, links: usize) {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        self.folders.insert(parent.to_owned());
        self.names.names.insert(name.to_owned());
        if let (Ok(target), Some(left)) = (fs::read_link(path), links.checked_sub(1)) {
            self.add(&parent.join(target), left);
        }
    }
}

impl Names {
    fn has(&self, path: &Path) -> bool {
        let name = path.file_name();
        // `..data` is the link that Kubernetes exchanges.
        name.is_none_or(|name| self.names.contains(name) || name == "..data")
            || path.parent().is_some_and(|folder| self.whole.contains(folder))
    }
}
