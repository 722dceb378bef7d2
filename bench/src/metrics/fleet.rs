//! What is measured in a shop and on its machines: as many series as one likes, with values that move as real ones do.
//!
//! A fleet has instances of six services and nodes. An instance answers on ten routes and has for each a histogram of
//! durations (15 buckets, sum and count) and a counter by status; a node has what node-exporter shows. The traffic of a
//! route has a mean of its own, from many calls a second to a few an hour, follows the day, and is drawn anew for each
//! step, call by call: durations are distributed log-normally, a sum is a sum of doubles with nine digits behind the
//! point, and buckets are cumulative. A node's series are counters in hundredths, counters of bytes and of rare events,
//! gauges in pages, gauges with decimals, some of full precision, and many that never change. Instances and nodes
//! restart now and then, which resets their counters. Everything follows from a seed.

use std::f64::consts::TAU;

use crate::random::Random;

/// The distance of two samples of a series, in milliseconds.
pub(crate) const INTERVAL: i64 = 15_000;
/// Instances of services and nodes of the usual fleet: 6,715 series.
pub(crate) const USUAL: (usize, usize) = (24, 5);
/// Steps of a day, in which an instance restarts once, and a node every fifth day.
const STEPS_A_DAY: f64 = 5_760.0;
/// One scrape of so many is late by some milliseconds.
const LATE: u64 = 50;

const SERVICES: [&str; 6] = ["storefront", "cart", "checkout", "payments", "inventory", "shipping"];
const ROUTES: [&str; 10] = [
    "/",
    "/items",
    "/items/{id}",
    "/orders",
    "/orders/{id}",
    "/users/{id}",
    "/search",
    "/cart/{id}",
    "/prices",
    "/healthz",
];
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Durations of a route that are drawn from.
const DURATIONS: usize = 1_024;

/// What a series is called: names and values, in the order of the names.
pub(crate) type Pairs = Vec<(&'static str, String)>;

/// Series with their values, a step at a time.
pub(crate) struct Fleet {
    random: Random,
    step: i64,
    begin: i64,
    routes: Vec<Route>,
    targets: Vec<Target>,
    names: Vec<Pairs>,
    values: Vec<f64>,
    times: Vec<i64>,
}

/// How long calls on a route of a service take, how often they come, and how often they fail.
struct Route {
    durations: Vec<(f64, usize)>,
    a_step: f64,
    failing: f64,
}

/// What is scraped at once.
struct Target {
    /// Milliseconds from the beginning of a step to the scrape.
    offset: i64,
    restarts: f64,
    kind: Kind,
}

enum Kind {
    /// The number of the first of its routes, and what was counted on each.
    Instance(usize, Vec<Calls>),
    Node(Vec<Cell>),
}

#[derive(Clone, Default)]
struct Calls {
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
    failed: u64,
}

/// A series of a node.
#[derive(Clone)]
struct Cell {
    shape: Shape,
    /// In the shape's own unit.
    now: f64,
}

/// How a series of a node moves.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Constant(f64),
    /// A counter: how much it grows in a step where it does, how often it does, and its units in 1.
    Counter {
        mean: f64,
        often: f64,
        units: f64,
    },
    /// A gauge that walks around a middle: how far in a step, how often, and its units in 1.
    Walk {
        middle: f64,
        far: f64,
        often: f64,
        units: f64,
    },
    /// A gauge with all digits.
    Precise(f64),
}

impl Fleet {
    /// So many instances and nodes, whose first sample is of this time.
    pub(crate) fn new(seed: u64, (instances, nodes): (usize, usize), begin: i64) -> Self {
        let mut random = Random::new(seed);
        let routes = (0..SERVICES.len() * ROUTES.len()).map(|_| Route::drawn(&mut random)).collect();
        let (mut targets, mut names) = (Vec::new(), Vec::new());
        for number in 0..instances {
            names.extend(names_of_instance(number));
            let calls = vec![Calls::default(); ROUTES.len()];
            let kind = Kind::Instance(number % SERVICES.len() * ROUTES.len(), calls);
            targets.push(Target { offset: offset(&mut random), restarts: 1.0 / STEPS_A_DAY, kind });
        }
        for number in 0..nodes {
            let mut cells = Vec::new();
            for (name, shape) in series_of_node() {
                let mut pairs = vec![("__name__", name.0.to_owned())];
                pairs.extend(name.1);
                pairs.push(("instance", format!("10.1.{}.{}:9100", number / 250, number % 250)));
                pairs.push(("job", "node".to_owned()));
                pairs.sort_unstable();
                names.push(pairs);
                cells.push(Cell { shape, now: shape.begin(&mut random) });
            }
            let restarts = 0.2 / STEPS_A_DAY;
            targets.push(Target { offset: offset(&mut random), restarts, kind: Kind::Node(cells) });
        }
        let (values, times) = (vec![0.0; names.len()], vec![0; names.len()]);
        Self { random, step: 0, begin, routes, targets, names, values, times }
    }

