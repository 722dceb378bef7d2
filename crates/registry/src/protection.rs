//! Self-protection: when so many leases of a zone lapse at once that the network between here and
//! there is the likelier fault, nobody is struck off for it.
//!
//! The rule, for each zone by itself:
//!
//! - It begins when at least [`LAPSED_MIN`] leases have lapsed within their last TTL *and* a third of
//!   the zone's leases are late, which is to say without a heartbeat for half of their TTL. A single
//!   service that crashes in a large zone is not a third of it; a zone that is cut off is all of it.
//!   The few that had lapsed before the fifth did are taken back.
//! - While it lasts, leases of the zone do not lapse. A failed check and a deregistration go through:
//!   they are knowledge, not silence.
//! - It ends when less than a third are late (then whoever is still late has one TTL more), or after
//!   [`PROTECTED_MAX`], which it does not outlast: it begins again only after the zone was well again.
//!
//! **Why late and not lapsed:** heartbeats are spread over time, so that of a zone that is cut off the
//! leases lapse one after the other. Whoever counts only those has lost a third of the zone before he
//! notices.
//!
//! Nothing of this is a change of the registry, nor durable: after a restart every lease begins anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use identity::{Mono, Now};

use crate::{Ask, Command, Registry, Target, roll::Slot, timers::Timer};

/// Fewer lapsed leases are failures of instances, whatever their share.
pub const LAPSED_MIN: usize = 5;
/// One late lease in this many doubts the network.
pub const LATE_SHARE: usize = 3;
/// The longest that a zone is protected at a time.
pub const PROTECTED_MAX: Duration = Duration::from_secs(600);
/// How often a protected zone is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a zone that was found well is believed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A process that did not come to look for this long was stalled, and so may have been the heartbeats.
pub const STALLED: Duration = Duration::from_secs(3);

/// A failure domain; instances that name none share one.
pub type Zone = Option<Box<str>>;

/// Something that the registry noticed and that is no change of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Leases of this zone do not lapse from now on.
    ProtectionBegan {
        /// Which zone.
        zone: Zone,
        /// Leases without a heartbeat for half of their TTL.
        late: usize,
        /// All leases of the zone.
        leases: usize,
    },
    /// They lapse again.
    ProtectionEnded {
        /// Which zone.
        zone: Zone,
        /// Whether it recovered; otherwise the time was over.
        recovered: bool,
    },
    /// Nobody looked for this long, or the clocks disagree by it: every lease has one TTL of grace.
    Grace {
        /// How long.
        gap: Duration,
    },
}

/// What time asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Due {
    /// To be decided like any other command.
    pub commands: Vec<Command>,
    /// To be told.
    pub notices: Vec<Notice>,
}

/// The zones that are, or were lately, in doubt.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    doubted: BTreeMap<Zone, State>,
    /// When the shell looked last.
    looked: Option<Now>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Protected {
        until: Mono,
    },
    /// Protected for as long as may be; not again before the zone was well.
    Spent,
    /// Looked at and found well.
    Well {
        since: Mono,
    },
}

/// How a zone's leases are.
#[derive(Debug, Default)]
struct Health {
    leases: usize,
    late: usize,
    /// Due now, or lapsed within their last TTL.
    lapsed: usize,
    /// Those of them that are down already.
    down: Vec<usize>,
}

impl Health {
    fn is_doubtful(&self) -> bool {
        self.late * LATE_SHARE >= self.leases && self.leases > 0
    }
}

impl Registry {
    /// To be called about once a second: a process that was stopped, or a clock that was set, must not
    /// cost anyone the lease.
    pub fn tick(&mut self, now: Now) -> Option<Notice> {
        let last = self.zones.looked.replace(now)?;
        let (mono, wall) = (now.mono.since(last.mono), now.wall.since(last.wall));
        let back = last.wall.since(now.wall);
        let jump = if back.is_zero() { wall.abs_diff(mono) } else { back + mono };
        let gap = mono.max(jump);
        if gap < STALLED {
            return None;
        }
        for (_, slot) in &self.slots {
            slot.spare_a_ttl(now);
        }
        Some(Notice::Grace { gap })
    }

    /// What time asks for, at most `limit` commands.
    pub fn due(&mut self, now: Now, limit: usize) -> Due {
        let mut due = Due::default();
        let mut lapsing: Vec<usize> = Vec::new();
        let mut later: Vec<(usize, Option<Mono>)> = Vec::new();
        for (_, at) in self.timers.range(..=(now.mono, usize::MAX)) {
            if due.commands.len() + lapsing.len() >= limit {
                break;
            }
            let Some(slot) = self.slots.get(*at) else { continue };
            match slot.next() {
                Some((when, Timer::Lease)) if when <= now.mono => lapsing.push(*at),
                Some((when, _)) if when <= now.mono => {
                    due.commands.push(Command::of_time(slot.target.clone(), Ask::Expire));
                }
                next => later.push((*at, next.map(|(when, _)| when))),
            }
        }
        for (at, when) in later {
            self.queue(at, when);
        }
        if !lapsing.is_empty() || !self.zones.doubted.is_empty() {
            self.doubt(now, &lapsing, &mut due);
        }
        for at in lapsing {
            let Some(slot) = self.slots.get(at) else { continue };
            if self.is_protected(slot.zone()) {
                self.queue(at, Some(now.mono + LOOK));
            } else if slot.next().is_some_and(|(when, _)| when <= now.mono) {
                due.commands.push(Command::of_time(slot.target.clone(), Ask::Expire));
            }
        }
        due
    }

