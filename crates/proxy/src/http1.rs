//! HTTP/1.1 (RFC 9112), both sides of it: heads are read and written here, and bodies are told from what
//! follows them.
//!
//! Framing is where requests are smuggled, so there is one parse and everything is written anew: what goes
//! on has one length or chunks of our own, whatever came. Reading and writing are pure, on buffers
//! ([`head`], [`framing`], [`encode`]); [`line`] is the socket with its buffers.
//!
//! A head is split into fields by `httparse`. What is allowed in a name, a method, a target or a value is
//! asked of `http`'s types, for requests; an answer's fields are passed on as `httparse` has checked them.
//!
//! **Absent on purpose:** no tasks, no timers, no policies.

pub(crate) mod encode;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod line;

#[cfg(test)]
mod tests;
