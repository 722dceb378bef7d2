//! Translation between bytes and core types.
//!
//! **Absent on purpose:** no sockets, no files, no clock.

pub mod exposition;
pub mod grpc_health;
pub mod jaeger;
pub mod native;
mod nearest;
pub mod otlp;
pub mod policy;
pub mod prometheus;
mod protobuf;
pub mod remote_write;
pub mod scrape_config;
pub mod zipkin;
