//! A disk in memory that fails on purpose.
//!
//! It keeps two views. The *live* one is what the running process reads back: the page cache. The
//! *durable* one is what a machine finds after it lost power. Between them stand the changes that
//! were not synced; a [crash](FaultyDisk::crash) lets nothing, everything, a prefix or any subset of
//! them survive, by 512-byte sectors, as a seed decides. That is harsher than most file systems, and
//! all that POSIX allows one to rely on.
//!
//! Faults are scripted by the index of the operation: each call that changes or syncs something
//! counts as one. Running a scenario once and asking for [`FaultyDisk::operations`], then once for
//! each index with a fault there, visits every place where it can go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Disk, Entry, File, Open};

const SECTOR: usize = 512;

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with EIO. A failed sync loses an unknown part of what it should have saved.
    Error,
    /// It fails with ENOSPC.
    NoSpace,
    /// A write stores half of its bytes and says so. Other operations are not touched.
    Short,
    /// A write stores half of its bytes and fails with EIO. Other operations fail as with `Error`.
    Torn,
    /// The machine loses power just before it: this and all later operations fail.
    Crash,
}

/// The disk that fails on purpose. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Clone, Default)]
struct State {
    nodes: Vec<Node>,
    folders: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    faults: Vec<(Bound<u64>, Bound<u64>, Fault)>,
    operations: u64,
    room: Option<u64>,
    read_only: bool,
    crashed: bool,
    syncs_held: bool,
    syncs_waiting: usize,
    random: u64,
}

#[derive(Debug, Clone, Default)]
struct Node {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    locked: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// `from` loses its name, `to` gets one; a rename has both.
#[derive(Debug, Clone)]
struct NameChange {
    from: Option<PathBuf>,
    to: Option<(PathBuf, usize)>,
}

impl NameChange {
    fn folder(&self) -> Option<&Path> {
        self.to.as_ref().map(|(path, _)| path).or(self.from.as_ref()).and_then(|path| path.parent())
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(from) = self.from {
            names.remove(&from);
        }
        if let Some((to, node)) = self.to {
            names.insert(to, node);
        }
    }
}

impl FaultyDisk {
    /// An empty disk without faults. The seed decides what survives a crash or a failed sync.
    pub fn new(seed: u64) -> FaultyDisk {
        FaultyDisk::from_state(State { random: seed, ..State::default() })
    }

