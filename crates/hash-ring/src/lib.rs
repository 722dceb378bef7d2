//! Which node owns a key, and how little moves when nodes come and go.
//!
//! - [`Ring`]: nodes are on a circle of 2^64 positions many times over, and a key belongs to the node at the
//!   first point at or after its own position (Karger et al., "Consistent Hashing and Random Trees", STOC
//!   1997). Removing a node moves its keys and no others; adding one moves keys to it and nowhere else. A
//!   [`Scheme`] says where points are: by our own rule, or as libketama, nginx, Envoy and gRPC place theirs.
//! - [`Maglev`]: a table of slots; the fastest lookup and the most even load, at the price of a few keys that
//!   move between nodes that stay (Eisenbud et al., NSDI 2016).
//! - [`jump()`]: numbered buckets without any memory (Lamping and Veach, 2014).
//! - [`Bound`]: over a ring or a table, no node above c times the mean (Mirrokni et al., SODA 2018).
//!
//! Our own points are XXH64, seed 0, of `{node}_{i}`, as Envoy and gRPC place theirs; a node of weight 100
//! has [`POINTS_PER_100`] of them, and they do not depend on who else is there. The largest share of a ring
//! of ten such nodes is 1.12 times the mean on average over names, of a hundred nodes 1.21 times.
//!
//! ```
//! use hash_ring::{Bound, Ring};
//!
//! let ring = Ring::new([("a", 100), ("b", 100), ("c", 100)]);
//! let owner = ring.owner(b"user-42").unwrap();
//! assert_eq!(ring.walk(b"user-42").next(), Some(owner));
//! assert_eq!(ring.walk(b"user-42").count(), 3, "walking on names each node once");
//!
//! // What a change moves is known exactly: all of it comes from the node that went.
//! let smaller = ring.without("b");
//! let moves = ring.diff(&smaller).unwrap();
//! assert!(moves.iter().all(|moved| moved.from == Some("b")));
//!
//! // Who looks up often hashes the key once, and keeps what he knows of nodes in a slice.
//! let position = ring.position(b"user-42");
//! let mut loads = vec![0_u32; ring.len()];
//! for total in 0..30 {
//!     let bound = Bound::new(1.25).unwrap();
//!     let node = ring.bounded(position, bound, total, |node| loads[node.index()]).unwrap();
//!     loads[node.index()] += 1;
//! }
//! assert!(loads.iter().all(|load| *load <= 13), "1.25 times ten, rounded up");
//! ```
//!
//! # Costs
//!
//! A lookup allocates nothing. On a ring it costs the same for ten nodes as for a thousand but for the
//! processor's caches. [`Ring::with`] copies the ring once, at a small part of the cost of building it;
//! rings are immutable, so that readers share one while its successor is made. A ring takes 16 to 20 bytes a
//! point, a table 4 bytes a slot.
//!
//! # Absent on purpose
//!
//! No I/O, no clock, and no health: whoever looks up walks past the nodes that he does not want, and so a
//! node that is ill for a moment moves no key for good. No loads either: they are arguments. And no defence against
//! somebody who chooses names or keys to meet certain positions: XXH64, MD5 and CRC-32 are no secrets. What
//! such names cost is a binary search instead of a jump; what such keys do to one node's load is what
//! [`Bound`] is for.

mod bound;
mod jump;
mod maglev;
mod nodes;
mod points;
mod ramp;
mod ring;
mod scheme;
mod share;
mod walk;

pub use bound::{Bound, BoundError};
pub use jump::jump;
pub use maglev::{Maglev, TableSize, TableSizeError};
pub use nodes::Node;
pub use ramp::fraction;
pub use ring::Ring;
pub use scheme::{RingSize, RingSizeError, Scheme};
pub use share::{Move, Share};
pub use walk::{Nearby, Walk};

/// Points of a node of weight 100 by our own scheme.
pub const POINTS_PER_100: u32 = 160;

/// The most points that a ring has in all, unless it has more nodes than that. They take 320 MiB at most.
pub const POINTS_MAX: u32 = 1 << 24;
