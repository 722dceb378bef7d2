//! The file itself; what a restore does with it is tested from outside.

use std::time::Duration;

use proptest::prelude::*;
use registry::{
    Action, Check, Condition, Drain, Host, LeaseId, Note, Override, Pinned, PolicyAction, PolicyDocument,
    PolicyRevision, Probe, Registration, Status, Verdict, Weighed,
};
use storage_catalog::Scope;

use super::*;

fn backup() -> Backup {
    let note = || Note { by: "o".into(), at: Wall(5), reason: "ü \"why\"".into() };
    let registration = Registration {
        zone: Some("a".into()),
        version: Some("1.2".into()),
        weight: 50,
        metadata: [("k", "v\\")].into_iter().collect(),
        ttl: Some(Duration::from_secs(15).into()),
        deregister_after: Some(Duration::from_secs(60).into()),
        checks: [
            Check { port: Some(9), ..Check::new(Probe::Http { path: "/healthz".into() }) },
            Check::new(Probe::Tcp),
            Check::new(Probe::Grpc { service: "cart.v1".into() }),
        ]
        .into(),
        warm_up: Some(Duration::from_secs(30).into()),
        ..Registration::new(Host::parse("cart.internal").unwrap(), 80)
    };
    let rich = Instance {
        registration,
        condition: Condition {
            lapsed: Some(Wall(7)),
            verdicts: [Verdict::Passing, Verdict::Failing("refused".into()), Verdict::Pending].into(),
            is_cold: true,
            drain: Some(Box::new(Drain { note: note(), revision: 9 })),
            pinned: Some(Box::new(Override {
                status: Pinned::Maintenance,
                note: note(),
                until: Some(Wall(99)),
            })),
            weighed: Some(Box::new(Weighed { weight: 25, note: note() })),
        }
        .into(),
        status: Status::Maintenance,
        since: Wall(6),
        lease: LeaseId(0xabc),
        registered_at: Wall(1),
        revision: 9,
    };
    let plain = Instance {
        registration: Registration::new(Host::parse("10.0.0.7").unwrap(), 81),
        condition: Condition::default().into(),
        status: Status::Up,
        ..rich.clone()
    };
    let target = |id: &str| Target {
        namespace: "default".parse().unwrap(),
        service: "cart".parse().unwrap(),
        instance: id.parse().unwrap(),
    };
    let token = Token {
        id: "0123456789abcdef".to_owned(),
        name: "ci".to_owned(),
        hash: [7; 32],
        scopes: vec![Scope::Write],
        namespaces: vec!["default".parse().unwrap()],
        created_at: Wall(3),
        expires_at: Some(Wall(9)),
    };
    let text = r#"{"apiVersion":"bellwether.dev/v1","kind":"ServicePolicy","metadata":{"name":"cart"},"spec":{"service":"cart"}}"#;
    let policy = PolicyChange {
        namespace: "default".parse().unwrap(),
        name: "cart".parse().unwrap(),
        made: Arc::new(PolicyRevision {
            revision: 8,
            number: 3,
            at: Wall(8),
            action: PolicyAction::RolledBack,
            actor: "ada".into(),
            reason: "ü".into(),
            document: Some(PolicyDocument { service: Some("cart".parse().unwrap()), text: text.into() }),
        }),
    };
    Backup {
        revision: 9,
        made_at: Wall(1_700_000_000_000_000_000),
        instances: vec![(target("a"), Arc::new(rich)), (target("b"), Arc::new(plain))],
        tokens: vec![token],
        proxies: vec![KnownProxy { id: "gateway@a:8000".parse().unwrap(), since: Wall(4) }],
        policies: vec![policy],
    }
}

fn written(backup: Backup) -> Vec<u8> {
    let mut writing = Writing::new(backup);
    std::iter::from_fn(|| writing.next()).flatten().collect()
}

fn read(pieces: &[&[u8]]) -> Result<Backup, String> {
    let mut reading = Reading::default();
    for piece in pieces {
        reading.take(piece).map_err(|problem| problem.to_string())?;
    }
    reading.finish().map_err(|problem| problem.to_string())
}

