//! Server-sent events, as the HTML standard has them, as far as our server writes them.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wire::native::problem::{Code, Problem};

use crate::config::Url;

/// One message is never longer.
const MESSAGE_BYTES: usize = 16 << 20;

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its name; empty where the stream gave none.
    pub(crate) event: String,
    /// Where in the stream it is: the revision that it leads to.
    pub(crate) id: String,
    /// What it says.
    pub(crate) data: String,
}

/// A stream that goes on.
#[derive(Debug)]
pub(crate) struct Stream {
    body: Incoming,
    buffer: BytesMut,
    url: Url,
}

impl Stream {
    pub(crate) fn new(body: Incoming, url: Url) -> Self {
        Self { body, buffer: BytesMut::new(), url }
    }

    /// The next message; `None` at the stream's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Problem> {
        loop {
            if let Some(message) = take(&mut self.buffer) {
                // A comment keeps the connection alive and says nothing.
                if message.data.is_empty() {
                    continue;
                }
                return Ok(Some(message));
            }
            if self.buffer.len() > MESSAGE_BYTES {
                let detail = format!("a message of the stream is longer than {MESSAGE_BYTES} bytes");
                return Err(Problem::new(Code::AnswerNotUnderstood, detail));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => {
                    let detail = format!("{} broke the stream off: {error}", self.url);
                    return Err(Problem::new(Code::ServerUnreachable, detail).next("ask again to go on"));
                }
            }
        }
    }
}

/// Cuts the first whole message off the buffer.
fn take(buffer: &mut BytesMut) -> Option<Message> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block = buffer.split_to(end + 2);
    let mut message = Message::default();
    for line in String::from_utf8_lossy(&block).lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut message.event),
            "id" => value.clone_into(&mut message.id),
            "data" => {
                if !message.data.is_empty() {
                    message.data.push('\n');
                }
                message.data.push_str(value);
            }
            _ => {}
        }
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::{Message, take};

    #[test]
    fn messages_are_cut_where_they_end_and_not_before() {
        let mut buffer =
            bytes::BytesMut::from(": alive\n\nid: 7\nevent: change\ndata: {\ndata: }\n\ndata: half\n");
        assert_eq!(take(&mut buffer), Some(Message::default()));
        let change = Message { event: "change".to_owned(), id: "7".to_owned(), data: "{\n}".to_owned() };
        assert_eq!(take(&mut buffer), Some(change));
        assert_eq!(take(&mut buffer), None);
        assert_eq!(&buffer[..], b"data: half\n");
    }
}
