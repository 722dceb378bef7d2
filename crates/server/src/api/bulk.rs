//! Many instances in one request: an agent speaks for a machine, a gateway to another registry for all
//! that is in there.
//!
//! Many registrations share one write to the disk. Many heartbeats share one look at the registry, and
//! are read where they lie in the request's body: they are what a control plane hears most.

use axum::{Extension, Json, extract::State as Of};
use hashbrown::HashMap;
use identity::{InstanceId, Invalid, Namespace, ServiceName};
use registry::{Ask, Command, Heartbeat, LeaseId, Target};
use storage_catalog::Scope;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api, decode,
    problem::{Code, Problem},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked, Named, Unread, invalid},
    instances::{WriteQuery, lease_missing},
    registration::{self, Place},
};
use crate::{access::Principal, clock, problems, random, state::State, view};

/// Instances in one request. The registry is held for as many, and one write has to hold them.
const ITEMS_MAX: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(heartbeat))
}

/// Registers many instances with one write to the disk. A request with a mistake in it is refused whole;
/// what the registry refuses is refused by itself.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/instances", tag = "registration",
    params(("namespace" = String, Path), WriteQuery),
    request_body = api::Registrations,
    responses((status = 200, body = api::RegisteredAll), (status = "default", body = Problem)),
)]
async fn register(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Asked(query): Asked<WriteQuery>,
    Unread(body): Unread,
) -> Answer<Json<api::RegisteredAll>> {
    let body: api::Registrations<'_> = decode::json(&body)?;
    caller.require(Scope::Write, Some(&namespace))?;
    bounded("/instances", body.instances.len())?;
    let commands = commands(&caller, &namespace, body.instances)?;
    let targets: Vec<Target> = commands.iter().map(|command| command.target.clone()).collect();
    let decided =
        if query.dry_run { state.roll.try_out_all(commands) } else { state.roll.apply_all(commands).await? };
    let mut revision = 0;
    let mut results = Vec::with_capacity(decided.len());
    for (target, decided) in targets.iter().zip(decided) {
        let result = match decided {
            Ok(outcome) => {
                revision = outcome.change.as_ref().map_or(revision, |change| change.revision);
                let lease = outcome.lease.filter(|_| !query.dry_run);
                view::registered(target, lease, outcome.created)
            }
            // The disk refuses all or nothing.
            Err(problem) if problem.status() >= 500 => return Err(problem.into()),
            Err(problem) => view::not_registered(target, problem),
        };
        results.push(result);
    }
    if revision == 0 {
        revision = state.roll.read().revision();
    }
    Ok(Json(api::RegisteredAll { revision, results }))
}

fn commands(
    caller: &Principal,
    namespace: &Namespace,
    instances: Vec<api::NamedRegistration<'_>>,
) -> Result<Vec<Command>, Problem> {
    let mut leases = random::numbers(instances.len())?.into_iter();
    let actor = caller.actor(DIALECT);
    once_each(&instances)?;
    let mut commands = Vec::with_capacity(instances.len());
    for (at, named) in instances.into_iter().enumerate() {
        let place = Place::Item(at);
        let (service, id, body) = named.into_parts();
        let misnamed = |field: &str, error: Invalid| invalid(&format!("{place}/{field}"), error);
        let service: ServiceName = service.parse().map_err(|error| misnamed("service", error))?;
        let id: InstanceId = id.parse().map_err(|error| misnamed("id", error))?;
        let held = body.lease_id.as_deref().map(str::parse::<LeaseId>).transpose();
        let held = held.map_err(|error| misnamed("lease_id", error))?;
        let registration = Box::new(registration::read(body, place)?);
        let Some(lease) = leases.next().map(LeaseId) else { break };
        commands.push(Command {
            target: Target { namespace: namespace.clone(), service, instance: id },
            actor: actor.clone(),
            ask: Ask::Register { registration, lease, held },
        });
    }
    Ok(commands)
}

