//! CPU time, as the kernel's scheduler counts it: nanoseconds in user and kernel mode. And memory.
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

/// What a process holds in memory: bytes.
pub(crate) fn memory_of_process(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("a status without VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// CPU nanoseconds of this thread.
pub(crate) fn of_this_thread() -> Result<u64> {
    spent("/proc/thread-self/schedstat")
}

fn spent(file: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    Ok(text.split(' ').next().ok_or("a schedstat without fields")?.trim().parse()?)
}
