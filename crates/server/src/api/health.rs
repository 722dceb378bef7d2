//! Whether the process lives, and whether it can serve.

use axum::extract::State as Of;
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::problem::{Code, Problem};

use super::{Shared, extract::Answer};
use crate::{problems, state::State};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Whether the process lives. A restart would help if not.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests can be served: everything is recovered, and the server is not stopping. A full disk
/// does not count: discovery and reads go on.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses((status = 200, body = String), (status = 503, body = Problem)),
)]
async fn readyz(Of(state): Shared) -> Answer<(StatusCode, &'static str)> {
    if state.stopping.is_cancelled() {
        return Err(problems::stopping().into());
    }
    if state.roll.is_gone() {
        return Err(Problem::new(Code::NotReady, "the registry's writer has ended").into());
    }
    Ok((StatusCode::OK, "ready\n"))
}
