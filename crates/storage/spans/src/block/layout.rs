//! Where things stand in the file of a block, and how a wrong byte is noticed.
//!
//! A block is a Parquet file that any reader of Parquet opens. Between the four bytes with which such a file
//! begins and its columns, which its footer refers to by place, stands what only we read: Parquet leaves that
//! place to whoever writes the file. Integers are little-endian:
//!
//! ```text
//!    0    4  `PAR1`
//!    4    8  `bwspans1`
//!   12    4  CRC-32C of the bytes from 16 to 4352
//!   16    8  length of the file
//!   24    8  bytes of a stripe
//!   32    8  the first segment of the journal that is not in here: the block's number
//!   40   24  count of spans, of traces, of stripes
//!   64   24  when its earliest trace began, its latest one, and when its last span ended
//!   88  112  the sections, place and length of each: record, names, filter, ids, table, split, counts
//!  256 4096  CRC-32C of each stripe: of the bytes from 4352 on, so many at a time, up to the end
//! 4352       sections, columns, page indexes, footer
//! ```
//!
//! Parquet's own checksums are of pages and optional, and what they leave out is the footer that says where
//! pages are. A stripe is checked whenever anything of it is read, so that no answer is made of wrong bytes.
//!
//! Sections: *record* (a [`BlockRecord`](crate::record::BlockRecord)), *names* (zstd, see `table`), *filter*,
//! *ids* (16 bytes a trace, big-endian, ascending), *table* (zstd, see `table`), *split* (which traces have
//! parts in earlier blocks: `v` trace, `v` count, of each `v` block, `v` trace there), *counts* (`v` spans of each
//! trace, so that the rows of one are known without the table; blocks of earlier versions have none).

use std::{fmt, io, ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use identity::Wall;
use parquet::{errors::ParquetError, file::reader::ChunkReader, file::reader::Length};
use storage_disk::{Disk, File, Open};

const MAGIC: &[u8; 12] = b"PAR1bwspans1";
const STRIPES_AT: usize = 256;
const MAX_STRIPES: usize = 1_024;
/// Where the checked part of the file begins.
pub(crate) const DATA_AT: usize = STRIPES_AT + 4 * MAX_STRIPES;
/// Smaller stripes would be read in pages of this size all the same.
const MIN_STRIPE_BYTES: u64 = 4_096;
/// The largest block that is believed to be one.
const MAX_FILE_BYTES: u64 = 8 << 30;

/// What has a section of its own, in the order of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Record,
    Names,
    Filter,
    Ids,
    Table,
    Split,
    Counts,
}

/// How many sections there are.
pub(crate) const SECTIONS: usize = 7;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) file_bytes: u64,
    pub(crate) stripe_bytes: u64,
    pub(crate) number: u64,
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    pub(crate) first_start: Wall,
    pub(crate) last_start: Wall,
    pub(crate) last_end: Wall,
    pub(crate) sections: [(u64, u64); SECTIONS],
}

/// Why a block cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The disk failed, or the block has gone.
    Io(io::Error),
    /// It is not what was written.
    Damaged(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(error) => write!(f, "the disk failed: {error}"),
            Unreadable::Damaged(why) => write!(f, "found {why}"),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Unreadable::Io(error)
    }
}

impl From<ParquetError> for Unreadable {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) if error.kind() != io::ErrorKind::InvalidData => Unreadable::Io(*error),
                Ok(error) => Unreadable::Damaged(error.to_string()),
                Err(error) => Unreadable::Damaged(error.to_string()),
            },
            error => Unreadable::Damaged(error.to_string()),
        }
    }
}

pub(crate) fn damaged(why: &str) -> Unreadable {
    Unreadable::Damaged(why.to_owned())
}

