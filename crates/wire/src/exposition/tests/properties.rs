use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

type Row = (String, Vec<(String, String)>, f64);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let labels = proptest::collection::btree_map("[a-z]{1,3}", ".{1,8}", 0..4);
    let row = (
        "[a-c][a-z_:]{0,3}",
        labels,
        any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value }),
    );
    let row = row.prop_map(|(name, labels, value)| (name, labels.into_iter().collect(), value));
    proptest::collection::vec(row, 0..12)
}

fn key((name, labels, _): &Row) -> String {
    let mut all = vec![("__name__", name.as_str())];
    all.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.iter().map(|(name, value)| format!("{name}={value:?};")).collect()
}

proptest! {
    #[test]
    fn whatever_is_written_comes_back_and_is_parsed_once(rows in rows(), shuffled in any::<u64>()) {
        let line = |row: &Row| {
            let labels = row.1.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
            format!("{}{{{}}} {}\n", row.0, labels.collect::<Vec<_>>().join(","), row.2)
        };
        let mut memory = Memory::default();
        let (mut order, mut parsed) = (rows.clone(), 0);
        for round in 0..3 {
            let mut notes = Notes::default();
            let body: String = order.iter().map(line).collect();
            memory.read(Format::Text, &body, 100, &mut notes).unwrap();
            let found: Vec<_> = notes.samples.iter().map(|(key, value, _)| (key.clone(), value.to_bits())).collect();
            let expected: Vec<_> = order.iter().map(|row| (key(row), row.2.to_bits())).collect();
            prop_assert_eq!(found, expected);
            parsed += notes.parsed;
            prop_assert!(round == 0 || notes.parsed == 0);
            prop_assert!(memory.gone().is_empty());
            let at = usize::try_from(shuffled % 7).unwrap() % order.len().max(1);
            order.rotate_left(at);
        }
        let mut keys: Vec<_> = rows.iter().map(key).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(parsed, keys.len());
    }

    #[test]
    fn nothing_that_is_sent_ends_the_process(body in "([a{}=\"\\\\#, \n1.+eE_\t]|TYPE|HELP|UNIT|EOF|histogram|le|bucket){0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            let (mut memory, mut notes) = (Memory::default(), Notes::default());
            let first = memory.read(format, &body, 10, &mut notes);
            let samples = notes.samples.len();
            if first.is_ok() {
                memory.gone();
            } else {
                memory.failed();
            }
            let again = memory.read(format, &body, 10, &mut notes);
            prop_assert_eq!(&first, &again);
            prop_assert_eq!(notes.samples.len(), 2 * samples);
        }
    }

    #[test]
    fn what_is_cut_off_is_no_open_metrics(rows in proptest::collection::vec(0_u32..1000, 1..9), cut in 0_usize..200) {
        let mut body = "# TYPE a histogram\n".to_owned();
        let mut sum = 0;
        for (bound, row) in rows.iter().enumerate() {
            sum += row;
            writeln!(body, "a_bucket{{le=\"{bound}\"}} {sum}").unwrap();
        }
        writeln!(body, "a_bucket{{le=\"+Inf\"}} {sum}\na_count {sum}\na_sum 1\n# EOF").unwrap();
        read(Format::OpenMetrics, &body).unwrap();
        let end = cut.min(body.len() - 2);
        prop_assert!(read(Format::OpenMetrics, &body[..end]).is_err());
    }
}
