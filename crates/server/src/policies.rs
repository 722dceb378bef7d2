//! What the registry's policies say: documents read into values, and merged for each service.
//!
//! The registry keeps texts. They are read once, when they change, and merged when somebody asks: what a
//! proxy is sent is ready to use, so that proxies need to know nothing of documents and of how they merge.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use identity::{Namespace, PolicyName, ServiceName};
use registry::{Policy, Registry};
use resilience::CallPolicy;
use serde_json::Value as Json;
use wire::{
    native::{api, channel::PolicyUpdate},
    policy::{Section, Spec},
};

/// Every policy, read.
#[derive(Debug, Default)]
pub(crate) struct Policies(RwLock<Book>);

#[derive(Debug, Default)]
struct Book {
    /// The revision of the latest policy that was read.
    seen: u64,
    of: HashMap<Namespace, Space>,
}

/// The policies of a namespace, by whom they are for.
#[derive(Debug, Default)]
struct Space {
    defaults: Option<Rule>,
    services: BTreeMap<ServiceName, Rule>,
}

/// A policy, read.
#[derive(Debug)]
struct Rule {
    name: PolicyName,
    revision: u64,
    spec: Spec,
}

impl Policies {
    /// What holds for every service and namespace that has a policy.
    pub(crate) fn all(&self, registry: &Registry) -> Vec<PolicyUpdate> {
        let book = self.read(registry);
        let updates = book.of.iter().flat_map(|(namespace, space)| {
            let defaults = space.defaults.iter().map(|_| None);
            let subjects = defaults.chain(space.services.keys().map(Some));
            subjects.map(|service| book.update(namespace, service))
        });
        updates.collect()
    }

    /// What holds for those to whom a policy after `seen` matters; `None` where that is not known.
    pub(crate) fn since(&self, registry: &Registry, seen: u64) -> Option<Vec<PolicyUpdate>> {
        let mut touched: BTreeSet<(&Namespace, Option<&ServiceName>)> = BTreeSet::new();
        for (namespace, _, policy) in registry.policies().since(seen)? {
            let documents = policy.history().filter_map(|made| made.document.as_ref());
            touched.extend(documents.map(|document| (namespace, document.service.as_ref())));
        }
        if touched.is_empty() {
            return Some(Vec::new());
        }
        let book = self.read(registry);
        // What is below every policy of a namespace is part of each.
        let below: Vec<&Namespace> = touched
            .iter()
            .filter(|(_, service)| service.is_none())
            .map(|(namespace, _)| *namespace)
            .collect();
        for namespace in below {
            let space = book.of.get(namespace).into_iter();
            touched.extend(
                space.flat_map(|space| space.services.keys()).map(|service| (namespace, Some(service))),
            );
        }
        Some(touched.into_iter().map(|(namespace, service)| book.update(namespace, service)).collect())
    }

    /// What holds for a service, and where each section of it comes from.
    pub(crate) fn effective(
        &self,
        registry: &Registry,
        namespace: &Namespace,
        service: &ServiceName,
    ) -> api::EffectivePolicy {
        let book = self.read(registry);
        let rules = book.rules(namespace, Some(service));
        let origin = |section: Section| {
            let given = rules.iter().rev().flatten().find(|rule| rule.spec.gives(section));
            let is_own = given.is_some() && given == rules[1].as_ref();
            let from = match given {
                None => "built_in",
                Some(_) if is_own => "service",
                Some(_) => "namespace",
            };
            let origin = api::PolicyOrigin {
                from: from.to_owned(),
                policy: given.map(|rule| rule.name.to_string()),
                revision: given.map(|rule| rule.revision),
            };
            (section.as_str().to_owned(), origin)
        };
        api::EffectivePolicy {
            namespace: namespace.to_string(),
            service: service.to_string(),
            policy_revision: revision(&rules),
            policy: Json::Object(wire::policy::write(&merged(&rules))),
            origins: Section::ALL.iter().copied().map(origin).collect(),
        }
    }

    /// The policies as the registry has them.
    fn read(&self, registry: &Registry) -> RwLockReadGuard<'_, Book> {
        let latest = registry.policies().revision();
        // Whoever holds the registry sees no later policy than it has, and those before are all read.
        if self.0.read().unwrap_or_else(PoisonError::into_inner).seen != latest {
            let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if book.seen != latest {
                book.catch_up(registry, latest);
            }
        }
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rules that have a say, the lower one first: the namespace's and the service's.
type Rules<'a> = [Option<&'a Rule>; 2];

impl PartialEq for Rule {
    /// A revision is of one policy.
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
    }
}

fn revision(rules: &Rules<'_>) -> u64 {
    rules.iter().flatten().map(|rule| rule.revision).max().unwrap_or(0)
}

fn merged(rules: &Rules<'_>) -> CallPolicy {
    rules.iter().flatten().fold(CallPolicy::default(), |below, rule| {
        rule.spec.over(&below).unwrap_or_else(|error| {
            // The document was checked when it was written, by this version or an older one.
            tracing::error!(policy = %rule.name, %error, "a policy that was good is not any more; it is left out");
            below
        })
    })
}

impl Book {
    fn catch_up(&mut self, registry: &Registry, latest: u64) {
        let policies = registry.policies();
        match policies.since(self.seen) {
            Some(touched) => {
                let touched: Vec<_> = touched.collect();
                // All go before the first comes: two may have changed places.
                touched.iter().for_each(|(namespace, name, _)| self.remove(namespace, name));
                touched.iter().for_each(|(namespace, name, policy)| self.insert(namespace, name, policy));
            }
            None => {
                self.of.clear();
                for namespace in policies.namespaces() {
                    policies.of(namespace).for_each(|(name, policy)| self.insert(namespace, name, policy));
                }
            }
        }
        self.seen = latest;
    }

    fn remove(&mut self, namespace: &Namespace, name: &PolicyName) {
        let Some(space) = self.of.get_mut(namespace) else { return };
        space.defaults.take_if(|rule| rule.name == *name);
        space.services.retain(|_, rule| rule.name != *name);
        if space.defaults.is_none() && space.services.is_empty() {
            self.of.remove(namespace);
        }
    }

    fn insert(&mut self, namespace: &Namespace, name: &PolicyName, policy: &Policy) {
        let Some((made, document)) = policy.current() else { return };
        let spec = match wire::policy::read(&document.text) {
            Ok(document) => document.spec,
            Err(error) => {
                tracing::error!(policy = %name, %error, "a policy cannot be read any more; it is left out");
                return;
            }
        };
        let rule = Rule { name: name.clone(), revision: made.revision, spec };
        let space = self.of.entry(namespace.clone()).or_default();
        match &document.service {
            Some(service) => drop(space.services.insert(service.clone(), rule)),
            None => space.defaults = Some(rule),
        }
    }

    fn rules(&self, namespace: &Namespace, service: Option<&ServiceName>) -> Rules<'_> {
        let Some(space) = self.of.get(namespace) else { return [None, None] };
        [space.defaults.as_ref(), service.and_then(|service| space.services.get(service))]
    }

    fn update(&self, namespace: &Namespace, service: Option<&ServiceName>) -> PolicyUpdate {
        let rules = self.rules(namespace, service);
        let own = if service.is_some() { rules[1] } else { rules[0] };
        PolicyUpdate {
            namespace: namespace.clone(),
            service: service.cloned(),
            policy_revision: revision(&rules),
            policy: own.map(|_| merged(&rules)),
        }
    }
}