    /// What the series are called.
    pub(crate) fn names(&self) -> &[Pairs] {
        &self.names
    }

    /// Goes on by a step, and gives the times and the values that all series have then.
    pub(crate) fn next(&mut self) -> (&[i64], &[f64]) {
        let start = self.begin + self.step * INTERVAL;
        let of_day = (start.rem_euclid(86_400_000)) as f64 / 86_400_000.0;
        let traffic = 1.0 - 0.6 * (of_day * TAU).cos();
        let random = &mut self.random;
        let mut at = 0;
        for target in &mut self.targets {
            let late = if random.next().is_multiple_of(LATE) { 1 + (random.next() % 8) as i64 } else { 0 };
            let (time, is_new) = (start + target.offset + late, random.part() < target.restarts);
            let from = at;
            let mut put = |value: f64| {
                self.values[at] = value;
                at += 1;
            };
            match &mut target.kind {
                Kind::Instance(first, calls) => {
                    for (route, calls) in self.routes.iter().skip(*first).zip(calls) {
                        if is_new {
                            *calls = Calls::default();
                        }
                        calls.go_on(route, traffic, random);
                        calls.show(&mut put);
                    }
                }
                Kind::Node(cells) => {
                    for cell in cells {
                        put(cell.next(is_new, traffic, random));
                    }
                }
            }
            self.times[from..at].fill(time);
        }
        self.step += 1;
        (&self.times, &self.values)
    }
}

/// Targets are asked all over the interval.
fn offset(random: &mut Random) -> i64 {
    (random.next() % (INTERVAL as u64 - 100)) as i64
}

impl Route {
    fn drawn(random: &mut Random) -> Self {
        let (median, spread) = (0.004 * 60_f64.powf(random.part()), 0.4 + 0.6 * random.part());
        let duration = |random: &mut Random| {
            let seconds = (median * (spread * random.normal()).exp() * 1e9).round() / 1e9;
            (seconds, BOUNDS.partition_point(|bound| *bound < seconds))
        };
        let durations = (0..DURATIONS).map(|_| duration(random)).collect();
        // From one call in five minutes to twenty a second, most routes in between.
        let a_step = 0.05 * 6_000_f64.powf(random.part() * random.part().sqrt());
        let failing = if random.part() < 0.3 { 0.0 } else { 0.02 * random.part() };
        Self { durations, a_step, failing }
    }
}

impl Calls {
    fn go_on(&mut self, route: &Route, traffic: f64, random: &mut Random) {
        for _ in 0..random.count(route.a_step * traffic) {
            let drawn = random.next();
            let (seconds, bucket) = route.durations[drawn as usize % DURATIONS];
            self.buckets[bucket] += 1;
            // Clocks count nanoseconds.
            self.sum += seconds + ((drawn >> 32) % 1_000) as f64 / 1e9;
            self.failed += u64::from(((drawn >> 44) as f64 / (1_u64 << 20) as f64) < route.failing);
        }
    }

    fn show(&self, put: &mut impl FnMut(f64)) {
        let mut count = 0;
        for bucket in self.buckets {
            count += bucket;
            put(count as f64);
        }
        put(self.sum);
        put(count as f64);
        put((count - self.failed) as f64);
        put(self.failed as f64);
    }
}

fn names_of_instance(number: usize) -> impl Iterator<Item = Pairs> {
    let instance = format!("10.0.{}.{}:8080", number / 250, number % 250);
    let service = SERVICES[number % SERVICES.len()];
    ROUTES.into_iter().flat_map(move |route| {
        let pairs = |name: &str, extra: Option<(&'static str, String)>| {
            let mut pairs = vec![
                ("__name__", name.to_owned()),
                ("instance", instance.clone()),
                ("job", "shop".to_owned()),
                ("method", "GET".to_owned()),
                ("route", route.to_owned()),
                ("service", service.to_owned()),
            ];
            pairs.extend(extra);
            pairs.sort_unstable();
            pairs
        };
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let buckets = bounds.map(|le| pairs("http_server_request_duration_seconds_bucket", Some(("le", le))));
        let status =
            ["200", "500"].map(|code| pairs("http_server_requests_total", Some(("code", code.to_owned()))));
        let rest =
            ["sum", "count"].map(|of| pairs(&format!("http_server_request_duration_seconds_{of}"), None));
        buckets.chain(rest).chain(status).collect::<Vec<_>>()
    })
}

