//! The bytes on disk, format version 1. Integers are little-endian and unsigned.
//!
//! A journal is a folder:
//!
//! ```text
//! 000000000007.journal     a segment; its number counts up by one, from 1
//! 000000000007.damaged     a segment with known damage: what stands before it still counts
//! 000000000007.snapshot    the state that all segments before number 7 led to
//! committed                the mark: a lower bound of what was acknowledged
//! *.tmp                    unfinished; removed when the journal is opened
//! ```
//!
//! Segments and snapshots begin with a header of 48 bytes:
//!
//! ```text
//!  0  8  `bwjournl` in a segment, `bwsnapsh` in a snapshot
//!  8  4  format version
//! 12  4  CRC-32C of the other 44 bytes
//! 16  8  number: of the segment, or of the first segment that the snapshot does not cover
//! 24  8  number of the first record in it, or of the first that the snapshot does not cover
//! 32  8  committed length of the segment before it; 0 where there is none, and in a snapshot
//! 40  8  salt, drawn at random for each file
//! ```
//!
//! Then groups follow, without gaps. A group is what one write and one sync made durable, so its
//! records were acknowledged together and count together. Its header has 28 bytes:
//!
//! ```text
//!  0  4  CRC-32C of the salt, then of all that follows in the group
//!  4  4  length of the body in bytes
//!  8  8  where this group begins in the file
//! 16  8  number of the first record; in a snapshot records count from 0
//! 24  4  count of records
//! 28     body: each record as length of its payload (4), kind (1), payload
//! ```
//!
//! A snapshot ends with a group without records, whose first record number is the count of all.
//!
//! Behind the last group of a segment that is written to, zeros may stand, up to the end of the file. They
//! are there before the groups that will be written over them, and end a segment as the end of its file
//! does: a group's offset is never 0, so that zeros are no group anywhere.
//!
//! The mark file holds 24 bytes: number of a segment (8), its committed length (8), CRC-32C of these
//! sixteen (4), and `mark` (4).
//!
//! Why like this:
//!
//! - *One checksum a group, not a record.* A torn group was never acknowledged, so nothing is gained
//!   by saving half of it, and a batch that must count as a whole needs no framing of its own.
//! - *A group knows its place.* Zeros, stale blocks and copies of other groups are never valid where
//!   they do not belong. And a valid group is written only after the sync of those before it, so one
//!   that stands *beyond* an invalid one proves that this was acknowledged once: damage. Without such
//!   a proof it is the torn end of an unfinished write, as every power cut may leave it. Zeros prove nothing
//!   either way: whether something acknowledged stood there, the mark says, as it does of a file that ends.
//! - *The salt* keeps a payload that imitates a group from being taken for one.
//! - *The committed length in the next header* lets a segment be given up after a failed write or
//!   sync: what stands beyond it was never acknowledged, what stands before it must be whole.
//! - *The mark* does the same for the last segment. It is written after each sync and never synced
//!   itself, so that it costs no time: after `kill -9` it is exact, after a loss of power it may be
//!   older. An unreadable one is ignored.

use std::path::{Path, PathBuf};

/// The latest format version.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: u64 = 48;
pub(crate) const GROUP_HEADER_BYTES: usize = 28;
/// What a record needs beside its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 5;
pub(crate) const MARK_FILE: &str = "committed";
pub(crate) const MARK_BYTES: usize = 24;
const MARK_END: &[u8; 4] = b"mark";

/// The two kinds of files with groups in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Snapshot,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Segment => b"bwjournl",
            FileKind::Snapshot => b"bwsnapsh",
        }
    }
}

/// The names in a journal's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    DamagedSegment(u64),
    Snapshot(u64),
    Temporary,
    Other,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Name {
        let Some((stem, extension)) = name.rsplit_once('.') else { return Name::Other };
        let number = stem.parse().ok().filter(|number| Name::stem(*number) == stem);
        match (extension, number) {
            ("tmp", _) => Name::Temporary,
            ("journal", Some(number)) => Name::Segment(number),
            ("damaged", Some(number)) => Name::DamagedSegment(number),
            ("snapshot", Some(number)) => Name::Snapshot(number),
            _ => Name::Other,
        }
    }

    fn stem(number: u64) -> String {
        format!("{number:012}")
    }
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{}.journal", Name::stem(number)))
}

pub(crate) fn damaged_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{}.damaged", Name::stem(number)))
}

pub(crate) fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{}.snapshot", Name::stem(number)))
}

/// The header of a segment or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) first_record: u64,
    pub(crate) previous_bytes: u64,
    pub(crate) salt: u64,
}