    /// Whether leases of this zone do not lapse at the moment.
    pub fn is_protected(&self, zone: &Zone) -> bool {
        matches!(self.zones.doubted.get(zone), Some(State::Protected { .. }))
    }

    /// Whether an instance is there only because its zone is protected: its lease is overdue.
    pub fn is_spared(&self, now: Now, target: &Target) -> bool {
        let zone = || self.instance(target).map(|instance| &instance.registration.zone);
        !self.zones.doubted.is_empty()
            && zone().is_some_and(|zone| self.is_protected(zone))
            && self.lease_left(now, target).is_some_and(|left| left.is_zero())
    }

    /// The zones whose leases do not lapse at the moment.
    pub fn protected_zones(&self) -> impl Iterator<Item = &Zone> {
        let protected = |state: &State| matches!(state, State::Protected { .. });
        self.zones.doubted.iter().filter(move |(_, state)| protected(state)).map(|(zone, _)| zone)
    }

    /// Looks at the zones of the leases that are about to lapse, and at those that are in doubt.
    fn doubt(&mut self, now: Now, lapsing: &[usize], due: &mut Due) {
        self.zones.doubted.retain(
            |_, state| !matches!(state, State::Well { since } if now.mono.since(*since) >= LOOK_AGAIN),
        );
        let zones = lapsing.iter().filter_map(|at| Some(self.slots.get(*at)?.zone().clone()));
        let zones: BTreeSet<Zone> = zones.chain(self.zones.doubted.keys().cloned()).collect();
        for zone in zones {
            let state = self.zones.doubted.get(&zone).copied();
            if let Some(State::Well { .. }) = state {
                continue;
            }
            let health = self.health(now, &zone);
            match state {
                None if health.lapsed >= LAPSED_MIN && health.is_doubtful() => {
                    let until = now.mono + PROTECTED_MAX;
                    self.zones.doubted.insert(zone.clone(), State::Protected { until });
                    let down = health.down.iter().filter_map(|at| self.slots.get(*at));
                    let back = down.map(|slot| Command::of_time(slot.target.clone(), Ask::Protect));
                    due.commands.extend(back);
                    let Health { late, leases, .. } = health;
                    due.notices.push(Notice::ProtectionBegan { zone, late, leases });
                }
                // Far from doubtful is not doubtful a moment later.
                None if health.late * LATE_SHARE * 2 < health.leases => {
                    self.zones.doubted.insert(zone, State::Well { since: now.mono });
                }
                None => {}
                Some(State::Protected { .. }) if !health.is_doubtful() => {
                    self.zones.doubted.remove(&zone);
                    for (_, slot) in self.slots.iter().filter(|(_, slot)| *slot.zone() == zone) {
                        if slot.timers.lease().is_some_and(|lease| lease <= now.mono) {
                            slot.spare_a_ttl(now);
                        }
                    }
                    due.notices.push(Notice::ProtectionEnded { zone, recovered: true });
                }
                Some(State::Protected { until }) if until <= now.mono => {
                    self.zones.doubted.insert(zone.clone(), State::Spent);
                    due.notices.push(Notice::ProtectionEnded { zone, recovered: false });
                }
                Some(State::Spent) if !health.is_doubtful() => drop(self.zones.doubted.remove(&zone)),
                Some(_) => {}
            }
        }
    }

    /// Walks over everything that there is, touching nothing but the slots themselves: some 10 ms for a
    /// million instances.
    fn health(&self, now: Now, zone: &Zone) -> Health {
        let mut health = Health::default();
        let key = zone_key(zone);
        for (at, slot) in self.slots.iter().filter(|(_, slot)| slot.zone == key) {
            let (Some(lease), Some(ttl)) = (slot.timers.lease(), slot.timers.ttl()) else { continue };
            let is_down = slot.timers.has_lapsed();
            // Who has been down for longer is a matter of the past, and not of this zone's network.
            if is_down && lease + ttl <= now.mono {
                continue;
            }
            health.leases += 1;
            if lease <= now.mono + ttl / 2 {
                health.late += 1;
            }
            if lease <= now.mono {
                health.lapsed += 1;
                if is_down {
                    health.down.push(at);
                }
            }
        }
        health
    }
}

impl Slot {
    fn zone(&self) -> &Zone {
        &self.instance.registration.zone
    }

    fn spare_a_ttl(&self, now: Now) {
        if let Some(ttl) = self.timers.ttl().filter(|_| !self.timers.has_lapsed()) {
            self.timers.spare(now.mono + ttl);
        }
    }
}

/// Tells zones apart without a look at their texts.
pub(crate) fn zone_key(zone: &Zone) -> u64 {
    let mut hasher = DefaultHasher::new();
    zone.hash(&mut hasher);
    hasher.finish()
}
