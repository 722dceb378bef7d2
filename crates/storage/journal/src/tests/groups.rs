//! Who is answered when, and with what.

use std::task::{Context, Poll, Waker};

use storage_disk::Fault;

use super::world::{KIND, World, folder, open, origins, payload, small};
use crate::{Append, AppendError, Origin, Records, Settings};

fn many(world: &World, ids: std::ops::Range<u64>) -> Vec<Append> {
    ids.map(|id| world.journal().append(KIND, payload(id))).collect()
}

#[test]
fn writers_that_gather_during_a_sync_share_the_next_one() {
    let mut world = World::new(1, Settings::default());
    world.open();
    world.disk.hold_syncs();
    let first = many(&world, 1..2);
    world.disk.await_held_sync();
    let rest = many(&world, 2..65);
    world.disk.release_syncs();
    let records: Vec<u64> =
        first.into_iter().chain(rest).map(|append| append.wait().unwrap().record).collect();
    assert_eq!(records, (1..65).collect::<Vec<u64>>());
    assert_eq!(world.journal().stats().groups, 2);
}

#[test]
fn nobody_is_answered_before_the_sync() {
    let mut world = World::new(1, Settings::default());
    world.open();
    world.disk.hold_syncs();
    let mut append = world.journal().append(KIND, payload(1));
    world.disk.await_held_sync();
    let poll = |append: &mut Append| std::pin::Pin::new(append).poll(&mut Context::from_waker(Waker::noop()));
    use std::future::Future;
    assert!(matches!(poll(&mut append), Poll::Pending));
    world.disk.release_syncs();
    world.journal().close();
    assert!(matches!(poll(&mut append), Poll::Ready(Ok(_))));
}

#[test]
fn the_flush_interval_gathers_writers_and_closing_ends_it() {
    let settings = Settings { flush_interval: std::time::Duration::from_secs(3600), ..Settings::default() };
    let mut world = World::new(1, settings);
    world.open();
    let appends = many(&world, 1..100);
    world.journal().close();
    assert!(appends.into_iter().all(|append| append.wait().is_ok()));
    assert_eq!(world.journal().stats().groups, 1);
}

#[test]
fn a_group_that_is_large_enough_does_not_wait_for_the_interval() {
    let settings = Settings { flush_interval: std::time::Duration::from_secs(3600), ..Settings::default() };
    let mut world = World::new(1, settings);
    world.open();
    world.journal().append(KIND, vec![0; 2 << 20]).wait().unwrap();
}

#[test]
fn all_writers_of_a_failed_group_get_the_error_and_the_next_group_is_written() {
    let mut world = World::new(1, Settings::default());
    world.open();
    world.append(1).unwrap();
    world.disk.hold_syncs();
    let first = many(&world, 2..3);
    world.disk.await_held_sync();
    let failing = many(&world, 3..10);
    // The sync that is held, the mark; then the write of the next group.
    let next = world.disk.operations();
    world.disk.fail(next + 2..=next + 2, Fault::Error);
    world.disk.release_syncs();
    assert!(first.into_iter().all(|append| append.wait().is_ok()));
    assert!(failing.into_iter().all(|append| matches!(append.wait(), Err(AppendError::Disk { .. }))));
    let stats = world.journal().stats();
    assert_eq!((stats.failures, stats.records), (1, 2));
    world.journal().append(KIND, payload(10)).wait().unwrap();
    world.journal = None;
    assert_eq!(open(&world.disk, Settings::default()).unwrap().2, [1, 2, 10]);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let mut world = World::new(1, Settings { queue_bytes: 200, ..Settings::default() });
    world.open();
    world.disk.hold_syncs();
    let first = world.journal().append(KIND, [0; 100]);
    world.disk.await_held_sync();
    let refused = world.journal().append(KIND, [0; 100]).wait().unwrap_err();
    assert_eq!(refused, AppendError::QueueFull { queued: 105, limit: 200 });
    assert_eq!(world.journal().stats().refused, 1);
    let fitting = world.journal().append(KIND, [0; 80]);
    world.disk.release_syncs();
    first.wait().unwrap();
    fitting.wait().unwrap();
    world.journal().append(KIND, [0; 100]).wait().unwrap();
    assert_eq!(world.journal().stats().queued_bytes, 0);
}

#[test]
fn what_can_never_be_written_is_refused_at_once() {
    let mut world = World::new(1, Settings { max_record_bytes: 10, queue_bytes: 40, ..Settings::default() });
    world.open();
    let journal = world.journal();
    assert_eq!(journal.append(1, [0; 11]).wait(), Err(AppendError::TooLarge { bytes: 11, limit: 10 }));
    let batch = [(1, [0; 10]); 3];
    assert_eq!(journal.append_all(&batch).wait(), Err(AppendError::TooLarge { bytes: 45, limit: 40 }));
    journal.append_all(&batch[..2]).wait().unwrap();
    journal.append(1, []).wait().unwrap();
}

