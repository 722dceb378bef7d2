//! Who is measured: each proxies to the same two backends, on one worker.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cores::Cores;
use crate::server::{Program, Server};
use crate::{Failure, clock};

/// How long a process may take until it listens.
const START: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// Descriptors allow no more on most machines without asking for more.
const CONNECTIONS: usize = 16_000;

/// Who proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Bellwether,
    Haproxy,
    Nginx,
    Envoy,
    Pingora,
}

impl Subject {
    pub(super) const ALL: [Subject; 5] =
        [Subject::Bellwether, Subject::Haproxy, Subject::Nginx, Subject::Envoy, Subject::Pingora];

    pub(super) fn name(self) -> &'static str {
        match self {
            Subject::Bellwether => "bellwether",
            Subject::Haproxy => "haproxy",
            Subject::Nginx => "nginx",
            Subject::Envoy => "envoy",
            Subject::Pingora => "pingora",
        }
    }
}

/// A process that ends with this.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path, address: SocketAddr) -> Result<Process, Failure> {
        command
            .stdin(Stdio::null())
            .stdout(File::create(log)?)
            .stderr(File::options().append(true).open(log)?);
        let mut process = Process(command.spawn()?);
        let begin = clock::now();
        while TcpStream::connect(address).is_err() {
            let ended = process.0.try_wait()?;
            if ended.is_some() || begin.elapsed() > START {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("a process did not begin to listen on {address}: {}", said.trim()).into());
            }
            clock::pause(PAUSE);
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy under test.
#[derive(Debug)]
pub(super) enum Running {
    Ours { gateway: Server, _server: Server },
    Peer { process: Process, address: SocketAddr },
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Running::Ours { gateway, .. } => gateway.address(),
            Running::Peer { address, .. } => *address,
        }
    }

    /// The process that proxies.
    pub(super) fn id(&self) -> u32 {
        match self {
            Running::Ours { gateway, .. } => gateway.id(),
            Running::Peer { process, .. } => process.0.id(),
        }
    }
}

/// Where the programs of the peers are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) bellwether: Program,
    pub(super) envoy: Option<PathBuf>,
    pub(super) pingora: Option<PathBuf>,
}

/// An address that nobody listens on.
fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One worker of nginx that keeps its connections and writes no log.
fn nginx(folder: &Path, name: &str, http: &str, address: SocketAddr) -> Result<Process, Failure> {
    let path = folder.join(format!("{name}.conf"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", folder.join(kind).display()))
        .concat();
    let text = format!(
        "worker_processes 1; daemon off; master_process off; pid {pid}; error_log {log} error;\n\
         events {{ worker_connections {CONNECTIONS}; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;\n{temporary}{http}\n}}\n",
        pid = folder.join(format!("{name}.pid")).display(),
        log = folder.join(format!("{name}.error")).display(),
    );
    fs::write(&path, text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-e").arg(folder.join(format!("{name}.error")));
    Process::start(&mut command, &folder.join(format!("{name}.log")), address)
}

/// Starts a proxy in the servers' place; `None` where it is not installed.
pub(super) fn start(
    subject: Subject,
    programs: &Programs,
    cores: Option<&Cores>,
    folder: &Path,
    backends: [SocketAddr; 2],
) -> Result<Option<Running>, Failure> {
    let address = free()?;
    let log = folder.join(format!("{}.log", subject.name()));
    let [one, other] = backends;
    let place = |start: &mut dyn FnMut() -> Result<Process, Failure>| match cores {
        Some(cores) => cores.on_servers(start)?,
        None => start(),
    };
    let process = match subject {
        Subject::Bellwether => return Err("our gateway is started with its control plane".into()),
        Subject::Haproxy => {
            let path = folder.join("haproxy.cfg");
            fs::write(&path, haproxy(address, one, other))?;
            let mut command = Command::new("haproxy");
            command.arg("-f").arg(&path);
            place(&mut || Process::start(&mut command, &log, address))
        }
        Subject::Nginx => {
            let upstream = format!(
                "upstream backends {{ random two least_conn; server {one}; server {other}; keepalive 256; \
                 keepalive_requests 1000000000; }}\n\
                 server {{ listen {address}; location / {{ proxy_pass http://backends; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; proxy_set_header Host $host; }} }}"
            );
            place(&mut || nginx(folder, "nginx", &upstream, address))
        }
        Subject::Envoy => {
            let Some(program) = &programs.envoy else { return Ok(None) };
            let path = folder.join("envoy.yaml");
            fs::write(&path, envoy(address, one, other))?;
            let mut command = Command::new(program);
            command.arg("-c").arg(&path).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
            place(&mut || Process::start(&mut command, &log, address))
        }
        Subject::Pingora => {
            let Some(program) = &programs.pingora else { return Ok(None) };
            let mut command = Command::new(program);
            command.args([address, one, other].map(|address| address.to_string()));
            place(&mut || Process::start(&mut command, &log, address))
        }
    };
    Ok(Some(Running::Peer { process: process?, address }))
}

fn haproxy(address: SocketAddr, one: SocketAddr, other: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 9000\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n  \
         option http-keep-alive\n  http-reuse always\n\
         frontend calls\n  bind {address}\n  default_backend backends\n\
         backend backends\n  balance random(2)\n  server one {one}\n  server other {other}\n"
    )
}

/// One route, the least loaded of two endpoints at random, outlier detection, thresholds, one retry.
fn envoy(address: SocketAddr, one: SocketAddr, other: SocketAddr) -> String {
    let socket = |address: SocketAddr| {
        format!("{{socket_address: {{address: {}, port_value: {}}}}}", address.ip(), address.port())
    };
    format!(
        r#"
static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: calls
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: echo
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route:
                  cluster: echo
                  timeout: 15s
                  retry_policy: {{retry_on: connect-failure, num_retries: 1}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: echo
    type: STATIC
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST
    outlier_detection: {{consecutive_5xx: 5}}
    circuit_breakers:
      thresholds: [{{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000, max_retries: 100}}]
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {one}}}
        - endpoint: {{address: {other}}}
"#,
        listen = socket(address),
        one = socket(one),
        other = socket(other),
    )
}

/// What a program says of its version, up to its first line's end.
pub(super) fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let said = if output.stdout.trim_ascii().is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&said);
    let number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    let words = text.split(|letter: char| letter.is_whitespace() || letter == '/').map(str::trim);
    words.map(str::to_owned).find(|word| number(word))
}
