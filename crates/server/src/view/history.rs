//! What became of instances, and why they are what they are.

use identity::{Now, duration};
use registry::{FactKind, Instance, Registry, Target};
use storage_events::Event;
use wire::native::api;

use super::instances::checks;

/// Something that happened to an instance.
pub(crate) fn recorded(event: &Event) -> api::Recorded {
    let detail = |name: &str| event.details.get(name).cloned();
    api::Recorded {
        revision: event.revision,
        registry_revision: detail("registry_revision").and_then(|revision| revision.parse().ok()),
        at: event.at.to_string(),
        instance_id: event.instance.as_ref().map(ToString::to_string).unwrap_or_default(),
        action: event.action.clone(),
        actor: event.actor.clone(),
        from: detail("from"),
        reason: event.reason.clone(),
        status: detail("status"),
        address: detail("address"),
        version: detail("version"),
    }
}

/// Why an instance is what it is. What proxies say and what happened last is added by who knows it.
pub(crate) fn why(registry: &Registry, now: Now, target: &Target, instance: &Instance) -> api::Why {
    let facts = instance.facts();
    let lease = lease(registry, now, target, instance);
    api::Why {
        namespace: target.namespace.to_string(),
        service: target.service.to_string(),
        instance_id: target.instance.to_string(),
        sentence: sentence(registry, now, target, instance, &facts, lease.as_ref()),
        status: instance.status.to_string(),
        since: instance.since.to_string(),
        facts: facts.iter().map(fact).collect(),
        lease,
        checks: checks(instance),
        proxies: Vec::new(),
        changes: Vec::new(),
    }
}

fn fact(fact: &registry::Fact) -> api::Fact {
    let registry::Fact { kind, status, says, note, since, until } = fact;
    api::Fact {
        fact: kind.as_str().to_owned(),
        status: status.to_string(),
        says: says.to_string(),
        since: since.map(|since| since.to_string()),
        until: until.map(|until| until.to_string()),
        by: note.as_ref().map(|note| note.by.to_string()),
        reason: note.as_ref().map(|note| note.reason.to_string()),
    }
}

fn lease(registry: &Registry, now: Now, target: &Target, instance: &Instance) -> Option<api::Lease> {
    let registration = &instance.registration;
    let ttl = registration.ttl?;
    let left = registry.lease_left(now, target);
    let state = match left {
        None => "lapsed",
        Some(left) if left.is_zero() => "overdue",
        Some(_) => "holds",
    };
    Some(api::Lease {
        ttl: duration::format(ttl.into()),
        state: state.to_owned(),
        left_ns: left.map(|left| left.as_nanos() as u64).filter(|left| *left > 0),
        deregister_after: registration.forget_after().map(duration::format).unwrap_or_default(),
        zone_protected: registry.is_protected(&registration.zone),
    })
}

/// First the status and what decides it, then what would decide without that, then what else one should know.
fn sentence(
    registry: &Registry,
    now: Now,
    target: &Target,
    instance: &Instance,
    facts: &[registry::Fact],
    lease: Option<&api::Lease>,
) -> String {
    let Target { service, instance: id, .. } = target;
    let mut text = format!("{id} of {service} is {}", instance.status);
    match facts {
        [] => {
            let lease = match lease {
                Some(lease) if lease.state == "overdue" => "its zone is protected",
                Some(_) => "its lease holds",
                None => "it stays until it is removed",
            };
            let health = match instance.condition.health() {
                "unchecked" => "nothing checks it",
                _ => "every check passes",
            };
            text.push_str(&format!(": {lease} and {health}."));
        }
        [first, rest @ ..] => {
            text.push_str(&format!(", because {}.", because(registry, now, target, first)));
            match rest.first() {
                Some(next) => text.push_str(&format!(
                    " Without that it would be {}, because {}.",
                    next.status,
                    because(registry, now, target, next)
                )),
                None => text.push_str(" Nothing else speaks against it."),
            }
        }
    }
    if lease.is_some_and(|lease| lease.state == "overdue") {
        text.push_str(" Its lease is overdue, but so many of its zone are that none of them lapses now.");
    }
    let weight = instance.weight();
    if let Some(weighed) = &instance.condition.weighed {
        let (by, reason, registered) = (&weighed.note.by, &weighed.note.reason, instance.registration.weight);
        text.push_str(&format!(" {by} set its weight to {weight} ({reason}); it registered {registered}."));
    }
    if weight == 0 {
        text.push_str(" Its weight is 0, so that it gets no calls.");
    }
    text
}

fn because(registry: &Registry, now: Now, target: &Target, fact: &registry::Fact) -> String {
    let note = |what: &str| match &fact.note {
        Some(note) => format!("{} {what} ({})", note.by, note.reason),
        None => fact.says.to_string(),
    };
    match fact.kind {
        FactKind::Override => note("said so"),
        FactKind::Drain => note("drains it"),
        FactKind::Lease => format!("its {}", fact.says),
        FactKind::Check => fact.says.to_string(),
        FactKind::WarmUp => match registry.ramp(now, target) {
            Some(ramp) => format!("it is {} and has come to {:.0} %", fact.says, ramp * 100.0),
            None => format!("it has not been {} yet", fact.says),
        },
    }
}
