//! A proxy made with Pingora, to stand beside the gateway: `pingora-peer LISTEN BACKEND BACKEND`.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::lb::LoadBalancer;
use pingora::lb::selection::RoundRobin;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;

struct Balancer(Arc<LoadBalancer<RoundRobin>>);

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let backend = self.0.select(b"", 8).ok_or_else(|| pingora::Error::new_str("no backend"))?;
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> pingora::Result<()> {
        request.insert_header("via", "1.1 pingora")
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--version") {
        // The version of the library, by the line of its lock file.
        let lock = include_str!("../Cargo.lock");
        let entry = lock.split("[[package]]").find(|entry| entry.contains("name = \"pingora\"\n"));
        println!("{}", entry.and_then(|entry| entry.split('"').nth(3)).unwrap_or("0.0"));
        return;
    }
    let [listen, backends @ ..] = arguments.as_slice() else {
        eprintln!("usage: pingora-peer LISTEN BACKEND…");
        std::process::exit(2);
    };
    let balancer = LoadBalancer::try_from_iter(backends).expect("addresses of backends");
    let mut server = Server::new(None).expect("a server");
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Balancer(Arc::new(balancer)));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
