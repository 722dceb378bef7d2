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
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use identity::TraceId;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use prost::Message;
use storage_disk::{Disk, Open};

pub(crate) use filter::Filter;
pub(crate) use layout::{Header, Unreadable};
pub(crate) use scan::{Bits, Criterion, Wanted, is_same, may_be_number};
pub(crate) use table::{Shape, Table};
pub(crate) use write::{Earlier, build};

use crate::{
    cache::{Cache, Kept, What},
    chunk::cursor::Cursor,
    names::Names,
    record::BlockRecord,
};
use layout::{Columns, Section, Source, damaged};

/// The folder of blocks within a store's.
pub(crate) const FOLDER: &str = "blocks";
const EXTENSION: &str = ".parquet";
/// Ids that are read at once to find one.
const IDS_AT_ONCE: u64 = 256;

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
        let source = Source::open(&**disk, &path)?;
        if source.header.number != number {
            return Err(damaged("another number in its header than in its name"));
        }
        let record = BlockRecord::decode(source.section(Section::Record)?)
            .map_err(|_| damaged("a record that is not understood"))?;
        Ok(Self {
            number,
            disk: Arc::clone(disk),
            path,
            cache: Arc::clone(cache),
            header: source.header,
            record,
            is_damaged: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Result<Arc<Source>, Unreadable> {
        let source = Source::open(&*self.disk, &self.path)?;
        // A name given anew is another block, which happens only to who tampers with the folder.
        if source.header != self.header {
            return Err(damaged("another file in its place"));
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

    fn filter(&self) -> Result<Arc<Filter>, Unreadable> {
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
        reader.try_parse(&Columns(Arc::clone(source)))?;
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
        let source = self.source()?;
        // Ids ascend: the stretch of them that has this one is found by halving.
        let (mut low, mut high) = (0, self.header.traces);
        while high - low > IDS_AT_ONCE {
            let middle = low + (high - low) / 2;
            let bytes = source.part(Section::Ids, middle * 16, 16)?;
            let at_middle = TraceId::from_bytes(&bytes).ok_or_else(|| damaged("a trace id that is none"))?;
            if at_middle <= id { low = middle } else { high = middle }
        }
        let bytes = source.part(Section::Ids, low * 16, (high - low) as usize * 16)?;
        let (ids, _) = bytes.as_chunks::<16>();
        Ok(ids.binary_search(&id.to_bytes()).ok().map(|at| low as u32 + at as u32))
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
