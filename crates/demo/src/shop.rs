//! The shop as the one who runs it sees it: its processes, from their start to their end.

use std::{io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::kind::Kind;

/// How long a process may take to register, and to end.
const BEGINNING: Duration = Duration::from_secs(15);
const ENDING: Duration = Duration::from_secs(8);

/// An instance that is registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// The registry's revision since which it is in it.
    pub revision: u64,
}

/// The running shop. Its processes end with it, however it ends: each holds the other end of a pipe, and
/// stops when that is closed.
#[derive(Debug)]
pub struct Shop {
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    pipe: Option<ChildStdin>,
    instance: Instance,
}

impl Shop {
    /// Starts the processes, all at once, and waits until each has registered. `program` is called with
    /// `demo-service KIND ID --control ADDRESS --gateway ADDRESS` and these flags.
    ///
    /// # Errors
    /// The process that did not start, or did not register in time; the others are stopped.
    pub async fn open(
        program: &Path,
        flags: &[String],
        control: SocketAddr,
        gateway: SocketAddr,
    ) -> io::Result<Self> {
        let mut starting = Vec::new();
        let instances = Kind::ALL.into_iter().flat_map(|kind| {
            (1..=kind.instances()).map(move |number| (kind, format!("{}-{number}", kind.as_str())))
        });
        for (kind, id) in instances {
            let child = Command::new(program)
                .args(["demo-service", kind.as_str(), &id])
                .args(["--control", &control.to_string(), "--gateway", &gateway.to_string()])
                .args(flags)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            starting.push((id, child));
        }
        let mut processes = Vec::new();
        for (id, child) in starting {
            processes.push(Process::registered(&id, child).await?);
        }
        Ok(Self { processes })
    }

    /// Its instances.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.processes.iter().map(|process| &process.instance)
    }

    /// Waits for a process that ends without having been asked to, and says which.
    pub async fn loss(&mut self) -> String {
        let mut ended = Vec::new();
        for process in &mut self.processes {
            let id = process.instance.id.clone();
            ended.push(Box::pin(async move {
                match process.child.wait().await {
                    Ok(status) => format!("{id} ended: {status}"),
                    Err(error) => format!("{id} cannot be waited for: {error}"),
                }
            }));
        }
        std::future::poll_fn(|context| {
            for waiting in &mut ended {
                if let std::task::Poll::Ready(loss) = waiting.as_mut().poll(context) {
                    return std::task::Poll::Ready(loss);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// Closes: every process finishes its calls and deregisters; one that does not is killed.
    pub async fn close(mut self) {
        // All are told before one is waited for.
        for process in &mut self.processes {
            process.pipe = None;
        }
        for process in &mut self.processes {
            if timeout(ENDING, process.child.wait()).await.is_err() {
                tracing::warn!(id = process.instance.id, "did not end when it was asked to, and is killed");
                if let Err(error) = process.child.kill().await {
                    tracing::error!(%error, id = process.instance.id, "cannot be killed");
                }
            }
        }
    }
}

impl Process {
    async fn registered(id: &str, mut child: Child) -> io::Result<Self> {
        let failed = |why: String| io::Error::other(format!("{id} {why}"));
        let pipe = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| failed("has no output".to_owned()))?;
        let mut line = String::new();
        let reading = timeout(BEGINNING, BufReader::new(output).read_line(&mut line)).await;
        reading.map_err(|_| failed(format!("did not register within {} s", BEGINNING.as_secs())))??;
        let instance = serde_json::from_str(&line);
        let instance = instance.map_err(|_| failed("ended before it had registered".to_owned()))?;
        Ok(Self { child, pipe, instance })
    }
}
