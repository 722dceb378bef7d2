//! Where a node's points are: our own rule, and those of the systems that people come from.
//!
//! Each scheme answers three questions: where a key is, how many points each node has, and where they are.
//! Two of them have only 32 bits for a position. Theirs are the upper half of ours, which keeps every
//! comparison and every share of the circle, so that one search serves all.

use std::ops::Range;

use md5::{Digest, Md5};
use twox_hash::XxHash64;

use crate::{POINTS_MAX, POINTS_PER_100, nodes::Nodes};

/// How a [`Ring`](crate::Ring) places keys and nodes.
///
/// The first and nginx's give a node points that do not depend on who else is there. The originals of the
/// other two share out a number of points by weight, so that one node's coming can add or take points of
/// the others, and then a few keys move between nodes that were there before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// XXH64, seed 0, of `{node}_{i}`; [`POINTS_PER_100`] points for a weight of 100, at least one.
    #[default]
    Bellwether,
    /// libketama: the four words of MD5 of `{node}-{i}`; 40 digests a node on average, shared out by weight
    /// in the original's 32-bit floating point. A key is at the first word of its MD5. A very light node
    /// can come away without a point. Names are `address:port`, weights megabytes of memory.
    Libketama,
    /// nginx's `hash … consistent`: a chain of CRC-32 over host, a zero byte, port and the previous point;
    /// 160 points for each unit of weight, as in `server 10.0.0.1:80 weight=2`. A key is at its CRC-32.
    Nginx,
    /// Envoy's and gRPC's `ring_hash`: XXH64, seed 0, of `{node}_{i}`; as many points in all as the sizes
    /// say, shared out by weight. Envoy deals them in the order of its configuration and gRPC-Go in that of
    /// names, as we do; with different weights the former can give a node one point more or less.
    Envoy(RingSize),
}

/// How many points an [`Envoy`](Scheme::Envoy) ring has in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSize {
    min: u32,
    max: u32,
}

/// A [`RingSize`] that Envoy would refuse as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizeError {
    min: u32,
    max: u32,
}

impl RingSize {
    /// The largest ring that Envoy allows.
    pub const LIMIT: u32 = 8 * 1024 * 1024;

    /// At least `min` points, or the next number that gives the lightest node a whole one, but not much
    /// more than `max`. Envoy's names for them are `minimum_ring_size` and `maximum_ring_size`.
    pub fn new(min: u32, max: u32) -> Result<Self, RingSizeError> {
        if min > max || max > Self::LIMIT { Err(RingSizeError { min, max }) } else { Ok(Self { min, max }) }
    }
}

impl Default for RingSize {
    /// Envoy's defaults: 1,024 to 8,388,608. gRPC's differ in the maximum, which is 4,096 there.
    fn default() -> Self {
        Self { min: 1_024, max: Self::LIMIT }
    }
}

impl std::fmt::Display for RingSizeError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RingSizeError { min, max } = self;
        let limit = RingSize::LIMIT;
        write!(out, "ring size {min} to {max}: give a minimum up to the maximum, and a maximum up to {limit}")
    }
}

impl std::error::Error for RingSizeError {}

impl Scheme {
    /// Where a key is on the circle.
    pub fn position(self, key: &[u8]) -> u64 {
        match self {
            Scheme::Bellwether | Scheme::Envoy(_) => XxHash64::oneshot(0, key),
            Scheme::Libketama => upper(words(key)[0]),
            Scheme::Nginx => upper(crc32fast::hash(key)),
        }
    }

    /// Whether both place a key alike, so that rings of both can be compared.
    pub(crate) fn hashes_like(self, other: Self) -> bool {
        use Scheme::{Bellwether, Envoy, Libketama, Nginx};
        match self {
            Bellwether | Envoy(_) => matches!(other, Bellwether | Envoy(_)),
            Libketama => other == Libketama,
            Nginx => other == Nginx,
        }
    }

