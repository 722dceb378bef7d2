//! Owners that other programs computed, and facts that other systems publish.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it stands, and says what it left out"
)]

use std::{fmt::Write, fs, path::Path};

use hash_ring::{Maglev, Ring, RingSize, Scheme, TableSize};
use md5::{Digest, Md5};

/// Computed with Python's hashlib, zlib and bisect and the xxhash package, from the schemes' descriptions.
const OWNERS: &str = include_str!("cases/owners.tsv");

fn nodes(name: &str) -> Vec<(&'static str, u32)> {
    match name {
        "five" => vec![
            ("10.0.0.4:8080", 1),
            ("10.0.0.1:8080", 1),
            ("10.0.0.5:8080", 1),
            ("10.0.0.2:8080", 1),
            ("10.0.0.3:8080", 1),
        ],
        "weighted" => {
            vec![("b.example:443", 3), ("10.0.0.3:80", 5), ("10.0.0.1:80", 1), ("10.0.0.2:80", 2)]
        }
        other => panic!("no nodes {other:?}"),
    }
}

#[test]
fn owners_are_those_that_an_independent_program_computed() {
    let cases: Vec<&str> = OWNERS.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(cases.len(), 96);
    for case in cases {
        let [scheme, set, key, nearest, walk] = case.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not five columns: {case}")
        };
        let nodes = nodes(set);
        let key = key.as_bytes();
        let walked: Vec<String>;
        if let Some(slots) = scheme.strip_prefix("maglev-") {
            let table = Maglev::with_size(TableSize::new(slots.parse().unwrap()).unwrap(), nodes);
            walked = table.walk(key).map(str::to_owned).collect();
        } else {
            let ring = match scheme {
                "bellwether" => Ring::new(nodes.into_iter().map(|(name, weight)| (name, weight * 100))),
                "libketama" => Ring::with_scheme(Scheme::Libketama, nodes),
                "nginx" => Ring::with_scheme(Scheme::Nginx, nodes),
                "envoy" => Ring::with_scheme(Scheme::Envoy(RingSize::default()), nodes),
                other => panic!("no scheme {other:?}"),
            };
            assert_eq!(ring.nearest(key), Some(nearest), "{case}");
            walked = ring.walk(key).map(str::to_owned).collect();
        }
        assert_eq!(walked.join(" "), walk, "{case}");
    }
}

#[test]
fn distances_are_those_that_an_independent_program_computed() {
    let ring = Ring::new([("a", 100), ("b", 100)]);
    assert_eq!(ring.distance("a", "b"), Some(2_229_250_745_220_210_720));
    let ring = Ring::with_scheme(Scheme::Libketama, [("10.0.1.1:11211", 600), ("10.0.1.2:11211", 300)]);
    assert_eq!(ring.distance("10.0.1.1:11211", "10.0.1.2:11211"), Some(4_760_626_658_094_874_624));
}

#[test]
fn envoys_points_are_where_its_own_test_has_them() {
    let hosts: Vec<String> = (90..96).map(|port| format!("127.0.0.1:{port}")).collect();
    let size = RingSize::new(12, 1_024).unwrap();
    let ring = Ring::with_scheme(Scheme::Envoy(size), hosts.iter().map(|host| (host, 1)));
    let points: [(u64, &str); 12] = [
        (833_437_586_790_550_860, "94"),
        (928_266_305_478_181_108, "92"),
        (1_033_482_794_131_418_490, "90"),
        (3_551_244_743_356_806_947, "95"),
        (3_851_675_632_748_031_481, "93"),
        (5_583_722_120_771_150_861, "91"),
        (6_311_230_543_546_372_928, "91"),
        (7_700_377_290_971_790_572, "93"),
        (13_144_177_310_400_110_813, "95"),
        (13_444_792_449_719_432_967, "92"),
        (15_516_499_411_664_133_160, "94"),
        (16_117_243_373_044_804_889, "90"),
    ];
    assert_eq!(ring.points(), points.len());
    let mut begin = 0;
    for (position, port) in points {
        for within in [begin, position] {
            assert_eq!(ring.point_of(within), Some(position));
            let owner = ring.owner_of(within).map(|node| ring.name(node).to_owned());
            assert_eq!(owner, Some(format!("127.0.0.1:{port}")), "at {within}");
        }
        begin = position + 1;
    }
    assert_eq!(ring.point_of(begin), Some(points[0].0), "past the last comes the first");
}

#[test]
fn envoys_maglev_table_is_the_one_of_its_own_test() {
    let hosts: Vec<String> = (90..96).map(|port| format!("127.0.0.1:{port}")).collect();
    let table = Maglev::with_size(TableSize::new(7).unwrap(), hosts.iter().map(|host| (host, 1)));
    let slots: Vec<usize> =
        (0..7).filter_map(|slot| table.owner_of(slot)).map(hash_ring::Node::index).collect();
    assert_eq!(slots, [2, 4, 0, 1, 5, 0, 3]);
}

#[test]
fn libketamas_roundings_are_those_of_a_c_compiler() {
    let points = |weights: &[u32]| {
        let nodes = (0..).zip(weights).map(|(n, weight)| (format!("10.0.0.{n}:11211"), *weight));
        Ring::with_scheme(Scheme::Libketama, nodes).points()
    };
    // 39.9999991 digests each, which single precision rounds up; then 39.9999978, which it does not.
    assert_eq!(points(&[1; 25]), 25 * 160);
    assert_eq!(points(&[1; 61]), 61 * 156);
    assert_eq!(points(&[1, 2, 3, 7, 11, 100, 333, 4_096, 65_536]), 4 + 84 + 1_344);
}

/// A published file, or `None` with a word about it where the folder is not beside the repository.
fn published(test: &str, name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/hash-ring");
    if !folder.is_dir() {
        println!("skipped: {test} because ../shared/vectors/hash-ring is not here");
        return None;
    }
    Some(fs::read_to_string(folder.join(name)).unwrap())
}

#[test]
fn libketamas_own_test_gives_its_digest() {
    let Some(servers) = published("libketamas_own_test_gives_its_digest", "ketama.servers") else { return };
    let lines = servers.lines().filter(|line| !line.starts_with('#'));
    let nodes: Vec<(&str, u32)> = lines
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, memory)| (name, memory.trim().parse().unwrap()))
        .collect();
    let ring = Ring::with_scheme(Scheme::Libketama, nodes);
    assert_eq!(ring.points(), 1_264);
    // An empty error message, and a line for each key.
    let mut output = String::from("\n");
    for key in 0..1_000_000 {
        let position = ring.position(key.to_string().as_bytes());
        let owner = ring.owner_of(position).map(|node| ring.name(node)).unwrap();
        let point = ring.point_of(position).unwrap();
        writeln!(output, "{} {} {owner}", position >> 32, point >> 32).unwrap();
    }
    let digest: String = Md5::digest(output).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "5672b131391f5aa2b280936aec1eea74");
}

#[test]
fn nginx_answers_as_we_do() {
    let Some(rows) = published("nginx_answers_as_we_do", "nginx-consistent-hash.csv") else { return };
    let servers: Vec<String> = (1..10).map(|n| format!("10.0.0.{n}:443")).collect();
    let ring = Ring::with_scheme(Scheme::Nginx, servers.iter().map(|server| (server, 100)));
    assert_eq!(rows.lines().count(), 500);
    for (uri, server) in rows.lines().filter_map(|row| row.split_once(',')) {
        assert_eq!(ring.owner(uri.as_bytes()), Some(server), "{uri}");
    }
}
