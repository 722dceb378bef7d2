//! A control plane that ends and begins again, on the same data folder and another port each time, and the
//! clock by which its clients' operations are ordered.

use std::{
    net::SocketAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::support::{PATIENCE, Process, text};

pub(crate) struct Stand {
    folder: tempfile::TempDir,
    moments: AtomicU64,
    lives: Mutex<Lives>,
    changed: Condvar,
}

#[derive(Default)]
struct Lives {
    /// The process, while there is one.
    now: Option<Process>,
    /// When each of the processes before it was gone.
    ended: Vec<u64>,
    /// Whoever waits for another life waits in vain.
    over: bool,
}

/// A process of the control plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    number: usize,
    pub(crate) address: SocketAddr,
}

impl Stand {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stand =
            Self { folder, moments: AtomicU64::new(1), lives: Mutex::default(), changed: Condvar::new() };
        stand.begin();
        stand
    }

    /// A moment after every one that was given before, on whichever thread.
    pub(crate) fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// Starts the process.
    pub(crate) fn begin(&self) -> Life {
        let data = self.folder.path().join("data");
        let process = Process::start(&["server", "--data", text(&data), "--listen", "127.0.0.1:0"]);
        let mut lives = self.lock();
        let life = Life { number: lives.ended.len(), address: process.address("listen") };
        lives.now = Some(process);
        self.changed.notify_all();
        life
    }

    /// What `kill -9` does. Nothing that it was asked is done after this.
    pub(crate) fn kill(&self) {
        // The lock is held until it is gone, so that nobody takes the address of a dead process for a living
        // one's because of a race of ours.
        let mut lives = self.lock();
        lives.now.take().unwrap().kill();
        let moment = self.moment();
        lives.ended.push(moment);
    }

    /// The process that runs, once there is one.
    pub(crate) fn life(&self) -> Life {
        let lives = self.wait("the server runs", |lives| lives.now.is_some());
        let now = lives.now.as_ref().unwrap();
        Life { number: lives.ended.len(), address: now.address("listen") }
    }

    /// Waits until a process is gone that does not answer any more, and says when that was.
    pub(crate) fn end_of(&self, life: Life) -> u64 {
        let lives =
            self.wait("a server that broke a connection has ended", |lives| lives.ended.len() > life.number);
        lives.ended[life.number]
    }

    /// Lets go of whoever waits, because the test has failed.
    pub(crate) fn give_up(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, so: impl Fn(&Lives) -> bool) -> MutexGuard<'_, Lives> {
        let lives = self.lock();
        let (lives, waited) = self
            .changed
            .wait_timeout_while(lives, PATIENCE, |lives| !lives.over && !so(lives))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!lives.over, "the test is over");
        assert!(!waited.timed_out(), "waited in vain until {what}");
        lives
    }

    fn lock(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
