//! What stands in a record of the journal, and at the end of a part.
//!
//! A batch is written by hand, because it is written for every sample that comes; numbers are those of the
//! `varint` module, `fixed` ones eight bytes, the lowest first:
//!
//! ```text
//! BATCH:  epoch, received at (nanoseconds since 1970), received,
//!         reasons: count, then for each its text and how many were dropped
//!         series that are new: count, then for each its number and its labels (see `key`)
//!         series: count, then for each the signed distance of its number to the one before, how many samples,
//!                 and for each the signed distance of its time to the one before, and its fixed value
//!         only where there are sums or exemplars: how many of these series, the last ones, are sums (see `budget`)
//!         only where there are exemplars: those (see `exemplar`)
//! ```
//!
//! A series has its number for one epoch, which is the time between two parts; it is new in a batch until a batch
//! that says so is durable. [`REMOVED`] and the record of a part are Protocol Buffers messages.

use identity::Wall;
use monitoring::Ledger;
use prost::Message;
use storage_intake::record::LedgerRecord;

use super::{
    exemplar::{self, Case},
    spelling::Print,
    varint::{Cursor, put, put_bytes, put_signed, zigzag},
};

pub(crate) use storage_intake::record::BATCH;
/// The kind of a record that holds a [`RemovedRecord`].
pub(crate) const REMOVED: u8 = 2;

/// Says that parts are gone.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RemovedRecord {
    /// The number of the last of them.
    #[prost(uint64, tag = "1")]
    pub(crate) before: u64,
    /// Its epoch.
    #[prost(uint64, tag = "2")]
    pub(crate) epoch: u64,
    /// The counters of all parts, also of those that are gone.
    #[prost(message, optional, tag = "3")]
    pub(crate) ledger: Option<LedgerRecord>,
}

/// What a part says of itself.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartRecord {
    /// The counters of all parts up to this one, also of those that are gone.
    #[prost(message, optional, tag = "1")]
    pub(crate) total: Option<LedgerRecord>,
    /// Batches of this epoch and earlier ones are in parts.
    #[prost(uint64, tag = "2")]
    pub(crate) epoch: u64,
    /// All parts up to this number were gone when it was made.
    #[prost(uint64, tag = "3")]
    pub(crate) removed: u64,
    /// The time of the earliest sample, in milliseconds since 1970.
    #[prost(sint64, tag = "4")]
    pub(crate) first: i64,
    /// That of the latest.
    #[prost(sint64, tag = "5")]
    pub(crate) last: i64,
    /// How many samples there are.
    #[prost(uint64, tag = "6")]
    pub(crate) samples: u64,
    /// How many series.
    #[prost(uint64, tag = "7")]
    pub(crate) series: u64,
    /// Where the index begins.
    #[prost(uint64, tag = "8")]
    pub(crate) index_offset: u64,
    /// How many bytes it has.
    #[prost(uint64, tag = "9")]
    pub(crate) index_bytes: u64,
    /// And before it was packed.
    #[prost(uint64, tag = "10")]
    pub(crate) index_raw_bytes: u64,
    /// The CRC-32C of its bytes.
    #[prost(fixed32, tag = "11")]
    pub(crate) index_crc: u32,
    /// The exemplars; none where there are none.
    #[prost(message, optional, tag = "12")]
    pub(crate) exemplars: Option<ExemplarsRecord>,
}

/// Where the exemplars of a part stand, packed by zstd.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExemplarsRecord {
    /// Where they begin.
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
    /// How many bytes they have.
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
    /// And before they were packed.
    #[prost(uint64, tag = "3")]
    pub(crate) raw_bytes: u64,
    /// The CRC-32C of the bytes.
    #[prost(fixed32, tag = "4")]
    pub(crate) crc: u32,
    /// The time of the earliest.
    #[prost(sint64, tag = "5")]
    pub(crate) first: i64,
    /// That of the latest.
    #[prost(sint64, tag = "6")]
    pub(crate) last: i64,
}

