//! A sealed part: a file that is never changed, of which only some hundred bytes are in memory.
//!
//! ```text
//! magic     8 bytes
//! columns   those of the first series, then those of the next; each is followed by the CRC-32C of its bytes.
//!           A column of times stands before the first column of values that needs it, and only once.
//! exemplars packed by zstd, where there are any; see `exemplar`, the numbers are places in the index
//! index     packed by zstd; see `index`
//! record    a Protocol Buffers message; see `PartRecord`
//! its length u32, its CRC-32C u32, magic 8 bytes
//! ```
//!
//! It is written under another name, synced and renamed. Its name is the number of the first segment of the journal
//! that may have samples that are not in it.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use monitoring::promql::Samples;
use prost::Message;
use storage_disk::{Disk, File, Open};

use super::{
    cache::Cache,
    column::{COLUMN_SAMPLES, pack, pack_times, unpack, unpack_times},
    exemplar::{self, Case},
    head::{Head, OfSeries},
    index::{Block, Index, IndexWriter, Place},
    record::{ExemplarsRecord, PartRecord},
    varint::Cursor,
};

/// The folder of parts within a store's.
pub(crate) const FOLDER: &str = "parts";
const EXTENSION: &str = ".samples";
const MAGIC: &[u8; 8] = b"BWSAMP\x00\x01";
/// Its length and checksum, and the magic.
const TAIL: u64 = 16;
/// The longest record.
const MAX_RECORD: u64 = 64 << 10;
/// The largest index, before it is packed. A part of the most series that a store may have stays far below.
const MAX_INDEX: u64 = 1 << 30;
/// How much is written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A part.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) record: PartRecord,
    pub(crate) file_bytes: u64,
    disk: Arc<dyn Disk>,
    cache: Arc<Cache>,
}

/// Why a part cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("its end is missing"),
            _ => Unreadable::Io(error),
        }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Io(error) => error.fmt(f),
            Unreadable::Damaged(why) => f.write_str(why),
        }
    }
}

fn damaged(why: impl Into<String>) -> Unreadable {
    Unreadable::Damaged(why.into())
}

/// The name of a part's file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:012}{EXTENSION}")
}

