//! SIGTERM and SIGINT ask the process to stop, twice means at once; SIGHUP has it read its settings again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use wire::native::problem::{Code, Exit, Problem};

use crate::output;

/// The signals that this process listens to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Problem> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Problem::new(Code::Internal, format!("no signals can be received: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody asks the process to stop. The next time they ask, it ends at once.
    pub(super) async fn stop(mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => reload(),
            }
        }
        tracing::info!("stopping: what has begun is finished first");
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            output::tell("stopped at once, as asked for twice");
            std::process::exit(i32::from(Exit::Failed as u8));
        });
    }
}
