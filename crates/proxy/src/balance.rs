//! Which endpoint takes a call.
//!
//! The algorithm picks ([`crate::pick`]), or the call's key does ([`crate::owners`]); here is what holds
//! for all of them: who is passed over, who is tried, and what becomes of one that is full.
//!
//! One that warms up is picked like the others, and then takes the call with the probability of its ramp:
//! its share is the ramp's part of what it will be. Where nothing else is up there is nothing to spare
//! it for, and it takes all. Where keys have owners, it takes those keys that lie below its ramp.
//!
//! Endpoints that are out (see [`crate::outlier`]) are passed over, unless too few are left without them.
//! When one of them is due to be tried, the next call that comes is its probe: were it left to chance,
//! the failures that it is remembered for would keep calls away from it for long.

use std::{sync::Arc, time::Duration};

use identity::Now;
use resilience::{OutlierPolicy, Transition};

use crate::{
    endpoint::{Endpoint, Occupied},
    owners::{Key, Owners},
    pick::pick,
    random::Random,
    refusal::{Reason, Refusal},
    routing::{Seat, Service},
    watched::CallPermit,
};

/// A place at an endpoint for one attempt.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) occupied: Occupied,
    /// The endpoint's own permit, where its attempts are watched.
    pub(crate) permit: Option<CallPermit>,
    /// What asking for it made of the endpoint's breaker.
    pub(crate) transition: Option<Box<Transition>>,
    /// Whose key it is, where keys have owners.
    pub(crate) home: Option<Home>,
    /// When it was chosen.
    pub(crate) at: Now,
}

/// The owner of a call's key.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Why it does not have the call; empty where it does.
    pub(crate) reason: &'static str,
}

/// What all choices of one moment have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    pub(crate) random: &'a Random,
    pub(crate) now: Now,
    /// Calls that one endpoint takes at once.
    pub(crate) most: u32,
    /// Where the call's key lies, where it has one that matters.
    pub(crate) key: Option<Key>,
}

/// Takes a place at an endpoint that has a seat; at another one than `tried`, if there is another.
pub(crate) fn choose(
    service: &Service,
    tried: Option<&Arc<Endpoint>>,
    draw: Draw<'_>,
) -> Result<Chosen, Refusal> {
    if service.seats.is_empty() {
        let known = service.endpoints.len();
        let detail = format!("none of the {known} instances of service {:?} is up", service.name.as_str());
        return Err(Refusal::new(Reason::NoEndpoint, detail));
    }
    let field = Field::new(service, tried, draw);
    let chosen = match service.owners.as_ref().zip(draw.key) {
        Some((owners, key)) => field.owner(owners, key),
        None => field.probe().or_else(|| field.pick().and_then(|seat| field.take(seat))),
    };
    // It was full, or has just gone out. Any other will do before a call is refused.
    let chosen = chosen.or_else(|| service.seats.iter().find_map(|seat| field.take(seat)));
    chosen.ok_or_else(|| field.refusal())
}

/// The endpoints of a service, as one call finds them.
struct Field<'a> {
    service: &'a Service,
    tried: Option<&'a Arc<Endpoint>>,
    draw: Draw<'a>,
    /// What endpoints are taken out by, where some are and their siblings are enough.
    passing_over: Option<&'a OutlierPolicy>,
}

impl<'a> Field<'a> {
    fn new(service: &'a Service, tried: Option<&'a Arc<Endpoint>>, draw: Draw<'a>) -> Self {
        let policy = service.policy.outlier_detection.as_ref();
        // With nobody out, which is nearly always, this is one load.
        let passing_over = policy.filter(|_| service.guard.ejections.count() > 0).filter(|policy| {
            let out = service.seats.iter().filter(|seat| seat.endpoint.outlier.is_out()).count();
            let count = |seats: usize| u32::try_from(seats).unwrap_or(u32::MAX);
            !policy.panics(count(service.seats.len() - out), count(service.seats.len()))
        });
        Self { service, tried, draw, passing_over }
    }

    /// An endpoint that is out and is due to be tried.
    fn probe(&self) -> Option<Chosen> {
        self.passing_over?;
        self.service.seats.iter().find_map(|seat| self.try_out(seat))
    }

    /// A place as a probe at an endpoint that is out, if it is due. A call that was tried elsewhere before
    /// is not risked again.
    fn try_out(&self, seat: &Seat) -> Option<Chosen> {
        let policy = self.passing_over.filter(|_| self.tried.is_none())?;
        if !seat.endpoint.outlier.is_due(policy, self.draw.now) {
            return None;
        }
        let (permit, transition) = seat.endpoint.outlier.permit(policy, self.draw.now).ok()?;
        let occupied = seat.endpoint.occupy(self.draw.most)?;
        Some(Chosen { occupied, permit: Some(permit), transition, home: None, at: self.draw.now })
    }

