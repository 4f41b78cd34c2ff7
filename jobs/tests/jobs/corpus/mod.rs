//! A lot of requests as a stream, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod bad_texts;
mod resubmits;

use std::{
    cell::Cell,
    convert::Infallible,
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tower::{ServiceBuilder, service_fn, util::BoxCloneSyncService};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherLayer};
use tower_together_jobs::{Corpus, JobsApi};

type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// The times at which requests were sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Instant>>>);

impl Sent {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Embeds a text as its number, after a while; has nothing to say to texts that are bad.
fn server(sent: &Sent, responses_take: Duration) -> Client {
    let sent = sent.clone();
    BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
        let sent = sent.clone();
        async move {
            sent.0.lock().unwrap().push(Instant::now());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            sleep(responses_take).await;
            let texts = body["input"].as_array().unwrap().iter();
            let texts: Vec<&str> = texts.map(|text| text.as_str().unwrap()).collect();
            let (status, body) = if texts.contains(&"bad") {
                (422, json!({"error": {"message": "a bad text"}}))
            } else if texts.contains(&"forbidden") {
                (403, json!({"error": {"message": "not allowed"}}))
            } else {
                let vector = |(index, text): (usize, &&str)| json!({"index": index, "embedding": [text.parse::<f32>().unwrap_or(-1.0)]});
                let data: Vec<_> = texts.iter().enumerate().rev().map(vector).collect();
                (200, json!({"data": data}))
            };
            let response = Response::builder().status(status);
            Ok(response.body(Full::from(body.to_string())).unwrap())
        }
    }))
}

fn limited(per_minute: u64, inner: Client) -> Client {
    let quota = Quota::per_minute(per_minute).unwrap();
    let limits = Limits::none().requests(Endpoint::Embeddings, quota);
    let limiter = Limiter::new(limits).adaptive(false);
    let service = ServiceBuilder::new()
        .layer(TogetherLayer::from(limiter))
        .service(inner);
    use tower::ServiceExt;
    BoxCloneSyncService::new(service.and_then(async |response: Response<_>| {
        let (head, body) = response.into_parts();
        let body = BodyExt::collect(body).await.unwrap().to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }))
}

fn texts(count: usize) -> impl Stream<Item = (usize, String)> {
    stream::iter((0..count).map(|number| (number, number.to_string())))
}

