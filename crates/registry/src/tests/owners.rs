//! Who owns a key.

use super::*;

#[test]
fn a_key_stays_with_its_home_while_that_is_down() {
    let mut registry = Registry::default();
    for (name, lease) in [("a", 1), ("b", 2), ("c", 3)] {
        registry.apply(start(), register(name, 80, lease, None)).unwrap();
    }
    let (namespace, service) = ("default".parse().unwrap(), "cart".parse().unwrap());
    let owner = |registry: &Registry, key: &str| {
        registry.owner(start(), &namespace, &service, key.as_bytes()).unwrap()
    };
    let before: Vec<_> = (0..100).map(|i| owner(&registry, &format!("k{i}"))).collect();
    assert!(before.iter().all(|o| o.effective.as_ref() == Some(&o.home) && o.reason.is_empty()));
    let beat = start().after(Duration::from_secs(1));
    for name in ["b", "c"] {
        registry.heartbeat(beat, &target("cart", name), None).unwrap();
    }
    registry.advance(start().after(TTL));
    for (i, before) in before.iter().enumerate() {
        let now = owner(&registry, &format!("k{i}"));
        assert_eq!(now.home, before.home);
        assert_eq!(now.effective == before.effective, before.home.as_str() != "a");
        assert_eq!(now.reason.is_empty(), before.home.as_str() != "a");
    }
}
