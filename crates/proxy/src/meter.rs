//! Counting calls: one histogram for each combination of service, instance, outcome and status class.
//!
//! Each service and each endpoint has a small table of its own in which a call finds its histogram by
//! two indices, so that nothing is hashed and nothing locked. The book of all of them is what reports
//! are made from, and what keeps their number within its bound.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use monitoring::{CallKey, ExponentialHistogram, Outcome, Recorder, StatusClass};

/// All histograms that there are.
#[derive(Debug)]
pub(crate) struct Book {
    series: Mutex<Vec<Series>>,
    limit: usize,
    uncounted: AtomicU64,
}

#[derive(Debug)]
struct Series {
    key: CallKey,
    recorder: Arc<Recorder>,
}

impl Book {
    pub(crate) fn new(limit: usize) -> Self {
        Self { series: Mutex::new(Vec::new()), limit, uncounted: AtomicU64::new(0) }
    }

    fn open(&self, key: CallKey) -> Option<Arc<Recorder>> {
        let mut series = self.lock();
        // Services as a whole take in what has no room of its own, so they have room left.
        let limit = if key.instance.is_some() { self.limit } else { self.limit + self.limit / 2 };
        if series.len() >= limit {
            return None;
        }
        let recorder = Arc::new(Recorder::new());
        series.push(Series { key, recorder: recorder.clone() });
        Some(recorder)
    }

    /// Calls that had no room in any series since the last time.
    pub(crate) fn take_uncounted(&self) -> u64 {
        self.uncounted.swap(0, Relaxed)
    }

    /// What was recorded since the last time. Each call is in exactly one collection.
    pub(crate) fn collect(&self) -> Vec<(CallKey, ExponentialHistogram)> {
        let mut rows = Vec::new();
        self.lock().retain(|series| {
            // Looked at before collecting: whoever recorded has let go before, or is still there.
            let abandoned = Arc::strong_count(&series.recorder) == 1;
            if let Some(delta) = series.recorder.collect() {
                rows.push((series.key.clone(), delta));
                return true;
            }
            !abandoned
        });
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const OUTCOMES: usize = Outcome::ALL.len();
const CLASSES: usize = StatusClass::ALL.len();

/// The histograms of one service or endpoint.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Outcome and status are those of each cell.
    key: CallKey,
    book: Arc<Book>,
    cells: [[OnceLock<Option<Arc<Recorder>>>; CLASSES]; OUTCOMES],
}

impl Meter {
    pub(crate) fn new(key: CallKey, book: Arc<Book>) -> Self {
        Self { key, book, cells: Default::default() }
    }

    fn recorder(&self, outcome: Outcome, status: StatusClass) -> Option<&Recorder> {
        let open = || self.book.open(CallKey { outcome, status, ..self.key.clone() });
        self.cells[outcome as usize][status as usize].get_or_init(open).as_deref()
    }

    /// Records a call here, or in `whole` where there is no room for it here.
    pub(crate) fn record(&self, whole: &Meter, outcome: Outcome, status: StatusClass, nanos: u64) {
        match self.recorder(outcome, status).or_else(|| whole.recorder(outcome, status)) {
            Some(recorder) => recorder.record_nanos(nanos),
            None => {
                self.book.uncounted.fetch_add(1, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use identity::RouteName;
    use monitoring::Reporter;

    use super::*;

    fn key(instance: Option<&str>) -> CallKey {
        CallKey {
            namespace: Default::default(),
            caller: "gateway".parse().unwrap(),
            service: "cart".parse().unwrap(),
            instance: instance.map(|id| id.parse().unwrap()),
            route: RouteName::default(),
            reporter: Reporter::Source,
            outcome: Outcome::Ok,
            status: StatusClass::Success,
        }
    }

    #[test]
    fn what_has_no_room_is_counted_for_the_service_and_then_by_number() {
        let book = Arc::new(Book::new(2));
        let whole = Meter::new(key(None), book.clone());
        let endpoint = Meter::new(key(Some("a")), book.clone());
        for status in StatusClass::ALL {
            endpoint.record(&whole, Outcome::Ok, status, 1_000);
        }
        let rows = book.collect();
        let calls = |instance: bool| {
            rows.iter().filter(|(key, _)| key.instance.is_some() == instance).map(|(_, h)| h.count()).sum()
        };
        assert_eq!((calls(true), calls(false), book.take_uncounted()), (2_u64, 1_u64, 3));
    }

    #[test]
    fn a_series_that_nobody_holds_is_dropped_after_its_last_call_was_collected() {
        let book = Arc::new(Book::new(10));
        let whole = Meter::new(key(None), book.clone());
        whole.record(&whole, Outcome::Ok, StatusClass::Success, 1);
        drop(whole);
        assert_eq!(book.collect().len(), 1);
        assert_eq!(book.lock().len(), 1);
        assert!(book.collect().is_empty());
        assert_eq!(book.lock().len(), 0);
    }
}
