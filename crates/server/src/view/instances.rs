//! Instances, services and changes.

use std::{fmt::Write, net::IpAddr};

use identity::{Namespace, Now, ServiceName, Wall, duration};
use registry::{
    Check, Digits, Effect, Host, LeaseId, Period, Probe, Registry, ServiceView, Status, Target, Verdict,
};
use wire::native::{api, problem::Problem};

/// An instance as the registry has it now.
pub(crate) fn instance(
    registry: &Registry,
    now: Now,
    target: &Target,
    instance: &registry::Instance,
) -> api::Instance {
    let registration = &instance.registration;
    let condition = &instance.condition;
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let period = |period: Option<Period>| period.map(|of| duration::format(of.into()));
    api::Instance {
        id: target.instance.to_string(),
        address: registration.address.to_string(),
        port: registration.port,
        status: instance.status.to_string(),
        reason: instance.reason().into_owned(),
        since: instance.since.to_string(),
        health: condition.health().to_owned(),
        checks: checks(instance),
        zone: text(&registration.zone),
        version: text(&registration.version),
        weight: instance.weight(),
        metadata: registration.metadata.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        ttl: period(registration.ttl),
        deregister_after: registration.forget_after().map(duration::format),
        warm_up: period(registration.warm_up),
        drain: condition.drain.as_deref().map(|drain| note(&drain.note)),
        overridden: condition.pinned.as_deref().map(overridden),
        weighed: condition.weighed.as_deref().map(|of| weighed(of, registration.weight)),
        protected: registry.is_spared(now, target),
        registered_at: instance.registered_at.to_string(),
        revision: instance.revision,
    }
}

/// Host and port as one text, in which an IPv6 address stands in brackets.
pub(crate) fn authority(host: &Host, port: u16) -> String {
    let mut text = String::new();
    write_authority(host, port, &mut text);
    text
}

/// The same behind what is written already.
pub(super) fn write_authority(host: &Host, port: u16, text: &mut String) {
    match host {
        Host::Ip(IpAddr::V4(ip)) => text.push_str(&Digits::from(*ip)),
        // A text takes everything.
        Host::Ip(IpAddr::V6(ip)) => drop(write!(text, "[{ip}]")),
        Host::Name(name) => text.push_str(name),
    }
    text.push(':');
    text.push_str(&Digits::from(u64::from(port)));
}

/// The checks of an instance, and what each has found out.
pub(super) fn checks(instance: &registry::Instance) -> Vec<api::CheckState> {
    instance.registration.checks.iter().zip(&instance.condition.verdicts).map(check).collect()
}

fn check((check, verdict): (&Check, &Verdict)) -> api::CheckState {
    let mut body = api::CheckBody {
        port: check.port,
        interval: Some(duration::format(check.interval)),
        timeout: Some(duration::format(check.timeout)),
        success_threshold: Some(check.success_threshold),
        failure_threshold: Some(check.failure_threshold),
        ..api::CheckBody::default()
    };
    match &check.probe {
        Probe::Http { path } => body.http = Some(path.to_string()),
        Probe::Tcp => body.tcp = Some(true),
        Probe::Grpc { service } => body.grpc = Some(api::GrpcService(service.to_string())),
    }
    let why = match verdict {
        Verdict::Failing(why) => Some(why.to_string()),
        Verdict::Pending | Verdict::Passing => None,
    };
    api::CheckState { check: body, verdict: verdict.as_str().to_owned(), why }
}

fn note(note: &registry::Note) -> api::Note {
    let registry::Note { by, at, reason } = note;
    api::Note { by: by.to_string(), at: at.to_string(), reason: reason.to_string() }
}

fn overridden(of: &registry::Override) -> api::Override {
    let api::Note { by, at, reason } = note(&of.note);
    let until = of.until.map(|until: Wall| until.to_string());
    api::Override { status: Status::from(of.status).to_string(), by, at, reason, until }
}

fn weighed(of: &registry::Weighed, registered: u32) -> api::Weighed {
    let api::Note { by, at, reason } = note(&of.note);
    api::Weighed { weight: of.weight, registered, by, at, reason }
}

/// A service with the instances that `wanted` selects.
pub(crate) fn service(
    registry: &Registry,
    now: Now,
    namespace: &Namespace,
    name: &ServiceName,
    view: &ServiceView,
    wanted: impl Fn(Status) -> bool,
) -> api::Service {
    let instances = view.instances.iter().filter(|(_, instance)| wanted(instance.status));
    let shown = |(id, of): &(identity::InstanceId, std::sync::Arc<registry::Instance>)| {
        let (namespace, service) = (namespace.clone(), name.clone());
        instance(registry, now, &Target { namespace, service, instance: id.clone() }, of)
    };
    api::Service {
        namespace: namespace.to_string(),
        service: name.to_string(),
        revision: view.revision,
        instances: instances.map(shown).collect(),
    }
}

/// How many instances a service has, by status.
pub(crate) fn counts(view: &ServiceView) -> api::InstanceCounts {
    let mut counts = api::InstanceCounts::default();
    for (_, instance) in &view.instances {
        counts.total += 1;
        *match instance.status {
            Status::Up => &mut counts.up,
            Status::Starting => &mut counts.starting,
            Status::Draining => &mut counts.draining,
            Status::Maintenance => &mut counts.maintenance,
            Status::Down => &mut counts.down,
        } += 1;
    }
    counts
}

/// A change of the registry, with its instance as the change left it.
pub(crate) fn change(registry: &Registry, now: Now, change: &registry::Change) -> api::Change {
    let registry::Change { target, cause, .. } = change;
    let left = match &change.effect {
        Effect::Put(put) => Some(instance(registry, now, target, put)),
        Effect::Removed | Effect::Leased(_) => None,
    };
    api::Change {
        revision: change.revision,
        at: change.at.to_string(),
        service: target.service.to_string(),
        instance_id: target.instance.to_string(),
        action: cause.action.as_str().to_owned(),
        actor: cause.actor.name.to_string(),
        from: cause.actor.from.to_string(),
        reason: cause.reason.to_string(),
        instance: left,
    }
}

/// One of many registrations that was taken.
pub(crate) fn registered(target: &Target, lease: Option<LeaseId>, created: bool) -> api::RegistrationResult {
    let lease_id = lease.map(|lease| lease.to_string());
    api::RegistrationResult { lease_id, created: Some(created), ..result(target) }
}

/// One of many registrations that was refused.
pub(crate) fn not_registered(target: &Target, problem: Problem) -> api::RegistrationResult {
    api::RegistrationResult { error: Some(problem), ..result(target) }
}

fn result(target: &Target) -> api::RegistrationResult {
    let (service, id) = (target.service.to_string(), target.instance.to_string());
    api::RegistrationResult { service, id, lease_id: None, created: None, error: None }
}
