//! Leases and who holds them.

use super::*;

#[test]
fn an_old_process_cannot_touch_its_successor() {
    let mut registry = Registry::default();
    registry.apply(start(), register("a", 80, 1, None)).unwrap();
    registry.apply(start(), register("a", 80, 2, None)).unwrap();
    let stale = Err(Error::StaleLease(target("cart", "a")));
    assert_eq!(registry.apply(start(), Command::heartbeat(target("cart", "a"), LeaseId(1))), stale);
    assert_eq!(
        registry.heartbeat(start(), &target("cart", "a"), Some(LeaseId(1))).map(|_| ()),
        stale.clone().map(|_: Outcome| ())
    );
    let gone = ask("a", Ask::Deregister { held: Some(LeaseId(1)), reason: "stopping".into() });
    assert_eq!(registry.apply(start(), gone), stale);
    assert_eq!(registry.apply(start(), register("a", 99, 3, Some(1))), stale);
    assert_eq!(status(&registry, "a"), Some(Status::Up));
}

#[test]
fn a_lapsed_lease_is_down_then_recovers_by_a_heartbeat_or_is_forgotten() {
    let mut registry = Registry::default();
    registry.apply(start(), register("a", 80, 1, None)).unwrap();
    registry.apply(start(), register("b", 81, 2, None)).unwrap();
    let beat = start().after(TTL - Duration::from_nanos(1));
    assert_eq!(registry.heartbeat(beat, &target("cart", "b"), None), Ok(true));
    assert_eq!(registry.next_deadline(), Some(Mono(0) + TTL));

    let lapse = start().after(TTL);
    let changes = registry.advance(lapse);
    assert_eq!(changes.len(), 1);
    assert_eq!((status(&registry, "a"), status(&registry, "b")), (Some(Status::Down), Some(Status::Up)));
    assert_eq!(&*changes[0].cause.reason, "lease lapsed: no heartbeat for 15s");

    let late = Command::heartbeat(target("cart", "a"), LeaseId(1));
    assert_eq!(registry.heartbeat(lapse, &target("cart", "a"), None), Ok(false));
    assert_eq!(registry.apply(lapse, late.clone()).unwrap().change.unwrap().cause.action, Action::Recovered);
    assert_eq!(status(&registry, "a"), Some(Status::Up));

    let lapse = lapse.after(TTL);
    registry.advance(lapse);
    registry.advance(lapse.after(TTL * DEREGISTER_AFTER_TTLS));
    assert_eq!(registry.instance_count(), 0);
    assert_eq!(registry.apply(lapse, late), Err(Error::NotFound(target("cart", "a"))));
    assert_eq!(registry.next_deadline(), None);
}
