use super::*;

const FIRST: &str = "# TYPE a counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\na_total{x=\"3\"} 3\n# EOF\n";

#[test]
fn a_steady_reading_parses_no_labels_also_in_another_order() {
    let (mut memory, mut notes) = (Memory::default(), Notes::default());
    memory.read(Format::OpenMetrics, FIRST, 10, &mut notes).unwrap();
    assert_eq!((notes.parsed, notes.samples.len()), (3, 3));
    memory.read(Format::OpenMetrics, FIRST, 10, &mut notes).unwrap();
    let mixed = "# TYPE a counter\na_total{x=\"3\"} 5\na_total{x=\"1\"} 6\na_total{x=\"2\"} 7\n# EOF\n";
    memory.read(Format::OpenMetrics, mixed, 10, &mut notes).unwrap();
    memory.read(Format::OpenMetrics, mixed, 10, &mut notes).unwrap();
    assert_eq!((notes.parsed, notes.samples.len()), (3, 12));
    assert_eq!(notes.samples[9], ("__name__=\"a_total\";x=\"3\";".into(), 5.0, None));
    assert!(memory.gone().is_empty());
}

#[test]
fn what_is_not_said_again_has_gone_and_may_come_back() {
    let (mut memory, mut notes) = (Memory::default(), Notes::default());
    memory.read(Format::Text, "a 1\nb 2\nc 3\n", 10, &mut notes).unwrap();
    memory.read(Format::Text, "a 1\nc 3\n", 10, &mut notes).unwrap();
    assert_eq!(memory.gone(), ["__name__=\"b\";"]);
    memory.read(Format::Text, "c 3\nb 2\na 1\n", 10, &mut notes).unwrap();
    assert!(memory.gone().is_empty());
    assert_eq!((notes.parsed, memory.len()), (4, 3));
    assert_eq!(memory.clear().len(), 3);
    assert!(memory.is_empty());
}

#[test]
fn after_a_reading_that_failed_only_what_was_there_before_has_gone() {
    let (mut memory, mut notes) = (Memory::default(), Notes::default());
    memory.read(Format::Text, "a 1\nb 2\n", 10, &mut notes).unwrap();
    memory.read(Format::Text, "a 1\nc 2\nd\n", 10, &mut notes).unwrap_err();
    assert_eq!(memory.failed(), ["__name__=\"a\";", "__name__=\"b\";"]);
    assert!(memory.is_empty());
    memory.read(Format::Text, "a 1\n", 10, &mut notes).unwrap();
    assert_eq!(memory.len(), 1);
}

#[test]
fn a_series_whose_bytes_begin_another_is_not_taken_for_it() {
    let (mut memory, mut notes) = (Memory::default(), Notes::default());
    memory.read(Format::Text, "a 1\n", 10, &mut notes).unwrap();
    memory.read(Format::Text, "ab 1\n", 10, &mut notes).unwrap();
    memory.read(Format::Text, "a {x=\"1\"} 1\n", 10, &mut notes).unwrap();
    let names: Vec<_> = notes.samples.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["__name__=\"a\";", "__name__=\"ab\";", "__name__=\"a\";x=\"1\";"]);
}

#[test]
fn a_type_that_changes_is_checked_by_its_new_rules() {
    let (mut memory, mut notes) = (Memory::default(), Notes::default());
    memory
        .read(Format::OpenMetrics, "# TYPE a_bucket gauge\na_bucket{le=\"1\"} -1\n# EOF\n", 10, &mut notes)
        .unwrap();
    let body = "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n# EOF\n";
    memory.read(Format::OpenMetrics, body, 10, &mut notes).unwrap();
    let body = "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n# EOF\n";
    memory.read(Format::OpenMetrics, body, 10, &mut notes).unwrap_err();
}
