//! The requests that come most, past the router.
//!
//! Registrations and heartbeats of one instance are most of what a control plane hears, and finding their
//! route and putting the pieces of the request together for it costs as much as answering them. So they are
//! known here by their method and path. Nothing is decided here and nothing refused: whatever is out of the
//! ordinary, such as a query, a name that is escaped or breaks its rule, or a token that is not good, goes
//! to the router, which knows what to say; and what remains is answered by the functions that answer there.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{Method, Request};
use identity::{InstanceId, Namespace, ServiceName};
use registry::Target;

use super::{
    extract::{Answer, whole},
    instances,
};
use crate::{
    access::Principal,
    listener::{App, Peer, RequestBody},
    state::State,
};

/// The whole API: a router, and the shortcut before it.
#[derive(Debug, Clone)]
pub(crate) struct Shortcut {
    router: Router,
    state: Arc<State>,
}

/// What is asked of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Register,
    Heartbeat,
}

impl Shortcut {
    /// The router of the API, with the shortcut before it.
    pub(crate) fn before(router: Router, state: Arc<State>) -> Self {
        Self { router, state }
    }

    async fn instance(
        &self,
        asked: Asked,
        caller: &Principal,
        target: Target,
        request: Request<RequestBody>,
    ) -> Answer<Response> {
        let (parts, body) = request.into_parts();
        let body = whole(body).await?;
        match asked {
            Asked::Register => {
                instances::registered(&self.state, caller, target, false, &parts.headers, &body).await
            }
            Asked::Heartbeat => {
                let kept = instances::kept(&self.state, caller, target, &parts.headers, &body).await?;
                Ok(kept.into_response())
            }
        }
    }
}

impl App for Shortcut {
    async fn answer(&self, request: Request<RequestBody>, peer: Peer) -> Response {
        let known = ordinary(&request).and_then(|(asked, target)| {
            let caller = self.state.access.admit(request.headers(), Some(peer.address)).ok()?;
            Some((asked, target, caller))
        });
        match known {
            Some((asked, target, caller)) => {
                self.instance(asked, &caller, target, request).await.into_response()
            }
            None => self.router.answer(request, peer).await,
        }
    }
}

/// What is asked of which instance, where nothing else is in the request's target.
fn ordinary<B>(request: &Request<B>) -> Option<(Asked, Target)> {
    let uri = request.uri();
    if uri.query().is_some() {
        return None;
    }
    let mut segments = uri.path().strip_prefix("/bellwether/v1/namespaces/")?.split('/');
    let [namespace, services, service, instances, instance] =
        [segments.next()?, segments.next()?, segments.next()?, segments.next()?, segments.next()?];
    if (services, instances) != ("services", "instances") {
        return None;
    }
    let asked = match (request.method(), segments.next(), segments.next()) {
        (&Method::PUT, None, None) => Asked::Register,
        (&Method::POST, Some("heartbeat"), None) => Asked::Heartbeat,
        _ => return None,
    };
    let target = Target {
        namespace: Namespace::new(namespace).ok()?,
        service: ServiceName::new(service).ok()?,
        instance: InstanceId::new(instance).ok()?,
    };
    Some((asked, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Option<(Asked, String)> {
        let target = format!("/bellwether/v1/namespaces/{target}");
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        ordinary(&request).map(|(asked, target)| (asked, target.instance.to_string()))
    }

    #[test]
    fn registrations_and_heartbeats_of_one_instance_are_known() {
        let instance = "default/services/cart/instances/cart-1";
        assert_eq!(asked("PUT", instance), Some((Asked::Register, "cart-1".to_owned())));
        let heartbeat = format!("{instance}/heartbeat");
        assert_eq!(asked("POST", &heartbeat), Some((Asked::Heartbeat, "cart-1".to_owned())));
    }

    #[test]
    fn whatever_else_is_asked_goes_to_the_router() {
        for (method, target) in [
            ("GET", "default/services/cart/instances/cart-1"),
            ("DELETE", "default/services/cart/instances/cart-1"),
            ("POST", "default/services/cart/instances/cart-1"),
            ("PUT", "default/services/cart/instances/cart-1/heartbeat"),
            ("POST", "default/services/cart/instances/cart-1/drain"),
            ("POST", "default/services/cart/instances/cart-1/heartbeat/"),
            ("PUT", "default/services/cart/instances/cart-1/"),
            ("PUT", "default/services/cart/instances/cart-1?"),
            ("PUT", "default/services/cart/instances/cart-1?dry_run=true"),
            ("PUT", "default/services/cart/instances/c%61rt-1"),
            ("PUT", "default/services/cart/instances/.."),
            ("PUT", "default/services/Cart/instances/cart-1"),
            ("PUT", "default/services//instances/cart-1"),
            ("PUT", "default/instances/cart/services/cart-1"),
            ("PUT", "default/services/cart"),
        ] {
            assert_eq!(asked(method, target), None, "{method} {target}");
        }
    }
}
