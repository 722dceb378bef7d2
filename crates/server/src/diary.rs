//! Which revision each proxy knew, and when: kept, so that it can be told afterwards what a proxy saw.
//!
//! A proxy of a busy fleet acknowledges many revisions a second, so they are collected and written as one
//! event for each proxy every [`WRITE_EVERY`], with the exact list. What was not written when a process is
//! killed is lost, at most as much; whoever reads the diary can see that ([`crate::hindsight`]).
//!
//! The event has the kind `proxy`, the action `followed`, and a detail `entries`: words separated by spaces,
//! oldest first, each with a moment in nanoseconds since 1970.
//!
//! | word | what |
//! |---|---|
//! | `c@T` | it connected and knew nothing: it had just started |
//! | `c37@T` | it connected and routed by revision 37 |
//! | `a38@T` | it acknowledged revision 38 |
//! | `d@T` | its stream ended; it goes on by what it knew |
//! | `x4@T` | here 4 entries up to this moment are missing, for want of room |

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use identity::{ProxyId, Wall};
use storage_events::{AcceptError, Batch, Event};
use tokio::sync::Notify;

use crate::{chronicle, state::State};

/// How often it is written.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(2);
/// The action of its events.
pub(crate) const ACTION: &str = "followed";
/// The detail of an event that holds the entries.
const ENTRIES: &str = "entries";
/// Entries of a proxy that wait to be written, 32 bytes each; more are counted and left out.
const PAGE: usize = 256;
/// Proxies whose entries wait. Those of others are counted and left out.
const PAGES: usize = 4_096;
/// Events that are written at once. The largest has 7 KiB, and a batch holds 1 MiB.
const BATCH: usize = 128;

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    pages: Mutex<BTreeMap<ProxyId, Vec<Entry>>>,
    /// Rung when a page is full.
    full: Notify,
    /// Held by whoever writes, so that pages are written in order.
    writing: tokio::sync::Mutex<()>,
    left_out: AtomicU64,
}

/// Something that a proxy said or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) at: Wall,
}

/// What a proxy said or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It connected, and routed by this revision, if it knew one.
    Connected(Option<u64>),
    /// It routes by this revision from now on.
    Acknowledged(u64),
    /// Its stream ended.
    Disconnected,
    /// So many entries are missing.
    LeftOut(u64),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Connected(None) => write!(f, "c")?,
            What::Connected(Some(revision)) => write!(f, "c{revision}")?,
            What::Acknowledged(revision) => write!(f, "a{revision}")?,
            What::Disconnected => write!(f, "d")?,
            What::LeftOut(count) => write!(f, "x{count}")?,
        }
        write!(f, "@{}", self.at.0)
    }
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let (what, at) = word.split_once('@').ok_or(())?;
        let at = Wall(at.parse().map_err(|_| ())?);
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let what = match what.split_at_checked(1).ok_or(())? {
            ("c", "") => What::Connected(None),
            ("c", revision) => What::Connected(Some(number(revision)?)),
            ("a", revision) => What::Acknowledged(number(revision)?),
            ("d", "") => What::Disconnected,
            ("x", count) => What::LeftOut(number(count)?),
            _ => return Err(()),
        };
        Ok(Self { what, at })
    }
}

/// The entries of an event, oldest first; empty for one of another sort.
pub(crate) fn entries(event: &Event) -> Vec<Entry> {
    let words = event.details.get(ENTRIES).map(String::as_str).unwrap_or_default();
    words.split(' ').filter_map(|word| word.parse().ok()).collect()
}

