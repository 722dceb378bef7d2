//! Which events a reader wants, and in which order.

use identity::{InstanceId, Namespace, ServiceName};

use crate::Kind;

/// From which end a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// For people: what happened last.
    #[default]
    NewestFirst,
    /// For feeds: what happened since.
    OldestFirst,
}

/// What [`crate::Events::read`] returns. What is not given is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Only events of this kind.
    pub kind: Option<Kind>,
    /// Only events of this namespace, and those of the whole installation.
    pub namespace: Option<Namespace>,
    /// Only events of this service.
    pub service: Option<ServiceName>,
    /// Only events of instances with this id.
    pub instance: Option<InstanceId>,
    /// No events with this action.
    pub without: Option<&'static str>,
    /// Only events with a higher revision.
    pub since: Option<u64>,
    /// Only events with a lower revision.
    pub before: Option<u64>,
    /// At most so many events, which bounds the memory of the answer.
    pub limit: usize,
    /// From which end.
    pub order: Order,
}

impl Query {
    pub(crate) fn since(&self) -> u64 {
        self.since.unwrap_or(0)
    }

    pub(crate) fn before(&self) -> u64 {
        self.before.unwrap_or(u64::MAX)
    }
}
