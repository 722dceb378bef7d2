use crate::{Origin, Sources};

fn origin(source: &str, epoch: u64, sequence: u64) -> Origin {
    Origin { source: source.into(), epoch, sequence }
}

#[test]
fn a_batch_is_taken_in_once() {
    let mut sources = Sources::default();
    assert!(sources.take_in(&origin("p", 1, 0)));
    assert!(!sources.take_in(&origin("p", 1, 0)));
    assert!(sources.take_in(&origin("p", 1, 5)));
    assert!(!sources.take_in(&origin("p", 1, 3)), "what is not above the last was here before");
    assert!(sources.take_in(&origin("p", 2, 0)), "a new epoch counts anew");
    assert!(!sources.take_in(&origin("p", 1, 4)), "and the old one is still remembered");
    assert!(sources.has(&origin("p", 1, 5)) && !sources.has(&origin("p", 1, 6)));
}

#[test]
fn the_source_heard_of_least_recently_is_forgotten_first() {
    let mut sources = Sources::new(2);
    for source in ["a", "b", "a", "c"] {
        sources.take_in(&origin(source, 1, 1));
    }
    assert!(sources.has(&origin("a", 1, 1)) && sources.has(&origin("c", 1, 1)));
    assert!(!sources.has(&origin("b", 1, 1)));
    assert_eq!(sources.iter().map(|origin| origin.source).collect::<Vec<_>>(), ["a".into(), "c".into()]);

    let mut again = Sources::new(2);
    sources.iter().for_each(|origin| assert!(again.take_in(&origin)));
    assert!(again.iter().eq(sources.iter()));
}
