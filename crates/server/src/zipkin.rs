//! Zipkin: spans to `POST /api/v2/spans`, in JSON and in Protocol Buffers; who reads them is answered by
//! [`queries`].
//!
//! The protocol has no partial success: what is refused of a list is in the ledger, and the answer to the
//! rest is 202, now that it is durable.

mod query;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State as Of},
    routing::post,
};
use http::{StatusCode, header};
use wire::zipkin;

use crate::{
    access::Principal,
    inflate::Coding,
    listener::Refusal,
    senders::{self, HTTP_CODING, Rewrite},
    state::State,
};

pub(crate) use query::routes as queries;

/// The routes of those who send.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new().route("/api/v2/spans", post(spans))
}

async fn spans(
    Of(state): Of<Arc<State>>,
    Extension(caller): Extension<Principal>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    // Whatever it says else is JSON, which is what senders of all ages mean.
    let rewrite: Rewrite = if kind.starts_with(b"application/x-protobuf") {
        |list| zipkin::from_protobuf(&list).map_err(|error| error.to_string())
    } else {
        |list| zipkin::from_json(&list).map_err(|error| error.to_string())
    };
    let coding = Coding::named(request.headers(), HTTP_CODING)?;
    let held = senders::read(&state, request, coding).await?;
    senders::take_in(&state, caller, held, rewrite).await?;
    Ok(StatusCode::ACCEPTED)
}
