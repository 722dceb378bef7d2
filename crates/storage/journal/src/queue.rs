//! Where writers leave their records and the committer takes them as groups.
//!
//! Writers copy their record into the group that is forming, so that the committer has one buffer to
//! write and no record is copied twice. All bookkeeping that both sides see is here, behind one lock
//! that nobody holds during I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::completion::{Completion, Waiter, completion};
use crate::errors::AppendError;
use crate::format::{GroupBuffer, RECORD_HEADER_BYTES};
use crate::{Position, Records, SegmentInfo, Stats};

/// A group that reaches this size takes no more records. It bounds what one sync covers and what
/// reading needs.
const GROUP_BYTES: usize = 1 << 20;

pub(crate) type Answer = Result<Position, AppendError>;

/// Records that are written and answered together.
#[derive(Debug)]
pub(crate) struct Forming {
    pub(crate) group: GroupBuffer,
    /// Written also where only the reserve is left.
    pub(crate) uses_reserve: bool,
    waiters: Vec<(u32, Completion<Answer>)>,
    queued_bytes: u64,
}

impl Forming {
    /// Answers all writers; `first` is where the first record of the group stands.
    fn answer(&mut self, result: Result<Position, AppendError>) {
        for (index, waiter) in self.waiters.drain(..) {
            waiter.answer(match &result {
                Ok(first) => Ok(Position { record: first.record + u64::from(index), ..*first }),
                Err(error) => Err(error.clone()),
            });
        }
    }
}

/// What decides whether records are taken.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Of all of them, with their framing.
    bytes: u64,
    /// The largest payload.
    largest: u64,
    count: u64,
}

/// The segment and the record that the next append will have.
pub(crate) type Rotated = Result<Position, AppendError>;

#[derive(Debug)]
pub(crate) enum Work {
    Group(Forming),
    /// Begin a new segment, unless the current one is empty.
    Rotate(Completion<Rotated>),
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    queue: VecDeque<Work>,
    queued_bytes: u64,
    spare: Vec<u8>,
    /// The committer sleeps until there is work.
    idle: bool,
    /// The committer waits for its group to grow.
    gathering: bool,
    closed: bool,
    pub(crate) segments: BTreeMap<u64, SegmentInfo>,
    /// Zeros behind the groups of the newest segment.
    pub(crate) ahead_bytes: u64,
    pub(crate) snapshot: Option<u64>,
    pub(crate) snapshot_bytes: u64,
    pub(crate) is_snapshot_running: bool,
    pub(crate) stats: Stats,
}

/// What the journal's handle, its committer and its snapshots share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    work: Condvar,
    max_record_bytes: u64,
    queue_bytes: u64,
}

impl Shared {
    pub(crate) fn new(inner: Inner, max_record_bytes: u64, queue_bytes: u64) -> Shared {
        // Lengths have 32 bits on disk.
        let limit = u64::from(u32::MAX / 2);
        let (max_record_bytes, queue_bytes) = (max_record_bytes.min(limit), queue_bytes.min(limit));
        Shared { inner: Mutex::new(inner), work: Condvar::new(), max_record_bytes, queue_bytes }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant of the state spans a call that could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn max_record_bytes(&self) -> u64 {
        self.max_record_bytes
    }

    /// Puts the records, all of them, into one group.
    pub(crate) fn append<P: AsRef<[u8]>>(&self, records: &[(u8, P)], uses_reserve: bool) -> Waiter<Answer> {
        let sizes = || records.iter().map(|(_, payload)| payload.as_ref().len() as u64);
        let size = Size {
            bytes: sizes().map(|bytes| bytes + RECORD_HEADER_BYTES as u64).sum(),
            largest: sizes().max().unwrap_or(0),
            count: records.len() as u64,
        };
        self.enqueue(size, uses_reserve, |group| {
            records.iter().for_each(|(kind, payload)| group.push(*kind, payload.as_ref()));
        })
    }

    /// The same with records that are laid out already.
    pub(crate) fn append_records(&self, records: &Records) -> Waiter<Answer> {
        let size = Size { bytes: records.bytes(), largest: records.largest(), count: records.len() as u64 };
        self.enqueue(size, false, |group| group.extend(records.group()))
    }

    /// Has records of this size put into a group, if nothing speaks against it.
    fn enqueue(&self, size: Size, uses_reserve: bool, put: impl FnOnce(&mut GroupBuffer)) -> Waiter<Answer> {
        let Size { bytes, largest, count } = size;
        let too_large = |bytes, limit| Waiter::answered(Err(AppendError::TooLarge { bytes, limit }));
        if largest > self.max_record_bytes {
            return too_large(largest, self.max_record_bytes);
        }
        if bytes > self.queue_bytes {
            return too_large(bytes, self.queue_bytes);
        }
        let mut inner = self.lock();
        if inner.closed {
            return Waiter::answered(Err(AppendError::Closed));
        }
        if inner.queued_bytes + bytes > self.queue_bytes {
            inner.stats.refused += count;
            let queued = inner.queued_bytes;
            return Waiter::answered(Err(AppendError::QueueFull { queued, limit: self.queue_bytes }));
        }
        inner.queued_bytes += bytes;
        let forming = inner.forming(bytes, uses_reserve);
        let (completion, waiter) = completion();
        forming.waiters.push((forming.group.count(), completion));
        forming.queued_bytes += bytes;
        put(&mut forming.group);
        self.wake(inner);
        waiter
    }

    /// Begins a new segment after all that was appended so far.
    pub(crate) fn rotate(&self) -> Waiter<Rotated> {
        let mut inner = self.lock();
        if inner.closed {
            return Waiter::answered(Err(AppendError::Closed));
        }
        let (completion, waiter) = completion();
        inner.queue.push_back(Work::Rotate(completion));
        self.wake(inner);
        waiter
    }

    /// Takes no more; what is queued is still written.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.wake(inner);
    }

