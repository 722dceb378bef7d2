//! Any history of commands, time and restarts agrees with the plain reference.

use std::sync::Arc;

use hash_ring::Ring;
use proptest::{prelude::*, sample::select};

use super::{
    plain::{Done, Plains},
    *,
};

/// Which lease a command brings along.
#[derive(Debug, Clone, Copy)]
enum Held {
    None,
    Current,
    Stale,
}

/// What is asked, but for what only the moment of asking can say.
#[derive(Debug, Clone)]
enum Wish {
    Register {
        registration: Registration,
        held: Held,
    },
    Deregister(Held),
    Heartbeat(Held),
    Judge {
        is_current: bool,
        check: usize,
        verdict: Verdict,
    },
    Drain {
        held: Held,
        force: bool,
        reason: &'static str,
    },
    Undrain(Held),
    Override {
        status: Pinned,
        lasts: Option<Duration>,
    },
    Release,
    Weigh {
        weight: u32,
        force: bool,
    },
    Unweigh,
    /// Of the last backup, which may be of a revision that is ahead, and may break a rule.
    Restore {
        replace: bool,
        ahead: u64,
        is_broken: bool,
    },
    /// Something else, as long as the instance is as it was seen.
    At {
        is_current: bool,
        wish: Box<Wish>,
    },
    Expire,
    Protect,
}

/// A step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// Commands that share a commit, perhaps with what is due, and perhaps with a disk that refuses.
    /// Heartbeats may be answered while the disk is at work.
    Batch { wishes: Vec<(usize, Wish)>, beats: Vec<usize>, with_due: bool, is_refused: bool },
    /// A heartbeat that bypasses the writer.
    Beat(usize, Held),
    /// Time passes, and what is due is done.
    Pass(Duration),
    /// Time passes, and nobody looks.
    Idle(Duration),
    /// What may be restored later.
    Backup,
    /// From a snapshot.
    Restart,
    /// From every change that there ever was.
    Recover,
}

const CHECKS: [(&str, u64); 3] = [("/a", 10), ("/b", 10), ("/a", 20)];

fn check(at: usize) -> Check {
    let (path, seconds) = CHECKS[at];
    Check { interval: Duration::from_secs(seconds), ..Check::new(Probe::Http { path: path.into() }) }
}

/// Twelve instances: two namespaces with two services of three each, so that no zone has enough of them
/// to be protected.
fn name(at: usize) -> Target {
    Target {
        namespace: ["east", "west"][at % 2].parse().unwrap(),
        service: ["cart", "shop"][at / 2 % 2].parse().unwrap(),
        instance: format!("i{}", at / 4 % 3).parse().unwrap(),
    }
}

/// One of them, mostly one of two of the same service, so that much happens to them.
fn at() -> impl Strategy<Value = usize> {
    prop_oneof![6 => select(&[0_usize, 4]), 1 => 0..12_usize]
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![3 => Just(Held::None), 4 => Just(Held::Current), 1 => Just(Held::Stale)]
}

fn seconds(of: &'static [u64]) -> impl Strategy<Value = Option<Period>> {
    select(of)
        .prop_map(|seconds| Some(Duration::from_secs(seconds)).filter(|d| !d.is_zero()).map(Period::from))
}

