//! The servers that are compared, each a process of its own on loopback, on an empty folder.

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use storage_disk::RealDisk;
use storage_samples::{SeriesSettings, SeriesStore};

use crate::{
    Failure, clock,
    cores::Cores,
    process,
    server::{Program, Server},
};

/// How long it may take until it serves.
const START: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(5);

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bellwether,
    VictoriaMetrics,
    Prometheus,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Bellwether, Kind::VictoriaMetrics, Kind::Prometheus];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bellwether => "bellwether",
            Kind::VictoriaMetrics => "victoria-metrics",
            Kind::Prometheus => "prometheus",
        }
    }

    /// Its version, where it is installed: of the package, since not every build says its own.
    pub(crate) fn version(self, program: &Program) -> Option<String> {
        if self == Kind::Bellwether {
            return Some(program.version().to_owned());
        }
        Command::new(self.name()).arg("--version").output().ok()?;
        let package = Command::new("dpkg-query").args(["-W", "-f", "${Version}", self.name()]).output();
        let version = package.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        Some(version.ok().filter(|version| !version.is_empty()).unwrap_or_else(|| "unknown".to_owned()))
    }
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    process: Process,
    pub(crate) address: SocketAddr,
    data: PathBuf,
    /// Resident before anything was sent.
    pub(crate) idle: u64,
}

#[derive(Debug)]
enum Process {
    Ours(Server),
    Theirs(Theirs),
}

#[derive(Debug)]
struct Theirs(Child);

impl Drop for Theirs {
    fn drop(&mut self) {
        // It is gone already, or goes now; its data is thrown away with the folder.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How much our server may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) memory: &'static str,
    pub(crate) disk: &'static str,
}

impl Subject {
    /// Starts a server and waits until it serves; `None` where it is not installed.
    pub(crate) fn start(
        kind: Kind,
        program: &Program,
        cores: Option<&Cores>,
        folder: &Path,
        budget: Budget,
    ) -> Result<Option<Subject>, Failure> {
        let data = folder.join(kind.name());
        if kind == Kind::Bellwether {
            let server = ours(program, cores, &data, budget)?;
            let address = server.address();
            let idle = server.resident_bytes()?;
            return Ok(Some(Subject { kind, process: Process::Ours(server), address, data, idle }));
        }
        std::fs::create_dir_all(&data)?;
        // Neither can be asked for any free port and told which, so one is found for it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match kind {
            Kind::Prometheus => prometheus(&data, address)?,
            _ => victoria_metrics(&data, address),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(data.with_extension("log"))?);
        let child = match cores {
            Some(cores) => cores.on_servers(|| command.spawn())?,
            None => command.spawn(),
        };
        let Ok(child) = child else { return Ok(None) };
        let process = Process::Theirs(Theirs(child));
        let mut subject = Subject { kind, process, address, data, idle: 0 };
        let begin = clock::now();
        while subject.get(if kind == Kind::Prometheus { "/-/ready" } else { "/health" }).is_err() {
            if begin.elapsed() > START {
                return Err(format!("{} did not serve within {} s", kind.name(), START.as_secs()).into());
            }
            clock::pause(READY_PAUSE);
        }
        process::quiet(subject.id())?;
        subject.idle = process::resident_bytes(subject.id())?;
        Ok(Some(subject))
    }

    pub(crate) fn id(&self) -> u32 {
        match &self.process {
            Process::Ours(server) => server.id(),
            Process::Theirs(Theirs(child)) => child.id(),
        }
    }

    /// Asks for something, and reads the answer's body.
    ///
    /// # Errors
    /// The connection broke, or the status is none of success.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        ask(self.address, "GET", path)
    }

    /// Has everything brought into its final form, and says how many bytes that takes with all that belongs to it, and
    /// the processor time that it took.
    pub(crate) fn finish(self) -> Result<(u64, Duration), Failure> {
        process::quiet(self.id())?;
        let before = process::cpu_of(self.id())?;
        match self.process {
            Process::Ours(server) => {
                server.stop()?;
                // What is not sealed yet waits for its time. The same is done to it now, by the same store.
                let (folder, before) = (self.data.join("samples"), process::own_cpu());
                let settings = SeriesSettings {
                    disk_bytes: u64::MAX / 4,
                    max_series: usize::MAX >> 8,
                    ..SeriesSettings::default()
                };
                let (store, _) = SeriesStore::open(Arc::new(RealDisk), &folder.join("series"), settings)?;
                store.seal()?;
                drop(store);
                Ok((bytes_in(&folder)?, process::own_cpu().saturating_sub(before)))
            }
            Process::Theirs(Theirs(ref child)) => {
                let id = child.id();
                let folder = match self.kind {
                    Kind::Prometheus => {
                        ask(self.address, "POST", "/api/v1/admin/tsdb/snapshot")?;
                        self.data.join("snapshots")
                    }
                    _ => {
                        self.get("/internal/force_flush")?;
                        self.get("/internal/force_merge")?;
                        self.data.clone()
                    }
                };
                process::quiet(id)?;
                Ok((bytes_in(&folder)?, process::cpu_of(id)?.saturating_sub(before)))
            }
        }
    }
}

/// Our server, for samples of others and nothing else.
pub(crate) fn ours(
    program: &Program,
    cores: Option<&Cores>,
    data: &Path,
    Budget { memory, disk }: Budget,
) -> Result<Server, Failure> {
    let arguments = [
        ["--samples-memory", memory],
        ["--samples-disk", disk],
        ["--series-per-service", "2000000"],
        ["--scrape", "off"],
    ];
    Server::start_with(program, cores, data, arguments.as_flattened())
}

fn prometheus(data: &Path, address: SocketAddr) -> Result<Command, Failure> {
    let config = data.with_extension("yml");
    std::fs::write(&config, "global: {}\n")?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--log.level=warn"]);
    Ok(command)
}

fn victoria_metrics(data: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new("victoria-metrics");
    command
        .arg(format!("-storageDataPath={}", data.display()))
        .arg(format!("-httpListenAddr={address}"))
        .args(["-search.disableCache", "-search.maxUniqueTimeseries=2000000", "-loggerLevel=WARN"]);
    command
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = crate::http::find(&answer, b"\r\n\r\n").ok_or("an answer without a head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let mut body = answer.split_off(end + 4);
    if head.contains("\r\ntransfer-encoding: chunked") {
        body = joined(&body).ok_or("chunks that cannot be read")?;
    }
    match head.get(9..10) {
        Some("2") => Ok(body),
        _ => Err(format!(
            "{path}: {}: {}",
            head.lines().next().unwrap_or_default(),
            String::from_utf8_lossy(&body)
        )
        .into()),
    }
}

/// A body without the marks of its chunks.
fn joined(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = crate::http::find(body, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 2 + size + 2..)?;
    }
}

/// The bytes of all files in a folder.
fn bytes_in(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() {
            bytes_in(&entry.path())?
        } else if kind.is_file() {
            entry.metadata()?.len()
        } else {
            0
        };
    }
    Ok(bytes)
}
