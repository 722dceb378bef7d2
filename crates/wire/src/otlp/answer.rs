//! What a sender is answered, in the encoding in which it asked.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value as Json, json};

use super::Refused;
use crate::protobuf::Writer;

/// How a request and its answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol Buffers.
    Protobuf,
    /// Their mapping to JSON.
    Json,
}

impl Encoding {
    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// An `ExportTraceServiceResponse` to a request that was taken in but for what was refused.
pub fn partial_success(encoding: Encoding, refused: &Refused) -> Vec<u8> {
    rejected(encoding, "rejectedSpans", refused.total(), &sentence(refused))
}

/// An `ExportMetricsServiceResponse` to a request that was taken in but for so many points, and why.
pub fn points_rejected(encoding: Encoding, total: u64, message: &str) -> Vec<u8> {
    rejected(encoding, "rejectedDataPoints", total, message)
}

fn rejected(encoding: Encoding, name: &str, total: u64, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut writer = Writer::default();
            if total > 0 {
                writer.message(1, |writer| {
                    writer.varint(1, total);
                    writer.bytes(2, message.as_bytes());
                });
            }
            writer.into_bytes()
        }
        Encoding::Json if total == 0 => b"{}".to_vec(),
        // Numbers of 64 bits are texts.
        Encoding::Json => {
            let partial = json!({ name: total.to_string(), "errorMessage": message });
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// What was refused and why, such as `2 spans: invalid_trace_id (a trace id has …)`.
fn sentence(refused: &Refused) -> String {
    let mut sentence = String::new();
    for (reason, count) in refused.iter() {
        let (and, plural) = (if sentence.is_empty() { "" } else { "; " }, if count == 1 { "" } else { "s" });
        // Writing into a text cannot fail.
        let _ = write!(sentence, "{and}{count} span{plural}: {} ({})", reason.as_str(), reason.rule());
    }
    sentence
}

/// Why a whole request was not taken in: a `google.rpc.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A code of gRPC.
    pub code: u32,
    /// What is wrong, and what to do.
    pub message: String,
    /// When to send it again: `google.rpc.RetryInfo`.
    pub retry_after: Option<Duration>,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Failure {
    /// The status as a message.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => self.protobuf(),
            Encoding::Json => self.json().to_string().into_bytes(),
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.varint(1, self.code.into());
        writer.bytes(2, self.message.as_bytes());
        if let Some(delay) = self.retry_after {
            let mut info = Writer::default();
            info.message(1, |duration| {
                duration.varint(1, delay.as_secs());
                duration.varint(2, delay.subsec_nanos().into());
            });
            writer.message(3, |any| {
                any.bytes(1, RETRY_INFO.as_bytes());
                any.bytes(2, &info.into_bytes());
            });
        }
        writer.into_bytes()
    }

    fn json(&self) -> Json {
        let mut status = json!({ "code": self.code, "message": self.message });
        if let Some(delay) = self.retry_after {
            let delay = format!("{}s", delay.as_secs_f64());
            status["details"] = json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
        }
        status
    }
}
