//! What operators force breakers to, whatever their calls say.
//!
//! A word is for a time, and this proxy counts the time by itself: an operator who opens a breaker while
//! the control plane is about to go away has it open for as long as he said, and no longer. Words are
//! kept here and not in the breakers alone, since the service that one is about may only be registered
//! later.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{Mono, Namespace, Now, ServiceName};
use resilience::Force;
use wire::native::channel::Override;

use crate::{gateway::Gateway, routing::Routing};

/// How many services' words are kept. Each costs some 300 bytes, and is forgotten when its time is over.
const WORDS: usize = 10_000;

/// The words that hold.
#[derive(Debug, Default)]
pub(crate) struct Overrides(Mutex<HashMap<(Namespace, ServiceName), Word>>);

#[derive(Debug)]
struct Word {
    number: u64,
    force: Option<Force>,
    until: Mono,
    note: String,
}

impl Overrides {
    /// Takes in what is new.
    pub(crate) fn take(&self, news: &[Override], now: Mono) {
        if news.is_empty() {
            return;
        }
        let mut words = self.lock();
        words.retain(|_, word| word.until > now);
        for new in news {
            let key = (new.namespace.clone(), new.service.clone());
            let is_newer = words.get(&key).is_none_or(|known| known.number < new.number);
            if is_newer && (words.len() < WORDS || words.contains_key(&key)) {
                let (force, until, note) = (new.force, now + new.left, new.note.clone());
                words.insert(key, Word { number: new.number, force, until, note });
            } else if is_newer {
                tracing::error!(service = %new.service, "too many breakers are forced; this one is not");
            }
        }
    }

    /// Has the breakers of a table do what they are to do and do not do yet.
    pub(crate) fn apply(&self, gateway: &Gateway, routing: &Routing, now: Now) {
        for ((namespace, name), word) in self.lock().iter().filter(|(_, word)| word.until > now.mono) {
            let Some(service) = routing.find(namespace.as_str(), name.as_str()) else { continue };
            if let Some(turn) = service.guard.force(word.number, word.force, word.until, now.mono) {
                gateway.tell_of(service, None, *turn, &word.note, now);
                // Whoever gave the word looks at once whether it is followed.
                gateway.outbox.bell.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Namespace, ServiceName), Word>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
