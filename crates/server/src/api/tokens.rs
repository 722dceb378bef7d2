//! Who may do what.

use axum::{Extension, Json, extract::State as Of, response::IntoResponse};
use http::StatusCode;
use identity::{Namespace, duration};
use storage_catalog::Scope;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared,
    extract::{Answer, Named, Sent, invalid},
};
use crate::{access, chronicle, clock, random, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// The tokens, without their secrets.
#[utoipa::path(
    get, path = "/bellwether/v1/tokens", tag = "operation",
    responses((status = 200, body = api::Tokens), (status = "default", body = Problem)),
)]
async fn list(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Tokens>> {
    caller.require(Scope::Admin, None)?;
    Ok(Json(api::Tokens { tokens: state.access.tokens().iter().map(view::token).collect() }))
}

/// Makes a token. Its secret is in the answer and nowhere else.
#[utoipa::path(
    post, path = "/bellwether/v1/tokens", tag = "operation", request_body = api::TokenRequest,
    responses((status = 201, body = api::TokenCreated), (status = "default", body = Problem)),
)]
async fn create(
    Of(state): Shared,
    Extension(caller): Caller,
    Sent(request): Sent<api::TokenRequest>,
) -> Answer<impl IntoResponse> {
    caller.require(Scope::Admin, None)?;
    let request = read(&request)?;
    let (token, secret) = request.mint(random::bytes()?, clock::now().wall)?;
    let id = token.id.clone();
    state.access.reserve(&token)?;
    if let Err(problem) = state.roll.put_token(token.clone()).await {
        state.access.release(&id);
        return Err(problem.into());
    }
    state.access.insert(token.clone());
    let scopes = token.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let reason = format!("token {id} for \"{}\" with {scopes}", token.name);
    chronicle::record(&state, chronicle::token("created", &caller.name, reason)).await;
    Ok((StatusCode::CREATED, Json(api::TokenCreated { id, token: secret })))
}

/// Ends a token at once.
#[utoipa::path(
    delete, path = "/bellwether/v1/tokens/{id}", tag = "operation", params(("id" = String, Path)),
    responses((status = 204, description = "it is refused from now on"), (status = "default", body = Problem)),
)]
async fn revoke(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(id): Named<String>,
) -> Answer<StatusCode> {
    caller.require(Scope::Admin, None)?;
    if !state.access.tokens().iter().any(|token| token.id == id) {
        return Err(Problem::new(Code::NoSuchToken, format!("there is no token {id:?}")).into());
    }
    state.roll.revoke_token(id.clone()).await?;
    state.access.remove(&id);
    chronicle::record(&state, chronicle::token("revoked", &caller.name, format!("token {id}"))).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What is asked for, checked.
pub(crate) fn read(request: &api::TokenRequest) -> Result<access::TokenSpec, Problem> {
    let scopes = request.scopes.iter().map(|scope| scope.parse::<Scope>()).collect::<Result<_, _>>();
    let namespaces =
        request.namespaces.iter().map(|name| name.parse::<Namespace>()).collect::<Result<_, _>>();
    let ttl = request.ttl.as_deref().map(duration::parse).transpose();
    Ok(access::TokenSpec {
        name: request.name.clone(),
        scopes: scopes.map_err(|error| invalid("/scopes", error))?,
        namespaces: namespaces.map_err(|error| invalid("/namespaces", error))?,
        ttl: ttl.map_err(|error| invalid("/ttl", error))?,
    })
}