/// Checks that no instance is given twice.
fn once_each(instances: &[api::NamedRegistration<'_>]) -> Result<(), Problem> {
    let mut seen = HashMap::with_capacity(instances.len());
    instances.iter().enumerate().try_for_each(|(at, of)| match seen.insert((&*of.service, &*of.id), at) {
        Some(first) => {
            let (id, service) = (&of.id, &of.service);
            let detail = format!("{id} of {service} is given twice, first at {}", Place::Item(first));
            Err(invalid(&Place::Item(at).to_string(), detail))
        }
        None => Ok(()),
    })
}

/// Keeps many leases, and brings lapsed instances back.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/heartbeats", tag = "registration",
    params(("namespace" = String, Path)),
    request_body = api::Heartbeats,
    responses((status = 200, body = api::HeartbeatsTaken), (status = "default", body = Problem)),
)]
async fn heartbeat(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Unread(body): Unread,
) -> Answer<Json<api::HeartbeatsTaken>> {
    caller.require(Scope::Write, Some(&namespace))?;
    let api::Heartbeats { heartbeats } = decode::json(&body)?;
    bounded("/heartbeats", heartbeats.len())?;
    named(&heartbeats)?;
    let is_operator = caller.require(Scope::Admin, Some(&namespace)).is_ok();
    let mut renewed = 0;
    let mut refused: Vec<(usize, api::RefusedHeartbeat)> = Vec::new();
    let mut lapsed: Vec<(usize, Target)> = Vec::new();
    {
        let now = clock::now();
        let registry = state.roll.read();
        for (at, beat) in heartbeats.iter().enumerate() {
            if beat.lease_id.is_none() && !is_operator {
                refused.push((at, refusal(beat, &lease_missing())));
                continue;
            }
            let became = registry.heartbeat_of(now, &namespace, &beat.service, &beat.id, beat.lease_id);
            if became == Heartbeat::Renewed {
                renewed += 1;
                continue;
            }
            let target = target(&namespace, beat)?;
            match became {
                Heartbeat::Renewed | Heartbeat::Lapsed => lapsed.push((at, target)),
                Heartbeat::Stale => {
                    let problem = problems::registry(registry::Error::StaleLease(target));
                    refused.push((at, refusal(beat, &problem)));
                }
                Heartbeat::Unknown => {
                    let problem = problems::registry(registry::Error::NotFound(target));
                    refused.push((at, refusal(beat, &problem)));
                }
            }
        }
    }
    let commands = lapsed.iter().filter_map(|(at, target)| {
        let ask = Ask::Heartbeat { held: heartbeats.get(*at)?.lease_id };
        Some(Command { target: target.clone(), actor: caller.actor(DIALECT), ask })
    });
    let commands: Vec<Command> = commands.collect();
    if !commands.is_empty() {
        let decided = state.roll.apply_all(commands).await?;
        for ((at, _), decided) in lapsed.iter().zip(decided) {
            match (decided, heartbeats.get(*at)) {
                (Err(problem), Some(beat)) => refused.push((*at, refusal(beat, &problem))),
                _ => renewed += 1,
            }
        }
        refused.sort_by_key(|(at, _)| *at);
    }
    let refused = refused.into_iter().map(|(_, refused)| refused).collect();
    Ok(Json(api::HeartbeatsTaken { renewed, refused }))
}

/// Checks every name before any lease is touched.
fn named(heartbeats: &[api::Heartbeat<'_>]) -> Result<(), Problem> {
    heartbeats.iter().enumerate().try_for_each(|(at, beat)| {
        let misnamed = |field: &str, error: Invalid| invalid(&format!("/heartbeats/{at}/{field}"), error);
        ServiceName::check(&beat.service).map_err(|error| misnamed("service", error))?;
        InstanceId::check(&beat.id).map_err(|error| misnamed("id", error))
    })
}

fn target(namespace: &Namespace, beat: &api::Heartbeat<'_>) -> Result<Target, Problem> {
    let service = ServiceName::new(&beat.service).map_err(|error| problems::invalid(&error))?;
    let instance = InstanceId::new(&beat.id).map_err(|error| problems::invalid(&error))?;
    Ok(Target { namespace: namespace.clone(), service, instance })
}

fn refusal(beat: &api::Heartbeat<'_>, problem: &Problem) -> api::RefusedHeartbeat {
    api::RefusedHeartbeat {
        service: beat.service.to_string(),
        id: beat.id.to_string(),
        code: problem.code().to_string(),
        detail: problem.detail().to_owned(),
    }
}

fn bounded(place: &str, items: usize) -> Result<(), Problem> {
    if items <= ITEMS_MAX {
        return Ok(());
    }
    let detail = format!("{items} instances are too many for one request: at most {ITEMS_MAX}");
    Err(Problem::new(Code::InvalidValue, detail).at(place).next("send them in several requests"))
}
