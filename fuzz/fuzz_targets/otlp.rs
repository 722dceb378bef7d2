//! Whatever is sent as OTLP: it is decoded or refused, and its account adds up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use traces::borrowed::Owned;
use wire::otlp::{Limits, decode};

fuzz_target!(|request: &[u8]| {
    if let Ok(decoded) = decode(request, &Limits::default()) {
        assert_eq!(decoded.received, decoded.batch.spans.len() as u64 + decoded.refused.total());
        decoded.batch.give(&mut Owned::default());
    }
});
