//! Whether an instance that is being drained is safe to kill.
//!
//! Only proof counts. A subscriber that holds a list of instances may send calls by it for as long as it
//! likes, whether its stream is open or not; so it stands in the way until it has *said* that no call can
//! reach the instance through it any more. A proxy says so with a report: every call that is under way
//! there began by a table of at least the drain's revision, and none of them is at the instance. Since no
//! later table sends calls there either, what was proved once stays true.
//!
//! Everybody else can prove less. A watcher that acknowledges has stopped choosing the instance, but
//! nobody counts its calls; a watcher or poller that does not acknowledge may not even know. They stand
//! in the way while they are known, and the receipt says that it is they who do.

use std::{fmt::Write, time::Duration};

use identity::{Mono, Now};

/// A connected subscriber that has said nothing for this long since the drain is told as unreachable: its
/// connection may be open on this side only.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Subscribers that a conclusion names; the others are a number.
const NAMED: usize = 3;

/// What stands in a conclusion where there are more subscribers than are counted.
pub const UNCOUNTED: &str = "there are more subscribers than are counted, and one of those may send calls";

/// In which way somebody learns of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriberKind {
    /// A data plane.
    Proxy,
    /// A client that follows changes.
    Watch,
    /// A client that asks now and then.
    Poll,
}

impl SubscriberKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SubscriberKind::Proxy => "proxy",
            SubscriberKind::Watch => "watch",
            SubscriberKind::Poll => "poll",
        }
    }
}

/// Somebody who may send calls to an instance, and what is known of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Who.
    pub name: Box<str>,
    /// In which way.
    pub kind: SubscriberKind,
    /// Whether a stream to it is open.
    pub is_connected: bool,
    /// The revision that it acknowledged last; 0 for none.
    pub acknowledged: u64,
    /// Every call that was under way there when it reported last began by this revision or a later one;
    /// 0 where it said nothing of that.
    pub settled: u64,
    /// Calls that were at the instance when it reported last.
    pub in_flight: u32,
    /// When it was heard last; `None` where it was not since this process started.
    pub heard: Option<Now>,
}

/// The drain that subscribers are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Since which revision no new call should go to the instance.
    pub revision: u64,
    /// When the question was asked first.
    pub asked: Mono,
}

/// How a subscriber stands to a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It knows, and none of its calls is at the instance.
    Quiesced,
    /// It knows; calls of it may be at the instance.
    Acked,
    /// It cannot be asked, and may send calls by what it knew.
    Unreachable,
    /// It can be reached and has not said that it knows.
    Unacknowledged,
}

impl Standing {
    /// Each of them, the best first.
    pub const ALL: [Standing; 4] =
        [Standing::Quiesced, Standing::Acked, Standing::Unreachable, Standing::Unacknowledged];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Quiesced => "quiesced",
            Standing::Acked => "acked",
            Standing::Unreachable => "unreachable",
            Standing::Unacknowledged => "unacknowledged",
        }
    }
}

impl Subscriber {
    /// How it stands to a drain at this moment.
    pub fn standing(&self, drained: Drained, now: Mono) -> Standing {
        let is_quiet = self.settled >= drained.revision && self.in_flight == 0;
        let heard = self.heard.map_or(Mono(0), |heard| heard.mono);
        let is_silent = now.since(heard.max(drained.asked)) >= SILENCE;
        match self.kind {
            SubscriberKind::Poll => Standing::Unacknowledged,
            SubscriberKind::Proxy if is_quiet => Standing::Quiesced,
            _ if !self.is_connected => Standing::Unreachable,
            _ if self.acknowledged >= drained.revision => Standing::Acked,
            // What follows without acknowledging is silent by its nature.
            SubscriberKind::Proxy if is_silent => Standing::Unreachable,
            _ => Standing::Unacknowledged,
        }
    }
}

/// Whether the instance is safe to kill, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether no call is at the instance and none can come any more.
    pub safe: bool,
    /// One sentence.
    pub reason: String,
}

