//! Processor time and memory, of this process and of others.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// What all threads of this process have used so far, to the nanosecond.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What this thread has used so far, to the nanosecond.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What all threads of another process have used so far, in steps of the kernel's tick (10 ms).
pub(crate) fn cpu_of(pid: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses and may hold anything; utime and stime are the
    // twelfth and thirteenth after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// This process.
pub(crate) fn this() -> u32 {
    std::process::id()
}

/// What this process has read so far, from files and pipes: how often, and how many bytes.
pub(crate) fn own_reads() -> Result<(u64, u64), Failure> {
    let io = fs::read_to_string("/proc/self/io")?;
    let of = |name: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|count| count.parse().ok()).ok_or("no count of reads")
    };
    Ok((of("syscr")?, of("rchar")?))
}

/// The memory of a process that is in use now: its resident pages.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("statm has no resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
