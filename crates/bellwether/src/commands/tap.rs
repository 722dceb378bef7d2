//! `tap`: the calls of a service as they go by.

use clap::Args;
use identity::ServiceName;
use serde::Deserialize;
use serde_json::Value as Json;
use wire::native::{
    api::{LeftOut, TapOpen, TappedCall},
    channel::StatusFilter,
    problem::Problem,
};

use super::{Asking, figures, is_passing};
use crate::{
    client::{Client, Message},
    output::{self, Format, Style, strip},
};

/// How long to wait before a stream that ended is opened again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Show the calls of a service as they go by, a line each
///
/// The proxies choose: calls that are not asked for never leave them, and what is more than --per-second in a
/// proxy is counted instead. While nobody taps, calls pay nothing for it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether tap payments --status 5xx\n  bellwether tap payments --limit 10 -o jsonl"
)]
pub(crate) struct Tap {
    /// The service
    service: ServiceName,
    /// Only calls whose clients were told this: a class such as 5xx, or a status such as 503
    #[arg(long)]
    status: Option<StatusFilter>,
    /// End after this many calls
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// How many calls a second each proxy tells at most, up to 1000; 100 where it is not given
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    per_second: Option<u32>,
    #[command(flatten)]
    asking: Asking,
}

impl Tap {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            let (mut left, mut answered) = (self.limit, false);
            loop {
                match self.stream(&client, format, &mut left, &mut answered).await {
                    Ok(()) if left == Some(0) => return Ok(()),
                    Ok(()) => output::tell("the stream has ended; it is opened again"),
                    Err(problem) if answered && is_passing(&problem) => output::problem(&problem),
                    Err(problem) => return Err(problem),
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    async fn stream(
        &self,
        client: &Client,
        format: Format,
        left: &mut Option<u64>,
        answered: &mut bool,
    ) -> Result<(), Problem> {
        let path = client.in_namespace().segment("services").segment(self.service.as_str()).segment("tap");
        let path = path.maybe("status", self.status).maybe("per_second", self.per_second);
        let mut stream = client.stream(path.maybe("limit", *left)).await?;
        *answered = true;
        while let Some(message) = stream.next().await? {
            if show(format, &message)? {
                *left = left.map(|left| left.saturating_sub(1));
            }
            if *left == Some(0) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Shows a message, and says whether it was a call.
fn show(format: Format, message: &Message) -> Result<bool, Problem> {
    let Ok(data) = serde_json::from_str::<Json>(&message.data) else { return Ok(false) };
    match message.event.as_str() {
        "call" => {
            let line = || {
                TappedCall::deserialize(&data).map_or_else(|_| strip(&data.to_string()), |call| words(&call))
            };
            output::item(format, &data, line)?;
            return Ok(true);
        }
        "open" => {
            if let Ok(open) = TapOpen::deserialize(&data) {
                output::tell(&opened(&open));
            }
        }
        "left_out" => {
            if let Ok(left_out) = LeftOut::deserialize(&data) {
                output::tell(&format!("… {} calls more than are shown", left_out.calls));
            }
        }
        _ => {}
    }
    Ok(false)
}

fn opened(open: &TapOpen) -> String {
    match open.proxies.as_slice() {
        [] => "no proxy is connected; calls are shown once one is".to_owned(),
        proxies => strip(&format!(
            "calls through {}, at most {} a second of each",
            proxies.join(", "),
            open.per_second
        )),
    }
}

/// One line: when, who, what, the answer, how long, where, and what else there is to say.
fn words(call: &TappedCall) -> String {
    let style = Style::of_stdout();
    let status = call.status.map_or_else(|| "gone".to_owned(), |status| status.to_string());
    let is_well = matches!(call.outcome.as_str(), "ok" | "cancelled");
    let status = if is_well { style.good(&status) } else { style.bad(&status) };
    let mut line = format!(
        "{} {} {} {} {status} {}",
        style.faint(&figures::time(&call.at)),
        strip(&call.caller),
        strip(&call.method),
        strip(&call.path),
        figures::nanos(call.duration_ns),
    );
    if let (Some(instance), Some(address)) = (&call.instance, &call.address) {
        line.push_str(&strip(&format!(" {instance} {address}")));
    }
    if call.attempts > 1 {
        line.push_str(&format!(" attempts={}", call.attempts));
    }
    if let Some(refused) = &call.refused {
        line.push_str(&strip(&format!(" {refused}")));
    }
    if !call.detail.is_empty() {
        line.push_str(&strip(&format!(" ({})", call.detail)));
    }
    line.push_str(&format!(" {}", style.faint(&strip(&call.trace_id))));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_happened_and_obeys_nobody() {
        let call = TappedCall {
            at: "2026-01-31T14:03:00.123456789Z".to_owned(),
            proxy: "gateway".to_owned(),
            caller: "gateway".to_owned(),
            method: "GET".to_owned(),
            path: "/a\u{1b}[2J".to_owned(),
            status: Some(503),
            outcome: "refused".to_owned(),
            duration_ns: 1_500_000,
            instance: Some("cart-1".to_owned()),
            address: Some("10.0.0.7:80".to_owned()),
            attempts: 2,
            refused: Some("breaker_open".to_owned()),
            detail: "it is open".to_owned(),
            trace_id: "07".to_owned(),
        };
        assert_eq!(
            words(&call),
            "2026-01-31T14:03:00.123Z gateway GET /a\u{fffd}[2J 503 1.50 ms cart-1 10.0.0.7:80 attempts=2 \
             breaker_open (it is open) 07"
        );
    }
}
