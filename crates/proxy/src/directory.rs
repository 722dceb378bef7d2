//! Where a proxy learns what there is.
//!
//! The proxy does not know who is behind this trait: the registry of the same process, or one on the
//! other side of a network. Whoever it is may go away at any time; the proxy then keeps routing by what
//! it knows, and comes back with the revision that it has.

use std::{future::Future, sync::Arc};

use wire::native::channel::{Hello, Update};

/// The registry, as a proxy sees it.
pub trait Directory: Send + Sync + 'static {
    /// What [`Directory::watch`] opens.
    type Subscription: Subscription;

    /// Begins to follow the registry. The first update is a snapshot, or what has changed since the
    /// revision that the proxy says it has.
    fn watch(&self, hello: Hello) -> impl Future<Output = Result<Self::Subscription, Unavailable>> + Send;
}

/// A proxy's place among those who follow the registry.
pub trait Subscription: Send + 'static {
    /// The next update. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Update, Unavailable>> + Send;

    /// Says that calls are routed by this revision from now on: no new call goes where it says that none
    /// should.
    fn acknowledge(&mut self, revision: u64) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// The other side cannot be reached, or has ended the conversation. It is worth another try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the control plane is unavailable: {0}")]
pub struct Unavailable(pub String);

impl<D: Directory> Directory for Arc<D> {
    type Subscription = D::Subscription;

    fn watch(&self, hello: Hello) -> impl Future<Output = Result<Self::Subscription, Unavailable>> + Send {
        D::watch(self, hello)
    }
}