/// The number in the name of a part's file.
pub(crate) fn number_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    (digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Part {
    /// Opens a part, which reads its record.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        number: u64,
        cache: &Arc<Cache>,
    ) -> Result<Self, Unreadable> {
        let path = folder.join(file_name(number));
        let file = disk.open(&path, Open::Read)?;
        let file_bytes = file.len()?;
        let end = file_bytes.checked_sub(TAIL).ok_or_else(|| damaged("it is too short"))?;
        let mut tail = [0; TAIL as usize];
        file.read_exact_at(&mut tail, end)?;
        let word = |at: usize| tail[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or_default();
        let (len, crc) = (u64::from(word(0)), word(4));
        if &tail[8..] != MAGIC || len > MAX_RECORD || len > end {
            return Err(damaged("its end is not that of a part"));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, end - len)?;
        if crc32c::crc32c(&bytes) != crc {
            return Err(damaged("its record is damaged"));
        }
        let record = PartRecord::decode(&*bytes).map_err(|error| damaged(error.to_string()))?;
        let before_index = |of: &ExemplarsRecord| {
            of.offset.checked_add(of.bytes) == Some(record.index_offset) && of.raw_bytes <= MAX_INDEX
        };
        if !record.exemplars.as_ref().is_none_or(before_index) {
            return Err(damaged("its exemplars are not where they should be"));
        }
        let is_within = record.index_offset.checked_add(record.index_bytes) == Some(end - len);
        if !is_within || record.index_raw_bytes > MAX_INDEX {
            return Err(damaged("its index is not where it should be"));
        }
        let (disk, cache) = (Arc::clone(disk), Arc::clone(cache));
        Ok(Self { number, path, record, file_bytes, disk, cache })
    }

    /// Whether it has samples in a time, both ends included.
    pub(crate) fn is_within(&self, from: i64, to: i64) -> bool {
        self.record.samples > 0 && self.record.first <= to && self.record.last >= from
    }

    /// Exemplars of a time with the places of their series in the index.
    pub(crate) fn exemplars(&self, from: i64, to: i64) -> Result<Vec<(u32, Case)>, Unreadable> {
        let is_within = |of: &&ExemplarsRecord| of.first <= to && of.last >= from;
        let Some(of) = self.record.exemplars.as_ref().filter(is_within) else { return Ok(Vec::new()) };
        let file = self.disk.open(&self.path, Open::Read)?;
        let mut bytes = vec![0; of.bytes as usize];
        file.read_exact_at(&mut bytes, of.offset)?;
        if crc32c::crc32c(&bytes) != of.crc {
            return Err(damaged("its exemplars are damaged"));
        }
        let raw = zstd::bulk::decompress(&bytes, of.raw_bytes as usize);
        let raw = raw.map_err(|error| damaged(error.to_string()))?;
        let mut cases =
            exemplar::decode(&mut Cursor(&raw)).ok_or_else(|| damaged("its exemplars are not understood"))?;
        cases.retain(|(_, case)| (from..=to).contains(&case.time));
        Ok(cases)
    }

    /// What it has where.
    pub(crate) fn index(&self) -> Result<Arc<Index>, Unreadable> {
        self.cache.get(self.number, || {
            let file = self.disk.open(&self.path, Open::Read)?;
            let mut bytes = vec![0; self.record.index_bytes as usize];
            file.read_exact_at(&mut bytes, self.record.index_offset)?;
            if crc32c::crc32c(&bytes) != self.record.index_crc {
                return Err(damaged("its index is damaged"));
            }
            let raw = zstd::bulk::decompress(&bytes, self.record.index_raw_bytes as usize)
                .map_err(|error| damaged(error.to_string()))?;
            Index::decode(&raw).ok_or_else(|| damaged("its index is not understood"))
        })
    }

    /// The way to its columns, for one question.
    pub(crate) fn reader(&self, index: Arc<Index>) -> Result<Reader, Unreadable> {
        let file = self.disk.open(&self.path, Open::Read)?;
        Ok(Reader { index, file, times: Mutex::default() })
    }
}

/// Reads columns. Columns of times are kept for as long as it lives, since many series share them.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) index: Arc<Index>,
    file: Box<dyn File>,
    times: Mutex<HashMap<u32, Arc<[i64]>>>,
}

impl Reader {
    /// Appends the samples of a series in a time, both ends included.
    pub(crate) fn read(&self, series: u32, from: i64, to: i64, into: &mut Samples) -> Result<(), Unreadable> {
        for block in self.index.blocks(series) {
            if block.first > to || block.last < from {
                continue;
            }
            let times = self.times(block.times)?;
            let values = self.column(block.values)?;
            let values = unpack(&values, times.len()).ok_or_else(|| damaged("a column is not understood"))?;
            let (start, end) =
                (times.partition_point(|time| *time < from), times.partition_point(|time| *time <= to));
            into.times.extend(times.get(start..end).unwrap_or_default());
            into.values.extend(values.get(start..end).unwrap_or_default());
        }
        Ok(())
    }

    fn times(&self, number: u32) -> Result<Arc<[i64]>, Unreadable> {
        let known = || self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = known().get(&number) {
            return Ok(Arc::clone(times));
        }
        let place = self.index.times(number).ok_or_else(|| damaged("a column of times is missing"))?;
        let times = unpack_times(&self.column(place)?);
        let times: Arc<[i64]> = times.ok_or_else(|| damaged("a column of times is not understood"))?.into();
        known().insert(number, Arc::clone(&times));
        Ok(times)
    }

    fn column(&self, place: Place) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = vec![0; place.bytes as usize + 4];
        self.file.read_exact_at(&mut bytes, place.offset)?;
        let crc = bytes.split_off(place.bytes as usize);
        if crc32c::crc32c(&bytes).to_le_bytes() != *crc {
            return Err(damaged("a column is damaged"));
        }
        Ok(bytes)
    }
}

