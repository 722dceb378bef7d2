//! Spans as a file of their own: what a block is, without the store around it.

use std::sync::Arc;

use identity::Wall;
use monitoring::Ledger;
use traces::Span;

use crate::{SpanWriter, block, memory::Memory, write_all};

/// These spans as a Parquet file with the columns of a block, sorted by trace. It is built in memory, which takes
/// some 300 bytes a span.
///
/// # Errors
/// Parquet's writer refuses them.
pub fn parquet(spans: &[Span], at: Wall) -> Result<Vec<u8>, String> {
    let mut writer = SpanWriter::default();
    write_all(&mut writer, spans);
    let (chunk, _) = writer.finish(at);
    let mut memory = Memory::default();
    memory.add(Arc::new(chunk), &Ledger::default(), |_| {});
    block::build(&memory, 0, &[], &Default::default()).map_err(|error| error.to_string())
}
