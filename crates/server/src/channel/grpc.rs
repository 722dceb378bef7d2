//! `bellwether.v1.Proxy`, the channel over gRPC.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use storage_catalog::Scope;
use tonic::{Request, Response, Status, Streaming};
use wire::native::channel::{self, proto};

use super::{Channel, Subscription};
use crate::access::Principal;

/// The service that tonic routes to.
pub(crate) type Service = proto::proxy_server::ProxyServer<Channel>;

/// A report is at most this large once decoded from its frame; a proxy's spool is cut to fit.
const REPORT_BYTES: usize = 16 << 20;

pub(crate) fn service(channel: Channel) -> Service {
    proto::proxy_server::ProxyServer::new(channel).max_decoding_message_size(REPORT_BYTES)
}

#[tonic::async_trait]
impl proto::proxy_server::Proxy for Channel {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<proto::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        permit(&request, Scope::Read)?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.message);
        let Some(proto::watch_request::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first message of a watch is a hello"));
        };
        let hello =
            channel::hello_from_proto(hello).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let subscription = Channel::watch(self, hello);
        Ok(Response::new(Box::pin(follow(subscription, requests))))
    }

    async fn report(
        &self,
        request: Request<proto::ReportRequest>,
    ) -> Result<Response<proto::ReportResponse>, Status> {
        permit(&request, Scope::Write)?;
        let report = channel::report_from_proto(request.into_inner());
        let report = report.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Channel::report(self, report).await.map_err(|problem| Status::from(&problem))?;
        Ok(Response::new(proto::ReportResponse {}))
    }

    async fn tapped(
        &self,
        request: Request<proto::TappedRequest>,
    ) -> Result<Response<proto::TappedResponse>, Status> {
        permit(&request, Scope::Write)?;
        let tapped = channel::tapped_from_proto(request.into_inner());
        let tapped = tapped.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Channel::tapped(self, tapped);
        Ok(Response::new(proto::TappedResponse {}))
    }
}

/// Sends updates and takes acknowledgements, until either side ends.
fn follow(
    subscription: Subscription,
    requests: Streaming<proto::WatchRequest>,
) -> impl Stream<Item = Result<proto::WatchResponse, Status>> {
    stream::unfold((subscription, requests), |(mut subscription, mut requests)| async move {
        loop {
            tokio::select! {
                update = subscription.next() => {
                    let message = channel::update_to_proto(&update?);
                    return Some((Ok(message), (subscription, requests)));
                }
                request = requests.next() => match request?.ok()?.message {
                    Some(proto::watch_request::Message::Ack(ack)) => subscription.ack(ack.revision),
                    _ => {
                        let status = Status::invalid_argument("after the hello a watch takes acknowledgements");
                        return Some((Err(status), (subscription, requests)));
                    }
                },
            }
        }
    })
}

/// A proxy sees and reports every namespace, so its token has to be bound to none.
fn permit<T>(request: &Request<T>, scope: Scope) -> Result<(), Status> {
    match request.extensions().get::<Principal>() {
        Some(principal) => principal.require(scope, None).map_err(|problem| Status::from(&problem)),
        None => Err(Status::internal("the access check did not run")),
    }
}