/// The samples of one series in a batch: their places among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) series: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A batch as it is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Batch {
    pub(crate) epoch: u64,
    pub(crate) received_at: Wall,
    /// What was received and dropped before it was journaled; what is stored is known when it is applied.
    pub(crate) ledger: Ledger,
    pub(crate) new: Vec<(u32, Box<[u8]>)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) samples: Vec<(i64, f64)>,
    /// The samples of so many of the rows, the last ones, are added to what is there at their times.
    pub(crate) sums: usize,
    /// Exemplars with the numbers of their series.
    pub(crate) exemplars: Vec<(u32, Case)>,
    /// How series are spelled; not written, since it holds only for those who are running.
    pub(crate) spellings: Vec<(Print, u32)>,
}

impl Batch {
    pub(crate) fn of(&self, row: &Row) -> &[(i64, f64)] {
        self.samples.get(row.from as usize..row.to as usize).unwrap_or_default()
    }
}

/// The bytes of a batch's record.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let keys: usize = batch.new.iter().map(|(_, key)| key.len() + 8).sum();
    let mut into = Vec::with_capacity(64 + keys + batch.rows.len() * 4 + batch.samples.len() * 14);
    put(&mut into, batch.epoch);
    put(&mut into, batch.received_at.0);
    put(&mut into, batch.ledger.received);
    put(&mut into, batch.ledger.dropped.len() as u64);
    for (reason, count) in &batch.ledger.dropped {
        put_bytes(&mut into, reason.as_bytes());
        put(&mut into, *count);
    }
    put(&mut into, batch.new.len() as u64);
    for (series, key) in &batch.new {
        put(&mut into, u64::from(*series));
        put_bytes(&mut into, key);
    }
    put(&mut into, batch.rows.len() as u64);
    let (mut series, mut time) = (0, 0);
    for row in &batch.rows {
        let (samples, number) = (batch.of(row), i64::from(row.series));
        if let [(at, value)] = samples
            && let (series @ 0..0x80, time @ 0..0x80) =
                (zigzag(number - series), zigzag(at.wrapping_sub(time)))
        {
            // As nearly all are: the same, at once.
            let [a, b, c, d, e, f, g, h] = value.to_bits().to_le_bytes();
            into.extend_from_slice(&[series as u8, 1, time as u8, a, b, c, d, e, f, g, h]);
        } else {
            put_signed(&mut into, number - series);
            put(&mut into, samples.len() as u64);
            let mut last = time;
            for (at, value) in samples {
                put_signed(&mut into, at.wrapping_sub(last));
                into.extend_from_slice(&value.to_bits().to_le_bytes());
                last = *at;
            }
        }
        series = number;
        time = samples.last().map_or(time, |(at, _)| *at);
    }
    if batch.sums > 0 || !batch.exemplars.is_empty() {
        put(&mut into, batch.sums as u64);
    }
    if !batch.exemplars.is_empty() {
        exemplar::encode(batch.exemplars.iter().map(|(series, case)| (*series, case)), &mut into);
    }
    into
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Option<Batch> {
    let mut cursor = Cursor(bytes);
    let mut batch = Batch { epoch: cursor.number()?, ..Batch::default() };
    batch.received_at = Wall(cursor.number()?);
    batch.ledger.received = cursor.number()?;
    for _ in 0..cursor.count(2)? {
        let reason = std::str::from_utf8(cursor.bytes()?).ok()?;
        batch.ledger.drop_for(reason, cursor.number()?);
    }
    for _ in 0..cursor.count(2)? {
        let series = u32::try_from(cursor.number()?).ok()?;
        batch.new.push((series, cursor.bytes()?.into()));
    }
    let (mut series, mut time) = (0_i64, 0_i64);
    for _ in 0..cursor.count(2)? {
        series = series.checked_add(cursor.signed()?)?;
        let from = batch.samples.len();
        for _ in 0..cursor.count(9)? {
            time = time.wrapping_add(cursor.signed()?);
            batch.samples.push((time, f64::from_bits(cursor.fixed()?)));
        }
        let (from, to) = (u32::try_from(from).ok()?, u32::try_from(batch.samples.len()).ok()?);
        batch.rows.push(Row { series: u32::try_from(series).ok()?, from, to });
    }
    if !cursor.0.is_empty() {
        batch.sums = usize::try_from(cursor.number()?).ok()?;
    }
    if !cursor.0.is_empty() {
        batch.exemplars = exemplar::decode(&mut cursor)?;
    }
    (cursor.0.is_empty() && batch.sums <= batch.rows.len()).then_some(batch)
}
