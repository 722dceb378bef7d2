//! A path between two processes that a test can block or cut: what a network does when it fails.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// How the path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Open,
    /// A black hole: connections stay, and what is sent waits until the path is open again.
    Stalled,
    /// Connections break, and new ones with them.
    Cut,
    /// The test is over.
    Gone,
}

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    path: Path,
    to: SocketAddr,
    /// Both ends of every connection.
    streams: Vec<TcpStream>,
}

impl Relay {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(State { path: Path::Open, to, streams: Vec::new() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = accepting.clone();
                if shared.lock().path == Path::Gone {
                    return;
                }
                thread::spawn(move || shared.connect(stream));
            }
        });
        Self { address, shared }
    }

    /// Makes the path so.
    pub(crate) fn set(&self, path: Path) {
        let mut state = self.shared.lock();
        state.path = path;
        if matches!(path, Path::Cut | Path::Gone) {
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }

    /// New connections go elsewhere.
    pub(crate) fn lead_to(&self, to: SocketAddr) {
        self.shared.lock().to = to;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Path::Gone);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path once it is no black hole.
    fn until_it_is_clear(&self) -> MutexGuard<'_, State> {
        let stalled = |state: &mut State| state.path == Path::Stalled;
        self.changed.wait_while(self.lock(), stalled).unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: Arc<Self>, from: TcpStream) {
        let to = {
            let state = self.until_it_is_clear();
            if state.path != Path::Open {
                return;
            }
            state.to
        };
        let Ok(to) = TcpStream::connect(to) else { return };
        let ends = [&from, &to].map(|end| end.try_clone().unwrap());
        let mut state = self.lock();
        if matches!(state.path, Path::Cut | Path::Gone) {
            return;
        }
        state.streams.extend(ends);
        drop(state);
        let (back, there, shared) = (from.try_clone().unwrap(), to.try_clone().unwrap(), self.clone());
        thread::spawn(move || shared.pump(to, back));
        self.pump(from, there);
    }

    /// Carries bytes one way, until either end closes.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let path = self.until_it_is_clear().path;
            if path != Path::Open || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // Also an end is not heard of through a black hole.
        drop(self.until_it_is_clear());
        [from, to].iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }
}
