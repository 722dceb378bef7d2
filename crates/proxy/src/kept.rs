//! The last table on disk, for a restart of the proxy while the control plane is away.
//!
//! What is kept is what the control plane said, as one snapshot, and not the table that was made of it: so
//! it is read by the same code as an update, and checked by it. The file is replaced as a whole, at most
//! once in [`PACE`]; what changed since is what the control plane tells again after a restart. A file that
//! is damaged or of another version is not used, and the next one takes its place: it is a copy.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Namespace, ServiceName, Wall};
use storage_disk::Disk;
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use wire::native::channel::{
    Override, PolicyUpdate, ServiceUpdate, Update, update_from_bytes, update_to_bytes,
};

use crate::clock::Clock;

/// Where the last table is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The file; its folder is there.
    pub path: PathBuf,
    /// Whether it is this process that writes it, from the start; see [`crate::Proxy::keep`].
    pub is_owned: bool,
}

/// How long to wait after a change, so that many changes are written once.
const PACE: Duration = Duration::from_secs(1);
/// The largest file that is read. A snapshot of the largest registry has room in it.
const BYTES_MAX: u64 = 256 << 20;
/// What a file of this version begins with.
const MAGIC: &[u8] = b"bellwether snapshot 1\n";
/// Magic, checksum of the rest, and when it was written.
const HEAD: usize = MAGIC.len() + 4 + 8;

/// Everything that the control plane has said and that still holds.
#[derive(Debug, Default)]
struct Mirror {
    revision: u64,
    services: BTreeMap<(Namespace, ServiceName), ServiceUpdate>,
    policies: BTreeMap<(Namespace, Option<ServiceName>), PolicyUpdate>,
    /// With the time at which each ends.
    overrides: BTreeMap<(Namespace, ServiceName), (Override, Wall)>,
    is_written: bool,
}

/// Keeps the last table.
#[derive(Debug)]
pub(crate) struct Kept {
    keep: Keep,
    clock: Clock,
    mirror: Mutex<Mirror>,
    changed: Notify,
    /// Whether the file is this process's to write. Held while it is written.
    is_owned: tokio::sync::Mutex<bool>,
}

impl Kept {
    pub(crate) fn new(keep: Keep, clock: Clock) -> Self {
        let is_owned = tokio::sync::Mutex::new(keep.is_owned);
        Self { keep, clock, mirror: Mutex::default(), changed: Notify::new(), is_owned }
    }

    /// Whether the file is this process's to write from now on. What was being written is written then.
    pub(crate) async fn own(&self, owns: bool) {
        *self.is_owned.lock().await = owns;
        self.changed.notify_one();
    }

