//! A sealed part: a file that is never changed, of which only some hundred bytes are in memory.
//!
//! ```text
//! magic     8 bytes
//! columns   those of the first series, then those of the next, in the order that `family` gives them; each is followed
//!           by the CRC-32C of its bytes. A column of times stands before the first column of values that needs it, and
//!           only once.
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
    column::{COLUMN_SAMPLES, Unpacker, is_above, pack, pack_times, unpack_times},
    exemplar::{self, Case},
    family::Member,
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
/// How much is read at once where columns are read one after the other, and how far apart these may stand.
const READ_BYTES: u64 = 64 << 10;
const NEAR_BYTES: u64 = 8 << 10;
/// How many columns may stand above each other: who asks for the uppermost has to read them all.
const MOST_ABOVE: usize = 32;

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
        let end = self.record.index_offset;
        Ok(Reader { index, file, end, state: Mutex::default() })
    }
}

/// Reads columns, best in the order of the series.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) index: Arc<Index>,
    file: Box<dyn File>,
    /// Where columns end.
    end: u64,
    state: Mutex<Reading>,
}

/// What is kept from one series to the next.
#[derive(Debug, Default)]
struct Reading {
    unpacker: Unpacker,
    /// Columns of times, since many series share them.
    times: HashMap<u32, Arc<[i64]>>,
    /// The columns of the series that was read last, by their places: the next one may stand above it.
    last: Vec<(u64, Vec<f64>)>,
    /// What was read ahead, and where it stands.
    ahead: (u64, Vec<u8>),
}

impl Reader {
    /// Appends the samples of a series in a time, both ends included.
    pub(crate) fn read(&self, series: u32, from: i64, to: i64, into: &mut Samples) -> Result<(), Unreadable> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut columns = Vec::new();
        for block in self.index.blocks(series) {
            if block.first > to || block.last < from {
                continue;
            }
            let times = state.times(self, block.times)?;
            let values = state.values(self, series, block, times.len())?;
            let (start, end) =
                (times.partition_point(|time| *time < from), times.partition_point(|time| *time <= to));
            into.times.extend_from_slice(times.get(start..end).unwrap_or_default());
            into.values.extend_from_slice(values.get(start..end).unwrap_or_default());
            columns.push((block.values.offset, values));
        }
        let before = std::mem::replace(&mut state.last, columns);
        before.into_iter().for_each(|(_, values)| state.unpacker.reuse(values));
        Ok(())
    }
}

impl Reading {
    fn times(&mut self, reader: &Reader, number: u32) -> Result<Arc<[i64]>, Unreadable> {
        if let Some(times) = self.times.get(&number) {
            return Ok(Arc::clone(times));
        }
        let place = reader.index.times(number).ok_or_else(|| damaged("a column of times is missing"))?;
        let times = unpack_times(self.column(reader, place)?);
        let times: Arc<[i64]> = times.ok_or_else(|| damaged("a column of times is not understood"))?.into();
        self.times.insert(number, Arc::clone(&times));
        Ok(times)
    }