/// Completes a block whose sections and columns stand where they will: writes the header before them.
pub(crate) fn seal(bytes: &mut [u8], mut header: Header, sections: &[Range<usize>; SECTIONS]) {
    let length = (bytes.len() - DATA_AT) as u64;
    header.file_bytes = bytes.len() as u64;
    header.stripe_bytes =
        length.div_ceil(MAX_STRIPES as u64).next_multiple_of(MIN_STRIPE_BYTES).max(MIN_STRIPE_BYTES);
    for (place, section) in header.sections.iter_mut().zip(sections) {
        *place = (section.start as u64, section.len() as u64);
    }
    let (front, data) = bytes.split_at_mut(DATA_AT);
    front.fill(0);
    front[..12].copy_from_slice(MAGIC);
    let mut words = vec![header.file_bytes, header.stripe_bytes, header.number, header.spans, header.traces];
    words.push(length.div_ceil(header.stripe_bytes));
    words.extend([header.first_start.0, header.last_start.0, header.last_end.0]);
    words.extend(header.sections.iter().flat_map(|(at, length)| [*at, *length]));
    for (at, word) in words.iter().enumerate() {
        front[16 + 8 * at..][..8].copy_from_slice(&word.to_le_bytes());
    }
    for (at, stripe) in data.chunks(header.stripe_bytes as usize).enumerate() {
        front[STRIPES_AT + 4 * at..][..4].copy_from_slice(&crc32c::crc32c(stripe).to_le_bytes());
    }
    let checksum = crc32c::crc32c(&front[16..]);
    front[12..16].copy_from_slice(&checksum.to_le_bytes());
}

impl Header {
    /// Whether a section holds nothing.
    pub(crate) fn is_empty(&self, section: Section) -> bool {
        self.sections[section as usize].1 == 0
    }

    fn decode(front: &[u8], file_bytes: u64) -> Result<Self, Unreadable> {
        let word = |at: usize| {
            let bytes = front.get(16 + 8 * at..24 + 8 * at).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        if front.get(..12) != Some(MAGIC) {
            return Err(damaged("a file that does not begin as a block does"));
        }
        if front.get(12..16) != Some(&crc32c::crc32c(&front[16..]).to_le_bytes()) {
            return Err(damaged("a header with a wrong checksum"));
        }
        let mut header = Self {
            file_bytes: word(0),
            stripe_bytes: word(1),
            number: word(2),
            spans: word(3),
            traces: word(4),
            first_start: Wall(word(6)),
            last_start: Wall(word(7)),
            last_end: Wall(word(8)),
            sections: [(0, 0); SECTIONS],
        };
        for (at, section) in header.sections.iter_mut().enumerate() {
            *section = (word(9 + 2 * at), word(10 + 2 * at));
        }
        if header.file_bytes != file_bytes || header.stripe_bytes == 0 {
            return Err(damaged("a file of another length than its header says"));
        }
        Ok(header)
    }
}

/// What stands before everything else: where it is, and what it has to be.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) header: Header,
    stripes: Box<[u8]>,
}

impl Front {
    /// Memory for one.
    pub(crate) const BYTES: usize = size_of::<Self>() + 4 * MAX_STRIPES;

    fn read(file: &dyn File, length: u64) -> Result<Self, Unreadable> {
        if !(DATA_AT as u64..MAX_FILE_BYTES).contains(&length) {
            return Err(damaged("a file of a length that no block has"));
        }
        let mut front = vec![0; DATA_AT];
        file.read_exact_at(&mut front, 0)?;
        let header = Header::decode(&front, length)?;
        Ok(Self { header, stripes: front[STRIPES_AT..].into() })
    }
}

/// An open block, of which every byte is checked that is read.
#[derive(Debug)]
pub(crate) struct Source {
    file: Box<dyn File>,
    pub(crate) front: Arc<Front>,
}

