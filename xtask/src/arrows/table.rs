//! Which package may use which. This is the plan of the house; a package that is not in it does not pass.

/// Algorithms and state machines: no sockets, no files, no clock, no async runtime.
pub(super) const CORES: &[&str] = &["hash-ring", "registry", "resilience", "traces", "monitoring"];

/// The engines that keep data, above the journal.
const STORES: &[&str] = &["storage-catalog", "storage-events", "storage-spans", "storage-samples"];
const JOURNAL: &[&str] = &["storage-disk", "storage-journal"];
/// The way into the stores that take batches.
const INTAKE: &[&str] = &["storage-intake"];

/// A package, and the packages that it may use beside `identity`, which everyone may. Dev-dependencies are free, but
/// for [`NOBODY_USES`].
pub(super) const MAY_USE: &[(&str, &[&[&str]])] = &[
    ("identity", &[]),
    // Cores know no other core, but that the registry has rings.
    ("hash-ring", &[]),
    ("registry", &[&["hash-ring"]]),
    ("resilience", &[]),
    ("traces", &[]),
    ("monitoring", &[]),
    ("wire", &[CORES]),
    ("storage-disk", &[CORES]),
    ("storage-journal", &[CORES, JOURNAL]),
    ("storage-intake", &[CORES, JOURNAL]),
    ("storage-catalog", &[CORES, JOURNAL]),
    ("storage-events", &[CORES, JOURNAL, INTAKE]),
    ("storage-spans", &[CORES, JOURNAL, INTAKE]),
    ("storage-samples", &[CORES, JOURNAL, INTAKE]),
    // The two shells never meet: the proxy defines traits, and the binary wires them.
    ("proxy", &[CORES, &["wire"], JOURNAL]),
    ("server", &[CORES, &["wire", "console"], JOURNAL, STORES]),
    ("console", &[]),
    ("client", &[CORES, &["wire"]]),
    ("demo", &[&["wire", "client"]]),
    ("bellwether", &[EVERYTHING]),
    ("sim", &[CORES, JOURNAL, STORES]),
    ("bench", &[EVERYTHING]),
    ("fuzz", &[EVERYTHING]),
    ("xtask", &[]),
    ("codegen", &[]),
];

/// Stands for every package but [`NOBODY_USES`].
pub(super) const EVERYTHING: &[&str] = &["*"];

/// The binary, which nothing may use, not even a test.
pub(super) const NOBODY_USES: &str = "bellwether";

/// What some packages must not reach, and why.
pub(super) struct Ban {
    pub(super) packages: &'static [&'static str],
    /// Crates that must not be among their dependencies.
    pub(super) crates: &'static [&'static str],
    /// Whether the crates must not come through another crate either.
    pub(super) deep: bool,
    /// Paths that their sources must not name.
    pub(super) paths: &'static [&'static str],
    pub(super) reason: &'static str,
}

/// Everything that brings sockets, a runtime, or numbers from the operating system's generator.
const OUTSIDE_WORLD: &[&str] = &[
    "async-std",
    "axum",
    "getrandom",
    "h2",
    "hyper",
    "hyper-util",
    "mio",
    "quinn",
    "rand",
    "reqwest",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tonic",
];

pub(super) const BANS: &[Ban] = &[
    Ban {
        packages: &["identity", "hash-ring", "registry", "resilience", "traces", "monitoring"],
        crates: OUTSIDE_WORLD,
        deep: true,
        paths: &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::process",
            "std::env",
            "Instant::now",
            "SystemTime::now",
            "RandomState::new",
            "fastrand::Rng::new",
            "Rng::new()",
        ],
        reason: "a core has no I/O, no clock and no unseeded randomness: they are arguments (addresses are in core::net)",
    },
    Ban {
        packages: &["wire"],
        // The generated services need tonic, and with it come its crates; wire itself uses only their types.
        crates: &["axum", "getrandom", "hyper", "hyper-util", "mio", "reqwest", "rustls", "socket2", "tokio"],
        deep: false,
        paths: &["std::net", "std::fs", "std::thread", "Instant::now", "SystemTime::now", "tonic::transport"],
        reason: "wire translates bytes and opens nothing (addresses are in core::net)",
    },
    Ban {
        packages: &["console"],
        crates: &["axum", "hyper", "tokio"],
        deep: false,
        paths: &["std::net", "std::fs"],
        reason: "console holds the built pages, and the server serves them",
    },
];

/// The package whose modules translate a dialect each.
pub(super) const WIRE: &str = "wire";

/// Modules of [`WIRE`] that must not name each other: what two dialects share is a core type.
pub(super) const DIALECTS: &[&str] = &[
    "consul",
    "dns",
    "eureka",
    "jaeger",
    "nacos",
    "native",
    "otlp",
    "policy",
    "prometheus",
    "remote_write",
    "xds",
    "zipkin",
];