    /// The values of a block, and for that those of all that it stands above.
    fn values<'r>(
        &mut self,
        reader: &'r Reader,
        mut series: u32,
        mut block: &'r Block,
        count: usize,
    ) -> Result<Vec<f64>, Unreadable> {
        let mut above = Vec::new();
        let mut below = None;
        while below.is_none() {
            let bytes = self.column(reader, block.values)?;
            let is_lowest = !is_above(bytes);
            above.push(bytes.to_vec());
            if is_lowest {
                break;
            }
            let same = |other: &&Block| other.times == block.times && other.first == block.first;
            let before = series.checked_sub(1).map(|before| reader.index.blocks(before));
            let found = before.and_then(|blocks| blocks.iter().find(same));
            block = found
                .filter(|_| above.len() <= MOST_ABOVE)
                .ok_or_else(|| damaged("a column stands above none"))?;
            series -= 1;
            let known = self.last.iter_mut().find(|(offset, _)| *offset == block.values.offset);
            below = known.map(|(_, values)| std::mem::take(values));
        }
        while let Some(bytes) = above.pop() {
            let values = self.unpacker.unpack(&bytes, count, below.as_deref());
            let values = values.ok_or_else(|| damaged("a column is not understood"))?;
            below.replace(values).into_iter().for_each(|lower| self.unpacker.reuse(lower));
        }
        Ok(below.unwrap_or_default())
    }

    /// The bytes of a column.
    fn column(&mut self, reader: &Reader, place: Place) -> Result<&[u8], Unreadable> {
        let len = u64::from(place.bytes) + 4;
        let end = place.offset.checked_add(len).filter(|end| *end <= reader.end);
        let end = end.ok_or_else(|| damaged("a column is not where it should be"))?;
        let (start, bytes) = &mut self.ahead;
        let ahead = *start + bytes.len() as u64;
        if !(*start..=ahead).contains(&place.offset) || end > ahead {
            let is_near = place.offset.checked_sub(ahead).is_some_and(|gap| gap < NEAR_BYTES)
                || (*start..ahead).contains(&place.offset);
            let wanted = if is_near { len.max(READ_BYTES).min(reader.end - place.offset) } else { len };
            bytes.resize(wanted as usize, 0);
            *start = place.offset;
            if let Err(error) = reader.file.read_exact_at(bytes, place.offset) {
                bytes.clear();
                return Err(error.into());
            }
        }
        let from = (place.offset - *start) as usize;
        let column = bytes.get(from..from + len as usize).unwrap_or_default();
        match column.split_last_chunk::<4>() {
            Some((column, crc)) if crc32c::crc32c(column).to_le_bytes() == *crc => Ok(column),
            _ => Err(damaged("a column is damaged")),
        }
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
        let member = |(number, series): (u32, _)| {
            let series: &OfSeries = series;
            (Member::of(&series.labels), number, series)
        };
        let mut series: Vec<_> = head.series().map(member).collect();
        series.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut index = IndexWriter::default();
        let (mut shared, mut before) = (HashMap::new(), None);
        for (member, _, series) in &series {
            record.samples += put_series(&mut writer, &mut index, &mut shared, &mut before, *member, series)?;
        }
        let cases = (0..)
            .zip(&series)
            .flat_map(|(place, (_, number, _))| head.cases.of(*number).map(move |case| (place, case)));
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

/// A series that was written.
struct Before<'a> {
    member: Member<'a>,
    samples: Samples,
    /// Of each column that of its times, and above how many others it stands.
    columns: Vec<(u32, usize)>,
}

fn put_series<'a>(
    writer: &mut Writer,
    index: &mut IndexWriter,
    shared: &mut HashMap<Vec<u8>, u32>,
    before: &mut Option<Before<'a>>,
    member: Member<'a>,
    series: &OfSeries,
) -> io::Result<u64> {
    let mut samples = Samples::default();
    series.read(&mut samples);
    let below = before.take().filter(|before| member.is_above(&before.member));
    let mut blocks = Vec::with_capacity(samples.len().div_ceil(COLUMN_SAMPLES));
    let mut columns = Vec::with_capacity(blocks.capacity());
    let chunks = samples.times.chunks(COLUMN_SAMPLES).zip(samples.values.chunks(COLUMN_SAMPLES));
    for (number, (times, values)) in chunks.enumerate() {
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
        let under = below.as_ref().and_then(|below| {
            let (_, depth) = below.columns.get(number).filter(|(of, _)| *of == times)?;
            let values = below.samples.values.chunks(COLUMN_SAMPLES).nth(number)?;
            (*depth < MOST_ABOVE).then_some((values, *depth))
        });
        let mut packed = Vec::new();
        let is_above = pack(values, under.map(|(values, _)| values), &mut packed);
        let depth = under.filter(|_| is_above).map_or(0, |(_, depth)| depth + 1);
        columns.push((times, depth));
        blocks.push(Block { first, last, times, values: writer.put_column(&packed)? });
    }
    index.add(&series.labels, &blocks);
    let written = samples.len() as u64;
    *before = Some(Before { member, samples, columns });
    Ok(written)
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
