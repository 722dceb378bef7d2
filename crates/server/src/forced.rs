//! What operators force breakers to: durable, for a time, and told to every proxy while it holds.
//!
//! **Why the event is the record.** A word of an operator has to be in the history anyway, durable before
//! it is answered. So nothing else is written: at a start the words that still hold are read from the
//! events of the longest time that a word can last. A second store would have to agree with the first.
//!
//! **Why a time is asked for.** What is forced and forgotten is worse than what it was forced for; proxies
//! count the time themselves, and so end it also where the control plane is away.
//!
//! The end of force (`reset`) is a word like the others, and is remembered as long: a proxy that was away
//! when it was said would otherwise go on by the word before.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Namespace, ServiceName, Wall};
use resilience::Force;
use storage_events::{Event, Events, Kind, Order, Query};
use tokio::sync::watch;
use wire::native::channel::Override;

/// The longest that a breaker can be forced.
pub(crate) const LASTS_MAX: Duration = Duration::from_secs(86_400);
/// The shortest.
pub(crate) const LASTS_MIN: Duration = Duration::from_secs(1);
/// How many services' words are kept, some 300 bytes each.
pub(crate) const WORDS_MAX: usize = 10_000;
/// How much of a reason is kept, in characters.
pub(crate) const REASON_MAX: usize = 500;

/// Events of breakers that a start reads at most to find the words, newest first, and at once.
const EVENTS_MAX: usize = 100_000;
const PAGE: usize = 1_000;

/// The words that hold.
#[derive(Debug)]
pub(crate) struct Forced {
    words: Mutex<Words>,
    /// Changes with every word.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Words {
    of: BTreeMap<(Namespace, ServiceName), Word>,
    /// The highest number that was given.
    last: u64,
}

/// What an operator says of a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Grows, also over restarts.
    pub(crate) number: u64,
    pub(crate) action: Action,
    pub(crate) since: Wall,
    pub(crate) until: Wall,
    pub(crate) actor: String,
    pub(crate) reason: String,
}

/// What a breaker is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    ForceOpen,
    ForceClose,
    Disable,
    /// What its calls say, with nothing held against it.
    Reset,
}

impl Action {
    pub(crate) const ALL: [Self; 4] = [Self::ForceOpen, Self::ForceClose, Self::Disable, Self::Reset];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ForceOpen => "force_open",
            Self::ForceClose => "force_close",
            Self::Disable => "disable",
            Self::Reset => "reset",
        }
    }

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    const fn force(self) -> Option<Force> {
        match self {
            Self::ForceOpen => Some(Force::Open),
            Self::ForceClose => Some(Force::Closed),
            Self::Disable => Some(Force::Disabled),
            Self::Reset => None,
        }
    }
}

/// The details of a word's event.
const NUMBER: &str = "number";
const UNTIL: &str = "until_unix_ns";

impl Forced {
    /// The words that the events tell of and that still hold. Blocks the thread for the disk.
    pub(crate) fn restored(events: &Events, now: Wall) -> Self {
        let mut words = Words::default();
        let longest = u64::try_from(LASTS_MAX.as_nanos()).unwrap_or(u64::MAX);
        let (mut before, mut read) = (None, 0);
        'all: while read < EVENTS_MAX {
            let query = Query {
                kind: Some(Kind::Breaker),
                before,
                limit: PAGE,
                order: Order::NewestFirst,
                ..Query::default()
            };
            let page = events.read(&query).unwrap_or_else(|error| {
                tracing::error!(%error, "what operators force breakers to cannot be read, and holds no more");
                Vec::new()
            });
            for event in &page {
                if event.at.0.saturating_add(longest) < now.0 {
                    break 'all;
                }
                words.restore(event, now);
            }
            read += page.len();
            before = page.last().map(|event| event.revision);
            if page.len() < PAGE {
                break;
            }
        }
        Self { words: Mutex::new(words), news: watch::Sender::new(0) }
    }

    /// The number of the next word; `None` where there are as many as are kept.
    pub(crate) fn next_number(&self, of: &(Namespace, ServiceName), now: Wall) -> Option<u64> {
        let mut words = self.lock();
        words.of.retain(|_, word| word.until > now);
        if words.of.len() >= WORDS_MAX && !words.of.contains_key(of) {
            return None;
        }
        // By the clock, so that it also grows beyond the words that no event tells of any more.
        words.last = now.0.max(words.last + 1);
        Some(words.last)
    }

    /// A word holds from now on; its event is durable.
    pub(crate) fn hold(&self, of: (Namespace, ServiceName), word: Word) {
        let mut words = self.lock();
        // Two may have become durable in the other order.
        if words.of.get(&of).is_none_or(|known| known.number < word.number) {
            words.of.insert(of, word);
        }
        drop(words);
        self.news.send_modify(|news| *news += 1);
    }

    /// The words that hold, by service.
    pub(crate) fn words(&self, now: Wall) -> Vec<((Namespace, ServiceName), Word)> {
        let words = self.lock();
        let holds = words.of.iter().filter(|(_, word)| word.until > now && word.action != Action::Reset);
        holds.map(|(of, word)| (of.clone(), word.clone())).collect()
    }

    /// What a proxy has to be told that was told all up to this number, and the number up to which it is
    /// told then.
    pub(crate) fn after(&self, number: u64, now: Wall) -> (Vec<Override>, u64) {
        let words = self.lock();
        let news = words.of.iter().filter(|(_, word)| word.number > number && word.until > now);
        let told = news.clone().map(|(_, word)| word.number).max().unwrap_or(number);
        let overrides = news.map(|((namespace, service), word)| Override {
            namespace: namespace.clone(),
            service: service.clone(),
            number: word.number,
            force: word.action.force(),
            left: Duration::from_nanos(word.until.0.saturating_sub(now.0)),
            note: format!("{}: {}", word.actor, word.reason),
        });
        (overrides.collect(), told)
    }

    /// Tells of each new word.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Words {
    /// Takes a word from its event, if it is one and no newer one for the same service is known.
    fn restore(&mut self, event: &Event, now: Wall) {
        let Some(action) = Action::find(&event.action) else { return };
        let number = |name| event.details.get(name).and_then(|text: &String| text.parse::<u64>().ok());
        let (Some(number), Some(until)) = (number(NUMBER), number(UNTIL)) else { return };
        let Some(of) = event.namespace.clone().zip(event.service.clone()) else { return };
        self.last = self.last.max(number);
        let is_newer = self.of.get(&of).is_none_or(|known| known.number < number);
        if is_newer && until > now.0 && self.of.len() < WORDS_MAX {
            let (actor, reason) = (event.actor.clone(), event.reason.clone());
            self.of.insert(of, Word { number, action, since: event.at, until: Wall(until), actor, reason });
        }
    }
}

/// The event of a word.
pub(crate) fn event((namespace, service): &(Namespace, ServiceName), word: &Word) -> Event {
    let details = [
        (NUMBER, word.number.to_string()),
        (UNTIL, word.until.0.to_string()),
        ("until", word.until.to_string()),
    ];
    Event {
        revision: 0,
        at: word.since,
        kind: Kind::Breaker,
        action: word.action.as_str().to_owned(),
        namespace: Some(namespace.clone()),
        service: Some(service.clone()),
        instance: None,
        actor: word.actor.clone(),
        reason: word.reason.clone(),
        details: details.map(|(name, value)| (name.to_owned(), value)).into(),
        exemplar_trace_ids: Vec::new(),
    }
}
