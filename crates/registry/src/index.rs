//! Where names lead at once, however many there are.
//!
//! Every heartbeat and every registration begins with a name. Walking down ordered maps compares it with a
//! dozen others, each of them somewhere else in memory; a hash of the whole name needs one look. The
//! ordered maps stay for those who list.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use identity::{Namespace, ServiceName};
use slab::Slab;

use crate::{
    Target,
    roll::{Service, Slot},
};

/// Places in the slabs of services and slots, by name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    hasher: DefaultHashBuilder,
    services: HashTable<usize>,
    slots: HashTable<usize>,
}

impl Index {
    pub(crate) fn service(&self, services: &Slab<Service>, namespace: &str, name: &str) -> Option<usize> {
        let is_it = |at: &usize| {
            services.get(*at).is_some_and(|of| of.name.as_str() == name && of.namespace.as_str() == namespace)
        };
        self.services.find(self.hasher.hash_one((namespace, name)), is_it).copied()
    }

    pub(crate) fn slot(
        &self,
        slots: &Slab<Slot>,
        namespace: &str,
        service: &str,
        instance: &str,
    ) -> Option<usize> {
        let is_it = |at: &usize| {
            slots.get(*at).is_some_and(|Slot { target, .. }| {
                target.instance.as_str() == instance
                    && target.service.as_str() == service
                    && target.namespace.as_str() == namespace
            })
        };
        self.slots.find(self.hasher.hash_one((namespace, service, instance)), is_it).copied()
    }

    /// How many services and slots are known by name.
    #[cfg(test)]
    pub(crate) fn lengths(&self) -> [usize; 2] {
        [self.services.len(), self.slots.len()]
    }

    /// `at` is where the service stands by now.
    pub(crate) fn add_service(&mut self, services: &Slab<Service>, at: usize) {
        let hasher = &self.hasher;
        let hash =
            |at: &usize| services.get(*at).map_or(0, |of| hash_of_service(hasher, &of.namespace, &of.name));
        self.services.insert_unique(hash(&at), at, hash);
    }

    /// `at` is where the slot stands by now.
    pub(crate) fn add_slot(&mut self, slots: &Slab<Slot>, at: usize) {
        let hasher = &self.hasher;
        let hash = |at: &usize| slots.get(*at).map_or(0, |slot| hash_of_slot(hasher, &slot.target));
        self.slots.insert_unique(hash(&at), at, hash);
    }

    pub(crate) fn remove_service(&mut self, namespace: &Namespace, name: &ServiceName, at: usize) {
        let hash = hash_of_service(&self.hasher, namespace, name);
        if let Ok(found) = self.services.find_entry(hash, |of| *of == at) {
            found.remove();
        }
    }

    pub(crate) fn remove_slot(&mut self, target: &Target, at: usize) {
        let hash = hash_of_slot(&self.hasher, target);
        if let Ok(found) = self.slots.find_entry(hash, |of| *of == at) {
            found.remove();
        }
    }
}

fn hash_of_service(hasher: &DefaultHashBuilder, namespace: &Namespace, name: &ServiceName) -> u64 {
    hasher.hash_one((namespace.as_str(), name.as_str()))
}

fn hash_of_slot(hasher: &DefaultHashBuilder, target: &Target) -> u64 {
    hasher.hash_one((target.namespace.as_str(), target.service.as_str(), target.instance.as_str()))
}