    /// The committer is woken only when it sleeps: a wake-up is a system call.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let wake = inner.idle || (inner.gathering && !inner.may_gather());
        (inner.idle, inner.gathering) = (inner.idle && !wake, inner.gathering && !wake);
        drop(inner);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits for work; `None` when the journal is closed and everything is done.
    pub(crate) fn next_work(&self, flush_interval: Duration) -> Option<Work> {
        let mut inner = self.lock();
        while inner.queue.is_empty() {
            if inner.closed {
                return None;
            }
            inner.idle = true;
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.idle = false;
        if !flush_interval.is_zero() {
            inner = self.gather(inner, flush_interval);
        }
        inner.queue.pop_front()
    }

    /// Waits while only one group is there and more may join it.
    fn gather<'a>(&self, mut inner: MutexGuard<'a, Inner>, time: Duration) -> MutexGuard<'a, Inner> {
        inner.gathering = true;
        let waited = self.work.wait_timeout_while(inner, time, |inner| inner.may_gather());
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.gathering = false;
        inner
    }

    /// The committer is done with a group: `update` enters what changed, then the writers are
    /// answered, so that whoever got an answer sees its effect.
    pub(crate) fn finish(
        &self,
        mut forming: Forming,
        result: Answer,
        update: impl FnOnce(&mut Inner, &Answer),
    ) {
        let mut inner = self.lock();
        update(&mut inner, &result);
        inner.queued_bytes -= forming.queued_bytes;
        drop(inner);
        forming.answer(result);
        let bytes = forming.group.into_bytes();
        if bytes.capacity() <= 2 * GROUP_BYTES {
            self.lock().spare = bytes;
        }
    }

    /// Ends everything that still waits; for the committer's end, however it comes.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.queued_bytes = 0;
        let queue = std::mem::take(&mut inner.queue);
        drop(inner);
        drop(queue);
    }
}

impl Inner {
    pub(crate) fn new(segments: BTreeMap<u64, SegmentInfo>) -> Inner {
        Inner { segments, ..Inner::default() }
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// A group of this many records and bytes is durable, and so is its segment up to `end`.
    pub(crate) fn committed(&mut self, segment: u64, end: u64, count: u32, bytes: usize) {
        if let Some(info) = self.segments.get_mut(&segment) {
            info.bytes = end;
        }
        self.stats.records += u64::from(count);
        self.stats.bytes += bytes as u64;
        self.stats.groups += 1;
        self.stats.failing = None;
    }

    fn may_gather(&self) -> bool {
        let small = |work: &Work| matches!(work, Work::Group(forming) if forming.group.len() < GROUP_BYTES);
        !self.closed && self.queue.len() == 1 && self.queue.iter().all(small)
    }

    /// The group that takes this many bytes.
    fn forming(&mut self, bytes: u64, uses_reserve: bool) -> &mut Forming {
        let fits = |work: &Work| match work {
            Work::Group(forming) => {
                forming.uses_reserve == uses_reserve
                    && (forming.group.count() == 0
                        || forming.group.len() as u64 + bytes <= GROUP_BYTES as u64)
            }
            Work::Rotate(_) => false,
        };
        if !self.queue.back().is_some_and(fits) {
            let group = GroupBuffer::reusing(std::mem::take(&mut self.spare));
            self.queue.push_back(Work::Group(Forming {
                group,
                uses_reserve,
                waiters: Vec::new(),
                queued_bytes: 0,
            }));
        }
        match self.queue.back_mut() {
            Some(Work::Group(forming)) => forming,
            // A group was pushed two lines above where none stood.
            _ => unreachable!("the last work is a group"),
        }
    }
}
