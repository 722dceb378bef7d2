//! Each test's name is the claim.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn service_names_are_dns_labels() {
    for good in ["a", "payments", "cart-2", "0", &"x".repeat(63)] {
        assert_eq!(good.parse::<ServiceName>().map(|n| n.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "-a", "a-", "Payments", "a.b", "a_b", "ä", "a b", "a\n", &"x".repeat(64)] {
        assert!(bad.parse::<ServiceName>().is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn instance_ids_take_what_other_systems_use_but_no_path_tricks() {
    for good in ["cart-1", "host:cart:8080", "10.0.0.7:80", "a@b", "...", &"x".repeat(128)] {
        assert!(good.parse::<InstanceId>().is_ok(), "{good:?}");
    }
    for bad in ["", ".", "..", "a/b", "a%2f", "a b", "a\0", "é", "<img>", &"x".repeat(129)] {
        assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn a_refusal_names_thing_value_and_rule_and_cannot_write_to_a_terminal() {
    let refused = "\u{1b}[31mred".parse::<Namespace>().unwrap_err().to_string();
    assert!(refused.starts_with("namespace \"\\u{1b}[31mred\" is not valid: 1 to 63"), "{refused}");
    let long = "x".repeat(10_000).parse::<Namespace>().unwrap_err().to_string();
    assert!(long.len() < 250 && long.contains('…'), "{long}");
}

#[test]
fn ids_keep_leading_zeros_and_refuse_zero() {
    let trace: TraceId = "00000000000000000000000000000abc".parse().unwrap();
    assert_eq!(trace.get(), 0xabc);
    assert_eq!(trace.to_string(), "00000000000000000000000000000abc");
    assert_eq!("ABC".parse(), Ok(trace), "short and upper-case spellings mean the same");
    assert_eq!(TraceId::from_bytes(&trace.to_bytes()), Some(trace));
    assert_eq!(SpanId::from_bytes(&[0; 8]), None);
    for bad in ["", "0", "00000000000000000", "xyz", "+1", "-1", "0x1", "1 "] {
        assert!(bad.parse::<SpanId>().is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn wall_clock_text_is_rfc_3339_with_nanoseconds() {
    let wall = Wall(1_700_000_000_000_000_001);
    assert_eq!(wall.to_string(), "2023-11-14T22:13:20.000000001Z");
    assert_eq!("2023-11-14T22:13:20.000000001Z".parse(), Ok(wall));
    assert_eq!("2023-11-15T00:13:20.000000001+02:00".parse(), Ok(wall));
    assert!("1969-12-31T23:59:59Z".parse::<Wall>().is_err());
    assert!("yesterday".parse::<Wall>().is_err());
    assert_eq!(serde_json::from_str::<Wall>(&serde_json::to_string(&wall).unwrap()).unwrap(), wall);
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, nanos) in [
        ("0", 0),
        ("250ms", 250_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        ("3µs", 3_000),
        ("1w2d", 777_600_000_000_000),
    ] {
        assert_eq!(duration::parse(text).map(|d| d.as_nanos()), Ok(nanos), "{text}");
    }
    for bad in
        ["", "5", "ms", "5 s", "-5s", "30m1h", "1s1s", "1.s", ".5s", "1.5ns", "5x", "99999999999w", "1e3s"]
    {
        assert!(duration::parse(bad).is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [("0", 0), ("4096", 4096), ("1.5KiB", 1536), ("2GB", 2_000_000_000), ("7B", 7)] {
        assert_eq!(size::parse(text), Ok(bytes), "{text}");
    }
    for bad in ["", "MiB", "-1", "1 MiB", "1mib", "0.3B", "99999999TiB", "1.2.3kB"] {
        assert!(size::parse(bad).is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn both_clocks_move_together_and_never_wrap() {
    let now = Now { mono: Mono(5), wall: Wall(7) }.after(Duration::from_nanos(3));
    assert_eq!(now, Now { mono: Mono(8), wall: Wall(10) });
    assert_eq!(Mono(u64::MAX) + Duration::from_secs(1), Mono(u64::MAX));
    assert_eq!(Mono(3).since(Mono(8)), Duration::ZERO);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(nanos: u64, bytes: u64, trace in 1_u128.., span in 1_u64..) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
        prop_assert_eq!(size::parse(&size::format(bytes)), Ok(bytes));
        let trace = TraceId::new(trace).unwrap();
        prop_assert_eq!(trace.to_string().parse(), Ok(trace));
        let span = SpanId::new(span).unwrap();
        prop_assert_eq!(span.to_string().parse(), Ok(span));
        prop_assert_eq!(Wall(nanos).to_string().parse(), Ok(Wall(nanos)));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,40}") {
        let _ = duration::parse(&text);
        let _ = size::parse(&text);
        let _ = text.parse::<Wall>();
        let _ = text.parse::<TraceId>();
        let _ = text.parse::<InstanceId>();
    }
}
