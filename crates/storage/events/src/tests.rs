//! Claims about the event store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::{TraceId, Wall};
use monitoring::Origin;
use proptest::prelude::*;
use storage_disk::{Fault, FaultyDisk};
use storage_journal::OpenError;

use super::*;
use crate::record::EventRecord;

mod encoding;

fn open(disk: &FaultyDisk, settings: Settings) -> Events {
    Events::open(Arc::new(disk.clone()), Path::new("/data/events"), settings).unwrap()
}

fn disk() -> FaultyDisk {
    FaultyDisk::new(1)
}

/// An event about one of two services, of one of two kinds.
fn event(number: u64) -> Event {
    let service = if number.is_multiple_of(2) { "payments" } else { "orders" };
    Event {
        revision: 0,
        at: Wall(number * 1_000_000_000),
        kind: if number.is_multiple_of(3) { Kind::Breaker } else { Kind::Instance },
        action: format!("action-{number}"),
        namespace: Some("default".parse().unwrap()),
        service: Some(service.parse().unwrap()),
        instance: Some(format!("{service}-1").parse().unwrap()),
        actor: "gateway".to_owned(),
        reason: "five calls in a row failed".to_owned(),
        details: BTreeMap::from([("failures".to_owned(), number.to_string())]),
        exemplar_trace_ids: TraceId::new(u128::from(number) + 1).into_iter().collect(),
    }
}

fn batch(source: &str, sequence: u64, numbers: std::ops::Range<u64>) -> Batch {
    let origin = Some(Origin { source: source.into(), epoch: 1, sequence });
    Batch::of(origin, &numbers.map(event).collect::<Vec<_>>())
}

fn all(order: Order) -> Query {
    Query { limit: usize::MAX, order, ..Query::default() }
}

fn actions(events: &Events, query: &Query) -> Vec<String> {
    events.read(query).unwrap().into_iter().map(|event| event.action).collect()
}

fn small() -> Settings {
    Settings { memory_bytes: 3_000, disk_bytes: 20_000, ..Settings::default() }
}

#[test]
fn events_are_found_again_as_they_were() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    for number in 0..10 {
        events.record_one(event(number)).wait().unwrap();
    }
    let expected: Vec<Event> =
        (0..10).map(|number| Event { revision: number + 1, ..event(number) }).collect();
    assert_eq!(events.read(&all(Order::OldestFirst)).unwrap(), expected);
    drop(events);
    let events = open(&disk.crash(), Settings::default());
    assert_eq!(events.read(&all(Order::OldestFirst)).unwrap(), expected);
    assert_eq!(events.revision(), 10);
}

#[test]
fn queries_filter_order_and_limit() {
    let events = open(&disk(), Settings::default());
    events.record(batch("gateway", 1, 0..12)).wait().unwrap();
    let ask = |query: Query| actions(&events, &query).join(" ");
    let some = Query { limit: 3, ..Query::default() };
    assert_eq!(ask(some.clone()), "action-11 action-10 action-9");
    assert_eq!(
        ask(Query { order: Order::OldestFirst, since: Some(2), ..some.clone() }),
        "action-2 action-3 action-4"
    );
    assert_eq!(ask(Query { kind: Some(Kind::Breaker), ..some.clone() }), "action-9 action-6 action-3");
    let orders = Some("orders".parse().unwrap());
    assert_eq!(
        ask(Query { kind: Some(Kind::Breaker), service: orders, ..some.clone() }),
        "action-9 action-3"
    );
    assert_eq!(ask(Query { namespace: Some("other".parse().unwrap()), ..some.clone() }), "");
    assert_eq!(ask(Query { without: Some("action-9"), ..some.clone() }), "action-11 action-10 action-8");
    assert_eq!(ask(Query { limit: 0, ..some }), "");
}

