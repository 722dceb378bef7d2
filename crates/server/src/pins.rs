//! Traces that somebody wants to stay: kept beside the store, past its retention.
//!
//! A block goes as a whole, so a trace that stays cannot stay in one. Each pinned trace has a file of its own in
//! the folder `pins`: a line that says who pinned it, why and for how long, and a line of OTLP's JSON with its
//! spans, replaced in one step and durable before the pin is answered. Spans that come after the pin are taken in
//! for [`LATE`] more; as long as the store has the trace, both are shown as one.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{TraceId, Wall};
use serde::{Deserialize, Serialize};
use storage_disk::Disk;
use traces::{Span, borrowed::Owned};
use wire::{
    native::{
        api,
        problem::{Code, Problem},
    },
    otlp,
};

use crate::state::State;

/// Traces that can be pinned. Pins are a person's work; more of them are a mistake.
const MAX_PINS: usize = 1_000;
/// Bytes of the file of one of them, some 100,000 spans.
const MAX_FILE: u64 = 64 << 20;
/// Bytes of all of them.
const MAX_BYTES: u64 = 1 << 30;
/// How long after the pin spans of the trace are still taken in.
const LATE: Duration = Duration::from_secs(600);

/// What is known of the pinned traces, and where they are.
#[derive(Debug)]
pub(crate) struct Pins {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    held: Mutex<BTreeMap<TraceId, Pinned>>,
    /// Held by whoever writes.
    writing: Mutex<()>,
}

/// A pinned trace.
#[derive(Debug, Clone)]
struct Pinned {
    pin: Pin,
    spans: usize,
    bytes: u64,
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) actor: String,
    pub(crate) reason: String,
    /// Nanoseconds since 1970, as `until`.
    pub(crate) at: u64,
    /// When it ends; never where it is not said.
    pub(crate) until: Option<u64>,
}

impl Pin {
    pub(crate) fn shown(&self, id: TraceId) -> api::Pin {
        api::Pin {
            trace_id: id.to_string(),
            reason: self.reason.clone(),
            actor: self.actor.clone(),
            at: Wall(self.at).to_string(),
            until: self.until.map(|until| Wall(until).to_string()),
        }
    }
}

impl Pins {
    /// Reads what is there. A file that cannot be read is left, and told of in the log.
    pub(crate) fn open(disk: Arc<dyn Disk>, data: &Path) -> io::Result<Self> {
        let folder = data.join("pins");
        disk.create_folder(&folder)?;
        let mut held = BTreeMap::new();
        for entry in disk.list(&folder)? {
            // Whatever else is there is what a replacement left that did not come to its end.
            let Ok(id) = entry.name.parse::<TraceId>() else { continue };
            match read(&*disk, &folder, id) {
                Ok((pin, spans, bytes)) => {
                    held.insert(id, Pinned { pin, spans: spans.len(), bytes });
                }
                Err(error) => tracing::error!(%error, trace = %id, "a pinned trace cannot be read"),
            }
        }
        Ok(Self { disk, folder, held: Mutex::new(held), writing: Mutex::default() })
    }

    /// The pins, in the order of their traces.
    pub(crate) fn all(&self) -> Vec<(TraceId, Pin)> {
        self.lock().iter().map(|(id, pinned)| (*id, pinned.pin.clone())).collect()
    }

    /// The pin of a trace.
    pub(crate) fn get(&self, id: TraceId) -> Option<Pin> {
        self.lock().get(&id).map(|pinned| pinned.pin.clone())
    }

    /// The spans that a pin has kept. Blocks the thread for the disk.
    fn kept(&self, id: TraceId) -> Vec<Span> {
        if self.get(id).is_none() {
            return Vec::new();
        }
        match read(&*self.disk, &self.folder, id) {
            Ok((_, spans, _)) => spans,
            Err(error) => {
                tracing::error!(%error, trace = %id, "a pinned trace cannot be read");
                Vec::new()
            }
        }
    }

