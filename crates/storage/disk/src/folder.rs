//! The folder that holds the data of one process.
//!
//! ```text
//! FORMAT     one line, `bellwether data folder, format 1`
//! LOCK       locked by its owner while it runs; holds the owner's process id as decimal digits
//! catalog/   events/   spans/   samples/   proxy/     one folder a store, made by the store
//! ```
//!
//! The lock is the kernel's (`flock`), not the file's existence: it ends with its process, also
//! after a `kill -9`, so that nobody ever has to remove a stale file by hand.
//!
//! Looking comes before touching. A folder that is refused, whatever the reason, is left exactly as
//! it was found: nothing is made in it or changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::{Disk, Entry, File, Open};

/// The format that this version writes. It counts the layout of the folder and what all stores write
/// into it together; each file carries the version of its own format as well.
pub const FORMAT: u32 = 1;

/// Takes a folder from one format to the next. It must be repeatable: after a crash it runs again.
pub type Migration = fn(&dyn Disk, &Path) -> io::Result<()>;

/// The migration at index 0 leads from format 1 to format 2, and so on.
const MIGRATIONS: &[Migration] = &[];

const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
const FIRST_LINE: &str = "bellwether data folder, format ";
/// Longer than any version of the file, short enough to read without a thought.
const FILE_LIMIT: u64 = 256;

/// The stores that may live in a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Instances and policies.
    Catalog,
    /// Who did what and why.
    Events,
    /// Traces.
    Spans,
    /// Metrics.
    Samples,
    /// A proxy's last snapshot and its spool.
    Proxy,
}

impl Store {
    /// All stores.
    pub const ALL: [Store; 5] = [Store::Catalog, Store::Events, Store::Spans, Store::Samples, Store::Proxy];

    /// The name of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Store::Catalog => "catalog",
            Store::Events => "events",
            Store::Spans => "spans",
            Store::Samples => "samples",
            Store::Proxy => "proxy",
        }
    }
}

/// Why a data folder cannot be used. The folder is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Another process owns it.
    #[error(
        "the data folder {path} is in use by {owner}; stop that process or choose another folder",
        owner = .pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The owner's process id, where it could be read.
        pid: Option<u32>,
    },
    /// This process may not write to it.
    #[error(
        "the data folder {path} cannot be written to; let this user write there, remount the file system \
         for writing, or choose another folder"
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the data folder {path} has format {found}, and this version knows formats up to {supported}; \
         start the version that wrote it, or a later one"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The format that it says it has.
        found: u32,
        /// The latest format that this version can read.
        supported: u32,
    },
    /// One of its marker files is not what it should be.
    #[error("the data folder is damaged: {file} {why}; restore the folder from a backup")]
    Damaged {
        /// The file in question.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is something else.
    #[error("{path} is not a data folder: {why}; choose an empty folder or a new name")]
    NotAFolder {
        /// What was given.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The disk answered with an error.
    #[error("cannot {action} {path}: {source}; check the disk and the folder's permissions")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
}

/// A data folder that belongs to this process until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: Box<dyn File>,
}

impl DataFolder {
    /// Takes the folder into possession; makes it where it does not exist, brings an older format up
    /// to this version's.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<DataFolder, FolderError> {
        open(disk, path, FORMAT, MIGRATIONS)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk that it is on.
    pub fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// The folder of a store, which the store makes when it needs it.
    pub fn store(&self, store: Store) -> PathBuf {
        self.path.join(store.as_str())
    }
}

/// [`DataFolder::open`] with the latest format and the migrations as arguments.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    path: &Path,
    supported: u32,
    migrations: &[Migration],
) -> Result<DataFolder, FolderError> {
    let found = inspect(&*disk, path, supported)?;
    if found == Found::Nothing {
        disk.create_folder(path).map_err(|error| refused("create", path, error))?;
    }
    if !disk.is_writable(path) {
        return Err(FolderError::ReadOnly { path: path.to_path_buf() });
    }
    let lock = lock(&*disk, path)?;
    // Somebody else may have been faster between the look and the lock.
    let mut format = match inspect(&*disk, path, supported)? {
        Found::Format(format) => format,
        Found::Nothing | Found::Empty => {
            write_format(&*disk, path, supported)?;
            supported
        }
    };
    while format < supported {
        let Some(migrate) = migrations.get(format as usize - 1) else { break };
        migrate(&*disk, path).map_err(|error| refused("migrate", path, error))?;
        format += 1;
        write_format(&*disk, path, format)?;
    }
    Ok(DataFolder { disk, path: path.to_path_buf(), _lock: lock })
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Empty,
    Format(u32),
}