    /// The endpoint that the call should go to.
    fn pick(&self) -> Option<&'a Seat> {
        let Draw { random, now, .. } = self.draw;
        let among = |will_do: &dyn Fn(&Seat) -> bool| {
            let fresh = |seat: &Seat| will_do(seat) && !self.was_tried(seat);
            let fresh = pick(self.service, random, now.mono, fresh);
            // Where all the others are out, better the same again than none.
            fresh.or_else(|| self.tried.and_then(|_| pick(self.service, random, now.mono, will_do)))
        };
        let chosen = among(&|seat| !self.is_passed_over(seat))?;
        let is_spared =
            |ramp: crate::warm_up::Ramp| self.service.up > 0 && random.ratio() >= ramp.at(now.mono);
        if chosen.ramp.is_some_and(is_spared) {
            return among(&|seat| seat.ramp.is_none() && !self.is_passed_over(seat)).or(Some(chosen));
        }
        Some(chosen)
    }

    /// A place at the owner of the call's key, or on the way from there.
    fn owner(&self, owners: &Owners, key: Key) -> Option<Chosen> {
        let takes = |seat: &&Seat| !self.is_passed_over(seat) && !self.warms_up_past(seat, key);
        let room = owners.bound.map(|bound| Room::new(bound, self.service.seats.iter().filter(takes)));
        let (mut home, mut warming) = (None, None);
        let mut reason = "";
        for node in owners.walk(key) {
            let is_home = home.is_none();
            let endpoint = home.get_or_insert(&node.endpoint);
            let seat = node.seat.and_then(|at| self.service.seats.get(at));
            let chosen = match (self.why_not(seat, key, room.as_ref()), seat) {
                (None, Some(seat)) => self.take(seat).ok_or("full"),
                (Some("ejected"), Some(seat)) => self.try_out(seat).ok_or("ejected"),
                (why, _) => Err(why.unwrap_or("not_up")),
            };
            match chosen {
                Ok(chosen) => {
                    let home = Some(Home { endpoint: Arc::clone(endpoint), reason });
                    return Some(Chosen { home, ..chosen });
                }
                Err(why) if is_home => reason = why,
                Err(_) => {}
            }
            if warming.is_none() {
                warming = seat.filter(|seat| seat.ramp.is_some() && !self.is_passed_over(seat));
            }
        }
        // Nobody else is there: one that warms up is spared nothing.
        let chosen = self.take(warming?)?;
        let home = home.map(|endpoint| Home { endpoint: endpoint.clone(), reason });
        Some(Chosen { home, ..chosen })
    }

    /// Why an endpoint does not take this key's call; `None` where it does.
    fn why_not(&self, seat: Option<&Seat>, key: Key, room: Option<&Room>) -> Option<&'static str> {
        let Some(seat) = seat else { return Some("not_up") };
        if self.is_passed_over(seat) {
            Some("ejected")
        } else if self.was_tried(seat) {
            Some("tried_before")
        } else if self.warms_up_past(seat, key) {
            Some("warming_up")
        } else {
            room.filter(|room| !room.has(seat)).map(|_| "at_its_bound")
        }
    }

    /// Whether it warms up, and does not take this key yet.
    fn warms_up_past(&self, seat: &Seat, key: Key) -> bool {
        seat.ramp.is_some_and(|ramp| key.fraction >= ramp.at(self.draw.now.mono))
    }

    /// Takes a place there; `None` where it is full, or passed over.
    fn take(&self, seat: &Seat) -> Option<Chosen> {
        if self.is_passed_over(seat) {
            return None;
        }
        let occupied = seat.endpoint.occupy(self.draw.most)?;
        let policy = self.service.policy.outlier_detection.as_ref();
        let asked = policy.map(|policy| seat.endpoint.outlier.permit(policy, self.draw.now));
        let (permit, transition) = match asked {
            Some(Ok((permit, transition))) => (Some(permit), transition),
            // Its breaker is open and it may not go, or everybody is needed.
            Some(Err(refused)) => (None, refused.transition),
            None => (None, None),
        };
        Some(Chosen { occupied, permit, transition, home: None, at: self.draw.now })
    }

    fn is_passed_over(&self, seat: &Seat) -> bool {
        seat.endpoint.is_doubted() || (self.passing_over.is_some() && seat.endpoint.outlier.is_out())
    }

    fn was_tried(&self, seat: &Seat) -> bool {
        self.tried.is_some_and(|tried| Arc::ptr_eq(tried, &seat.endpoint))
    }

    /// Why nobody takes the call.
    fn refusal(&self) -> Refusal {
        let (name, most) = (self.service.name.as_str(), self.draw.most);
        if self.service.seats.iter().all(|seat| seat.endpoint.is_doubted()) {
            let detail = format!(
                "none of the instances of service {name:?} that this proxy knew before its restart answers, \
                 and the control plane is away"
            );
            return Refusal::new(Reason::NoEndpoint, detail).retry_after(Duration::from_secs(1));
        }
        if self.service.seats.iter().all(|seat| self.is_passed_over(seat)) {
            let detail =
                format!("each instance of service {name:?} that is up has been ejected for its failures");
            return Refusal::new(Reason::NoEndpoint, detail).retry_after(Duration::from_secs(1));
        }
        let detail = format!("each instance of service {name:?} has {most} calls in flight");
        Refusal::new(Reason::TooManyCalls, detail).retry_after(Duration::from_secs(1))
    }
}

