//! When checks are asked, and what follows from the answers.

use std::collections::BTreeSet;

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

fn seconds(seconds: f64) -> Now {
    start().after(Duration::from_secs_f64(seconds))
}

/// A registry and the probes that follow it, as the shell has them.
struct Prober {
    registry: Registry,
    probes: Probes,
}

impl Prober {
    fn new() -> Self {
        Self { registry: Registry::default(), probes: Probes::default() }
    }

    fn apply(&mut self, now: Now, command: Command) {
        let outcome = self.registry.apply(now, command).unwrap();
        if let Some(change) = outcome.change {
            self.probes.follow(now, &change);
        }
    }

    fn advance(&mut self, now: Now) {
        for change in self.registry.advance(now) {
            self.probes.follow(now, &change);
        }
    }

    fn due(&mut self, now: Now) -> Vec<Job> {
        self.probes.due(now, &self.registry)
    }

    /// Answers a job, and does what follows.
    fn answer(&mut self, now: Now, job: &Job, found: Found) -> Option<Action> {
        let command = self.probes.finished(now, &self.registry, job, found)?;
        let change = self.registry.apply(now, command).unwrap().change?;
        self.probes.follow(now, &change);
        Some(change.cause.action)
    }

    /// Lets time pass from deadline to deadline, answering at once, and says when each question was put.
    fn run(&mut self, from: Now, until: Now, mut answer: impl FnMut(&Job) -> Found) -> Vec<(Mono, Target)> {
        let mut asked = Vec::new();
        let mut now = from;
        while now.mono <= until.mono {
            for job in self.due(now) {
                asked.push((now.mono, job.target.clone()));
                let found = answer(&job);
                self.answer(now, &job, found);
            }
            match self.probes.next_deadline() {
                Some(at) => now = now.after(at.since(now.mono).max(Duration::from_nanos(1))),
                None => break,
            }
        }
        asked
    }
}

fn tcp() -> Check {
    Check { interval: INTERVAL, ..Check::new(Probe::Tcp) }
}

fn checked(instance: &str, lease: u64, checks: impl Into<Box<[Check]>>) -> Command {
    let registration = Registration { checks: checks.into(), ..leased(80) };
    Command::register(target("cart", instance), registration, LeaseId(lease), "test")
}

fn failed() -> Found {
    Found::Failed("refused".to_owned())
}

#[test]
fn an_instance_starts_is_up_after_its_first_pass_and_down_after_so_many_failures() {
    let mut prober = Prober::new();
    let check = Check { failure_threshold: 3, success_threshold: 2, ..tcp() };
    prober.apply(start(), checked("a", 1, [check]));
    assert_eq!(status(&prober.registry, "a"), Some(Status::Starting));
    let mut now = seconds(0.0);
    let mut told = Vec::new();
    for found in [
        Found::Passed,
        Found::Passed,
        failed(),
        failed(),
        Found::Passed,
        failed(),
        failed(),
        failed(),
        failed(),
    ] {
        now = now.after(prober.probes.next_deadline().unwrap().since(now.mono));
        let jobs = prober.due(now);
        assert_eq!(jobs.len(), 1, "one check, asked once");
        assert_eq!(prober.due(now), [], "one question at a time");
        prober.registry.heartbeat(now, &target("cart", "a"), None).unwrap();
        told.push(prober.answer(now, &jobs[0], found));
    }
    let (passed, failed) = (Some(Action::CheckPassed), Some(Action::CheckFailed));
    assert_eq!(told, [None, passed, None, None, None, None, None, failed, None]);
    let instance = prober.registry.instance(&target("cart", "a")).unwrap();
    assert_eq!(&*instance.reason(), "check tcp fails: refused");
}

