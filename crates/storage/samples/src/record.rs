//! What stands in a record of the journal.
//!
//! Records are Protocol Buffers messages, so that a field can be added without a new format. Names stand
//! once in `strings` and are referred to by position; times are nanoseconds since 1970 in UTC; durations
//! in histograms are seconds. Three kinds of record: [`BATCH`] in segments, [`HEAD`] and [`SERIES`] in
//! snapshots.

use std::collections::HashMap;

use identity::{InstanceId, Invalid, Namespace, RouteName, ServiceName, Wall};
use monitoring::{
    CallKey, ExponentialHistogram, Ledger, Origin, Outcome, Reporter, SeriesKey, SeriesState, StatusClass,
    Total,
};
use prost::Message;
pub(crate) use storage_intake::record::BATCH;
use storage_intake::record::{LedgerRecord, OriginRecord};

/// The kind of a record that holds a [`HeadRecord`]; the first of a snapshot.
pub(crate) const HEAD: u8 = 2;
/// The kind of a record that holds a [`SeriesRecord`].
pub(crate) const SERIES: u8 = 3;

/// A batch of rows with its own counters.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchRecord {
    /// Where it comes from; none for a sender that does not number its batches.
    #[prost(message, optional, tag = "1")]
    pub(crate) origin: Option<OriginRecord>,
    /// When it was received.
    #[prost(fixed64, tag = "2")]
    pub(crate) received_at: u64,
    /// Its counters; `stored` is the number of its rows.
    #[prost(message, optional, tag = "3")]
    pub(crate) ledger: Option<LedgerRecord>,
    /// Names.
    #[prost(string, repeated, tag = "4")]
    pub(crate) strings: Vec<String>,
    /// The rows.
    #[prost(message, repeated, tag = "5")]
    pub(crate) rows: Vec<RowRecord>,
}

/// What a snapshot holds beside series.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeadRecord {
    /// The counters of everything before it.
    #[prost(message, optional, tag = "1")]
    pub(crate) ledger: Option<LedgerRecord>,
    /// The last batch of each source, least recent first.
    #[prost(message, repeated, tag = "2")]
    pub(crate) sources: Vec<OriginRecord>,
}

/// One series; see [`SeriesState`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeriesRecord {
    /// Names.
    #[prost(string, repeated, tag = "1")]
    pub(crate) strings: Vec<String>,
    /// What it counts.
    #[prost(message, optional, tag = "2")]
    pub(crate) key: Option<KeyRecord>,
    /// All its calls.
    #[prost(message, optional, tag = "3")]
    pub(crate) total: Option<TotalRecord>,
    /// The slots of the last hour.
    #[prost(message, repeated, tag = "4")]
    pub(crate) slots: Vec<SlotRecord>,
}

/// The calls of one key in one collection.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RowRecord {
    /// What they are counted under.
    #[prost(message, optional, tag = "1")]
    pub(crate) key: Option<KeyRecord>,
    /// How long they took.
    #[prost(message, optional, tag = "2")]
    pub(crate) durations: Option<HistogramRecord>,
}

/// What calls are counted under; see [`CallKey`]. Names are positions in `strings`, counted from one;
/// zero is no name. A key without a service is the overflow.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyRecord {
    /// The namespace.
    #[prost(uint32, tag = "1")]
    pub(crate) namespace: u32,
    /// The caller.
    #[prost(uint32, tag = "2")]
    pub(crate) caller: u32,
    /// The service.
    #[prost(uint32, tag = "3")]
    pub(crate) service: u32,
    /// The instance.
    #[prost(uint32, tag = "4")]
    pub(crate) instance: u32,
    /// The route.
    #[prost(uint32, tag = "5")]
    pub(crate) route: u32,
    /// 0 source, 1 destination.
    #[prost(uint32, tag = "6")]
    pub(crate) reporter: u32,
    /// 0 ok, 1 error, 2 timeout, 3 refused, 4 cancelled.
    #[prost(uint32, tag = "7")]
    pub(crate) outcome: u32,
    /// 0 none, else the first digit of the status.
    #[prost(uint32, tag = "8")]
    pub(crate) status: u32,
}

/// A histogram; see [`ExponentialHistogram`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HistogramRecord {
    /// The schema.
    #[prost(sint32, tag = "1")]
    pub(crate) schema: i32,
    /// How many values were zero.
    #[prost(uint64, tag = "2")]
    pub(crate) zero_count: u64,
    /// The distance of each bucket's index to the one before, from zero.
    #[prost(sint32, repeated, tag = "3")]
    pub(crate) steps: Vec<i32>,
    /// The count of each bucket.
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) counts: Vec<u64>,
    /// The sum of the values.
    #[prost(double, tag = "5")]
    pub(crate) sum: f64,
    /// The smallest value; none for a histogram of nothing.
    #[prost(double, optional, tag = "6")]
    pub(crate) min: Option<f64>,
    /// The largest value; none for a histogram of nothing.
    #[prost(double, optional, tag = "7")]
    pub(crate) max: Option<f64>,
}

