//! The policies of a file, or of standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::Args;
use wire::{
    native::problem::{Code, Problem},
    policy::{self, DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, Document, Fault, Mistake},
};

/// Where policies are read from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The file, YAML (several documents are separated by ---) or JSON; - stands for standard input
    #[arg(short, long = "file", value_name = "FILE")]
    file: PathBuf,
}

impl Source {
    /// Every policy in it, each found good.
    pub(super) fn read(&self) -> Result<Vec<Document>, Problem> {
        let name = self.file.display();
        let mut text = String::new();
        let most = (DOCUMENT_BYTES_MAX * DOCUMENTS_MAX) as u64;
        let read = match self.file.as_os_str() == "-" {
            true => io::stdin().lock().take(most).read_to_string(&mut text),
            false => File::open(&self.file).and_then(|file| file.take(most).read_to_string(&mut text)),
        };
        read.map_err(|error| Problem::new(Code::FileUnreadable, format!("{name} cannot be read: {error}")))?;
        let documents = policy::read_all(&text).map_err(|mistake| problem(&name.to_string(), &mistake))?;
        if documents.is_empty() {
            return Err(Problem::new(Code::MissingField, format!("{name} has no policy in it")));
        }
        Ok(documents)
    }
}

fn problem(file: &str, mistake: &Mistake) -> Problem {
    let code = match mistake.fault() {
        Fault::Syntax => Code::MalformedBody,
        Fault::Unknown => Code::UnknownField,
        Fault::Missing => Code::MissingField,
        Fault::Value => Code::InvalidValue,
    };
    let problem = Problem::new(code, format!("{file}: {}", mistake.detail())).at(mistake.path());
    match mistake.what_next() {
        Some(next) => problem.next(next.to_owned()),
        None => problem,
    }
}
