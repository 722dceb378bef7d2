//! The shop as the one who runs it sees it: its processes, from their start to their end.

use std::{future::poll_fn, io, net::SocketAddr, path::PathBuf, process::Stdio, task::Poll, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{acts::Act, fault::Fault, kind::Kind};

/// How long a process may take to register, and to end.
const BEGINNING: Duration = Duration::from_secs(15);
const ENDING: Duration = Duration::from_secs(8);

/// The version with which every service begins.
const VERSION: &str = "1.4.0";

/// How an instance is started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program; it is called with `demo-service KIND ID --version V --control ADDRESS --gateway ADDRESS`.
    pub program: PathBuf,
    /// Further flags.
    pub flags: Vec<String>,
    /// Where instances register.
    pub control: SocketAddr,
    /// Through what they call each other.
    pub gateway: SocketAddr,
}

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
    plan: Plan,
    places: Vec<Place>,
}

/// Where an instance is, or was.
#[derive(Debug)]
struct Place {
    kind: Kind,
    id: String,
    version: String,
    fault: Fault,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    pipe: Option<ChildStdin>,
    instance: Instance,
}

impl Shop {
    /// Starts the processes, all at once, and waits until each has registered.
    ///
    /// # Errors
    /// The process that did not start, or did not register in time; the others are stopped.
    pub async fn open(plan: Plan) -> io::Result<Self> {
        let places = Kind::ALL.into_iter().flat_map(|kind| {
            (1..=kind.instances()).map(move |number| Place {
                kind,
                id: format!("{}-{number}", kind.as_str()),
                version: VERSION.to_owned(),
                fault: Fault::default(),
                process: None,
            })
        });
        let mut places: Vec<Place> = places.collect();
        let mut starting = Vec::new();
        for place in &places {
            starting.push(place.start(&plan)?);
        }
        for (place, child) in places.iter_mut().zip(starting) {
            place.process = Some(Process::registered(&place.id, child).await?);
        }
        Ok(Self { plan, places })
    }

    /// Its instances.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.places.iter().filter_map(|place| Some(&place.process.as_ref()?.instance))
    }

    /// Carries out acts, and tells of instances that end without having been asked to, for as long as
    /// somebody may act.
    pub async fn run(&mut self, mut acts: mpsc::Receiver<Act>) {
        loop {
            tokio::select! {
                act = acts.recv() => match act {
                    Some(act) => self.carry_out(&act).await,
                    None => return,
                },
                (at, how) = self.loss() => {
                    if let Some(place) = self.places.get_mut(at) {
                        tracing::warn!(id = place.id, how, "the shop has lost an instance");
                        place.process = None;
                    }
                }
            }
        }
    }

    async fn carry_out(&mut self, act: &Act) {
        tracing::info!(?act, "is done to the shop");
        if *act == Act::Heal {
            // All that runs is well before the first of it is replaced.
            for place in &mut self.places {
                if let Err(error) = place.suffer(Fault::default()).await {
                    tracing::error!(%error, id = place.id, "cannot be healed");
                }
            }
        }
        for at in 0..self.places.len() {
            let (Some(place), plan) = (self.places.get_mut(at), &self.plan) else { continue };
            let done = match act {
                Act::Break { service, fault } if place.kind.as_str() == service => place.suffer(*fault).await,
                Act::Kill { instance } if place.id == *instance => place.kill().await,
                Act::Release { service, version } if place.kind.as_str() == service => {
                    place.replace(plan, version, Fault::BAD_RELEASE).await
                }
                // What is well is left as it is: a healed shop is not a restarted one.
                Act::Heal if place.version != VERSION || place.process.is_none() => {
                    place.replace(plan, VERSION, Fault::default()).await
                }
                _ => Ok(()),
            };
            if let Err(error) = done {
                tracing::error!(%error, id = place.id, "that cannot be done");
            }
        }
    }

    /// Waits for a process that ends without having been asked to, and says which, and how.
    async fn loss(&mut self) -> (usize, String) {
        let mut ended: Vec<_> = Vec::new();
        for (at, place) in self.places.iter_mut().enumerate() {
            let Some(process) = &mut place.process else { continue };
            ended.push(Box::pin(async move {
                let how = process.child.wait().await;
                (at, how.map_or_else(|error| error.to_string(), |status| status.to_string()))
            }));
        }
        poll_fn(|context| {
            let ready = ended.iter_mut().find_map(|waiting| match waiting.as_mut().poll(context) {
                Poll::Ready(loss) => Some(loss),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Closes: every process finishes its calls and deregisters; one that does not is killed.
    pub async fn close(mut self) {
        // All are told before one is waited for.
        for process in self.places.iter_mut().filter_map(|place| place.process.as_mut()) {
            process.pipe = None;
        }
        for process in self.places.iter_mut().filter_map(|place| place.process.take()) {
            process.end().await;
        }
    }
}

impl Place {
    fn start(&self, plan: &Plan) -> io::Result<Child> {
        Command::new(&plan.program)
            .args(["demo-service", self.kind.as_str(), &self.id, "--version", &self.version])
            .args(["--control", &plan.control.to_string(), "--gateway", &plan.gateway.to_string()])
            .args(&plan.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Gives the fault to the process, if there is one.
    async fn suffer(&mut self, fault: Fault) -> io::Result<()> {
        self.fault = fault;
        let Some(pipe) = self.process.as_mut().and_then(|process| process.pipe.as_mut()) else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(&fault)?;
        line.push(b'\n');
        pipe.write_all(&line).await
    }

    async fn kill(&mut self) -> io::Result<()> {
        match self.process.take() {
            Some(mut process) => process.child.kill().await,
            None => Err(io::Error::other("is not running")),
        }
    }

    /// Ends the process in good order, and begins another one in its place.
    async fn replace(&mut self, plan: &Plan, version: &str, fault: Fault) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.pipe = None;
            process.end().await;
        }
        version.clone_into(&mut self.version);
        self.process = Some(Process::registered(&self.id, self.start(plan)?).await?);
        self.suffer(fault).await
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

    /// Waits until it has ended, for a time.
    async fn end(mut self) {
        let id = &self.instance.id;
        if timeout(ENDING, self.child.wait()).await.is_err() {
            tracing::warn!(id, "did not end when it was asked to, and is killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, id, "cannot be killed");
            }
        }
    }
}
