//! Numbers that have to be right.
