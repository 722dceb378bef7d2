//! Outlier detection: taking single endpoints out, without taking too many.
//!
//! Each endpoint has a [`Breaker`](crate::Breaker) of its own that sees its attempts, with the same
//! rules and states; open means ejected. What is different is what an ejection costs: a service that
//! ejects its last endpoint has done to itself what it was to be protected from. So an ejection has to
//! be granted by the guards of the whole service ([`Ejections`]), and when too few are left
//! nevertheless, none is passed over any more.

use std::sync::atomic::Ordering::*;

use identity::Invalid;

use crate::{
    BreakerPolicy,
    policy::{Place, check_number, check_ratio},
    sync::AtomicU32,
};

/// When an endpoint is taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierPolicy {
    /// The rules by which an endpoint is ejected, for how long, and how it comes back.
    pub rules: BreakerPolicy,
    /// The share of the endpoints that may be out at a time, 0 to 1. One may be, however few there are,
    /// as long as `keep` remain.
    pub max_ejection: f64,
    /// As many endpoints stay in any case.
    pub keep: u32,
    /// Where less than this share of the endpoints is left, all of them are used.
    pub panic_below: f64,
    /// Takes out who succeeds less often than its siblings.
    pub deviation: Option<Deviation>,
}

/// How far from its siblings an endpoint may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// An endpoint is out whose success rate is below the mean less this many standard deviations.
    pub factor: f64,
    /// Fewer calls of an endpoint in the window say nothing about it.
    pub min_calls: u32,
    /// Fewer endpoints with enough calls say nothing about each other.
    pub min_endpoints: u32,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self {
            rules: BreakerPolicy::default(),
            max_ejection: 0.3,
            keep: 1,
            panic_below: 0.5,
            deviation: None,
        }
    }
}

impl OutlierPolicy {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks its rule, by its path.
    pub fn check(&self) -> Result<(), Invalid> {
        self.rules.check(Place::Outliers)?;
        check_ratio("outlier_detection.max_ejection", self.max_ejection)?;
        check_ratio("outlier_detection.panic_below", self.panic_below)?;
        let Some(deviation) = self.deviation else { return Ok(()) };
        if !(0.1..=10.0).contains(&deviation.factor) {
            let given = deviation.factor.to_string();
            return Err(Invalid::new("outlier_detection.deviation.factor", &given, "0.1 to 10"));
        }
        let least = "outlier_detection.deviation.min_calls";
        check_number(least, deviation.min_calls, 1..=1_000_000, "1 to 1000000")?;
        let least = "outlier_detection.deviation.min_endpoints";
        check_number(least, deviation.min_endpoints, 2..=10_000, "2 to 10000")
    }

    /// How many of so many endpoints may be out at a time.
    pub fn most(&self, endpoints: u32) -> u32 {
        let share = (f64::from(endpoints) * self.max_ejection) as u32;
        let at_least_one = u32::from(self.max_ejection > 0.0);
        share.max(at_least_one).min(endpoints.saturating_sub(self.keep))
    }

    /// Whether so few of the endpoints are left that all of them are used.
    pub fn panics(&self, left: u32, endpoints: u32) -> bool {
        f64::from(left) < f64::from(endpoints) * self.panic_below
    }
}

/// How many endpoints of a service are out: between them they share what the policy allows.
#[derive(Debug, Default)]
pub struct Ejections(AtomicU32);

impl Ejections {
    /// Nobody is out.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many are out.
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Takes one of the places that there are for ejected endpoints; `false` where there is none.
    pub fn eject(&self, policy: &OutlierPolicy, endpoints: u32) -> bool {
        let most = policy.most(endpoints);
        let next = |out: u32| (out < most).then_some(out + 1);
        self.0.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    /// Gives a place back: the endpoint takes calls again, or is gone.
    pub fn readmit(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |out| out.checked_sub(1));
    }
}

/// What an endpoint's window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Calls.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
}

/// An endpoint that succeeds less often than its siblings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its place among the records.
    pub at: usize,
    /// Its success rate, 0 to 1.
    pub rate: f64,
    /// What would have been enough.
    pub threshold: f64,
}

impl Deviation {
    /// Who is out of line, the worst first. Endpoints with too few calls are neither judged nor taken
    /// into the mean; where all do equally badly nobody is, because that is the service's affair.
    pub fn outliers(&self, records: &[Record]) -> Vec<Outlier> {
        let judged = |(at, record): (usize, &Record)| {
            let enough = record.calls >= u64::from(self.min_calls.max(1));
            let successes = record.calls.saturating_sub(record.failures);
            enough.then(|| (at, successes as f64 / record.calls as f64))
        };
        let rates: Vec<(usize, f64)> = records.iter().enumerate().filter_map(judged).collect();
        if rates.len() < self.min_endpoints as usize {
            return Vec::new();
        }
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        let threshold = mean - self.factor * variance.sqrt();
        let below = rates.into_iter().filter(|(_, rate)| *rate < threshold);
        let mut outliers: Vec<Outlier> = below.map(|(at, rate)| Outlier { at, rate, threshold }).collect();
        outliers.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        outliers
    }
}
