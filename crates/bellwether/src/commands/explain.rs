//! `explain`: what a code means and what to do.

use clap::Args;
use serde_json::{Value as Json, json};
use wire::native::problem::{Code, Problem};

use crate::output::{self, Format, Style, Table};

/// Explain an error code: its cause, the remedy and an example
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bellwether explain BW-1103\n  bellwether explain        # all codes")]
pub(crate) struct Explain {
    /// The code, such as BW-1103 or 1103; without it all are listed
    code: Option<String>,
    /// The form of the data
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match &self.code {
            None => all(self.output),
            Some(text) => {
                let code = text.parse().map_err(|_| unknown(text))?;
                output::document(self.output, &document(code), "", || Ok(words(code)))
            }
        }
    }
}

fn unknown(text: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    let problem = Problem::new(Code::UnknownCode, format!("no code is \"{}\"", shown.escape_debug()));
    match nearest(text) {
        Some(meant) => problem.next(format!("did you mean {meant}? `bellwether explain` lists all")),
        None => problem,
    }
}

/// The code with the most digits in the right place. Numbers are mistyped by the digit, so the measure for
/// words would mislead.
fn nearest(text: &str) -> Option<Code> {
    let digits = text.trim_start_matches(|c: char| c == '-' || c.is_ascii_alphabetic());
    let number: u16 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    let wrong = |code: Code| {
        format!("{:04}", code.number()).bytes().zip(digits.bytes()).filter(|(a, b)| a != b).count()
    };
    Code::ALL.iter().copied().min_by_key(|code| (wrong(*code), code.number().abs_diff(number)))
}

fn document(code: Code) -> Json {
    let entry = code.entry();
    json!({
        "code": code.to_string(),
        "title": entry.title,
        "status": entry.status,
        "exit": entry.exit as u8,
        "cause": entry.cause,
        "remedy": entry.remedy,
        "example": entry.example,
    })
}

fn words(code: Code) -> String {
    let (entry, style) = (code.entry(), Style::of_stdout());
    let title = style.strong(&format!("{code}: {}", entry.title));
    let part = |name: &str, text: &str| format!("\n{}\n  {text}\n", style.faint(name));
    let mut text = format!("{title}\n");
    text.push_str(&part("Cause", entry.cause));
    text.push_str(&part("What to do", entry.remedy));
    text.push_str(&part("Example", entry.example));
    text.push_str(&part("Seen as", &format!("HTTP status {}, exit code {}", entry.status, entry.exit as u8)));
    text
}

fn all(format: Format) -> Result<(), Problem> {
    let documents: Vec<Json> = Code::ALL.iter().map(|code| document(*code)).collect();
    output::document(format, &json!({ "codes": documents }), "/codes", || {
        let mut table = Table::new(&["code", "status", "exit", "title"]);
        for code in Code::ALL {
            let entry = code.entry();
            let exit = entry.exit as u8;
            table.row([code.to_string(), entry.status.to_string(), exit.to_string(), entry.title.to_owned()]);
        }
        Ok(table.text(""))
    })
}
