//! What one round of one subject measured, and the figures that follow from several.

use std::time::Duration;

use crate::report::Figure;

/// What one round of one subject measured.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// How long each acknowledged operation took.
    pub(crate) latencies: Vec<Duration>,
    /// How long the round took.
    pub(crate) wall: Duration,
    /// Processor time of the subject: of this process with the load, or of the server alone.
    pub(crate) cpu: Duration,
    /// Processor time of the load, where it is a process of its own.
    pub(crate) load_cpu: Option<Duration>,
    /// Operations that were refused.
    pub(crate) errors: u64,
}

/// A duration in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A duration in milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The quantile of some times, in milliseconds; zero without any.
pub(crate) fn quantile_ms(times: &[Duration], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().map_or(0.0, millis)
}

/// How long the requests of some rounds took.
pub(crate) fn latency_figures(rounds: &[Round]) -> impl Iterator<Item = Figure> {
    let quantile = |part: f64| rounds.iter().map(move |round| quantile_ms(&round.latencies, part));
    [Figure::of("p50 ms", quantile(0.5)), Figure::of("p99 ms", quantile(0.99))].into_iter().flatten()
}
