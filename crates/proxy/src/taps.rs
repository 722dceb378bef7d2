//! Calls as somebody watches them go by.
//!
//! Which calls match, and how many of them are told, is decided here where the calls are: what nobody
//! wants never travels, and what is too much is a number. While nobody watches, a call pays for one look at
//! a flag. Nothing is kept and nothing is sent twice: whoever watches wants to see now.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use identity::{Mono, Now, ProxyId};
use monitoring::Outcome;
use tokio::{
    select,
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::native::channel::{Tap, Tapped, TappedCall};

use crate::{Sink, gateway::Gateway, record::Story, spans};

/// Calls that wait to be sent, up to 2 KiB each.
const WAITING: usize = 1_000;
/// How long calls are gathered before they are sent, so that many travel as one message.
const GATHER: Duration = Duration::from_millis(50);
/// How long a message may take. Calls that wait longer are no longer news.
const SENT_WITHIN: Duration = Duration::from_secs(2);
/// Taps that are followed at a time; the control plane keeps to fewer.
const TAPS: usize = 256;

/// Who watches, and what they have not been sent yet.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Whether anybody watches.
    is_open: AtomicBool,
    open: Mutex<Vec<Open>>,
    waiting: Mutex<Waiting>,
    /// Rung for the first call that waits.
    bell: Notify,
}

#[derive(Debug)]
struct Open {
    tap: Tap,
    /// How many calls have been told in which second.
    second: u64,
    told: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<TappedCall>,
    /// By tap.
    left_out: BTreeMap<u64, u64>,
}

impl Taps {
    /// Follows these, and nothing else.
    pub(crate) fn set(&self, taps: &[Tap]) {
        let mut open = lock(&self.open);
        let known = std::mem::take(&mut *open);
        open.extend(taps.iter().take(TAPS).map(|tap| {
            let known = known.iter().find(|known| known.tap.number == tap.number);
            let (second, told) = known.map_or((0, 0), |known| (known.second, known.told));
            Open { tap: tap.clone(), second, told }
        }));
        self.is_open.store(!open.is_empty(), Relaxed);
    }

    /// A call is over.
    pub(crate) fn see(&self, gateway: &Gateway, story: &Story, outcome: Outcome, status: u16, now: Now) {
        if self.is_open.load(Relaxed) {
            self.tell(gateway, story, outcome, status, now);
        }
    }

    #[cold]
    fn tell(&self, gateway: &Gateway, story: &Story, outcome: Outcome, status: u16, now: Now) {
        let Some(service) = &story.service else { return };
        let wants = |tap: &Tap| {
            tap.service == service.name
                && tap.namespace == service.namespace
                && tap.status.is_none_or(|wanted| wanted.covers(status))
        };
        for open in lock(&self.open).iter_mut().filter(|open| wants(&open.tap)) {
            let mut waiting = lock(&self.waiting);
            let is_first = waiting.calls.is_empty() && waiting.left_out.is_empty();
            if open.admit(now.mono) && waiting.calls.len() < WAITING {
                waiting.calls.push(call(gateway, story, open.tap.number, outcome, status, now));
            } else {
                *waiting.left_out.entry(open.tap.number).or_default() += 1;
            }
            if is_first {
                self.bell.notify_one();
            }
        }
    }

    fn take(&self, proxy: &ProxyId) -> Option<Tapped> {
        let Waiting { calls, left_out } = std::mem::take(&mut *lock(&self.waiting));
        let is_empty = calls.is_empty() && left_out.is_empty();
        let left_out = left_out.into_iter().collect();
        (!is_empty).then(|| Tapped { proxy: proxy.clone(), calls, left_out })
    }

    /// These calls could not be sent; as long as somebody watches they are a number.
    fn lose(&self, tapped: &Tapped) {
        let watched: Vec<u64> = lock(&self.open).iter().map(|open| open.tap.number).collect();
        let lost = tapped.calls.iter().map(|call| (call.tap, 1)).chain(tapped.left_out.iter().copied());
        let mut waiting = lock(&self.waiting);
        for (tap, count) in lost.filter(|(tap, _)| watched.contains(tap)) {
            *waiting.left_out.entry(tap).or_default() += count;
        }
    }
}

impl Open {
    /// Whether another call may be told in this second.
    fn admit(&mut self, now: Mono) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            (self.second, self.told) = (second, 0);
        }
        let admits = self.told < self.tap.per_second;
        self.told += u32::from(admits);
        admits
    }
}

/// Sends what is watched, until told to stop.
pub(crate) async fn carry(
    gateway: Arc<Gateway>,
    sink: impl Sink,
    proxy: ProxyId,
    stopping: CancellationToken,
) {
    let taps = &gateway.taps;
    loop {
        select! {
            () = taps.bell.notified() => {}
            () = stopping.cancelled() => return,
        }
        sleep(GATHER).await;
        let Some(tapped) = taps.take(&proxy) else { continue };
        if !matches!(timeout(SENT_WITHIN, sink.tapped(&tapped)).await, Ok(Ok(()))) {
            taps.lose(&tapped);
        }
    }
}

fn call(gateway: &Gateway, story: &Story, tap: u64, outcome: Outcome, status: u16, now: Now) -> TappedCall {
    let endpoint = story.attempts.last().map(|attempt| &attempt.endpoint);
    TappedCall {
        tap,
        at: story.begun.wall,
        caller: gateway.caller.clone(),
        method: spans::method(&story.method).into(),
        path: spans::shortened(story.uri.path(), spans::PATH_BYTES).into(),
        status,
        outcome,
        duration_ns: spans::nanos(now.mono.since(story.begun.mono)),
        endpoint: endpoint
            .map(|of| (of.instance.clone(), format!("{}:{}", of.host, of.port).into_boxed_str())),
        attempts: story.attempts.len() as u32,
        refused: story.refused.map_or("", |reason| reason.as_str()).into(),
        detail: spans::shortened(&story.detail, spans::DETAIL_BYTES).into(),
        trace_id: story.trace.trace_id,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(number: u64, per_second: u32) -> Tap {
        let service = "cart".parse().unwrap();
        Tap { number, namespace: Default::default(), service, status: None, per_second }
    }

    #[test]
    fn no_more_than_asked_for_is_told_in_a_second_also_when_others_come_and_go() {
        let taps = Taps::default();
        taps.set(&[tap(1, 2)]);
        let admits = |at: u64| lock(&taps.open)[0].admit(Mono(at * 100_000_000));
        assert_eq!([50, 51, 52].map(admits), [true, true, false]);
        taps.set(&[tap(1, 2), tap(2, 2)]);
        assert!(!lock(&taps.open)[0].admit(Mono(5_900_000_000)));
        assert!(lock(&taps.open)[0].admit(Mono(6_000_000_000)));
        taps.set(&[]);
        assert!(!taps.is_open.load(Relaxed));
    }
}
