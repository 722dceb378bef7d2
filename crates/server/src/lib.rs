//! The control plane: registry, stores and APIs behind one address.
//!
//! [`Server::start`] recovers what a data folder holds and serves it; [`Server::channel`] is the way of
//! a proxy in the same process to it, and the same is served over gRPC to proxies in others.
//!
//! It decides little itself: the cores do, and this package brings them sockets, clocks and disks.
//! **Absent on purpose:** no calls between services (that is the proxy's), no arguments, environment or
//! configuration files (those are the binary's).

pub mod access;
mod api;
mod backup;
mod budgets;
mod channel;
mod chronicle;
pub mod clock;
mod consumers;
mod diary;
mod discovery;
mod families;
mod findings;
mod forced;
mod graph;
mod hindsight;
mod inflate;
mod intake;
mod jaeger;
pub mod listener;
mod live;
mod otlp;
mod pages;
mod pins;
mod policies;
mod prober;
mod problems;
mod random;
mod remote_write;
mod roll;
mod scraper;
mod senders;
mod series_budget;
mod start;
mod state;
mod subscribers;
mod taps;
mod view;
mod watchers;
mod zipkin;

pub use budgets::{Budget, Budgets};
pub use channel::{Channel, Subscription};
pub use scraper::{Instances, ScrapeSettings};
pub use start::{Server, Settings, TailSampling, create_token_offline, data_folder};
