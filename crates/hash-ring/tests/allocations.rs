//! Lookups take no memory.

use allocation_counter::measure;
use hash_ring::{Bound, Maglev, Ring, RingSize, Scheme};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.1.{}.{}:8080", n / 250, n % 250)).collect()
}

/// How often memory was asked for, by something that is done for each of some keys.
fn allocations(mut lookup: impl FnMut(&[u8])) -> u64 {
    let keys: Vec<String> = (0..100).map(|n| format!("/users/{n}/orders")).collect();
    measure(|| keys.iter().for_each(|key| lookup(key.as_bytes()))).count_total
}

#[test]
fn a_lookup_on_a_ring_allocates_nothing() {
    let names = names(1_000);
    for scheme in [Scheme::Bellwether, Scheme::Libketama, Scheme::Nginx, Scheme::Envoy(RingSize::default())] {
        let ring = Ring::with_scheme(scheme, names.iter().map(|name| (name, 1)));
        let taken = allocations(|key| {
            let position = ring.position(key);
            assert!(ring.owner(key).is_some() && ring.owner_of(position).is_some());
            assert!(ring.nearest(key).is_some() && ring.nearest_to(position).is_some());
            assert_eq!(ring.nearby(key).count(), 1_000);
            assert!(ring.node("10.1.0.7:8080").is_some());
            assert!(ring.distance("nobody", "else").is_none());
        });
        assert_eq!(taken, 0, "{scheme:?}");
    }
}

#[test]
fn a_lookup_in_a_table_allocates_nothing() {
    let names = names(1_000);
    let table = Maglev::new(names.iter().map(|name| (name, 1)));
    let taken = allocations(|key| {
        assert!(table.owner(key).is_some());
        assert_eq!(table.walk(key).count(), 1_000);
    });
    assert_eq!(taken, 0);
}

#[test]
fn a_walk_over_1024_nodes_allocates_nothing() {
    let names = names(1_024);
    let ring = Ring::new(names.iter().map(|name| (name, 1)));
    assert_eq!(allocations(|key| assert_eq!(ring.walk(key).count(), 1_024)), 0);
}

#[test]
fn the_first_16_nodes_of_a_larger_ring_allocate_nothing_either() {
    let names = names(5_000);
    let ring = Ring::new(names.iter().map(|name| (name, 1)));
    assert_eq!(allocations(|key| assert_eq!(ring.walk(key).take(16).count(), 16)), 0);
    let taken = allocations(|key| assert_eq!(ring.walk(key).count(), 5_000));
    assert_eq!(taken, 100, "once for each whole walk");
}

#[test]
fn a_bounded_lookup_allocates_nothing_however_far_it_goes() {
    let mut names = names(5_000);
    names.sort();
    let (ring, table) =
        (Ring::new(names.iter().map(|name| (name, 1))), Maglev::new(names.iter().map(|name| (name, 1))));
    let bound = Bound::new(1.0).unwrap();
    // One call on each node but the last: only that one has room.
    let load = |node: hash_ring::Node| u32::from(node.index() != 4_999);
    let taken = allocations(|key| {
        let on_ring = ring.bounded(ring.position(key), bound, 4_999, load);
        let in_table = table.bounded(table.position(key), bound, 4_999, load);
        assert_eq!((on_ring, in_table), (ring.node(&names[4_999]), table.node(&names[4_999])));
    });
    assert_eq!(taken, 0);
}
