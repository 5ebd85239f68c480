//! The log as a file, which several processes of one machine append to and follow.
//!
//! - *Append*: one `write` with `O_APPEND` under a shared lock, after a look whether the path still names this
//!   file. What is written survives the end of the process, however it ends. It is not flushed to the disk: a
//!   heartbeat names the boot of the machine, and after another boot the file counts as incomplete.
//! - *Follow*: read on from where one was. Whether the path names another file is looked at before reading, so
//!   that the old one is read to its end.
//! - *Replace*: the new file is written beside; under an exclusive lock the last records are copied behind it,
//!   and it is renamed into place. Nobody appends to the old one after that.
//!
//! Locks are advisory (`flock`), of the file itself, and end with the process that holds them.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{self, FRAME};
use super::log::{Followed, Head, LogError, Position, RevocationLog};
use super::record::Bytes;

/// How often a lock is tried: together 150 ms, within what an operation may take (`threats.md` LO-7).
const LOCK_TRIES: u32 = 30;
const LOCK_STEP: Duration = Duration::from_millis(5);

/// How often the file may be replaced while one waits for its lock.
const REPLACED_AT_ONCE: usize = 4;

/// A file of records.
#[derive(Debug)]
pub struct FileLog {
    path: PathBuf,
    writing: Mutex<Option<Opened>>,
    reading: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    opened: Option<Opened>,
    generation: u64,
    /// How many bytes in a row, up to the position, were no record.
    run: usize,
}

/// An open file, and which one it is.
#[derive(Debug)]
struct Opened {
    file: File,
    identity: (u64, u64),
}

impl FileLog {
    /// The log at a path. Nothing happens yet: whether it can be used is found out, and tried again, in use.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, writing: Mutex::default(), reading: Mutex::default() }
    }

    /// Opens the file to append, and makes it if it is not there.
    fn open(&self) -> io::Result<Opened> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        Opened::of(file)
    }

    /// Opens the file to read; makes it if that is possible.
    fn open_to_read(&self) -> io::Result<Opened> {
        self.open().or_else(|_| Opened::of(File::open(&self.path)?))
    }

    fn is_in_place(&self, opened: &Opened) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == opened.identity)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_place(
        &self,
        mut new: &File,
        path: &Path,
        from: Position,
        whole: &[Bytes],
    ) -> Result<(), LogError> {
        new.set_len(0)?;
        new.write_all(&framed(whole))?;
        let old = self.open()?;
        lock(|| old.file.try_lock())?;
        let reading = self.reading();
        let followed = reading.opened.as_ref().map(|opened| opened.identity) == Some(old.identity)
            && reading.generation == from.generation
            && self.is_in_place(&old);
        if !followed {
            return Err(LogError::Replaced);
        }
        let mut tail = Vec::new();
        (&old.file).seek(SeekFrom::Start(from.offset))?;
        (&old.file).read_to_end(&mut tail)?;
        let tail: Vec<_> = frame::scan(&tail, &mut 0).records.into_iter().map(|(_, record)| record).collect();
        new.write_all(&framed(&tail))?;
        std::fs::rename(path, &self.path)?;
        Ok(())
    }

    /// The file to append to, with a shared lock, which ends when it is put back.
    fn locked<'a>(&self, slot: &'a mut Option<Opened>) -> Result<Locked<'a>, LogError> {
        let opened = match slot.take().filter(|opened| self.is_in_place(opened)) {
            Some(opened) => opened,
            None => self.open()?,
        };
        lock(|| opened.file.try_lock_shared())?;
        let locked = Locked(slot.insert(opened));
        // It may have been replaced before it was locked.
        if self.is_in_place(locked.0) { Ok(locked) } else { Err(LogError::Replaced) }
    }

    pub(super) fn append_frames(&self, frames: Vec<u8>) -> Result<(), LogError> {
        let mut slot = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..REPLACED_AT_ONCE {
            match self.locked(&mut slot) {
                Err(LogError::Replaced) => {}
                Err(error) => return Err(error),
                Ok(locked) => return append_at_once(&locked.0.file, frames),
            }
        }
        Err(LogError::Replaced)
    }
}

/// One call: the rest of a torn frame is not written behind another process's.
fn append_at_once(mut file: &File, mut frames: Vec<u8>) -> Result<(), LogError> {
    // Only a replacement has a head. An empty file may have been emptied: it must not look complete.
    if file.metadata()?.len() == 0 {
        frames.insert(0, 0);
    }
    if file.write(&frames)? == frames.len() {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::StorageFull).into())
    }
}

impl RevocationLog for FileLog {
    fn append(&self, records: &[Bytes]) -> Result<(), LogError> {
        self.append_frames(framed(records))
    }