    /// Keeps these spans of a trace, or has them kept anew. It is durable when it returns; blocks the thread.
    pub(crate) fn put(&self, id: TraceId, pin: Pin, spans: &[Arc<Span>]) -> Result<(), Problem> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = |error: serde_json::Error| Problem::new(Code::Internal, error.to_string());
        let mut text = serde_json::to_string(&pin).map_err(broken)?;
        text.push('\n');
        text.push_str(&otlp::to_json(spans));
        let bytes = text.len() as u64;
        let (others, sum) = {
            let held = self.lock();
            let others = held.iter().filter(|(of, _)| **of != id);
            others.fold((0, bytes), |(count, sum), (_, pinned)| (count + 1, sum + pinned.bytes))
        };
        if others >= MAX_PINS || bytes > MAX_FILE || sum > MAX_BYTES {
            let [file, all] = [MAX_FILE, MAX_BYTES].map(identity::size::format);
            let detail = format!("at most {MAX_PINS} traces are pinned, of {file} each and {all} together");
            return Err(
                Problem::new(Code::RecordTooLarge, detail).next("unpin traces that nobody needs any more")
            );
        }
        self.disk
            .replace(&self.folder.join(id.to_string()), text.as_bytes())
            .map_err(|error| failed(&error))?;
        self.lock().insert(id, Pinned { pin, spans: spans.len(), bytes });
        Ok(())
    }

    /// Lets a trace go. False where it was not pinned; blocks the thread.
    pub(crate) fn remove(&self, id: TraceId) -> Result<bool, Problem> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(id).is_none() {
            return Ok(false);
        }
        let removed = self.disk.remove(&self.folder.join(id.to_string()));
        removed.and_then(|()| self.disk.sync_folder(&self.folder)).map_err(|error| failed(&error))?;
        self.lock().remove(&id);
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TraceId, Pinned>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: &io::Error) -> Problem {
    Problem::new(Code::DiskFailed, error.to_string()).retry_after(Duration::from_secs(5))
}

/// A pin, its spans, and how many bytes they take.
fn read(disk: &dyn Disk, folder: &Path, id: TraceId) -> io::Result<(Pin, Vec<Span>, u64)> {
    let bytes = disk.read(&folder.join(id.to_string()), MAX_FILE)?;
    let wrong = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (pin, spans) = bytes.split_at(end.ok_or_else(|| wrong("it has no first line".to_owned()))?);
    let pin = serde_json::from_slice(pin).map_err(|error| wrong(error.to_string()))?;
    let request = otlp::from_json(spans).map_err(|error| wrong(error.to_string()))?;
    // What was within the limits once is within these.
    let limits = otlp::Limits { max_spans: usize::MAX, ..otlp::Limits::default() };
    let decoded = otlp::decode(&request, &limits).map_err(|error| wrong(error.to_string()))?;
    let mut owned = Owned::default();
    decoded.batch.give(&mut owned);
    Ok((pin, owned.spans, bytes.len() as u64))
}

/// The spans of a trace, in the store and pinned. Blocks the thread for the disk.
pub(crate) fn spans(state: &State, id: TraceId) -> Vec<Arc<Span>> {
    let mut spans = state.spans.trace(id).unwrap_or_default();
    let kept = state.pins.kept(id);
    let known: std::collections::HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    spans.extend(kept.into_iter().filter(|span| !known.contains(&span.span_id)).map(Arc::new));
    spans
}

/// Ends what has come to its end, and takes in what came late. Blocks the thread for the disk.
pub(crate) fn tend(state: &State, now: Wall) {
    let held: Vec<(TraceId, Pinned)> =
        state.pins.lock().iter().map(|(id, pinned)| (*id, pinned.clone())).collect();
    for (id, Pinned { pin, spans: known, .. }) in held {
        let done = if pin.until.is_some_and(|until| until <= now.0) {
            state.spans.pin(id, false);
            state.pins.remove(id).map(drop)
        } else if now < Wall(pin.at) + LATE && state.spans.trace(id).is_some_and(|spans| spans.len() > known)
        {
            state.pins.put(id, pin, &spans(state, id))
        } else {
            Ok(())
        };
        if let Err(problem) = done {
            tracing::warn!(%problem, trace = %id, "a pinned trace is as it was");
        }
    }
}
