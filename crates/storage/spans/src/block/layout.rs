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
//!   88   96  the sections, place and length of each: record, names, filter, ids, table, split
//!  256 4096  CRC-32C of each stripe: of the bytes from 4352 on, so many at a time, up to the end
//! 4352       sections, columns, page indexes, footer
//! ```
//!
//! Parquet's own checksums are of pages and optional, and what they leave out is the footer that says where
//! pages are. A stripe is checked whenever anything of it is read, so that no answer is made of wrong bytes.
//!
//! Sections: *record* (a [`BlockRecord`](crate::record::BlockRecord)), *names* (zstd, see `table`), *filter*,
//! *ids* (16 bytes a trace, big-endian, ascending), *table* (zstd, see `table`), *split* (which traces have
//! parts in earlier blocks: `v` trace, `v` count, of each `v` block, `v` trace there).

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
}

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
    pub(crate) sections: [(u64, u64); 6],
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
pub(crate) fn seal(bytes: &mut [u8], mut header: Header, sections: &[Range<usize>; 6]) {
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
            sections: [(0, 0); 6],
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

/// An open block, of which every byte is checked that is read.
#[derive(Debug)]
pub(crate) struct Source {
    file: Box<dyn File>,
    pub(crate) header: Header,
    stripes: Vec<u8>,
}

impl Source {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, Unreadable> {
        let file = disk.open(path, Open::Read)?;
        let length = file.len()?;
        if !(DATA_AT as u64..MAX_FILE_BYTES).contains(&length) {
            return Err(damaged("a file of a length that no block has"));
        }
        let mut front = vec![0; DATA_AT];
        file.read_exact_at(&mut front, 0)?;
        let header = Header::decode(&front, length)?;
        let stripes = front.split_off(STRIPES_AT);
        Ok(Self { file, header, stripes })
    }

    pub(crate) fn section(&self, section: Section) -> Result<Bytes, Unreadable> {
        let (at, length) = self.header.sections[section as usize];
        self.read(at, length as usize)
    }

    /// A part of a section that begins so far behind the section's begin.
    pub(crate) fn part(&self, section: Section, offset: u64, length: usize) -> Result<Bytes, Unreadable> {
        let (at, whole) = self.header.sections[section as usize];
        let length = length.min(whole.saturating_sub(offset) as usize);
        self.read(at + offset, length)
    }

    /// Reads the stripes around these bytes and checks them.
    pub(crate) fn read(&self, at: u64, length: usize) -> Result<Bytes, Unreadable> {
        let (data_at, stripe) = (DATA_AT as u64, self.header.stripe_bytes);
        let end = at.checked_add(length as u64).filter(|end| *end <= self.header.file_bytes);
        let Some(end) = end.filter(|_| at >= data_at) else {
            return Err(damaged("a place outside of the file"));
        };
        let first = (at - data_at) / stripe;
        let from = data_at + first * stripe;
        let to = (data_at + (end - data_at).div_ceil(stripe) * stripe).min(self.header.file_bytes);
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        self.file.read_exact_at(&mut bytes, from)?;
        for (number, stripe) in (first as usize..).zip(bytes.chunks(stripe as usize)) {
            if self.stripes.get(4 * number..4 * number + 4) != Some(&crc32c::crc32c(stripe).to_le_bytes()) {
                return Err(Unreadable::Damaged(format!("a wrong checksum from byte {from}")));
            }
        }
        Ok(Bytes::from(bytes).slice((at - from) as usize..(end - from) as usize))
    }
}

/// Parquet's view of an open block.
#[derive(Debug, Clone)]
pub(crate) struct Columns(pub(crate) Arc<Source>);

impl Length for Columns {
    fn len(&self) -> u64 {
        self.0.header.file_bytes
    }
}

impl ChunkReader for Columns {
    type T = Sequential;

    fn get_read(&self, start: u64) -> Result<Sequential, ParquetError> {
        Ok(Sequential { source: Arc::clone(&self.0), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.read(start, length).map_err(|error| ParquetError::External(Box::new(io_error(error))))
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
            let length = (self.source.header.file_bytes.saturating_sub(self.at)).min(16 << 10) as usize;
            self.ahead = self.source.read(self.at, length).map_err(io_error)?;
            self.at += length as u64;
        }
        let length = into.len().min(self.ahead.len());
        into[..length].copy_from_slice(&self.ahead.split_to(length));
        Ok(length)
    }
}
