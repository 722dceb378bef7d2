//! Each test's name is the claim.

use proptest::prelude::*;

use super::*;

fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..2_000_u32).map(|i| format!("key-{i}").into_bytes())
}

#[test]
fn positions_are_xxh64_with_seed_zero() {
    // The published test values of XXH64.
    assert_eq!(hash(b""), 0xEF46_DB37_51D8_E999);
    assert_eq!(hash(b"a"), 0xD24E_C4F1_A98C_6E5B);
}

#[test]
fn an_empty_ring_has_no_owner() {
    let ring = Ring::new([("a", 0)]);
    assert_eq!(ring.owner(b"k"), None);
    assert_eq!(ring.walk(b"k").count(), 0);
}

#[test]
fn shares_follow_weights() {
    let ring = Ring::new([("a", 100), ("b", 300)]);
    let b = keys().filter(|key| ring.owner(key) == Some("b")).count();
    assert!((1_350..1_650).contains(&b), "three quarters of 2000 keys, within 10 %: {b}");
}

proptest! {
    #[test]
    fn removing_a_node_moves_only_its_keys(count in 2_usize..12, gone in 0_usize..12) {
        let gone = gone % count;
        let nodes: Vec<String> = (0..count).map(|i| format!("node-{i}")).collect();
        let before = Ring::new(nodes.iter().map(|n| (n, 100)));
        let after = Ring::new(nodes.iter().rev().filter(|n| **n != nodes[gone]).map(|n| (n, 100)));
        for key in keys() {
            let owner = before.owner(&key).unwrap();
            if owner == nodes[gone] {
                prop_assert_eq!(after.owner(&key), before.walk(&key).nth(1));
            } else {
                prop_assert_eq!(after.owner(&key), Some(owner));
            }
        }
    }
}