#[test]
fn the_first_question_comes_within_a_second_and_the_next_ones_are_spread_evenly() {
    let mut prober = Prober::new();
    for i in 0..10_000 {
        let registration = Registration { checks: [tcp()].into(), ttl: None, ..leased(80) };
        let name = target("cart", &format!("i{i}"));
        prober.apply(start(), Command::register(name, registration, LeaseId(i), "test"));
    }
    let asked = prober.run(start(), seconds(60.0), |_| Found::Passed);
    let first = asked.iter().filter(|(at, _)| *at <= Mono(0) + FIRST_WITHIN);
    assert!(first.map(|(_, target)| target).collect::<BTreeSet<_>>().len() == 10_000);
    assert_eq!(prober.probes.stats(seconds(60.0)).skipped, 0);
    // From the third interval on each is asked once an interval, and each tenth of it sees its share.
    let mut tenths = vec![0; 30];
    for (at, _) in
        asked.iter().filter(|(at, _)| *at > Mono(0) + INTERVAL * 2 && *at <= Mono(0) + INTERVAL * 5)
    {
        tenths[(at.since(Mono(0) + INTERVAL * 2).as_secs_f64() / 1.0) as usize % 30] += 1;
    }
    assert_eq!(tenths.iter().sum::<u32>(), 30_000);
    assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
}

#[test]
fn no_check_is_asked_more_often_than_twice_an_interval_nor_less_than_in_one_and_a_half() {
    let mut prober = Prober::new();
    for i in 0..50 {
        let registration = Registration { checks: [tcp()].into(), ttl: None, ..leased(80) };
        let command = Command::register(target("cart", &format!("i{i}")), registration, LeaseId(i), "t");
        prober.apply(start(), command);
    }
    let asked = prober.run(start(), seconds(100.0), |_| Found::Passed);
    for i in 0..50 {
        let name = target("cart", &format!("i{i}"));
        let at: Vec<Mono> = asked.iter().filter(|(_, of)| *of == name).map(|(at, _)| *at).collect();
        for pair in at.windows(2) {
            let gap = pair[1].since(pair[0]);
            assert!(gap >= INTERVAL / 2 && gap <= INTERVAL * 3 / 2, "{name}: {gap:?}");
        }
    }
}

#[test]
fn a_restart_rushes_nobody_whose_verdict_is_known() {
    let mut prober = Prober::new();
    for i in 0..1_000 {
        let registration = Registration { checks: [tcp()].into(), ttl: None, ..leased(80) };
        let name = target("cart", &format!("i{i}"));
        prober.apply(start(), Command::register(name, registration, LeaseId(i), "test"));
    }
    prober.run(start(), seconds(1.0), |_| Found::Passed);
    let registry = Registry::restore(start(), prober.registry.snapshot());
    let mut after = Prober { registry, probes: Probes::default() };
    after.probes.resync(start(), &after.registry);
    let asked = after.run(start(), seconds(9.999), |_| Found::Passed);
    assert_eq!(asked.len(), 1_000);
    let early = asked.iter().filter(|(at, _)| *at < Mono(0) + FIRST_WITHIN).count();
    assert!((60..140).contains(&early), "{early} of 1000 within the first tenth");
    assert!(after.registry.instances().all(|(_, i)| i.status == Status::Up), "what was known holds");
}

#[test]
fn another_process_is_counted_anew_and_its_predecessors_answer_says_nothing() {
    let mut prober = Prober::new();
    let check = Check { success_threshold: 2, ..tcp() };
    prober.apply(start(), checked("a", 1, [check.clone()]));
    let now = seconds(1.0);
    let job = prober.due(now).remove(0);
    assert_eq!(prober.answer(now, &job, Found::Passed), None);
    let now = seconds(12.0);
    let job = prober.due(now).remove(0);
    // The same content under a new lease makes no change that a watcher sees.
    prober.apply(now, checked("a", 2, [check]));
    assert_eq!(prober.answer(now, &job, Found::Passed), None, "it was the predecessor that answered");
    let again = prober.probes.next_deadline().unwrap();
    assert!(again.since(now.mono) <= FIRST_WITHIN, "the successor waits for its first answer");
    for expected in [None, Some(Action::CheckPassed)] {
        let now = start().after(prober.probes.next_deadline().unwrap().since(Mono(0)));
        let job = prober.due(now).remove(0);
        assert_eq!(job.lease, LeaseId(2));
        assert_eq!(prober.answer(now, &job, Found::Passed), expected);
    }
}