impl Shape {
    fn begin(self, random: &mut Random) -> f64 {
        match self {
            Self::Constant(value) | Self::Precise(value) => value,
            Self::Counter { mean, often, .. } => (mean * often * 40_000.0 * random.part()).round(),
            Self::Walk { middle, .. } => middle.round(),
        }
    }
}

impl Cell {
    fn next(&mut self, is_new: bool, traffic: f64, random: &mut Random) -> f64 {
        match self.shape {
            Shape::Constant(value) => value,
            Shape::Counter { mean, often, units } => {
                if is_new {
                    self.now = 0.0;
                }
                if often >= 1.0 || random.part() < often {
                    self.now += (mean * traffic * (0.5 * random.normal()).exp()).round();
                }
                self.now / units
            }
            Shape::Walk { middle, far, often, units } => {
                if often >= 1.0 || random.part() < often {
                    self.now += ((middle - self.now) * 0.01 + far * random.normal()).round();
                    self.now = self.now.max(0.0);
                }
                self.now / units
            }
            Shape::Precise(middle) => {
                self.now += (middle - self.now) * 0.05 + 0.01 * middle * random.normal();
                self.now
            }
        }
    }
}

/// The name and further labels of a series.
type Named = (&'static str, Pairs);

/// What node-exporter shows of a machine of 16 cores: 431 series.
fn series_of_node() -> Vec<(Named, Shape)> {
    let mut all = Vec::new();
    let mut add = |name: &'static str, labels: &[(&'static str, &str)], shape: Shape| {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        all.push(((name, labels), shape));
    };
    let modes = [("idle", 1_200.0), ("user", 180.0), ("system", 60.0), ("iowait", 8.0), ("softirq", 4.0)];
    for cpu in 0..16 {
        let cpu = cpu.to_string();
        for (mode, mean) in modes {
            let shape = Shape::Counter { mean, often: 1.0, units: 100.0 };
            add("node_cpu_seconds_total", &[("cpu", &cpu), ("mode", mode)], shape);
        }
        for (mode, often) in [("nice", 0.01), ("irq", 0.0), ("steal", 0.05)] {
            let shape = Shape::Counter { mean: 2.0, often, units: 100.0 };
            add("node_cpu_seconds_total", &[("cpu", &cpu), ("mode", mode)], shape);
        }
    }
    for (at, name) in MEMORY.into_iter().enumerate() {
        let (middle, far) = (1e6 / (1.0 + at as f64), 400.0 / (1.0 + at as f64));
        let shape = match at % 3 {
            0 => Shape::Walk { middle, far, often: 1.0, units: 1.0 / 4_096.0 },
            1 => Shape::Walk { middle, far, often: 0.2, units: 1.0 / 4_096.0 },
            _ => Shape::Constant((middle * 4_096.0).round()),
        };
        add(name, &[], shape);
    }
    for (at, device) in ["nvme0n1", "nvme1n1", "sda", "sdb"].into_iter().enumerate() {
        for (kind, name) in DISK.into_iter().enumerate() {
            let mean = [40.0, 160_000.0, 12.0, 900.0][kind % 4];
            let units = if kind % 4 == 3 { 1_000.0 } else { 1.0 };
            let often = [1.0, 0.7, 0.1, 0.0][at];
            add(name, &[("device", device)], Shape::Counter { mean, often, units });
        }
    }
    for (at, device) in ["eth0", "eth1", "lo"].into_iter().enumerate() {
        for (kind, name) in NETWORK.into_iter().enumerate() {
            let mean = [9_000_000.0, 11_000.0][kind % 2];
            let often = if kind < 4 { [1.0, 0.3, 1.0][at] } else { 0.0 };
            add(name, &[("device", device)], Shape::Counter { mean, often, units: 1.0 });
        }
    }
    for (at, mount) in ["/", "/boot", "/data", "/home", "/tmp", "/var"].into_iter().enumerate() {
        for (kind, name) in FILESYSTEM.into_iter().enumerate() {
            let middle = 1e7 / (1.0 + at as f64);
            let shape = match kind {
                0..4 => Shape::Walk { middle, far: 60.0, often: 0.4, units: 1.0 / 4_096.0 },
                _ => Shape::Constant((middle * 4_096.0).round() * (kind % 2) as f64),
            };
            add(name, &[("device", "/dev/nvme0n1"), ("fstype", "ext4"), ("mountpoint", mount)], shape);
        }
    }
    for name in ["node_load1", "node_load5", "node_load15"] {
        add(name, &[], Shape::Walk { middle: 320.0, far: 12.0, often: 0.8, units: 100.0 });
    }
    for sensor in 1..=8 {
        let sensor = format!("temp{sensor}");
        let shape = Shape::Walk { middle: 460.0, far: 5.0, often: 0.5, units: 10.0 };
        add("node_hwmon_temp_celsius", &[("chip", "platform_coretemp_0"), ("sensor", &sensor)], shape);
    }
    for (at, name) in KERNEL.into_iter().enumerate() {
        let shape = match at % 5 {
            0 => Shape::Counter { mean: 30_000.0, often: 1.0, units: 1.0 },
            1 => Shape::Counter { mean: 700.0, often: 0.9, units: 1.0 },
            2 => Shape::Counter { mean: 3.0, often: 0.05, units: 1.0 },
            3 => Shape::Walk { middle: 800.0, far: 6.0, often: 0.9, units: 1.0 },
            _ => Shape::Constant(at as f64),
        };
        add(name, &[], shape);
    }
    for (at, name) in PRECISE.into_iter().enumerate() {
        add(name, &[], Shape::Precise(0.000_123_4 * (1.0 + at as f64)));
    }
    all
}

