//! The demo shop: small services, processes of their own, that find and call each other through the
//! gateway, and somebody who buys.
//!
//! A service here is what a customer's service is: it registers over HTTP, sends heartbeats with its
//! lease, forwards the trace headers of the calls that it makes, and deregisters when it stops. It
//! links nothing of Bellwether.
//!
//! **Absent on purpose:** no knowledge of the control plane's insides, only of its HTTP API; nothing
//! here fails by itself.

mod call;
mod load;
mod membership;
mod service;
mod shop;

pub use load::Load;
pub use service::{Kind, Order, serve};
pub use shop::{Instance, Shop};
