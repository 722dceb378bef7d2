//! A sealed block: a file that is never changed, of which little is in memory.
//!
//! [`layout`] says what stands where, [`schema`] what the columns are.

mod filter;
mod json;
mod layout;
mod read;
mod scan;
mod schema;
mod table;
mod write;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use identity::TraceId;
use parquet::{
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};
use prost::Message;
use storage_disk::{Disk, Open};
use traces::Span;

pub(crate) use filter::Filter;
pub(crate) use layout::{Front, Header, Unreadable};
pub(crate) use scan::{Bits, Criterion, Wanted, is_same, may_be_number};
pub(crate) use table::{Shape, Table};
pub(crate) use write::{Earlier, build};

use crate::{
    cache::{Cache, Kept, What},
    chunk::cursor::Cursor,
    names::Names,
    record::BlockRecord,
};
use layout::{Section, Source, damaged};

/// The folder of blocks within a store's.
pub(crate) const FOLDER: &str = "blocks";
const EXTENSION: &str = ".parquet";
/// Ids that are read at once to find one: among 25,000 random ones, an id stands this near to where it is
/// expected all but always.
const IDS_AT_ONCE: u64 = 512;
/// What is read at once of a block's end: its footer, with the places of all pages, takes less mostly.
const END_BYTES: u64 = 64 << 10;

/// Traces of a block that have parts in earlier ones: the position of each, and of its parts.
pub(crate) type Split = Vec<(u32, Vec<(u64, u32)>)>;

/// A block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache: Arc<Cache>,
    pub(crate) header: Header,
    pub(crate) record: BlockRecord,
    /// It was found damaged: loudly once, and left out from then on.
    is_damaged: AtomicBool,
}

/// The name of a block's file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:012}{EXTENSION}")
}

