//! Each test's name is the claim.

use std::{path::Path, sync::Arc, time::Duration};

use identity::{Mono, Now, Wall};
use registry::{
    Ask, Check, Command, Host, LeaseId, Pinned, PolicyAsk, PolicyCommand, PolicyDocument, Probe,
    Registration, Target, Verdict,
};
use storage_disk::{Fault, FaultyDisk};

use super::*;

const FOLDER: &str = "/catalog";

fn now() -> Now {
    Now { mono: Mono(5), wall: Wall(1_700_000_000_000_000_000) }
}

fn target(instance: &str) -> Target {
    Target {
        namespace: "default".parse().unwrap(),
        service: "cart".parse().unwrap(),
        instance: instance.parse().unwrap(),
    }
}

fn registration(port: u16) -> Registration {
    Registration {
        zone: Some("a".into()),
        version: Some("1.2".into()),
        weight: 50,
        metadata: [("k", "ü")].into_iter().collect(),
        ttl: Some(Duration::from_secs(15).into()),
        deregister_after: Some(Duration::from_secs(60).into()),
        warm_up: Some(Duration::from_secs(30).into()),
        ..Registration::new(Host::parse("cart.internal").unwrap(), port)
    }
}

fn register(instance: &str, port: u16, lease: u64) -> Command {
    Command::register(target(instance), registration(port), LeaseId(lease), "test")
}

fn ask(instance: &str, ask: Ask) -> Command {
    Command { target: target(instance), actor: "o".into(), ask }
}

fn token(id: &str) -> Token {
    Token {
        id: id.to_owned(),
        name: "ci".to_owned(),
        hash: [7; 32],
        scopes: vec![Scope::Write],
        namespaces: vec!["default".parse().unwrap()],
        created_at: Wall(3),
        expires_at: Some(Wall(9)),
    }
}

fn proxy(id: &str) -> KnownProxy {
    KnownProxy { id: id.parse().unwrap(), since: Wall(5) }
}

fn came(id: &str) -> ProxyChange {
    ProxyChange::Came(proxy(id))
}

fn open(disk: &FaultyDisk) -> (Catalog, Loaded) {
    Catalog::open(Arc::new(disk.clone()), Path::new(FOLDER), now()).unwrap()
}

async fn apply(catalog: &Catalog, registry: &mut Registry, command: Command) -> Result<(), AppendError> {
    let mut draft = registry.draft();
    draft.apply(now(), command).unwrap();
    let batch = draft.finish();
    catalog.commit(&batch.changes).await?;
    registry.commit(now(), batch);
    Ok(())
}

