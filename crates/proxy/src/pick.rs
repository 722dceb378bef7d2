//! Choosing among the endpoints that may be chosen: a function for each algorithm.
//!
//! The default takes the better of two that are drawn at random. Two choices and not the best of all,
//! because the best of all is the same for every proxy at the same moment, and all of them would run
//! there together; two are nearly as even as all, and cost nothing to compare. Draws are weighted,
//! comparisons are not.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use identity::Mono;
use resilience::Algorithm;

use crate::{
    random::Random,
    routing::{Seat, Service},
};

/// Draws until the seats are gone through one by one.
const DRAWS: usize = 4;
/// The second of two is taken where it is better by this: within it, differences are noise, and following
/// noise would send all calls of a quiet service to one endpoint.
const BETTER: f64 = 0.8;

/// The seat that the service's algorithm picks among those that will do.
pub(crate) fn pick<'a>(
    service: &'a Service,
    random: &Random,
    now: Mono,
    will_do: impl Fn(&Seat) -> bool + Copy,
) -> Option<&'a Seat> {
    let seats = service.seats.as_slice();
    match service.policy.load_balancing.algorithm {
        Algorithm::P2c => better_of_two(seats, random, now, will_do),
        Algorithm::LeastRequest => least(seats, random, will_do),
        Algorithm::Random => drawn(seats, random.number() as u32, random, will_do),
        // A call without a key has no owner.
        Algorithm::RoundRobin | Algorithm::Ring | Algorithm::Maglev => in_turn(service, will_do),
    }
}

fn better_of_two<'a>(
    seats: &'a [Seat],
    random: &Random,
    now: Mono,
    will_do: impl Fn(&Seat) -> bool + Copy,
) -> Option<&'a Seat> {
    let numbers = random.number();
    let first = drawn(seats, numbers as u32, random, will_do)?;
    if seats.len() == 1 {
        return Some(first);
    }
    let other = |seat: &Seat| will_do(seat) && !Arc::ptr_eq(&seat.endpoint, &first.endpoint);
    let Some(second) = drawn(seats, (numbers >> 32) as u32, random, other) else { return Some(first) };
    let is_better = second.endpoint.load(now) < first.endpoint.load(now) * BETTER;
    Some(if is_better { second } else { first })
}

/// The fewest calls in flight for its weight; of several one at random.
fn least<'a>(seats: &'a [Seat], random: &Random, will_do: impl Fn(&Seat) -> bool) -> Option<&'a Seat> {
    let (before, from) = seats.split_at(random.number() as usize % seats.len().max(1));
    let load = |seat: &Seat| (f64::from(seat.endpoint.in_flight()) + 1.0) / f64::from(seat.weight);
    let all = from.iter().chain(before).filter(|seat| will_do(seat));
    all.min_by(|a, b| load(a).total_cmp(&load(b)))
}

/// The next one whose turn it is.
fn in_turn(service: &Service, will_do: impl Fn(&Seat) -> bool) -> Option<&Seat> {
    let turns = service.turns.as_slice();
    let turn = service.guard.turn.fetch_add(1, Relaxed) as usize % turns.len().max(1);
    let (before, from) = turns.split_at_checked(turn)?;
    let mut order = from.iter().chain(before).filter_map(|at| service.seats.get(*at as usize));
    order.find(|seat| will_do(seat))
}

/// One at random, by weight.
fn drawn<'a>(
    seats: &'a [Seat],
    number: u32,
    random: &Random,
    will_do: impl Fn(&Seat) -> bool,
) -> Option<&'a Seat> {
    let mut at = draw(seats, number);
    for _ in 1..DRAWS {
        match seats.get(at)? {
            seat if will_do(seat) => return Some(seat),
            _ => at = draw(seats, random.number() as u32),
        }
    }
    let (before, from) = seats.split_at_checked(at)?;
    from.iter().chain(before).find(|seat| will_do(seat))
}

/// The seat on which a point falls that is drawn evenly from the line of all weights.
fn draw(seats: &[Seat], random: u32) -> usize {
    let line = seats.last().map_or(1, |seat| seat.end);
    let point = (u64::from(random) * line) >> 32;
    seats.partition_point(|seat| seat.end <= point)
}
