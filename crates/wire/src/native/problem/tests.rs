//! Each test's name is the claim.

use std::{collections::HashSet, time::Duration};

use http::{Response, header};

use super::*;

#[test]
fn numbers_are_unique_ordered_and_in_a_group() {
    let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for number in numbers {
        assert!([10, 11, 12, 13, 14, 20, 30, 31, 32].contains(&(number / 100)), "{number}");
    }
}

#[test]
fn every_code_has_all_its_texts_in_one_style() {
    let mut titles = HashSet::new();
    for code in Code::ALL {
        let entry = code.entry();
        assert!(titles.insert(entry.title), "{code}: its title is another code's, too");
        assert!((5..=60).contains(&entry.title.len()), "{code}: title");
        assert!((30..=300).contains(&entry.cause.len()), "{code}: cause has {}", entry.cause.len());
        assert!((10..=140).contains(&entry.remedy.len()), "{code}: remedy");
        assert!((5..=120).contains(&entry.example.len()), "{code}: example");
        assert!(entry.title.starts_with(char::is_uppercase) && !entry.title.ends_with('.'), "{code}: title");
        assert!(entry.cause.starts_with(|c: char| c.is_uppercase() || !c.is_alphabetic()), "{code}: cause");
        assert!(entry.cause.ends_with('.'), "{code}: a cause is made of sentences");
        assert!(
            entry.remedy.starts_with(char::is_lowercase) && !entry.remedy.ends_with('.'),
            "{code}: remedy"
        );
    }
}

#[test]
fn statuses_are_errors_and_agree_with_the_exit_codes() {
    for code in Code::ALL {
        let entry = code.entry();
        assert!((400..=599).contains(&entry.status), "{code}");
        assert_ne!(entry.exit, Exit::Ok, "{code}");
        assert_eq!(entry.status == 404, entry.exit == Exit::NotFound, "{code}");
        if entry.status == 401 {
            assert_eq!(entry.exit, Exit::Denied, "{code}");
        }
    }
}

#[test]
fn codes_are_read_as_they_are_written() {
    for &code in Code::ALL {
        assert_eq!(code.to_string().parse(), Ok(code));
        assert_eq!(code.to_string().to_lowercase().parse(), Ok(code));
        assert_eq!(code.number().to_string().parse(), Ok(code));
    }
    for text in ["", "BW-", "BW-9999", "BW-01003", "bw-+103", "BW1003", "1003 ", "ä1003", "BW-1003\n"] {
        let refused = text.parse::<Code>().unwrap_err();
        assert!(refused.to_string().contains("BW-1003"), "{text:?}: {refused}");
    }
}

#[test]
fn a_document_has_the_members_of_rfc_9457_and_comes_back_as_it_was() {
    let problem = Problem::new(Code::InvalidValue, "limit \"many\" is not valid: a number from 1 to 1000")
        .at("limit")
        .on("/bellwether/v1/traces")
        .retry_after(Duration::from_secs(2));
    let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
    assert_eq!(json["type"], "https://bellwether.dev/problems/BW-1003");
    assert_eq!(json["title"], "A value breaks its rule");
    assert_eq!(json["status"], 400);
    assert_eq!(json["code"], "BW-1003");
    assert_eq!(json["instance"], "/bellwether/v1/traces");
    assert_eq!(json["field"], "limit");
    assert_eq!(json["retry_after_ns"], 2_000_000_000_u64);
    assert_eq!(json["next"], Code::InvalidValue.entry().remedy);
    let back: Problem = serde_json::from_value(json).unwrap();
    assert_eq!(back, problem);
}

#[test]
fn a_newer_servers_problem_is_still_shown_in_full() {
    let json = r#"{"type":"https://bellwether.dev/problems/BW-1999","title":"Quota used up","status":404,
        "code":"BW-1999","detail":"none left","next":"wait","shade":"blue"}"#;
    let problem: Problem = serde_json::from_str(json).unwrap();
    assert_eq!(problem.code(), Code::NewerProblem);
    assert_eq!(
        (problem.title(), problem.detail(), problem.what_next()),
        ("Quota used up", "none left", "wait")
    );
    assert_eq!(problem.exit(), Exit::NotFound);
    assert!(serde_json::from_str::<Problem>(&json.replace("BW-1999\",\"d", "teapot\",\"d")).is_err());
}

#[test]
fn an_answer_carries_the_headers_that_its_status_asks_for() {
    let answer = |problem: &Problem| Response::<Bytes>::from(problem);
    let missing = answer(&Problem::new(Code::TokenMissing, "no token"));
    assert_eq!(missing.status(), 401);
    assert_eq!(missing.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    assert_eq!(missing.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"bellwether\"");
    let expired = answer(&Problem::new(Code::TokenExpired, "expired"));
    assert!(expired.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
    let busy = answer(&Problem::new(Code::TelemetryBusy, "full").retry_after(Duration::from_millis(1_001)));
    assert_eq!(busy.status(), 429);
    assert_eq!(busy.headers()[header::RETRY_AFTER], "2", "rounded up");
}

#[test]
fn grpc_says_the_same() {
    let status = |code| tonic::Status::from(&Problem::new(code, "detail"));
    assert_eq!(status(Code::TokenMissing).code(), tonic::Code::Unauthenticated);
    assert_eq!(status(Code::ScopeMissing).code(), tonic::Code::PermissionDenied);
    assert_eq!(status(Code::TelemetryBusy).code(), tonic::Code::ResourceExhausted);
    assert_eq!(status(Code::DiskFull).code(), tonic::Code::ResourceExhausted);
    assert_eq!(status(Code::NoSuchService).code(), tonic::Code::NotFound);
    assert!(status(Code::NoSuchService).message().starts_with("BW-1101 detail; "));
}

#[test]
fn a_problem_is_small_enough_to_be_returned_by_value() {
    // With room for a word beside it; beyond 127 bytes clippy calls an error large.
    assert!(size_of::<Problem>() <= 112, "{}", size_of::<Problem>());
}