#[test]
fn a_batch_that_is_sent_again_is_recorded_once() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    events.record(batch("gateway", 7, 0..3)).wait().unwrap();
    events.record(batch("gateway", 7, 0..3)).wait().unwrap();
    events.record(batch("sidecar", 7, 3..4)).wait().unwrap();
    drop(events);
    let events = open(&disk.crash(), Settings::default());
    events.record(batch("gateway", 7, 0..3)).wait().unwrap();
    assert_eq!(events.last_sequence("gateway", 1), Some(7));
    assert_eq!(events.last_sequence("gateway", 2), None);
    assert_eq!(events.stats().events, 4);
    let later = Batch::of(Some(Origin { source: "gateway".into(), epoch: 2, sequence: 1 }), [&event(9)]);
    events.record(later).wait().unwrap();
    assert_eq!(events.stats().events, 5);
}

#[test]
fn nothing_is_readable_before_it_is_durable() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    disk.hold_syncs();
    let record = events.record(batch("gateway", 1, 0..2));
    disk.await_held_sync();
    assert_eq!((events.revision(), actions(&events, &all(Order::OldestFirst)).len()), (0, 0));
    // The same batch again is not a duplicate of something that may still fail.
    assert_eq!(events.record(batch("gateway", 1, 0..2)).wait(), Err(AcceptError::Busy));
    disk.release_syncs();
    record.wait().unwrap();
    assert_eq!((events.revision(), actions(&events, &all(Order::OldestFirst)).len()), (2, 2));
}

#[test]
fn a_feed_sees_every_event_once_and_in_order() {
    const BATCHES: u64 = 200;
    let events = open(&disk(), Settings { memory_bytes: 2_000, ..Settings::default() });
    let writer = {
        let events = events.clone();
        std::thread::spawn(move || {
            for number in 0..BATCHES {
                events.record(batch("gateway", number, number..number + 1)).wait().unwrap();
            }
        })
    };
    let mut revisions = events.revisions();
    let mut query = Query { limit: 7, since: Some(0), order: Order::OldestFirst, ..Query::default() };
    let mut seen = Vec::new();
    while (seen.len() as u64) < BATCHES {
        revisions.borrow_and_update();
        let page = events.read(&query).unwrap();
        match page.last() {
            Some(last) => query.since = Some(last.revision),
            None => {
                let changed = std::pin::pin!(revisions.changed());
                block_on(changed).unwrap();
            }
        }
        seen.extend(page.into_iter().map(|event| event.action));
    }
    writer.join().unwrap();
    assert_eq!(seen, (0..BATCHES).map(|number| format!("action-{number}")).collect::<Vec<_>>());
}

/// Waits for a future on this thread.
fn block_on<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

#[test]
fn events_beyond_the_memory_budget_are_read_from_the_disk() {
    let events = open(&disk(), Settings { memory_bytes: 3_000, ..Settings::default() });
    for number in 0..100 {
        events.record_one(event(number)).wait().unwrap();
    }
    assert!(events.stats().memory_bytes <= 3_000);
    let newest = Query { limit: 2, ..Query::default() };
    assert!(events.is_in_memory(&newest));
    assert_eq!(actions(&events, &newest), ["action-99", "action-98"]);
    assert!(!events.is_in_memory(&all(Order::NewestFirst)));
    let mut found = actions(&events, &all(Order::NewestFirst));
    found.reverse();
    assert_eq!(found, actions(&events, &all(Order::OldestFirst)));
    assert_eq!(found.len(), 100);
}

#[test]
fn the_oldest_events_go_when_there_is_no_more_room() {
    let disk = disk();
    let events = open(&disk, small());
    for number in 0..400 {
        events.record(batch("gateway", number, number..number + 1)).wait().unwrap();
    }
    let stats = events.stats();
    assert!(stats.disk_bytes <= 22_000, "{stats:?}");
    assert!(stats.expired > 100, "{stats:?}");
    assert_eq!(stats.events + stats.expired, 400);
    let found = events.read(&all(Order::OldestFirst)).unwrap();
    assert_eq!((found.len() as u64, found[0].revision), (stats.events, stats.expired + 1));
    drop(events);
    let events = open(&disk.crash(), small());
    assert_eq!(events.stats().expired, stats.expired);
    assert_eq!(events.read(&all(Order::OldestFirst)).unwrap(), found);
    assert_eq!(events.last_sequence("gateway", 1), Some(399));
}

