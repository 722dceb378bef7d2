use std::{path::Path, sync::Arc};

use identity::Wall;
use proptest::prelude::*;
use storage_disk::{Fault, FaultyDisk};
use traces::graph::{Durations, Edge, EdgeKey, EdgeKind, EdgeMinute, Figures, Node, NodeKind};

use crate::{Edges, Kept};

const SINCE: Wall = Wall(60_000_000_000);

fn open(disk: &FaultyDisk) -> (Edges, Kept) {
    let (edges, kept, recovery) = Edges::open(Arc::new(disk.clone()), Path::new("/data/graph"), 0).unwrap();
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
    (edges, kept)
}

fn edge(minute: u64, name: &str, calls: u64) -> EdgeMinute {
    let node = |kind, name: &str| Node { kind, namespace: "default".into(), name: name.into() };
    let mut durations = Durations::default();
    (0..calls).for_each(|call| durations.record(call * 1_000));
    EdgeMinute {
        minute: Wall(minute * 60_000_000_000),
        edge: Edge {
            key: EdgeKey {
                from: node(NodeKind::Service, "shop"),
                to: node(NodeKind::Database, name),
                kind: EdgeKind::Database,
            },
            figures: Figures {
                calls,
                errors: calls / 2,
                unpaired: 1,
                proxied: 2,
                sampled: 3,
                left_out: 4.5,
                durations,
            },
        },
    }
}

fn sorted(kept: Kept) -> Vec<EdgeMinute> {
    let mut minutes = kept.minutes;
    minutes.sort_by(|one, other| (one.minute, &one.edge.key).cmp(&(other.minute, &other.edge.key)));
    minutes
}

#[test]
fn what_was_kept_comes_back_and_a_later_word_on_a_minute_takes_the_place_of_an_earlier() {
    let disk = FaultyDisk::new(1);
    let (edges, kept) = open(&disk);
    assert_eq!(kept, Kept::default());
    edges.keep(SINCE, &[edge(1, "a", 3), edge(1, "b", 1)]).unwrap();
    edges.keep(SINCE, &[edge(1, "a", 5), edge(2, "a", 1)]).unwrap();
    let disk = disk.crash();
    let (edges, kept) = open(&disk);
    assert_eq!(kept.since, Some(SINCE));
    let expected = [edge(1, "a", 5), edge(1, "b", 1), edge(2, "a", 1)];
    assert_eq!(sorted(kept), expected);
    edges.replace(SINCE, &[edge(2, "a", 1)]).unwrap();
    edges.keep(SINCE, &[edge(3, "a", 2)]).unwrap();
    assert_eq!(sorted(open(&disk.crash()).1), [edge(2, "a", 1), edge(3, "a", 2)]);
}

#[test]
fn a_journal_that_has_grown_long_is_replaced_by_what_holds() {
    let disk = FaultyDisk::new(1);
    let (edges, _) = open(&disk);
    let minute: Vec<EdgeMinute> = (0..1_000).map(|name| edge(1, &name.to_string(), 40)).collect();
    while !edges.is_long() {
        edges.keep(SINCE, &minute).unwrap();
    }
    let before = edges.bytes();
    edges.replace(SINCE, &minute).unwrap();
    assert!(!edges.is_long() && edges.bytes() < before / 4, "{before} bytes, then {}", edges.bytes());
    assert_eq!(open(&disk.crash()).1.minutes.len(), 1_000);
}

#[test]
fn a_fault_at_any_operation_leaves_what_was_kept_before_or_what_came_after() {
    let work = |disk: &FaultyDisk| -> u64 {
        let Ok((edges, ..)) = Edges::open(Arc::new(disk.clone()), Path::new("/data/graph"), 0) else {
            return 0;
        };
        let mut kept = 0;
        for calls in 1..=4 {
            if edges.keep(SINCE, &[edge(1, "a", calls)]).is_ok() {
                kept = calls;
            }
            if calls == 2 {
                let _ = edges.replace(SINCE, &[edge(1, "a", calls)]);
            }
        }
        kept
    };
    let disk = FaultyDisk::new(1);
    work(&disk);
    for operation in 0..disk.operations() {
        let disk = FaultyDisk::new(operation);
        disk.fail(operation..=operation, Fault::Error);
        let kept = work(&disk);
        let disk = disk.crash();
        let read = sorted(open(&disk).1).first().map_or(0, |edge| edge.edge.figures.calls);
        assert!(read >= kept, "operation {operation}: {kept} were kept, and {read} are there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_kept_last_of_an_edge_in_a_minute_holds(
        words in prop::collection::vec(prop::collection::vec((0..3_u64, "[a-c]", 1..9_u64), 0..6), 1..6)
    ) {
        let disk = FaultyDisk::new(1);
        let (edges, _) = open(&disk);
        let mut expected = std::collections::BTreeMap::new();
        for word in words {
            // Of an edge in a minute there is one word at a time.
            let word: std::collections::BTreeMap<_, _> =
                word.into_iter().map(|(minute, name, calls)| ((minute, name), calls)).collect();
            let told: Vec<_> = word.iter().map(|((minute, name), calls)| edge(*minute, name, *calls)).collect();
            edges.keep(SINCE, &told).unwrap();
            expected.extend(word);
        }
        let expected: Vec<_> =
            expected.into_iter().map(|((minute, name), calls)| edge(minute, &name, calls)).collect();
        prop_assert_eq!(sorted(open(&disk.crash()).1), expected);
    }
}
