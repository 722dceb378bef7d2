//! Claims about the bytes of events: they are what `prost` writes for the messages that describe them.

use prost::Message;
use storage_intake::record::OriginRecord;
use storage_journal::{Journal, Position};

use super::*;
use crate::encoding::Head;
use crate::record::kind_number;

/// The record of a batch, as a message.
#[derive(Clone, PartialEq, prost::Message)]
struct BatchRecord {
    /// Where it comes from; absent if its sender does not number its batches.
    #[prost(message, optional, tag = "1")]
    origin: Option<OriginRecord>,
    /// Revision of the first event; the others follow by one.
    #[prost(uint64, tag = "2")]
    first_revision: u64,
    #[prost(message, repeated, tag = "3")]
    events: Vec<EventRecord>,
}

impl From<&Event> for EventRecord {
    fn from(event: &Event) -> EventRecord {
        EventRecord {
            at: event.at.0,
            kind: kind_number(event.kind),
            action: event.action.clone(),
            namespace: event.namespace.as_ref().map(ToString::to_string),
            service: event.service.as_ref().map(ToString::to_string),
            instance: event.instance.as_ref().map(ToString::to_string),
            actor: event.actor.clone(),
            reason: event.reason.clone(),
            details: event.details.clone(),
            exemplar_trace_ids: event.exemplar_trace_ids.iter().map(|id| id.to_bytes().to_vec()).collect(),
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,40}[a-z0-9]"
}

fn some_event() -> impl Strategy<Value = Event> {
    // Long enough for lengths of two bytes, and empty ones, which are not written.
    let text = || prop_oneof![Just(String::new()), ".{0,20}", "[a-z]{120,300}"];
    let names = (proptest::option::of(name()), proptest::option::of(name()), proptest::option::of(name()));
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let details = proptest::collection::btree_map(text(), text(), 0..6);
    let exemplars = proptest::collection::vec(any::<u128>(), 0..4);
    (any::<Option<u64>>(), kind, text(), names, text(), text(), details, exemplars).prop_map(
        |(at, kind, action, (namespace, service, instance), actor, reason, details, exemplars)| Event {
            revision: 0,
            at: Wall(at.unwrap_or(0)),
            kind,
            action,
            namespace: namespace.map(|name| name.parse().unwrap()),
            service: service.map(|name| name.parse().unwrap()),
            instance: instance.map(|name| name.parse().unwrap()),
            actor,
            reason,
            details,
            exemplar_trace_ids: exemplars.into_iter().filter_map(TraceId::new).collect(),
        },
    )
}

fn some_origin() -> impl Strategy<Value = Option<Origin>> {
    let origin = ("[a-z/]{0,140}", any::<u64>(), any::<u64>());
    proptest::option::of(origin.prop_map(|(source, epoch, sequence)| Origin {
        source: source.into(),
        epoch,
        sequence,
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_is_written_as_its_message_is_and_found_again_as_it_was(
        origin in some_origin(),
        first_revision in 1..u64::MAX / 2,
        events in proptest::collection::vec(some_event(), 0..5),
    ) {
        let batch = Batch::of(origin.clone(), &events);
        let message = BatchRecord {
            origin: origin.as_ref().map(Into::into),
            first_revision: 0,
            events: events.iter().map(EventRecord::from).collect(),
        };
        prop_assert_eq!(batch.record_bytes(), message.encoded_len() as u64);
        let page = batch.into_page(first_revision);
        let record = BatchRecord { first_revision, ..message }.encode_to_vec();
        prop_assert_eq!(page.record(), &record[..]);

        let (again, again_origin) = Page::check(&record).unwrap();
        prop_assert_eq!(again_origin.map(Origin::from), origin);
        for page in [&page, &again] {
            prop_assert_eq!(page.newest, events.iter().map(|event| event.at).max().unwrap_or_default());
            prop_assert_eq!(page.last_revision(), first_revision + events.len() as u64 - 1);
            let found: Vec<Event> = (0..page.len()).filter_map(|index| page.get(index)).collect();
            let expected: Vec<Event> = (first_revision..)
                .zip(&events)
                .map(|(revision, event)| Event { revision, ..event.clone() })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn rubbish_is_refused_or_read_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Head::of(&bytes);
        if let Ok((page, _)) = Page::lay_out(&bytes) {
            (0..page.len()).for_each(|index| drop(page.get(index)));
        }
    }

    #[test]
    fn a_record_that_is_cut_is_never_taken_for_a_whole_one(event in some_event(), cut in any::<prop::sample::Index>()) {
        let page = Batch::of(None, [&event]).into_page(1);
        let record = page.record();
        let begin = 2; // The revision's field stands before the event.
        let at = begin + 1 + cut.index(record.len() - begin - 1);
        prop_assert!(Page::check(&record[..at]).is_err());
    }
}

#[test]
fn what_a_store_of_messages_wrote_is_read_and_continued() {
    let disk = disk();
    let folder = Path::new("/data/events");
    let records = [(1, 0..3_u64), (4, 3..5)].map(|(first_revision, numbers)| BatchRecord {
        origin: Some(OriginRecord { source: "gateway".to_owned(), epoch: 1, sequence: first_revision }),
        first_revision,
        events: numbers.map(|number| EventRecord::from(&event(number))).collect(),
    });
    {
        let settings = Settings::default().journal();
        let (journal, _) =
            Journal::open(Arc::new(disk.clone()), folder, settings, &mut |_, _, _| Ok(())).unwrap();
        for record in &records {
            let _: Position = journal.append(BATCH, record.encode_to_vec()).wait().unwrap();
        }
    }
    let events = open(&disk, Settings::default());
    events.record(batch("gateway", 4, 3..5)).wait().unwrap();
    events.record(batch("gateway", 5, 5..6)).wait().unwrap();
    let expected: Vec<Event> = (0..6).map(|number| Event { revision: number + 1, ..event(number) }).collect();
    assert_eq!(events.read(&all(Order::OldestFirst)).unwrap(), expected);
}

#[test]
fn fields_of_a_later_version_are_passed_over_and_later_kinds_are_not() {
    let mut encoded = EventRecord::from(&event(1)).encode_to_vec();
    // Field 12 as a varint, field 13 as bytes, field 14 with four bytes, field 15 with eight.
    encoded.extend([0x60, 7, 0x6a, 2, 1, 2, 0x75, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut record = vec![0x10, 9];
    crate::encoding::begin_field(3, encoded.len(), &mut record);
    record.extend(&encoded);
    let (page, _) = Page::check(&record).unwrap();
    assert_eq!(page.get(0), Some(Event { revision: 9, ..event(1) }));
    let orders = Query { service: Some("orders".parse().unwrap()), ..all(Order::OldestFirst) };
    assert!(Head::of(&encoded).is_wanted(&orders));
    let later = EventRecord { kind: 99, ..EventRecord::from(&event(1)) };
    let record = BatchRecord { origin: None, first_revision: 1, events: vec![later] }.encode_to_vec();
    assert_eq!(Page::check(&record).unwrap_err(), "kind: 99 is unknown");
}

#[test]
fn the_newest_events_stay_in_memory_as_many_as_fit() {
    let log = |memory_bytes| {
        let mut log = Log::new(memory_bytes);
        for number in 0..50 {
            log.add(
                1,
                Arc::new(batch("gateway", number, number * 2..number * 2 + 2).into_page(number * 2 + 1)),
            );
            assert!(log.newest_bytes() <= memory_bytes);
        }
        log
    };
    let one = batch("gateway", 9, 18..20).into_page(19).memory_bytes();
    assert!(one < 2 * 400, "an event takes {} bytes", one / 2);
    let held = |memory_bytes| {
        let log = log(memory_bytes);
        (log.newest_bytes(), log.events())
    };
    assert_eq!(held(one - 100), (0, 100));
    let (bytes, events) = held(10 * one);
    assert!(bytes > 8 * one && events == 100, "{bytes}");
}
