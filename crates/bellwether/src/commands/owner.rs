//! `owner`: whose key is it?

use clap::Args;
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading, service::address};
use crate::output::Table;

/// Show which instance owns a key
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether owner recommendations user-42\n  bellwether owner recommendations user-42 --algorithm maglev --bounded 1.25"
)]
pub(crate) struct Owner {
    /// The service
    service: ServiceName,
    /// The key, such as a user's id
    key: String,
    /// How its home is found: ring, maglev or nearest
    #[arg(long)]
    algorithm: Option<String>,
    /// Pass on keys of an instance that has more than this many times the mean of the calls in flight
    #[arg(long, value_name = "FACTOR")]
    bounded: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

impl Owner {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let services = client.in_namespace().segment("services");
            let path = services.segment(self.service.as_str()).segment("owner").query("key", &self.key);
            let path = path.maybe("algorithm", self.algorithm.as_deref());
            let path = path.maybe("bounded", self.bounded.as_deref());
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "", |owner: api::Owner| {
                let mut table = Table::new(&["key", "instance", "address", "home", "reason"]);
                let approximate = if owner.approximate {
                    "it depends on the calls in flight, which each proxy sees a little differently\n"
                } else {
                    ""
                };
                let (id, place) = owner
                    .instance
                    .map(|instance| (instance.id, address(&instance.address, instance.port)))
                    .unwrap_or_default();
                table.row([owner.key, id, place, owner.home.id, owner.reason]);
                table.text("") + approximate
            }))
        })
    }
}
