//! What a proxy is told when it starts.

use std::{net::TcpListener, time::Duration};

use identity::{Namespace, ProxyId, ServiceName};
use registry::Networks;
use resilience::CallPolicy;
use traces::{propagation::Formats, sampling::Ratio};

use crate::Keep;

/// Everything that a proxy is told.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens. Whoever bound it has decided who can reach it.
    pub listener: TcpListener,
    /// Its id.
    pub proxy: ProxyId,
    /// Its version, for the control plane.
    pub version: String,
    /// A random number that no earlier run of this proxy had: reports are told apart by it.
    pub epoch: u64,
    /// What trace ids, span ids and choices among endpoints are drawn from.
    pub seed: u64,
    /// Where a service is looked for whose name comes without a namespace.
    pub namespace: Namespace,
    /// The name under which its calls are counted: a sidecar's service, or `gateway`.
    pub caller: ServiceName,
    /// The policy of services that have none of their own.
    pub policy: CallPolicy,
    /// The networks in which endpoints may be; nothing else is dialled.
    pub networks: Networks,
    /// What it may use.
    pub limits: Limits,
    /// Where the last table is kept for a restart while the control plane is away; `None` keeps none.
    pub keep: Option<Keep>,
    /// How often it reports.
    pub report_every: Duration,
    /// In which formats callees are told of their trace, beside the one that a call came with. All formats
    /// are read.
    pub propagation: Formats,
    /// The share of calls that are logged; those that fail are then logged all.
    pub access_log: Ratio,
    /// How long calls in flight may go on when it stops.
    pub drain: Duration,
    /// How long the last report may take when it stops.
    pub flush: Duration,
}

impl Settings {
    /// The settings that fit most: only what is different everywhere has to be given.
    ///
    /// # Errors
    /// Never for the names that this writes itself; their rules are checked like anyone's.
    pub fn new(
        listener: TcpListener,
        proxy: ProxyId,
        epoch: u64,
        seed: u64,
    ) -> Result<Self, identity::Invalid> {
        Ok(Self {
            listener,
            proxy,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch,
            seed,
            namespace: Namespace::default(),
            caller: ServiceName::new("gateway")?,
            policy: CallPolicy::default(),
            networks: Networks::default(),
            limits: Limits::default(),
            keep: None,
            report_every: Duration::from_secs(1),
            propagation: Formats::default(),
            access_log: Ratio::NONE,
            drain: Duration::from_secs(10),
            flush: Duration::from_secs(2),
        })
    }
}

/// What a proxy may use. Each bound states what it costs to raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients at once. Beyond it none is accepted until one has ended; the others wait
    /// in the kernel's queue. An idle one costs about 10 KiB.
    pub connections: usize,
    /// Bytes of a request's or a response's head, and of trailers. Each connection keeps a buffer of up
    /// to twice this.
    pub head_bytes: usize,
    /// Fields in a head. At most 100, for which room is kept on the stack.
    pub head_fields: usize,
    /// How long a client may take for the head of a request, from its first byte.
    pub head_timeout: Duration,
    /// How long a client's connection may be idle before its first request and between two; it is closed
    /// before twice the time is over.
    pub client_idle: Duration,
    /// How long a client may take nothing of its answer before its connection is ended. Meanwhile it
    /// holds a connection to the endpoint. Upgraded connections are exempt.
    pub write_stall: Duration,
    /// Calls in flight to one endpoint. Each holds a connection.
    pub calls_per_endpoint: u32,
    /// Idle connections kept for one endpoint. Each costs about 10 KiB here and at the endpoint.
    pub idle_per_endpoint: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Spans that wait for the next report, about 1 KiB each.
    pub spooled_spans: usize,
    /// Bytes of memory that they may take together; a client's `tracestate` can make one 17 KiB larger.
    pub spooled_bytes: usize,
    /// Rows of calls, 4 KiB each, with half as many again kept for services as a whole.
    pub series: usize,
    /// Calls that are logged a second, where any are. Each is a line of up to 2 KiB.
    pub access_lines_per_second: u32,
    /// Traces of any kind kept a second, of those that start here.
    pub traces_per_second: u32,
    /// Traces with a failure or refusal kept a second beyond those.
    pub remarkable_traces_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_bytes: 64 * 1024,
            head_fields: 100,
            head_timeout: Duration::from_secs(30),
            client_idle: Duration::from_secs(60),
            write_stall: Duration::from_secs(60),
            calls_per_endpoint: 1_024,
            idle_per_endpoint: 128,
            idle_timeout: Duration::from_secs(60),
            spooled_spans: 10_000,
            spooled_bytes: 16 * 1024 * 1024,
            series: 2_000,
            access_lines_per_second: 1_000,
            traces_per_second: traces::sampling::Budget::DEFAULT_PER_SECOND,
            remarkable_traces_per_second: traces::sampling::Budget::DEFAULT_REMARKABLE_PER_SECOND,
        }
    }
}