    fn from_state(state: State) -> FaultyDisk {
        FaultyDisk(Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete before anything could panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations that change or sync something were tried so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets the operations with these indices (the first is 0) fail.
    pub fn fail(&self, operations: impl RangeBounds<u64>, fault: Fault) {
        let range = (operations.start_bound().cloned(), operations.end_bound().cloned());
        self.state().faults.push((range.0, range.1, fault));
    }

    /// Ends all scripted faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Limits what all files may hold together; `None` is unlimited.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// How many bytes all files hold together.
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// Whether every change is refused with EROFS.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Lets every sync of a file wait until [`FaultyDisk::release_syncs`]: the time in which writers
    /// gather for the next group.
    pub fn hold_syncs(&self) {
        self.state().syncs_held = true;
    }

    /// Lets the syncs pass that wait, and those to come.
    pub fn release_syncs(&self) {
        self.state().syncs_held = false;
        self.0.released.notify_all();
    }

    /// Waits until a sync waits.
    pub fn await_held_sync(&self) {
        let mut state = self.state();
        while state.syncs_waiting == 0 {
            state = self.0.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The machine loses power. Returns what it finds when it starts again, without faults; whoever
    /// still uses this disk gets errors from now on.
    pub fn crash(&self) -> FaultyDisk {
        let mut state = self.state();
        state.crashed = true;
        let mut after = state.clone();
        drop(state);
        self.0.released.notify_all();
        for index in 0..after.nodes.len() {
            let unsynced = std::mem::take(&mut after.nodes[index].unsynced);
            let mut survivor = std::mem::take(&mut after.nodes[index].durable);
            survive(&mut survivor, unsynced, &mut after.random);
            after.nodes[index] = Node { live: survivor.clone(), durable: survivor, ..Node::default() };
        }
        let all = below(&mut after.random, 3);
        for change in std::mem::take(&mut after.unsynced_names) {
            if all == 1 || (all == 2 && below(&mut after.random, 2) == 1) {
                change.apply(&mut after.durable_names);
            }
        }
        after.names = after.durable_names.clone();
        FaultyDisk::from_state(after.without_faults())
    }

    /// The process is killed, the machine goes on: all that was written is still in the page cache,
    /// as little durable as before. Locks are free, faults are over; whoever still uses this disk
    /// gets errors from now on.
    pub fn kill(&self) -> FaultyDisk {
        let mut state = self.state();
        state.crashed = true;
        let after = state.clone();
        drop(state);
        self.0.released.notify_all();
        FaultyDisk::from_state(after.without_faults())
    }

    /// An independent disk with the same content, durable and not.
    pub fn copy(&self) -> FaultyDisk {
        FaultyDisk::from_state(self.state().clone().without_faults())
    }

    /// All files with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state();
        state.names.iter().map(|(path, node)| (path.clone(), state.nodes[*node].live.len() as u64)).collect()
    }

    /// Damage: the file ends after `length` bytes. False where there is no such file.
    pub fn cut(&self, path: &Path, length: u64) -> bool {
        self.damage(path, |bytes| bytes.truncate(length as usize))
    }

    /// Damage: one bit is inverted; bit 0 is the lowest of the first byte. False where there is no
    /// such file.
    pub fn flip(&self, path: &Path, bit: u64) -> bool {
        self.damage(path, |bytes| {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        })
    }

    fn damage(&self, path: &Path, with: impl Fn(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(&node) = state.names.get(path) else { return false };
        let node = &mut state.nodes[node];
        with(&mut node.live);
        node.durable.clone_from(&node.live);
        node.unsynced.clear();
        true
    }
}

impl State {
    fn without_faults(mut self) -> State {
        self.faults.clear();
        self.operations = 0;
        self.crashed = false;
        self.syncs_held = false;
        self.syncs_waiting = 0;
        for node in &mut self.nodes {
            node.locked = false;
        }
        self
    }

    fn used(&self) -> u64 {
        self.names.values().map(|node| self.nodes[*node].live.len() as u64).sum()
    }

    /// Counts an operation and says what befalls it; `None` lets it pass.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        self.alive()?;
        let index = self.operations;
        self.operations += 1;
        let fault =
            self.faults.iter().find(|(from, to, _)| (*from, *to).contains(&index)).map(|found| found.2);
        match fault {
            _ if self.read_only => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Crash) => {
                self.crashed = true;
                self.alive().map(|()| None)
            }
            other => Ok(other),
        }
    }

    /// As [`State::begin`], for operations that a fault fails as a whole.
    fn begin_whole(&mut self) -> io::Result<()> {
        match self.begin()? {
            None | Some(Fault::Short) => Ok(()),
            Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            Some(_) => Err(eio()),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("the machine has crashed")) } else { Ok(()) }
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn write(&mut self, node: usize, bytes: &[u8], offset: usize) -> io::Result<usize> {
        let fault = self.begin()?;
        let mut fitting = bytes.len();
        match fault {
            Some(Fault::Error) => return Err(eio()),
            Some(Fault::NoSpace) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Short | Fault::Torn) => fitting = fitting.div_ceil(2),
            _ => {}
        }
        if let Some(room) = self.room {
            let inside = self.nodes[node].live.len().saturating_sub(offset);
            let free = room.saturating_sub(self.used());
            fitting = fitting.min(inside + free as usize);
            if fitting == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let change = Change::Write { offset, bytes: bytes[..fitting].to_vec() };
        change.apply(&mut self.nodes[node].live);
        self.nodes[node].unsynced.push(change);
        if fault == Some(Fault::Torn) { Err(eio()) } else { Ok(fitting) }
    }

    fn sync(&mut self, node: usize) -> io::Result<()> {
        let passed = self.begin_whole();
        self.alive()?;
        let unsynced = std::mem::take(&mut self.nodes[node].unsynced);
        let mut durable = std::mem::take(&mut self.nodes[node].durable);
        match passed {
            Ok(()) => unsynced.into_iter().for_each(|change| change.apply(&mut durable)),
            Err(_) => survive(&mut durable, unsynced, &mut self.random),
        }
        self.nodes[node].durable = durable;
        passed
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Truncate(length) => content.resize(*length, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// The pieces of a write that reach the disk on their own.
    fn sectors(self) -> Vec<Change> {
        match self {
            Change::Truncate(_) => vec![self],
            Change::Write { offset, bytes } => {
                let mut pieces = Vec::new();
                let mut begin = 0;
                while begin < bytes.len() {
                    let end = ((offset + begin) / SECTOR * SECTOR + SECTOR - offset).min(bytes.len());
                    pieces.push(Change::Write { offset: offset + begin, bytes: bytes[begin..end].to_vec() });
                    begin = end;
                }
                pieces
            }
        }
    }
}

/// Applies what chance lets survive of the changes that were not synced.
fn survive(content: &mut Vec<u8>, unsynced: Vec<Change>, random: &mut u64) {
    let mut pieces: Vec<Change> = unsynced.into_iter().flat_map(Change::sectors).collect();
    match below(random, 4) {
        0 => pieces.clear(),
        1 => {}
        2 => {
            pieces.truncate(below(random, pieces.len() as u64 + 1) as usize);
            if let Some(Change::Write { bytes, .. }) = pieces.last_mut() {
                bytes.truncate(below(random, bytes.len() as u64 + 1) as usize);
            }
        }
        _ => pieces.retain(|_| below(random, 2) == 1),
    }
    pieces.iter().for_each(|piece| piece.apply(content));
}

/// A number below `limit`, by SplitMix64 (Steele, Lea and Flood, 2014).
fn below(random: &mut u64, limit: u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit.max(1)
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Disk for FaultyDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.folders.contains(folder) {
            return state.alive();
        }
        state.begin_whole()?;
        let above = folder.ancestors().filter(|path| !path.as_os_str().is_empty()).map(Path::to_path_buf);
        state.folders.extend(above);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        state.alive()?;
        if state.names.contains_key(folder) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        let entry = |path: &PathBuf, is_folder| Entry {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            is_folder,
        };
        let folders = state.folders.iter().filter(inside).map(|path| entry(path, true));
        let files = state.names.keys().filter(inside).map(|path| entry(path, false));
        let mut entries: Vec<Entry> = folders.chain(files).collect();
        entries.sort();
        Ok(entries)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        state.alive()?;
        let found = state.names.get(path).copied();
        let node = match (how, found) {
            (Open::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::Write | Open::Create, Some(_)) if state.read_only => {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            (_, Some(node)) => node,
            (Open::Read | Open::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (Open::Create | Open::CreateNew, None) => {
                state.begin_whole()?;
                if !path.parent().is_some_and(|folder| state.folders.contains(folder)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.nodes.push(Node::default());
                let node = state.nodes.len() - 1;
                state.change_name(NameChange { from: None, to: Some((path.to_path_buf(), node)) });
                node
            }
        };
        drop(state);
        Ok(Box::new(FaultyFile { disk: self.clone(), node, locked: Mutex::new(false) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole()?;
        let node = state.node(from)?;
        state.change_name(NameChange { from: Some(from.to_path_buf()), to: Some((to.to_path_buf(), node)) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        state.node(path)?;
        state.begin_whole()?;
        state.change_name(NameChange { from: Some(path.to_path_buf()), to: None });
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole()?;
        let state = &mut *state;
        let here = state.unsynced_names.extract_if(.., |change| change.folder() == Some(folder));
        here.for_each(|change| change.apply(&mut state.durable_names));
        Ok(())
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        Ok(state.room.map_or(u64::MAX, |room| room.saturating_sub(state.used())))
    }

    fn is_writable(&self, _folder: &Path) -> bool {
        !self.state().read_only
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    node: usize,
    locked: Mutex<bool>,
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.alive()?;
        Ok(state.nodes[self.node].live.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        state.alive()?;
        let live = &state.nodes[self.node].live;
        let rest = live.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.state().write(self.node, bytes, offset as usize)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_whole()?;
        let node = &mut state.nodes[self.node];
        let change = Change::Truncate(length as usize);
        change.apply(&mut node.live);
        node.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        while state.syncs_held && !state.crashed {
            state.syncs_waiting += 1;
            self.disk.0.released.notify_all();
            state = self.disk.0.released.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.syncs_waiting -= 1;
        }
        state.sync(self.node)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.state();
        state.alive()?;
        let node = &mut state.nodes[self.node];
        if node.locked {
            return Ok(false);
        }
        node.locked = true;
        *self.locked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(true)
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        if *self.locked.lock().unwrap_or_else(PoisonError::into_inner) {
            self.disk.state().nodes[self.node].locked = false;
        }
    }
}
