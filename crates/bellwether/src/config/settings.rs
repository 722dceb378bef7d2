//! The table of all settings, and the struct that is made from it.

use std::{cmp::Ordering, net::SocketAddr, path::PathBuf, time::Duration};

use identity::{Namespace, ProxyId};
use registry::Networks;
use traces::{propagation::Formats, sampling::Ratio};
use tracing_subscriber::EnvFilter;
use wire::native::problem::Problem;

use super::{
    sources::{Environment, Sources},
    tail::TailSampling,
    value::{FromSetting, Gateway, LogFormat, OtlpPorts, Secret, Size, Url},
};

/// What uses a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Every process that stays.
    Stay,
    /// The control plane.
    Server,
    /// The data plane within the same process.
    Up,
    /// The data plane alone.
    Gateway,
    /// The demo.
    Demo,
    /// Commands that ask a control plane.
    Client,
}

/// One setting, as help and errors speak of it.
pub(crate) struct Setting {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Who uses it.
    pub(crate) roles: &'static [Role],
    /// How its value is called.
    pub(crate) value: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// Whether it takes effect on SIGHUP.
    pub(crate) reloads: bool,
    /// What holds where nobody says otherwise.
    pub(crate) default: fn(&Environment) -> Option<String>,
}

impl Setting {
    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("BELLWETHER_{}", self.key.to_ascii_uppercase())
    }

    /// Its name as a flag.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Whether it needs no value as a flag.
    pub(crate) fn is_switch(&self) -> bool {
        self.value == <bool as FromSetting>::VALUE
    }

    /// Whether it may be a table in the file.
    pub(crate) fn is_table(&self) -> bool {
        self.value == <TailSampling as FromSetting>::VALUE
    }

    /// Whether its value is kept from every output.
    pub(crate) fn is_secret(&self) -> bool {
        self.value == <Secret as FromSetting>::VALUE
    }
}