    /// How many points each node has, in the order of the nodes.
    pub(crate) fn counts(self, nodes: &Nodes) -> Vec<u32> {
        let bounded = |count: u64| count.min(POINTS_MAX.into()) as u32;
        let of_weight = |(_, weight): (&str, u32)| u64::from(weight);
        let mut counts: Vec<u32> = match self {
            Scheme::Bellwether => {
                let count = |weight: u64| bounded((weight * u64::from(POINTS_PER_100) / 100).max(1));
                nodes.iter().map(of_weight).map(count).collect()
            }
            Scheme::Nginx => nodes.iter().map(of_weight).map(|weight| bounded(weight * 160)).collect(),
            Scheme::Libketama => {
                let total: u64 = nodes.iter().map(of_weight).sum();
                let (total, servers) = (total as f32, f64::from(nodes.len() as f32));
                let digests = |weight: u64| {
                    let part = weight as f32 / total;
                    // The original multiplies in double precision and rounds down in single.
                    (f64::from(part) * 40.0 * servers) as f32
                };
                nodes.iter().map(of_weight).map(|weight| bounded(digests(weight) as u64 * 4)).collect()
            }
            Scheme::Envoy(size) => dealt(nodes, size),
        };
        thin(&mut counts, POINTS_MAX);
        counts
    }

    /// The position of a node's point 0.
    pub(crate) fn first_point(self, name: &str) -> u64 {
        let mut first = 0;
        self.points(name, 0..1, |position| first = position);
        first
    }

    /// The positions of some of a node's points, by their numbers.
    pub(crate) fn points(self, name: &str, numbers: Range<u32>, mut place: impl FnMut(u64)) {
        if numbers.is_empty() {
            return;
        }
        match self {
            Scheme::Bellwether | Scheme::Envoy(_) => {
                let mut node = Numbered::new(name, b'_', numbers.start);
                for _ in numbers {
                    place(XxHash64::oneshot(0, &node.text));
                    node.count_up();
                }
            }
            Scheme::Libketama => {
                let digests = numbers.start / 4..numbers.end.div_ceil(4);
                let mut node = Numbered::new(name, b'-', digests.start);
                for digest in digests {
                    let numbered = (digest * 4..).zip(words(&node.text));
                    numbered.filter(|(n, _)| numbers.contains(n)).for_each(|(_, word)| place(upper(word)));
                    node.count_up();
                }
            }
            Scheme::Nginx => {
                let (host, port) = host_and_port(name);
                let mut base = crc32fast::Hasher::new();
                [host.as_bytes(), b"\0", port.as_bytes()].iter().for_each(|part| base.update(part));
                let mut point = 0_u32;
                for number in 0..numbers.end {
                    let mut chained = base.clone();
                    chained.update(&point.to_le_bytes());
                    point = chained.finalize();
                    if number >= numbers.start {
                        place(upper(point));
                    }
                }
            }
        }
    }
}

/// A position of 32 bits among those of 64.
fn upper(word: u32) -> u64 {
    u64::from(word) << 32
}

/// The four words of a text's MD5, as libketama reads them.
fn words(text: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(text).into();
    let (words, _) = digest.as_chunks::<4>();
    [0, 1, 2, 3].map(|word| u32::from_le_bytes(words[word]))
}

