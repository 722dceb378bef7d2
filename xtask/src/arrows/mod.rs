//! Proves the arrows between packages: who may use whom, and what the cores must never reach.
//!
//! The compiler keeps a package from using what it does not depend on, so the dependencies that `cargo metadata`
//! reports are most of the proof. What comes with the standard library needs no dependency; for that the sources are
//! read.

mod graph;
mod sources;
mod table;

use std::path::Path;

use crate::context::{self, Context};
use crate::step::Verdict;
use graph::Graph;

/// The step.
pub(crate) fn step(context: &mut Context) -> Verdict {
    match violations(&context.root) {
        Err(error) => Verdict::failed(error, ""),
        Ok(found) if found.is_empty() => Verdict::passed(""),
        Ok(found) => Verdict::failed(format!("{} forbidden arrows", found.len()), found.join("\n")),
    }
}

/// Every arrow that is not allowed, one a line.
fn violations(root: &Path) -> Result<Vec<String>, String> {
    let graph = Graph::read(&context::metadata(root, &[])?)?;
    let mut found = graph.unplanned();
    found.extend(graph.forbidden());
    found.extend(graph.banned());
    for package in graph.packages() {
        found.extend(sources::violations(root, &package.name, &package.folder)?);
    }
    Ok(found)
}
