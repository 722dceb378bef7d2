//! The health protocol of gRPC servers, `grpc.health.v1` (see `proto/grpc/health/v1/health.proto`).

/// The generated messages and services.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the .proto file is the documentation"
)]
pub mod proto {
    include!("generated/grpc.health.v1.rs");
}
