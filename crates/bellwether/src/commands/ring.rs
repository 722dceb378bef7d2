//! `ring`: how the keys of a service are shared out.

use clap::Args;
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures};
use crate::output::Table;

/// Show how keys are shared out among the instances of a service
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether ring recommendations --algorithm maglev")]
pub(crate) struct Ring {
    /// The service
    service: ServiceName,
    /// How a key's home is found: ring, maglev or nearest
    #[arg(long)]
    algorithm: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

impl Ring {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path =
                client.in_namespace().segment("services").segment(self.service.as_str()).segment("ring");
            let answer = client.get(path.maybe("algorithm", self.algorithm.as_deref())).await?;
            Ok(Page::new(answer, "/members", |ring: api::Ring| {
                let mut table = Table::new(&["instance", "status", "weight", "points", "share"]);
                for member in ring.members {
                    table.row([
                        member.id,
                        member.status,
                        member.weight.to_string(),
                        member.points.to_string(),
                        figures::percent(member.share),
                    ]);
                }
                table.text("no instances")
            }))
        })
    }
}
