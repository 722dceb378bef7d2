//! Answers that go on: server-sent events of whoever follows something.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::response::{
    IntoResponse, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::stream;
use serde::Serialize;

/// How often a silent stream says that it is alive, so that middle boxes keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Somebody who follows something on behalf of a client.
pub(super) trait Follower: Send + 'static {
    /// The next event as soon as there is one; `None` ends the stream, above all when the server stops.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// The stream of what a follower sees.
pub(super) fn answer(follower: impl Follower) -> impl IntoResponse {
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// An event with a JSON body. A client that comes back says the last id that it has.
pub(super) fn event<T: Serialize>(name: &str, id: u64, body: &T) -> Event {
    // The shapes of the API have no maps with keys that JSON cannot write.
    let data = serde_json::to_string(body).unwrap_or_default();
    Event::default().event(name).id(id.to_string()).data(data)
}