/// A server's name as nginx takes it apart: a port is what follows the last colon and is all digits, and
/// the name of a Unix socket is all host.
fn host_and_port(name: &str) -> (&str, &str) {
    if let Some((scheme, path)) = name.split_at_checked(5)
        && scheme.eq_ignore_ascii_case("unix:")
    {
        return (path, "");
    }
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

/// Envoy's way: points are dealt so that the lightest node gets a whole number of them, and fractions are
/// carried on from node to node.
fn dealt(nodes: &Nodes, size: RingSize) -> Vec<u32> {
    let total: f64 = nodes.iter().map(|(_, weight)| f64::from(weight)).sum();
    let lightest = nodes.iter().map(|(_, weight)| f64::from(weight) / total).fold(1.0, f64::min);
    let wanted = (lightest * f64::from(size.min)).ceil() / lightest;
    let scale = wanted.min(f64::from(size.max));
    let (mut given, mut due) = (0.0, 0.0);
    let deal = |(_, weight): (&str, u32)| {
        due += scale * (f64::from(weight) / total);
        let before = given;
        while given < due {
            given += 1.0;
        }
        (given - before) as u32
    };
    nodes.iter().map(deal).collect()
}

/// Halves all counts, never below one, until they are at most `max` together or all ones.
fn thin(counts: &mut [u32], max: u32) {
    let halved = |count: u32, times: u32| if count == 0 { 0 } else { (count >> times).max(1) };
    let sum = |times| counts.iter().map(|count| u64::from(halved(*count, times))).sum::<u64>();
    let times = (0..31).find(|times| sum(*times) <= max.into()).unwrap_or(31);
    counts.iter_mut().for_each(|count| *count = halved(*count, times));
}

/// A name with a number behind it, in decimal, which is counted up in place: formatting each anew takes longer
/// than hashing it.
struct Numbered {
    text: Vec<u8>,
    /// Where the number begins.
    digits: usize,
}

impl Numbered {
    fn new(name: &str, separator: u8, number: u32) -> Self {
        let mut text = Vec::with_capacity(name.len() + 11);
        text.extend_from_slice(name.as_bytes());
        text.push(separator);
        let digits = text.len();
        text.extend_from_slice(number.to_string().as_bytes());
        Self { text, digits }
    }

    fn count_up(&mut self) {
        for digit in self.text[self.digits..].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.text.insert(self.digits, b'1');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(scheme: Scheme, weights: &[u32]) -> Vec<u32> {
        let names = (0_u32..).map(|i| format!("{i:03}"));
        scheme.counts(&Nodes::new(names.zip(weights.iter().copied())))
    }

    #[test]
    fn our_points_are_160_for_a_weight_of_100_and_at_least_one() {
        assert_eq!(counts(Scheme::Bellwether, &[100, 1, 50, 10_000]), [160, 1, 80, 16_000]);
    }

    #[test]
    fn the_heaviest_weight_there_is_stays_within_the_limit() {
        assert_eq!(counts(Scheme::Bellwether, &[u32::MAX]), [POINTS_MAX]);
        assert_eq!(counts(Scheme::Nginx, &[u32::MAX, u32::MAX]), [POINTS_MAX / 2, POINTS_MAX / 2]);
    }

    #[test]
    fn too_many_points_are_halved_and_never_below_one() {
        let mut counts = [16, 3, 1, 0];
        thin(&mut counts, 20);
        assert_eq!(counts, [16, 3, 1, 0], "exactly the limit");
        thin(&mut counts, 10);
        assert_eq!(counts, [8, 1, 1, 0]);
        thin(&mut counts, 1);
        assert_eq!(counts, [1, 1, 1, 0]);
    }

    #[test]
    fn envoy_gives_the_lightest_node_a_whole_number_of_points() {
        let of = |min, max, weights: &[u32]| counts(Scheme::Envoy(RingSize::new(min, max).unwrap()), weights);
        assert_eq!(of(12, 1_024, &[1; 6]), [2; 6]);
        assert_eq!(of(1_024, 8_388_608, &[1; 3]).iter().sum::<u32>(), 1_026, "342 each");
        assert_eq!(of(1, 1_024, &[1, 2, 5]), [1, 2, 5]);
        assert_eq!(of(3, 3, &[1; 6]).iter().sum::<u32>(), 3, "the maximum wins, and some have none");
        assert_eq!(of(0, 0, &[1; 6]), [0; 6]);
    }

    #[test]
    fn ring_sizes_that_envoy_refuses_are_refused_with_the_rule() {
        assert!(RingSize::new(2, 1).is_err());
        let error = RingSize::new(1, RingSize::LIMIT + 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "ring size 1 to 8388609: give a minimum up to the maximum, and a maximum up to 8388608"
        );
    }

    #[test]
    fn nginx_takes_a_port_only_where_digits_follow_the_last_colon() {
        assert_eq!(host_and_port("10.0.0.1:80"), ("10.0.0.1", "80"));
        assert_eq!(host_and_port("[::1]:80"), ("[::1]", "80"));
        assert_eq!(host_and_port("[::1]"), ("[::1]", ""));
        assert_eq!(host_and_port("a.example"), ("a.example", ""));
        assert_eq!(host_and_port("unix:/run/a:1"), ("/run/a:1", ""));
        assert_eq!(host_and_port("éé:é"), ("éé:é", ""));
    }

    #[test]
    fn points_by_number_are_the_same_whichever_of_them_are_asked_for() {
        for scheme in [Scheme::Bellwether, Scheme::Libketama, Scheme::Nginx] {
            let points = |numbers| {
                let mut points = Vec::new();
                scheme.points("10.0.0.1:80", numbers, |point| points.push(point));
                points
            };
            let all = points(0..23);
            assert_eq!(all.len(), 23);
            assert_eq!([points(0..5), points(5..6), points(6..23)].concat(), all, "{scheme:?}");
        }
    }

    #[test]
    fn numbers_are_counted_up_as_decimals() {
        for from in [0, 8, 98, 199, 999_999] {
            let mut node = Numbered::new("a9", b'_', from);
            for number in from..from + 120 {
                assert_eq!(node.text, format!("a9_{number}").as_bytes());
                node.count_up();
            }
        }
    }
}