fn at_most(requests: usize) -> NonZeroUsize {
    NonZeroUsize::new(requests).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_used_however_long_responses_take() {
    for (per_minute, responses_take, most) in [
        (300, 20, 256),
        (300, 2_000, 256),
        (300, 30_000, 256),
        (6_000, 10_000, 2_000),
    ] {
        let sent = Sent::default();
        let responses_take = Duration::from_millis(responses_take);
        let api = JobsApi::new(limited(per_minute, server(&sent, responses_take)));
        let requests = per_minute as usize * 3;
        let corpus = Corpus::new(api)
            .with_max_in_flight(at_most(most))
            .with_texts_per_request(at_most(1));
        let items = corpus.embed("m", texts(requests));
        let done: Vec<_> = items.collect().await;
        assert_eq!(done.len(), requests);
        assert!(done.iter().all(|item| item.result.is_ok()));
        let sent = sent.0.lock().unwrap();
        let took = *sent.last().unwrap() - sent[0];
        let used = (requests - 1) as f64 / per_minute as f64 * 60.0 / took.as_secs_f64();
        assert!(
            used > 0.99,
            "{per_minute} a minute, {responses_take:?}: {used}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_short_and_no_request_waits_in_vain() {
    let sent = Sent::default();
    let api = JobsApi::new(limited(300, server(&sent, Duration::from_millis(20))));
    let taken = Cell::new(0);
    let input = texts(1_000).inspect(|_| taken.set(taken.get() + 1));
    let mut items = pin!(
        Corpus::new(api)
            .with_texts_per_request(at_most(1))
            .embed("m", input)
    );
    for _ in 0..100 {
        items.next().await.unwrap();
    }
    // One under way, sixteen in the queue.
    assert!((100..=120).contains(&taken.get()), "{}", taken.get());
    // The stream is not polled, so nothing goes on.
    let before = (taken.get(), sent.count());
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!((taken.get(), sent.count()), before);
}

#[tokio::test(start_paused = true)]
async fn without_a_limiter_as_many_are_under_way_as_may_be() {
    let sent = Sent::default();
    let api = JobsApi::new(server(&sent, Duration::from_secs(1)));
    let corpus = Corpus::new(api)
        .with_max_in_flight(at_most(7))
        .with_texts_per_request(at_most(1));
    let mut items = pin!(corpus.embed("m", texts(100)));
    items.next().await.unwrap();
    assert_eq!(sent.count(), 7);
}

#[tokio::test(start_paused = true)]
async fn in_order_or_as_they_come_each_once() {
    for ordered in [false, true] {
        let sent = Sent::default();
        let slow_first = {
            let inner = server(&sent, Duration::from_millis(5));
            let number = Arc::new(Mutex::new(0));
            BoxCloneSyncService::new(service_fn(move |request| {
                let number = {
                    let mut number = number.lock().unwrap();
                    *number += 1;
                    *number
                };
                let inner = inner.clone();
                async move {
                    sleep(Duration::from_millis(100 / number)).await;
                    tower::ServiceExt::oneshot(inner, request).await
                }
            }))
        };
        let mut corpus = Corpus::new(JobsApi::new(slow_first)).with_max_in_flight(at_most(5));
        if ordered {
            corpus = corpus.ordered();
        }
        let items: Vec<_> = corpus.embed("m", texts(410)).collect().await;
        let mut ids: Vec<_> = items.iter().map(|item| item.id).collect();
        assert_eq!(ids.is_sorted(), ordered);
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..410));
        for item in items {
            assert_eq!(item.result.unwrap(), [item.id as f32]);
            assert_eq!(item.input, item.id.to_string());
        }
        assert_eq!(sent.count(), 21);
    }
}

#[tokio::test(start_paused = true)]
async fn in_order_what_is_done_and_waits_for_the_first_is_bounded_too() {
    let sent = Sent::default();
    let first_is_slow = {
        let (inner, sent) = (server(&sent, Duration::from_secs(1)), sent.clone());
        BoxCloneSyncService::new(service_fn(move |request| {
            let waits = if sent.count() == 0 { 3_600 } else { 0 };
            let inner = inner.clone();
            async move {
                let response = tower::ServiceExt::oneshot(inner, request).await;
                sleep(Duration::from_secs(waits)).await;
                response
            }
        }))
    };
    let corpus = Corpus::new(JobsApi::new(first_is_slow)).ordered();
    let corpus = corpus
        .with_max_in_flight(at_most(7))
        .with_texts_per_request(at_most(1));
    let mut items = pin!(corpus.embed("m", texts(100)));
    let first = timeout(Duration::from_secs(1_800), items.next()).await;
    assert!(first.is_err());
    assert_eq!(sent.count(), 7);
    let ids: Vec<_> = items.map(|item| item.id).collect().await;
    assert!(ids.into_iter().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_bad_text_fails_alone_and_a_rejection_fails_all_it_is_about() {
    let sent = Sent::default();
    let api = JobsApi::new(server(&sent, Duration::from_millis(1)));
    let input = (0..60).map(|id| match id {
        7 | 19 => (id, "bad".to_owned()),
        45 => (id, "forbidden".to_owned()),
        id => (id, id.to_string()),
    });
    let items = Corpus::new(api).ordered().embed("m", stream::iter(input));
    let items: Vec<_> = items.collect().await;
    for item in items {
        let status = item
            .result
            .as_ref()
            .err()
            .map(|failure| failure.status().unwrap());
        let expected = match item.id {
            7 | 19 => Some(StatusCode::UNPROCESSABLE_ENTITY),
            40..60 => Some(StatusCode::FORBIDDEN),
            _ => None,
        };
        assert_eq!(status, expected, "{}", item.id);
    }
}

/// Responds with 503 from one instant to another, counted in seconds from now.
fn out_of_order(seconds: std::ops::Range<u64>) -> Client {
    let begun = Instant::now();
    let inner = server(&Sent::default(), Duration::from_millis(20));
    BoxCloneSyncService::new(service_fn(move |request| {
        let inner = inner.clone();
        let out = seconds.contains(&begun.elapsed().as_secs());
        async move {
            if out {
                let response = Response::builder().status(503);
                return Ok(response.body(Full::default()).unwrap());
            }
            tower::ServiceExt::oneshot(inner, request).await
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_outlasted() {
    for (outage, resubmits, lost) in [
        (5..40, 8, false),
        (0..35, 8, false),
        (5..100, 8, true),
        (5..40, 0, true),
    ] {
        let corpus = Corpus::new(JobsApi::new(out_of_order(outage))).with_resubmits(resubmits);
        // A text a second.
        let slowly = texts(10).then(|one| async {
            sleep(Duration::from_secs(1)).await;
            one
        });
        let items = corpus.with_texts_per_request(at_most(1)).embed("m", slowly);
        let items: Vec<_> = pin!(items).collect().await;
        let bad = items.iter().filter(|item| item.result.is_err()).count();
        assert_eq!(bad > 0, lost, "{bad} failed with {resubmits} resubmits");
        assert_eq!(items.len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn any_requests_each_with_its_own_response_or_failure() {
    let service = service_fn(async |request: Request<Full<Bytes>>| {
        let path = request.uri().path().to_owned();
        let status = path.rsplit('/').next().unwrap().parse::<u16>().unwrap();
        let response = Response::builder().status(status);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from("said")).unwrap())
    });
    let api = JobsApi::new(service);
    let request = |status: u16| {
        let request = api.request(Method::PUT, &format!("embeddings/{status}"));
        (status, request.body(Full::from("asked")).unwrap())
    };
    let requests = stream::iter([200, 400, 201, 503].map(request));
    let items: Vec<_> = Corpus::new(api.clone())
        .ordered()
        .run(requests)
        .collect()
        .await;
    for item in items {
        match item.result {
            Ok(response) => assert_eq!(
                (response.status(), &response.body()[..]),
                (StatusCode::from_u16(item.id).unwrap(), &b"said"[..],)
            ),
            Err(failure) => {
                assert_eq!(failure.status().unwrap(), item.id);
                assert_eq!(failure.is_transient(), item.id == 503);
                // To be sent again.
                assert_eq!(
                    item.input.uri().path(),
                    format!("/v1/embeddings/{}", item.id)
                );
            }
        }
    }
}

/// Embeds so many texts in order. Returns the most of them that were held at a time, and the most bytes.
fn held(count: usize) -> (usize, u64) {
    let mut most = 0;
    let run = async {
        let responses_take = Duration::from_millis(50);
        let api = JobsApi::new(limited(60_000, server(&Sent::default(), responses_take)));
        let taken = Cell::new(0);
        let input = texts(count).inspect(|_| taken.set(taken.get() + 1));
        let mut items = pin!(Corpus::new(api).ordered().embed("m", input));
        let mut given = 0;
        while let Some(item) = items.next().await {
            assert_eq!((item.id, item.result.unwrap()), (given, vec![given as f32]));
            given += 1;
            most = most.max(taken.get() - given);
        }
        assert_eq!(given, count);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.unwrap();
    let allocated = allocation_counter::measure(|| runtime.block_on(run));
    (most, allocated.bytes_max)
}

#[test]
fn texts_take_no_more_memory_the_more_there_are() {
    compare(5_000, 20_000);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_million_texts_take_no_more_memory_than_a_few_thousand() {
    compare(20_000, 1_000_000);
}

fn compare(few: usize, count: usize) {
    let (few, many) = (held(few), held(count));
    // Fifty requests under way, sixteen in the queue, one being gathered and one being given.
    assert!(many.0 <= (50 + 16 + 4) * 20, "{} texts at a time", many.0);
    // The server of this test notes when each request came.
    let noted = (2 * count / 20 * size_of::<Instant>()) as u64;
    assert!(
        many.1 < few.1 + few.1 / 4 + noted,
        "{} bytes, of few {}",
        many.1,
        few.1
    );
}

/// Behind a base URL with a prefix each path was an unknown endpoint, without a limit.
#[tokio::test]
async fn each_request_states_its_endpoint_whatever_prefix_the_base_url_has() {
    let stated = Arc::<Mutex<Vec<_>>>::default();
    let seen = Arc::clone(&stated);
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        let endpoint = request.extensions().get::<Endpoint>().copied();
        seen.lock().unwrap().push(endpoint.unwrap());
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}"))) }
    });
    let api = JobsApi::new(client)
        .with_base("http://server/llm/v1")
        .unwrap();
    let by_hand = Request::post("http://server/llm/v1/rerank").body(Full::default());
    let requests = [
        api.request(Method::GET, "batches?after=1")
            .body(Full::default()),
        by_hand,
    ];
    let requests = requests.map(|request| ((), request.unwrap()));
    let items = Corpus::new(api).ordered().run(stream::iter(requests));
    assert_eq!(items.count().await, 2);
    let stated = stated.lock().unwrap().clone();
    assert_eq!(stated, [Endpoint::BatchList, Endpoint::Rerank]);
}
