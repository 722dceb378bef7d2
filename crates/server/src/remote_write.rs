//! Prometheus remote write, `POST /api/v1/write`: samples of any Prometheus-compatible sender, version 1 and 2.
//!
//! A request is a batch: it is answered with 204 when its samples are durable. What can never be taken as it is gets
//! a 400, which makes its sender drop it, although all samples of it that are valid were taken; what may be taken
//! later gets a 429 or 503 with `Retry-After`, and nothing of it was taken. What was left out is in the ledger with its
//! reason. A sample that is there already is no mistake: senders repeat what they have had no answer to.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State as Of},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, HeaderName, StatusCode, header};
use storage_catalog::Scope;
use storage_samples::{SampleAccount, SampleWriter, Spelling};
use tokio::sync::OwnedSemaphorePermit;
use wire::{
    native::problem::{Code, Problem},
    remote_write::{Counted, Sink, Version, decode},
};

use crate::{
    access::Principal,
    clock,
    inflate::Coding,
    listener::Refusal,
    problems,
    senders::{self, HTTP_CODING, MAX_REQUEST_BYTES},
    state::State,
};

/// How many samples and exemplars were taken in, which version 2 wants to know.
const WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// The routes.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new().route("/api/v1/write", post(write))
}

async fn write(
    Of(state): Of<Arc<State>>,
    Extension(caller): Extension<Principal>,
    request: Request,
) -> Result<Response, Refusal> {
    caller.require(Scope::Write, None)?;
    let version = version(request.headers())?;
    let held = senders::read(&state, request, Coding::Identity).await?;
    let taken = taken(&state, version, held).await.inspect_err(|problem| state.senders.count(problem))?;
    if taken.counted.invalid_labels + taken.counted.native_histograms > 0 {
        return Err(Refusal(invalid(&taken)));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if version == Version::Two {
        response.headers_mut().insert(WRITTEN, taken.stored.into());
        response.headers_mut().insert(EXEMPLARS_WRITTEN, taken.counted.exemplars.into());
    }
    Ok(response)
}

/// What a request is, as its headers say.
fn version(headers: &HeaderMap) -> Result<Version, Problem> {
    let text = |name: &HeaderName| headers.get(name).map_or(Ok(""), |value| value.to_str()).unwrap_or("?");
    let unsupported = |name: &HeaderName, next: &'static str| {
        let detail = format!("\"{}\" is not understood", text(name).escape_debug());
        Problem::new(Code::TelemetryUnsupported, detail).at(name.as_str()).next(next)
    };
    let version = Version::of(text(&header::CONTENT_TYPE)).ok_or_else(|| {
        unsupported(&header::CONTENT_TYPE, "send application/x-protobuf, of remote write 1.0 or 2.0")
    })?;
    match text(&HTTP_CODING) {
        "snappy" => Ok(version),
        _ => Err(unsupported(&HTTP_CODING, "send content-encoding: snappy, in its block format")),
    }
}

struct Taken {
    counted: Counted,
    stored: u64,
}

fn invalid(taken: &Taken) -> Problem {
    let Counted { received, invalid_labels, native_histograms, .. } = taken.counted;
    let detail = format!(
        "of {received} samples, {invalid_labels} have labels that are none and {native_histograms} are native \
         histograms; the others are stored"
    );
    Problem::new(Code::TelemetryMalformed, detail)
}

async fn taken(state: &Arc<State>, version: Version, held: senders::Held) -> Result<Taken, Problem> {
    let malformed = |detail: String| Problem::new(Code::TelemetryMalformed, detail);
    let len = snap::raw::decompress_len(&held.body).map_err(|error| malformed(error.to_string()))?;
    if len > MAX_REQUEST_BYTES {
        return Err(senders::too_large());
    }
    let room = state.senders.room(len)?;
    let core = state.senders.core().await?;
    let of = state.clone();
    // Decoding megabytes takes milliseconds, in which the runtime's threads have other things to do.
    let work = tokio::task::spawn_blocking(move || {
        let _room = room;
        store(&of, version, &held.body, core)
    });
    let taken = work.await.map_err(|error| Problem::new(Code::Internal, error.to_string()))??;
    state.touch();
    Ok(taken)
}

/// Decodes a request and stores it. `core` is given back before the disk is waited for.
fn store(state: &State, version: Version, body: &[u8], core: OwnedSemaphorePermit) -> Result<Taken, Problem> {
    let malformed = |detail: String| Problem::new(Code::TelemetryMalformed, detail);
    let request = snap::raw::Decoder::new().decompress_vec(body);
    let request = request.map_err(|error| malformed(format!("the body cannot be decompressed: {error}")))?;
    let mut into = Into(state.series.writer());
    let counted = decode(version, &request, &mut into).map_err(|error| malformed(error.to_string()))?;
    if counted.received + counted.exemplars == 0 {
        return Ok(Taken { counted, stored: 0 });
    }
    let reasons =
        [("invalid_labels", counted.invalid_labels), ("native_histogram", counted.native_histograms)];
    let account = SampleAccount {
        received_at: clock::now().wall,
        received: counted.received,
        dropped: reasons.iter().map(|(reason, count)| ((*reason).into(), *count)).collect(),
    };
    let accept = state.series.accept(account, into.0);
    drop(core);
    let receipt = accept.wait().map_err(problems::accept)?;
    Ok(Taken { counted, stored: receipt.stored })
}

/// Samples on their way from a request into the store.
struct Into<'a>(SampleWriter<'a>);

impl Sink for Into<'_> {
    type Spelling = Spelling;

    fn spelled(&mut self, spelling: &[u8]) -> Result<(), Spelling> {
        self.0.spelled(spelling)
    }

    fn series(&mut self, labels: &[(&str, &str)], spelling: Option<Spelling>) {
        let labels = labels.iter().copied();
        match spelling {
            Some(spelling) => self.0.learn(labels, spelling),
            None => self.0.series(labels),
        }
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.0.sample(time, value);
    }

    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]) {
        self.0.exemplar(time, value, labels.iter().copied());
    }
}
