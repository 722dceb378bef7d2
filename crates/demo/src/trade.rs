//! What each service answers.
//!
//! A service that cannot do its work says so: a page without its products is an error, an order that could
//! not be paid is `queued` (202) and never `paid`. Only what a policy allows to be left out, the
//! recommendations, is left out.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value as Json, json};

use crate::{
    call::{Call, answer},
    fault::Faulty,
    kind::Kind,
    orders::{Orders, Payable},
    service::Order,
};

/// What a call hands on: its trace, so that what it calls is in it, too, and whose call it is.
const HANDED_ON: [&str; 3] = ["traceparent", "tracestate", CUSTOMER];

/// The header that names the customer.
pub(crate) const CUSTOMER: &str = "x-user-id";

/// What there is to buy: name, and price in cents.
const GOODS: [(&str, u64); 4] =
    [("Brass bell", 2400), ("Sheep bell, large", 3900), ("Leather strap", 1150), ("Shepherd's crook", 5200)];

/// How long a look at a database takes, in microseconds, so that there is something to see.
const LOOK_UP_US: std::ops::Range<u64> = 1_000..8_000;

/// A service at its work.
#[derive(Debug)]
pub(crate) struct Trade {
    pub(crate) order: Order,
    pub(crate) orders: Orders,
    pub(crate) faulty: Faulty,
}

/// What came of a call to another service.
type Called = Result<Json, Response<Full<Bytes>>>;

