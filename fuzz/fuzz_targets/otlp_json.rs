//! Whatever is sent as OTLP in JSON: what is rewritten is a message that the decoder takes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::otlp::{Limits, decode, from_json};

fuzz_target!(|request: &[u8]| {
    if let Ok(rewritten) = from_json(request) {
        decode(&rewritten, &Limits::default()).expect("what we write, we read");
    }
});
