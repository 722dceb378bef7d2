//! The disk as the rest of Bellwether sees it, and the folder that holds its data.
//!
//! Everything that must survive is written through [`Disk`] and [`File`]. [`RealDisk`] is the
//! machine's; [`FaultyDisk`] lives in memory and fails on purpose: short writes, a full disk, EIO on
//! write and on fsync, a crash that loses what was not synced, cut files and flipped bits. A store
//! that is proved against the second may be trusted with the first.
//!
//! **What a disk promises** is the least that POSIX does. Written data survives a crash only after
//! [`File::sync_data`], and a created, renamed or removed name only after [`Disk::sync_folder`]. A
//! failed sync leaves the unsynced data in an unknown state *and clean in the page cache*, so that a
//! second sync of the same file would succeed without writing anything (as on Linux): a file whose
//! sync failed must be given up.
//!
//! **Absent on purpose:** no async, no threads, no formats; the one exception is [`folder`], which
//! knows the marker files of a data folder.

use std::fmt::Debug;
use std::io;
use std::path::Path;

mod faulty;
pub mod folder;
mod real;

pub use faulty::{Fault, FaultyDisk};
pub use folder::{DataFolder, FolderError, Store};
pub use real::RealDisk;

#[cfg(test)]
mod tests;

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing; made where it does not exist.
    Create,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last component of the path. Names that are not UTF-8 are shown with replacement
    /// characters; none of ours is.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A disk: names in folders. See the package's documentation for what survives what.
pub trait Disk: Send + Sync + Debug {
    /// Makes the folder and those above it. Those that it made are durable when it returns.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// What a folder holds, sorted by name.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Opens a file. A new file's name is durable after [`Disk::sync_folder`].
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>>;

    /// Gives a file another name in the same folder, replacing what had it, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in this folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// How many bytes this process may still write where `folder` is.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;

    /// Whether this process may change what the folder holds. Changes nothing itself.
    fn is_writable(&self, folder: &Path) -> bool;

    /// Reads a small file whole; [`io::ErrorKind::FileTooLarge`] where it is longer than `limit`.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let length = file.len()?;
        if length > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // The limit keeps the length far below what a 32-bit usize holds.
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Replaces a small file's content in one step: after a crash it holds the old bytes or the new
    /// ones, never a mixture. Durable when it returns.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_added_extension("tmp");
        let written = write_new(self, &temporary, bytes).and_then(|()| self.rename(&temporary, path));
        if written.is_err() {
            // What is left is a file that nobody reads; the error that matters is the first one.
            let _ = self.remove(&temporary);
            return written;
        }
        self.sync_folder(path.parent().unwrap_or(Path::new(".")))
    }
}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at an offset; fewer bytes than asked for when they are not there, 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Says that this will be read soon, so that a disk may fetch several places at a time. Nothing
    /// depends on it.
    fn will_need(&self, _offset: u64, _length: u64) {}

    /// Writes at an offset and says how many bytes it wrote, which may be fewer than given.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts or, with zeros, extends the file.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes the content durable. After an error the file must be given up.
    fn sync_data(&self) -> io::Result<()>;

    /// Takes the file's exclusive lock; false where another process, or another opening of the
    /// file, holds it. It is released when the file is dropped or its process ends, however it ends.
    fn try_lock(&self) -> io::Result<bool>;

    /// Reads until `into` is full; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match self.read_at(into, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes everything. After an error any part of it may stand in the file.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn write_new<D: Disk + ?Sized>(disk: &D, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A leftover of an interrupted attempt may have failed its sync, so it is not written again.
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(path, Open::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}
