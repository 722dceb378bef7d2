//! Questions beside the server's own threads.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use identity::Wall;
use monitoring::{
    promql::{Selected, Storage, StorageError},
    series::{Labels, Matcher},
};
use storage_samples::{History, SeriesStore};
use wire::prometheus::{Failure, FailureKind};

use crate::{clock, state::State};

/// How many queries are evaluated at the same time; others wait. Each takes a core while it runs, and at most
/// [`Limits::bytes`](monitoring::promql::Limits::bytes) of memory.
pub(crate) const QUERIES_AT_ONCE: usize = 4;

/// How long a query may take, its wait for a place included. A client may ask for less.
const LONGEST: Duration = Duration::from_secs(120);

/// Where series come from.
pub(super) struct Source {
    state: Arc<State>,
    now: Wall,
}

impl Source {
    /// What is asked: the calls of the last hour, and what others have sent, as one store.
    pub(super) fn storage(&self) -> impl Storage + '_ {
        Both { calls: self.state.samples.history(self.now), series: &self.state.series }
    }
}

/// Two stores as one. Where a series is in both, it is that of the calls that counts: what we know ourselves is
/// not replaced by what somebody sends under its name.
struct Both<'a> {
    calls: History<'a>,
    series: &'a SeriesStore,
}

impl Storage for Both<'_> {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError> {
        let mut selected = self.calls.select(matchers, from, to)?;
        let own: HashSet<Labels> = selected.iter().map(|series| series.labels.clone()).collect();
        let of_others = self.series.select(matchers, from, to)?;
        selected.extend(of_others.into_iter().filter(|series| !own.contains(&series.labels)));
        Ok(selected)
    }
}

/// Sets the flag when whoever waited has gone.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks the store, as soon as there is a place, for as long as somebody waits.
pub(super) async fn asked<T: Send + 'static>(
    state: &Arc<State>,
    timeout: Option<Duration>,
    work: impl FnOnce(&Source, &AtomicBool) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(cancelled.clone());
    let source = Source { state: state.clone(), now: clock::now().wall };
    let stopping = || Failure::new(FailureKind::Canceled, "the server is stopping");
    let evaluated = async {
        let place = state.queries.clone().acquire_owned().await.map_err(|_| stopping())?;
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&source, &cancelled)
        });
        task.await.unwrap_or_else(|error| Err(Failure::new(FailureKind::Internal, error.to_string())))
    };
    tokio::select! {
        result = evaluated => result,
        () = tokio::time::sleep(timeout.map_or(LONGEST, |asked| asked.min(LONGEST))) => {
            Err(Failure::new(FailureKind::Timeout, "query timed out in expression evaluation"))
        }
        () = state.stopping.cancelled() => Err(stopping()),
    }
}
