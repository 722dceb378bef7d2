//! Following a stream for as long as the person wants to see it, also across restarts of the server.

use std::time::Duration;

use serde_json::Value as Json;
use wire::native::problem::Problem;

use super::is_passing;
use crate::{
    client::{Client, Message, Path},
    output,
};

/// How long to wait before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows every message from `since` on. `path` is where the stream after a revision is.
pub(super) async fn follow(
    client: &Client,
    mut since: Option<u64>,
    path: impl Fn(Option<u64>) -> Path,
    show: impl Fn(&Message, &Json) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut answered = false;
    loop {
        let ended = async {
            let mut stream = client.stream(path(since)).await?;
            answered = true;
            while let Some(message) = stream.next().await? {
                since = message.id.parse().ok().or(since);
                if let Ok(data) = serde_json::from_str(&message.data) {
                    show(&message, &data)?;
                }
            }
            Ok(())
        };
        match ended.await {
            Ok(()) => {}
            // Who was there once may come back; who never was is a mistake to be told.
            Err(problem) if answered && is_passing(&problem) => output::problem(&problem),
            Err(problem) => return Err(problem),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
