//! Series over a disk that fails.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use identity::Wall;
use monitoring::{
    promql::{Samples, Storage},
    series::{Labels, MatchOp, Matcher, STALE},
};
use proptest::prelude::*;
use storage_disk::{Fault, FaultyDisk};

use super::{SampleAccount, SampleWriter, SeriesRef, SeriesSettings, SeriesStore, column};

const FOLDER: &str = "/data/samples/series";
/// When everything is received, in seconds.
const NOW: u64 = 1_700_000_000;
const START: i64 = NOW as i64 * 1000;

fn settings() -> SeriesSettings {
    SeriesSettings { reserve_bytes: 0, ..SeriesSettings::default() }
}

fn open(disk: &FaultyDisk) -> SeriesStore {
    SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings()).unwrap().0
}

fn account(received: usize) -> SampleAccount {
    SampleAccount { received_at: Wall(NOW * 1_000_000_000), received: received as u64, dropped: Vec::new() }
}

fn written<'a>(store: &'a SeriesStore, samples: &[(u8, i64, f64)]) -> (SampleAccount, SampleWriter<'a>) {
    let mut writer = store.writer();
    for (series, time, value) in samples {
        let of = format!("s{series}");
        writer.series([
            ("__name__", "m"),
            ("job", if series % 2 == 0 { "even" } else { "odd" }),
            ("of", &of),
        ]);
        writer.sample(*time, *value);
    }
    (account(writer.len()), writer)
}

fn send(store: &SeriesStore, samples: &[(u8, i64, f64)]) -> bool {
    let (account, writer) = written(store, samples);
    store.accept(account, writer).wait().is_ok()
}

/// All samples by series, the values as bits.
fn everything(store: &impl Storage) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut all = BTreeMap::new();
    for selected in store.select(&[], i64::MIN, i64::MAX).unwrap() {
        let mut samples = Samples::default();
        selected.samples.read(i64::MIN, i64::MAX, &mut samples).unwrap();
        let bits = samples.values.iter().map(|value| value.to_bits());
        let samples: Vec<_> = samples.times.into_iter().zip(bits).collect();
        assert!(samples.is_sorted_by(|before, after| before.0 < after.0), "each time once, in order");
        assert!(all.insert(selected.labels.get("of").to_owned(), samples).is_none(), "each series once");
    }
    all
}

/// What has to be there: of each time the first value.
fn expected(batches: &[Vec<(u8, i64, f64)>]) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut all: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
    for (series, time, value) in batches.iter().flatten() {
        all.entry(format!("s{series}")).or_default().entry(*time).or_insert(value.to_bits());
    }
    all.into_iter().map(|(series, samples)| (series, samples.into_iter().collect())).collect()
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_u32..1000).prop_map(f64::from),
        4 => (-5000_i32..5000).prop_map(|value| f64::from(value) / 100.0),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(-0.0),
        1 => Just(STALE),
        1 => Just(f64::INFINITY),
        1 => Just(f64::from_bits(0x7ff8_0000_dead_beef)),
    ]
}

