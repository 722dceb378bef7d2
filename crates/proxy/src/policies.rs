//! Which policy holds for a service: its own, else its namespace's, else the built-in one.
//!
//! The control plane merges documents; here is only looked up what it sent. A policy that has not changed
//! stays the same value, so that what was worked out from it is not worked out again.

use std::{collections::HashMap, sync::Arc};

use identity::{Namespace, ServiceName};
use wire::native::channel::PolicyUpdate;

use crate::policy::Policy;

/// The policies of all namespaces.
#[derive(Debug, Default, Clone)]
pub(crate) struct Policies(HashMap<Namespace, OfNamespace>);

/// The policies of one namespace.
#[derive(Debug, Default, Clone)]
struct OfNamespace {
    /// Of services that have none of their own.
    all: Option<Arc<Policy>>,
    services: HashMap<ServiceName, Arc<Policy>>,
}

impl Policies {
    /// The policy that was written for this service, or for its namespace.
    pub(crate) fn find(&self, namespace: &Namespace, service: &ServiceName) -> Option<&Arc<Policy>> {
        let of = self.0.get(namespace)?;
        of.services.get(service).or(of.all.as_ref())
    }

    /// Takes in what has changed. Policies of `before` that are still the same stay the same value.
    pub(crate) fn take(&mut self, news: &[PolicyUpdate], before: &Policies) {
        for update in news {
            let of = self.0.entry(update.namespace.clone()).or_default();
            let old = before.0.get(&update.namespace);
            let old = old.and_then(|old| match &update.service {
                Some(service) => old.services.get(service),
                None => old.all.as_ref(),
            });
            let new = update.policy.as_ref().map(|call| {
                let same = old.filter(|old| old.revision == update.policy_revision && old.is(call));
                same.cloned().unwrap_or_else(|| Arc::new(Policy::new(update.policy_revision, call.clone())))
            });
            match (&update.service, new) {
                (None, new) => of.all = new,
                (Some(service), Some(new)) => drop(of.services.insert(service.clone(), new)),
                (Some(service), None) => drop(of.services.remove(service)),
            }
        }
    }
}