/// Writes a head as a part, and makes it durable under its name.
pub(crate) fn save(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    head: &Head,
    mut record: PartRecord,
) -> io::Result<()> {
    let path = folder.join(file_name(number));
    let temporary = path.with_added_extension("tmp");
    // A leftover of an interrupted attempt may have failed its sync, so it is not written again.
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut write = || {
        let mut writer =
            Writer { file: disk.open(&temporary, Open::CreateNew)?, offset: 0, buffer: Vec::new() };
        writer.put(MAGIC)?;
        let mut series: Vec<(u32, &OfSeries)> = head.series().collect();
        series.sort_unstable_by(|(_, one), (_, other)| one.labels.cmp(&other.labels));
        let mut index = IndexWriter::default();
        let mut shared = HashMap::new();
        for (_, series) in &series {
            record.samples += put_series(&mut writer, &mut index, &mut shared, series)?;
        }
        let cases = (0..)
            .zip(&series)
            .flat_map(|(place, (number, _))| head.cases.of(*number).map(move |case| (place, case)));
        record.exemplars = put_exemplars(&mut writer, cases.collect())?;
        record.series = index.len() as u64;
        (record.first, record.last) = head.times.unwrap_or_default();
        let raw = index.encode();
        let packed = zstd::bulk::compress(&raw, 6)?;
        (record.index_offset, record.index_raw_bytes) = (writer.offset, raw.len() as u64);
        (record.index_bytes, record.index_crc) = (packed.len() as u64, crc32c::crc32c(&packed));
        writer.put(&packed)?;
        let bytes = record.encode_to_vec();
        writer.put(&bytes)?;
        writer.put(&(bytes.len() as u32).to_le_bytes())?;
        writer.put(&crc32c::crc32c(&bytes).to_le_bytes())?;
        writer.put(MAGIC)?;
        writer.flush()?;
        writer.file.sync_data()?;
        disk.rename(&temporary, &path)
    };
    if let Err(error) = write() {
        // What is left is a file that nobody reads; the error that matters is the first one.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_folder(folder)
}

fn put_exemplars(writer: &mut Writer, cases: Vec<(u32, &Case)>) -> io::Result<Option<ExemplarsRecord>> {
    let times = || cases.iter().map(|(_, case)| case.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(None) };
    let mut raw = Vec::new();
    exemplar::encode(cases.iter().copied(), &mut raw);
    let packed = zstd::bulk::compress(&raw, 6)?;
    let (offset, bytes, raw_bytes) = (writer.offset, packed.len() as u64, raw.len() as u64);
    writer.put(&packed)?;
    Ok(Some(ExemplarsRecord { offset, bytes, raw_bytes, crc: crc32c::crc32c(&packed), first, last }))
}

fn put_series(
    writer: &mut Writer,
    index: &mut IndexWriter,
    shared: &mut HashMap<Vec<u8>, u32>,
    series: &OfSeries,
) -> io::Result<u64> {
    let mut samples = Samples::default();
    series.read(&mut samples);
    let mut blocks = Vec::with_capacity(samples.len().div_ceil(COLUMN_SAMPLES));
    for (times, values) in samples.times.chunks(COLUMN_SAMPLES).zip(samples.values.chunks(COLUMN_SAMPLES)) {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else { continue };
        let mut packed = Vec::new();
        pack_times(times, &mut packed);
        let times = match shared.get(&packed) {
            Some(number) => *number,
            None => {
                let number = index.add_times(writer.put_column(&packed)?);
                shared.insert(packed, number);
                number
            }
        };
        let mut packed = Vec::new();
        pack(values, &mut packed);
        blocks.push(Block { first, last, times, values: writer.put_column(&packed)? });
    }
    index.add(&series.labels, &blocks);
    Ok(samples.len() as u64)
}

struct Writer {
    file: Box<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn put_column(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let place = Place { offset: self.offset, bytes: bytes.len() as u32 };
        self.put(bytes)?;
        self.put(&crc32c::crc32c(bytes).to_le_bytes())?;
        Ok(place)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.offset - self.buffer.len() as u64)?;
        self.buffer.clear();
        Ok(())
    }
}