#[test]
fn old_events_go_and_their_senders_and_revisions_are_remembered() {
    let disk = disk();
    let events = open(&disk, small());
    events.record(batch("early", 5, 0..20)).wait().unwrap();
    for number in 20..60 {
        events.record(batch("gateway", number, number..number + 1)).wait().unwrap();
    }
    let day = Duration::from_secs(86_400);
    events.advance(Wall(0) + 365 * day);
    // The next answer comes after the time has passed.
    events.record_one(event(60)).wait().unwrap();
    let stats = events.stats();
    assert!(stats.expired >= 20, "{stats:?}");
    drop(events);
    let events = open(&disk.crash(), small());
    events.record(batch("early", 5, 0..20)).wait().unwrap();
    assert_eq!(events.revision(), 61, "the early batch was not recorded again");
}

#[test]
fn old_events_go_also_where_nothing_newer_comes() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    events.record(batch("gateway", 5, 0..20)).wait().unwrap();
    events.advance(Wall(0) + Duration::from_secs(365 * 86_400));
    let is_gone = |_| {
        std::thread::yield_now();
        events.stats().events == 0
    };
    assert!((0..1_000_000).any(is_gone));
    assert_eq!(events.stats().expired, 20);
    drop(events);
    let events = open(&disk.crash(), Settings::default());
    events.record(batch("gateway", 5, 0..20)).wait().unwrap();
    events.record(batch("gateway", 6, 20..21)).wait().unwrap();
    assert_eq!((events.stats().expired, events.revision()), (20, 21));
}

#[test]
fn a_full_disk_refuses_keeps_reading_and_heals() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    events.record(batch("gateway", 1, 0..2)).wait().unwrap();
    disk.set_room(Some(disk.used_bytes() + 10));
    let refused = events.record(batch("gateway", 2, 2..4)).wait().unwrap_err();
    assert!(matches!(refused, AcceptError::Full(_)) && refused.is_temporary(), "{refused}");
    assert_eq!(actions(&events, &all(Order::OldestFirst)).len(), 2);
    disk.set_room(None);
    events.record(batch("gateway", 2, 2..4)).wait().unwrap();
    let found = events.read(&all(Order::OldestFirst)).unwrap();
    assert_eq!(found.iter().map(|event| event.revision).collect::<Vec<_>>(), [1, 2, 5, 6]);
}

#[test]
fn room_is_made_also_where_only_the_reserve_is_left() {
    let disk = disk();
    let events = open(&disk, Settings { reserve_bytes: 5_000, ..small() });
    for number in 0..40 {
        events.record_one(event(number)).wait().unwrap();
    }
    disk.set_room(Some(disk.used_bytes() + 4_000));
    let before = events.stats();
    assert!(matches!(events.record_one(event(50)).wait(), Err(AcceptError::Full(_))));
    events.advance(Wall(0) + Duration::from_secs(365 * 86_400));
    // A refused batch is answered after the time has passed, and the room is there.
    let _ = events.record_one(event(50)).wait();
    let after = events.stats();
    assert!(after.expired > 0 && after.disk_bytes < before.disk_bytes, "{after:?}");
    events.record_one(event(51)).wait().unwrap();
}

#[test]
fn a_batch_that_can_never_be_recorded_is_refused_for_good() {
    let events = open(&disk(), Settings { max_batch_bytes: 500, ..Settings::default() });
    let refused = events.record(batch("gateway", 1, 0..20)).wait().unwrap_err();
    assert!(matches!(refused, AcceptError::TooLarge { limit: 500, .. }) && !refused.is_temporary());
    events.record(batch("gateway", 1, 0..2)).wait().unwrap();
}

#[test]
fn a_damaged_journal_is_refused() {
    let disk = disk();
    let events = open(&disk, Settings::default());
    for number in 0..3 {
        events.record_one(event(number)).wait().unwrap();
    }
    drop(events);
    assert!(disk.flip(Path::new("/data/events/000000000001.journal"), 8 * 100));
    let refused = Events::open(Arc::new(disk), Path::new("/data/events"), Settings::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
}

#[test]
fn kinds_have_names_and_unknown_ones_are_refused() {
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse::<Kind>(), Ok(kind));
    }
    let refused = "instances".parse::<Kind>().unwrap_err().to_string();
    assert!(refused.contains("one of instance, breaker"), "{refused}");
    let later = EventRecord { kind: 99, ..EventRecord::from(&event(1)) };
    assert_eq!(later.into_event(1), Err("kind: 99 is unknown".to_owned()));
}

