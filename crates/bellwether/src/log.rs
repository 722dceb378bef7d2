//! The log: on standard error, for people on a terminal and as JSON lines otherwise.
//!
//! Nothing that is logged holds a secret: secrets are of types whose `Debug` hides them, and headers
//! are not logged.

use std::{
    fmt,
    io::{self, IsTerminal},
    panic,
};

use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{format::Writer, layer, time::FormatTime},
    layer::SubscriberExt,
    reload,
};
use wire::native::problem::{Code, Problem};

use crate::{
    clock,
    config::{LogFormat, Settings},
};

/// Changes the log's level while the process runs.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    for_people: bool,
}

/// RFC 3339 in UTC, to the microsecond.
struct Wall;

impl FormatTime for Wall {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let text = clock::wall().to_string();
        match text.strip_suffix('Z').and_then(|text| text.get(..text.len().saturating_sub(3))) {
            Some(micros) => write!(writer, "{micros}Z"),
            None => writer.write_str(&text),
        }
    }
}

impl Log {
    /// Starts the log of this process, and has it told of panics.
    pub(crate) fn start(settings: &Settings) -> Self {
        let (filter, handle) = reload::Layer::new(settings.log_level.clone());
        let json = match settings.log_format {
            LogFormat::Json => true,
            LogFormat::Text => false,
            LogFormat::Auto => !io::stderr().is_terminal(),
        };
        let layer = layer().with_timer(Wall).with_writer(io::stderr);
        let subscriber = Registry::default().with(filter);
        // Whoever is second in a process (a test) keeps the first one's log.
        let _ = if json {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            tracing::subscriber::set_global_default(subscriber.with(layer))
        } else {
            let ansi = crate::output::coloured(&io::stderr());
            tracing::subscriber::set_global_default(subscriber.with(layer.with_ansi(ansi)))
        };
        panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("no message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, message, "a task panicked; the process goes on");
        }));
        Self { filter: handle, for_people: !json }
    }

    /// Whether people read it as it comes.
    pub(crate) fn is_for_people(&self) -> bool {
        self.for_people
    }

    /// Takes the level from newly read settings.
    pub(crate) fn reload(&self, settings: &Settings) -> Result<(), Problem> {
        self.filter.reload(settings.log_level.clone()).map_err(|error| {
            Problem::new(Code::Internal, format!("the log level cannot be changed: {error}"))
        })
    }
}
