//! Finds out what a journal holds when it is opened.
//!
//! Everything is read, checked and replayed first; the folder is changed only when it is certain
//! that the journal will be opened. What counts:
//!
//! - the newest snapshot, then all segments from its number on, without a gap;
//! - of each segment but the last, what the next one's header says was committed, all of it;
//! - of the last one, all up to the mark, then the longest valid prefix. Where a valid group stands
//!   beyond its end, that end is no torn write but damage; where zeros do, they were written ahead.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use storage_disk::{Disk, Open};

use crate::ahead::Ahead;
use crate::committer::{Active, Tail, Upcoming};
use crate::errors::{Damage, OpenError};
use crate::format::{
    FileKind, HEADER_BYTES, MARK_BYTES, MARK_FILE, Mark, Name, VERSION, damaged_path, records, segment_path,
    snapshot_path,
};
use crate::queue::Inner;
use crate::reader::{Next, Reader, Unreadable};
use crate::{History, OnDamage, Origin, Recovery, Replay, SegmentInfo, Settings};

/// A journal that was recovered.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) recovery: Recovery,
    pub(crate) inner: Inner,
    pub(crate) start: (Option<Active>, Upcoming),
    pub(crate) next_record: u64,
}

pub(crate) fn recover(
    disk: &dyn Disk,
    folder: &Path,
    settings: &Settings,
    replay: Replay<'_>,
) -> Result<Recovered, OpenError> {
    disk.create_folder(folder).map_err(OpenError::io("create", folder))?;
    let found = Found::look(disk, folder)?;
    let mut scan = Scan {
        disk,
        folder,
        replay,
        recovery: Recovery::default(),
        infos: BTreeMap::new(),
        next_record: None,
        highest_record: 1,
        snapshot_bytes: 0,
    };
    let base = scan.read_snapshot(&found)?;
    let is_snapshot_sound = scan.recovery.damaged.is_empty();
    let end = scan.read_segments(&found, base, settings.history)?;
    let Scan { mut recovery, infos, next_record, highest_record, snapshot_bytes, .. } = scan;
    if settings.on_damage == OnDamage::Refuse {
        recovery.damaged.extend(found.set_aside_earlier(folder));
    }
    if !recovery.damaged.is_empty() && settings.on_damage == OnDamage::Refuse {
        return Err(OpenError::Damaged(recovery.damaged));
    }
    recovery.segments = infos.len() as u64;

    // From here on the folder may be changed.
    let spoiled: Vec<u64> = end.spoiled.iter().copied().filter(|number| !found.segments[number]).collect();
    set_aside(disk, folder, &spoiled)?;
    clean_up(disk, folder, &found, base.filter(|_| is_snapshot_sound).unwrap_or(0));
    let next_record = next_record.unwrap_or(highest_record);
    let start = end.start(disk, folder, settings, next_record);
    let mut inner = Inner::new(infos);
    (inner.snapshot, inner.snapshot_bytes) = (base, snapshot_bytes);
    inner.stats.damaged_segments = found.damaged().count() as u64 + spoiled.len() as u64;
    Ok(Recovered { recovery, inner, start, next_record })
}

/// What stands in the folder.
#[derive(Debug, Default)]
struct Found {
    /// Segments by number, and whether their damage is known.
    segments: BTreeMap<u64, bool>,
    snapshots: Vec<u64>,
    temporary: Vec<PathBuf>,
    mark: Option<Mark>,
}

impl Found {
    fn look(disk: &dyn Disk, folder: &Path) -> Result<Found, OpenError> {
        let mut found = Found::default();
        for entry in disk.list(folder).map_err(OpenError::io("list", folder))? {
            match Name::parse(&entry.name) {
                Name::Segment(number) => {
                    found.segments.entry(number).or_insert(false);
                }
                Name::DamagedSegment(number) => {
                    found.segments.insert(number, true);
                }
                Name::Snapshot(number) => found.snapshots.push(number),
                Name::Temporary => found.temporary.push(folder.join(&entry.name)),
                Name::Other => {}
            }
        }
        found.snapshots.sort_unstable();
        // A mark that cannot be read proves nothing, and nothing depends on it.
        found.mark =
            disk.read(&folder.join(MARK_FILE), MARK_BYTES as u64).ok().and_then(|bytes| Mark::decode(&bytes));
        Ok(found)
    }

    fn damaged(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().filter(|(_, is_damaged)| **is_damaged).map(|(number, _)| *number)
    }

