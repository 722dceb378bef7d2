//! Who owns a key, and how keys are shared out.

use axum::{Extension, Json, extract::State as Of};
use http::HeaderMap;
use identity::{InstanceId, Namespace, ServiceName};
use registry::{Algorithm, Bound, Bounded, Lookup, MadeRing, Part, Target};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api, nearest,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, Named, invalid},
    may_read, polled,
    services::unknown,
};
use crate::{clock, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(owner)).routes(routes!(ring))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OwnerQuery {
    /// The key, any text.
    #[param(example = "user-42")]
    key: String,
    /// How its home is found: `ring` (the default), `maglev` or `nearest`. Past a home that takes no calls,
    /// `nearest` goes to the nearest of the others in either direction, the others on along their way.
    #[param(example = "ring")]
    algorithm: Option<String>,
    /// How far above the mean an instance's calls in flight may be, from 1 on; without it there is no
    /// bound.
    #[param(value_type = Option<f64>, example = 1.25)]
    bounded: Option<String>,
}

/// Which instance owns a key: the same answer everywhere. With a bound it depends on the calls in flight
/// that the proxies reported last, which are answered with it, and is marked as approximate.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/owner", tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), OwnerQuery),
    responses((status = 200, body = api::Owner), (status = "default", body = Problem)),
)]
async fn owner(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<OwnerQuery>,
    headers: HeaderMap,
) -> Answer<Json<api::Owner>> {
    may_read(&caller, &namespace)?;
    let algorithm = algorithm(query.algorithm.as_deref())?;
    let bound = query.bounded.as_deref().map(bound).transpose()?;
    polled(&state, &caller, &headers, &namespace, Some(&service));
    let in_flight = |bound| Bounded { bound, in_flight: state.live.in_flight(&namespace, &service) };
    let lookup = Lookup { algorithm, bounded: bound.map(in_flight) };
    let ring = ring_of(&state, &namespace, &service, algorithm).await?;
    let registry = state.roll.read();
    let view =
        registry.service(&namespace, &service).ok_or_else(|| unknown(&registry, &namespace, &service))?;
    let now = clock::now();
    let shown = |id: &InstanceId| {
        let target = Target { namespace: namespace.clone(), service: service.clone(), instance: id.clone() };
        Some(view::instance(&registry, now, &target, registry.instance(&target)?))
    };
    let key = query.key.as_bytes();
    let owner = match &ring {
        Some(ring) => registry.look_up_on(ring, now, key, &lookup),
        None => registry.look_up(now, &namespace, &service, key, &lookup),
    };
    let owner = owner.and_then(|owner| Some((shown(&owner.home)?, owner)));
    let (home, owner) = owner.ok_or_else(|| {
        Problem::new(Code::NoOwner, format!("every instance of service \"{service}\" has weight 0"))
    })?;
    let load = |bounded: &Bounded, id: &InstanceId| bounded.in_flight.get(id).copied().unwrap_or(0);
    let in_flight = lookup.bounded.as_ref().map(|bounded| {
        let members = view.instances.iter();
        members.map(|(id, _)| (id.to_string(), load(bounded, id))).collect()
    });
    Ok(Json(api::Owner {
        key: query.key,
        algorithm: algorithm.to_string(),
        instance: owner.effective.as_ref().and_then(shown),
        home,
        reason: owner.reason,
        approximate: in_flight.is_some(),
        in_flight,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RingQuery {
    /// How a key's home is found: `ring` (the default), `maglev` or `nearest`.
    #[param(example = "ring")]
    algorithm: Option<String>,
}

/// Which part of all keys each instance of a service owns.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/ring", tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), RingQuery),
    responses((status = 200, body = api::Ring), (status = "default", body = Problem)),
)]
async fn ring(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<RingQuery>,
) -> Answer<Json<api::Ring>> {
    may_read(&caller, &namespace)?;
    let algorithm = algorithm(query.algorithm.as_deref())?;
    let ring = ring_of(&state, &namespace, &service, algorithm).await?;
    let parts = {
        let registry = state.roll.read();
        let parts = match &ring {
            Some(ring) => registry.parts_on(ring, algorithm),
            None => registry.parts(&namespace, &service, algorithm),
        };
        parts.ok_or_else(|| unknown(&registry, &namespace, &service))?
    };
    let revision = parts.revision;
    // Counting the points of a large service takes a while, and nobody else should wait for it.
    let counted = beside(|| Ok(parts.count())).await?;
    Ok(Json(api::Ring {
        namespace: namespace.to_string(),
        service: service.to_string(),
        revision,
        algorithm: algorithm.to_string(),
        points: counted.iter().map(|part| part.points).sum(),
        members: counted.iter().map(member).collect(),
    }))
}

/// The ring of a large service, where it is still to be made: beside the registry, which goes on meanwhile.
async fn ring_of(
    state: &State,
    namespace: &Namespace,
    service: &ServiceName,
    algorithm: Algorithm,
) -> Result<Option<MadeRing>, Problem> {
    let plan = || state.roll.read().plan(namespace, service);
    if algorithm == Algorithm::Maglev || plan().is_none() {
        return Ok(None);
    }
    let _one_at_a_time = state.ring.lock().await;
    // Whoever was before may have made it.
    let Some(plan) = plan() else { return Ok(None) };
    let made = beside(|| Ok(plan.make())).await?;
    state.roll.read().keep_ring(&made);
    Ok(Some(made))
}

fn member(part: &Part) -> api::RingMember {
    api::RingMember {
        id: part.instance.to_string(),
        status: part.status.to_string(),
        weight: part.weight,
        points: part.points,
        share: part.share,
    }
}

fn algorithm(text: Option<&str>) -> Result<Algorithm, Problem> {
    let Some(text) = text else { return Ok(Algorithm::default()) };
    text.parse().map_err(|error: identity::Invalid| {
        let problem = invalid("algorithm", error);
        match nearest(text, Algorithm::ALL.iter().map(|algorithm| algorithm.as_str())) {
            Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
            None => problem,
        }
    })
}

fn bound(text: &str) -> Result<Bound, Problem> {
    let rule = format!("a number from 1 to {}, such as 1.25", Bound::MAX);
    let shown: String = text.chars().take(64).collect();
    let refused = || invalid("bounded", format!("bounded \"{}\" is not valid: {rule}", shown.escape_debug()));
    text.parse().ok().and_then(|c: f64| Bound::new(c).ok()).ok_or_else(refused)
}