/// Calls with the exact sum of their nanoseconds; see [`Total`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TotalRecord {
    /// How long they took.
    #[prost(message, optional, tag = "1")]
    pub(crate) durations: Option<HistogramRecord>,
    /// The lower 64 bits of the sum.
    #[prost(uint64, tag = "2")]
    pub(crate) sum_ns_low: u64,
    /// The upper 64 bits of the sum.
    #[prost(uint64, tag = "3")]
    pub(crate) sum_ns_high: u64,
}

/// A slot of a series.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SlotRecord {
    /// The time since 1970 in units of ten seconds.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    /// Its calls.
    #[prost(message, optional, tag = "2")]
    pub(crate) total: Option<TotalRecord>,
}

/// A record that is not what this version writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotUnderstood(String);

impl NotUnderstood {
    pub(crate) fn unknown_kind(kind: u8) -> Self {
        not_understood(format!("kind {kind} is unknown"))
    }
}

fn not_understood(why: impl ToString) -> NotUnderstood {
    NotUnderstood(why.to_string())
}

impl From<prost::DecodeError> for NotUnderstood {
    fn from(error: prost::DecodeError) -> Self {
        not_understood(error)
    }
}

impl From<Invalid> for NotUnderstood {
    fn from(error: Invalid) -> Self {
        not_understood(error)
    }
}

/// A batch as it is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Batch {
    pub(crate) origin: Option<Origin>,
    pub(crate) received_at: Wall,
    pub(crate) ledger: Ledger,
    pub(crate) rows: Vec<(CallKey, ExponentialHistogram)>,
}

/// Names on their way into a record.
#[derive(Default)]
struct Strings {
    strings: Vec<String>,
    position: HashMap<String, u32>,
}

impl Strings {
    fn put(&mut self, text: &str) -> u32 {
        if let Some(position) = self.position.get(text) {
            return *position;
        }
        self.strings.push(text.to_owned());
        let position = self.strings.len() as u32;
        self.position.insert(text.to_owned(), position);
        position
    }

    fn key(&mut self, key: &SeriesKey) -> KeyRecord {
        let mut record = KeyRecord {
            reporter: position(&Reporter::ALL, key.reporter()),
            outcome: position(&Outcome::ALL, key.outcome()),
            ..KeyRecord::default()
        };
        if let SeriesKey::Calls(key) = key {
            record.namespace = self.put(key.namespace.as_str());
            record.caller = self.put(key.caller.as_str());
            record.service = self.put(key.service.as_str());
            record.instance = key.instance.as_ref().map_or(0, |instance| self.put(instance.as_str()));
            record.route = self.put(key.route.as_str());
            record.status = position(&StatusClass::ALL, key.status);
        }
        record
    }
}

fn position<T: PartialEq>(all: &[T], one: T) -> u32 {
    all.iter().position(|other| *other == one).unwrap_or(0) as u32
}

fn at<T: Copy>(all: &[T], position: u32) -> Result<T, NotUnderstood> {
    all.get(position as usize).copied().ok_or_else(|| not_understood("a choice that is unknown"))
}

fn string(strings: &[String], position: u32) -> Result<&str, NotUnderstood> {
    let text = (position as usize).checked_sub(1).and_then(|at| strings.get(at));
    text.map(String::as_str).ok_or_else(|| not_understood("a name that is missing"))
}

fn key(record: &KeyRecord, strings: &[String]) -> Result<SeriesKey, NotUnderstood> {
    let (reporter, outcome) = (at(&Reporter::ALL, record.reporter)?, at(&Outcome::ALL, record.outcome)?);
    if record.service == 0 {
        return Ok(SeriesKey::Overflow { reporter, outcome });
    }
    let text = |position| string(strings, position);
    Ok(SeriesKey::Calls(CallKey {
        namespace: Namespace::new(text(record.namespace)?)?,
        caller: ServiceName::new(text(record.caller)?)?,
        service: ServiceName::new(text(record.service)?)?,
        instance: match record.instance {
            0 => None,
            position => Some(InstanceId::new(text(position)?)?),
        },
        route: RouteName::new(text(record.route)?)?,
        reporter,
        outcome,
        status: at(&StatusClass::ALL, record.status)?,
    }))
}

impl From<&ExponentialHistogram> for HistogramRecord {
    fn from(histogram: &ExponentialHistogram) -> Self {
        let mut last = 0;
        let step = |index: i32| index - std::mem::replace(&mut last, index);
        Self {
            schema: histogram.schema().into(),
            zero_count: histogram.zero_count(),
            steps: histogram.buckets().map(|bucket| bucket.index).map(step).collect(),
            counts: histogram.buckets().map(|bucket| bucket.count).collect(),
            sum: histogram.sum(),
            min: histogram.min(),
            max: histogram.max(),
        }
    }
}

