//! What operators say of instances and services, whatever these say of themselves.

use axum::{Extension, Json, extract::State as Of, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use identity::{InstanceId, Namespace, ServiceName, duration};
use registry::{Ask, Command, Effect, Pinned, ServiceView, Status, Target};
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked, Named, Sent, invalid, seen_revision, tag},
    instances::{EndQuery, WriteQuery, decide},
    services,
};
use crate::{access::Principal, clock, problems, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(pin, release)).routes(routes!(weigh, unweigh)).routes(routes!(delete))
}

/// Says what an instance is, whatever its lease and its checks say. The same again changes nothing.
#[utoipa::path(
    put, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/override",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), WriteQuery,
        ("If-Match" = Option<String>, Header, description = "the instance's ETag; if it has changed since, nothing happens")),
    request_body = api::OverrideBody,
    responses(
        (status = 200, body = api::Instance, headers(("ETag" = String, description = "its revision"))),
        (status = 412, description = "the instance has changed since", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn pin(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(query): Asked<WriteQuery>,
    headers: HeaderMap,
    Sent(body): Sent<api::OverrideBody>,
) -> Answer<impl IntoResponse> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let status: Pinned = body.status.parse().map_err(|error| problems::invalid(&error))?;
    with_reason(&body.reason)?;
    let lasts = body.lasts.as_deref().map(duration::parse).transpose();
    let lasts = lasts.map_err(|error| invalid("/for", error))?;
    let target = Target { namespace, service, instance };
    let ask = at(&headers, Ask::Override { status, lasts, reason: body.reason.into() })?;
    said(&state, &caller, target, ask, query.dry_run).await
}

/// Has something said of an instance, and shows what it is then.
async fn said(
    state: &State,
    caller: &Principal,
    target: Target,
    ask: Ask,
    dry_run: bool,
) -> Answer<impl IntoResponse + use<>> {
    let command = Command { target: target.clone(), actor: caller.actor(DIALECT), ask };
    let outcome = decide(state, command, dry_run).await?;
    let registry = state.roll.read();
    let now = clock::now();
    // What it is after this command, which later ones may have changed already.
    let left = outcome.change.and_then(|change| match &change.effect {
        Effect::Put(instance) => Some(instance.clone()),
        Effect::Removed | Effect::Leased(_) => None,
    });
    let seen = match &left {
        Some(instance) => Some(&**instance),
        None => registry.instance(&target),
    };
    let seen = seen.map(|instance| view::instance(&registry, now, &target, instance));
    let seen = seen.ok_or_else(|| problems::registry(registry::Error::NotFound(target.clone())))?;
    Ok((tag(seen.revision), Json(seen)))
}

fn with_reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(invalid("/reason", "a reason is needed: people will ask why"));
    }
    Ok(())
}

/// What is asked of an instance, as long as it is as the caller saw it.
fn at(headers: &HeaderMap, ask: Ask) -> Result<Ask, Problem> {
    Ok(match seen_revision(headers)? {
        Some(revision) => Ask::At { revision, then: Box::new(ask) },
        None => ask,
    })
}

/// Ends an override: the instance is again what its lease, its drain and its checks say.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/override",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the instance's ETag; if it has changed since, nothing happens")),
    responses(
        (status = 204, description = "there is none"),
        (status = 412, description = "the instance has changed since", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn release(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let ask = at(&headers, Ask::Release { reason: query.reason("released by an operator")? })?;
    let target = Target { namespace, service, instance };
    decide(&state, Command { target, actor: caller.actor(DIALECT), ask }, query.dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what an instance's share of the calls is, whatever it registers. The same again changes nothing.
///
/// The word holds until it is taken back, also when another process registers the instance. It says nothing
/// of the status: with a weight of 0 an instance stays up and gets no calls, but nobody waits for those in
/// flight as a drain does. The last instance that takes calls gets 0 with `force` only.
#[utoipa::path(
    put, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/weight",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), WriteQuery,
        ("If-Match" = Option<String>, Header, description = "the instance's ETag; if it has changed since, nothing happens")),
    request_body = api::WeightBody,
    responses(
        (status = 200, body = api::Instance, headers(("ETag" = String, description = "its revision"))),
        (status = 409, description = "it is the last instance that takes calls", body = Problem),
        (status = 412, description = "the instance has changed since", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn weigh(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(query): Asked<WriteQuery>,
    headers: HeaderMap,
    Sent(body): Sent<api::WeightBody>,
) -> Answer<impl IntoResponse> {
    caller.require(Scope::Admin, Some(&namespace))?;
    with_reason(&body.reason)?;
    let api::WeightBody { weight, reason, force } = body;
    let ask = at(&headers, Ask::Weigh { weight, force, reason: reason.into() })?;
    said(&state, &caller, Target { namespace, service, instance }, ask, query.dry_run).await
}

/// Takes an operator's word on a weight back: the instance's share is again what it registered.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/weight",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the instance's ETag; if it has changed since, nothing happens")),
    responses(
        (status = 204, description = "there is none"),
        (status = 412, description = "the instance has changed since", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn unweigh(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let ask = at(&headers, Ask::Unweigh { reason: query.reason("taken back by an operator")? })?;
    let target = Target { namespace, service, instance };
    decide(&state, Command { target, actor: caller.actor(DIALECT), ask }, query.dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeleteQuery {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
    /// Also while instances are up.
    #[serde(default)]
    force: bool,
    /// Why, for those who will read of it.
    reason: Option<String>,
}

/// Removes every instance of a service, all at once: also a crash leaves all of them there or none. Those
/// that register from then on are there again.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/services/{service}", tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), DeleteQuery),
    responses(
        (status = 200, body = api::ServiceDeleted),
        (status = 409, description = "instances are up, and force was not given", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn delete(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<DeleteQuery>,
) -> Answer<Json<api::ServiceDeleted>> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let DeleteQuery { dry_run, force, reason } = query;
    let reason = EndQuery { dry_run, reason }.reason("the service was deleted by an operator")?;
    let view = {
        let registry = state.roll.read();
        let view = registry.service(&namespace, &service);
        view.ok_or_else(|| services::unknown(&registry, &namespace, &service))?
    };
    if !force {
        unused(&service, &view)?;
    }
    let actor = caller.actor(DIALECT);
    let commands = view.instances.iter().map(|(id, instance)| Command {
        target: Target { namespace: namespace.clone(), service: service.clone(), instance: id.clone() },
        actor: actor.clone(),
        // A process that registers meanwhile has another lease, and stays.
        ask: Ask::Deregister { held: Some(instance.lease), reason: reason.clone() },
    });
    let commands: Vec<Command> = commands.collect();
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    let decided =
        if dry_run { state.roll.try_out_all(commands) } else { state.roll.apply_all(commands).await? };
    for ((id, _), decided) in view.instances.iter().zip(decided) {
        match decided {
            Ok(_) => removed.push(id.to_string()),
            Err(problem) if problem.code() == Code::StaleLease => kept.push(id.to_string()),
            Err(problem) if problem.code() == Code::NoSuchInstance => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    let revision = state.roll.read().revision();
    Ok(Json(api::ServiceDeleted { revision, removed, kept }))
}

/// Refuses while calls go there.
fn unused(service: &ServiceName, view: &ServiceView) -> Result<(), Problem> {
    let mut up = view.instances.iter().filter(|(_, instance)| instance.status == Status::Up);
    let Some((first, _)) = up.next() else { return Ok(()) };
    let others = up.count();
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    Err(Problem::new(Code::ServiceInUse, format!("instance {first}{more} of service \"{service}\" is up")))
}