/// What happens to a bucket between two steps.
fn any_change() -> impl Strategy<Value = (usize, f64)> {
    let change =
        prop_oneof![8 => (0_u32..50).prop_map(f64::from), 1 => Just(-1e3), 1 => Just(0.5), 1 => Just(STALE)];
    (0..5_usize, change)
}

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<(u8, i64, f64)>),
    Seal,
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    let sample = (0_u8..4, 0_i64..400, any_value());
    prop_oneof![
        6 => proptest::collection::vec(sample, 1..60).prop_map(Step::Send),
        1 => Just(Step::Seal),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_column_gives_every_bit_back(values in proptest::collection::vec(any_value(), 1..column::COLUMN_SAMPLES)) {
        let mut bytes = Vec::new();
        column::pack(&values, None, &mut bytes);
        let mut unpacker = column::Unpacker::default();
        let read = unpacker.unpack(&bytes, values.len(), None).unwrap();
        prop_assert!(read.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
    }

    #[test]
    fn a_column_above_another_gives_every_bit_back(
        before in proptest::collection::vec(any_value(), 1..60),
        more in proptest::collection::vec(any_value(), 60),
        are_integers in any::<bool>(),
    ) {
        let whole = |value: f64| if are_integers { value.abs().min(1e6).trunc() } else { value };
        let before: Vec<f64> = before.into_iter().map(whole).collect();
        let values: Vec<f64> = before.iter().zip(more).map(|(before, more)| before + whole(more)).collect();
        let mut bytes = Vec::new();
        let is_above = column::pack(&values, Some(&before), &mut bytes);
        prop_assert_eq!(is_above, column::is_above(&bytes));
        let mut unpacker = column::Unpacker::default();
        let read = unpacker.unpack(&bytes, values.len(), is_above.then_some(&before)).unwrap();
        prop_assert!(read.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
    }

    #[test]
    fn buckets_come_back_in_whatever_order_they_are_asked_for(
        changes in proptest::collection::vec(any_change(), 1..400),
        order in proptest::collection::vec(0..6_usize, 1..20),
        late in 0..30_i64,
    ) {
        let store = open(&FaultyDisk::new(1));
        let series = ["b0.1", "b0.5", "b1", "b10", "b+Inf", "count"];
        let mut expected: Vec<Vec<(i64, u64)>> = vec![Vec::new(); series.len()];
        let (mut counts, mut writer, mut sent) = ([0.0; 5], store.writer(), 0);
        for (time, (changed, change)) in (START..).zip(changes) {
            counts[changed] += change;
            for (place, name) in series.iter().enumerate() {
                // A bucket that came later has other times than those below it.
                if place == 2 && time < START + late {
                    continue;
                }
                let (metric, le) = match name.strip_prefix('b') {
                    Some(bound) => ("m_bucket", bound),
                    None => ("m_count", ""),
                };
                let below = &counts[..=place.min(4)];
                let value: f64 = if below.iter().any(|v| v.is_nan()) { STALE } else { below.iter().sum() };
                let labels = [("__name__", metric), ("le", le)];
                writer.series(labels.into_iter().filter(|(_, value)| !value.is_empty()));
                writer.sample(time, value);
                expected[place].push((time, value.to_bits()));
                sent += 1;
            }
            if counts.iter().any(|v| v.is_nan()) {
                counts = [0.0; 5];
            }
        }
        store.accept(account(sent), writer).wait().unwrap();
        store.seal().unwrap();
        let selected = store.select(&[], i64::MIN, i64::MAX).unwrap();
        for place in order {
            let bound = series[place].strip_prefix('b').unwrap_or_default();
            let Some(found) = selected.iter().find(|found| found.labels.get("le") == bound) else {
                prop_assert!(expected[place].is_empty());
                continue;
            };
            let mut samples = Samples::default();
            found.samples.read(i64::MIN, i64::MAX, &mut samples).unwrap();
            let read: Vec<_> = samples.times.into_iter().zip(samples.values.iter().map(|v| v.to_bits())).collect();
            prop_assert_eq!(&read, &expected[place]);
        }
    }

    #[test]
    fn a_column_of_times_comes_back(start in any::<i64>(), steps in proptest::collection::vec(any::<i64>(), 0..479)) {
        let mut times = vec![start];
        for step in steps {
            times.push(times.last().unwrap().wrapping_add(step));
        }
        let mut bytes = Vec::new();
        column::pack_times(&times, &mut bytes);
        prop_assert_eq!(column::unpack_times(&bytes).unwrap(), times);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = super::record::decode(&bytes);
        let _ = column::unpack_times(&bytes);
        let _ = super::index::Index::decode(&bytes);
        let _ = super::exemplar::decode(&mut super::varint::Cursor(&bytes));
    }

    #[test]
    fn samples_come_back_bit_by_bit_whatever_order_they_come_in_and_wherever_they_are(
        steps in proptest::collection::vec(any_step(), 1..25),
    ) {
        let mut disk = FaultyDisk::new(1);
        let (mut store, mut sent) = (open(&disk), Vec::new());
        for step in steps {
            match step {
                Step::Send(samples) => {
                    let samples: Vec<_> =
                        samples.into_iter().map(|(series, at, value)| (series, START - at * 1000, value)).collect();
                    prop_assert!(send(&store, &samples));
                    sent.push(samples);
                }
                Step::Seal => store.seal().unwrap(),
                Step::Crash => {
                    let ledger = store.ledger();
                    disk = disk.crash();
                    drop(store);
                    store = open(&disk);
                    prop_assert_eq!(store.ledger(), ledger);
                }
            }
            prop_assert_eq!(everything(&store), expected(&sent));
            let ledger = store.ledger();
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert_eq!(ledger.received, sent.iter().map(|batch| batch.len() as u64).sum::<u64>());
        }
    }

    #[test]
    fn what_is_beyond_a_services_budget_is_in_a_sum_that_is_exact_wherever_its_samples_are(
        steps in proptest::collection::vec(any_step(), 1..25),
    ) {
        let settings = SeriesSettings { max_series_of_service: 1, ..settings() };
        let open = |disk: &FaultyDisk| {
            SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone()).unwrap().0
        };
        let mut disk = FaultyDisk::new(1);
        let (mut store, mut sent) = (open(&disk), BTreeMap::new());
        for step in steps {
            match step {
                Step::Send(samples) => {
                    let new = samples.into_iter().map(|(series, at, value)| {
                        // Whole numbers, whose sums do not depend on the order.
                        (series, START - at * 1000, (value.to_bits() % 1000) as f64)
                    });
                    let new: BTreeMap<_, _> = new
                        .map(|(series, at, value)| ((series, at), value))
                        .filter(|(place, _)| !sent.contains_key(place))
                        .collect();
                    let samples: Vec<_> = new.iter().map(|((series, at), value)| (*series, *at, *value)).collect();
                    prop_assert!(send(&store, &samples));
                    sent.extend(new);
                }
                Step::Seal => store.seal().unwrap(),
                Step::Crash => {
                    let ledger = store.ledger();
                    disk = disk.crash();
                    drop(store);
                    store = open(&disk);
                    prop_assert_eq!(store.ledger(), ledger);
                }
            }
            let mut sums: BTreeMap<(String, i64), f64> = BTreeMap::new();
            for ((series, at), value) in &sent {
                let job = if series % 2 == 0 { "even" } else { "odd" };
                *sums.entry((job.to_owned(), *at)).or_default() += value;
            }
            let mut there: BTreeMap<(String, i64), f64> = BTreeMap::new();
            for selected in store.select(&[], i64::MIN, i64::MAX).unwrap() {
                let mut samples = Samples::default();
                selected.samples.read(i64::MIN, i64::MAX, &mut samples).unwrap();
                prop_assert!(samples.times.is_sorted_by(|before, after| before < after));
                for (at, value) in samples.times.into_iter().zip(samples.values) {
                    *there.entry((selected.labels.get("job").to_owned(), at)).or_default() += value;
                }
            }
            prop_assert_eq!(there, sums);
            let ledger = store.ledger();
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert_eq!(ledger.received, sent.len() as u64);
        }
    }
}

#[test]
fn exemplars_come_back_with_their_series_wherever_they_are_and_a_repeated_one_is_kept_once() {
    let mut disk = FaultyDisk::new(1);
    let mut store = open(&disk);
    let say = |store: &SeriesStore, round: i64, repeat: bool| {
        let mut writer = store.writer();
        for series in ["a", "b"] {
            writer.series([("__name__", "m"), ("of", series)]);
            writer.sample(START + round, round as f64);
            let trace = format!("{series}{}", if repeat { round - 1 } else { round });
            let value = if repeat { round - 1 } else { round };
            writer.exemplar(START + round, value as f64, [("trace_id", &*trace)]);
        }
        writer.exemplar(START - 86_400_000 * 30, 1.0, [("trace_id", "too old")]);
        store.accept(account(2), writer).wait().unwrap();
    };
    let found = |store: &SeriesStore, from: i64, to: i64| -> Vec<String> {
        let of_b = [Matcher::new("of", MatchOp::Equal, "b").unwrap()];
        let found = store.exemplars(&of_b, from, to).unwrap();
        assert!(found.keys().all(|labels| labels.get("of") == "b"));
        let all = found.into_values().flatten();
        all.map(|of| format!("{}={}@{}", of.labels.get("trace_id"), of.value, of.time - START)).collect()
    };
    for round in 0..6 {
        say(&store, 2 * round, false);
        say(&store, 2 * round + 1, true);
        match round {
            1 | 4 => store.seal().unwrap(),
            2 | 5 => {
                disk = disk.crash();
                drop(store);
                store = open(&disk);
            }
            _ => {}
        }
    }
    let all = ["b0=0@0", "b2=2@2", "b4=4@4", "b6=6@6", "b8=8@8", "b10=10@10"];
    assert_eq!(found(&store, i64::MIN, i64::MAX), all);
    assert_eq!(found(&store, START + 2, START + 4), all[1..3]);
    say(&store, 100, false);
    assert_eq!(store.stats().exemplars_dropped, 1, "since it was opened");
    for round in 200..400 {
        say(&store, round, false);
    }
    assert_eq!(found(&store, i64::MIN, i64::MAX).len(), 5 + 100, "the newest of each series stay");
}

#[test]
fn a_service_beyond_its_budget_is_named_with_the_label_that_exploded() {
    let settings = SeriesSettings { max_series_of_service: 3, ..settings() };
    let store = SeriesStore::open(Arc::new(FaultyDisk::new(1)), Path::new(FOLDER), settings).unwrap().0;
    let user = |number: u8| [(2 * number, START, 1.0), (2 * number, START + 1, f64::NAN)];
    assert!(send(&store, &[(1, START, 1.0)]));
    assert!(send(&store, &(0..10).flat_map(user).collect::<Vec<_>>()));
    let over = store.over_budget();
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!((&*over[0].service, over[0].series, over[0].folded), ("even", 3, 14));
    assert_eq!(over[0].label, Some(("of".into(), 3)));
    let ledger = store.ledger();
    assert_eq!(
        (ledger.stored, ledger.dropped["folded"]),
        (1 + 6 + 1, 13),
        "a sum of seven, and seven that are no number"
    );
    assert_eq!(everything(&store)[""], [(START, 7_f64.to_bits())]);
    store.seal().unwrap();
    assert_eq!(store.over_budget(), [], "the next epoch has room again");
}

#[test]
fn a_duplicate_and_a_sample_that_says_something_else_are_counted_apart() {
    let store = open(&FaultyDisk::new(1));
    send(
        &store,
        &[(0, START, 1.0), (0, START, 1.0), (0, START, 2.0), (0, START - 5, 3.0), (0, START - 5, 3.0)],
    );
    let ledger = store.ledger();
    assert_eq!((ledger.received, ledger.stored, ledger.dropped["duplicate"]), (5, 2, 2));
    assert_eq!(ledger.dropped["conflicting"], 1);
    assert_eq!(everything(&store)["s0"], [(START - 5, 3_f64.to_bits()), (START, 1_f64.to_bits())]);
}

#[test]
fn samples_outside_of_the_time_that_is_kept_are_counted_and_left_out() {
    let store = open(&FaultyDisk::new(1));
    let day = 86_400_000;
    assert!(send(&store, &[(0, START - 16 * day, 1.0), (0, START + day, 1.0), (0, START, 1.0)]));
    let ledger = store.ledger();
    assert_eq!((ledger.stored, ledger.dropped["too_old"], ledger.dropped["too_new"]), (1, 1, 1));
}

#[test]
fn series_beyond_the_most_are_counted_and_the_others_go_on() {
    let settings = SeriesSettings { max_series: 2, ..settings() };
    let disk = FaultyDisk::new(1);
    let store = SeriesStore::open(Arc::new(disk), Path::new(FOLDER), settings).unwrap().0;
    assert!(send(&store, &[(0, START, 1.0), (1, START, 1.0), (2, START, 1.0), (0, START + 1, 1.0)]));
    let ledger = store.ledger();
    assert_eq!((ledger.stored, ledger.dropped["too_many_series"]), (3, 1));
    store.seal().unwrap();
    assert!(send(&store, &[(2, START, 1.0)]), "the next epoch has room again");
    assert_eq!(store.ledger().stored, 4);
}

#[test]
fn a_reference_holds_over_parts_and_restarts() {
    let disk = FaultyDisk::new(1);
    let series = SeriesRef::new(&Labels::new([("__name__", "m"), ("of", "s0")]));
    for round in 0..6 {
        let store = open(&disk);
        for at in 0..2 {
            let mut writer = store.writer();
            writer.reference(&series);
            writer.sample(START + round * 10 + at, 1.5);
            store.accept(account(1), writer).wait().unwrap();
            if round % 2 == 0 {
                store.seal().unwrap();
            }
        }
        drop(store);
    }
    assert_eq!(everything(&open(&disk))["s0"].len(), 12);
}

/// Writes a sample of a series by its spelling, or else by its labels; whether the spelling was known.
fn spell(store: &SeriesStore, spelling: &str, of: &str, time: i64) -> Option<bool> {
    let mut writer = store.writer();
    let unknown = writer.spelled(spelling.as_bytes()).err();
    let is_known = unknown.is_none();
    if let Some(spelling) = unknown {
        writer.learn([("__name__", "m"), ("of", of)], spelling);
    }
    writer.sample(START + time, 1.5);
    store.accept(account(1), writer).wait().ok().map(|_| is_known)
}

#[test]
fn a_spelling_is_known_once_its_series_is_named_durably_and_until_a_part_is_sealed() {
    let mut disk = FaultyDisk::new(1);
    let mut store = open(&disk);
    disk.fail(disk.operations().., Fault::Error);
    assert_eq!(spell(&store, "one", "a", 1), None);
    disk.heal();
    // What was refused has named nothing.
    assert_eq!(spell(&store, "one", "a", 2), Some(false));
    assert_eq!(spell(&store, "one", "a", 3), Some(true));
    assert_eq!(spell(&store, "another", "a", 4), Some(false));
    assert_eq!(spell(&store, "another", "a", 5), Some(true));
    store.seal().unwrap();
    assert_eq!(spell(&store, "one", "a", 6), Some(false));
    assert_eq!(spell(&store, "another", "b", 7), Some(false), "a spelling holds for an epoch");
    assert_eq!(spell(&store, "another", "?", 8), Some(true));
    drop(store);
    disk = disk.crash();
    store = open(&disk);
    assert_eq!(spell(&store, "another", "b", 9), Some(false));
    let all = everything(&store);
    let times = |of: &str| all[of].iter().map(|(time, _)| time - START).collect::<Vec<_>>();
    assert_eq!((times("a"), times("b")), (vec![2, 3, 4, 5, 6], vec![7, 8, 9]));
}

#[test]
fn matchers_mean_the_same_in_memory_and_in_parts() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    let found = |store: &SeriesStore, name: &str, op, value: &str| {
        let matchers =
            [Matcher::new("__name__", MatchOp::Equal, "m").unwrap(), Matcher::new(name, op, value).unwrap()];
        let mut found: Vec<String> = store
            .select(&matchers, START, START)
            .unwrap()
            .iter()
            .map(|selected| selected.labels.get("of").to_owned())
            .collect();
        found.sort();
        found.join(" ")
    };
    for seal in [false, true] {
        send(&store, &[(0, START, 1.0), (1, START, 1.0), (2, START, 1.0), (3, START - 1, 1.0)]);
        if seal {
            store.seal().unwrap();
        }
        assert_eq!(found(&store, "job", MatchOp::Equal, "even"), "s0 s2");
        assert_eq!(found(&store, "job", MatchOp::NotEqual, "even"), "s1");
        assert_eq!(found(&store, "of", MatchOp::Matches, "s[12]|x"), "s1 s2");
        assert_eq!(found(&store, "of", MatchOp::NotMatches, "s[12]|x"), "s0");
        assert_eq!(found(&store, "nowhere", MatchOp::Equal, ""), "s0 s1 s2");
        assert_eq!(found(&store, "nowhere", MatchOp::NotEqual, ""), "");
    }
}

