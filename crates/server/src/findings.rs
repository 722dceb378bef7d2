//! What is wrong now: the sentences that the console begins with, and `status`.
//!
//! Judged from what the first page shows, so that sentence, map and tables cannot disagree. For a service
//! whose calls fail it is worked out which of its versions, or which instance, the failures are confined to:
//! that is what people ask next, and it decides what to do.

use std::collections::BTreeMap;

use identity::{Namespace, ServiceName};
use monitoring::RedRow;
use registry::{ServiceView, Status};
use wire::native::api::{self, Finding, FindingKind, NextStep};

use crate::state::State;

/// Above this share of failed calls a service is unwell …
const FAILING: f64 = 0.05;
/// … but of fewer calls a share is an accident, not a statistic.
const CALLS: u64 = 5;
/// It is well again when so many calls have gone well as would have brought so many failures: fewer are luck.
const LUCK: f64 = 10.0;
/// Failures are confined to a part that has this share of them …
const MOST: f64 = 0.8;
/// … and fails so many times as often as the rest.
const WORSE: f64 = 3.0;
/// How many instances are named.
const NAMED: usize = 5;

/// Whether so many of so many calls failed that it means something.
pub(crate) fn fails(calls: u64, error_ratio: f64) -> bool {
    calls >= CALLS && error_ratio > FAILING
}

/// Calls that came to some part of a service, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    calls: u64,
    failed: u64,
}

impl Tally {
    fn ratio(self) -> f64 {
        self.failed as f64 / self.calls.max(1) as f64
    }

    fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.failed += other.failed;
    }

    fn without(self, part: Tally) -> Tally {
        Tally { calls: self.calls - part.calls, failed: self.failed - part.failed }
    }
}

/// An instance's calls.
#[derive(Debug)]
struct Member {
    instance: String,
    version: Option<String>,
    tally: Tally,
}

/// The part of a service that failures are confined to.
#[derive(Debug, PartialEq)]
struct Part {
    version: Option<String>,
    instances: Vec<String>,
    tally: Tally,
    others: Tally,
}

/// Everything that is wrong, the worst first.
pub(crate) fn findings(
    state: &State,
    namespace: &Namespace,
    services: &[api::OverviewService],
    edges: &[api::OverviewEdge],
    instances: impl FnOnce() -> Vec<RedRow>,
) -> Vec<Finding> {
    let look = Look { state, namespace };
    let is_wrong = |service: &&api::OverviewService| service.red.failing;
    let calls = if services.iter().any(|service| is_wrong(&service)) { instances() } else { Vec::new() };
    let breakers = edges.iter().filter_map(|edge| look.breaker(edge));
    let down = services.iter().filter_map(|service| look.down(service));
    let errors: Vec<Finding> =
        services.iter().filter(is_wrong).filter_map(|service| look.errors(service, &calls)).collect();
    let breakers = breakers.map(|breaker| with_cause(breaker, &errors));
    let mut found: Vec<Finding> = breakers.chain(down).chain(errors.iter().cloned()).collect();
    let ratio = |finding: &Finding| finding.error_ratio.unwrap_or_default();
    found.sort_by(|a, b| {
        let worse = a.kind.cmp(&b.kind).then(ratio(b).total_cmp(&ratio(a)));
        worse.then_with(|| (&a.service, &a.caller).cmp(&(&b.service, &b.caller)))
    });
    found
}

/// What findings are worked out from.
struct Look<'a> {
    state: &'a State,
    namespace: &'a Namespace,
}