/// Gauges in pages.
const MEMORY: [&str; 50] = [
    "node_memory_MemTotal_bytes",
    "node_memory_MemFree_bytes",
    "node_memory_MemAvailable_bytes",
    "node_memory_Buffers_bytes",
    "node_memory_Cached_bytes",
    "node_memory_SwapCached_bytes",
    "node_memory_Active_bytes",
    "node_memory_Inactive_bytes",
    "node_memory_Active_anon_bytes",
    "node_memory_Inactive_anon_bytes",
    "node_memory_Active_file_bytes",
    "node_memory_Inactive_file_bytes",
    "node_memory_Unevictable_bytes",
    "node_memory_Mlocked_bytes",
    "node_memory_SwapTotal_bytes",
    "node_memory_SwapFree_bytes",
    "node_memory_Dirty_bytes",
    "node_memory_Writeback_bytes",
    "node_memory_AnonPages_bytes",
    "node_memory_Mapped_bytes",
    "node_memory_Shmem_bytes",
    "node_memory_KReclaimable_bytes",
    "node_memory_Slab_bytes",
    "node_memory_SReclaimable_bytes",
    "node_memory_SUnreclaim_bytes",
    "node_memory_KernelStack_bytes",
    "node_memory_PageTables_bytes",
    "node_memory_NFS_Unstable_bytes",
    "node_memory_Bounce_bytes",
    "node_memory_WritebackTmp_bytes",
    "node_memory_CommitLimit_bytes",
    "node_memory_Committed_AS_bytes",
    "node_memory_VmallocTotal_bytes",
    "node_memory_VmallocUsed_bytes",
    "node_memory_VmallocChunk_bytes",
    "node_memory_Percpu_bytes",
    "node_memory_HardwareCorrupted_bytes",
    "node_memory_AnonHugePages_bytes",
    "node_memory_ShmemHugePages_bytes",
    "node_memory_ShmemPmdMapped_bytes",
    "node_memory_FileHugePages_bytes",
    "node_memory_FilePmdMapped_bytes",
    "node_memory_HugePages_Total_bytes",
    "node_memory_HugePages_Free_bytes",
    "node_memory_HugePages_Rsvd_bytes",
    "node_memory_HugePages_Surp_bytes",
    "node_memory_Hugepagesize_bytes",
    "node_memory_Hugetlb_bytes",
    "node_memory_DirectMap4k_bytes",
    "node_memory_DirectMap2M_bytes",
];

