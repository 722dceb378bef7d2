//! What a viewer does to the demo's shop.
//!
//! **The act is its event.** The control plane breaks nothing: it looks whether the act makes sense, writes
//! it down, and answers. The demo follows the events and does what they say. So a page, a command and the
//! story act in one way, everything that was done on purpose stands among what happened, and an act is
//! carried out also where the control plane goes away right after it.
//!
//! Only services that say of themselves that they are part of a demo can be acted on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State as Of};
use identity::{InstanceId, Namespace, ServiceName, duration};
use serde::{Deserialize, Serialize};
use storage_catalog::Scope;
use storage_events::{Event, Kind};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::problem::{Code, Problem};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Named, Sent, invalid},
};
use crate::{clock, problems, state::State};

/// The metadata by which an instance says that it is part of a demo.
const PART_OF: (&str, &str) = ("part-of", "demo");

/// How late a broken service can be.
const LATENCY_MAX: Duration = Duration::from_secs(30);
/// How long a version can be, in characters.
const VERSION_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(act))
}

/// What is to be done to services that belong to a demo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DemoAct {
    /// `break` has a service answer late or fail, `kill` ends an instance without a word, `release` replaces
    /// a service's instances by a version that fails a tenth of its calls, `heal` undoes all of it.
    #[schema(example = "break")]
    action: String,
    /// The service; none with `heal`, which is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "payments")]
    service: Option<String>,
    /// With `kill`, which instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// With `break`, how much later it answers, 1ms to 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2s")]
    latency: Option<String>,
    /// With `break`, which share of its calls fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30%")]
    errors: Option<String>,
    /// With `release`, which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1.5.0")]
    version: Option<String>,
}

/// Does something to the services of a running `bellwether demo`: breaks one, kills an instance, releases a
/// version, or heals all. Recorded as an event first; the demo carries it out at once.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/demo", tag = "operation",
    params(("namespace" = String, Path)),
    request_body = DemoAct,
    responses((status = 200, body = DemoAct), (status = "default", body = Problem)),
)]
async fn act(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Sent(body): Sent<DemoAct>,
) -> Answer<Json<DemoAct>> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let read = read(&body)?;
    if let Some(service) = &read.service {
        part_of_demo(&state, &namespace, service, read.instance.as_ref())?;
    }
    let event = Event {
        revision: 0,
        at: clock::now().wall,
        kind: Kind::Instance,
        action: format!("demo_{}", body.action),
        namespace: Some(namespace),
        service: read.service,
        instance: read.instance,
        actor: caller.actor(DIALECT).name.to_string(),
        reason: read.words,
        details: read.details,
        exemplar_trace_ids: Vec::new(),
    };
    state.events.record_one(event).await.map_err(problems::accept)?;
    state.touch();
    Ok(Json(body))
}

/// An act that makes sense.
#[derive(Debug, Default)]
struct Read {
    service: Option<ServiceName>,
    instance: Option<InstanceId>,
    details: BTreeMap<String, String>,
    words: String,
}

