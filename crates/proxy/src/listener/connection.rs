//! One client's connection, from its first byte to its last.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
};

use bytes::{BufMut, Bytes};
use http::{Method, Response, StatusCode, Version, header};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Client, Lost, Next},
    date, ended, farewell,
};
use crate::{
    call::call,
    counts::Counted,
    gateway::Gateway,
    http1::{
        encode,
        framing::Framing,
        head::{RequestHead, ResponseHead},
    },
    reply::{Reply, Streaming},
    upgrade::Switched,
    upstream::Taken,
};

/// A connection's place among those that there may be, and among those that speak HTTP.
type Place = (Option<OwnedSemaphorePermit>, Counted);

/// Where a connection comes from.
#[derive(Debug)]
pub(super) struct From {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) place: Place,
}

/// What becomes of a connection after an answer.
#[derive(Debug)]
enum Then {
    Next,
    Close,
    /// Something else than HTTP.
    Switch(Box<Switched>),
    /// The client has to learn from the connection's end that its answer broke off, or is not there to learn it.
    Break,
}

/// How an answer looks to who asked.
#[derive(Debug)]
struct Asker {
    is_head: bool,
    is_old: bool,
    keep_alive: bool,
}

/// Serves a client until it leaves; once `stopping`, until its calls in flight are answered.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    From { stream, peer, place: (_place, counted) }: From,
    stopping: CancellationToken,
) {
    let mut client = Client::new(stream, &gateway.limits);
    let mut stop = pin!(async {
        stopping.cancelled().await;
        // Whoever sends meanwhile is told by the answer; to others the connection is closed, which a client
        // that is just about to send can only find out by trying.
        sleep(gateway.leaving.get().copied().unwrap_or_default()).await;
    });
    loop {
        let then = match client.next(&gateway.limits, stop.as_mut()).await {
            Next::Request(head) => exchange(&gateway, &mut client, head, peer).await,
            Next::Closed => Then::Close,
            Next::Unreadable(reason, problem) => {
                gateway.refusals.count(reason, 1);
                return farewell::say(client.into_parts().0, &farewell::words(&problem), true).await;
            }
        };
        match then {
            Then::Next => {}
            Then::Close => {
                let unread = client.says_more();
                return farewell::say(client.into_parts().0, &[], unread).await;
            }
            Then::Switch(switched) => {
                drop(counted);
                let (socket, first) = client.into_parts();
                return switched.join(&gateway, socket, first).await;
            }
            Then::Break => return,
        }
    }
}

/// A request and its answer.
async fn exchange(gateway: &Arc<Gateway>, client: &mut Client, head: Box<RequestHead>, peer: IpAddr) -> Then {
    let asker = Asker {
        is_head: head.parts.method == Method::HEAD,
        is_old: head.parts.version == Version::HTTP_10,
        keep_alive: head.keep_alive,
    };
    let reply = call(gateway, client, head, peer).await;
    client.begin_answer();
    let keep_alive = asker.keep_alive && gateway.leaving.get().is_none();
    let asker = Asker { keep_alive, ..asker };
    let done = match reply {
        None => return Then::Break,
        Some(Reply::Own(response)) => own(gateway, client, response, asker).await,
        Some(Reply::Passed(head, body)) => pass(gateway, client, head, body, asker).await,
        Some(Reply::Switched(head, switched)) => switch(gateway, client, head, switched).await,
    };
    done.unwrap_or_else(|lost| {
        if matches!(lost, Lost::Stalled) {
            gateway.refusals.count(ended::WRITE_STALL, 1);
        }
        Then::Break
    })
}

