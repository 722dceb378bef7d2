//! Which endpoint takes a call: the better of two that are drawn at random.
//!
//! Two choices and not the best of all, because the best of all is the same for every proxy at the same
//! moment, and all of them would run there together; two are nearly as even as all, and cost nothing to
//! compare. Draws are weighted, comparisons are not.

use std::{sync::Arc, time::Duration};

use identity::Mono;

use crate::{
    endpoint::{Endpoint, Occupied},
    random::Random,
    refusal::{Reason, Refusal},
    routing::{Seat, Service},
};

/// Takes a place at an endpoint that is up; at another one than `tried`, if there is another.
pub(crate) fn choose(
    service: &Service,
    tried: Option<&Arc<Endpoint>>,
    random: &Random,
    now: Mono,
    most: u32,
) -> Result<Occupied, Refusal> {
    let seats = &service.up;
    let refused = |reason, detail: String| Err(Refusal::new(reason, detail));
    if seats.is_empty() {
        let known = service.endpoints.len();
        return refused(
            Reason::NoEndpoint,
            format!("none of the {known} instances of service {:?} is up", service.name.as_str()),
        );
    }
    if let Some(occupied) = better_of_two(seats, tried, random, now).and_then(|one| one.occupy(most)) {
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
) -> Option<&'a Arc<Endpoint>> {
    let was_tried = |endpoint: &Arc<Endpoint>| tried.is_some_and(|tried| Arc::ptr_eq(tried, endpoint));
    match seats {
        [] => None,
        [only] => Some(&only.endpoint),
        // With so few, drawing would only find them again.
        [a, b] if was_tried(&a.endpoint) => Some(&b.endpoint),
        [a, b] if was_tried(&b.endpoint) => Some(&a.endpoint),
        [..] => {
            let numbers = random.number();
            let first = draw(seats, numbers as u32);
            let second = draw(seats, (numbers >> 32) as u32);
            // Drawn twice, or tried before: its neighbour instead.
            let next = |at: usize| (at + 1) % seats.len();
            let first = if was_tried(&seats[first].endpoint) { next(first) } else { first };
            let second = if second == first { next(first) } else { second };
            let (first, second) = (&seats[first].endpoint, &seats[second].endpoint);
            if was_tried(second) || first.load(now) <= second.load(now) { Some(first) } else { Some(second) }
        }
    }
}

/// The seat on which a point falls that is drawn evenly from the line of all weights.
fn draw(seats: &[Seat], random: u32) -> usize {
    let line = seats.last().map_or(1, |seat| seat.end);
    let point = (u64::from(random) * line) >> 32;
    seats.partition_point(|seat| seat.end <= point)
}
