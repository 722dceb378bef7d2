//! From an answer to samples that are durable.
//!
//! A steady answer parses no labels: each series is known by the bytes it stood under, and its samples are appended by
//! reference. What was there the last time and is not any more is marked as ended, at the time of this answer; so is
//! all of a target that does not answer.

use std::time::Duration;

use identity::Wall;
use monitoring::{
    scrape::{Prefer, joined, relabelled},
    series::{Labels, METRIC_NAME, STALE},
};
use storage_samples::{SampleAccount, SampleWriter, SeriesRef};
use wire::exposition::{Memory, Metadata, Sample, Sink};

use super::{discover::Wanted, fetch::Answer};
use crate::{problems, state::State};

/// What is written about each scrape.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What is kept of a target from one scrape to the next. About 250 bytes a series, and their labels twice.
#[derive(Debug, Default)]
pub(super) struct Kept {
    memory: Memory<Series>,
    report: Option<[SeriesRef; REPORT.len()]>,
}

impl Kept {
    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }
}

/// What is kept of a series.
#[derive(Debug)]
struct Series {
    /// None where relabelling drops it.
    reference: Option<SeriesRef>,
    /// Whether it ends when it is not said any more: a target that gives its own times may leave it out at will.
    is_tracked: bool,
}

/// What became of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(super) at: Wall,
    pub(super) took: Duration,
    /// Why there are no samples.
    pub(super) error: Option<String>,
    /// Whether it is taken to have no metrics.
    pub(super) has_none: bool,
    /// How many samples there were.
    pub(super) samples: usize,
    /// Why they could not be kept.
    pub(super) unstored: Option<String>,
}

/// Takes in the answer of a target, which may have so many series.
pub(super) fn take(
    state: &State,
    wanted: &Wanted,
    kept: &mut Kept,
    answer: Result<Answer, String>,
    at: Wall,
    took: Duration,
    most: usize,
) -> Taken {
    let Ok(target) = &wanted.target else { return Taken::default() };
    let mut into = Into {
        wanted,
        labels: &target.labels,
        state,
        at: millis(at),
        writer: state.series.writer(),
        counted: Counted::default(),
    };
    let read = answer.and_then(|answer| {
        let text = answer.text()?;
        kept.memory.read(answer.format, &text, most, &mut into).map_err(|error| error.to_string())?;
        match wanted.job.sample_limit {
            limit if limit > 0 && into.counted.kept > limit => {
                Err(format!("there are {} samples, and {limit} are the most", into.counted.kept))
            }
            _ => Ok(()),
        }
    });
    let (mut writer, counted) = (into.writer, into.counted);
    let has_answered = kept.report.is_some();
    let has_none = !wanted.is_told && !has_answered && (read.is_err() || counted.scraped == 0);
    let (gone, counted) = match &read {
        Ok(()) => (kept.memory.gone(), counted),
        Err(_) => {
            writer.clear();
            (kept.memory.failed(), Counted::default())
        }
    };
    let mut taken = Taken { at, took, error: read.err(), has_none, samples: counted.scraped, unstored: None };
    if has_none {
        kept.memory.clear();
        return taken;
    }
    mark(&mut writer, gone, at);
    let up = if taken.error.is_none() { 1.0 } else { 0.0 };
    let figures = [up, took.as_secs_f64(), counted.scraped as f64, counted.kept as f64, counted.added as f64];
    let report = kept.report.get_or_insert_with(|| REPORT.map(|name| reported(name, &target.labels)));
    for (series, figure) in report.iter().zip(figures) {
        writer.reference(series);
        writer.sample(millis(at), figure);
    }
    taken.unstored = store(state, writer, at).err();
    taken
}

/// Marks all series of a target that is asked no more.
pub(super) fn end(state: &State, wanted: &Wanted, mut kept: Kept, at: Wall) {
    let mut writer = state.series.writer();
    mark(&mut writer, kept.memory.clear(), at);
    for series in kept.report.iter().flatten() {
        writer.reference(series);
        writer.sample(millis(at), STALE);
    }
    if let Err(why) = store(state, writer, at) {
        let pool = wanted.key.pool();
        tracing::warn!(pool, why, "that the series of a target have ended could not be written");
    }
}

fn mark(writer: &mut SampleWriter<'_>, gone: Vec<Series>, at: Wall) {
    for reference in
        gone.iter().filter(|series| series.is_tracked).filter_map(|series| series.reference.as_ref())
    {
        writer.reference(reference);
        writer.sample(millis(at), STALE);
    }
}

fn store(state: &State, writer: SampleWriter<'_>, at: Wall) -> Result<(), String> {
    if writer.is_empty() {
        return Ok(());
    }
    let account = SampleAccount { received_at: at, received: writer.len() as u64, dropped: Vec::new() };
    let accepted = state.series.accept(account, writer).wait();
    accepted.map(drop).map_err(|error| problems::accept(error).to_string())
}

/// A series about a target.
fn reported(name: &str, labels: &Labels) -> SeriesRef {
    let mut all = labels.to_builder();
    all.set(METRIC_NAME.into(), name.into());
    SeriesRef::new(&all.build())
}

fn millis(wall: Wall) -> i64 {
    i64::try_from(wall.0 / 1_000_000).unwrap_or(i64::MAX)
}

#[derive(Debug, Default)]
struct Counted {
    scraped: usize,
    kept: usize,
    added: usize,
}

/// Samples on their way from an answer into the store.
struct Into<'a> {
    wanted: &'a Wanted,
    labels: &'a Labels,
    state: &'a State,
    at: i64,
    writer: SampleWriter<'a>,
    counted: Counted,
}

impl Sink for Into<'_> {
    type Series = Series;

    fn series(&mut self, labels: &[(&str, &str)]) -> Series {
        let job = &self.wanted.job;
        let prefer = if job.honor_labels { Prefer::Series } else { Prefer::Target };
        let labels = relabelled(joined(labels, self.labels, prefer), &job.metric_relabel);
        let labels = labels.filter(|labels| !labels.metric().is_empty());
        self.counted.added += usize::from(labels.is_some());
        Series { reference: labels.as_ref().map(SeriesRef::new), is_tracked: false }
    }

    fn sample(&mut self, series: &mut Series, sample: Sample<'_>) {
        self.counted.scraped += 1;
        let Some(reference) = &series.reference else { return };
        self.counted.kept += 1;
        let own = sample.time.filter(|_| self.wanted.job.honor_timestamps);
        series.is_tracked = own.is_none();
        self.writer.reference(reference);
        self.writer.sample(own.unwrap_or(self.at), sample.value);
        if let Some(mut exemplar) = sample.exemplar {
            exemplar.labels.sort_unstable_by_key(|(name, _)| *name);
            let labels = exemplar.labels.iter().map(|(name, value)| (*name, &**value));
            self.writer.exemplar(exemplar.time.unwrap_or(self.at), exemplar.value, labels);
        }
    }

    fn metadata(&mut self, family: &str, metadata: Metadata<'_>) {
        self.state.families.say(family, &metadata);
    }
}
