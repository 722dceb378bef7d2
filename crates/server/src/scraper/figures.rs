//! What is scraped, for whoever asks, and how that went.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use monitoring::exposition::{Exposition, Type};
use wire::prometheus::ScrapeTarget;

use super::{
    discover::{Key, Wanted},
    take::Taken,
};

/// All targets.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: BTreeMap<Key, Shown>,
    answered: u64,
    failed: u64,
    unstored: u64,
    samples: u64,
}

#[derive(Debug)]
struct Shown {
    target: ScrapeTarget,
    /// Whether it is scraped, as far as is known.
    is_active: bool,
}

impl Targets {
    /// A target is there, or has changed.
    pub(super) fn show(&self, wanted: &Wanted) {
        let mut target = ScrapeTarget {
            discovered: wanted.discovered.clone(),
            pool: wanted.key.pool().to_owned(),
            ..ScrapeTarget::default()
        };
        match &wanted.target {
            Ok(of) => {
                target.labels = of.labels.clone();
                target.url = format!("http://{}{}", of.address, of.path);
                (target.interval, target.timeout) = (of.interval, of.timeout);
            }
            Err(why) => target.last_error.clone_from(why),
        }
        let is_active = wanted.is_told;
        let mut known = self.lock();
        if let Some(before) = known.of.get(&wanted.key).filter(|before| before.target.url == target.url) {
            let before = &before.target;
            (target.last_scrape, target.last_duration) = (before.last_scrape, before.last_duration);
            (target.health, target.last_error) = (before.health, before.last_error.clone());
        }
        let is_active = is_active || target.health == "up";
        known.of.insert(wanted.key.clone(), Shown { target, is_active });
    }

    /// All targets that are shown.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.lock().of.keys().cloned().collect()
    }

    pub(super) fn hide(&self, key: &Key) {
        self.lock().of.remove(key);
    }

    pub(super) fn scraped(&self, key: &Key, taken: Taken) {
        let mut known = self.lock();
        known.answered += u64::from(taken.error.is_none());
        known.failed += u64::from(taken.error.is_some());
        known.unstored += u64::from(taken.unstored.is_some());
        known.samples += taken.samples as u64;
        let Some(shown) = known.of.get_mut(key) else { return };
        shown.is_active |= !taken.has_none;
        shown.target.health = if taken.error.is_none() { "up" } else { "down" };
        (shown.target.last_scrape, shown.target.last_duration) = (Some(taken.at), taken.took);
        shown.target.last_error = taken.error.or(taken.unstored).unwrap_or_default();
    }

    /// Those that are scraped, and those that are not: relabelling drops them, they cannot be asked, or they have shown
    /// no metrics.
    pub(crate) fn all(&self) -> (Vec<ScrapeTarget>, Vec<ScrapeTarget>) {
        let known = self.lock();
        let (active, others): (Vec<_>, Vec<_>) = known.of.values().partition(|shown| shown.is_active);
        let of = |all: Vec<&Shown>| all.into_iter().map(|shown| shown.target.clone()).collect();
        (of(active), of(others))
    }

    /// Writes down the figures.
    pub(crate) fn expose(&self, text: &mut Exposition) {
        let known = self.lock();
        let mut family = text.family("bellwether_scrape_targets", "Targets, by how they are.", Type::Gauge);
        for health in ["up", "down", "unknown"] {
            let is_it = |shown: &&Shown| shown.is_active && shown.target.health == health;
            family.sample(&[("health", health)], known.of.values().filter(is_it).count() as f64);
        }
        let mut family =
            text.family("bellwether_scrapes_total", "Scrapes, by what came of them.", Type::Counter);
        family.count(&[("result", "answered")], known.answered);
        family.count(&[("result", "failed")], known.failed);
        let help = "Scrapes whose samples could not be kept.";
        text.family("bellwether_scrapes_unstored_total", help, Type::Counter).count(&[], known.unstored);
        let help = "Samples that targets answered with.";
        text.family("bellwether_scraped_samples_total", help, Type::Counter).count(&[], known.samples);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
