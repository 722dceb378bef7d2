//! Our server as its users run it: the release binary, its own process, default settings but for those that a
//! benchmark names.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::cores::Cores;
use crate::report::progress;
use crate::{Failure, clock, process};

/// How long it may take until it serves.
const START: Duration = Duration::from_secs(60);
/// Between two questions whether it serves.
const READY_PAUSE: Duration = Duration::from_millis(1);

/// The binary under test.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    version: String,
}

impl Program {
    /// The binary at `path`; else it is built.
    pub(crate) fn at(path: Option<&Path>) -> Result<Program, Failure> {
        let path = path.map_or_else(build, |path| Ok(path.to_owned()))?;
        let version = Command::new(&path).arg("--version").output()?;
        let version = String::from_utf8_lossy(&version.stdout).trim().replace("bellwether ", "");
        Ok(Program { path, version })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// Builds the release binary where cargo keeps it.
fn build() -> Result<PathBuf, Failure> {
    /// Of cargo's messages, what an artifact's says.
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    progress("building bellwether");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "bellwether", "--bin", "bellwether"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()?;
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok()?.executable).next_back();
    built.filter(|_| output.status.success()).ok_or_else(|| "bellwether could not be built".into())
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// From its start until it said that it is ready.
    pub(crate) took: Duration,
}

impl Server {
    /// Starts the server on a data folder and waits until it is ready.
    pub(crate) fn start(program: &Program, cores: Option<&Cores>, data: &Path) -> Result<Server, Failure> {
        Server::start_with(program, cores, data, &[])
    }

    /// The same with settings of its own.
    pub(crate) fn start_with(
        program: &Program,
        cores: Option<&Cores>,
        data: &Path,
        settings: &[&str],
    ) -> Result<Server, Failure> {
        let begin = clock::now();
        let mut server = Server::run(program, cores, data, &[&["server"], settings].concat())?;
        while !is_ready(server.address)? {
            if begin.elapsed() > START {
                return Err(format!("the server was not ready within {} s", START.as_secs()).into());
            }
            clock::pause(READY_PAUSE);
        }
        server.took = begin.elapsed();
        Ok(server)
    }

    /// Starts a gateway that follows this control plane.
    pub(crate) fn gateway(
        program: &Program,
        cores: Option<&Cores>,
        data: &Path,
        control: SocketAddr,
    ) -> Result<Server, Failure> {
        Server::run(program, cores, data, &["gateway", "--control", &format!("http://{control}")])
    }

    /// Starts a command that listens on any free port, and waits for it to say where.
    fn run(
        program: &Program,
        cores: Option<&Cores>,
        data: &Path,
        arguments: &[&str],
    ) -> Result<Server, Failure> {
        let log = data.with_extension("log");
        let mut command = Command::new(&program.path);
        command.args(arguments).args(["--listen", "127.0.0.1:0", "-o", "json", "--data"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let child = match cores {
            Some(cores) => cores.on_servers(|| command.spawn())??,
            None => command.spawn()?,
        };
        let mut server = Server { child, address: ([127, 0, 0, 1], 0).into(), took: Duration::ZERO };
        server.address = server.bound(&log)?;
        Ok(server)
    }

    /// The address that it prints.
    fn bound(&mut self, log: &Path) -> Result<SocketAddr, Failure> {
        /// Of what it prints, what we need.
        #[derive(Deserialize)]
        struct Banner {
            listen: SocketAddr,
        }
        let stdout = self.child.stdout.take().ok_or("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let banner: Banner = serde_json::from_str(&line).map_err(|_| {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            format!("the server did not start: {}", log.trim())
        })?;
        Ok(banner.listen)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu_of(self.child.id())
    }

    /// Memory now.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failure> {
        process::resident_bytes(self.child.id())
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("a process without id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already, or goes now; its data is thrown away with the folder.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(address: SocketAddr) -> Result<bool, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