#[test]
fn records_laid_out_by_the_caller_are_appended_like_any_other() {
    let mut world = World::new(1, Settings { max_record_bytes: 60, queue_bytes: 200, ..Settings::default() });
    world.open();
    let journal = world.journal();
    let mut records = Records::new();
    assert_eq!(journal.append_records(&records).wait().unwrap().record, 1);
    records.push(KIND, &payload(1));
    records.push_with(KIND, |bytes| payload(2).iter().for_each(|byte| bytes.push(*byte)));
    assert_eq!((records.len(), records.bytes()), (2, (payload(1).len() + payload(2).len() + 10) as u64));
    assert_eq!(journal.append_records(&records).wait().unwrap().record, 1);
    records.clear();
    records.push(KIND, &payload(3));
    assert_eq!(journal.append_records(&records).wait().unwrap().record, 3);
    records.clear();
    records.push(KIND, &[0; 61]);
    let too_large = journal.append_records(&records).wait();
    assert_eq!(too_large, Err(AppendError::TooLarge { bytes: 61, limit: 60 }));
    records.clear();
    (0..5).for_each(|_| records.push(KIND, &[0; 40]));
    let too_many = journal.append_records(&records).wait();
    assert_eq!(too_many, Err(AppendError::TooLarge { bytes: 225, limit: 200 }));
    assert_eq!(journal.stats().records, 3);
    world.journal = None;
    assert_eq!(open(&world.disk, Settings::default()).unwrap().2, [1, 2, 3]);
}

#[test]
fn an_empty_batch_waits_for_those_before_it_and_writes_nothing() {
    let mut world = World::new(1, Settings::default());
    world.open();
    world.append(1).unwrap();
    let files = world.disk.files();
    let position = world.journal().append_all::<&[u8]>(&[]).wait().unwrap();
    assert_eq!(position.record, 2);
    assert_eq!(world.disk.files(), files);
}

#[test]
fn closing_writes_what_waits_and_refuses_what_comes() {
    let mut world = World::new(1, Settings::default());
    world.open();
    let appends = many(&world, 1..20);
    world.journal().close();
    assert!(appends.into_iter().all(|append| append.wait().is_ok()));
    assert_eq!(world.journal().append(KIND, payload(20)).wait(), Err(AppendError::Closed));
    assert!(world.journal().begin_snapshot().unwrap().finish().is_err());
    world.journal = None;
    assert_eq!(open(&world.disk, Settings::default()).unwrap().2.len(), 19);
}

#[test]
fn dropping_an_append_does_not_take_it_back() {
    let mut world = World::new(1, Settings::default());
    world.open();
    drop(world.journal().append(KIND, payload(1)));
    world.journal = None;
    assert_eq!(open(&world.disk, Settings::default()).unwrap().2, [1]);
}

#[test]
fn a_record_that_is_not_understood_keeps_the_journal_closed() {
    let mut world = World::new(1, Settings::default());
    world.open();
    world.append(2).unwrap();
    world.journal = None;
    let disk = std::sync::Arc::new(world.disk.clone());
    let mut seen = 0;
    let refused = crate::Journal::open(disk, folder(), Settings::default(), &mut |_, _, _| {
        seen += 1;
        if seen == 2 { Err("kind 9 is unknown".to_owned()) } else { Ok(()) }
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("record 2") && refused.contains("kind 9 is unknown"), "{refused}");
}

#[test]
fn a_sound_segment_is_continued_and_a_torn_one_is_not() {
    let mut world = World::new(1, Settings::default());
    world.open();
    assert_eq!(world.append(1).unwrap().segment, 1);
    world.kill();
    world.open();
    assert_eq!(world.append(1).unwrap().segment, 1, "its mark proves it");
    let next = world.disk.operations();
    world.disk.fail(next.., Fault::Torn);
    world.append(1).unwrap_err();
    world.kill();
    world.open();
    assert_eq!(world.append(1).unwrap().segment, 2);
}

#[test]
fn what_a_killed_process_did_not_prove_moves_to_the_next_segment() {
    // The group reaches the page cache, its sync fails, and so does all that follows.
    let mut world = World::new(1, Settings::default());
    world.open();
    world.append(1).unwrap();
    let next = world.disk.operations();
    world.disk.fail(next + 1.., Fault::Error);
    world.append(1).unwrap_err();
    world.kill();
    let found = origins(&world.disk, Settings::default());
    assert_eq!(found, [(Origin::Segment(1), 1), (Origin::Segment(2), 2)]);
    // It was written and synced anew, so that now it survives everything.
    assert_eq!(open(&world.disk.crash(), Settings::default()).unwrap().2, [1, 2]);
}

#[test]
fn segments_end_where_the_settings_say() {
    let mut world = World::new(1, small());
    world.open();
    for _ in 0..40 {
        world.append(1).unwrap();
    }
    let segments = world.journal().segments();
    assert!(segments.len() > 3);
    assert!(segments.iter().all(|segment| segment.bytes <= 300), "{segments:?}");
    assert_eq!(world.journal().bytes(), segments.iter().map(|segment| segment.bytes).sum::<u64>());
    let mut numbers = Vec::new();
    for segment in &segments {
        world
            .journal()
            .read(segment.number, &mut |position, _, _| {
                numbers.push(position.record);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
}
