//! Reads segments and snapshots, group by group, in memory that the largest group bounds.

use std::io;
use std::path::Path;

use storage_disk::{Disk, File, Open};

use crate::format::{
    BadHeader, FileKind, GROUP_HEADER_BYTES, GroupHeader, HEADER_BYTES, Header, group_checksum, records_fit,
};

/// How much is read at once; a larger group is read whole.
const WINDOW_BYTES: usize = 256 * 1024;

/// Why a file cannot be read at all.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    Damaged(&'static str),
    Newer(u32),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    Group(Group<'a>),
    End,
    Invalid(&'static str),
}

/// A group whose checksum and records are sound.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) offset: u64,
    pub(crate) first_record: u64,
    pub(crate) count: u32,
    pub(crate) body: &'a [u8],
}

/// A position in a file.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Box<dyn File>,
    kind: FileKind,
    header: Header,
    length: u64,
    position: u64,
    next_record: u64,
    window: Vec<u8>,
    window_offset: u64,
}

impl Reader {
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        kind: FileKind,
        number: u64,
    ) -> Result<Reader, Unreadable> {
        let file = disk.open(path, Open::Read)?;
        let length = file.len()?;
        if length < HEADER_BYTES {
            return Err(Unreadable::Damaged("ends inside its header"));
        }
        let mut bytes = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let header = match Header::decode(kind, &bytes) {
            Ok(header) => header,
            Err(BadHeader::Damaged) => return Err(Unreadable::Damaged("its header is not valid")),
            Err(BadHeader::Newer(version)) => return Err(Unreadable::Newer(version)),
        };
        if header.number != number {
            return Err(Unreadable::Damaged("its header has another number than its name"));
        }
        let next_record = if kind == FileKind::Segment { header.first_record } else { 0 };
        let (window, window_offset) = (Vec::new(), 0);
        Ok(Reader { file, kind, header, length, position: HEADER_BYTES, next_record, window, window_offset })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// The length of the file when it was opened.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Where the next group begins: everything before is sound.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The number that the next record must have.
    pub(crate) fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Goes on at a group that is known to begin there with this record.
    pub(crate) fn seek(&mut self, position: u64, next_record: u64) {
        (self.position, self.next_record) = (position, next_record);
    }

    /// The next group, within the file's first `limit` bytes.
    pub(crate) fn next(&mut self, limit: u64) -> io::Result<Next<'_>> {
        let limit = limit.min(self.length);
        if self.position == limit {
            return Ok(Next::End);
        }
        let group = match self.check(self.position, limit)? {
            Ok(group) => group,
            Err(why) => return Ok(Next::Invalid(why)),
        };
        if group.first_record != self.next_record {
            return Ok(Next::Invalid("a group with other record numbers than expected"));
        }
        self.next_record += u64::from(group.count);
        self.position += GROUP_HEADER_BYTES as u64 + u64::from(group.body_bytes);
        let begin = (group.offset - self.window_offset) as usize + GROUP_HEADER_BYTES;
        Ok(Next::Group(Group {
            offset: group.offset,
            first_record: group.first_record,
            count: group.count,
            body: &self.window[begin..begin + group.body_bytes as usize],
        }))
    }

    /// Whether nothing but zeros stands from the position to the end of the file, and at least one does.
    pub(crate) fn ends_with_zeros(&mut self) -> io::Result<bool> {
        let mut offset = self.position;
        while offset < self.length {
            let length = (self.length - offset).min(WINDOW_BYTES as u64);
            if self.bytes(offset, length as usize)?.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            offset += length;
        }
        Ok(self.position < self.length)
    }

    /// Where a valid group begins beyond the position, if one does.
    pub(crate) fn find_later_group(&mut self) -> io::Result<Option<u64>> {
        let last = self.length.saturating_sub(GROUP_HEADER_BYTES as u64);
        for offset in self.position + 1..=last {
            if matches!(self.check(offset, self.length)?, Ok(group) if group.first_record >= self.next_record)
            {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    fn check(&mut self, offset: u64, limit: u64) -> io::Result<Result<GroupHeader, &'static str>> {
        let room = limit.saturating_sub(offset);
        if room < GROUP_HEADER_BYTES as u64 {
            return Ok(Err("the end inside a group's header"));
        }
        let group = GroupHeader::decode(self.bytes(offset, GROUP_HEADER_BYTES)?);
        if group.offset != offset {
            return Ok(Err("something that is not a group"));
        }
        let length = GROUP_HEADER_BYTES as u64 + u64::from(group.body_bytes);
        if length > room {
            return Ok(Err("the end inside a group"));
        }
        let salt = self.header.salt;
        let is_footer = self.kind == FileKind::Snapshot && group.count == 0;
        let bytes = self.bytes(offset, length as usize)?;
        if group_checksum(salt, bytes) != group.checksum {
            return Ok(Err("a group with a wrong checksum"));
        }
        if !records_fit(&bytes[GROUP_HEADER_BYTES..], group.count) || (group.count == 0 && !is_footer) {
            return Ok(Err("a group whose records do not fit"));
        }
        Ok(Ok(group))
    }

    /// Bytes that the caller knows to be in the file.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let window_end = self.window_offset + self.window.len() as u64;
        if offset < self.window_offset || offset + length as u64 > window_end {
            let rest = (self.length - offset).min(usize::MAX as u64) as usize;
            self.window.clear();
            self.window.resize(length.max(WINDOW_BYTES).min(rest), 0);
            self.window_offset = offset;
            self.file.read_exact_at(&mut self.window, offset)?;
        }
        let begin = (offset - self.window_offset) as usize;
        Ok(&self.window[begin..begin + length])
    }
}