    /// The snapshot of an earlier run as an update, and when it was written.
    pub(crate) async fn read(&self) -> Option<(Update, Wall)> {
        let keep = self.keep.clone();
        let read = spawn_blocking(move || keep.disk.read(&keep.path, BYTES_MAX)).await;
        let bytes = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(%error, "the last snapshot cannot be read; calls wait for the control plane");
                return None;
            }
        };
        let found = decode(&bytes, self.clock.now().wall);
        if found.is_none() {
            tracing::error!(
                path = %self.keep.path.display(),
                "the last snapshot is damaged or of another version, and is not used; calls wait for the control plane"
            );
        }
        found
    }

    /// Takes in what the control plane said.
    pub(crate) fn take(&self, update: &Update) {
        let now = self.clock.now().wall;
        self.lock().take(update, now);
        self.changed.notify_one();
    }

    /// Writes what has changed, until told to stop, and then once more.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = stopping.cancelled() => break,
            }
            tokio::select! {
                () = sleep(PACE) => self.write().await,
                () = stopping.cancelled() => break,
            }
        }
        self.write().await;
    }

    async fn write(&self) {
        let is_owned = self.is_owned.lock().await;
        if !*is_owned {
            return;
        }
        let now = self.clock.now().wall;
        let update = {
            let mut mirror = self.lock();
            if mirror.is_written || mirror.revision == 0 {
                return;
            }
            mirror.is_written = true;
            mirror.whole(now)
        };
        let keep = self.keep.clone();
        let written = spawn_blocking(move || keep.disk.replace(&keep.path, &encode(&update, now))).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            // The next change tries again.
            tracing::error!(%error, "the snapshot for a restart was not written");
            self.lock().is_written = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mirror {
    fn take(&mut self, update: &Update, now: Wall) {
        if update.snapshot {
            self.services.clear();
            self.policies.clear();
        }
        (self.revision, self.is_written) = (update.revision, false);
        for service in &update.services {
            let key = (service.namespace.clone(), service.service.clone());
            match service.endpoints.is_empty() {
                true => drop(self.services.remove(&key)),
                false => drop(self.services.insert(key, service.clone())),
            }
        }
        for policy in &update.policies {
            let key = (policy.namespace.clone(), policy.service.clone());
            match policy.policy {
                None => drop(self.policies.remove(&key)),
                Some(_) => drop(self.policies.insert(key, policy.clone())),
            }
        }
        self.overrides.retain(|_, (_, until)| *until > now);
        for word in &update.overrides {
            let until = Wall(now.0.saturating_add(nanos(word.left)));
            self.overrides.insert((word.namespace.clone(), word.service.clone()), (word.clone(), until));
        }
    }

    fn whole(&self, now: Wall) -> Update {
        let left = |until: Wall| Duration::from_nanos(until.0.saturating_sub(now.0));
        let word = |(word, until): &(Override, Wall)| Override { left: left(*until), ..word.clone() };
        Update {
            revision: self.revision,
            snapshot: true,
            services: self.services.values().cloned().collect(),
            policies: self.policies.values().cloned().collect(),
            overrides: self.overrides.values().map(word).collect(),
            taps: None,
        }
    }
}

fn encode(update: &Update, at: Wall) -> Vec<u8> {
    let mut rest = at.0.to_le_bytes().to_vec();
    rest.extend_from_slice(&update_to_bytes(update));
    let mut bytes = Vec::with_capacity(HEAD + rest.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    bytes
}

/// The update as it is now, and when it was written; `None` for anything but a whole file of this version.
fn decode(bytes: &[u8], now: Wall) -> Option<(Update, Wall)> {
    let (sum, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != crc32c::crc32c(rest) {
        return None;
    }
    let (at, update) = rest.split_first_chunk::<8>()?;
    let at = Wall(u64::from_le_bytes(*at));
    let mut update = update_from_bytes(update).ok().filter(|update| update.snapshot)?;
    // Operators' words have gone on to run out meanwhile.
    let passed = Duration::from_nanos(now.0.saturating_sub(at.0));
    update.overrides.retain_mut(|word| {
        word.left = word.left.saturating_sub(passed);
        !word.left.is_zero()
    });
    Some((update, at))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_changed_anywhere_is_not_used() {
        let word = Override {
            namespace: Namespace::default(),
            service: "cart".parse().unwrap(),
            number: 1,
            force: None,
            left: Duration::from_secs(10),
            note: "n".to_owned(),
        };
        let update = Update {
            revision: 7,
            snapshot: true,
            services: Vec::new(),
            policies: Vec::new(),
            overrides: vec![word],
            taps: None,
        };
        let second = |seconds: u64| Wall(seconds * 1_000_000_000);
        let bytes = encode(&update, second(100));
        let (found, at) = decode(&bytes, second(104)).unwrap();
        assert_eq!((found.revision, at, found.overrides[0].left), (7, second(100), Duration::from_secs(6)));
        assert!(decode(&bytes, second(110)).unwrap().0.overrides.is_empty(), "its time is over");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], second(104)).is_none(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad, second(104)).is_none(), "changed at {at}");
        }
    }
}
