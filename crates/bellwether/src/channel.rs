//! The two ways from a proxy to the control plane: within the process, and over gRPC.
//!
//! Both stand behind the proxy's two traits and mean the same; one test holds for both.

mod grpc;
mod local;
#[cfg(test)]
mod tests;

pub(crate) use grpc::Grpc;
pub(crate) use local::Local;

use proxy::SinkError;
use wire::native::problem::Code;

/// What the control plane's refusal means for the report.
///
/// Only a report that would be refused again just the same is given up. An access that is denied may
/// be granted, and a disk that is full may have room again.
fn sink_error(code: Option<Code>, text: String) -> SinkError {
    match code.map(|code| code.entry().status) {
        Some(400 | 409 | 413 | 415 | 422) => SinkError::Refused(text),
        _ => SinkError::Unavailable(text),
    }
}
