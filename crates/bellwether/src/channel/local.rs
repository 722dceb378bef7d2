//! Within the process: values are handed over as they are.

use proxy::{Directory, Sink, SinkError, Subscription, Unavailable};
use wire::native::channel::{Hello, Report, Tapped, Update};

use super::sink_error;

/// The control plane of this process.
#[derive(Debug, Clone)]
pub(crate) struct Local(pub(crate) server::Channel);

/// A watch of it.
#[derive(Debug)]
pub(crate) struct Following(server::Subscription);

impl Directory for Local {
    type Subscription = Following;

    async fn watch(&self, hello: Hello) -> Result<Following, Unavailable> {
        Ok(Following(self.0.watch(hello)))
    }
}

impl Subscription for Following {
    async fn next(&mut self) -> Result<Update, Unavailable> {
        self.0.next().await.ok_or_else(|| Unavailable("it is stopping".to_owned()))
    }

    async fn acknowledge(&mut self, revision: u64) -> Result<(), Unavailable> {
        self.0.ack(revision);
        Ok(())
    }
}

impl Sink for Local {
    async fn report(&self, report: &Report) -> Result<(), SinkError> {
        let taken = self.0.report(report.clone()).await;
        taken.map_err(|problem| sink_error(Some(problem.code()), problem.to_string()))
    }

    async fn tapped(&self, tapped: &Tapped) -> Result<(), SinkError> {
        self.0.tapped(tapped.clone());
        Ok(())
    }
}
