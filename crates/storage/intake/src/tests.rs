//! Batches of numbers over a disk that fails.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use prost::Message;
use storage_disk::{Fault, FaultyDisk};

use super::{
    record::{LedgerRecord, OriginRecord},
    *,
};

/// Remembers what it was told, in order.
#[derive(Debug, Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap()
    }

    fn read(&self) -> String {
        self.lock().join(" ")
    }
}

impl Applier for Diary {
    const NAME: &'static str = "diary";
    type Batch = u64;
    type Job = &'static str;

    fn apply(&mut self, _: Position, batch: u64) -> u64 {
        self.lock().push(batch.to_string());
        batch
    }

    fn settle(&mut self, _: &Arrivals<Self>) {
        self.lock().push("settled".to_owned());
    }

    fn run(&mut self, job: &'static str, arrivals: &Arrivals<Self>) {
        let last = arrivals.origins().last().map_or(0, |origin| origin.sequence);
        self.lock().push(format!("{job}@{last}"));
    }
}

fn start(disk: &FaultyDisk) -> (Intake<Diary>, Diary) {
    let (folder, settings) = (Path::new("/data/diary"), storage_journal::Settings::default());
    let (journal, _) =
        Journal::open(Arc::new(disk.clone()), folder, settings, &mut |_, _, _| Ok(())).unwrap();
    let diary = Diary::default();
    let intake = Intake::start(folder, Arc::new(journal), Sources::default(), 100, diary.clone()).unwrap();
    (intake, diary)
}

fn origin(source: &str, sequence: u64) -> Option<Origin> {
    Some(Origin { source: source.into(), epoch: 1, sequence })
}

/// Sends batch `number` of a source.
fn send(intake: &Intake<Diary>, source: &str, number: u64) -> Accept {
    intake.submit(origin(source, number), 40, || (number.to_be_bytes(), number))
}

/// The answer if it is there already.
fn at_once(mut accept: Accept) -> Poll<Answer> {
    Pin::new(&mut accept).poll(&mut Context::from_waker(Waker::noop()))
}

const BUSY: Poll<Answer> = Poll::Ready(Err(AcceptError::Busy));

fn taken_in(stored: u64) -> Result<Receipt, AcceptError> {
    Ok(Receipt { stored, is_duplicate: false })
}

#[tokio::test]
async fn an_answer_comes_after_the_batch_was_applied_and_the_budgets_were_kept() {
    let (intake, diary) = start(&FaultyDisk::new(1));
    assert_eq!(send(&intake, "a", 7).await, taken_in(7));
    assert_eq!(diary.read(), "7 settled");
}

#[test]
fn a_batch_that_is_sent_again_is_acknowledged_and_not_applied_again() {
    let (intake, diary) = start(&FaultyDisk::new(1));
    send(&intake, "a", 4).wait().unwrap();
    for number in [4, 3] {
        let again = send(&intake, "a", number).wait();
        assert_eq!(again, Ok(Receipt { stored: 0, is_duplicate: true }));
    }
    assert_eq!(send(&intake, "b", 3).wait(), taken_in(3), "another source");
    assert_eq!(diary.read(), "4 settled 3 settled");
    assert_eq!((intake.last_sequence("a", 1), intake.last_sequence("a", 2)), (Some(4), None));
}

#[test]
fn a_second_batch_of_a_source_waits_for_the_first() {
    let disk = FaultyDisk::new(1);
    let (intake, diary) = start(&disk);
    disk.hold_syncs();
    let first = send(&intake, "a", 1);
    disk.await_held_sync();
    let refused = [1, 2].map(|number| at_once(send(&intake, "a", number)));
    let (other, applied) = (send(&intake, "b", 1), diary.read());
    disk.release_syncs();
    assert_eq!(refused, [BUSY, BUSY], "the same one, and the next one");
    assert_eq!(applied, "", "nothing is applied before it is durable");
    assert!(first.wait().is_ok() && other.wait().is_ok());
    assert!(send(&intake, "a", 2).wait().is_ok());
}

