//! What has changed between two calls, or between two sets of them: whose tᵢ, and by how much.
//!
//! Means of critical times add up as the times themselves do: the changes of all operations and of wire are
//! together the change of the mean duration, to the nanosecond. So a call that became slower is explained
//! whole, and not by a list of suspects. Means are whole nanoseconds, rounded so that their sum stays what it
//! is.

use std::collections::{BTreeMap, BTreeSet};

use identity::TraceId;

use crate::{CriticalPath, Doer, Trace};

/// Whose time: an operation of a service, or the way between services.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// An operation of a service.
    Operation {
        /// The namespace of the service.
        namespace: Box<str>,
        /// The service.
        service: Box<str>,
        /// The operation.
        operation: Box<str>,
    },
    /// Time between callers and callees.
    Wire,
}

impl From<Doer<'_>> for Of {
    fn from(doer: Doer<'_>) -> Self {
        Self::Operation {
            namespace: doer.namespace.into(),
            service: doer.service.into(),
            operation: doer.operation.into(),
        }
    }
}

/// The critical times of a set of traces.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    traces: Vec<TraceId>,
    duration_ns: u128,
    /// Of each, its time in the traces in which it was on the path at all, with their positions.
    times: BTreeMap<Of, Vec<(u32, u64)>>,
    errors: u64,
}

impl Profile {
    /// The profile of one trace.
    pub fn of(trace: &Trace, path: &CriticalPath) -> Self {
        let mut profile = Self::default();
        profile.add(trace, path);
        profile
    }

    /// Adds a trace.
    pub fn add(&mut self, trace: &Trace, path: &CriticalPath) {
        let at = u32::try_from(self.traces.len()).unwrap_or(u32::MAX);
        self.traces.push(trace.id());
        self.duration_ns += u128::from(path.duration_ns);
        self.errors += u64::from(trace.nodes()[path.root].span.is_error());
        for (doer, share) in path.operations(trace) {
            if share.critical_ns > 0 {
                self.times.entry(doer.into()).or_default().push((at, share.critical_ns));
            }
        }
        if path.wire_ns > 0 {
            self.times.entry(Of::Wire).or_default().push((at, path.wire_ns));
        }
    }

    /// How many traces it has.
    pub fn traces(&self) -> u64 {
        self.traces.len() as u64
    }

    /// How many of them failed: the spans of their roots.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The mean duration of their roots.
    pub fn mean_ns(&self) -> u64 {
        mean(self.duration_ns, self.traces.len())
    }

    fn times_of(&self, of: &Of) -> &[(u32, u64)] {
        self.times.get(of).map_or(&[], Vec::as_slice)
    }

    /// The square of the standard error of a mean.
    fn error_of_mean(&self, times: &[(u32, u64)]) -> f64 {
        let count = self.traces.len() as f64;
        if count < 2.0 {
            return 0.0;
        }
        let mean = times.iter().map(|(_, time)| *time as f64).sum::<f64>() / count;
        let there: f64 = times.iter().map(|(_, time)| (*time as f64 - mean).powi(2)).sum();
        let absent = (count - times.len() as f64) * mean.powi(2);
        (there + absent) / (count - 1.0) / count
    }
}

/// How one's time has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose time.
    pub of: Of,
    /// Its mean time on the critical path before, over all traces.
    pub before_ns: u64,
    /// The same after.
    pub after_ns: u64,
    /// The standard error of the difference: a change of less than twice this may be chance. Zero where a set
    /// has but one trace, which says nothing about chance.
    pub uncertainty_ns: u64,
    /// In how many traces it was on the path, before and after.
    pub traces: (u64, u64),
    /// The trace of before that is nearest to the mean, and the one of after that has most of it: to look at
    /// side by side.
    pub examples: (Option<TraceId>, Option<TraceId>),
}

impl Change {
    /// By how much it became slower; negative where it became faster.
    pub fn difference_ns(&self) -> i64 {
        let difference = i128::from(self.after_ns) - i128::from(self.before_ns);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Two sets side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How many traces there are, before and after.
    pub traces: (u64, u64),
    /// How many of them failed.
    pub errors: (u64, u64),
    /// The mean duration before: the sum of what all had before.
    pub before_ns: u64,
    /// The mean duration after.
    pub after_ns: u64,
    /// Whose time has changed, the largest change first.
    pub changes: Vec<Change>,
}

/// Compares two sets of traces.
pub fn compare(before: &Profile, after: &Profile) -> Comparison {
    let all: BTreeSet<&Of> = before.times.keys().chain(after.times.keys()).collect();
    let (mut means_before, mut means_after) = (Means::new(before), Means::new(after));
    let change = |of: &Of| {
        let (times_before, times_after) = (before.times_of(of), after.times_of(of));
        let (before_ns, after_ns) = (means_before.next(times_before), means_after.next(times_after));
        let uncertainty = (before.error_of_mean(times_before) + after.error_of_mean(times_after)).sqrt();
        let is_set = before.traces.len() > 1 && after.traces.len() > 1;
        Change {
            of: of.clone(),
            before_ns,
            after_ns,
            uncertainty_ns: if is_set { uncertainty.round() as u64 } else { 0 },
            traces: (times_before.len() as u64, times_after.len() as u64),
            examples: (
                example(before, times_before.iter().min_by_key(|(_, time)| time.abs_diff(before_ns))),
                example(after, times_after.iter().max_by_key(|(_, time)| *time)),
            ),
        }
    };
    let mut changes: Vec<Change> = all.into_iter().map(change).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.difference_ns().unsigned_abs()));
    Comparison {
        traces: (before.traces(), after.traces()),
        errors: (before.errors, after.errors),
        before_ns: before.mean_ns(),
        after_ns: after.mean_ns(),
        changes,
    }
}

fn example(profile: &Profile, found: Option<&(u32, u64)>) -> Option<TraceId> {
    profile.traces.get(found?.0 as usize).copied()
}

/// Means whose sum is the mean of the sum: each is the difference of two rounded sums.
struct Means {
    traces: usize,
    sum: u128,
}

impl Means {
    fn new(profile: &Profile) -> Self {
        Self { traces: profile.traces.len(), sum: 0 }
    }

    fn next(&mut self, times: &[(u32, u64)]) -> u64 {
        let before = mean(self.sum, self.traces);
        self.sum += times.iter().map(|(_, time)| u128::from(*time)).sum::<u128>();
        mean(self.sum, self.traces) - before
    }
}

fn mean(sum: u128, count: usize) -> u64 {
    u64::try_from(sum.checked_div(count as u128).unwrap_or(0)).unwrap_or(u64::MAX)
}