/// The setting of this name.
pub(crate) fn named(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr, [$($role:ident),+] $(, $reloads:ident)?;)*) => {
        /// All settings, validated.
        #[derive(Debug)]
        pub(crate) struct Settings {
            $($(#[doc = $help])+ pub(crate) $key: $type,)*
        }

        /// All settings.
        pub(crate) const SETTINGS: &[Setting] = &[
            $(Setting {
                key: stringify!($key),
                roles: &[$(Role::$role),+],
                value: <$type as FromSetting>::VALUE,
                help: concat!($($help),+),
                reloads: false $(|| stringify!($reloads).len() > 0)?,
                default: $default,
            },)*
        ];

        impl Settings {
            /// Reads every setting from its text.
            pub(crate) fn validated(sources: &Sources) -> Result<Self, Problem> {
                let settings = Self { $($key: sources.value(stringify!($key))?,)* };
                settings.consistent(sources)
            }
        }
    };
}

settings! {
    /// What to log: error, warn, info, debug, trace or off; also by part, such as info,proxy=debug
    log_level: EnvFilter = |_| Some("info".to_owned()), [Stay], reloads;
    /// How to log: text for people, json for machines, auto for text on a terminal and json otherwise
    log_format: LogFormat = |_| Some("auto".to_owned()), [Stay];

    /// Where the control plane listens: console, API and gRPC; port 0 takes any free port
    listen: SocketAddr = |_| Some("127.0.0.1:2355".to_owned()), [Server, Demo];
    /// Where the gateway listens; port 0 takes any free port
    gateway: Gateway = |_| Some("127.0.0.1:8000".to_owned()), [Up, Gateway, Demo];
    /// Whether spans are taken on the ports 4317 and 4318 as well, where senders of OTLP look first; auto for: where the control plane listens on its usual address
    otlp_ports: OtlpPorts = |_| Some("auto".to_owned()), [Server];
    /// The folder that holds everything that is kept; one process owns it
    data: PathBuf = Environment::data_folder, [Server, Demo];
    /// The certificate chain to serve TLS with, a PEM file
    tls_cert: Option<PathBuf> = |_| None, [Server], reloads;
    /// The key of the certificate, a PEM file
    tls_key: Option<PathBuf> = |_| None, [Server], reloads;
    /// Let in only those who present a token, see `bellwether token create`
    auth: bool = |_| Some("false".to_owned()), [Server];
    /// Serve on other addresses than loopback also without TLS and tokens
    insecure: bool = |_| Some("false".to_owned()), [Server, Gateway];
    /// Further host names under which the control plane may be asked, beside those of its address
    allowed_hosts: Vec<String> = |_| Some(String::new()), [Server];
    /// The networks in which instances may be: nothing else is registered by address, nor dialled, whatever a name leads to
    dial_networks: Networks = |_| Some(Networks::default().to_string()), [Server, Gateway];
    /// How much memory the spans may take, however many are stored
    spans_memory: Size = |_| Some("384MiB".to_owned()), [Server];
    /// How much disk the spans may take; the oldest go first
    spans_disk: Size = |_| Some("1GiB".to_owned()), [Server];
    /// How long spans are kept at most
    spans_max_age: Duration = |_| Some("3d".to_owned()), [Server];
    /// The share of traces that is kept, such as 0.1; which ones follows from their ids, and all are counted in the graph
    trace_share: Ratio = |_| Some("1".to_owned()), [Server];
    /// Which traces are kept once they are over: off for all, on, or on with other values than the usual ones, such as slow=500ms,share=0.1; a table in the file
    tail_sampling: TailSampling = |_| Some("off".to_owned()), [Server];
    /// Which instances are asked for metrics: all, but those whose metadata says prometheus.io/scrape: "false"; annotated for those whose metadata names prometheus.io/scrape, port or path; or off
    scrape: server::Instances = |_| Some("all".to_owned()), [Server];
    /// The time from one scrape of an instance to the next
    scrape_interval: Duration = |_| Some("15s".to_owned()), [Server];
    /// Further targets to scrape, in the form of Prometheus' own configuration: its global and scrape_configs, a YAML file
    scrape_config: Option<PathBuf> = |_| None, [Server];
    /// How much memory the samples may take; the oldest go first
    samples_memory: Size = |_| Some("64MiB".to_owned()), [Server];
    /// How much disk the samples may take; the oldest go first
    samples_disk: Size = |_| Some("256MiB".to_owned()), [Server];
    /// How many series of others a service may have before further ones are folded into sums; half of what samples_memory has room for where nobody says
    series_per_service: Option<usize> = |_| None, [Server];
    /// How much memory the events may take; the oldest go first
    events_memory: Size = |_| Some("16MiB".to_owned()), [Server];
    /// How much disk the events may take; the oldest go first
    events_disk: Size = |_| Some("256MiB".to_owned()), [Server];
    /// How long events are kept at most
    events_max_age: Duration = |_| Some("30d".to_owned()), [Server];
    /// How much of the disk is left to the registry: with less room than this, telemetry is refused
    disk_reserve: Size = |_| Some("64MiB".to_owned()), [Server];
    /// How long calls and requests in flight may take to finish when the process stops
    drain: Duration = |_| Some("10s".to_owned()), [Server, Gateway];

    /// The folder in which the gateway keeps what it has to know after a restart: its id, and the table that it goes on by; without it nothing is kept
    gateway_data: Option<PathBuf> = |_| None, [Gateway];
    /// The control plane that tells the gateway what is there
    control: Url = |_| Some("http://127.0.0.1:2355".to_owned()), [Gateway];
    /// In which formats the gateway tells services of their trace, beside the one that a call came with: tracecontext, b3, b3multi, jaeger and sw8, joined by commas
    propagation: Formats = |_| Some("tracecontext".to_owned()), [Up, Gateway];
    /// The share of calls that the gateway logs, from 0 to 1; above 0 those that fail are logged all
    access_log: Ratio = |_| Some("0".to_owned()), [Up, Gateway];
    /// How the gateway is called in the control plane; by default after its machine and port
    proxy_id: Option<ProxyId> = |_| None, [Gateway];

    /// The control plane to ask
    server: Url = |_| Some("http://127.0.0.1:2355".to_owned()), [Client];
    /// The namespace that is meant where none is named
    namespace: Namespace = |_| Some("default".to_owned()), [Client, Gateway];
    /// How long to wait for an answer
    timeout: Duration = |_| Some("10s".to_owned()), [Client];
    /// The token to present; better in the environment or in a file than in a flag, which others can see
    token: Option<Secret> = |_| None, [Client, Gateway];
    /// The file that holds the token to present
    token_file: Option<PathBuf> = |_| None, [Client, Gateway];
    /// The authority that the control plane's certificate must come from, a PEM file; without it the machine's own
    tls_ca: Option<PathBuf> = |_| None, [Client, Gateway];
}

impl Settings {
    /// The rules between settings.
    fn consistent(mut self, sources: &Sources) -> Result<Self, Problem> {
        let half = match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Some(("tls_cert", "tls_key")),
            (None, Some(_)) => Some(("tls_key", "tls_cert")),
            _ => None,
        };
        if let Some((given, missing)) = half {
            let problem = sources.conflict(given, &format!("{given} needs {missing} as well"));
            return Err(problem.next(format!("give {missing}, too, or neither of them")));
        }
        if self.token.is_some() && self.token_file.is_some() {
            // Given in different places, the stronger place wins, as it does for one setting.
            match sources.rank("token").cmp(&sources.rank("token_file")) {
                Ordering::Greater => self.token_file = None,
                Ordering::Less => self.token = None,
                Ordering::Equal => {
                    return Err(sources.conflict("token_file", "token and token_file exclude each other"));
                }
            }
        }
        Ok(self)
    }
}
