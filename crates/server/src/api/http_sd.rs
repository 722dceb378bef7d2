//! Instances as Prometheus wants to be told of them, for its `http_sd_configs`.
//!
//! Every instance is a target, whatever its status, since whoever watches wants to see that something is
//! down; what is known of it is in `__meta_bellwether_` labels, for relabelling. Metadata under the names
//! that are common as annotations elsewhere is heeded: `prometheus.io/scrape: "false"` leaves an instance
//! out, `prometheus.io/port`, `…/path` and `…/scheme` say where its metrics are.
//!
//! Who asks here gets addresses and says nothing of what it does with them, so it counts among those who may
//! send calls, like whoever else asks: a receipt names it as `unacknowledged`.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State as Of};
use http::HeaderMap;
use identity::{Namespace, ServiceName};
use registry::{Host, Instance, Registry, Target};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named},
    may_read, polled,
};
use crate::{state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(targets))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TargetQuery {
    /// Only this service.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
}

/// The instances of a namespace or a service as scrape targets, in the format of Prometheus'
/// `http_sd_configs`. A service that is not there has none.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/http_sd", tag = "discovery",
    params(("namespace" = String, Path), TargetQuery),
    responses((status = 200, body = Vec<api::TargetGroup>), (status = "default", body = Problem)),
)]
async fn targets(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Asked(query): Asked<TargetQuery>,
    headers: HeaderMap,
) -> Answer<Json<Vec<api::TargetGroup>>> {
    may_read(&caller, &namespace)?;
    polled(&state, &caller, &headers, &namespace, query.service.as_ref());
    let registry = state.roll.read();
    let all = || registry.services(&namespace).cloned().collect();
    let services: Vec<ServiceName> = query.service.map_or_else(all, |service| vec![service]);
    Ok(Json(services.iter().flat_map(|service| of_service(&registry, &namespace, service)).collect()))
}

fn of_service(registry: &Registry, namespace: &Namespace, service: &ServiceName) -> Vec<api::TargetGroup> {
    let view = registry.service(namespace, service);
    let instances = view.iter().flat_map(|view| &view.instances);
    let group = |(id, of): &(identity::InstanceId, std::sync::Arc<Instance>)| {
        group(&Target { namespace: namespace.clone(), service: service.clone(), instance: id.clone() }, of)
    };
    instances.filter_map(group).collect()
}

/// An instance as a target; none where it does not want to be one.
pub(crate) fn group(target: &Target, instance: &Instance) -> Option<api::TargetGroup> {
    let registration = &instance.registration;
    let annotation = |name: &str| registration.metadata.get(&format!("prometheus.io/{name}"));
    if annotation("scrape").is_some_and(|scrape| scrape.eq_ignore_ascii_case("false")) {
        return None;
    }
    // What cannot be a port says nothing; it is in a label, where it can be seen.
    let port = annotation("port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let mut labels = labels(target, instance);
    if let Some(path) = annotation("path").filter(|path| !path.is_empty()) {
        let slash = if path.starts_with('/') { "" } else { "/" };
        labels.insert("__metrics_path__".to_owned(), format!("{slash}{path}"));
    }
    if let Some(scheme) = annotation("scheme").filter(|scheme| ["http", "https"].contains(scheme)) {
        labels.insert("__scheme__".to_owned(), scheme.to_owned());
    }
    let authority = view::authority(&registration.address, port.unwrap_or(registration.port));
    Some(api::TargetGroup { targets: vec![authority], labels })
}

fn labels(target: &Target, instance: &Instance) -> BTreeMap<String, String> {
    let registration = &instance.registration;
    let host: &Host = &registration.address;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let known = [
        ("namespace", target.namespace.to_string()),
        ("service", target.service.to_string()),
        ("instance", target.instance.to_string()),
        ("address", host.to_string()),
        ("port", registration.port.to_string()),
        ("status", instance.status.to_string()),
        ("health", instance.condition.health().to_owned()),
        ("zone", text(&registration.zone)),
        ("version", text(&registration.version)),
        ("weight", instance.weight().to_string()),
    ];
    let known = known.into_iter().map(|(name, value)| (name.to_owned(), value));
    let metadata = registration.metadata.iter().flat_map(|(name, value)| {
        let name = label_name(name);
        // An empty label is no label to Prometheus, so that presence needs one of its own.
        let present = (format!("metadatapresent_{name}"), "true".to_owned());
        [(format!("metadata_{name}"), value.to_owned()), present]
    });
    known.chain(metadata).map(|(name, value)| (format!("__meta_bellwether_{name}"), value)).collect()
}

/// Letters, digits and `_`, as labels have to be.
fn label_name(name: &str) -> String {
    name.chars().map(|of| if of.is_ascii_alphanumeric() { of } else { '_' }).collect()
}
