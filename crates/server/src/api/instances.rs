//! Instances come, stay and go.

use axum::{
    Extension, Json,
    extract::State as Of,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use identity::{InstanceId, Namespace, ServiceName};
use registry::{Ask, Command, LeaseId, Outcome, Target};
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api, decode,
    problem::{Code, Problem},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked, Named, Sent, Unread, held_lease, invalid, tag, written},
    may_read,
    registration::{self, Place},
    services,
};
use crate::{access::Principal, clock, problems, random, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(register, show, deregister))
        .routes(routes!(heartbeat))
        .routes(routes!(undrain))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteQuery {
    /// Only say what would happen.
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EndQuery {
    /// Only say what would happen.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Why, for those who will read of it.
    pub(super) reason: Option<String>,
}

impl EndQuery {
    /// The reason that was given, else the usual one.
    pub(super) fn reason(&mut self, usual: &str) -> Result<Box<str>, Problem> {
        let Some(reason) = self.reason.take().filter(|reason| !reason.is_empty()) else {
            return Ok(usual.into());
        };
        registry::check_reason(&reason).map_err(|error| invalid("reason", error))?;
        Ok(reason.into())
    }
}

/// Registers an instance, or says something else of it. The same again changes nothing but the lease.
///
/// With a `ttl`, it counts as down when no heartbeat came for that long. A service outside that sends none
/// is registered without: by its DNS name, which is resolved at each call, and with `checks`. It is up while
/// these pass, and stays until it is deleted.
#[utoipa::path(
    put, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}", tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), WriteQuery,
        ("If-Match" = Option<String>, Header, description = "the lease that the caller holds already")),
    request_body = api::RegistrationBody,
    responses(
        (status = 201, description = "it was not there before", body = api::Registered),
        (status = 200, description = "it was", body = api::Registered),
        (status = "default", body = Problem),
    ),
)]
async fn register(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(query): Asked<WriteQuery>,
    headers: HeaderMap,
    Unread(body): Unread,
) -> Answer<Response> {
    let target = Target { namespace, service, instance };
    registered(&state, &caller, target, query.dry_run, &headers, &body).await
}

/// Registers an instance, whichever way the request was found.
pub(super) async fn registered(
    state: &State,
    caller: &Principal,
    target: Target,
    dry_run: bool,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<Response> {
    let body: api::RegistrationBody<'_> = decode::json(body)?;
    caller.require(Scope::Write, Some(&target.namespace))?;
    let held = held_lease(headers, body.lease_id.as_deref())?;
    let registration = Box::new(registration::read(body, Place::Whole)?);
    let lease = LeaseId(random::number()?);
    let ask = Ask::Register { registration, lease, held };
    let command = Command { target, actor: caller.actor(DIALECT), ask };
    let outcome = decide(state, command, dry_run).await?;
    let revision =
        outcome.change.as_ref().map_or_else(|| state.roll.read().revision(), |change| change.revision);
    // A lease that only a dry run gave is nobody's.
    let lease = outcome.lease.filter(|lease| !dry_run || held == Some(*lease));
    let lease_id = lease.map(|lease| lease.to_string());
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    written(status, &api::Registered { lease_id, revision, created: outcome.created })
}

/// An instance as it is now.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}", tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path)),
    responses(
        (status = 200, body = api::Instance, headers(("ETag" = String, description = "its revision, for If-Match of an override"))),
        (status = "default", body = Problem),
    ),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
) -> Answer<impl IntoResponse> {
    may_read(&caller, &namespace)?;
    let registry = state.roll.read();
    if registry.service(&namespace, &service).is_none() {
        return Err(services::unknown(&registry, &namespace, &service).into());
    }
    let target = Target { namespace, service, instance };
    let now = clock::now();
    let found = registry.instance(&target).map(|instance| view::instance(&registry, now, &target, instance));
    let found = found.ok_or_else(|| problems::registry(registry::Error::NotFound(target.clone())))?;
    Ok((tag(found.revision), Json(found)))
}

/// Removes an instance: the holder of its lease, or an operator.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}", tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the lease; without it the scope admin is needed")),
    request_body = Option<api::LeaseBody>,
    responses((status = 204, description = "it is gone"), (status = "default", body = Problem)),
)]
async fn deregister(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
    body: Option<Sent<api::LeaseBody>>,
) -> Answer<StatusCode> {
    let held = held(&caller, &namespace, &headers, body)?;
    let usual = if held.is_some() { "deregistered by its owner" } else { "removed by an operator" };
    let ask = Ask::Deregister { held, reason: query.reason(usual)? };
    let target = Target { namespace, service, instance };
    let command = Command { target, actor: caller.actor(DIALECT), ask };
    decide(&state, command, query.dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets calls come again to an instance that is draining: the holder of its lease, or an operator.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/drain",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the lease; without it the scope admin is needed")),
    request_body = Option<api::LeaseBody>,
    responses((status = 204, description = "it is not draining"), (status = "default", body = Problem)),
)]
async fn undrain(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
    body: Option<Sent<api::LeaseBody>>,
) -> Answer<StatusCode> {
    let held = held(&caller, &namespace, &headers, body)?;
    let usual = if held.is_some() { "undrained by its owner" } else { "undrained by an operator" };
    let ask = Ask::Undrain { held, reason: query.reason(usual)? };
    let target = Target { namespace, service, instance };
    let command = Command { target, actor: caller.actor(DIALECT), ask };
    decide(&state, command, query.dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Decides a command, or says what it would do.
pub(super) async fn decide(state: &State, command: Command, dry_run: bool) -> Result<Outcome, Problem> {
    if dry_run { state.roll.try_out(command) } else { state.roll.apply(command).await }
}

/// Keeps a lease, and brings a lapsed instance back.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/heartbeat",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path),
        ("If-Match" = Option<String>, Header, description = "the lease; without it the scope admin is needed")),
    request_body = Option<api::LeaseBody>,
    responses(
        (status = 204, description = "the lease begins anew"),
        (status = 404, description = "unknown or forgotten: register again", body = Problem),
        (status = 409, description = "another process holds the lease", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn heartbeat(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    headers: HeaderMap,
    Unread(body): Unread,
) -> Answer<StatusCode> {
    kept(&state, &caller, Target { namespace, service, instance }, &headers, &body).await
}

/// Keeps a lease, whichever way the request was found.
pub(super) async fn kept(
    state: &State,
    caller: &Principal,
    target: Target,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer<StatusCode> {
    let body = if body.is_empty() { None } else { Some(Sent(decode::json(body)?)) };
    let held = held(caller, &target.namespace, headers, body)?;
    state.roll.heartbeat(target, held, caller.actor(DIALECT)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The lease of the caller; whoever has none speaks as an operator.
pub(super) fn held(
    caller: &Principal,
    namespace: &Namespace,
    headers: &HeaderMap,
    body: Option<Sent<api::LeaseBody>>,
) -> Result<Option<LeaseId>, Problem> {
    caller.require(Scope::Write, Some(namespace))?;
    let held = held_lease(headers, body.and_then(|Sent(body)| body.lease_id).as_deref())?;
    if held.is_none() && caller.require(Scope::Admin, Some(namespace)).is_err() {
        return Err(lease_missing().at("If-Match"));
    }
    Ok(held)
}

/// The problem of a caller who is neither owner nor operator.
pub(super) fn lease_missing() -> Problem {
    let detail = "without a lease only an operator (scope admin) may do this to an instance";
    Problem::new(Code::LeaseMissing, detail)
}
