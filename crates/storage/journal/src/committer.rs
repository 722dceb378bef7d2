//! The one thread that writes: it takes groups, makes each durable with one write and one sync, and
//! answers their writers. It owns the current segment.
//!
//! A segment whose write or sync failed is given up, with one exception: where the disk is merely
//! full, the segment is cut back to its committed length and used again, so that a full disk does
//! not leave a trail of files. A new segment is begun by the next append that finds none, so the
//! journal heals by itself, at the pace of its writers and without a timer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_disk::{Disk, File, Open};

use crate::ahead::Ahead;
use crate::errors::AppendError;
use crate::format::{FileKind, GroupBuffer, HEADER_BYTES, Header, MARK_FILE, Mark, segment_path};
use crate::queue::{Answer, Forming, Inner, Rotated, Shared, Work};
use crate::reader::{Next, Reader, Unreadable};
use crate::{Position, SegmentInfo, Settings};

/// The segment that grows.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u64,
    pub(crate) file: Box<dyn File>,
    pub(crate) salt: u64,
    /// Its committed length.
    pub(crate) bytes: u64,
    pub(crate) ahead: Ahead,
}

impl Active {
    /// Ends the segment where its groups end. It is what they take then, and the next owner goes on in it
    /// without a question. A failure leaves zeros that nobody looks at.
    fn cut(&mut self) {
        if self.ahead.bytes(self.bytes) > 0 {
            let _ = self.ahead.cut(&*self.file, self.bytes);
        }
    }
}

/// The segment that is begun next.
#[derive(Debug, Clone)]
pub(crate) struct Upcoming {
    pub(crate) number: u64,
    pub(crate) first_record: u64,
    /// The committed length of the segment before it.
    pub(crate) previous_bytes: u64,
    /// Records of the segment before it that are valid but not proved to be durable.
    pub(crate) tail: Option<Tail>,
}