impl Look<'_> {
    fn breaker(&self, edge: &api::OverviewEdge) -> Option<Finding> {
        let breaker = edge.breaker.as_ref()?;
        let service = &edge.service;
        let (kind, next, command) = match breaker.state.as_str() {
            "open" => (FindingKind::BreakerOpen, NextStep::LookAtTraces, self.failed_calls(service)),
            "forced_open" => {
                let command = self.command(&["breaker", "reset", service], "--reason WHY");
                (FindingKind::BreakerOpen, NextStep::EndForce, command)
            }
            "half_open" | "ramp" => {
                let command = self.command(&["breaker", "show", service], "--watch");
                (FindingKind::BreakerProbing, NextStep::Wait, command)
            }
            _ => return None,
        };
        Some(Finding {
            caller: Some(edge.caller.clone()),
            since: Some(breaker.since.clone()),
            why: breaker.reason.clone(),
            commands: vec![command],
            ..finding(kind, service, next)
        })
    }

    /// A service that people have taken out on purpose is not broken: only `down` counts against it.
    fn down(&self, row: &api::OverviewService) -> Option<Finding> {
        let counts = row.instances;
        if counts.down == 0 {
            return None;
        }
        let kind = match counts.up {
            0 => FindingKind::NoInstanceUp,
            _ => FindingKind::InstancesDown,
        };
        let view = self.view(&row.service)?;
        let down = || view.instances.iter().filter(|(_, instance)| instance.status == Status::Down);
        // With nothing up it is since the last went; else since the first of those that are down.
        let (_, told) = match kind {
            FindingKind::NoInstanceUp => down().max_by_key(|(_, instance)| instance.since),
            _ => down().min_by_key(|(_, instance)| instance.since),
        }?;
        let versions = down().map(|(_, instance)| instance.registration.version.as_deref());
        let instances: Vec<String> = down().take(NAMED).map(|(id, _)| id.to_string()).collect();
        let command = |id: &String| self.command(&["why", "instance", &row.service, id], "");
        Some(Finding {
            since: Some(told.since.to_string()),
            why: told.reason().to_string(),
            version: common(versions),
            commands: instances.first().map(command).into_iter().collect(),
            instances,
            ..finding(kind, &row.service, NextStep::LookAtInstances)
        })
    }

    /// Of a service whose calls failed in the window; `None` where that is over.
    fn errors(&self, row: &api::OverviewService, calls: &[RedRow]) -> Option<Finding> {
        let recovered = (LUCK / row.red.error_ratio).ceil() as u64;
        let since = self.state.samples.failing_since(self.namespace, &row.service, FAILING, recovered)?;
        let view = self.view(&row.service);
        let version = |id: &str| {
            let (_, instance) = view.as_ref()?.instances.iter().find(|(known, _)| known.as_str() == id)?;
            instance.registration.version.as_deref().map(str::to_owned)
        };
        let of_service = calls.iter().filter(|call| *call.service == *row.service);
        let members: Vec<Member> = of_service
            .filter_map(|call| {
                let instance = call.instance.as_deref()?.to_owned();
                let tally = Tally { calls: call.calls - call.cancelled, failed: call.errors + call.refused };
                Some(Member { version: version(&instance), instance, tally })
            })
            .collect();
        let base = Finding {
            since: Some(since.to_string()),
            why: whole(&row.red),
            error_ratio: Some(row.red.error_ratio),
            ..finding(FindingKind::Errors, &row.service, NextStep::LookAtTraces)
        };
        Some(match confined(&members) {
            Some(part) => {
                let is_there =
                    |id: &&String| view.as_ref().is_some_and(|view| takes_calls(view, id.as_str()));
                let drain = |id: &String| {
                    let ids = ["instance", "drain", &row.service, id];
                    self.command(&ids, "")
                };
                let commands: Vec<String> =
                    part.instances.iter().filter(is_there).take(NAMED).map(drain).collect();
                let next = if commands.is_empty() { NextStep::LookAtTraces } else { NextStep::Drain };
                Finding {
                    cause: Some(sentence(&part)),
                    version: part.version,
                    instances: part.instances.into_iter().take(NAMED).collect(),
                    error_ratio: Some(part.tally.ratio()),
                    others_error_ratio: Some(part.others.ratio()),
                    next,
                    commands: if commands.is_empty() {
                        vec![self.failed_calls(&row.service)]
                    } else {
                        commands
                    },
                    ..base
                }
            }
            None => Finding {
                version: common(members.iter().map(|member| member.version.as_deref())),
                commands: vec![self.failed_calls(&row.service)],
                ..base
            },
        })
    }

    fn view(&self, service: &str) -> Option<ServiceView> {
        let service: ServiceName = service.parse().ok()?;
        self.state.roll.read().service(self.namespace, &service)
    }

    fn failed_calls(&self, service: &str) -> String {
        self.command(&["trace", "search", &format!("'service={service} AND error=true'")], "")
    }

    /// A command as it is typed. Names of services and instances need no quotes in a shell.
    fn command(&self, words: &[&str], flags: &str) -> String {
        let mut command = format!("bellwether {}", words.join(" "));
        if *self.namespace != Namespace::default() {
            command += &format!(" --namespace {}", self.namespace);
        }
        if !flags.is_empty() {
            command += &format!(" {flags}");
        }
        command
    }
}

/// A breaker that opened by itself, with the part of its service that made it.
fn with_cause(breaker: Finding, errors: &[Finding]) -> Finding {
    let opened = breaker.kind == FindingKind::BreakerOpen && breaker.next == NextStep::LookAtTraces;
    match errors.iter().find(|errors| opened && errors.service == breaker.service) {
        Some(cause) => Finding {
            kind: breaker.kind,
            caller: breaker.caller,
            since: breaker.since,
            why: breaker.why,
            ..cause.clone()
        },
        None => breaker,
    }
}

fn finding(kind: FindingKind, service: &str, next: NextStep) -> Finding {
    Finding {
        kind,
        service: service.to_owned(),
        caller: None,
        since: None,
        why: String::new(),
        cause: None,
        version: None,
        instances: Vec::new(),
        error_ratio: None,
        others_error_ratio: None,
        next,
        commands: Vec::new(),
    }
}

