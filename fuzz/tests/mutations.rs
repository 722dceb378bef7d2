//! Every target, on its seeds and on thousands of bytes that are nearly right.

use fuzz::{
    TARGETS,
    mutation::{Random, mutate},
};

/// Runs of the quickest targets.
const RUNS: u32 = 4_000;

fn run(name: &str) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { panic!("no target {name}") };
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty() && seeds.iter().all(|seed| !seed.is_empty()), "{name} has no seeds");
    seeds.iter().for_each(|seed| (target.check)(seed));
    for run in 0..RUNS / target.cost {
        let bytes = mutate(&seeds, &mut Random::new(u64::from(run)));
        let ended = std::panic::catch_unwind(|| (target.check)(&bytes));
        assert!(ended.is_ok(), "{name} fails with seed {run}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

macro_rules! every_target_stands_what_is_nearly_right {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| run.contains(&target.name)));
        }
    };
}

every_target_stands_what_is_nearly_right! {
    otlp otlp_json zipkin_json zipkin_protobuf propagation remote_write promql query journal spans_record block
}

/// Seeds that nothing understands would prove nothing.
#[test]
fn seeds_are_understood() {
    use wire::{otlp, remote_write, zipkin};
    let limits = otlp::Limits::default();
    for request in fuzz::seeds::otlp() {
        let decoded = otlp::decode(&request, &limits);
        assert!(decoded.is_ok_and(|decoded| !decoded.batch.spans.is_empty() && decoded.refused.total() == 0));
    }
    assert!(fuzz::seeds::otlp_json().iter().all(|request| otlp::from_json(request).is_ok()));
    assert!(fuzz::seeds::zipkin_json().iter().all(|list| zipkin::from_json(list).is_ok()));
    for list in fuzz::seeds::zipkin_protobuf() {
        let message = zipkin::from_protobuf(&list).unwrap_or_default();
        let decoded = otlp::decode(&message, &limits);
        assert!(decoded.is_ok_and(|decoded| decoded.batch.spans.len() == 1));
    }
    struct Count(u64);
    impl remote_write::Sink for Count {
        type Spelling = ();

        fn spelled(&mut self, _: &[u8]) -> Result<(), ()> {
            Err(())
        }

        fn series(&mut self, _: &[(&str, &str)], _: Option<()>) {}

        fn sample(&mut self, _: i64, _: f64) {
            self.0 += 1;
        }

        fn exemplar(&mut self, _: i64, _: f64, _: &[(&str, &str)]) {}
    }
    for request in fuzz::seeds::remote_write() {
        let version = if request[0] == 1 { remote_write::Version::One } else { remote_write::Version::Two };
        let mut count = Count(0);
        let counted = remote_write::decode(version, &request[1..], &mut count);
        assert!(counted.is_ok() && count.0 > 0, "{request:?}: {counted:?}");
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
    for query in fuzz::seeds::promql().into_iter().map(text) {
        let parsed = monitoring::promql::parse(&query);
        assert!(parsed.is_ok(), "{query}: {parsed:?}");
    }
    for query in fuzz::seeds::query().into_iter().map(text) {
        let parsed = traces::query::Expression::parse(&query);
        assert!(parsed.is_ok(), "{query}: {parsed:?}");
    }
    for headers in fuzz::seeds::propagation().into_iter().map(text) {
        let values = |name: &'static str| {
            let lines = headers.lines().filter_map(|line| line.split_once(": "));
            lines.filter(move |(of, _)| *of == name).map(|(_, value)| value)
        };
        assert!(traces::propagation::extract(values).is_some(), "{headers}");
    }
    assert!(!fuzz::seeds::journal().is_empty() && !fuzz::seeds::spans_record().is_empty());
    assert!(fuzz::seeds::block().iter().all(|block| block.starts_with(b"PAR1")));
}
