//! The commands that stay: each puts parts together, says where they are, and waits for the end.

use std::future::Future;

use wire::native::problem::{Code, Problem};

mod banner;
mod demo;
mod gateway;
mod handover;
mod parts;
mod server;
mod signals;
mod up;

pub(crate) use demo::{Demo, DemoControl, DemoService};
pub(crate) use gateway::Gateway;
pub(crate) use server::Server;
pub(crate) use up::Up;

/// More threads than this serve nobody faster, and each has its own arena of memory. Neither do more than
/// there are cores: on a single one, two would hand requests to each other, which costs a sixth of a request.
const THREADS_MAX: usize = 16;

/// Runs what stays until it ends by itself.
fn stay(work: impl Future<Output = Result<(), Problem>>) -> Result<(), Problem> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(THREADS_MAX))
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Internal, format!("no runtime can be started: {error}")))?;
    let ended = runtime.block_on(work);
    // Everything that matters has been waited for; a thread that is stuck must not keep the process.
    runtime.shutdown_background();
    ended
}