/// What follows from where all subscribers stand. `is_complete` says that there are no others.
pub fn conclude<'a>(
    standings: impl IntoIterator<Item = (&'a Subscriber, Standing)>,
    is_complete: bool,
) -> Conclusion {
    let mut total = 0;
    let mut others: Vec<(&Subscriber, Standing)> = Vec::new();
    for (subscriber, standing) in standings {
        total += 1;
        if standing != Standing::Quiesced {
            others.push((subscriber, standing));
        }
    }
    let safe = others.is_empty() && is_complete;
    let reason = match (others.len(), is_complete) {
        (0, false) => UNCOUNTED.to_owned(),
        (0, true) if total == 0 => "nobody subscribes to the service, so no call can come".to_owned(),
        (0, true) => {
            let all = if total == 1 {
                "the only subscriber has".to_owned()
            } else {
                format!("all {total} subscribers have")
            };
            format!("{all} quiesced: no call is under way at the instance, and none will begin")
        }
        (count, _) => {
            let have = if count == 1 { "has" } else { "have" };
            format!("{count} of {total} subscribers {have} not quiesced: {}", described(&others))
        }
    };
    Conclusion { safe, reason }
}

/// The first few by name, and how many of each standing there are besides.
fn described(others: &[(&Subscriber, Standing)]) -> String {
    let mut text = String::new();
    for (subscriber, standing) in others.iter().take(NAMED) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(
            text,
            "{separator}{} {} is {}",
            subscriber.kind.as_str(),
            subscriber.name,
            standing.as_str()
        );
        if subscriber.in_flight > 0 {
            let _ = write!(text, " with {} in flight", subscriber.in_flight);
        }
    }
    for standing in Standing::ALL {
        let count = others.iter().skip(NAMED).filter(|(_, of)| *of == standing).count();
        if count > 0 {
            let _ = write!(text, ", {count} more {}", standing.as_str());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use identity::Wall;
    use proptest::prelude::*;

    use super::*;

    const DRAINED: Drained = Drained { revision: 7, asked: Mono(1_000) };

    fn subscriber(kind: SubscriberKind) -> Subscriber {
        let heard = Some(Now { mono: Mono(1_000), wall: Wall(1_000) });
        let name = "s".into();
        Subscriber { name, kind, is_connected: true, acknowledged: 0, settled: 0, in_flight: 0, heard }
    }

    fn standing(of: &Subscriber) -> Standing {
        of.standing(DRAINED, DRAINED.asked)
    }

    #[test]
    fn a_proxy_quiesces_by_a_report_and_not_by_an_acknowledgement() {
        let proxy = subscriber(SubscriberKind::Proxy);
        assert_eq!(standing(&proxy), Standing::Unacknowledged);
        let proxy = Subscriber { acknowledged: 7, ..proxy };
        assert_eq!(standing(&proxy), Standing::Acked);
        let proxy = Subscriber { settled: 6, ..proxy };
        assert_eq!(standing(&proxy), Standing::Acked);
        let busy = Subscriber { settled: 7, in_flight: 1, ..proxy.clone() };
        assert_eq!(standing(&busy), Standing::Acked);
        assert_eq!(standing(&Subscriber { settled: 7, ..proxy }), Standing::Quiesced);
    }

    #[test]
    fn what_was_proved_stays_true_when_the_connection_goes() {
        let proxy = Subscriber { settled: 8, is_connected: false, ..subscriber(SubscriberKind::Proxy) };
        assert_eq!(standing(&proxy), Standing::Quiesced);
        assert_eq!(standing(&Subscriber { settled: 6, ..proxy }), Standing::Unreachable);
    }

    #[test]
    fn a_connection_that_is_open_on_this_side_only_is_told_as_unreachable() {
        let proxy = subscriber(SubscriberKind::Proxy);
        let later = DRAINED.asked + SILENCE;
        assert_eq!(proxy.standing(DRAINED, Mono(later.0 - 1)), Standing::Unacknowledged);
        assert_eq!(proxy.standing(DRAINED, later), Standing::Unreachable);
        let heard = Some(Now { mono: Mono(2_000), wall: Wall(0) });
        assert_eq!(Subscriber { heard, ..proxy }.standing(DRAINED, later), Standing::Unacknowledged);
    }

    #[test]
    fn who_cannot_count_its_calls_never_quiesces() {
        for kind in [SubscriberKind::Watch, SubscriberKind::Poll] {
            let all = Subscriber { acknowledged: 9, settled: 9, ..subscriber(kind) };
            assert_ne!(standing(&all), Standing::Quiesced, "{kind:?}");
        }
    }

    #[test]
    fn the_sentence_names_the_first_and_counts_the_rest() {
        let many: Vec<Subscriber> = (0..5)
            .map(|n| Subscriber {
                name: format!("p{n}").into(),
                in_flight: n,
                ..subscriber(SubscriberKind::Proxy)
            })
            .collect();
        let standings = many.iter().map(|one| (one, Standing::Acked)).collect::<Vec<_>>();
        let said = conclude(standings, true);
        assert!(!said.safe);
        assert_eq!(
            said.reason,
            "5 of 5 subscribers have not quiesced: proxy p0 is acked, proxy p1 is acked with 1 in flight, \
             proxy p2 is acked with 2 in flight, 2 more acked"
        );
    }

    #[test]
    fn a_drain_holds_since_the_revision_at_which_calls_stopped() {
        use crate::{Ask, Command, Host, LeaseId, Pinned, Registration, Registry, Target};
        let now = Now { mono: Mono(0), wall: Wall(0) };
        let target = Target {
            namespace: "default".parse().unwrap(),
            service: "cart".parse().unwrap(),
            instance: "a".parse().unwrap(),
        };
        let mut registry = Registry::default();
        let registration = Registration::new(Host::parse("10.0.0.1").unwrap(), 80);
        registry.apply(now, Command::register(target.clone(), registration, LeaseId(1), "t")).unwrap();
        let reason = || "r".into();
        let mut ask = |ask| {
            registry.apply(now, Command { target: target.clone(), actor: "t".into(), ask }).unwrap();
            registry.instance(&target).unwrap().condition.drain.as_ref().map(|drain| drain.revision)
        };
        let drain = || Ask::Drain { held: None, force: true, reason: reason() };
        let pin = |status| Ask::Override { status, lasts: None, reason: reason() };
        assert_eq!(ask(drain()), Some(2));
        assert_eq!(ask(drain()), Some(2), "asked again it is the same drain");
        assert_eq!(ask(pin(Pinned::Maintenance)), Some(2), "no call goes there, before and after");
        assert_eq!(ask(pin(Pinned::Up)), Some(2));
        assert_eq!(ask(Ask::Release { reason: reason() }), Some(5), "calls went there up to now");
        assert_eq!(ask(Ask::Undrain { held: None, reason: reason() }), None);
        assert_eq!(ask(drain()), Some(7));
    }

    fn any_subscriber() -> impl Strategy<Value = Subscriber> {
        let kind = prop_oneof![
            8 => Just(SubscriberKind::Proxy),
            1 => Just(SubscriberKind::Watch),
            1 => Just(SubscriberKind::Poll)
        ];
        (kind, any::<bool>(), 0_u64..12, 5_u64..12, 0_u32..2, proptest::option::of(0_u64..10_000_000_000))
            .prop_map(|(kind, is_connected, acknowledged, settled, in_flight, heard)| Subscriber {
                name: "s".into(),
                kind,
                is_connected,
                acknowledged,
                settled,
                in_flight,
                heard: heard.map(|at| Now { mono: Mono(at), wall: Wall(at) }),
            })
    }

    proptest! {
        #[test]
        fn safe_means_that_everyone_is_known_and_has_proved_it(
            all in proptest::collection::vec(any_subscriber(), 0..5),
            is_complete: bool,
            now in 0_u64..20_000_000_000,
        ) {
            let standings: Vec<_> = all.iter().map(|one| (one, one.standing(DRAINED, Mono(now)))).collect();
            let proved = |one: &Subscriber| {
                one.kind == SubscriberKind::Proxy && one.settled >= DRAINED.revision && one.in_flight == 0
            };
            let said = conclude(standings, is_complete);
            prop_assert_eq!(said.safe, is_complete && all.iter().all(proved), "{}", said.reason);
        }
    }
}