#[test]
fn what_is_over_the_budget_goes_oldest_first_and_is_counted_as_expired() {
    let settings = SeriesSettings { disk_bytes: 12_000, ..settings() };
    let disk = FaultyDisk::new(1);
    let open = || SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone()).unwrap().0;
    let store = open();
    for at in 0..40 {
        let samples: Vec<_> = (0..60).map(|n| (n, START + at, 1.0 / f64::from(n + 7) + at as f64)).collect();
        assert!(send(&store, &samples));
        store.seal().unwrap();
    }
    assert!(send(&store, &[(0, START + 50, 1.0)]));
    let (ledger, stats) = (store.ledger(), store.stats());
    assert!(ledger.expired > 0 && ledger.balances(), "{ledger:?}");
    assert!(stats.disk_bytes <= 12_000, "{stats:?}");
    let there = everything(&store);
    assert_eq!(ledger.stored - ledger.expired, there.values().map(|of| of.len() as u64).sum::<u64>());
    assert!(there["s0"].last().is_some_and(|(time, _)| *time == START + 50), "the newest stay");
    drop(store);
    let store = open();
    assert_eq!((store.ledger(), everything(&store)), (ledger, there));
}

const BATCHES: u8 = 8;

fn batch(number: u8) -> Vec<(u8, i64, f64)> {
    (0..3).map(|at| (number % 3, START + i64::from(number) * 10 + at, f64::from(number))).collect()
}

