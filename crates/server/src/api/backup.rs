//! Taking a backup and bringing one back, while everything goes on.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Request, State as Of},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::header;
use http_body_util::BodyExt;
use registry::Snapshot;
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked},
};
use crate::{
    backup::{self, Backup, Reading, Restore, Writing},
    clock,
    listener::BodyRule,
    state::State,
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    let restore = routes!(restore).layer(BodyRule::at_most(backup::FILE_BYTES));
    OpenApiRouter::new().routes(routes!(take)).routes(restore)
}

/// Everything that the catalog holds, of one revision: instances with their leases, tokens without their
/// secrets. Lines of JSON that say what they are and end with a checksum. It concerns all namespaces.
#[utoipa::path(
    get, path = "/bellwether/v1/backup", tag = "operation", operation_id = "backup",
    responses(
        (status = 200, description = "the file", body = String, content_type = "application/jsonl"),
        (status = "default", body = Problem),
    ),
)]
async fn take(Of(state): Shared, Extension(caller): Caller) -> Answer<Response> {
    caller.require(Scope::Admin, None)?;
    let (Snapshot { revision, instances, .. }, policies) = {
        let registry = state.roll.read();
        (registry.snapshot(), registry.policies().holding())
    };
    let (tokens, proxies) = (state.access.tokens(), state.subscribers.known());
    let made_at = clock::now().wall;
    let writing = Writing::new(Backup { revision, made_at, instances, tokens, proxies, policies });
    let pieces = stream::unfold(writing, |mut writing| async move {
        // Others have their turn between two pieces.
        tokio::task::yield_now().await;
        let piece = writing.next()?;
        Some((Ok::<_, Infallible>(piece), writing))
    });
    let name = format!("attachment; filename=\"bellwether-{revision}.backup\"");
    let headers = [(header::CONTENT_TYPE, backup::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, [(header::CONTENT_DISPOSITION, name)], Body::from_stream(pieces)).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RestoreQuery {
    /// Let the backup hold also for what is there: what differs becomes as it was, what is not in the backup
    /// goes.
    #[serde(default)]
    replace: bool,
    /// Whether tokens that are missing come back as well; true where it is not given. A token that was
    /// revoked after the backup is missing.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    tokens: bool,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// Restores a backup: at most 2GiB, read to its end and checked before anything changes. Instances that are
/// missing come back with the leases that they had. The revision goes forward, past the backup's.
#[utoipa::path(
    post, path = "/bellwether/v1/restore", tag = "operation", operation_id = "restore", params(RestoreQuery),
    request_body(content = String, content_type = "application/jsonl"),
    responses(
        (status = 200, body = api::Restored),
        (status = 400, description = "the file was cut or changed; nothing is restored", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn restore(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<RestoreQuery>,
    request: Request,
) -> Answer<Json<api::Restored>> {
    caller.require(Scope::Admin, None)?;
    // What is read is kept in memory until it is restored.
    let _one_at_a_time = state.restoring.try_lock().map_err(|_| {
        Problem::new(Code::StorageBusy, "another restore is under way").next("wait until it has ended")
    })?;
    let backup = read(request.into_body()).await?;
    let how = Restore { replace: query.replace, tokens: query.tokens };
    let actor = caller.actor(DIALECT);
    if query.dry_run {
        return Ok(Json(backup::plan(&state, backup, how, &actor)));
    }
    Ok(Json(backup::restore(&state, backup, how, &actor).await?))
}

async fn read(mut body: Body) -> Result<Backup, Problem> {
    let mut reading = Reading::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
        if let Some(bytes) = frame.data_ref() {
            reading.take(bytes)?;
        }
    }
    reading.finish()
}