/// Counters of a disk, in groups of four: calls, bytes, merged calls, milliseconds.
const DISK: [&str; 17] = [
    "node_disk_reads_completed_total",
    "node_disk_read_bytes_total",
    "node_disk_reads_merged_total",
    "node_disk_read_time_seconds_total",
    "node_disk_writes_completed_total",
    "node_disk_written_bytes_total",
    "node_disk_writes_merged_total",
    "node_disk_write_time_seconds_total",
    "node_disk_discards_completed_total",
    "node_disk_discarded_sectors_total",
    "node_disk_discards_merged_total",
    "node_disk_discard_time_seconds_total",
    "node_disk_flush_requests_total",
    "node_disk_io_reads_bytes_total",
    "node_disk_io_now_total",
    "node_disk_io_time_seconds_total",
    "node_disk_flush_requests_time_total",
];

/// Counters of a network device; all but the first four hardly ever count.
const NETWORK: [&str; 20] = [
    "node_network_receive_bytes_total",
    "node_network_receive_packets_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
    "node_network_receive_errs_total",
    "node_network_receive_drop_total",
    "node_network_receive_fifo_total",
    "node_network_receive_frame_total",
    "node_network_receive_compressed_total",
    "node_network_receive_multicast_total",
    "node_network_receive_nohandler_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_drop_total",
    "node_network_transmit_fifo_total",
    "node_network_transmit_colls_total",
    "node_network_transmit_carrier_total",
    "node_network_transmit_compressed_total",
    "node_network_carrier_changes_total",
    "node_network_carrier_up_changes_total",
    "node_network_carrier_down_changes_total",
];

/// Gauges of a file system; the last four never change.
const FILESYSTEM: [&str; 8] = [
    "node_filesystem_avail_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_files_free",
    "node_filesystem_purgeable_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_files",
    "node_filesystem_readonly",
    "node_filesystem_device_error",
];

/// What the kernel counts and holds.
const KERNEL: [&str; 58] = [
    "node_context_switches_total",
    "node_intr_total",
    "node_forks_total",
    "node_procs_running",
    "node_procs_blocked",
    "node_boot_time_seconds",
    "node_vmstat_pgfault",
    "node_vmstat_pgmajfault",
    "node_vmstat_pgpgin",
    "node_vmstat_pgpgout",
    "node_vmstat_pswpin",
    "node_vmstat_pswpout",
    "node_vmstat_oom_kill",
    "node_netstat_Icmp_InErrors",
    "node_netstat_Icmp_InMsgs",
    "node_netstat_Icmp_OutMsgs",
    "node_netstat_Ip_Forwarding",
    "node_netstat_IpExt_InOctets",
    "node_netstat_IpExt_OutOctets",
    "node_netstat_Tcp_ActiveOpens",
    "node_netstat_Tcp_CurrEstab",
    "node_netstat_Tcp_InErrs",
    "node_netstat_Tcp_InSegs",
    "node_netstat_Tcp_OutRsts",
    "node_netstat_Tcp_OutSegs",
    "node_netstat_Tcp_PassiveOpens",
    "node_netstat_Tcp_RetransSegs",
    "node_netstat_Udp_InDatagrams",
    "node_netstat_Udp_InErrors",
    "node_netstat_Udp_NoPorts",
    "node_netstat_Udp_OutDatagrams",
    "node_netstat_Udp_RcvbufErrors",
    "node_netstat_Udp_SndbufErrors",
    "node_sockstat_TCP_alloc",
    "node_sockstat_TCP_inuse",
    "node_sockstat_TCP_mem",
    "node_sockstat_TCP_orphan",
    "node_sockstat_TCP_tw",
    "node_sockstat_UDP_inuse",
    "node_sockstat_UDP_mem",
    "node_sockstat_sockets_used",
    "node_entropy_available_bits",
    "node_filefd_allocated",
    "node_filefd_maximum",
    "node_arp_entries",
    "node_softnet_processed_total",
    "node_softnet_dropped_total",
    "node_softnet_times_squeezed_total",
    "node_schedstat_waiting_total",
    "node_schedstat_timeslices_total",
    "node_nf_conntrack_entries",
    "node_nf_conntrack_entries_limit",
    "node_uname_info",
    "node_os_info",
    "node_dmi_info",
    "node_exporter_build_info",
    "node_time_zone_offset_seconds",
    "node_selinux_enabled",
];

/// Gauges of full precision.
const PRECISE: [&str; 8] = [
    "node_timex_offset_seconds",
    "node_timex_estimated_error_seconds",
    "node_timex_maxerror_seconds",
    "node_timex_frequency_adjustment_ratio",
    "node_pressure_cpu_waiting_ratio",
    "node_pressure_io_waiting_ratio",
    "node_pressure_memory_waiting_ratio",
    "node_scrape_collector_duration_seconds",
];
