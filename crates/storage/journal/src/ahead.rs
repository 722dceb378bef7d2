//! Zeros ahead of the groups, so that a group finds its place in the file already there.
//!
//! A write that makes a file longer changes more than its own bytes: the file's length, and which blocks
//! are its own. The sync that follows has to make that durable as well, through the file system's own
//! journal, and takes nearly twice as long as one that only writes bytes over bytes. So a stretch of zeros
//! is written behind a group now and then, made durable by the same sync, and the groups after it are
//! written over them.
//!
//! - *Zeros, and not merely blocks that are allocated*: the first write to such a block has to note that it
//!   is no longer empty, which is the same change again.
//! - *As much again as the segment has, at most [`Settings::ahead_bytes`]*: a journal that is hardly used
//!   takes hardly more than what it holds.
//! - *Not for large groups*: one that is as large as many small ones shares the cost of its sync among all
//!   its records, and writing everything twice would cost more than it saves.
//! - *A full disk takes nothing away*: the zeros are given back, and the groups go on to make the file longer.
//!
//! Zeros are never a group (see [`crate::format`]), so that they end a segment as the end of its file does.
//! What was acknowledged is proved by the mark and by the next segment, wherever the file ends.

use std::io;

use storage_disk::File;

use crate::Settings;
use crate::committer::is_full;

/// How many groups like the last one must find room ahead; fewer would not pay for the zeros.
const GROUPS_MIN: u64 = 4;
/// Which part of the most that is ever written ahead a segment must hold before anything is.
const FIRST_PART: u64 = 64;
/// How many zeros are written at once.
const STRIDE: usize = 64 << 10;

static ZEROS: [u8; STRIDE] = [0; STRIDE];

/// The zeros at the end of a segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ahead {
    /// Where they end; the end of the groups or before it where there are none.
    end: u64,
    /// Groups that end here or before it ask for no more of them.
    enough_until: u64,
}

impl Ahead {
    /// None, in a file that ends here.
    pub(crate) fn none(length: u64) -> Ahead {
        Ahead { end: length, enough_until: length }
    }

    /// How many there are behind groups that end at `committed`.
    pub(crate) fn bytes(&self, committed: u64) -> u64 {
        self.end.saturating_sub(committed)
    }

    /// Where zeros should end behind a group of this size that ends at `end`, if it should have some.
    pub(crate) fn reach(&self, settings: &Settings, end: u64, group: u64) -> Option<u64> {
        let step = settings.ahead_bytes.min(end);
        let to = (end + step).min(settings.segment_bytes);
        let is_due = end > self.enough_until && end >= settings.ahead_bytes / FIRST_PART;
        (is_due && to > end && to - end >= group * GROUPS_MIN).then_some(to)
    }

    /// Writes zeros from the end of the last group, which was just written, up to `to`. The next sync makes
    /// them durable with it.
    ///
    /// # Errors
    /// The file has to be given up. A full disk is not one.
    pub(crate) fn extend(&mut self, file: &dyn File, end: u64, to: u64) -> io::Result<()> {
        match write_zeros(file, end, to) {
            Ok(()) => {
                *self = Ahead::none(to);
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.cut(file, end)?;
                // Not asked again by every group.
                self.enough_until = to;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the file here.
    pub(crate) fn cut(&mut self, file: &dyn File, length: u64) -> io::Result<()> {
        file.truncate(length)?;
        *self = Ahead::none(length);
        Ok(())
    }
}

fn write_zeros(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let zeros = &ZEROS[..(to - at).min(STRIDE as u64) as usize];
        file.write_all_at(zeros, at)?;
        at += zeros.len() as u64;
    }
    Ok(())
}
