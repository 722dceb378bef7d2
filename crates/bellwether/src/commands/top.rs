//! `top`: what is busy, what fails, what is slow, as it changes.
//!
//! The figures are the control plane's rolling windows, in which a call is seen about a second after its
//! end. Keys sort; where nobody sits at a terminal it prints page after page, without any control character.

use std::{cmp::Ordering, io, time::Duration};

use clap::{Args, ValueEnum};
use identity::duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use wire::native::{
    api::{EdgeRed, Quantile, Red, RedReport, ServiceRed},
    problem::{Code, Problem},
};

use super::{Asking, Page, figures, is_passing};
use crate::{
    client::{Client, Path},
    output::{self, Format, Keys, Style, Table},
};

/// A page is asked for at most this often, since each costs the control plane a walk over all series.
const OFTEN: Duration = Duration::from_millis(500);

/// Rows of each table where no terminal says how many it shows.
const ROWS: usize = 1_000;

/// Show rates, errors and durations of every service and every edge, live
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: r rate, e errors, f refused, 5 p50, 9 p99, m max, n name; space refreshes, q quits.\n\nExamples:\n  bellwether top --sort errors\n  bellwether top --once -o json"
)]
pub(crate) struct Top {
    /// What the rows are sorted by
    #[arg(long, value_enum, default_value = "rate", value_name = "COLUMN")]
    sort: Column,
    /// How far back the figures reach, from 10s to 1h
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    window: Duration,
    /// How often it looks, at most every 500ms
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = duration::parse)]
    every: Duration,
    /// Show one page and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    asking: Asking,
}

/// A column that rows are sorted by: names upwards, figures downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Column {
    Rate,
    Errors,
    Refused,
    P50,
    P99,
    Max,
    Name,
}

impl Column {
    const ALL: [Self; 7] =
        [Self::Name, Self::Rate, Self::Errors, Self::Refused, Self::P50, Self::P99, Self::Max];

    fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::Refused => "refused",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Name => "name",
        }
    }

    fn of_key(key: u8) -> Option<Self> {
        Some(match key.to_ascii_lowercase() {
            b'r' => Self::Rate,
            b'e' => Self::Errors,
            b'f' => Self::Refused,
            b'5' => Self::P50,
            b'9' => Self::P99,
            b'm' => Self::Max,
            b'n' | b's' => Self::Name,
            _ => return None,
        })
    }

    /// Which of two rows comes first.
    fn order(self, one: &Row, other: &Row) -> Ordering {
        let most = |quantile: Option<Quantile>| quantile.map_or(0, |of| of.estimate);
        let (a, b) = (&one.red, &other.red);
        let figure = match self {
            Self::Rate => b.rate_per_second.total_cmp(&a.rate_per_second),
            Self::Errors => b.error_ratio.total_cmp(&a.error_ratio).then(b.errors.cmp(&a.errors)),
            Self::Refused => b.refused.cmp(&a.refused),
            Self::P50 => most(b.p50_ns).cmp(&most(a.p50_ns)),
            Self::P99 => most(b.p99_ns).cmp(&most(a.p99_ns)),
            Self::Max => b.max_ns.cmp(&a.max_ns),
            Self::Name => Ordering::Equal,
        };
        // Rows that are alike keep their places from page to page.
        figure.then_with(|| one.name.cmp(&other.name))
    }
}

struct Row {
    name: String,
    red: Red,
}

