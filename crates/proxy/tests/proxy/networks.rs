//! Where the proxy connects to, and where it does not, whatever was registered.

use registry::{Host, Networks, Status};
use wire::native::channel::Endpoint;

use crate::world::{Backend, World};

async fn confined(networks: &str) -> World {
    let networks: Networks = networks.parse().unwrap();
    World::with(|settings| settings.networks = networks).await
}

/// Has a service with a single endpoint there.
async fn at(world: &World, service: &str, host: &str, port: u16) {
    // What could not be registered at all is here as a control plane that was tricked would have it.
    let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Ip);
    let endpoint = Endpoint {
        instance: format!("{service}-0").parse().unwrap(),
        host,
        port,
        status: Status::Up,
        weight: 100,
        zone: None,
        version: None,
        warm_up: None,
    };
    world.registry.acknowledged(world.registry.set_endpoints(service, vec![endpoint])).await;
}

#[tokio::test]
async fn nothing_outside_of_the_allowed_networks_is_dialled_neither_by_address_nor_by_name() {
    let backend = Backend::named("cart").await;
    let world = confined("10.0.0.0/8,fd00::/8").await;
    for (service, host) in [("plain", "127.0.0.1"), ("mapped", "::ffff:127.0.0.1"), ("named", "localhost")] {
        at(&world, service, host, backend.address.port()).await;
        let answer = world.get(service, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "BW-2012"), "{host}");
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(said.contains("outside of the allowed networks (dial_networks)"), "{said}");
        assert!(answer.header("proxy-status").contains("destination_ip_prohibited"), "{answer:?}");
    }
    assert_eq!(backend.connections(), 0, "nobody was called");
}

#[tokio::test]
async fn what_is_in_the_allowed_networks_is_called_by_address_and_by_name() {
    let backend = Backend::named("cart").await;
    let world = confined("10.0.0.0/8,127.0.0.0/8").await;
    for (service, host) in [("plain", "127.0.0.1"), ("mapped", "::ffff:127.0.0.1"), ("named", "localhost")] {
        at(&world, service, host, backend.address.port()).await;
        assert_eq!(world.get(service, "/").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn link_local_addresses_are_not_dialled_also_where_all_networks_are_allowed() {
    let world = confined("0.0.0.0/0,::/0,169.254.0.0/16").await;
    at(&world, "metadata", "169.254.169.254", 80).await;
    let answer = world.get("metadata", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "BW-2012"));
}