    fn set_aside_earlier(&self, folder: &Path) -> impl Iterator<Item = Damage> {
        self.damaged().map(|number| Damage {
            file: damaged_path(folder, number),
            offset: 0,
            why: "found a segment that was set aside as damaged".to_owned(),
        })
    }
}

/// How the walk through the segments ended.
#[derive(Debug, Default)]
struct End {
    /// The last segment's number; 0 where there is none.
    last: u64,
    /// What of it is proved to be durable.
    proved: u64,
    /// Where its valid groups end.
    valid: u64,
    /// Where the file ends.
    length: u64,
    /// Nothing but zeros stands behind its valid groups.
    ends_with_zeros: bool,
    salt: u64,
    /// The number of its first record that is not proved.
    unproved_record: u64,
    /// Segments whose damage was found now.
    spoiled: Vec<u64>,
    is_last_sound: bool,
}

impl End {
    /// Where to write on: in the last segment if all of it is proved, else in a new one.
    fn start(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        settings: &Settings,
        next_record: u64,
    ) -> (Option<Active>, Upcoming) {
        let mut upcoming =
            Upcoming { number: self.last + 1, first_record: next_record, previous_bytes: 0, tail: None };
        if !self.is_last_sound {
            return (None, upcoming);
        }
        upcoming.previous_bytes = self.proved;
        if self.valid > self.proved {
            upcoming.first_record = self.unproved_record;
            upcoming.tail = Some(Tail { segment: self.last, from: self.proved, to: self.valid });
        }
        let is_whole = self.proved == self.valid && (self.valid == self.length || self.ends_with_zeros);
        if is_whole
            && self.valid < settings.segment_bytes
            && let Ok(file) = self.reopen(disk, folder)
        {
            let (bytes, ahead) = (self.valid, Ahead::none(self.valid));
            return (Some(Active { number: self.last, file, salt: self.salt, bytes, ahead }), upcoming);
        }
        (None, upcoming)
    }

    fn reopen(&self, disk: &dyn Disk, folder: &Path) -> io::Result<Box<dyn storage_disk::File>> {
        // A killed process may have left the segment's name unsynced.
        disk.sync_folder(folder)?;
        let file = disk.open(&segment_path(folder, self.last), Open::Write)?;
        // Zeros that a killed process left ahead may not be durable, and are not relied on.
        if self.length > self.valid {
            file.truncate(self.valid)?;
        }
        Ok(file)
    }
}

struct Scan<'a, 'r> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    replay: Replay<'r>,
    recovery: Recovery,
    infos: BTreeMap<u64, SegmentInfo>,
    /// The number that the next segment's first record must have, where the last one ended well.
    next_record: Option<u64>,
    /// No record so far had this number or a higher one.
    highest_record: u64,
    snapshot_bytes: u64,
}

impl Scan<'_, '_> {
    /// Reads the newest snapshot and returns the number of the first segment that it does not cover.
    fn read_snapshot(&mut self, found: &Found) -> Result<Option<u64>, OpenError> {
        let Some(&number) = found.snapshots.last() else { return Ok(None) };
        let path = snapshot_path(self.folder, number);
        let mut reader = match Reader::open(self.disk, &path, FileKind::Snapshot, number) {
            Ok(reader) => reader,
            Err(unreadable) => {
                let damage = unreadable.into_damage(&path)?;
                self.recovery.damaged.push(damage);
                return Ok(Some(number));
            }
        };
        self.next_record = Some(reader.header().first_record);
        self.highest_record = reader.header().first_record;
        self.snapshot_bytes = reader.length();
        let mut is_complete = false;
        let why =
            loop {
                match reader.next(u64::MAX).map_err(OpenError::io("read", &path))? {
                    Next::End if is_complete => return Ok(Some(number)),
                    Next::End => break "the end before the closing group",
                    Next::Group(_) if is_complete => break "more after the closing group",
                    Next::Invalid(why) => break why,
                    Next::Group(group) if group.count == 0 => is_complete = true,
                    Next::Group(group) => {
                        self.recovery.snapshot_records += u64::from(group.count);
                        for ((kind, payload), record) in records(group.body).zip(group.first_record..) {
                            (self.replay)(Origin::Snapshot, kind, payload)
                                .map_err(|why| OpenError::Replay { file: path.clone(), record, why })?;
                        }
                    }
                }
            };
        let offset = reader.position();
        self.recovery.damaged.push(Damage { file: path, offset, why: format!("found {why}") });
        Ok(Some(number))
    }

