//! One question over HTTP, within a time and a size.

use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use identity::duration;
use monitoring::scrape::Target;
use registry::Host;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout_at};
use wire::exposition::{ACCEPT, Format};

use super::{Tools, discover::Wanted};
use crate::{
    clock,
    inflate::{self, Coding, Refused},
    prober::{dial::NoWay, http::beside},
};

/// How the scraper names itself.
const AGENT: &str = concat!("bellwether-scrape/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer's head; a larger one is a failure.
const HEAD: usize = 32 << 10;

/// What a target answered.
pub(super) struct Answer {
    pub(super) format: Format,
    coding: Coding,
    body: Vec<u8>,
    limit: usize,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Answer {
    /// Its text, inflated.
    pub(super) fn text(&self) -> Result<String, String> {
        let inflated =
            inflate::inflate(self.coding, &self.body, self.limit).map_err(|refused| match refused {
                Refused::TooLarge => too_large(self.limit),
                Refused::Broken(error) => format!("the answer cannot be decompressed: {error}"),
            })?;
        String::from_utf8(inflated).map_err(|_| "the answer is not UTF-8".to_owned())
    }
}

fn too_large(limit: usize) -> String {
    format!("the answer has more than {}", identity::size::format(limit as u64))
}

/// Asks a target.
pub(super) async fn fetch(tools: &Tools, wanted: &Wanted) -> Result<Answer, String> {
    let target = wanted.target.as_ref().map_err(Clone::clone)?;
    let deadline = clock::timer(clock::mono() + target.timeout);
    let answer = timeout_at(deadline, ask(tools, wanted, target)).await;
    answer.unwrap_or_else(|_| Err(format!("no whole answer within {}", duration::format(target.timeout))))
}

async fn ask(tools: &Tools, wanted: &Wanted, target: &Target) -> Result<Answer, String> {
    let (host, port) = target.address.rsplit_once(':').unwrap_or((&target.address, "80"));
    let host = Host::parse(host).map_err(|error| error.to_string())?;
    let port = port.parse().map_err(|_| "the port is none".to_owned())?;
    let stream = tools.dialer.open(&host, port).await.map_err(|no_way| match no_way {
        NoWay::Failed(why) => why,
        NoWay::Busy => "too many names are being looked up".to_owned(),
    })?;
    get(tools, wanted.job.body_limit, target, stream).await
}

async fn get(tools: &Tools, limit: usize, target: &Target, stream: TcpStream) -> Result<Answer, String> {
    let invalid = |error: hyper::Error| format!("no valid HTTP answer: {error}");
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(invalid)?;
    let request = Request::get(&target.path)
        .header(header::HOST, &target.address)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, ACCEPT)
        .header(header::ACCEPT_ENCODING, "gzip")
        .header("x-prometheus-scrape-timeout-seconds", target.timeout.as_secs_f64().to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("it cannot be asked: {error}"))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(invalid)?;
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(format!("it answered {status}, and redirects are not followed"));
            }
            status => return Err(format!("it answered {status}")),
        }
        let text = |name| head.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let format = Format::of(text(header::CONTENT_TYPE).unwrap_or_default());
        let coding = coding(&head.headers)?;
        let (body, room) = whole(tools, body, limit).await?;
        Ok(Answer { format, coding, body, limit, _room: room })
    };
    beside(answer, pin!(connection)).await
}

fn coding(headers: &HeaderMap) -> Result<Coding, String> {
    Coding::named(headers, header::CONTENT_ENCODING).map_err(|problem| problem.to_string())
}

/// A body, in room that grows with it.
async fn whole(
    tools: &Tools,
    mut body: Incoming,
    limit: usize,
) -> Result<(Vec<u8>, Vec<OwnedSemaphorePermit>), String> {
    let (mut read, mut room, mut held) = (Vec::new(), 0, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = read.len() + data.len();
        if len > limit {
            return Err(too_large(limit));
        }
        if len > room {
            let step = len.max(2 * room) - room;
            let kibibytes = u32::try_from(step.div_ceil(1 << 10)).unwrap_or(u32::MAX);
            let permit = tools.room.clone().try_acquire_many_owned(kibibytes);
            held.push(permit.map_err(|_| "too many answers are being read at the same time".to_owned())?);
            room += step;
        }
        read.extend_from_slice(&data);
    }
    Ok((read, held))
}
