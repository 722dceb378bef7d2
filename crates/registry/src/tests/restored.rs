//! What a backup brings back.

use super::*;

fn restore(instance: &str, of: &Instance, replace: bool, after: u64) -> Command {
    let ask = Ask::Restore { instance: Box::new(of.clone()), replace, after, reason: "restored".into() };
    super::ask(instance, ask)
}

/// A registry in which `a` is drained and in maintenance, and what was known of it.
fn known() -> (Registry, Instance) {
    let mut registry = Registry::default();
    let reason = || "r".into();
    registry.apply(start(), register("a", 80, 7, None)).unwrap();
    registry.apply(start(), ask("a", Ask::Drain { held: None, force: true, reason: reason() })).unwrap();
    let pin = Ask::Override { status: Pinned::Maintenance, lasts: None, reason: reason() };
    registry.apply(start(), ask("a", pin)).unwrap();
    let instance = registry.instance(&target("cart", "a")).unwrap().clone();
    (registry, instance)
}

#[test]
fn what_is_missing_comes_back_as_it_was_at_a_revision_after_the_backups() {
    let (_, instance) = known();
    let mut registry = Registry::default();
    let mut history = Vec::new();
    let later = start().after(Duration::from_secs(1_000));
    let outcome = registry.apply(later, restore("a", &instance, false, 40)).unwrap();
    assert!(outcome.created && outcome.lease == Some(LeaseId(7)));
    history.extend(outcome.change);
    assert_eq!((registry.revision(), history[0].revision), (41, 41));
    let back = registry.instance(&target("cart", "a")).unwrap();
    assert_eq!(
        (back.status, back.reason(), back.since),
        (instance.status, instance.reason(), instance.since)
    );
    assert_eq!(back.condition.pinned, instance.condition.pinned);
    let drain = |of: &Instance| of.condition.drain.clone().unwrap();
    assert_eq!(
        (drain(back).note, drain(back).revision),
        (drain(&instance).note, 41),
        "revisions are of this registry"
    );
    assert_eq!(
        registry.heartbeat(later, &target("cart", "a"), Some(LeaseId(7))),
        Ok(true),
        "the owner keeps its lease"
    );
    assert_eq!(registry.next_deadline(), Some(later.mono + TTL), "which begins anew");
    let mut replayed = Registry::default();
    history.into_iter().for_each(|change| replayed.replay(later, change));
    assert!(replayed.instances().eq(registry.instances()) && replayed.revision() == registry.revision());
    assert!(matches!(registry.since(41, &Scope::All), Since::Changes(missed) if missed.is_empty()));
}

#[test]
fn what_is_there_stays_unless_the_backup_shall_win() {
    let (mut registry, instance) = known();
    assert_eq!(
        registry.apply(start(), restore("a", &instance, true, 0)).unwrap().change,
        None,
        "it is the same"
    );
    registry.apply(start(), register("a", 99, 8, None)).unwrap();
    let (before, revision) = (registry.instance(&target("cart", "a")).unwrap().clone(), registry.revision());
    let kept = registry.apply(start(), restore("a", &instance, false, 40)).unwrap();
    assert_eq!((kept.change, kept.created, kept.lease), (None, false, Some(LeaseId(8))));
    assert_eq!((registry.instance(&target("cart", "a")), registry.revision()), (Some(&before), revision));
    let won = registry.apply(start(), restore("a", &instance, true, 0)).unwrap();
    assert_eq!(
        (won.created, won.lease, won.change.unwrap().cause.action),
        (false, Some(LeaseId(7)), Action::Restored)
    );
    let back = registry.instance(&target("cart", "a")).unwrap();
    assert_eq!((back.registration.port, back.revision), (80, revision + 1));
}

#[test]
fn what_breaks_a_rule_is_not_restored() {
    let (_, instance) = known();
    let mut registry = Registry::default();
    let mut cases: Vec<(Instance, &str)> = Vec::new();
    let mut broken = instance.clone();
    broken.registration.port = 0;
    cases.push((broken, "port"));
    let mut broken = instance.clone();
    let verdicts = [Verdict::Passing].into();
    broken.condition = Condition { verdicts, ..Condition::clone(&broken.condition) }.into();
    cases.push((broken, "checks"));
    let mut broken = instance.clone();
    let mut condition = Condition::clone(&broken.condition);
    condition.drain.as_mut().unwrap().note.reason = "a\nb".into();
    broken.condition = condition.into();
    cases.push((broken, "reason"));
    for (broken, what) in cases {
        match registry.apply(start(), restore("a", &broken, true, 40)) {
            Err(Error::Invalid(error)) => assert_eq!(error.what(), what),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!((registry.instance_count(), registry.revision()), (0, 0));
}
