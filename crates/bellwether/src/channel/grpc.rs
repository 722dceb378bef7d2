//! Over gRPC, to a control plane in another process.
//!
//! tonic's channel connects anew by itself once it is used again. A connection that died without a word
//! is noticed by pings, so that a proxy does not wait for ever for updates that nobody sends.

use std::{future::Future, time::Duration};

use proxy::{Directory, Sink, SinkError, Subscription, Unavailable};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use wire::native::{
    channel::{
        Hello, Report, Tapped, Update, hello_to_proto, proto,
        proto::{proxy_client::ProxyClient, watch_request::Message},
        report_to_proto, tapped_to_proto, update_from_proto,
    },
    problem::{Code, Problem},
};

use super::sink_error;
use crate::{
    client::{roots, token},
    config::Settings,
};

/// How long to wait for a connection, for the beginning of a watch, and for the answer to a report: a
/// disk that has to sync under load can take seconds.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(15);

/// How often a silent connection is asked whether it is alive, and how long it may take to say so.
const PING: Duration = Duration::from_secs(5);
const PONG: Duration = Duration::from_secs(5);

/// A snapshot of the largest registry that a server keeps has room in this.
const UPDATE_BYTES: usize = 256 << 20;

/// Acknowledgements that wait for the connection. Each says more than the one before.
const ACKS: usize = 16;

/// A control plane over gRPC.
#[derive(Debug, Clone)]
pub(crate) struct Grpc {
    client: ProxyClient<InterceptedService<Channel, Bearer>>,
}

/// Presents the token, where there is one.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(secret)" } else { "Bearer(none)" })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl Grpc {
    /// The control plane that the settings name. It need not be there yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Problem> {
        let url = settings.control.to_string();
        let unusable = |error: tonic::transport::Error| {
            Problem::new(Code::InvalidSetting, format!("{url} cannot be used: {error}")).at("control")
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(unusable)?;
        let mut endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true);
        if settings.control.tls {
            let anchors = roots(settings.tls_ca.as_deref())?.roots;
            let tls = ClientTlsConfig::new().trust_anchors(anchors);
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        let bearer = token(settings)?.map(|secret| format!("Bearer {}", secret.expose()).parse());
        let bearer = bearer.transpose().map_err(|_| {
            Problem::new(Code::InvalidSetting, "the token cannot stand in a header").at("token")
        })?;
        let bearer = bearer.map(|mut value: MetadataValue<Ascii>| {
            value.set_sensitive(true);
            value
        });
        let client = ProxyClient::with_interceptor(endpoint.connect_lazy(), Bearer(bearer));
        Ok(Self { client: client.max_decoding_message_size(UPDATE_BYTES) })
    }
}

/// A watch over gRPC.
#[derive(Debug)]
pub(crate) struct Following {
    updates: Streaming<proto::WatchResponse>,
    acks: mpsc::Sender<proto::WatchRequest>,
}

impl Directory for Grpc {
    type Subscription = Following;

    async fn watch(&self, hello: Hello) -> Result<Following, Unavailable> {
        let (acks, requests) = mpsc::channel(ACKS);
        let first = proto::WatchRequest { message: Some(Message::Hello(hello_to_proto(&hello))) };
        // The queue is empty and its reader is here.
        let _ = acks.try_send(first);
        let mut client = self.client.clone();
        let answer = within(client.watch(ReceiverStream::new(requests))).await;
        let updates = answer.map_err(|status| Unavailable(text(&status)))?.into_inner();
        Ok(Following { updates, acks })
    }
}

impl Subscription for Following {
    async fn next(&mut self) -> Result<Update, Unavailable> {
        match self.updates.message().await {
            Ok(Some(update)) => update_from_proto(update).map_err(|error| Unavailable(error.to_string())),
            Ok(None) => Err(Unavailable("it is stopping".to_owned())),
            Err(status) => Err(Unavailable(text(&status))),
        }
    }

    async fn acknowledge(&mut self, revision: u64) -> Result<(), Unavailable> {
        let ack = proto::WatchRequest { message: Some(Message::Ack(proto::Ack { revision })) };
        self.acks.send(ack).await.map_err(|_| Unavailable("the watch has ended".to_owned()))
    }
}

impl Sink for Grpc {
    async fn report(&self, report: &Report) -> Result<(), SinkError> {
        let mut client = self.client.clone();
        match within(client.report(report_to_proto(report))).await {
            Ok(_) => Ok(()),
            Err(status) => Err(sink_error(code(&status), text(&status))),
        }
    }

    async fn tapped(&self, tapped: &Tapped) -> Result<(), SinkError> {
        let mut client = self.client.clone();
        let answer = within(client.tapped(tapped_to_proto(tapped))).await;
        answer.map(drop).map_err(|status| sink_error(code(&status), text(&status)))
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("the control plane did not answer in time");
    timeout(ANSWER, answer).await.map_err(late)?
}

/// The code of our own that the control plane's words begin with; else what gRPC's code says.
fn code(status: &Status) -> Option<Code> {
    let ours = status.message().split(' ').next().and_then(|word| word.parse().ok());
    ours.or(match status.code() {
        tonic::Code::InvalidArgument => Some(Code::MalformedBody),
        // What tonic answers to a message beyond its limit.
        tonic::Code::OutOfRange => Some(Code::BodyTooLarge),
        _ => None,
    })
}

fn text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        // The layers repeat each other.
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
        source = error.source();
    }
    text
}
