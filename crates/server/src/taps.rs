//! Who watches calls go by, and what the proxies tell them.
//!
//! A tap lives as long as the answer that it feeds: nothing of it is kept, and a proxy that loses its watch
//! stops by itself. Whoever reads too slowly misses calls, and is told how many.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use identity::{Namespace, ProxyId, ServiceName, Wall};
use tokio::sync::{mpsc, watch};
use wire::native::channel::{StatusFilter, Tap, Tapped, TappedCall};

use crate::state::State;

/// Taps that are open at a time. Each costs every call that it matches some microseconds in its proxy.
pub(crate) const TAPS_MAX: usize = 64;
/// Calls that wait for one reader, up to 2 KiB each.
const QUEUE: usize = 1_024;

/// The taps that are open.
#[derive(Debug)]
pub(crate) struct Taps {
    table: Mutex<Table>,
    /// Changes whenever one is opened or closed.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, Open>,
    last: u64,
}

#[derive(Debug)]
struct Open {
    tap: Tap,
    reader: mpsc::Sender<(ProxyId, TappedCall)>,
    left_out: Arc<AtomicU64>,
}

/// An open tap; dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Listening {
    number: u64,
    state: Arc<State>,
    calls: mpsc::Receiver<(ProxyId, TappedCall)>,
    left_out: Arc<AtomicU64>,
}

/// What somebody wants to see.
pub(crate) struct Wanted {
    pub(crate) namespace: Namespace,
    pub(crate) service: ServiceName,
    pub(crate) status: Option<StatusFilter>,
    pub(crate) per_second: u32,
}

impl Default for Taps {
    fn default() -> Self {
        Self { table: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Taps {
    /// What a proxy is to tell that was told of another state, with the state of now.
    pub(crate) fn after(&self, told: u64) -> (Option<Vec<Tap>>, u64) {
        let table = self.lock();
        let now = *self.news.borrow();
        let taps = (now != told).then(|| table.open.values().map(|open| open.tap.clone()).collect());
        (taps, now)
    }

    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Passes calls on to whoever watches them.
    pub(crate) fn tapped(&self, Tapped { proxy, calls, left_out }: Tapped) {
        let table = self.lock();
        for call in calls {
            let Some(open) = table.open.get(&call.tap) else { continue };
            if open.reader.try_send((proxy.clone(), call)).is_err() {
                open.left_out.fetch_add(1, Relaxed);
            }
        }
        for (tap, count) in left_out {
            if let Some(open) = table.open.get(&tap) {
                open.left_out.fetch_add(count, Relaxed);
            }
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn close(&self, number: u64) {
        let mut table = self.lock();
        table.open.remove(&number);
        self.news.send_modify(|news| *news += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    /// Opens a tap; `None` where there are as many as there may be.
    pub(crate) fn open(state: &Arc<State>, wanted: Wanted, now: Wall) -> Option<Self> {
        let mut table = state.taps.lock();
        if table.open.len() >= TAPS_MAX {
            return None;
        }
        // By the clock, so that nobody is sent what a proxy has left of a tap of an earlier run.
        let number = now.0.max(table.last + 1);
        table.last = number;
        let Wanted { namespace, service, status, per_second } = wanted;
        let tap = Tap { number, namespace, service, status, per_second };
        let (reader, calls) = mpsc::channel(QUEUE);
        let left_out = Arc::<AtomicU64>::default();
        table.open.insert(number, Open { tap, reader, left_out: left_out.clone() });
        state.taps.news.send_modify(|news| *news += 1);
        Some(Self { number, state: state.clone(), calls, left_out })
    }

    /// The next call.
    pub(crate) async fn next(&mut self) -> Option<(ProxyId, TappedCall)> {
        self.calls.recv().await
    }

    /// How many calls were left out since the last time.
    pub(crate) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Relaxed)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.state.taps.close(self.number);
    }
}