fn same(a: &Registry, b: &Registry) {
    assert_eq!(a.revision(), b.revision());
    assert!(a.instances().eq(b.instances()));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_losing_everything_unsynced() {
    let disk = FaultyDisk::new(1);
    let (catalog, Loaded { mut registry, .. }) = open(&disk);
    apply(&catalog, &mut registry, register("a", 80, 1)).await.unwrap();
    apply(&catalog, &mut registry, register("b", 81, 2)).await.unwrap();
    apply(&catalog, &mut registry, register("a", 80, 3)).await.unwrap();
    let gone = ask("b", Ask::Deregister { held: None, reason: "r".into() });
    apply(&catalog, &mut registry, gone).await.unwrap();
    catalog.put_token(&token("t1")).await.unwrap();
    catalog.put_token(&token("t2")).await.unwrap();
    catalog.revoke_token("t1").await.unwrap();
    let changes = [came("p1"), came("p2"), ProxyChange::Left("p1".parse().unwrap())];
    catalog.keep_proxies(&changes).await.unwrap();

    let (_catalog, loaded) = open(&disk.crash());
    same(&loaded.registry, &registry);
    assert_eq!(loaded.registry.instance(&target("a")).unwrap().lease, LeaseId(3));
    assert_eq!(loaded.tokens, [token("t2")]);
    assert_eq!(loaded.proxies, [proxy("p2")]);
    assert_eq!(loaded.recovery.records, 10);
    assert!(loaded.registry.next_deadline() > Some(now().mono), "leases begin anew");
}

#[tokio::test]
async fn a_snapshot_holds_everything_and_changes_go_on_after_it() {
    let disk = FaultyDisk::new(2);
    let (catalog, Loaded { mut registry, .. }) = open(&disk);
    for (instance, lease) in [("a", 1), ("b", 2)] {
        apply(&catalog, &mut registry, register(instance, 80, lease)).await.unwrap();
    }
    catalog.put_token(&token("t1")).await.unwrap();
    catalog.snapshot(&registry.snapshot(), &[token("t1")], &[proxy("p1")]).unwrap();
    apply(&catalog, &mut registry, register("b", 99, 3)).await.unwrap();

    let (catalog, loaded) = open(&disk.crash());
    same(&loaded.registry, &registry);
    assert_eq!(loaded.registry.complete_after(), 2, "watchers from before the snapshot need another one");
    assert_eq!((loaded.tokens.len(), loaded.recovery.records), (1, 1));
    assert_eq!(loaded.proxies, [proxy("p1")]);
    drop(catalog);
}

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_heals() {
    let disk = FaultyDisk::new(3);
    let (catalog, Loaded { mut registry, .. }) = open(&disk);
    apply(&catalog, &mut registry, register("a", 80, 1)).await.unwrap();
    disk.set_room(Some(0));
    assert!(apply(&catalog, &mut registry, register("b", 80, 2)).await.is_err());
    assert_eq!(registry.instance_count(), 1, "what is not durable is not shown");
    disk.set_room(None);
    apply(&catalog, &mut registry, register("b", 80, 3)).await.unwrap();
    let (_catalog, loaded) = open(&disk.crash());
    same(&loaded.registry, &registry);
}

#[test]
fn a_token_never_prints_its_hash() {
    assert!(!format!("{:?}", token("t")).contains("7, 7"));
}

#[tokio::test]
async fn everything_that_is_known_of_an_instance_survives() {
    let disk = FaultyDisk::new(1);
    let (catalog, Loaded { mut registry, .. }) = open(&disk);
    let check = |probe| Check { port: Some(9), success_threshold: 2, ..Check::new(probe) };
    let checks = [
        check(Probe::Http { path: "/healthz".into() }),
        check(Probe::Tcp),
        Check::new(Probe::Grpc { service: "cart.v1".into() }),
    ];
    let registration = Registration { checks: checks.clone().into(), ..registration(80) };
    let judge = |check: &Check, verdict| Ask::Judge { lease: LeaseId(1), check: check.clone(), verdict };
    let lasts = Some(Duration::from_secs(60));
    let reason = || "works on it".into();
    for command in [
        Command::register(target("a"), registration, LeaseId(1), "test"),
        ask("a", judge(&checks[0], Verdict::Passing)),
        ask("a", judge(&checks[1], Verdict::Failing("refused".into()))),
        ask("a", Ask::Drain { held: None, force: false, reason: reason() }),
        ask("a", Ask::Override { status: Pinned::Maintenance, lasts, reason: reason() }),
    ] {
        apply(&catalog, &mut registry, command).await.unwrap();
    }
    let known = registry.instance(&target("a")).unwrap();
    assert!(known.condition.drain.is_some() && known.condition.pinned.is_some() && known.condition.is_cold);
    let (catalog, loaded) = open(&disk.crash());
    same(&loaded.registry, &registry);
    catalog.snapshot(&loaded.registry.snapshot(), &[], &[]).unwrap();
    drop(catalog);
    same(&open(&disk.crash()).1.registry, &registry);
}

#[test]
fn a_snapshot_waits_until_twice_as_much_was_written_as_the_last_one_took() {
    let small = SNAPSHOT_AFTER_BYTES;
    assert!(!is_worth_writing(small, 0));
    assert!(is_worth_writing(small + 1, 0));
    assert!(is_worth_writing(small + 1, small / 2));
    assert!(!is_worth_writing(20 * small, 10 * small));
    assert!(is_worth_writing(20 * small + 1, 10 * small));
}

/// A registry in which one service has this many instances, and a disk that holds it.
async fn crowded(instances: u64) -> (FaultyDisk, Registry) {
    let disk = FaultyDisk::new(1);
    let (catalog, Loaded { mut registry, .. }) = open(&disk);
    let mut draft = registry.draft();
    for nth in 0..instances {
        draft.apply(now(), register(&format!("cart-{nth:05}"), 80, nth + 1)).unwrap();
    }
    let batch = draft.finish();
    catalog.commit(&batch.changes).await.unwrap();
    registry.commit(now(), batch);
    drop(catalog);
    (disk, registry)
}

/// What deletes every instance.
fn end_of(registry: &Registry) -> registry::Batch {
    let mut draft = registry.draft();
    for (target, instance) in registry.instances() {
        let ask = Ask::Deregister { held: Some(instance.lease), reason: "moved".into() };
        draft.apply(now(), Command { target: target.clone(), actor: "o".into(), ask }).unwrap();
    }
    draft.finish()
}

#[tokio::test]
async fn the_end_of_many_instances_is_few_records_and_the_same_changes() {
    let (disk, mut registry) = crowded(1_500).await;
    let (catalog, _) = open(&disk);
    let batch = end_of(&registry);
    catalog.commit(&batch.changes).await.unwrap();
    assert_eq!(catalog.stats().records, 2, "of 1,024 and of the others");
    registry.commit(now(), batch);
    apply(&catalog, &mut registry, register("cart-00007", 99, 7)).await.unwrap();
    drop(catalog);
    let (_catalog, loaded) = open(&disk.crash());
    same(&loaded.registry, &registry);
    assert_eq!((registry.instance_count(), registry.revision()), (1, 3_001));
}

#[test]
fn removals_are_read_as_they_were_written_and_nothing_else_is_taken_for_one() {
    let mut registry = Registry::default();
    for (instance, lease) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
        registry.apply(now(), register(instance, 80, lease)).unwrap();
    }
    let mut draft = registry.draft();
    let gone = |reason: &str| Ask::Deregister { held: None, reason: reason.into() };
    draft.apply(now(), ask("a", gone("r"))).unwrap();
    draft.apply(now(), ask("c", gone("r"))).unwrap();
    draft.apply(now(), register("f", 80, 6)).unwrap();
    draft.apply(now(), ask("b", gone("r"))).unwrap();
    draft.apply(now(), ask("d", gone("another reason"))).unwrap();
    let later = Now { wall: Wall(now().wall.0 + 1), ..now() };
    draft.apply(later, ask("e", gone("another reason"))).unwrap();
    let changes = draft.finish().changes;
    let mut records = Records::new();
    removals::lay_out(&changes, &mut records);
    let kinds: Vec<u8> = records.iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [record::REMOVALS, record::CHANGE, record::CHANGE, record::CHANGE, record::CHANGE]);
    let read = records.iter().flat_map(|(kind, payload)| match kind {
        record::REMOVALS => decode::<RemovalsRecord>(payload).unwrap().read().unwrap(),
        _ => vec![Change::try_from(decode::<ChangeRecord>(payload).unwrap()).unwrap()],
    });
    assert_eq!(read.map(Arc::new).collect::<Vec<_>>(), changes);
}

