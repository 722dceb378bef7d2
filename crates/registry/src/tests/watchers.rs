//! What a watcher is told.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;

#[test]
fn a_watcher_misses_nothing_or_is_told_to_resync() {
    let mut registry = Registry::default();
    for port in 1..=10 {
        registry.apply(start(), register("a", port, 1, None)).unwrap();
    }
    let Since::Changes(changes) = registry.since(4, &Scope::All) else { panic!("still known") };
    assert_eq!(changes.iter().map(|c| c.revision).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    assert_eq!(registry.since(10, &Scope::All), Since::Changes(vec![]));
    assert_eq!(registry.since(11, &Scope::All), Since::Resync, "from a future that was lost");
    let restored = Registry::restore(start(), registry.snapshot());
    assert_eq!(restored.since(9, &Scope::All), Since::Resync);
    assert_eq!(restored.since(10, &Scope::All), Since::Changes(vec![]));
}

#[test]
fn a_services_revision_never_goes_back_also_when_its_last_change_left_nothing_behind() {
    let mut registry = Registry::default();
    for name in ["a", "b"] {
        registry.apply(start(), register(name, 80, 1, None)).unwrap();
    }
    registry.apply(start(), ask("b", Ask::Deregister { held: None, reason: "r".into() })).unwrap();
    let (namespace, service) = ("default".parse().unwrap(), "cart".parse().unwrap());
    let revision = |registry: &Registry| registry.service(&namespace, &service).unwrap().revision;
    let restored = Registry::restore(start(), registry.snapshot());
    assert_eq!((revision(&registry), revision(&restored)), (3, 3));
    let scope = Scope::Service(namespace.clone(), service.clone());
    assert_eq!(restored.since(2, &scope), Since::Resync, "it has seen b, and would not hear that b went");
}

#[test]
fn what_has_gone_leaves_no_name_behind() {
    let mut registry = Registry::default();
    for round in 0..50 {
        for id in ["a", "b"] {
            registry.apply(start(), register(&format!("{id}{round}"), 80, 1, None)).unwrap();
        }
        assert_eq!(registry.known(), [[1, 2], [1, 2]]);
        for id in ["a", "b"] {
            let gone = Ask::Deregister { held: None, reason: "r".into() };
            registry.apply(start(), ask(&format!("{id}{round}"), gone)).unwrap();
        }
        assert_eq!(registry.known(), [[0, 0], [0, 0]]);
    }
}

#[test]
fn what_is_kept_for_watchers_is_bounded_in_bytes_as_well() {
    let mut registry = Registry::default();
    for port in 1..=1_200 {
        let Command { target, actor, .. } = register("a", port, 1, None);
        let metadata = (0..METADATA_MAX).map(|n| (n.to_string(), "x".repeat(TEXT_MAX))).collect();
        let registration =
            Registration { metadata, ..Registration::new(Host::parse("10.0.0.7").unwrap(), port) };
        registry.apply(start(), Command::register(target, registration, LeaseId(1), actor)).unwrap();
    }
    let kept = 1_200 - registry.complete_after() as usize;
    assert!((900..=CHANGES_BYTES / TEXT_MAX / METADATA_MAX).contains(&kept), "{kept}");
}

/// How many changes the registry keeps here.
const KEPT: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Something happens to an instance.
    Change {
        at: usize,
        is_gone: bool,
    },
    /// A watcher looks what it has missed.
    Look(usize),
    /// A watcher has lost all that it knew.
    Forget(usize),
    Restart,
}

/// Two services of three instances that mostly change, and one that hardly ever does.
fn name(at: usize) -> Target {
    let service = ["cart", "cart", "cart", "shop", "shop", "shop", "quiet"][at];
    let namespace = if service == "quiet" { "west" } else { "east" };
    let instance = format!("i{}", at % 3).parse().unwrap();
    Target { namespace: namespace.parse().unwrap(), service: service.parse().unwrap(), instance }
}

fn scopes() -> Vec<Scope> {
    let (east, west) = ("east".parse::<identity::Namespace>().unwrap(), "west".parse().unwrap());
    let service = |name: &str| name.parse().unwrap();
    vec![
        Scope::All,
        Scope::Namespace(east.clone()),
        Scope::Service(east.clone(), service("cart")),
        Scope::Service(east.clone(), service("shop")),
        Scope::Service(west, service("quiet")),
        Scope::Service(east, service("nobody")),
    ]
}

