//! `trace export`: traces into a file that other tools read.

use std::path::{Path as FilePath, PathBuf};

use clap::{Args, ValueEnum};
use identity::{ServiceName, TraceId};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use wire::native::problem::{Code, Problem};

use super::super::Asking;
use crate::{
    client::{Client, Path},
    output,
};

/// Save traces into a file that other tools read
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether trace export --service payments --to payments.jsonl\n  bellwether trace export 'error=true' --start 2026-01-31T09:30:00Z --format parquet --to errors.parquet\n  bellwether trace export --id 0af7651916cd43dd8448eb211c80319c"
)]
pub(crate) struct Export {
    /// Only traces with a span of which this holds, such as 'service=shop AND (duration>250ms OR error=true)'
    query: Option<String>,
    /// OTLP's JSON, a line for each trace, or Parquet, up to 100,000 spans
    #[arg(long, value_enum, default_value = "otlp-json")]
    format: Format,
    /// Only this trace, in any spelling; may be given more than once
    #[arg(long, value_name = "TRACE", value_parser = traces::spelling::trace_id, conflicts_with_all = ["query", "service", "operation", "start", "end"])]
    id: Vec<TraceId>,
    /// Only traces that this service took part in
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only traces with this operation, such as "GET /"
    #[arg(long)]
    operation: Option<String>,
    /// Only traces that began at this time or later
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Only traces that began before this time
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// How many traces at most, the newest first
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
    /// The file to write; - stands for standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    OtlpJson,
    Parquet,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, _| {
            let path = self.path(&client);
            if self.to.as_os_str() == "-" {
                return save(&client, path, &mut tokio::io::stdout(), &self.to).await.map(drop);
            }
            // Beside the file, so that an older one is there until the new one is whole.
            let mut beside = self.to.clone().into_os_string();
            beside.push(".part");
            let beside = PathBuf::from(beside);
            let file = tokio::fs::File::create(&beside).await;
            let mut file = file.map_err(|error| unwritable(&beside, &error))?;
            let written = save(&client, path, &mut file, &beside).await;
            let whole = match written {
                Ok(bytes) => std::fs::rename(&beside, &self.to)
                    .map(|()| bytes)
                    .map_err(|error| unwritable(&self.to, &error)),
                Err(problem) => Err(problem),
            };
            match whole {
                Ok(bytes) => {
                    output::tell(&format!("{} has {}", self.to.display(), identity::size::format(bytes)));
                    Ok(())
                }
                Err(problem) => {
                    let _ = std::fs::remove_file(&beside);
                    Err(problem)
                }
            }
        })
    }

    fn path(&self, client: &Client) -> Path {
        let format = match self.format {
            Format::OtlpJson => "otlp-json",
            Format::Parquet => "parquet",
        };
        let path = Path::v1().segment("traces").segment("export").query("format", format);
        if !self.id.is_empty() {
            let ids: Vec<String> = self.id.iter().map(TraceId::to_string).collect();
            return path.query("ids", &ids.join(","));
        }
        path.query("namespace", client.namespace().as_str())
            .maybe("service", self.service.as_ref())
            .maybe("operation", self.operation.as_deref())
            .maybe("start", self.start.as_deref())
            .maybe("end", self.end.as_deref())
            .maybe("q", self.query.as_deref())
            .query("limit", &self.limit.to_string())
    }
}

/// Writes the file as it comes, and says how many bytes it has.
async fn save(
    client: &Client,
    path: Path,
    to: &mut (impl AsyncWrite + Unpin),
    name: &FilePath,
) -> Result<u64, Problem> {
    let mut download = client.download(path).await?;
    let mut bytes = 0;
    while let Some(piece) = download.next().await? {
        to.write_all(&piece).await.map_err(|error| unwritable(name, &error))?;
        bytes += piece.len() as u64;
    }
    to.flush().await.map_err(|error| unwritable(name, &error))?;
    Ok(bytes)
}

fn unwritable(file: &FilePath, error: &std::io::Error) -> Problem {
    Problem::new(Code::FileUnwritable, format!("{} cannot be written: {error}", file.display())).at("--to")
}
