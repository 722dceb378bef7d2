//! Claims about the journal, most of them over the disk that fails on purpose.

mod ahead;
mod damage;
mod faults;
mod groups;
mod properties;
mod snapshots;
mod world;