fn is_within(scope: &Scope, target: &Target) -> bool {
    match scope {
        Scope::All => true,
        Scope::Namespace(namespace) => target.namespace == *namespace,
        Scope::Service(namespace, service) => target.namespace == *namespace && target.service == *service,
    }
}

fn step() -> impl Strategy<Value = Step> {
    let change = |at| (at, prop::bool::weighted(0.3)).prop_map(|(at, is_gone)| Step::Change { at, is_gone });
    prop_oneof![
        12 => change((0..6_usize).boxed()),
        1 => change(Just(6).boxed()),
        8 => (0..6_usize).prop_map(Step::Look),
        1 => (0..6_usize).prop_map(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

struct Watcher {
    scope: Scope,
    seen: Option<u64>,
    view: BTreeMap<Target, Arc<Instance>>,
}

impl Watcher {
    /// Takes in what it has missed, and sees that it is neither more nor less.
    fn look(
        &mut self,
        registry: &Registry,
        all: &[Arc<Change>],
        kept: &[Arc<Change>],
        restarted: u64,
    ) -> Result<(), TestCaseError> {
        let there = registry.instances().filter(|(target, _)| is_within(&self.scope, target));
        let there: BTreeMap<Target, Arc<Instance>> = there.map(|(t, i)| (t.clone(), i.clone())).collect();
        let missed = |of: &[Arc<Change>], seen| -> Vec<u64> {
            let missed =
                of.iter().filter(|change| change.revision > seen && is_within(&self.scope, &change.target));
            missed.map(|change| change.revision).collect()
        };
        match self.seen.map(|seen| (seen, registry.since(seen, &self.scope))) {
            Some((seen, Since::Changes(changes))) => {
                let told: Vec<u64> = changes.iter().map(|change| change.revision).collect();
                prop_assert_eq!(told, missed(all, seen), "no gap, no duplicate, no step back");
                for change in changes {
                    match &change.effect {
                        Effect::Put(instance) => {
                            drop(self.view.insert(change.target.clone(), instance.clone()))
                        }
                        Effect::Removed => drop(self.view.remove(&change.target)),
                        Effect::Leased(_) => prop_assert!(false, "it changes nothing that is seen"),
                    }
                }
            }
            Some((seen, Since::Resync)) => {
                let is_known = missed(all, seen) == missed(kept, seen) && seen >= restarted;
                let was_there = matches!(self.scope, Scope::Service(..)) && !self.view.is_empty();
                prop_assert!(!(is_known && was_there), "others' changes cost a snapshot: {:?}", self.scope);
                self.view.clone_from(&there);
            }
            None => self.view.clone_from(&there),
        }
        self.seen = Some(registry.revision());
        prop_assert_eq!(&self.view, &there);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_a_watcher_rebuilds_is_the_registry_whatever_it_missed(steps in prop::collection::vec(step(), 1..120)) {
        let mut registry = Registry::keeping(KEPT);
        let mut all: Vec<Arc<Change>> = Vec::new();
        let (mut since_start, mut restarted) = (0, 0);
        let mut watchers: Vec<Watcher> =
            scopes().into_iter().map(|scope| Watcher { scope, seen: None, view: BTreeMap::new() }).collect();
        for (port, step) in (1..).zip(steps) {
            match step {
                Step::Change { at, is_gone } => {
                    let ask = if is_gone {
                        Ask::Deregister { held: None, reason: "r".into() }
                    } else {
                        let (registration, lease) = (Box::new(leased(port)), LeaseId(1));
                        Ask::Register { registration, lease, held: None }
                    };
                    let command = Command { target: name(at), actor: "test".into(), ask };
                    let change = registry.apply(start(), command).ok().and_then(|outcome| outcome.change);
                    all.extend(change);
                }
                Step::Look(at) => {
                    let kept = all.len().saturating_sub(KEPT).max(since_start);
                    watchers[at].look(&registry, &all, &all[kept..], restarted)?;
                }
                Step::Forget(at) => (watchers[at].seen, watchers[at].view) = (None, BTreeMap::new()),
                Step::Restart => {
                    registry = Registry::restored_keeping(start(), registry.snapshot(), KEPT);
                    (since_start, restarted) = (all.len(), registry.revision());
                }
            }
        }
    }
}
