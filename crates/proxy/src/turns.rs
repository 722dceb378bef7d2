//! One endpoint after the other: the order in which seats take their turns, by weight.
//!
//! Worked out once for each table. An endpoint with twice the weight has two turns, and they are spread
//! over the round rather than following each other.

use crate::routing::Seat;

/// The most turns in a round. Weights that want more are rounded; each turn costs four bytes.
const TURNS: u64 = 65_536;

/// The places of seats, in the order of their turns.
pub(crate) fn of(seats: &[Seat]) -> Vec<u32> {
    let divisor = seats.iter().fold(0, |divisor, seat| gcd(divisor, seat.weight)).max(1);
    let total: u64 = seats.iter().map(|seat| u64::from(seat.weight / divisor)).sum();
    let scale = (TURNS as f64 / total as f64).min(1.0);
    let turns_of = |seat: &Seat| ((f64::from(seat.weight / divisor) * scale) as u32).max(1);
    let mut turns: Vec<(f64, u32)> = Vec::new();
    for (at, seat) in (0_u32..).zip(seats) {
        let count = turns_of(seat);
        turns.extend((0..count).map(|turn| ((f64::from(turn) + 0.5) / f64::from(count), at)));
    }
    turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    turns.into_iter().map(|(_, at)| at).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
