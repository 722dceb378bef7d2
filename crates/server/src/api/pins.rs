//! Traces that stay, past the store's retention.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Of};
use http::StatusCode;
use identity::duration;
use storage_catalog::Scope;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Named, Sent, invalid},
    traces::{AnyTraceId, may_see, visible},
};
use crate::{
    chronicle, clock,
    pins::{self, Pin},
    state::State,
};

/// Characters of the longest reason.
const MAX_REASON: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pin, unpin))
}

/// The pinned traces of which the caller may see anything, in the order of their ids.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/pins", tag = "traces", operation_id = "pins",
    responses((status = 200, body = api::Pins), (status = "default", body = Problem)),
)]
async fn list(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Pins>> {
    caller.require(Scope::Read, None)?;
    Ok(Json(api::Pins { pins: state.pins.all().iter().map(|(id, pin)| pin.shown(*id)).collect() }))
}

/// Has a trace stay, also when the store lets go of what is as old. Pinning it again changes the reason and the
/// time.
#[utoipa::path(
    post, path = "/bellwether/v1/traces/{trace_id}/pin", tag = "traces", operation_id = "pin_trace",
    params(("trace_id" = String, Path, example = "0af7651916cd43dd8448eb211c80319c")),
    request_body = api::PinRequest,
    responses((status = 200, body = api::Pin), (status = "default", body = Problem)),
)]
async fn pin(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(AnyTraceId(id)): Named<AnyTraceId>,
    Sent(asked): Sent<api::PinRequest>,
) -> Answer<Json<api::Pin>> {
    caller.require(Scope::Write, None)?;
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        let rule = format!("reason is not valid: 1 to {MAX_REASON} characters that say why it has to stay");
        return Err(invalid("/reason", rule).into());
    }
    let period = asked.keep_for.as_deref().map(duration::parse).transpose();
    let period = period.map_err(|error| invalid("/for", error))?;
    let now = clock::now().wall;
    let pin = Pin {
        actor: caller.name.to_string(),
        reason: reason.to_owned(),
        at: now.0,
        until: period.map(|period| (now + period).0),
    };
    let (of, kept) = (state.clone(), pin.clone());
    beside(move || {
        let spans = pins::spans(&of, id);
        if !spans.iter().any(|span| may_see(&caller, span)) {
            return Err(Problem::new(Code::NoSuchTrace, format!("there is no trace {id}, or not any more")));
        }
        of.pins.put(id, kept, &spans)?;
        of.spans.pin(id, true);
        Ok(())
    })
    .await?;
    chronicle::record(&state, chronicle::trace("trace_pinned", id, &pin.actor, pin.reason.clone())).await;
    Ok(Json(pin.shown(id)))
}

/// Lets a trace go with the others of its age.
#[utoipa::path(
    delete, path = "/bellwether/v1/traces/{trace_id}/pin", tag = "traces", operation_id = "unpin_trace",
    params(("trace_id" = String, Path, example = "0af7651916cd43dd8448eb211c80319c")),
    responses((status = 204, description = "it is no longer pinned"), (status = "default", body = Problem)),
)]
async fn unpin(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(AnyTraceId(id)): Named<AnyTraceId>,
) -> Answer<StatusCode> {
    caller.require(Scope::Write, None)?;
    let (of, actor) = (state.clone(), caller.name.to_string());
    let was_pinned = beside(move || {
        visible(&of, &caller, id)?;
        of.spans.pin(id, false);
        of.pins.remove(id)
    });
    if !was_pinned.await? {
        return Err(Problem::new(Code::NoSuchTrace, format!("trace {id} is not pinned")).into());
    }
    let reason = "it is kept no longer than others".to_owned();
    chronicle::record(&state, chronicle::trace("trace_unpinned", id, &actor, reason)).await;
    Ok(StatusCode::NO_CONTENT)
}