    fn read_segments(
        &mut self,
        found: &Found,
        base: Option<u64>,
        history: History,
    ) -> Result<End, OpenError> {
        let numbers: Vec<u64> =
            found.segments.range(base.unwrap_or(0)..).map(|(number, _)| *number).collect();
        let first = match (base, history, numbers.first()) {
            (Some(base), _, _) => base,
            (None, History::Window, Some(&oldest)) => oldest,
            (None, _, _) => 1,
        };
        let marked = found.mark.map_or(0, |mark| mark.segment);
        let last = numbers.last().copied().unwrap_or(0);
        let needed = marked.max(base.unwrap_or(0));
        let mut end = End { last, ..End::default() };
        let mut expected = first;
        for (index, &number) in numbers.iter().enumerate() {
            self.report_missing(expected..number);
            expected = number + 1;
            self.read_segment(found, number, numbers.get(index + 1).copied(), &mut end)?;
        }
        if last < needed {
            self.report_missing(expected.max(first)..needed + 1);
            (end.last, end.is_last_sound) = (needed, false);
        }
        Ok(end)
    }

    /// What is missing is named once for each range: a number may be far off.
    fn report_missing(&mut self, numbers: std::ops::Range<u64>) {
        if numbers.is_empty() {
            return;
        }
        self.next_record = None;
        let why = match numbers.end - numbers.start {
            1 => "the file is missing".to_owned(),
            more => format!("this file and the {} that follow are missing", more - 1),
        };
        self.recovery.damaged.push(Damage { file: segment_path(self.folder, numbers.start), offset: 0, why });
    }

    fn read_segment(
        &mut self,
        found: &Found,
        number: u64,
        next: Option<u64>,
        end: &mut End,
    ) -> Result<(), OpenError> {
        let is_known_damaged = found.segments[&number];
        let path = if is_known_damaged {
            damaged_path(self.folder, number)
        } else {
            segment_path(self.folder, number)
        };
        let mut info = SegmentInfo { number, bytes: 0, first_record: 0, is_damaged: is_known_damaged };
        end.is_last_sound = false;
        let mut damage = None;
        match Reader::open(self.disk, &path, FileKind::Segment, number) {
            Err(unreadable) => {
                damage = Some(unreadable.into_damage(&path)?);
                self.next_record = None;
            }
            Ok(mut reader) => {
                let header = reader.header();
                info.first_record = header.first_record;
                if self.next_record.is_some_and(|expected| expected != header.first_record) {
                    let why = "its records do not follow those before it".to_owned();
                    damage = Some(Damage { file: path.clone(), offset: 0, why });
                }
                let bounds = self.bounds(found, number, next, is_known_damaged);
                end.proved = bounds.proved.max(HEADER_BYTES);
                end.unproved_record = header.first_record;
                end.salt = header.salt;
                let invalid = self.replay_groups(&mut reader, &path, &bounds, end)?;
                (end.valid, end.length) = (reader.position(), reader.length());
                end.ends_with_zeros = reader.ends_with_zeros().map_err(OpenError::io("read", &path))?;
                info.bytes = reader.position();
                self.next_record = Some(reader.next_record());
                self.highest_record = self.highest_record.max(reader.next_record());
                let spoiled = self.judge(&mut reader, &path, &bounds, invalid)?;
                damage = damage.or(spoiled);
            }
        }
        if damage.is_none() && !is_known_damaged {
            end.is_last_sound = true;
            if next.is_none() {
                self.recovery.torn_bytes = if end.ends_with_zeros { 0 } else { end.length - end.valid };
                // What is not proved moves into the next segment.
                info.bytes = end.proved;
            }
        } else {
            self.next_record = None;
        }
        if let Some(damage) = damage.filter(|_| !is_known_damaged) {
            info.is_damaged = true;
            end.spoiled.push(number);
            self.recovery.damaged.push(damage);
        }
        self.infos.insert(number, info);
        Ok(())
    }

    fn bounds(&self, found: &Found, number: u64, next: Option<u64>, is_known_damaged: bool) -> Bounds {
        if is_known_damaged {
            return Bounds { proved: u64::MAX, limit: u64::MAX, is_last: false, is_known_damaged };
        }
        if next == Some(number + 1) {
            let path = if found.segments[&(number + 1)] { damaged_path } else { segment_path };
            let path = path(self.folder, number + 1);
            if let Ok(reader) = Reader::open(self.disk, &path, FileKind::Segment, number + 1) {
                let committed = reader.header().previous_bytes;
                return Bounds { proved: committed, limit: committed, is_last: false, is_known_damaged };
            }
        }
        let proved = found.mark.filter(|mark| mark.segment == number).map_or(HEADER_BYTES, |mark| mark.bytes);
        Bounds { proved, limit: u64::MAX, is_last: next.is_none(), is_known_damaged }
    }

