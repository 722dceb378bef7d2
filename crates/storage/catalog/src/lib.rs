//! The catalog: instances, policies, tokens and the proxies that are known, so that they are there again after a crash.
//!
//! The registry lives in memory anyway, so one durability primitive serves: every change is a record of
//! the journal, and a snapshot takes the place of old records. Heartbeats never come here; only the
//! transitions do that follow from their absence.
//!
//! **Absent on purpose:** no decisions (the registry makes them), no clock, no async runtime.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use identity::{Now, ProxyId};
use prost::Message;
use registry::{Change, PolicyChange, Registry, Snapshot};
use storage_disk::Disk;
use storage_journal::{
    AppendError, History, Journal, OnDamage, OpenError, Records, Recovery, Settings, SnapshotError, Stats,
};

mod policy;
mod proxy;
mod record;
mod removals;
#[cfg(test)]
mod tests;
mod token;

use policy::PolicyRecord;
pub use proxy::{KnownProxy, ProxyChange};
use record::{
    ChangeRecord, InstanceRecord, ProxyGone, ProxyRecord, SnapshotHead, TokenRecord, TokenRevoked, encode,
};
use removals::RemovalsRecord;
pub use token::{Scope, Token};

/// A snapshot is never worth its writing before this much has to be replayed without it: well under a
/// second.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;

/// What may wait for the disk, which bounds what one batch can be: the end of a service of a million
/// instances, whatever their ids, is one. It takes memory only while it is written.
const QUEUE_BYTES: u64 = 160 << 20;

/// Of the memory in which batches are encoded, this much is kept for the next.
const KEPT_BYTES: u64 = 1 << 20;

/// Whether a snapshot is worth its writing. It writes all that there is, so a large registry waits until twice
/// as much has been written as the last one took: that bounds what is written for each change to one and a half
/// times the least, and what is replayed at a start to three times.
fn is_worth_writing(written: u64, last_snapshot: u64) -> bool {
    written > (2 * last_snapshot).max(SNAPSHOT_AFTER_BYTES)
}

/// The journal of the catalog.
#[derive(Debug)]
pub struct Catalog {
    journal: Journal,
    /// Memory for the next batch.
    records: Mutex<Records>,
}

/// What a catalog held when it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// The registry; its leases begin anew at the moment of opening.
    pub registry: Registry,
    /// The tokens that were not revoked.
    pub tokens: Vec<Token>,
    /// The proxies that have been seen and have not left.
    pub proxies: Vec<KnownProxy>,
    /// What recovery found.
    pub recovery: Recovery,
}

impl Catalog {
    /// Opens the catalog in `folder`.
    ///
    /// # Errors
    /// The journal is damaged or of a newer version; the folder is as it was.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, now: Now) -> Result<(Self, Loaded), OpenError> {
        let settings = Settings {
            on_damage: OnDamage::Refuse,
            history: History::Snapshots,
            queue_bytes: QUEUE_BYTES,
            ..Settings::default()
        };
        let mut replay = Replay::new(now);
        let (journal, recovery) =
            Journal::open(disk, folder, settings, &mut |_, kind, payload| replay.take(kind, payload))?;
        Ok((Self { journal, records: Mutex::default() }, replay.finish(recovery)))
    }

    /// Makes a batch of changes durable, all of them or none.
    ///
    /// # Errors
    /// Why it is not durable; then none of the changes may be shown.
    pub async fn commit(&self, changes: &[Arc<Change>]) -> Result<(), AppendError> {
        if changes.is_empty() {
            return Ok(());
        }
        let append = {
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            if records.bytes() > KEPT_BYTES {
                *records = Records::new();
            }
            records.clear();
            removals::lay_out(changes, &mut records);
            self.journal.append_records(&records)
        };
        append.await.map(drop)
    }

    /// Makes a change of a policy durable.
    ///
    /// # Errors
    /// Why it is not durable; then it may not be shown.
    pub async fn commit_policy(&self, change: &PolicyChange) -> Result<(), AppendError> {
        self.journal.append(record::POLICY, PolicyRecord::from(change).encode_to_vec()).await.map(drop)
    }

    /// Makes a token durable.
    ///
    /// # Errors
    /// Why it is not durable.
    pub async fn put_token(&self, token: &Token) -> Result<(), AppendError> {
        self.journal.append(record::TOKEN, TokenRecord::from(token).encode_to_vec()).await.map(drop)
    }

    /// Makes the end of a token durable.
    ///
    /// # Errors
    /// Why it is not durable; the token is valid as before.
    pub async fn revoke_token(&self, id: &str) -> Result<(), AppendError> {
        let record = TokenRevoked { id: id.to_owned() };
        self.journal.append(record::TOKEN_REVOKED, record.encode_to_vec()).await.map(drop)
    }

    /// Makes it durable which proxies have come and gone, all of it or nothing.
    ///
    /// # Errors
    /// Why it is not durable.
    pub async fn keep_proxies(&self, changes: &[ProxyChange]) -> Result<(), AppendError> {
        let record = |change: &ProxyChange| match change {
            ProxyChange::Came(proxy) => (record::PROXY, ProxyRecord::from(proxy).encode_to_vec()),
            ProxyChange::Left(id) => {
                (record::PROXY_GONE, ProxyGone { proxy: id.to_string() }.encode_to_vec())
            }
        };
        let records: Vec<_> = changes.iter().map(record).collect();
        self.journal.append_all(&records).await.map(drop)
    }

    /// Whether so much has been written since the last snapshot that another one is worth it.
    pub fn wants_snapshot(&self) -> bool {
        let written = self.journal.segments().iter().map(|segment| segment.bytes).sum();
        is_worth_writing(written, self.journal.snapshot_bytes())
    }

    /// Writes a snapshot and drops what it swallows. Nothing may be committed meanwhile that is not in
    /// it. Blocks the thread for the disk.
    ///
    /// # Errors
    /// Why there is none; the journal is as it was and goes on growing.
    pub fn snapshot(
        &self,
        registry: &Snapshot,
        tokens: &[Token],
        proxies: &[KnownProxy],
    ) -> Result<(), SnapshotError> {
        let mut snapshot = self.journal.begin_snapshot()?;
        let head = SnapshotHead { revision: registry.revision };
        snapshot.write(record::SNAPSHOT_HEAD, &head.encode_to_vec())?;
        for change in &registry.policies {
            snapshot.write(record::POLICY, &PolicyRecord::from(change).encode_to_vec())?;
        }
        for token in tokens {
            snapshot.write(record::TOKEN, &TokenRecord::from(token).encode_to_vec())?;
        }
        for proxy in proxies {
            snapshot.write(record::PROXY, &ProxyRecord::from(proxy).encode_to_vec())?;
        }
        let mut bytes = Vec::new();
        for (target, instance) in &registry.instances {
            bytes.clear();
            encode::instance_of(target, instance, &mut bytes);
            snapshot.write(record::INSTANCE, &bytes)?;
        }
        snapshot.finish().map(drop)
    }

    /// The journal's counters.
    pub fn stats(&self) -> Stats {
        self.journal.stats()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.journal.bytes()
    }
}

