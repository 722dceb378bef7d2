//! Which core does what, so that a server's load does not take the server's time.
//!
//! The first core that this process may use belongs to the servers under test, all of the others to the
//! load. Threads and processes inherit the cores of the thread that starts them, so the load's place is
//! taken once, before a runtime is made, and a server is started in between from the servers' place.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// The two places.
#[derive(Debug)]
pub(crate) struct Cores {
    servers: CpuSet,
    load: CpuSet,
}

impl Cores {
    /// Takes the load's place with this thread, and with all that it starts. `None` where there is a
    /// single core, which everybody then shares.
    pub(crate) fn part() -> Result<Option<Cores>, Failure> {
        let all = sched_getaffinity(None)?;
        let (mut servers, mut load) = (CpuSet::new(), all);
        let Some(first) = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)) else { return Ok(None) };
        servers.set(first);
        load.unset(first);
        if load.count() == 0 {
            return Ok(None);
        }
        sched_setaffinity(None, &load)?;
        Ok(Some(Cores { servers, load }))
    }

    /// Runs `start` in the servers' place: what it starts stays there.
    pub(crate) fn on_servers<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        sched_setaffinity(None, &self.servers)?;
        let started = start();
        sched_setaffinity(None, &self.load)?;
        Ok(started)
    }

    /// Runs `start` in both places at once: what it starts uses all cores.
    pub(crate) fn on_all<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        let mut all = self.load;
        (0..CpuSet::MAX_CPU).filter(|core| self.servers.is_set(*core)).for_each(|core| all.set(core));
        sched_setaffinity(None, &all)?;
        let started = start();
        sched_setaffinity(None, &self.load)?;
        Ok(started)
    }
}