    /// Replays all valid groups; says what stands where they end before the limit.
    fn replay_groups(
        &mut self,
        reader: &mut Reader,
        path: &Path,
        bounds: &Bounds,
        end: &mut End,
    ) -> Result<Option<&'static str>, OpenError> {
        let number = reader.header().number;
        loop {
            match reader.next(bounds.limit).map_err(OpenError::io("read", path))? {
                Next::End => return Ok(None),
                Next::Invalid(why) => return Ok(Some(why)),
                Next::Group(group) => {
                    self.recovery.records += u64::from(group.count);
                    let is_proved = !bounds.is_last || group.offset < bounds.proved;
                    let origin = Origin::Segment(if is_proved { number } else { number + 1 });
                    if is_proved {
                        end.unproved_record = group.first_record + u64::from(group.count);
                    }
                    for ((kind, payload), record) in records(group.body).zip(group.first_record..) {
                        (self.replay)(origin, kind, payload).map_err(|why| OpenError::Replay {
                            file: path.to_path_buf(),
                            record,
                            why,
                        })?;
                    }
                }
            }
        }
    }

    /// Whether a segment that ends like this has lost something.
    fn judge(
        &self,
        reader: &mut Reader,
        path: &Path,
        bounds: &Bounds,
        invalid: Option<&'static str>,
    ) -> Result<Option<Damage>, OpenError> {
        if bounds.is_known_damaged {
            return Ok(None);
        }
        let offset = reader.position();
        let damage = |why: String| Some(Damage { file: path.to_path_buf(), offset, why });
        let found = invalid.unwrap_or("the end of the file");
        if offset < bounds.proved {
            return Ok(damage(format!(
                "found {found} before the committed length of {} bytes",
                bounds.proved
            )));
        }
        if invalid.is_none() {
            return Ok(None);
        }
        let later = reader.find_later_group().map_err(OpenError::io("read", path))?;
        Ok(later.and_then(|later| damage(format!("found {found}, but a valid group at byte {later}"))))
    }
}

/// How much of a segment must be there, and how much may.
#[derive(Debug)]
struct Bounds {
    proved: u64,
    limit: u64,
    is_last: bool,
    is_known_damaged: bool,
}

impl Unreadable {
    fn into_damage(self, path: &Path) -> Result<Damage, OpenError> {
        let file = path.to_path_buf();
        match self {
            Unreadable::Io(error) => Err(OpenError::io("read", path)(error)),
            Unreadable::Newer(found) => Err(OpenError::Newer { file, found, supported: VERSION }),
            Unreadable::Damaged(why) => Ok(Damage { file, offset: 0, why: why.to_owned() }),
        }
    }
}

/// Gives damaged segments the name that says so.
fn set_aside(disk: &dyn Disk, folder: &Path, spoiled: &[u64]) -> Result<(), OpenError> {
    for &number in spoiled {
        let from = segment_path(folder, number);
        disk.rename(&from, &damaged_path(folder, number)).map_err(OpenError::io("rename", &from))?;
    }
    if spoiled.is_empty() {
        return Ok(());
    }
    disk.sync_folder(folder).map_err(OpenError::io("sync", folder))
}

/// Removes what is unfinished or covered by the snapshot. What cannot be removed stays for the next
/// time; it does no harm.
fn clean_up(disk: &dyn Disk, folder: &Path, found: &Found, base: u64) {
    found.temporary.iter().for_each(|path| {
        let _ = disk.remove(path);
    });
    let segments = found.segments.range(..base).map(|(number, is_damaged)| {
        if *is_damaged { damaged_path(folder, *number) } else { segment_path(folder, *number) }
    });
    let snapshots =
        found.snapshots.iter().filter(|number| **number < base).map(|number| snapshot_path(folder, *number));
    let covered: Vec<PathBuf> = segments.chain(snapshots).collect();
    // A killed process may have left the snapshot's name unsynced; what it covers goes only after it.
    if !covered.is_empty() && disk.sync_folder(folder).is_ok() {
        covered.iter().for_each(|path| {
            let _ = disk.remove(path);
        });
    }
}