fn histogram(record: Option<HistogramRecord>) -> Result<ExponentialHistogram, NotUnderstood> {
    let record = record.ok_or_else(|| not_understood("calls without durations"))?;
    let mut index = Some(0_i32);
    let indexes: Option<Vec<i32>> = record
        .steps
        .iter()
        .map(|step| {
            index = index.and_then(|index| index.checked_add(*step));
            index
        })
        .collect();
    let indexes = indexes.filter(|indexes| indexes.len() == record.counts.len());
    let indexes = indexes.ok_or_else(|| not_understood("buckets without counts"))?;
    let buckets = indexes.into_iter().zip(record.counts);
    let HistogramRecord { schema, zero_count, sum, min, max, .. } = record;
    ExponentialHistogram::from_parts(schema, zero_count, buckets, sum, min, max).map_err(not_understood)
}

impl From<&Total> for TotalRecord {
    fn from(total: &Total) -> Self {
        Self {
            durations: Some(total.histogram().into()),
            sum_ns_low: total.sum_ns() as u64,
            sum_ns_high: (total.sum_ns() >> 64) as u64,
        }
    }
}

fn total(record: Option<TotalRecord>) -> Result<Total, NotUnderstood> {
    let record = record.ok_or_else(|| not_understood("a series without a total"))?;
    let sum_ns = u128::from(record.sum_ns_high) << 64 | u128::from(record.sum_ns_low);
    Ok(Total::from_parts(histogram(record.durations)?, sum_ns))
}

/// The bytes of a batch's record.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let mut strings = Strings::default();
    let row = |(key, durations): &(CallKey, ExponentialHistogram)| RowRecord {
        key: Some(strings.key(&SeriesKey::Calls(key.clone()))),
        durations: Some(durations.into()),
    };
    let rows = batch.rows.iter().map(row).collect();
    let record = BatchRecord {
        origin: batch.origin.as_ref().map(OriginRecord::from),
        received_at: batch.received_at.0,
        ledger: Some(LedgerRecord::from(&batch.ledger)),
        strings: strings.strings,
        rows,
    };
    record.encode_to_vec()
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<Batch, NotUnderstood> {
    let record = BatchRecord::decode(bytes)?;
    let strings = record.strings;
    let row = |row: RowRecord| match key(&row.key.unwrap_or_default(), &strings)? {
        SeriesKey::Calls(key) => Ok((key, histogram(row.durations)?)),
        SeriesKey::Overflow { .. } => Err(not_understood("a row without a service")),
    };
    Ok(Batch {
        origin: record.origin.map(Origin::from),
        received_at: Wall(record.received_at),
        ledger: record.ledger.unwrap_or_default().into(),
        rows: record.rows.into_iter().map(row).collect::<Result<_, _>>()?,
    })
}

/// The bytes of a snapshot's first record.
pub(crate) fn encode_head(ledger: &Ledger, sources: &[Origin]) -> Vec<u8> {
    let sources = sources.iter().map(OriginRecord::from).collect();
    HeadRecord { ledger: Some(ledger.into()), sources }.encode_to_vec()
}

/// Reads what [`encode_head`] wrote.
pub(crate) fn decode_head(bytes: &[u8]) -> Result<(Ledger, Vec<Origin>), NotUnderstood> {
    let record = HeadRecord::decode(bytes)?;
    let sources = record.sources.into_iter().map(Origin::from).collect();
    Ok((record.ledger.unwrap_or_default().into(), sources))
}

/// The bytes of a series' record.
pub(crate) fn encode_series(state: &SeriesState) -> Vec<u8> {
    let mut strings = Strings::default();
    let key = strings.key(&state.key);
    let slot = |(number, total): &(u64, Total)| SlotRecord { number: *number, total: Some(total.into()) };
    let record = SeriesRecord {
        strings: strings.strings,
        key: Some(key),
        total: Some((&state.total).into()),
        slots: state.slots.iter().map(slot).collect(),
    };
    record.encode_to_vec()
}

/// Reads what [`encode_series`] wrote.
pub(crate) fn decode_series(bytes: &[u8]) -> Result<SeriesState, NotUnderstood> {
    let record = SeriesRecord::decode(bytes)?;
    let slot = |slot: SlotRecord| Ok((slot.number, total(slot.total)?));
    Ok(SeriesState {
        key: key(&record.key.unwrap_or_default(), &record.strings)?,
        total: total(record.total)?,
        slots: record.slots.into_iter().map(slot).collect::<Result<_, NotUnderstood>>()?,
    })
}
