//! Where a proxy hands over what happened.

use std::{future::Future, sync::Arc};

use wire::native::channel::{Report, Tapped};

/// The stores, as a proxy sees them.
pub trait Sink: Send + Sync + 'static {
    /// Hands over a report. `Ok` means that it is durable. A report with the same epoch and sequence may
    /// come again, and must then not be counted twice.
    fn report(&self, report: &Report) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Hands over calls that somebody watches go by. They are not handed over again.
    fn tapped(&self, tapped: &Tapped) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// A report that was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Not now: the same report comes again later.
    #[error("the report cannot be handed over now: {0}")]
    Unavailable(String),
    /// Never: what is in it is counted as dropped.
    #[error("the report was refused: {0}")]
    Refused(String),
}

impl<S: Sink> Sink for Arc<S> {
    fn report(&self, report: &Report) -> impl Future<Output = Result<(), SinkError>> + Send {
        S::report(self, report)
    }

    fn tapped(&self, tapped: &Tapped) -> impl Future<Output = Result<(), SinkError>> + Send {
        S::tapped(self, tapped)
    }
}
