//! Policies: what should happen to calls, as documents.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as Of,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use identity::{Namespace, PolicyName, ServiceName};
use registry::{PolicyAsk, PolicyCommand, PolicyDocument, PolicyRevision, Registry};
use serde::Deserialize;
use serde_json::Value;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::{
    native::{
        api, nearest,
        problem::{Code, Problem},
    },
    policy::{self, Kind},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked, Named, Sent, Unread, expected, invalid},
    instances::EndQuery,
    may_read, pages,
};
use crate::{clock, problems, state::State};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(schema))
        .routes(routes!(list))
        .routes(routes!(show, put, delete))
        .routes(routes!(history))
        .routes(routes!(rollback))
        .routes(routes!(effective))
}

/// The JSON Schema of policy documents, for editors.
#[utoipa::path(
    get, path = "/bellwether/v1/policies/schema.json", tag = "resilience",
    responses((status = 200, description = "the schema", body = Value), (status = "default", body = Problem)),
)]
async fn schema() -> Json<Value> {
    Json(policy::schema())
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

/// The policies of a namespace.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/policies", tag = "resilience",
    params(("namespace" = String, Path), ListQuery),
    responses((status = 200, body = api::Policies), (status = "default", body = Problem)),
)]
async fn list(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Json<api::Policies>> {
    may_read(&caller, &namespace)?;
    let limit = pages::limit(query.limit)?;
    let registry = state.roll.read();
    let policies = registry.policies().of(&namespace);
    let (page, next) = pages::by_name(policies, |(name, _)| name.to_string(), query.page.as_deref(), limit);
    let policies = page.iter().filter_map(|(name, policy)| {
        let (made, document) = policy.current()?;
        Some(shape(&namespace, name, made, document))
    });
    Ok(Json(api::Policies { revision: registry.revision(), policies: policies.collect(), next }))
}

/// A policy.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/policies/{policy}", tag = "resilience",
    params(("namespace" = String, Path), ("policy" = String, Path)),
    responses((status = 200, body = api::Policy), (status = "default", body = Problem)),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, name)): Named<(Namespace, PolicyName)>,
) -> Answer<Response> {
    may_read(&caller, &namespace)?;
    Ok(tagged(StatusCode::OK, current(&state.roll.read(), &namespace, &name)?))
}

/// Says what holds for the calls of a service, or of all services of a namespace that say nothing else.
///
/// The body is a document, as JSON or as YAML; its name and namespace are those of the path. The same again
/// changes nothing. Proxies follow at once, without a call that is lost.
#[utoipa::path(
    put, path = "/bellwether/v1/namespaces/{namespace}/policies/{policy}", tag = "resilience",
    params(("namespace" = String, Path), ("policy" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the revision that was seen, in quotes; * for any")),
    request_body(content((Value = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 201, description = "it was not there before", body = api::Policy),
        (status = 200, description = "it was", body = api::Policy),
        (status = 409, description = "another policy is for the same service", body = Problem),
        (status = 412, description = "it is of another revision than If-Match says", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn put(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, name)): Named<(Namespace, PolicyName)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
    Unread(body): Unread,
) -> Answer<Response> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let reason = query.reason("applied")?;
    let expected = expected(&headers)?;
    let text = std::str::from_utf8(&body);
    let text =
        text.map_err(|error| Problem::new(Code::MalformedBody, format!("the body is not UTF-8: {error}")))?;
    let document = policy::read(text).map_err(|mistake| problems::mistake(&mistake))?;
    let is_of = |of: &str, here: &str, place: &'static str| {
        let why =
            format!("\"{of}\" is not valid: the path says \"{here}\", and the document has to say the same");
        if of == here { Ok(()) } else { Err(invalid(place, why)) }
    };
    is_of(document.name.as_str(), name.as_str(), "/metadata/name")?;
    if let Some(of) = &document.namespace {
        is_of(of.as_str(), namespace.as_str(), "/metadata/namespace")?;
    }
    let text = document.json().to_string().into();
    let ask = PolicyAsk::Put(PolicyDocument { service: document.service, text });
    let command = PolicyCommand { namespace, name, ask, expected, actor: caller.actor(DIALECT), reason };
    decide(&state, command, query.dry_run).await
}

/// Removes a policy. What is below it holds from then on. Its history is kept for a while.
#[utoipa::path(
    delete, path = "/bellwether/v1/namespaces/{namespace}/policies/{policy}", tag = "resilience",
    params(("namespace" = String, Path), ("policy" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the revision that was seen, in quotes; * for any")),
    responses((status = 204, description = "there is none"), (status = "default", body = Problem)),
)]
async fn delete(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, name)): Named<(Namespace, PolicyName)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let reason = query.reason("deleted by an operator")?;
    let (ask, expected) = (PolicyAsk::Delete, expected(&headers)?);
    let command = PolicyCommand { namespace, name, ask, expected, actor: caller.actor(DIALECT), reason };
    decide(&state, command, query.dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What became of a policy: every revision that is kept, with who, when and why.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/policies/{policy}/history", tag = "resilience",
    params(("namespace" = String, Path), ("policy" = String, Path)),
    responses((status = 200, body = api::PolicyHistory), (status = "default", body = Problem)),
)]
async fn history(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, name)): Named<(Namespace, PolicyName)>,
) -> Answer<Json<api::PolicyHistory>> {
    may_read(&caller, &namespace)?;
    let registry = state.roll.read();
    let policy = registry.policies().get(&namespace, &name);
    let policy = policy.ok_or_else(|| unknown(&registry, &namespace, &name))?;
    let revision = |made: &Arc<PolicyRevision>| api::PolicyRevision {
        revision: made.revision,
        number: made.number,
        at: made.at.to_string(),
        action: made.action.as_str().to_owned(),
        actor: made.actor.name.to_string(),
        from: made.actor.from.to_string(),
        reason: made.reason.to_string(),
        document: made.document.as_ref().map(json),
    };
    Ok(Json(api::PolicyHistory {
        namespace: namespace.to_string(),
        name: name.to_string(),
        forgotten: policy.forgotten(),
        revisions: policy.history().map(revision).collect(),
    }))
}

