//! What a watcher is told.

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