/// Answers with what we have to say.
async fn own(
    gateway: &Gateway,
    client: &mut Client,
    response: Response<Bytes>,
    asker: Asker,
) -> Result<Then, Lost> {
    client.discard();
    let (parts, body) = response.into_parts();
    let closes = parts.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
    let keep_alive = asker.keep_alive && client.has_sent_all() && !closes;
    let out = client.line.out();
    encode::status_line(out, parts.status);
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::CONNECTION) {
        encode::field(out, name, value.as_bytes());
    }
    let has_body = !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body {
        encode::content_length(out, body.len() as u64);
    }
    finish_head(gateway, client, &Asker { keep_alive, ..asker }, parts.headers.contains_key(header::DATE));
    if has_body && !asker.is_head {
        client.line.unsent.put_slice(&body);
    }
    client.flush().await?;
    Ok(if keep_alive { Then::Next } else { Then::Close })
}

/// Passes an endpoint's answer on.
async fn pass(
    gateway: &Gateway,
    client: &mut Client,
    head: ResponseHead,
    mut body: Streaming,
    asker: Asker,
) -> Result<Then, Lost> {
    let framing = match head.framing {
        // The end of the connection is all that HTTP/1.0 knows where no length is known.
        Framing::Chunked | Framing::UntilEnd if asker.is_old => Framing::UntilEnd,
        Framing::UntilEnd => Framing::Chunked,
        framing => framing,
    };
    let keep_alive = asker.keep_alive && framing != Framing::UntilEnd;
    let out = client.line.out();
    out.reserve(head.fields.len() + HEAD_ADDED);
    encode::status_line(out, head.status);
    out.put_slice(&head.fields);
    match (framing, head.length) {
        // The length of what is not here, because only the head was asked for, or because it has not changed.
        (Framing::None, Some(length)) if head.status != StatusCode::NO_CONTENT => {
            encode::content_length(out, length);
        }
        _ => encode::framing(out, framing),
    }
    finish_head(gateway, client, &Asker { keep_alive, ..asker }, head.has_date);
    let chunked = framing == Framing::Chunked;
    let mut ended = None;
    poll_fn(|cx| {
        loop {
            if ended.is_none() {
                match body.poll_take(client, chunked, cx) {
                    Ok(Taken::All) => ended = Some(true),
                    // What came goes first.
                    Err(_broken) => ended = Some(false),
                    Ok(Taken::Full) => {}
                    Ok(Taken::Waits) => {
                        if client.poll_flush(cx)?.is_ready() {
                            return client.poll_gone(cx).map(|_gone| Err(Lost::Gone));
                        }
                        return Poll::Pending;
                    }
                }
            }
            ready!(client.poll_flush(cx))?;
            if ended.is_some() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await?;
    Ok(match ended {
        Some(true) if keep_alive && client.has_sent_all() => Then::Next,
        Some(true) => Then::Close,
        _ => {
            // An end that is none must not look like one.
            if framing == Framing::UntilEnd {
                client.line.reset();
            }
            Then::Break
        }
    })
}

/// Room for what an answer's head gets on its way.
const HEAD_ADDED: usize = 160;

/// Answers the client that its protocol was accepted.
async fn switch(
    gateway: &Gateway,
    client: &mut Client,
    head: ResponseHead,
    switched: Box<Switched>,
) -> Result<Then, Lost> {
    let out = &mut client.line.unsent;
    encode::status_line(out, head.status);
    out.put_slice(&head.fields);
    encode::field(out, &header::CONNECTION, b"upgrade");
    if let Some(protocol) = &head.upgrade {
        encode::field(out, &header::UPGRADE, protocol);
    }
    finish_head(gateway, client, &Asker { is_head: false, is_old: false, keep_alive: true }, head.has_date);
    client.flush().await?;
    Ok(Then::Switch(switched))
}

/// The fields that every answer has, and the end of its head.
fn finish_head(gateway: &Gateway, client: &mut Client, asker: &Asker, has_date: bool) {
    let out = &mut client.line.unsent;
    if !asker.keep_alive {
        encode::field(out, &header::CONNECTION, b"close");
    } else if asker.is_old {
        encode::field(out, &header::CONNECTION, b"keep-alive");
    }
    if !has_date {
        encode::field(out, &header::DATE, &date::of(gateway.clock.now().wall));
    }
    out.put_slice(b"\r\n");
}
