//! Who is there: namespaces and services.

use std::str::FromStr;

use axum::{Extension, Json, extract::State as Of};
use http::HeaderMap;
use identity::{Namespace, ServiceName};
use registry::{Registry, Status};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api, nearest,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named, invalid},
    may_read, pages, polled,
};
use crate::{clock, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(namespaces)).routes(routes!(list)).routes(routes!(show))
}

/// The namespaces in use.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces", tag = "discovery",
    responses((status = 200, body = api::Namespaces), (status = "default", body = Problem)),
)]
async fn namespaces(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Namespaces>> {
    let registry = state.roll.read();
    let seen = registry
        .namespaces()
        .filter(|namespace| caller.require(storage_catalog::Scope::Read, Some(namespace)).is_ok());
    let mut namespaces: Vec<String> = seen.map(ToString::to_string).collect();
    if namespaces.is_empty() {
        namespaces.push(Namespace::default().to_string());
    }
    Ok(Json(api::Namespaces { namespaces }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Items of a page, 1 to 1000; 100 where it is not given.
    limit: Option<usize>,
    /// The token of a page, from `next` of the one before.
    page: Option<String>,
}

/// The services of a namespace.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services", tag = "discovery",
    params(("namespace" = String, Path), ListQuery),
    responses((status = 200, body = api::Services), (status = "default", body = Problem)),
)]
async fn list(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Json<api::Services>> {
    may_read(&caller, &namespace)?;
    let limit = pages::limit(query.limit)?;
    let registry = state.roll.read();
    let (page, next) =
        pages::by_name(registry.services(&namespace), |name| name.to_string(), query.page.as_deref(), limit);
    let entry = |name: &ServiceName| {
        let view = registry.service(&namespace, name)?;
        Some(api::ServiceEntry {
            service: name.to_string(),
            revision: view.revision,
            instances: view::counts(&view),
        })
    };
    Ok(Json(api::Services {
        revision: registry.revision(),
        services: page.into_iter().filter_map(entry).collect(),
        next,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// Only instances of this status.
    #[param(example = "up")]
    status: Option<String>,
}

/// A service with its instances, whatever their status, and why they have it.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}", tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), ShowQuery),
    responses((status = 200, body = api::Service), (status = "default", body = Problem)),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<ShowQuery>,
    headers: HeaderMap,
) -> Answer<Json<api::Service>> {
    may_read(&caller, &namespace)?;
    polled(&state, &caller, &headers, &namespace, Some(&service));
    let status = query
        .status
        .as_deref()
        .map(Status::from_str)
        .transpose()
        .map_err(|error| invalid("status", error))?;
    let registry = state.roll.read();
    let view =
        registry.service(&namespace, &service).ok_or_else(|| unknown(&registry, &namespace, &service))?;
    let wanted = |of| status.is_none_or(|status| status == of);
    Ok(Json(view::service(&registry, clock::now(), &namespace, &service, &view, wanted)))
}

/// The problem of a service that no instance is registered for.
pub(super) fn unknown(registry: &Registry, namespace: &Namespace, service: &ServiceName) -> Problem {
    let problem = Problem::new(
        Code::NoSuchService,
        format!("no instance of service \"{service}\" is registered in namespace \"{namespace}\""),
    );
    match nearest(service.as_str(), registry.services(namespace).map(ServiceName::as_str)) {
        Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}