/// The number in the name of a block's file.
pub(crate) fn number_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    (digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Writes the bytes of a block so that it is there whole or not at all.
pub(crate) fn save(disk: &dyn Disk, folder: &Path, number: u64, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(file_name(number));
    let temporary = path.with_added_extension("tmp");
    let write = || {
        let file = disk.open(&temporary, Open::Create)?;
        file.truncate(0)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        disk.rename(&temporary, &path)
    };
    if let Err(error) = write() {
        // Nobody reads what is left, and the next opening removes it.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_folder(folder)
}

impl Block {
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        number: u64,
        cache: &Arc<Cache>,
    ) -> Result<Self, Unreadable> {
        let path = folder.join(file_name(number));
        let source = Source::open(&**disk, &path, None)?;
        if source.front.header.number != number {
            return Err(damaged("another number in its header than in its name"));
        }
        let record = BlockRecord::decode(source.section(Section::Record)?)
            .map_err(|_| damaged("a record that is not understood"))?;
        Ok(Self {
            number,
            disk: Arc::clone(disk),
            path,
            cache: Arc::clone(cache),
            header: source.front.header.clone(),
            record,
            is_damaged: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Result<Arc<Source>, Unreadable> {
        let known = match self.cache.get(self.number, What::Front) {
            Some(Kept::Front(front)) => Some(front),
            _ => None,
        };
        let is_known = known.is_some();
        let source = Source::open(&*self.disk, &self.path, known)?;
        // A name given anew is another block, which happens only to who tampers with the folder.
        if source.front.header != self.header {
            return Err(damaged("another file in its place"));
        }
        if !is_known {
            self.cache.put(self.number, What::Front, Kept::Front(Arc::clone(&source.front)), Front::BYTES);
        }
        Ok(Arc::new(source))
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// What a look at the block gave; nothing where it cannot be read, which is said once.
    pub(crate) fn sound<T>(&self, result: Result<T, Unreadable>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        match &error {
            // Retention has removed it since it was looked up.
            Unreadable::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Unreadable::Io(_) => {
                tracing::warn!(block = %self.path.display(), %error, "a block of spans cannot be read now");
            }
            Unreadable::Damaged(_) => {
                if !self.is_damaged.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        block = %self.path.display(), %error,
                        "a block of spans is damaged and left out; the others are served"
                    );
                }
            }
        }
        None
    }

    /// Does something unless the block is known to be damaged.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Self) -> Result<T, Unreadable>) -> Option<T> {
        if self.is_damaged() { None } else { self.sound(look(self)) }
    }

    pub(crate) fn filter(&self) -> Result<Arc<Filter>, Unreadable> {
        if let Some(Kept::Filter(filter)) = self.cache.get(self.number, What::Filter) {
            return Ok(filter);
        }
        let filter = Filter::from_bytes(&self.source()?.section(Section::Filter)?);
        let filter = Arc::new(filter.ok_or_else(|| damaged("a filter that is none"))?);
        self.cache.put(self.number, What::Filter, Kept::Filter(Arc::clone(&filter)), filter.bytes() + 128);
        Ok(filter)
    }

    pub(crate) fn table(&self) -> Result<Arc<Table>, Unreadable> {
        if let Some(Kept::Table(table)) = self.cache.get(self.number, What::Table) {
            return Ok(table);
        }
        let bytes = inflate(&self.source()?.section(Section::Table)?)?;
        let table = Table::decode(&bytes).filter(|table| {
            table.rows.len() as u64 == self.header.traces && u64::from(table.spans) == self.header.spans
        });
        let table = Arc::new(table.ok_or_else(|| damaged("a table of traces that is none"))?);
        self.cache.put(self.number, What::Table, Kept::Table(Arc::clone(&table)), table.bytes() + 128);
        Ok(table)
    }

    pub(crate) fn names(&self) -> Result<Arc<Names>, Unreadable> {
        if let Some(Kept::Names(names)) = self.cache.get(self.number, What::Names) {
            return Ok(names);
        }
        let bytes = inflate(&self.source()?.section(Section::Names)?)?;
        let names = table::decode_names(&bytes).ok_or_else(|| damaged("names that are none"))?;
        let names = Arc::new(names);
        let size = bytes.len() + names.places.len() * 200 + names.keys.len() * 160;
        self.cache.put(self.number, What::Names, Kept::Names(Arc::clone(&names)), size);
        Ok(names)
    }

    fn footer(&self, source: &Arc<Source>) -> Result<Arc<ParquetMetaData>, Unreadable> {
        if let Some(Kept::Footer(footer)) = self.cache.get(self.number, What::Footer) {
            return Ok(footer);
        }
        let mut reader = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required);
        let mut length = END_BYTES.min(source.data_bytes());
        loop {
            let end = source.read(self.header.file_bytes - length, length as usize)?;
            match reader.try_parse_sized(&end, self.header.file_bytes) {
                Ok(()) => break,
                Err(ParquetError::NeedMoreData(more))
                    if (length + 1..=source.data_bytes()).contains(&(more as u64)) =>
                {
                    length = more as u64;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let footer = Arc::new(reader.finish()?);
        if footer.num_row_groups() != 1 || footer.file_metadata().num_rows() as u64 != self.header.spans {
            return Err(damaged("another number of rows than its header says"));
        }
        self.cache.put(self.number, What::Footer, Kept::Footer(Arc::clone(&footer)), footer.memory_size());
        Ok(footer)
    }

    /// The position of a trace, if the block has spans of it.
    pub(crate) fn find(&self, id: TraceId) -> Result<Option<u32>, Unreadable> {
        if !self.filter()?.may_have(id) {
            return Ok(None);
        }
        self.position(&*self.source()?, id)
    }

    /// Where an id stands. Ids ascend and are random mostly, so that one look at where it would be if they were
    /// spread evenly finds it; where they are not, every second look halves what is left.
    fn position(&self, source: &Source, id: TraceId) -> Result<Option<u32>, Unreadable> {
        let (mut low, mut high) = (0, self.header.traces);
        let (mut least, mut most) = (0, u128::MAX);
        let mut is_guess = true;
        while low < high {
            let share = (id.get().saturating_sub(least)) as f64 / (most - least).max(1) as f64;
            let middle = low + if is_guess { (share * (high - low) as f64) as u64 } else { (high - low) / 2 };
            is_guess = !is_guess;
            let from = middle.saturating_sub(IDS_AT_ONCE / 2).clamp(low, high - 1);
            let count = IDS_AT_ONCE.min(high - from);
            let bytes = source.part(Section::Ids, from * 16, count as usize * 16)?;
            let (ids, _) = bytes.as_chunks::<16>();
            let at = match ids.binary_search(&id.to_bytes()) {
                Ok(at) => return Ok(Some(from as u32 + at as u32)),
                Err(at) => at,
            };
            match (ids.first(), ids.last()) {
                (Some(first), _) if at == 0 => (high, most) = (from, u128::from_be_bytes(*first)),
                (_, Some(last)) if at == ids.len() => {
                    (low, least) = (from + count, u128::from_be_bytes(*last))
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The spans of a trace, if the block has any.
    pub(crate) fn trace(&self, id: TraceId) -> Result<Vec<Span>, Unreadable> {
        if !self.filter()?.may_have(id) {
            return Ok(Vec::new());
        }
        let source = self.source()?;
        // All of it is needed one after the other, and fetched at the same time.
        let length = END_BYTES.min(source.data_bytes());
        let end = self.header.file_bytes - length..self.header.file_bytes;
        let end = Some(end).filter(|_| !self.cache.has(self.number, What::Footer));
        let counts = Some(source.place(Section::Counts)).filter(|place| !place.is_empty());
        source.will_need(counts.into_iter().chain(end));
        match self.position(&source, id)? {
            Some(at) => self.spans_at(id, at),
            None => Ok(Vec::new()),
        }
    }

    /// The rows of the spans of the trace at this position.
    fn rows_of(&self, trace: u32) -> Result<Range<u32>, Unreadable> {
        let known = self.cache.has(self.number, What::Table) || self.header.is_empty(Section::Counts);
        if known {
            return Ok(self.table()?.spans_of(trace));
        }
        let bytes = self.source()?.section(Section::Counts)?;
        let mut counts = Cursor(&bytes);
        let mut rows = 0..0_u32;
        for _ in 0..=trace {
            let next = counts.var32().and_then(|count| rows.end.checked_add(count));
            rows = rows.end..next.ok_or_else(|| damaged("counts of spans that are none"))?;
        }
        if u64::from(rows.end) > self.header.spans {
            return Err(damaged("counts of more spans than there are"));
        }
        Ok(rows)
    }

    /// The positions of those of these traces that the block has spans of.
    pub(crate) fn find_all(&self, ids: &[TraceId]) -> Result<Vec<(TraceId, u32)>, Unreadable> {
        let filter = self.filter()?;
        let mut found = Vec::new();
        for id in ids.iter().filter(|id| filter.may_have(**id)) {
            found.extend(self.find(*id)?.map(|at| (*id, at)));
        }
        Ok(found)
    }

    /// The ids of the traces at these positions, which ascend.
    pub(crate) fn ids_at(&self, traces: &[u32]) -> Result<Vec<TraceId>, Unreadable> {
        let source = self.source()?;
        let id = |trace: &u32| {
            let bytes = source.part(Section::Ids, u64::from(*trace) * 16, 16)?;
            TraceId::from_bytes(&bytes).ok_or_else(|| damaged("a trace id that is none"))
        };
        traces.iter().map(id).collect()
    }

    /// The ids of all traces.
    pub(crate) fn ids(&self) -> Result<Vec<TraceId>, Unreadable> {
        let bytes = self.source()?.section(Section::Ids)?;
        let (ids, _) = bytes.as_chunks::<16>();
        let id =
            |bytes: &[u8; 16]| TraceId::from_bytes(bytes).ok_or_else(|| damaged("a trace id that is none"));
        ids.iter().map(id).collect()
    }

    /// Which traces have parts in earlier blocks.
    pub(crate) fn split(&self) -> Result<Arc<Split>, Unreadable> {
        fn read(bytes: &[u8]) -> Option<Split> {
            let (mut at, mut split) = (Cursor(bytes), Vec::new());
            while !at.0.is_empty() {
                let trace = at.var32()?;
                let count = at.count()?;
                let parts = (0..count).map(|_| Some((at.var()?, at.var32()?))).collect::<Option<_>>()?;
                split.push((trace, parts));
            }
            Some(split)
        }
        if self.header.is_empty(Section::Split) {
            return Ok(Arc::default());
        }
        if let Some(Kept::Split(split)) = self.cache.get(self.number, What::Split) {
            return Ok(split);
        }
        let bytes = self.source()?.section(Section::Split)?;
        let split = read(&bytes).ok_or_else(|| damaged("a list of split traces that is none"))?;
        let (split, size) = (Arc::new(split), 8 * bytes.len() + 128);
        self.cache.put(self.number, What::Split, Kept::Split(Arc::clone(&split)), size);
        Ok(split)
    }
}

/// The most that a compressed section is believed to hold.
const MAX_SECTION_BYTES: usize = 1 << 30;

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let length = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let length = length.and_then(|length| usize::try_from(length).ok()).filter(|of| *of <= MAX_SECTION_BYTES);
    let length = length.ok_or_else(|| damaged("a section of no length"))?;
    zstd::bulk::decompress(bytes, length).map_err(|error| Unreadable::Damaged(error.to_string()))
}