impl Trade {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, orders: Orders::default(), faulty: Faulty::default() }
    }

    /// Answers one call.
    pub(crate) async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let headers = request.headers();
        if request.uri().path() != "/healthz" && !self.faulty.suffer().await {
            return self.failed(StatusCode::INTERNAL_SERVER_ERROR, "broken on purpose");
        }
        let done = match (self.order.kind, request.method(), request.uri().path()) {
            (_, &Method::GET, "/healthz") => Ok(answer(StatusCode::OK, &json!({ "well": true }))),
            (Kind::Storefront, &Method::GET, "/") => self.page(headers).await,
            (Kind::Storefront, &Method::POST, "/orders") => self.pass_on_order(headers).await,
            (Kind::Cart, &Method::GET, "/cart") => self.cart(headers).await,
            (Kind::Checkout, &Method::POST, "/orders") => self.take_order(headers).await,
            (Kind::Checkout, &Method::GET, "/orders") => {
                Ok(answer(StatusCode::OK, &self.orders.document(&self.order.id)))
            }
            (Kind::Payments, &Method::POST, "/charges") => Ok(self.charge().await),
            (Kind::Inventory, &Method::GET, "/stock") => Ok(self.stock().await),
            (Kind::Recommendations, &Method::GET, "/recommendations") => self.recommend(headers).await,
            (kind, method, path) => {
                let error = format!("{} has nothing at {method} {path}", kind.as_str());
                Ok(self.failed(StatusCode::NOT_FOUND, &error))
            }
        };
        done.unwrap_or_else(|refusal| refusal)
    }

    async fn page(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
        let (stock, liked) = tokio::join!(
            self.ask(Kind::Inventory, "/stock", headers),
            self.ask(Kind::Recommendations, "/recommendations", headers),
        );
        let (stock, liked) = (stock?, liked?);
        let page = json!({
            "shop": self.order.id,
            "products": stock["products"],
            "recommendations": liked["recommendations"],
        });
        Ok(answer(StatusCode::OK, &page))
    }

    /// The checkout's word is the shop's word, whatever it is.
    async fn pass_on_order(
        &self,
        headers: &HeaderMap,
    ) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
        let order = self.call(Kind::Checkout, Method::POST, "/orders", headers).await;
        let order = order.map_err(|error| self.unanswered(Kind::Checkout, &error))?;
        match order.status() {
            status @ (StatusCode::CREATED | StatusCode::ACCEPTED) => Ok(answer(status, &read(&order))),
            status => Err(self.failed(StatusCode::BAD_GATEWAY, &format!("checkout answered {status}"))),
        }
    }

    /// What somebody has in the cart follows from the name: the demo has no database to keep it in.
    async fn cart(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
        let stock = self.ask(Kind::Inventory, "/stock", headers).await?;
        let products = stock["products"].as_array().map(Vec::as_slice).unwrap_or_default();
        let which = customer(headers).bytes().map(usize::from).sum::<usize>() % products.len().max(1);
        let Some(item) = products.get(which) else {
            return Err(self.failed(StatusCode::BAD_GATEWAY, "inventory has nothing to sell"));
        };
        let cart = json!({ "from": self.order.id, "items": [item], "total_cents": item["price_cents"] });
        Ok(answer(StatusCode::OK, &cart))
    }

    async fn take_order(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
        let cart = self.ask(Kind::Cart, "/cart", headers).await?;
        let payable = Payable { id: format!("{:016x}", fastrand::u64(..)), cart };
        let why = match self.pay(headers).await {
            Ok(()) => {
                self.orders.paid();
                let order = json!({ "order": "paid", "id": payable.id, "cart": payable.cart });
                return Ok(answer(StatusCode::CREATED, &order));
            }
            Err(why) => why,
        };
        let order = json!({ "order": "queued", "id": payable.id, "cart": payable.cart, "why": why });
        if self.orders.queue(payable) {
            Ok(answer(StatusCode::ACCEPTED, &order))
        } else {
            Err(self.failed(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}, and too many orders wait")))
        }
    }

    /// Has payments charge; the reason where that did not work.
    pub(crate) async fn pay(&self, headers: &HeaderMap) -> Result<(), String> {
        match self.call(Kind::Payments, Method::POST, "/charges", headers).await {
            Ok(charge) if charge.status() == StatusCode::CREATED => Ok(()),
            Ok(refused) => Err(format!("payments answered {}", refused.status())),
            Err(error) => Err(format!("payments cannot be asked: {error}")),
        }
    }

    async fn charge(&self) -> Response<Full<Bytes>> {
        look_up().await;
        answer(StatusCode::CREATED, &json!({ "from": self.order.id, "charged": true }))
    }

    async fn stock(&self) -> Response<Full<Bytes>> {
        look_up().await;
        let products = GOODS.map(|(name, price)| json!({ "name": name, "price_cents": price }));
        answer(StatusCode::OK, &json!({ "from": self.order.id, "products": products }))
    }

    async fn recommend(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
        let stock = self.ask(Kind::Inventory, "/stock", headers).await?;
        let liked: Vec<_> = stock["products"].as_array().into_iter().flatten().take(2).collect();
        Ok(answer(StatusCode::OK, &json!({ "from": self.order.id, "recommendations": liked })))
    }

    /// Reads a document of another service; anything but 200 is an error of ours that names it.
    async fn ask(&self, kind: Kind, path: &str, headers: &HeaderMap) -> Called {
        match self.call(kind, Method::GET, path, headers).await {
            Ok(document) if document.status() == StatusCode::OK => Ok(read(&document)),
            Ok(refused) => {
                let error = format!("{} answered {}", kind.as_str(), refused.status());
                Err(self.failed(StatusCode::BAD_GATEWAY, &error))
            }
            Err(error) => Err(self.unanswered(kind, &error)),
        }
    }

    /// Calls another service, by its name and through the gateway.
    async fn call(
        &self,
        kind: Kind,
        method: Method,
        path: &str,
        headers: &HeaderMap,
    ) -> io::Result<Response<Bytes>> {
        let mut call = Call { method, ..Call::get(self.order.gateway, kind.as_str(), path) };
        for name in HANDED_ON {
            for value in headers.get_all(name) {
                call.headers.append(name, value.clone());
            }
        }
        call.make().await
    }

    fn unanswered(&self, kind: Kind, error: &io::Error) -> Response<Full<Bytes>> {
        self.failed(StatusCode::BAD_GATEWAY, &format!("{} cannot be asked: {error}", kind.as_str()))
    }

    fn failed(&self, status: StatusCode, error: &str) -> Response<Full<Bytes>> {
        answer(status, &json!({ "from": self.order.id, "error": error }))
    }
}

fn customer(headers: &HeaderMap) -> &str {
    headers.get(CUSTOMER).and_then(|name| name.to_str().ok()).unwrap_or("nobody")
}

fn read(document: &Response<Bytes>) -> Json {
    serde_json::from_slice(document.body()).unwrap_or_default()
}

async fn look_up() {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(LOOK_UP_US))).await;
}