fn read(act: &DemoAct) -> Result<Read, Problem> {
    let no = |given: &Option<String>, field: &str| match given {
        None => Ok(()),
        Some(_) => Err(invalid(&format!("/{field}"), format!("{} has no {field}; leave it out", act.action))),
    };
    let mut read = Read::default();
    match act.action.as_str() {
        "break" => {
            no(&act.instance, "instance")?;
            no(&act.version, "version")?;
            let (mut how, latency, errors) = (Vec::new(), latency(act)?, errors(act)?);
            if let Some(latency) = latency {
                read.details.insert("latency_ms".to_owned(), latency.as_millis().to_string());
                how.push(format!("answers {} late", duration::format(latency)));
            }
            if let Some(percent) = errors {
                read.details.insert("errors_percent".to_owned(), percent.to_string());
                how.push(format!("fails {percent}% of its calls"));
            }
            if how.is_empty() {
                return Err(invalid(
                    "/latency",
                    "say how to break it: a latency, such as 2s, or errors, such as 30%",
                ));
            }
            read.service = Some(service(act)?);
            read.words = format!("broken on purpose: {}", how.join(" and "));
        }
        "kill" => {
            for (given, field) in
                [(&act.latency, "latency"), (&act.errors, "errors"), (&act.version, "version")]
            {
                no(given, field)?;
            }
            let id = act.instance.as_deref().unwrap_or_default();
            read.instance = Some(InstanceId::new(id).map_err(|error| invalid("/instance", error))?);
            read.service = Some(service(act)?);
            read.words = "killed on purpose, without a word to anybody".to_owned();
        }
        "release" => {
            for (given, field) in
                [(&act.latency, "latency"), (&act.errors, "errors"), (&act.instance, "instance")]
            {
                no(given, field)?;
            }
            let version = act.version.as_deref().unwrap_or_default();
            if version.is_empty()
                || version.chars().count() > VERSION_MAX
                || version.chars().any(char::is_control)
            {
                let rule = format!("a version is needed, such as 1.5.0, of at most {VERSION_MAX} characters");
                return Err(invalid("/version", rule));
            }
            read.service = Some(service(act)?);
            read.details.insert("version".to_owned(), version.to_owned());
            read.words = format!("version {version} is released, which fails a tenth of its calls");
        }
        "heal" => {
            for (given, field) in [
                (&act.service, "service"),
                (&act.instance, "instance"),
                (&act.latency, "latency"),
                (&act.errors, "errors"),
                (&act.version, "version"),
            ] {
                no(given, field)?;
            }
            read.words = "everything is as it was before anything was broken".to_owned();
        }
        other => return Err(invalid("/action", format!("{other:?} is none of break, kill, release, heal"))),
    }
    Ok(read)
}

fn service(act: &DemoAct) -> Result<ServiceName, Problem> {
    ServiceName::new(act.service.as_deref().unwrap_or_default()).map_err(|error| invalid("/service", error))
}

fn latency(act: &DemoAct) -> Result<Option<Duration>, Problem> {
    let Some(text) = &act.latency else { return Ok(None) };
    let latency = duration::parse(text).map_err(|error| invalid("/latency", error))?;
    if (Duration::from_millis(1)..=LATENCY_MAX).contains(&latency) {
        return Ok(Some(latency));
    }
    Err(invalid("/latency", format!("from 1ms to {}", duration::format(LATENCY_MAX))))
}

/// In per cent.
fn errors(act: &DemoAct) -> Result<Option<f64>, Problem> {
    let Some(text) = &act.errors else { return Ok(None) };
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Some(percent)),
        _ => Err(invalid("/errors", "a share above 0% and up to 100%, such as 30%")),
    }
}

/// The service and the instance are there, and part of a demo.
fn part_of_demo(
    state: &State,
    namespace: &Namespace,
    service: &ServiceName,
    instance: Option<&InstanceId>,
) -> Result<(), Problem> {
    let registry = state.roll.read();
    let view = registry.service(namespace, service);
    let mut members = view
        .iter()
        .flat_map(|view| view.instances.iter())
        .filter(|(_, of)| of.registration.metadata.get(PART_OF.0) == Some(PART_OF.1));
    let lists = "`bellwether service list` says what is there; `bellwether demo` starts a shop";
    match instance {
        None if members.next().is_none() => {
            let detail = format!("no instance of {service} in {namespace} is part of a demo");
            Err(Problem::new(Code::NoSuchService, detail).next(lists))
        }
        Some(instance) if !members.any(|(id, _)| id == instance) => {
            let detail =
                format!("{service} in {namespace} has no instance {instance} that is part of a demo");
            Err(Problem::new(Code::NoSuchInstance, detail).next(lists))
        }
        _ => Ok(()),
    }
}
