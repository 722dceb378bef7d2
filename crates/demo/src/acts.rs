//! What the viewer does to the shop, as the control plane's events tell it.
//!
//! An act is read from the feed of events and not handed over, so that a command, a page and the story act
//! in one way, and an act that was written down is carried out also where the control plane has died since.

use std::{io, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::{net::TcpStream, sync::mpsc};

use crate::fault::Fault;

/// How long to wait before the feed is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// More than any event has.
const EVENT_BYTES: usize = 1 << 20;

/// Acts that wait to be carried out; who acts faster than that waits.
const WAITING: usize = 64;

/// Something that is done to the shop.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A service gets this fault, in all of its instances.
    Break {
        /// The service.
        service: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// An instance ends without a word.
    Kill {
        /// Its id.
        instance: String,
    },
    /// A service's instances are replaced, one after the other.
    Release {
        /// The service.
        service: String,
        /// By this version.
        version: String,
    },
    /// All is as it was at the beginning.
    Heal,
}

impl Act {
    /// The act that an event tells of.
    fn of(event: &Json) -> Option<Self> {
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let number = |name: &str| event["details"][name].as_str().and_then(|text| text.parse::<f64>().ok());
        match event["action"].as_str()? {
            "demo_break" => {
                let fault = Fault {
                    latency_ms: event["details"]["latency_ms"]
                        .as_str()
                        .map_or(Some(0), |ms| ms.parse().ok())?,
                    errors: number("errors_percent").unwrap_or_default() / 100.0,
                };
                Some(Self::Break { service: text(&event["service"])?, fault })
            }
            "demo_kill" => Some(Self::Kill { instance: text(&event["instance"])? }),
            "demo_release" => Some(Self::Release {
                service: text(&event["service"])?,
                version: text(&event["details"]["version"])?,
            }),
            "demo_heal" => Some(Self::Heal),
            _ => None,
        }
    }
}

/// The acts from now on. The feed is followed until nobody listens any more.
///
/// # Errors
/// The control plane could not be asked.
pub async fn acts(control: SocketAddr) -> io::Result<mpsc::Receiver<Act>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let host = control.to_string();
    let newest = crate::call::Call::get(control, &host, "/bellwether/v1/events?limit=1").make().await?;
    let newest: Json = serde_json::from_slice(newest.body())?;
    let mut since = newest["revision"].as_u64().unwrap_or_default();
    tokio::spawn(async move {
        while !sender.is_closed() {
            tokio::select! {
                () = sender.closed() => return,
                ended = follow(control, &mut since, &sender) => if let Err(error) = ended {
                    tracing::debug!(%error, "the feed of events broke off");
                },
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    Ok(receiver)
}

async fn follow(control: SocketAddr, since: &mut u64, sender: &mpsc::Sender<Act>) -> io::Result<()> {
    let stream = TcpStream::connect(control).await?;
    let (mut requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let path = format!("/bellwether/v1/events/stream?kind=instance&namespace=default&since={since}");
    let request = Request::get(path).header(header::HOST, control.to_string());
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(io::Error::other)?;
    let answer = requests.send_request(request).await.map_err(io::Error::other)?;
    if !answer.status().is_success() {
        return Err(io::Error::other(answer.status().to_string()));
    }
    let (mut body, mut buffer) = (answer.into_body(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if buffer.len() > EVENT_BYTES {
            return Err(io::Error::other("an event is too large"));
        }
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let message = buffer.split_to(end + 2);
            let message = String::from_utf8_lossy(&message);
            let data: String = message.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            let Ok(event) = serde_json::from_str::<Json>(&data) else { continue };
            *since = event["revision"].as_u64().unwrap_or(*since);
            if let Some(act) = Act::of(&event)
                && sender.send(act).await.is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Act, Fault};

    #[test]
    fn an_act_is_what_its_event_says() {
        let broken = json!({
            "action": "demo_break", "service": "payments",
            "details": { "latency_ms": "2000", "errors_percent": "30" },
        });
        let fault = Fault { latency_ms: 2000, errors: 0.3 };
        assert_eq!(Act::of(&broken), Some(Act::Break { service: "payments".to_owned(), fault }));
        let killed = json!({ "action": "demo_kill", "service": "inventory", "instance": "inventory-2" });
        assert_eq!(Act::of(&killed), Some(Act::Kill { instance: "inventory-2".to_owned() }));
        assert_eq!(Act::of(&json!({ "action": "demo_heal" })), Some(Act::Heal));
        assert_eq!(Act::of(&json!({ "action": "registered", "service": "payments" })), None);
        assert_eq!(Act::of(&json!({ "action": "demo_kill", "service": "inventory" })), None);
    }
}