#[test]
fn everything_comes_back_as_it_was() {
    let file = written(backup());
    assert_eq!(read(&[&file]).unwrap(), backup());
    assert!(!String::from_utf8(file).unwrap().contains("secret"));
    assert_eq!(Action::Restored.as_str(), "restored");
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let file = written(backup());
    for cut in 0..file.len() {
        assert!(read(&[&file[..cut]]).is_err(), "cut after {cut} of {} bytes", file.len());
    }
}

#[test]
fn a_file_in_which_anything_was_changed_is_refused() {
    let file = written(backup());
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(read(&[&changed]).is_err(), "changed byte {at}: {}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn a_registry_of_many_pieces_comes_back_and_the_pieces_are_small() {
    let mut many = backup();
    let (target, instance) = many.instances.pop().unwrap();
    many.instances.extend((0..2_000).map(|n| {
        let target = Target { instance: format!("i{n}").parse().unwrap(), ..target.clone() };
        (target, instance.clone())
    }));
    let mut writing = Writing::new(many.clone());
    let pieces: Vec<_> = std::iter::from_fn(|| writing.next()).collect();
    assert!(pieces.len() > 5 && pieces.iter().all(|piece| piece.len() < 100_000), "{}", pieces.len());
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
    assert_eq!(read(&pieces).unwrap(), many);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let text = String::from_utf8(written(backup())).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let resealed = |lines: &[String]| {
        use sha2::{Digest, Sha256};
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let sum: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{body}{{\"sha256\":\"{sum}\"}}\n")
    };
    let changed = |at: usize, from: &str, to: &str| {
        let mut all: Vec<String> = lines[..lines.len() - 1].iter().map(|line| (*line).to_owned()).collect();
        assert!(all[at].contains(from), "{}", all[at]);
        all[at] = all[at].replace(from, to);
        resealed(&all)
    };
    let twice = {
        let mut all: Vec<String> = lines[..lines.len() - 1].iter().map(|line| (*line).to_owned()).collect();
        all.insert(2, all[1].clone());
        resealed(&all)
    };
    let cases = [
        (changed(0, "bellwether-backup", "bellwether-trace"), "bellwether-trace"),
        (changed(0, "\"version\":3", "\"version\":4"), "version 4"),
        (changed(0, "\"instances\":2", "\"instances\":3"), "promises 3 instances"),
        (changed(0, "\"instances\":2", "\"instances\":1"), "line 3 is not valid: the first line promises 1"),
        (changed(1, "\"weight\":50", "\"weight\":50000"), "line 2 is not valid: weight"),
        (changed(1, "cart.internal", "169.254.169.254"), "line 2 is not valid"),
        (changed(1, "\"port\":80", "\"prot\":80"), "line 2 cannot be read"),
        (changed(2, "\"id\":\"b\"", "\"id\":\"..\""), "line 3 cannot be read"),
        (
            changed(3, "\"scopes\":[\"write\"]", "\"scopes\":[]"),
            "line 4 is not valid: a token has at least one scope",
        ),
        (changed(3, "0707", "07"), "line 4 is not valid: a token's hash"),
        (twice, "is there twice"),
        (format!("{text}\n"), "after the checksum"),
        ("hello\n".to_owned(), "the first line is not that of a backup"),
        (String::new(), "it was cut"),
    ];
    for (file, says) in cases {
        let refused = read(&[file.as_bytes()]).unwrap_err();
        assert!(refused.contains(says), "{says} is not in {refused}");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut_into_pieces(mut cuts in proptest::collection::vec(0_usize..2_000, 0..20)) {
        let file = written(backup());
        cuts.iter_mut().for_each(|cut| *cut %= file.len());
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&file[from..cut]);
            from = cut;
        }
        pieces.push(&file[from..]);
        prop_assert_eq!(read(&pieces).unwrap(), backup());
    }
}