/// Groups in a segment that a killed process left behind its last proof. They may stand in the page
/// cache alone, after a failed sync, so that syncing their file again would prove nothing. They are
/// written again, into the next segment.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) segment: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    settings: Settings,
    active: Option<Active>,
    upcoming: Upcoming,
    next_record: u64,
    mark: Option<Box<dyn File>>,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        settings: Settings,
        (active, upcoming): (Option<Active>, Upcoming),
        next_record: u64,
    ) -> Committer {
        Committer { shared, disk, folder, settings, active, upcoming, next_record, mark: None }
    }

    /// Makes durable what the last owner left unproved. A failure is tried again by the first append.
    pub(crate) fn settle(&mut self) {
        if self.upcoming.tail.is_some()
            && let Err(error) = self.begin_segment()
        {
            self.shared.lock().stats.fail(&error);
        }
    }

    pub(crate) fn run(mut self) {
        let shared = self.shared.clone();
        let _abandon = OnDrop(&shared);
        while let Some(work) = shared.next_work(self.settings.flush_interval) {
            match work {
                Work::Group(forming) => self.commit(forming),
                Work::Rotate(completion) => {
                    let rotated = self.rotate();
                    if let Err(error) = &rotated {
                        shared.lock().stats.fail(error);
                    }
                    completion.answer(rotated);
                }
            }
        }
        if let Some(active) = &mut self.active {
            active.cut();
        }
    }

    fn commit(&mut self, mut forming: Forming) {
        let result = self.write(&mut forming);
        let active = self.active.as_ref().map(|active| (active.number, active.bytes));
        let (count, bytes) = (forming.group.count(), forming.group.len());
        let ahead_bytes = self.active.as_ref().map_or(0, |active| active.ahead.bytes(active.bytes));
        let update = |inner: &mut Inner, result: &Answer| {
            inner.ahead_bytes = ahead_bytes;
            match (result, active) {
                (Err(error), _) => inner.stats.fail(error),
                (Ok(_), Some((segment, committed))) if count > 0 => {
                    inner.committed(segment, committed, count, bytes)
                }
                _ => {}
            }
        };
        self.shared.finish(forming, result, update);
    }

    /// Where the group's first record stands, once it is durable.
    fn write(&mut self, forming: &mut Forming) -> Answer {
        let group = &mut forming.group;
        let first_record = self.next_record;
        if group.count() == 0 {
            let segment = self.active.as_ref().map_or(self.upcoming.number, |active| active.number);
            return Ok(Position { segment, record: first_record });
        }
        if !forming.uses_reserve {
            self.check_reserve()?;
        }
        self.make_room(group.len() as u64)?;
        let Some(active) = &mut self.active else { return Err(AppendError::Closed) };
        let (segment, offset) = (active.number, active.bytes);
        let path = segment_path(&self.folder, segment);
        let written = active.file.write_all_at(group.seal(active.salt, offset, first_record), offset);
        if let Err(error) = written {
            let is_whole_again = is_full(&error) && active.ahead.cut(&*active.file, offset).is_ok();
            if !is_whole_again {
                self.give_up();
            }
            return Err(self.failure("write", &path, &error));
        }
        let end = offset + group.len() as u64;
        if let Some(to) = active.ahead.reach(&self.settings, end, group.len() as u64)
            && self.has_room(forming.uses_reserve, to - end)
            && let Some(active) = &mut self.active
            && let Err(error) = active.ahead.extend(&*active.file, end, to)
        {
            self.give_up();
            return Err(self.failure("write", &path, &error));
        }
        let Some(active) = &mut self.active else { return Err(AppendError::Closed) };
        if let Err(error) = active.file.sync_data() {
            self.give_up();
            return Err(self.failure("sync", &path, &error));
        }
        active.bytes = end;
        self.next_record += u64::from(group.count());
        self.write_mark();
        Ok(Position { segment, record: first_record })
    }

    /// Whether zeros may be written ahead without taking what is kept for others.
    fn has_room(&self, uses_reserve: bool, bytes: u64) -> bool {
        let reserve = self.settings.reserve_bytes;
        !uses_reserve
            && (reserve == 0
                || self.disk.free_bytes(&self.folder).is_ok_and(|free| free >= reserve.saturating_add(bytes)))
    }

    fn check_reserve(&self) -> Result<(), AppendError> {
        let reserve = self.settings.reserve_bytes;
        if reserve == 0 {
            return Ok(());
        }
        // A disk that cannot tell its room is not full for that.
        match self.disk.free_bytes(&self.folder) {
            Ok(free) if free < reserve => {
                Err(AppendError::Full { folder: self.folder.clone(), free, reserve })
            }
            _ => Ok(()),
        }
    }

    /// Sees to it that there is a segment, and that it may grow by this much.
    fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        match &self.active {
            None => self.begin_segment(),
            Some(active)
                if active.bytes > HEADER_BYTES && active.bytes + bytes > self.settings.segment_bytes =>
            {
                self.roll()
            }
            Some(_) => Ok(()),
        }
    }

    fn rotate(&mut self) -> Rotated {
        if self.active.is_none() {
            self.begin_segment()?;
        }
        if self.active.as_ref().is_some_and(|active| active.bytes > HEADER_BYTES) {
            self.roll()?;
        }
        let segment = self.active.as_ref().map_or(self.upcoming.number, |active| active.number);
        Ok(Position { segment, record: self.next_record })
    }

    /// Ends the current segment and begins the next. There is no way back where that fails: the next
    /// one may already stand on the disk and say how much of this one counts.
    fn roll(&mut self) -> Result<(), AppendError> {
        if let Some(mut active) = self.active.take() {
            active.cut();
            self.plan_after(&active);
        }
        self.begin_segment()
    }

    /// The current segment takes nothing more; what stands beyond its committed length never counts.
    fn give_up(&mut self) {
        if let Some(active) = self.active.take() {
            tracing::warn!(segment = active.number, folder = %self.folder.display(), "gave up a journal segment");
            self.plan_after(&active);
        }
    }

    fn plan_after(&mut self, active: &Active) {
        self.upcoming = Upcoming {
            number: active.number + 1,
            first_record: self.next_record,
            previous_bytes: active.bytes,
            tail: None,
        };
    }

    /// A segment gets its name when its header, and the tail that it takes over, are durable. A name
    /// without a sound header is therefore damage, never an accident.
    fn begin_segment(&mut self) -> Result<(), AppendError> {
        let path = segment_path(&self.folder, self.upcoming.number);
        let temporary = path.with_added_extension("tmp");
        let begun = self.write_segment(&temporary).and_then(|active| {
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_folder(&self.folder)?;
            Ok(active)
        });
        match begun {
            Err(error) => {
                // Nobody reads it; the error that matters is the first one.
                let _ = self.disk.remove(&temporary);
                Err(self.failure("begin", &path, &error))
            }
            Ok(active) => {
                let info = SegmentInfo {
                    number: active.number,
                    bytes: active.bytes,
                    first_record: self.upcoming.first_record,
                    is_damaged: false,
                };
                let mut inner = self.shared.lock();
                inner.segments.insert(active.number, info);
                inner.ahead_bytes = 0;
                drop(inner);
                self.active = Some(active);
                if self.upcoming.tail.take().is_some() {
                    self.write_mark();
                }
                Ok(())
            }
        }
    }

    fn write_segment(&self, temporary: &Path) -> io::Result<Active> {
        // A leftover may have failed its sync, so it is not written again.
        match self.disk.remove(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.open(temporary, Open::CreateNew)?;
        let header = Header {
            number: self.upcoming.number,
            first_record: self.upcoming.first_record,
            previous_bytes: self.upcoming.previous_bytes,
            salt: salt()?,
        };
        file.write_all_at(&header.encode(FileKind::Segment), 0)?;
        let (number, salt) = (header.number, header.salt);
        let mut active = Active { number, file, salt, bytes: HEADER_BYTES, ahead: Ahead::default() };
        if let Some(tail) = &self.upcoming.tail {
            self.copy_tail(tail, &mut active)?;
        }
        active.file.sync_data()?;
        active.ahead = Ahead::none(active.bytes);
        Ok(active)
    }

    fn copy_tail(&self, tail: &Tail, active: &mut Active) -> io::Result<()> {
        let path = segment_path(&self.folder, tail.segment);
        let mut reader =
            Reader::open(&*self.disk, &path, FileKind::Segment, tail.segment).map_err(|unreadable| {
                match unreadable {
                    Unreadable::Io(error) => error,
                    other => io::Error::other(format!("{} changed meanwhile: {other:?}", path.display())),
                }
            })?;
        reader.seek(tail.from, self.upcoming.first_record);
        let mut copy = GroupBuffer::new();
        loop {
            match reader.next(tail.to)? {
                Next::End => return Ok(()),
                Next::Invalid(why) => {
                    return Err(io::Error::other(format!("{} changed meanwhile: {why}", path.display())));
                }
                Next::Group(group) => {
                    copy.set_body(group.body, group.count);
                    let bytes = copy.seal(active.salt, active.bytes, group.first_record);
                    active.file.write_all_at(bytes, active.bytes)?;
                    active.bytes += copy.len() as u64;
                }
            }
        }
    }

    /// Notes what is committed. The mark is a lower bound, so a failure costs a proof and no data.
    fn write_mark(&mut self) {
        let Some(active) = &self.active else { return };
        let mark = Mark { segment: active.number, bytes: active.bytes };
        let file = match self.mark.take() {
            Some(file) => Ok(file),
            None => self.disk.open(&self.folder.join(MARK_FILE), Open::Create),
        };
        match file.and_then(|file| file.write_all_at(&mark.encode(), 0).map(|()| file)) {
            Ok(file) => self.mark = Some(file),
            Err(_) => self.shared.lock().stats.mark_failures += 1,
        }
    }

    fn failure(&self, action: &'static str, path: &Path, error: &io::Error) -> AppendError {
        if is_full(error) {
            let free = self.disk.free_bytes(&self.folder).unwrap_or(0);
            return AppendError::Full {
                folder: self.folder.clone(),
                free,
                reserve: self.settings.reserve_bytes,
            };
        }
        AppendError::disk(action, path, error)
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(crate) fn salt() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// However the committer ends, nobody waits for it any longer.
struct OnDrop<'a>(&'a Shared);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
