use std::collections::BTreeMap;

use identity::{Namespace, PolicyName, ServiceName};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

fn document(service: &str, text: &str) -> PolicyDocument {
    let service = (!service.is_empty()).then(|| service.parse::<ServiceName>().unwrap());
    PolicyDocument { service, text: text.into() }
}

fn command(policy: &str, ask: PolicyAsk) -> PolicyCommand {
    let namespace = Namespace::default();
    let reason = "because".into();
    PolicyCommand { namespace, name: name(policy), ask, expected: None, actor: "ada".into(), reason }
}

fn put(policy: &str, service: &str, text: &str) -> PolicyCommand {
    command(policy, PolicyAsk::Put(document(service, text)))
}

/// Decides and commits; the revision that it made, if it made one.
fn apply(registry: &mut Registry, command: PolicyCommand) -> Result<Option<u64>, PolicyError> {
    let change = registry.decide_policy(start(), command)?;
    let revision = change.as_ref().map(|change| change.made.revision);
    change.into_iter().for_each(|change| registry.commit_policy(change));
    Ok(revision)
}

fn text(registry: &Registry, policy: &str) -> Option<String> {
    let policy = registry.policies().get(&Namespace::default(), &name(policy))?;
    policy.current().map(|(_, document)| document.text.to_string())
}

#[test]
fn a_policy_and_an_instance_count_in_one_revision() {
    let mut registry = Registry::default();
    assert_eq!(apply(&mut registry, put("a", "cart", "1")), Ok(Some(1)));
    let registration = Registration::new(Host::parse("10.0.0.7").unwrap(), 80);
    let register = Command::register(target("cart", "cart-1"), registration, LeaseId(1), "ada");
    let outcome = registry.apply(start(), register).unwrap();
    assert_eq!(outcome.change.unwrap().revision, 2);
    assert_eq!(apply(&mut registry, put("a", "cart", "2")), Ok(Some(3)));
    assert_eq!(apply(&mut registry, put("a", "cart", "2")), Ok(None), "the same again changes nothing");
    assert_eq!((registry.revision(), registry.policies().revision()), (3, 3));
    assert_eq!(registry.policies().revision_at(2), 1);
    assert_eq!(registry.policies().revision_at(0), 0);
    // Watchers of instances see a gap, and nothing that they would miss.
    assert!(matches!(registry.since(2, &Scope::All), Since::Changes(changes) if changes.is_empty()));
}

#[test]
fn a_second_policy_for_the_same_service_is_refused() {
    let mut registry = Registry::default();
    apply(&mut registry, put("a", "cart", "1")).unwrap();
    let taken = |registry: &mut Registry, service: &str| apply(registry, put("b", service, "1")).unwrap_err();
    assert_eq!(taken(&mut registry, "cart").to_string(), "policy \"a\" is for service \"cart\" already");
    apply(&mut registry, put("d", "", "1")).unwrap();
    assert_eq!(taken(&mut registry, "").to_string(), "policy \"d\" is for the namespace already");
    // Once it is for another one, or gone, there is room.
    apply(&mut registry, put("a", "checkout", "1")).unwrap();
    apply(&mut registry, put("b", "cart", "1")).unwrap();
    let refused = apply(&mut registry, command("a", PolicyAsk::RollBack(None))).unwrap_err();
    assert!(matches!(refused, PolicyError::Taken { .. }), "also for a rollback");
    apply(&mut registry, command("b", PolicyAsk::Delete)).unwrap();
    apply(&mut registry, command("a", PolicyAsk::RollBack(None))).unwrap();
    let mut elsewhere = put("b", "cart", "1");
    elsewhere.namespace = "other".parse().unwrap();
    apply(&mut registry, elsewhere).unwrap();
}

