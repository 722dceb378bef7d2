//! Which endpoint takes a call: the better of two that are drawn at random.
//!
//! Two choices and not the best of all, because the best of all is the same for every proxy at the same
//! moment, and all of them would run there together; two are nearly as even as all, and cost nothing to
//! compare. Draws are weighted, comparisons are not.
//!
//! One that warms up is drawn like the others, and then takes the call with the probability of its ramp:
//! its share is the ramp's part of what it will be. Where nothing else is up there is nothing to spare
//! it for, and it takes all.

use std::{sync::Arc, time::Duration};

use identity::Mono;

use crate::{
    endpoint::{Endpoint, Occupied},
    random::Random,
    refusal::{Reason, Refusal},
    routing::{Seat, Service},
};

/// Takes a place at an endpoint that has a seat; at another one than `tried`, if there is another.
pub(crate) fn choose(
    service: &Service,
    tried: Option<&Arc<Endpoint>>,
    random: &Random,
    now: Mono,
    most: u32,
) -> Result<Occupied, Refusal> {
    let seats = service.seats.as_slice();
    if seats.is_empty() {
        let known = service.endpoints.len();
        let detail = format!("none of the {known} instances of service {:?} is up", service.name.as_str());
        return Err(Refusal::new(Reason::NoEndpoint, detail));
    }
    let up = &seats[..service.up];
    let mut chosen = better_of_two(seats, tried, random, now);
    let ramp = chosen.and_then(|seat| seat.ramp);
    if ramp.is_some_and(|ramp| !up.is_empty() && random.ratio() >= ramp.at(now)) {
        chosen = better_of_two(up, tried, random, now);
    }
    if let Some(occupied) = chosen.and_then(|seat| seat.endpoint.occupy(most)) {
        return Ok(occupied);
    }
    // It was full. Any other will do before a call is refused.
    match seats.iter().find_map(|seat| seat.endpoint.occupy(most)) {
        Some(occupied) => Ok(occupied),
        None => Err(Refusal::new(
            Reason::TooManyCalls,
            format!("each instance of service {:?} has {most} calls in flight", service.name.as_str()),
        )
        .retry_after(Duration::from_secs(1))),
    }
}

fn better_of_two<'a>(
    seats: &'a [Seat],
    tried: Option<&Arc<Endpoint>>,
    random: &Random,
    now: Mono,
) -> Option<&'a Seat> {
    let was_tried = |endpoint: &Arc<Endpoint>| tried.is_some_and(|tried| Arc::ptr_eq(tried, endpoint));
    match seats {
        [] => None,
        [only] => Some(only),
        // With so few, drawing would only find them again.
        [a, b] if was_tried(&a.endpoint) => Some(b),
        [a, b] if was_tried(&b.endpoint) => Some(a),
        [..] => {
            let numbers = random.number();
            let first = draw(seats, numbers as u32);
            let second = draw(seats, (numbers >> 32) as u32);
            // Drawn twice, or tried before: its neighbour instead.
            let next = |at: usize| (at + 1) % seats.len();
            let first = if was_tried(&seats[first].endpoint) { next(first) } else { first };
            let second = if second == first { next(first) } else { second };
            let (first, second) = (&seats[first], &seats[second]);
            let is_better = first.endpoint.load(now) <= second.endpoint.load(now);
            if was_tried(&second.endpoint) || is_better { Some(first) } else { Some(second) }
        }
    }
}

/// The seat on which a point falls that is drawn evenly from the line of all weights.
fn draw(seats: &[Seat], random: u32) -> usize {
    let line = seats.last().map_or(1, |seat| seat.end);
    let point = (u64::from(random) * line) >> 32;
    seats.partition_point(|seat| seat.end <= point)
}

#[cfg(test)]
mod tests {
    use registry::{Host, Status};
    use wire::native::channel::{self, ServiceUpdate, Update, WarmUp};

    use super::*;
    use crate::{
        clock::Clock,
        meter::Book,
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
            policy: resilience::CallPolicy::default(),
            book: Arc::new(Book::new(100)),
            random: Arc::new(Random::new(1)),
            clock: Clock::start(),
            bell: Arc::default(),
        };
        let update = Update { revision: 1, snapshot: true, services: vec![update], policies: Vec::new() };
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
            let occupied = choose(service, tried, &random, Mono(1), 10).unwrap();
            let taken = |endpoint| Arc::ptr_eq(endpoint, occupied.endpoint());
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
