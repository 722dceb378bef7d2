//! Rotel, a collector in Rust: what receiving alone costs. It decodes, batches, and throws away.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{Failure, clock};

/// What to say where it is not installed.
pub(super) const MISSING: &str =
    "Rotel is not installed; `pip install --target target/tools/rotel rotel` brings it";
/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// A collector that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Rotel {
    child: Child,
    address: SocketAddr,
    pub(super) version: String,
}

impl Rotel {
    /// Starts the collector; `None` where it is not installed.
    pub(super) fn start(folder: &Path) -> Result<Option<Self>, Failure> {
        let program = PathBuf::from("target/tools/rotel/rotel/rotel-agent");
        let Ok(version) = Command::new(&program).arg("--version").output() else { return Ok(None) };
        let version = String::from_utf8_lossy(&version.stdout).trim().replace("rotel ", "");
        // It cannot be asked for any free port, so two are found for it.
        let (grpc, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (address, other) = (grpc.local_addr()?, http.local_addr()?);
        drop((grpc, http));
        let child = Command::new(program)
            .args(["start", "--exporter", "blackhole", "--otlp-grpc-endpoint", &address.to_string()])
            .args(["--otlp-http-endpoint", &other.to_string()])
            .arg("--pid-file")
            .arg(folder.join("rotel.pid"))
            .arg("--log-file")
            .arg(folder.join("rotel.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let rotel = Self { child, address, version };
        let begin = clock::now();
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > START {
                return Err(format!("Rotel did not serve within {} s", START.as_secs()).into());
            }
            clock::pause(Duration::from_millis(20));
        }
        Ok(Some(rotel))
    }

    /// Its process, and where it takes OTLP over gRPC.
    pub(super) fn at(&self) -> (u32, SocketAddr) {
        (self.child.id(), self.address)
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