#[test]
fn a_rollback_is_a_new_revision_with_an_old_text() {
    let mut registry = Registry::default();
    for text in ["1", "2", "3"] {
        apply(&mut registry, put("a", "cart", text)).unwrap();
    }
    assert_eq!(apply(&mut registry, command("a", PolicyAsk::RollBack(Some(1)))), Ok(Some(4)));
    assert_eq!(text(&registry, "a").as_deref(), Some("1"));
    assert_eq!(apply(&mut registry, command("a", PolicyAsk::RollBack(None))), Ok(Some(5)));
    assert_eq!(text(&registry, "a").as_deref(), Some("3"), "what was last said otherwise");
    let refused = apply(&mut registry, command("a", PolicyAsk::RollBack(Some(9)))).unwrap_err();
    assert_eq!(refused.to_string(), "policy \"a\" has no revision 9 to go back to");
    // Also from a deletion.
    assert_eq!(apply(&mut registry, command("a", PolicyAsk::Delete)), Ok(Some(6)));
    assert_eq!(text(&registry, "a"), None);
    assert_eq!(apply(&mut registry, command("a", PolicyAsk::RollBack(None))), Ok(Some(7)));
    assert_eq!(text(&registry, "a").as_deref(), Some("3"));
    let policy = registry.policies().get(&Namespace::default(), &name("a")).unwrap();
    let told: Vec<_> = policy.history().map(|made| (made.number, made.action.as_str())).collect();
    assert_eq!(told[..3], [(7, "rolled_back"), (6, "deleted"), (5, "rolled_back")]);
    assert_eq!((told.len(), policy.forgotten()), (7, 0));
    let missing = apply(&mut registry, command("b", PolicyAsk::RollBack(None))).unwrap_err();
    assert_eq!(missing, PolicyError::NotFound(name("b")));
}

#[test]
fn what_the_caller_has_seen_is_compared() {
    let mut registry = Registry::default();
    let expecting = |expected, text| PolicyCommand { expected: Some(expected), ..put("a", "cart", text) };
    let refused = apply(&mut registry, expecting(Expected::Any, "1")).unwrap_err();
    assert_eq!(refused.to_string(), "policy \"a\" is not there");
    apply(&mut registry, put("a", "cart", "1")).unwrap();
    let refused = apply(&mut registry, expecting(Expected::Revision(7), "2")).unwrap_err();
    assert_eq!(refused.to_string(), "policy \"a\" is at revision 1 now");
    assert_eq!(apply(&mut registry, expecting(Expected::Revision(1), "2")), Ok(Some(2)));
    assert_eq!(apply(&mut registry, expecting(Expected::Any, "3")), Ok(Some(3)));
}

#[test]
fn ten_thousand_pushes_keep_a_hundred_revisions_and_whoever_keeps_up_misses_nothing() {
    let mut registry = Registry::default();
    let mut seen = 0;
    for push in 0..10_000 {
        apply(&mut registry, put("a", "cart", &format!("{push:>1000}"))).unwrap();
        let news: Vec<_> = registry.policies().since(seen).expect("nothing is forgotten").collect();
        assert_eq!(news.len(), 1);
        seen = registry.revision();
    }
    let policies = registry.policies();
    let policy = policies.get(&Namespace::default(), &name("a")).unwrap();
    assert_eq!((policy.history().count(), policy.forgotten()), (POLICY_REVISIONS_KEPT, 9_900));
    assert!(policies.since(9_000).is_none(), "whoever was away for longer starts anew");
    assert!(registry.snapshot().policies.len() == POLICY_REVISIONS_KEPT);
    // Large texts go earlier.
    let large = "x".repeat(POLICY_BYTES_KEPT / 4);
    for push in 0..10 {
        apply(&mut registry, put("a", "cart", &format!("{push}{large}"))).unwrap();
    }
    let policy = registry.policies().get(&Namespace::default(), &name("a")).unwrap();
    assert_eq!(policy.history().count(), 4);
}

#[test]
fn policies_that_come_and_go_leave_a_bounded_trace() {
    let mut registry = Registry::default();
    for at in 0..DELETED_POLICIES_KEPT + 500 {
        apply(&mut registry, put(&format!("p{at}"), "cart", "1")).unwrap();
        apply(&mut registry, command(&format!("p{at}"), PolicyAsk::Delete)).unwrap();
    }
    let policies = registry.policies();
    assert_eq!(policies.with_deleted(&Namespace::default()).count(), DELETED_POLICIES_KEPT);
    assert_eq!(policies.of(&Namespace::default()).count(), 0);
    assert!(policies.since(999).is_none() && policies.since(1_000).is_some());
}

#[test]
fn there_is_a_last_policy() {
    let mut registry = Registry::default();
    for at in 0..POLICIES_MAX {
        apply(&mut registry, put(&format!("p{at}"), &format!("s{at}"), "1")).unwrap();
    }
    let refused = apply(&mut registry, put("more", "more", "1")).unwrap_err();
    assert_eq!(refused.to_string(), "there is no room for more policies: 10000 policies is the limit");
    apply(&mut registry, put("p1", "s1", "2")).expect("those that are there may change");
}

