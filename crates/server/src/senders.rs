//! Spans from senders that are not ours: the one way from a request's body to the store.
//!
//! Such a sender numbers nothing: each request is a batch of its own, is answered when it is durable, and
//! is sent again by its sender where no answer comes. What is refused as a whole is not counted as received,
//! for it will come again; what is refused span by span is, with its reason, in the very record that holds
//! its neighbours. So the ledger balances at every moment and after every crash.
//!
//! **Room.** Requests that are being read or decoded share [`ROOM_BYTES`], and as many are decoded at a time
//! as there are cores. A flood of telemetry is told to come back later, and neither memory nor the threads
//! that answer registrations are used up by it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use axum::{body::Body, extract::Request};
use http::{HeaderName, header};
use http_body_util::BodyExt;
use identity::Namespace;
use storage_catalog::Scope;
use storage_spans::{Account, SpanWriter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{
    native::problem::{Code, Problem},
    otlp::{self, Limits, Refused},
};

use crate::{
    access::Principal,
    clock,
    inflate::{self, Coding},
    problems,
    state::State,
};

/// Bytes of the largest request, after decompression. Decoding it takes some three times as much memory for
/// a moment.
pub(crate) const MAX_REQUEST_BYTES: usize = 8 << 20;

/// Bytes of the largest body. A little more than of a request, so that who sends one that is too large is
/// told so in his own protocol.
pub(crate) const MAX_BODY_BYTES: u64 = MAX_REQUEST_BYTES as u64 + (64 << 10);

/// Bytes of all requests that are being read and decoded at the same time. What each is decoded into comes
/// to that.
const ROOM_BYTES: usize = 32 << 20;

/// What a compressed request is taken to stand for while it is decoded.
const USUAL_RATIO: usize = 8;

/// What all senders share.
#[derive(Debug)]
pub(crate) struct Senders {
    /// Kibibytes.
    room: Arc<Semaphore>,
    cores: Arc<Semaphore>,
    busy: AtomicU64,
    malformed: AtomicU64,
    too_large: AtomicU64,
    cut: AtomicU64,
}

impl Default for Senders {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (busy, malformed, too_large, cut) = Default::default();
        Self {
            room: Arc::new(Semaphore::new(ROOM_BYTES >> 10)),
            cores: Arc::new(Semaphore::new(cores)),
            busy,
            malformed,
            too_large,
            cut,
        }
    }
}

