//! A new process takes over from an old one without losing a connection.
//!
//! Both have the same data folder; the old one listens on a socket in it. The listening socket itself is
//! passed along (`SCM_RIGHTS`), so there is no moment at which nobody accepts: for a while both do.
//!
//! ```text
//! new  → old   takeover 1
//! old  → new   {"listen": …, "proxy": …}, and the listening socket
//!              the new one starts, and waits until it can route calls
//! new  → old   ready
//! old  → new   released     the data folder is not its own any more
//! new  → old   taken        the new one owns it, and the old one finishes what it has begun
//! ```
//!
//! Until `taken` the old one goes on accepting calls, and a new one that fails, whenever it does, has changed
//! nothing: the old one takes its folder back. There is no way for the control plane to do the same: the
//! journals have one owner, and a second process could not answer before the first one has closed them.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    time::Duration,
};

use identity::ProxyId;
use rustix::{net::sockopt::socket_peercred, process::geteuid};
use serde::{Deserialize, Serialize};
use storage_disk::folder::{DataFolder, Store};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};
use wire::native::problem::{Code, Problem};

use line::{hear, say};

mod line;

/// The socket in the gateway's part of the data folder.
const SOCKET_FILE: &str = "takeover";
/// How long the new process may take until it can route calls.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long each other step may take.
const STEP: Duration = Duration::from_secs(10);

/// How long to wait after one that failed, so that whoever fails at once takes no core.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

const TAKEOVER: &str = "takeover 1";
const READY: &str = "ready";
const RELEASED: &str = "released";
const TAKEN: &str = "taken";

/// What the old process tells the new one.
#[derive(Debug, Serialize, Deserialize)]
struct Terms {
    listen: SocketAddr,
    proxy: ProxyId,
}

/// The file of the socket. Names of sockets are short; by way of the open folder any path is.
fn place(data: &Path) -> io::Result<(fs::File, PathBuf)> {
    let folder = data.join(Store::Proxy.as_str());
    fs::create_dir_all(&folder)?;
    let open = fs::File::open(&folder)?;
    let name = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(SOCKET_FILE);
    Ok((open, name))
}

/// The conversation of a new process with the old one.
#[derive(Debug)]
pub(super) struct Takeover {
    with: UnixStream,
    /// What the old one listens on.
    pub(super) socket: TcpListener,
    /// Under which name the control plane knows it.
    pub(super) proxy: ProxyId,
}

impl Takeover {
    /// Asks the process that owns the folder, if there is one, for its socket.
    ///
    /// # Errors
    /// There is one and it does not give it.
    pub(super) async fn begin(data: &Path) -> Result<Option<Self>, Problem> {
        if !data.join(Store::Proxy.as_str()).join(SOCKET_FILE).exists() {
            return Ok(None);
        }
        let asked = async {
            let (_open, name) = place(data)?;
            let with = match UnixStream::connect(name).await {
                Ok(with) => with,
                // Its process is gone, and has left it behind.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(error),
            };
            say(&with, TAKEOVER, None).await?;
            let (line, socket) = hear(&with).await?;
            let Terms { listen, proxy } = serde_json::from_str(&line)?;
            let socket = TcpListener::from(socket.ok_or(io::ErrorKind::InvalidData)?);
            if socket.local_addr()? != listen {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok(Some(Self { with, socket, proxy }))
        };
        timeout(STEP, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
            let detail = format!("the process that owns {} does not hand over: {error}", data.display());
            Problem::new(Code::DataFolderLocked, detail)
                .next("wait for another takeover to end, or stop that process first")
        })
    }

    /// Says that calls can be routed here, takes the folder over and has the old process leave.
    pub(super) async fn complete(self, data: &Path) -> Result<DataFolder, Problem> {
        let broken = |error: io::Error| {
            let detail = format!("the takeover of {} was not completed: {error}", data.display());
            Problem::new(Code::DataFolderLocked, detail).next("the other process goes on; try again")
        };
        let released = async {
            say(&self.with, READY, None).await?;
            match hear(&self.with).await?.0.as_str() {
                RELEASED => Ok(()),
                _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        };
        let released = timeout(STEP, released).await;
        released.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(broken)?;
        let folder = server::data_folder(data)?;
        say(&self.with, TAKEN, None).await.map_err(broken)?;
        Ok(folder)
    }

    /// How long the start may take that comes in between.
    pub(super) const fn patience() -> Duration {
        READY_WITHIN
    }
}

/// Where a process waits for its successor.
#[derive(Debug)]
pub(super) struct Successors {
    listener: UnixListener,
    file: PathBuf,
}

/// What a process gives to its successor, and how it takes it back.
pub(super) trait Estate {
    /// Lets go of the data folder, and what would write to it.
    fn release(&mut self) -> impl Future<Output = ()>;

    /// Takes it back.
    fn take_back(&mut self) -> impl Future<Output = ()>;
}

impl Successors {
    /// Waits from now on. The folder has to be this process's own.
    pub(super) fn listen(data: &Path) -> io::Result<Self> {
        let (_open, name) = place(data)?;
        match fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&name)?;
        Ok(Self { listener, file: data.join(Store::Proxy.as_str()).join(SOCKET_FILE) })
    }

    /// Returns when a successor has taken over. It never does where there is none.
    pub(super) async fn taken_over(&self, socket: &TcpListener, proxy: &ProxyId, estate: &mut impl Estate) {
        loop {
            let handed_over = async {
                let (with, _) = self.listener.accept().await?;
                hand_over(&with, socket, proxy, estate).await
            };
            match handed_over.await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "a process that wanted to take over did not; this one goes on");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Nobody is waited for any more, since this process ends and nobody has taken over.
    pub(super) fn close(self) {
        drop(self.listener);
        let _ = fs::remove_file(self.file);
    }
}

async fn hand_over(
    with: &UnixStream,
    socket: &TcpListener,
    proxy: &ProxyId,
    estate: &mut impl Estate,
) -> io::Result<()> {
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    // The folder may let others in than the process that it belongs to.
    let peer = socket_peercred(with)?;
    if peer.uid != geteuid() && !peer.uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let asked = timeout(STEP, expect(with, TAKEOVER)).await;
    asked.unwrap_or_else(late)?;
    let terms = serde_json::to_string(&Terms { listen: socket.local_addr()?, proxy: proxy.clone() })?;
    say(with, &terms, Some(socket.as_fd())).await?;
    tracing::info!(pid = peer.pid.as_raw_nonzero(), "another process is about to take over");
    let ready = timeout(READY_WITHIN + STEP, expect(with, READY)).await;
    ready.unwrap_or_else(late)?;
    estate.release().await;
    let taken = async {
        say(with, RELEASED, None).await?;
        expect(with, TAKEN).await
    };
    let taken = timeout(STEP, taken).await.unwrap_or_else(late);
    if taken.is_err() {
        estate.take_back().await;
    }
    taken
}

async fn expect(with: &UnixStream, word: &str) -> io::Result<()> {
    let (line, _) = hear(with).await?;
    if line == word { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