/// Rebuilds what the records say: a snapshot's parts first, then changes one by one.
struct Replay {
    now: Now,
    snapshot: Snapshot,
    /// Made when the snapshot is complete, which the first change or the end says.
    registry: Option<Registry>,
    tokens: Vec<Token>,
    proxies: BTreeMap<ProxyId, KnownProxy>,
}

impl Replay {
    fn new(now: Now) -> Self {
        Self {
            now,
            snapshot: Snapshot::default(),
            registry: None,
            tokens: Vec::new(),
            proxies: BTreeMap::new(),
        }
    }

    fn take(&mut self, kind: u8, payload: &[u8]) -> Result<(), String> {
        match kind {
            record::SNAPSHOT_HEAD => self.snapshot.revision = decode::<SnapshotHead>(payload)?.revision,
            record::INSTANCE => {
                let (target, instance) = decode::<InstanceRecord>(payload)?.read()?;
                self.snapshot.instances.push((target, Arc::new(instance)));
            }
            record::POLICY => {
                let change = PolicyChange::try_from(decode::<PolicyRecord>(payload)?)?;
                match &mut self.registry {
                    Some(registry) => registry.commit_policy(change),
                    None => self.snapshot.policies.push(change),
                }
            }
            record::TOKEN => self.tokens.push(decode::<TokenRecord>(payload)?.try_into()?),
            record::TOKEN_REVOKED => {
                let TokenRevoked { id } = decode(payload)?;
                self.tokens.retain(|token| token.id != id);
            }
            record::PROXY => {
                let proxy = KnownProxy::try_from(decode::<ProxyRecord>(payload)?)?;
                self.proxies.insert(proxy.id.clone(), proxy);
            }
            record::PROXY_GONE => {
                let ProxyGone { proxy } = decode(payload)?;
                self.proxies.remove(&proxy.parse::<ProxyId>().map_err(|error| error.to_string())?);
            }
            record::CHANGE => {
                let change = Change::try_from(decode::<ChangeRecord>(payload)?)?;
                let now = self.now;
                self.registry().replay(now, change);
            }
            record::REMOVALS => {
                let (now, changes) = (self.now, decode::<RemovalsRecord>(payload)?.read()?);
                let registry = self.registry();
                changes.into_iter().for_each(|change| registry.replay(now, change));
            }
            _ => return Err(format!("kind {kind} is of a newer version")),
        }
        Ok(())
    }

    fn registry(&mut self) -> &mut Registry {
        let (now, snapshot) = (self.now, &mut self.snapshot);
        self.registry.get_or_insert_with(|| Registry::restore(now, std::mem::take(snapshot)))
    }

    fn finish(mut self, recovery: Recovery) -> Loaded {
        self.registry();
        let registry = self.registry.unwrap_or_default();
        Loaded { registry, tokens: self.tokens, proxies: self.proxies.into_values().collect(), recovery }
    }
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, String> {
    M::decode(payload).map_err(|error| error.to_string())
}