fn takes_calls(view: &ServiceView, id: &str) -> bool {
    view.instances.iter().any(|(known, instance)| known.as_str() == id && instance.status.may_take_calls())
}

/// The version that all have.
fn common<'a>(mut versions: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let first = versions.next()??;
    versions.all(|version| version == Some(first)).then(|| first.to_owned())
}

/// The smallest part of a service that has most of the failures while the rest is well: a version, or one
/// instance. `None` where failures are all over it.
fn confined(members: &[Member]) -> Option<Part> {
    let mut whole = Tally::default();
    let mut versions: BTreeMap<&str, Tally> = BTreeMap::new();
    for member in members {
        whole.add(member.tally);
        if let Some(version) = &member.version {
            versions.entry(version).or_default().add(member.tally);
        }
    }
    let stands_out = |tally: Tally| {
        let others = whole.without(tally);
        let most = tally.failed as f64 >= MOST * whole.failed as f64;
        (others.calls > 0 && most && tally.ratio() > WORSE * others.ratio()).then_some(others)
    };
    let is_one = members.iter().find_map(|member| {
        let others = stands_out(member.tally)?;
        let (version, instances) = (member.version.clone(), vec![member.instance.clone()]);
        Some(Part { version, instances, tally: member.tally, others })
    });
    is_one.or_else(|| {
        versions.into_iter().find_map(|(version, tally)| {
            let others = stands_out(tally)?;
            let of_version = members.iter().filter(|member| member.version.as_deref() == Some(version));
            let instances = of_version.map(|member| member.instance.clone()).collect();
            Some(Part { version: Some(version.to_owned()), instances, tally, others })
        })
    })
}

fn sentence(part: &Part) -> String {
    let (ratio, others) = (percent(part.tally.ratio()), percent(part.others.ratio()));
    match (&*part.instances, &part.version) {
        ([instance], Some(version)) => {
            format!(
                "instance {instance}, of version {version}, fails {ratio} of its calls, the others {others}"
            )
        }
        ([instance], None) => format!("instance {instance} fails {ratio} of its calls, the others {others}"),
        (_, Some(version)) => format!("version {version} fails {ratio} of its calls, the others {others}"),
        (several, None) => {
            format!("{} instances fail {ratio} of their calls, the others {others}", several.len())
        }
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

fn whole(red: &api::Red) -> String {
    let (failed, calls) = (red.errors + red.refused, red.calls);
    match red.refused {
        0 => format!("{failed} of {calls} calls failed"),
        some => format!("{failed} of {calls} calls failed, {some} of them refused without being sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(instance: &str, version: &str, calls: u64, failed: u64) -> Member {
        let version = (!version.is_empty()).then(|| version.to_owned());
        Member { instance: instance.to_owned(), version, tally: Tally { calls, failed } }
    }

    fn part(members: &[Member]) -> Option<(Option<String>, Vec<String>)> {
        confined(members).map(|part| (part.version, part.instances))
    }

    #[test]
    fn failures_of_one_version_are_confined_to_it_with_all_its_instances() {
        let members = [
            member("a", "1.4.0", 500, 1),
            member("b", "1.4.0", 500, 0),
            member("c", "1.5.0", 100, 12),
            member("d", "1.5.0", 100, 9),
        ];
        let (version, instances) = part(&members).expect("a part");
        assert_eq!((version.as_deref(), instances), (Some("1.5.0"), vec!["c".to_owned(), "d".to_owned()]));
        let sentence = sentence(&confined(&members).expect("a part"));
        assert_eq!(sentence, "version 1.5.0 fails 10.5 % of its calls, the others 0.1 %");
    }

    #[test]
    fn one_instance_of_several_is_named_before_its_version() {
        let members = [member("a", "2", 90, 0), member("b", "2", 90, 80), member("c", "1", 90, 1)];
        assert_eq!(part(&members), Some((Some("2".to_owned()), vec!["b".to_owned()])));
    }

    #[test]
    fn failures_that_are_everywhere_are_confined_to_nothing() {
        assert_eq!(part(&[member("a", "1", 100, 20), member("b", "2", 100, 30)]), None);
        assert_eq!(
            part(&[member("a", "1", 100, 20)]),
            None,
            "the only instance has no others to be worse than"
        );
        assert_eq!(part(&[]), None);
    }

    #[test]
    fn a_few_calls_are_no_statistic() {
        assert!(!fails(4, 1.0));
        assert!(!fails(100, 0.05));
        assert!(fails(5, 0.2));
    }

    #[test]
    fn a_version_is_told_where_all_have_the_same() {
        assert_eq!(common([Some("1"), Some("1")].into_iter()).as_deref(), Some("1"));
        assert_eq!(common([Some("1"), Some("2")].into_iter()), None);
        assert_eq!(common([Some("1"), None].into_iter()), None);
        assert_eq!(common(std::iter::empty()), None);
    }
}
