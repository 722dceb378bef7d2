//! What commands print: data on standard output, words on standard error.
//!
//! JSON and YAML are the server's document as it came, so that what a newer server adds is not lost on
//! the way. Tables are for people; their columns may change, and nothing should parse them.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
};

use clap::ValueEnum;
use serde_json::Value as Json;
use wire::native::problem::{Code, Problem};

mod keys;
mod style;
mod table;

pub(crate) use keys::{Keys, rows};
pub(crate) use style::{Style, strip};
pub(crate) use table::Table;

/// The form of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns, for people
    Table,
    /// One JSON document
    Json,
    /// One line of JSON for each item
    Jsonl,
    /// One YAML document
    Yaml,
}

/// Prints a document. `items` is the pointer to the list in it that JSON lines and tables are about; empty
/// for a document that is itself the item.
pub(crate) fn document(
    format: Format,
    document: &Json,
    items: &str,
    table: impl FnOnce() -> Result<String, Problem>,
) -> Result<(), Problem> {
    let text = match format {
        Format::Table => table()?,
        Format::Json => pretty(document)?,
        Format::Yaml => yaml(document)?,
        Format::Jsonl => match document.pointer(items) {
            Some(Json::Array(items)) => items.iter().map(|item| format!("{item}\n")).collect(),
            _ => format!("{document}\n"),
        },
    };
    print(&text)
}

/// Prints one item of an endless list.
pub(crate) fn item(format: Format, item: &Json, line: impl FnOnce() -> String) -> Result<(), Problem> {
    match format {
        Format::Table => print(&format!("{}\n", line())),
        Format::Json | Format::Jsonl => print(&format!("{item}\n")),
        Format::Yaml => print(&format!("---\n{}", yaml(item)?)),
    }
}

fn pretty(document: &Json) -> Result<String, Problem> {
    let text = serde_json::to_string_pretty(document).map_err(|error| unprintable(&error))?;
    Ok(text + "\n")
}

pub(crate) fn yaml(document: &Json) -> Result<String, Problem> {
    let mut text = serde_saphyr::to_string(document).map_err(|error| unprintable(&error))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn unprintable(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::AnswerNotUnderstood, format!("the answer cannot be written in this form: {error}"))
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // The reader has seen enough, as `head` does: this is how it says so.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            Err(Problem::new(Code::FileUnreadable, format!("standard output cannot be written: {error}"))
                .next("check where the output goes"))
        }
    }
}

/// Empties the screen, where there is one.
pub(crate) fn clear() -> Result<(), Problem> {
    if coloured(&io::stdout()) { print("\x1b[H\x1b[2J") } else { Ok(()) }
}

/// Writes a word to the person, on standard error. Nobody may be there.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows a problem: what, where, and what to do.
pub(crate) fn problem(problem: &Problem) {
    let style = Style::of_stderr();
    let mut text =
        format!("{}: {}\n", style.bad(&format!("error[{}]", problem.code())), strip(problem.detail()));
    if let Some(place) = problem.field().or(problem.instance()) {
        text.push_str(&format!("  {} {}\n", style.faint("at:"), strip(place)));
    }
    if !problem.what_next().is_empty() {
        text.push_str(&format!("  {} {}\n", style.faint("next:"), strip(problem.what_next())));
    }
    text.push_str(&format!("  {} bellwether explain {}", style.faint("more:"), problem.code()));
    tell(&text);
}

/// The columns of the terminal: as `COLUMNS` says, else as the terminal itself does; where there is none, what
/// fits into most.
pub(crate) fn columns() -> usize {
    const ELSEWHERE: usize = 120;
    let said = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let measured = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    said.or_else(measured).filter(|columns| *columns > 0).unwrap_or(ELSEWHERE)
}

/// Whether the text may be coloured: only for a terminal, and not against the reader's wish.
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused && !dumb
}