    fn follow(&self, from: Position) -> Result<Followed, LogError> {
        let mut reading = self.reading();
        let Reading { opened, generation, run } = &mut *reading;
        let opened = match opened {
            Some(opened) => opened,
            None => {
                *generation += 1;
                opened.insert(self.open_to_read()?)
            }
        };
        let replaced = !self.is_in_place(opened);
        if opened.file.metadata()?.len() < from.offset && from.generation == *generation {
            *generation += 1;
        }
        let start = if from.generation == *generation { from.offset } else { 0 };
        if start == 0 {
            *run = 0;
        }
        let mut bytes = Vec::new();
        opened.file.seek(SeekFrom::Start(start))?;
        opened.file.read_to_end(&mut bytes)?;
        let scan = frame::scan(&bytes, run);
        let position = Position { generation: *generation, offset: start + scan.done as u64 };
        if replaced {
            reading.opened = None;
        }
        Ok(Followed {
            from_start: start == 0,
            headed: scan.records.first().is_some_and(|(place, _)| *place == 0),
            records: scan.records.into_iter().map(|(_, record)| record).collect(),
            position,
            more: replaced,
            skipped: scan.skipped as u64,
            damaged: scan.damaged,
        })
    }

    fn replace(&self, from: Position, whole: &[Bytes]) -> Result<(), LogError> {
        // Its lock says that nobody else is writing a replacement.
        let path = self.path.with_added_extension("new");
        let new = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let new = Opened::of(new)?;
        new.file.try_lock().map_err(busy)?;
        if !std::fs::metadata(&path).is_ok_and(|metadata| identity(&metadata) == new.identity) {
            return Err(LogError::Busy);
        }
        let replaced = self.put_in_place(&new.file, &path, from, whole);
        if replaced.is_err() {
            // It may be what fills the disk.
            let _ = std::fs::remove_file(&path);
        }
        replaced
    }

    fn behead(&self, by: [u8; 8]) -> Result<(), LogError> {
        // Not opened to append: it writes over what is there.
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        if file.metadata()?.len() < FRAME as u64 {
            return Ok(());
        }
        let by = match head(&file)? {
            Head::Whole => by,
            Head::TakenBy(before) if before == by => by,
            Head::TakenBy(_) | Head::Missing => SEVERAL,
        };
        let mut mark = [0; FRAME];
        mark[FRAME - by.len()..].copy_from_slice(&by);
        file.write_all_at(&mark, 0)?;
        Ok(())
    }

    fn head(&self) -> Result<Head, LogError> {
        let reading = self.reading();
        let opened = reading.opened.as_ref().ok_or(LogError::Replaced)?;
        Ok(head(&opened.file)?)
    }
}

fn head(file: &File) -> io::Result<Head> {
    let mut bytes = [0; FRAME];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Head::Missing),
        other => other?,
    }
    let (zeros, by) = bytes.split_last_chunk().expect("a frame is longer");
    Ok(if !frame::scan(&bytes, &mut 0).records.is_empty() {
        Head::Whole
    } else if zeros.iter().all(|byte| *byte == 0) && *by != SEVERAL {
        Head::TakenBy(*by)
    } else {
        Head::Missing
    })
}

/// Stands for the writers that took the head away, if they are several.
const SEVERAL: [u8; 8] = [0xff; 8];

/// Unlocks the file when it is put back.
struct Locked<'a>(&'a mut Opened);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // It fails for no open file; and then the lock ends with the file.
        let _ = self.0.file.unlock();
    }
}

impl Opened {
    fn of(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok(Self { identity: identity(&metadata), file })
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn framed(records: &[Bytes]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(records.len() * FRAME);
    for record in records {
        frame::push(record, &mut frames);
    }
    frames
}

/// Tries for a while: whoever holds the lock has little to do, unless it is stopped.
fn lock(attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), LogError> {
    for _ in 1..LOCK_TRIES {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_STEP),
            other => return other.map_err(busy),
        }
    }
    attempt().map_err(busy)
}

fn busy(error: TryLockError) -> LogError {
    match error {
        TryLockError::WouldBlock => LogError::Busy,
        TryLockError::Error(error) => error.into(),
    }
}

/// Which start of the machine this is. Unknown is like no other.
#[must_use]
pub fn boot() -> [u8; 16] {
    let read = std::fs::read(Path::new("/proc/sys/kernel/random/boot_id"));
    read.ok().filter(|id| !id.is_empty()).map_or_else(crate::seal::random, |id| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &id);
        *digest.as_ref().first_chunk().expect("SHA-256 is longer")
    })
}
