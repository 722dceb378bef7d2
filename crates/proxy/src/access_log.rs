//! A line in the log for each call, or for a share of them.
//!
//! A share is chosen by the id of the trace, so that all proxies on a call's way log it or none does, and a
//! line's trace can be looked up. Calls that fail or are refused are logged whatever the share; nothing is
//! where no share is set. There are at most so many lines a second: those that are left out are a
//! number in the next one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use identity::Now;
use monitoring::Outcome;
use traces::sampling::{RateLimit, Ratio};

use crate::{record::Story, spans};

/// The log of calls.
#[derive(Debug)]
pub(crate) struct AccessLog {
    share: Ratio,
    lines: RateLimit,
    left_out: AtomicU64,
}

impl AccessLog {
    pub(crate) fn new(share: Ratio, lines_per_second: u32) -> Self {
        Self { share, lines: RateLimit::per_second(lines_per_second), left_out: AtomicU64::new(0) }
    }

    /// A call is over.
    pub(crate) fn see(&self, story: &Story, outcome: Outcome, status: u16, now: Now) {
        if self.share == Ratio::NONE {
            return;
        }
        let is_good = matches!(outcome, Outcome::Ok | Outcome::Cancelled);
        if is_good && !self.share.keeps(story.trace.trace_id) {
            return;
        }
        match self.lines.admit(now.mono) {
            true => tell(story, outcome, status, now, self.left_out.swap(0, Relaxed)),
            false => drop(self.left_out.fetch_add(1, Relaxed)),
        }
    }
}

/// The query is left out, since people put secrets into it.
fn tell(story: &Story, outcome: Outcome, status: u16, now: Now, left_out: u64) {
    let last = story.attempts.last().map(|attempt| &attempt.endpoint);
    tracing::info!(
        target: "access",
        method = spans::method(&story.method),
        path = spans::shortened(story.uri.path(), spans::PATH_BYTES),
        namespace = story.service.as_ref().map(|service| service.namespace.as_str()),
        service = story.service.as_ref().map(|service| service.name.as_str()),
        instance = last.map(|endpoint| endpoint.instance.as_str()),
        status,
        outcome = outcome.as_str(),
        duration_ms = spans::nanos(now.mono.since(story.begun.mono)) as f64 / 1e6,
        attempts = story.attempts.len(),
        refused = story.refused.map(|reason| reason.as_str()),
        detail = (!story.detail.is_empty()).then(|| spans::shortened(&story.detail, spans::DETAIL_BYTES)),
        trace_id = %story.trace.trace_id,
        lines_left_out = (left_out > 0).then_some(left_out),
        "call"
    );
}
