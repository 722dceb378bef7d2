//! Processor time and memory, of this process and of others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::{Failure, clock};

/// A process that used less than a tick in this time is done.
const QUIET: Duration = Duration::from_millis(700);
/// How long it may take to become quiet.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// What each thread of another process has used so far, to the nanosecond.
#[derive(Debug)]
pub(crate) struct Threads(BTreeMap<OsString, Duration>);

impl Threads {
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            // A thread may end while it is looked at.
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = stat.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or(0);
            threads.insert(task.file_name(), Duration::from_nanos(nanos));
        }
        Ok(Self(threads))
    }

    /// What they have used since then. A thread that has ended meanwhile is taken for one that had nothing to do.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let since = |(thread, time): (&OsString, &Duration)| {
            time.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(since).sum()
    }
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

/// Waits until a process does nothing any more, and says for how long it did something.
pub(crate) fn quiet(pid: u32) -> Result<Duration, Failure> {
    let begin = clock::now();
    let mut busy_until: Option<Instant> = None;
    let mut last = cpu_of(pid)?;
    while begin.elapsed() < PATIENCE {
        clock::pause(QUIET);
        let now = cpu_of(pid)?;
        if now.saturating_sub(last) < Duration::from_millis(20) {
            return Ok(busy_until.map_or(Duration::ZERO, |until| until - begin));
        }
        (last, busy_until) = (now, Some(clock::now()));
    }
    Err("a process went on working for minutes after the last that it was sent".into())
}

/// The most memory that a process has ever had in use.
pub(crate) fn peak_bytes(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    Ok(peak.ok_or("status has no peak")? << 10)
}

/// Has a process' peak begin again at what it uses now.
pub(crate) fn forget_peak(pid: u32) -> Result<(), Failure> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}
