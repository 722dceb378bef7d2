//! What spans say: the keys of their attributes, and the values of a key. For whoever is about to write a query.

use std::{cmp::Reverse, sync::Arc};

use axum::{Extension, Json, extract::State as Of};
use identity::Namespace;
use serde::Deserialize;
use storage_catalog::Scope;
use storage_spans::Query;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, Named},
    pages,
};
use crate::{consumers, state::State};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(keys)).routes(routes!(values))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct KeysQuery {
    /// Only keys that begin so.
    #[serde(default)]
    prefix: String,
    /// Keys of the answer, 1 to 1000; 100 where it is not given.
    limit: Option<usize>,
}

/// The keys of attributes that spans have, the most frequent first. It concerns all namespaces.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/attributes", tag = "traces", operation_id = "attribute_keys",
    params(KeysQuery),
    responses((status = 200, body = api::AttributeKeys), (status = "default", body = Problem)),
)]
async fn keys(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(asked): Asked<KeysQuery>,
) -> Answer<Json<api::AttributeKeys>> {
    let limit = pages::limit(asked.limit)?;
    let mut found: Vec<api::AttributeKey> = consumers::keys(&state, &caller)?
        .into_iter()
        .filter(|of| of.key.starts_with(&asked.prefix))
        .map(|of| api::AttributeKey {
            key: of.key.into(),
            spans: of.types.iter().map(|(_, count)| count).sum(),
            types: of.types.iter().map(|(kind, _)| kind.as_str().to_owned()).collect(),
        })
        .collect();
    found.sort_by(|one, other| (Reverse(one.spans), &one.key).cmp(&(Reverse(other.spans), &other.key)));
    found.truncate(limit);
    Ok(Json(api::AttributeKeys { keys: found }))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ValuesQuery {
    /// Only of traces with a span of this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only of traces with a span of this service.
    service: Option<String>,
    /// Only values that begin so.
    #[serde(default)]
    prefix: String,
    /// Values of the answer, 1 to 1000; 100 where it is not given.
    limit: Option<usize>,
}

/// Values of an attribute, the most frequent first, as the newest traces with the key have them. A value that is
/// rare may be missing.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/attributes/{key}", tag = "traces", operation_id = "attribute_values",
    params(("key" = String, Path, example = "http.route"), ValuesQuery),
    responses((status = 200, body = api::AttributeValues), (status = "default", body = Problem)),
)]
async fn values(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(key): Named<String>,
    Asked(asked): Asked<ValuesQuery>,
) -> Answer<Json<api::AttributeValues>> {
    caller.require(Scope::Read, asked.namespace.as_ref())?;
    let limit = pages::limit(asked.limit)?;
    let query = Query {
        namespace: asked.namespace.as_ref().map(|namespace| namespace.as_str().into()),
        service: asked.service.map(Into::into),
        ..Query::default()
    };
    let name = key.clone();
    let found = beside(move || Ok(consumers::values(&state, &caller, query, &name))).await?;
    let found = found.into_iter().filter(|(value, _)| value.starts_with(&asked.prefix));
    let mut values: Vec<api::AttributeValue> =
        found.map(|(value, spans)| api::AttributeValue { value, spans }).collect();
    values.sort_by(|one, other| (Reverse(one.spans), &one.value).cmp(&(Reverse(other.spans), &other.value)));
    values.truncate(limit);
    Ok(Json(api::AttributeValues { key, values }))
}