#[test]
fn a_lapsed_instance_is_not_asked_until_a_heartbeat_comes_back() {
    let mut prober = Prober::new();
    prober.apply(start(), checked("a", 1, [tcp()]));
    prober.run(start(), seconds(1.0), |_| Found::Passed);
    prober.advance(start().after(TTL));
    assert_eq!(status(&prober.registry, "a"), Some(Status::Down));
    assert_eq!(prober.probes.next_deadline(), None);
    let back = start().after(TTL * 3);
    prober.apply(back, Command::heartbeat(target("cart", "a"), LeaseId(1)));
    let next = prober.probes.next_deadline().unwrap();
    assert!(next.since(back.mono) <= INTERVAL);
}

#[test]
fn whoever_drains_or_was_taken_out_is_asked_all_the_same() {
    let mut prober = Prober::new();
    prober.apply(start(), checked("a", 1, [tcp()]));
    prober.apply(start(), checked("b", 2, [tcp()]));
    prober.run(start(), seconds(1.0), |_| Found::Passed);
    let drain = Ask::Drain { held: None, force: true, reason: "r".into() };
    prober.apply(seconds(2.0), ask("a", drain));
    let out = Ask::Override { status: Pinned::Maintenance, lasts: None, reason: "r".into() };
    prober.apply(seconds(2.0), ask("b", out));
    let asked = prober.run(seconds(2.0), seconds(17.0), |_| Found::Passed);
    let names: BTreeSet<&str> = asked.iter().map(|(_, target)| target.instance.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["a", "b"]));
}

