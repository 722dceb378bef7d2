//! What the prober has done, for `/metrics`.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitoring::{
    ExponentialHistogram,
    exposition::{DURATION_BOUNDS, Exposition, Type},
};
use registry::{Found, Probe, ProbeStats};

/// How an instance is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Tcp,
    Grpc,
}

impl Protocol {
    const ALL: [Protocol; 3] = [Protocol::Http, Protocol::Tcp, Protocol::Grpc];

    pub(crate) fn of(probe: &Probe) -> Self {
        match probe {
            Probe::Http { .. } => Protocol::Http,
            Probe::Tcp => Protocol::Tcp,
            Probe::Grpc { .. } => Protocol::Grpc,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
            Protocol::Grpc => "grpc",
        }
    }
}

/// The figures of all probes.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: [Account; Protocol::ALL.len()],
    stats: ProbeStats,
}

#[derive(Debug, Default, Clone)]
struct Account {
    passed: u64,
    failed: u64,
    unasked: u64,
    /// Of those that were asked.
    durations: ExponentialHistogram,
}

impl Figures {
    /// Counts a probe that has ended.
    pub(super) fn count(&self, protocol: Protocol, found: &Found, took: Duration) {
        let mut known = self.lock();
        let account = &mut known.of[protocol as usize];
        match found {
            Found::Passed => account.passed += 1,
            Found::Failed(_) => account.failed += 1,
            Found::Unasked => {
                account.unasked += 1;
                return;
            }
        }
        account.durations.record_nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What waits, and what had to be left out.
    pub(super) fn show(&self, stats: ProbeStats) {
        self.lock().stats = stats;
    }

    /// Writes everything.
    pub(crate) fn expose(&self, text: &mut Exposition) {
        let (accounts, stats) = {
            let known = self.lock();
            (known.of.clone(), known.stats)
        };
        let accounts: Vec<(&str, &Account)> =
            Protocol::ALL.iter().map(|protocol| protocol.label()).zip(&accounts).collect();
        let mut family = text.family(
            "bellwether_checks_total",
            "Probes of instances that have ended; those that the prober itself could not make are unasked.",
            Type::Counter,
        );
        for (protocol, account) in &accounts {
            let results =
                [("passed", account.passed), ("failed", account.failed), ("unasked", account.unasked)];
            for (result, count) in results {
                family.count(&[("protocol", protocol), ("result", result)], count);
            }
        }
        let mut family =
            text.family("bellwether_check_duration_seconds", "How long probes took.", Type::Histogram);
        for (protocol, account) in &accounts {
            let durations = &account.durations;
            family.histogram(&[("protocol", protocol)], durations, &DURATION_BOUNDS, durations.sum());
        }
        text.family(
            "bellwether_checks_skipped_total",
            "Probes that were left out because the one before had to wait for so long.",
            Type::Counter,
        )
        .count(&[], stats.skipped);
        let mut gauge = |name, help, value: usize| {
            text.family(name, help, Type::Gauge).sample(&[], value as f64);
        };
        gauge("bellwether_checks", "Checks of registered instances.", stats.checks);
        gauge("bellwether_checks_in_flight", "Probes that wait for an answer.", stats.in_flight);
        gauge("bellwether_checks_overdue", "Probes that wait for others to end.", stats.overdue);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