impl Diary {
    /// Notes down what a proxy said or did.
    pub(crate) fn note(&self, proxy: &ProxyId, what: What, at: Wall) {
        let mut pages = self.lock();
        if pages.len() >= PAGES && !pages.contains_key(proxy) {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let page = pages.entry(proxy.clone()).or_default();
        if page.last().is_some_and(|last| last.what == what && matches!(what, What::Acknowledged(_))) {
            return;
        }
        page.push(Entry { what, at });
        self.shorten(page);
        if page.len() >= PAGE {
            self.full.notify_one();
        }
    }

    /// Entries that are missing, since this process began.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Leaves out what there is no room for: what came before the newest, which says what holds now.
    fn shorten(&self, page: &mut Vec<Entry>) {
        while page.len() > PAGE {
            let at = page.len() - 2;
            let gone = page.remove(at);
            let more = match gone.what {
                What::LeftOut(count) => count,
                _ => {
                    self.left_out.fetch_add(1, Relaxed);
                    1
                }
            };
            match page.get_mut(at - 1) {
                Some(Entry { what: What::LeftOut(count), at }) => (*count, *at) = (*count + more, gone.at),
                Some(entry) => {
                    self.left_out.fetch_add(1, Relaxed);
                    *entry = Entry { what: What::LeftOut(more + 1), at: gone.at };
                }
                None => {}
            }
        }
    }

    /// Writes what waits. What the disk refuses goes on waiting.
    pub(crate) async fn write(&self, state: &State) -> Result<(), AcceptError> {
        let _one_at_a_time = self.writing.lock().await;
        let pages = std::mem::take(&mut *self.lock());
        let mut pages: Vec<_> = pages.into_iter().collect();
        while !pages.is_empty() {
            let batch = &pages[..pages.len().min(BATCH)];
            let events: Vec<_> = batch.iter().map(|(proxy, entries)| event(proxy, entries)).collect();
            if let Err(error) = state.events.record(Batch::of(None, &events)).await {
                self.put_back(pages);
                return Err(error);
            }
            pages.drain(..pages.len().min(BATCH));
        }
        Ok(())
    }

    fn put_back(&self, unwritten: Vec<(ProxyId, Vec<Entry>)>) {
        let mut pages = self.lock();
        for (proxy, mut entries) in unwritten {
            let page = pages.entry(proxy).or_default();
            entries.append(page);
            *page = entries;
            self.shorten(page);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProxyId, Vec<Entry>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(proxy: &ProxyId, entries: &[Entry]) -> Event {
    let last = |of: fn(&Entry) -> Option<u64>| entries.iter().rev().find_map(of);
    let revision = last(|entry| match entry.what {
        What::Connected(known) => known,
        What::Acknowledged(revision) => Some(revision),
        What::Disconnected | What::LeftOut(_) => None,
    });
    let reason = match (revision, entries.last().map(|entry| entry.what)) {
        (Some(revision), Some(What::Disconnected)) => {
            format!("it lost its stream and goes on by revision {revision}")
        }
        (None, Some(What::Disconnected)) => "it lost its stream".to_owned(),
        (Some(revision), _) => format!("it routes by revision {revision}"),
        (None, _) => "it has connected, and knows nothing yet".to_owned(),
    };
    let mut event = chronicle::proxy(ACTION, proxy, proxy.as_str(), reason);
    event.at = entries.last().map_or(event.at, |entry| entry.at);
    let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
    event.details.insert(ENTRIES.to_owned(), words.join(" "));
    event
}

/// Writes the diary now and then, until the server stops.
pub(crate) async fn keep(state: Arc<State>) {
    let mut is_behind = false;
    loop {
        let due = async {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = state.diary.full.notified() => {}
            }
        };
        tokio::select! {
            () = due => {}
            () = state.stopping.cancelled() => return,
        }
        match state.diary.write(&state).await {
            Ok(()) => is_behind = false,
            Err(error) => {
                if !std::mem::replace(&mut is_behind, true) {
                    tracing::error!(%error, "what proxies acknowledge is not written down");
                }
                let _ = tokio::time::timeout(WRITE_EVERY, state.stopping.cancelled()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxy() -> ProxyId {
        "p".parse().unwrap()
    }

    #[test]
    fn entries_are_read_as_they_are_written() {
        let all = [
            What::Connected(None),
            What::Connected(Some(37)),
            What::Acknowledged(38),
            What::Disconnected,
            What::LeftOut(4),
        ];
        let all: Vec<Entry> = all.into_iter().map(|what| Entry { what, at: Wall(1_700) }).collect();
        assert_eq!(entries(&event(&proxy(), &all)), all);
        for bad in ["", "@", "a@1", "a1", "a1@", "z@1", "ä@1", "d1@1"] {
            assert_eq!(bad.parse::<Entry>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn the_same_again_is_no_entry() {
        let diary = Diary::default();
        for at in 0..3 {
            diary.note(&proxy(), What::Acknowledged(1), Wall(at));
        }
        assert_eq!(diary.lock()[&proxy()].len(), 1);
    }

    proptest! {
        #[test]
        fn what_there_is_no_room_for_is_counted_and_the_newest_is_kept(count in 1_u64..2_000) {
            let diary = Diary::default();
            for n in 0..count {
                diary.note(&proxy(), What::Acknowledged(n), Wall(n));
            }
            let page = diary.lock()[&proxy()].clone();
            let missing: u64 = page.iter().map(|entry| match entry.what {
                What::LeftOut(count) => count,
                _ => 0,
            }).sum();
            let kept = page.iter().filter(|entry| !matches!(entry.what, What::LeftOut(_))).count() as u64;
            prop_assert!(page.len() <= PAGE);
            prop_assert_eq!(kept + missing, count);
            prop_assert_eq!(missing, diary.left_out());
            prop_assert_eq!(page.last().unwrap().what, What::Acknowledged(count - 1));
            prop_assert!(page.is_sorted_by_key(|entry| entry.at));
        }
    }
}
