//! What became of all telemetry.

use axum::{Extension, Json, extract::State as Of};
use storage_catalog::Scope;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{Caller, Shared, extract::Answer};
use crate::{state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The accounts of spans and samples: `received = stored + sampled_out + Σ dropped + spooled`.
#[utoipa::path(
    get, path = "/bellwether/v1/ledger", tag = "operation",
    responses((status = 200, body = api::Ledgers), (status = "default", body = Problem)),
)]
async fn show(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Ledgers>> {
    caller.require(Scope::Read, None)?;
    Ok(Json(ledgers(&state)))
}

/// Both accounts.
pub(super) fn ledgers(state: &State) -> api::Ledgers {
    let (spans, samples) = state.ledgers();
    api::Ledgers { spans: view::ledger(&spans), samples: view::ledger(&samples) }
}