impl Senders {
    /// How many requests were refused as a whole, by reason.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 3] {
        [
            ("busy", self.busy.load(Relaxed)),
            ("malformed", self.malformed.load(Relaxed)),
            ("too_large", self.too_large.load(Relaxed)),
        ]
    }

    /// How many texts and bytes were longer than is kept.
    pub(crate) fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    pub(crate) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kibibytes = u32::try_from(bytes.div_ceil(1 << 10).max(1)).unwrap_or(u32::MAX);
        self.room.clone().try_acquire_many_owned(kibibytes).map_err(|_| {
            let detail =
                format!("{} of requests are being read already", identity::size::format(ROOM_BYTES as u64));
            Problem::new(Code::TelemetryBusy, detail).retry_after(problems::BUSY)
        })
    }

    /// One of the places in which requests are decoded, as many as there are cores.
    pub(crate) async fn core(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.cores.clone().acquire_owned().await.map_err(|_| problems::stopping())
    }

    pub(crate) fn count(&self, problem: &Problem) {
        let counter = match problem.code() {
            Code::TelemetryBusy => &self.busy,
            Code::TelemetryMalformed => &self.malformed,
            Code::TelemetryTooLarge => &self.too_large,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// The header of HTTP that says how a body is compressed.
pub(crate) const HTTP_CODING: HeaderName = header::CONTENT_ENCODING;

/// A request's body, and the room that it takes.
pub(crate) struct Held {
    pub(crate) body: Vec<u8>,
    coding: Coding,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Held {
    /// The room that it takes once it is inflated.
    pub(crate) fn inflated(&self) -> usize {
        match self.coding {
            Coding::Identity => 0,
            _ => (self.body.len() * USUAL_RATIO).min(MAX_REQUEST_BYTES),
        }
    }

    /// The request, inflated and rewritten. It goes on taking its room.
    pub(crate) fn whole(&mut self, rewrite: Rewrite) -> Result<Vec<u8>, Problem> {
        let malformed = |detail: String| Problem::new(Code::TelemetryMalformed, detail);
        let body = std::mem::take(&mut self.body);
        let body = match self.coding {
            Coding::Identity => body,
            coding => match inflate::inflate(coding, &body, MAX_REQUEST_BYTES) {
                Ok(body) => body,
                Err(inflate::Refused::TooLarge) => return Err(too_large()),
                Err(inflate::Refused::Broken(error)) => {
                    return Err(malformed(format!("the body cannot be decompressed: {error}")));
                }
            },
        };
        rewrite(body).map_err(malformed)
    }

    /// The body that is compressed in another way than its headers said, or without its first bytes.
    pub(crate) fn with(self, coding: Coding, from: usize) -> Self {
        let mut body = self.body;
        body.drain(..from.min(body.len()));
        Self { body, coding, ..self }
    }
}

/// How a request is made one of OTLP's in Protocol Buffers.
pub(crate) type Rewrite = fn(Vec<u8>) -> Result<Vec<u8>, String>;

/// Reads a body.
pub(crate) async fn read(state: &State, request: Request, coding: Coding) -> Result<Held, Problem> {
    let read = collect(state, request.into_body(), coding).await;
    read.inspect_err(|problem| state.senders.count(problem))
}

async fn collect(state: &State, mut from: Body, coding: Coding) -> Result<Held, Problem> {
    let declared = usize::try_from(http_body::Body::size_hint(&from).lower()).unwrap_or(usize::MAX);
    if declared > MAX_REQUEST_BYTES {
        return Err(too_large());
    }
    let mut held = Held { body: Vec::with_capacity(declared), coding, _room: Vec::new() };
    let mut room = declared;
    held._room.extend((declared > 0).then(|| state.senders.room(declared)).transpose()?);
    while let Some(frame) = from.frame().await {
        let frame = frame.map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = held.body.len() + data.len();
        if len > MAX_REQUEST_BYTES {
            return Err(too_large());
        }
        if len > room {
            // Without a length that was told before: in steps that double, as the vector grows.
            let step = len.max(2 * room) - room;
            held._room.push(state.senders.room(step)?);
            room += step;
        }
        held.body.extend_from_slice(&data);
    }
    Ok(held)
}

pub(crate) fn too_large() -> Problem {
    let most = identity::size::format(MAX_REQUEST_BYTES as u64);
    Problem::new(Code::TelemetryTooLarge, format!("a request has at most {most} once it is decompressed"))
}

/// Takes in the spans of a request. It resolves when they are durable, to what was refused of them.
pub(crate) async fn take_in(
    state: &Arc<State>,
    caller: Principal,
    held: Held,
    rewrite: Rewrite,
) -> Result<Refused, Problem> {
    let taken = taken(state, caller, held, rewrite).await;
    taken.inspect_err(|problem| state.senders.count(problem))
}

async fn taken(
    state: &Arc<State>,
    caller: Principal,
    held: Held,
    rewrite: Rewrite,
) -> Result<Refused, Problem> {
    if !caller.scopes.iter().any(|scope| *scope >= Scope::Write) {
        caller.require(Scope::Write, None)?;
    }
    let room = state.senders.room(held.inflated())?;
    let core = state.senders.core().await?;
    let (of, held) = (state.clone(), (held, room));
    // Decoding megabytes takes milliseconds, in which the runtime's threads have other things to do.
    let work = tokio::task::spawn_blocking(move || store(&of, &caller, held.0, rewrite, core));
    let refused = work.await.map_err(|error| Problem::new(Code::Internal, error.to_string()))??;
    state.touch();
    Ok(refused)
}

/// Decodes a request and stores it. `core` is given back before the disk is waited for.
fn store(
    state: &State,
    caller: &Principal,
    mut held: Held,
    rewrite: Rewrite,
    core: OwnedSemaphorePermit,
) -> Result<Refused, Problem> {
    let malformed = |detail: String| Problem::new(Code::TelemetryMalformed, detail);
    let request = held.whole(rewrite)?;
    let decoded = otlp::decode(&request, &Limits::default());
    let mut decoded = decoded.map_err(|error| malformed(error.to_string()))?;
    if !caller.namespaces.is_empty() {
        let allowed =
            |name: &str| name.parse::<Namespace>().is_ok_and(|name| caller.namespaces.contains(&name));
        decoded.keep_namespaces(allowed);
    }
    state.senders.cut.fetch_add(decoded.cut, Relaxed);
    if decoded.received == 0 {
        return Ok(decoded.refused);
    }
    let mut writer = SpanWriter::default();
    // The graph counts all of them; only what is stored is a share.
    let sampled_out = decoded.batch.give_some(&mut writer, |id| state.keeps(id));
    let now = clock::now().wall;
    let dropped = decoded.refused.iter();
    let account = Account {
        origin: None,
        received_at: now,
        received: decoded.received,
        sampled_out,
        dropped: dropped.map(|(reason, count)| (reason.as_str().into(), count)).collect(),
    };
    let accept = state.spans.accept_written(account, writer);
    drop(core);
    accept.wait().map_err(problems::accept)?;
    state.graph.observe_request(&decoded.batch, now);
    Ok(decoded.refused)
}
