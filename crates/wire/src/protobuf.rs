//! Protocol Buffers, read and written field by field: for dialects whose messages are not worth building.

mod fields;
mod writer;

pub(crate) use fields::{Broken, Fields, Raw};
pub(crate) use writer::Writer;