fn registration() -> impl Strategy<Value = Registration> {
    let checks: &[&[usize]] = &[&[], &[], &[], &[0], &[1, 0], &[2], &[2, 0]];
    let fields =
        (select(&[0_u16, 1, 1, 1, 2, 2]), seconds(&[0, 5, 15]), seconds(&[0, 0, 7, 20]), seconds(&[0, 10]));
    (fields, select(checks), select(&[0_u32, 50, 100])).prop_map(
        |((port, ttl, after, warm_up), checks, weight)| Registration {
            ttl,
            deregister_after: after.filter(|_| ttl.is_some()),
            warm_up,
            weight,
            checks: checks.iter().map(|at| check(*at)).collect(),
            ..Registration::new(Host::parse("10.0.0.1").unwrap(), port)
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Passing),
        2 => Just(Verdict::failing("no")),
        1 => Just(Verdict::Pending)
    ];
    prop_oneof![
        8 => (registration(), held()).prop_map(|(registration, held)| Wish::Register { registration, held }),
        2 => held().prop_map(Wish::Deregister),
        3 => held().prop_map(Wish::Heartbeat),
        6 => (prop::bool::weighted(0.9), 0..CHECKS.len(), verdict)
            .prop_map(|(is_current, check, verdict)| Wish::Judge { is_current, check, verdict }),
        3 => (held(), any::<bool>(), select(&["r", "r", "r", "r\n"]))
            .prop_map(|(held, force, reason)| Wish::Drain { held, force, reason }),
        2 => held().prop_map(Wish::Undrain),
        3 => (select(&Pinned::ALL), select(&[0_u64, 3_000, 30_000, 1]))
            .prop_map(|(status, lasts)| {
                let lasts = Some(Duration::from_millis(lasts)).filter(|lasts| !lasts.is_zero());
                Wish::Override { status, lasts }
            }),
        2 => Just(Wish::Release),
        3 => (select(&[0_u32, 0, 30, 100, 10_001]), any::<bool>())
            .prop_map(|(weight, force)| Wish::Weigh { weight, force }),
        2 => Just(Wish::Unweigh),
        4 => (any::<bool>(), select(&[0_u64, 0, 1, 7]), prop::bool::weighted(0.1))
            .prop_map(|(replace, ahead, is_broken)| Wish::Restore { replace, ahead, is_broken }),
        2 => (any::<bool>(), select(&[Pinned::Up, Pinned::Down])).prop_map(|(is_current, status)| {
            Wish::At { is_current, wish: Box::new(Wish::Override { status, lasts: None }) }
        }),
        1 => (any::<bool>(), Just(Wish::Release))
            .prop_map(|(is_current, wish)| Wish::At { is_current, wish: Box::new(wish) }),
        1 => Just(Wish::Expire),
        1 => Just(Wish::Protect),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let time = || select(&[1_u64, 500, 1_000, 3_000, 5_000, 10_000, 14_999, 15_000, 60_000, 200_000]);
    let batch = (
        prop::collection::vec((at(), wish()), 1..5),
        prop::collection::vec(at(), 0..3),
        any::<bool>(),
        prop::bool::weighted(0.1),
    );
    prop_oneof![
        12 => batch.prop_map(|(wishes, beats, with_due, is_refused)| Step::Batch { wishes, beats, with_due, is_refused }),
        3 => (at(), held()).prop_map(|(at, held)| Step::Beat(at, held)),
        5 => time().prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        2 => time().prop_map(|millis| Step::Idle(Duration::from_millis(millis))),
        2 => Just(Step::Backup),
        1 => Just(Step::Restart),
        1 => Just(Step::Recover),
    ]
}

/// The registry and what it ought to be.
struct Pair {
    now: Now,
    registry: Registry,
    plains: Plains,
    history: Vec<Arc<Change>>,
    backup: Snapshot,
    leases: u64,
}

type Checked = Result<(), TestCaseError>;

impl Pair {
    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Batch { wishes, beats, with_due, is_refused } => {
                self.batch(wishes, beats, with_due, is_refused)?
            }
            Step::Beat(at, held) => {
                let (target, now) = (name(at), self.now);
                let held = self.held(&self.plains, &target, held);
                let seen = self.registry.heartbeat(now, &target, held).map_err(|error| kind(&error));
                prop_assert_eq!(seen, self.plains.beat(now, &target, held));
            }
            Step::Pass(time) => {
                self.now = self.now.after(time);
                self.settle()?;
            }
            Step::Idle(time) => self.now = self.now.after(time),
            Step::Backup => self.backup = self.registry.snapshot(),
            Step::Restart => {
                self.registry = Registry::restore(self.now, self.registry.snapshot());
                self.plains.restart(self.now);
            }
            Step::Recover => {
                self.registry = self.replayed();
                self.plains.restart(self.now);
            }
        }
        self.agree()
    }

    fn replayed(&self) -> Registry {
        let mut registry = Registry::default();
        self.history.iter().for_each(|change| registry.replay(self.now, change.clone()));
        registry
    }

    fn batch(
        &mut self,
        wishes: Vec<(usize, Wish)>,
        beats: Vec<usize>,
        with_due: bool,
        is_refused: bool,
    ) -> Checked {
        let now = self.now;
        let due = if with_due { self.registry.due(now, usize::MAX).commands } else { Vec::new() };
        let mut plains = self.plains.clone();
        plains.begin_batch();
        let mut leases = self.leases;
        let mut draft = self.registry.draft();
        for (at, wish) in wishes {
            let target = name(at);
            leases += 1;
            let ask = self.ask(&plains, &target, wish, LeaseId(leases));
            let command = Command { target: target.clone(), actor: "test".into(), ask: ask.clone() };
            let seen = draft.apply(now, command).map_err(|error| kind(&error));
            let seen = seen.map(|outcome| Done {
                action: outcome.change.map(|change| change.cause.action),
                created: outcome.created,
                lease: outcome.lease,
            });
            prop_assert_eq!(seen, plains.apply(now, &target, ask.clone()), "{:?} {:?}", target, ask);
        }
        for command in due {
            plains.apply(now, &command.target, command.ask.clone()).unwrap();
            draft.apply(now, command).unwrap();
        }
        let batch = draft.finish();
        self.leases = leases;
        for target in beats.into_iter().map(name) {
            let seen = self.registry.heartbeat(now, &target, None).map_err(|error| kind(&error));
            prop_assert_eq!(seen, plains.beat_meanwhile(now, &mut self.plains, &target));
        }
        if !is_refused {
            self.plains = plains;
            self.commit(batch)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch) -> Checked {
        let mut revision = self.registry.revision();
        for change in &batch.changes {
            revision += u64::from(change.is_visible());
            if change.cause.action == Action::Restored {
                prop_assert!(change.revision >= revision, "it only goes forward");
                revision = change.revision;
            }
            prop_assert_eq!(change.revision, revision, "one after the other");
        }
        self.history.extend(batch.changes.clone());
        self.registry.commit(self.now, batch);
        Ok(())
    }

    /// Does all that is due at this moment, and what becomes due by that.
    fn settle(&mut self) -> Checked {
        while self.registry.next_deadline().is_some_and(|at| at <= self.now.mono) {
            let due = self.registry.due(self.now, 3).commands;
            let mut draft = self.registry.draft();
            self.plains.begin_batch();
            for command in due {
                let seen = draft.apply(self.now, command.clone()).unwrap().change;
                let done = self.plains.apply(self.now, &command.target, command.ask).unwrap();
                prop_assert!(done.action.is_some(), "nothing is due before its time");
                prop_assert_eq!(seen.map(|change| change.cause.action), done.action);
            }
            let batch = draft.finish();
            self.commit(batch)?;
        }
        let late = self
            .plains
            .all
            .values()
            .find_map(|p| p.timers(self.now).first().copied().filter(|(at, _)| *at <= self.now.mono));
        prop_assert_eq!(late, None, "all that is due is done");
        Ok(())
    }

    fn held(&self, plains: &Plains, target: &Target, held: Held) -> Option<LeaseId> {
        match held {
            Held::None => None,
            Held::Current => plains.lease(target),
            Held::Stale => Some(LeaseId(u64::MAX)),
        }
    }

    fn ask(&self, plains: &Plains, target: &Target, wish: Wish, lease: LeaseId) -> Ask {
        let held = |held| self.held(plains, target, held);
        let reason = || "r".into();
        match wish {
            Wish::Register { mut registration, held: of } => {
                registration.zone = Some(format!("{}-{}", target.namespace, target.service).into());
                Ask::Register { registration: Box::new(registration), lease, held: held(of) }
            }
            Wish::Deregister(of) => Ask::Deregister { held: held(of), reason: reason() },
            Wish::Heartbeat(of) => Ask::Heartbeat { held: held(of) },
            Wish::Judge { is_current, check: at, verdict } => {
                let lease = plains.lease(target).filter(|_| is_current).unwrap_or(LeaseId(u64::MAX));
                Ask::Judge { lease, check: check(at), verdict }
            }
            Wish::Drain { held: of, force, reason } => {
                Ask::Drain { held: held(of), force, reason: reason.into() }
            }
            Wish::Undrain(of) => Ask::Undrain { held: held(of), reason: reason() },
            Wish::Override { status, lasts } => Ask::Override { status, lasts, reason: reason() },
            Wish::Release => Ask::Release { reason: reason() },
            Wish::Weigh { weight, force } => Ask::Weigh { weight, force, reason: reason() },
            Wish::Unweigh => Ask::Unweigh { reason: reason() },
            Wish::Restore { replace, ahead, is_broken } => {
                let known = self.backup.instances.iter().find(|(of, _)| of == target);
                // What is in no backup nobody restores.
                let Some((_, instance)) = known else { return Ask::Expire };
                let mut instance = Box::new(Instance::clone(instance));
                if is_broken {
                    instance.registration.port = 0;
                }
                Ask::Restore { instance, replace, after: self.backup.revision + ahead, reason: reason() }
            }
            Wish::At { is_current, wish } => {
                let known = plains.all.get(target).map_or(0, |plain| plain.revision);
                let revision = if is_current { known } else { known + 1 };
                Ask::At { revision, then: Box::new(self.ask(plains, target, *wish, lease)) }
            }
            Wish::Expire => Ask::Expire,
            Wish::Protect => Ask::Protect,
        }
    }

    /// Whether the registry is what it ought to be.
    fn agree(&self) -> Checked {
        prop_assert_eq!(self.registry.revision(), self.plains.revision);
        prop_assert_eq!(self.registry.instance_count(), self.plains.all.len());
        prop_assert!(self.registry.instances().map(|(target, _)| target).eq(self.plains.all.keys()));
        for (target, plain) in &self.plains.all {
            let seen = self.registry.instance(target).unwrap();
            let verdicts: Vec<&str> = seen.condition.verdicts.iter().map(Verdict::as_str).collect();
            let pinned = seen.condition.pinned.as_ref().map(|pinned| (pinned.status, pinned.until));
            prop_assert_eq!(&seen.registration, &plain.registration);
            prop_assert_eq!(
                (seen.status, seen.since),
                (plain.status, plain.since),
                "{}: {:?}",
                target,
                plain
            );
            prop_assert_eq!((seen.lease, verdicts), (plain.lease, plain.verdicts.clone()));
            prop_assert_eq!(seen.condition.lapsed, plain.lapsed.map(|lapsed| lapsed.wall));
            prop_assert_eq!((seen.condition.is_cold, pinned), (plain.is_cold, plain.pinned));
            prop_assert_eq!(seen.condition.drain.is_some(), plain.is_drained);
            prop_assert_eq!(seen.weight(), plain.weight());
            prop_assert_eq!(seen.revision, plain.revision, "{}", target);
            prop_assert!(seen.revision <= self.registry.revision());
            let first = plain.timers(self.now).first().map(|(at, _)| (*at).max(self.now.mono));
            prop_assert!(
                first.is_none_or(|first| self.registry.next_deadline().is_some_and(|at| at <= first))
            );
            let view = self.registry.service(&target.namespace, &target.service).unwrap();
            prop_assert!(view.revision >= seen.revision && view.revision <= self.registry.revision());
            prop_assert!(view.instances.iter().any(|(id, of)| *id == target.instance && **of == *seen));
        }
        // Asked in between, so that a ring which is kept for too long is found out.
        if self.registry.revision().is_multiple_of(4) {
            self.rings_agree(&name(0))?;
        }
        let namespaces: Vec<_> = self.registry.namespaces().collect();
        let services = namespaces.iter().map(|namespace| self.registry.services(namespace).count());
        let mut expected: Vec<_> = self.plains.all.keys().map(|t| (&t.namespace, &t.service)).collect();
        expected.dedup();
        prop_assert_eq!(services.sum::<usize>(), expected.len());
        Ok(())
    }

    /// Whether a key's home is the one that a ring of those who are there now names.
    fn rings_agree(&self, of: &Target) -> Checked {
        let Target { namespace, service, .. } = of;
        let members =
            self.plains.all.iter().filter(|(t, _)| t.namespace == *namespace && t.service == *service);
        let ring = Ring::new(members.map(|(t, plain)| (t.instance.as_str(), plain.weight())));
        for key in ["a", "b", "c"] {
            let owner = self.registry.owner(self.now, namespace, service, key.as_bytes());
            prop_assert_eq!(owner.as_ref().map(|owner| owner.home.as_str()), ring.owner(key.as_bytes()));
        }
        Ok(())
    }

    /// Whoever has only the changes, or only a snapshot, has the same registry with the same future.
    fn recover(mut self) -> Checked {
        let (replayed, restored) = (self.replayed(), Registry::restore(self.now, self.registry.snapshot()));
        prop_assert_eq!(replayed.snapshot(), self.registry.snapshot());
        prop_assert_eq!(restored.snapshot(), self.registry.snapshot());
        let plains = self.plains.clone();
        let start = self.now;
        for registry in [replayed, restored] {
            (self.registry, self.plains, self.now) = (registry, plains.clone(), start);
            self.plains.restart(self.now);
            for seconds in [1, 4, 7, 3, 20, 60, 200] {
                self.step(Step::Pass(Duration::from_secs(seconds)))?;
            }
        }
        Ok(())
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::NotFound(_) => "unknown",
        Error::StaleLease(_) => "stale",
        Error::LastInstance(_) => "last",
        Error::Changed { .. } => "changed",
        Error::Invalid(_) => "invalid",
        Error::Full { .. } => "full",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_history_agrees_with_the_plain_reference_and_with_its_own_recovery(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let mut pair = Pair {
            now: start(),
            registry: Registry::default(),
            plains: Plains::default(),
            history: Vec::new(),
            backup: Snapshot::default(),
            leases: 0,
        };
        for step in steps {
            pair.step(step)?;
        }
        pair.recover()?;
    }
}