#[test]
fn a_crash_anywhere_loses_nothing_acknowledged_and_repeats_nothing() {
    // So little room that old events go all the time.
    let tiny = || Settings { memory_bytes: 1_000, disk_bytes: 4_000, ..Settings::default() };
    let live = |disk: &FaultyDisk| {
        let mut acknowledged = 0;
        let folder = Path::new("/data/events");
        let Ok(events) = Events::open(Arc::new(disk.clone()), folder, tiny()) else { return (0, 0) };
        for number in 0..25 {
            match events.record(batch("gateway", number, number * 2..number * 2 + 2)).wait() {
                Ok(_) => acknowledged = number + 1,
                Err(_) => break,
            }
        }
        (acknowledged, events.stats().expired)
    };
    let operations = {
        let disk = disk();
        live(&disk);
        disk.operations()
    };
    for index in 0..operations {
        for fault in [Fault::Crash, Fault::Error] {
            let disk = FaultyDisk::new(index);
            disk.fail(index..=index, fault);
            let (acknowledged, _) = live(&disk);
            let events = open(&disk.crash(), tiny());
            // The sender goes on with the batch that was not acknowledged.
            for number in acknowledged..25 {
                events.record(batch("gateway", number, number * 2..number * 2 + 2)).wait().unwrap();
            }
            let found = events.read(&all(Order::OldestFirst)).unwrap();
            let stats = events.stats();
            assert_eq!(
                (stats.events, stats.events + stats.expired),
                (found.len() as u64, 50),
                "{index} {fault:?}"
            );
            let numbers: Vec<String> = found.into_iter().map(|event| event.action).collect();
            let expected: Vec<String> =
                (stats.expired..50).map(|number| format!("action-{number}")).collect();
            assert_eq!(numbers, expected, "{index} {fault:?}");
            assert!(stats.expired > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_query_finds_what_a_look_at_every_event_finds(
        count in 1..120_u64,
        size in 1..8_usize,
        memory_bytes in 0..20_000_u64,
        kind in proptest::option::of(proptest::sample::select(Kind::ALL.to_vec())),
        service in proptest::option::of(proptest::sample::select(vec!["payments", "orders", "other"])),
        instance in proptest::option::of(proptest::sample::select(vec!["payments-1", "orders-1", "other-1"])),
        since in proptest::option::of(0..130_u64),
        before in proptest::option::of(0..130_u64),
        limit in 0..30_usize,
        newest_first in any::<bool>(),
        reopen in any::<bool>(),
    ) {
        let disk = disk();
        let settings = Settings { memory_bytes, disk_bytes: 100_000, ..Settings::default() };
        let mut events = open(&disk, settings.clone());
        for some in (0..count).map(event).collect::<Vec<_>>().chunks(size) {
            events.record(Batch::of(None, some)).wait().unwrap();
        }
        if reopen {
            drop(events);
            events = open(&disk, settings);
        }
        let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
        let service = service.map(|name| name.parse().unwrap());
        let instance = instance.map(|id| id.parse().unwrap());
        let query = Query { kind, service, instance, since, before, limit, order, ..Query::default() };
        let mut expected: Vec<Event> = (0..count)
            .map(|number| Event { revision: number + 1, ..event(number) })
            .filter(|event| query.kind.is_none_or(|kind| kind == event.kind))
            .filter(|event| query.service.is_none() || query.service == event.service)
            .filter(|event| query.instance.is_none() || query.instance == event.instance)
            .filter(|event| event.revision > since.unwrap_or(0) && event.revision < before.unwrap_or(u64::MAX))
            .collect();
        if newest_first {
            expected.reverse();
        }
        expected.truncate(limit);
        prop_assert_eq!(events.read(&query).unwrap(), expected);
    }
}