/// Looks, without touching.
fn inspect(disk: &dyn Disk, path: &Path, supported: u32) -> Result<Found, FolderError> {
    let entries = match disk.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(FolderError::NotAFolder { path: path.to_path_buf(), why: "it is a file".to_owned() });
        }
        Err(error) => return Err(refused("list", path, error)),
    };
    if entries.iter().any(|entry| entry.name == FORMAT_FILE) {
        return read_format(disk, path, supported).map(Found::Format);
    }
    match entries.iter().find(|entry| !may_stand_in_a_new_folder(entry)) {
        None => Ok(Found::Empty),
        Some(entry) if Store::ALL.iter().any(|store| store.as_str() == entry.name) => {
            let why = format!("is missing although the folder {} is there", entry.name);
            Err(FolderError::Damaged { file: path.join(FORMAT_FILE), why })
        }
        Some(entry) => {
            let why = format!("it holds {:?} and no {FORMAT_FILE} file", entry.name);
            Err(FolderError::NotAFolder { path: path.to_path_buf(), why })
        }
    }
}

/// What an interrupted first start leaves, and what file systems put into their root.
fn may_stand_in_a_new_folder(entry: &Entry) -> bool {
    [LOCK_FILE, "FORMAT.tmp", "lost+found"].contains(&entry.name.as_str())
}

fn read_format(disk: &dyn Disk, path: &Path, supported: u32) -> Result<u32, FolderError> {
    let file = path.join(FORMAT_FILE);
    let damaged = |why: &str| FolderError::Damaged { file: file.clone(), why: why.to_owned() };
    let bytes = match disk.read(&file, FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(damaged("is too long")),
        Err(error) => return Err(refused("read", &file, error)),
    };
    let line = std::str::from_utf8(&bytes).ok();
    let digits = line.and_then(|text| text.strip_prefix(FIRST_LINE)).and_then(|text| text.strip_suffix('\n'));
    let format: Option<u32> = digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0'))
        .and_then(|digits| digits.parse().ok());
    match format {
        None => Err(damaged("does not name a format")),
        Some(found) if found > supported => {
            Err(FolderError::Newer { path: path.to_path_buf(), found, supported })
        }
        Some(found) => Ok(found),
    }
}

fn write_format(disk: &dyn Disk, path: &Path, format: u32) -> Result<(), FolderError> {
    let file = path.join(FORMAT_FILE);
    disk.replace(&file, format!("{FIRST_LINE}{format}\n").as_bytes())
        .map_err(|error| refused("write", &file, error))
}

fn lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn File>, FolderError> {
    let file_path = path.join(LOCK_FILE);
    let failed = |error| refused("lock", &file_path, error);
    let file = disk.open(&file_path, Open::Create).map_err(failed)?;
    if !file.try_lock().map_err(failed)? {
        let owner = disk.read(&file_path, FILE_LIMIT).ok();
        let pid = owner.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok());
        return Err(FolderError::Locked { path: path.to_path_buf(), pid });
    }
    // The id only helps people, so a full disk does not keep the folder from opening.
    let pid = format!("{}\n", std::process::id());
    let _ = file.truncate(0).and_then(|()| file.write_all_at(pid.as_bytes(), 0));
    Ok(file)
}

fn refused(action: &'static str, path: &Path, source: io::Error) -> FolderError {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    if action != "read" && action != "list" && matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem)
    {
        let folder = if path.ends_with(LOCK_FILE) || path.ends_with(FORMAT_FILE) {
            path.parent().unwrap_or(path)
        } else {
            path
        };
        return FolderError::ReadOnly { path: folder.to_path_buf() };
    }
    FolderError::Io { action, path: path.to_path_buf(), source }
}