/// How many calls each endpoint may have, where their loads are bounded. It knows the calls of this proxy
/// and no others.
struct Room {
    bound: hash_ring::Bound,
    calls: u64,
    weights: u64,
}

impl Room {
    /// The room at these seats, which are those that may be chosen.
    fn new<'a>(bound: hash_ring::Bound, seats: impl Iterator<Item = &'a Seat>) -> Self {
        let all = seats.map(|seat| (u64::from(seat.endpoint.in_flight()), u64::from(seat.weight)));
        let (calls, weights) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Self { bound, calls, weights }
    }

    fn has(&self, seat: &Seat) -> bool {
        self.bound.admits(seat.endpoint.in_flight(), seat.weight, self.calls, self.weights)
    }
}

#[cfg(test)]
mod tests {
    use identity::{Mono, Wall};
    use registry::{Host, Status};
    use wire::native::channel::{self, ServiceUpdate, Update, WarmUp};

    use super::*;
    use crate::{
        clock::Clock,
        meter::Book,
        policy::Policy,
        routing::{Builder, Routing, Step},
        settings::Limits,
    };

    /// A service with instances of these statuses; one that starts has warmed up by so many percent.
    fn service(instances: &[(Status, Option<u64>)]) -> Arc<Service> {
        let over = Duration::from_secs(3_600);
        let endpoint = |(number, (status, percent)): (usize, &(Status, Option<u64>))| channel::Endpoint {
            instance: format!("cart-{number}").parse().unwrap(),
            host: Host::parse("10.0.0.1").unwrap(),
            port: 80 + number as u16,
            status: *status,
            weight: 100,
            zone: None,
            version: None,
            warm_up: percent.map(|percent| WarmUp { elapsed: over * percent as u32 / 100, over }),
        };
        let update = ServiceUpdate {
            namespace: Default::default(),
            service: "cart".parse().unwrap(),
            endpoints: instances.iter().enumerate().map(endpoint).collect(),
        };
        let builder = Builder {
            limits: Limits::default(),
            caller: "gateway".parse().unwrap(),
            policy: Arc::new(Policy::new(0, resilience::CallPolicy::default())),
            book: Arc::new(Book::new(100)),
            random: Arc::new(Random::new(1)),
            clock: Clock::start(),
            bell: Arc::default(),
        };
        let update = Update {
            revision: 1,
            snapshot: true,
            services: vec![update],
            policies: vec![],
            overrides: vec![],
            taps: None,
        };
        let Step::Next(table) = Routing::default().after(&update, &builder) else {
            panic!("a snapshot makes a table")
        };
        table.find("default", "cart").unwrap().clone()
    }

    /// How many of 20,000 calls each instance gets, where none takes long.
    fn calls(service: &Service, tried: Option<usize>) -> Vec<usize> {
        let random = Random::new(7);
        let mut calls = vec![0; service.endpoints.len()];
        let tried = tried.map(|tried| &service.endpoints[tried]);
        for _ in 0..20_000 {
            let draw =
                Draw { random: &random, now: Now { mono: Mono(1), wall: Wall(1) }, most: 10, key: None };
            let chosen = choose(service, tried, draw).unwrap();
            let taken = |endpoint| Arc::ptr_eq(endpoint, chosen.occupied.endpoint());
            calls[service.endpoints.iter().position(taken).unwrap()] += 1;
        }
        calls
    }

    #[test]
    fn one_that_warms_up_takes_its_ramps_part_of_its_share() {
        for percent in [0, 10, 50, 100] {
            let warming = (Status::Starting, Some(percent));
            let service = service(&[(Status::Up, None), warming, (Status::Up, None), (Status::Up, None)]);
            let calls = calls(&service, None);
            let expected = 20_000 / 4 * percent as usize / 100;
            assert!(calls[1].abs_diff(expected) <= 200, "at {percent} % {calls:?} and not {expected}");
            assert!(calls[0].abs_diff(calls[2]) <= 500, "{calls:?}");
        }
    }

    #[test]
    fn a_start_without_a_ramp_takes_none() {
        let service = service(&[(Status::Starting, None), (Status::Up, None), (Status::Up, None)]);
        assert_eq!(calls(&service, None)[0], 0);
        assert_eq!(calls(&service, Some(1)), [0, 0, 20_000]);
    }

    #[test]
    fn where_none_is_up_those_that_warm_up_take_all() {
        let service = service(&[(Status::Starting, Some(1)), (Status::Starting, None), (Status::Down, None)]);
        assert_eq!(calls(&service, None), [20_000, 0, 0]);
    }

    #[test]
    fn another_try_spares_one_that_warms_up_as_well() {
        let service = service(&[(Status::Up, None), (Status::Starting, Some(10))]);
        let calls = calls(&service, Some(0));
        assert!(calls[1].abs_diff(2_000) <= 200, "{calls:?}");
    }
}
