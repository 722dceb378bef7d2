//! Where a call went, and where its time was spent.
//!
//! Spans and what they carry ([`Span`], [`Resource`], [`Attributes`]), the context that travels with a
//! call ([`context`], [`propagation`]), the tree that the spans of one trace make ([`Trace::assemble`]), where its time went
//! ([`CriticalPath`]) and the decision which traces are kept ([`sampling`]).
//!
//! **Absent on purpose:** no I/O, no clock, no randomness, and no wire format beyond the two headers of
//! W3C Trace Context, which are part of what a context *is*. OTLP, Zipkin and Jaeger are translated at
//! the edge, what is stored is the stores' own affair.

mod assemble;
mod attributes;
pub mod borrowed;
pub mod compare;
pub mod context;
mod critical_path;
pub mod graph;
pub mod propagation;
pub mod query;
pub mod sampling;
mod span;
pub mod spelling;
mod timeline;

pub use assemble::{Node, ServiceCount, Summary, Trace};
pub use attributes::{Attributes, Key, Value};
pub use critical_path::{CriticalPath, Doer, Segment, Share, SpanTime, doer};
pub use span::{Dropped, Event, Kind, Link, Resource, Scope, Span, Status, StatusCode};
pub use timeline::{Part, Reason, Rules};

#[cfg(test)]
mod tests;