#[test]
fn a_batch_that_the_disk_refused_is_taken_in_when_it_comes_again() {
    let disk = FaultyDisk::new(1);
    let (intake, diary) = start(&disk);
    send(&intake, "a", 1).wait().unwrap();
    disk.fail(disk.operations()..=disk.operations(), Fault::Error);
    let error = send(&intake, "a", 2).wait().unwrap_err();
    assert!(matches!(error, AcceptError::Disk(_)) && error.is_temporary(), "{error}");
    assert_eq!(intake.last_sequence("a", 1), Some(1));
    assert_eq!(send(&intake, "a", 2).wait(), taken_in(2));
    assert_eq!(diary.read(), "1 settled settled 2 settled");
}

#[test]
fn what_waits_is_bounded_and_one_batch_always_fits() {
    let disk = FaultyDisk::new(1);
    let (intake, _) = start(&disk);
    disk.hold_syncs();
    let large = intake.submit(None, 1_000, || ([], 1));
    let one_more = || at_once(intake.submit(None, 1, || ([], 1)));
    let beside_a_large_one = one_more();
    disk.release_syncs();
    large.wait().unwrap();
    disk.hold_syncs();
    let fitting = [send(&intake, "a", 1), send(&intake, "b", 1), intake.submit(None, 20, || ([], 1))];
    let beyond_the_limit = one_more();
    disk.release_syncs();
    assert_eq!([beside_a_large_one, beyond_the_limit], [BUSY, BUSY]);
    assert!(fitting.map(Accept::wait).iter().all(Result::is_ok));
}

#[test]
fn a_job_has_its_place_among_the_batches() {
    let disk = FaultyDisk::new(1);
    let (intake, diary) = start(&disk);
    disk.hold_syncs();
    let first = send(&intake, "a", 1);
    intake.queue("job");
    let second = send(&intake, "b", 2);
    disk.release_syncs();
    assert!(first.wait().is_ok() && second.wait().is_ok());
    assert_eq!(diary.read(), "1 settled job@1 2 settled");
}

#[test]
fn closing_finishes_what_is_on_its_way_also_for_senders_that_went_away() {
    let disk = FaultyDisk::new(1);
    let (intake, diary) = start(&disk);
    disk.hold_syncs();
    drop(send(&intake, "a", 1));
    let kept = send(&intake, "b", 2);
    intake.queue("job");
    let at_the_end = std::thread::scope(|scope| {
        scope.spawn(|| {
            disk.await_held_sync();
            disk.release_syncs();
        });
        drop(intake);
        diary.read()
    });
    assert_eq!(at_the_end, "1 settled 2 settled job@2");
    assert_eq!(kept.wait(), taken_in(2));
}

#[test]
fn counters_that_do_not_add_up_are_refused_for_good() {
    let dropped = [("queue_full".into(), 1), ("queue_full".into(), 2)];
    let ledger = account(9, 4, 2, &dropped).unwrap();
    assert_eq!((ledger.stored, ledger.sampled_out, ledger.dropped["queue_full"]), (4, 2, 3));
    let refused = account(8, 4, 2, &dropped).unwrap_err();
    assert_eq!(refused, AcceptError::Unbalanced { received: 8, stored: 4, sampled_out: 2, dropped: 3 });
    assert!(!refused.is_temporary());
}

#[test]
fn records_keep_their_bytes_and_come_back() {
    let origin = Origin { source: "proxy".into(), epoch: 2, sequence: 300 };
    let bytes = OriginRecord::from(&origin).encode_to_vec();
    assert_eq!(bytes, b"\x0a\x05proxy\x10\x02\x18\xac\x02");
    assert_eq!(Origin::from(OriginRecord::decode(&*bytes).unwrap()), origin);

    let mut ledger = Ledger { received: 6, stored: 3, sampled_out: 2, expired: 1, ..Ledger::default() };
    ledger.drop_for("full", 1);
    let bytes = LedgerRecord::from(&ledger).encode_to_vec();
    assert_eq!(bytes, b"\x08\x06\x10\x03\x18\x02\x22\x08\x0a\x04full\x10\x01\x28\x01");
    assert_eq!(Ledger::from(LedgerRecord::decode(&*bytes).unwrap()), ledger);
}