#[test]
fn a_removed_instance_is_forgotten_also_while_it_is_asked() {
    let mut prober = Prober::new();
    prober.apply(start(), checked("a", 1, [tcp()]));
    let job = prober.due(seconds(1.0)).remove(0);
    prober.apply(seconds(1.0), ask("a", Ask::Deregister { held: None, reason: "r".into() }));
    // Another instance may sit where it sat.
    prober.apply(seconds(1.0), checked("b", 2, [tcp()]));
    assert_eq!(prober.answer(seconds(1.5), &job, failed()), None);
    let stats = prober.probes.stats(seconds(1.5));
    assert_eq!((stats.checks, stats.in_flight), (1, 0));
    let asked = prober.run(seconds(1.5), seconds(2.5), |job| {
        assert_eq!(job.target.instance.as_str(), "b");
        Found::Passed
    });
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_check_that_stays_keeps_its_count_when_another_comes() {
    let mut prober = Prober::new();
    let http = Check { interval: INTERVAL, ..Check::new(Probe::Http { path: "/".into() }) };
    let twice = Check { failure_threshold: 2, ..tcp() };
    prober.apply(start(), checked("a", 1, [twice.clone()]));
    let job = prober.due(seconds(1.0)).remove(0);
    prober.answer(seconds(1.0), &job, failed());
    let registration = Box::new(Registration { checks: [http, twice].into(), ..leased(80) });
    let more = Ask::Register { registration, lease: LeaseId(9), held: Some(LeaseId(1)) };
    prober.apply(seconds(1.0), ask("a", more));
    let mut failures = Vec::new();
    for step in 0..20 {
        let now = seconds(1.0 + f64::from(step));
        prober.registry.heartbeat(now, &target("cart", "a"), None).unwrap();
        for job in prober.due(now) {
            let found = if job.check.probe == Probe::Tcp { failed() } else { Found::Passed };
            failures.extend(prober.answer(now, &job, found));
        }
    }
    failures.sort_by_key(|action| action.as_str());
    assert_eq!(failures, [Action::CheckFailed, Action::CheckPassed]);
}

#[test]
fn slow_targets_and_new_ones_never_take_the_places_of_those_that_answer() {
    let mut prober = Prober::new();
    let often = Check { interval: Duration::from_secs(1), ..Check::new(Probe::Tcp) };
    let register = |name: String, lease| {
        let registration = Registration { checks: [often.clone()].into(), ttl: None, ..leased(80) };
        Command::register(target("cart", &name), registration, LeaseId(lease), "test")
    };
    prober.apply(start(), register("good".to_owned(), 1));
    prober.run(start(), seconds(2.0), |_| Found::Passed);
    for i in 0..1_000 {
        prober.apply(seconds(2.0), register(format!("hole-{i}"), i + 2));
    }
    // None of a thousand black holes ever answers.
    let mut good = 0;
    let mut held = Vec::new();
    for step in 0..100 {
        let now = seconds(2.0 + f64::from(step) * 0.1);
        for job in prober.due(now) {
            if job.target.instance.as_str() == "good" {
                good += 1;
                prober.answer(now, &job, Found::Passed);
            } else {
                held.push((now, job));
            }
        }
        let (late, rest) =
            held.into_iter().partition(|(at, _)| now.mono.since(at.mono) >= Duration::from_secs(1));
        held = rest;
        for (_, job) in late as Vec<(Now, Job)> {
            prober.answer(now, &job, failed());
        }
        let stats = prober.probes.stats(now);
        assert!(stats.in_flight <= NEW_MAX + SLOW_MAX, "{stats:?}");
    }
    assert!((9..=11).contains(&good), "{good} in ten seconds");
    let stats = prober.probes.stats(seconds(12.0));
    assert!(stats.overdue > 0 && stats.skipped > 0, "and that the others wait is counted: {stats:?}");
}

#[test]
fn a_verdict_that_the_disk_refused_is_said_again() {
    let mut prober = Prober::new();
    prober.apply(start(), checked("a", 1, [tcp()]));
    let job = prober.due(seconds(1.0)).remove(0);
    let first = prober.probes.finished(seconds(1.0), &prober.registry, &job, Found::Passed);
    assert!(first.is_some(), "said, and lost");
    let now = seconds(12.0);
    let job = prober.due(now).remove(0);
    assert_eq!(prober.answer(now, &job, Found::Passed), Some(Action::CheckPassed));
}

#[test]
fn what_could_not_be_asked_says_nothing_and_is_asked_again_soon() {
    let mut prober = Prober::new();
    let check = Check { failure_threshold: 1, interval: CHECK_INTERVAL_MAX, ..tcp() };
    prober.apply(start(), checked("a", 1, [check]));
    let job = prober.due(seconds(1.0)).remove(0);
    assert_eq!(prober.answer(seconds(1.0), &job, Found::Unasked), None);
    assert_eq!(prober.probes.next_deadline(), Some(seconds(2.0).mono));
}

#[test]
fn why_a_check_fails_is_short_and_writes_into_no_terminal() {
    let Verdict::Failing(why) = Verdict::failing(&format!("\u{1b}[2Jbad\r\n\u{202e}x{}", "ä".repeat(500)))
    else {
        panic!("failing")
    };
    assert!(why.len() <= WHY_MAX && why.len() > WHY_MAX - 4, "{}", why.len());
    assert!(why.starts_with("[2Jbad   x"), "{why}");
    assert!(!why.chars().any(|c| c.is_control() || c == '\u{202e}'));
}

#[test]
fn a_check_that_is_no_check_is_refused_with_its_rule() {
    let http = |path: &str| Check::new(Probe::Http { path: path.into() });
    let cases: [(&str, Vec<Check>); 9] = [
        ("check http", vec![http("healthz")]),
        ("check http", vec![http("/a b")]),
        ("check http", vec![http("/a\r\nHost: b")]),
        ("check port", vec![Check { port: Some(0), ..tcp() }]),
        ("check interval", vec![Check { interval: Duration::from_millis(99), ..tcp() }]),
        ("check timeout", vec![Check { timeout: INTERVAL * 2, ..tcp() }]),
        (
            "check timeout",
            vec![Check { interval: CHECK_INTERVAL_MAX, timeout: CHECK_TIMEOUT_MAX * 2, ..tcp() }],
        ),
        ("check failure_threshold", vec![Check { failure_threshold: 0, ..tcp() }]),
        ("checks", vec![tcp(), http("/"), tcp()]),
    ];
    for (what, checks) in cases {
        let registration = Registration { checks: checks.into(), ..leased(80) };
        assert_eq!(registration.check().unwrap_err().what(), what);
    }
}
