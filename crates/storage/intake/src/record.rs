//! What stands in the journals of all stores alike, as Protocol Buffers messages.

use std::collections::BTreeMap;

use monitoring::{Ledger, Origin};
use prost::Message;

/// The kind of a record that holds a batch.
pub const BATCH: u8 = 1;

/// Where a batch comes from; see [`Origin`].
#[derive(Clone, PartialEq, Message)]
pub struct OriginRecord {
    /// Who sent it.
    #[prost(string, tag = "1")]
    pub source: String,
    /// Which run of the source.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Its number within the epoch.
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
}

/// Counters; see [`Ledger`].
#[derive(Clone, PartialEq, Message)]
pub struct LedgerRecord {
    /// What came in.
    #[prost(uint64, tag = "1")]
    pub received: u64,
    /// What was stored.
    #[prost(uint64, tag = "2")]
    pub stored: u64,
    /// What a sampling decision left out.
    #[prost(uint64, tag = "3")]
    pub sampled_out: u64,
    /// What was left out for other reasons.
    #[prost(btree_map = "string, uint64", tag = "4")]
    pub dropped: BTreeMap<String, u64>,
    /// What retention has removed.
    #[prost(uint64, tag = "5")]
    pub expired: u64,
}

impl From<&Origin> for OriginRecord {
    fn from(origin: &Origin) -> Self {
        Self { source: origin.source.to_string(), epoch: origin.epoch, sequence: origin.sequence }
    }
}

impl From<OriginRecord> for Origin {
    fn from(record: OriginRecord) -> Self {
        Self { source: record.source.into(), epoch: record.epoch, sequence: record.sequence }
    }
}

impl From<&Ledger> for LedgerRecord {
    fn from(ledger: &Ledger) -> Self {
        Self {
            received: ledger.received,
            stored: ledger.stored,
            sampled_out: ledger.sampled_out,
            dropped: ledger.dropped.iter().map(|(reason, count)| (reason.to_string(), *count)).collect(),
            expired: ledger.expired,
        }
    }
}

impl From<LedgerRecord> for Ledger {
    fn from(record: LedgerRecord) -> Self {
        Self {
            received: record.received,
            stored: record.stored,
            sampled_out: record.sampled_out,
            dropped: record.dropped.into_iter().map(|(reason, count)| (reason.into(), count)).collect(),
            spooled: 0,
            expired: record.expired,
        }
    }
}