/// Sends all batches, each until it is taken in or has failed `attempts` times, and says which were. Every few
/// batches it seals.
fn send_all(store: &SeriesStore, attempts: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    for number in 0..BATCHES {
        if (0..attempts).any(|_| send(store, &batch(number))) {
            taken.push(number);
        }
        if number % 3 == 2 {
            let _ = store.seal();
        }
    }
    taken
}

/// What must hold after any crash: the ledger balances, and everything acknowledged is there, bit by bit.
fn check(disk: &FaultyDisk, acknowledged: &[u8], what: &str) {
    let (store, recovery) = SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings()).unwrap();
    assert!(recovery.damaged.is_empty(), "{what}: {recovery:?}");
    assert!(store.ledger().balances(), "{what}: {:?}", store.ledger());
    let there = everything(&store);
    for (series, time, value) in acknowledged.iter().flat_map(|number| batch(*number)) {
        let found = there.get(&format!("s{series}")).is_some_and(|of| of.contains(&(time, value.to_bits())));
        assert!(found, "{what}: {series} at {time} is missing");
    }
    store.seal().unwrap();
    assert_eq!(everything(&store), there, "{what}");
}

fn operations() -> u64 {
    let disk = FaultyDisk::new(0);
    assert_eq!(send_all(&open(&disk), 1).len(), BATCHES as usize);
    disk.operations()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    for operation in 0..=operations() {
        let disk = FaultyDisk::new(operation);
        disk.fail(operation.., Fault::Crash);
        let opened = SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings());
        let acknowledged = opened.map_or(vec![], |(store, _)| send_all(&store, 1));
        check(&disk.crash(), &acknowledged, &format!("crash at {operation}"));
    }
}

#[test]
fn a_fault_at_any_operation_heals_and_loses_nothing_acknowledged() {
    for operation in 0..=operations() {
        for fault in [Fault::Error, Fault::NoSpace, Fault::Short, Fault::Torn] {
            let disk = FaultyDisk::new(operation);
            disk.fail(operation..=operation, fault);
            let what = format!("{fault:?} at {operation}");
            let opened = SeriesStore::open(Arc::new(disk.clone()), Path::new(FOLDER), settings());
            let Ok((store, _)) = opened else { continue };
            let all = send_all(&store, 3);
            assert_eq!(all.len(), BATCHES as usize, "{what}");
            drop(store);
            check(&disk.crash(), &all, &what);
        }
    }
}

#[test]
fn a_damaged_part_is_reported_and_the_others_are_read() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    for number in 0..2 {
        assert!(send(&store, &batch(number)));
        store.seal().unwrap();
    }
    drop(store);
    let (path, bytes) = disk
        .files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|of| of == "samples"))
        .unwrap();
    assert!(disk.cut(&path, bytes - 1));
    let (store, recovery) = SeriesStore::open(Arc::new(disk), Path::new(FOLDER), settings()).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(everything(&store).len(), 1);
    assert!(send(&store, &batch(4)));
}
