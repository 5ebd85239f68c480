//! CPU time, as the kernel's scheduler counts it: nanoseconds in user and kernel mode.
//!
//! `/proc/<pid>/stat` counts in hundredths of a second, too coarse for one round; `schedstat` of each thread does not.

use std::fs;

use crate::Result;

/// CPU nanoseconds of all living threads of a process.
pub(crate) fn of_process(pid: u32) -> Result<u64> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        nanos += spent(&thread?.path().join("schedstat").to_string_lossy())?;
    }
    Ok(nanos)
}

/// CPU nanoseconds of this thread.
pub(crate) fn of_this_thread() -> Result<u64> {
    spent("/proc/thread-self/schedstat")
}

fn spent(file: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    Ok(text.split(' ').next().ok_or("a schedstat without fields")?.trim().parse()?)
}
