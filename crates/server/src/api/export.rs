//! Traces as a file: OTLP's JSON, a line for each trace, streamed; or Parquet, which has its table of contents at
//! its end and is therefore built before it is sent.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State as Of,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::header;
use identity::{Namespace, TraceId};
use serde::Deserialize;
use storage_catalog::Scope;
use storage_spans::{PageToken, Query};
use tokio::sync::mpsc;
use traces::{Span, query::Expression};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::{
    native::problem::{Code, Problem},
    otlp,
};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, invalid},
    traces::{SearchQuery, expression, may_see, may_see_namespace, query},
};
use crate::{access::Principal, clock, pins, problems, state::State};

/// Exports that may be under way at the same time: each takes a thread.
pub(crate) const EXPORTS_AT_ONCE: usize = 2;
/// Traces of an export where nobody says how many …
const TRACES: usize = 1_000;
/// … and the most of them.
const MAX_TRACES: usize = 1_000_000;
/// Ids that may be named in one request.
const MAX_IDS: usize = 1_000;
/// Traces that are looked for at once.
const PAGE: usize = 100;
/// Spans of a Parquet file, each some 1 KiB of memory while it is built.
const MAX_PARQUET_SPANS: usize = 100_000;
/// Lines that wait for a client that reads slowly.
const WAITING: usize = 16;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(export))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// `otlp-json`, a line for each trace as OpenTelemetry's file exporter writes it, or `parquet`.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "otlp-json")]
    format: Format,
    /// Only these traces: their ids, joined by commas.
    ids: Option<String>,
    /// Only traces with a span of this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only traces with a span of this service.
    service: Option<String>,
    /// … that did this.
    operation: Option<String>,
    /// Only traces that began at this time or later.
    start: Option<String>,
    /// Only traces that began before this time.
    end: Option<String>,
    /// Only traces with a span of which this holds, as for searching.
    q: Option<String>,
    /// Traces at most, 1 to 1000000; 1000 where it is not given.
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    #[default]
    OtlpJson,
    Parquet,
}

/// Traces with all spans that the caller may read, newest first, as a file. What comes in meanwhile may be missing.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/export", tag = "traces", operation_id = "export_traces", params(ExportQuery),
    responses(
        (status = 200, description = "the file", body = String, content_type = "application/jsonl"),
        (status = "default", body = Problem),
    ),
)]
async fn export(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(asked): Asked<ExportQuery>,
) -> Answer<Response> {
    caller.require(Scope::Read, asked.namespace.as_ref())?;
    let format = asked.format;
    let wanted = Wanted::of(asked)?;
    let place = state.exports.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{EXPORTS_AT_ONCE} exports are under way already");
        Problem::new(Code::StorageBusy, detail).retry_after(problems::BUSY)
    })?;
    match format {
        Format::OtlpJson => {
            let (lines, waiting) = mpsc::channel(WAITING);
            tokio::task::spawn_blocking(move || {
                let _place = place;
                wanted.each(&state, &caller, |spans| {
                    let mut line = otlp::to_json(&spans);
                    line.push('\n');
                    // Nobody reads any more, or nobody may.
                    !state.stopping.is_cancelled() && lines.blocking_send(Bytes::from(line)).is_ok()
                });
            });
            let lines = stream::unfold(waiting, |mut waiting| async move {
                let line = waiting.recv().await?;
                Some((Ok::<_, Infallible>(line), waiting))
            });
            Ok(file("application/jsonl", "traces.jsonl", Body::from_stream(lines)))
        }
        Format::Parquet => {
            let built = beside(move || {
                let _place = place;
                parquet(&wanted, &state, &caller)
            });
            Ok(file("application/vnd.apache.parquet", "traces.parquet", Body::from(built.await?)))
        }
    }
}

fn file(kind: &'static str, name: &str, body: Body) -> Response {
    let name = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind)], [(header::CONTENT_DISPOSITION, name)], body).into_response()
}

fn parquet(wanted: &Wanted, state: &State, caller: &Principal) -> Result<Vec<u8>, Problem> {
    let mut all: Vec<Span> = Vec::new();
    let mut is_too_many = false;
    wanted.each(state, caller, |spans| {
        is_too_many = all.len() + spans.len() > MAX_PARQUET_SPANS;
        if !is_too_many {
            all.extend(spans.into_iter().map(Arc::unwrap_or_clone));
        }
        !is_too_many
    });
    if is_too_many {
        let detail = format!(
            "a Parquet file is built in memory, and these traces have more than {MAX_PARQUET_SPANS} spans"
        );
        let problem = Problem::new(Code::TelemetryTooLarge, detail).at("format");
        return Err(
            problem.next("ask for a shorter time or a smaller limit, or for otlp-json, which is streamed")
        );
    }
    storage_spans::parquet(&all, clock::now().wall).map_err(|error| Problem::new(Code::Internal, error))
}

/// Which traces.
enum Wanted {
    These(Vec<TraceId>),
    Found { query: Box<Query>, expression: Option<Expression>, limit: usize },
}

impl Wanted {
    fn of(asked: ExportQuery) -> Result<Self, Problem> {
        let limit = asked.limit.unwrap_or(TRACES);
        if !(1..=MAX_TRACES).contains(&limit) {
            let rule = format!("limit {limit} is not valid: a number from 1 to {MAX_TRACES}");
            return Err(invalid("limit", rule));
        }
        if let Some(ids) = asked.ids.filter(|ids| !ids.is_empty()) {
            let ids: Result<Vec<TraceId>, _> = ids.split(',').map(traces::spelling::trace_id).collect();
            let ids = ids.map_err(|error| invalid("ids", error))?;
            if ids.len() > MAX_IDS {
                return Err(invalid("ids", format!("ids are not valid: at most {MAX_IDS} of them")));
            }
            return Ok(Self::These(ids));
        }
        let expression = expression(asked.q.as_deref())?;
        let query = query(SearchQuery {
            namespace: asked.namespace,
            service: asked.service,
            operation: asked.operation,
            start: asked.start,
            end: asked.end,
            ..SearchQuery::default()
        })?;
        Ok(Self::Found { query: Box::new(query), expression, limit })
    }

    /// Gives the spans of each trace to `take`, until it wants no more.
    fn each(&self, state: &State, caller: &Principal, mut take: impl FnMut(Vec<Arc<Span>>) -> bool) {
        let mut give = |id| {
            let mut spans = pins::spans(state, id);
            spans.retain(|span| may_see(caller, span));
            // Those of a trace that just went are none.
            spans.is_empty() || take(spans)
        };
        let (query, expression, limit) = match self {
            Self::These(ids) => {
                let _ = ids.iter().all(|id| give(*id));
                return;
            }
            Self::Found { query, expression, limit } => (query, expression, *limit),
        };
        let (mut given, mut page): (usize, Option<PageToken>) = (0, None);
        loop {
            let query = Query { limit: PAGE.min(limit - given), page, ..(**query).clone() };
            let found = match expression {
                None => state.spans.search(&query),
                Some(expression) => state
                    .spans
                    .search_where(&query, expression, &|namespace| may_see_namespace(caller, namespace)),
            };
            for summary in &found.traces {
                if !give(summary.trace_id) {
                    return;
                }
            }
            given += found.traces.len();
            page = found.next;
            if page.is_none() || given >= limit {
                return;
            }
        }
    }
}
