//! What processes cost, as the kernel books it.

use std::fs;
use std::time::Duration;

/// CPU time of all threads of these processes so far, in kernel and out of it.
pub(crate) fn cpu(processes: &[u32]) -> Duration {
    let threads =
        |process: &u32| fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    // `schedstat` counts nanoseconds where `stat` counts hundredths of a second.
    let spent = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(processes.iter().flat_map(threads).filter_map(spent).sum())
}

/// Their memory that is in RAM, in KiB.
pub(crate) fn resident(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum()
}