impl Top {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            if self.once {
                return self.page(&client, self.sort, ROWS).await?.print(format);
            }
            let keys = if format == Format::Table { Keys::listen()? } else { None };
            self.follow(&client, format, keys).await
        })
    }

    async fn follow(&self, client: &Client, format: Format, mut keys: Option<Keys>) -> Result<(), Problem> {
        let unheard = |error: io::Error| Problem::new(Code::Internal, error.to_string());
        let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
        let mut tick = interval(self.every.max(OFTEN));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sort, mut answered) = (self.sort, false);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                key = Keys::next(&mut keys) => match key {
                    b'q' | b'Q' => return Ok(()),
                    b' ' => {}
                    key => match Column::of_key(key) {
                        Some(column) => sort = column,
                        None => continue,
                    },
                },
            }
            match self.page(client, sort, output::rows().unwrap_or(ROWS)).await {
                Ok(page) => {
                    answered = true;
                    output::clear()?;
                    page.print(if format == Format::Json { Format::Jsonl } else { format })?;
                }
                Err(problem) if answered && is_passing(&problem) => output::problem(&problem),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// A page of at most so many lines.
    async fn page(&self, client: &Client, sort: Column, lines: usize) -> Result<Page, Problem> {
        let path = Path::v1().segment("red").query("namespace", client.namespace().as_str());
        let answer = client.get(path.query("window", &duration::format(self.window))).await?;
        let words = |report: RedReport| {
            let style = Style::of_stdout();
            let window = duration::format(Duration::from_nanos(report.window_ns));
            let head = format!("namespace {}, the last {window}, by {}", client.namespace(), sort.title());
            // The head, two headers, and a blank line between the tables.
            let room = (lines.saturating_sub(5) / 2).max(1);
            let services = report.services.into_iter().map(service).collect();
            let edges = report.edges.into_iter().map(edge).collect();
            let services = table("service", services, sort, room);
            format!("{}\n{services}\n{}", style.faint(&head), table("edge", edges, sort, room))
        };
        Ok(Page::new(answer, "", words))
    }
}

fn service(of: ServiceRed) -> Row {
    Row { name: of.service, red: of.red }
}

fn edge(of: EdgeRed) -> Row {
    Row { name: format!("{} → {}", of.caller, of.service), red: of.red }
}

/// The first rows, and how many there are beside them.
fn table(what: &str, mut rows: Vec<Row>, sort: Column, room: usize) -> String {
    rows.sort_by(|one, other| sort.order(one, other));
    let titles = Column::ALL.map(|column| {
        let title = if column == Column::Name { what } else { column.title() };
        if column == sort { format!("{title} ▼") } else { title.to_owned() }
    });
    let mut table = Table::new(&titles.each_ref().map(String::as_str));
    let more = rows.len().saturating_sub(room);
    for Row { name, red } in rows.into_iter().take(room) {
        let errors = format!("{} ({})", red.errors, figures::percent(red.error_ratio));
        table.row([
            name,
            figures::rate(&red),
            errors,
            red.refused.to_string(),
            figures::quantile(red.p50_ns),
            figures::quantile(red.p99_ns),
            figures::nanos(red.max_ns),
        ]);
    }
    let text = table.text(&format!("no calls to any {what} in this time"));
    if more > 0 { format!("{text}… and {more} more\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, calls: u64, errors: u64, p99: u64) -> Row {
        let p99 = Quantile { estimate: p99, lower: p99, upper: p99 };
        let red = Red {
            calls,
            errors,
            refused: errors / 2,
            rate_per_second: calls as f64 / 60.0,
            error_ratio: errors as f64 / calls as f64,
            failing: errors > 0,
            mean_ns: 1,
            p50_ns: Some(p99),
            p90_ns: None,
            p99_ns: Some(p99),
            max_ns: p99.upper,
        };
        Row { name: name.to_owned(), red }
    }

    #[test]
    fn every_column_has_a_key_and_sorts_what_people_look_for_to_the_top() {
        let first = |key: u8| {
            let mut rows = [row("b", 100, 0, 5), row("c", 10, 10, 1), row("a", 100, 2, 9)];
            let sort = Column::of_key(key).unwrap();
            rows.sort_by(|one, other| sort.order(one, other));
            rows.map(|row| row.name).join("")
        };
        let sorted = b"refe59mn".map(first);
        assert_eq!(sorted, ["abc", "cab", "cab", "cab", "abc", "abc", "abc", "abc"]);
        for column in Column::ALL {
            assert!((0..=127).any(|key| Column::of_key(key) == Some(column)), "{column:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_a_number() {
        let rows = vec![row("b", 1, 0, 1), row("a", 2, 0, 1), row("c", 3, 0, 1)];
        let text = table("service", rows, Column::Name, 2);
        assert!(text.contains("SERVICE ▼") && text.ends_with("… and 1 more\n"), "{text}");
        assert!(!text.contains("\nc"), "{text}");
    }
}
