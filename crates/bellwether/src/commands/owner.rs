//! `owner`: whose key is it?

use clap::Args;
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading, service::address};
use crate::output::Table;

/// Show which instance owns a key
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether owner recommendations user-42")]
pub(crate) struct Owner {
    /// The service
    service: ServiceName,
    /// The key, such as a user's id
    key: String,
    #[command(flatten)]
    reading: Reading,
}

impl Owner {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let services = client.in_namespace().segment("services");
            let path = services.segment(self.service.as_str()).segment("owner").query("key", &self.key);
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "", |owner: api::Owner| {
                let mut table = Table::new(&["key", "instance", "address", "home", "reason"]);
                let (id, place) = owner
                    .instance
                    .map(|instance| (instance.id, address(&instance.address, instance.port)))
                    .unwrap_or_default();
                table.row([owner.key, id, place, owner.home.id, owner.reason]);
                table.text("")
            }))
        })
    }
}