/// Lets a policy say again what it said at a revision, as a new revision. Also one that was deleted.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/policies/{policy}/rollback", tag = "resilience",
    params(("namespace" = String, Path), ("policy" = String, Path), EndQuery,
        ("If-Match" = Option<String>, Header, description = "the revision that was seen, in quotes; * for any")),
    request_body = Option<api::RollbackBody>,
    responses(
        (status = 200, body = api::Policy),
        (status = 201, description = "it had been deleted", body = api::Policy),
        (status = "default", body = Problem),
    ),
)]
async fn rollback(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, name)): Named<(Namespace, PolicyName)>,
    Asked(mut query): Asked<EndQuery>,
    headers: HeaderMap,
    body: Option<Sent<api::RollbackBody>>,
) -> Answer<Response> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let to = body.and_then(|Sent(body)| body.to);
    let usual = to.map_or_else(|| "rolled back".to_owned(), |to| format!("rolled back to revision {to}"));
    let reason = query.reason(&usual)?;
    let (ask, expected) = (PolicyAsk::RollBack(to), expected(&headers)?);
    let command = PolicyCommand { namespace, name, ask, expected, actor: caller.actor(DIALECT), reason };
    decide(&state, command, query.dry_run).await
}

/// What holds for the calls of a service, and where each section of it comes from.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/policy", tag = "resilience",
    params(("namespace" = String, Path), ("service" = String, Path)),
    responses((status = 200, body = api::EffectivePolicy), (status = "default", body = Problem)),
)]
async fn effective(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
) -> Answer<Json<api::EffectivePolicy>> {
    may_read(&caller, &namespace)?;
    Ok(Json(state.policies.effective(&state.roll.read(), &namespace, &service)))
}

/// Has a command decided and made durable, or only says what it would do.
async fn decide(state: &State, command: PolicyCommand, dry_run: bool) -> Answer<Response> {
    let (namespace, name) = (command.namespace.clone(), command.name.clone());
    let was_there =
        state.roll.read().policies().get(&namespace, &name).is_some_and(|of| of.current().is_some());
    let change = if dry_run {
        state.roll.read().decide_policy(clock::now(), command).map_err(problems::policy)?
    } else {
        state.roll.apply_policy(command).await?
    };
    let Some(change) = change else {
        return Ok(tagged(StatusCode::OK, current(&state.roll.read(), &namespace, &name)?));
    };
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    Ok(match &change.made.document {
        Some(document) => tagged(status, shape(&namespace, &name, &change.made, document)),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn tagged(status: StatusCode, policy: api::Policy) -> Response {
    (status, [(header::ETAG, format!("\"{}\"", policy.revision))], Json(policy)).into_response()
}

/// A policy as it holds.
fn current(registry: &Registry, namespace: &Namespace, name: &PolicyName) -> Result<api::Policy, Problem> {
    let policy = registry.policies().get(namespace, name).and_then(registry::Policy::current);
    let (made, document) = policy.ok_or_else(|| unknown(registry, namespace, name))?;
    Ok(shape(namespace, name, made, document))
}

fn shape(
    namespace: &Namespace,
    name: &PolicyName,
    made: &PolicyRevision,
    document: &PolicyDocument,
) -> api::Policy {
    let kind = if document.service.is_some() { Kind::ServicePolicy } else { Kind::NamespaceDefaults };
    api::Policy {
        namespace: namespace.to_string(),
        name: name.to_string(),
        kind: kind.as_str().to_owned(),
        service: document.service.as_ref().map(ToString::to_string),
        revision: made.revision,
        number: made.number,
        at: made.at.to_string(),
        actor: made.actor.name.to_string(),
        reason: made.reason.to_string(),
        document: json(document),
    }
}

/// What was written from a value is one again.
fn json(document: &PolicyDocument) -> Value {
    serde_json::from_str(&document.text).unwrap_or_default()
}

fn unknown(registry: &Registry, namespace: &Namespace, name: &PolicyName) -> Problem {
    let detail = format!("no policy \"{name}\" in namespace \"{namespace}\"");
    let known = registry.policies().of(namespace).map(|(name, _)| name.as_str());
    let problem = Problem::new(Code::NoSuchPolicy, detail);
    match nearest(name.as_str(), known) {
        Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}