impl Source {
    /// Opens a block, of which the front may be known: then nothing is read.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, known: Option<Arc<Front>>) -> Result<Self, Unreadable> {
        let file = disk.open(path, Open::Read)?;
        let length = file.len()?;
        let front = match known {
            Some(front) if front.header.file_bytes == length => front,
            _ => Arc::new(Front::read(&*file, length)?),
        };
        Ok(Self { file, front })
    }

    fn header(&self) -> &Header {
        &self.front.header
    }

    /// How long the part is that is checked.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.header().file_bytes - DATA_AT as u64
    }

    /// Where a section stands.
    pub(crate) fn place(&self, section: Section) -> Range<u64> {
        let (at, length) = self.header().sections[section as usize];
        at..at.saturating_add(length)
    }

    /// Says that these places will be read soon.
    pub(crate) fn will_need(&self, places: impl IntoIterator<Item = Range<u64>>) {
        for place in places {
            let place = self.stripes_around(&place);
            self.file.will_need(place.start, place.end - place.start);
        }
    }

    /// The stripes that have any of these bytes, as far as the file goes.
    fn stripes_around(&self, place: &Range<u64>) -> Range<u64> {
        let (data_at, stripe) = (DATA_AT as u64, self.header().stripe_bytes);
        let from = data_at + place.start.saturating_sub(data_at) / stripe * stripe;
        let to = data_at + place.end.saturating_sub(data_at).div_ceil(stripe) * stripe;
        from..to.clamp(from, self.header().file_bytes.max(from))
    }

    /// Reads many places, which need no order: those that share a stripe or are neighbours at once, and all of
    /// them fetched from the disk at the same time. What is read of each ascends.
    pub(crate) fn read_all(&self, places: &mut [Range<u64>]) -> Result<Vec<(u64, Bytes)>, Unreadable> {
        places.sort_unstable_by_key(|place| (place.start, place.end));
        let mut merged: Vec<Range<u64>> = Vec::new();
        for place in places.iter() {
            match merged.last_mut() {
                Some(last) if place.start <= self.stripes_around(last).end => {
                    last.end = last.end.max(place.end)
                }
                _ => merged.push(place.clone()),
            }
        }
        self.will_need(merged.iter().cloned());
        let read = |place: Range<u64>| {
            Ok((place.start, self.read(place.start, (place.end - place.start) as usize)?))
        };
        merged.into_iter().map(read).collect()
    }

    pub(crate) fn section(&self, section: Section) -> Result<Bytes, Unreadable> {
        let (at, length) = self.header().sections[section as usize];
        self.read(at, length as usize)
    }

    /// A part of a section that begins so far behind the section's begin.
    pub(crate) fn part(&self, section: Section, offset: u64, length: usize) -> Result<Bytes, Unreadable> {
        let (at, whole) = self.header().sections[section as usize];
        let length = length.min(whole.saturating_sub(offset) as usize);
        self.read(at + offset, length)
    }

    /// Reads the stripes around these bytes and checks them.
    pub(crate) fn read(&self, at: u64, length: usize) -> Result<Bytes, Unreadable> {
        let (data_at, stripe) = (DATA_AT as u64, self.header().stripe_bytes);
        let end = at.checked_add(length as u64).filter(|end| *end <= self.header().file_bytes);
        let Some(end) = end.filter(|_| at >= data_at) else {
            return Err(damaged("a place outside of the file"));
        };
        let Range { start: from, end: to } = self.stripes_around(&(at..end));
        let first = (from - data_at) / stripe;
        let mut bytes = vec![0; (to - from) as usize];
        self.file.read_exact_at(&mut bytes, from)?;
        for (number, stripe) in (first as usize..).zip(bytes.chunks(stripe as usize)) {
            if self.front.stripes.get(4 * number..4 * number + 4)
                != Some(&crc32c::crc32c(stripe).to_le_bytes())
            {
                return Err(Unreadable::Damaged(format!("a wrong checksum from byte {from}")));
            }
        }
        Ok(Bytes::from(bytes).slice((at - from) as usize..(end - from) as usize))
    }
}

/// Parquet's view of an open block.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) source: Arc<Source>,
    /// What was read before it is asked for: where it begins, ascending.
    pub(crate) ahead: Arc<[(u64, Bytes)]>,
}

impl Columns {
    fn known(&self, start: u64, length: usize) -> Option<Bytes> {
        let at = self.ahead.partition_point(|(at, _)| *at <= start).checked_sub(1)?;
        let (at, bytes) = &self.ahead[at];
        let from = usize::try_from(start - at).ok()?;
        let to = from.checked_add(length).filter(|to| *to <= bytes.len())?;
        Some(bytes.slice(from..to))
    }
}

impl Length for Columns {
    fn len(&self) -> u64 {
        self.source.header().file_bytes
    }
}

impl ChunkReader for Columns {
    type T = Sequential;

    fn get_read(&self, start: u64) -> Result<Sequential, ParquetError> {
        Ok(Sequential { source: Arc::clone(&self.source), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if let Some(known) = self.known(start, length) {
            return Ok(known);
        }
        self.source.read(start, length).map_err(|error| ParquetError::External(Box::new(io_error(error))))
    }
}

fn io_error(error: Unreadable) -> io::Error {
    match error {
        Unreadable::Io(error) => error,
        Unreadable::Damaged(why) => io::Error::new(io::ErrorKind::InvalidData, why),
    }
}

/// Reads on from a place.
#[derive(Debug)]
pub(crate) struct Sequential {
    source: Arc<Source>,
    at: u64,
    ahead: Bytes,
}

impl io::Read for Sequential {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            let length = (self.source.header().file_bytes.saturating_sub(self.at)).min(16 << 10) as usize;
            self.ahead = self.source.read(self.at, length).map_err(io_error)?;
            self.at += length as u64;
        }
        let length = into.len().min(self.ahead.len());
        into[..length].copy_from_slice(&self.ahead.split_to(length));
        Ok(length)
    }
}