#[tokio::test]
async fn the_end_of_a_service_is_never_half_done_wherever_the_power_fails() {
    const INSTANCES: u64 = 1_100;
    let (disk, registry) = crowded(INSTANCES).await;
    let batch = end_of(&registry);
    let mut seen = [0, 0];
    for (seed, fault) in [Fault::Torn, Fault::Crash].into_iter().cycle().enumerate().take(6) {
        for killed in [false, true] {
            let disk = disk.copy();
            let (catalog, loaded) = open(&disk);
            assert_eq!(loaded.registry.instance_count() as u64, INSTANCES);
            let nth = disk.operations() + seed as u64 / 2;
            disk.fail(nth..=nth, fault);
            let acknowledged = catalog.commit(&batch.changes).await.is_ok();
            let disk = if killed { disk.kill() } else { disk.crash() };
            let left = open(&disk).1.registry.instance_count() as u64;
            assert!(left == 0 || left == INSTANCES, "{left} are left after {fault:?} at {nth}");
            assert!(!acknowledged || left == 0, "what was acknowledged is undone");
            seen[usize::from(left == 0)] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "the faults meet the write: {seen:?}");
}

async fn put_policy(catalog: &Catalog, registry: &mut Registry, text: Option<&str>) {
    let document = |text: &str| {
        PolicyAsk::Put(PolicyDocument { service: Some("cart".parse().unwrap()), text: text.into() })
    };
    let command = PolicyCommand {
        namespace: "default".parse().unwrap(),
        name: "cart".parse().unwrap(),
        ask: text.map_or(PolicyAsk::Delete, document),
        expected: None,
        actor: "ada".into(),
        reason: "because".into(),
    };
    let change = registry.decide_policy(now(), command).unwrap().expect("a change");
    catalog.commit_policy(&change).await.unwrap();
    registry.commit_policy(change);
}

#[tokio::test]
async fn policies_and_their_history_survive_a_crash_with_and_without_a_snapshot() {
    let mut disk = FaultyDisk::new(5);
    let (mut catalog, Loaded { mut registry, .. }) = open(&disk);
    put_policy(&catalog, &mut registry, Some("1")).await;
    apply(&catalog, &mut registry, register("cart-1", 80, 1)).await.unwrap();
    put_policy(&catalog, &mut registry, Some("2")).await;
    for with_snapshot in [false, true, true] {
        if with_snapshot {
            catalog.snapshot(&registry.snapshot(), &[], &[]).unwrap();
            put_policy(&catalog, &mut registry, None).await;
            put_policy(&catalog, &mut registry, Some("3")).await;
        }
        disk = disk.crash();
        let (again, loaded) = open(&disk);
        assert_eq!(loaded.registry.snapshot(), registry.snapshot(), "after a snapshot: {with_snapshot}");
        catalog = again;
    }
}
