//! `backup` and `restore`: all that a control plane holds, to a file and back, while it runs.

use std::{
    fs, io,
    path::{Path as FilePath, PathBuf},
};

use clap::Args;
use tokio::io::{AsyncRead, AsyncWriteExt};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{Asking, Page};
use crate::{
    client::{self, Client, Path},
    output::{self, Table},
};

/// How the last line of a backup begins.
const CHECKSUM: &[u8] = b"{\"sha256\":";

/// Save registrations, leases and tokens into a file, while the server runs
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether backup monday.backup\n  bellwether backup - | gzip > monday.backup.gz"
)]
pub(crate) struct Backup {
    /// The file to write; - stands for standard output
    file: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// Bring back from a backup what is missing, while the server runs
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether restore monday.backup --dry-run\n  bellwether restore monday.backup --replace"
)]
pub(crate) struct Restore {
    /// The file that `backup` wrote; - stands for standard input
    file: PathBuf,
    /// Let the backup hold also for what is there: what differs becomes as it was, what is not in it goes
    #[arg(long)]
    replace: bool,
    /// Leave the tokens out; otherwise also those come back that were revoked after the backup
    #[arg(long)]
    no_tokens: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Backup {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let Self { file, asking } = self;
        asking.run(async |client, _| {
            if is_standard(&file) {
                save(&client, &mut tokio::io::stdout(), &file).await?;
                return Ok(());
            }
            // Beside the file, so that an older backup is there until the new one is whole.
            let mut beside = file.clone().into_os_string();
            beside.push(".part");
            let beside = PathBuf::from(beside);
            let written = async {
                let mut part =
                    tokio::fs::File::create(&beside).await.map_err(|error| unwritable(&beside, &error))?;
                let bytes = save(&client, &mut part, &beside).await?;
                part.sync_all().await.map_err(|error| unwritable(&beside, &error))?;
                fs::rename(&beside, &file).map_err(|error| unwritable(&file, &error))?;
                Ok(bytes)
            };
            match written.await {
                Ok(bytes) => {
                    let size = identity::size::format(bytes);
                    output::tell(&format!(
                        "{} has {size}; keep it where only operators can read it",
                        file.display()
                    ));
                    Ok(())
                }
                Err(problem) => {
                    let _ = fs::remove_file(&beside);
                    Err(problem)
                }
            }
        })
    }
}

/// Writes the backup as it comes, and says how many bytes it has.
async fn save(
    client: &Client,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    name: &FilePath,
) -> Result<u64, Problem> {
    let mut download = client.download(Path::v1().segment("backup")).await?;
    let (mut bytes, mut last) = (0, Vec::new());
    while let Some(piece) = download.next().await? {
        to.write_all(&piece).await.map_err(|error| unwritable(name, &error))?;
        bytes += piece.len() as u64;
        keep_last_line(&mut last, &piece);
    }
    to.flush().await.map_err(|error| unwritable(name, &error))?;
    if last.starts_with(CHECKSUM) && last.ends_with(b"\n") {
        Ok(bytes)
    } else {
        let detail = format!("what {} sent does not end like a backup", client.url());
        Err(Problem::new(Code::AnswerNotUnderstood, detail))
    }
}

/// Keeps the last line of all that came up to now.
fn keep_last_line(last: &mut Vec<u8>, piece: &[u8]) {
    let end = piece.strip_suffix(b"\n").unwrap_or(piece);
    match end.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => {
            last.clear();
            last.extend_from_slice(piece.get(at + 1..).unwrap_or_default());
        }
        None => {
            if last.ends_with(b"\n") {
                last.clear();
            }
            last.extend_from_slice(piece);
        }
    }
}

impl Restore {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let Self { file, replace, no_tokens, dry_run, asking } = self;
        asking.run(async |client, format| {
            let from: Box<dyn AsyncRead + Send + Unpin> = if is_standard(&file) {
                Box::new(tokio::io::stdin())
            } else {
                let open = tokio::fs::File::open(&file).await;
                Box::new(open.map_err(|error| {
                    let detail = format!("{} cannot be read: {error}", file.display());
                    Problem::new(Code::FileUnreadable, detail).at("FILE")
                })?)
            };
            let flag = |given: bool, word: &'static str| given.then_some(word);
            let path = Path::v1()
                .segment("restore")
                .maybe("replace", flag(replace, "true"))
                .maybe("tokens", flag(no_tokens, "false"))
                .maybe("dry_run", flag(dry_run, "true"));
            let answer = client.upload(path, from).await?;
            Page::new(client::understood(&answer)?, "", |done: api::Restored| table(&done)).print(format)?;
            output::tell(if dry_run { "nothing was changed" } else { "restored" });
            Ok(())
        })
    }
}

fn table(done: &api::Restored) -> String {
    let mut table = Table::new(&["of", "restored", "replaced", "unchanged", "removed"]);
    for (what, counts) in [
        ("instances", done.instances),
        ("policies", done.policies),
        ("tokens", done.tokens),
        ("proxies", done.proxies),
    ] {
        let figures = [counts.restored, counts.replaced, counts.unchanged, counts.removed];
        let [restored, replaced, unchanged, removed] = figures.map(|figure| figure.to_string());
        table.row([what.to_owned(), restored, replaced, unchanged, removed]);
    }
    table.text("")
}

fn is_standard(file: &FilePath) -> bool {
    file.as_os_str() == "-"
}

fn unwritable(file: &FilePath, error: &io::Error) -> Problem {
    Problem::new(Code::FileUnwritable, format!("{} cannot be written: {error}", file.display())).at("FILE")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::keep_last_line;

    proptest! {
        #[test]
        fn the_last_line_is_kept_however_the_file_is_cut(cuts in proptest::collection::vec(0_usize..18, 0..6)) {
            let file = b"one\ntwo\n\nlast one\n";
            let mut cuts: Vec<usize> = cuts.into_iter().chain([0, file.len()]).collect();
            cuts.sort_unstable();
            let mut last = Vec::new();
            for pair in cuts.windows(2) {
                if pair[0] < pair[1] {
                    keep_last_line(&mut last, &file[pair[0]..pair[1]]);
                }
            }
            prop_assert_eq!(last, b"last one\n");
        }
    }
}