#[test]
fn all_texts_together_have_a_limit_and_what_was_deleted_makes_room() {
    let mut registry = Registry::default();
    let large = "x".repeat(POLICY_BYTES_KEPT);
    for at in 0..POLICY_BYTES_MAX / POLICY_BYTES_KEPT {
        apply(&mut registry, put(&format!("p{at}"), &format!("s{at}"), &large)).unwrap();
    }
    let refused = apply(&mut registry, put("more", "more", "1")).unwrap_err();
    assert!(matches!(refused, PolicyError::Full { what: "bytes", .. }), "{refused}");
    apply(&mut registry, command("p0", PolicyAsk::Delete)).unwrap();
    let of = Namespace::default();
    assert!(registry.policies().get(&of, &name("p0")).is_some());
    apply(&mut registry, put("more", "more", "1")).unwrap();
    assert!(registry.policies().get(&of, &name("p0")).is_none(), "its history went for it");
}

#[test]
fn what_a_backup_says_gets_a_later_revision() {
    let mut registry = Registry::default();
    let restore = |text, replace| {
        command("a", PolicyAsk::Restore { document: document("cart", text), replace, after: 70 })
    };
    assert_eq!(apply(&mut registry, restore("1", false)), Ok(Some(71)));
    assert_eq!(apply(&mut registry, restore("2", false)), Ok(None));
    assert_eq!(apply(&mut registry, restore("1", true)), Ok(None));
    assert_eq!(apply(&mut registry, restore("2", true)), Ok(Some(72)));
}

proptest! {
    #[test]
    fn policies_are_what_a_plain_map_says_and_the_same_after_a_restart(
        steps in prop::collection::vec((0_u8..5, 0_u8..4, 0_u8..4, 0_u8..3), 1..80),
        cut in 0_usize..80,
    ) {
        let mut registry = Registry::default();
        let mut plain: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut changes = Vec::new();
        let mut snapshot = Snapshot::default();
        for (at, (what, policy, service, text)) in steps.into_iter().enumerate() {
            let (policy, service, text) = (format!("p{policy}"), format!("s{service}"), format!("{text}"));
            let ask = match what {
                0 => PolicyAsk::Delete,
                1 => PolicyAsk::RollBack(None),
                _ => PolicyAsk::Put(document(&service, &text)),
            };
            let decided = registry.decide_policy(start(), command(&policy, ask.clone()));
            let is_taken = plain.iter().any(|(of, (taken, _))| *of != policy && *taken == service);
            match (&ask, &decided) {
                (PolicyAsk::Put(_), Err(error)) => {
                    let is_so = matches!(error, PolicyError::Taken { .. });
                    prop_assert!(is_taken && is_so);
                }
                (PolicyAsk::Put(_), Ok(change)) => {
                    let after = (service, text);
                    prop_assert!(!is_taken);
                    prop_assert_eq!(change.is_none(), plain.get(&policy) == Some(&after));
                    plain.insert(policy, after);
                }
                (PolicyAsk::Delete, decided) => {
                    prop_assert_eq!(decided.is_ok(), plain.remove(&policy).is_some());
                }
                (_, Ok(Some(change))) => {
                    let made = change.made.document.as_ref().unwrap();
                    let of = made.service.as_ref().unwrap().to_string();
                    plain.insert(policy, (of, made.text.to_string()));
                }
                _ => {}
            }
            if let Ok(Some(change)) = decided {
                prop_assert!(change.made.revision > registry.revision());
                changes.push(change.clone());
                registry.commit_policy(change);
            }
            if at == cut {
                changes.clear();
                snapshot = registry.snapshot();
            }
        }
        let mut again = Registry::restore(start(), snapshot);
        changes.into_iter().for_each(|change| again.commit_policy(change));
        for registry in [&registry, &again] {
            let of = Namespace::default();
            let found = registry.policies().of(&of).map(|(name, policy)| {
                let (_, document) = policy.current().unwrap();
                let service = document.service.as_ref().unwrap().to_string();
                (name.to_string(), (service, document.text.to_string()))
            });
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), plain.clone());
        }
        prop_assert_eq!(registry.snapshot(), again.snapshot());
    }
}