/// Why a header does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self, kind: FileKind) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_record.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous_bytes.to_le_bytes());
        bytes[40..].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = Header::checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The checksum comes before the version, so that a flipped bit is not taken for a later version.
    /// Later versions must keep the first 48 bytes as they are.
    pub(crate) fn decode(kind: FileKind, bytes: &[u8; HEADER_BYTES as usize]) -> Result<Header, BadHeader> {
        if bytes[..8] != *kind.magic() || u32_at(bytes, 12) != Header::checksum(bytes) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Header {
                number: u64_at(bytes, 16),
                first_record: u64_at(bytes, 24),
                previous_bytes: u64_at(bytes, 32),
                salt: u64_at(bytes, 40),
            }),
            newer if newer > VERSION => Err(BadHeader::Newer(newer)),
            _ => Err(BadHeader::Damaged),
        }
    }

    fn checksum(bytes: &[u8; HEADER_BYTES as usize]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
    }
}

/// A group on its way to the disk: room for the header, then the body.
#[derive(Debug)]
pub(crate) struct GroupBuffer {
    bytes: Vec<u8>,
    count: u32,
}

impl GroupBuffer {
    /// An empty group in the memory of an old one.
    pub(crate) fn reusing(mut bytes: Vec<u8>) -> GroupBuffer {
        bytes.clear();
        bytes.resize(GROUP_HEADER_BYTES, 0);
        GroupBuffer { bytes, count: 0 }
    }

    pub(crate) fn new() -> GroupBuffer {
        GroupBuffer::reusing(Vec::new())
    }

    /// The caller has checked that payload and group stay within 32 bits.
    pub(crate) fn push(&mut self, kind: u8, payload: &[u8]) {
        self.push_with(kind, |bytes| bytes.extend_from_slice(payload));
    }

    /// Pushes what `encode` appends and says how long it is. The caller sees to it that nothing is written
    /// that does not stay within 32 bits.
    pub(crate) fn push_with(&mut self, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        let header = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        let payload = self.bytes.len();
        encode(&mut self.bytes);
        assert!(self.bytes.len() >= payload, "an encoder only appends");
        let length = self.bytes.len() - payload;
        self.bytes[header..header + 4].copy_from_slice(&(length as u32).to_le_bytes());
        self.count += 1;
        length
    }

    /// All records of another group after those of this one.
    pub(crate) fn extend(&mut self, other: &GroupBuffer) {
        self.bytes.extend_from_slice(&other.bytes[GROUP_HEADER_BYTES..]);
        self.count += other.count;
    }

    /// Takes all records out.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(GROUP_HEADER_BYTES);
        self.count = 0;
    }

    pub(crate) fn set_body(&mut self, body: &[u8], count: u32) {
        self.bytes.truncate(GROUP_HEADER_BYTES);
        self.bytes.extend_from_slice(body);
        self.count = count;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[GROUP_HEADER_BYTES..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fills in the header and gives the bytes to write.
    pub(crate) fn seal(&mut self, salt: u64, offset: u64, first_record: u64) -> &[u8] {
        let body = (self.bytes.len() - GROUP_HEADER_BYTES) as u32;
        self.bytes[4..8].copy_from_slice(&body.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&offset.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&first_record.to_le_bytes());
        self.bytes[24..28].copy_from_slice(&self.count.to_le_bytes());
        let checksum = group_checksum(salt, &self.bytes);
        self.bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Of a whole group, whose own first four bytes do not count.
pub(crate) fn group_checksum(salt: u64, group: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &group[4..])
}

/// The fixed fields of a group's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupHeader {
    pub(crate) checksum: u32,
    pub(crate) body_bytes: u32,
    pub(crate) offset: u64,
    pub(crate) first_record: u64,
    pub(crate) count: u32,
}

impl GroupHeader {
    pub(crate) fn decode(bytes: &[u8]) -> GroupHeader {
        GroupHeader {
            checksum: u32_at(bytes, 0),
            body_bytes: u32_at(bytes, 4),
            offset: u64_at(bytes, 8),
            first_record: u64_at(bytes, 16),
            count: u32_at(bytes, 24),
        }
    }
}

/// The records of a group's body. Stops at the first that does not fit; [`records_fit`] tells.
pub(crate) fn records(mut body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = body.split_at_checked(RECORD_HEADER_BYTES)?;
        let (payload, rest) = rest.split_at_checked(u32_at(header, 0) as usize)?;
        body = rest;
        Some((header[4], payload))
    })
}

/// Whether the body is exactly this many records.
pub(crate) fn records_fit(body: &[u8], count: u32) -> bool {
    let mut found = 0;
    let mut bytes = 0;
    for (_, payload) in records(body) {
        found += 1;
        bytes += RECORD_HEADER_BYTES + payload.len();
    }
    found == count && bytes == body.len()
}

/// A lower bound of what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
}

impl Mark {
    pub(crate) fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..16]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes[20..].copy_from_slice(MARK_END);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
        let sound = bytes.len() == MARK_BYTES
            && bytes[20..] == *MARK_END
            && u32_at(bytes, 16) == crc32c::crc32c(&bytes[..16]);
        sound.then(|| Mark { segment: u64_at(bytes, 0), bytes: u64_at(bytes, 8) })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
