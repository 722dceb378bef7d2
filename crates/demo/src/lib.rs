//! The demo shop: small services, processes of their own, that find and call each other through the
//! gateway, and somebody who buys.
//!
//! A service here is what a customer's service is: it registers over HTTP, sends heartbeats with its
//! lease, forwards the trace headers of the calls that it makes, and deregisters when it stops. It
//! links nothing of Bellwether.
//!
//! **Absent on purpose:** no knowledge of the control plane's insides, only of its HTTP API; nothing
//! here fails by itself, and nothing claims a success that it did not have.

mod acts;
mod call;
mod fault;
mod kind;
mod load;
mod membership;
mod orders;
pub mod policies;
mod service;
mod shop;
mod trade;

pub use acts::{Act, acts};
pub use call::ask;
pub use fault::Fault;
pub use kind::Kind;
pub use load::{Load, Sales};
pub use service::{Order, serve};
pub use shop::{Instance, Plan, Shop};
