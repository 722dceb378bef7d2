//! Files of any size, from a server and to it, without holding one in memory.

use std::io;

use bytes::Bytes;
use http::{Method, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};
use wire::native::problem::Problem;

use super::{Client, Path, refused};

/// Bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;

/// A file that comes.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    client: &'a Client,
    body: Incoming,
}

impl Client {
    /// Asks for a file.
    pub(crate) async fn download(&self, path: Path) -> Result<Download<'_>, Problem> {
        let path = path.to_string();
        let response = self.exchange(Method::GET, &path, None, None, "application/jsonl");
        let (head, body) = timeout(self.timeout, response).await.map_err(|_| self.too_slow())??.into_parts();
        if !head.status.is_success() {
            return Err(refused(head.status, &self.collect(body).await?, &path));
        }
        Ok(Download { client: self, body })
    }

    /// Sends a file, and waits for the answer for as long as the server works on it.
    pub(crate) async fn upload(
        &self,
        path: Path,
        file: impl AsyncRead + Unpin + Send + 'static,
    ) -> Result<Bytes, Problem> {
        let path = path.to_string();
        let request = self.head(Method::POST, &path, "application/json")?;
        let request = request.header(header::CONTENT_TYPE, "application/jsonl");
        let (head, body) = self.ask(request, StreamBody::new(pieces(file))).await?.into_parts();
        let answer = self.collect(body).await?;
        if head.status.is_success() { Ok(answer) } else { Err(refused(head.status, &answer, &path)) }
    }
}

impl Download<'_> {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| self.client.broken(&error))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

fn pieces(
    file: impl AsyncRead + Unpin + Send + 'static,
) -> impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send {
    futures_util::stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut piece = Vec::with_capacity(PIECE);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Frame::data(piece.into())), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}
