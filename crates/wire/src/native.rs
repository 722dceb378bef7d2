//! The native API's documents.

mod nearest;
pub mod problem;

pub use nearest::nearest;
