//! The clients over a socket, each without layers and with a retry.

#![allow(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]

use std::{fmt, hint::black_box, pin::pin, time::Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use reqwest_middleware::ClientBuilder;
use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};
use tower::{Service, ServiceExt};

use crate::{
    calls::Calls,
    requests::{Keys, Requests, json, keys},
    retries::{both, by_hand, retry},
    row::Row,
    server::Server,
    services::{together, together_counting_tokens},
};

/// Every client; each family begins with its bare client.
pub fn loopback(server: &Server) -> Vec<Row> {
    let [keys, _] = keys(1);
    let mut rows = Vec::new();
    hyper(&mut rows, server, &keys);
    events(&mut rows, server, &keys);
    reqwest(&mut rows, server, &keys);
    rows
}

fn hyper(rows: &mut Vec<Row>, server: &Server, keys: &Keys) {
    let uri = Uri::try_from(url(server)).expect("an address and a path");
    let requests = Requests::to(uri, keys, &Full::new(json(true)));
    let mut family = Family::new(rows, "hyper-util's client");
    family.add("bare", send(hyper_client(), &requests));
    family.add("TogetherRetryLayer", send(retry(hyper_client()), &requests));
    family.add(
        "tower::retry, cloning policy",
        send(by_hand(hyper_client()), &requests),
    );
    family.add(
        "TogetherRateLimit",
        send(together(hyper_client()), &requests),
    );
    family.add("TogetherLayer", send(both(hyper_client()), &requests));
    family.add(
        "tower::retry, cloning policy, our limiter",
        send(by_hand(together(hyper_client())), &requests),
    );
}

/// A stream of events, not watched and watched for its usage.
fn events(rows: &mut Vec<Row>, server: &Server, keys: &Keys) {
    let uri = Uri::try_from(format!("{}?stream", url(server))).expect("an address and a path");
    let requests = Requests::to(uri, keys, &Full::new(json(true)));
    let mut family = Family::new(rows, "hyper-util's client, 10,000 events of 200 bytes");
    family.at_once = 20;
    // All rows share one connection: of two, one may stay a tenth faster than the other.
    let client = hyper_client();
    family.add(NOT_WATCHING, send(together(client.clone()), &requests));
    family.add("bare", send(client.clone(), &requests));
    family.add(WATCHING, send(together_counting_tokens(client), &requests));
}

fn reqwest(rows: &mut Vec<Row>, server: &Server, keys: &Keys) {
    let (url, key, body) = (url(server), keys[0].clone(), json(true));
    let mut family = Family::new(rows, "reqwest");
    family.add("bare", {
        let (client, url, key, body) = (reqwest_client(), url.clone(), key.clone(), body.clone());
        over_and_over(async move || {
            let request = client.post(&url).header(AUTHORIZATION, key.clone());
            read(request.body(body.clone()).send().await).await;
        })
    });
    let policy = ExponentialBackoff::builder().build_with_max_retries(4);
    let client = ClientBuilder::new(reqwest_client())
        .with(RetryTransientMiddleware::new_with_policy(policy))
        .build();
    let calls = over_and_over(async move || {
        let request = client.post(&url).header(AUTHORIZATION, key.clone());
        read(request.body(body.clone()).send().await).await;
    });
    family.add("reqwest-middleware, reqwest-retry", calls);
}

type HyperClient = Client<HttpConnector, Full<Bytes>>;

/// A client with a timer for its pool and without Nagle's algorithm, as reqwest has it.
pub(crate) fn hyper_client() -> HyperClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector)
}

fn reqwest_client() -> reqwest::Client {
    // A proxy from the environment could not reach this machine.
    let client = reqwest::Client::builder().no_proxy().build();
    client.expect("it needs nothing of the system")
}

fn url(server: &Server) -> String {
    format!("http://{}/v1/chat/completions", server.address)
}

fn send<S, R>(mut service: S, requests: &Requests<Full<Bytes>>) -> Calls
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: fmt::Debug> + Send + 'static,
    R: Body<Data = Bytes, Error: fmt::Debug>,
{
    let mut requests = requests.clone();
    over_and_over(async move || {
        let request = requests.make();
        let ready = service.ready().await.expect("clients are always ready");
        read(ready.call(request).await).await;
    })
}

/// Reads the body to its end, so that the connection can be reused.
async fn read<R, E>(response: Result<impl Into<Response<R>>, E>)
where
    R: Body<Data = Bytes, Error: fmt::Debug>,
    E: fmt::Debug,
{
    let response = response.expect("the server responds").into();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = pin!(response.into_body());
    while let Some(frame) = body.frame().await {
        black_box(frame.expect("the server is still there"));
    }
}

fn over_and_over(mut call: impl AsyncFnMut() + Send + 'static) -> Calls {
    Box::new(move |runtime, calls| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                call().await;
            }
            start.elapsed()
        })
    })
}

/// Rows with the same client; the first is the client alone.
struct Family<'a> {
    rows: &'a mut Vec<Row>,
    heading: Option<&'static str>,
    bare: usize,
    at_once: u64,
}

impl<'a> Family<'a> {
    fn new(rows: &'a mut Vec<Row>, heading: &'static str) -> Self {
        Self {
            bare: rows.len(),
            rows,
            heading: Some(heading),
            at_once: 100,
        }
    }

    fn add(&mut self, name: &'static str, calls: Calls) {
        self.rows.push(Row {
            heading: self.heading.take(),
            name,
            no_op: self.bare,
            one_key: None,
            at_once: self.at_once,
            keys: 1,
            one: calls,
            two: None,
        });
    }
}

/// The row that counts tokens, and so reads the usage in each stream.
pub const WATCHING: &str = "TogetherRateLimit, counting tokens";
const NOT_WATCHING: &str = "TogetherRateLimit";
